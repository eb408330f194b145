"""What every reader returns, and how paragraphs become a stored text with offsets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from scholar.values import Holding, Reference

GAP = "\n\n"
"""What stands between two paragraphs of a stored text."""

# Control characters, soft hyphens, halves of pairs, and glyphs of private use; no white space.
_UNWANTED = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\ud800-\uf8ff\ufeff\ufffe\uffff]"
)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and where it stands in the stored text."""

    start: int
    title: str


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page of the file begins in the stored text; `number` counts from 1."""

    start: int
    number: int


@dataclass(frozen=True, slots=True)
class Document:
    """One file as text, with what it says of itself.

    `text` is the stored text: NFC, paragraphs and headings parted by one blank line, no line
    breaks inside a paragraph. `pages` and `sections` hold offsets into it, ascending.
    `identifiers` has the keys "arxiv" (without version) and "doi". `problems` are sentences about
    what could not be read.
    """

    text: str
    title: str = ""
    authors: tuple[str, ...] = ()
    year: int | None = None
    venue: str = ""
    identifiers: dict[str, str] = field(default_factory=dict)
    version: str = ""
    holds: Holding = "full"
    pages: tuple[Page, ...] = ()
    sections: tuple[Section, ...] = ()
    problems: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph or heading before it is placed; `pages` are offsets into `text` itself."""

    text: str
    heading: bool = False
    pages: tuple[Page, ...] = ()


def clean(text: str) -> str:
    """One paragraph in stored form: NFC, single spaces, no control characters."""
    return _SPACE.sub(" ", unicodedata.normalize("NFC", _UNWANTED.sub("", text))).strip()


def place(blocks: Iterable[Block]) -> tuple[str, tuple[Page, ...], tuple[Section, ...]]:
    """Join `blocks`, whose texts are clean and not empty, into a stored text with its offsets."""
    texts: list[str] = []
    pages: list[Page] = []
    sections: list[Section] = []
    at = 0
    for block in blocks:
        pages += [Page(at + page.start, page.number) for page in block.pages]
        if block.heading:
            sections.append(Section(at, block.text))
        texts.append(block.text)
        at += len(block.text) + len(GAP)
    return GAP.join(texts), tuple(pages), tuple(sections)
