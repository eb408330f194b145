"""Cutting a paper's text into passages."""

from __future__ import annotations

from collections.abc import Iterator

from scholar.readers import Document
from scholar.text import Span, sentences
from scholar.values import Passage

WORDS = 250
"""Words a passage aims at: about one long paragraph, enough for a quote to have its context."""
LETTERS = 12
"""Most characters a word may have on average before its text counts as having no spaces: English
has about 6 with the space, Finnish and German under 10.
"""
LEFT_OUT = frozenset({"references", "bibliography", "literature cited", "works cited"})
"""Sections that are not cut: a list of titles matches any query and carries no finding."""


def cut(paper_id: str, document: Document) -> tuple[Passage, ...]:
    """The passages of `document`: whole sentences, about WORDS words, ending at section borders
    where that leaves at least half as many. Sections in LEFT_OUT are left out.
    """
    spans = _pack(document.text, _section_starts(document), _units(document))
    return tuple(
        Passage(
            id=f"{paper_id}#{seq}",
            paper_id=paper_id,
            seq=seq,
            start=start,
            end=end,
            text=document.text[start:end],
            section=_section_at(document, start),
            pages=_pages_within(document, start, end),
        )
        for seq, (start, end) in enumerate(spans)
    )


def _units(document: Document) -> Iterator[Span]:
    """The sentences to pack, the longest of them (tables, formulas) cut at WORDS words."""
    for start, end in sentences(document.text):
        if _section_at(document, start).strip(" .:0123456789IVX").lower() in LEFT_OUT:
            continue
        yield from _cut_long(document.text, start, end)


def _cut_long(text: str, start: int, end: int) -> Iterator[Span]:
    while end - start > WORDS and _words(text[start:end]) > WORDS:
        head = text[start:end].split(maxsplit=WORDS)
        stop = min(end - len(head[-1]) if len(head) > WORDS else end, start + WORDS * LETTERS)
        yield start, start + len(text[start:stop].rstrip())
        start = stop
    yield start, end


def _words(text: str) -> int:
    """Words of `text`; of writing that has no spaces, what its length comes to."""
    return max(len(text.split()), len(text) // LETTERS)


def _pack(text: str, section_starts: set[int], units: Iterator[Span]) -> list[Span]:
    spans: list[Span] = []
    words = 0
    for start, end in units:
        length = _words(text[start:end])
        fits = words + length <= WORDS
        if start in section_starts:
            fits = fits and words < WORDS // 2
        # A section left out in between must not slip back in, so spans stay close together.
        if spans and fits and not text[spans[-1][1] : start].strip():
            spans[-1] = (spans[-1][0], end)
            words += length
        else:
            spans.append((start, end))
            words = length
    return spans


def _section_starts(document: Document) -> set[int]:
    return {section.start for section in document.sections}


def _section_at(document: Document, offset: int) -> str:
    titles = [section.title for section in document.sections if section.start <= offset]
    return titles[-1] if titles else ""


def _pages_within(document: Document, start: int, end: int) -> tuple[tuple[int, int], ...]:
    before = [page for page in document.pages if page.start <= start][-1:]
    within = [page for page in document.pages if start < page.start < end]
    return tuple((page.start, page.number) for page in (*before, *within))
