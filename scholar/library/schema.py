"""The tables of the catalogue, and how one of an older version is brought up to date."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scholar.errors import LibraryError
from scholar.library import identity, spelling
from scholar.values import Paper

VERSION = "3"
"""2 added references, facts, cards, questions, collections, former passages and title blocks, 3 the
spelling of names by which they are looked up.
"""
_AT_ONCE = 1_000
"""Papers brought up to date per statement."""

schema = sa.MetaData()


def _owner(*, key: bool = False, index: bool = True) -> sa.Column[str]:
    column: sa.Column[str] = sa.Column(
        "paper_id",
        sa.ForeignKey("papers.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=key,
        index=index or None,
    )
    return column


def _passage(*, key: bool = True, nullable: bool = False) -> sa.Column[str]:
    column: sa.Column[str] = sa.Column(
        "passage_id",
        sa.ForeignKey("passages.id", ondelete="CASCADE"),
        nullable=nullable,
        primary_key=key,
        index=None if key else True,
    )
    return column


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False)


papers = sa.Table(
    "papers",
    schema,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("state", sa.String, nullable=False, index=True),
    _text("title"),
    sa.Column("authors", sa.JSON, nullable=False),
    sa.Column("year", sa.Integer),
    _text("venue"),
    sa.Column("identifiers", sa.JSON, nullable=False),
    _text("version"),
    _text("holds"),
    _text("source"),
    sa.Column("retracted", sa.Boolean, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("newer", sa.String, nullable=False, server_default=""),
)
keys = sa.Table(
    "keys",
    schema,
    sa.Column("key", sa.String, primary_key=True),
    _owner(),
)
blocks = sa.Table(
    "blocks",
    schema,
    sa.Column("block", sa.String, primary_key=True),
    _owner(key=True),
    sqlite_with_rowid=False,
)
passages = sa.Table(
    "passages",
    schema,
    sa.Column("id", sa.String, primary_key=True),
    _owner(),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("end", sa.Integer, nullable=False),
    _text("section"),
    sa.Column("pages", sa.JSON, nullable=False),
)
former = sa.Table(
    "former",
    schema,
    sa.Column("id", sa.String, primary_key=True),
    _owner(),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("end", sa.Integer, nullable=False),
    _text("section"),
    sa.Column("pages", sa.JSON, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
"""Passages of texts that a fuller one has replaced, so that what was cited still stands."""
references = sa.Table(
    "references",
    schema,
    _owner(key=True, index=False),
    sa.Column("seq", sa.Integer, primary_key=True),
    _text("text"),
    _text("title"),
    sa.Column("authors", sa.JSON, nullable=False),
    sa.Column("year", sa.Integer),
    sa.Column("identifiers", sa.JSON, nullable=False),
    sa.Column("cited", sa.ForeignKey("papers.id", ondelete="SET NULL"), index=True),
)
reference_keys = sa.Table(
    "reference_keys",
    schema,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("paper_id", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.ForeignKeyConstraint(
        ["paper_id", "seq"], ["references.paper_id", "references.seq"], ondelete="CASCADE"
    ),
    sa.Index("ix_reference_keys_of", "paper_id", "seq"),
    sqlite_with_rowid=False,
)
facts = sa.Table(
    "facts",
    schema,
    _passage(),
    sa.Column("seq", sa.Integer, primary_key=True),
    _text("subject"),
    _text("relation"),
    _text("object"),
)
entities = sa.Table(
    "entities",
    schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False, index=True),
    _owner(),
    _passage(key=False, nullable=True),
    sa.Column("folded", sa.String, nullable=False, server_default="", index=True),
)
"""Names by passage, or by paper where its card gives them; and without what spellings differ in."""
feedback = sa.Table(
    "feedback",
    schema,
    sa.Column("id", sa.Integer, primary_key=True),
    _passage(key=False),
    sa.Column("helpful", sa.Boolean, nullable=False),
)
"""What readers said of the passages under an answer."""
lessons = sa.Table(
    "lessons",
    schema,
    sa.Column("run_id", sa.String, primary_key=True),
    _text("question"),
    sa.Column("learnt", sa.Float, nullable=False, index=True),
    sa.Column("paid", sa.JSON, nullable=False),
    sa.Column("barren", sa.JSON, nullable=False),
    _text("embedder"),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)
"""What past questions were searched by. Made where it is first needed, so that a library of before
is none of another format.
"""
questions = sa.Table(
    "questions",
    schema,
    _passage(),
    sa.Column("seq", sa.Integer, primary_key=True),
    _text("text"),
)
cards = sa.Table(
    "cards",
    schema,
    _owner(key=True, index=False),
    _text("problem"),
    _text("approach"),
    sa.Column("motivations", sa.JSON, nullable=False),
    sa.Column("contributions", sa.JSON, nullable=False),
    sa.Column("entities", sa.JSON, nullable=False),
)
enriched = sa.Table(
    "enriched",
    schema,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, primary_key=True),
    _text("model"),
    _owner(),
    _passage(key=False, nullable=True),
)
"""What has been made of a passage or paper, so that nothing is paid for twice."""
embedded = sa.Table(
    "embedded",
    schema,
    _passage(),
    _text("embedder"),
    _text("digest"),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)
"""The vector of each passage, by which model, and the digest of what it was made of."""
collections = sa.Table(
    "collections",
    schema,
    sa.Column("name", sa.String, primary_key=True),
    _owner(key=True),
    sqlite_with_rowid=False,
)
meta = sa.Table(
    "meta",
    schema,
    sa.Column("key", sa.String, primary_key=True),
    _text("value"),
)


def bring_up_to_date(connection: Connection) -> None:
    """Make or complete the tables, in the transaction of `connection`.

    Raises LibraryError where they were written by a version that is not known here.
    """
    there = set(sa.inspect(connection).get_table_names())
    found = None
    if "meta" in there:
        found = connection.scalar(sa.select(meta.c.value).where(meta.c.key == "schema"))
    if found == VERSION:
        return
    if found not in (None, "1", "2"):
        raise LibraryError(
            f"The library has format {found} and this scholar reads format {VERSION}; "
            "upgrade scholar, or set SCHOLAR_HOME to another folder."
        )
    schema.create_all(connection)
    if found == "1":
        _from_1(connection)
    if found == "2":
        _from_2(connection)
    connection.execute(meta.delete().where(meta.c.key == "schema"))
    connection.execute(meta.insert().values(key="schema", value=VERSION))


def _from_1(connection: Connection) -> None:
    """Add what version 1 did not keep of papers: a later version, and what they are known by."""
    kept = {column["name"] for column in sa.inspect(connection).get_columns("papers")}
    if "newer" not in kept:
        # The type and default as in the table above; SQLAlchemy writes no ALTER TABLE.
        connection.execute(
            sa.text("ALTER TABLE papers ADD COLUMN newer VARCHAR NOT NULL DEFAULT ''")
        )
    for index in keys.indexes:
        index.create(connection, checkfirst=True)
    # A key may have been taken by a work that came first.
    taken = set(connection.scalars(sa.select(keys.c.key)))
    columns = (papers.c.id, papers.c.title, papers.c.identifiers, papers.c.holds)
    rows = connection.execute(sa.select(*columns)).mappings()
    while some := rows.fetchmany(_AT_ONCE):
        old = [Paper(row["id"], row["title"], identifiers=row["identifiers"], holds=row["holds"])
               for row in some]  # fmt: skip
        add_names(connection, [(paper, ()) for paper in old], taken)


def _from_2(connection: Connection) -> None:
    """Add the spelling by which names are looked up."""
    kept = {column["name"] for column in sa.inspect(connection).get_columns("entities")}
    if "folded" not in kept:
        connection.execute(
            sa.text("ALTER TABLE entities ADD COLUMN folded VARCHAR NOT NULL DEFAULT ''")
        )
    for index in entities.indexes:
        index.create(connection, checkfirst=True)
    names = connection.scalars(sa.select(entities.c.name).distinct()).all()
    here = entities.c.name == sa.bindparam("spelled")
    query = entities.update().where(here).values(folded=sa.bindparam("without"))
    for at in range(0, len(names), _AT_ONCE):
        some = [{"spelled": n, "without": spelling.fold(n)} for n in names[at : at + _AT_ONCE]]
        connection.execute(query, some)


def add_names(
    connection: Connection, named: list[tuple[Paper, tuple[str, ...]]], taken: set[str]
) -> None:
    """Write what papers are known by: their identifiers, the keys given and their titles."""
    keyed: dict[str, str] = {}
    for paper, more in named:
        for key in (paper.id, *more, *identity.keys_of(paper)):
            if key not in taken:
                keyed.setdefault(key, paper.id)
    if keyed:
        rows = [{"key": key, "paper_id": id} for key, id in keyed.items()]
        connection.execute(keys.insert(), rows)
        taken |= keyed.keys()
    blocked = [
        {"block": block, "paper_id": paper.id}
        for paper, _ in named
        if paper.holds != "note"
        for block in dict.fromkeys(spelling.blocks_of(paper.title))
    ]
    if blocked:
        connection.execute(blocks.insert(), blocked)
