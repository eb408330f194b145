"""Retrieval on a judged set: how much of what should be found is found, how soon, how fast."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytrec_eval

from scholar.evaluation.beir import Document, JudgedSet
from scholar.evaluation.keeping import BATCH, numbered
from scholar.library import Library
from scholar.settings import Settings
from scholar.values import Fact, Hit, Passage

DEPTH = 100
"""Documents looked at per query."""
MEASURES = {
    "ndcg@10": "ndcg_cut_10",
    "recall@5": "recall_5",
    "recall@10": "recall_10",
    "recall@100": "recall_100",
    "mrr": "recip_rank",
}
"""What is reported, and what trec_eval calls it."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Report:
    """The means over all queries of one strategy, the latency of a search, and the set's size.

    `scores` has the names of MEASURES, each 0 to 1. `index_seconds` is what it took to make the
    library searchable by this strategy.
    """

    strategy: str
    scores: Mapping[str, float]
    p50_ms: float
    p95_ms: float
    index_seconds: float
    documents: int
    passages: int
    queries: int
    split: str
    embedder: str

    def to_json(self) -> dict[str, float | int | str]:
        """All of it as one flat object."""
        return {
            "strategy": self.strategy,
            **{name: round(score, 4) for name, score in self.scores.items()},
            "p50_ms": round(self.p50_ms, 2),
            "p95_ms": round(self.p95_ms, 2),
            "index_seconds": round(self.index_seconds, 2),
            "documents": self.documents,
            "passages": self.passages,
            "queries": self.queries,
            "split": self.split,
            "embedder": self.embedder,
        }


@dataclass(frozen=True, slots=True)
class Indexed:
    """A library of the documents of a set, the paper of each and the seconds that took."""

    library: Library
    judged: JudgedSet
    documents: Mapping[str, str]
    seconds: float

    async def measure(self, strategy: str, on_progress: Progress = lambda *_: None) -> Report:
        """Search for every query by `strategy`, once it has searched for the first unmeasured."""
        stats = await self.library.stats()
        depth = math.ceil(DEPTH * stats.passages / max(1, stats.papers))
        began = time.perf_counter()
        await self.library.search(
            next(iter(self.judged.queries.values())), depth, strategy=strategy
        )
        ready = time.perf_counter() - began
        found: dict[str, dict[str, float]] = {}
        seconds: list[float] = []
        for n, (id, query) in enumerate(self.judged.queries.items()):
            on_progress(n, len(self.judged.queries))
            began = time.perf_counter()
            hits = await self.library.search(query, depth, strategy=strategy)
            seconds.append(time.perf_counter() - began)
            found[id] = self._ranked(hits)
        return Report(
            strategy=strategy,
            scores=score(self.judged.judgements, found),
            p50_ms=statistics.median(seconds) * 1e3,
            p95_ms=sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1] * 1e3,
            index_seconds=self.seconds + ready,
            documents=stats.papers,
            passages=stats.passages,
            queries=len(self.judged.queries),
            split=self.judged.split,
            embedder=stats.embedder,
        )

    def _ranked(self, hits: Sequence[Hit]) -> dict[str, float]:
        """The documents of `hits`, each where its best passage is, by scores without ties."""
        ids = list(dict.fromkeys(self.documents[hit.paper_id] for hit in hits))[:DEPTH]
        return {id: float(len(ids) - rank) for rank, id in enumerate(ids)}


def score(judged: Mapping[str, Mapping[str, int]], found: Mapping[str, Mapping[str, float]]) -> (
    dict[str, float]
):  # fmt: skip
    """The mean of each of MEASURES over the queries `judged`; what found nothing counts 0."""
    names = {name.rsplit("_", 1)[0] if name[-1].isdigit() else name for name in MEASURES.values()}
    evaluator = pytrec_eval.RelevanceEvaluator(
        {query: dict(grades) for query, grades in judged.items()},
        {f"{name}.5,10,100" if name != "recip_rank" else name for name in names},
    )
    rows = evaluator.evaluate({query: dict(documents) for query, documents in found.items()})
    return {
        name: sum(row[called] for row in rows.values()) / max(1, len(judged))
        for name, called in MEASURES.items()
    }


@asynccontextmanager
async def indexed(
    judged: JudgedSet,
    settings: Settings,
    *,
    on_notice: Callable[[str], None] = lambda _: None,
    on_progress: Progress = lambda *_: None,
) -> AsyncIterator[Indexed]:
    """A library of `judged`, cut and indexed as all libraries are, that is gone afterwards.

    Documents stay apart even where they are the same work, since they are judged apart.
    """
    with tempfile.TemporaryDirectory(prefix="scholar-eval-") as folder:
        library = Library(settings.model_copy(update={"home": Path(folder)}), on_notice=on_notice)
        try:
            await library.warm()
            began = time.perf_counter()
            papers: dict[str, str] = {}
            for at in range(0, len(judged.documents), BATCH):
                on_progress(at, len(judged.documents))
                papers |= await _add(library, at, judged.documents[at : at + BATCH])
            yield Indexed(library, judged, papers, time.perf_counter() - began)
        finally:
            library.close()


async def _add(library: Library, first: int, documents: Sequence[Document]) -> dict[str, str]:
    """Add `documents`, the first of which is number `first`; their ids by those of their papers."""
    entries = [
        numbered(first + n, d.title, d.text if d.text.strip() else d.title)
        for n, d in enumerate(documents)
    ]
    await library.add(entries)
    for entry, document in zip(entries, documents, strict=True):
        for passage, facts in _facts(entry.passages, document):
            await library.put_facts(passage.id, facts)
    return {entry.paper.id: d.id for entry, d in zip(entries, documents, strict=True)}


def _facts(passages: Sequence[Passage], document: Document) -> Iterator[tuple[Passage, list[Fact]]]:
    """The triples of `document` by the passage that has most of their names, or the first."""
    by_place: dict[int, list[Fact]] = {}
    for subject, relation, object in document.triples:
        named = [
            sum(name.casefold() in passage.text.casefold() for name in (subject, object))
            for passage in passages
        ]
        if named:
            place = named.index(max(named))
            fact = Fact(subject, relation, object, (passages[place].id,))
            by_place.setdefault(place, []).append(fact)
    return ((passages[place], facts) for place, facts in by_place.items())
