"""What it takes to keep runs, and whether anything is lost where they are killed.

`python tests/benchmarks/runs.py [MOMENTS]` kills runs at each of their effects, and at
MOMENTS random moments; with 0 it kills none.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from inventive import inventive
from minds import for_backend, for_server, honest
from model_server import ModelServer, Stall
from mortal import Mortals, Trial, Whole, mortals, tried, undisturbed
from papers import QUESTION, SHELF

from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.checkpoints import FILE, Checkpoints
from scholar.context import Services
from scholar.events import Finished
from scholar.graph import build_graph
from scholar.journal import Journal
from scholar.library import Library
from scholar.runs import Scholar
from scholar.settings import Settings, load

MOMENTS = 300
TASKS: dict[str, dict[str, Any]] = {
    "standard": {"preset": "standard"},
    "deep": {"preset": "deep"},
    "review": {"preset": "review", "task": "review"},
    "ideas": {"preset": "standard", "task": "ideas", "wanted": 4},
}
"""Whose runs are killed, by what their graph is given."""
FIRST_TOKEN = 0.01
TIMED = 40
STORED = 10_000
GROWN = 1_000
CANCELLED = 10


def main(moments: int = MOMENTS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        asyncio.run(_shelf(home))
        asyncio.run(_overhead(_settings(home)))
        asyncio.run(_listing(Path(folder) / "listed"))
        asyncio.run(_cancelling(home))
        asyncio.run(_growth(_settings(home)))
        if moments:
            _killing(home, moments)


def _settings(home: Path, **changes: Any) -> Settings:
    return load(home=home, embedder="none", offline=True, **changes)


async def _shelf(home: Path) -> None:
    library = Library(_settings(home))
    await library.add([stored.entry for stored in SHELF.values()])
    library.close()


def _services(settings: Settings) -> Services:
    gateway = Gateway(settings, {"*": FakeBackend(for_backend(honest))})
    return Services(settings, Library(settings), gateway, journal=Journal.of(settings))


# Overhead


async def _overhead(settings: Settings) -> None:
    async with Scholar(services=_services(settings)) as scholar:
        bare = build_graph(replace(scholar.services, journal=Journal()))

        async def without() -> None:
            await bare.ainvoke({"question": QUESTION, "preset": "standard"})

        async def kept() -> None:
            await scholar.ask(QUESTION, preset="standard")

        timed = await _in_turn({"without": without, "kept": kept})
        peak = await _peak(scholar)
    (least, most) = (timed["without"], timed["kept"])
    pairs = [b - a for a, b in zip(least, most, strict=True)]
    print("### What it takes to keep a run\n")
    print(f"`standard` with a model that answers at once, medians of {TIMED} runs in turn.\n")
    print("| | |\n|---|---|")
    print(f"| a run that is not kept | {statistics.median(least) * 1000:.0f} ms |")
    print(f"| one that is | {statistics.median(most) * 1000:.0f} ms |")
    print(f"| beyond | {statistics.median(pairs) * 1000:.0f} ms |")
    for name, size in peak.items():
        print(f"| {name} | {size / 1024:.1f} KB |")
    print(flush=True)


async def _in_turn(kinds: dict[str, Callable[[], Awaitable[None]]]) -> dict[str, list[float]]:
    timed: dict[str, list[float]] = {name: [] for name in kinds}
    for at in range(TIMED + 3):
        for name, work in kinds.items():
            began = time.perf_counter()
            await work()
            if at >= 3:
                timed[name].append(time.perf_counter() - began)
    return timed


async def _peak(scholar: Scholar) -> dict[str, int]:
    """Bytes of one run's checkpoints before they are forgotten, and of its journal."""
    home = scholar.services.settings.home
    sizes: dict[str, int] = {}
    forget = Checkpoints.adelete_thread

    async def weigh(self: Checkpoints, thread_id: str) -> None:
        sizes["checkpoints before its end"] = _bytes(home, thread_id)
        await forget(self, thread_id)

    Checkpoints.adelete_thread = weigh  # type: ignore[method-assign]
    try:
        answer = await scholar.ask(QUESTION, preset="standard")
    finally:
        Checkpoints.adelete_thread = forget  # type: ignore[method-assign]
    sizes["checkpoints after its end"] = _bytes(home, answer.run_id)
    told, _, _ = await scholar.services.journal._remembered(answer.run_id)
    for kind in ("reply", "search"):
        texts = [text for key, text in told.items() if key.startswith(f"{kind}:")]
        sizes[f"journal: {kind} ({len(texts)})"] = sum(map(len, texts))
    other = [text for key, text in told.items() if key.split(":")[0] not in ("reply", "search")]
    sizes[f"journal: all else ({len(other)})"] = sum(map(len, other))
    return sizes


def _bytes(home: Path, run_id: str) -> int:
    connection = sqlite3.connect(home / FILE)
    total = 0
    for table in ("checkpoints", "writes"):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        size = " + ".join(f"coalesce(length(CAST({column} AS BLOB)), 0)" for column in columns)
        query = f"SELECT coalesce(sum({size}), 0) FROM {table} WHERE thread_id = ?"
        total += connection.execute(query, (run_id,)).fetchone()[0]
    connection.close()
    return total


# Many runs


