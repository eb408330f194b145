"""A quote within its passage, cut into the pieces that a page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from scholar.text import plain
from scholar.values import Citation, Passage

_BLANK_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a paragraph: `quoted` or not; with `page`, the page that begins before it."""

    text: str
    quoted: bool = False
    page: int | None = None


Paragraph = tuple[Piece, ...]


def excerpt(citation: Citation, passage: Passage | None) -> tuple[Paragraph, ...]:
    """The passage in paragraphs, with the quote marked; empty where it does not hold the quote,
    since it is gone or was written anew.
    """
    if passage is None:
        return ()
    start, end = citation.start - passage.start, citation.end - passage.start
    if start < 0 or passage.text[start:end] != citation.quote:
        return ()
    paragraphs: list[list[Piece]] = [[]]
    for piece in _pieces(passage, start, end):
        first, *others = _BLANK_LINES.split(piece.text)
        paragraphs[-1].append(Piece(plain(first), piece.quoted, piece.page))
        paragraphs += [[Piece(plain(text), piece.quoted)] for text in others]
    return tuple(filter(None, map(_whole, paragraphs)))


def _whole(paragraph: list[Piece]) -> Paragraph:
    """The pieces that say anything."""
    return tuple(piece for piece in paragraph if piece.text.strip() or piece.page)


def _pieces(passage: Passage, start: int, end: int) -> Iterator[Piece]:
    """The text of `passage` cut where the quote begins and ends, and where pages begin."""
    begins = {offset - passage.start: page for offset, page in passage.pages}
    begins = {at: page for at, page in begins.items() if 0 < at < len(passage.text)}
    cuts = sorted({0, start, end, len(passage.text), *begins})
    for at, until in pairwise(cuts):
        yield Piece(passage.text[at:until], start <= at < end, begins.get(at))
