from __future__ import annotations

import numpy as np
import pytest

from scholar.library.ranking import NEIGHBOURS, SHARE, WORDS, blend, diverse, fuse, supported


def unit(*parts: float) -> np.ndarray:
    vector = np.array(parts, np.float32)
    return vector / np.linalg.norm(vector)


def rows(vectors: dict[str, np.ndarray]) -> tuple[list[str], np.ndarray]:
    return list(vectors), np.array([*vectors.values()], np.float32)


def test_scores_of_different_scales_weigh_alike() -> None:
    fused = fuse(
        {"bm25": [("a", 40.0), ("b", 20.0)], "dense": [("b", 0.8), ("a", 0.2)]},
        {"bm25": 0.5, "dense": 0.5},
    )
    assert [name for name, _ in fused] == ["b", "a"]
    assert [score for _, score in fused] == pytest.approx([0.75, 0.625])


def test_what_one_ranking_alone_returns_keeps_its_share() -> None:
    fused = fuse({"bm25": [("a", 3.0)], "dense": [("b", 0.9)]}, {"bm25": 0.6, "dense": 0.4})
    assert dict(fused) == pytest.approx({"a": 0.6, "b": 0.4})


def test_ties_are_broken_by_id() -> None:
    fused = fuse({"bm25": [("b", 1.0), ("c", 1.0), ("a", 1.0)]}, {"bm25": 1.0})
    assert [name for name, _ in fused] == ["a", "b", "c"]


def test_a_ranking_without_a_positive_score_counts_nothing() -> None:
    rankings = {"bm25": [("a", 2.0)], "dense": [("b", -0.1), ("a", -0.5)]}
    assert fuse(rankings, {"bm25": 0.5, "dense": 0.5}) == [("a", 0.5), ("b", 0.0)]
    assert fuse({}, {}) == fuse({"bm25": []}, {"bm25": 1.0}) == []


def test_a_passage_that_only_words_found_has_its_meaning_counted_too() -> None:
    query = unit(1, 0)
    vectors = {"near": unit(1, 0.1), "far": unit(0, 1), "other": unit(1, 1)}
    words = [("near", 2.0), ("far", 2.0)]
    blended = dict(blend(words, [("other", 0.7)], query, *rows(vectors), most=2.0))
    assert blended["near"] == pytest.approx(1.0)  # best by words and nearest of all three
    assert blended["far"] == pytest.approx(WORDS / (WORDS + 1))  # as good by words, and farthest
    assert blended["far"] > blended["other"] > 0  # which has no word of the query


def test_words_weigh_less_where_the_best_passage_has_few_of_them() -> None:
    vectors = {"worded": unit(0, 1), "meant": unit(1, 0)}
    words, near = [("worded", 2.0)], [("meant", 1.0)]
    for most, first in ((2.0, "worded"), (3 * WORDS, "meant")):
        (best, score), _ = blend(words, near, unit(1, 0), *rows(vectors), most=most)
        weight = WORDS * 2.0 / most
        assert best == first
        assert score == pytest.approx(max(weight, 1.0) / (weight + 1))


def test_a_blend_keeps_what_has_no_vector() -> None:
    blended = dict(blend([("a", 4.0), ("b", 1.0)], [], unit(1, 0), *rows({}), most=4.0))
    best = WORDS / (WORDS + 1)
    assert blended == pytest.approx({"a": best, "b": best / 4})
    assert blend([], [], unit(1, 0), *rows({}), most=0.0) == []


def test_passages_like_the_good_ones_are_lifted() -> None:
    good = [unit(1, 0.01 * n, 0) for n in range(NEIGHBOURS)]
    friend, loner, bad = unit(1, 0.05, 0), unit(0, 0, 1), unit(0, 0.1, 1)
    scores = np.array([*[1.0] * NEIGHBOURS, 0.4, 0.4, 0.0])
    lifted = supported(scores, np.stack([*good, friend, loner, bad]))[NEIGHBOURS:]
    assert lifted[0] == pytest.approx((1 - SHARE) * 0.4 + SHARE)
    assert lifted[0] > 0.4 > lifted[1]


def test_a_blend_lifts_what_is_like_the_best() -> None:
    good = {f"good{n}": unit(1, n / 50, 0) for n in range(4)}
    bad = {f"bad{n}": unit(0, n / 50, 1) for n in range(4)}
    words = [*((id, 9.0) for id in list(good)[:3]), ("good3", 3.0), ("bad3", 3.0)]
    near = [(id, 0.5) for id in {**good, **bad}]  # equally near, so that words alone tell apart
    blended = dict(blend(words, near, unit(0, 1, 0), *rows(good | bad), most=9.0))
    assert blended["good3"] > blended["bad3"]


def test_few_passages_and_those_without_vectors_keep_their_scores() -> None:
    few = np.array([1.0, 0.5, 0.2])
    assert supported(few, np.stack([unit(1, 0)] * 3)) == pytest.approx(few)
    words = [(f"p{n}", 10.0 - n) for n in range(10)]
    vectors = {id: unit(1, n) for n, (id, _) in enumerate(words) if id != "p0"}
    near = [("odd", 0.9)]
    blended = dict(blend(words, near, unit(0, 1), *rows(vectors), most=10.0))
    # Best by its words, and nothing else is known of it.
    assert blended["p0"] == pytest.approx(WORDS / (WORDS + 1))
    worst, best = 1 / 2**0.5, 9 / 82**0.5  # the cosines of p1 and p9
    assert blended["odd"] == pytest.approx((0.9 - worst) / (best - worst) / (WORDS + 1))


def test_passages_that_say_the_same_are_spread_out() -> None:
    ranking = [("a", 0.9), ("a again", 0.8), ("a once more", 0.7), ("b", 0.6), ("bare", 0.5)]
    vectors = {
        "a": unit(1, 0),
        "a again": unit(1, 0.2),
        "a once more": unit(1, 0.4),  # like the one before it and, through that, like the first
        "b": unit(0, 1),
    }
    assert [id for id, _ in diverse(ranking, vectors)] == [
        "a", "b", "bare", "a again", "a once more",
    ]  # fmt: skip
    assert diverse([], {}) == []


def test_what_joins_two_clusters_makes_them_one() -> None:
    angles = {"a": 0.0, "b": 0.42, "between": 0.21, "other": 1.5}
    vectors = {id: unit(np.cos(angle), np.sin(angle)) for id, angle in angles.items()}
    ranking = [("a", 0.9), ("b", 0.8), ("between", 0.7), ("other", 0.6)]
    assert [id for id, _ in diverse(ranking, vectors)] == ["a", "other", "b", "between"]
