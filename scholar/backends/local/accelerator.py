"""The device that a model runs on: its memory, and the seconds that it works for each request.

Import this module only where it is used: it loads torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch


class Payer(Protocol):
    """What the device works for. `gpu_seconds` grows by its share; on a CPU it stays 0."""

    gpu_seconds: float


class Meter:
    """Shares the seconds of a device out among those it works for at the same time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._counts = is_accelerator(device)

    @contextmanager
    def shared(self, payers: Sequence[Payer]) -> Iterator[None]:
        """The block is work for all of `payers` alike; it ends when the device has done it."""
        if not self._counts:
            yield
            return
        began = time.perf_counter()
        try:
            yield
            _wait_for(self._device)
        finally:
            share = (time.perf_counter() - began) / len(payers)
            for payer in payers:
                payer.gpu_seconds += share


def is_accelerator(device: torch.device) -> bool:
    """Whether the seconds of `device` count as those of a GPU."""
    return device.type != "cpu"


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def free_memory(device: torch.device) -> None:
    """Give back what torch holds of the memory of `device` without using it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the accelerator or of the machine."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "can't allocate memory" in str(error) or "out of memory" in str(error).lower()
    )
