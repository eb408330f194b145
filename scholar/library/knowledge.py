"""The graph of what the passages state: which names stand where, and what is said to join them.

HippoRAG 2 (Gutiérrez et al. 2025) with three changes. Names that the question spells out are seeds
beside the triples nearest to it. Only triples of passages that a search found are looked at, so
that a query costs the same in a large library as in a small one. Where no model says which triples
to start from, they are judged by how near they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scholar.library.derived import Embed, Halves, Parts, embedded
from scholar.library.likeness import alike
from scholar.library.ranking import Ranking, ordered
from scholar.library.spelling import fold
from scholar.library.walk import DAMPING, Floats, Places, Walk
from scholar.values import Fact

TRIPLES = 10
"""Triples that a question is linked to at most. Over the 40 MuSiQue questions, recall@5 and @10 are
0.775 and 0.856 with 10, 0.777 and 0.848 with the paper's 5, of which NEAR leaves fewer.
"""
NEAR = 0.9
"""How near a triple must be: from the farthest of the candidates, 0, to the nearest, 1. The paper
has a model throw out those that do not fit; without either, recall@5 is 0.02 lower.
"""
NAMES = 10
"""Names of those triples that become seeds at most."""
PASSAGE = 0.05
"""Worth of the best passage as a seed, where a name's is 1 by the passages it is in: the paper's
best of 0.01 to 0.5.
"""
SYNONYM = 0.75
"""Cosine from which two names are joined. The paper's 0.8 is for an embedder whose cosines lie
higher: with all-MiniLM-L6-v2 mean average precision is 0.666 at 0.8, 0.684 at 0.75, 0.685 at 0.7.
"""
SYNONYMS = 10
"""Synonyms of a name at most: the paper's 100 find nothing more, and 3 nothing less."""
LONGEST = 10
"""Words that a name may have to be looked for in a question."""
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Graph:
    """Passages, names and triples. Passage i is node i of `walk`, name j node len(ids) + j.

    `passages` and `names`, folded, are their places by what they are called.
    `vectors` are those of the names, then of the triples, in `texts`; None without an embedder.
    Triple t joins the names `subjects[t]` and `objects[t]`; passage i states those of `stated` from
    `starts[i]` on. `spread` is in how many passages each name is.
    """

    ids: Sequence[str]
    passages: Mapping[str, int]
    names: Mapping[str, int]
    texts: Sequence[str]
    vectors: Halves | None
    subjects: Places
    objects: Places
    starts: Places
    stated: Places
    spread: Places
    walk: Walk

    @classmethod
    def build(cls, facts: Iterable[Fact], embed: Embed, former: Graph | None = None) -> Graph:
        """The graph of `facts`; what `former` has the vectors of is not embedded again.

        A fact of which a name has no letter or digit, or that no passage states, is left out.
        """
        said = _Said.of(facts)
        known = (former.texts, former.vectors) if former else ()
        vectors = embedded(said.texts, embed, *known)
        one, other, cosines = _synonyms(list(said.names), vectors)
        edges = _edges(said, one, other, cosines)
        stating, stated = np.array(sorted(set(said.triples)), np.int64).reshape(-1, 2).T
        return cls(
            list(said.passages),
            said.passages,
            said.names,
            said.texts,
            vectors,
            np.array([subject for subject, _ in said.ends], np.int64),
            np.array([object for _, object in said.ends], np.int64),
            np.searchsorted(stating, np.arange(len(said.passages) + 1)).astype(np.int64),
            np.ascontiguousarray(stated),
            np.bincount(_column(said.mentions, 1), minlength=len(said.names)).astype(np.int64),
            Walk.along(edges),
        )

    def rank(
        self,
        question: str,
        vector: NDArray[np.float32] | None,
        found: Ranking,
        k: int,
        keep: Sequence[str] | None = None,
    ) -> Ranking:
        """The `k` passages that a walk from what `question` is about visits most, best first.

        `vector` is that of the question, and `found` what another search made of it. The walk
        starts from the names that the question spells out and from those of triples: the nearest,
        or those to `keep` of what is `linked`. Nothing where neither a name nor a triple fits: then
        what was found is the best there is.
        """
        names = self._named(question)
        linked = self._linked(vector, found) if keep is None else self._kept({*keep}, found)
        for name, worth in linked.items():
            names[name] = names.get(name, 0.0) + worth
        if not names:
            return []
        top = max(max((score for _, score in found), default=0.0), 1e-9)
        given = {id: PASSAGE * max(score, 0.0) / top for id, score in found}
        return self._from_seeds(names, given, k)

    def _from_seeds(self, names: dict[int, float], given: dict[str, float], k: int) -> Ranking:
        total = sum(names.values()) + sum(given.values())
        inside = [id for id in given if id in self.passages]
        nodes = [len(self.ids) + name for name in names] + [self.passages[id] for id in inside]
        worth = np.array([*names.values(), *(given[id] for id in inside)], np.float32) / total
        visited, often = self.walk.from_seeds(np.array(nodes, np.int64), worth)
        here = visited < len(self.ids)
        visited, often = visited[here], often[here]
        best = np.argsort(-often, kind="stable")[:k]
        scores = {self.ids[visited[at]]: float(often[at]) for at in best}
        # What states nothing is visited only from itself.
        scores |= {
            id: (1 - DAMPING) * value / total
            for id, value in given.items()
            if id not in self.passages
        }
        return ordered(scores)[:k]

    def _named(self, question: str) -> dict[int, float]:
        """The names that the question spells out, longest first, each by how few passages it is in.

        What two of them would share belongs to the longer.
        """
        words = fold(question).split()
        free = [True] * len(words)
        found: dict[int, float] = {}
        for length in range(min(LONGEST, len(words)), 0, -1):
            for at in range(len(words) - length + 1):
                name = self.names.get(" ".join(words[at : at + length]))
                if name is not None and all(free[at : at + length]):
                    free[at : at + length] = [False] * length
                    found[name] = 1.0 / max(1, int(self.spread[name]))
        return found

    def linked(
        self, question: str, vector: NDArray[np.float32] | None, found: Ranking, n: int
    ) -> list[str]:
        """The `n` triples nearest to `question`, as texts, of those that what was found states.

        Without an embedder those are nearest that have most of its words.
        """
        triples = self._stated(found)
        if vector is None or self.vectors is None:
            words = {*fold(question).split()}
            near = np.array([len(words & {*fold(self._text(t)).split()}) for t in triples])
        else:
            near = self._nearness(triples, vector)
        return [self._text(triples[at]) for at in np.argsort(-near, kind="stable")[:n]]

    def _stated(self, found: Ranking) -> Places:
        """The triples that what was found states, each once."""
        places = [self.passages[id] for id, _ in found if id in self.passages]
        slices = [self.stated[self.starts[place] : self.starts[place + 1]] for place in places]
        return np.unique(np.concatenate(slices)) if slices else np.zeros(0, np.int64)

    def _text(self, triple: int) -> str:
        return self.texts[len(self.names) + triple]

    def _nearness(self, triples: Places, vector: NDArray[np.float32]) -> Floats:
        """How near triples are: 0 the farthest of them, 1 the nearest, or one that is alone."""
        if self.vectors is None or triples.size < 2:
            return np.ones(triples.size, np.float32)
        cosines = self.vectors[len(self.names) + triples].astype(np.float32) @ vector
        farthest, nearest = float(cosines.min()), float(cosines.max())
        scaled = (cosines - farthest) / max(nearest - farthest, 1e-9)
        return np.asarray(scaled, np.float32)

    def _linked(self, vector: NDArray[np.float32] | None, found: Ranking) -> dict[int, float]:
        """The names of the triples nearest to the question, of those that what was found states."""
        if vector is None or self.vectors is None:
            return {}
        triples = self._stated(found)
        near = self._nearness(triples, vector)
        best = [at for at in np.argsort(-near, kind="stable")[:TRIPLES] if near[at] >= NEAR]
        return self._seeds(triples[best], near[best])

    def _kept(self, keep: Collection[str], found: Ranking) -> dict[int, float]:
        """The names of the triples to `keep`, of those that what was found states."""
        triples = self._stated(found)
        triples = triples[[self._text(triple) in keep for triple in triples]]
        return self._seeds(triples, np.ones(triples.size, np.float32))

    def _seeds(self, triples: Places, worth: Floats) -> dict[int, float]:
        """The names of `triples` as seeds: by the mean worth of theirs, and how rare they are."""
        shares: dict[int, list[float]] = {}
        for triple, value in zip(triples, worth, strict=True):
            for name in {int(self.subjects[triple]), int(self.objects[triple])}:
                shares.setdefault(name, []).append(float(value))
        seeds = {
            name: float(np.mean(values)) / max(1, int(self.spread[name]))
            for name, values in shares.items()
        }
        return dict(sorted(seeds.items(), key=lambda pair: -pair[1])[:NAMES])


