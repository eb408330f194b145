"""BM25, dense and fused retrieval on SciFact (train queries), and other ways of fusing.

nDCG@10 over the whole corpus, one passage per abstract; prints what scholar/library/ranking.py and
the constants beside it were chosen by. Needs the data folder and the all-MiniLM-L6-v2 weights.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from scholar.library import embedding
from scholar.library.lexical import Lexical
from scholar.library.ranking import fuse
from scholar.values import Passage

SCIFACT = Path(__file__).parents[3] / "shared" / "data" / "scifact"
Ranking = list[tuple[str, float]]
Judgements = dict[str, dict[str, int]]


def main() -> None:
    choice = embedding.choose("auto", fetch=False)
    if not SCIFACT.is_dir() or choice.load is None:
        print(f"Skipped: needs {SCIFACT} and an embedder.", file=sys.stderr)
        return
    texts = {row["_id"]: f"{row['title']}\n{row['text']}" for row in _rows("corpus.jsonl")}
    judged = _judgements()
    queries = {r["_id"]: r["text"] for r in _rows("queries.jsonl") if r["_id"] in judged}
    ids = list(texts)
    embedder = choice.load()
    documents = embedder.embed(list(texts.values()))
    asked = embedder.embed(list(queries.values()))
    with tempfile.TemporaryDirectory() as folder:
        lexical = Lexical(Path(folder))
        lexical.write((Passage(i, i, 0, 0, len(t), t), t) for i, t in texts.items())
        bm25 = {query: lexical.search(text, 200) for query, text in queries.items()}
    dense: dict[str, Ranking] = {}
    for query, vector in zip(queries, asked, strict=True):
        cosines = documents @ vector
        best = np.argsort(-cosines)[:200]
        dense[query] = [(ids[i], float(cosines[i])) for i in best]

    def score(combine: Callable[[Ranking, Ranking], Ranking]) -> float:
        gains = [_ndcg(combine(bm25[query], dense[query]), judged[query]) for query in queries]
        return sum(gains) / len(gains)

    print(f"### SciFact train, {len(queries)} queries, nDCG@10\n")
    print("| ranking | nDCG@10 |\n|---|---|")
    print(f"| BM25 | {score(lambda b, d: b):.4f} |")
    print(f"| dense ({embedder.name}) | {score(lambda b, d: d):.4f} |")
    for depth in (50, 100, 200):
        for weight in (0.4, 0.5, 0.6):
            value = score(lambda b, d, n=depth, w=weight: _by_top(b[:n], d[:n], w))  # type: ignore[misc]
            print(
                f"| divided by the best score, {depth} candidates, dense × {weight} | {value:.4f} |"
            )
    print(f"| min-max, 100 candidates | {score(lambda b, d: _min_max(b[:100], d[:100])):.4f} |")
    for constant in (10, 60, 100):
        value = score(lambda b, d, c=constant: _reciprocal(b[:100], d[:100], c))  # type: ignore[misc]
        print(f"| reciprocal rank, constant {constant}, 100 candidates | {value:.4f} |")
    print()


def _by_top(bm25: Ranking, dense: Ranking, weight: float) -> Ranking:
    return fuse({"bm25": bm25, "dense": dense}, {"bm25": 1 - weight, "dense": weight})


def _min_max(bm25: Ranking, dense: Ranking) -> Ranking:
    scaled = {}
    for name, ranking in (("bm25", bm25), ("dense", dense)):
        low = min((score for _, score in ranking), default=0.0)
        scaled[name] = [(id, score - low) for id, score in ranking]
    return fuse(scaled, {"bm25": 0.5, "dense": 0.5})


def _reciprocal(bm25: Ranking, dense: Ranking, constant: int) -> Ranking:
    scores: dict[str, float] = {}
    for ranking in (bm25, dense):
        for rank, (id, _) in enumerate(ranking, start=1):
            scores[id] = scores.get(id, 0.0) + 1 / (constant + rank)
    return sorted(scores.items(), key=lambda item: -item[1])


def _ndcg(ranking: Ranking, relevant: dict[str, int]) -> float:
    gains = [relevant.get(id, 0) for id, _ in ranking[:10]]
    ideal = sorted(relevant.values(), reverse=True)[:10]
    return _discounted(gains) / _discounted(ideal)


def _discounted(gains: list[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _judgements() -> Judgements:
    judged: Judgements = {}
    for line in (SCIFACT / "qrels" / "train.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        judged.setdefault(query, {})[document] = int(grade)
    return judged


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (SCIFACT / name).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


if __name__ == "__main__":
    main()
