"""`scholar review`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import typer

from scholar import report
from scholar.cli.asking import Waits, drive, exit_code_of
from scholar.cli.common import err, out, print_json
from scholar.cli.writing import Reports
from scholar.report import markdown
from scholar.runs import Run, Scholar

Form = Literal["terminal", "markdown", "json"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for; the `columns` have commas between them."""

    topic: str
    columns: str
    sections: int
    preset: str
    k: int | None

    def start(self, scholar: Scholar) -> Run:
        """The run that answers it."""
        columns = [name.strip() for name in self.columns.split(",") if name.strip()]
        return scholar.start_review(
            self.topic, columns=columns, sections=self.sections, preset=self.preset, k=self.k
        )


async def review(
    asked: Asked,
    sources: list[str],
    flags: dict[str, Any],
    form: Form,
    files: Sequence[str] = (),
) -> int:
    """Write the review, show what happens on standard error, print it, and write it to `files`."""
    reports = Reports(files)
    answer = await drive(flags, sources, asked.start, reports)
    if isinstance(answer, Waits):
        return answer.show()
    if form == "json":
        print_json(report.to_json(answer))
    elif form == "markdown":
        typer.echo(markdown.to_markdown(answer), nl=False)
    else:
        err.print()
        report.show(answer, out)
    unwritten = reports.write()
    shown = form == "terminal" and out.is_terminal
    return exit_code_of(answer, shown=shown, json=form == "json") or unwritten
