"""What is made of a whole library at some expense, kept until that which it is made of changes."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Embed = Callable[[Sequence[str]], NDArray[np.float32] | None]
"""Turns texts into unit vectors, one row each, or says None where there is no embedder."""
Halves = NDArray[np.float16]
"""Half precision is a tenth of a percent off and takes half the memory."""
Words = Mapping[str, list[Any]]
Parts = tuple[Words, Mapping[str, NDArray[Any]], Halves | None]
"""What is kept of a thing: words by what they are, arrays by name, and the vectors of its texts."""

BATCH = 4_096
"""Texts embedded at a time, so that memory does not grow with the library."""

T = TypeVar("T")


class Derived(Generic[T]):
    """A thing kept in `folder`: `taken` apart to be written, and `put` together again.

    Safe to use from several threads, and by several processes: each state has a folder of its own.
    """

    def __init__(
        self, folder: Path, taken: Callable[[T], Parts], put: Callable[[Parts], T]
    ) -> None:
        self._folder = folder
        self._taken = taken
        self._put = put
        self._lock = threading.Lock()
        self._place: Path | None = None
        self._thing: T | None = None

    def at(self, state: str, embedder: str, make: Callable[[T | None], T]) -> T:
        """The thing as of `state`, the one kept or what `make` makes, given what there was.

        The vectors of another embedder are of no use, so what they are in is not given.
        """
        by = _named(embedder)
        place = self._folder / f"{by}-{_named(state)}"
        with self._lock:
            if self._thing is None or self._place != place:
                thing = self._load(place)
                if thing is None:
                    thing = make(self._former(by))
                    # A library that may only be read is searched all the same.
                    with suppress(OSError):
                        _save(self._taken(thing), place)
                        self._drop_all_but(place)
                self._thing, self._place = thing, place
            return self._thing

    def _former(self, by: str) -> T | None:
        if self._place and self._place.name.startswith(by):
            return self._thing
        there = (self._load(place) for place in self._places() if place.name.startswith(by))
        return next((thing for thing in there if thing is not None), None)

    def _load(self, place: Path) -> T | None:
        """What is in `place`, None where there is nothing or not a whole one."""
        try:
            return self._put(_read(place))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _drop_all_but(self, kept: Path) -> None:
        for place in self._places():
            if place != kept:
                shutil.rmtree(place, ignore_errors=True)  # another process may have come first

    def _places(self) -> list[Path]:
        return [place for place in self._folder.glob("*") if place.is_dir()]


def _named(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()[:12]


def embedded(
    texts: Sequence[str], embed: Embed, known: Sequence[str] = (), vectors: Halves | None = None
) -> Halves | None:
    """One row per text; those of texts that are `known` are taken from `vectors`."""
    places = {} if vectors is None else {text: at for at, text in enumerate(known)}
    kept = [(at, places[text]) for at, text in enumerate(texts) if text in places]
    new = [at for at, text in enumerate(texts) if text not in places]
    rows: Halves | None = None
    for start in range(0, len(new), BATCH):
        batch = new[start : start + BATCH]
        made = embed([texts[at] for at in batch])
        if made is None:
            return None
        if rows is None:
            rows = np.zeros((len(texts), made.shape[1]), np.float16)
        rows[batch] = made
    if kept and vectors is not None:
        rows = np.zeros((len(texts), vectors.shape[1]), np.float16) if rows is None else rows
        rows[[at for at, _ in kept]] = vectors[[place for _, place in kept]]
    return rows


def _save(parts: Parts, place: Path) -> None:
    words, arrays, vectors = parts
    part = place.with_name(f"{place.name}.{threading.get_ident()}")
    part.mkdir(parents=True, exist_ok=True)
    np.savez(part / "arrays.npz", **dict(arrays), allow_pickle=False)
    if vectors is not None:
        np.save(part / "vectors.npy", vectors)
    (part / "words.json").write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
    try:
        part.rename(place)
    except OSError:
        shutil.rmtree(part)  # another process has made the same


def _read(place: Path) -> Parts:
    words = json.loads((place / "words.json").read_text(encoding="utf-8"))
    with np.load(place / "arrays.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    # Mapped, since a query reads a few rows only.
    path = place / "vectors.npy"
    return words, arrays, np.load(path, mmap_mode="r") if path.exists() else None
