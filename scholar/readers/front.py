"""What the first page of a paper and the file's own metadata say of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from scholar.readers.document import clean
from scholar.readers.headings import Line

# In the left margin of every paper that arXiv serves: arXiv:2502.14802v1 [cs.CL] 20 Feb 2025
_STAMP = re.compile(
    r"arXiv:(?P<id>\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?P<version>v\d+)\s*"
    r"\[[\w.-]+\]\s*\d{1,2}\s+[A-Z][a-z]{2}\s+(?P<year>\d{4})"
)
_DOI = r"10\.\d{4,9}/[^\s\"<>{}]+"
_OWN_DOI = re.compile(rf"(?:doi\s*:?\s*|(?:https?://)?(?:dx\.)?doi\.org/)({_DOI})", re.IGNORECASE)
_DATED = re.compile(
    r"\W*(?:©|\(c\)|copyright|published|accepted|proceedings of|journal of|"
    r"[\w ,:-]{0,60}\b(?:conference|workshop|symposium)\b).{0,120}?\b((?:19|20)\d{2})\b",
    re.IGNORECASE,
)
_CREATED = re.compile(r"D:(\d{4})")
_NO_TITLE = re.compile(
    r"untitled.*|(?:no |paper )?title|microsoft (?:word|powerpoint) - .*|arxiv:.*|"
    r".*\.(?:pdf|docx?|tex|dvi|ps|eps|indd|rtf|odt|qxd|fm)|"
    r"(?:paper|document|dokument|main|ms|draft)\s*\d*|(?:pii|doi):? .*|\S+|[\W\d_]*|"
    r".*(?:\\documentclass|latex2e|\btemplate\b).*",
    re.IGNORECASE,
)
_NO_AUTHOR = re.compile(
    r".*(?:[@\d\\_/]|\b(?:user|admin|author|unknown|owner|microsoft|anonymous|office)\b).*",
    re.IGNORECASE,
)
_AUTHOR_GAP = re.compile(r"\s*;\s*|\s*,\s*(?:and\s+)?|\s+and\s+")
_PRINTED_GAP = re.compile(r"\s*[,;·•&]\s*|\s+and\s+")
_AUTHOR_MARK = re.compile(r"[\d*∗†‡§¶✉⋆]+")
_SIZE_SLACK = 0.3
_UPPER_HALF = 0.6
_FEWEST_LETTERS = 6
_MOST_NAME_WORDS = 5
_YEARS = range(1900, 2100)


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a paper before any catalogue is asked."""

    title: str = ""
    authors: tuple[str, ...] = ()
    year: int | None = None
    identifiers: dict[str, str] = field(default_factory=dict)
    version: str = ""


def describe(pages: Sequence[Sequence[Line]], info: Mapping[str, str]) -> About:
    """Title, authors, year and identifiers from the first page's lines and the file's `info`."""
    first = [line for line in pages[0] if line.text.strip()] if pages else []
    stamp = _STAMP.search(clean(" ".join(line.text for line in first)))
    identifiers = {"arxiv": stamp["id"]} if stamp else {}
    doi = _doi(first, info)
    if doi:
        identifiers["doi"] = doi
    return About(
        title=_title(first, info.get("Title", "")),
        authors=_authors(first, info.get("Author", "")),
        year=_year_of(stamp) if stamp else _year(first, info),
        identifiers=identifiers,
        version=stamp["version"] if stamp else "",
    )


def _title(first: Sequence[Line], given: str) -> str:
    given = clean(given)
    plausible = bool(given) and not _NO_TITLE.fullmatch(given)
    if plausible and _bare(given) in _bare("".join(line.text for line in first)):
        return given
    return _largest(first) or (given if plausible else "")


def _largest(first: Sequence[Line]) -> str:
    """The run of largest type in the upper part of the page."""
    runs = _runs(
        [line for line in first if line.upright and line.top < _UPPER_HALF * line.page_height]
    )
    titles = [(size, text) for size, text in runs if sum(map(str.isalpha, text)) >= _FEWEST_LETTERS]
    return max(titles, key=lambda title: title[0])[1] if titles else ""


def _runs(lines: Sequence[Line]) -> list[tuple[float, str]]:
    """Neighbouring lines of one size, as that size and their joint text."""
    runs: list[tuple[float, str]] = []
    broken = False
    for line in lines:
        if runs and abs(runs[-1][0] - line.size) < _SIZE_SLACK:
            size, text = runs.pop()
            runs.append((size, text + ("" if broken else " ") + line.text))
        else:
            runs.append((line.size, line.text))
        broken = line.broken
    return [(size, clean(text).rstrip("*∗†‡§¶ ")) for size, text in runs]


def _bare(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _authors(first: Sequence[Line], given: str) -> tuple[str, ...]:
    names = [name for name in map(clean, _AUTHOR_GAP.split(given)) if name]
    if not all(map(_is_name, names)):
        return ()
    # Publishers often put the first author alone into the file's metadata.
    return (_printed(first, names[0]) if len(names) == 1 else ()) or tuple(names)


def _printed(first: Sequence[Line], name: str) -> tuple[str, ...]:
    """The authors as the page lists them, the list beginning with `name`; () where unsure."""
    at = next((at for at, line in enumerate(first) if clean(line.text).startswith(name)), None)
    if at is None:
        return ()
    run = takewhile(lambda line: abs(line.size - first[at].size) < _SIZE_SLACK, first[at:])
    listed = _AUTHOR_MARK.sub(" ", clean(" ".join(line.text for line in run)))
    names = [name for name in map(clean, _PRINTED_GAP.split(listed)) if name]
    return tuple(names) if all(map(_is_name, names)) else ()


def _year_of(stamp: re.Match[str]) -> int:
    """The year of the first version, which new ids begin with; the stamp has the latest one's."""
    name = stamp["id"]
    return 2000 + int(name[:2]) if name[0].isdigit() else int(stamp["year"])


def _is_name(name: str) -> bool:
    words = name.split()
    if not 2 <= len(words) <= _MOST_NAME_WORDS or _NO_AUTHOR.fullmatch(name):
        return False
    # Text read in a wrong encoding mixes scripts inside a word.
    return all(len({_script(letter) for letter in word if letter.isalpha()}) < 2 for word in words)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").split(" ")[0]


def _doi(first: Sequence[Line], info: Mapping[str, str]) -> str:
    places = [*(clean(line.text) for line in first), *info.values()]
    for place in places:
        match = _OWN_DOI.match(place)
        if match:
            return match[1].rstrip(".,;)]").lower()
    return ""


def _year(first: Sequence[Line], info: Mapping[str, str]) -> int | None:
    found = [_DATED.match(clean(line.text)) for line in first]
    found.append(_CREATED.match(info.get("CreationDate", "")))
    return next((int(year[1]) for year in found if year and int(year[1]) in _YEARS), None)
