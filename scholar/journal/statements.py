"""Statements that SQLite and PostgreSQL spell alike but SQLAlchemy does not."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection


def insert(connection: Connection, table: sa.Table, row: dict[str, Any]) -> None:
    """Insert a row, unless there is one with its key."""
    connection.execute(_into(connection, table).on_conflict_do_nothing(), row)


def put(connection: Connection, table: sa.Table, row: dict[str, Any]) -> None:
    """Insert a row, or put it in the place of the one with its key."""
    into = _into(connection, table)
    keys = [column.name for column in table.primary_key]
    others = {name: into.excluded[name] for name in row if name not in keys}
    connection.execute(into.on_conflict_do_update(index_elements=keys, set_=others), row)


def _into(connection: Connection, table: sa.Table) -> Any:
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # it takes as long to load as the journal itself

    return postgresql.insert(table)
