"""A graph search at 10,000, 100,000 and 1,000,000 nodes with six edges each.

Random facts with random unit vectors: a third of the nodes are passages, ends of triples are drawn
with a skew, so that some names stand almost everywhere. Prints what it takes to build, in memory
and per query, and how many of the best 200 passages are those of the exact walk.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scholar.library.knowledge import Graph
from scholar.library.walk import DAMPING, Walk
from scholar.values import Fact

SIZES = (10_000, 100_000, 1_000_000)
DIMENSION = 384
CANDIDATES = 150
"""Passages that a search gives to the graph, as many as `hybrid` finds."""
QUERIES = 30


def main() -> None:
    print("### Graph search\n")
    print("| nodes | edges | build, without embedding | memory | p50 | p95 | best 200 found |")
    print("|---|---|---|---|---|---|---|")
    for nodes in SIZES:
        print(_row(nodes), flush=True)
    print()


def _row(nodes: int) -> str:
    rng = np.random.default_rng(0)
    passages, names = nodes // 3, nodes - nodes // 3
    spent = 0.0

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        nonlocal spent
        began = time.perf_counter()
        vectors = rng.standard_normal((len(texts), DIMENSION), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        spent += time.perf_counter() - began
        return vectors

    began = time.perf_counter()
    graph = Graph.build(_facts(passages, names, rng), embed)
    build = time.perf_counter() - began - spent
    seconds, shared = [], []
    for _ in range(QUERIES):
        near = rng.integers(len(graph.ids), size=CANDIDATES)
        found = [(graph.ids[at], 1 - n / CANDIDATES) for n, at in enumerate(dict.fromkeys(near))]
        vector = embed(["question"])[0]
        question = f"what does name {rng.integers(names)} have to do with it"
        began = time.perf_counter()
        graph.rank(question, vector, found, 200)
        seconds.append(time.perf_counter() - began)
        shared.append(_shared(graph.walk, rng))
    edges = len(graph.walk.indices) // 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return (
        f"| {len(graph.walk.degrees):,} | {edges:,} | {build:.1f} s | {peak:,} MB "
        f"| {np.median(seconds) * 1e3:.0f} ms | {np.quantile(seconds, 0.95) * 1e3:.0f} ms "
        f"| {np.mean(shared):.1f} |"
    )


def _facts(passages: int, names: int, rng: np.random.Generator) -> Iterator[Fact]:
    """Two facts a passage and more, until a node has about six edges."""
    count = 2 * (passages + names)
    ends = (names * rng.random((count, 2)) ** 2).astype(int)
    # So that every name and passage is in one at least.
    ends[: names // 2 + 1] = np.resize(np.arange(names), (names // 2 + 1, 2))
    places = np.arange(count) % passages
    for (one, other), place in zip(ends.tolist(), places.tolist(), strict=True):
        yield Fact(f"name {one}", "goes with", f"name {other}", (f"p{place}",))


def _shared(walk: Walk, rng: np.random.Generator) -> int:
    """How many of the best 200 nodes of an exact walk are among those of ours."""
    seeds = np.unique(rng.integers(len(walk.degrees), size=CANDIDATES))
    worth = rng.random(len(seeds)).astype(np.float32)
    worth /= worth.sum()
    visited, often = walk.from_seeds(seeds, worth)
    ours = set(visited[np.argsort(-often)[:200]].tolist())
    given = np.zeros(len(walk.degrees), np.float32)
    given[seeds] = worth
    exact = given
    owners = np.repeat(np.arange(len(walk.degrees)), np.diff(walk.starts))
    for _ in range(20):
        moved = walk.shares * exact[owners]
        exact = (1 - DAMPING) * given + DAMPING * np.bincount(
            walk.indices, moved, minlength=len(given)
        )
    return len(ours & set(np.argsort(-exact)[:200].tolist()))


if __name__ == "__main__":
    main()
