"""From the lines of a PDF's pages to paragraphs in reading order, by type size and place."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from scholar.readers import tables
from scholar.readers.document import Block, Page, clean
from scholar.readers.headings import (
    Headings,
    Line,
    closed_up,
    is_caption,
    is_known,
    is_numbered,
    is_reference_list,
)

_EDGE_ROWS = 2
"""Rows at the top and bottom of a page among which running heads and feet are looked for."""
_NUMBER_ROWS = 4
"""The same for page numbers; below them the first page may have lines of the publisher."""
_MARGIN = 0.15
"""Share of the page's height at its top and bottom in which those rows lie."""
_ROW = 2.0
"""Points by which characters of one row may differ in height."""
_REPEATED_PAGES = 3
_SAME_SIZE = 0.06
"""Share by which the type sizes of one paragraph may differ; footnotes differ by 15 % or more."""
_PROSE = 60
"""Characters from which a paragraph that stops short is taken to go on past a figure."""
_LOOK_AHEAD = 12
"""Blocks between two halves of a paragraph: some footnotes, and a table in pieces."""

_PAGE_NUMBER = re.compile(
    r"(?:page\s*)?[-–—]?\s*(?:\d{1,4}|[ivxl]{1,6})\s*[-–—]?(?:\s*(?:of|/)\s*\d+)?", re.IGNORECASE
)
_DIGITS = re.compile(r"\d+")
_RUN_IN_ABSTRACT = re.compile(r"(Abstract|ABSTRACT)\s*[—–:.-]+\s*(?=[A-Z])")
_ITEM = re.compile(r"[•▪●◦‣·∗*–]\s+\S|\(?(?:\d{1,2}|[a-z])\)\s")
_REFERENCE_MARK = re.compile(r"\[[\w+]{1,12}\]|\d{1,3}\.\s")
_SENTENCE_END = re.compile(r"[.?!:][\"'”’)\]]*(?:\d{1,3})?$")
_WORD = re.compile(r"[^\W\d_]+(?:[-‐][^\W\d_]+)*")
_LAST_WORD = re.compile(r"[\w‐-]+$")
_FIRST_WORD = re.compile(r"[\w‐-]+")
_HYPHENS = ("-", "‐")


@dataclass(slots=True)
class _Draft:
    """A block in the making; `turns` are the pages that begin inside its text."""

    text: str
    page: int
    lines: list[Line]
    heading: bool = False
    turns: list[Page] = field(default_factory=list)

    @property
    def last_page(self) -> int:
        return self.turns[-1].number if self.turns else self.page

    def ended(self) -> bool:
        return bool(_SENTENCE_END.search(self.text))


def blocks(pages: Sequence[Sequence[Line]]) -> list[Block]:
    """Paragraphs and headings of the `pages`, without running heads, feet and page numbers.

    A paragraph that a footnote, figure or page end interrupts is made whole.
    """
    kept = [tables.rows(page) for page in _without_furniture([_unturned(page) for page in pages])]
    lines = [line for page in kept for line in page]
    if not lines:
        return []
    vocabulary = _Vocabulary(kept)
    headings = Headings(lines)
    composer = _Composer(headings, vocabulary)
    for number, page in enumerate(kept, 1):
        for line in page:
            composer.add(line, number)
    drafts = _without_front_headings(composer.drafts)
    return list(_placed(_mended(drafts, headings.body, vocabulary)))


def _unturned(page: Sequence[Line]) -> list[Line]:
    """The lines without those that stand on end in a margin; a page turned as a whole stays."""
    upright = [line for line in page if line.upright]
    letters = sum(len(line.text) for line in page)
    return upright if sum(len(line.text) for line in upright) * 2 >= letters else list(page)


def _without_furniture(pages: list[list[Line]]) -> list[list[Line]]:
    """The pages without page numbers and lines that come back at the edge of every third page."""
    edges = [_edge(page, _EDGE_ROWS) for page in pages]
    seen = Counter(key for edge in edges for key in {_key(line) for line in edge})
    often = max(_REPEATED_PAGES, len(pages) / 3)
    kept = []
    for page, edge in zip(pages, edges, strict=True):
        numbers = [line for line in _edge(page, _NUMBER_ROWS) if _is_page_number(line)]
        repeated = [line for line in edge if seen[_key(line)] >= often]
        kept.append([line for line in page if line not in numbers and line not in repeated])
    return kept


