"""`scholar search`, `scholar papers …` and `scholar library …`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import typer
from rich.padding import Padding
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from scholar import report, settings
from scholar.cli.common import err, notice, out, print_json
from scholar.errors import UsageError
from scholar.library import Library
from scholar.sources import bibtex
from scholar.values import Hit, Paper, Passage

SNIPPET = 400
"""Characters that a search shows of a passage, from its best sentence on: about five lines."""


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
        found = [row async for row in _found(library, query, k)]
    if json:
        print_json([_found_to_json(row) for row in found])
    else:
        for n, row in enumerate(found, start=1):
            _show_found(n, row)
    if not found:
        err.print("Nothing fits; try other words, or add papers with scholar add.")
        return 3
    return 0


@dataclass(frozen=True, slots=True)
class _Found:
    """A passage that fits; `best` is where its best sentence begins, in its text."""

    hit: Hit
    passage: Passage
    paper: Paper
    best: int


async def _found(library: Library, query: str, k: int) -> AsyncIterator[_Found]:
    hits = await library.search(query, k)
    passages = {p.id: p for p in await library.passages([hit.passage_id for hit in hits])}
    papers = {p.id: p for p in await library.papers([hit.paper_id for hit in hits])}
    for hit in hits:
        # Another process may have removed the paper in between.
        if hit.passage_id in passages and hit.paper_id in papers:
            passage = passages[hit.passage_id]
            best = await library.extract(query, [passage], 1)
            start = best[0].start - passage.start if best else 0
            yield _Found(hit, passage, papers[hit.paper_id], start)


def _found_to_json(row: _Found) -> dict[str, object]:
    fields = asdict(row.passage) | {"page": row.passage.page, "title": row.paper.title}
    return {"passage_id": fields.pop("id"), **fields, "scores": row.hit.scores}


def _show_found(n: int, row: _Found) -> None:
    out.print(report.hanging(f"{n:2d}  ", report.reference(row.paper), style="bold"))
    place = f"p. {row.passage.page}" if row.passage.page else ""
    details = (f"{row.hit.scores['fused']:.2f}", place, report.plain(row.passage.section))
    out.print(Text("    " + "  ".join(filter(None, details)), style="dim"))
    text = " ".join(report.plain(row.passage.text[row.best :]).split())
    snippet = ("…" if row.best else "") + text[:SNIPPET] + ("…" if len(text) > SNIPPET else "")
    out.print(Padding(Text(snippet), (0, 0, 1, 4)))


async def list_papers(json: bool) -> None:
    """Print all papers."""
    async with _opened() as library:
        papers = await library.papers()
    if json:
        print_json([report.paper_to_json(paper) for paper in papers])
        return
    if not papers:
        err.print("The library is empty; add papers with scholar add SOURCE…")
        return
    rows = [(paper.id, str(paper.year or ""), report.plain(paper.title)) for paper in papers]
    if not out.is_terminal:  # one line each, for grep
        widest = max(len(id) for id, _, _ in rows)
        for id, year, title in rows:
            out.print(f"{id:<{widest}}  {year:<4}  {title}", soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)


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
        if not id.strip():
            raise UsageError("The id is empty; see scholar papers list.")
        fits = [paper for paper in everything if paper.id == id] or [
            paper for paper in everything if paper.id.startswith((id, f"file:{id}", f"arxiv:{id}"))
        ]
        if len(fits) != 1:
            what = "No paper has" if not fits else f"{len(fits)} papers have"
            raise UsageError(f"{what} an id that begins with '{id}'; see scholar papers list.")
        found.append(fits[0])
    return found
