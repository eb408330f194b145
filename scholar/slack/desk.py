"""Between Slack and runs: what was asked becomes a run, in the thread and over the library that it
belongs to. All that the bot knows of runs is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from scholar.errors import UsageError
from scholar.events import Event, Finished
from scholar.library import Library
from scholar.library.ingest import Item, Result, expand, ingest
from scholar.runs import Run, Scholar
from scholar.slack.private import Shelves
from scholar.slack.store import Ask
from scholar.sources import Skipped, bibtex, identify
from scholar.values import Paper


class Going:
    """A run that is under way; `id` is what it is gone on with by."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pump: asyncio.Task[None] | None = None
        self._stopped = False
        self.id = run.question.get("run_id", "")

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens; the last is `Finished`, also where it was cancelled."""
        events: asyncio.Queue[Event | None] = asyncio.Queue()

        async def pump() -> None:
            async with aclosing(self._run.events()) as stream:
                async for event in stream:
                    events.put_nowait(event)

        pumping = self._pump = asyncio.create_task(pump())
        pumping.add_done_callback(lambda _: events.put_nowait(None))
        if self._stopped:
            pumping.cancel()
        try:
            while (event := await events.get()) is not None:
                yield event
            if pumping.cancelled():
                yield Finished(await self._run.cancelled())
            else:
                pumping.result()
        finally:
            pumping.cancel()
            await asyncio.gather(pumping, return_exceptions=True)

    def cancel(self) -> None:
        """End it; what it has found becomes its answer."""
        self._stopped = True
        if self._pump is not None:
            self._pump.cancel()


class Desk:
    """Runs of `scholar`, each over what the one who asks may read."""

    def __init__(self, scholar: Scholar) -> None:
        self._scholar = scholar
        self.settings = scholar.services.settings
        self.shelves = Shelves(self.settings, scholar.services.library)

    @asynccontextmanager
    async def going(self, ask: Ask) -> AsyncIterator[Going]:
        """The run of `ask`, gone on with where it has one. Raises UsageError where it cannot be
        asked.
        """
        async with self.library(ask) as library:
            scholar = self._scholar
            if library is not scholar.services.library:
                scholar = Scholar(services=replace(scholar.services, library=library))
            yield Going(_resume(scholar, ask) if ask.run else _start(scholar, ask))

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


def _start(scholar: Scholar, ask: Ask) -> Run:
    preset = ask.preset or None
    if ask.kind == "ideas":
        start_ideas = getattr(scholar, "start_ideas", None)
        if start_ideas is None:
            raise UsageError("Ideas cannot be asked for in this version; use /scholar ask.")
        run: Run = start_ideas(ask.question)
        return run
    run = scholar.start(ask.question, preset=preset)
    run.question["run_id"] = f"slack-{ask.id}"
    return run


def _resume(scholar: Scholar, ask: Ask) -> Run:
    return _start(scholar, ask)
