"""The database that runs are kept in: SQLite in the home folder, or PostgreSQL by URL.

One thread does all of it in the order of asking, so that no event loop waits for a disk. A run
does not depend on it: where nothing can be written any more that is said once, and the run goes on.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.engine import Connection

from scholar.errors import RunError
from scholar.journal import schema

T = TypeVar("T")

FILE = "runs.sqlite"
BUSY_SECONDS = 5.0
"""Another process writes for milliseconds; a backup of the file may take a second or two."""
READS = "scholar_reads"
"""The option of a connection whose transaction only reads, so that it waits for no writer."""
REST = 30.0
"""Seconds in which nothing is written after a failure: each try may wait for a lock."""


class Database:
    """Runs at an SQLAlchemy `url`, opened when first used; raises RunError where it cannot be.

    `on_notice` gets a sentence where writing fails.
    """

    def __init__(self, url: sa.URL, on_notice: Callable[[str], None] = lambda _: None) -> None:
        self._url = url
        self._on_notice = on_notice
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scholar-journal")
        self._engine: sa.Engine | None = None
        self._rests_until = 0.0

    @property
    def place(self) -> str:
        """Where it is, without a password."""
        return self._url.database or "" if self._is_file else self._url.render_as_string()

    @property
    def _is_file(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def write(self, work: Callable[[Connection], Any]) -> Future[bool]:
        """Have `work` done in one transaction, after all that was asked for before.

        The future tells whether it was; it never raises.
        """
        return self._thread.submit(self._write, work)

    async def written(self, work: Callable[[Connection], Any]) -> bool:
        """Wait until `work` is on disk, and tell whether it is. It is done also if nobody waits."""
        return await asyncio.shield(asyncio.wrap_future(self.write(work)))

    async def settled(self) -> None:
        """Wait until all is done that was asked for before."""
        await asyncio.shield(asyncio.wrap_future(self._thread.submit(lambda: None)))

    async def read(self, work: Callable[[Connection], T], empty: T) -> T:
        """What `work` reads; `empty` where there is no database yet. Raises RunError."""
        return await asyncio.wrap_future(self._thread.submit(self._read, work, empty))

    async def change(self, work: Callable[[Connection], T]) -> T:
        """What `work`, one transaction, returns; raises RunError where it cannot be done."""
        return await asyncio.wrap_future(self._thread.submit(self._in_transaction, work))

    def close(self) -> None:
        """Finish what was asked for and let go of the database; the next use opens it again."""
        self._thread.submit(self._close).result()

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _write(self, work: Callable[[Connection], Any]) -> bool:
        if time.monotonic() < self._rests_until:
            return False
        try:
            self._in_transaction(work)
        except RunError as error:
            self._rests_until = time.monotonic() + REST
            self._on_notice(
                f"{str(error).partition('; ')[0]}; what is under way goes on, but cannot be "
                "resumed if it is interrupted. Make room or rights there before the next run."
            )
            return False
        return True

    def _read(self, work: Callable[[Connection], T], empty: T) -> T:
        if self._engine is None and self._is_file and not Path(self._url.database or "").exists():
            return empty
        return self._in_transaction(work, reads=True)

    def _in_transaction(self, work: Callable[[Connection], T], *, reads: bool = False) -> T:
        try:
            opened = self._opened().connect().execution_options(**{READS: reads})
            with opened as connection, connection.begin():
                return work(connection)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise self._unusable(getattr(error, "orig", None) or error) from error

    def _unusable(self, cause: BaseException) -> RunError:
        reason = str(cause).strip().partition("\n")[0]
        # SQLite has no kind of its own for a file that is damaged; all else is a subclass.
        if type(cause) is sqlite3.DatabaseError:
            advice = "it is damaged, so put a copy in its place, or move it away to begin anew"
        else:
            advice = (
                "see whether the disk is full, the file may be written and nothing else holds it, "
                "then try again"
            )
        return RunError(f"Runs cannot be kept in {self.place} ({reason}); {advice}.")

    def _opened(self) -> sa.Engine:
        if self._engine is None:
            engine = sa.create_engine(self._url, **self._options())
            if self._is_file:
                sa.event.listen(engine, "connect", _prepare)
                sa.event.listen(engine, "begin", _begin)
            with self._alone(), engine.begin() as connection:
                found = _format(connection)
            if found != schema.VERSION:
                engine.dispose()
                raise RunError(
                    f"Runs cannot be kept in {self.place} (it has format {found} and this scholar "
                    f"reads format {schema.VERSION}); update scholar, or move it away to begin "
                    "anew."
                )
            self._engine = engine
        return self._engine

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """For the change to WAL of a new file SQLite does not wait, so processes take turns."""
        if not self._is_file:
            yield
            return
        file = Path(self._url.database or "")
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock", timeout=BUSY_SECONDS):
            yield

    def _options(self) -> dict[str, Any]:
        if self._is_file:
            return {"poolclass": sa.StaticPool, "connect_args": {"timeout": BUSY_SECONDS}}
        wait = {"connect_timeout": int(BUSY_SECONDS)}
        return {"pool_size": 1, "pool_pre_ping": True, "connect_args": wait}


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin says
    connection.execute("PRAGMA journal_mode=WAL")
    # What was paid for outlives the process; a sync at each reply would outlive the power, too,
    # and takes as long as a fast model.
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _format(connection: Connection) -> str:
    """The version of the tables, which are made where there are none."""
    schema.metadata.create_all(connection)
    found = connection.scalar(sa.select(schema.meta.c.value).where(schema.meta.c.key == "schema"))
    if found is None:
        connection.execute(sa.insert(schema.meta).values(key="schema", value=schema.VERSION))
    return found or schema.VERSION
