"""Dense vectors of the passages, in Chroma. The only module that imports it.

Derived from the catalogue and rebuilt from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import chromadb
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.api.types import GetResult
from chromadb.config import Settings as ChromaSettings
from chromadb.errors import ChromaError, NotFoundError
from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2

from scholar.errors import LibraryError
from scholar.library.embedding import Vectors32
from scholar.library.rows import fingerprint
from scholar.library.table import Table, key
from scholar.values import Passage

__all__ = ["ONNXMiniLM_L6_V2", "Vectors"]

PAGE = 2_000
"""Rows read at a time: SQLite takes 32,766 variables."""


class Vectors:
    """A Chroma collection of passages in `folder`, compared by cosine.

    Raises LibraryError where the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        try:
            # Only the concrete client, not the ClientAPI it is declared as, can be closed.
            self._client: Any = chromadb.PersistentClient(
                path=str(folder), settings=ChromaSettings(anonymized_telemetry=False)
            )
        except ChromaError as error:
            # Or the next try would get the broken one again.
            SharedSystemClient._identifier_to_system.pop(str(folder), None)
            raise LibraryError(
                f"The vectors in {folder} cannot be used ({error}); "
                "delete that folder, then: scholar library rebuild."
            ) from error
        self.table = Table(folder)
        self._open()

    def _open(self) -> None:
        self._count: int | None = None
        self._collection = self._client.get_or_create_collection(
            "passages", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def write(self, passages: Sequence[Passage], texts: Sequence[str], vectors: Vectors32) -> None:
        """Store one unit vector per passage, shape (len(passages), dimension). Idempotent.

        The texts are not stored: the catalogue has them, and here they would cost more than the
        vectors do.
        """
        self._count = None
        digests = [fingerprint(text) for text in texts]
        # Before Chroma, by which it is told whether a passage has been written.
        self.table.write([passage.id for passage in passages], digests, vectors)
        step = self._client.get_max_batch_size()
        for at in range(0, len(passages), step):
            batch = passages[at : at + step]
            self._collection.upsert(
                ids=[passage.id for passage in batch],
                embeddings=vectors[at : at + step],
                metadatas=[
                    {"paper_id": passage.paper_id, "digest": digest}
                    for passage, digest in zip(batch, digests[at : at + step], strict=True)
                ],
            )

    def digests_in(self, paper_ids: Sequence[str]) -> dict[str, str]:
        """What `digests` says of the passages of the papers `paper_ids`."""
        owners: list[str | int | float | bool] = list(paper_ids)
        got = self._collection.get(where={"paper_id": {"$in": owners}}, include=["metadatas"])
        return dict(_digests(got))

    def remove(self, ids: Sequence[str]) -> None:
        """Drop the passages `ids`."""
        self._count = None
        for at in range(0, len(ids), PAGE):
            self._collection.delete(ids=list(ids[at : at + PAGE]))

    def count(self) -> int:
        """How many passages have a vector, as far as this process knows.

        Remembered between its writes, as Chroma counts row by row: 15 ms for 4,000.
        """
        if self._count is None:
            self._count = int(self._collection.count())
        return self._count

    def search(
        self, vector: Vectors32, k: int, among: Sequence[str] | None = None
    ) -> list[tuple[str, float]]:
        """The ids of the `k` passages nearest to `vector` with their cosines, best first.

        With `among`, of these alone.
        """
        try:
            k = min(k, self.count(), *([] if among is None else [len(among)]))
            if k == 0:
                return []
            found = self._collection.query(
                query_embeddings=vector.reshape(1, -1),
                n_results=k,
                ids=None if among is None else list(among),
                include=["distances"],
            )
        except NotFoundError:
            return []  # another process has begun to build them anew
        distances = found["distances"]
        assert distances is not None  # it was asked for
        return [(id, 1.0 - d) for id, d in zip(found["ids"][0], distances[0], strict=True)]

    def digests(self) -> Iterator[tuple[str, str]]:
        """The id of each passage that has its vector in both places, and the digest of the text it
        was made of.

        The digest is empty where a version that kept none has written it.
        """
        kept = self.table.digests()
        at = 0
        while True:
            got = self._collection.get(limit=PAGE, offset=at, include=["metadatas"])
            # The names lie in SQLite and the vectors in a graph: one may be there alone.
            vectors = self._collection.get(ids=got["ids"], include=["embeddings"])
            there = set(vectors["ids"])
            for id, digest in _digests(got):
                also = kept.get(key(id))
                if id in there and also is not None:
                    yield id, digest if digest == also else also
            if len(got["ids"]) < PAGE:
                return
            at += PAGE

    def close(self) -> None:
        """Let go of the files."""
        self._client.close()


def _digests(got: GetResult) -> Iterator[tuple[str, str]]:
    for id, metadata in zip(got["ids"], got["metadatas"] or [], strict=True):
        yield id, str((metadata or {}).get("digest", ""))
