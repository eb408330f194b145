"""Who wrote a paper, from the lines between its title and its abstract."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

from scholar.readers.document import clean
from scholar.readers.headings import MARK, Line, closed_up, is_known, is_numbered

_STOP = re.compile(
    r"\W*(?:abstract|summary|introduction|keywords?|index terms|ccs concepts|article info|"
    r"contents|received|objectives?)\b(?:\s*[.:—–-]|\s*$|\s+[A-Z])",
    re.IGNORECASE,
)
_SIGNS = re.compile(
    r"[*∗†‡§¶#✉⋆★◦⊕♠♣♦♥⁎]+|(?<=[^\W\d_])\d[\d,]*\b|\b\d[\d,\s]*(?=[A-Z])|[⁰¹²³⁴-⁹]+"
)
_ASIDE = re.compile(
    r"\[[\dX\s-]{4,}\]|\((?:[✉*]|cid:\d+|[A-Za-z]{1,2})\)|\b(?:orcid|iD)\b", re.IGNORECASE
)
_SEPARATOR = re.compile(rf"\s*(?:[{MARK},;·•∙|&]|\band\b|\bund\b|\bwith\b)\s*", re.IGNORECASE)
_ENDS_OPEN = re.compile(r"(?:[,;·•∙|&]|\band)\s*$", re.IGNORECASE)
_STARTS_OPEN = re.compile(r"\s*(?:[,;·•∙|&]|and\b)", re.IGNORECASE)
_BY = re.compile(r"\s*(?:by|authors?)\s*:?\s+(?=[A-Z])", re.IGNORECASE)
_TITLES = re.compile(
    r"(?:(?:senior|student|life|graduate|associate)\s+)*(?:member|fellow|ieee|acm)|ph\.?\s?d\.?|"
    r"m\.?d\.?|m\.?sc\.?|b\.?sc\.?|dr\.?|prof\.?|jr\.?|sr\.?|i{2,3}|et al\.?|\(?eds?\.?\)?|"
    r"corresponding author|equal contribution",
    re.IGNORECASE,
)
_HONOUR = re.compile(r"^(?:(?:prof|dr|mr|mrs|ms|ing|dipl)\.?\s+)+", re.IGNORECASE)
_PLACE = re.compile(
    r"universit|institut|departa?ment|\bdept\b|school|college|laborator|\blabs?\b|\bcent(?:er|re)\b|"
    r"research|\binc\b|\bltd\b|\bcorp|\bgmbh\b|\bllc\b|facult|academy|hospital|ministry|compan|"
    r"foundation|\bgroup\b|division|technolog|scien|engineering|politec|polytech|\bavenue\b|"
    r"\bstreet\b|\broad\b|\bcampus\b|consult|\bteam\b|\bbank\b|\bagency\b|\bsociety\b|\bbrain\b|"
    r"\bdeepmind\b|\bgoogle\b|\bmicrosoft\b|\bibm\b|\bmeta\b|\bopenai\b|\bunited\b|\bstates\b|"
    r"\bkingdom\b|\busa\b|\buk\b|\bgermany\b|\bfrance\b|\bchina\b|\bitaly\b|\bspain\b|\bjapan\b|"
    r"\bcanada\b|\bindia\b|\baustralia\b",
    re.IGNORECASE,
)
_NO_NAME = frozenset(
    "the of for in on with using how to from by via its a an is are at as or not this that we our "
    "new towards toward study analysis approach review survey report paper article preprint draft "
    "version summary office proceedings conference journal volume issue open access editor editors "
    "published "
    "original january february march april may june july august september october november "
    "december".split()
) - {"may", "april", "june", "august"}
_PARTICLES = frozenset(
    "van von der den de del della di da dos das do du la le el al bin ibn ben ten ter zu zur af av "
    "y e i d' st san santa mc mac of".split()
) - {"of"}
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['’‘`´.‐-])*", re.UNICODE)
# TeX's old fonts print an accent and a letter one over the other, and files say one by one.
_COMBINING = {
    "´": "\u0301",
    "`": "\u0300",
    "¨": "\u0308",
    "˜": "\u0303",
    "ˆ": "\u0302",
    "ˇ": "\u030c",
    "˘": "\u0306",
    "˚": "\u030a",
}
_SPACING_ACCENT = re.compile(rf"(?P<accent>[{''.join(_COMBINING)}]) ?(?P<letter>[A-Za-z])")
_MOST_WORDS = 6
_SOCIETY = 5
"""Letters of the longest abbreviation behind a name, as of a society."""
_DEEPEST = 0.65
"""Share of the page's height below which no authors are looked for."""
_NEAR = 0.6
"""Share of the type size by which the middles of one row's lines may differ."""
_BLOCK_GAP = 1.9
"""Times a line's height that part the blocks of two groups of authors."""


@dataclass(frozen=True, slots=True)
class _Row:
    """What stands at one height of the page, cut at separators and wide gaps."""

    text: str
    names: tuple[str, ...]
    rest: tuple[str, ...]
    style: tuple[float, str, bool]
    top: float
    bottom: float

    @property
    def lists(self) -> bool:
        """Whether the row begins with names, and goes on with nothing but a place."""
        return bool(self.names) and (not self.rest or bool(_PLACE.search(self.rest[0])))


