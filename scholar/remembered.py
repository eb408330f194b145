"""The library as one run sees it: what was looked up once is told again, not looked up anew.

So a run that goes on after an interruption asks its models what it had asked them before, whatever
has been added to the library since, and a run that is played again needs no index at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from scholar.journal import Record, key_of
from scholar.library import Candidate, Extract, Library, Stats
from scholar.library.embedding import Vectors32
from scholar.library.strategies import DEFAULT
from scholar.values import Card, Fact, Hit, Lesson, Paper, Passage

_Span = tuple[str, int, int, float]
"""A passage's id, and where in it with which score."""


class Remembered:
    """`library`, with its searches kept in `record`. `epoch` counts the papers that the run itself
    has added: after each, a search is another one.
    """

    def __init__(self, library: Library, record: Record, epoch: int = 0) -> None:
        self._library = library
        self._record = record
        self.epoch = epoch

    async def search(
        self, query: str, k: int, *, strategy: str = DEFAULT, keep: Sequence[str] | None = None
    ) -> list[Hit]:
        """As `Library.search`."""
        return await self._record.once(
            key_of("search", query, k, strategy, keep, self.epoch),
            list[Hit],
            lambda: self._library.search(query, k, strategy=strategy, keep=keep),
        )

    async def linked(self, query: str, n: int) -> list[str]:
        """As `Library.linked`."""
        return await self._record.once(
            key_of("linked", query, n, self.epoch),
            list[str],
            lambda: self._library.linked(query, n),
        )

    async def lessons(self, question: str, n: int) -> list[Lesson]:
        """As `Library.lessons`."""
        return await self._record.once(
            key_of("lessons", question, n),
            list[Lesson],
            lambda: self._library.lessons(question, n),
        )

    async def learn(self, run_id: str, lesson: Lesson, learnt: float) -> None:
        """As `Library.learn`, where the run is not only played again."""
        if not self._record.replaying:
            await self._library.learn(run_id, lesson, learnt)

    async def siblings(self, question: str, n: int) -> list[tuple[str, str]]:
        """As `Library.siblings`."""
        return await self._record.once(
            key_of("siblings", question, n, self.epoch),
            list[tuple[str, str]],
            lambda: self._library.siblings(question, n),
        )

    async def extract(self, query: str, passages: Sequence[Passage], n: int) -> list[Extract]:
        """As `Library.extract`."""
        [extracts] = await self.extract_each([query], passages, n)
        return extracts

    async def extract_each(
        self, queries: Sequence[str], passages: Sequence[Passage], n: int
    ) -> list[list[Extract]]:
        """As `Library.extract_each`."""

        async def make() -> list[list[_Span]]:
            found = await self._library.extract_each(queries, passages, n)
            return [[(e.passage.id, e.start, e.end, e.score) for e in some] for some in found]

        by_id = {passage.id: passage for passage in passages}
        key = key_of("extract", queries, list(by_id), n)
        spans = await self._record.once(key, list[list[_Span]], make)
        return [
            [Extract(by_id[id], start, end, score) for id, start, end, score in some]
            for some in spans
        ]

    async def inspirations(
        self, background: str, entities: Sequence[str], most: int = 10
    ) -> list[Candidate]:
        """As `Library.inspirations`."""
        return await self._record.once(
            key_of("inspirations", background, entities, most, self.epoch),
            list[Candidate],
            lambda: self._library.inspirations(background, entities, most),
        )

    async def embed(self, texts: Sequence[str]) -> Vectors32 | None:
        """As `Library.embed`; not remembered, since texts name their vectors."""
        return await self._library.embed(texts)

    async def cards(self, paper_ids: Sequence[str]) -> list[Card]:
        """As `Library.cards`."""
        return await self._library.cards(paper_ids)

    async def facts(self) -> list[Fact]:
        """As `Library.facts`."""
        return await self._library.facts()

    async def find_all(self, keys: Sequence[str]) -> dict[str, Paper]:
        """As `Library.find_all`."""
        return await self._library.find_all(keys)

    async def papers(self, ids: Sequence[str] | None = None) -> list[Paper]:
        """As `Library.papers`; not remembered, since a paper may be retracted meanwhile."""
        return await self._library.papers(ids)

    async def passages(self, ids: Sequence[str]) -> list[Passage]:
        """As `Library.passages`; not remembered, since ids name their text."""
        return await self._library.passages(ids)

    async def passages_of(self, paper_id: str) -> list[Passage]:
        """As `Library.passages_of`."""
        return await self._library.passages_of(paper_id)

    async def stats(self) -> Stats:
        """As `Library.stats`."""
        key = key_of("stats", self.epoch)
        return await self._record.once(key, Stats, self._library.stats)
