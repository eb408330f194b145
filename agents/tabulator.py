"""The table of papers beside a review: what each says under each column, by one of its quotes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from scholar import prompts
from scholar.agents import lookup
from scholar.agents.evidence import FENCE, TITLE, room, size
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ModelError
from scholar.events import Tabled
from scholar.library import Extract
from scholar.state import State, Update
from scholar.text import one_line
from scholar.values import Cell, Citation, Evidence, Paper, Row, Table

MOST_ROWS = 20
"""Papers of the table: about as many as one screen takes."""
ROWS_A_CALL = 6
"""Papers of one call: its reply then takes as long as that of the first section beside it."""
QUOTES = 6
"""Quotes of the run that are offered for one paper's cells."""
SENTENCES = 3
"""Sentences of the paper that are looked up for each cell beside them."""
PASSAGES = 6
"""Passages of a paper in which they are looked up, the best by a search for each column in turn:
embedding every sentence of a whole paper takes seconds.
"""
LONGEST_CELL = 120
"""Characters of a cell: what is longer is no longer read across."""


class _Cell(Reply):
    paper: str
    column: str
    quote: str
    text: Line


class _Cells(Reply):
    cells: list[_Cell]


@dataclass(frozen=True, slots=True)
class Offered:
    """A quote that a cell may stand on, as the prompt shows it."""

    id: str
    text: str
    citation: Citation


@dataclass(frozen=True, slots=True)
class Candidate:
    """A paper of the table and the quotes that its cells may stand on."""

    id: str
    title: str
    paper_id: str
    quotes: tuple[Offered, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A column as the prompt shows it."""

    id: str
    name: str
    asks: str


async def table(state: State, context: Context) -> Update:
    """Fill the table: a row for each paper quoted, a call for each window of papers.

    A cell says what a quote of its own paper says, or nothing. What cannot be filled is told: the
    review is worth having without its table.
    """
    columns = [
        Asked(f"k{n}", column.name, column.asks) for n, column in enumerate(state["asks"], start=1)
    ]
    used = {id for section in state["outline"] for id in section.evidence}
    evidence = [item for item in state["evidence"] if item.id in used]
    ids = list(dict.fromkeys(item.paper_id for item in evidence))
    papers = await context.library.papers(ids[:MOST_ROWS])
    candidates = await asyncio.gather(
        *(_candidate(n, paper, evidence, columns, context) for n, paper in enumerate(papers, 1))
    )
    asked = {"question": state["question"], "columns": columns}
    windows = list(_windows(candidates, room(context, "table", **asked)))
    replies = await asyncio.gather(
        *(
            context.ask(prompts.render("table", papers=window, **asked), _Cells)
            for window in windows
        ),
        return_exceptions=True,
    )
    failed = [reply for reply in replies if isinstance(reply, BaseException)]
    for error in failed:
        if not isinstance(error, ModelError):
            raise error
    cells = [c for reply in replies if isinstance(reply, _Cells) for c in reply.cells]
    rows = [row for one in candidates if (row := _row(one, cells, columns))]
    said = sum(bool(cell.text) for row in rows for cell in row.cells)
    names = tuple(column.name for column in columns)
    context.emit(Tabled(len(rows), names, said))
    notes = [f"A part of the table could not be filled: {error}" for error in failed]
    if missing := len(ids) - len(rows):
        notes.append(f"{missing} of {len(ids)} papers quoted are not in the table.")
    return {"table": Table(names, tuple(rows)) if rows else None, "notes": notes}


async def _candidate(
    n: int, paper: Paper, evidence: Iterable[Evidence], columns: Sequence[Asked], context: Context
) -> Candidate:
    own = [item for item in evidence if item.paper_id == paper.id][:QUOTES]
    citations = [lookup.cited(item) for item in own]
    found = await _looked_up(paper, columns, context)
    for extract in (one for extracts in found for one in extracts):
        if not any(c.start <= extract.start < c.end for c in citations):
            citations.append(lookup.cited(extract))
    quotes = (Offered(f"q{i}", c.quote, c) for i, c in enumerate(citations, start=1))
    return Candidate(f"P{n}", paper.title[:TITLE], paper.id, tuple(quotes))


async def _looked_up(
    paper: Paper, columns: Sequence[Asked], context: Context
) -> list[list[Extract]]:
    """For each column the sentences of the paper that answer its question best."""
    queries = [f"{column.name} {column.asks}" for column in columns]
    passages = await context.library.passages_of(paper.id)
    if len(passages) > PASSAGES:
        found = await lookup.found_in(paper, queries, passages, context)
        passages = (found or passages)[:PASSAGES]
    return await context.library.extract_each(queries, passages, SENTENCES)


def _windows(papers: Iterable[Candidate], space: int) -> Iterator[list[Candidate]]:
    """`papers` in order, in portions of few that take no more than `space`; one alone is cut."""
    window: list[Candidate] = []
    used = 0
    for paper in papers:
        if window and (used + _taken(paper) > space or len(window) == ROWS_A_CALL):
            yield window
            window, used = [], 0
        while len(paper.quotes) > 1 and _taken(paper) > space:
            paper = replace(paper, quotes=paper.quotes[:-1])
        window.append(paper)
        used += _taken(paper)
    if window:
        yield window


def _taken(paper: Candidate) -> int:
    return size(paper.title) + sum(size(quote.text) + FENCE for quote in paper.quotes)


def _row(paper: Candidate, cells: Iterable[_Cell], columns: Sequence[Asked]) -> Row | None:
    """The paper's row, or None where no cell has anything to say."""
    quotes = {quote.id: quote.citation for quote in paper.quotes}
    said: dict[str, Cell] = {}
    for cell in cells:
        text = one_line(cell.text)
        if cell.paper == paper.id and cell.quote in quotes and 0 < len(text) <= LONGEST_CELL:
            said.setdefault(cell.column, Cell(text, quotes[cell.quote]))
    row = tuple(said.get(column.id, Cell()) for column in columns)
    return Row(paper.paper_id, row) if any(cell.text for cell in row) else None
