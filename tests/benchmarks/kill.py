"""`kill -9` at random moments while papers are added, removed and enriched: is anything lost?

A child process works on a library and reports each operation once it has returned. It is killed,
what it reported is looked for, and the next child goes on, until enough have been killed.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np

from scholar.library import Entry, Library, embedding
from scholar.library.embedding import Choice, Vectors32
from scholar.library.passages import cut
from scholar.readers.document import Document
from scholar.settings import Settings, load
from scholar.values import Fact, Paper

MOMENTS = 200
PAPERS = 300
BATCH = 5
LONGEST = 1.2
"""Seconds a child lives at most: as long as a few batches take."""
WORDS = "cats sleep long winter patterns kitten night measure model bond yield market star".split()


class HashEmbedder:
    """Random but fixed vectors, so that Chroma is part of it and no model is needed."""

    name = "hash"

    def embed(self, texts: Sequence[str]) -> Vectors32:
        """One unit vector per text, shape (len(texts), 32), float32."""
        rows = [np.random.default_rng(crc32(text.encode())).standard_normal(32) for text in texts]
        made: Vectors32 = np.asarray(rows, np.float32).reshape(len(texts), 32)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made


def main(moments: int = MOMENTS) -> None:
    begun = time.monotonic()
    kills = run(moments, seed=time.time_ns() % 2**32)
    seconds = time.monotonic() - begun
    print(f"### Killed {kills.moments} times while {PAPERS} papers are added and enriched\n")
    print("| what | times |\n|---|---|")
    for name, n in kills.counts.items():
        print(f"| {name} | {n} |")
    print(f"| wrong afterwards | {len(kills.wrong)} |\n")
    print(f"In {seconds:.0f} s.\n")
    for line in kills.wrong[:20]:
        print(f"- {line}")


@dataclass
class Kills:
    """What came of it: `wrong` says in words what was not as it was reported."""

    moments: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def run(moments: int, *, seed: int, papers: int = PAPERS) -> Kills:
    """Kill a child `moments` times, in fresh libraries as often as one is done."""
    dice = random.Random(seed)
    kills = Kills()
    while kills.moments < moments and not kills.wrong:
        with tempfile.TemporaryDirectory() as home:
            _one_library(Path(home), kills, moments, dice, papers)
            kills.counts["libraries begun"] += 1
            reported = _lines(Path(home) / "reported")
            kills.counts.update(f"{line.split()[0]}, as reported" for line in reported)
    return kills


def _one_library(home: Path, kills: Kills, moments: int, dice: random.Random, papers: int) -> None:
    while kills.moments < moments and not kills.wrong:
        child = _fork(lambda: asyncio.run(work(home, papers)))
        time.sleep(dice.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):  # it was done before
            kills.counts["libraries completed"] += 1
            if os.WEXITSTATUS(status):
                kills.wrong.append("the child failed; see above")
            _look(home, kills)
            return
        kills.moments += 1
        _look(home, kills)


def _look(home: Path, kills: Kills) -> None:
    verdict = home / "verdict"
    verdict.unlink(missing_ok=True)
    child = _fork(lambda: verdict.write_text("\n".join(asyncio.run(judge(home)))))
    os.waitpid(child, 0)
    found = verdict.read_text() if verdict.exists() else "the library could not be looked at"
    kills.wrong += found.splitlines()


def _fork(job: Callable[[], object]) -> int:
    """Run `job` in a child, which ends with it; its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        job()
        code = 0
    finally:
        if code:
            import traceback

            traceback.print_exc()
        os._exit(code)


def settings(home: Path) -> Settings:
    """Those of all children, who find the embedder that needs no model."""
    embedding.choose = lambda *_, **__: Choice("hash", "by hash", HashEmbedder)
    return load(home=home, offline=True)


