"""Bringing papers into the library: from files, folders, bibliographies and arXiv."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from scholar.errors import SourceError
from scholar.library import Entry, Library
from scholar.library.passages import cut
from scholar.readers import SUFFIXES, Document, read
from scholar.settings import Settings
from scholar.sources import Record, Skipped, arxiv, bibtex
from scholar.values import Holding, Paper

Status = Literal["added", "present", "failed"]
BATCH = 32
"""Entries written at a time, so that a crash loses few and memory stays flat."""
LONGEST_WAIT = 1.0
"""Seconds an entry waits to be written, so that progress is seen where reading is slow."""
_RANK: dict[Holding, int] = {"record": 0, "note": 1, "abstract": 2, "full": 3}
_FOLDER_SUFFIXES = (*SUFFIXES, ".bib")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one source. `detail` says why it failed, or what is missing of it."""

    source: str
    status: Status
    paper: Paper | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Ready:
    source: str
    entry: Entry
    detail: str = ""


Item = Path | Record | Skipped | Result
"""One thing to add: a file, a record of a bibliography or of arXiv, or what is known of it already:
that it cannot be used, or that it is there.
"""
_Fetch = Callable[[Paper], Awaitable[Path]]
"""Brings the PDF of a paper of arXiv."""


async def expand(
    library: Library,
    sources: Sequence[str],
    settings: Settings,
    *,
    query: str = "",
    limit: int = 20,
) -> list[Item]:
    """The single items that `sources` name, with the answers of arXiv to `query`.

    Folders are walked, bibliographies read, and arXiv asked once for all ids whose full text is not
    there yet. Nothing is raised: what cannot be used is an item that says so.
    """
    items: list[Item] = []
    ids: list[str] = []
    for source in sources:
        named = _named(source)
        if isinstance(named, tuple):
            known = await library.find(f"arxiv:{named[0]}")
            if known and known.holds == "full":
                items.append(Result(source, "present", known))
            else:
                ids.append("".join(named))
        else:
            items += named
    # One for all requests, since it is what keeps them apart.
    service = source_of(settings)
    if ids:
        items += await _ask(service.by_id(ids), *ids)
    if query:
        items += await _ask(service.search(query, limit), f"arXiv: {query}")
    return items


async def ingest(
    library: Library, items: Iterable[Item], settings: Settings
) -> AsyncIterator[Result]:
    """Add `items` to the library, yielding what became of each. One bad item stops no other."""
    # One for all files, since it is what keeps requests apart.
    fetch = partial(source_of(settings).fetch_pdf, folder=settings.home / "files")
    waiting: list[_Ready] = []
    since = time.monotonic()
    for item in items:
        outcome = await _prepare(library, item, fetch)
        if isinstance(outcome, Result):
            yield outcome
            continue
        since = since if waiting else time.monotonic()
        waiting.append(outcome)
        if len(waiting) >= BATCH or time.monotonic() - since > LONGEST_WAIT:
            for result in await _store(library, waiting):
                yield result
            waiting = []
    for result in await _store(library, waiting):
        yield result


def source_of(settings: Settings) -> arxiv.ArxivSource:
    """arXiv as the settings say it is reached."""
    return arxiv.ArxivSource(settings.arxiv, offline=settings.offline)


def _named(source: str) -> list[Item] | tuple[str, str]:
    """The items that `source` names on this machine, or the arXiv id and version that it is."""
    if not source.strip():
        return [Skipped('""', "It is empty; name a file, a folder or an arXiv id.")]
    # By os.path, which takes a name that no file can have for that of an absent one.
    path = Path(os.path.expanduser(source))
    if os.path.isdir(path):
        return _walk(path)
    if path.suffix.lower() == ".bib" and os.path.isfile(path):
        return _bibliography(path)
    if not os.path.exists(path) and (found := arxiv.parse_id(source)):
        return found
    if source.startswith(("http://", "https://")):
        return [Skipped(source, "It is not on arXiv; download the paper and add its file.")]
    return [path]