def _edge(page: list[Line], depth: int) -> list[Line]:
    rows = sorted({round(line.bottom / _ROW) for line in page})
    outer = {*rows[:depth], *rows[-depth:]}
    return [line for line in page if round(line.bottom / _ROW) in outer and _in_margin(line)]


def _in_margin(line: Line) -> bool:
    return not _MARGIN < (line.top + line.bottom) / 2 / line.page_height < 1 - _MARGIN


def _is_page_number(line: Line) -> bool:
    return bool(_PAGE_NUMBER.fullmatch(line.text.strip()))


def _key(line: Line) -> tuple[str, int]:
    """What repeats in a running head; its size, since the title itself may come back smaller."""
    return _DIGITS.sub("#", " ".join(line.text.casefold().split())), round(line.size)


class _Vocabulary:
    """The words of the document that no line end breaks, to tell hyphens from hyphenation."""

    def __init__(self, pages: Iterable[Iterable[Line]]) -> None:
        self._words: set[str] = set()
        cut = False
        for page in pages:
            for line in page:
                words = [word.casefold() for word in _WORD.findall(line.text)]
                broken = line.broken or line.text.rstrip().endswith(_HYPHENS)
                self._words.update(words[int(cut) : len(words) - broken])
                cut = broken

    def join(self, before: str, after: str, *, broken: bool = False) -> str:
        """`before` and `after` as one text; `broken` where a hyphen at its end was left out."""
        hyphen = before.endswith(_HYPHENS)
        if not broken and not hyphen:
            return f"{before} {after}"
        stem = before[:-1] if hyphen else before
        left, right = _LAST_WORD.search(stem), _FIRST_WORD.match(after)
        if left is None or right is None:
            return f"{before} {after}" if hyphen else stem + after
        return stem + self._joint(left[0].casefold(), right[0]) + after

    def _joint(self, one: str, right: str) -> str:
        """What stands between two halves of a word that a line end parts: a hyphen or nothing."""
        two = right.casefold()
        if f"{one}-{two}" in self._words:
            return "-"
        if one + two in self._words:
            return ""
        if not right[0].islower() or not one[-1].isalpha():
            return "-"
        # Neither form occurs: two whole words make a compound, anything else was one word.
        whole = len(one) > 2 and len(two) > 2 and one in self._words and two in self._words
        return "-" if whole or "-" in one else ""


class _Composer:
    """Takes lines one by one and begins a new draft where a paragraph or heading begins."""

    def __init__(self, headings: Headings, vocabulary: _Vocabulary) -> None:
        self.drafts: list[_Draft] = []
        self._headings = headings
        self._vocabulary = vocabulary
        self._references = False
        self._hanging = False

    def add(self, line: Line, page: int) -> None:
        text = closed_up(clean(line.text))
        if not text:
            return
        heading = not line.row and self._headings.heads(line, text, in_references=self._references)
        draft = self.drafts[-1] if self.drafts else None
        if draft is not None and not self._breaks(draft, line, text, heading, page):
            self._extend(draft, line, text, page)
            return
        abstract = _RUN_IN_ABSTRACT.match(text)
        if abstract:
            self.drafts.append(_Draft(abstract[1], page, [line], heading=True))
            text, heading = text[abstract.end() :], False
        self.drafts.append(_Draft(text, page, [line], heading))
        if heading:
            self._references = is_reference_list(text)

    def _extend(self, draft: _Draft, line: Line, text: str, page: int) -> None:
        joined = self._vocabulary.join(draft.text, text, broken=draft.lines[-1].broken)
        if page != draft.last_page:
            draft.turns.append(Page(len(joined) - len(text), page))
        draft.text = joined
        draft.lines.append(line)

    def _breaks(self, draft: _Draft, line: Line, text: str, heading: bool, page: int) -> bool:
        """Whether a new block begins with `line`."""
        last = draft.lines[-1]
        if line.row or last.row:
            return True
        if draft.heading:
            return page != draft.page or not self._headings.goes_on(last, line, draft.text)
        if heading:
            return True
        if last.broken:
            return False
        if is_caption(text) or _ITEM.match(text):
            return True
        row = page == draft.last_page and _same_row(last, line)
        if not row and abs(line.size - last.size) > _SAME_SIZE * self._headings.body:
            return True
        if page != draft.last_page or line.bottom < last.top:
            return draft.ended() or self._is_reference(text)
        return not row and (_spaced(draft, line) or self._shifted(draft, line, text))

    def _is_reference(self, text: str) -> bool:
        return self._references and bool(_REFERENCE_MARK.match(text))

    def _shifted(self, draft: _Draft, line: Line, text: str) -> bool:
        """Whether the line's left edge, or the short line before it, marks a new paragraph."""
        last = draft.lines[-1]
        shift = line.left - last.left
        if self._references:
            self._hanging = self._hanging or 0.7 * line.size < shift < 4 * line.size
            level = self._hanging and abs(line.left - draft.lines[0].left) < 0.3 * line.size
            return self._is_reference(text) or shift < -0.7 * line.size or (level and draft.ended())
        if not draft.ended():
            return False
        reach = max(each.right for each in [*draft.lines, line])
        short = reach - last.right > 2 * line.size
        return short or 0.7 * line.size < shift < 4 * line.size