async def work(home: Path, papers: int) -> None:
    """Do what is not reported yet, and report it."""
    reported = set(_lines(home / "reported"))
    library = Library(settings(home))
    for n in range(papers // BATCH):
        for name, operation in _operations(library, home, n):
            if name not in reported:
                await operation()
                _write(home / "reported", name)
    library.close()


def _operations(
    library: Library, home: Path, n: int
) -> Iterator[tuple[str, Callable[[], Awaitable[object]]]]:
    entries = [paper(n * BATCH + m) for m in range(BATCH)]
    yield f"added {' '.join(e.paper.id for e in entries)}", lambda: library.unite(entries)
    yield f"enriched {n}", lambda: enrich(library, home)
    if (gone := _removed_after(n)) is not None:
        yield f"removed {gone}", lambda: library.remove([gone])
    if n % 10 == 9:
        yield f"rebuilt {n}", library.rebuild


def paper(n: int) -> Entry:
    """The `n`th paper; every eighth is the published version of the one before it."""
    dice = random.Random(n)
    published = n % 8 == 7
    of = n - 1 if published else n
    title = f"Work {of} on {WORDS[of % 13]} and {WORDS[of // 13 % 13]} number {of}"
    text = " ".join(f"{' '.join(dice.choices(WORDS, k=12)).capitalize()}." for _ in range(60))
    id = f"doi:10.1/{n}" if published else f"arxiv:2001.{n:05}"
    found = Paper(id, title, ("Ada Lovelace",), 2020, holds="abstract" if published else "full")
    return Entry(found, text, cut(id, Document(text=text)))


async def enrich(library: Library, home: Path) -> None:
    """Ask the model, which logs it, about each passage it was not asked about."""
    while some := await library.passages_without("facts", 8):
        for passage in some:
            _write(home / "asked", passage.id)
            facts = [Fact(f"s{n}", "is", passage.id) for n in range(3)]
            await library.put_facts(passage.id, facts, model="fake")
            _write(home / "reported", f"facts {passage.id}")


async def judge(home: Path) -> list[str]:
    """What is wrong in the library at `home`, by what was reported."""
    library = Library(settings(home))
    wrong = [f"check: {finding}" for finding in await library.check()]
    reported = _lines(home / "reported")
    named: dict[str, list[str]] = {"added": [], "removed": [], "facts": []}
    for line in reported:
        kind, *ids = line.split()
        named.setdefault(kind, []).extend(ids)
    kept = set(named["added"]) - set(named["removed"])
    found = await library.find_all(sorted(kept))
    last = _being_removed(reported)
    wrong += [f"lost: {id}" for id in kept - found.keys() if id not in last]
    wrong += [f"not removed: {id}" for id in await library.find_all(named["removed"])]
    papers = await library.papers()
    titles = Counter(paper.title for paper in papers)
    wrong += [f"twice: {title}" for title, n in titles.items() if n > 1]
    stored = {id for fact in await library.facts() for id in fact.passages}
    there = {p.id for paper in papers for p in await library.passages_of(paper.id)}
    wrong += [f"facts lost: {id}" for id in set(named["facts"]) & there - stored]
    asked = Counter(_lines(home / "asked"))
    told = set(named["facts"])
    wrong += [f"paid twice: {id}" for id, n in asked.items() if n > 1 and _again(home, id, told)]
    library.close()
    return wrong


def _removed_after(n: int) -> str | None:
    """The paper that is removed after batch `n`; none of those that are two records."""
    first = (n - 2) * BATCH
    return f"arxiv:2001.{first:05}" if n % 3 == 2 and first % 8 < 6 else None


def _being_removed(reported: Sequence[str]) -> set[str | None]:
    """The papers whose removal was next, and may have happened unreported."""
    return {_removed_after(n) for n in range(PAPERS // BATCH) if f"enriched {n}" in reported}


def _again(home: Path, id: str, told: set[str]) -> bool:
    """Whether the model was asked about `id` once more after its facts had been stored."""
    order = _lines(home / "order")
    asked = [n for n, line in enumerate(order) if line == f"asked {id}"]
    stored = [n for n, line in enumerate(order) if line == f"reported facts {id}"]
    return id in told and bool(stored) and max(asked) > min(stored)


def _write(path: Path, line: str) -> None:
    """Append a line so that it is there whatever happens next."""
    for file, text in ((path, line), (path.with_name("order"), f"{path.name} {line}")):
        with file.open("a") as log:
            log.write(f"{text}\n")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MOMENTS)
