"""Papers of the library with what it takes to draw them: a vector each, and who cites whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from scholar.library.embedding import Vectors32
from scholar.library.lexical import Lexical
from scholar.library.rows import chunks
from scholar.library.schema import passages
from scholar.library.store import Store
from scholar.values import Paper

MOST = 400
"""Papers drawn at most: as many dots as a phone shows apart, placed in half a second."""
OPENING = 8
"""Passages from its beginning that stand for a paper: abstract, introduction, method."""
WORDS = 1_024
"""Places that terms share where there is no embedder; of 400 papers hardly two collide in a way
that shows.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """Papers, those that matter first, with one unit vector each, shape (len(papers), any).

    `by_words` where the vectors are made of terms, for want of an embedder. `citations` are pairs
    of places in `papers`, of which the first cites the second. `total` papers are in the library.
    """

    papers: tuple[Paper, ...]
    vectors: Vectors32
    by_words: bool
    citations: tuple[tuple[int, int], ...]
    total: int


def atlas(store: Store, used: Sequence[str], most: int = MOST) -> Atlas:
    """The papers `used` that are here; of the others those that cite them or are cited by them, up
    to half of what there is room for, then a sample that is always the same. `most` together, but
    all that are used.
    """
    cited = store.catalogue.citations()
    shown, total = _choose(store, used, cited, most)
    ids = _openings(store, shown)
    wanted = [id for some in ids.values() for id in some]
    own = store.dense.by_id(wanted)
    vectors = {paper: _mean([own[id] for id in some if id in own]) for paper, some in ids.items()}
    placed = {paper: vector for paper, vector in vectors.items() if vector is not None}
    by_words = not placed or any(id in ids and id not in placed for id in used)
    if by_words:
        placed = _by_words(store, ids)
    papers = store.catalogue.papers([id for id in shown if id in placed])
    at = {paper.id: n for n, paper in enumerate(papers)}
    rows = [placed[paper.id] for paper in papers]
    table = np.stack(rows) if rows else np.zeros((0, 2), np.float32)
    edges = tuple((at[a], at[b]) for a, b in cited if a in at and b in at and a != b)
    return Atlas(tuple(papers), table, by_words, edges, total)


def _choose(
    store: Store, used: Sequence[str], cited: Iterable[tuple[str, str]], most: int
) -> tuple[list[str], int]:
    """The ids of the papers to show, and how many there are in all."""
    all_ids = store.catalogue.ids()
    there = set(all_ids)
    kept = dict.fromkeys(id for id in used if id in there)
    near = {b if a in kept else a: None for a, b in cited if (a in kept) != (b in kept)}
    shown = [*kept, *list(near)[: max(0, most - len(kept)) // 2]]
    known = {*kept, *near}
    rest = [id for id in all_ids if id not in known]
    room = min(most - len(shown), len(rest))
    if room > 0:
        shown += [rest[n * len(rest) // room] for n in range(room)]
    return shown, len(all_ids)


def _openings(store: Store, papers: Sequence[str]) -> dict[str, list[str]]:
    """The ids of the first passages of `papers`, of those that have any."""
    found: dict[str, list[str]] = {}
    query = sa.select(passages.c.paper_id, passages.c.id).where(passages.c.seq < OPENING)
    query = query.order_by(passages.c.paper_id, passages.c.seq)
    for chunk in chunks(papers):
        for row in store.catalogue.fetch(query.where(passages.c.paper_id.in_(chunk))):
            found.setdefault(row["paper_id"], []).append(row["id"])
    return found


def _mean(vectors: Sequence[Vectors32]) -> Vectors32 | None:
    return _unit(np.mean(vectors, axis=0)) if vectors else None


def _unit(vector: Vectors32) -> Vectors32:
    length = float(np.linalg.norm(vector))
    return (vector / length if length else vector).astype(np.float32)


def _by_words(store: Store, ids: dict[str, list[str]]) -> dict[str, Vectors32]:
    """Vectors of the terms of each paper's opening, the rare ones weighing more."""
    owner = {some[0]: paper for paper, some in ids.items()}
    texts = {owner[p.id]: p.text for p in store.catalogue.passages(list(owner))}
    titles = store.catalogue.titles(list(texts))
    terms = {
        paper: set(store.lexical.terms(f"{titles.get(paper, '')} {text}"))
        for paper, text in texts.items()
    }
    return _hashed(terms, store.lexical)


def _hashed(terms: dict[str, set[str]], lexical: Lexical) -> dict[str, Vectors32]:
    places: dict[str, int] = {}
    for term in sorted(set().union(*terms.values())):
        places[term] = len(places) % WORDS
    idf = lexical.idf(list(places))
    vectors: dict[str, Vectors32] = {}
    for paper, said in terms.items():
        vector = np.zeros(WORDS, np.float32)
        for term in said:
            vector[places[term]] += idf.get(term, 0.0)
        vectors[paper] = _unit(vector)
    return vectors
