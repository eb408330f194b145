"""`scholar add`, and the adding that `ask --with` does first."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace

from rich.progress import TextColumn

from scholar import report, settings
from scholar.cli.checking import after_adding
from scholar.cli.common import counting, library_of, out, print_json
from scholar.errors import SourceError, UsageError
from scholar.library import Library
from scholar.library.ingest import Result, Status, expand, ingest
from scholar.settings import Settings

SERVICES = ("arxiv", "openalex", "crossref", "semanticscholar", "zotero")
"""The services that can be searched."""
_WORDS: dict[Status, str] = {"added": "added", "present": "already there", "failed": "failed"}


async def add(sources: list[str], query: str, service: str, most: int, to: str, json: bool) -> int:
    """Add `sources` and what `service` finds for `query`, and say what became of each.

    All that is in the library then, new or not, becomes part of the collection `to`. What was added
    is looked up for retractions and newer versions.
    """
    if not sources and not query:
        raise UsageError('Nothing to add; name files, folders or ids, or use --search "…".')
    if service not in SERVICES:
        raise UsageError(f"'{service}' cannot be searched; use one of {', '.join(SERVICES)}.")
    known = settings.load()
    async with library_of(known) as library:
        results = await add_all(library, known, sources, query=query, service=service, most=most)
        results = await _looked_up(library, known, results)
        if to.strip():
            ids = dict.fromkeys(result.paper.id for result in results if result.paper)
            await library.collect(to.strip(), list(ids))
    if json:
        print_json([_to_json(result) for result in results])
    else:
        for result in results:
            _show(result)
        out.print(summary(results))
    return exit_code(results)


async def add_all(
    library: Library,
    known: Settings,
    sources: list[str],
    *,
    query: str = "",
    service: str = "arxiv",
    most: int = 20,
) -> list[Result]:
    """Add everything under a progress bar; one result per single source."""
    with counting(TextColumn("{task.fields[name]}")) as bar:
        task = bar.add_task("looking", total=None, name="")
        items = await expand(library, sources, known, query=query, limit=most, service=service)
        bar.update(task, description="adding", total=len(items))
        results: list[Result] = []
        async for result in ingest(library, items, known):
            results.append(result)
            bar.update(task, advance=1, name=report.plain(result.source)[-40:])
    return results


async def _looked_up(library: Library, known: Settings, results: list[Result]) -> list[Result]:
    """`results` with what the services know of what was added."""
    added = [result.paper for result in results if result.paper and result.status == "added"]
    now = await after_adding(library, added, known)
    return [
        replace(result, paper=now.get(result.paper.id, result.paper)) if result.paper else result
        for result in results
    ]


def exit_code(results: list[Result]) -> int:
    """0 where anything is in the library now, else the code of a source that failed."""
    failed = [result for result in results if result.status == "failed"]
    return SourceError.exit_code if failed and len(failed) == len(results) else 0


def _show(result: Result) -> None:
    head = f"{_WORDS[result.status]:<15}"
    if result.status == "failed" or result.paper is None:
        body = report.plain(result.failure)
    else:
        detail = f" [{result.detail}]" if result.detail else ""
        body = report.plain(f"{report.reference(result.paper)}{detail}")
    if out.is_terminal:
        out.print(report.hanging(head, body))
    else:  # one line each, for grep
        out.print(head + body, soft_wrap=True)


def summary(results: list[Result]) -> str:
    """How many were added, already there, and failed."""
    counts = Counter(result.status for result in results)
    told = _WORDS.items()
    return ", ".join(f"{counts[status]} {word}" for status, word in told if counts[status])


def _to_json(result: Result) -> dict[str, object]:
    paper = report.paper_to_json(result.paper) if result.paper else None
    return {**asdict(result), "paper": paper}
