"""`scholar watch …`."""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict
from typing import Any

from rich.text import Text

from scholar import report, settings
from scholar.cli.common import complain, err, out, print_columns, print_json
from scholar.cli.running import iso, kept, local
from scholar.errors import RunError, UsageError
from scholar.journal.watches import Watch

SIGNS = {"new": "+", "changed": "~", "retracted": "!"}


async def add(question: str, query: str, preset: str | None, json: bool) -> int:
    """Keep a standing question."""
    question = " ".join(question.split())
    if not question:
        raise UsageError('The question is empty; write it in quotes: scholar watch add "…".')
    if preset is not None:
        settings.load().preset_named(preset)
    watch = Watch(uuid.uuid4().hex[:8], question, query.strip(), preset or "", time.time())
    async with kept() as journal:
        await journal.watches.put(watch)
    if json:
        print_json(_to_json(watch))
    else:
        out.print(f"{watch.watch_id}  {report.plain(question)}", soft_wrap=True)
        err.print("Asked by scholar watch run; put that into cron.", style="dim")
    return 0


async def show_all(json: bool) -> int:
    """Print the standing questions."""
    async with kept() as journal:
        watches = await journal.watches.all()
    if json:
        print_json([_to_json(watch) for watch in watches])
    elif not watches:
        err.print('There are no standing questions; keep one with scholar watch add "…".')
    else:
        said = [
            (w.watch_id, local(w.checked) if w.checked else "not yet", str(len(w.seen)), w.question)
            for w in watches
        ]
        print_columns(("watch", "last looked", "papers", "question"), said)
    return 0


async def run(watch_ids: list[str], flags: dict[str, Any], json: bool) -> int:
    """Look at standing questions, and print what has changed."""
    from scholar.cli.asking import opened
    from scholar.watch import Report, look

    reports: list[Report] = []
    code = 0
    async with opened(settings.load(**flags)) as (scholar, _):
        watches = scholar.services.journal.watches
        wanted = [await watches.find(id) for id in watch_ids] or await watches.all()
        if not wanted:
            err.print('There are no standing questions; keep one with scholar watch add "…".')
        for watch in wanted:
            try:
                reports.append(await look(scholar, watch))
            except RunError as error:
                complain(str(error))
                code = error.exit_code
                continue
            if not json:
                _show(reports[-1])
            if reports[-1].status == "failed":
                answer = reports[-1].answer
                complain(answer.notes[0] if answer else "The question could not be asked.")
                code = RunError.exit_code
    if json:
        print_json([_report_to_json(found) for found in reports])
    return code


async def remove(watch_id: str) -> int:
    """Forget a standing question."""
    async with kept() as journal:
        watch = await journal.watches.find(watch_id)
        await journal.watches.remove(watch.watch_id)
    out.print(f"Removed {watch.watch_id}: {report.plain(watch.question)}", soft_wrap=True)
    return 0


def _show(found: Any) -> None:
    for reason in found.failed:
        complain(f"Not added: {report.plain(reason)}")
    if found.status in ("nothing_new", "nothing_relevant", "same", "failed"):
        said = found.status.replace("_", " ")
        question = report.plain(found.watch.question)
        err.print(f"  {found.watch.watch_id}  {said}: {question}", style="dim")
        return
    out.print(Text(report.plain(found.watch.question), style="bold"))
    if found.status == "first":
        report.show(found.answer, out)
        return
    titles = {p.id: report.reference(p) for p in (*found.new, *found.answer.bibliography)}
    for change in found.changes:
        if change.before and change.kind != "retracted":
            out.print(report.hanging("- ", report.plain(change.before)))
        if change.after or change.kind == "retracted":
            text = change.after or f"{change.before} has been retracted"
            out.print(report.hanging(f"{SIGNS[change.kind]} ", report.plain(text)))
        for id in change.papers:
            out.print(report.hanging("    by ", report.plain(titles.get(id, id))))
    err.print(f"The whole answer: scholar runs show {found.answer.run_id}", style="dim")


def _report_to_json(found: Any) -> dict[str, Any]:
    return {
        **_to_json(found.watch),
        "status": found.status,
        "new": [report.paper_to_json(paper) for paper in found.new],
        "changes": [asdict(change) for change in found.changes],
        "answer": report.to_json(found.answer) if found.answer else None,
        "failed": list(found.failed),
    }


def _to_json(watch: Watch) -> dict[str, Any]:
    said = {name: value for name, value in asdict(watch).items() if name != "seen"}
    said["papers"] = len(watch.seen)
    for name in ("created", "checked"):
        said[name] = None if said[name] is None else iso(said[name])
    return said
