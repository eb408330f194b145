"""Calls, sequential rounds and time per preset against a paced server on loopback.

The server answers 0.4 s after the request and then 80 tokens a second. A round is a set of calls
that overlap in time; the critical path is the sum over rounds of the longest call as the server
paces it, and the ratio says what everything else (searching, checking, waiting) adds to it.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from minds import for_server, honest
from model_server import TOKEN, ModelServer

from scholar import Scholar, load
from scholar.settings import load_presets

NOTES = Path(__file__).parents[2] / "examples" / "library"
QUESTION = "How does HippoRAG 2 rank passages?"
FIRST_TOKEN, RATE = 0.4, 80.0
RUNS = 3


async def main() -> None:
    print("### Rounds\n")
    print(f"Median of {RUNS} runs; {FIRST_TOKEN} s to first token, {RATE:.0f} tokens/s.\n")
    print("| preset | embedder | calls | rounds | critical path | run | ratio |")
    print("|---|---|---|---|---|---|---|")
    for embedder in ("none", "auto"):
        with tempfile.TemporaryDirectory() as home:
            for preset in load_presets():
                print(await measure(preset, embedder, Path(home)), flush=True)
    print()


async def measure(preset: str, embedder: str, home: Path) -> str:
    with ModelServer(for_server(honest), first_token=FIRST_TOKEN, rate=RATE) as server:
        settings = load(home=home, embedder=embedder, model=f"openai:paced@{server.url}")
        async with Scholar(settings) as scholar:
            await scholar.add(str(NOTES))
            rows = [await one_run(scholar, preset, server) for _ in range(RUNS)]
            by = (await scholar.services.library.stats()).embedder
    calls, rounds, path, seconds = (statistics.median(column) for column in zip(*rows, strict=True))
    ratio = seconds / path
    return (
        f"| {preset} | {by} | {calls:.0f} | {rounds:.0f} | {path:.2f} s | {seconds:.2f} s "
        f"| {ratio:.3f} |"
    )


async def one_run(
    scholar: Scholar, preset: str, server: ModelServer
) -> tuple[int, int, float, float]:
    spans: list[tuple[float, float]] = []
    mind = for_server(honest)

    def script(body: dict[str, Any]) -> str:
        text = str(mind(body))
        now = time.monotonic()
        spans.append((now, now + FIRST_TOKEN + math.ceil(len(text) / TOKEN) / RATE))
        return text

    server.use(script, first_token=FIRST_TOKEN, rate=RATE)
    began = time.monotonic()
    await scholar.ask(QUESTION, preset=preset)
    seconds = time.monotonic() - began
    rounds: list[list[tuple[float, float]]] = []
    for span in sorted(spans):
        if rounds and span[0] < max(end for _, end in rounds[-1]):
            rounds[-1].append(span)
        else:
            rounds.append([span])
    path = sum(max(end - start for start, end in group) for group in rounds)
    return len(spans), len(rounds), path, seconds


if __name__ == "__main__":
    asyncio.run(main())