@dataclass(slots=True)
class _Said:
    """Facts taken apart: places of passages, names and triples, and which go together."""

    passages: dict[str, int]
    names: dict[str, int]
    texts: list[str]
    ends: list[tuple[int, int]]
    triples: list[tuple[int, int]]
    mentions: list[tuple[int, int]]

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> _Said:
        said = cls({}, {}, [], [], [], [])
        spelled: list[str] = []
        places: dict[tuple[int, str, int], int] = {}
        mentions: dict[tuple[int, int], None] = {}
        for fact in facts:
            folded = fold(fact.subject), fold(fact.object)
            if not all(folded) or not fact.passages:
                continue
            for name, spelling in zip(folded, (fact.subject, fact.object), strict=True):
                if name not in said.names:
                    said.names[name] = len(said.names)
                    spelled.append(spelling)
            subject, object = (said.names[name] for name in folded)
            key = (subject, fold(fact.relation), object)
            if key not in places:
                places[key] = len(places)
                said.ends.append((subject, object))
                said.texts.append(f"{fact.subject} {fact.relation} {fact.object}")
            for id in fact.passages:
                passage = said.passages.setdefault(id, len(said.passages))
                said.triples.append((passage, places[key]))
                mentions |= {(passage, subject): None, (passage, object): None}
        said.texts = spelled + said.texts
        said.mentions = list(mentions)
        return said


