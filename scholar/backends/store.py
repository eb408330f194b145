"""The file in which gateways keep what they have learnt: replies, and what models are like.

SQLite, so that several processes may share it. Nothing in it is needed: where it cannot be used,
that is said once, and all goes on without.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

FILE = "models.sqlite"
BUSY_SECONDS = 0.5
"""Another process writes a row in a millisecond; what takes longer is not worth a wait."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS replies_at ON replies (at);
CREATE TABLE IF NOT EXISTS models (id TEXT PRIMARY KEY, facts TEXT NOT NULL);
"""


class Store:
    """`models.sqlite` in `folder`, opened when first used. `on_notice` gets a sentence at most.

    One thread does it all in the order of asking, so that no event loop waits for a disk to write.
    """

    def __init__(self, folder: Path, on_notice: Callable[[str], None] = lambda _: None) -> None:
        self.path = folder / FILE
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scholar-store")
        self._on_notice = on_notice
        self._connection: sqlite3.Connection | None = None
        self._usable = True

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What `statement` finds, waited for; nothing where the file cannot be used."""
        return self._thread.submit(self._read, statement, values).result()

    def write(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Have `statement` carried out, where the file can be used; before any later read."""
        self._thread.submit(self._run, statement, values)

    def close(self) -> None:
        """Finish what was begun and close the file; the next use opens it again."""
        self._thread.submit(self._close).result()

    def _read(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        # On a plain read of a home without the file there is nothing to find, so none is made.
        if self._connection is None and not self.path.exists():
            return []
        return self._run(statement, values)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if not self._usable:
            return []
        try:
            return self._opened().execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            return []

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            # A reply lost with the power is asked for again; waiting for the disk is not worth it.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.executescript(_SCHEMA)
        return self._connection

    def _give_up(self, error: Exception) -> None:
        self._usable = False
        with suppress(sqlite3.Error):
            self._close()
        self._on_notice(
            f"Replies are not kept, as {self.path} cannot be used ({error}); if nothing else "
            "uses it, delete it to begin anew."
        )
