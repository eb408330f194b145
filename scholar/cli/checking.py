"""`scholar papers check`, and the look-up that `scholar add` ends with."""

from __future__ import annotations

from collections.abc import Sequence

from scholar import report, settings
from scholar.cli.common import counting, err, library_of, notice, out, print_json
from scholar.cli.shelf import resolve
from scholar.errors import SourceError
from scholar.library import Library
from scholar.library.fate import Fates, look_up
from scholar.settings import Settings
from scholar.values import Paper

PATIENCE = 6.0
"""Seconds that adding waits at its end for what the services know; the rest is for `papers check`.
"""
_LATER = "Whether papers were retracted or have newer versions was not looked up"


async def check(ids: Sequence[str], json: bool) -> int:
    """Look up every paper, or those named, and print what is retracted or has a newer version."""
    known = settings.load()
    if known.offline:
        raise SourceError("offline is set; unset it to look papers up.")
    async with library_of(known) as library:
        papers = await resolve(library, ids) if ids else await library.papers()
        fates = await _under_a_bar(library, papers, known)
        # By their old ids, as some may have become part of another work.
        now = {p.id: p for p in (await library.find_all([p.id for p in papers])).values()}
        marked = [paper for paper in now.values() if paper.retracted or paper.newer]
    if json:
        print_json(
            {
                "asked": fates.asked,
                "changed": [report.paper_to_json(paper) for paper in fates.changed],
                "retracted": [paper.id for paper in marked if paper.retracted],
                "newer": {paper.id: paper.newer for paper in marked if paper.newer},
                "failed": {item.what: item.reason for item in fates.failed},
            }
        )
    else:
        _show(fates, marked)
    return SourceError.exit_code if fates.failed and not fates.changed and not marked else 0


async def after_adding(
    library: Library, papers: Sequence[Paper], known: Settings
) -> dict[str, Paper]:
    """Papers just added, by the ids they had, with what can soon be found out of them.

    Tells who could not be asked.
    """
    if not known.offline:
        once = known.model_copy(update={"http": known.http.model_copy(update={"retries": 0})})
        fates = await _under_a_bar(library, papers, once, PATIENCE)
        if fates.failed:
            names = ", ".join(item.what for item in fates.failed)
            notice(f"{_LATER} at {names}; later: scholar papers check.")
    return await library.find_all([paper.id for paper in papers])


async def _under_a_bar(
    library: Library, papers: Sequence[Paper], known: Settings, patience: float | None = None
) -> Fates:
    with counting() as bar:
        task = bar.add_task("looking up", total=len(papers))

        def at(done: int) -> None:
            bar.update(task, completed=done)

        return await look_up(library, papers, known, at, patience=patience)


def _show(fates: Fates, marked: Sequence[Paper]) -> None:
    for paper in marked:
        out.print(report.hanging("", report.reference(paper)))
    retracted = sum(paper.retracted for paper in marked)
    newer = sum(bool(paper.newer) for paper in marked)
    asked = f"{report.count(fates.asked, 'paper')} looked up"
    if fates.failed:
        asked += f", not at {', '.join(item.what for item in fates.failed)}"
    changed = len(fates.changed)
    out.print(f"{asked}: {retracted} retracted, {newer} with a newer version, {changed} changed.")
    for item in fates.failed:
        err.print(report.plain(item.reason))
