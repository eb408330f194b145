"""The journal of runs: what was asked, what each run was told, and how it ended.

With it no call that was answered is paid for twice, and a run is played again without a model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from scholar.errors import RunError
from scholar.journal import schema
from scholar.journal.claims import Claim, Claims
from scholar.journal.database import FILE, Database
from scholar.journal.record import Record, key_of
from scholar.journal.rows import RESUMABLE, RunRow, Status, ThreadRow, form_of
from scholar.journal.statements import insert, put
from scholar.journal.threads import Past, Threads, Turn
from scholar.journal.watches import Watches
from scholar.settings import Settings
from scholar.state import Question
from scholar.values import Answer, Call, Inquiry, Outcome, Usage

__all__ = [
    "RESUMABLE",
    "Journal",
    "Past",
    "Record",
    "RunRow",
    "Status",
    "ThreadRow",
    "Threads",
    "Turn",
    "key_of",
]

LOCKS = "locks"
MOST_HELD = 1_000
"""Records of runs that were begun and left off without an end, as a server's clients do."""
_WAITS = tuple[tuple[str, Inquiry], ...]


class Journal:
    """Runs in `database`; without one, runs are remembered as long as they are worked on.

    `claims` see to it that one process works on a run at a time.
    """

    def __init__(self, database: Database | None = None, claims: Claims | None = None) -> None:
        self.threads = Threads(database)
        self._database = database
        self._claims = claims
        self._live: WeakValueDictionary[str, Record] = WeakValueDictionary()
        self._held: dict[str, Record] = {}

    @classmethod
    def of_one(cls, record: Record) -> Journal:
        """A journal of this one run, which keeps nothing."""
        journal = cls()
        journal._live[record.run_id] = journal._held[record.run_id] = record
        return journal

    @classmethod
    def of(cls, settings: Settings, on_notice: Callable[[str], None] = lambda _: None) -> Journal:
        """The journal where the settings say."""
        shared = settings.runs.database
        url = None if shared is None else _driven(shared.get_secret_value())
        file = sa.URL.create("sqlite", database=str(settings.home / FILE))
        return cls(Database(url or file, on_notice), Claims(settings.home / LOCKS, url))

    @property
    def watches(self) -> Watches:
        """The standing questions; raises RunError where runs are not kept."""
        if self._database is None:
            raise RunError("Standing questions need a journal that is kept; open one by settings.")
        return Watches(self._database)

    @property
    def lasts(self) -> bool:
        """Whether runs are remembered beyond this process."""
        return self._database is not None

    # One run, while it is worked on

    async def record(
        self, run_id: str, clock: Callable[[], float], *, anew: bool = False
    ) -> Record:
        """What is remembered of a run; the same record for all who ask, until it is let go.

        It is read `anew` where the run has just been claimed: others may have worked on it.
        """
        if anew:
            self._live.pop(run_id, None)
        elif (live := self._live.get(run_id)) is not None:
            return live
        told, calls, seconds = await self._remembered(run_id)
        made = self._new(run_id, clock, told=told, calls=calls, seconds=seconds)
        # Somebody else may have asked in the meantime.
        return self._hold(self._live.setdefault(run_id, made))

    def new_record(self, run_id: str, clock: Callable[[], float]) -> Record:
        """The record of a run that begins, of which there is nothing to read."""
        made = self._live[run_id] = self._new(run_id, clock)
        return self._hold(made)

    def _new(self, run_id: str, clock: Callable[[], float], **known: Any) -> Record:
        keeper = None if self._database is None else self
        return Record(run_id, clock, keeper=keeper, **known)

    def _hold(self, record: Record) -> Record:
        self._held[record.run_id] = record
        while len(self._held) > MOST_HELD:
            del self._held[next(iter(self._held))]
        return record

    async def to_replay(self, run_id: str, clock: Callable[[], float]) -> Record:
        """What is remembered of a run, to play it again."""
        told, calls, seconds = await self._remembered(run_id)
        return Record(run_id, clock, told=told, calls=calls, seconds=seconds, replaying=True)

    def let_go(self, run_id: str) -> None:
        """Hold the record of a run no longer than somebody else does."""
        self._held.pop(run_id, None)

    async def settled(self) -> None:
        """Wait until all is kept that was to be."""
        if self._database is not None:
            await self._database.settled()

    async def keep(self, run_id: str, key: str, text: str, seconds: float) -> None:
        """Keep what a run was told; what cannot be kept is told of once."""
        assert self._database is not None
        row = {"run_id": run_id, "key": key, "text": text}

        def work(connection: Connection) -> None:
            put(connection, schema.told, row)
            _update(connection, run_id, seconds=seconds)

        await self._database.written(work)

    def enter(self, run_id: str, number: int, call: Call, *, ended: bool) -> Awaitable[Any]:
        """Keep a call as it stands."""
        assert self._database is not None
        text = form_of(Call).dump_json(call).decode()
        row = {"run_id": run_id, "number": number, "call": text, "ended": ended}
        future = self._database.write(lambda connection: put(connection, schema.calls, row))
        return asyncio.wrap_future(future)

    def claim(self, run_id: str, *, new: bool = False) -> Claim:
        """The right to work on a run, as `Claims.claim`; raises RunError."""
        return self._claims.claim(run_id, new=new) if self._claims else Claim(lambda: None)

    # All runs

    async def begin(self, row: RunRow) -> None:
        """Enter a run that begins; nothing where it has been entered."""
        if self._database is None:
            return
        values = {
            "run_id": row.run_id,
            "thread": row.thread,
            "question": row.question,
            "task": row.task,
            "preset": row.preset,
            "asked": form_of(Question).dump_json(row.asked).decode(),
            "shape": row.shape,
            "status": "running",
            "started": row.started,
        }
        if row.thread != row.run_id:
            await self.threads.begin(row.thread, row.question, row.started)
        await self._database.written(lambda c: insert(c, schema.runs, values))

    async def go_on(self, run_id: str, shape: str) -> None:
        """Enter that a run goes on, with a state of this `shape`."""
        await self._update(
            run_id,
            status="running",
            shape=shape,
            outcome=None,
            ended=None,
            cancel=False,
            waits="[]",
        )

    async def wait(self, run_id: str, waits: Sequence[tuple[str, Inquiry]]) -> None:
        """Enter that a run waits for a person."""
        await self._update(
            run_id, status="waiting", waits=form_of(_WAITS).dump_json(tuple(waits)).decode()
        )

    async def finish(self, answer: Answer, ended: float) -> None:
        """Enter how a run has ended."""
        if self._database is None:
            return
        text = form_of(Answer).dump_json(answer).decode()
        values = {
            "status": "finished",
            "outcome": str(answer.outcome),
            "ended": ended,
            "usage": form_of(Usage).dump_json(answer.usage).decode(),
        }

        def work(connection: Connection) -> None:
            put(connection, schema.answers, {"run_id": answer.run_id, "answer": text})
            _update(connection, answer.run_id, **values)

        await self._database.written(work)

    async def runs(self, *, most: int | None = None, thread: str | None = None) -> list[RunRow]:
        """The runs, newest first; raises RunError."""
        query = sa.select(schema.runs).order_by(
            schema.runs.c.started.desc(), schema.runs.c.run_id.desc()
        )
        if thread is not None:
            query = query.where(schema.runs.c.thread == thread)
        rows = await self._rows(query.limit(most))
        return [self._run_of(row) for row in rows]

    async def find(self, run_id: str) -> RunRow:
        """The run whose id is or begins with `run_id`; raises RunError where there is none or
        several.
        """
        column = schema.runs.c.run_id
        rows = await self._rows(sa.select(schema.runs).where(column == run_id))
        rows = rows or await self._rows(
            sa.select(schema.runs).where(column.startswith(run_id, autoescape=True)).limit(2)
        )
        if len(rows) != 1 or not run_id:
            said = "Several runs begin with" if rows else "No run is called"
            raise RunError(f"{said} '{run_id}'; see scholar runs list.")
        return self._run_of(rows[0])

    async def answer(self, run_id: str) -> Answer | None:
        """What a run has published, if it has; raises RunError."""
        column = schema.answers.c.run_id
        rows = await self._rows(sa.select(schema.answers.c.answer).where(column == run_id))
        return form_of(Answer).validate_json(rows[0]["answer"]) if rows else None

    async def calls(self, run_id: str) -> list[Call]:
        """The calls of a run, in the order in which they were sent; raises RunError."""
        query = sa.select(schema.calls.c.call).where(schema.calls.c.run_id == run_id)
        rows = await self._rows(query.order_by(schema.calls.c.number))
        return [form_of(Call).validate_json(row["call"]) for row in rows]

    async def ask_to_end(self, run_id: str) -> RunRow:
        """Ask whoever works on a run to end it, and return the run; raises RunError."""
        row = await self.find(run_id)
        if row.status != "running" or self._database is None:
            raise RunError(f"The run {row.run_id} is not under way; see scholar runs list.")
        await self._database.change(lambda c: _update(c, row.run_id, cancel=True))
        return row

    async def is_to_end(self, run_id: str) -> bool:
        """Whether somebody has asked to end a run."""
        query = sa.select(schema.runs.c.cancel).where(schema.runs.c.run_id == run_id)
        try:
            return any(row["cancel"] for row in await self._rows(query))
        except RunError:
            return False  # what cannot be read now is looked at again in a moment

    async def remove(self, run_id: str) -> None:
        """Forget a run; raises RunError where it is under way in another process."""
        claim = await asyncio.to_thread(self.claim, run_id)
        try:
            await self.forget(run_id)
        finally:
            await asyncio.to_thread(claim.release)

    async def forget(self, run_id: str) -> None:
        """Forget a run whose claim is held; raises RunError."""
        if self._database is not None:
            await self._database.change(lambda c: _remove(c, run_id))

    async def aclose(self) -> None:
        """Finish what was begun and let go of the database."""
        if self._database is not None:
            await asyncio.to_thread(self._database.close)

    async def _update(self, run_id: str, **values: Any) -> None:
        if self._database is not None:
            await self._database.written(lambda c: _update(c, run_id, **values))

    async def _rows(self, query: sa.Select[Any]) -> list[RowMapping]:
        if self._database is None:
            return []
        return await self._database.read(
            lambda connection: list(connection.execute(query).mappings()), []
        )

    async def _remembered(self, run_id: str) -> tuple[dict[str, str], dict[int, Call], float]:
        nothing: tuple[dict[str, str], dict[int, Call], float] = ({}, {}, 0.0)
        if self._database is None:
            return nothing
        return await self._database.read(lambda c: _remembered(c, run_id), nothing)

    def _run_of(self, row: RowMapping) -> RunRow:
        status: Status = row["status"]
        if status == "running" and self._claims and not self._claims.taken(row["run_id"]):
            status = "stopped"
        return RunRow(
            run_id=row["run_id"],
            thread=row["thread"],
            question=row["question"],
            task=row["task"],
            preset=row["preset"],
            status=status,
            outcome=Outcome(row["outcome"]) if row["outcome"] else None,
            started=row["started"],
            ended=row["ended"],
            seconds=row["seconds"],
            usage=form_of(Usage).validate_json(row["usage"]) if row["usage"] else Usage(),
            asked=form_of(Question).validate_json(row["asked"]),
            shape=row["shape"],
            waits=() if row["waits"] == "[]" else form_of(_WAITS).validate_json(row["waits"]),
        )


def _driven(url: str) -> sa.URL:
    """`url` with the driver that is installed for PostgreSQL."""
    return sa.make_url(f"postgresql+psycopg://{url.partition('://')[2]}")


def _remembered(
    connection: Connection, run_id: str
) -> tuple[dict[str, str], dict[int, Call], float]:
    told, calls, runs = schema.told, schema.calls, schema.runs
    query = sa.select(told.c.key, told.c.text).where(told.c.run_id == run_id)
    known = {row.key: row.text for row in connection.execute(query)}
    sent = (
        sa.select(calls.c.number, calls.c.call)
        .where(calls.c.run_id == run_id)
        .order_by(calls.c.number)
    )
    seconds = connection.scalar(sa.select(runs.c.seconds).where(runs.c.run_id == run_id))
    made = {row.number: form_of(Call).validate_json(row.call) for row in connection.execute(sent)}
    return known, made, seconds or 0.0


def _update(connection: Connection, run_id: str, **values: Any) -> None:
    connection.execute(
        sa.update(schema.runs).where(schema.runs.c.run_id == run_id).values(**values)
    )


def _remove(connection: Connection, run_id: str) -> None:
    for table in schema.OF_A_RUN:
        connection.execute(sa.delete(table).where(table.c.run_id == run_id))
