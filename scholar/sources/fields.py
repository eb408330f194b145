"""From the fields of an entry or a JSON answer to a record, whatever they hold."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from scholar.sources.names import identifiers
from scholar.sources.record import Record, Skipped, canonical_id
from scholar.values import Paper, Reference

_YEAR = re.compile(r"(?<!\d)(1[5-9]\d\d|20\d\d)(?!\d)")
# A letter right after the bracket tells a tag from "p < 0.05".
_INLINE = re.compile(
    r"</?(?:\w+:)?(?:i|b|em|it|italic|bold|sub|sup|sc|u|strong|scp)\b[^<>]*>", re.I
)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_HEADING = re.compile(r"<jats:title>\s*(.*?)\s*</jats:title>", re.I | re.S)
_RETRACTED = re.compile(r"\W*(?:RETRACTED(?: ARTICLE)?\s*[:\]]|Retracted(?: [Aa]rticle)?\s*[:\]])")
_ODD = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters, and halves of characters that no encoding can write."""
_FILE = re.compile(r"file:(?://[^/]*)?(/.*)")
_WEB = ("http://", "https://")


def plain(text: str) -> str:
    """`text` without mark-up and entities, on one line."""
    if "<" in text:
        text = _TAG.sub(" ", _INLINE.sub("", _HEADING.sub(_heading, text)))
    if "&" in text:
        text = html.unescape(html.unescape(text))  # some services escape what is escaped already
    return unicodedata.normalize("NFC", " ".join(_ODD.sub("", text).split()))


def _heading(match: re.Match[str]) -> str:
    title = match[1].rstrip(":. ")
    return " " if title.casefold() in ("abstract", "summary", "") else f" {title}: "


def year_of(text: str) -> int | None:
    """The first year that `text` names."""
    match = _YEAR.search(text)
    return int(match[1]) if match else None


def record(
    *,
    title: str,
    where: str,
    authors: Iterable[str] = (),
    year: str = "",
    venue: str = "",
    abstract: str = "",
    ids: Mapping[str, Any] | None = None,
    source: str = "",
    retracted: bool = False,
    files: Sequence[Path] = (),
    addresses: Iterable[str] = (),
    references: Iterable[Reference] = (),
) -> Record | Skipped:
    """A record of these fields, cleaned; `where` names the entry if it must be skipped.

    `ids` are the arguments of `names.identifiers`.
    """
    heading = plain(title)
    if not heading:
        return Skipped(where, "It has no title; give it one.")
    known, version = identifiers(**(ids or {}))
    people = tuple(name for author in authors if (name := plain(author)))
    text = plain(abstract)
    paper = Paper(
        id=canonical_id(known, heading, people, year_of(year)),
        title=heading,
        authors=people,
        year=year_of(year),
        venue=plain(venue),
        identifiers=known,
        version=version,
        holds="abstract" if text else "record",
        source=source,
        retracted=retracted or _RETRACTED.match(heading) is not None,
    )
    links = dict.fromkeys(address for address in addresses if _is_address(address))
    return Record(paper, text, tuple(files), tuple(links), tuple(references))


def forename_first(name: str) -> str:
    """ "Last, First" and "Last, First, Jr." as they are spoken; any other name as it is."""
    parts = [part for piece in name.split(",") if (part := piece.strip())]
    if len(parts) < 2:
        return " ".join(parts)
    return " ".join((parts[1], parts[0], *parts[2:]))


def local_files(names: Iterable[str], folder: Path, what: str) -> tuple[list[Path], list[Skipped]]:
    """The files of `names` that exist, relative ones from `folder`, and a line on each other."""
    found: list[Path] = []
    missing: list[Skipped] = []
    for name in names:
        if not name or name.startswith(_WEB):
            continue
        path = folder / path_of(name)
        if is_file(path):
            found.append(path)
        else:
            reason = f"{name} does not exist; correct the path or remove it from the entry."
            missing.append(Skipped(f"file of {what}", reason))
    return list(dict.fromkeys(found)), missing


def path_of(name: str) -> str:
    """The path of a file that is named by its path or by a file: address."""
    match = _FILE.match(name)
    return url2pathname(match[1]) if match else name


def _is_address(text: str) -> bool:
    try:
        return text.startswith(_WEB) and bool(urlsplit(text).hostname)
    except ValueError:
        return False


def is_file(path: Path) -> bool:
    """Whether there is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # names too long or with a NUL are no files
        return False


def dig(value: Any, *path: str | int) -> Any:
    """What stands in a JSON value at `path`; None where there is nothing."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if -len(value) <= step < len(value) else None
        else:
            return None
    return value


def text_at(value: Any, *path: str | int) -> str:
    """The text or number at `path` as text; "" for anything else."""
    found = dig(value, *path)
    if isinstance(found, bool):
        return ""
    return _ODD.sub("", str(found)) if isinstance(found, str | int | float) else ""


def list_at(value: Any, *path: str | int) -> list[Any]:
    """The list at `path`; empty for anything else."""
    found = dig(value, *path)
    return found if isinstance(found, list) else []


def texts_at(value: Any, *path: str | int) -> list[str]:
    """The texts in the list at `path`."""
    return [_ODD.sub("", item) for item in list_at(value, *path) if isinstance(item, str)]


def dicts_at(value: Any, *path: str | int) -> list[dict[str, Any]]:
    """The objects in the list at `path`."""
    return [item for item in list_at(value, *path) if isinstance(item, dict)]
