"""When two papers are one work, and what is kept of both. Pure functions, no I/O.

A work is known by its identifiers; where they do not say, by its title and authors. Two works taken
for one lose a source for good and one work taken for two is only cited twice, so that whatever is
in doubt stays two.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import combinations

from scholar.values import Holding, Paper, Reference

RANK: Mapping[Holding, int] = {"record": 0, "note": 1, "abstract": 2, "full": 3}
"""What a paper holds, by how much of it that is."""
YEARS_APART = 4
"""Years between a preprint and its publication; later, the same title is another work."""
NAMELESS_WORDS = 5
"""Words a title needs to be the same work without any author: shorter ones recur."""
TYPO_LETTERS = 6
"""Letters of a word in which one slip is taken for a spelling; in a shorter one it is a word."""
TYPO_FROM = 3
"""Where in the word that may be: what differs at its head means something else (micro, macro)."""

_SCHEMES = ("doi", "arxiv", "pmid", "pmcid", "openalex", "s2", "corpus", "dblp", "isbn")
_CONTRADICT = ("doi", "arxiv", "pmid")
"""Schemes that give a work one id only, so that two ids are two works."""
_PREPRINT_DOIS = (
    "10.48550/", "10.1101/", "10.2139/", "10.5281/", "10.20944/", "10.21203/", "10.22541/",
    "10.26434/", "10.31219/", "10.31222/", "10.31234/", "10.31235/", "10.36227/", "10.64898/",
)  # fmt: skip
"""Of arXiv, bioRxiv and medRxiv, SSRN, Zenodo, Preprints.org, Research Square, Authorea, ChemRxiv,
OSF and its communities, TechRxiv, openRxiv."""
_ARXIV_DOI = "10.48550/arxiv."
_DOI_HEAD = re.compile(r"^(?:https?://)?(?:dx\.)?(?:doi\.org/|doi:\s*)", re.IGNORECASE)
_DOI_VERSION = re.compile(r"(?:/v\d+|(f1000research\.\d+)\.\d+|(elife\.\d+)\.\d+)$")
_ARXIV_VERSION = re.compile(r"v\d+$")
_PREPRINT_VENUE = re.compile(r"\b(arxiv|preprint|biorxiv|medrxiv|ssrn|corr|openreview)\b", re.I)

_RETRACTED = re.compile(r"^\W*retracted(?:\s+(?:article|paper|chapter))?\b\W+", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_ACCENT = re.compile(r"\\(?:[`'^\"~=.]|[cvuHkrbdt](?=\s*\{|\s+[a-zA-Z]\b))\s*")
_STYLE = re.compile(r"\\(?:emph|text\w*|math\w*|rm|it|bf|sc|sf|tt|em|large|left|right)\b")
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_POINT = re.compile(r"(?<=\d)[.,](?=\d)")
_TOKEN = re.compile(r"[^\W_]+")
_ROMAN = re.compile(r"^(?=[ivx]{2})x{0,3}(?:ix|iv|v?i{0,3})$")
_PARTS = frozenset({"part", "paper", "volume", "vol", "chapter", "study", "type", "phase", "stage"})
_ROMAN_DIGITS = {"i": 1, "v": 5, "x": 10}
_WORDS = {"&": " and ", "+": " plus ", "#": " sharp ", "ß": "ss"}
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


def keys_of(paper: Paper) -> tuple[str, ...]:
    """The names that only this work has: `doi:…`, `arxiv:…`, `pmid:…`. A note on it has none."""
    if paper.holds == "note":
        return ()
    scheme, _, id = paper.id.partition(":")
    named = {scheme: id} if scheme in _SCHEMES else {}
    return _keys_from(tuple({**paper.identifiers, **named}.items()))


def keys_from(identifiers: Mapping[str, str]) -> tuple[str, ...]:
    """`identifiers` as keys, in one spelling: small letters, no address, no version."""
    return _keys_from(tuple(identifiers.items()))


def blocks_of(title: str) -> tuple[str, ...]:
    """Keys of which two titles share one if they may be the same; few others share them."""
    return _blocks(title)


def title_key(title: str) -> str:
    """`title` without what spellings differ in; empty for one that many works have."""
    joined = "".join(_tokens(title))
    return "" if joined in _GENERIC else joined


def reference_keys(reference: Reference) -> tuple[str, ...]:
    """What the work that `reference` names can be recognised by: its ids and its title."""
    title = title_key(reference.title)
    return (*keys_from(reference.identifiers), *((f"title:{title}",) if title else ()))


def is_cited(reference: Reference, paper: Paper) -> bool:
    """Whether `reference` may mean `paper`, whose title or an id is the same."""
    said = keys_from(reference.identifiers)
    known = keys_of(paper)
    if set(said) & set(known):
        return True
    if _contradict(said, known) or not _near_in_time(reference.year, paper.year):
        return False
    if not (reference.authors and paper.authors):
        return len(_tokens(reference.title)) >= NAMELESS_WORDS
    # References name people by surname and initial, or the first of them alone.
    return any(same_name(reference.authors[0], name) for name in paper.authors)


def same_work(one: Paper, other: Paper) -> str:
    """Why `one` and `other` are the same work, in words; empty where they are two."""
    if "note" in (one.holds, other.holds):
        return ""
    mine, theirs = keys_of(one), keys_of(other)
    shared = [key for key in mine if key in theirs]
    if shared:
        return f"same {shared[0].partition(':')[0]}"
    if _contradict(mine, theirs) or not same_title(one.title, other.title):
        return ""
    return "same title and authors" if _same_makers(one, other) else ""


def same_title(one: str, other: str) -> bool:
    """Whether two titles differ in nothing but spelling."""
    mine, theirs = _tokens(one), _tokens(other)
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


def unite(stored: Paper, new: Paper) -> tuple[Paper, bool]:
    """One paper of both under the id of `stored`, and whether the text of `new` is to be kept.

    The fuller text stays, of two versions on arXiv the later; what is said of the work is that of
    the published one, else of a bibliography before that read off a file.
    """
    takes = _fuller(stored, new)
    text, rest = (new, stored) if takes else (stored, new)
    lead, other = sorted((stored, new), key=_authority, reverse=True)  # stable: stored before new
    united = replace(
        text,
        id=stored.id,
        title=lead.title or other.title,
        authors=lead.authors or other.authors,
        year=lead.year if lead.year is not None else other.year,
        venue=lead.venue or other.venue,
        identifiers={**other.identifiers, **lead.identifiers},
        source=text.source or rest.source,
        retracted=stored.retracted or new.retracted,
        newer=_newer(text, rest),
    )
    return united, takes


def marked_retracted(paper: Paper) -> Paper:
    """`paper`, retracted where its title says that, and without saying so in the title."""
    bare = _RETRACTED.sub("", paper.title)
    if bare == paper.title or not bare:
        return paper
    return replace(paper, title=bare, retracted=True)


def version_number(version: str) -> int:
    """3 for `v3`; 0 where there is none."""
    digits = version.strip().lower().removeprefix("v")
    return int(digits) if digits.isdecimal() else 0


@lru_cache(maxsize=4096)
def _keys_from(identifiers: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    found = (_key(scheme, value.strip()) for scheme, value in identifiers)
    return tuple(dict.fromkeys(filter(None, found)))


def _key(scheme: str, value: str) -> str:
    scheme = scheme.lower()
    if scheme not in _SCHEMES or not value:
        return ""
    value = value.lower()
    if scheme == "doi":
        value = _DOI_HEAD.sub("", value)
        if value.startswith(_ARXIV_DOI):
            return _key("arxiv", value.removeprefix(_ARXIV_DOI))
        value = _DOI_VERSION.sub(lambda found: found[1] or found[2] or "", value)
    if scheme == "arxiv":
        value = _ARXIV_VERSION.sub("", value.removeprefix("arxiv:"))
    if scheme == "openalex":
        value = value.rpartition("/")[2]
    return f"{scheme}:{value}"


def contradict(one: Paper, other: Paper) -> bool:
    """Whether an id says that two papers are two works."""
    return _contradict(keys_of(one), keys_of(other))


def _contradict(mine: Iterable[str], theirs: Iterable[str]) -> bool:
    """Whether one of the schemes names two works. A preprint's DOI says nothing of the other's."""
    ours, others = _firm(mine), _firm(theirs)
    return any(ours[scheme] != others[scheme] for scheme in ours.keys() & others.keys())


def _firm(keys: Iterable[str]) -> dict[str, str]:
    parted = (key.split(":", 1) for key in keys)
    return {
        scheme: value
        for scheme, value in parted
        if scheme in _CONTRADICT and not (scheme == "doi" and value.startswith(_PREPRINT_DOIS))
    }


def _same_makers(one: Paper, other: Paper) -> bool:
    if not (one.authors and other.authors):
        exact = title_key(one.title) == title_key(other.title)
        same_year = None in (one.year, other.year) or one.year == other.year
        return exact and same_year and len(_tokens(one.title)) >= NAMELESS_WORDS
    if not _near_in_time(one.year, other.year):
        return False
    if not same_name(one.authors[0], other.authors[0]):
        return False
    fewer, more = sorted((one.authors, other.authors), key=len)
    shared = sum(any(same_name(name, theirs) for theirs in more) for name in fewer)
    return 2 * shared >= len(fewer)


def _near_in_time(one: int | None, other: int | None) -> bool:
    return one is None or other is None or abs(one - other) <= YEARS_APART


def _fuller(stored: Paper, new: Paper) -> bool:
    if RANK[new.holds] != RANK[stored.holds]:
        return RANK[new.holds] > RANK[stored.holds]
    before = version_number(stored.version)
    return 0 < before < version_number(new.version)


def _authority(paper: Paper) -> tuple[bool, bool]:
    read_off_a_file = bool(paper.source) and "://" not in paper.source
    return is_published(paper), not read_off_a_file


def is_published(paper: Paper) -> bool:
    """Whether `paper` is more than a preprint: it has a venue or a publisher's DOI."""
    dois = [key for key in keys_of(paper) if key.startswith("doi:")]
    if any(not doi.removeprefix("doi:").startswith(_PREPRINT_DOIS) for doi in dois):
        return True
    return bool(paper.venue) and not _PREPRINT_VENUE.search(paper.venue)


def _newer(text: Paper, rest: Paper) -> str:
    known = max((text.newer, rest.newer, rest.version), key=version_number)
    if version_number(known) > version_number(text.version) > 0:
        return known
    # A later version that has a DOI of its own has no number.
    return "" if version_number(text.newer) else text.newer


@lru_cache(maxsize=4096)
def _tokens(title: str) -> tuple[str, ...]:
    """The words of a title in one spelling: what is left is what makes another title of it."""
    text = _RETRACTED.sub("", html.unescape(title))
    text = _TAG.sub("", text)
    if "\\" in text:
        text = _COMMAND.sub(r"\1 ", _STYLE.sub(" ", _ACCENT.sub("", text)))
    text = text.replace("{", "").replace("}", "").replace("$", "").replace("’", "'")
    text = _POINT.sub("p", text.replace("'", ""))
    text = _fold("".join(_WORDS.get(letter, letter) for letter in text))
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
    if len(word) > 4:
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
def _blocks(title: str) -> tuple[str, ...]:
    key = title_key(title)
    if not key:
        return ()
    # One slip leaves all but one of the longest words as they were.
    words = sorted(set(_tokens(title)), key=lambda word: (-len(word), word))[:4]
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
