"""`scholar ask`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict
from typing import Any, get_args

from scholar import estimate as estimating
from scholar import report, settings
from scholar.cli.adding import add_all, exit_code, failure, summary
from scholar.cli.common import CANCELLED, complain, err, notice, out, print_json
from scholar.cli.progress import Progress
from scholar.errors import BudgetSpent, ModelError, SourceError
from scholar.events import Finished
from scholar.library.ingest import Result
from scholar.runs import Run, Scholar
from scholar.settings import Role
from scholar.values import Answer, Outcome

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
CUT_SHORT = frozenset(
    (Outcome.MODEL_FAILED, Outcome.TOOLS_FAILED, Outcome.BUDGET_SPENT, Outcome.CANCELLED)
)
"""Outcomes of runs that could not go on; the first of their notes says why."""


def flags(
    preset: str | None, model: str | None, budget: Mapping[str, float | None], no_cache: bool
) -> dict[str, Any]:
    """The settings that the flags of `scholar ask` stand for; None where one was not given."""
    caps = {name: cap for name, cap in budget.items() if cap is not None}
    return {
        "preset": preset,
        "model": model,
        "models": dict.fromkeys(get_args(Role), model) if model else None,
        "budget": caps or None,
        "cache": False if no_cache else None,
    }


async def estimate(
    question: str, sources: list[str], flags: dict[str, Any], k: int | None, json: bool
) -> int:
    """Print what the run would take, and call nothing; the library is not looked into."""
    known = settings.load(**flags)
    print_estimate(estimating.estimate(question, known.preset_named(None), known, k), json)
    return 0


def print_estimate(found: estimating.Estimate, json: bool) -> None:
    """Print what a run would take."""
    if json:
        print_json(asdict(found))
        return
    (few, many), (least, most) = found.calls, found.tokens
    out.print(f"{few} to {many} calls, {least:,} to {most:,} tokens, {_dollars(found)}")
    err.print(
        "For a run that finds something. Repairs, retries and what a model thinks come on top, "
        "what is on disk already comes off; --budget-dollars is a cap that holds.",
        style="dim",
    )


def _dollars(found: estimating.Estimate) -> str:
    if found.dollars is None:
        return "price unknown"
    return f"${found.dollars[0]:.4f} to ${found.dollars[1]:.4f}"


async def ask(
    question: str, sources: list[str], flags: dict[str, Any], k: int | None, json: bool
) -> int:
    """Ask, show what happens on standard error, and print the answer."""
    answer = await drive(flags, sources, lambda scholar: scholar.start(question, k=k))
    if json:
        print_json(report.to_json(answer))
    else:
        err.print()
        report.show(answer, out)
    return exit_code_of(answer, shown=not json and out.is_terminal, json=json)


def exit_code_of(answer: Answer, *, shown: bool, json: bool) -> int:
    """The exit code of `answer`, after a complaint where it is needed and no person was `shown`
    the answer, which says so itself.
    """
    if answer.outcome in CUT_SHORT and not shown:
        complain(answer.notes[0])
    elif answer.outcome is Outcome.NO_EVIDENCE and json:
        complain("The library does not answer this; add papers on it and ask again.")
    return EXIT_CODES[answer.outcome]


async def drive(
    flags: dict[str, Any], sources: list[str], start: Callable[[Scholar], Run]
) -> Answer:
    """Add `sources`, drive the run that `start` gives with its progress shown, and return how it
    ended.
    """
    known = settings.load(**flags)
    progress = Progress(err)
    somebody = sys.stdin.isatty() and err.is_terminal
    consult = progress.consult if somebody else None
    async with Scholar(known, on_notice=notice, consult=consult) as scholar:
        run = start(scholar)
        if sources:
            _report_added(await add_all(scholar.services.library, known, sources))
        return await _drive(run, progress)


async def _drive(run: Run, progress: Progress) -> Answer:
    answer: Answer | None = None
    try:
        with progress:
            async with aclosing(run.events()) as events:
                async for event in events:
                    progress.show(event)
                    if isinstance(event, Finished):
                        answer = event.answer
    except asyncio.CancelledError:
        # Ctrl-C: what was found is kept and shown, and the exit code says that it was cut short.
        answer = await run.cancelled()
    assert answer is not None  # a run ends in Finished, raises or is cancelled
    return answer


def _report_added(results: list[Result]) -> None:
    failed = [result for result in results if result.status == "failed"]
    for result in failed:
        complain(f"Not added: {failure(result)}")
    if exit_code(results):
        raise SourceError(
            "No source could be added, so nothing was asked; mend or leave out --with."
        )
    if any(result.status == "added" for result in results):
        err.print(f"  library  {summary(results)}", style="dim")
