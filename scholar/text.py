"""Where sentences and paragraphs of a text begin and end."""

from __future__ import annotations

import re

import sentencex

Span = tuple[int, int]
"""Start and end in characters, end exclusive."""

_PARAGRAPH = re.compile(r"\S(?:.(?!\n[ \t]*\n))*\S?", re.DOTALL)


def paragraphs(text: str) -> list[Span]:
    """The stretches of `text` between blank lines, without white space at their ends."""
    return [_trimmed(text, *match.span()) for match in _PARAGRAPH.finditer(text)]


def sentences(text: str) -> list[Span]:
    """The sentences of `text`, in order; none crosses a blank line."""
    return [span for start, end in paragraphs(text) for span in _split(text, start, end)]


def _split(text: str, start: int, end: int) -> list[Span]:
    spans: list[Span] = []
    at = start
    for piece in sentencex.segment("en", text[start:end]):
        span = _trimmed(text, at, at + len(piece))
        at += len(piece)
        if span[0] == span[1]:
            continue
        # The segmenter ends a sentence after "et al. [3]"; none begins with a small letter.
        if spans and text[span[0]].islower():
            span = (spans.pop()[0], span[1])
        spans.append(span)
    return spans


def _trimmed(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
