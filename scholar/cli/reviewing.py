"""`scholar review`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import typer

from scholar import estimate as estimating
from scholar import report, settings
from scholar.agents.planner import NO_REVIEW
from scholar.cli.asking import Waits, drive, exit_code_of, print_estimate
from scholar.cli.common import err, notice, out, print_json
from scholar.cli.writing import Reports
from scholar.errors import UsageError
from scholar.runs import Run, Scholar
from scholar.settings import Settings

Form = Literal["terminal", "markdown", "json"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for; the `columns` have commas between them."""

    topic: str
    columns: str
    sections: int
    preset: str | None
    k: int | None

    def start(self, scholar: Scholar) -> Run:
        """The run that answers it."""
        columns = [name.strip() for name in self.columns.split(",") if name.strip()]
        return scholar.start_review(
            self.topic, columns=columns, sections=self.sections, preset=self.preset, k=self.k
        )


async def estimate(asked: Asked, flags: dict[str, Any], form: Form) -> int:
    """Print what the review would take, and call nothing; the library is not looked into."""
    known = settings.load(**flags)
    preset = known.preset_named(_preset(asked, known))
    if not preset.can_review:
        raise UsageError(NO_REVIEW)
    found = estimating.estimate_review(asked.topic, preset, known, asked.sections, asked.k)
    print_estimate(found, form == "json")
    return 0


def _preset(asked: Asked, known: Settings) -> str:
    """The preset of the review, after a notice where the one that is set cannot write any."""
    chosen = asked.preset or known.review_preset()
    if not asked.preset and "preset" in known.model_fields_set and chosen != known.preset:
        notice(
            f"The preset that is set, {known.preset}, reads and writes in one call and cannot "
            f"review; this takes {chosen}."
        )
    return chosen


async def review(
    asked: Asked,
    sources: list[str],
    flags: dict[str, Any],
    form: Form,
    files: Sequence[str] = (),
) -> int:
    """Write the review, show what happens on standard error, print it, and write it to `files`."""
    reports = Reports(files)
    chosen = replace(asked, preset=_preset(asked, settings.load(**flags)))
    answer = await drive(flags, sources, chosen.start, reports)
    if isinstance(answer, Waits):
        return answer.show()
    if form == "json":
        print_json(report.to_json(answer))
    elif form == "markdown":
        typer.echo(report.to_markdown(answer), nl=False)
    else:
        err.print()
        report.show(answer, out)
        err.print(f"scholar runs show {answer.run_id}", style="dim")
    unwritten = reports.write()
    shown = form == "terminal" and out.is_terminal
    return exit_code_of(answer, shown=shown, json=form == "json") or unwritten
