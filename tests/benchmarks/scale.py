"""How long a query takes as the library grows, beside bare Chroma and bare tantivy queries.

Synthetic text and random unit vectors. `python tests/benchmarks/scale.py [PASSAGES…]`
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np
import tantivy

from scholar.library import Entry, Filters, Library, embedding
from scholar.library.embedding import Choice, Vectors32
from scholar.settings import load
from scholar.values import Paper, Passage

SIZES = (1_000, 10_000, 100_000)
QUERIES = 100
DEPTH = 100
AT_ONCE = 1_000
RUNS = 5
Query = Callable[[str], object]
FILTERS = {
    "half the years": Filters(years=(1980, 1999)),
    "one year of forty": Filters(years=(1990, 1990)),
    "one venue of two hundred": Filters(venue="venue7"),
    "one author of five thousand": Filters(author="surname7"),
}


class RandomEmbedder:
    """Unit vectors without meaning, of the size of all-MiniLM-L6-v2's."""

    name = "random"

    def embed(self, texts: Sequence[str]) -> Vectors32:
        """One unit vector per text, shape (len(texts), 384), float32."""
        rows = [np.random.default_rng(crc32(text.encode())).standard_normal(384) for text in texts]
        made: Vectors32 = np.asarray(rows, np.float32).reshape(len(texts), 384)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made


def main(sizes: Sequence[int] = SIZES) -> None:
    embedding.choose = lambda *_, **__: Choice("random", "random", RandomEmbedder)
    print("### Queries as the library grows\n")
    print(f"p95 of {QUERIES} queries in ms, the median of {RUNS} runs. Each query is asked of bare")
    print("Chroma, of bare tantivy and of the library in turn, each for its best 100 and each")
    print("making the vector that it takes from the text. A filter is looked up at its first query")
    print(
        "and known at the next; what that costs stands behind it. Opening includes a first query.\n"
    )
    print("| passages | Chroma | tantivy | hybrid | of their sum | opening |", end="")
    print("".join(f" {name} |" for name in FILTERS))
    print("|---" * (6 + len(FILTERS)) + "|", flush=True)
    for size in sizes:
        with tempfile.TemporaryDirectory() as home:
            print(asyncio.run(measure(Path(home), size)), flush=True)
    print()


async def measure(home: Path, size: int) -> str:
    """The row of a library of `size` passages, which is made at `home` unless it is there."""
    settings = load(home=home, offline=True)
    dice = random.Random(0)
    words = [
        "".join(dice.choices("abcdefghijklmnoprstu", k=dice.randint(3, 9))) for _ in range(30_000)
    ]
    weights = list(np.cumsum([1 / (rank + 10) for rank in range(len(words))]))
    library = Library(settings)
    if not (await library.stats()).papers:
        for at in range(0, size, AT_ONCE):
            entries = [_entry(n, dice, words, weights) for n in range(at, min(size, at + AT_ONCE))]
            await library.add(entries)
    library.close()
    dice = random.Random(1)
    queries = [" ".join(dice.choices(words, cum_weights=weights, k=10)) for _ in range(QUERIES)]
    import scholar.library.vectors  # noqa: F401  what is loaded once per process

    began = time.perf_counter()
    library = Library(settings)
    await library.search(queries[0], 10)
    opening = time.perf_counter() - began
    sides = _sides(library)
    for name in sides.keys() - FILTERS.keys():
        sides[name](queries[0])
    first = [_seconds(sides[name], queries[0]) for name in FILTERS]
    runs = [_p95s(sides, queries) for _ in range(RUNS)]
    library.close()
    return _row(size, runs, opening, first)


def _sides(library: Library) -> dict[str, Query]:
    search = library._searcher.search
    return {
        "Chroma": _bare_chroma(library),
        "tantivy": _bare_tantivy(library),
        "hybrid": lambda text: search(text, 10),
        **{name: partial(_filtered, library, kept) for name, kept in FILTERS.items()},
    }


def _filtered(library: Library, filters: Filters, text: str) -> object:
    return library._searcher.search(text, 10, filters)


def _p95s(sides: Mapping[str, Query], queries: Sequence[str]) -> dict[str, float]:
    """The milliseconds that 95 of 100 queries stay below, on each side, asked in turn."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for text in queries:
        for name, query in sides.items():
            times[name].append(_seconds(query, text))
    return {name: sorted(some)[int(len(some) * 0.95)] * 1_000 for name, some in times.items()}


def _seconds(query: Query, text: str) -> float:
    began = time.perf_counter()
    query(text)
    return time.perf_counter() - began


def _row(
    size: int, runs: Sequence[Mapping[str, float]], opening: float, first: Sequence[float]
) -> str:
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    ratios = [run["hybrid"] / (run["Chroma"] + run["tantivy"]) for run in runs]
    cells = [f"{size:,}", *(f"{middle[name]:.1f}" for name in ("Chroma", "tantivy", "hybrid"))]
    cells += [f"{statistics.median(ratios):.2f} ×", f"{opening:.2f} s"]
    for name, seconds in zip(FILTERS, first, strict=True):
        share = statistics.median(run[name] / run["hybrid"] for run in runs)
        cells.append(f"{middle[name]:.1f} ({share:.1f} ×; {seconds * 1e3:.0f})")
    return f"| {' | '.join(cells)} |"


def _entry(n: int, dice: random.Random, words: list[str], weights: list[float]) -> Entry:
    text = " ".join(dice.choices(words, cum_weights=weights, k=150))
    authors = (f"Ada Surname{n % 5_000}", f"Bo Other{n % 777}")
    paper = Paper(f"file:{n}", f"Paper {n}", authors, 1980 + n % 40, f"Venue{n % 200}")
    return Entry(paper, text, (Passage(f"file:{n}#0", paper.id, 0, 0, len(text), text),))


def _bare_chroma(library: Library) -> Query:
    vectors = library._store.dense._open()
    assert vectors is not None
    embedder = RandomEmbedder()

    def query(text: str) -> object:
        vector = embedder.embed([text])
        return vectors._collection.query(
            query_embeddings=vector, n_results=DEPTH, include=["distances"]
        )

    return query


def _bare_tantivy(library: Library) -> Query:
    lexical = library._store.lexical

    def query(text: str) -> object:
        searcher = lexical._index.searcher()
        parsed = tantivy.Query.boolean_query(
            [
                (
                    tantivy.Occur.Should,
                    tantivy.Query.term_query(lexical._schema, "text", term, "freq"),
                )
                for term in lexical.terms(text)
            ]
        )
        hits = searcher.search(parsed, DEPTH).hits
        return [searcher.doc(address)["id"] for _, address in hits]

    return query


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SIZES)
