"""Standing questions, and what each has seen."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scholar.errors import RunError
from scholar.journal.database import Database
from scholar.journal.schema import watches
from scholar.journal.statements import put


@dataclass(frozen=True, slots=True)
class Watch:
    """A question that is asked again when there are new papers.

    `query` is what arXiv is searched for, where it is. `seen` are the papers that were there when
    it was last looked at, `run_id` the run of its last answer and `checked` when it was looked at,
    in seconds since the epoch. `place` is where it was kept and is to be told of, if not here.
    """

    watch_id: str
    question: str
    query: str = ""
    preset: str = ""
    created: float = 0.0
    checked: float | None = None
    run_id: str = ""
    seen: tuple[str, ...] = ()
    place: str = ""


class Watches:
    """The standing questions in `database`; raises RunError where it cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Watch]:
        """All of them, the oldest first."""

        def work(connection: Connection) -> list[Watch]:
            query = sa.select(watches).order_by(watches.c.created, watches.c.watch_id)
            return [_watch(dict(row)) for row in connection.execute(query).mappings()]

        return await self._database.read(work, [])

    async def find(self, watch_id: str) -> Watch:
        """The one whose id is or begins with `watch_id`."""
        found = await self.all()
        fitting = [watch for watch in found if watch.watch_id == watch_id]
        fitting = fitting or [watch for watch in found if watch.watch_id.startswith(watch_id)]
        if len(fitting) != 1:
            said = "Several standing questions begin" if fitting else "No standing question begins"
            raise RunError(f"{said} with '{watch_id}'; see scholar watch list.")
        return fitting[0]

    async def put(self, watch: Watch) -> None:
        """Keep a standing question as it is now."""
        await self._database.change(lambda connection: put(connection, watches, _row(watch)))

    async def update(self, watch: Watch) -> bool:
        """The same of one that is still kept; False where somebody has removed it meanwhile."""
        here = sa.update(watches).where(watches.c.watch_id == watch.watch_id).values(_row(watch))
        return await self._database.change(lambda connection: connection.execute(here).rowcount > 0)

    async def remove(self, watch_id: str) -> None:
        """Forget a standing question; its runs stay."""
        gone = sa.delete(watches).where(watches.c.watch_id == watch_id)
        await self._database.change(lambda connection: connection.execute(gone))


def _row(watch: Watch) -> dict[str, Any]:
    return {**asdict(watch), "seen": json.dumps(watch.seen)}


def _watch(row: dict[str, Any]) -> Watch:
    return Watch(**{**row, "seen": tuple(json.loads(row["seen"]))})
