"""`scholar search`, `scholar papers …` and `scholar library …`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scholar import report, settings
from scholar.cli.common import err, library_of, notice, out, print_json, working
from scholar.errors import LibraryError, UsageError
from scholar.library import Filters, Library
from scholar.library import restore as put_in_place
from scholar.library.strategies import DEFAULT
from scholar.sources import bibtex
from scholar.values import Hit, Paper, Passage

SNIPPET = 400
"""Characters that a search shows of a passage, from its best sentence on: about five lines."""

NOTHING = "Nothing fits; try other words, or add papers with scholar add."
NOT_ENRICHED = (
    "The strategies graph, entity and questions find what scholar library enrich has drawn."
)

SHOWN = 5
"""Names that a check shows of what is wrong in the same way."""


async def search(
    query: str,
    k: int,
    years: str,
    wanted: Mapping[str, str],
    retracted: bool | None,
    strategy: str,
    json: bool,
) -> int:
    """Print the passages that fit `query` best, of the papers that are `wanted`."""
    query = report.plain(query)
    if not query.strip():
        raise UsageError("The query is empty; say what to look for.")
    filters = Filters(years=_years(years), retracted=retracted, **wanted)
    async with library_of(settings.load()) as library:
        found = [row async for row in _found(library, query, k, filters, strategy)]
    if json:
        print_json([_found_to_json(row) for row in found])
    else:
        for n, row in enumerate(found, start=1):
            _show_found(n, row)
    if not found:
        err.print(NOTHING if strategy == DEFAULT else f"{NOTHING} {NOT_ENRICHED}", soft_wrap=True)
        return 3
    return 0


@dataclass(frozen=True, slots=True)
class _Found:
    """A passage that fits; `best` is where its best sentence begins, in its text."""

    hit: Hit
    passage: Passage
    paper: Paper
    best: int


def _years(text: str) -> tuple[int | None, int | None] | None:
    """The first and last year of `2019-2021`, `2019-`, `-2021` or `2019`."""
    if not text.strip():
        return None
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not all(part == "" or part.isdecimal() for part in (first, last)) or not first + last:
        raise UsageError(f"'{text}' are no years; write them as 2019-2021, 2019- or -2021.")
    until = last if dash else first
    return (int(first) if first else None, int(until) if until else None)


async def _found(
    library: Library, query: str, k: int, filters: Filters, strategy: str
) -> AsyncIterator[_Found]:
    hits = await library.search(query, k, filters=filters, strategy=strategy)
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
    paper = row.paper
    known = {"title": paper.title, "retracted": paper.retracted, "newer": paper.newer}
    fields = asdict(row.passage) | {"page": row.passage.page} | known
    return {"passage_id": fields.pop("id"), **fields, "scores": row.hit.scores}


def _show_found(n: int, row: _Found) -> None:
    out.print(report.hanging(f"{n:2d}  ", report.reference(row.paper), style="bold"))
    place = f"p. {row.passage.page}" if row.passage.page else ""
    details = (f"{row.hit.scores['fused']:.2f}", place, report.plain(row.passage.section))
    out.print(Text("    " + "  ".join(filter(None, details)), style="dim"))
    text = " ".join(report.plain(row.passage.text[row.best :]).split())
    snippet = ("…" if row.best else "") + text[:SNIPPET] + ("…" if len(text) > SNIPPET else "")
    out.print(Padding(Text(snippet), (0, 0, 1, 4)))


async def rate(ids: Sequence[str], helpful: bool) -> None:
    """Keep that passages helped, or did not; UsageError where one of them is not there."""
    async with library_of(settings.load()) as library:
        there = {passage.id for passage in await library.passages(ids)}
        if missing := [id for id in ids if id not in there]:
            raise UsageError(f"There is no passage {missing[0]}; see scholar search --json.")
        kept = await library.rate(list(ids), helpful=helpful)
    out.print(f"Noted for {report.count(kept, 'passage')}.")


async def list_papers(collection: str, json: bool) -> None:
    """Print all papers, or those of a collection."""
    async with library_of(settings.load()) as library:
        papers = await library.papers(collection=collection)
        known = await library.collections() if collection and not papers else {}
    if json:
        print_json([report.paper_to_json(paper) for paper in papers])
        return
    if not papers:
        err.print(_nothing_in(collection, known))
        return
    rows = [(paper.id, str(paper.year or ""), _marked(paper)) for paper in papers]
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


def _nothing_in(collection: str, known: Iterable[str]) -> str:
    if not collection:
        return "The library is empty; add papers with scholar add SOURCE…"
    there = ", ".join(sorted(known))
    return report.plain(
        f"No collection is called '{collection}'; "
        + (f"there are {there}." if there else "make one with scholar add --to NAME SOURCE…")
    )


def _marked(paper: Paper) -> str:
    """The title, and what a reader must know of the paper beside it."""
    newer = f" [{paper.newer} is out]" if paper.newer else ""
    return report.plain(f"{'RETRACTED. ' if paper.retracted else ''}{paper.title}{newer}")


async def show_paper(id: str, json: bool) -> None:
    """Print one paper with its passages."""
    async with library_of(settings.load()) as library:
        [paper] = await resolve(library, [id])
        passages = await library.passages_of(paper.id)
    if json:
        rows = [asdict(passage) | {"page": passage.page} for passage in passages]
        print_json({**report.paper_to_json(paper), "passages": rows})
        return
    out.print(Text(report.reference(paper), style="bold"))
    line = f"{paper.id}  {report.count(len(passages), 'passage')}  {paper.source}"
    out.print(Text(report.plain(line), style="dim"))
    if paper.newer:
        line = f"{paper.newer} is out; this is {paper.version or 'an earlier version'}."
        out.print(Text(report.plain(line), style="yellow"))
    for passage in passages:
        place = " · ".join(
            part for part in (f"p. {passage.page}" if passage.page else "", passage.section) if part
        )
        out.print()
        out.print(Text(report.plain(place), style="dim"))
        out.print(Text(report.plain(passage.text)))


async def remove_papers(ids: Sequence[str]) -> None:
    """Remove the papers named by `ids`."""
    async with library_of(settings.load()) as library:
        papers = await resolve(library, ids)
        await library.remove([paper.id for paper in papers])
    for paper in papers:
        out.print(Text(f"removed  {report.reference(paper)}"))


async def export_papers(ids: Sequence[str], json: bool) -> None:
    """Print the papers as BibTeX or as JSON."""
    async with library_of(settings.load()) as library:
        papers = await resolve(library, ids) if ids else await library.papers()
    if json:
        print_json([report.paper_to_json(paper) for paper in papers])
    else:
        typer.echo(bibtex.write(papers), nl=False)


async def rebuild() -> None:
    """Rebuild all indexes under a progress bar."""
    async with library_of(settings.load()) as library:
        with working("rebuilding") as at:
            stats = await library.rebuild(lambda done, total: at("rebuilding", done, total))
    by = "BM25 alone" if stats.embedder == "none" else f"BM25 and {stats.embedder}"
    held = f"{report.count(stats.papers, 'paper')}, {report.count(stats.passages, 'passage')}"
    out.print(f"Rebuilt {held}, searched by {by}.")


async def check(repair: bool, json: bool) -> int:
    """Print what in the indexes is wrong; the exit code of a library that cannot be used if so."""
    async with library_of(settings.load()) as library:
        found = await library.check(repair=repair)
    if json:
        print_json({"ok": not found, "findings": [asdict(finding) for finding in found]})
    else:
        for (place, problem), some in groupby(found, key=lambda each: (each.place, each.problem)):
            names = [finding.what for finding in some]
            line = f"{place}: {len(names)} {problem}: {', '.join(names[:SHOWN])}"
            out.print(Text(report.plain(line + (" …" if len(names) > SHOWN else ""))))
        advice = "rebuild" if repair else "check --repair"
        out.print(f"To mend it: scholar library {advice}." if found else "All is well.")
    return LibraryError.exit_code if found else 0


async def stats(json: bool) -> None:
    """Print how much there is."""
    async with library_of(settings.load()) as library:
        found = await library.stats()
    if json:
        print_json({**asdict(found), "folder": str(found.folder)})
        return
    held = ", ".join(f"{n} {what}" for what, n in sorted(found.holdings.items()))
    named = ", ".join(f"{name} ({n})" for name, n in found.collections.items())
    for name, value in (
        ("papers", f"{found.papers}{f' ({held})' if held else ''}"),
        ("passages", found.passages),
        ("references", found.references),
        ("facts", found.facts),
        ("questions", found.questions),
        ("cards", found.cards),
        ("collections", named or "none"),
        ("searched by", "BM25 alone" if found.embedder == "none" else f"BM25, {found.embedder}"),
        ("on disk", f"{found.bytes / 2**20:.1f} MiB in {found.folder}"),
        ("revision", found.revision),
    ):
        out.print(report.plain(f"{name:<12} {value}"), soft_wrap=True)


async def snapshot(file: str) -> None:
    """Write the library to `file`."""
    async with library_of(settings.load()) as library:
        await library.snapshot(Path(file))
        papers = (await library.stats()).papers
    out.print(report.plain(f"Wrote {report.count(papers, 'paper')} to {file}."), soft_wrap=True)


async def restore(file: str, force: bool) -> None:
    """Put the library of the snapshot `file` in place."""
    known = settings.load()
    await asyncio.to_thread(put_in_place, known, Path(file), force=force, on_notice=notice)
    async with library_of(settings.load()) as library:
        papers = (await library.stats()).papers
    out.print(
        report.plain(f"Restored {report.count(papers, 'paper')} from {file}."), soft_wrap=True
    )


async def resolve(library: Library, ids: Sequence[str]) -> list[Paper]:
    """The papers that `ids`, or unique beginnings of them, name; UsageError where none fits."""
    everything = await library.papers()
    found = []
    for id in ids:
        if not id.strip():
            raise UsageError("The id is empty; see scholar papers list.")
        known = await library.find(id)
        fits = (
            [known]
            if known
            else [
                paper
                for paper in everything
                if paper.id.startswith((id, f"file:{id}", f"arxiv:{id}"))
            ]
        )
        if len(fits) != 1:
            what = "No paper has" if not fits else f"{len(fits)} papers have"
            raise UsageError(f"{what} an id that begins with '{id}'; see scholar papers list.")
        found.append(fits[0])
    return found
