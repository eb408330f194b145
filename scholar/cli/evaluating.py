"""`scholar eval …`: how well it does on judged sets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rich.progress import TimeRemainingColumn
from rich.table import Table

from scholar import settings
from scholar.cli.common import notice, out, print_json, working
from scholar.evaluation import beir
from scholar.evaluation.retrieval import MEASURES, Indexed, Report, indexed
from scholar.library import strategies
from scholar.settings import Settings

ALL = "all"


async def retrieve(folder: Path, split: str, strategy: str, json: bool) -> None:
    """Print how well and how fast the documents of a judged set are found."""
    if strategy != ALL:
        strategies.parse(strategy)  # before the documents are indexed, which takes a while
    known = settings.load()
    judged = beir.read(folder, split)
    for note in judged.notes:
        notice(note)
    with working("Indexing", TimeRemainingColumn()) as at:
        indexing = partial(at, "Indexing")
        async with indexed(judged, known, on_notice=notice, on_progress=indexing) as library:
            reports = [
                await library.measure(name, partial(at, f"Searching: {name}"))
                for name in await _wanted(strategy, library, known)
            ]
    if json:
        rows = [report.to_json() for report in reports]
        print_json(rows if strategy == ALL else rows[0])
    else:
        _show(reports)


async def _wanted(strategy: str, library: Indexed, known: Settings) -> list[str]:
    """The strategies to measure: for ALL, those that what is there allows."""
    if strategy != ALL:
        return [strategy]
    stats = await library.library.stats()
    names = ["bm25"]
    names += ["dense", "hybrid"] if stats.embedder != "none" else []
    names += ["graph", "entity"] if stats.facts else []
    names += ["rerank"] if known.reranker else []
    return names


def _show(reports: list[Report]) -> None:
    first = reports[0]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("strategy")
    for name in (*MEASURES, "p50 ms", "p95 ms", "index s"):
        table.add_column(name, justify="right", no_wrap=True)
    for report in reports:
        table.add_row(
            report.strategy,
            *(f"{report.scores[name]:.4f}" for name in MEASURES),
            f"{report.p50_ms:.1f}",
            f"{report.p95_ms:.1f}",
            f"{report.index_seconds:.0f}",
        )
    out.print(table)
    out.print(
        f"{first.documents} documents in {first.passages} passages, {first.queries} queries "
        f"({first.split}), embedder {first.embedder}",
        style="dim",
    )
