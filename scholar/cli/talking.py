"""`scholar chat` and `scholar threads …`."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from typing import Any

from rich.text import Text

from scholar import report, settings
from scholar.cli.asking import driven, opened, show_end
from scholar.cli.common import complain, err, out, print_columns, print_json
from scholar.cli.progress import line_of_input
from scholar.cli.running import archived, iso, kept, local, run_to_json, write
from scholar.cli.writing import Reports
from scholar.errors import BudgetSpent, UsageError
from scholar.journal import RESUMABLE, Journal, ThreadRow
from scholar.values import Answer

END = ("/quit", "/exit", "/q")


async def chat(thread: str | None, flags: dict[str, Any], k: int | None) -> int:
    """Ask one question after another, until the end of input."""
    async with opened(settings.load(**flags)) as (scholar, progress):
        thread = thread or scholar.services.new_id()
        err.print(f"Thread {report.plain(thread)}; an empty line or Ctrl-D ends it.", style="dim")
        while question := await _next_question():
            try:
                run = scholar.start(question, k=k, thread=thread, person=True)
                show_end(await driven(run, progress), Reports())
            except (UsageError, BudgetSpent) as error:
                complain(str(error))
        err.print(f"Go on with scholar chat --thread {report.plain(thread)}.", style="dim")
    return 0


async def _next_question() -> str:
    err.print("\n› ", end="", style="bold")
    line = (await line_of_input()).strip()
    return "" if line in END else line


async def show_all(json: bool) -> int:
    """Print the threads, the one that was last used first."""
    async with kept() as journal:
        rows = await journal.threads.all()
    if json:
        print_json([_to_json(row) for row in rows])
    elif not rows:
        err.print("There are no threads yet; begin one with scholar chat.")
    else:
        said = [(row.thread, local(row.seen), str(row.runs), row.title) for row in rows]
        print_columns(("thread", "last", "runs", "title"), said)
    return 0


async def show(thread: str, json: bool) -> int:
    """Print the questions of a thread and their answers."""
    async with kept() as journal:
        row, answers = await _whole(journal, thread)
        rows = await journal.runs(thread=row.thread)
    if json:
        runs = [run_to_json(run) for run in rows]
        print_json({**_to_json(row), "runs": runs, "answers": [*map(report.to_json, answers)]})
        return 0
    for answer in answers:
        out.print(f"› {report.plain(answer.question)}", style="bold")
        report.show(answer, out)
        out.print()
    return 0


async def rename(thread: str, title: str) -> int:
    """Give a thread another title."""
    if not title.strip():
        raise UsageError("The title is empty; give one in quotes.")
    async with kept() as journal:
        row = await journal.threads.find(thread)
        await journal.threads.rename(row.thread, title.strip())
    return 0


async def export(thread: str, where: str | None) -> int:
    """Print or write a thread, as Markdown or, to a file that ends so, as JSON."""
    async with kept() as journal:
        row, answers = await _whole(journal, thread)
    if where is not None and where.lower().endswith(".json"):
        said = {**_to_json(row), "answers": [*map(report.to_json, answers)]}
        write(where, json_module.dumps(said, ensure_ascii=False, indent=2) + "\n")
        return 0
    text = "\n".join([f"# {row.title}\n", *map(report.to_markdown, answers)])
    if where is None:
        out.print(Text(text), soft_wrap=True)
    else:
        write(where, text)
    return 0


async def remove(thread: str) -> int:
    """Forget a thread with its runs."""
    async with archived() as (runs, journal):
        row = await journal.threads.find(thread)
        for run in await runs.all(thread=row.thread):
            await runs.remove(run.run_id)
        await journal.threads.remove(row.thread)
    said = report.count(row.runs, "run")
    out.print(f"Removed {report.plain(row.title)} with {said}.", soft_wrap=True)
    return 0


async def _whole(journal: Journal, thread: str) -> tuple[ThreadRow, list[Answer]]:
    row = await journal.threads.find(thread)
    rows = reversed(await journal.runs(thread=row.thread))
    found = [await journal.answer(run.run_id) for run in rows]
    return row, [a for a in found if a is not None and (a.sentences or a.outcome not in RESUMABLE)]


def _to_json(row: ThreadRow) -> dict[str, Any]:
    return {**asdict(row), "started": iso(row.started), "seen": iso(row.seen)}
