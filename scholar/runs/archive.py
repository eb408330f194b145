"""The runs there are, in this process and in others."""

from __future__ import annotations

import asyncio
from pathlib import Path

from scholar.checkpoints import Checkpoints
from scholar.journal import Journal, RunRow
from scholar.trace import path_of
from scholar.values import Answer, Call


class Runs:
    """The runs of `journal`, newest first. Every method raises RunError where they cannot be read.

    A run may be named by the beginning of its id.
    """

    def __init__(self, journal: Journal, checkpoints: Checkpoints, home: Path) -> None:
        self._journal = journal
        self._checkpoints = checkpoints
        self._home = home

    async def all(self, *, most: int | None = None, thread: str | None = None) -> list[RunRow]:
        """The newest `most` runs, of one thread where it is named."""
        return await self._journal.runs(most=most, thread=thread)

    async def find(self, run_id: str) -> RunRow:
        """One run."""
        return await self._journal.find(run_id)

    async def answer(self, run_id: str) -> Answer | None:
        """What a run has published, if it has."""
        return await self._journal.answer((await self.find(run_id)).run_id)

    async def calls(self, run_id: str) -> list[Call]:
        """The calls of a run, in the order in which they were sent."""
        return await self._journal.calls((await self.find(run_id)).run_id)

    async def cancel(self, run_id: str) -> RunRow:
        """Ask whoever works on a run to end it, which takes a second, and return the run."""
        return await self._journal.ask_to_end(run_id)

    async def remove(self, run_id: str) -> RunRow:
        """Forget a run that is not under way, and return what it was."""
        row = await self.find(run_id)
        await self._journal.remove(row.run_id)
        await self._checkpoints.adelete_thread(row.run_id)
        await asyncio.to_thread(path_of(self._home, row.run_id).unlink, missing_ok=True)
        return row
