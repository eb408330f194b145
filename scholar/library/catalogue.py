"""The catalogue: what the library holds, in SQL. It is the truth; every index derives from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from scholar.library import quick, rows, schema
from scholar.library.quick import Quick, readable_errors
from scholar.library.rows import HIDDEN, PAPER_COLUMNS, chunks, shown
from scholar.library.schema import blocks, collections, former, keys, meta, papers, passages
from scholar.library.schema import references as refs
from scholar.values import Paper, Passage, Reference

State = Literal["pending", "ready", "stale", "removing"]
"""`stale` papers are seen while their indexes are brought up to date, the others but `ready` not.
"""
REVISION = "revision"
"""What the catalogue remembers to count changes by."""
ENRICHED = "enriched"
"""The same of facts and generated questions alone: what is made of all of them takes long."""
_NONE: Mapping[str, Sequence[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is stored of one work. `keys` are further names it is known by (`sha256:…`)."""

    paper: Paper
    text: str
    passages: tuple[Passage, ...]
    keys: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()


class Catalogue:
    """Papers, passages and what else must not be lost, at an SQLAlchemy `url`.

    Each method that writes is one transaction. Raises LibraryError where the database cannot be
    opened or was written by another version.
    """

    def __init__(self, url: sa.URL, *, read_only: bool = False) -> None:
        if read_only:
            # Without this SQLite would make files beside it even to read.
            file = f"{Path(url.database or '').absolute().as_uri()}?immutable=1"
            url = url.set(database=file, query={"uri": "true"})
        self.read_only = read_only
        self._engine = sa.create_engine(url, json_serializer=_to_json)
        self.quick = Quick(self._engine)
        if self._engine.dialect.name == "sqlite":
            if not read_only:
                sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        self._writing = self._engine.execution_options(writes=True)
        with ExitStack() as opened:
            opened.callback(self.close)
            if not read_only and not self._is_up_to_date():
                with self.transaction() as connection:
                    schema.bring_up_to_date(connection)
            opened.pop_all()

    # Papers and their text

    def put(
        self,
        entries: Iterable[Entry],
        *,
        united: Mapping[str, Sequence[str]] = _NONE,
    ) -> None:
        """Write `entries` as pending; what stood under their ids goes.

        Where the text and its passages are as before, what was made of them stays. An entry whose
        id is in `united` takes the place of the papers named there, which are to be removed, and
        passages of texts that it replaces can still be read.
        """
        entries = list(entries)
        with self.transaction(REVISION) as connection:
            there = rows.stored_texts(connection, [entry.paper.id for entry in entries])
            fresh = [e for e in entries if there.get(e.paper.id) != rows.cut_of(e)]
            retexted = {e.paper.id for e in fresh} & there.keys()
            if retexted:
                rows.clear_texts(connection, sorted(retexted), keep=united)
                rows.count_up(connection, ENRICHED)
            rows.write_papers(connection, entries, there, retexted)
            for id, gone in united.items():
                rows.absorb(connection, id, gone)
            rows.write_passages(connection, fresh)
            rows.write_names(connection, entries, there)
            rows.write_references(connection, entries)

    def set_state(self, ids: Sequence[str], state: State) -> None:
        """Move the papers `ids`, if any, on to `state`."""
        if not ids:
            return
        with self.transaction(REVISION) as connection:
            for chunk in chunks(ids):
                query = papers.update().where(papers.c.id.in_(chunk))
                connection.execute(query.values(state=state))

    def delete(self, ids: Sequence[str]) -> None:
        """Forget the papers `ids` with all that was made of them."""
        with self.transaction(REVISION, ENRICHED) as connection:
            rows.delete(connection, papers.c.id, ids)

    def update(self, changed: Iterable[Paper]) -> None:
        """Write what is said of papers, which become stale; their texts stay as they are."""
        with self.transaction(REVISION) as connection:
            for paper in changed:
                row = rows.paper_row(paper) | {"state": "stale"}
                here = (papers.c.id == paper.id) & shown
                connection.execute(papers.update().where(here).values(row))

    def unfinished(self) -> dict[str, State]:
        """The papers whose writing or removal was cut short, by id."""
        query = sa.select(papers.c.id, papers.c.state).where(
            papers.c.state.in_(("pending", "stale", "removing"))
        )
        return {row["id"]: row["state"] for row in self.fetch(query)}

    def find(self, key: str) -> Paper | None:
        """The ready paper known by `key`: its id or another of its keys."""
        return self.find_all([key]).get(key)

    def find_all(self, wanted: Iterable[str]) -> dict[str, Paper]:
        """The ready papers known by `wanted`, each under that key."""
        query = (
            sa.select(keys.c.key, *PAPER_COLUMNS)
            .join(papers, keys.c.paper_id == papers.c.id)
            .where(shown)
        )
        found = self._by_chunk(query, keys.c.key, wanted)
        return {row["key"]: rows.paper_of(row) for row in found}

    def in_blocks(self, wanted: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
        """The ids and titles of the papers whose titles are in the blocks `wanted`, by block."""
        query = (
            sa.select(blocks.c.block, papers.c.id, papers.c.title)
            .join(papers, blocks.c.paper_id == papers.c.id)
            .where(shown)
        )
        found: dict[str, list[tuple[str, str]]] = {}
        for row in self._by_chunk(query, blocks.c.block, wanted):
            found.setdefault(row["block"], []).append((row["id"], row["title"]))
        return found

    def entry(self, paper_id: str) -> Entry | None:
        """All that is stored of a ready paper."""
        query = sa.select(papers).where(papers.c.id == paper_id, shown)
        for row in self.fetch(query):
            found = rows.paper_of(row)
            query = sa.select(keys.c.key).where(keys.c.paper_id == paper_id)
            known_as = tuple(row["key"] for row in self.fetch(query))
            cut = tuple(self.passages_of([paper_id]))
            return Entry(found, row["text"], cut, known_as, tuple(self.references_of(paper_id)))
        return None

    def papers(self, ids: Sequence[str] | None = None, *, collection: str = "") -> list[Paper]:
        """The papers `ids` in that order, or all of them or of a collection by title."""
        query = sa.select(*PAPER_COLUMNS).where(shown)
        if ids is None:
            if collection:
                query = query.join(collections).where(collections.c.name == collection)
            return list(map(rows.paper_of, self.fetch(query.order_by(papers.c.title, papers.c.id))))
        found = {row["id"]: rows.paper_of(row) for row in self._by_chunk(query, papers.c.id, ids)}
        return [found[id] for id in ids if id in found]

    def ids(self) -> list[str]:
        """The ids of all ready papers."""
        query = sa.select(papers.c.id).where(shown).order_by(papers.c.id)
        return [row["id"] for row in self.fetch(query)]

    def descriptions(self, ids: Iterable[str]) -> dict[str, Paper]:
        """Each of the papers `ids`, whatever its state."""
        found = self._by_chunk(sa.select(*PAPER_COLUMNS), papers.c.id, ids)
        return {row["id"]: rows.paper_of(row) for row in found}

    def titles(self, ids: Sequence[str]) -> dict[str, str]:
        """The title of each of the papers `ids`, whatever their state."""
        query = sa.select(papers.c.id, papers.c.title)
        return {row["id"]: row["title"] for row in self._by_chunk(query, papers.c.id, ids)}

    def passages(self, ids: Sequence[str]) -> list[Passage]:
        """The passages `ids` of ready papers, with their text, in that order, without others.

        Those of a text that was replaced since are among them.
        """
        ready = shown
        query = rows.passage_query().where(ready)
        found = {
            row["id"]: rows.passage_of(row) for row in self._by_chunk(query, passages.c.id, ids)
        }
        if len(found) < len(set(ids)):
            query = sa.select(former).join(papers).where(ready)
            lost = [id for id in ids if id not in found]
            found |= {
                row["id"]: rows.passage_of(row) for row in self._by_chunk(query, former.c.id, lost)
            }
        return [found[id] for id in ids if id in found]

    def owners(self, ids: Iterable[str]) -> dict[str, str]:
        """The paper of each of the passages `ids`, without those that are not to be seen."""
        return dict(self.quick.read(quick.OWNERS, ids=json.dumps(list(ids))))

    def passages_of(self, paper_ids: Sequence[str]) -> list[Passage]:
        """All passages of the papers `paper_ids`, in reading order."""
        query = rows.passage_query().order_by(passages.c.paper_id, passages.c.seq)
        return list(map(rows.passage_of, self._by_chunk(query, passages.c.paper_id, paper_ids)))

    def counts(self) -> tuple[int, int]:
        """How many papers there are, and how many passages they have."""
        query = sa.select(sa.func.count()).where(shown)
        with self.connection() as connection:
            return (
                connection.scalar(query.select_from(papers)) or 0,
                connection.scalar(query.join_from(papers, passages)) or 0,
            )

    def holdings(self) -> dict[str, int]:
        """How many papers there are by what is held of them."""
        query = sa.select(papers.c.holds, sa.func.count().label("n")).where(shown)
        return {row["holds"]: row["n"] for row in self.fetch(query.group_by(papers.c.holds))}

    # References

    def count_references(self) -> int:
        """How many references there are."""
        query = sa.select(sa.func.count().label("n")).select_from(
            refs.join(papers, refs.c.paper_id == papers.c.id)
        )
        return int(self.fetch(query.where(shown))[0]["n"])

    def references_of(self, paper_id: str) -> list[Reference]:
        """The works that a paper cites, in the order of its bibliography."""
        query = sa.select(refs).where(refs.c.paper_id == paper_id)
        return list(map(rows.reference_of, self.fetch(query.order_by(refs.c.seq))))

    def citations(self) -> list[tuple[str, str]]:
        """Pairs of papers here of which the first cites the second."""
        cited = papers.alias()
        query = (
            sa.select(refs.c.paper_id, refs.c.cited)
            .join(papers, papers.c.id == refs.c.paper_id)
            .join(cited, cited.c.id == refs.c.cited)
            .where(shown, cited.c.state.not_in(HIDDEN))
            .distinct()
        )
        return [(row["paper_id"], row["cited"]) for row in self.fetch(query)]

    def cites(self, paper_id: str) -> list[Paper]:
        """The papers here that a paper cites, in the order of its bibliography."""
        query = sa.select(refs.c.cited).where(refs.c.paper_id == paper_id)
        rows = self.fetch(query.order_by(refs.c.seq))
        return self.papers(list(dict.fromkeys(row["cited"] for row in rows if row["cited"])))

    def cited_by(self, paper_id: str) -> list[Paper]:
        """The papers here that cite a paper, by title."""
        citing = sa.select(refs.c.paper_id).where(refs.c.cited == paper_id)
        query = sa.select(*PAPER_COLUMNS).where(shown)
        query = query.where(papers.c.id.in_(citing)).order_by(papers.c.title, papers.c.id)
        return list(map(rows.paper_of, self.fetch(query)))

    # Collections

    def put_into(self, name: str, ids: Sequence[str]) -> None:
        """Make the papers `ids` part of the collection `name`; they become stale."""
        with self.transaction(REVISION) as connection:
            inside = sa.select(collections.c.paper_id).where(collections.c.name == name)
            for chunk in chunks(ids):
                new = papers.c.id.in_(chunk) & papers.c.id.not_in(inside) & shown
                found = list(connection.scalars(sa.select(papers.c.id).where(new)))
                rows.insert(connection, collections, [{"name": name, "paper_id": i} for i in found])
                here = papers.c.id.in_(found)
                connection.execute(papers.update().where(here).values(state="stale"))

    def collections_of(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """The names of the collections that each of the papers `ids` is in, if any."""
        found: dict[str, list[str]] = {}
        query = sa.select(collections).order_by(collections.c.name)
        for row in self._by_chunk(query, collections.c.paper_id, ids):
            found.setdefault(row["paper_id"], []).append(row["name"])
        return found

    def collections(self) -> dict[str, int]:
        """How many papers each collection has, by name."""
        query = sa.select(collections.c.name, sa.func.count().label("n")).join(papers)
        query = query.where(shown).group_by(collections.c.name)
        return {row["name"]: row["n"] for row in self.fetch(query)}

    def problems(self) -> list[str]:
        """What the database or the data in it says is wrong; nothing where all is well."""
        found: list[str] = []
        with self.connection() as connection:
            if self._engine.dialect.name == "sqlite":
                said = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
                found += [str(line) for line in said if line != "ok"]
                lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                found += [f"a row of {row[0]} belongs to nothing" for row in lost]
            beyond = sa.select(passages.c.id).join_from(passages, papers)
            beyond = beyond.where(passages.c.end > sa.func.length(papers.c.text))
            ids = connection.scalars(beyond).all()
            found += [f"passage {id} goes beyond its text" for id in ids]
            named = sa.select(keys.c.key).where(keys.c.key == papers.c.id)
            nameless = connection.scalars(sa.select(papers.c.id).where(~named.exists())).all()
            found += [f"paper {id} is not known by its id" for id in nameless]
        return found

    # What is remembered of the library

    def get_meta(self, key: str) -> str | None:
        """A remembered fact about the library, or None."""
        found = self.quick.read(quick.META, key=key)
        return str(found[0][0]) if found else None

    def set_meta(self, **facts: str) -> None:
        """Remember facts about the library, all or none."""
        with self.transaction() as connection:
            for key, value in facts.items():
                connection.execute(meta.delete().where(meta.c.key == key))
                connection.execute(meta.insert().values(key=key, value=value))

    def count_up(self, key: str) -> str:
        """Add one to a remembered number; what it is then."""
        with self.transaction() as connection:
            return rows.count_up(connection, key)

    def close(self) -> None:
        """Give back the connections."""
        self.quick.close()
        self._engine.dispose()

    def fetch(self, query: sa.Select[Any]) -> Sequence[RowMapping]:
        """What `query` finds."""
        with self.connection() as connection:
            return connection.execute(query).mappings().all()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection to read by."""
        with readable_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self, *counts: str) -> Iterator[Connection]:
        """A connection to write by: all or nothing; `counts` go up with it."""
        with readable_errors(), self._writing.begin() as connection:
            yield connection
            for key in counts:
                rows.count_up(connection, key)

    def _is_up_to_date(self) -> bool:
        with self.connection() as connection:
            if not sa.inspect(connection).has_table("meta"):
                return False
            found = connection.scalar(sa.select(meta.c.value).where(meta.c.key == "schema"))
            return bool(found == schema.VERSION)

    def _by_chunk(
        self, query: sa.Select[Any], column: sa.Column[Any], values: Iterable[str]
    ) -> Iterator[RowMapping]:
        for chunk in chunks(list(values)):
            yield from self.fetch(query.where(column.in_(chunk)))


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says
    # WAL lets others read while one writes; NORMAL keeps it safe against a crash of the process.
    # In 16 MB the upper levels of all indexes of 100,000 passages stay.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "busy_timeout=30000",
        "cache_size=-16000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns writer fails at once where another has written since; so begin as one.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
