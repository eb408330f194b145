"""Which of many vectors are alike, without comparing each with each where there are many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
"""Places of one and the other, and their cosines."""

EXACT = 20_000
"""Vectors up to which each is compared with each: ten seconds on two cores."""
CELLS = 2
"""Cells that a vector belongs to; more find more of the pairs and take longer."""
BLOCK = 1_000
"""Rows compared at a time, so that memory stays flat."""


def alike(vectors: NDArray[np.float32], least: float, most: int) -> Pairs:
    """The pairs of unit vectors whose cosine is `least` or more, for each its `most` best.

    Beyond EXACT vectors, only those are compared that share one of the CELLS nearest of about
    sqrt(n) pivots.
    """
    found = [np.zeros((0, 3))]
    for rows, columns in _blocks(vectors):
        cosines = vectors[rows] @ vectors[columns].T
        cosines[rows[:, None] == columns[None, :]] = -1
        one, other = np.nonzero(cosines >= least)
        found.append(np.column_stack((rows[one], columns[other], cosines[one, other])))
    pairs = np.unique(np.concatenate(found), axis=0)
    kept = pairs[_ranks(pairs) < most]
    low, high = kept[:, :2].min(axis=1), kept[:, :2].max(axis=1)
    once = np.unique(np.column_stack((low, high, kept[:, 2])), axis=0)
    return once[:, 0].astype(np.int64), once[:, 1].astype(np.int64), once[:, 2].astype(np.float32)


def _blocks(vectors: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows, and the columns that they are to be compared with."""
    everything = np.arange(len(vectors))
    cells = [everything] if len(vectors) <= EXACT else _cells(vectors)
    for cell in cells:
        for at in range(0, len(cell), BLOCK):
            yield cell[at : at + BLOCK], cell


def _cells(vectors: NDArray[np.float32]) -> Iterator[NDArray[np.int64]]:
    count = int(np.sqrt(len(vectors)))
    chosen = np.random.default_rng(0).choice(len(vectors), count, replace=False)
    pivots = vectors[np.sort(chosen)]
    nearest = np.concatenate(
        [
            np.argpartition(-(vectors[at : at + BLOCK] @ pivots.T), CELLS, axis=1)[:, :CELLS]
            for at in range(0, len(vectors), BLOCK)
        ]
    )
    owners = np.repeat(np.arange(len(vectors)), CELLS)
    order = np.argsort(nearest.ravel(), kind="stable")
    bounds = np.searchsorted(nearest.ravel()[order], np.arange(1, count))
    yield from np.split(owners[order], bounds)


def _ranks(pairs: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each pair, how many of the same first one are better."""
    order = np.lexsort((-pairs[:, 2], pairs[:, 0]))
    first = pairs[order, 0]
    begins = np.searchsorted(first, first, side="left")
    ranks = np.empty(len(pairs), np.int64)
    ranks[order] = np.arange(len(pairs)) - begins
    return ranks
