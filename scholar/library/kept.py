"""The vectors of passages as they were made, kept in the catalogue: embedding is what takes time.

Chroma's own are found by nearness; to look up one by its passage takes it ten times as long.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import sqlalchemy as sa

from scholar.library.catalogue import Catalogue
from scholar.library.embedding import Vectors32
from scholar.library.quick import VECTORS
from scholar.library.rows import chunks, delete, insert
from scholar.library.schema import embedded, passages

PAGE = 2_000
"""Vectors read at a time: 3 MB."""


class Kept:
    """The vectors in `catalogue`; each goes with its passage."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def put(
        self, embedder: str, ids: Sequence[str], digests: Sequence[str], vectors: Vectors32
    ) -> None:
        """Keep the vectors that `embedder` made of texts with these digests, for passages here."""
        made = zip(ids, digests, vectors, strict=True)
        rows = {
            id: {"passage_id": id, "embedder": embedder, "digest": digest, "vector": row.tobytes()}
            for id, digest, row in made
        }
        with self._catalogue.transaction() as connection:
            delete(connection, embedded.c.passage_id, rows)
            here: set[str] = set()
            for chunk in chunks(rows):
                here |= set(
                    connection.scalars(sa.select(passages.c.id).where(passages.c.id.in_(chunk)))
                )
            insert(connection, embedded, [row for id, row in rows.items() if id in here])

    def of(self, embedder: str, ids: Iterable[str]) -> dict[str, Vectors32]:
        """The vectors that `embedder` made, by passage, of those that have one."""
        return {id: vector for id, (_, vector) in self._rows(embedder, ids).items()}

    def all(self, embedder: str) -> Iterator[tuple[list[str], list[str], Vectors32]]:
        """All that `embedder` made, PAGE at a time: passages, digests and vectors row by row."""
        after = ""
        columns = (embedded.c.passage_id, embedded.c.digest, embedded.c.vector)
        query = sa.select(*columns).where(embedded.c.embedder == embedder)
        query = query.order_by(embedded.c.passage_id).limit(PAGE)
        while rows := self._catalogue.fetch(query.where(embedded.c.passage_id > after)):
            ids, digests, vectors = zip(*(row.values() for row in rows), strict=True)
            yield (
                list(ids),
                list(digests),
                np.frombuffer(b"".join(vectors), np.float32).reshape(len(ids), -1),
            )
            after = ids[-1]

    def made_of(self, embedder: str, digests: Mapping[str, str]) -> dict[str, Vectors32]:
        """The same by digest, of the passages named whose text had that digest."""
        rows = self._rows(embedder, digests)
        return {digest: vector for id, (digest, vector) in rows.items() if digests[id] == digest}

    def _rows(self, embedder: str, ids: Iterable[str]) -> dict[str, tuple[str, Vectors32]]:
        wanted = json.dumps(list(ids))
        rows = self._catalogue.quick.read(VECTORS, embedder=embedder, ids=wanted)
        return {id: (digest, np.frombuffer(vector, np.float32)) for id, digest, vector in rows}
