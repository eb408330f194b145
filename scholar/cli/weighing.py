"""`scholar eval ideas`: are the right papers found, are ideas diverse, are they well ranked?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.progress import TimeRemainingColumn
from rich.text import Text

from scholar import settings
from scholar.cli.common import notice, out, print_json, working
from scholar.cli.examining import cells, path_of, price_of, score_table
from scholar.evaluation.ideas import SAME, Report, evaluate
from scholar.evaluation.metrics import Estimate
from scholar.report import plain

_TITLES = {"score": "all four together"}
"""What a measure of agreement is called where its name does not do."""


async def weigh(
    folder: str,
    flags: dict[str, Any],
    into: str | None,
    limit: int | None,
    comparisons: int | None,
    seed: int,
    json: bool,
) -> None:
    """Measure what a folder has sets for, and print it."""
    known = settings.load(**flags)
    place = path_of(into) if into else known.home / "evaluations"
    with working("Reading", TimeRemainingColumn()) as at:
        report = await evaluate(
            path_of(folder), known, place, limit=limit, comparisons=comparisons, seed=seed,
            on_notice=notice, on_progress=at,
        )  # fmt: skip
    if json:
        print_json(report.to_json())
    else:
        _show(report)


def _show(report: Report) -> None:
    out.print(plain(f"eval ideas: {report.name}"))
    table = score_table()
    for heading, measures in _parts(report):
        table.add_row()
        table.add_row(Text(heading, style="bold"))
        for title, estimate in measures:
            table.add_row(title, *cells(estimate, 3))
    out.print(table)
    out.print()
    for line in _remarks(report):
        out.print(plain(line), style="dim")


def _parts(report: Report) -> Iterable[tuple[str, list[tuple[str, Estimate]]]]:
    if found := report.recall:
        rows = [(f"recall@{k}", one) for k, one in found.ideas.items()]
        rows += [(f"recall@{k}, plain search", one) for k, one in found.search.items()]
        yield "cited works found by the background", rows
    if spread := report.diversity:
        yield (
            "diversity",
            [("distance of two ideas", spread.distance), ("distinct", spread.distinct)],
        )
    if ranked := report.agreement:
        yield (
            "agreement with people, Spearman",
            [(_TITLES.get(name, name), one) for name, one in ranked.correlations.items()],
        )


def _remarks(report: Report) -> list[str]:
    lines = list(report.notes)
    if found := report.recall:
        lines.append(f"{found.papers} backgrounds, asked of {found.documents} papers.")
        lines += found.notes
    if spread := report.diversity:
        lines.append(
            f"{spread.ideas} ideas of {spread.runs} runs are {spread.clusters} where those of a "
            f"cosine of {SAME} or more count once, by {spread.embedder}."
        )
    if ranked := report.agreement:
        lines.append(
            f"{ranked.ideas} ideas of {ranked.topics} topics in {ranked.comparisons} comparisons "
            f"by {ranked.judge}: {price_of(ranked.spent)}."
        )
        lines += [*ranked.notes, ranked.folder]
    return lines
