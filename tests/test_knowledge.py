from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scholar.library.derived import Derived, Embed
from scholar.library.knowledge import Graph, put, taken
from scholar.library.likeness import alike
from scholar.library.spelling import fold
from scholar.library.walk import DAMPING, Walk
from scholar.values import Fact

FACTS = [
    Fact("Marie Curie", "was born in", "Warsaw", ("curie",)),
    Fact("Marie Curie", "discovered", "polonium", ("curie",)),
    Fact("Warsaw", "lies on", "the Vistula", ("warsaw",)),
    Fact("Lise Meitner", "was born in", "Vienna", ("meitner",)),
    Fact("Vienna", "lies on", "the Danube", ("vienna",)),
]


class Words:
    """An embedder for tests: a text is the words it has, and what it was asked is kept."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        rows = np.zeros((len(texts), 64), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in fold(text).split():
                row[self.places.setdefault(word, len(self.places))] = 1
            row /= max(float(np.linalg.norm(row)), 1e-9)
        return rows


def kept(folder: Path, state: str, facts: Sequence[Fact], embed: Embed, by: str = "one") -> Graph:
    """The graph that a new process finds or makes."""
    derived = Derived(folder, taken, put)
    return derived.at(state, by, lambda former: Graph.build(facts, embed, former))


def nothing(_: Sequence[str]) -> None:
    return None


def ids(ranking: Sequence[tuple[str, float]]) -> list[str]:
    return [id for id, _ in ranking]


def test_a_passage_is_found_over_the_name_it_shares_with_another() -> None:
    words = Words()
    graph = Graph.build(FACTS, words)
    question = "On which river lies the city where Marie Curie was born?"
    found = graph.rank(question, words([question])[0], [("curie", 1.0), ("vienna", 0.9)], 10)
    assert ids(found)[0] == "curie"
    assert ids(found).index("warsaw") < 4
    assert "warsaw" not in ids([("curie", 1.0), ("vienna", 0.9)])


def test_without_an_embedder_names_in_the_question_lead_on() -> None:
    graph = Graph.build(FACTS, nothing)
    found = graph.rank("Which river is near MARIE CURIE's birthplace?", None, [], 10)
    assert ids(found) == ["curie", "warsaw"]
    assert [score for _, score in found] == sorted((s for _, s in found), reverse=True)


def test_nothing_is_found_where_neither_name_nor_triple_fits() -> None:
    assert Graph.build(FACTS, nothing).rank("What is rain?", None, [("curie", 1.0)], 5) == []
    empty = Graph.build([], Words())
    assert empty.rank("Marie Curie", np.zeros(64, np.float32), [("x", 1.0)], 5) == []


def test_what_was_found_but_states_nothing_stays_in_the_ranking() -> None:
    graph = Graph.build(FACTS, nothing)
    found = dict(graph.rank("Marie Curie", None, [("silent", 1.0), ("curie", 0.5)], 10))
    assert 0 < found["silent"] < found["curie"]


def test_a_walk_starts_from_the_facts_to_keep_and_no_other() -> None:
    words = Words()
    graph = Graph.build(FACTS, words)
    question = "On which river lies the birthplace?"
    found = [("curie", 1.0), ("meitner", 0.9), ("vienna", 0.8)]
    linked = graph.linked(question, words([question])[0], found, 10)
    assert "Vienna lies on the Danube" in linked
    assert "Warsaw lies on the Vistula" not in linked  # nobody has found that passage

    def first(*keep: str) -> str:
        return ids(graph.rank(question, words([question])[0], found, 10, keep))[0]

    assert first("Lise Meitner was born in Vienna") == "meitner"
    assert first("Marie Curie was born in Warsaw") == "curie"
    # What was not linked cannot be kept, whatever a model says.
    assert graph.rank(question, words([question])[0], found, 10, ["Mars is a planet"]) == []


def test_where_no_fact_is_kept_the_names_in_the_question_lead_on() -> None:
    words = Words()
    graph = Graph.build(FACTS, words)
    question = "Where was Lise Meitner born?"
    found = [("curie", 1.0), ("meitner", 0.9)]
    assert ids(graph.rank(question, words([question])[0], found, 10, []))[:2] == [
        "meitner",
        "vienna",
    ]


def test_facts_are_linked_by_their_words_without_an_embedder() -> None:
    graph = Graph.build(FACTS, nothing)
    found = [("curie", 1.0), ("warsaw", 0.5)]
    linked = graph.linked("Who discovered polonium?", None, found, 2)
    assert linked[0] == "Marie Curie discovered polonium"
    assert len(linked) == 2
    assert graph.linked("Who?", None, [("nobody", 1.0)], 2) == []


def test_the_longer_of_two_names_is_meant() -> None:
    facts = [
        Fact("New York", "is in", "America", ("city",)),
        Fact("York", "is in", "England", ("york",)),
    ]
    found = Graph.build(facts, nothing).rank("Who lives in New York?", None, [], 10)
    assert ids(found) == ["city"]


def test_a_rare_name_weighs_more_than_a_common_one() -> None:
    facts = [Fact("rare", "is", "here", ("once",))]
    facts += [Fact("common", "is", f"thing {n}", (f"p{n}",)) for n in range(20)]
    found = Graph.build(facts, nothing).rank("common and rare?", None, [], 30)
    scores = dict(found)
    assert scores["once"] > 100 * scores["p0"]


def test_spellings_of_a_name_are_one() -> None:
    facts = [
        Fact("Erdős", "wrote with", "Rényi", ("a",)),
        Fact("ERDOS", "was born in", "Budapest", ("b",)),
    ]
    assert ids(Graph.build(facts, nothing).rank("rényi?", None, [], 5)) == ["a", "b"]


def test_synonyms_are_joined_but_not_different_numbers() -> None:
    facts = [
        Fact("the old city library", "opened in", "May 1963 at last", ("a",)),
        Fact("the old city library hall", "burnt in", "May 1964 at last", ("b",)),
    ]
    graph = Graph.build(facts, Words())
    names, first = graph.names, len(graph.ids)
    edges = {
        (int(node), int(other))
        for node in range(first, first + len(names))
        for other in graph.walk.indices[graph.walk.starts[node] : graph.walk.starts[node + 1]]
    }

    def joined(one: str, other: str) -> bool:
        return (first + names[one], first + names[other]) in edges

    assert joined("the old city library", "the old city library hall")
    assert not joined("may 1963 at last", "may 1964 at last")


def test_malformed_facts_are_left_out() -> None:
    facts = [Fact("", "is", "x", ("p",)), Fact("?!", "is", "x", ("p",)), Fact("a", "is", "b", ())]
    graph = Graph.build(facts, Words())
    assert not graph.ids
    assert not graph.names


def test_a_kept_graph_is_read_again_and_embeds_only_what_is_new(tmp_path: Path) -> None:
    words = Words()
    first = kept(tmp_path, "1", FACTS, words)
    asked = len(words.asked)
    again = Derived(tmp_path, taken, put).at("1", "one", lambda _: pytest.fail("built anew"))
    assert len(words.asked) == asked
    question = "Marie Curie"
    vector = words([question])[0]
    found = [("curie", 1.0)]
    assert again.rank(question, vector, found, 9) == first.rank(question, vector, found, 9)
    words.asked.clear()
    more = [*FACTS, Fact("Vistula", "flows to", "the Baltic", ("river",))]
    kept(tmp_path, "2", more, words)
    assert words.asked == ["Vistula", "the Baltic", "Vistula flows to the Baltic"]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("anew", [False, True], ids=["same process", "new process"])
def test_nothing_is_kept_of_the_vectors_of_another_embedder(tmp_path: Path, anew: bool) -> None:
    words = Words()
    derived = Derived(tmp_path, taken, put)
    derived.at("1", "one", lambda former: Graph.build(FACTS, words, former))
    asked = [*words.asked]
    words.asked.clear()
    if anew:
        derived = Derived(tmp_path, taken, put)
    derived.at("1", "other", lambda former: Graph.build(FACTS, words, former))
    assert words.asked == asked


def test_a_broken_kept_graph_is_made_anew(tmp_path: Path) -> None:
    words = Words()
    kept(tmp_path, "1", FACTS, words)
    [place] = tmp_path.iterdir()
    (place / "words.json").write_text("{")
    graph = kept(tmp_path, "1", FACTS, words)
    assert "curie" in graph.passages


@given(st.integers(2, 30), st.integers(0, 2**16))
def test_a_walk_is_the_exact_walk_to_within_what_may_wait(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    half = sp.random(size, size, 0.3, format="csr", random_state=rng, dtype=np.float32)
    edges = sp.csr_matrix(half + half.T)
    walk = Walk.along(edges)
    worth = np.zeros(size, np.float32)
    worth[rng.integers(size)] = 1.0
    shares = sp.csr_matrix((walk.shares, walk.indices, walk.starts), shape=(size, size)).T
    exact = worth
    for _ in range(60):
        exact = (1 - DAMPING) * worth + DAMPING * (shares @ exact)
    visited, often = walk.from_seeds(np.flatnonzero(worth), worth[worth > 0])
    ours = np.zeros(size, np.float32)
    ours[visited] = often
    # Of a node without edges the worth is lost either way.
    np.testing.assert_allclose(ours, exact, atol=1e-3)


def test_many_vectors_are_compared_in_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((300, 32))
    rows = np.repeat(centres, 2, axis=0) + 0.05 * rng.standard_normal((600, 32))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    one, other, cosines = alike(vectors, 0.9, 10)
    assert {(2 * n, 2 * n + 1) for n in range(300)} <= set(
        zip(one.tolist(), other.tolist(), strict=True)
    )
    assert (cosines >= 0.9).all()
    monkeypatch.setattr("scholar.library.likeness.EXACT", 100)
    some, others, _ = alike(vectors, 0.9, 10)
    assert len(some) > 0.9 * len(one)
    assert (some < others).all()


def test_of_many_alike_the_most_alike_are_kept() -> None:
    angles = np.array([0.0, 0.01, 0.03, 0.07])
    vectors = np.column_stack((np.cos(angles), np.sin(angles))).astype(np.float32)
    one, other, _ = alike(vectors, 0.9, 1)
    assert list(zip(one.tolist(), other.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 3)]


def test_a_graph_that_cannot_be_kept_is_made_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "graph").write_text("a file where the folder should be")
    graph = kept(tmp_path / "graph", "1", FACTS, nothing)
    assert "curie" in graph.passages
