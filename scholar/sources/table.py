"""Tables of titles and abstracts (CSV), as databases and screening tools export them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from scholar.errors import SourceError
from scholar.sources.record import Record, Skipped
from scholar.sources.tagged import entry, lines_of, whole
from scholar.sources.textfile import text_of

_COLUMNS = {
    "title": ("title", "primary_title", "article title", "document title"),
    "abstract": ("abstract", "abstract note", "notes_abstract"),
    "authors": ("authors", "author names", "author", "first_authors", "author full names"),
    "year": ("year", "publication_year", "publication year", "date", "source"),
    "venue": (
        "journal",
        "source title",
        "publication title",
        "secondary_title",
        "journal_name",
        "source",
        "publisher",
    ),
    "doi": ("doi",),
    "pmid": ("pmid", "pubmed id"),
    "url": ("url", "link", "urls"),
    "files": ("file attachments",),
}
"""What columns are called, in small letters."""
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_SEPARATORS = ",;\t"
_LARGEST_FIELD = 2**20


def is_bibliography(beginning: str) -> bool:
    """Whether the table that begins so has titles, and abstracts or DOIs beside them."""
    header = {name.strip().lower() for name in _header(beginning)}
    known = [key for key in ("title", "abstract", "doi") if header & set(_COLUMNS[key])]
    return "title" in known and len(known) > 1


def read(path: Path) -> list[Record | Skipped]:
    """The rows of the table at `path`, in order; what cannot be used stands as Skipped.

    Files that a row names count from the folder of `path`. Raises SourceError where there are none.
    """
    text = text_of(path)
    found = (item for line, row in _rows(text, path) for item in _record(line, row, path.parent))
    return whole(found, path, "CSV")


def _rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    csv.field_size_limit(_LARGEST_FIELD)
    lines = (f"{line}\n" for line in lines_of(text))  # a field may run over several
    reader = csv.reader(lines, delimiter=_separator(text))
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        for row in reader:
            if any(map(str.strip, row)):
                yield reader.line_num, dict(zip(names, row, strict=False))
    except csv.Error as error:
        raise SourceError(f"{path} is no usable table ({error}); export it anew.") from None


def _header(text: str) -> list[str]:
    try:
        return next(csv.reader(lines_of(text)[:1], delimiter=_separator(text)), [])
    except csv.Error:
        return []


def _separator(text: str) -> str:
    return max(_SEPARATORS, key=lines_of(text)[0].count)


def _record(line: int, row: Mapping[str, str], folder: Path) -> Iterator[Record | Skipped]:
    def value(key: str) -> str:
        return next((row[name] for name in _COLUMNS[key] if row.get(name, "").strip()), "")

    yield from entry(
        folder,
        title=value("title"),
        where=f"the row that ends at line {line}",
        authors=_names(value("authors")),
        year=value("year"),
        venue=value("venue"),
        abstract=value("abstract"),
        doi=value("doi"),
        links=value("url").split(),
        files=[name.strip() for name in value("files").split(";")],
        pmid=value("pmid"),
    )


def _names(text: str) -> list[str]:
    if text.startswith("["):  # a list as Python writes it
        return [one or other for one, other in _QUOTED.findall(text)]
    for separator in (";", " and "):
        if separator in text:
            return text.split(separator)
    names = text.split(",")
    # "Liu R., Adler D.G." are two people, "Liu, Rong" is one.
    return names if all(" " in name.strip() for name in names) else [text]