def printed(first: Sequence[Line], title: str) -> tuple[str, ...]:
    """The authors as the first page lists them below `title`; () where they cannot be told."""
    rows = _rows(_zone(first, title))
    start = next((at for at, row in enumerate(rows) if row.lists), None)
    if start is None:
        return ()
    names = [name for row in _listing(rows[start:]) for name in row.names]
    return tuple(dict.fromkeys(map(_cased, names)))


def is_name(text: str) -> bool:
    """Whether `text` could be somebody's full name."""
    words = text.split()
    if not 2 <= len(words) <= _MOST_WORDS or _PLACE.search(text) or _TITLES.fullmatch(text):
        return False
    if not all(_WORD.fullmatch(word) for word in words):
        return False
    if any(word.casefold() in _NO_NAME for word in words) or words[-1] in _PARTICLES:
        return False
    capital = [word for word in words if word.casefold() not in _PARTICLES]
    return (
        all(_could_begin(word) for word in capital)
        and any(len(word.strip(".")) > 1 for word in capital)
        and all(map(_one_script, words))
    )


def _could_begin(word: str) -> bool:
    return not word[0].islower() or (len(word) > 2 and word[0] in "d" and word[1] in "'’")


def _one_script(word: str) -> bool:
    """Text read in a wrong encoding mixes scripts inside a word."""
    scripts = {unicodedata.name(letter, "").split(" ")[0] for letter in word if letter.isalpha()}
    return len(scripts) < 2


def _zone(first: Sequence[Line], title: str) -> list[Line]:
    """The lines below the title and above abstract or first section."""
    upright = [line for line in first if line.upright]
    below = _title_end(upright, title)
    lines = [line for line in upright if _middle(line) > below]
    stops = [line.top for line in lines if _stops(line)]
    deepest = min([*stops, _DEEPEST * upright[0].page_height]) if upright else 0.0
    return [line for line in lines if _middle(line) < deepest]


def _stops(line: Line) -> bool:
    text = closed_up(clean(line.text))
    return bool(_STOP.match(text)) or is_known(text) or (is_numbered(text) and line.bold)


def _title_end(lines: Sequence[Line], title: str) -> float:
    whole = bare(title)
    shown = [line for line in lines if len(bare(line.text)) > 2 and bare(line.text) in whole]
    if not shown:
        return 0.0
    size = max(line.size for line in shown)
    return max(_middle(line) for line in shown if line.size > 0.9 * size)


def bare(text: str) -> str:
    """The letters and figures of `text`, in small letters."""
    return "".join(character for character in text.casefold() if character.isalnum())


def _middle(line: Line) -> float:
    return (line.top + line.bottom) / 2


def _rows(lines: Sequence[Line]) -> list[_Row]:
    rows: list[list[Line]] = []
    for line in sorted(lines, key=_middle):
        if rows and _middle(line) - _middle(rows[-1][0]) < _NEAR * max(line.size, rows[-1][0].size):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [_row(sorted(row, key=lambda line: line.left)) for row in rows]


def _row(lines: list[Line]) -> _Row:
    largest = max(lines, key=lambda line: (line.size, len(line.text)))
    cells = [cell for line in lines for cell in line.cells]
    parts = [part for cell in cells for part in pieces(cell.marked or cell.text)]
    names = tuple(takewhile(is_name, parts))
    return _Row(
        text=" ".join(cell.text for cell in cells),
        names=names,
        rest=tuple(parts[len(names) :]),
        style=(round(largest.size), largest.font, largest.bold),
        top=min(line.top for line in lines),
        bottom=max(line.bottom for line in lines),
    )


def pieces(text: str) -> Iterator[str]:
    """What separators, and MARKs for signs behind names, part; degrees and honours are left out."""
    text = _SPACING_ACCENT.sub(_composed, text)
    text = _SIGNS.sub(MARK, _ASIDE.sub(MARK, _BY.sub("", text)))
    for piece in _SEPARATOR.split(text):
        piece = _HONOUR.sub("", clean(piece)).strip(" .:") + ("." if piece.endswith("Jr.") else "")
        society = piece.isupper() and piece.isalpha() and len(piece) <= _SOCIETY
        if piece and not (society or piece.isdigit() or _TITLES.fullmatch(piece)):
            yield piece


def _composed(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFC", match["letter"] + _COMBINING[match["accent"]])


def _listing(rows: Sequence[_Row]) -> Iterator[_Row]:
    """The rows that list authors, of `rows` that begin with one."""
    style = rows[0].style
    others = [row for row in rows[1:] if not row.lists or row.style != style]
    apart = bool(others) and others[0].style != style
    yield rows[0]
    closed = bool(rows[0].rest)
    for last, row in pairwise(rows):
        goes_on = _ENDS_OPEN.search(last.text) or _STARTS_OPEN.match(row.text)
        fresh = apart or closed or "@" in last.text or _distant(last, row)
        if row.lists and row.style == style and (goes_on or fresh):
            yield row
            closed = bool(row.rest)
        elif not row.lists or row.style != style:
            closed = "@" in row.text


def _distant(last: _Row, row: _Row) -> bool:
    return row.bottom - last.bottom > _BLOCK_GAP * (row.bottom - row.top)


def _cased(name: str) -> str:
    """Names set in capitals as names are written."""
    letters = [letter for letter in name if letter.isalpha()]
    if not all(letter.isupper() for letter in letters) or len(letters) < len(name.split()) + 2:
        return name
    return " ".join(
        word.lower() if at and word.lower() in _PARTICLES else _capital(word)
        for at, word in enumerate(name.split())
    )


def _capital(word: str) -> str:
    return word.title() if len(word) > 2 else word
