"""Texts embedded per second at several batch sizes, as ratios to the one in use."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from scholar.library import embedding
from scholar.library.embedding import BATCH, Embedder
from scholar.readers import read
from scholar.text import paragraphs

NOTES = Path(__file__).parents[2] / "examples" / "library"
SIZES = (8, 16, 32, 64, 128)
ROUNDS = 3


def main() -> None:
    choice = embedding.choose("auto", fetch=False)
    if choice.load is None:
        print("Skipped: needs an embedder.", file=sys.stderr)
        return
    texts = [
        document.text[start:end]
        for document in map(read, sorted(NOTES.glob("*.md")))
        for start, end in paragraphs(document.text)
    ]
    embedder = choice.load()
    embedder.embed(texts[:BATCH])
    rates = {size: max(_rate(embedder, texts, size) for _ in range(ROUNDS)) for size in SIZES}
    print(f"### Embedding, {len(texts)} paragraphs, {choice.how.split(',')[0]}\n")
    print(f"| batch | rate, batch {BATCH} = 1 |\n|---|---|")
    for size, rate in rates.items():
        print(f"| {size} | {rate / rates[BATCH]:.2f} |")
    print()


def _rate(embedder: Embedder, texts: list[str], size: int) -> float:
    embedding.BATCH = size
    began = time.monotonic()
    embedder.embed(texts)
    embedding.BATCH = BATCH
    return len(texts) / (time.monotonic() - began)


if __name__ == "__main__":
    main()
