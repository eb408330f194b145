"""The literature store: one facade over a catalogue, Chroma and a lexical index.

The catalogue is the truth and the rest is derived. A paper is written as *pending*, indexed
everywhere, then marked *ready*; a removal goes the same way in reverse. Whatever was cut short is
driven on when the library is opened next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from filelock import FileLock, Timeout

from scholar.errors import LibraryError
from scholar.library.catalogue import Catalogue, Entry
from scholar.library.dense import Dense
from scholar.library.embedding import Vectors32
from scholar.library.lexical import Lexical
from scholar.library.ranking import Ranking, fuse
from scholar.settings import Settings
from scholar.text import sentences
from scholar.values import Hit, Paper, Passage

__all__ = ["Entry", "Extract", "Library", "Stats"]

CANDIDATES = 100
"""Passages each ranking brings before fusion: nDCG@10 on SciFact train is 0.725 with 50, 0.734
with 100 and 0.731 with 200."""
WEIGHTS = {"bm25": 0.5, "dense": 0.5}
"""Of the rankings in their fusion: on the same set, 0.4 or 0.6 for dense lose 0.004 and 0.002."""
LOCK_PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""
REBUILD_BATCH = 64
"""Papers indexed at a time when rebuilding, so that memory does not grow with the library."""


@dataclass(frozen=True, slots=True)
class Extract:
    """A sentence of a passage and how well it answers a query, 0 to 1. Offsets as in Passage."""

    passage: Passage
    start: int
    end: int
    score: float

    @property
    def text(self) -> str:
        """The sentence as it is stored."""
        return self.passage.text[self.start - self.passage.start : self.end - self.passage.start]


@dataclass(frozen=True, slots=True)
class Stats:
    """How much a library holds, by which embedder it searches, and where it lies."""

    papers: int
    passages: int
    embedder: str
    folder: Path


class Library:
    """Papers and their passages under `settings.home`. Opening repairs what was cut short.

    `on_notice` is called with a sentence when search is less than it could be, and what to do.
    Raises LibraryError where the store cannot be opened.
    """

    def __init__(
        self, settings: Settings, *, on_notice: Callable[[str], None] = lambda _: None
    ) -> None:
        self.folder = settings.home / "library"
        with _openable(self.folder), ExitStack() as opened:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / "write.lock")
            with self._alone_if_new():
                self._catalogue = Catalogue(_sqlite_in(self.folder))
                opened.callback(self._catalogue.close)
                self._lexical = Lexical(self.folder / "lexical")
            self._dense = Dense(self.folder / "chroma", self._catalogue, settings, on_notice)
            opened.callback(self._dense.close)
            self._recover()
            self._opened = opened.pop_all()

    async def add(self, entries: Sequence[Entry]) -> None:
        """Store `entries`, searchable once this returns; what stood under their ids is replaced."""
        await asyncio.to_thread(self._add, list(entries))

    async def find(self, key: str) -> Paper | None:
        """The paper known by `key`, its id or another of its keys, or None."""
        return await asyncio.to_thread(self._catalogue.find, key)

    async def papers(self, ids: Sequence[str] | None = None) -> list[Paper]:
        """The papers `ids` in that order, without those that are gone; or all, by title."""
        return await asyncio.to_thread(self._catalogue.papers, ids)

    async def passages(self, ids: Sequence[str]) -> list[Passage]:
        """The passages `ids` with their text, in that order, without those that are gone."""
        return await asyncio.to_thread(self._catalogue.passages, ids)

    async def passages_of(self, paper_id: str) -> list[Passage]:
        """All passages of a paper in reading order."""
        return await asyncio.to_thread(self._catalogue.passages_of, [paper_id])

    async def remove(self, paper_ids: Sequence[str]) -> None:
        """Forget papers and everything derived from them."""
        await asyncio.to_thread(self._remove, list(paper_ids))

    async def search(self, query: str, k: int, *, strategy: str = "hybrid") -> list[Hit]:
        """The `k` passages that fit `query` best, best first; scores are `fused` and its parts."""
        return await asyncio.to_thread(self._search, query, k)

    async def siblings(self, question: str, n: int) -> list[tuple[str, str]]:
        """The `n` generated questions nearest to `question`, each with the passage it is about."""
        return []

    async def extract(self, query: str, passages: Sequence[Passage], n: int) -> list[Extract]:
        """The `n` sentences of `passages` that answer `query` best, best first."""
        [extracts] = await self.extract_each([query], passages, n)
        return extracts

    async def extract_each(
        self, queries: Sequence[str], passages: Sequence[Passage], n: int
    ) -> list[list[Extract]]:
        """As `extract`, for each of `queries`; every sentence is embedded once for all of them."""
        return await asyncio.to_thread(self._extract_each, list(queries), list(passages), n)

    async def embed(self, texts: Sequence[str]) -> Vectors32 | None:
        """One unit vector per text, shape (len(texts), dimension); None without an embedder."""
        return await asyncio.to_thread(self._dense.embed, texts)

    async def rebuild(self, on_progress: Callable[[int, int], None] = lambda *_: None) -> Stats:
        """Derive all indexes from the catalogue again, with the embedder the settings choose.

        `on_progress` is told how many papers are done, of how many.
        """
        await asyncio.to_thread(self._rebuild, on_progress)
        return await self.stats()

    async def stats(self) -> Stats:
        """How much there is."""
        return await asyncio.to_thread(self._stats)

    async def warm(self) -> None:
        """Load the embedder and the vectors now, so that the first search does not wait."""
        await asyncio.to_thread(self._dense.warm)

    def close(self) -> None:
        """Let go of the files."""
        self._opened.close()

    # Everything below blocks: but for opening, it runs in a worker thread.

    def _alone_if_new(self) -> AbstractContextManager[object]:
        """Keeps others from making the same library; one that is there is opened beside them."""
        last_made = self.folder / "lexical" / "meta.json"
        return nullcontext() if last_made.exists() else self._lock.acquire(timeout=LOCK_PATIENCE)

    def _recover(self) -> None:
        if not self._catalogue.unfinished():
            return
        try:
            with self._lock.acquire(timeout=0), self._writing():
                unfinished = self._catalogue.unfinished()  # as it is now that nobody else writes
                self._unindex([id for id, state in unfinished.items() if state == "removing"])
                self._index_all([id for id, state in unfinished.items() if state == "pending"])
        except Timeout:
            return  # another process is writing them at this moment

    def _add(self, entries: list[Entry]) -> None:
        with self._writing():
            self._catalogue.put(entries)
            self._index([entry.paper.id for entry in entries])

    def _remove(self, paper_ids: list[str]) -> None:
        with self._writing():
            self._catalogue.set_state(paper_ids, "removing")
            self._unindex(paper_ids)

    def _index_all(
        self, paper_ids: list[str], on_progress: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        for at in range(0, len(paper_ids), REBUILD_BATCH):
            on_progress(at, len(paper_ids))
            self._index(paper_ids[at : at + REBUILD_BATCH])
        on_progress(len(paper_ids), len(paper_ids))

    def _index(self, paper_ids: list[str]) -> None:
        passages = self._catalogue.passages_of(paper_ids)
        texts = self._indexed_texts(passages)
        self._dense.write(paper_ids, passages, texts)
        self._lexical.write(zip(passages, texts, strict=True), gone=paper_ids)
        self._catalogue.set_state(paper_ids, "ready")

    def _unindex(self, paper_ids: list[str]) -> None:
        self._dense.remove(paper_ids)
        self._lexical.write([], gone=paper_ids)
        self._catalogue.delete(paper_ids)

    def _indexed_texts(self, passages: Sequence[Passage]) -> list[str]:
        """What is indexed of each passage: its text under the title of its paper."""
        ids = list({passage.paper_id for passage in passages})
        titles = self._catalogue.titles(ids)
        return [f"{titles[passage.paper_id]}\n{passage.text}" for passage in passages]

    def _search(self, query: str, k: int) -> list[Hit]:
        if not query.strip():
            return []
        depth = max(k, CANDIDATES)
        rankings: dict[str, Ranking] = {"bm25": self._lexical.search(query, depth)}
        if (dense := self._dense.search(query, depth)) is not None:
            rankings["dense"] = dense
        parts = {name: dict(ranking) for name, ranking in rankings.items()}
        best = fuse(rankings, WEIGHTS)[:k]
        owners = {p.id: p.paper_id for p in self._catalogue.passages([id for id, _ in best])}
        return [
            Hit(
                id,
                owners[id],
                {"fused": score} | {name: part[id] for name, part in parts.items() if id in part},
            )
            for id, score in best
            if id in owners
        ]

    def _extract_each(
        self, queries: list[str], passages: list[Passage], n: int
    ) -> list[list[Extract]]:
        spans = [
            (passage, passage.start + start, passage.start + end)
            for passage in passages
            for start, end in sentences(passage.text)
            if _is_sentence(passage.text[start:end])
        ]
        texts = [p.text[start - p.start : end - p.start] for p, start, end in spans]
        found = []
        for scores in self._sentence_scores(queries, [p for p, _, _ in spans], texts):
            ranked = sorted(zip(scores, spans, strict=True), key=lambda pair: -pair[0])
            found.append([Extract(p, start, end, score) for score, (p, start, end) in ranked[:n]])
        return found

    def _sentence_scores(
        self, queries: Sequence[str], passages: Sequence[Passage], texts: Sequence[str]
    ) -> list[list[float]]:
        """For each query the share of its information that each sentence carries, averaged with the
        sentence's cosine.

        A term counts in full where the sentence has it and by half where only the title of its
        paper has it: sentences of a paper on X rarely repeat X.
        """
        all_terms = [self._lexical.terms(query) for query in queries]
        if not texts or not any(all_terms):
            return [[0.0] * len(texts) for _ in queries]
        titles = self._catalogue.titles(list({passage.paper_id for passage in passages}))
        titled = {id: set(self._lexical.terms(title)) for id, title in titles.items()}
        # The paper may be gone since.
        near = [titled.get(passage.paper_id, set()) for passage in passages]
        here = [set(self._lexical.terms(text)) for text in texts]
        carried = [self._carried(terms, here, near) for terms in all_terms]
        vectors = self._dense.embed([*queries, *texts])
        if vectors is None:
            return carried
        cosines = np.clip(vectors[: len(queries)] @ vectors[len(queries) :].T, 0.0, 1.0)
        return [
            list((np.asarray(shares) + row) / 2) if terms else shares
            for terms, shares, row in zip(all_terms, carried, cosines, strict=True)
        ]

    def _carried(
        self, terms: list[str], here: Sequence[set[str]], near: Sequence[set[str]]
    ) -> list[float]:
        """The share of what `terms` say that each sentence carries, terms of `near` by half."""
        if not terms:
            return [0.0] * len(here)
        idf = self._lexical.idf(terms)
        total = sum(idf.values())
        return [
            sum(w * (1.0 if t in own else 0.5 * (t in title)) for t, w in idf.items()) / total
            for own, title in zip(here, near, strict=True)
        ]

    def _rebuild(self, on_progress: Callable[[int, int], None]) -> None:
        with self._writing():
            put_in_place = self._dense.choose_anew()
            ids = [paper.id for paper in self._catalogue.papers()]
            self._catalogue.set_state(ids, "pending")
            put_in_place()
            self._lexical.clear()
            self._index_all(ids, on_progress)

    def _stats(self) -> Stats:
        papers, passages = self._catalogue.counts()
        return Stats(papers, passages, self._dense.name, self.folder)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._lock.acquire(timeout=LOCK_PATIENCE):
                self._dense.follow()
                try:
                    yield
                finally:
                    self._dense.has_written()
        except Timeout:
            raise LibraryError(
                "Another process is still writing to the library; wait for it, then try again."
            ) from None


@contextmanager
def _openable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LibraryError(
            f"The library in {folder} cannot be opened ({error}); "
            "make the folder writable or set SCHOLAR_HOME to another one."
        ) from error


def _sqlite_in(folder: Path) -> sa.URL:
    return sa.URL.create("sqlite", database=str(folder / "catalogue.sqlite"))


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= 4 and text.rstrip("\"'”’)]")[-1:] in tuple(".?!:;")
