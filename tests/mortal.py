"""Runs that are killed at a given moment, each in a process of its own.

`python mortal.py HOME URL SETTINGS` takes one life a line from its standard input, forks, and lets
the child begin the run, or resume it where it has begun. The child is killed by SIGKILL at effect
number `at`, or `after` so many seconds, where these are given: effects are what is written into the
journal or the checkpoints, each counted before and after. For each line it prints what came of it.

A child begins with all modules loaded and all prompts compiled, so that hundreds of them take
minutes and not hours.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from model_server import ModelServer

from scholar import prompts
from scholar.backends import Message, Request, open_backend
from scholar.checkpoints import Checkpoints
from scholar.errors import ModelError, RunError
from scholar.events import Finished
from scholar.journal import Journal
from scholar.report import to_json
from scholar.runs import Run, Scholar
from scholar.settings import Settings, load
from scholar.values import Answer

QUESTION = "How do graph walks rank passages on multi-hop questions?"
READY = "ready\n"
"""What the process says once all is loaded."""
EFFECTS: dict[type, tuple[str, ...]] = {
    Journal: ("begin", "keep", "enter", "finish", "go_on"),
    Checkpoints: ("aput", "aput_writes", "adelete_thread"),
}


class Said(TypedDict):
    """What came of one life: `error` is the sentence of a run that could not be worked on."""

    died: bool
    effects: int
    answer: dict[str, Any] | None
    error: str


@dataclass(frozen=True)
class Life:
    """One life of a run: `asked` is what the graph is given beside the question and the id."""

    run_id: str
    asked: dict[str, Any]
    at: int | None = None
    after: float | None = None
    replay: bool = False


@dataclass(frozen=True)
class Whole:
    """An undisturbed run, its effects, and the calls that reached the server."""

    answer: dict[str, Any]
    effects: int
    calls: int
    seconds: float
    asked: dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """A run that was killed and went on: `extra` calls beside those of an undisturbed one, and
    `wrong` says in words what is not as it was to be.
    """

    moment: str
    died: bool
    extra: int
    wrong: tuple[str, ...]


class Mortals:
    """The process that lets runs live and die."""

    def __init__(self, home: Path, url: str, settings: dict[str, Any]) -> None:
        self.settings = _settings(home, url, settings)
        command = [sys.executable, __file__, str(home), url, json.dumps(settings)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == READY

    def live(
        self, run_id: str, at: int | None = None, after: float | None = None, **asked: Any
    ) -> Said:
        """Let a run begin or go on, until its end or its death."""
        return self._said(Life(run_id, asked, at, after))

    def replay(self, run_id: str) -> Said:
        """Play a run again, without a model."""
        return self._said(Life(run_id, {}, replay=True))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _said(self, life: Life) -> Said:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(life)) + "\n")
        self._process.stdin.flush()
        return cast(Said, json.loads(self._process.stdout.readline()))


@contextmanager
def mortals(home: Path, url: str, **settings: Any) -> Iterator[Mortals]:
    """Runs in `home` that ask the model at `url`."""
    made = Mortals(home, url, settings)
    try:
        yield made
    finally:
        made.close()


def _settings(home: Path, url: str, changes: dict[str, Any]) -> Settings:
    told = {"model": f"openai:scripted@{url}", "embedder": "none", "offline": True, "cache": False}
    return load(home=home, **{**told, **changes})


def undisturbed(mortals: Mortals, server: ModelServer, run_id: str, **asked: Any) -> Whole:
    """A run that nobody kills."""
    server.requests.clear()
    began = time.monotonic()
    said = mortals.live(run_id, **asked)
    assert said["answer"] is not None, said["error"]
    seconds = time.monotonic() - began
    return Whole(said["answer"], said["effects"], len(server.requests), seconds, asked)


def tried(
    mortals: Mortals,
    server: ModelServer,
    whole: Whole,
    run_id: str,
    *,
    at: int | None = None,
    after: float | None = None,
    replays: bool = False,
) -> Trial:
    """Kill a run, let it go on, and compare it with one that was not disturbed."""
    server.requests.clear()
    first = mortals.live(run_id, at, after, **whole.asked)
    in_flight = asyncio.run(_in_flight(mortals.settings, run_id))
    said = mortals.live(run_id, **whole.asked)
    extra = len(server.requests) - whole.calls
    wrong = [said["error"]] if said["error"] else []
    wrong += [] if said["error"] else differences(said["answer"], whole.answer)
    if extra > in_flight:
        wrong.append(f"{extra} calls more, of which only {in_flight} were in flight")
    if replays and (again := mortals.replay(run_id))["answer"] != said["answer"]:
        wrong.append(f"played again: {again['error'] or 'another answer'}")
    moment = f"effect {at}" if after is None else f"{after:.3f} s"
    return Trial(moment, first["died"], extra, tuple(wrong))


def died(trials: Sequence[Trial]) -> bool:
    """Whether all did but a last few: calls at once may be written together, in fewer effects."""
    return all(trial.died for trial in trials[: len(trials) * 9 // 10])


def differences(answer: dict[str, Any] | None, whole: dict[str, Any]) -> list[str]:
    """In which fields two answers differ that should be the same but for their cost."""
    own = ("run_id", "usage")
    fields = [key for key in whole if key not in own]
    return [key for key in fields if answer is None or answer.get(key) != whole[key]]


async def _in_flight(settings: Settings, run_id: str) -> int:
    """How many calls of a run had been begun without that their reply was kept."""
    journal = Journal.of(settings)
    told, calls, _ = await journal._remembered(run_id)
    await journal.aclose()
    return len(calls) - sum(key.startswith("reply:") for key in told)


class _Counter:
    """Counts effects, and kills at the one that is named."""

    def __init__(self, at: int | None) -> None:
        self.count, self._at = 0, at
        for kind, names in EFFECTS.items():
            for name in names:
                counted = self._at_once if name == "enter" else self._in_time
                setattr(kind, name, counted(getattr(kind, name)))

    def _in_time(self, function: Any) -> Any:
        async def effect(*args: Any, **named: Any) -> Any:
            self._tick()
            result = await function(*args, **named)
            self._tick()
            return result

        return effect

    def _at_once(self, function: Any) -> Any:
        def effect(*args: Any, **named: Any) -> Any:
            self._tick()
            return function(*args, **named)

        return effect

    def _tick(self) -> None:
        self.count += 1
        if self.count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


async def _answer(life: Life, settings: Settings) -> Answer:
    async with Scholar(settings) as scholar:
        if life.replay:
            return await scholar.replay(life.run_id)
        rows = {row.run_id: row for row in await scholar.runs.all()}
        row = rows.get(life.run_id)
        if row is None:
            run = _begun(scholar, life)
        elif row.goes_on or row.status == "running":
            run = await scholar.resume(row.run_id)
        else:
            answer = await scholar.runs.answer(row.run_id)
            assert answer is not None
            return answer
        return await _ended(run)


def _begun(scholar: Scholar, life: Life) -> Run:
    run = scholar.start(QUESTION, preset=life.asked.get("preset"))
    run.question.update(cast(Any, {**life.asked, "run_id": life.run_id}))
    return run


async def _ended(run: Run) -> Answer:
    async for event in run.events():
        if isinstance(event, Finished):
            return event.answer
    raise AssertionError("a run has ended without an answer")


def _live(life: Life, settings: Settings, out: int) -> None:
    counter = _Counter(life.at)
    answer, error = None, ""
    try:
        answer = to_json(asyncio.run(_answer(life, settings)))
    except RunError as told:
        error = str(told)
    said = {"effects": counter.count, "answer": answer, "error": error}
    with os.fdopen(out, "w") as file:
        file.write(json.dumps(said))
    os._exit(0)


def _one(life: Life, settings: Settings) -> Said:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            _live(life, settings, writing)
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    if life.after is not None:
        select.select([reading], [], [], life.after)  # it may end before
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as file:
        text = file.read()
    status = os.waitpid(child, 0)[1]
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not died and not text:
        raise AssertionError(f"a run failed by itself: {life}")
    told: Any = json.loads(text) if text else {"effects": 0, "answer": None, "error": ""}
    return Said(died=died, effects=told["effects"], answer=told["answer"], error=told["error"])


def _load(settings: Settings) -> None:
    """Load here what a run would load when it first needs it.

    A child finds out what that is, since a run in this process would leave threads behind.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(_try(settings))
        finally:
            with os.fdopen(writing, "w") as file:
                file.write("\n".join(sys.modules))
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        needed = file.read().split()
    os.waitpid(child, 0)
    for name in needed:
        if "__" not in name:
            importlib.import_module(name)
    for name in prompts.names():
        prompts.variables(name)
        prompts._templates(name)


async def _try(settings: Settings) -> None:
    """Ask the library, and then a model where nothing answers."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if (settings.home / "library").exists():
            shutil.copytree(settings.home / "library", home / "library")
        trial = settings.model_copy(update={"home": home, "model": None})
        await _answer(Life("trial", {}), trial)
        backend = open_backend("openai:none@http://127.0.0.1:9/v1", trial)
        with suppress(ModelError):
            async for _ in backend.stream(Request((Message("user", "Hello"),), max_tokens=9)):
                pass
        await backend.aclose()


def main() -> None:
    """Live as standard input says."""
    home, url, changes = sys.argv[1:]
    settings = _settings(Path(home), url, json.loads(changes))
    _load(settings)
    sys.stdout.write(READY)
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_one(Life(**json.loads(line)), settings)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
