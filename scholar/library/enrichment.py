"""What was found out about stored passages and papers: facts, questions, cards and names.

It goes with the passage or paper that it was made of. Each `put` is one transaction that replaces
what was there of its kind, and remembers that it was done, also where nothing was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scholar.library.catalogue import ENRICHED, REVISION, Catalogue
from scholar.library.rows import chunks, delete, insert, passage_of, passage_query, shown
from scholar.library.schema import cards, enriched, entities, facts, papers, passages, questions
from scholar.library.spelling import fold
from scholar.values import Card, Fact, Passage

Kind = Literal["facts", "questions", "card"]
PAGE = 256
"""Passages read at a time."""

_owned = passages.c.paper_id == papers.c.id


class Enrichment:
    """The enrichment that `catalogue` holds."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def put_facts(self, passage_id: str, found: Sequence[Fact], model: str) -> bool:
        """Store the facts that a passage states, and their subjects and objects as its names.

        False where the passage is gone, and nothing is stored.
        """
        with self._catalogue.transaction(REVISION, ENRICHED) as connection:
            owner = _owner(connection, passage_id)
            if owner is None:
                return False
            delete(connection, facts.c.passage_id, [passage_id])
            insert(
                connection,
                facts,
                [
                    {"passage_id": passage_id, "seq": n, "subject": fact.subject,
                     "relation": fact.relation, "object": fact.object}
                    for n, fact in enumerate(found)
                ],
            )  # fmt: skip
            names = dict.fromkeys(name for fact in found for name in (fact.subject, fact.object))
            delete(connection, entities.c.passage_id, [passage_id])
            _name(connection, names, owner, passage_id)
            _done(connection, "facts", model, owner, passage_id)
        return True

    def put_questions(self, passage_id: str, asked: Sequence[str], model: str) -> bool:
        """Store the questions that a passage answers. False where it is gone."""
        with self._catalogue.transaction(REVISION, ENRICHED) as connection:
            owner = _owner(connection, passage_id)
            if owner is None:
                return False
            delete(connection, questions.c.passage_id, [passage_id])
            rows = [{"passage_id": passage_id, "seq": n, "text": t} for n, t in enumerate(asked)]
            insert(connection, questions, rows)
            _done(connection, "questions", model, owner, passage_id)
        return True

    def put_card(self, card: Card, model: str) -> bool:
        """Store what a paper is about, and the entities of its card as its names. False if gone."""
        owner = card.paper_id
        with self._catalogue.transaction(REVISION) as connection:
            query = sa.select(papers.c.id).where(papers.c.id == owner, shown)
            if connection.scalar(query) is None:
                return False
            delete(connection, cards.c.paper_id, [owner])
            insert(connection, cards, [_card_row(card)])
            own = (entities.c.paper_id == owner) & entities.c.passage_id.is_(None)
            connection.execute(entities.delete().where(own))
            _name(connection, dict.fromkeys(card.entities), owner, None)
            _done(connection, "card", model, owner, None)
        return True

    def facts_of(self, passage_ids: Iterable[str]) -> list[Fact]:
        """The facts of the passages, one per different triple, with the passages that state it."""
        query = sa.select(facts).order_by(facts.c.passage_id, facts.c.seq)
        return _gathered(self._among(query, facts.c.passage_id, passage_ids))

    def all_facts(self) -> list[Fact]:
        """All facts, one per different triple, with the passages that state it."""
        query = (
            sa.select(facts)
            .join_from(facts, passages)
            .join(papers, passages.c.paper_id == papers.c.id)
            .where(shown)
        )
        return _gathered(self._catalogue.fetch(query.order_by(facts.c.passage_id, facts.c.seq)))

    def facts_about(self, names: Iterable[str]) -> dict[str, list[Fact]]:
        """The facts about each of `names`, folded, that are about any; each with its passages."""
        wanted = dict.fromkeys(filter(None, names))
        query = sa.select(facts).join_from(facts, passages).join(papers, _owned).where(shown)
        found: dict[str, list[Fact]] = {}
        for chunk in chunks(wanted):
            inside = sa.select(entities.c.passage_id).where(entities.c.folded.in_(chunk))
            rows = query.where(facts.c.passage_id.in_(inside))
            ordered = rows.order_by(facts.c.passage_id, facts.c.seq)
            for fact in _gathered(self._catalogue.fetch(ordered)):
                for name in dict.fromkeys((fold(fact.subject), fold(fact.object))):
                    if name in wanted and fact not in (known := found.setdefault(name, [])):
                        known.append(fact)
        return found

    def names(self) -> list[str]:
        """All that facts are about, folded."""
        query = sa.select(entities.c.folded).where(entities.c.passage_id.is_not(None)).distinct()
        return [row["folded"] for row in self._catalogue.fetch(query) if row["folded"]]

    def questions_of(self, passage_ids: Iterable[str]) -> dict[str, list[str]]:
        """The questions that each of the passages answers, where there are any."""
        query = sa.select(questions).order_by(questions.c.passage_id, questions.c.seq)
        found: dict[str, list[str]] = {}
        for row in self._among(query, questions.c.passage_id, passage_ids):
            found.setdefault(row["passage_id"], []).append(row["text"])
        return found

    def all_questions(self) -> list[tuple[str, str]]:
        """All questions, each with the passage that answers it."""
        query = (
            sa.select(questions)
            .join_from(questions, passages)
            .join(papers, passages.c.paper_id == papers.c.id)
            .where(shown)
        )
        rows = self._catalogue.fetch(query.order_by(questions.c.passage_id, questions.c.seq))
        return [(row["passage_id"], row["text"]) for row in rows]

    def cards_of(self, paper_ids: Iterable[str]) -> list[Card]:
        """The cards of the papers, of those that have one."""
        return list(map(_card, self._among(sa.select(cards), cards.c.paper_id, paper_ids)))

    def entities_of(self, paper_ids: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
        """The names in each of the papers, each with its passage, or "" where it is the card's."""
        query = sa.select(entities).order_by(entities.c.id)
        found: dict[str, list[tuple[str, str]]] = {}
        for row in self._among(query, entities.c.paper_id, paper_ids):
            pair = (row["name"], row["passage_id"] or "")
            found.setdefault(row["paper_id"], []).append(pair)
        return found

    def papers_named(self, names: Iterable[str]) -> dict[str, list[str]]:
        """The ids of the papers in which each of the `names` occurs, as spelled."""
        query = sa.select(entities.c.name, entities.c.paper_id).join(papers).where(shown)
        found: dict[str, list[str]] = {}
        for row in self._among(query.distinct(), entities.c.name, names):
            found.setdefault(row["name"], []).append(row["paper_id"])
        return found

    def passages_without(self, kind: Kind, limit: int, after: str = "") -> list[Passage]:
        """The next `limit` passages after the id `after` of which no `kind` was made yet."""
        done = sa.select(enriched.c.id).where(
            enriched.c.id == passages.c.id, enriched.c.kind == kind
        )
        query = passage_query().where(shown, passages.c.id > after, ~done.exists())
        return list(map(passage_of, self._catalogue.fetch(query.order_by("id").limit(limit))))

    def papers_without(self, kind: Kind, limit: int, after: str = "") -> list[str]:
        """The next `limit` ids of papers with text after `after` of which no `kind` was made."""
        done = sa.select(enriched.c.id).where(enriched.c.id == papers.c.id, enriched.c.kind == kind)
        query = sa.select(papers.c.id).where(shown, papers.c.id > after, ~done.exists())
        query = query.where(papers.c.text != "").order_by(papers.c.id).limit(limit)
        return [row["id"] for row in self._catalogue.fetch(query)]

    def counts(self) -> dict[str, int]:
        """How many facts, questions and cards there are, and of how many passages."""
        found = {}
        with self._catalogue.connection() as connection:
            for name, table in (("facts", facts), ("questions", questions), ("cards", cards)):
                count = sa.select(sa.func.count()).select_from(table)
                found[name] = connection.scalar(count) or 0
        return found

    def lacking(self) -> dict[Kind, int]:
        """How many passages lack facts and questions, and how many papers with text a card."""
        todo: dict[Kind, sa.Column[str]] = {
            "facts": passages.c.id,
            "questions": passages.c.id,
            "card": papers.c.id,
        }
        found = {}
        with self._catalogue.connection() as connection:
            for kind, id in todo.items():
                done = sa.select(enriched.c.id).where(enriched.c.id == id, enriched.c.kind == kind)
                query = sa.select(sa.func.count(sa.distinct(id))).where(shown, ~done.exists())
                query = query.select_from(papers.join(passages, isouter=kind == "card"))
                if kind == "card":
                    query = query.where(papers.c.text != "")
                found[kind] = connection.scalar(query) or 0
        return found

    def _among(
        self, query: sa.Select[Any], column: sa.Column[Any], values: Iterable[str]
    ) -> Iterator[Any]:
        for chunk in chunks(dict.fromkeys(values)):
            yield from self._catalogue.fetch(query.where(column.in_(chunk)))


def _owner(connection: Connection, passage_id: str) -> str | None:
    query = sa.select(passages.c.paper_id).join(papers)
    return connection.scalar(query.where(passages.c.id == passage_id, shown))


def _done(
    connection: Connection, kind: Kind, model: str, owner: str, passage_id: str | None
) -> None:
    id = passage_id or owner
    connection.execute(enriched.delete().where(enriched.c.id == id, enriched.c.kind == kind))
    row = {"id": id, "kind": kind, "model": model, "paper_id": owner, "passage_id": passage_id}
    insert(connection, enriched, [row])


def _name(connection: Connection, names: Iterable[str], owner: str, passage_id: str | None) -> None:
    rows = [
        {"name": name, "folded": fold(name), "paper_id": owner, "passage_id": passage_id}
        for name in names
    ]
    insert(connection, entities, rows)


def _gathered(rows: Iterable[Any]) -> list[Fact]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        triple = (row["subject"], row["relation"], row["object"])
        found.setdefault(triple, []).append(row["passage_id"])
    return [Fact(*triple, tuple(dict.fromkeys(ids))) for triple, ids in found.items()]


def _card_row(card: Card) -> dict[str, Any]:
    many = ("motivations", "contributions", "entities")
    row = {column.name: getattr(card, column.name) for column in cards.c}
    return row | {name: list(getattr(card, name)) for name in many}


def _card(row: Any) -> Card:
    many = ("motivations", "contributions", "entities")
    return Card(**{**row, **{name: tuple(row[name]) for name in many}})