def _column(pairs: list[tuple[int, int]], at: int) -> Places:
    return np.array([pair[at] for pair in pairs], np.int64)


def _edges(said: _Said, one: Places, other: Places, cosines: Floats) -> sp.csr_matrix:
    """Between names that triples join, passages and their names, and synonyms; symmetric.

    The first weigh as many as there are passages that say so, the second 1, the third their cosine.
    """
    first = len(said.passages)
    ends = np.array(said.ends, np.int64).reshape(-1, 2)
    times = np.bincount(_column(said.triples, 1), minlength=len(ends)).astype(np.float32)
    joined = ends[:, 0] != ends[:, 1]
    rows = (first + ends[joined, 0], _column(said.mentions, 0), first + one)
    columns = (first + ends[joined, 1], first + _column(said.mentions, 1), first + other)
    weights = (times[joined], np.ones(len(said.mentions), np.float32), cosines)
    size = first + len(said.names)
    half = sp.coo_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))),
        shape=(size, size),
    ).tocsr()
    return sp.csr_matrix(half + half.T)


def _synonyms(names: Sequence[str], vectors: Halves | None) -> tuple[
    Places, Places, Floats
]:  # fmt: skip
    """The names that mean nearly the same, but never 1963 and 1964."""
    if vectors is None or not names:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    one, other, cosines = alike(vectors[: len(names)].astype(np.float32), SYNONYM, SYNONYMS)
    same = np.array(
        [
            _NUMBER.findall(names[a]) == _NUMBER.findall(names[b])
            for a, b in zip(one, other, strict=True)
        ],
        bool,
    )
    return one[same], other[same], cosines[same]


def taken(graph: Graph) -> Parts:
    """A graph as it is kept."""
    arrays = {name: getattr(graph, name) for name in _ARRAYS}
    arrays |= {f"walk_{name}": getattr(graph.walk, name) for name in _WALK}
    words = {"passages": list(graph.passages), "names": list(graph.names), "texts": [*graph.texts]}
    return words, arrays, graph.vectors


def put(parts: Parts) -> Graph:
    """The graph that was kept as `parts`."""
    words, arrays, vectors = parts
    return Graph(
        ids=words["passages"],
        passages=_numbered(words["passages"]),
        names=_numbered(words["names"]),
        texts=words["texts"],
        vectors=vectors,
        walk=Walk(*(arrays[f"walk_{name}"] for name in _WALK)),
        **{name: arrays[name] for name in _ARRAYS},
    )


_ARRAYS = ("subjects", "objects", "starts", "stated", "spread")
_WALK = ("starts", "indices", "shares", "degrees")


def _numbered(words: Sequence[str]) -> dict[str, int]:
    return {word: at for at, word in enumerate(words)}
