"""Between the values and the rows of the catalogue, and the statements that write them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from scholar.library import identity, spelling
from scholar.library.schema import (
    blocks,
    cards,
    collections,
    enriched,
    entities,
    former,
    keys,
    meta,
    papers,
    passages,
    reference_keys,
    references,
)
from scholar.values import Paper, Passage, Reference

if TYPE_CHECKING:
    from scholar.library.catalogue import Entry

HIDDEN = ("pending", "removing")
"""The states in which a paper is not seen."""
shown = papers.c.state.not_in(HIDDEN)
"""Whether a paper is seen; said so that SQLite does not start from all that are."""
CHUNK = 500
"""Ids per query: SQLite takes 32,766 variables, and long statements only get slower to parse."""
PAPER_COLUMNS = [column for column in papers.c if column.name not in ("text", "state")]
_PAPER_FIELDS = [column.name for column in PAPER_COLUMNS]
_PASSAGE_FIELDS = [column.name for column in passages.c]
Stored = Mapping[str, tuple[str, tuple[tuple[str, int, int], ...]]]
"""The text of papers and the ids and places of their passages, by paper."""


def fingerprint(text: str) -> str:
    """Sixteen characters by which a stale or wrong text is told."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def chunks(values: Iterable[str]) -> Iterator[Sequence[str]]:
    """`values`, as many at a time as a query takes."""
    all_of_them = list(values)
    return (all_of_them[at : at + CHUNK] for at in range(0, len(all_of_them), CHUNK))


def passage_query() -> sa.Select[Any]:
    """Passages with their text, joined to their papers."""
    text = sa.func.substr(papers.c.text, passages.c.start + 1, passages.c.end - passages.c.start)
    return sa.select(passages, text.label("text")).join(papers)


def paper_of(row: RowMapping) -> Paper:
    """The paper of a row, which may say more."""
    fields = {name: row[name] for name in _PAPER_FIELDS}
    return Paper(**{**fields, "authors": tuple(row["authors"])})


def passage_of(row: RowMapping) -> Passage:
    """The passage of a row with its text."""
    return Passage(**{**row, "pages": tuple((start, number) for start, number in row["pages"])})


def reference_of(row: RowMapping) -> Reference:
    """The reference of a row, which may say more."""
    return Reference(
        row["text"], row["title"], tuple(row["authors"]), row["year"], row["identifiers"]
    )


def paper_row(paper: Paper) -> dict[str, Any]:
    """A paper as a row, without its text and state."""
    row = {name: getattr(paper, name) for name in _PAPER_FIELDS}
    return row | {"authors": list(paper.authors)}


