"""Runs that are killed at a given moment, each in a process of its own.

`python mortal.py` reads one JSON object a line, `{home, url, preset, run_id, question, at, after}`,
forks, and lets the child begin the run, or resume it where it has begun. The child is killed by
SIGKILL at effect number `at`, or `after` so many seconds, where these are given: effects are what
is written into the journal or the checkpoints, each counted before and after. For each line it
prints `{"died": …, "effects": …, "answer": …}`.

A child begins with all modules loaded, so that hundreds of them take minutes and not hours.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict, cast

from scholar.checkpoints import Checkpoints
from scholar.events import Finished
from scholar.journal import Journal
from scholar.report import to_json
from scholar.runs import Scholar
from scholar.settings import load

QUESTION = "How do graph walks rank passages on multi-hop questions?"
EFFECTS = {Journal: ("begin", "keep", "finish", "go_on"), Checkpoints: ("aput", "aput_writes")}


class Said(TypedDict):
    """What came of one life."""

    died: bool
    effects: int
    answer: dict[str, Any] | None


class Mortals:
    """The process that lets runs live and die."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self._url = home, url
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def live(
        self, run_id: str, preset: str, at: int | None = None, after: float | None = None
    ) -> Said:
        """Let a run begin or go on, until its end or its death."""
        assert self._process.stdin
        assert self._process.stdout
        life = {"home": str(self.home), "url": self._url, "preset": preset, "run_id": run_id}
        self._process.stdin.write(json.dumps({**life, "at": at, "after": after}) + "\n")
        self._process.stdin.flush()
        return cast(Said, json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@contextmanager
def mortals(home: Path, url: str) -> Iterator[Mortals]:
    """Runs in `home` that ask the model at `url`."""
    made = Mortals(home, url)
    try:
        yield made
    finally:
        made.close()


class _Counter:
    """Counts effects, and kills at the one that is named."""

    def __init__(self, at: int | None) -> None:
        self.count, self._at = 0, at
        for kind, names in EFFECTS.items():
            for name in names:
                setattr(kind, name, self._counted(getattr(kind, name)))

    def _counted(self, function: Any) -> Any:
        async def effect(*args: Any, **named: Any) -> Any:
            self._tick()
            result = await function(*args, **named)
            self._tick()
            return result

        return effect

    def _tick(self) -> None:
        self.count += 1
        if self.count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


async def _answer(life: dict[str, Any]) -> dict[str, Any]:
    known = load(
        home=Path(life["home"]),
        model=f"openai:scripted@{life['url']}",
        embedder="none",
        cache=False,
    )
    async with Scholar(known) as scholar:
        rows = {row.run_id: row for row in await scholar.runs.all()}
        row = rows.get(life["run_id"])
        if row is not None and not row.goes_on:
            return to_json(cast(Any, await scholar.runs.answer(row.run_id)))
        if row is not None:
            run = await scholar.resume(row.run_id)
        else:
            run = scholar.start(QUESTION, preset=life["preset"])
            run.question["run_id"] = life["run_id"]
        answer = None
        async for event in run.events():
            if isinstance(event, Finished):
                answer = event.answer
        assert answer is not None
        return to_json(answer)


def _live(life: dict[str, Any], out: int) -> None:
    counter = _Counter(life["at"])
    said = asyncio.run(_answer(life))
    os.write(out, json.dumps({"effects": counter.count, "answer": said}).encode())
    os._exit(0)


def _one(life: dict[str, Any]) -> Said:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            _live(life, writing)
        finally:
            os._exit(1)
    os.close(writing)
    if life["after"] is not None:
        time.sleep(life["after"])
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as said:
        text = said.read()
    status = os.waitpid(child, 0)[1]
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not died and not text:
        raise AssertionError(f"a run failed by itself: {life}")
    whole: dict[str, Any] = json.loads(text) if text else {"effects": 0, "answer": None}
    return cast(Said, {"died": died, **whole})


def _load() -> None:
    """What a run would load when it first needs it."""
    for name in ("openai", "chromadb", "tantivy", "langgraph.checkpoint.sqlite.aio"):
        importlib.import_module(name)


if __name__ == "__main__":
    _load()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_one(json.loads(line))) + "\n")
        sys.stdout.flush()
