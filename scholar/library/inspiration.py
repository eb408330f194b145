"""Which papers to draw ideas from: near to a background, and unlike one another.

SciPIP's retrieval (Wang et al. 2024, "SciPIP: An LLM-based Scientific Paper Idea Proposer", section
3.2): papers whose background is alike, papers that share rare names with them, papers that are
cited together with those; then one of each cluster in turn. Other than in its released code, the
best paper is not taken for the one that asks, papers are in order before they are clustered, and
no year is left out. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from scholar.library import ranking, relatives
from scholar.library.embedding import Vectors32
from scholar.library.ranking import CANDIDATES, ordered
from scholar.library.store import Store
from scholar.library.strategies import BEST_PAPERS, Searcher
from scholar.values import Card

Why = Literal["background", "entity", "cocited"]
CLUSTERED = 100
"""Papers that are clustered (SciPIP has about as many)."""
OPENING = 5
"""Passages at the beginning of a paper that tell its background, where it has no card."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A paper to draw ideas from: how like its background is to that which was given, a cosine
    where there is an embedder, and what led to it.
    """

    paper_id: str
    score: float
    why: Why


class Inspirer:
    """Finds papers to draw ideas from. Safe to use from several threads."""

    def __init__(self, store: Store, searcher: Searcher) -> None:
        self._store = store
        self._searcher = searcher
        self._cards: dict[str, Vectors32] = {}

    def candidates(
        self, background: str, entities: Sequence[str], most: int, without: Collection[str] = ()
    ) -> list[Candidate]:
        """The `most` papers nearest to `background`, nearest first. `entities` are what it is
        about; those of its names that the library knows are added.

        Papers in `without` are neither found nor followed. In a library without names and
        citations these are the papers that a search finds.
        """
        return _Inspiration(self, background, without).candidates(entities)[:most]

    def inspirations(
        self, background: str, entities: Sequence[str], most: int, without: Collection[str] = ()
    ) -> list[Candidate]:
        """The best `most` of the candidates, of those that are alike one in turn."""
        inspiration = _Inspiration(self, background, without)
        found = inspiration.candidates(entities)[:CLUSTERED]
        return diverse(found, inspiration.vectors_of([one.paper_id for one in found]), most)

    def of_cards(self, cards: Iterable[Card]) -> dict[str, Vectors32]:
        """The vectors of what cards say of the background of their papers; each is made once."""
        said = {card.paper_id: " ".join((card.problem, *card.motivations)) for card in cards}
        name = self._store.dense.name
        keys = {id: f"{name}\n{text}" for id, text in said.items() if text.strip()}
        new = [id for id, key in keys.items() if key not in self._cards]
        made = self._store.dense.embed([said[id] for id in new]) if new else None
        if made is not None:
            self._cards |= {keys[id]: vector for id, vector in zip(new, made, strict=True)}
        return {id: self._cards[key] for id, key in keys.items() if key in self._cards}


class _Inspiration:
    """One background, and what was found for it so far."""

    def __init__(self, owner: Inspirer, background: str, without: Collection[str]) -> None:
        self._owner = owner
        self._store, self._searcher = owner._store, owner._searcher
        self._background = background
        self._without = without
        self._vectors: dict[str, Vectors32] = {}

    def candidates(self, entities: Sequence[str]) -> list[Candidate]:
        """All papers that may do, nearest first."""
        best = [id for id, _ in ordered({id: self._score(id) for id in self._near})][:BEST_PAPERS]
        named = self._named(entities, best)
        cited = relatives.closest(self._together, [*best, *named])
        led: dict[str, Why] = {**dict.fromkeys(cited, "cocited"), **dict.fromkeys(named, "entity")}
        led |= dict.fromkeys(self._near, "background")
        papers = {id: why for id, why in led.items() if id not in self._without}
        self.vectors_of(papers)
        scores = {id: self._score(id) for id in papers}
        return [Candidate(id, score, papers[id]) for id, score in ordered(scores)]

    def vectors_of(self, papers: Iterable[str]) -> dict[str, Vectors32]:
        """Of each paper the vector of its card's background, or of that passage of its opening
        which is nearest to the one given; none without an embedder.
        """
        vector = self._vector
        wanted = [id for id in papers if id not in self._vectors]
        if vector is not None and wanted:
            self._vectors |= self._owner.of_cards(self._store.enrichment.cards_of(wanted))
            openings = self._openings([id for id in wanted if id not in self._vectors])
            known = self._store.dense.by_id(id for ids in openings.values() for id in ids)
            for paper, ids in openings.items():
                found = [known[id] for id in ids if id in known]
                if found:
                    self._vectors[paper] = max(found, key=lambda one: float(one @ vector))
        return {id: self._vectors[id] for id in papers if id in self._vectors}

    @cached_property
    def _vector(self) -> Vectors32 | None:
        vectors = self._store.dense.embed([self._background])
        return None if vectors is None else vectors[0]

    @cached_property
    def _near(self) -> dict[str, float]:
        """The papers that a search finds, best first, each with the score of its best passage."""
        near: dict[str, float] = {}
        for hit in self._searcher.search(self._background, CANDIDATES):
            if hit.paper_id not in self._without:
                near.setdefault(hit.paper_id, hit.scores["fused"])
        self.vectors_of(near)
        return near

    @cached_property
    def _together(self) -> relatives.Companions:
        if not self._without:
            return self._searcher.companions()
        citations = self._store.catalogue.citations()
        return relatives.companions(pair for pair in citations if pair[0] not in self._without)

    def _named(self, entities: Sequence[str], best: Sequence[str]) -> list[str]:
        """The papers that share names with the background or with the best papers."""
        enrichment = self._store.enrichment
        names = [*_forms(entities), *relatives.names_in(self._background)]
        found = relatives.by_names(enrichment, [*names, *relatives.names_of(enrichment, best)])
        return [id for id in found if id not in self._without]

    def _score(self, paper: str) -> float:
        """How near a paper is: by its vector, or without an embedder by what the search said."""
        if self._vector is None:
            return self._near.get(paper, 0.0)
        return float(self._vectors[paper] @ self._vector) if paper in self._vectors else 0.0

    def _openings(self, papers: Sequence[str]) -> dict[str, list[str]]:
        """The ids of the first passages of each paper."""
        found: dict[str, list[str]] = {}
        for passage in self._store.catalogue.passages_of(papers):
            if passage.seq < OPENING:
                found.setdefault(passage.paper_id, []).append(passage.id)
        return found


def diverse(
    candidates: Sequence[Candidate], vectors: Mapping[str, Vectors32], most: int = 10
) -> list[Candidate]:
    """`most` of `candidates`: one of each cluster in turn, the best first.

    Papers are in one cluster whose vectors have a cosine of ranking.SAME or more, directly or
    through others.
    """
    known = {one.paper_id: one for one in candidates}
    ranked = ordered({one.paper_id: one.score for one in candidates})
    return [known[id] for id, _ in ranking.diverse(ranked, vectors)[:most]]


def _forms(entities: Iterable[str]) -> list[str]:
    """Names as given, and with other capitals, since names are looked up as they are spelled."""
    forms = ((one, one.lower(), one.capitalize(), one.title()) for one in map(str.strip, entities))
    return list(dict.fromkeys(form for several in forms for form in several if form))
