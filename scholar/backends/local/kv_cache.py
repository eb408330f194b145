"""Keys and values of many replies in one block, a row for each, all ending at the same column.

Import this module only where it is used: it loads torch and transformers.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

_STEP = 64
"""Columns are added by so many at least, so that not every token moves the block."""


class Columns(CacheLayerMixin):
    """The keys and values of one layer: rows × heads × columns × size, with room to spare."""

    is_sliding = False  # rows begin at columns of their own, so windows are left to the mask
    keys: Any
    values: Any

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.length = 0
        self.rows = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to prepare; room is made when it is needed."""
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append columns; returns all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.rows = key_states.shape[0]
        end = self.length + key_states.shape[2]
        self.keys = _with_room(self.keys, key_states, self.rows, end)
        self.values = _with_room(self.values, value_states, self.rows, end)
        self.keys[: self.rows, :, self.length : end] = key_states
        self.values[: self.rows, :, self.length : end] = value_states
        self.length = end
        return self.keys[: self.rows, :, :end], self.values[: self.rows, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that a query of this length sees, and where they begin."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.length

    def get_max_length(self) -> int:
        """No bound."""
        return -1

    def cut(self, row: int, start: int, end: int) -> Columns:
        """A copy of some columns of one row."""
        copy = Columns()
        copy.is_initialized, copy.rows, copy.length = True, 1, end - start
        copy.keys = self.keys[row : row + 1, :, start:end].clone()
        copy.values = self.values[row : row + 1, :, start:end].clone()
        return copy

    def repeated(self, rows: int) -> Columns:
        """A copy of the first row, so many times."""
        copy = Columns()
        copy.is_initialized, copy.rows, copy.length = True, rows, self.length
        copy.keys = self.keys[:1, :, : self.length].repeat(rows, 1, 1, 1)
        copy.values = self.values[:1, :, : self.length].repeat(rows, 1, 1, 1)
        return copy

    def shift(self, by: int) -> None:
        """Move all columns to the right, or to the left where `by` is negative."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros(*old.shape[:2], max(old.shape[2] + by, 0), old.shape[3])
            kept = old[:, :, max(-by, 0) : self.length]
            new[:, :, max(by, 0) : max(by, 0) + kept.shape[2]] = kept
            setattr(self, name, new)
        self.length += by

    def join(self, other: Columns) -> None:
        """Take the row of `other`, which is no longer than this, in as the last."""
        start = self.length - other.length
        rows = self.rows + 1
        self.keys = _with_room(self.keys, other.keys, rows, self.length)
        self.values = _with_room(self.values, other.values, rows, self.length)
        self.keys[self.rows, :, start : self.length] = other.keys[0, :, : other.length]
        self.values[self.rows, :, start : self.length] = other.values[0, :, : other.length]
        self.rows = rows

    def drop(self, row: int) -> None:
        """Take one row out; those after it move up, so that they stay in the order they came in."""
        for name in ("keys", "values"):
            block = getattr(self, name)
            for at in range(row + 1, self.rows):
                block[at - 1, :, : self.length] = block[at, :, : self.length]
        self.rows -= 1


def _with_room(
    old: torch.Tensor | None, like: torch.Tensor, rows: int, columns: int
) -> torch.Tensor:
    """`old`, or a larger block that begins with it, for at least so many rows and columns."""
    if old is not None and old.shape[0] >= rows and old.shape[2] >= columns:
        return old
    have_rows, have_columns = (old.shape[0], old.shape[2]) if old is not None else (0, 0)
    if rows > have_rows:
        rows = max(rows, 2 * have_rows)
    if columns > have_columns:
        columns += max(_STEP, columns // 4)
    shape = max(rows, have_rows), like.shape[1], max(columns, have_columns), like.shape[3]
    new = like.new_zeros(shape)
    if old is not None:
        new[:have_rows, :, :have_columns] = old
    return new


def empty() -> Cache:
    """A cache of such layers, with nothing in it."""
    return Cache(layer_class_to_replicate=Columns)


def columns(cache: Cache) -> list[Columns]:
    """The layers of such a cache."""
    return cast("list[Columns]", cache.layers)


def cut(cache: Cache, row: int, start: int, end: int) -> Cache:
    """A copy of some columns of one row."""
    return Cache(layers=[layer.cut(row, start, end) for layer in columns(cache)])


def repeated(cache: Cache, rows: int) -> Cache:
    """A copy of the first row, so many times."""
    return Cache(layers=[layer.repeated(rows) for layer in columns(cache)])


def join(cache: Cache, other: Cache) -> None:
    """Take the one row of `other` into `cache`, as the last."""
    for layer, new in zip(columns(cache), columns(other), strict=True):
        if new.length > layer.length:
            layer.shift(new.length - layer.length)
        layer.join(new)


def drop(cache: Cache, row: int, longest: int) -> None:
    """Take one row out; `longest` is the most columns that another has."""
    for layer in columns(cache):
        layer.drop(row)
        spare = layer.length - longest
        if spare > layer.length // 2:
            layer.shift(-spare)
