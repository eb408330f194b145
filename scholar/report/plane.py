"""Vectors laid out on a plane, so that what is alike lies together. Loads numpy.

t-SNE (van der Maaten and Hinton 2008), exact, begun from the two principal components, so that the
same vectors always lie the same way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEW = 5
"""Up to so many have no neighbourhoods to speak of; their principal components will do."""
PERPLEXITY = 15.0
"""Neighbours that a point is laid near to: the usual 30 blurs what 100 to 400 papers are about."""
ROUNDS = 250
"""Over the notes of the examples nothing moves by more than a dot's width after 200."""
EARLY = 60
"""Rounds in which likeness counts EXAGGERATED-fold, so that groups find together."""
EXAGGERATED = 8.0


def plane(vectors: NDArray[np.float32]) -> Floats:
    """A point per row of `vectors`, shape (rows, 2), each coordinate from 0 to 1."""
    rows = vectors.astype(np.float64)
    if len(rows) < 2:
        return np.full((len(rows), 2), 0.5)
    start = _components(rows)
    return _fitted(start if len(rows) <= FEW else _neighbourly(rows, start))


def _components(rows: Floats) -> Floats:
    """The first two principal components, with signs that do not depend on the machine."""
    centred = rows - rows.mean(axis=0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    left, sizes, right = left[:, :2], sizes[:2], right[:2]
    signs = np.sign(right[np.arange(len(right)), np.argmax(np.abs(right), axis=1)])
    points = left * sizes * np.where(signs == 0, 1, signs)
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))


def _neighbourly(rows: Floats, start: Floats) -> Floats:
    alike = _alikeness(rows)
    points = start / (start.std() or 1.0) * 1e-2
    speed = np.zeros_like(points)
    rate = max(len(rows) / EXAGGERATED / 4, 10.0)
    for n in range(ROUNDS):
        pull = alike * (EXAGGERATED if n < EARLY else 1.0)
        near = 1 / (1 + _distances(points))
        np.fill_diagonal(near, 0)
        forces = (pull - near / near.sum()) * near
        gradient = 4 * (forces.sum(axis=1)[:, None] * points - forces @ points)
        speed = speed * (0.5 if n < EARLY else 0.8) - rate * gradient
        points = points + speed
        points -= points.mean(axis=0)
    return points


def _alikeness(rows: Floats) -> Floats:
    """How much of each other's neighbourhood two rows are, symmetric, with the sum 1."""
    distances = _distances(rows)
    np.fill_diagonal(distances, np.inf)
    wanted = np.log(min(PERPLEXITY, (len(rows) - 1) / 3))
    low, high = np.full(len(rows), 1e-6), np.full(len(rows), 1e6)
    for _ in range(50):
        sharpness = np.sqrt(low * high)
        shares = np.exp(-(distances - distances.min(axis=1)[:, None]) * sharpness[:, None])
        shares /= shares.sum(axis=1)[:, None]
        spread = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1)
        wide = spread > wanted
        low, high = np.where(wide, sharpness, low), np.where(wide, high, sharpness)
    both: Floats = np.maximum((shares + shares.T) / (2 * len(rows)), 1e-12)
    return both


def _distances(points: Floats) -> Floats:
    """Squared distances between all points."""
    squares = (points**2).sum(axis=1)
    found: Floats = np.maximum(squares[:, None] + squares[None, :] - 2 * points @ points.T, 0)
    return found


def _fitted(points: Floats) -> Floats:
    """`points` moved and stretched to fill the plane; on a line where they have no breadth."""
    low, high = points.min(axis=0), points.max(axis=0)
    breadth = high - low
    flat = breadth < 1e-9
    return np.where(flat, 0.5, (points - low) / np.where(flat, 1.0, breadth))
