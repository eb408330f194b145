"""How rankings become one ranking. Pure: passages are ids here, with scores and vectors.

Figures are nDCG@10 on the 809 SciFact train queries with all-MiniLM-L6-v2, where BM25 alone has
0.711 and dense 0.671; tests/benchmarks/retrieval.py prints them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scholar.library.single import one_thread

Ranking = Sequence[tuple[str, float]]
"""Passages by id with scores, best first."""
Vector = NDArray[np.float32]
Scores = NDArray[np.float64]

CANDIDATES = 100
"""Passages that each ranking brings to a fusion: 50 lose 0.004, 200 gain less than 0.001."""
WORDS = 3.0
"""Weight of BM25 beside the vectors' 1, where its best passage has the words of the query as often
as counts; with less it weighs less. With 2 it loses 0.003; with 4 nothing, but on MuSiQue 0.010.
As much as the vectors whatever it has loses nothing either, but on sentences that cite 0.045: they
are long, and the best passage has few of their words.
"""
NEIGHBOURS = 5
"""Passages most like one that have a say in its score: 3 lose 0.005, 10 lose 0.004."""
SHARE = 0.2
"""How much say they have: 0.1 loses 0.004, 0.3 loses 0.003."""
SAME = 0.95
"""Cosine from which two passages say the same (SciPIP)."""
_LEAST = 1e-9
"""What is divided by in place of zero."""


def fuse(rankings: Mapping[str, Ranking], weights: Mapping[str, float]) -> list[tuple[str, float]]:
    """Convex combination of rankings whose scores lie on different scales.

    Each ranking is first divided by its best score, per query; a passage that a ranking does not
    return gets 0 from it. Returns ids with scores, best first, ties by id. (Bruch et al. 2023, "An
    Analysis of Fusion Functions for Hybrid Retrieval", ACM TOIS, section 3.)
    """
    fused: dict[str, float] = {}
    for name, ranking in rankings.items():
        for id, score in _by_top(ranking).items():
            fused[id] = fused.get(id, 0.0) + weights[name] * score
    return ordered(fused)


def blend(
    words: Ranking, near: Ranking, query: Vector, ids: Sequence[str], table: Vector, most: float
) -> list[tuple[str, float]]:
    """BM25 and cosines as one ranking, in which passages that are alike lend each other support.

    `table` has row by row the vectors of `ids`, the passages that either ranking returns as far as
    they have one. A passage that only BM25 found has a cosine all the same, so the dense ranking
    knows all candidates and is scaled from their worst, 0, to their best, 1; one that only the
    vectors found has no word of the query. BM25 counts as a share of `most`, the score that no
    passage can exceed (Bruch et al. 2023, section 3), as a best passage that has few of the words
    says little. Then each score is averaged with those of the NEIGHBOURS most like it, since what
    answers a query comes in clusters (Diaz 2005, "Regularizing ad hoc retrieval scores").

    Dividing both rankings by their best has 0.740, this without neighbours 0.742, with them 0.749.
    """
    found = (*ids, *(id for id, _ in near), *(id for id, _ in words))  # usually as many as `ids`
    place = {id: at for at, id in enumerate(dict.fromkeys(found))}
    lexical = WORDS / max(most, _LEAST) * _spread(words, place, 0.0)
    cosines = _spread(near, place, np.nan)
    if len(ids):
        cosines[: len(ids)] = np.einsum("nd,d->n", table, query)  # by one thread, unlike @
    scores = (lexical + _by_range(cosines)) / (lexical.max(initial=0.0) + 1)
    scores[: len(ids)] = supported(scores[: len(ids)], table)
    return ordered(dict(zip(place, scores.tolist(), strict=True)))


def supported(scores: Scores, table: Vector) -> Scores:
    """`scores` averaged with those of the most similar passages, as SHARE says; shape (n,).

    `table` has the vectors of the passages row by row, shape (n, dimension).
    """
    if len(scores) <= NEIGHBOURS:
        return scores
    likeness = _products(table)
    np.fill_diagonal(likeness, -1.0)
    rows = np.arange(len(scores))
    said, weights = np.zeros_like(scores), np.zeros_like(scores)
    # Five times the best takes a fifth of the time that sorting them out takes.
    for _ in range(NEIGHBOURS):
        nearest = likeness.argmax(axis=1)
        weight = np.maximum(likeness[rows, nearest], 0.0)
        said += weight * scores[nearest]
        weights += weight
        likeness[rows, nearest] = -1.0
    mixed: Scores = (1 - SHARE) * scores + SHARE * said / np.maximum(weights, _LEAST)
    return mixed


def diverse(ranking: Ranking, vectors: Mapping[str, Vector]) -> list[tuple[str, float]]:
    """`ranking` with what says the same spread out: one of each cluster in turn, best first.

    Passages whose cosine is SAME or more are in one cluster, and so is what they are alike to.
    """
    clusters: list[list[tuple[str, float]]] = []
    for labelled in _clusters([id for id, _ in ranking], vectors):
        clusters.append([ranking[at] for at in labelled])
    rounds = max(map(len, clusters), default=0)
    return [cluster[turn] for turn in range(rounds) for cluster in clusters if turn < len(cluster)]


def ordered(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    """`scores`, best first, ties by id."""
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _table(ids: Sequence[str], vectors: Mapping[str, Vector]) -> Vector:
    """The vectors of `ids`, row by row."""
    return np.concatenate([vectors[id] for id in ids]).reshape(len(ids), -1)


def _products(table: Vector) -> Vector:
    """Each row's product with each."""
    with one_thread():
        return table @ table.T


def _clusters(ids: Sequence[str], vectors: Mapping[str, Vector]) -> list[list[int]]:
    """Places of `ids` that are alike, directly or through others, in their order."""
    labels = list(range(len(ids)))
    known = [at for at, id in enumerate(ids) if id in vectors]
    if known:
        table = _table([ids[at] for at in known], vectors)
        for one, other in zip(*np.nonzero(np.triu(_products(table) >= SAME, 1)), strict=True):
            low, high = sorted((labels[known[one]], labels[known[other]]))
            labels = [low if label == high else label for label in labels]
    found: dict[int, list[int]] = {}
    for at, label in enumerate(labels):
        found.setdefault(label, []).append(at)
    return list(found.values())


def _by_top(ranking: Ranking) -> dict[str, float]:
    top = max((score for _, score in ranking), default=0.0)
    return {id: score / top if top > 0 else 0.0 for id, score in ranking}


def _spread(ranking: Ranking, place: Mapping[str, int], missing: float) -> Scores:
    """The scores of `ranking`, each at its place, and `missing` at the places of others."""
    scores = np.full(len(place), missing)
    scores[[place[id] for id, _ in ranking]] = [score for _, score in ranking]
    return scores


def _by_range(scores: Scores) -> Scores:
    """`scores` from the worst, 0, to the best, 1; what has none gets 0."""
    known = ~np.isnan(scores)
    low, high = scores[known].min(initial=np.inf), scores[known].max(initial=-np.inf)
    if low >= high:
        return known.astype(np.float64)
    return np.where(known, (scores - low) / (high - low), 0.0)
