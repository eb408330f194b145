"""Titles and names in one spelling: which of them may be the same. Pure functions, no I/O."""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache
from itertools import combinations

TYPO_LETTERS = 6
"""Letters of a word in which one slip is taken for a spelling; in a shorter one it is a word."""
TYPO_FROM = 3
"""Where in the word that may be: what differs at its head means something else (micro, macro)."""

RETRACTED = re.compile(r"^\W*retracted(?:\s+(?:article|paper|chapter))?\b\W+", re.IGNORECASE)
"""What publishers put before the title of a paper that they have retracted."""
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_ACCENT = re.compile(r"\\(?:[`'^\"~=.]|[cvuHkrbdt](?=\s*\{|\s+[a-zA-Z]\b))\s*")
_STYLE = re.compile(r"\\(?:emph|text\w*|math\w*|rm|it|bf|sc|sf|tt|em|large|left|right)\b")
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_POINT = re.compile(r"(?<=\d)[.,](?=\d)")
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"[^\W_]+")
_ROMAN = re.compile(r"^(?=[ivx]{2})x{0,3}(?:ix|iv|v?i{0,3})$")
_PARTS = frozenset({"part", "paper", "volume", "vol", "chapter", "study", "type", "phase", "stage"})
_ROMAN_DIGITS = {"i": 1, "v": 5, "x": 10}
_WORDS = str.maketrans({"&": " and ", "+": " plus ", "#": " sharp ", "ß": "ss"})
_LETTERS = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)
# The one spelling that both sides of the Atlantic are brought to; what results need be no word.
_SPELLINGS = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        (r"([iy])s(ation|ations|e|ed|es|er|ers|ing)$", r"\1z\2"),
        (r"(?<=[a-z]{2})our(?=s$|$|ed|ing|al|ful|able|ite)", "or"),
        (r"(?<=[a-z]{2})tre(s?)$", r"ter\1"),
        (r"ll(?=(ed|ing|er|ers)$)", "l"),
        (r"(?<=[a-z]{2})ogue(s?)$", r"og\1"),
        (r"ae|oe", "e"),
        (r"^programme(s?)$", r"program\1"),
    )
)
_SPELLED = re.compile("|".join(pattern.pattern for pattern, _ in _SPELLINGS))
_GENERIC = frozenset(
    "introduction preface editorial foreword abstract conclusion discussion comment commentary "
    "reply response erratum corrigendum correction retraction letter news obituary untitled index "
    "contents references appendix bookreview letterstotheeditor lettertotheeditor inthisissue "
    "guesteditorial frontmatter backmatter supplementarymaterial proceedings review".split()
)
_SUFFIX = re.compile(r"^(jr|sr|ii|iii|iv|phd|md)$")
_PARTICLES = frozenset(
    "van von der den de del della di da dos du la le ten ter zu bin al el".split()
)


def title_key(title: str) -> str:
    """`title` without what spellings differ in; empty for one that many works have."""
    joined = "".join(words_of(title))
    return "" if joined in _GENERIC else joined


def same_title(one: str, other: str) -> bool:
    """Whether two titles differ in nothing but spelling."""
    mine, theirs = words_of(one), words_of(other)
    if not title_key(one) or not title_key(other):
        return False
    if "".join(mine) == "".join(theirs):
        return True
    apart = [pair for pair in zip(mine, theirs, strict=False) if pair[0] != pair[1]]
    return len(mine) == len(theirs) > 2 and len(apart) == 1 and _slip(*apart[0])


def same_name(one: str, other: str) -> bool:
    """Whether two names may be one person's: the surname, and the initials as far as given."""
    return any(
        mine == theirs and _fit(given, others)
        for mine, given in _readings(one)
        for theirs, others in _readings(other)
    )


@lru_cache(maxsize=4096)
def words_of(title: str) -> tuple[str, ...]:
    """The words of a title in one spelling: what is left is what makes another title of it."""
    text = RETRACTED.sub("", html.unescape(title))
    text = _TAG.sub("", text)
    if "\\" in text:
        text = _COMMAND.sub(r"\1 ", _STYLE.sub(" ", _ACCENT.sub("", text)))
    text = text.replace("{", "").replace("}", "").replace("$", "").replace("’", "'")
    text = _POINT.sub("p", text.replace("'", ""))
    text = _fold(text.translate(_WORDS))
    words = [_spelling(word) for word in _TOKEN.findall(text)]
    if len(words) > 1 and words[0] in ("a", "an"):
        words = words[1:]
    return tuple(_arabic(words, at) for at in range(len(words)) if words[at] != "the")


