"""Threads: questions that see each other's answers."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from scholar.errors import RunError
from scholar.journal.database import Database
from scholar.journal.rows import ThreadRow, form_of
from scholar.journal.schema import answers, runs, threads
from scholar.journal.statements import insert
from scholar.text import one_line, shortened
from scholar.values import Answer, Outcome

TITLE = 80
"""Characters of a title that is made of the first question: one line of a terminal."""
UNANSWERED = frozenset((Outcome.MODEL_FAILED, Outcome.TOOLS_FAILED, Outcome.CANCELLED))
"""Outcomes of runs that said nothing a later question could refer to."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question, its answer in short and the ids of the passages it quotes."""

    question: str
    answer: str
    passages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What came before a question: `notes` stand for the first `noted` turns, then `turns`."""

    thread: str
    turns: tuple[Turn, ...] = ()
    notes: str = ""
    noted: int = 0


class Threads:
    """The threads of a journal's `database`. Every method raises RunError where it cannot be used.

    Without a database there are none.
    """

    def __init__(self, database: Database | None) -> None:
        self._database = database

    async def begin(self, thread: str, title: str, started: float) -> None:
        """Enter a thread, unless it is there."""
        if self._database is not None:
            short = shortened(one_line(title), TITLE)
            row = {"thread": thread, "title": short, "started": started}
            await self._database.written(lambda c: insert(c, threads, row))

    async def all(self) -> list[ThreadRow]:
        """The threads, the one that was last used first."""
        return [_row(row) for row in await self._rows(_listed())]

    async def find(self, thread: str) -> ThreadRow:
        """The thread of this id, or whose id or title begins so."""
        found = await self.all()
        for named in (
            lambda row: thread in (row.thread, row.title),
            lambda row: row.thread.startswith(thread) or row.title.startswith(thread),
        ):
            fitting = [row for row in found if named(row)]
            if len(fitting) == 1:
                return fitting[0]
            if fitting:
                raise RunError(f"Several threads begin with '{thread}'; see scholar threads list.")
        raise RunError(f"No thread is called '{thread}'; see scholar threads list.")

    async def rename(self, thread: str, title: str) -> None:
        """Give a thread another title."""
        if self._database is not None:
            change = sa.update(threads).where(threads.c.thread == thread).values(title=title)
            await self._database.change(lambda c: c.execute(change))

    async def remove(self, thread: str) -> None:
        """Forget a thread; its runs are not touched."""
        if self._database is not None:
            gone = sa.delete(threads).where(threads.c.thread == thread)
            await self._database.change(lambda c: c.execute(gone))

    async def past(self, thread: str, before: str) -> Past:
        """What came in a thread before the run `before`."""
        began = sa.select(runs.c.started).where(runs.c.run_id == before).scalar_subquery()
        query = (
            sa.select(answers.c.answer)
            .join(runs, runs.c.run_id == answers.c.run_id)
            .where(runs.c.thread == thread, runs.c.run_id != before)
            .where(sa.or_(runs.c.started <= began, began.is_(None)))
            .where(runs.c.outcome.not_in([str(outcome) for outcome in UNANSWERED]))
            .order_by(runs.c.started, runs.c.run_id)
        )
        turns = [
            _turn(form_of(Answer).validate_json(row["answer"])) for row in await self._rows(query)
        ]
        known = await self._rows(sa.select(threads).where(threads.c.thread == thread))
        notes, noted = (known[0]["notes"], known[0]["noted"]) if known else ("", 0)
        return Past(thread, tuple(turns[noted:]), notes, noted)

    async def note(self, thread: str, notes: str, noted: int) -> None:
        """Keep notes that stand for the first `noted` turns of a thread."""
        if self._database is not None:
            change = sa.update(threads).where(threads.c.thread == thread)
            await self._database.written(
                lambda c: c.execute(change.values(notes=notes, noted=noted))
            )

    async def _rows(self, query: sa.Select[tuple[object, ...]]) -> list[RowMapping]:
        if self._database is None:
            return []

        def work(connection: Connection) -> list[RowMapping]:
            return list(connection.execute(query).mappings())

        return await self._database.read(work, [])


def _listed() -> sa.Select[tuple[object, ...]]:
    count = sa.func.count(runs.c.run_id).label("runs")
    seen = sa.func.coalesce(sa.func.max(runs.c.started), threads.c.started).label("seen")
    return (
        sa.select(threads, count, seen)
        .join(runs, runs.c.thread == threads.c.thread, isouter=True)
        .group_by(threads.c.thread)
        .order_by(seen.desc(), threads.c.thread)
    )


def _row(row: RowMapping) -> ThreadRow:
    return ThreadRow(
        thread=row["thread"],
        title=row["title"],
        started=row["started"],
        runs=row["runs"],
        seen=row["seen"],
        notes=row["notes"],
        noted=row["noted"],
    )


def _turn(answer: Answer) -> Turn:
    said = [sentence.text for sentence in answer.sentences]
    said += [side.text for side in answer.sides]
    cited = [c for sentence in answer.sentences for c in sentence.citations]
    text = " ".join(said) or f"Nothing was found ({answer.outcome})."
    return Turn(answer.question, text, tuple(dict.fromkeys(c.passage_id for c in cited)))
