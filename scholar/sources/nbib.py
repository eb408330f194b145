"""MEDLINE's tagged format, which PubMed exports as .nbib."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scholar.sources.record import Record, Skipped
from scholar.sources.tagged import Fields, entry, every, first, lines_of, whole
from scholar.sources.textfile import text_of

# The tag is padded to four characters; some exporters leave the padding out.
_TAG = re.compile(r"([A-Z]{2,4}) {0,2}-(?: (.*)|\s*)$")
_CONTINUED = re.compile(r"\s{4,}(\S.*)$")
_PLACE = re.compile(r"(\S+) \[doi\]")
_RETRACTED = "Retracted Publication"


def read(path: Path) -> list[Record | Skipped]:
    """The entries of the MEDLINE file at `path`, in order; what cannot be used stands as Skipped.

    Raises SourceError where there is none at all to be read.
    """
    found = (
        item
        for line, fields in _entries(text_of(path))
        for item in _record(line, fields, path.parent)
    )
    return whole(found, path, "MEDLINE")


def _entries(text: str) -> Iterator[tuple[int, Fields]]:
    """The number of the first line and the fields of each entry; a PMID begins one."""
    start, last = 0, ""
    fields: dict[str, list[str]] = {}
    for number, line in enumerate(lines_of(text), 1):
        if match := _TAG.match(line):
            last = match[1]
            if last == "PMID" and fields:
                yield start, fields
                fields = {}
            start = start if fields else number
            fields.setdefault(last, []).append((match[2] or "").strip())
        elif last and (more := _CONTINUED.match(line)):
            fields[last][-1] = f"{fields[last][-1]} {more[1].strip()}".strip()
    if fields:
        yield start, fields


def _record(line: int, fields: Fields, folder: Path) -> Iterator[Record | Skipped]:
    pmid = first(fields, "PMID")
    places = every(fields, "LID", "AID", "SO")
    yield from entry(
        folder,
        title=first(fields, "TI", "BTI", "TT"),
        where=f"PMID {pmid} (line {line})" if pmid else f"the entry at line {line}",
        authors=[
            *(every(fields, "FAU") or map(_spoken, every(fields, "AU"))),
            *every(fields, "CN"),
        ],
        year=first(fields, "DP", "DEP"),
        venue=first(fields, "JT", "TA", "BTI", "PB"),
        abstract=first(fields, "AB"),
        doi=next((match[1] for place in places if (match := _PLACE.search(place))), ""),
        pmid=pmid if pmid.isdigit() else "",
        retracted=_RETRACTED in every(fields, "PT") or "RIN" in fields,
    )


def _spoken(name: str) -> str:
    """ "Miller AB", as MEDLINE shortens names, with the initials first."""
    family, _, initials = name.rpartition(" ")
    return f"{initials} {family}" if family and initials.isupper() else name
