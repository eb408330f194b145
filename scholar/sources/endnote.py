"""EndNote's exports: the tagged one (also known as refer) and the one in XML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from scholar.sources.markup import root_of, text_in, texts_in
from scholar.sources.record import Record, Skipped
from scholar.sources.tagged import Fields, entry, every, first, lines_of, whole
from scholar.sources.textfile import text_of

_TAG = re.compile(r"%(\S)(?: (.*)|\s*)$")


def read(path: Path) -> list[Record | Skipped]:
    """The entries of the tagged file at `path`, in order; what cannot be used stands as Skipped.

    Files that an entry names count from the folder of `path`. Raises SourceError where there is
    none at all to be read.
    """
    found = (
        item
        for line, fields in _entries(text_of(path))
        for item in _record(line, fields, path.parent)
    )
    return whole(found, path, "EndNote")


def read_xml(path: Path) -> list[Record | Skipped]:
    """As `read`, for the export in XML."""
    entries = enumerate(root_of(path).iter("record"), 1)
    found = (item for number, each in entries for item in _xml_record(number, each, path.parent))
    return whole(found, path, "EndNote")


def _entries(text: str) -> Iterator[tuple[int, Fields]]:
    """The number of the first line and the fields of each entry, which a %0 or a gap begins."""
    start, last = 0, ""
    fields: dict[str, list[str]] = {}
    for number, line in enumerate(lines_of(text), 1):
        match = _TAG.match(line)
        if fields and (not line.strip() or (match and match[1] == "0")):
            yield start, fields
            fields, last = {}, ""
        if match:
            last = match[1]
            start = start if fields else number
            fields.setdefault(last, []).append((match[2] or "").strip())
        elif last and line.strip():
            fields[last][-1] = f"{fields[last][-1]} {line.strip()}".strip()
    if fields:
        yield start, fields


def _record(line: int, fields: Fields, folder: Path) -> Iterator[Record | Skipped]:
    yield from entry(
        folder,
        title=first(fields, "T"),
        where=f"the entry at line {line}",
        authors=every(fields, "A"),
        year=first(fields, "D", "8"),
        venue=first(fields, "J", "B", "I"),
        abstract=first(fields, "X"),
        doi=first(fields, "R"),
        links=every(fields, "U"),
        files=[name for name in every(fields, ">") if not name.startswith("internal-pdf:")],
    )


def _xml_record(number: int, item: Element, folder: Path) -> Iterator[Record | Skipped]:
    files = [name for name in texts_in(item, "urls/pdf-urls/url") if "internal-pdf:" not in name]
    venues = ("periodical/full-title", "titles/secondary-title", "alt-periodical/full-title")
    yield from entry(
        folder,
        title=text_in(item, "titles/title"),
        where=f"record {number}",
        authors=texts_in(item, "contributors/authors/author"),
        year=text_in(item, "dates/year"),
        venue=text_in(item, *venues, "publisher"),
        abstract=text_in(item, "abstract"),
        doi=text_in(item, "electronic-resource-num"),
        links=[*texts_in(item, "urls/related-urls/url"), *texts_in(item, "urls/web-urls/url")],
        files=files,
    )
