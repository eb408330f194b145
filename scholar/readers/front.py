"""What the first page of a paper and the file's own metadata say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from scholar.readers.authors import bare, is_name, printed
from scholar.readers.document import clean
from scholar.readers.headings import Line, is_reference_list

# In the left margin of every paper that arXiv serves: arXiv:2502.14802v1 [cs.CL] 20 Feb 2025
_STAMP = re.compile(
    r"arXiv:(?P<id>\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?P<version>v\d+)\s*"
    r"\[[\w.-]+\]\s*\d{1,2}\s+[A-Z][a-z]{2}\s+(?P<year>\d{4})"
)
_DOI = r"10\.\d{4,9}/[^\s\"<>{}]+"
_OWN_DOI = re.compile(rf"(?:doi\s*:?\s*|(?:https?://)?(?:dx\.)?doi\.org/)({_DOI})", re.IGNORECASE)
_MONTHS = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december|"
    r"jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
)
_Y = r"((?:19|20)\d{2})\b"
# From the surest sign of the year of publication to the weakest; the first that is found counts.
_DATED = tuple(
    re.compile(sign, re.IGNORECASE)
    for sign in (
        rf"\W*published(?: online)?\b.{{0,60}}?\b{_Y}",
        rf".{{0,80}}?(?:©|\(c\)|\bcopyright\b).{{0,60}}?\b{_Y}",
        rf"\W*(?:proceedings of|journal of|in:? proc).{{0,120}}?\b{_Y}",
        rf"[\w ,:&'’-]{{0,80}}\b(?:conference|workshop|symposium)\b.{{0,120}}?\b{_Y}",
        rf"[\w ,.:&-]{{3,80}}\({_Y}\)\s*\d",
        rf".{{0,80}}?\bvol(?:ume|\.)?\s*\d+.{{0,80}}?\b{_Y}",
        rf"\W*accepted\b.{{0,60}}?\b{_Y}",
        rf"\W*(?:\d{{1,2}}\.?\s+)?{_MONTHS}\.?,?\s+(?:\d{{1,2}},?\s+)?{_Y}\W*$",
    )
)
_CREATED = re.compile(r"D:(\d{4})")
_NO_TITLE = re.compile(
    r"untitled.*|(?:no |paper )?title|microsoft (?:word|powerpoint) - .*|arxiv:.*|"
    r".*\.(?:pdf|docx?|tex|dvi|ps|eps|indd|rtf|odt|qxd|fm)|"
    r"(?:paper|document|dokument|main|ms|draft)\s*\d*|(?:pii|doi):? .*|\S+|[\W\d_]*|"
    r".*(?:\\documentclass|latex2e|\btemplate\b).*",
    re.IGNORECASE,
)
_AUTHOR_GAP = re.compile(r"\s*;\s*|\s*,\s*(?:and\s+)?|\s+and\s+")
_NO_AUTHOR = re.compile(
    r".*(?:[@\d\\_/]|\b(?:user|admin|author|unknown|owner|microsoft|anonymous|office)\b).*",
    re.IGNORECASE,
)
# Stands over the title of a paper, at times larger than it.
_BANNER = re.compile(
    r"(?:open access|(?:original |research )*(?:article|paper|research|communication)s?|"
    r"(?:short |systematic )?review(?: article)?|preprint|technical report|letter|editorial|"
    r"contents lists available.*|journal of .*|(?:ieee |acm )?transactions on .*|"
    r"proceedings of .*|plos \w+|peerj.*|scientific reports|frontiers in .*)",
    re.IGNORECASE,
)
_SIZE_SLACK = 0.3
_UPPER_HALF = 0.6
_FEWEST_LETTERS = 6
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
    title = _title(first, info.get("Title", ""))
    return About(
        title=title,
        authors=_authors(printed(first, title), info.get("Author", "")),
        year=_year_of(stamp) if stamp else _year(first, info),
        identifiers=identifiers,
        version=stamp["version"] if stamp else "",
    )


def _title(first: Sequence[Line], given: str) -> str:
    given, largest = clean(given), _largest(first)
    plausible = bool(given) and not _NO_TITLE.fullmatch(given)
    shown = bare(given) in bare("".join(line.text for line in first))
    # A name for short, such as "Vector Clocks" of "A Tour of Vector Clock Systems".
    short = bare(given) in bare(largest) and not _words_in(given, largest)
    if plausible and shown and not short:
        return given
    return largest or (given if plausible else "")


def _words_in(part: str, whole: str) -> bool:
    inner, outer = (" ".join(map(bare, text.split())) for text in (part, whole))
    return f" {inner} " in f" {outer} "


def _largest(first: Sequence[Line]) -> str:
    """The run of largest type in the upper part of the page."""
    runs = _runs(
        [line for line in first if line.upright and line.top < _UPPER_HALF * line.page_height]
    )
    titles = [
        (size, text)
        for size, text in runs
        if sum(map(str.isalpha, text)) >= _FEWEST_LETTERS and not _BANNER.fullmatch(text)
    ]
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


def _authors(listed: tuple[str, ...], given: str) -> tuple[str, ...]:
    """The authors of the page, or those of the metadata where they name more, or others."""
    names = tuple(name for name in map(clean, _AUTHOR_GAP.split(given)) if name)
    if not all(is_name(name) and not _NO_AUTHOR.fullmatch(name) for name in names):
        names = ()
    # Publishers often put the first author alone into the file's metadata.
    agree = _surnames(names) <= _surnames(listed)
    return listed if listed and (agree or len(names) < 2) else names


def _surnames(names: Sequence[str]) -> set[str]:
    return {bare(name.split()[-1]) for name in names}


def _year_of(stamp: re.Match[str]) -> int:
    """The year of the first version, which new ids begin with; the stamp has the latest one's."""
    name = stamp["id"]
    return 2000 + int(name[:2]) if name[0].isdigit() else int(stamp["year"])


def _doi(first: Sequence[Line], info: Mapping[str, str]) -> str:
    places = [*(clean(line.text) for line in first), *info.values()]
    for place in places:
        match = _OWN_DOI.match(place)
        if match:
            return match[1].rstrip(".,;)]").lower()
    return ""


def _year(first: Sequence[Line], info: Mapping[str, str]) -> int | None:
    texts = [clean(line.text) for line in first]
    lines = list(takewhile(lambda text: not is_reference_list(text), texts))
    found = [sign.match(line) for sign in _DATED for line in lines]
    found.append(_CREATED.match(info.get("CreationDate", "")))
    return next((int(year[1]) for year in found if year and int(year[1]) in _YEARS), None)
