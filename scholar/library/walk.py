"""Personalised PageRank from a few seeds, at a cost that does not grow with the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.int64]

DAMPING = 0.5
"""Share of a node's worth that goes on to its neighbours: HippoRAG 2's."""
LEAST = 1e-6
"""What may wait at a node, as a share of all worth and per edge of it, without going on. Of a graph
of 1,000,000 nodes and 6,000,000 edges the best 200 are those of the exact walk but for 2; 1e-5
misses 5, 1e-7 takes half as long again (tests/benchmarks/graph_walk.py).
"""
ROUNDS = 50
"""Rounds after which it ends in any case; it takes about 10."""


@dataclass(frozen=True, slots=True)
class Walk:
    """An undirected graph, node by node: whom `indices` from `starts` on name, by which share.

    `degrees` are the sums of the edges' weights per node.
    """

    starts: Places
    indices: NDArray[np.int32]
    shares: Floats
    degrees: Floats

    @classmethod
    def along(cls, edges: sp.csr_matrix) -> Walk:
        """A walk along `edges`, symmetric and without negative weights."""
        degrees = np.asarray(edges.sum(axis=1), np.float32).ravel()
        lengths = np.diff(edges.indptr)
        shares = edges.data / np.repeat(np.maximum(degrees, np.float32(1e-9)), lengths)
        return cls(
            edges.indptr.astype(np.int64),
            edges.indices.astype(np.int32),
            shares.astype(np.float32),
            degrees,
        )

    def from_seeds(self, nodes: Places, worth: Floats) -> tuple[Places, Floats]:
        """The nodes that a walk from the seeds `nodes`, of that `worth`, visits, and how often.

        Visits add up to a little less than the worth, which is 1 or less in sum. Worth moves on in
        rounds from all nodes that hold more than LEAST per edge (Andersen, Chung and Lang 2006).
        """
        visited = np.zeros(len(self.degrees), np.float32)
        waiting = np.zeros(len(self.degrees), np.float32)
        np.add.at(waiting, nodes, worth)
        bounds = LEAST * np.maximum(self.degrees, np.float32(1))
        for _ in range(ROUNDS):
            active = np.flatnonzero(waiting > bounds)
            if not active.size:
                break
            held = waiting[active]
            visited[active] += (1 - DAMPING) * held
            waiting[active] = 0
            reached, arriving = self._step(active, DAMPING * held)
            np.add.at(waiting, reached, arriving)
        anywhere = np.flatnonzero(visited)
        return anywhere, visited[anywhere]

    def _step(self, active: Places, moving: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Whom the worth `moving` from `active` reaches, with repeats, and how much each time."""
        begins = self.starts[active]
        lengths = self.starts[active + 1] - begins
        before = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        places = np.arange(lengths.sum()) + np.repeat(begins - before, lengths)
        return self.indices[places], self.shares[places] * np.repeat(moving, lengths)
