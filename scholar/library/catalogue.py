"""The catalogue: what the library holds, in SQL. It is the truth; every index derives from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from scholar.errors import LibraryError
from scholar.values import Paper, Passage

State = Literal["pending", "ready", "removing"]
SCHEMA_VERSION = "1"
CHUNK = 500
"""Ids per query: SQLite takes 32,766 variables, and long statements only get slower to parse."""

_schema = sa.MetaData()
_papers = sa.Table(
    "papers",
    _schema,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("authors", sa.JSON, nullable=False),
    sa.Column("year", sa.Integer),
    sa.Column("venue", sa.String, nullable=False),
    sa.Column("identifiers", sa.JSON, nullable=False),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("holds", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("retracted", sa.Boolean, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
_keys = sa.Table(
    "keys",
    _schema,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("paper_id", sa.ForeignKey("papers.id", ondelete="CASCADE"), nullable=False),
)
_passages = sa.Table(
    "passages",
    _schema,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column(
        "paper_id", sa.ForeignKey("papers.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("end", sa.Integer, nullable=False),
    sa.Column("section", sa.String, nullable=False),
    sa.Column("pages", sa.JSON, nullable=False),
)
_meta = sa.Table(
    "meta",
    _schema,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("value", sa.String, nullable=False),
)
_PAPER_COLUMNS = [column for column in _papers.c if column.name not in ("text", "state")]


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is stored of one work. `keys` are further names it is known by (`sha256:…`)."""

    paper: Paper
    text: str
    passages: tuple[Passage, ...]
    keys: tuple[str, ...] = ()


