"""`scholar ideas` and `scholar ideas refine`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scholar import estimate as estimating
from scholar import settings
from scholar.cli.asking import drive, print_estimate, show_end
from scholar.cli.flags import Form
from scholar.cli.running import kept
from scholar.cli.writing import Reports
from scholar.errors import UsageError
from scholar.report import ideas as report_ideas
from scholar.runs import Run, Scholar
from scholar.values import Idea


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    topic: str
    wanted: int
    new: int
    interactive: bool

    def start(self, scholar: Scholar) -> Run:
        """The run that proposes it."""
        return scholar.start_ideas(
            self.topic,
            wanted=self.wanted,
            new=self.new,
            interactive=self.interactive,
            person=True,
        )


async def estimate(asked: Asked, flags: dict[str, Any], form: Form) -> int:
    """Print what the run would take, and call nothing; the library is not looked into."""
    known = settings.load(**flags)
    preset = known.preset_named(None)
    found = estimating.estimate_ideas(asked.topic, preset, known, asked.wanted, asked.new)
    more = ", what you ask for where you choose" if asked.interactive else ""
    print_estimate(found, form, "ends with as many ideas as asked for", more)
    return 0


async def propose(
    asked: Asked,
    sources: list[str],
    flags: dict[str, Any],
    form: Form,
    files: Sequence[str] = (),
) -> int:
    """Propose ideas, show what happens on standard error, print them, and write them to `files`."""
    reports = Reports(files)
    ended = await drive(flags, sources, asked.start, reports)
    return show_end(ended, reports, form, ideas=True)


async def refine(
    name: str, file: str, flags: dict[str, Any], form: Form, files: Sequence[str] = ()
) -> int:
    """Work an idea out into a proposal, print it, and write it to `files`; `file` is what `--json`
    of its run gave.

    Raises UsageError where there is no such idea.
    """
    reports = Reports(files)
    run_id, _, idea_id = name.rpartition(".")
    if not idea_id or not (run_id or file):
        raise UsageError(
            f"'{name}' names no idea: give a run and an idea of it, as in 7f3a.2, which "
            "scholar ideas prints at its end."
        )
    reports = Reports(files)
    if file:
        topic, idea = _from_file(file, idea_id)
    else:
        topic, idea = await _of_run(run_id, idea_id)

    def start(scholar: Scholar) -> Run:
        return scholar.start_proposal(topic, idea, person=True)

    return show_end(await drive(flags, [], start, reports), reports, form, ideas=True)


def _from_file(file: str, idea_id: str) -> tuple[str, Idea]:
    try:
        data = json.loads(Path(file).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{file} cannot be read as JSON ({error}); give what scholar ideas --json wrote."
        ) from None
    return report_ideas.from_json(data, idea_id)


async def _of_run(run_id: str, idea_id: str) -> tuple[str, Idea]:
    async with kept() as journal:
        row = await journal.find(run_id)
        answer = await journal.answer(row.run_id)
    idea = next((i for i in answer.ideas if i.id == idea_id), None) if answer else None
    if answer is None or idea is None:
        raise UsageError(f"The run {run_id} has no idea {idea_id}; see scholar runs show {run_id}.")
    return answer.question, idea
