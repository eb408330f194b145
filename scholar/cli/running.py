"""`scholar runs …`, what only looks at runs: it opens neither the library nor a model."""

from __future__ import annotations

import asyncio
import json as json_module
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scholar import report, settings
from scholar.cli.common import err, library_of, notice, out, print_columns, print_json
from scholar.errors import RunError
from scholar.journal import Journal, RunRow
from scholar.values import Call, Usage

if TYPE_CHECKING:
    from scholar.report.timeline import Timed
    from scholar.runs.archive import Runs

SHOWN = 30
"""Runs that a list in words shows: about a screen. JSON has all."""
PATIENCE = 3.0
"""Seconds to wait until a run has ended that was asked to: it has one."""


@asynccontextmanager
async def kept() -> AsyncIterator[Journal]:
    """The journal of runs."""
    journal = Journal.of(settings.load(), notice)
    try:
        yield journal
    finally:
        await journal.aclose()


@asynccontextmanager
async def archived() -> AsyncIterator[tuple[Runs, Journal]]:
    """The runs with all that is kept of them, and the journal that they are in."""
    from scholar.checkpoints import Checkpoints  # LangGraph takes its time to load
    from scholar.runs.archive import Runs

    known = settings.load()
    async with kept() as journal, aclosing(Checkpoints(known, notice)) as checkpoints:
        yield Runs(journal, checkpoints, known.home), journal


async def show_all(most: int | None, thread: str | None, json: bool) -> int:
    """Print the runs, newest first."""
    async with kept() as journal:
        rows = await journal.runs(most=most, thread=thread)
    if json:
        print_json([run_to_json(row) for row in rows])
    elif not rows:
        err.print('There are no runs yet; begin one with scholar ask "…".')
    else:
        shown = rows[: most or SHOWN]
        show_rows(shown)
        if len(rows) > len(shown):
            err.print(f"and {len(rows) - len(shown):,} older; --most shows more.", style="dim")
    return 0


def show_rows(rows: Sequence[RunRow]) -> None:
    """Print runs as a table."""
    said = [
        (
            row.run_id,
            local(row.started),
            str(row.outcome or row.status).replace("_", " "),
            row.question,
        )
        for row in rows
    ]
    print_columns(("run", "begun", "outcome", "question"), said)


def local(at: float) -> str:
    """A time of the epoch, as a clock on the wall has it."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%d %b %H:%M")


def run_to_json(row: RunRow) -> dict[str, Any]:
    """A run as plain data; `outcome` is null until it has ended. Times are ISO 8601."""
    return {
        "run_id": row.run_id,
        "question": row.question,
        "outcome": None if row.outcome is None else row.outcome.value,
        "status": row.status,
        "started": iso(row.started),
        "ended": None if row.ended is None else iso(row.ended),
        "seconds": round(row.seconds, 3),
        "thread": row.thread,
        "task": row.task,
        "preset": row.preset,
        "usage": asdict(row.usage),
        "waits": [inquiry.text for _, inquiry in row.waits],
    }


async def show(run_id: str, json: bool) -> int:
    """Print how a run went."""
    from scholar import story, telling  # a list of runs has no need of what tells of one

    row, _, told = await _told(run_id)
    if json:
        print_json({**story.to_json(row, told), **run_to_json(row)})
    else:
        telling.show(row, told, out)
    return 0


async def _told(run_id: str) -> tuple[RunRow, list[Call], list[Timed]]:
    """A run with its answer, its calls, and its events."""
    from scholar.cli.writing import traced

    async with kept() as journal:
        row = await journal.find(run_id)
        calls = await journal.calls(row.run_id)
        answer = await journal.answer(row.run_id)
    row = replace(row, answer=answer, usage=Usage.of(calls, row.seconds))
    return row, calls, traced(row.run_id)


async def cancel(run_id: str) -> int:
    """Ask whoever works on a run to end it, and wait until it has."""
    async with kept() as journal:
        row = await journal.ask_to_end(run_id)
        for _ in range(int(PATIENCE / 0.05)):
            if (await journal.find(row.run_id)).status != "running":
                out.print(f"Cancelled; go on with scholar runs resume {row.run_id}.")
                return 0
            await asyncio.sleep(0.05)
    raise RunError(
        f"The run {row.run_id} does not end; see whether its process hangs, and end that."
    )


async def export(run_id: str, where: str | None) -> int:
    """Print all that is kept of a run, write that to a .json, or its answer to another file."""
    row, calls, told = await _told(run_id)
    whole = {
        **run_to_json(row),
        "answer": None if row.answer is None else report.to_json(row.answer),
        "calls": [asdict(call) for call in calls],
        "events": [{"at": at, **asdict(event)} for at, event in told],
    }
    if where is None:
        print_json(whole)
    elif where.lower().endswith(".json"):
        write(where, json_module.dumps(whole, ensure_ascii=False, indent=2) + "\n")
    else:
        return await _report(row, where)
    return 0


async def _report(row: RunRow, where: str) -> int:
    from scholar.cli.writing import Reports

    reports = Reports([where])
    if row.answer is None:
        raise RunError(f"The run {row.run_id} has no answer yet; name a .json file for the rest.")
    async with library_of(settings.load()) as library:
        await reports.gather(row.answer, library)
    return reports.write()


def write(where: str, text: str) -> None:
    """Write `text` to the file `where`; raises ReportError where it cannot be written."""
    from scholar.report import files

    path = Path(where).expanduser()
    files.write_text(path, text)
    err.print(report.plain(f"written to {path}"), style="dim", soft_wrap=True)


async def remove(run_ids: Sequence[str]) -> int:
    """Forget runs."""
    async with archived() as (runs, _):
        for run_id in run_ids:
            row = await runs.remove(run_id)
            out.print(f"Removed {row.run_id}: {report.plain(row.question)}", soft_wrap=True)
    return 0


def iso(at: float) -> str:
    """A time of the epoch, in ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
