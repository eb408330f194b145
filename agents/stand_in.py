"""Stand-ins for the retrieval and the ranking of ideas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scholar.context import Context
from scholar.library import Library
from scholar.values import Idea


@dataclass(frozen=True, slots=True)
class Candidate:
    paper_id: str
    score: float
    why: str = "background"


@dataclass(frozen=True, slots=True)
class Ranked:
    id: str
    place: int
    score: float
    low: float
    high: float
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranking:
    standings: tuple[Ranked, ...] = ()
    notes: tuple[str, ...] = ()


async def inspirations(
    library: Library, background: str, entities: Sequence[str], most: int = 10
) -> list[Candidate]:
    queries = [background, " ".join(entities)]
    best: dict[str, float] = {}
    for query in filter(str.strip, queries):
        for hit in await library.search(query, 40):
            best[hit.paper_id] = max(best.get(hit.paper_id, 0), hit.scores["fused"])
    order = sorted(best.items(), key=lambda pair: -pair[1])[:most]
    return [Candidate(id, score) for id, score in order]


async def rank(ideas: Sequence[Idea], question: str, context: Context) -> Ranking:
    return Ranking()
