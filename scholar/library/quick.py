"""The reads that every search makes, past SQLAlchemy, which doubles what such a read takes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from scholar.errors import LibraryError
from scholar.library.rows import HIDDEN

META = "SELECT value FROM meta WHERE key = :key"
# All ids are one parameter, so that the statement stays the same.
OWNERS = f"""SELECT id, paper_id FROM passages
WHERE id IN (SELECT value FROM json_each(:ids))
AND paper_id NOT IN (SELECT id FROM papers WHERE state IN {HIDDEN})"""
VECTORS = """SELECT passage_id, digest, vector FROM embedded
WHERE passage_id IN (SELECT value FROM json_each(:ids)) AND embedder = :embedder"""


class Quick:
    """Reads by one connection of `engine`, one at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Any = None

    def read(self, sql: str, **values: str) -> list[Any]:
        """The rows that `sql` finds. Raises LibraryError where the database cannot be used."""
        with readable_errors():
            if self._engine.dialect.name != "sqlite":
                listed = "json_array_elements_text(CAST(:ids AS JSON)) AS listed(value)"
                with self._engine.connect() as connection:
                    query = sa.text(sql.replace("json_each(:ids)", listed))
                    return list(connection.execute(query, values))
            with self._lock:
                self._connection = self._connection or self._engine.raw_connection()
                return list(self._connection.driver_connection.execute(sql, values))

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turns the database's errors into one that says what to do."""
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        raise LibraryError(
            f"The library's database cannot be used ({getattr(error, 'orig', error)}); "
            "check that SCHOLAR_HOME is writable and has room, then try again."
        ) from error