def insert(connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write `rows`, if any, all of the same columns.

    By the driver, as SQLAlchemy's own work on a row takes three times what SQLite's does.
    """
    if not rows:
        return
    dialect, columns = connection.dialect, list(rows[0])
    statement = table.insert().compile(dialect=dialect, column_keys=columns)
    for column in columns:
        put = table.c[column].type.dialect_impl(dialect).bind_processor(dialect)
        if put is not None:
            rows = [{**row, column: put(row[column])} for row in rows]
    order = statement.positiontup
    values = rows if order is None else [tuple([row[name] for name in order]) for row in rows]
    connection.exec_driver_sql(str(statement), values)


def delete(connection: Connection, column: sa.Column[Any], values: Iterable[str]) -> None:
    """Drop the rows whose `column` is among `values`."""
    for chunk in chunks(values):
        connection.execute(column.table.delete().where(column.in_(chunk)))


def count_up(connection: Connection, key: str) -> str:
    """Add one to a number in `meta`; what it is then."""
    found = connection.scalar(sa.select(meta.c.value).where(meta.c.key == key))
    value = str(int(found or 0) + 1)
    if found is None:
        connection.execute(meta.insert().values(key=key, value=value))
    else:
        connection.execute(meta.update().where(meta.c.key == key).values(value=value))
    return value


def stored_texts(connection: Connection, ids: Iterable[str]) -> Stored:
    """What of the papers `ids` is there."""
    found: dict[str, tuple[str, tuple[tuple[str, int, int], ...]]] = {}
    for chunk in chunks(ids):
        texts = connection.execute(
            sa.select(papers.c.id, papers.c.text).where(papers.c.id.in_(chunk))
        ).all()
        places: dict[str, list[tuple[str, int, int]]] = {}
        if texts:
            columns = (passages.c.paper_id, passages.c.id, passages.c.start, passages.c.end)
            query = sa.select(*columns).where(passages.c.paper_id.in_(chunk))
            for paper_id, *place in connection.execute(query.order_by(passages.c.seq)):
                places.setdefault(paper_id, []).append((place[0], place[1], place[2]))
        found |= {id: (text, tuple(places.get(id, ()))) for id, text in texts}
    return found


def cut_of(entry: Entry) -> tuple[str, tuple[tuple[str, int, int], ...]]:
    """What `stored_texts` would say of an entry."""
    return entry.text, tuple((p.id, p.start, p.end) for p in entry.passages)


def write_papers(
    connection: Connection, entries: Sequence[Entry], there: Stored, fresh: Collection[str]
) -> None:
    """Write the papers of `entries`, as pending, or stale where no text is `fresh`."""
    rows = [paper_row(e.paper) | {"text": e.text, "state": "pending"} for e in entries]
    insert(connection, papers, [row for row in rows if row["id"] not in there])
    as_before = sa.case((shown, "stale"), else_="pending")
    for row in rows:
        if row["id"] in there:
            state = "pending" if row["id"] in fresh else as_before
            query = papers.update().where(papers.c.id == row["id"])
            connection.execute(query.values({**row, "state": state}))


def clear_texts(connection: Connection, ids: Sequence[str], keep: Collection[str]) -> None:
    """Drop the passages of the papers `ids` with all that was made of them.

    Of those to `keep`, what was cited can still be read.
    """
    for id in ids:
        if id in keep:
            _retire(connection, id, id)
    delete(connection, passages.c.paper_id, ids)
    for column in (cards.c.paper_id, enriched.c.paper_id, entities.c.paper_id):
        delete(connection, column, ids)


def absorb(connection: Connection, id: str, gone: Sequence[str]) -> None:
    """Let the paper `id` take the place of the papers `gone`: what cites them, which collections
    they are in. They themselves stay until the indexes have forgotten them.
    """
    for other in gone:
        _retire(connection, other, id)
        for column in (references.c.cited, former.c.paper_id):
            query = column.table.update().where(column == other)
            connection.execute(query.values({column.name: id}))
        here = sa.select(collections.c.name).where(collections.c.paper_id == id)
        mine = sa.and_(collections.c.paper_id == other, collections.c.name.not_in(here))
        connection.execute(collections.update().where(mine).values(paper_id=id))
        delete(connection, blocks.c.paper_id, [other])
        delete(connection, references.c.paper_id, [other])
        connection.execute(papers.update().where(papers.c.id == other).values(state="removing"))


def _retire(connection: Connection, paper_id: str, owner: str) -> None:
    query = passage_query().where(passages.c.paper_id == paper_id)
    rows = [dict(row) | {"paper_id": owner} for row in connection.execute(query).mappings()]
    delete(connection, former.c.id, [row["id"] for row in rows])
    insert(connection, former, rows)


def write_passages(connection: Connection, entries: Iterable[Entry]) -> None:
    """Write the passages of `entries`."""
    rows = [
        {name: getattr(passage, name) for name in _PASSAGE_FIELDS}
        for entry in entries
        for passage in entry.passages
    ]
    delete(connection, former.c.id, [row["id"] for row in rows])  # a text may come back
    insert(connection, passages, rows)


def write_names(connection: Connection, entries: Sequence[Entry], there: Collection[str]) -> None:
    """Write what the papers of `entries` are known by; a name that another has is taken over."""
    delete(connection, keys.c.paper_id, there)
    delete(connection, blocks.c.paper_id, there)
    keyed = {key: e.paper.id for e in entries for key in (*e.keys, *identity.keys_of(e.paper))}
    keyed |= {e.paper.id: e.paper.id for e in entries}
    delete(connection, keys.c.key, keyed)
    insert(connection, keys, [{"key": key, "paper_id": id} for key, id in keyed.items()])
    insert(connection, blocks, list(block_rows(entry.paper for entry in entries)))


def block_rows(of: Iterable[Paper]) -> Iterator[dict[str, Any]]:
    """The rows of the title blocks of papers; a note is no work that another could be."""
    for paper in of:
        if paper.holds != "note":
            for block in spelling.blocks_of(paper.title):
                yield {"block": block, "paper_id": paper.id}


def write_references(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write the references of `entries`, and find out which papers here are cited by which."""
    delete(connection, references.c.paper_id, [e.paper.id for e in entries])
    numbered = [(e.paper.id, n, r) for e in entries for n, r in enumerate(e.references)]
    cited = _cited(connection, [reference for _, _, reference in numbered])
    insert(
        connection,
        references,
        [
            {
                "paper_id": id, "seq": n, "text": r.text, "title": r.title,
                "authors": list(r.authors), "year": r.year, "identifiers": r.identifiers,
                "cited": c if c != id else None,
            }
            for (id, n, r), c in zip(numbered, cited, strict=True)
        ],
    )  # fmt: skip
    rows = [
        {"key": key, "paper_id": id, "seq": n}
        for id, n, r in numbered
        for key in dict.fromkeys(identity.reference_keys(r))
    ]
    insert(connection, reference_keys, rows)
    _resolve(connection, [entry.paper for entry in entries])


def _cited(connection: Connection, named: Sequence[Reference]) -> list[str | None]:
    """For each reference the paper here that it means, or None."""
    wanted = {key for reference in named for key in identity.reference_keys(reference)}
    ids = {key for key in wanted if not key.startswith("title:")}
    known: dict[str, list[Paper]] = {}
    for table, column, values in (
        (keys, keys.c.key, ids),
        (blocks, blocks.c.block, {f"={key.removeprefix('title:')}" for key in wanted - ids}),
    ):
        query = sa.select(column.label("name"), *PAPER_COLUMNS).select_from(
            table.join(papers, table.c.paper_id == papers.c.id)
        )
        for chunk in chunks(values):
            for row in connection.execute(query.where(column.in_(chunk))).mappings():
                name = row["name"]
                name = f"title:{name[1:]}" if name.startswith("=") else name
                known.setdefault(name, []).append(paper_of(row))
    return [_meant(reference, known) for reference in named]


def _meant(reference: Reference, known: Mapping[str, list[Paper]]) -> str | None:
    for key in identity.reference_keys(reference):
        for paper in known.get(key, ()):
            if not key.startswith("title:") or identity.is_cited(reference, paper):
                return paper.id
    return None


def _resolve(connection: Connection, arrived: Iterable[Paper]) -> None:
    """Find the references that mean the papers that have `arrived`."""
    named: dict[str, Paper] = {}
    for paper in arrived:
        if paper.holds != "note":
            named |= dict.fromkeys(identity.keys_of(paper), paper)
            named[f"title:{spelling.title_key(paper.title)}"] = paper
    query = (
        sa.select(reference_keys.c.key, references)
        .select_from(reference_keys.join(references))
        .where(references.c.cited.is_(None))
    )
    for chunk in chunks(named):
        for row in (
            connection.execute(query.where(reference_keys.c.key.in_(chunk))).mappings().all()
        ):
            paper = named[row["key"]]
            if row["paper_id"] != paper.id and identity.is_cited(reference_of(row), paper):
                here = (references.c.paper_id == row["paper_id"]) & (references.c.seq == row["seq"])
                connection.execute(references.update().where(here).values(cited=paper.id))
