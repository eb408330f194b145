"""The file of what services have answered, and of when each host may be asked next.

SQLite, so that several processes may share it: none asks what another has asked already, and
together they keep the distance that a host wants. Every call opens the file anew and belongs into a
thread.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from scholar.errors import SourceError

FILE = "answers.sqlite"
DAY = 86_400.0
WEEK = 7 * DAY
"""Seconds that the longest-lived answers are kept for."""
HOUR = 3_600.0
_BUSY_SECONDS = 5.0
"""Another process writes a row in a millisecond."""
_POLL = 0.005
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, found INTEGER NOT NULL, body BLOB NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_at ON answers (at);
CREATE TABLE IF NOT EXISTS hosts (
    name TEXT PRIMARY KEY, free_at REAL NOT NULL, at REAL NOT NULL
);
"""


class Kept:
    """`answers.sqlite` in `folder`. Every method raises SourceError where it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def answer(self, key: str, age: float) -> tuple[bool, bytes] | None:
        """What was answered to `key` within `age` seconds: whether anything was found, and what.

        That nothing was found holds for an hour at most.
        """
        with self._open() as database:
            rows = database.execute("SELECT found, body, at FROM answers WHERE key = ?", (key,))
            row = rows.fetchone()
        if row is None:
            return None
        found, body, at = row
        # A clock that was set back must not make an answer last for ever.
        if not 0 <= time.time() - at < (age if found else min(age, HOUR)):
            return None
        return bool(found), zlib.decompress(body)

    def keep(self, key: str, found: bool, body: bytes) -> None:
        """Keep an answer, and drop those that nobody may use any more."""
        row = (key, found, zlib.compress(body), time.time())
        with self._open() as database:
            database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)
            database.execute("DELETE FROM answers WHERE at < ?", (time.time() - WEEK,))

    def turn(self, host: str, delay: float, patience: float) -> float:
        """Take the next turn at `host`: the seconds to wait for it.

        Where that is longer than `patience`, the turn is not taken.
        """
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            now = time.time()
            wait = self._wait(database, host, now)
            if wait <= patience:
                self._free_at(database, host, now, wait + delay)
            database.execute("COMMIT")
        return wait

    def leave(self, host: str, seconds: float) -> None:
        """Nobody asks `host` for `seconds` from now, or longer where that was said before.

        No host is left alone for longer than an hour, whatever it asked for.
        """
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            now = time.time()
            wait = max(min(seconds, HOUR), self._wait(database, host, now))
            self._free_at(database, host, now, wait)
            database.execute("COMMIT")

    @staticmethod
    def _wait(database: sqlite3.Connection, host: str, now: float) -> float:
        rows = database.execute("SELECT free_at, at FROM hosts WHERE name = ?", (host,))
        row = rows.fetchone()
        if row is None or now < row[1]:  # the clock was set back
            return 0.0
        return min(max(0.0, float(row[0]) - now), HOUR)

    @staticmethod
    def _free_at(database: sqlite3.Connection, host: str, now: float, wait: float) -> None:
        row = (host, now + wait, now)
        database.execute("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?)", row)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(
                sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            ) as database:
                _prepare(database)
                yield database
        except (sqlite3.Error, zlib.error, OSError) as error:
            raise SourceError(
                f"{self.path} cannot be used ({error}); free some space, or delete it."
            ) from None


def _prepare(database: sqlite3.Connection) -> None:
    ends = time.monotonic() + _BUSY_SECONDS
    # For the change to WAL, and for whoever goes last while another comes, SQLite does not wait.
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            # An answer lost with the power is asked for again.
            database.execute("PRAGMA synchronous = OFF")
            database.executescript(_SCHEMA)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                raise
            time.sleep(_POLL)
