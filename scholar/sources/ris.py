"""RIS, and the export format of the Web of Science. `rispy` loads with the first call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scholar.sources.record import Record, Skipped
from scholar.sources.tagged import Fields, entry, every, first, lines_of, whole
from scholar.sources.textfile import text_of

_TAG = re.compile(r"([A-Z][A-Z0-9]) {1,2}-(?: (.*)|\s*)$")
"""A tagged line; some exporters write one space where the format has two."""
_LISTED = ("L1", "L2", "L4")
"""Tags that name files, of which an entry may have several."""
_DOI_PLACES = ("doi", "custom3", "note", "id")
_VENUES = (
    "secondary_title",
    "journal_name",
    "alternate_title3",
    "alternate_title2",
    "alternate_title1",
    "publisher",
)


def read(path: Path) -> list[Record | Skipped]:
    """The entries of the RIS file at `path`, in order; what cannot be used stands as Skipped.

    Files that an entry names count from the folder of `path`. Raises SourceError where there is no
    RIS at all to be read.
    """
    entries = _entries(text_of(path), "TY", "ER")
    found = (item for line, lines in entries for item in _record(line, lines, path.parent))
    return whole(found, path, "RIS")


def read_isi(path: Path) -> list[Record | Skipped]:
    """As `read`, for what the Web of Science exports."""
    entries = _isi_entries(text_of(path))
    found = (item for line, lines in entries for item in _isi_record(line, lines, path.parent))
    return whole(found, path, "Web of Science")


def _entries(text: str, begin: str, end: str) -> Iterator[tuple[int, list[str]]]:
    """The number of the first line and the lines of each entry, one without an end mark too."""
    start = 0
    lines: list[str] = []
    for number, line in enumerate(lines_of(text), 1):
        match = _TAG.match(line)
        tag = match[1] if match else ""
        if lines and tag in (begin, end):
            yield start, lines
            lines = []
        if tag == begin or (lines and tag != end):
            start = start if lines else number
            lines.append(f"{match[1]}  - {match[2] or ''}" if match else line)
    if lines:
        yield start, lines


def _record(line: int, lines: list[str], folder: Path) -> Iterator[Record | Skipped]:
    import rispy

    parser = rispy.RisParser(
        mapping={**rispy.TAG_KEY_MAPPING, "BT": "book_title"},
        list_tags=[*rispy.LIST_TYPE_TAGS, *_LISTED],
        skip_unknown_tags=True,
    )
    fields = _fields(parser.parse("\n".join([*lines, "ER  - "])))
    links = every(fields, "urls", "file_attachments2")
    yield from entry(
        folder,
        title=first(fields, "title", "primary_title", "book_title", "translated_title"),
        where=f"the entry at line {line}",
        authors=every(fields, "authors", "first_authors"),
        year=first(fields, "year", "publication_year", "date"),
        venue=first(fields, *_VENUES),
        abstract=first(fields, "abstract", "notes_abstract"),
        doi=first(fields, *_DOI_PLACES),
        links=links,
        files=[name for name in every(fields, "file_attachments1", "figure") if _may_exist(name)],
    )


def _may_exist(name: str) -> bool:
    return not name.startswith("internal-pdf:")  # a place inside the database of EndNote


def _isi_entries(text: str) -> Iterator[tuple[int, list[str]]]:
    start = 0
    lines: list[str] = []
    for number, line in enumerate(lines_of(text), 1):
        if line.startswith(("PT ", "ER", "EF")) and lines:
            yield start, lines
            lines = []
        if line.startswith("PT ") or (lines and line.strip()):
            start = start if lines else number
            lines.append(line)
    if lines:
        yield start, lines


def _isi_record(line: int, lines: list[str], folder: Path) -> Iterator[Record | Skipped]:
    import rispy

    fields = _fields(rispy.WokParser(skip_unknown_tags=True).parse("\n".join([*lines, "ER"])))
    yield from entry(
        folder,
        title=" ".join(every(fields, "document_title")),
        where=f"the entry at line {line}",
        authors=every(fields, "author_full_name") or every(fields, "authors"),
        year=first(fields, "publication_year", "early_access_year"),
        venue=first(fields, "publication_name", "conference_title"),
        abstract=" ".join(every(fields, "abstract")),
        doi=first(fields, "doi"),
        pmid=first(fields, "pubmed_id"),
    )


def _fields(parsed: list[dict[str, Any]]) -> Fields:
    """The values by name, each as a list, of the one entry that was parsed."""
    fields: dict[str, list[str]] = {}
    for name, value in (parsed[0] if parsed else {}).items():
        values = value if isinstance(value, list) else [value]
        fields[name] = [each for each in values if isinstance(each, str)]
    return fields
