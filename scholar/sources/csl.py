"""CSL JSON, which Zotero and other managers export."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scholar.errors import SourceError
from scholar.sources.fields import dicts_at, dig, list_at, local_files, record, text_at, texts_at
from scholar.sources.names import parse_doi
from scholar.sources.record import Record, Skipped
from scholar.sources.tagged import whole
from scholar.sources.textfile import text_of

_VENUES = ("container-title", "collection-title", "event-title", "event", "publisher")
_ARXIV = re.compile(r"arXiv:\s*(\S+)", re.IGNORECASE)
_PMID = re.compile(r"PMID:\s*(\d+)", re.IGNORECASE)


def read(path: Path) -> list[Record | Skipped]:
    """The items of the file at `path`, in order; what cannot be used stands as Skipped.

    Files that an item names count from the folder of `path`. Raises SourceError where there is no
    CSL JSON to be read.
    """
    try:
        value = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not valid JSON ({error}); export it anew.") from None
    items = value if isinstance(value, list) else list_at(value, "items")
    found = (
        each for number, item in enumerate(items, 1) for each in _record(item, number, path.parent)
    )
    return whole(found, path, "CSL JSON")


def _record(item: Any, number: int, folder: Path) -> Iterator[Record | Skipped]:
    where = f"{text_at(item, 'id')} (item {number})".strip()
    note = f"{text_at(item, 'note')} {text_at(item, 'number')} {text_at(item, 'archive_location')}"
    names = [text_at(each, "path") for each in dicts_at(item, "attachments")]
    names += [text_at(item, "file")]
    files, missing = local_files(names, folder, text_at(item, "title") or where)
    yield record(
        title=text_at(item, "title") or text_at(item, "title", 0),
        where=where,
        authors=[_name(author) for author in dicts_at(item, "author")],
        year=_year(item),
        venue=next(filter(None, (_either(item, key) for key in _VENUES)), ""),
        abstract=text_at(item, "abstract"),
        ids={
            "doi": text_at(item, "DOI") or _doi_of(text_at(item, "URL")),
            "arxiv": [text_at(item, "URL"), *_ARXIV.findall(note)],
            "pmid": text_at(item, "PMID") or next(iter(_PMID.findall(note)), ""),
        },
        source=text_at(item, "URL"),
        files=files,
    )
    yield from missing


def _doi_of(address: str) -> str:
    return parse_doi(address) if "doi.org/" in address else ""


def _either(item: Any, key: str) -> str:
    return text_at(item, key) or next(iter(texts_at(item, key)), "")


def _name(author: dict[str, Any]) -> str:
    keys = ("given", "dropping-particle", "non-dropping-particle", "family", "suffix")
    return " ".join(filter(None, (text_at(author, key) for key in keys))) or text_at(
        author, "literal"
    )


def _year(item: Any) -> str:
    issued = dig(item, "issued")
    places = (("date-parts", 0, 0), ("raw",), ("literal",))
    return next(
        filter(None, (text_at(issued, *place) for place in places)), text_at(item, "issued")
    )
