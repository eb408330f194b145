from __future__ import annotations

import pytest

from scholar.library.ranking import fuse


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
