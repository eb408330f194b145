"""Dense vectors of the passages, in Chroma. The only module that imports it.

Derived from the catalogue and rebuilt from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chromadb
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import Settings as ChromaSettings
from chromadb.errors import ChromaError, NotFoundError
from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2

from scholar.errors import LibraryError
from scholar.library.embedding import Vectors32
from scholar.values import Passage

__all__ = ["ONNXMiniLM_L6_V2", "Vectors"]


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
        self._open()

    def _open(self) -> None:
        self._collection = self._client.get_or_create_collection(
            "passages", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def write(self, passages: Sequence[Passage], vectors: Vectors32) -> None:
        """Store one unit vector per passage, shape (len(passages), dimension). Idempotent."""
        step = self._client.get_max_batch_size()
        for at in range(0, len(passages), step):
            batch = passages[at : at + step]
            self._collection.upsert(
                ids=[passage.id for passage in batch],
                embeddings=vectors[at : at + step],
                documents=[passage.text for passage in batch],
                metadatas=[{"paper_id": passage.paper_id} for passage in batch],
            )

    def remove(self, paper_ids: Sequence[str]) -> None:
        """Drop all passages of the papers `paper_ids`."""
        if paper_ids:
            owners: list[str | int | float | bool] = list(paper_ids)
            self._collection.delete(where={"paper_id": {"$in": owners}})

    def clear(self) -> None:
        """Drop everything, also the dimension of the vectors."""
        self._client.delete_collection("passages")
        self._open()

    def search(self, vector: Vectors32, k: int) -> list[tuple[str, float]]:
        """The ids of the `k` passages nearest to `vector` with their cosines, best first."""
        try:
            k = min(k, self._collection.count())
        except NotFoundError:
            return []  # another process has begun to build them anew
        if k == 0:
            return []
        found = self._collection.query(
            query_embeddings=vector.reshape(1, -1), n_results=k, include=["distances"]
        )
        distances = found["distances"]
        assert distances is not None  # it was asked for
        return [(id, 1.0 - d) for id, d in zip(found["ids"][0], distances[0], strict=True)]

    def close(self) -> None:
        """Let go of the files."""
        self._client.close()
