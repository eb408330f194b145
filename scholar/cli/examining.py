"""`scholar eval answer`, `conflict` and `abstain`: how good the answers are, and what they cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from scholar import settings
from scholar.cli.common import notice, out, print_json, working
from scholar.evaluation import sets
from scholar.evaluation.asking import Plan, evaluate
from scholar.evaluation.metrics import Estimate
from scholar.evaluation.scores import COSTS, MEASURES, Report
from scholar.evaluation.sets import Kind
from scholar.report import plain

NEITHER = "–"
"""Where nothing is known."""


async def examine(
    kind: Kind, folder: str, plan: Plan, flags: dict[str, Any], into: str | None, json: bool
) -> None:
    """Ask the questions of a set and print what the answers are worth."""
    known = settings.load(**flags)
    questions = sets.read(kind, path_of(folder))
    for note in questions.notes:
        notice(note)
    place = path_of(into) if into else known.home / "evaluations"
    with working("Asking", TimeRemainingColumn()) as at:
        report = await evaluate(questions, known, place, plan, on_notice=notice, on_progress=at)
    if json:
        print_json(report.to_json())
    else:
        _show(report)


def path_of(name: str) -> Path:
    """A folder as a user names it."""
    return Path(os.path.expanduser(name))


def _show(report: Report) -> None:
    models = list(dict.fromkeys(report.models.values()))
    count = f"{report.groups} questions"
    if report.items != report.groups:
        count += f" in {report.items} runs"
    out.print(plain(f"eval {report.kind}: {report.name}, {count}, preset {report.preset}"))
    out.print(plain(f"answered by {', '.join(models)}"), style="dim")
    out.print()
    table = score_table()
    for measure in MEASURES[report.kind]:
        table.add_row(measure.title, *cells(report.scores[measure.name], 3))
    table.add_row()
    table.add_row(Text("per run", style="bold"))
    for measure in COSTS:
        digits = {"dollars": 4, "tokens": 0}.get(measure.name, 1)
        table.add_row(measure.title, *cells(report.costs[measure.name], digits))
    out.print(table)
    out.print()
    for line in _remarks(report):
        out.print(plain(line), style="dim")
    out.print(plain(report.folder), style="dim", soft_wrap=True)


def score_table() -> Table:
    """A table for rows of a name and the `cells` of an estimate."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for name in ("score", "95 % interval", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def cells(estimate: Estimate, digits: int) -> tuple[str, str, str]:
    """An estimate as its value, its interval and of how many."""

    def said(value: float | None) -> str:
        return NEITHER if value is None else f"{value:,.{digits}f}"

    both = estimate.low is not None
    interval = f"{said(estimate.low)} to {said(estimate.high)}" if both else NEITHER
    return said(estimate.value), interval, str(estimate.of)


def _remarks(report: Report) -> list[str]:
    ended = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in report.outcomes.items())
    lines = [f"Runs ended as: {ended}."]
    if report.judge:
        lines.append(f"Judged by {report.judge}: {price_of(report.judging)}, not counted above.")
    if report.failed:
        lines.append(f"{report.failed} failed and count as not answered; run again to ask them.")
    if report.unjudged:
        lines.append(f"{report.unjudged} could not be judged; run again to judge them.")
    return lines


def price_of(spent: Mapping[str, float | int | None]) -> str:
    """What `scores.spent` counted, in words."""
    dollars = spent["dollars"]
    price = "price unknown" if dollars is None else f"${dollars:.4f}"
    return f"{spent['calls']:,} calls, {spent['tokens']:,} tokens, {price}"
