"""Formats in which every line begins with a tag: from their fields to records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from scholar.errors import SourceError
from scholar.sources.fields import forename_first, local_files, record
from scholar.sources.names import find_doi
from scholar.sources.record import Record, Skipped

Fields = Mapping[str, Sequence[str]]
"""The values of an entry by tag, in order."""


def first(fields: Fields, *tags: str) -> str:
    """The first value that is not empty, of the first of `tags` that has one."""
    return next((value for tag in tags for value in fields.get(tag, ()) if value.strip()), "")


def every(fields: Fields, *tags: str) -> list[str]:
    """All values of `tags`, in the order of the tags."""
    return [value for tag in tags for value in fields.get(tag, ())]


def lines_of(text: str) -> list[str]:
    """The lines of `text`, by line breaks alone: other separators may stand within a field."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def entry(
    folder: Path,
    *,
    title: str,
    where: str,
    authors: Iterable[str],
    year: str = "",
    venue: str = "",
    abstract: str = "",
    doi: str = "",
    links: Sequence[str] = (),
    files: Sequence[str] = (),
    pmid: str = "",
    retracted: bool = False,
) -> Iterator[Record | Skipped]:
    """The record of an entry, and a line on each of its `files` that does not exist.

    `doi` may stand within other text; where it says none, an address of doi.org among `links` may.
    """
    there, missing = local_files(files, folder, title or where)
    by_link = next(
        (found for link in links if "doi.org/" in link and (found := find_doi(link))), ""
    )
    yield record(
        title=title,
        where=where,
        authors=map(forename_first, authors),
        year=year,
        venue=venue,
        abstract=abstract,
        ids={"doi": find_doi(doi) or by_link, "arxiv": links, "pmid": pmid},
        source=next((link for link in links if link.startswith("http")), ""),
        retracted=retracted,
        files=there,
        addresses=files,
    )
    yield from missing


def whole(found: Iterable[Record | Skipped], path: Path, name: str) -> list[Record | Skipped]:
    """`found` as a list; SourceError where the file at `path` has no entry of the format `name`."""
    items = list(found)
    if not items:
        raise SourceError(f"{path} holds no {name} entry; export it from your reference manager.")
    return items
