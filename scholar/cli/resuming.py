"""`scholar runs resume` and `scholar runs replay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scholar import report, settings
from scholar.cli import choosing
from scholar.cli.asking import driven, opened, show_end
from scholar.cli.common import err, out, print_json
from scholar.cli.flags import Form
from scholar.cli.writing import Reports
from scholar.errors import UsageError
from scholar.values import Answer, Inquiry

YES, NO = ("yes", "y"), ("no", "n")


async def resume(
    run_id: str, reply: str | None, flags: dict[str, Any], form: Form, files: Sequence[str]
) -> int:
    """Go on with a run, print its answer, and write it to `files`."""
    reports = Reports(files)
    async with opened(settings.load(**flags)) as (scholar, progress):
        row = await scholar.runs.find(run_id)
        if reply is not None and not row.waits:
            raise UsageError(f"The run {row.run_id} waits for no reply; leave out --reply.")
        replies = {id: _understood(reply, inquiry) for id, inquiry in row.waits if reply}
        run = await scholar.resume(row.run_id, replies=replies)
        ended = await driven(run, progress)
        if isinstance(ended, Answer):
            await reports.gather(ended, scholar.services.library)
    return show_end(ended, reports, form)


def _understood(reply: str, inquiry: Inquiry) -> Any:
    if inquiry.kind == "ideas":
        wishes, unknown = choosing.understood(reply)
        if unknown:
            raise UsageError(f"Not understood: {'; '.join(unknown)}; see docs/ideas.md.")
        return wishes
    word = reply.strip().lower()
    if word in YES or word in NO:
        return word in YES
    if inquiry.kind != "plan":
        raise UsageError(f"The reply may be yes or no, and was '{reply}'; give one of them.")
    return [line.strip() for line in reply.splitlines() if line.strip()]


async def replay(run_id: str, json: bool) -> int:
    """Play a run again, and say whether it gives the same answer."""
    async with opened(settings.load(offline=True)) as (scholar, _):
        answer = await scholar.replay(run_id)
    if json:
        print_json(report.to_json(answer))
    else:
        report.show(answer, out)
        err.print("Played again without a model: the same answer, byte for byte.", style="dim")
    return 0
