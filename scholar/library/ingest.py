"""Bringing papers into the library: from files, folders, bibliographies and services."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scholar import sources
from scholar.errors import SourceError
from scholar.library import Entry, Library, Outcome
from scholar.library.identity import keys_from
from scholar.library.passages import cut
from scholar.readers import SUFFIXES, Document, read
from scholar.settings import Settings
from scholar.sources import FORMATS, Record, Skipped, Source
from scholar.sources.arxiv import ArxivSource
from scholar.text import encodable
from scholar.values import Paper

Status = Literal["added", "present", "failed"]
BATCH = 256
"""Passages written at a time: a crash loses few, memory stays flat, and the texts are enough for
those of like length to be embedded together (tests/benchmarks/ingest.py).
"""
WORDS_BATCH = 8 * BATCH
"""The same where nothing is embedded: each write costs the word index some 50 ms, and half as many
passages take an eighth longer."""
LONGEST_WAIT = 1.0
"""Seconds an entry waits to be written, so that progress is seen where reading is slow."""
AHEAD = 2
"""Batches under way: one is written while the texts of the other are embedded."""
_SERVICES = ("arxiv", "openalex", "crossref", "semanticscholar")
"""Who is asked for a work by its id, in this order, until one knows it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one source. `detail` says why it failed, what is missing of it, or which work
    it was found to be.
    """

    source: str
    status: Status
    paper: Paper | None = None
    detail: str = ""

    @property
    def failure(self) -> str:
        """What failed and why, the source named once."""
        named = self.detail.startswith(self.source)
        return self.detail if named else f"{self.source}: {self.detail}"


@dataclass(frozen=True, slots=True)
class _Ready:
    source: str
    entry: Entry
    detail: str = ""


Item = Path | Record | Skipped | Result
"""One thing to add: a file, a record of a bibliography or service, or what is known of it already:
that it cannot be used, or that it is there.
"""
_Services = Mapping[str, Source]


async def expand(
    library: Library,
    names: Sequence[str],
    settings: Settings,
    *,
    query: str = "",
    limit: int = 20,
    service: str = "arxiv",
    newest: bool = False,
) -> list[Item]:
    """The single items that `names` mean, with what `service` finds for `query`: what fits best,
    or, where arXiv is asked, what is `newest`.

    Folders are walked, bibliographies read, and the services asked once for all ids whose full text
    is not there yet. Nothing is raised: what cannot be used is an item that says so.
    """
    items: list[Item] = []
    ids: list[str] = []
    for name in names:
        named = _named(name)
        if not isinstance(named, str):
            items += named
            continue
        known = await library.find(_key(named))
        if known and known.holds == "full":
            items.append(Result(name, "present", known))
        else:
            ids.append(named)
    services = sources.everything(settings) if ids or query else {}
    if ids:
        items += await _look_up(services, ids)
    if query:
        source = services[service]
        search = source.search
        if newest and isinstance(source, ArxivSource):
            search = source.newest
        items += await _ask(search(query, limit), f"{service}: {query}")
    return items


async def ingest(
    library: Library, items: Iterable[Item], settings: Settings
) -> AsyncIterator[Result]:
    """Add `items` to the library, yielding what became of each. One bad item stops no other.

    What is a work that is there already becomes part of it.
    """
    services = sources.everything(settings)
    writing = _Writing(library)
    try:
        for item in items:
            outcome = await _prepare(library, item, services, settings.home / "files")
            if isinstance(outcome, Result):
                yield outcome
                continue
            for result in await writing.take(outcome):
                yield result
        async for result in writing.rest():
            yield result
    finally:
        await writing.stop()


class _Writing:
    """Writes batch by batch in the order they come: while one is written, the next is embedded."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._waiting: list[_Ready] = []
        self._size = self._most = 0
        self._since = 0.0
        self._begun: deque[asyncio.Task[list[Result]]] = deque()

    async def take(self, ready: _Ready) -> list[Result]:
        """Write `ready` with others like it; what became of earlier ones."""
        self._since = self._since if self._waiting else time.monotonic()
        if not self._most:
            self._most = BATCH if await self._library.embeds() else WORDS_BATCH
        self._waiting.append(ready)
        self._size += max(1, len(ready.entry.passages))
        if self._size < self._most and time.monotonic() - self._since < LONGEST_WAIT:
            return []
        return await self._begin()

    async def rest(self) -> AsyncIterator[Result]:
        """Write what is left; what became of everything that was not told yet."""
        for result in await self._begin():
            yield result
        while self._begun:
            for result in await self._begun.popleft():
                yield result

    async def stop(self) -> None:
        """Wait for what has begun, as it cannot be taken back."""
        await asyncio.gather(*self._begun, return_exceptions=True)

    async def _begin(self) -> list[Result]:
        batch, self._waiting, self._size = self._waiting, [], 0
        if batch:
            before = self._begun[-1] if self._begun else None
            self._begun.append(asyncio.create_task(self._write(batch, before)))
        return await self._begun.popleft() if len(self._begun) >= AHEAD else []

    async def _write(
        self, batch: Sequence[_Ready], before: asyncio.Task[list[Result]] | None
    ) -> list[Result]:
        entries = [ready.entry for ready in batch]
        encoded = await self._library.encode(entries)
        if before is not None:
            await asyncio.wait([before])
        outcomes = await self._library.unite(entries, encoded)
        return [_result(*each) for each in zip(batch, outcomes, strict=True)]


