"""Abstracts added per second: by words alone, and beside the bare encoder; and memory on the way.

`python tests/benchmarks/ingest.py [PAPERS…]`
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from scholar.library import Library, embedding
from scholar.library.ingest import ingest
from scholar.settings import load
from scholar.sources import Record
from scholar.values import Paper

SIZES = (1_000, 5_000, 20_000, 80_000, 160_000)
ENCODED = 500
RUNS = 3
WORDS = 150
"""Of an abstract, about what those of SciFact have at the median."""


def records(n: int) -> Iterator[Record]:
    """`n` papers with abstracts of made-up words, distributed as in a language."""
    dice = random.Random(0)
    vocabulary = [
        "".join(dice.choices("abcdefghijklmnoprstu", k=dice.randint(3, 9))) for _ in range(30_000)
    ]
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(vocabulary))))
    for number in range(n):
        words = dice.choices(vocabulary, cum_weights=weights, k=WORDS)
        text = " ".join(
            " ".join(words[at : at + 15]).capitalize() + "." for at in range(0, WORDS, 15)
        )
        title = f"{' '.join(dice.choices(vocabulary, k=8))} {number}"
        names = (f"Ada {dice.choice(vocabulary)}", f"Bo {dice.choice(vocabulary)}")
        ids = {"doi": f"10.1000/{number}"}
        paper = Paper(f"doi:10.1000/{number}", title, names, 1990 + number % 30, "Venue", ids)
        yield Record(paper, text)


async def main(sizes: tuple[int, ...] = SIZES) -> None:
    print("### Ingest, abstracts of 150 words\n")
    print("| papers | BM25 alone, per second | memory half way, MiB | at the end |")
    print("|---|---|---|---|")
    for size in sizes:
        rate, half, end = await _rate(size, "none")
        print(f"| {size:,} | {rate:,.0f} | {half:.0f} | {end:.0f} |", flush=True)
    choice = embedding.choose("auto", fetch=False)
    if choice.load is None:
        print("\nThe rate beside the bare encoder needs an embedder.")
        return
    embedder = choice.load()
    texts = [f"{r.paper.title}\n{r.abstract}" for r in records(ENCODED)]
    embedder.embed(texts[:32])
    pairs = []
    for _ in range(RUNS):
        began = time.perf_counter()
        embedder.embed(texts)
        bare = ENCODED / (time.perf_counter() - began)
        pairs.append((bare, (await _rate(ENCODED, "auto"))[0]))
    ratio = statistics.median(whole / bare for bare, whole in pairs)
    bare, whole = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    print(
        f"\n{ENCODED:,} with {choice.name}, medians of {RUNS} runs in turn: {whole:.1f} per second,"
    )
    print(f"the bare encoder {bare:.1f}; {ratio:.2f} of its rate.\n")


async def _rate(size: int, embedder: str) -> tuple[float, float, float]:
    """Papers per second, the embedder loaded before, and MiB in memory half way and at the end."""
    with tempfile.TemporaryDirectory() as home:
        settings = load(home=Path(home), embedder=embedder, offline=True)
        library = Library(settings)
        await library.warm()
        made = _Timed(records(size))
        done, half = 0, 0.0
        began = time.perf_counter()
        async for result in ingest(library, made, settings):
            assert result.status == "added", result
            done += 1
            if done == size // 2:
                half = _memory()
        seconds = time.perf_counter() - began - made.seconds
        library.close()
        return size / seconds, half, _memory()


class _Timed:
    """`records` one by one, so that memory is the library's, and how long making them took."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        began = time.perf_counter()
        try:
            return next(self._records)
        finally:
            self.seconds += time.perf_counter() - began


def _memory() -> float:
    """What this process has in memory now, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


if __name__ == "__main__":
    asyncio.run(main(tuple(map(int, sys.argv[1:])) or SIZES))
