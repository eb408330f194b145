"""Many replies from one model at once, step by step. Import this module only where it is used.

transformers has a continuous batching of its own, which cannot hold replies to a schema: a
request may bring it numbers (temperature, top-k, top-p), not a constraint that follows its text;
its processors see rows without knowing whose they are; and all requests share one random state,
so that a seed of one's own means nothing. This is the smallest scheduler that can.

One thread owns the model. In each turn it drops what was cancelled, lets in what waits, first
come first served, and writes one token of every reply.
"""

from __future__ import annotations

from collections import deque

import torch

from scholar.backends.local.accelerator import free_memory, is_out_of_memory
from scholar.backends.local.lane import Counts, Job, Lane
from scholar.errors import ModelError, ModelRejected

CHUNK = 1_024
"""Tokens of waiting prompts that are read in one turn: replies under way pause no longer for it."""


class Scheduler:
    """The replies to be written by the model `name` in its `lane`. Belongs to one thread."""

    def __init__(self, name: str, device: torch.device, lane: Lane) -> None:
        self._name = name
        self._device = device
        self._lane = lane
        self._size = lane.size
        self._waiting: deque[Job] = deque()

    def add(self, job: Job) -> None:
        """Let `job` wait for its turn."""
        if self.is_idle:
            self._lane.size = self._size  # what memory ran out for is over
        self._waiting.append(job)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._waiting or self._lane.under_way)

    @property
    def counts(self) -> Counts:
        """What has been done so far."""
        return self._lane.counts

    def fail_all(self, error: ModelError) -> None:
        """Let nobody wait for a reply that cannot come."""
        jobs = [*(job for job, _ in self._lane.under_way), *self._waiting]
        self._waiting.clear()
        self._lane.forget()
        for job in jobs:
            job.fail(error)

    @torch.inference_mode()
    def turn(self) -> None:
        """Drop, let in, read, write: one token further for every reply under way."""
        self._waiting = deque(job for job in self._waiting if not job.cancelled)
        self._lane.drop_cancelled()
        try:
            left = CHUNK
            while left > 0 and (self._let_in() or self._lane.is_reading):
                left -= self._lane.read(left)
            self._lane.write()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._make_do()

    def _let_in(self) -> bool:
        if not (self._waiting and self._lane.has_room):
            return False
        self._lane.enter(self._waiting[0])
        self._waiting.popleft()  # only now, lest it be lost where memory runs out
        return True

    def _make_do(self) -> None:
        """Memory ran out: forget what was computed, and go on with one reply less at a time."""
        under_way = self._lane.under_way
        had_kept = self._lane.forget()
        free_memory(self._device)
        if len(under_way) == 1 and not had_kept:
            job, tokens = under_way[0]
            job.fail(self._too_much(len(tokens)))
            return
        self._lane.size = max(1, min(self._lane.size, len(under_way) - 1))
        for job, tokens in reversed(under_way):
            job.prompt = tokens  # what it has written is read again, and then continued
            self._waiting.appendleft(job)

    def _too_much(self, tokens: int) -> ModelRejected:
        return ModelRejected(
            f"{self._name} ran out of memory ({self._device.type}) at {tokens:,} "
            "tokens; choose a smaller model, or set quantisation under [local] in scholar.toml."
        )
