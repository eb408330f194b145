"""Bibliographic services and formats, one file each, read into records of papers.

A service answers to `Source`. Some know more: what became of a paper (`Checks`), and what it cites
and is cited by (`Walks`). `everything` makes them all; they share one `Web`, which asks politely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from scholar.errors import SourceError
from scholar.settings import Settings
from scholar.sources.formats import FORMATS, format_of, read
from scholar.sources.names import identify
from scholar.sources.record import Record, Skipped, Status
from scholar.values import Paper

__all__ = [
    "FORMATS",
    "Checks",
    "Record",
    "Skipped",
    "Source",
    "Status",
    "Walks",
    "everything",
    "fetch",
    "format_of",
    "identify",
    "read",
    "status",
]


class Source(Protocol):
    """A service that knows works. Its methods raise SourceError where it cannot be asked."""

    name: str

    async def search(self, query: str, limit: int) -> list[Record | Skipped]:
        """At most `limit` works for `query`, the most relevant first."""
        ...

    async def by_id(self, ids: Sequence[str]) -> list[Record | Skipped]:
        """The works with these ids, one item each in their order: the record, or why there is none.

        Any form that `identify` knows may be given; an id of a kind that the service does not know
        is skipped.
        """
        ...


@runtime_checkable
class Checks(Protocol):
    """A service that knows of retractions, of newer versions, or of where a preprint went."""

    async def status(self, papers: Sequence[Paper]) -> dict[str, Status]:
        """What is known of each of `papers`, by its id; those that are not known are left out."""
        ...


@runtime_checkable
class Walks(Protocol):
    """A service that knows who cites whom."""

    async def citations(self, paper: Paper, limit: int) -> list[Record | Skipped]:
        """At most `limit` works that cite `paper`; none where the service does not know it."""
        ...

    async def references(self, paper: Paper, limit: int) -> list[Record | Skipped]:
        """At most `limit` works that `paper` cites; none where the service does not know it."""
        ...


def everything(settings: Settings) -> dict[str, Source]:
    """Every service by the name of its settings, made to share one client.

    The dict is in the order in which ids are best looked up.
    """
    from scholar.sources import arxiv, crossref, openalex, semanticscholar, unpaywall, web, zotero

    client = web.Web(settings)
    return {
        "arxiv": arxiv.ArxivSource(settings, client),
        "openalex": openalex.OpenAlexSource(settings, client),
        "crossref": crossref.CrossrefSource(settings, client),
        "semanticscholar": semanticscholar.SemanticScholarSource(settings, client),
        "unpaywall": unpaywall.UnpaywallSource(settings, client),
        "zotero": zotero.ZoteroSource(settings, client),
    }


async def status(
    sources: Mapping[str, Source], papers: Sequence[Paper], patience: float | None = None
) -> tuple[dict[str, Status], list[Skipped]]:
    """What all of `sources` together know of `papers`, by id, and who could not be asked, and why.

    A paper that nobody knows is left out. They are asked at the same time; one that has not
    answered after `patience` seconds is given up.
    """
    checking = [source for source in sources.values() if isinstance(source, Checks)]
    if not checking:
        return {}, []
    asked = [asyncio.create_task(source.status(papers)) for source in checking]
    try:
        await asyncio.wait(asked, timeout=patience)
        told = [_told(source.name, task) for source, task in zip(checking, asked, strict=True)]
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return _together(told)


def _told(name: str, asked: asyncio.Task[dict[str, Status]]) -> dict[str, Status] | Skipped:
    if not asked.done():
        return Skipped(name, f"{name} did not answer in time; try again later.")
    try:
        return asked.result()
    except SourceError as error:
        return Skipped(name, str(error))


def _together(
    answers: Sequence[dict[str, Status] | Skipped],
) -> tuple[dict[str, Status], list[Skipped]]:
    found: dict[str, Status] = {}
    for told in answers:
        for id, each in ({} if isinstance(told, Skipped) else told).items():
            found[id] = found[id].and_also(each) if id in found else each
    return found, [told for told in answers if isinstance(told, Skipped)]


async def fetch(sources: Mapping[str, Source], record: Record, folder: Path) -> Path:
    """The full text of `record` as a file in `folder`, from the best place that has it openly.

    Tried in turn: arXiv, the record's own addresses, those that Unpaywall knows for its DOI. One
    that is there already is not fetched again. Raises SourceError where there is none, with what
    stood in the way.
    """
    from scholar.sources.arxiv import ArxivSource
    from scholar.sources.unpaywall import UnpaywallSource

    arxiv, unpaywall = sources.get("arxiv"), sources.get("unpaywall")
    problems: list[str] = []
    if isinstance(arxiv, ArxivSource) and "arxiv" in record.paper.identifiers:
        try:
            return await arxiv.fetch(record.paper, folder)
        except SourceError as error:
            problems.append(str(error))
    if isinstance(unpaywall, UnpaywallSource):
        try:
            return await unpaywall.fetch(record, folder)
        except SourceError as error:
            problems.append(str(error))
    raise SourceError(
        " ".join(problems) or f"No place for '{record.paper.title}' is known; add it."
    )
