"""The vectors of passages, row by row in a file that is mapped into memory.

Chroma finds vectors by nearness; to read some of them by their passages takes it ten times as long,
and the catalogue twenty times as long as this. What is replaced stays in the files until a rebuild.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scholar.library.embedding import Vectors32

_ROW = np.dtype([("key", "<u8"), ("digest", "S16"), ("sum", "<u4"), ("width", "<u4")])
"""What is said of each vector: whose it is, of which text it was made, and how to tell a torn one.
"""
_SHA1 = np.dtype([("key", "<u8"), ("rest", "V12")])
"""The digest of an id, of which eight bytes are the key."""
MANY = 1_000
"""Vectors from which on they are read and not looked at: the first look at a page of the file takes
10 µs, a read 2, and 2,500 vectors lie on as many pages.
"""
TORN = "torn"
"""In place of the digest of a vector that is not as it was written."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows there are: their keys in order, and after each key the row that has it."""

    keys: NDArray[np.uint64]
    places: NDArray[np.int64]
    vectors: Vectors32


class Table:
    """The vectors in `folder`, one writer at a time, any number of readers and threads."""

    def __init__(self, folder: Path) -> None:
        self._about, self._numbers = folder / "table.rows", folder / "table.f32"
        self._lock = threading.Lock()
        self._read: _Rows | None = None

    def write(self, ids: Sequence[str], digests: Sequence[str], vectors: Vectors32) -> None:
        """Add the vectors of the passages `ids`, made of texts with these digests.

        They are found in place of those before. What is cut short leaves what was there as it was.
        """
        if not ids:
            return
        vectors = np.ascontiguousarray(vectors, np.float32)
        rows = np.zeros(len(ids), _ROW)
        rows["key"], rows["digest"] = _keys(ids), [digest.encode() for digest in digests]
        rows["sum"], rows["width"] = [zlib.crc32(row) for row in vectors], vectors.shape[1]
        there = self._count(vectors.shape[1])
        # A row counts once it is in both files, and is written over until then.
        _put(self._numbers, there * vectors.shape[1] * 4, vectors.tobytes())
        _put(self._about, there * _ROW.itemsize, rows.tobytes())
        with self._lock:
            self._read = None

    def of(self, ids: Sequence[str]) -> tuple[list[str], Vectors32]:
        """Those of the passages `ids` that have a vector, and these row by row."""
        rows = self._rows()
        if not len(rows.keys) or not ids:
            return [], np.zeros((0, 0), np.float32)
        keys = _keys(ids)
        at = np.searchsorted(rows.keys, keys, side="right") - 1
        there = rows.keys[at] == keys  # what is less than all is compared with the last
        if there.all():
            return list(ids), self._at(rows, rows.places[at])
        return list(compress(ids, there)), self._at(rows, rows.places[at[there]])

    def digests(self) -> dict[int, str]:
        """The digests of what the vectors were made of, each by the `key` of its passage.

        TORN where a vector is not as it was written.
        """
        about, numbers = self._whole()
        sums = np.fromiter(map(zlib.crc32, numbers), np.uint32, len(numbers))
        found = np.where(sums == about["sum"], about["digest"], TORN.encode())
        return dict(zip(about["key"].tolist(), map(bytes.decode, found.tolist()), strict=True))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._about.exists()

    def _at(self, rows: _Rows, places: NDArray[np.int64]) -> Vectors32:
        if len(places) <= MANY:
            return rows.vectors.take(places, axis=0)
        width = rows.vectors.shape[1]
        with self._numbers.open("rb", buffering=0) as file:
            read = [os.pread(file.fileno(), 4 * width, 4 * width * at) for at in places.tolist()]
        return np.frombuffer(b"".join(read), np.float32).reshape(-1, width)

    def _rows(self) -> _Rows:
        with self._lock:
            if self._read is None:
                about, vectors = self._whole()
                # Of equal keys the last one counts.
                order = np.argsort(about["key"], kind="stable")
                self._read = _Rows(np.ascontiguousarray(about["key"][order]), order, vectors)
            return self._read

    def _whole(self) -> tuple[NDArray[np.void], Vectors32]:
        """The rows that are in both files, and their vectors."""
        about = np.fromfile(self._about, _ROW) if self else np.zeros(0, _ROW)
        width = int(about["width"][0]) if len(about) else 1
        count = min(len(about), self._count(width))
        if not count:
            return about[:0], np.zeros((0, width), np.float32)
        numbers = np.memmap(self._numbers, np.float32, "r", shape=(count, width))
        return about[:count], np.asarray(numbers)

    def _count(self, width: int) -> int:
        """How many rows of `width` numbers are in both files; what is torn off is none."""
        rows = ((self._about, _ROW.itemsize), (self._numbers, 4 * width))
        return min(path.stat().st_size // size if path.exists() else 0 for path, size in rows)


def key(id: str) -> int:
    """The number that the passage `id` is found by."""
    return int.from_bytes(_sha1(id)[:8], "little")


def _keys(ids: Sequence[str]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(np.frombuffer(b"".join(map(_sha1, ids)), _SHA1)["key"])


def _sha1(id: str) -> bytes:
    # In half the time of blake2b.
    return hashlib.sha1(id.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()


def _put(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(at)
        file.write(data)