def _result(ready: _Ready, outcome: Outcome) -> Result:
    said = (ready.detail if outcome.fate == "added" else "", outcome.detail)
    return Result(ready.source, outcome.fate, outcome.paper, "; ".join(filter(None, said)))


def _named(source: str) -> list[Item] | str:
    """The items that `source` names on this machine, or the id that it is."""
    if not source.strip():
        return [Skipped('""', "It is empty; name a file, a folder, a DOI or an arXiv id.")]
    # By os.path, which takes a name that no file can have for that of an absent one.
    path = Path(os.path.expanduser(source))
    if os.path.isdir(path):
        return _walk(path)
    if os.path.isfile(path):
        return _file(path)
    if not os.path.exists(path) and sources.identify(source):
        return source
    if source.startswith(("http://", "https://")):
        return [
            Skipped(
                source,
                "It names no work that can be looked up; download the paper and add its file.",
            )
        ]
    return [path]


def _walk(folder: Path) -> list[Item]:
    items: list[Item] = []

    def closed(error: OSError) -> None:
        items.append(Skipped(str(error.filename), "It may not be read; change its permissions."))

    endings = (*SUFFIXES, *FORMATS)
    files = sorted(
        path
        for root, _, names in os.walk(folder, onerror=closed)
        for path in (Path(root, name) for name in names)
        if path.suffix.lower() in endings
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    for path in files:
        items += _file(path)
    readable = ", ".join(dict.fromkeys(endings))
    return items or [Skipped(str(folder), f"holds nothing to read; put {readable} files there")]


def _file(path: Path) -> list[Item]:
    """A file, or what the bibliography that it is holds."""
    if sources.format_of(path) is None:
        return [path]
    # A key and a line say little where a folder holds several bibliographies.
    return [
        replace(item, what=f"{path}: {item.what}")
        if isinstance(item, Skipped) and not item.what.startswith(str(path))
        else item
        for item in sources.read(path)
    ]


async def _look_up(services: _Services, ids: Sequence[str]) -> list[Item]:
    """For each of `ids` the record of the first service that knows it, or why none does."""
    found: dict[str, Item] = {}
    for name in _SERVICES:
        left = [id for id in ids if not isinstance(found.get(id), Record) and _fits(name, id)]
        if not left or name not in services:
            continue
        answers = await _ask(services[name].by_id(left), *left)
        for id, item in zip(left, answers, strict=True):
            if isinstance(item, Record) or id not in found:
                found[id] = item
    return [found[id] for id in ids]


def _fits(service: str, id: str) -> bool:
    """Whether `service` is to be asked for `id`: arXiv for its own papers, and for no other."""
    named = sources.identify(id)
    return (named is not None and named[0] == "arxiv") == (service == "arxiv")


async def _ask(answers: Awaitable[Iterable[Item]], *asked: str) -> list[Item]:
    try:
        return list(await answers)
    except SourceError as error:
        return [Skipped(what, str(error)) for what in asked]


async def _prepare(
    library: Library, item: Item, services: _Services, folder: Path
) -> Result | _Ready:
    try:
        if isinstance(item, Result):
            return item
        if isinstance(item, Skipped):
            return Result(item.what, "failed", None, item.reason)
        if isinstance(item, Record):
            return await _prepare_record(library, item, services, folder)
        return await _prepare_file(library, item)
    except SourceError as error:
        return Result(_label(item), "failed", None, str(error))


async def _prepare_file(library: Library, path: Path) -> Result | _Ready:
    key = await asyncio.to_thread(_content_key, path)
    if key and (known := await library.find(key)):
        return Result(str(path), "present", known)
    document = await asyncio.to_thread(read, path)
    paper = _paper_of(document, path, key)
    return _ready(str(path), paper, document, (key,), "; ".join(document.problems))


async def _prepare_record(
    library: Library, record: Record, services: _Services, folder: Path
) -> Result | _Ready:
    if not (record.files or _may_be_fetched(record)):
        return _ready(_label(record), record.paper, *_abstract_of(record, ""))
    known = await library.find(record.paper.id)
    if known and known.holds == "full":
        # What it says of the paper may still be news; its text is not.
        bare = replace(record.paper, holds="record")
        return _Ready(_label(record), Entry(bare, "", (), (), record.references))
    try:
        document, keys = await _whole_text_of(record, services, folder)
    except SourceError as error:
        detail = f"full text not to be had: {error}"
        return _ready(_label(record), record.paper, *_abstract_of(record, detail))
    references = document.references or record.references
    paper = replace(record.paper, holds=document.holds)
    entry = Entry(paper, document.text, cut(paper.id, document), keys, references)
    return _Ready(_label(record), entry, "; ".join(document.problems))


def _may_be_fetched(record: Record) -> bool:
    paper = record.paper
    return bool(record.addresses) or (
        "arxiv" in paper.identifiers and paper.source.startswith("http")
    )


async def _whole_text_of(
    record: Record, services: _Services, folder: Path
) -> tuple[Document, tuple[str, ...]]:
    """The full text of a record, and the key of its content."""
    path = record.files[0] if record.files else await sources.fetch(services, record, folder)
    document = await asyncio.to_thread(read, path)
    return document, (await asyncio.to_thread(_content_key, path),)


def _abstract_of(record: Record, detail: str) -> tuple[Document, tuple[str, ...], str]:
    """What there is of a record without its full text, and what is missing."""
    references = record.references
    if record.abstract:
        return Document(record.abstract, holds="abstract", references=references), (), detail
    nothing = Document("", holds="record", references=references)
    return nothing, (), detail or "no text: neither abstract nor file"


def _ready(
    source: str, paper: Paper, document: Document, keys: tuple[str, ...], detail: str
) -> _Ready:
    paper = replace(paper, holds=document.holds)
    passages = cut(paper.id, document)
    entry = Entry(paper, document.text, passages, tuple(filter(None, keys)), document.references)
    return _Ready(source, entry, detail)


def _paper_of(document: Document, path: Path, key: str) -> Paper:
    return Paper(
        id=_canonical_id(document) or f"file:{key.removeprefix('sha256:')[:16]}",
        title=encodable(document.title or path.stem),
        authors=document.authors,
        year=document.year,
        venue=document.venue,
        identifiers=document.identifiers,
        version=document.version,
        holds=document.holds,
        source=encodable(str(path)),
    )


def _canonical_id(document: Document) -> str:
    # Somebody's note on a paper is a source of its own, and never stands in for the paper.
    if document.holds == "note":
        return ""
    known = ((scheme, document.identifiers.get(scheme)) for scheme in ("arxiv", "doi"))
    return next((f"{scheme}:{id}" for scheme, id in known if id), "")


def _key(id: str) -> str:
    """What a work with this id is known by in the library."""
    named = sources.identify(id)
    return next(iter(keys_from({named[0]: named[1]})), "") if named else ""


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
