"""Fifty questions at once in one process, against a paced server in a process of its own.

The server answers 0.4 s after a request and then 80 tokens a second. Its capacity is the time that
all calls would take at the concurrency that is set if no lane were ever idle. No run may show
anything of another.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import sys
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from knowing import entry, knowing, puzzles, strays
from minds import for_server
from model_server import ModelServer
from rounds import FIRST_TOKEN, RATE

from scholar import Scholar, load

QUESTIONS = 50
LANES = 8
"""Requests to the model at a time: the default."""
PRESETS = ("standard", "kag")


def main() -> None:
    print(f"### {QUESTIONS} questions at once, {LANES} requests at a time\n")
    print("| preset | calls | at capacity | measured | share | mixed up | peak memory |")
    print("|---|---|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    urls: multiprocessing.Queue[str] = context.Queue()
    done = context.Event()
    server = context.Process(target=_serve, args=(urls, done))
    server.start()
    try:
        url = urls.get()
        for preset in PRESETS:
            print(asyncio.run(_measure(preset, url)), flush=True)
    finally:
        done.set()
        server.join()
    print()


async def _measure(preset: str, url: str) -> str:
    asked = puzzles(QUESTIONS)
    with tempfile.TemporaryDirectory() as home:
        model = f"openai:paced@{url}"
        known = load(home=home, model=model, preset=preset, cache=False, concurrency=LANES)
        async with Scholar(known) as scholar:
            hops = [hop for puzzle in asked for hop in puzzle.hops]
            await scholar.services.library.add([entry(h.passage, "", h.text) for h in hops])
            await scholar.services.library.warm()
            began = time.monotonic()
            answers = await asyncio.gather(*(scholar.ask(one.question) for one in asked))
            seconds = time.monotonic() - began
    calls = sum(answer.usage.calls for answer in answers)
    tokens = sum(answer.usage.output_tokens for answer in answers)
    paced = calls * FIRST_TOKEN + (tokens - calls) / RATE
    wrong = sum(bool(strays(*pair)) for pair in zip(asked, answers, strict=True))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"| {preset} | {calls} | {paced / LANES:.1f} s | {seconds:.1f} s "
        f"| {paced / LANES / seconds:.2f} | {wrong} | {memory:.0f} MB |"
    )


def _serve(urls: multiprocessing.Queue[str], done: Event) -> None:
    mind = for_server(knowing(puzzles(QUESTIONS)))
    with ModelServer(mind, first_token=FIRST_TOKEN, rate=RATE) as server:
        urls.put(server.url)
        done.wait()


if __name__ == "__main__":
    main()