def _walk(folder: Path) -> list[Item]:
    items: list[Item] = []

    def closed(error: OSError) -> None:
        items.append(Skipped(str(error.filename), "It may not be read; change its permissions."))

    files = sorted(
        path
        for root, _, names in os.walk(folder, onerror=closed)
        for path in (Path(root, name) for name in names)
        if path.suffix.lower() in _FOLDER_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    for path in files:
        items += _bibliography(path) if path.suffix.lower() == ".bib" else [path]
    readable = ", ".join(_FOLDER_SUFFIXES)
    return items or [Skipped(str(folder), f"holds nothing to read; put {readable} files there")]


def _bibliography(path: Path) -> list[Item]:
    try:
        found = bibtex.read(path)
        # A key and a line say little where a folder holds several bibliographies.
        return [
            replace(item, what=f"{path}: {item.what}") if isinstance(item, Skipped) else item
            for item in found
        ]
    except SourceError as error:
        return [Skipped(str(path), str(error))]


async def _ask(answers: Awaitable[Iterable[Item]], *asked: str) -> list[Item]:
    try:
        return list(await answers)
    except SourceError as error:
        return [Skipped(what, str(error)) for what in asked]


async def _prepare(library: Library, item: Item, fetch: _Fetch) -> Result | _Ready:
    try:
        if isinstance(item, Result):
            return item
        if isinstance(item, Skipped):
            return Result(item.what, "failed", None, item.reason)
        if isinstance(item, Record):
            return await _prepare_record(library, item, fetch)
        return await _prepare_file(library, item)
    except SourceError as error:
        return Result(_label(item), "failed", None, str(error))


async def _prepare_file(library: Library, path: Path) -> Result | _Ready:
    key = await asyncio.to_thread(_content_key, path)
    if known := await library.find(key):
        return Result(str(path), "present", known)
    document = await asyncio.to_thread(read, path)
    paper = _paper_of(document, path, key)
    return await _unless_present(library, paper, document, str(path), key)


async def _prepare_record(library: Library, record: Record, fetch: _Fetch) -> Result | _Ready:
    paper = record.paper
    known = await library.find(paper.id)
    if known and known.holds == "full":
        return Result(paper.id, "present", known)
    document, detail = await _text_of(record, fetch)
    # A file that gave no text is not this paper's content, and may be tried again on its own.
    files = () if detail else record.files[:1]
    keys = [await asyncio.to_thread(_content_key, file) for file in files]
    paper = replace(paper, holds=document.holds)
    return await _unless_present(library, paper, document, _label(record), *keys, detail=detail)


async def _text_of(record: Record, fetch: _Fetch) -> tuple[Document, str]:
    """The fullest text of a record that is to be had, and what stood in the way of a fuller one."""
    detail = ""
    try:
        if record.files:
            return await asyncio.to_thread(read, record.files[0]), ""
        if record.paper.id.startswith("arxiv:") and record.paper.source.startswith("http"):
            return await asyncio.to_thread(read, await fetch(record.paper)), ""
    except SourceError as error:
        detail = f"full text not to be had: {error}"
    if record.abstract:
        return Document(text=record.abstract, holds="abstract"), detail
    return Document(text="", holds="record"), detail or "no text: neither abstract nor file"


async def _unless_present(
    library: Library, paper: Paper, document: Document, source: str, *keys: str, detail: str = ""
) -> Result | _Ready:
    known = await library.find(paper.id)
    if known and _RANK[known.holds] >= _RANK[paper.holds]:
        return Result(source, "present", known)
    entry = Entry(paper, document.text, cut(paper.id, document), keys)
    return _Ready(source, entry, detail or "; ".join(document.problems))


async def _store(library: Library, waiting: Sequence[_Ready]) -> list[Result]:
    # Several sources of one batch may be the same paper; the fullest, or first, stands for all.
    best: dict[str, _Ready] = {}
    for ready in sorted(waiting, key=lambda ready: -_RANK[ready.entry.paper.holds]):
        best.setdefault(ready.entry.paper.id, ready)
    if best:
        await library.add([ready.entry for ready in best.values()])
    results = []
    for ready in waiting:
        chosen = best[ready.entry.paper.id]
        if chosen is ready:
            results.append(Result(ready.source, "added", chosen.entry.paper, ready.detail))
        else:
            results.append(Result(ready.source, "present", chosen.entry.paper))
    return results


def _paper_of(document: Document, path: Path, key: str) -> Paper:
    return Paper(
        id=_canonical_id(document) or f"file:{key.removeprefix('sha256:')[:16]}",
        title=_encodable(document.title or path.stem),
        authors=document.authors,
        year=document.year,
        venue=document.venue,
        identifiers=document.identifiers,
        version=document.version,
        holds=document.holds,
        source=_encodable(str(path)),
    )


def _encodable(name: str) -> str:
    """`name` with the bytes replaced that are no text: a file may be called anything."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _canonical_id(document: Document) -> str:
    # Somebody's note on a paper is a source of its own, and never stands in for the paper.
    if document.holds == "note":
        return ""
    known = ((scheme, document.identifiers.get(scheme)) for scheme in ("arxiv", "doi"))
    return next((f"{scheme}:{id}" for scheme, id in known if id), "")


def _content_key(path: Path) -> str:
    if not os.path.isfile(path):
        return ""  # a pipe or device may never end
    try:
        with path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # the reader says what is wrong with the file


def _label(item: Item) -> str:
    if isinstance(item, Record):
        return item.paper.id
    if isinstance(item, Result):
        return item.source
    return item.what if isinstance(item, Skipped) else str(item)