async def _listing(home: Path) -> None:
    await _shelf(home)
    settings = _settings(home)
    async with Scholar(services=_services(settings)) as scholar:
        answer = await scholar.ask(QUESTION, preset="standard")
    connection = sqlite3.connect(home / "runs.sqlite")
    for table in ("runs", "answers"):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info(scholar_{table})")]
        others = ", ".join(column for column in columns if column != "run_id")
        connection.executemany(
            f"INSERT INTO scholar_{table} (run_id, {others}) "
            f"SELECT ?, {others} FROM scholar_{table} WHERE run_id = ?",
            [(f"{n:012x}", answer.run_id) for n in range(STORED - 1)],
        )
    connection.commit()
    connection.close()
    timed = []
    for _ in range(7):
        scholar = Scholar(services=_services(settings))
        began = time.perf_counter()
        rows = await scholar.runs.all()
        timed.append(time.perf_counter() - began)
        await scholar.aclose()
    assert len(rows) == STORED
    print(f"### {STORED:,} stored runs\n")
    print("| | median of 7 |\n|---|---|")
    print(
        f"| `runs.all()` with opening the file | {statistics.median(timed):.3f} s |\n", flush=True
    )


async def _growth(settings: Settings) -> None:
    print(f"### {GROWN:,} runs in one process\n")
    print("| runs | open files | tasks | threads | objects | memory |\n|---|---|---|---|---|---|")
    async with Scholar(services=_services(settings)) as scholar:
        backend: Any = scholar.services.gateway._roster._given["*"][0]
        for number in range(1, GROWN + 1):
            await scholar.ask(QUESTION, preset="standard")
            backend.requests.clear()
            if number in (10, 100, 250, 500, 750) or number == GROWN:
                print(f"| {number} | {_weights()} |", flush=True)
    print()


def _weights() -> str:
    gc.collect()
    files = len(os.listdir("/proc/self/fd"))
    threads = len(os.listdir("/proc/self/task"))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    objects = len(gc.get_objects())
    return f"{files} | {len(asyncio.all_tasks())} | {threads} | {objects:,} | {memory:.0f} MiB"


# Cancelling


async def _cancelling(home: Path) -> None:
    """How long it takes from another assistant until the run has ended."""
    work = for_server(lambda seen: Stall("{") if seen.call == "writer" else honest(seen))
    timed: dict[str, list[float]] = {"here": [], "elsewhere": []}
    with ModelServer(work) as server:
        settings = _settings(home, model=f"openai:scripted@{server.url}", cache=False)
        for name, seconds in timed.items():
            for _ in range(CANCELLED):
                seconds.append(await _cancelled(settings, server, name))
    print(f"### Until a cancelled run has ended, {CANCELLED} times each\n")
    print("| from | median | most |\n|---|---|---|")
    for name, seconds in timed.items():
        print(f"| {name} | {statistics.median(seconds):.2f} s | {max(seconds):.2f} s |")
    print(flush=True)


async def _cancelled(settings: Settings, server: ModelServer, name: str) -> float:
    server.requests.clear()
    async with Scholar(settings) as scholar, Scholar(settings) as other:
        run = scholar.start(QUESTION)

        async def drive() -> float:
            ended = 0.0
            async for event in run.events():
                ended = time.perf_counter() if isinstance(event, Finished) else ended
            return ended

        going = asyncio.create_task(drive())
        assert await asyncio.to_thread(server.wait_for_requests, 3)
        began = time.perf_counter()
        if name == "here":
            run.cancel()
        else:
            await other.runs.cancel(run.run_id)
        return await going - began


# Killing


@contextmanager
def _lives(home: Path) -> Iterator[tuple[Mortals, ModelServer]]:
    mind = for_server(inventive)
    with ModelServer(mind, first_token=FIRST_TOKEN) as server, mortals(home, server.url) as living:
        yield living, server


def _killing(home: Path, moments: int) -> None:
    print("### Runs killed by `kill -9` and resumed\n")
    print("Extra calls are those beyond an undisturbed run: none but what was in flight.\n")
    print("| run | killed | times | extra calls | wrong | played again wrongly | seconds |")
    print("|---|---|---|---|---|---|---|")
    dice = random.Random(time.time_ns())
    with _lives(home) as (living, server):
        for name, asked in TASKS.items():
            whole = undisturbed(living, server, f"whole {name}", **asked)
            _row(name, "each effect", [{"at": at} for at in range(1, whole.effects + 1)],
                 living, server, whole)  # fmt: skip
            each = moments // len(TASKS)
            kills = [{"after": dice.uniform(0, whole.seconds)} for _ in range(each)]
            _row(name, "at random", kills, living, server, whole)
    print()


def _row(
    name: str,
    how: str,
    kills: list[dict[str, Any]],
    living: Mortals,
    server: ModelServer,
    whole: Whole,
) -> None:
    began = time.monotonic()
    trials: list[Trial] = []
    for number, kill in enumerate(kills):
        run_id = f"{name} {how} {number}"
        trials.append(tried(living, server, whole, run_id, replays=number % 5 == 0, **kill))
    extra = Counter(trial.extra for trial in trials)
    wrong = [(trial.moment, fault) for trial in trials for fault in trial.wrong]
    again = [fault for _, fault in wrong if fault.startswith("played again")]
    print(
        f"| {name} | {how} | {sum(trial.died for trial in trials)} of {len(trials)} "
        f"| {json.dumps(dict(sorted(extra.items())))} | {len(wrong) - len(again)} | {len(again)} "
        f"| {time.monotonic() - began:.0f} |",
        flush=True,
    )
    for moment, fault in wrong[:20]:
        print(f"\n- {name}, {moment}: {fault}", file=sys.stderr)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MOMENTS)
