"""`scholar ask`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import typer

from scholar import estimate as estimating
from scholar import report, settings
from scholar.cli import choosing
from scholar.cli.adding import add_all, exit_code, summary
from scholar.cli.common import (
    CANCELLED,
    complain,
    err,
    likely_words,
    notice,
    out,
    print_json,
)
from scholar.cli.flags import Form
from scholar.cli.progress import Progress
from scholar.cli.writing import Reports
from scholar.errors import BudgetSpent, ModelError, SourceError
from scholar.events import Finished, Paused
from scholar.journal import RESUMABLE
from scholar.library.ingest import Result
from scholar.report import ideas as report_ideas
from scholar.runs import Run, Scholar
from scholar.settings import Settings
from scholar.values import Answer, Inquiry, Outcome

EXIT_CODES = {
    Outcome.ANSWERED: 0,
    Outcome.EVIDENCE: 0,
    Outcome.PARTIAL: 0,
    Outcome.CONFLICTING: 0,
    Outcome.NO_EVIDENCE: 3,
    Outcome.MODEL_FAILED: ModelError.exit_code,
    Outcome.TOOLS_FAILED: SourceError.exit_code,
    Outcome.BUDGET_SPENT: BudgetSpent.exit_code,
    Outcome.CANCELLED: CANCELLED,
}
WAITS = 7
"""The exit code of a run that waits for a person."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks."""

    question: str
    k: int | None = None
    thread: str | None = None
    review_plan: bool = False

    def start(self, scholar: Scholar) -> Run:
        """The run that answers it; it may wait for a person."""
        return scholar.start(
            self.question,
            k=self.k,
            thread=self.thread,
            person=True,
            review_plan=self.review_plan,
        )


async def estimate(question: str, flags: dict[str, Any], k: int | None, form: Form) -> int:
    """Print what the run would take, and call nothing; the library is not looked into."""
    known = settings.load(**flags)
    print_estimate(estimating.estimate(question, known.preset_named(None), known, k), form)
    return 0


def print_estimate(
    found: estimating.Estimate, form: Form, run: str = "finds something", more: str = ""
) -> None:
    """Print what a run would take, of which `run` it is that of, and what comes on top of it."""
    if form == "json":
        print_json(asdict(found))
        return
    out.print(likely_words(asdict(found)), soft_wrap=True)
    err.print(
        f"For a run that {run}. Repairs, retries{more} and what a model thinks come on top, "
        "what is on disk already comes off; --budget-dollars is a cap that holds.",
        style="dim",
    )


async def ask(
    asked: Asked,
    sources: list[str],
    flags: dict[str, Any],
    form: Form = "terminal",
    files: Sequence[str] = (),
) -> int:
    """Ask, show what happens on standard error, print the answer, and write it to `files`."""
    reports = Reports(files)
    return show_end(await drive(flags, sources, asked.start, reports), reports, form)


def show_end(
    ended: Answer | Waits, reports: Reports, form: Form = "terminal", *, ideas: bool = False
) -> int:
    """Print the answer and write the `reports`, or say what the run waits for; the exit code.

    Where `ideas` were asked for, JSON and Markdown are theirs even if there are none.
    """
    if isinstance(ended, Waits):
        return ended.show()
    forms = report_ideas if ideas else report
    if form == "json":
        print_json(forms.to_json(ended))
    elif form == "markdown":
        typer.echo(forms.to_markdown(ended), nl=False)
    else:
        err.print()
        report.show(ended, out)
        err.print(f"scholar runs show {ended.run_id}", style="dim")
    unwritten = reports.write()
    shown = form == "terminal" and out.is_terminal
    return _exit_code_of(ended, shown=shown, json=form == "json") or unwritten


@dataclass(frozen=True, slots=True)
class Waits:
    """A run that has paused, and what it asks a person."""

    run_id: str
    inquiries: tuple[Inquiry, ...]

    def show(self) -> int:
        """Say what the run waits for, and return the exit code."""
        for inquiry in self.inquiries:
            ideas = inquiry.kind == "ideas"
            said = choosing.shown(inquiry) if ideas else inquiry.text
            err.print(report.plain(said), soft_wrap=True)
        reply = '"drop 2; more 1"' if any(i.kind == "ideas" for i in self.inquiries) else "yes"
        complain(
            "The run waits for your reply; go on with "
            f"scholar runs resume {self.run_id} --reply {reply}."
        )
        return WAITS


def _exit_code_of(answer: Answer, *, shown: bool, json: bool) -> int:
    """The exit code of `answer`, after a complaint where it is needed and no person was `shown`
    the answer, which says so itself.
    """
    if answer.outcome in RESUMABLE and not shown:
        complain(answer.notes[0])
    elif answer.outcome is Outcome.NO_EVIDENCE and json:
        complain("The library does not answer this; add papers on it and ask again.")
    return EXIT_CODES[answer.outcome]


async def drive(
    flags: dict[str, Any],
    sources: list[str],
    start: Callable[[Scholar], Run],
    reports: Reports,
) -> Answer | Waits:
    """Add `sources`, drive the run that `start` gives with its progress shown, and return how it
    ended. `reports` are given what they show.
    """
    known = settings.load(**flags)
    async with opened(known) as (scholar, progress):
        run = start(scholar)
        if sources:
            _report_added(await add_all(scholar.services.library, known, sources))
        ended = await driven(run, progress)
        if isinstance(ended, Answer):
            await reports.gather(ended, scholar.services.library)
        return ended


@asynccontextmanager
async def opened(known: Settings) -> AsyncIterator[tuple[Scholar, Progress]]:
    """The assistant, which asks whoever sits at the terminal, and what shows its progress."""
    progress = Progress(err)
    somebody = sys.stdin.isatty() and err.is_terminal
    consult = progress.consult if somebody else None
    async with Scholar(known, on_notice=notice, consult=consult) as scholar:
        yield scholar, progress


async def driven(run: Run, progress: Progress) -> Answer | Waits:
    """Drive a run to its end, its progress shown, or until it waits for a person."""
    ended: Answer | Waits | None = None
    try:
        with progress:
            async with aclosing(run.events()) as events:
                async for event in events:
                    progress.show(event)
                    if isinstance(event, Finished):
                        ended = event.answer
                    if isinstance(event, Paused):
                        ended = Waits(run.run_id, tuple(what for _, what in event.inquiries))
    except asyncio.CancelledError:
        # Ctrl-C: what was found is kept and shown, and the exit code says that it was cut short.
        ended = await run.cancelled()
    assert ended is not None  # a run ends in Finished or Paused, raises or is cancelled
    return ended


def _report_added(results: list[Result]) -> None:
    failed = [result for result in results if result.status == "failed"]
    for result in failed:
        complain(f"Not added: {result.failure}")
    if exit_code(results):
        raise SourceError(
            "No source could be added, so nothing was asked; mend or leave out --with."
        )
    if any(result.status == "added" for result in results):
        err.print(f"  library  {summary(results)}", style="dim")
