"""Does this quote occur in that text, and where: the check on which every citation rests.

Both sides are compared after undoing what typesetting and copying do to text: Unicode
compatibility forms (NFKC) and ligatures, typographic quotation marks and dashes, hyphenation at
line ends, runs of white space. Nothing else is forgiven: every word, number, sign and negation
must stand there. Superscripts, subscripts and fractions keep their form, since folding them would
make 10⁵ the same as 105.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from scholar.text import Span, sentences

MIN_LENGTH = 12
"""Characters of the shortest quote worth locating: less occurs in any text by chance."""
MAX_SENTENCE = 600
"""Characters of the longest sentence a quote is widened to: more is a table, not a sentence."""

# Stands in a canonical text for a hyphen at a line end, which may or may not belong to the word.
_SOFT = "\ue000"
_INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")
_FOLD = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        "‹": "<",  # the fence of the prompts writes these for < and >
        "›": ">",
        _SOFT: "\ufffd",
    }
)
_LINE_END_HYPHEN = re.compile(r"[-\u2010\u00ad]\s+(?=[^\W\d_])")
_KEPT_FORMS = ("<super>", "<sub>", "<fraction>", "<circle>", "<square>")
_OUTER_MARKS = " \t\r\n\"'“”‘’«»…."
_JOINERS = "-‐‑–−'’.,/·\u00ad"
_SIGNS = "-−–+±~≈<>≤≥$€£#"


@dataclass(frozen=True, slots=True)
class _Canonical:
    """Folded text, and for each of its characters the span it came from."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]


def locate(quote: str, text: str) -> Span | None:
    """The first place in `text` where `quote` stands, widened to whole words and numbers.

    Returns offsets into `text`, end exclusive, or None where the quote does not occur. Widening
    means that "effective" quoted out of "ineffective" comes back as the whole word.
    """
    wanted = _canonical(quote.strip(_OUTER_MARKS)).text.strip()
    if not wanted:
        return None
    canonical = _canonical(text)
    match = _pattern(wanted).search(canonical.text)
    if match is None:
        return None
    start, end = canonical.starts[match.start()], canonical.ends[match.end() - 1]
    return _whole_words(text, start, end)


def locate_sentence(quote: str, text: str) -> Span | None:
    """Like `locate`, widened to the sentences it stands in.

    What surrounds half a sentence ("does not", "only if") can turn its meaning, so a quote is
    published with its whole sentence unless that is longer than MAX_SENTENCE. Quotes shorter than
    MIN_LENGTH are not located.
    """
    if len(quote.strip(_OUTER_MARKS)) < MIN_LENGTH:
        return None
    span = locate(quote, text)
    if span is None:
        return None
    start, end = span
    touched = [(a, b) for a, b in sentences(text) if a < end and start < b]
    if touched and touched[-1][1] - touched[0][0] <= max(MAX_SENTENCE, end - start):
        return min(start, touched[0][0]), max(end, touched[-1][1])
    return span


@lru_cache(maxsize=256)
def _canonical(text: str) -> _Canonical:
    out: list[str] = []
    starts: list[int] = []
    ends: list[int] = []

    def put(characters: str, start: int, end: int) -> None:
        for character in characters:
            out.append(character)
            starts.append(start)
            ends.append(end)

    at = 0
    while at < len(text):
        hyphen = _LINE_END_HYPHEN.match(text, at)
        if hyphen and out and out[-1].isalpha():
            put(_SOFT, at, hyphen.end())
            at = hyphen.end()
            continue
        end = _cluster_end(text, at)
        cluster = text[at:end]
        if cluster.isspace():
            if not out or out[-1] != " ":
                put(" ", at, end)
        elif cluster not in _INVISIBLE:
            put(_fold(cluster), at, end)
        at = end
    return _Canonical("".join(out), tuple(starts), tuple(ends))


def _cluster_end(text: str, at: int) -> int:
    end = at + 1
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    return end


def _fold(cluster: str) -> str:
    if cluster.isascii():
        return cluster.translate(_FOLD)
    if unicodedata.decomposition(cluster[0]).startswith(_KEPT_FORMS):
        return unicodedata.normalize("NFC", cluster)
    folded = unicodedata.normalize("NFKC", cluster)
    if any(character.isspace() for character in folded):
        folded = unicodedata.normalize("NFC", cluster)
    return folded.translate(_FOLD)


def _pattern(wanted: str) -> re.Pattern[str]:
    parts = []
    for character, following in zip(wanted, wanted[1:] + " ", strict=True):
        if character == _SOFT:
            parts.append(f"[-{_SOFT}]?")
        elif character == "-":
            parts.append(f"[-{_SOFT}]")
        elif character.isalpha() and following.isalpha():
            parts.append(f"{re.escape(character)}{_SOFT}?")
        else:
            parts.append(re.escape(character))
    return re.compile("".join(parts))


def _whole_words(text: str, start: int, end: int) -> Span:
    while start > 0 and _joined(text, start):
        start -= 1
    while start > 0 and text[start].isalnum() and text[start - 1] in _SIGNS:
        start -= 1
    while end < len(text) and _joined(text, end):
        end += 1
    if end < len(text) and text[end] in "%‰°" and text[end - 1].isdigit():
        end += 1
    return start, end


def _joined(text: str, at: int) -> bool:
    """Whether the characters before and after `at` belong to one word or number."""
    before, after = text[at - 1], text[at]
    if _wordlike(before) and _wordlike(after):
        return True
    if before in _JOINERS and _wordlike(after):
        return at >= 2 and _wordlike(text[at - 2])
    if after in _JOINERS and _wordlike(before):
        return at + 1 < len(text) and _wordlike(text[at + 1])
    return False


def _wordlike(character: str) -> bool:
    return character.isalnum() or character == "_" or bool(unicodedata.combining(character))
