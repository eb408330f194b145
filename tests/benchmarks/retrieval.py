"""What the constants of scholar/library/ranking.py and of its word index were chosen by.

nDCG@10 on SciFact (train queries) over the passages that the library cuts, a document counting as
its best passage: BM25 with and without the pieces of mixed words, dense, and ways of making one
ranking of both, each also on a random half of the queries. `scholar eval retrieve` measures what is
shipped. Needs the data folder and the all-MiniLM-L6-v2 weights, and some ten minutes to embed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scholar.evaluation import beir
from scholar.evaluation.retrieval import score
from scholar.library import embedding, lexical, ranking
from scholar.library.lexical import Indexed, Lexical
from scholar.library.passages import cut
from scholar.library.ranking import Ranking, blend, fuse
from scholar.readers import Document
from scholar.values import Paper

SCIFACT = Path(__file__).parents[3] / "shared" / "data" / "scifact"
MOST = 200
"""Passages that each ranking is asked for."""
EVEN = {"bm25": 0.5, "dense": 0.5}


class Bench:
    """SciFact with its rankings, computed once."""

    def __init__(self, embedder: embedding.Embedder) -> None:
        self.judged = beir.read(SCIFACT, "train")
        self.texts: dict[str, str] = {}
        self.owners: dict[str, str] = {}
        for document in self.judged.documents:
            for passage in cut(document.id, Document(text=document.text, holds="abstract")):
                self.texts[passage.id] = f"{document.title}\n{passage.text}"
                self.owners[passage.id] = document.id
        ids = list(self.texts)
        table = embedder.embed(list(self.texts.values()))
        asked = embedder.embed(list(self.judged.queries.values()))
        self.vectors = dict(zip(ids, table, strict=True))
        self.queries = dict(zip(self.judged.queries, asked, strict=True))
        self.dense: dict[str, Ranking] = {}
        for query, vector in self.queries.items():
            cosines = table @ vector
            best = np.argsort(-cosines)[:MOST]
            self.dense[query] = [(ids[at], float(cosines[at])) for at in best]
        with _replaced(lexical, with_pieces=lambda text: text):
            self.whole = self._by_words()
        self.words = self._by_words()
        drawn = np.random.default_rng(0).random(len(self.queries)) < 0.5
        self.half = {query for query, chosen in zip(self.queries, drawn, strict=True) if chosen}

    def _by_words(self) -> dict[str, Ranking]:
        with tempfile.TemporaryDirectory() as folder:
            index = Lexical(Path(folder))
            papers = {owner: Paper(owner, "") for owner in self.owners.values()}
            index.write(
                Indexed(id, text, papers[self.owners[id]]) for id, text in self.texts.items()
            )
            queries = self.judged.queries.items()
            return {query: index.search(text, MOST) for query, text in queries}

    def row(self, name: str, rank: Callable[[str], Ranking]) -> None:
        """Print what `rank`, called with the id of a query, comes to: all, one half, the other."""
        found: dict[str, dict[str, float]] = {}
        for query in self.queries:
            ids = dict.fromkeys(self.owners[id] for id, _ in rank(query))
            found[query] = {id: -float(place) for place, id in enumerate(ids)}
        rest = self.queries.keys() - self.half
        values = [self._ndcg(found, some) for some in (self.queries.keys(), self.half, rest)]
        print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in values) + " |", flush=True)

    def _ndcg(self, found: Mapping[str, Mapping[str, float]], some: Any) -> float:
        judged = {query: self.judged.judgements[query] for query in some}
        return score(judged, {query: found[query] for query in some})["ndcg@10"]

    def blended(self, query: str, words: Ranking | None = None, depth: int = 100) -> Ranking:
        """What is shipped, with the constants as they are now."""
        words = self.words[query] if words is None else words
        near = self.dense[query][:depth]
        ids = list(dict.fromkeys(id for id, _ in (*near, *words[:depth])))
        table = np.stack([self.vectors[id] for id in ids])
        return blend(words[:depth], near, self.queries[query], ids, table)

    def reciprocal(self, query: str, constant: int) -> Ranking:
        """Reciprocal rank fusion."""
        scores: dict[str, float] = {}
        for found in (self.words[query], self.dense[query]):
            for rank, (id, _) in enumerate(found[:100], start=1):
                scores[id] = scores.get(id, 0.0) + 1 / (constant + rank)
        return ranking.ordered(scores)


def main() -> None:
    choice = embedding.choose("auto", fetch=False)
    if not SCIFACT.is_dir() or choice.load is None:
        print(f"Skipped: needs {SCIFACT} and an embedder.", file=sys.stderr)
        return
    bench = Bench(choice.load())
    print(f"### SciFact train, {len(bench.queries)} queries, nDCG@10\n")
    print("| ranking | all | half | other half |\n|---|---|---|---|")
    bench.row("BM25, whole words", lambda q: bench.whole[q])
    bench.row("BM25 with pieces of mixed words", lambda q: bench.words[q])
    bench.row("dense (all-MiniLM-L6-v2)", lambda q: bench.dense[q])
    bench.row("divided by the best, whole words", lambda q: _by_top(bench.whole[q], bench.dense[q]))
    bench.row("divided by the best", lambda q: _by_top(bench.words[q], bench.dense[q]))
    bench.row("min-max", lambda q: _min_max(bench.words[q][:100], bench.dense[q][:100]))
    for constant in (10, 60):
        bench.row(
            f"reciprocal rank, constant {constant}",
            partial(bench.reciprocal, constant=constant),
        )
    bench.row("blend, whole words", lambda q: bench.blended(q, bench.whole[q]))
    bench.row("**blend**, as shipped", bench.blended)
    for depth in (50, 200):
        bench.row(f"blend, {depth} candidates", partial(bench.blended, depth=depth))
    for changes in (
        {"SHARE": 0.0}, {"SHARE": 0.1}, {"SHARE": 0.3}, {"NEIGHBOURS": 3}, {"NEIGHBOURS": 10},
        {"DENSE": 0.4}, {"DENSE": 0.6},
    ):  # fmt: skip
        with _replaced(ranking, **changes):
            said = ", ".join(f"{name} {value}" for name, value in changes.items())
            bench.row(f"blend, {said}", bench.blended)
    print()


def _by_top(bm25: Ranking, dense: Ranking) -> Ranking:
    return fuse({"bm25": bm25[:100], "dense": dense[:100]}, EVEN)


def _min_max(bm25: Ranking, dense: Ranking) -> Ranking:
    scaled = {}
    for name, found in (("bm25", bm25), ("dense", dense)):
        low = min((score for _, score in found), default=0.0)
        scaled[name] = [(id, score - low) for id, score in found]
    return fuse(scaled, EVEN)


@contextmanager
def _replaced(module: Any, **values: Any) -> Any:
    """`module` with other constants, for as long as it takes."""
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


if __name__ == "__main__":
    main()
