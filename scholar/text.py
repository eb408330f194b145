"""What a text holds (sentences, figures, addresses), and what of it can be sent and shown."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

import sentencex

Span = tuple[int, int]
"""Start and end in characters, end exclusive."""

_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
_FIGURE = re.compile(
    r"""
    (?<! [A-Za-z_.,\d] ) (?<! [A-Za-z][-–] )            # not inside a name such as GPT-4 or F1
    (?> \d{1,3} (?: ,\d{3} )+ | \d+ ) (?: \.\d+ )?+
    (?! [A-Za-z_] )                                    # nor 7B
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"[a-z]+")
_SMALL_NAME = re.compile(r"[a-z]{1,2}-?[A-Z]")
"""How names such as mRNA, iPhone and i-MedRAG begin."""
_UNSHOWN = frozenset({"Cc", "Cf", "Cs"})
"""Unicode categories: control characters, marks of format such as bidi, and half characters."""
_ADDRESS = re.compile(
    r"""
    \b [a-z][a-z0-9+.-]* :// [^\s<>"')\]]+
    | \b (?: javascript | data | mailto | file ) : [^\s<>"')\]]+
    | \b www\. [^\s<>"')\]]+
    | \b (?: [a-z0-9-]+ \. )+ [a-z]{2,} / [^\s<>"')\]]+   # a host and a path, without a scheme
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NUMBER_WORDS = {
    word: Decimal(n)
    for n, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
}


def plain(text: str) -> str:
    """Text from outside, without characters that could steer a terminal."""
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in _UNSHOWN)


def encodable(text: str) -> str:
    """`text` without the half characters that PDFs, file names and command lines can bring."""
    return text.encode("utf-8", "replace").decode("utf-8")


def one_line(text: str) -> str:
    """`text` with all its white space as single blanks."""
    return " ".join(text.split())


def plain_line(text: str) -> str:
    """`text` as `plain` has it, with all its white space as single blanks."""
    return one_line(plain(one_line(text)))


def shortened(text: str, most: int) -> str:
    """`text`, cut at `most` characters, a final "…" counted in."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def addresses(text: str) -> frozenset[str]:
    """The addresses in `text` that something may turn into a link, in small letters.

    They are looked for in what a reader sees: characters that are not shown hide none.
    """
    return frozenset(found.rstrip(".,;:!?").lower() for found in _ADDRESS.findall(plain(text)))


def without_addresses(text: str, known: frozenset[str] = frozenset()) -> str:
    """`text` with every address left out but those that are `known`."""
    if addresses(text) <= known:
        return text
    return _ADDRESS.sub(
        lambda m: m[0] if m[0].rstrip(".,;:!?").lower() in known else "(address left out)",
        plain(text),
    )


def paragraphs(text: str) -> list[Span]:
    """The stretches of `text` between blank lines, without white space at their ends."""
    gaps = [match.span() for match in _BLANK_LINES.finditer(text)]
    starts = (0, *(end for _, end in gaps))
    ends = (*(start for start, _ in gaps), len(text))
    spans = (_trimmed(text, start, end) for start, end in zip(starts, ends, strict=True))
    return [(start, end) for start, end in spans if start < end]


def sentences(text: str) -> list[Span]:
    """The sentences of `text`, in order; none crosses a blank line."""
    return [span for start, end in paragraphs(text) for span in _split(text, start, end)]


def figures(text: str, *, spelled: bool = False) -> frozenset[Decimal]:
    """The numbers that `text` states in digits, whether as 1,000 or 1000, 12 % or 12%.

    Digits that belong to a name (F1, GPT-4, 7B) are none. With `spelled`, number words up to
    twelve count too.
    """
    found = {Decimal(match[0].replace(",", "")) for match in _FIGURE.finditer(text)}
    if spelled:
        words = set(_WORD.findall(text.lower()))
        found |= {number for word, number in _NUMBER_WORDS.items() if word in words}
    return frozenset(found)


def _split(text: str, start: int, end: int) -> list[Span]:
    spans: list[Span] = []
    at = start
    for piece in sentencex.segment("en", text[start:end]):
        span = _trimmed(text, at, at + len(piece))
        at += len(piece)
        if span[0] == span[1]:
            continue
        # The segmenter ends a sentence after "et al. [3]"; none begins with a small letter, unless
        # a name does.
        if spans and text[span[0]].islower() and not _SMALL_NAME.match(text, span[0]):
            span = (spans.pop()[0], span[1])
        spans.append(span)
    return spans


def _trimmed(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
