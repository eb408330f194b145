"""Files of direct messages: a library for each user, which only their own messages are answered
from.

It is a library of its own, not a part of the shared one, so that nothing that reads the shared one
can come upon it, whatever it asks for.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from scholar.errors import UsageError
from scholar.library import Extract, Filters, Library, Stats
from scholar.library.strategies import DEFAULT
from scholar.settings import Settings
from scholar.values import Card, Fact, Hit, Paper, Passage, Reference

T = TypeVar("T")
_NAME = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")


class Shelves:
    """The shared library, and those of single users under `settings.home`."""

    def __init__(self, settings: Settings, shared: Library) -> None:
        self.shared = shared
        self._settings = settings
        self._open: dict[str, Library] = {}
        self._readers: Counter[str] = Counter()
        self._opening = asyncio.Lock()

    def folder(self, team: str, user: str) -> Path:
        """Where what belongs to a user alone lies."""
        name = f"{team}-{user}"
        if not _NAME.fullmatch(name):
            raise UsageError(f"'{name}' is no name of a Slack user; this is no message of Slack's.")
        return self._settings.home / "slack" / "private" / name

    def has(self, team: str, user: str) -> bool:
        """Whether this user has a library of their own."""
        return (self.folder(team, user) / "library").is_dir()

    @asynccontextmanager
    async def own(self, team: str, user: str) -> AsyncIterator[Library]:
        """The library of one user, made where there is none."""
        folder = self.folder(team, user)
        name = folder.name
        async with self._opening:
            if name not in self._open:
                settings = self._settings.model_copy(update={"home": folder})
                self._open[name] = await asyncio.to_thread(Library, settings)
            self._readers[name] += 1
        try:
            yield self._open[name]
        finally:
            self._readers[name] -= 1
            if not self._readers[name]:
                self._open.pop(name).close()

    @asynccontextmanager
    async def both(self, team: str, user: str) -> AsyncIterator[Library]:
        """What this user may read: the shared library, and their own where they have one."""
        if not self.has(team, user):
            yield self.shared
            return
        async with self.own(team, user) as own:
            yield Joint(self.shared, own)


class Joint(Library):
    """Two libraries read as one. What is written, and what is not read from both, is `own`."""

    def __init__(self, shared: Library, own: Library) -> None:
        self._shared = shared
        self._own = own
        self._store = own._store
        self._searcher = own._searcher
        self.folder = own.folder

    async def _both(self, ask: Callable[[Library], Awaitable[T]]) -> tuple[T, T]:
        return await asyncio.gather(ask(self._shared), ask(self._own))

    async def find_all(self, keys: Sequence[str]) -> dict[str, Paper]:
        """As `Library`."""
        shared, own = await self._both(lambda library: library.find_all(keys))
        return {**own, **shared}

    async def papers(
        self, ids: Sequence[str] | None = None, *, collection: str = ""
    ) -> list[Paper]:
        """As `Library`."""
        shared, own = await self._both(lambda held: held.papers(ids, collection=collection))
        known = {paper.id: paper for paper in (*own, *shared)}
        if ids is None:
            return sorted(known.values(), key=lambda paper: paper.title)
        return [known[id] for id in dict.fromkeys(ids) if id in known]

    async def passages(self, ids: Sequence[str]) -> list[Passage]:
        """As `Library`."""
        shared, own = await self._both(lambda library: library.passages(ids))
        known = {passage.id: passage for passage in (*own, *shared)}
        return [known[id] for id in ids if id in known]

    async def passages_of(self, paper_id: str) -> list[Passage]:
        """As `Library`."""
        shared, own = await self._both(lambda library: library.passages_of(paper_id))
        return shared or own

    async def references_of(self, paper_id: str) -> list[Reference]:
        """As `Library`."""
        shared, own = await self._both(lambda library: library.references_of(paper_id))
        return shared or own

    async def cites(self, paper_id: str) -> list[Paper]:
        """As `Library`."""
        return _papers(*await self._both(lambda library: library.cites(paper_id)))

    async def cited_by(self, paper_id: str) -> list[Paper]:
        """As `Library`."""
        return _papers(*await self._both(lambda library: library.cited_by(paper_id)))

    async def citations(self) -> list[tuple[str, str]]:
        """As `Library`."""
        return _each(*await self._both(lambda library: library.citations()))

    async def facts_of(self, passage_ids: Sequence[str]) -> list[Fact]:
        """As `Library`."""
        return _each(*await self._both(lambda library: library.facts_of(passage_ids)))

    async def facts(self) -> list[Fact]:
        """As `Library`."""
        return _each(*await self._both(lambda library: library.facts()))

    async def facts_about(self, names: Sequence[str]) -> dict[str, list[Fact]]:
        """As `Library`."""
        shared, own = await self._both(lambda library: library.facts_about(names))
        return {name: shared.get(name, []) + own.get(name, []) for name in {**shared, **own}}

    async def names(self) -> list[str]:
        """As `Library`."""
        shared, own = await self._both(lambda library: library.names())
        return sorted({*shared, *own})

    async def questions_of(self, passage_ids: Sequence[str]) -> dict[str, list[str]]:
        """As `Library`."""
        shared, own = await self._both(lambda library: library.questions_of(passage_ids))
        return {**own, **shared}

    async def cards(self, paper_ids: Sequence[str]) -> list[Card]:
        """As `Library`."""
        shared, own = await self._both(lambda library: library.cards(paper_ids))
        known = {card.paper_id: card for card in (*own, *shared)}
        return list(known.values())

    async def rate(self, passage_ids: Sequence[str], *, helpful: bool) -> int:
        """As `Library`."""
        return sum(await self._both(lambda library: library.rate(passage_ids, helpful=helpful)))

    async def search(
        self,
        query: str,
        k: int,
        *,
        filters: Filters | None = None,
        strategy: str = DEFAULT,
        keep: Sequence[str] | None = None,
    ) -> list[Hit]:
        """As `Library`; the scores of each are shares of its own best, and so compared."""
        shared, own = await self._both(
            lambda library: library.search(query, k, filters=filters, strategy=strategy, keep=keep)
        )
        known = {hit.passage_id: hit for hit in (*own, *shared)}
        ranked = sorted(known.values(), key=lambda hit: (-hit.scores["fused"], hit.passage_id))
        return ranked[:k]

    async def linked(self, query: str, n: int) -> list[str]:
        """As `Library`; the nearest of each in turn."""
        return _in_turn(*await self._both(lambda library: library.linked(query, n)))[:n]

    async def siblings(self, question: str, n: int) -> list[tuple[str, str]]:
        """As `Library`; the nearest of each in turn."""
        return _in_turn(*await self._both(lambda library: library.siblings(question, n)))[:n]

    async def extract_each(
        self, queries: Sequence[str], passages: Sequence[Passage], n: int
    ) -> list[list[Extract]]:
        """As `Library`, every passage judged by the library that holds it."""
        held = {p.id for p in await self._own.passages([passage.id for passage in passages])}
        mine = [passage for passage in passages if passage.id in held]
        others = [passage for passage in passages if passage.id not in held]
        parts = await asyncio.gather(
            self._own.extract_each(queries, mine, n), self._shared.extract_each(queries, others, n)
        )
        return [
            sorted((*own, *shared), key=lambda extract: -extract.score)[:n]
            for own, shared in zip(*parts, strict=True)
        ]

    async def warm(self) -> None:
        """As `Library`."""
        await self._both(lambda library: library.warm())

    async def stats(self) -> Stats:
        """As `Library`, of papers and passages together."""
        shared, own = await self._both(lambda library: library.stats())
        return replace(
            shared, papers=shared.papers + own.papers, passages=shared.passages + own.passages
        )


def _each(shared: Iterable[T], own: Iterable[T]) -> list[T]:
    found: list[T] = []
    for each in (*shared, *own):
        if each not in found:
            found.append(each)
    return found


def _papers(shared: Iterable[Paper], own: Iterable[Paper]) -> list[Paper]:
    known = {paper.id: paper for paper in (*own, *shared)}
    return sorted(known.values(), key=lambda paper: paper.title)


def _in_turn(shared: Sequence[T], own: Sequence[T]) -> list[T]:
    longest = max(len(shared), len(own))
    return [each for i in range(longest) for each in (*own[i : i + 1], *shared[i : i + 1])]
