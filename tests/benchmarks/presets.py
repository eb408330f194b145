"""What each preset finds and what it costs, on the multi-hop questions of MuSiQue.

The model is scripted: it knows how each question is taken apart and which sentence has the answer
to each part, but not where that stands: what it can use is what the run shows it. The library holds
the facts that are given with the passages. The first table says how many of the supporting passages
were among those read; the second what a question of three hops costs, or a review of it, against a
server on loopback that answers 0.4 s after the request and then 80 tokens a second. A round is a
set of calls that overlap in time; the critical path is the sum over rounds of the longest call as
the server paces it, and the ratio says what all else adds to it.

`python tests/benchmarks/presets.py [FOLDER]` keeps the library in FOLDER, which saves the quarter
of an hour that it takes to embed it and its facts.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from knowing import Puzzle, knowing, musique, triples
from minds import for_backend, for_server
from model_server import TOKEN, ModelServer
from rounds import FIRST_TOKEN, RATE, Span, _critical_path

from scholar import Scholar, Settings, load
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Services
from scholar.library import Library
from scholar.settings import load_presets
from scholar.values import Answer

DATA = Path(__file__).parents[3] / "shared" / "data" / "musique"
PRESETS = [name for name in load_presets() if name != "review"]
"""Those that answer questions."""
AT_A_TIME = 64
"""Papers added at a time."""
SINGLE_SHOT = (10, 12)
"""Passages that one search for the question itself brings, for comparison."""


def main(folder: str | None = None) -> None:
    if not DATA.is_dir():
        print("### Presets\n\nNot measured: the data is absent.\n")
        return
    with tempfile.TemporaryDirectory() as own:
        asyncio.run(_measured(load(home=folder or own, offline=True, cache=False)))


async def _measured(settings: Settings) -> None:
    entries, puzzles = musique(DATA)
    library = Library(settings)
    try:
        if not (await library.stats()).papers:
            for at in range(0, len(entries), AT_A_TIME):
                await library.add(entries[at : at + AT_A_TIME])
        if not (await library.stats()).facts:
            for passage, facts in triples(DATA).items():
                await library.put_facts(passage, facts)
        await library.warm()
        await _finding(library, settings, puzzles)
        await _costs(library, settings, puzzles)
    finally:
        library.close()


@dataclass(frozen=True)
class Found:
    """Of one question: the share of its supporting passages that were read, and how many were."""

    share: float
    read: int
    answer: Answer


async def _finding(library: Library, settings: Settings, puzzles: list[Puzzle]) -> None:
    embedder = (await library.stats()).embedder
    print(f"### Supporting passages read, {len(puzzles)} questions of MuSiQue, {embedder}\n")
    print("| retrieval | found | read | most read | calls | answered |")
    print("|---|---|---|---|---|---|")
    for k in SINGLE_SHOT:
        shares = [await _single_shot(library, puzzle, k) for puzzle in puzzles]
        print(f"| one search for the question | {statistics.mean(shares):.3f} | {k} | {k} | | |")
    for preset in PRESETS:
        gateway = Gateway(settings, {"*": FakeBackend(for_backend(knowing(puzzles)))})
        scholar = Scholar(services=Services(settings, library, gateway))
        found = [await _found(scholar, puzzle, preset) for puzzle in puzzles]
        read = [one.read for one in found]
        answered = sum(one.answer.outcome.value == "answered" for one in found)
        print(
            f"| {preset} | {statistics.mean(one.share for one in found):.3f} "
            f"| {statistics.mean(read):.1f} | {max(read)} "
            f"| {statistics.mean(one.answer.usage.calls for one in found):.1f} "
            f"| {answered} of {len(puzzles)} |",
            flush=True,
        )
    print()


async def _single_shot(library: Library, puzzle: Puzzle, k: int) -> float:
    hits = await library.search(puzzle.question, k)
    return len({hit.paper_id for hit in hits} & puzzle.supports) / len(puzzle.supports)


async def _found(scholar: Scholar, puzzle: Puzzle, preset: str) -> Found:
    run = scholar.start(puzzle.question, preset=preset)
    async for _ in run.events():
        pass
    papers = {id.split("#")[0] for id in run.state["read"]}
    share = len(papers & puzzle.supports) / len(puzzle.supports)
    return Found(share, len(papers), run.state["answer"])


async def _costs(library: Library, settings: Settings, puzzles: list[Puzzle]) -> None:
    puzzle = next(puzzle for puzzle in puzzles if len(puzzle.hops) == 3)
    print("### What a question of three hops costs\n")
    print(f"{FIRST_TOKEN} s to first token, {RATE:.0f} tokens/s.\n")
    print("| preset | calls | rounds | tokens in | tokens out | critical path | run | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    spans: list[Span] = []
    mind = for_server(knowing(puzzles))

    def script(body: dict[str, Any]) -> str:
        text, now = str(mind(body)), time.monotonic()
        spans.append((now, now + FIRST_TOKEN + (math.ceil(len(text) / TOKEN) - 1) / RATE))
        return text

    with ModelServer(script, first_token=FIRST_TOKEN, rate=RATE) as server:
        known = settings.model_copy(update={"model": f"openai:paced@{server.url}"})
        gateway = Gateway(known)
        scholar = Scholar(services=Services(known, library, gateway))
        await scholar.ask(puzzle.question, preset="fast")
        for preset in load_presets():
            spans.clear()
            began = time.monotonic()
            asked = scholar.review if preset == "review" else scholar.ask
            usage = (await asked(puzzle.question, preset=preset)).usage
            seconds = time.monotonic() - began
            rounds, path = _critical_path(spans)
            print(
                f"| {preset} | {usage.calls} | {rounds} | {usage.input_tokens:,} "
                f"| {usage.output_tokens:,} | {path:.2f} s | {seconds:.2f} s "
                f"| {seconds / path:.3f} |",
                flush=True,
            )
        await gateway.aclose()
    print()


if __name__ == "__main__":
    main(*sys.argv[1:2])
