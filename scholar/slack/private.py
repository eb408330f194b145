"""Files of direct messages: a library for each user, which only their own messages are answered
from.

It is a library of its own, not a part of the shared one, so that nothing that reads the shared one
can come upon it, whatever it asks for.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Hashable,
    Iterable,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from scholar.errors import UsageError
from scholar.library import Atlas, Candidate, Extract, Filters, Library, Stats
from scholar.library.atlas import MOST
from scholar.library.strategies import DEFAULT
from scholar.settings import Settings
from scholar.values import Card, Fact, Hit, Lesson, Paper, Passage, Reference

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)
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
        vars(self).update(vars(own))
        self._shared = shared
        self._own = own

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

    async def collections(self) -> dict[str, int]:
        """As `Library`; a paper of both counts twice."""
        shared, own = await self._both(lambda library: library.collections())
        return dict(Counter(shared) + Counter(own))

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

    async def atlas(self, used: Sequence[str], most: int = MOST) -> Atlas:
        """As `Library`, of each about half as many."""
        shared, own = await self._both(lambda library: library.atlas(used, most // 2))
        return _one_atlas(shared, own, used)

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

    @property
    def revision(self) -> int:
        """As `Library`."""
        return self._shared.revision + self._own.revision

    async def rate(self, passage_ids: Sequence[str], *, helpful: bool) -> int:
        """As `Library`."""
        return sum(await self._both(lambda library: library.rate(passage_ids, helpful=helpful)))

    async def lessons(self, question: str, n: int) -> list[Lesson]:
        """As `Library`; the likest of each in turn. What is learnt is kept in `own`."""
        return _in_turn(*await self._both(lambda library: library.lessons(question, n)))[:n]

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

    async def candidates(
        self,
        background: str,
        entities: Sequence[str],
        most: int = 100,
        *,
        without: Collection[str] = (),
    ) -> list[Candidate]:
        """As `Library`."""
        shared, own = await self._both(
            lambda library: library.candidates(background, entities, most, without=without)
        )
        return _nearest(shared, own)[:most]

    async def inspirations(
        self,
        background: str,
        entities: Sequence[str],
        most: int = 10,
        *,
        without: Collection[str] = (),
    ) -> list[Candidate]:
        """As `Library`; the nearest of what each library has found unlike one another."""
        shared, own = await self._both(
            lambda library: library.inspirations(background, entities, most, without=without)
        )
        return _nearest(shared, own)[:most]

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


def _each(shared: Iterable[H], own: Iterable[H]) -> list[H]:
    return list(dict.fromkeys((*shared, *own)))


def _papers(shared: Iterable[Paper], own: Iterable[Paper]) -> list[Paper]:
    known = {paper.id: paper for paper in (*own, *shared)}
    return sorted(known.values(), key=lambda paper: paper.title)


def _in_turn(shared: Sequence[T], own: Sequence[T]) -> list[T]:
    longest = max(len(shared), len(own))
    return [each for i in range(longest) for each in (*own[i : i + 1], *shared[i : i + 1])]


def _nearest(shared: Iterable[Candidate], own: Iterable[Candidate]) -> list[Candidate]:
    known = {one.paper_id: one for one in (*own, *shared)}
    return sorted(known.values(), key=lambda one: (-one.score, one.paper_id))


def _one_atlas(shared: Atlas, own: Atlas, used: Collection[str]) -> Atlas:
    """Both on one map, the papers `used` first. Vectors that are made of terms, or by another
    embedder, mean something only beside those of their own library, so these lie apart.
    """
    by_words = shared.by_words or own.by_words
    above, below = shared.vectors, own.vectors
    if by_words or above.shape[1] != below.shape[1]:
        above = np.pad(above, ((0, 0), (0, own.vectors.shape[1])))
        below = np.pad(below, ((0, 0), (shared.vectors.shape[1], 0)))
    found = [*shared.papers, *own.papers]
    rows = {paper.id: n for n, paper in reversed(list(enumerate(found)))}
    ids = sorted(rows, key=lambda id: (id not in used, rows[id]))
    at = {id: n for n, id in enumerate(ids)}
    return Atlas(
        tuple(found[rows[id]] for id in ids),
        np.concatenate([above, below])[[rows[id] for id in ids]],
        by_words,
        tuple(
            (at[one.papers[a].id], at[one.papers[b].id])
            for one in (shared, own)
            for a, b in one.citations
        ),
        shared.total + own.total,
    )
