"""Between Slack and runs: what was asked becomes a run, in the thread and over the library that it
belongs to. All that the bot knows of runs is here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scholar.errors import RunError
from scholar.events import Event, Finished
from scholar.journal.watches import Watch, Watches
from scholar.library import Library
from scholar.library.ingest import Item, Result, expand, ingest
from scholar.runs import Scholar
from scholar.slack.private import Shelves
from scholar.slack.store import Ask
from scholar.sources import Skipped, bibtex, identify
from scholar.values import Answer, Paper


class Going(Protocol):
    """A run that is under way, or one that has ended and is only to be told of."""

    @property
    def run_id(self) -> str:
        """What it is gone on with by."""
        ...

    def events(self) -> AsyncGenerator[Event, None]:
        """What happens; the last is `Finished`, also where it was cancelled, or `Paused`."""
        ...

    def cancel(self) -> None:
        """End it; what it has found becomes its answer."""
        ...


@dataclass(frozen=True, slots=True)
class _Ended:
    """A run that had ended when the bot did, before its answer was shown."""

    run_id: str
    answer: Answer

    async def events(self) -> AsyncGenerator[Event, None]:
        yield Finished(self.answer)

    def cancel(self) -> None:
        """There is nothing to end."""


class Desk:
    """Runs of `scholar`, each over what the one who asks may read."""

    def __init__(self, scholar: Scholar) -> None:
        self.scholar = scholar
        self.settings = scholar.services.settings
        self.shelves = Shelves(self.settings, scholar.services.library)

    @property
    def watches(self) -> Watches:
        """The standing questions; raises RunError where runs are not kept."""
        return self.scholar.services.journal.watches

    def clock(self) -> float:
        """The seconds since the epoch."""
        return self.scholar.services.clock()

    def new_watch(self, question: str, place: str) -> Watch:
        """A standing question that nobody has looked at."""
        services = self.scholar.services
        return Watch(services.new_id()[:8], question, created=services.clock(), place=place)

    @asynccontextmanager
    async def going(self, ask: Ask) -> AsyncIterator[Going]:
        """The run of `ask`, gone on with where it has one. Raises UsageError where it cannot be
        asked.
        """
        async with self.library(ask) as library:
            scholar = self.scholar
            if library is not self.shelves.shared:
                scholar = scholar.over(library)
            elif ask.private:  # others would be told of what it led to
                scholar = scholar.over(library, lessons=False)
            yield await _run_of(scholar, ask)

    @asynccontextmanager
    async def library(self, ask: Ask) -> AsyncIterator[Library]:
        """What `ask` may be answered from."""
        if not ask.private:
            yield self.shelves.shared
            return
        async with self.shelves.both(ask.team, ask.user) as library:
            yield library

    async def bibtex(self, ask: Ask) -> str:
        """The papers that its answer cites, as BibTeX."""
        ids = [str(paper["paper"]) for paper in ask.evidence]
        async with self.library(ask) as library:
            return bibtex.write(await library.papers(ids))

    async def rate(self, ask: Ask, *, helpful: bool) -> int:
        """Keep what a reader said of the passages under its answer; how many those were."""
        passages = [quote["passage"] for paper in ask.evidence for quote in paper["quotes"]]
        async with self.library(ask) as library:
            return await library.rate(list(dict.fromkeys(passages)), helpful=helpful)

    async def add(self, library: Library, sources: Sequence[str | Path]) -> list[Result]:
        """Add files, and papers by their ids, to `library`. Nothing is raised."""
        items: list[Item] = [source for source in sources if isinstance(source, Path)]
        ids = []
        for name in (source for source in sources if isinstance(source, str)):
            # What a person has typed is an id or nothing: never a file of this machine.
            if known := identify(name):
                ids.append(known[1])
            else:
                items.append(Skipped(name, "It is no arXiv id, DOI or PubMed id; give one."))
        found = await expand(library, ids, self.settings) if ids else []
        items += [item for item in found if not isinstance(item, Path)]
        return [result async for result in ingest(library, items, self.settings)]

    async def papers(self, words: str) -> list[Paper]:
        """The papers of the shared library, or those that fit `words`, the best first."""
        shared = self.shelves.shared
        if not words:
            return await shared.papers()
        hits = await shared.search(words, 50)
        return await shared.papers(list(dict.fromkeys(hit.paper_id for hit in hits)))


async def _run_of(scholar: Scholar, ask: Ask) -> Going:
    """The run of `ask`: gone on with where it can be, else begun."""
    if ask.run and (known := await _known(scholar, ask)):
        return known
    start = scholar.start_ideas if ask.kind == "ideas" else scholar.start
    return start(ask.question, preset=ask.preset or None, thread=ask.scholar_thread, person=True)


async def _known(scholar: Scholar, ask: Ask) -> Going | None:
    try:
        row = await scholar.runs.find(ask.run)
        answer = await scholar.runs.answer(row.run_id)
        if answer is not None and not row.goes_on:
            return _Ended(row.run_id, answer)
        return await scholar.resume(row.run_id, replies=ask.replies)
    except RunError:
        return None  # it never began, or was removed; the question is still to be answered
