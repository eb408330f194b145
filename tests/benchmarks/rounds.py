"""Calls, sequential rounds and time per preset against a paced server on loopback.

The server answers 0.4 s after the request and then 80 tokens a second. A round is a set of calls
that overlap in time; the critical path is the sum over rounds of the longest call as the server
paces it, and the ratio says what everything else (searching, checking, waiting) adds to it.
"""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from minds import for_server, honest
from model_server import TOKEN, ModelServer

from scholar import Scholar, Settings, load

NOTES = Path(__file__).parents[2] / "examples" / "library"
QUESTION = "How does HippoRAG 2 rank passages?"
FIRST_TOKEN, RATE = 0.4, 80.0
RUNS = 3


Span = tuple[float, float]
"""When a reply was asked for and when the server has paced it out, in seconds."""


def main() -> None:
    print("### Rounds\n")
    print(f"Median of {RUNS} runs; {FIRST_TOKEN} s to first token, {RATE:.0f} tokens/s. A run")
    print("is timed in a process that has run before; `scholar ask` is the whole process with its")
    print("imports.\n")
    print("| preset | embedder | calls | rounds | critical path | run | ratio | `scholar ask` |")
    print("|---|---|---|---|---|---|---|---|")
    for embedder in ("none", "auto"):
        with tempfile.TemporaryDirectory() as home:
            for preset in ("fast", "standard"):  # presets.py measures all
                print(measure(preset, embedder, home), flush=True)
    print()


def measure(preset: str, embedder: str, home: str) -> str:
    spans: list[Span] = []
    mind = for_server(honest)

    def script(body: dict[str, Any]) -> str:
        text = str(mind(body))
        now = time.monotonic()
        last = math.ceil(len(text) / TOKEN) - 1  # the first token comes after FIRST_TOKEN
        spans.append((now, now + FIRST_TOKEN + last / RATE))
        return text

    with ModelServer(script, first_token=FIRST_TOKEN, rate=RATE) as server:
        model = f"openai:paced@{server.url}"
        settings = load(home=home, embedder=embedder, model=model, preset=preset, cache=False)
        by, timed = asyncio.run(_runs(settings, spans))
        calls, rounds, path, seconds = map(statistics.median, zip(*timed, strict=True))
        whole = statistics.median(_process(settings) for _ in range(RUNS))
    return (
        f"| {preset} | {by} | {calls:.0f} | {rounds:.0f} | {path:.2f} s | {seconds:.2f} s "
        f"| {seconds / path:.3f} | {whole:.2f} s |"
    )


async def _runs(
    settings: Settings, spans: list[Span]
) -> tuple[str, list[tuple[int, int, float, float]]]:
    async with Scholar(settings) as scholar:
        await scholar.add(str(NOTES))
        await scholar.ask(QUESTION)
        timed = []
        for _ in range(RUNS):
            spans.clear()
            began = time.monotonic()
            await scholar.ask(QUESTION)
            seconds = time.monotonic() - began
            timed.append((len(spans), *_critical_path(spans), seconds))
        return (await scholar.services.library.stats()).embedder, timed


def _critical_path(spans: list[Span]) -> tuple[int, float]:
    """The number of sequential rounds, and the seconds of the longest call of each, summed."""
    rounds: list[list[Span]] = []
    for span in sorted(spans):
        if rounds and span[0] < max(end for _, end in rounds[-1]):
            rounds[-1].append(span)
        else:
            rounds.append([span])
    return len(rounds), sum(max(end - start for start, end in group) for group in rounds)


def _process(settings: Settings) -> float:
    environment = {
        **os.environ,
        "SCHOLAR_HOME": str(settings.home),
        "SCHOLAR_EMBEDDER": settings.embedder,
        "SCHOLAR_MODEL": str(settings.model),
        "SCHOLAR_CACHE": "0",
    }
    command = [sys.executable, "-m", "scholar", "ask", QUESTION, "--preset", settings.preset]
    began = time.monotonic()
    subprocess.run(command, env=environment, capture_output=True, check=True)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
