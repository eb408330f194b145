"""Which lines of a paper are headings, judged by their words, numbers and type."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from scholar.readers.document import Section, clean

REFERENCES = "References"
"""Title of the section that holds the list of references, however the paper calls it."""

_LARGER = 1.08
"""How much larger than the body's a heading's type is at least."""
_LONGEST = 120
"""Characters of the longest line taken for a heading."""
_ENOUGH = 3
"""Headings with a number or a usual name that show what the others look like."""
_SIZE_SLACK = 0.3

_NUMBER = re.compile(
    r"(?:(?:\d{1,2}(?:\.\d{1,2}){0,3}|[A-H](?:\.\d{1,2}){0,2}|[IVX]{1,5})\.?"
    r"|appendix [a-h]\b[.:]?)\s+(?=[^\W\d_]{2}|[A-Z] )",
    re.IGNORECASE,
)
# In capitals or italics of the body's size, as the IEEE sets them: IV. or B.
_LETTERED = re.compile(r"(?:[IVX]{1,5}|[A-H])\.\s")
_NAMES = (
    "abstract|introduction|background|motivation|related works?|preliminaries|methods?|"
    "methodology|materials and methods|approach|experiments?|experimental setup|"
    "experimental results|evaluation|results|results and discussion|discussion|analysis|"
    "limitations?|threats to validity|future work|conclusions?|conclusions? and future work|"
    "summary|ethics statement|ethical considerations|broader impact|acknowledge?ments?|"
    "appendix|appendices|supplementary materials?|keywords|index terms|ccs concepts"
)
_REFERENCE_NAMES = "references|references and notes|bibliography|literature cited|works cited"
_KNOWN = re.compile(rf"(?:{_NAMES}|{_REFERENCE_NAMES})[.:]?", re.IGNORECASE)
_REFERENCE_LIST = re.compile(rf"(?:[\dIVX.]+\s+)?(?:{_REFERENCE_NAMES})[.:]?", re.IGNORECASE)
_CAPTION = re.compile(
    r"(?:Figure|Fig\.|FIGURE|Table|TABLE|Algorithm|Listing)\s*[\dIVX]+\s*[.:|—]?(?:\s|$)"
)
_SPACED_OUT = re.compile(r"(?:[A-Z] ){4,}[A-Z]")


MARK = "\x1f"
"""What stands in `Cell.marked` for a raised sign."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A stretch of a line between wide gaps, with its edges in points.

    In `marked` every run of raised signs, such as those of footnotes and affiliations, is a MARK;
    it is made for the first page alone, and empty elsewhere.
    """

    text: str
    left: float
    right: float
    marked: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as printed. Lengths are points; `top` and `bottom` count down from the page's top.

    `broken` marks a line whose last word goes on in the next, its hyphen left out of `text`.
    `row` marks one that is a row of a table, its cells set apart in `text`.
    """

    text: str
    size: float
    font: str
    bold: bool
    upright: bool
    left: float
    right: float
    top: float
    bottom: float
    page_height: float
    broken: bool
    cells: tuple[Cell, ...] = ()
    row: bool = False


class Headings:
    """Tells the headings of one document, from what its lines have in common."""

    def __init__(self, lines: Iterable[Line]) -> None:
        lines = list(lines)
        weights: Counter[tuple[float, str]] = Counter()
        for line in lines:
            weights[line.size, line.font] += len(line.text)
        self.body, self.body_font = weights.most_common(1)[0][0]
        certain = [line for line in lines if self._certain(line, clean(line.text))]
        self._styles = {(line.size, line.font) for line in certain}
        self._styled = len(certain) >= _ENOUGH

    def heads(self, line: Line, text: str, *, in_references: bool) -> bool:
        """Whether `line`, whose clean text is `text`, is a heading or the begin of one."""
        if self._certain(line, text):
            return not in_references or is_known(text) or line.bold or self._larger(line)
        if in_references or not _headline(text):
            return False
        return self._larger(line) and (not self._styled or self._has_style(line))

    def goes_on(self, last: Line, line: Line, heading: str) -> bool:
        """Whether `line` is the next line of the `heading` that ends with `last`."""
        near = 0 < line.bottom - last.bottom < 1.6 * line.size
        same = line.font == last.font and abs(line.size - last.size) < _SIZE_SLACK
        told_apart = self._larger(line) or line.font != self.body_font
        starts = _NUMBER.match(clean(line.text)) or is_known(heading)
        return near and same and told_apart and not starts

    def _certain(self, line: Line, text: str) -> bool:
        """A usual name, or a number and type of its own."""
        if is_known(text):
            return True
        number = _NUMBER.match(text)
        if number is None or not _headline(text) or not _headline(text[number.end() :]):
            return False
        if self._larger(line) or line.bold:
            return True
        own_font = line.font != self.body_font and line.size >= self.body - _SIZE_SLACK
        return own_font and bool(_LETTERED.match(text))

    def _larger(self, line: Line) -> bool:
        return line.size >= self.body * _LARGER

    def _has_style(self, line: Line) -> bool:
        return any(
            font == line.font and abs(size - line.size) < _SIZE_SLACK for size, font in self._styles
        )


def is_known(text: str) -> bool:
    """Whether `text` is a usual name of a section, with or without a number."""
    number = _NUMBER.match(text)
    name = text[number.end() :] if number else text
    return bool(_KNOWN.fullmatch(name)) and name[0].isupper()


def is_numbered(text: str) -> bool:
    """Whether `text` begins as a numbered heading does."""
    return bool(_NUMBER.match(text))


def is_reference_list(text: str) -> bool:
    """Whether a heading with this text stands over the list of references."""
    return bool(_REFERENCE_LIST.fullmatch(text))


def is_caption(text: str) -> bool:
    """Whether `text` begins as the caption of a figure or table does."""
    return bool(_CAPTION.match(text))


def closed_up(text: str) -> str:
    """`text`, or the usual name that it spells with a space after each letter."""
    if not _SPACED_OUT.fullmatch(text):
        return text
    name = text.replace(" ", "")
    return name if is_known(name) else text


def titled(sections: Iterable[Section]) -> tuple[Section, ...]:
    """`sections` with the one of the reference list called REFERENCES."""
    return tuple(
        Section(section.start, REFERENCES) if is_reference_list(section.title) else section
        for section in sections
    )


def _headline(text: str) -> bool:
    """Whether `text` has the looks of a heading: short, capitalised, with words, no full stop."""
    return (
        len(text) <= _LONGEST
        and text[:1].isalnum()
        and not text[:1].islower()
        and sum(character.isalpha() for character in text) > 2
        and not text.endswith((".", ",", ";"))
        and not is_caption(text)
    )
