"""What the constants of scholar/library/ranking.py and of its word index were chosen by.

nDCG@10 on SciFact (train queries), on MuSiQue, on the questions of WikiContradict among MuSiQue's
passages, and on the citing sentences of S2ORC's papers, each to find the titles that it cites among
them and SciFact's; over the passages that the library cuts, a document counting as its best one:
BM25 with and without the pieces of mixed words, dense, and ways of making one ranking of both.
SciFact's are also given on a random half of the queries and on the other. `scholar eval retrieve`
measures what is shipped. Needs the data folder and the all-MiniLM-L6-v2 weights, and some ten
minutes to embed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scholar.evaluation import beir
from scholar.evaluation.beir import JudgedSet
from scholar.evaluation.retrieval import score
from scholar.evaluation.rows import rows
from scholar.library import embedding, lexical, ranking
from scholar.library.lexical import Indexed, Lexical
from scholar.library.passages import cut
from scholar.library.ranking import Ranking, blend, fuse
from scholar.readers import Document
from scholar.text import sentences
from scholar.values import Paper

DATA = Path(__file__).parents[3] / "shared" / "data"
MOST = 200
"""Passages that each ranking is asked for."""
LEAST = 6
"""Words of a citing sentence that is asked."""
EVEN = {"bm25": 0.5, "dense": 0.5}
Rank = Callable[["Bench", str], Ranking]
"""The passages for a query of a set, which is given by its id."""


class Bench:
    """A judged set with its rankings, computed once."""

    def __init__(self, judged: JudgedSet, embedder: embedding.Embedder) -> None:
        self.judged = judged
        self.texts: dict[str, str] = {}
        self.owners: dict[str, str] = {}
        for document in judged.documents:
            for passage in cut(document.id, Document(text=document.text, holds="abstract")):
                self.texts[passage.id] = f"{document.title}\n{passage.text}"
                self.owners[passage.id] = document.id
        ids = list(self.texts)
        table = embedder.embed(list(self.texts.values()))
        asked = embedder.embed(list(judged.queries.values()))
        self.vectors = dict(zip(ids, table, strict=True))
        self.queries = dict(zip(judged.queries, asked, strict=True))
        self.dense: dict[str, Ranking] = {}
        for query, vector in self.queries.items():
            cosines = table @ vector
            best = np.argsort(-cosines)[:MOST]
            self.dense[query] = [(ids[at], float(cosines[at])) for at in best]
        self.words, self.most = self._by_words()
        with _replaced(lexical, with_pieces=lambda text: text):
            self.whole, self.whole_most = self._by_words()

    def _by_words(self) -> tuple[dict[str, Ranking], dict[str, float]]:
        with tempfile.TemporaryDirectory() as folder:
            index = Lexical(Path(folder))
            papers = {owner: Paper(owner, "") for owner in self.owners.values()}
            index.write(
                Indexed(id, text, papers[self.owners[id]]) for id, text in self.texts.items()
            )
            queries = self.judged.queries.items()
            found: dict[str, Ranking] = {query: index.search(text, MOST) for query, text in queries}
            return found, {query: index.most(text) for query, text in queries}

    def ndcg(self, rank: Rank, halves: bool = False) -> list[float]:
        """nDCG@10 of `rank`; with `halves` also on a random half of the queries and the other."""
        found: dict[str, dict[str, float]] = {}
        for query in self.queries:
            ids = dict.fromkeys(self.owners[id] for id, _ in rank(self, query))
            found[query] = {id: -float(place) for place, id in enumerate(ids)}
        drawn = np.random.default_rng(0).random(len(found)) < 0.5
        one = {query for query, chosen in zip(found, drawn, strict=True) if chosen}
        parts = [found.keys(), one, found.keys() - one] if halves else [found.keys()]
        judged = self.judged.judgements
        return [
            score({q: judged[q] for q in part}, {q: found[q] for q in part})["ndcg@10"]
            for part in parts
        ]

    def blended(self, query: str, words: Ranking, most: float, depth: int = 100) -> Ranking:
        """What is shipped, with the constants as they are now."""
        near, words = self.dense[query][:depth], words[:depth]
        ids = list(dict.fromkeys(id for id, _ in (*near, *words)))
        table = np.stack([self.vectors[id] for id in ids])
        return blend(words, near, self.queries[query], ids, table, most)


def main() -> None:
    choice = embedding.choose("auto", fetch=False)
    if not DATA.is_dir() or choice.load is None:
        print(f"Skipped: needs {DATA} and an embedder.", file=sys.stderr)
        return
    embedder = choice.load()
    scifact, musique = beir.read(DATA / "scifact", "train"), beir.read(DATA / "musique")
    sets = [scifact, musique, _wikicontradict(musique.documents), _citing(scifact.documents)]
    benches = [Bench(judged, embedder) for judged in sets]

    def row(name: str, rank: Rank) -> None:
        values = [value for at, one in enumerate(benches) for value in one.ndcg(rank, at == 0)]
        print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in values) + " |", flush=True)

    print("### Ranking, nDCG@10\n")
    print("| ranking | SciFact train | half | other half | MuSiQue | WikiContradict | citing |")
    print("|---|---|---|---|---|---|---|")
    row("BM25, whole words", lambda one, q: one.whole[q])
    row("BM25 with pieces of mixed words", lambda one, q: one.words[q])
    row("dense (all-MiniLM-L6-v2)", lambda one, q: one.dense[q])
    row("divided by the best, whole words", lambda one, q: _by_top(one.whole[q], one.dense[q]))
    row("divided by the best", lambda one, q: _by_top(one.words[q], one.dense[q]))
    row("min-max", lambda one, q: _min_max(one.words[q][:100], one.dense[q][:100]))
    for constant in (10, 60):
        row(f"reciprocal rank, constant {constant}", partial(_reciprocal, constant=constant))
    row("blend, whole words", lambda one, q: one.blended(q, one.whole[q], one.whole_most[q]))
    row("**blend**, as shipped", _shipped)
    row("blend, BM25 as much as dense", lambda one, q: one.blended(q, one.words[q], _even(one, q)))
    for depth in (50, 200):
        row(f"blend, {depth} candidates", partial(_shipped, depth=depth))
    for changes in (
        {"SHARE": 0.0}, {"SHARE": 0.1}, {"SHARE": 0.3}, {"NEIGHBOURS": 3}, {"NEIGHBOURS": 10},
        {"WORDS": 2.0}, {"WORDS": 2.5}, {"WORDS": 3.5}, {"WORDS": 4.0},
    ):  # fmt: skip
        with _replaced(ranking, **changes):
            said = ", ".join(f"{name} {value}" for name, value in changes.items())
            row(f"blend, {said}", _shipped)
    print()


def _wikicontradict(others: Sequence[beir.Document]) -> JudgedSet:
    """Its questions, each answered by two passages among `others`."""
    items = list(rows(DATA / "wikicontradict" / "items.jsonl", "question", "context1", "context2"))
    documents = [
        beir.Document(f"{at}-{side}", "", item[f"context{side}"])
        for at, item in enumerate(items)
        for side in (1, 2)
    ]
    queries = {str(at): item["question"] for at, item in enumerate(items)}
    judgements = {query: {f"{query}-1": 1, f"{query}-2": 1} for query in queries}
    return JudgedSet("all", [*documents, *others], queries, judgements)


def _citing(others: Sequence[beir.Document]) -> JudgedSet:
    """Sentences that cite, without their marks, and the titles that they cite among `others`'."""
    titles = {f"other {at}": document.title for at, document in enumerate(others)}
    queries: dict[str, str] = {}
    judgements: beir.Judgements = {}
    for path in sorted((DATA / "s2orc").rglob("*.json")):
        read = json.loads(path.read_text())
        paper = read.get("pdf_parse") or read.get("grobid_parse") or read
        for at, block in enumerate(paper["body_text"]):
            for start, end in sentences(block["text"]):
                marks = [s for s in block["cite_spans"] if start <= s["start"] < end]
                cited = [
                    paper["bib_entries"].get(mark["ref_id"], {}).get("title") for mark in marks
                ]
                text = block["text"][start:end]
                for mark in marks:
                    text = text.replace(mark.get("text") or "\0", " ")
                if any(cited) and len(text.split()) >= LEAST:
                    query = f"{path.stem} {at} {start}"
                    queries[query] = text
                    judgements[query] = {title.lower(): 1 for title in cited if title}
                    titles |= {title.lower(): title for title in cited if title}
    documents = [beir.Document(id, "", title) for id, title in titles.items()]
    return JudgedSet("all", documents, queries, judgements)


def _shipped(one: Bench, query: str, depth: int = 100) -> Ranking:
    return one.blended(query, one.words[query], one.most[query], depth)


def _even(one: Bench, query: str) -> float:
    """What the best score is to be compared with for BM25 to weigh as much as the vectors."""
    return ranking.WORDS * max((score for _, score in one.words[query]), default=0.0)


def _by_top(bm25: Ranking, dense: Ranking) -> Ranking:
    return fuse({"bm25": bm25[:100], "dense": dense[:100]}, EVEN)


def _reciprocal(one: Bench, query: str, constant: int) -> Ranking:
    """Reciprocal rank fusion."""
    scores: dict[str, float] = {}
    for found in (one.words[query], one.dense[query]):
        for rank, (id, _) in enumerate(found[:100], start=1):
            scores[id] = scores.get(id, 0.0) + 1 / (constant + rank)
    return ranking.ordered(scores)


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
