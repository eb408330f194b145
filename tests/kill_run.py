"""Runs a question, killing itself at a given moment; what `test_kill` and the benchmark start.

`python kill_run.py HOME URL PRESET RUN_ID [AT]`: the moment AT is the number of an effect: of what
is written into the journal or the checkpoints, each counted before and after. Prints how many
effects there were, and the answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from scholar.checkpoints import Checkpoints
from scholar.events import Finished
from scholar.journal import Journal
from scholar.report import to_json
from scholar.runs import Scholar
from scholar.settings import load

QUESTION = "How do graph walks rank passages on multi-hop questions?"
EFFECTS = {Journal: ("begin", "keep", "finish", "go_on"), Checkpoints: ("aput", "aput_writes")}
count = 0


def die_at(at: int | None) -> None:
    """Have every effect counted, and the process killed at number `at`."""

    def counted(function: Any) -> Any:
        async def effect(*args: Any, **named: Any) -> Any:
            tick(at)
            result = await function(*args, **named)
            tick(at)
            return result

        return effect

    for kind, names in EFFECTS.items():
        for name in names:
            setattr(kind, name, counted(getattr(kind, name)))


def tick(at: int | None) -> None:
    """Count a moment, and die if it is the one."""
    global count
    count += 1
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)


async def answer(home: Path, url: str, preset: str, run_id: str) -> dict[str, Any]:
    """The answer of the run, begun or resumed."""
    known = load(home=home, model=f"openai:scripted@{url}", embedder="none", cache=False)
    async with Scholar(known) as scholar:
        rows = await scholar.runs.all()
        if any(row.run_id == run_id for row in rows):
            if not rows[0].goes_on:
                found = await scholar.runs.answer(run_id)
                assert found is not None
                return to_json(found)
            run = await scholar.resume(run_id)
        else:
            run = scholar.start(QUESTION, preset=preset)
            run.question["run_id"] = run_id
        async for event in run.events():
            if isinstance(event, Finished):
                return to_json(event.answer)
    raise AssertionError("the run did not finish")


if __name__ == "__main__":
    _, home, url, preset, run_id, *at = sys.argv
    die_at(int(at[0]) if at else None)
    said = asyncio.run(answer(Path(home), url, preset, run_id))
    sys.stdout.write(json.dumps({"effects": count, "answer": said}))
