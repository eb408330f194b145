"""How long a query takes as the library grows, beside bare Chroma and bare tantivy queries.

Synthetic text and random unit vectors. `python tests/benchmarks/scale.py [PASSAGES…]`
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
    chosen, embedding.choose = embedding.choose, _random
    print("### Queries as the library grows (p95 of 100, ms)\n")
    print("| passages | Chroma | tantivy | hybrid | of their sum | opening, s |", end="")
    print("".join(f" {name} |" for name in FILTERS))
    print("|---" * (6 + len(FILTERS)) + "|", flush=True)
    for size in sizes:
        with tempfile.TemporaryDirectory() as home:
            asyncio.run(_measure(Path(home), size))
    print()
    embedding.choose = chosen  # for the benchmarks that come after


def _random(*_: object, **__: object) -> Choice:
    return Choice("random", "random", RandomEmbedder)


async def _measure(home: Path, size: int) -> None:
    settings = load(home=home, offline=True)
    library = Library(settings)
    dice = random.Random(0)
    words = [
        "".join(dice.choices("abcdefghijklmnoprstu", k=dice.randint(3, 9))) for _ in range(30_000)
    ]
    weights = np.cumsum([1 / (rank + 10) for rank in range(len(words))])
    for at in range(0, size, AT_ONCE):
        await library.add(
            [_entry(n, dice, words, list(weights)) for n in range(at, min(size, at + AT_ONCE))]
        )
    library.close()
    library = Library(settings)
    queries = [
        " ".join(dice.choices(words, cum_weights=list(weights), k=10)) for _ in range(QUERIES)
    ]
    await library.search(queries[0], 10)
    library.close()
    began = time.perf_counter()
    library = Library(settings)
    opening = time.perf_counter() - began
    await library.search(queries[0], 10)
    chroma = _p95(_bare_chroma(library), queries)
    words_alone = _p95(_bare_tantivy(library), queries)
    hybrid = _p95(lambda q: library._searcher.search(q, 10, None, "hybrid"), queries)
    filtered = [
        _p95(lambda q, f=filters: library._searcher.search(q, 10, f, "hybrid"), queries)  # type: ignore[misc]
        for filters in FILTERS.values()
    ]
    cells: tuple[str, ...] = (
        f"{chroma:.1f}",
        f"{words_alone:.1f}",
        f"{hybrid:.1f}",
        f"{hybrid / (chroma + words_alone):.2f}",
    )
    cells += (f"{opening:.2f}", *(f"{each:.1f} ({each / hybrid:.1f} ×)" for each in filtered))
    print(f"| {size} | {' | '.join(cells)} |", flush=True)
    library.close()


def _entry(n: int, dice: random.Random, words: list[str], weights: list[float]) -> Entry:
    text = " ".join(dice.choices(words, cum_weights=weights, k=150))
    authors = (f"Ada Surname{n % 5_000}", f"Bo Other{n % 777}")
    paper = Paper(f"file:{n}", f"Paper {n}", authors, 1980 + n % 40, f"Venue{n % 200}")
    return Entry(paper, text, (Passage(f"file:{n}#0", paper.id, 0, 0, len(text), text),))


def _bare_chroma(library: Library) -> Callable[[str], object]:
    vectors = library._store.dense._open()
    assert vectors is not None
    embedder = RandomEmbedder()

    def query(text: str) -> object:
        vector = embedder.embed([text])
        return vectors._collection.query(
            query_embeddings=vector, n_results=DEPTH, include=["distances"]
        )

    return query


def _bare_tantivy(library: Library) -> Callable[[str], object]:
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


def _p95(query: Callable[[str], object], queries: Sequence[str]) -> float:
    """Milliseconds that 95 of 100 queries stay below."""
    times = []
    for text in queries:
        began = time.perf_counter()
        query(text)
        times.append(time.perf_counter() - began)
    return sorted(times)[int(len(times) * 0.95)] * 1_000


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SIZES)
