"""What became of stored papers: retractions, newer versions, where a preprint was published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from scholar import sources
from scholar.library import Entry, Library
from scholar.library.identity import is_published
from scholar.settings import Settings
from scholar.sources import Skipped, Status
from scholar.values import Paper

BATCH = 50
"""Papers that the services are asked about at a time: what most of them take in one request."""


@dataclass(frozen=True, slots=True)
class Fates:
    """What a look-up brought.

    `asked` papers have an id by which services know them. `changed` are those of which something
    new is known, as they are stored now; `failed` says who could not be asked, and why.
    """

    asked: int
    changed: tuple[Paper, ...]
    failed: tuple[Skipped, ...]


async def look_up(
    library: Library,
    papers: Sequence[Paper],
    settings: Settings,
    on_progress: Callable[[int], None] = lambda _: None,
    *,
    patience: float | None = None,
) -> Fates:
    """Ask the services what became of `papers`, and store it.

    A preprint of which a service knows the published version becomes one work with it, where both
    are there. Nothing is raised for a service that cannot be asked, or has not answered after
    `patience` seconds for all papers together; `on_progress` is told how many papers are done.
    """
    known = [paper for paper in papers if paper.identifiers and paper.holds != "note"]
    services = sources.everything(settings)
    changed: list[str] = []
    failed: dict[str, Skipped] = {}
    clock = asyncio.get_running_loop().time
    ends = clock() + patience if patience is not None else None
    for at in range(0, len(known), BATCH):
        batch = known[at : at + BATCH]
        left = None if ends is None else max(0.0, ends - clock())
        found, unasked = await sources.status(services, batch, left)
        failed.update({item.what: item for item in unasked})
        changed += await _store(library, batch, found)
        on_progress(at + len(batch))
    return Fates(len(known), tuple(await library.papers(changed)), tuple(failed.values()))


def with_status(paper: Paper, status: Status) -> Paper:
    """`paper` with what services know of it; what they do not say stays.

    A mark of retraction stays as well: not every service knows of every retraction.
    """
    identifiers = dict(paper.identifiers)
    if status.published_doi and not is_published(replace(paper, venue="")):
        identifiers["doi"] = status.published_doi
    return replace(
        paper,
        retracted=paper.retracted or status.retracted is True,
        newer=status.newer or paper.newer,
        identifiers=identifiers,
    )


async def _store(
    library: Library, papers: Sequence[Paper], found: Mapping[str, Status]
) -> list[str]:
    """Store what was found of `papers`; the ids, as they are then, of those with any news."""
    told = [(paper, with_status(paper, found[paper.id])) for paper in papers if paper.id in found]
    news = [after for before, after in told if after != before]
    named = {b.id for b, after in told if after.identifiers != b.identifiers}
    # A bare record makes one work of all that have one of its ids.
    records = [Entry(replace(p, holds="record"), "", ()) for p in news if p.id in named]
    united = await library.unite(records) if records else []
    rest = [paper for paper in news if paper.id not in named]
    await library.update_status(rest)
    return [*(outcome.paper.id for outcome in united), *(paper.id for paper in rest)]