class Catalogue:
    """Papers, passages and what else must not be lost, at an SQLAlchemy `url`.

    Raises LibraryError where the database cannot be opened or was written by another version.
    """

    def __init__(self, url: str | sa.URL) -> None:
        self._engine = sa.create_engine(url, json_serializer=_to_json)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
        with ExitStack() as opened:
            opened.callback(self.close)
            with self._transaction() as connection:
                _schema.create_all(connection)
            self._check_version()
            opened.pop_all()

    def put(self, entries: Iterable[Entry]) -> None:
        """Write `entries` as pending, in one transaction; what stood under their ids goes."""
        entries = list(entries)
        with self._transaction() as connection:
            for ids in _chunks([entry.paper.id for entry in entries]):
                connection.execute(_papers.delete().where(_papers.c.id.in_(ids)))
            for entry in entries:
                connection.execute(_papers.insert().values(_paper_row(entry)))
                keys = {entry.paper.id, *entry.keys}
                rows = [{"key": key, "paper_id": entry.paper.id} for key in keys]
                connection.execute(_keys.delete().where(_keys.c.key.in_(keys)))
                connection.execute(_keys.insert(), rows)
                if entry.passages:
                    connection.execute(_passages.insert(), list(map(_passage_row, entry.passages)))

    def set_state(self, ids: Sequence[str], state: State) -> None:
        """Move the papers `ids` on to `state`."""
        with self._transaction() as connection:
            for chunk in _chunks(ids):
                query = _papers.update().where(_papers.c.id.in_(chunk))
                connection.execute(query.values(state=state))

    def delete(self, ids: Sequence[str]) -> None:
        """Forget the papers `ids` with their passages and keys."""
        with self._transaction() as connection:
            for chunk in _chunks(ids):
                connection.execute(_papers.delete().where(_papers.c.id.in_(chunk)))

    def unfinished(self) -> dict[str, State]:
        """The papers whose writing or removal was cut short, by id."""
        query = sa.select(_papers.c.id, _papers.c.state).where(_papers.c.state != "ready")
        return {row["id"]: row["state"] for row in self._rows(query)}

    def find(self, key: str) -> Paper | None:
        """The ready paper known by `key`: its id or another of its keys."""
        query = (
            sa.select(*_PAPER_COLUMNS)
            .join(_keys, _keys.c.paper_id == _papers.c.id)
            .where(_keys.c.key == key, _papers.c.state == "ready")
        )
        rows = self._rows(query)
        return _paper(rows[0]) if rows else None

    def papers(self, ids: Sequence[str] | None = None) -> list[Paper]:
        """The ready papers `ids` in that order, or all of them by title."""
        query = sa.select(*_PAPER_COLUMNS).where(_papers.c.state == "ready")
        if ids is None:
            return list(map(_paper, self._rows(query.order_by(_papers.c.title, _papers.c.id))))
        found = {
            row["id"]: _paper(row)
            for chunk in _chunks(ids)
            for row in self._rows(query.where(_papers.c.id.in_(chunk)))
        }
        return [found[id] for id in ids if id in found]

    def titles(self, ids: Sequence[str]) -> dict[str, str]:
        """The title of each of the papers `ids`, whatever their state."""
        query = sa.select(_papers.c.id, _papers.c.title)
        return {
            row["id"]: row["title"]
            for chunk in _chunks(ids)
            for row in self._rows(query.where(_papers.c.id.in_(chunk)))
        }

    def passages(self, ids: Sequence[str]) -> list[Passage]:
        """The passages `ids` of ready papers, with their text, in that order, without others."""
        query = _passage_query().where(_papers.c.state == "ready")
        found = {
            row["id"]: _passage(row)
            for chunk in _chunks(ids)
            for row in self._rows(query.where(_passages.c.id.in_(chunk)))
        }
        return [found[id] for id in ids if id in found]

    def passages_of(self, paper_ids: Sequence[str]) -> list[Passage]:
        """All passages of the papers `paper_ids`, in reading order."""
        order = (_passages.c.paper_id, _passages.c.seq)
        return [
            _passage(row)
            for chunk in _chunks(paper_ids)
            for row in self._rows(
                _passage_query().where(_passages.c.paper_id.in_(chunk)).order_by(*order)
            )
        ]

    def counts(self) -> tuple[int, int]:
        """How many ready papers there are, and how many passages they have."""
        papers = sa.select(sa.func.count()).where(_papers.c.state == "ready")
        passages = papers.join_from(_papers, _passages)
        with self._connection() as connection:
            return connection.scalar(papers) or 0, connection.scalar(passages) or 0

    def get_meta(self, key: str) -> str | None:
        """A remembered fact about the library, or None."""
        rows = self._rows(sa.select(_meta.c.value).where(_meta.c.key == key))
        return str(rows[0]["value"]) if rows else None

    def set_meta(self, key: str, value: str) -> None:
        """Remember a fact about the library."""
        with self._transaction() as connection:
            connection.execute(_meta.delete().where(_meta.c.key == key))
            connection.execute(_meta.insert().values(key=key, value=value))

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def _check_version(self) -> None:
        found = self.get_meta("schema")
        if found is None:
            self.set_meta("schema", SCHEMA_VERSION)
        elif found != SCHEMA_VERSION:
            raise LibraryError(
                f"The library has format {found} and this scholar reads format {SCHEMA_VERSION}; "
                "upgrade scholar, or set SCHOLAR_HOME to another folder."
            )

    def _rows(self, query: sa.Select[Any]) -> Sequence[RowMapping]:
        with self._connection() as connection:
            return connection.execute(query).mappings().all()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with _readable_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _readable_errors(), self._engine.begin() as connection:
            yield connection


@contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise LibraryError(
            f"The library's database cannot be used ({error.orig}); "
            "check that SCHOLAR_HOME is writable and has room, then try again."
        ) from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # WAL lets others read while one writes; NORMAL keeps it safe against a crash of the process.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "busy_timeout=30000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[at : at + CHUNK] for at in range(0, len(ids), CHUNK))


def _passage_query() -> sa.Select[Any]:
    text = sa.func.substr(
        _papers.c.text, _passages.c.start + 1, _passages.c.end - _passages.c.start
    )
    return sa.select(_passages, text.label("text")).join(_papers)


def _paper_row(entry: Entry) -> dict[str, Any]:
    row = {column.name: getattr(entry.paper, column.name) for column in _PAPER_COLUMNS}
    return row | {"authors": list(entry.paper.authors), "text": entry.text, "state": "pending"}


def _paper(row: RowMapping) -> Paper:
    return Paper(**{**row, "authors": tuple(row["authors"])})


def _passage_row(passage: Passage) -> dict[str, Any]:
    return {column.name: getattr(passage, column.name) for column in _passages.c}


def _passage(row: RowMapping) -> Passage:
    return Passage(**{**row, "pages": tuple((start, number) for start, number in row["pages"])})
