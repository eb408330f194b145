"""Rows of tables among the lines of a page, told by wide gaps that stand under one another."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from scholar.readers.document import clean
from scholar.readers.headings import Cell, Line, is_caption

_LABEL = re.compile(r"[•▪●◦‣·∗*–-]|[\[(]?(?:\d{1,2}|[a-zA-Z])[.)\]]")
"""The mark of a list's item: no cell of its own."""
_NUMBER = re.compile(r"(?:\d{1,2}|[A-Z])(?:\.\d{1,2})*\.?")
"""A heading's number, where one more cell with words follows."""
CELL_GAP = " | "
"""What stands between two cells of a row in the stored text."""
_FEWEST_ROWS = 3
_SURE_ROWS = 5
"""Fewer must hold figures, in this share of them:"""
_FIGURES = 0.4
_LONGEST_CELL = 45
"""Characters of a table's median cell at most; a line of a text column has as many or more."""
_STRAY = 60
"""Characters of the longest line without gaps that may stand between rows, as a group's name."""
_ALIGNED = 0.5
"""Share of inner cells that must stand in a column."""
_MOST_PROSE = 0.4
"""Share of rows that may read like lines of a paragraph with a wide space in them."""
_CLAUSE = 4
"""Words of a cell that read like a line of prose."""
_COLUMN = 0.3
"""Share of the other rows in which something must stand in the same column, or"""
_COLUMN_ROWS = 3
"""so many of them, since columns of a long table may be sparse."""
_SLACK = 3.0
"""Points by which such edges may differ."""
_LEAD = 3.5
"""Times the type size that two rows may lie apart."""


def rows(page: Sequence[Line]) -> list[Line]:
    """The lines of a page, each row of a table made one line with its cells set apart."""
    grouped = _grouped(page)
    made: list[Line] = []
    at = 0
    while at < len(grouped):
        end = _end(grouped, at)
        if end > at and _is_table(grouped[at:end]):
            made += [_row(group) if _wide(group) else replace(group[0], row=True)
                     for group in grouped[at:end]]  # fmt: skip
            at = end
        else:
            made += grouped[at]
            at += 1
    return made


def _grouped(page: Sequence[Line]) -> list[list[Line]]:
    """Lines that follow one another on one row together."""
    groups: list[list[Line]] = []
    for line in page:
        if groups and _beside(groups[-1][-1], line):
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def _beside(last: Line, line: Line) -> bool:
    overlap = min(last.bottom, line.bottom) - max(last.top, line.top)
    return line.left >= last.right - 1 and overlap > 0.5 * min(last.size, line.size)


def _cells(group: Sequence[Line]) -> list[Cell]:
    """The cells of a row; lines that touch make one, and so does a label with its words."""
    cells: list[Cell] = []
    for line in group:
        for cell in line.cells or (Cell(line.text, line.left, line.right),):
            last = cells[-1] if cells else None
            if last is not None and cell.left - last.right < 0.5 * line.size:
                cells[-1] = _joined(last, cell)
            else:
                cells.append(cell)
    if len(cells) > 1 and _LABEL.fullmatch(clean(cells[0].text)):
        return [_joined(*cells[:2]), *cells[2:]]
    if len(cells) == 2 and _NUMBER.fullmatch(clean(cells[0].text)) and cells[1].text[:1].isalpha():
        return [_joined(*cells)]
    return cells


def _joined(one: Cell, two: Cell) -> Cell:
    return Cell(f"{one.text} {two.text}", one.left, two.right)


def _wide(group: Sequence[Line]) -> bool:
    return len(_cells(group)) > 1


def _end(grouped: Sequence[Sequence[Line]], start: int) -> int:
    """Where the run of rows ends that begins at `start`; `start` itself where none does."""
    if not _wide(grouped[start]):
        return start
    end = start + 1
    for at in range(start + 1, len(grouped)):
        last, group = grouped[at - 1], grouped[at]
        if not _follows(last[0], group[0]):
            break
        if _wide(group):
            end = at + 1
        elif at > end or len(group[0].text) > _STRAY or is_caption(clean(group[0].text)):
            break
    return end


def _follows(last: Line, line: Line) -> bool:
    step = line.bottom - last.bottom
    return 0 < step < _LEAD * max(line.size, last.size)


def _is_table(run: Sequence[Sequence[Line]]) -> bool:
    table = [cells for group in run if len(cells := _cells(group)) > 1]
    if len(table) < _FEWEST_ROWS:
        return False
    if len(table) < _SURE_ROWS and sum(map(_has_figure, table)) < _FIGURES * len(table):
        return False
    if sum(map(_is_prose, table)) > _MOST_PROSE * len(table):
        return False
    if statistics.median(len(cell.text) for cells in table for cell in cells) > _LONGEST_CELL:
        return False
    return _alignment(table) >= _ALIGNED


def _alignment(table: Sequence[Sequence[Cell]]) -> float:
    """The share of cells, but the first of each row, that line up with those of other rows."""
    places = [[tuple(_places(cell)) for cell in cells[1:]] for cells in table]
    enough = min(_COLUMN * (len(table) - 1), _COLUMN_ROWS)
    lined = [
        sum(_lines_up(place, other) for other in places if other is not row) >= enough
        for row in places
        for place in row
    ]
    return sum(lined) / len(lined)


def _lines_up(place: tuple[float, ...], row: Sequence[tuple[float, ...]]) -> bool:
    """Whether a cell of `row` begins, ends or has its middle where `place` says."""
    return any(
        abs(one - two) < _SLACK for other in row for one, two in zip(place, other, strict=True)
    )


def _is_prose(cells: Sequence[Cell]) -> bool:
    longest = max(len(cell.text.split()) for cell in cells)
    return longest >= _CLAUSE and len(cells) < _CLAUSE and not _has_figure(cells)


def _has_figure(cells: Sequence[Cell]) -> bool:
    """Whether a cell behind the first is little more than a number."""
    return any(
        len(cell.text.split()) < _CLAUSE and any(map(str.isdigit, cell.text)) for cell in cells[1:]
    )


def _places(cell: Cell) -> Iterator[float]:
    yield cell.left
    yield (cell.left + cell.right) / 2
    yield cell.right


def _row(group: Sequence[Line]) -> Line:
    cells = [clean(cell.text) for cell in _cells(group)]
    text = CELL_GAP.join(cell for cell in cells if cell)
    right = max(line.right for line in group)
    return replace(group[0], text=text, right=right, broken=False, row=True)
