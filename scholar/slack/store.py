"""What the bot must know after a restart, in one SQLite file that several processes may share."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from filelock import FileLock, Timeout

from scholar.settings import Allowance

FILE = "slack.sqlite"
BUSY_MS = 2_000
"""Another process writes a row in a millisecond; past this Slack has the event sent again."""
DAY = 86_400
REMEMBERED = 7 * DAY
"""Seconds for which a delivery is known again; Slack repeats one for an hour at most."""

State = Literal["queued", "running", "waiting", "done"]

_tables = sa.MetaData()
_seen = sa.Table(
    "seen",
    _tables,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("at", sa.Float, nullable=False, index=True),
)
_heard = sa.Table(
    "heard",
    _tables,
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
)
_asks = sa.Table(
    "asks",
    _tables,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("id", sa.String, nullable=False, unique=True),
    sa.Column("key", sa.String, nullable=False, unique=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("team", sa.String, nullable=False),
    sa.Column("channel", sa.String, nullable=False),
    sa.Column("thread", sa.String, nullable=False),
    sa.Column("user", sa.String, nullable=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("preset", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("asked", sa.Float, nullable=False, index=True),
    sa.Column("run", sa.String, nullable=False),
    sa.Column("message", sa.String, nullable=False),
    sa.Column("posted", sa.JSON, nullable=False),
    sa.Column("outcome", sa.String, nullable=False),
    sa.Column("tokens", sa.Integer, nullable=False),
    sa.Column("dollars", sa.Float, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("replies", sa.JSON, nullable=False),
    sa.Index("asks_thread", "channel", "thread"),
)
_votes = sa.Table(
    "votes",
    _tables,
    sa.Column("ask", sa.String, primary_key=True),
    sa.Column("user", sa.String, primary_key=True),
    sa.Column("helpful", sa.Boolean, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing asked, and how far it is.

    `key` names the message or click that it came from, so that it is taken once. `source` is the
    time stamp of the person's own message, `message` that of the bot's, `posted` those of the
    messages in which its answer goes on. `evidence` is what the answer's buttons need, as
    `blocks.evidence_of` gives it.
    """

    key: str
    team: str
    channel: str
    thread: str
    user: str
    question: str
    kind: str = "ask"
    source: str = ""
    preset: str = ""
    seq: int = 0
    id: str = ""
    state: State = "queued"
    owner: str = ""
    asked: float = 0.0
    run: str = ""
    message: str = ""
    posted: tuple[str, ...] = ()
    outcome: str = ""
    tokens: int = 0
    dollars: float = 0.0
    evidence: tuple[Mapping[str, Any], ...] = ()
    replies: Mapping[str, Any] | None = None

    @property
    def private(self) -> bool:
        """Whether it was asked in a direct message."""
        return self.channel.startswith("D")

    @property
    def scholar_thread(self) -> str:
        """The thread of `scholar` that this one in Slack is."""
        return f"slack-{self.team}-{self.channel}-{self.thread}"


class Spent(Exception):
    """An allowance is used up; `whose` is "user" or "channel"."""

    def __init__(self, whose: Literal["user", "channel"]) -> None:
        super().__init__(whose)
        self.whose = whose