def _spaced(draft: _Draft, line: Line) -> bool:
    """Whether more than a line's own lead parts it from the one before."""
    leads = [after.bottom - before.bottom for before, after in pairwise(draft.lines)]
    usual = [lead for lead in leads if lead > _ROW] or [1.35 * line.size]
    return line.bottom - draft.lines[-1].bottom > 1.3 * statistics.median(usual) + 0.5


def _same_row(last: Line, line: Line) -> bool:
    overlap = min(last.bottom, line.bottom) - max(last.top, line.top)
    return line.left >= last.right - 1 and overlap > 0.4 * min(last.size, line.size)


def _without_front_headings(drafts: list[_Draft]) -> list[_Draft]:
    """The same, where title and authors above the first section are no headings."""
    sections = (at for at, draft in enumerate(drafts) if draft.heading and _is_section(draft))
    first = next(sections, 0)
    for draft in drafts[:first]:
        if draft.page == 1:
            draft.heading = False
    return drafts


def _is_section(draft: _Draft) -> bool:
    # A letter alone is no number here, since titles begin with "A".
    numbered = is_numbered(draft.text) and not draft.text.startswith("A ")
    return is_known(draft.text) or numbered


def _mended(drafts: list[_Draft], body: float, vocabulary: _Vocabulary) -> list[_Draft]:
    """The drafts with interrupted paragraphs made whole.

    What stood between the halves goes before them as far as it is on the first half's page, else
    behind them, so that pages stay in order.
    """
    rest = list(drafts)
    mended: list[_Draft] = []
    while rest:
        draft = rest.pop(0)
        at = _continuation(draft, rest, body)
        if at is None:
            mended.append(draft)
            continue
        between, following = rest[:at], rest[at]
        same_page = following.page == draft.last_page
        early = [] if same_page else [each for each in between if each.page == draft.last_page]
        mended += early
        late = [each for each in between if each not in early]
        rest = [_joined(draft, following, vocabulary), *late, *rest[at + 1 :]]
    return mended


def _continuation(draft: _Draft, rest: list[_Draft], body: float) -> int | None:
    """Where in `rest` the paragraph `draft` goes on after an interruption, if it does."""
    if (
        draft.heading
        or draft.lines[-1].row
        or draft.ended()
        or not _is_prose(draft, body)
        or len(draft.text) < _PROSE
    ):
        return None
    for at, other in enumerate(rest[:_LOOK_AHEAD]):
        if other.heading or other.page > draft.last_page + 1:
            return None
        if _is_prose(other, body) and not other.lines[0].row and not is_caption(other.text):
            return at if at and other.text[0].islower() else None
    return None


def _is_prose(draft: _Draft, body: float) -> bool:
    return abs(draft.lines[0].size - body) <= _SAME_SIZE * body


def _joined(draft: _Draft, following: _Draft, vocabulary: _Vocabulary) -> _Draft:
    text = vocabulary.join(draft.text, following.text, broken=draft.lines[-1].broken)
    at = len(text) - len(following.text)
    turns = [Page(at + page.start, page.number) for page in following.turns]
    if following.page != draft.last_page:
        turns.insert(0, Page(at, following.page))
    lines = [*draft.lines, *following.lines]
    return _Draft(text, draft.page, lines, turns=[*draft.turns, *turns])


def _placed(drafts: Iterable[_Draft]) -> Iterator[Block]:
    page = 0
    for draft in drafts:
        starts = [Page(0, draft.page)] if draft.page > page else []
        starts += [turn for turn in draft.turns if turn.number > max(page, draft.page)]
        page = max(page, draft.last_page)
        yield Block(draft.text, draft.heading, tuple(starts))
