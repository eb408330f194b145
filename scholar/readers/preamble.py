"""What the source of a paper says of it before its text: title, authors, year, identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scholar.readers import authors
from scholar.readers.headings import MARK
from scholar.readers.macros import group_at
from scholar.readers.tex import plain

LINE_END = re.compile(r"\\\\\*?(?:\s*\[[^\]]*\])?|\\tabularnewline\b|\\cr\b")
"""What ends a line or the row of a table."""
_MARKS = re.compile(
    r"\$\s*(?:\{\})?\s*\^.*?\$|\\(?:textsuperscript|footnotemark|thanks|inst|orcid|orcidlink|corref|"
    r"fnref|IEEEauthorrefmark|samethanks|footnote|email|href|affil|textsuperscript)\s*(?:\[[^\]]*\])?"
)
_APART = re.compile(r"\\(?:quad|qquad|hfill|hspace\*?\s*\{[^{}]*\}|hskip|enspace)\b|~~+|&|\\;")
_AUTHORS = re.compile(
    r"\\(?:author|icmlauthor|name|IEEEauthorblockN)\b\s*\*?(?:\s*\[[^\]]*\])?\s*(?=\{)"
)
_AND = re.compile(r"\\(?:and|And|AND|IEEEauthorblockA)\b")
_FOOTNOTE = re.compile(r"\\footnote(?:text)?\s*(?:\[[^\]]*\])?\s*(?=\{)")


def without_notes(tex: str, notes: list[str]) -> str:
    """`tex` without its footnotes, which go to `notes`."""
    parts: list[str] = []
    at = 0
    while match := _FOOTNOTE.search(tex, at):
        parts.append(tex[at : match.start()])
        note, at = group_at(tex, match.end())
        notes.append(note)
    return "".join([*parts, tex[at:]])


def argument(source: str, command: str) -> str:
    """What the first `command` in `source` is given; empty where there is none."""
    match = re.compile(command).search(source)
    if match is None:
        return ""
    text = group_at(source, match.end())[0]
    return without_notes(_without(text, _MARKS), []).replace(r"\\", " ")


def _without(tex: str, commands: re.Pattern[str], instead: str = "") -> str:
    """`tex` without these commands and the argument behind each."""
    parts: list[str] = []
    at = 0
    while match := commands.search(tex, at):
        parts += [tex[at : match.start()], instead]
        at = match.end()
        if not match[0].startswith("$") and tex[at : at + 1] == "{":
            at = group_at(tex, at)[1]
    return "".join([*parts, tex[at:]])


def authors_in(front: str) -> Iterator[str]:
    """The names of the authors, in order; some may stand there twice."""
    at = 0
    while match := _AUTHORS.search(front, at):
        field, end = group_at(front, match.end())
        inner = _AUTHORS.search(field)
        # IEEEtran names its authors in commands inside \author.
        at = match.end() + 1 if inner else end
        if not inner:
            for person in _AND.split(field):
                yield from _named(person)


def _named(person: str) -> Iterator[str]:
    """The names on the first lines of what one \\and parts from the next."""
    several = False
    for count, line in enumerate(LINE_END.split(_APART.sub(MARK, _without(person, _MARKS, MARK)))):
        pieces = list(authors.pieces(MARK.join(map(plain, line.split(MARK)))))
        if not pieces:
            continue
        listed = all(map(authors.is_name, pieces))
        if count and not (several and listed):
            return
        yield from (piece for piece in pieces if authors.is_name(piece))
        several = len(pieces) > 1


def year_in(front: str) -> int | None:
    """The year of publication, where it is said."""
    for command in ("acmYear", "copyrightyear", "date", "pubyear", "conferenceinfo"):
        years = re.search(r"(?:19|20)\d\d", argument(front, rf"\\{command}\b\s*(?=\{{)"))
        if years:
            return int(years[0])
    return None


def identifiers_in(front: str, arxiv: str) -> dict[str, str]:
    """The DOI, and the id `arxiv` where there is one."""
    doi = re.search(r"10\.\d{4,9}/[^\s{}]+", argument(front, r"\\(?:acmDOI|doi)\b\s*(?=\{)"))
    found = {"doi": doi[0].lower()} if doi else {}
    return {**found, **({"arxiv": arxiv} if arxiv else {})}