class Store:
    """The file in `folder`. A process that has it open holds a lock by which others see that it
    lives, so that what a dead one has begun is gone on with at once.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._owners = folder / "slack" / "owners"
        self._owners.mkdir(parents=True, exist_ok=True)
        self.owner = uuid.uuid4().hex[:12]
        self._lock = FileLock(self._owners / self.owner)
        self._lock.acquire()
        self._engine = sa.create_engine(
            f"sqlite:///{folder / FILE}", connect_args={"isolation_level": None}
        )
        sa.event.listen(self._engine, "connect", _prepare)
        with self._writing() as connection:
            _tables.create_all(connection)
        self.forget_old()

    def close(self) -> None:
        """Let go of the file; what is not done is anybody's."""
        self._engine.dispose()
        self._lock.release()
        (self._owners / self.owner).unlink(missing_ok=True)

    # Deliveries

    def forget_old(self) -> None:
        """Forget deliveries that cannot come again."""
        with self._writing() as connection:
            old = _seen.c.at < self._clock() - REMEMBERED
            connection.execute(_seen.delete().where(old))

    def first_time(self, key: str) -> bool:
        """Whether `key` was never seen before, in this process or another."""
        row = {"key": key, "at": self._clock()}
        with self._writing() as connection:
            done = connection.execute(_insert_new(_seen, row))
            return bool(done.rowcount)

    def hear(self, kind: str) -> None:
        """Keep that an event of this kind has come."""
        with self._writing() as connection:
            connection.execute(_heard.delete().where(_heard.c.kind == kind))
            connection.execute(_heard.insert().values(kind=kind, at=self._clock()))

    def heard(self) -> dict[str, float]:
        """When an event of each kind came last, in seconds since the epoch."""
        with self._engine.connect() as connection:
            return {row.kind: row.at for row in connection.execute(sa.select(_heard))}

    # What was asked

    def take(self, ask: Ask, user: Allowance, channel: Allowance) -> Ask | None:
        """Keep a new ask; None where it is known already. Raises Spent where it may not be."""
        with self._writing() as connection:
            known = sa.select(_asks.c.id).where(_asks.c.key == ask.key)
            if connection.scalar(known) is not None:
                return None
            self._check(connection, _asks.c.user == ask.user, user, "user")
            if not ask.private:
                self._check(connection, _asks.c.channel == ask.channel, channel, "channel")
            row = _row(ask) | {
                "id": uuid.uuid4().hex[:12],
                "owner": self.owner,
                "asked": self._clock(),
            }
            del row["seq"]
            connection.execute(_asks.insert().values(row))
            found = connection.execute(sa.select(_asks).where(_asks.c.id == row["id"]))
            return _ask(found.mappings().one())

    def _check(
        self,
        connection: sa.Connection,
        whose: sa.ColumnElement[bool],
        allowed: Allowance,
        name: Literal["user", "channel"],
    ) -> None:
        today = self._clock() // DAY * DAY
        used = sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(_asks.c.tokens), 0),
            sa.func.coalesce(sa.func.sum(_asks.c.dollars), 0.0),
        ).where(whose, _asks.c.asked >= today)
        row = connection.execute(used).one()
        caps = (allowed.questions, allowed.tokens, allowed.dollars)
        if any(cap is not None and n >= cap for n, cap in zip(row, caps, strict=True)):
            raise Spent(name)

    def update(self, ask: Ask, **changes: Any) -> Ask:
        """Keep what has changed of an ask, and return it as it is now."""
        here = _asks.c.id == ask.id
        with self._writing() as connection:
            connection.execute(_asks.update().where(here).values(changes))
            return _ask(connection.execute(sa.select(_asks).where(here)).mappings().one())

    def get(self, id: str) -> Ask | None:
        """The ask with this id."""
        return next(iter(self._select(_asks.c.id == id)), None)

    def of_message(self, channel: str, ts: str) -> list[Ask]:
        """The asks that came of a person's message, or whose message of the bot's it is."""
        either = (_asks.c.source == ts) | (_asks.c.message == ts)
        return self._select(_asks.c.channel == channel, either)

    def knows_thread(self, channel: str, thread: str) -> bool:
        """Whether the bot has been asked in this thread before."""
        return bool(self._select(_asks.c.channel == channel, _asks.c.thread == thread))

    def adopt(self) -> list[Ask]:
        """What dead processes have left undone, in the order of asking, as this one's own."""
        undone = _asks.c.state.in_(("queued", "running"))
        with self._writing() as connection:
            query = sa.select(_asks.c.owner).where(undone, _asks.c.owner != self.owner).distinct()
            dead = [owner for owner in connection.scalars(query) if not self._lives(owner)]
            mine = undone & _asks.c.owner.in_(dead)
            found = connection.execute(sa.select(_asks).where(mine).order_by(_asks.c.seq))
            asks = [_ask(row) for row in found.mappings()]
            connection.execute(_asks.update().where(mine).values(owner=self.owner))
        return asks

    def reopen(self, ask: Ask, replies: Mapping[str, Any]) -> Ask | None:
        """Queue an ask again that waited for a person; None where somebody has done so before."""
        waits = (_asks.c.id == ask.id) & (_asks.c.state == "waiting")
        changes = {"state": "queued", "owner": self.owner, "replies": dict(replies)}
        with self._writing() as connection:
            done = connection.execute(_asks.update().where(waits).values(changes))
        return self.get(ask.id) if done.rowcount else None

    def vote(self, ask: str, user: str, helpful: bool) -> bool:
        """Keep what a user said of an answer; False where they have said it before."""
        with self._writing() as connection:
            row = {"ask": ask, "user": user, "helpful": helpful}
            return bool(connection.execute(_insert_new(_votes, row)).rowcount)

    def _select(self, *where: sa.ColumnElement[bool]) -> list[Ask]:
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_asks).where(*where).order_by(_asks.c.seq))
            return [_ask(row) for row in rows.mappings()]

    def _lives(self, owner: str) -> bool:
        lock = FileLock(self._owners / owner)
        try:
            with lock.acquire(timeout=0):
                (self._owners / owner).unlink(missing_ok=True)
                return False
        except Timeout:
            return True

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        # The lock is taken first, so that what was read is still so when it is acted upon.
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")


def _insert_new(table: sa.Table, row: Mapping[str, Any]) -> sa.Insert:
    return table.insert().prefix_with("OR IGNORE").values(row)


def _row(ask: Ask) -> dict[str, Any]:
    row = {field.name: getattr(ask, field.name) for field in fields(Ask)}
    lists: dict[str, Sequence[Any]] = {"posted": ask.posted, "evidence": ask.evidence}
    return row | {name: list(value) for name, value in lists.items()}


def _ask(row: Mapping[Any, Any]) -> Ask:
    values = dict(row)
    return Ask(**values | {"posted": tuple(row["posted"]), "evidence": tuple(row["evidence"])})


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", f"busy_timeout = {BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def as_value(value: Mapping[str, Any]) -> str:
    """What a button carries, as text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