def _fold(text: str) -> str:
    """Small letters without accents; Greek ones by name, as a text without them would say."""
    text = text.casefold().translate(_LETTERS)
    if text.isascii():
        return text
    bare = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(_greek(letter) for letter in bare)


def _greek(letter: str) -> str:
    if not "α" <= letter <= "ω":
        return letter
    return unicodedata.name(letter).rpartition(" ")[2].lower()


@lru_cache(maxsize=16384)
def _spelling(word: str) -> str:
    if len(word) > 4 and _SPELLED.search(word):  # few words are, and seven patterns take long
        for pattern, put in _SPELLINGS:
            word = pattern.sub(put, word)
    return word


def _arabic(words: list[str], at: int) -> str:
    word = words[at]
    numbered = at > 0 and words[at - 1] in _PARTS and word in _ROMAN_DIGITS
    if not (numbered or _ROMAN.match(word)):
        return word
    values = [_ROMAN_DIGITS[letter] for letter in word]
    signed = [-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True)]
    return str(sum(signed))


@lru_cache(maxsize=4096)
def blocks_of(title: str) -> tuple[str, ...]:
    """Keys of which two titles share one if they may be the same; few others share them."""
    key = title_key(title)
    if not key:
        return ()
    # One slip leaves all but one of the longest words as they were.
    words = sorted(set(words_of(title)), key=lambda word: (-len(word), word))[:4]
    some = combinations(words, len(words) - 1) if len(words) > 2 else ()
    return (f"={key}", *("|".join(sorted(each)) for each in some))


def _slip(one: str, other: str) -> bool:
    """Whether two words are one with a letter left out, doubled or in its neighbour's place.

    Another letter in place of one is not: nitrate and nitrite, sulfide and sulfite.
    """
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < TYPO_LETTERS or any(map(str.isdigit, one + other)):
        return False
    at = next((i for i, c in enumerate(shorter) if c != longer[i]), len(shorter))
    if at < TYPO_FROM:
        return False
    if len(longer) == len(shorter) + 1:
        return longer[at + 1 :] == shorter[at:]
    swapped = shorter[at : at + 2] == longer[at : at + 2][::-1]
    return len(longer) == len(shorter) and swapped and shorter[at + 2 :] == longer[at + 2 :]


@lru_cache(maxsize=16384)
def _readings(name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The ways to part `name` into a surname and given names or their initials."""
    family, comma, given = name.partition(",")
    if comma:
        return tuple((surname, _given(given)) for surname in _surnames(_name_words(family)))
    words = _name_words(name)
    if not words:
        return ()
    raw = [word for word in name.split() if _TOKEN.search(word)]
    found = [(words[-1], tuple(words[:-1]))]
    for at in range(len(words) - 1, 0, -1):  # van der Berg, García Márquez
        if words[at - 1] in _PARTICLES or at == len(words) - 1 > 1:
            found.append(("".join(words[at - 1 :]), tuple(words[: at - 1])))
    last = raw[-1].strip(".") if raw else ""
    if len(raw) > 1 and last.isupper() and len(last) <= 3 and not name.isupper():
        found += [(surname, tuple(last.lower())) for surname in _surnames(words[:-1])]  # Smith JA
    return tuple(found)


def _surnames(words: list[str]) -> list[str]:
    bare = [word for word in words if word not in _PARTICLES] or words
    return list(dict.fromkeys(("".join(words), "".join(bare), bare[-1]))) if bare else []


def _given(text: str) -> tuple[str, ...]:
    return tuple(
        letter
        for word in _TOKEN.findall(_fold_name(text, keep_case=True))
        for letter in (word.lower() if word.isupper() and len(word) <= 3 else [word.lower()])
    )


def _name_words(text: str) -> list[str]:
    folded = _fold_name(text.replace("-", "").replace("'", "").replace("’", ""))
    words = _TOKEN.findall(folded)
    while len(words) > 1 and _SUFFIX.match(words[-1]):
        words.pop()
    return words


def _fold_name(text: str, *, keep_case: bool = False) -> str:
    text = re.sub(r"[{}]|\\.", "", text)
    if keep_case:
        bare = unicodedata.normalize("NFKD", text)
        return "".join(c for c in bare if not unicodedata.combining(c))
    # Müller, Mueller and Muller are written for one another.
    return re.sub(r"(?<=[aou])e", "", _fold(text))


def _fit(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Whether given names may be one person's: Ada fits A. and Ad, and not Anna."""
    if not mine or not theirs:
        return True
    one, other = mine[0], theirs[0]
    return one.startswith(other) or other.startswith(one)


def fold(name: str) -> str:
    """`name` without what spellings differ in: case, accents, punctuation."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return " ".join(_WORD.findall("".join(c for c in letters if not unicodedata.combining(c))))
