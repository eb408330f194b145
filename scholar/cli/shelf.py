"""`scholar search`, `scholar papers …` and `scholar library …`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

import typer
from rich.padding import Padding
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from scholar import report, settings
from scholar.cli.common import clean, err, notice, out, print_json
from scholar.errors import UsageError
from scholar.library import Library
from scholar.sources import bibtex
from scholar.values import Paper

SNIPPET = 400
"""Characters of a passage that a search shows: about five lines of 80 columns."""


@asynccontextmanager
async def _opened() -> AsyncIterator[Library]:
    library = Library(settings.load(), on_notice=notice)
    try:
        yield library
    finally:
        library.close()


async def search(query: str, k: int, json: bool) -> int:
    """Print the passages that fit `query` best."""
    query = report.plain(query)
    if not query.strip():
        raise UsageError("The query is empty; say what to look for.")
    async with _opened() as library:
        hits = await library.search(clean(query), k)
        passages = await library.passages([hit.passage_id for hit in hits])
        papers = {p.id: p for p in await library.papers([hit.paper_id for hit in hits])}
    if json:
        rows = []
        for hit, passage in zip(hits, passages, strict=True):
            fields = asdict(passage) | {"page": passage.page, "title": papers[hit.paper_id].title}
            rows.append({"passage_id": fields.pop("id"), **fields, "scores": hit.scores})
        print_json(rows)
    for n, (hit, passage) in enumerate(zip(hits, passages, strict=True), start=1):
        if json:
            break
        place = f"  p. {passage.page}" if passage.page else ""
        section = f"  {passage.section}" if passage.section else ""
        out.print(Text(f"{n:2d}  {report.reference(papers[hit.paper_id])}", style="bold"))
        line = f"    {hit.scores['fused']:.2f}{place}{report.plain(section)}"
        out.print(Text(line, style="dim"))
        text = " ".join(report.plain(passage.text).split())
        out.print(
            Padding(Text(text[:SNIPPET] + ("…" if len(text) > SNIPPET else "")), (0, 0, 1, 4))
        )
    if not hits:
        err.print("Nothing fits; try other words, or add papers with scholar add.")
        return 3
    return 0


async def list_papers(json: bool) -> None:
    """Print all papers."""
    async with _opened() as library:
        papers = await library.papers()
    if json:
        print_json([report.paper_to_json(paper) for paper in papers])
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for paper in papers:
        table.add_row(Text(paper.id), Text(str(paper.year or "")), Text(report.plain(paper.title)))
    out.print(table)
    if not papers:
        err.print("The library is empty; add papers with scholar add SOURCE…")


async def show_paper(id: str, json: bool) -> None:
    """Print one paper with its passages."""
    async with _opened() as library:
        [paper] = await _resolve(library, [id])
        passages = await library.passages_of(paper.id)
    if json:
        rows = [asdict(passage) | {"page": passage.page} for passage in passages]
        print_json({**report.paper_to_json(paper), "passages": rows})
        return
    out.print(Text(report.reference(paper), style="bold"))
    line = f"{paper.id}  {len(passages)} passages  {paper.source}"
    out.print(Text(report.plain(line), style="dim"))
    for passage in passages:
        place = " · ".join(
            part for part in (f"p. {passage.page}" if passage.page else "", passage.section) if part
        )
        out.print()
        out.print(Text(report.plain(place), style="dim"))
        out.print(Text(report.plain(passage.text)))


async def remove_papers(ids: Sequence[str]) -> None:
    """Remove the papers named by `ids`."""
    async with _opened() as library:
        papers = await _resolve(library, ids)
        await library.remove([paper.id for paper in papers])
    for paper in papers:
        out.print(Text(f"removed  {report.reference(paper)}"))


async def export_papers(ids: Sequence[str]) -> None:
    """Print the papers as BibTeX."""
    async with _opened() as library:
        papers = await _resolve(library, ids) if ids else await library.papers()
    typer.echo(bibtex.write(papers), nl=False)


async def rebuild() -> None:
    """Rebuild all indexes under a progress bar."""
    async with _opened() as library:
        with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
            task = bar.add_task("  rebuilding", total=None)
            stats = await library.rebuild(
                lambda done, total: bar.update(task, completed=done, total=total)
            )
    by = "BM25 alone" if stats.embedder == "none" else f"BM25 and {stats.embedder}"
    out.print(f"Rebuilt {stats.papers} papers, {stats.passages} passages, searched by {by}.")


async def _resolve(library: Library, ids: Sequence[str]) -> list[Paper]:
    everything = await library.papers()
    found = []
    for id in ids:
        fits = [paper for paper in everything if paper.id == id] or [
            paper for paper in everything if paper.id.startswith((id, f"file:{id}", f"arxiv:{id}"))
        ]
        if len(fits) != 1:
            what = "No paper has" if not fits else f"{len(fits)} papers have"
            raise UsageError(f"{what} an id that begins with '{id}'; see scholar papers list.")
        found.append(fits[0])
    return found
