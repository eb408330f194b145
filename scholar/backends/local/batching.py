"""Continuous batching: replies come and go while others are written, all in one block of cache.

Import this module only where it is used: it loads torch and transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache

from scholar.backends.local import kv_cache
from scholar.backends.local.accelerator import Meter
from scholar.backends.local.lane import Counts, Job
from scholar.backends.local.prefix_cache import PrefixCache
from scholar.backends.local.sampling import likelihoods, next_tokens
from scholar.backends.local.weights import Weights


@dataclass(eq=False, slots=True)
class _Row:
    """A reply under way: all its tokens, of which the last is not yet in the block."""

    job: Job
    tokens: list[int]

    @property
    def cached(self) -> int:
        """Columns that it has in the block."""
        return len(self.tokens) - 1


@dataclass(eq=False, slots=True)
class _Reading:
    """A prompt that is being read: what of it is in `cache` already."""

    job: Job
    tokens: list[int]
    cache: Cache
    done: int


class BatchedLane:
    """For models of attention alone: a pass reads one token of every reply, or a piece of a prompt.

    What a new prompt shares with the beginning of one that is or was lately here is copied.
    """

    def __init__(self, weights: Weights, size: int, meter: Meter) -> None:
        self.size = size
        self.counts = Counts()
        self._weights = weights
        self._meter = meter
        self._reading: _Reading | None = None
        self._rows: list[_Row] = []
        self._block = kv_cache.empty()
        self._prefixes = PrefixCache()

    @property
    def under_way(self) -> list[tuple[Job, list[int]]]:
        rows = [(row.job, row.tokens) for row in self._rows]
        reading = self._reading
        return rows if reading is None else [*rows, (reading.job, reading.tokens)]

    @property
    def has_room(self) -> bool:
        return self._reading is None and len(self._rows) < self.size

    @property
    def is_reading(self) -> bool:
        return self._reading is not None

    def forget(self) -> bool:
        had_kept = len(self._prefixes) > 0
        self._reading = None
        self._rows = []
        self._block = kv_cache.empty()
        self._prefixes = PrefixCache()
        return had_kept

    def drop_cancelled(self) -> None:
        reading = self._reading
        if reading and reading.job.cancelled:
            self._reading = None
            self._prefixes.keep(reading.tokens[: reading.done], reading.cache)
        for row in [row for row in self._rows if row.job.cancelled]:
            self._leave(row)

    def enter(self, job: Job) -> None:
        here = [(row.tokens[: row.cached], self._block, at) for at, row in enumerate(self._rows)]
        cache, done = self._prefixes.begun(job.prompt, here)
        self._reading = _Reading(job, list(job.prompt), cache, done)
        self.counts.copied += done

    def _join(self, reading: _Reading, token: int) -> None:
        """Make the reply that begins with `token` a row of the block."""
        reading.tokens.append(token)
        if self._rows:
            kv_cache.join(self._block, reading.cache)
        else:
            self._block = reading.cache
        self._rows.append(_Row(reading.job, reading.tokens))

    def _leave(self, row: _Row) -> None:
        at, end = self._rows.index(row), self._block.get_seq_length()
        kept = kv_cache.cut(self._block, at, end - row.cached, end)
        self._prefixes.keep(row.tokens[: row.cached], kept)
        del self._rows[at]
        if self._rows:
            kv_cache.drop(self._block, at, max(row.cached for row in self._rows))
        else:
            self._block = kv_cache.empty()

    # --- reading prompts

    def read(self, most: int) -> int:
        reading = self._reading
        if reading is None:
            return 0
        piece = reading.tokens[reading.done : reading.done + most]
        with self._meter.shared([reading.job]):
            logits = self._pass(torch.tensor([piece]), reading.cache, reading.done)
        self.counts.read += len(piece)
        reading.done += len(piece)
        if reading.done == len(reading.tokens):
            self._begin(reading, logits)
        return len(piece)

    def _begin(self, reading: _Reading, logits: torch.Tensor) -> None:
        """The prompt is read: rate its choices, or write the first token of its reply."""
        job = reading.job
        if job.choices:
            with self._meter.shared([job]):
                scores = self._rate(reading.cache, logits, job.choices)
            self._end(reading)
            job.rated(scores)
            return
        with self._meter.shared([job]):
            [token] = self._next_tokens([job], logits)
        if job.take(token):
            self._end(reading)
        else:
            self._join(reading, token)
            self._reading = None

    def _end(self, reading: _Reading) -> None:
        self._reading = None
        self._prefixes.keep(reading.tokens, reading.cache)

    def _rate(
        self, cache: Cache, logits: torch.Tensor, choices: Sequence[Sequence[int]]
    ) -> list[float]:
        first = torch.log_softmax(logits[0].float(), dim=-1)
        scores = [float(first[choice[0]]) for choice in choices]
        longer = [index for index, choice in enumerate(choices) if len(choice) > 1]
        for at in range(0, len(longer), self.size):
            part = longer[at : at + self.size]
            rest = self._rate_rest(cache, [choices[index] for index in part])
            for index, score in zip(part, rest, strict=True):
                scores[index] += score
        return scores

    def _rate_rest(self, cache: Cache, choices: Sequence[Sequence[int]]) -> list[float]:
        """The log-probability of each choice but for its first token, all in one pass."""
        width = max(map(len, choices)) - 1
        # What pads a choice comes after it, where it changes nothing.
        fed = torch.tensor([[*c[:-1], *[c[0]] * (width + 1 - len(c))] for c in choices])
        rows = kv_cache.repeated(cache, len(choices))
        logits = self._pass(fed, rows, cache.get_seq_length(), last=False)
        return likelihoods(logits, [choice[1:] for choice in choices])

    # --- writing replies

    def write(self) -> None:
        rows = list(self._rows)
        if not rows:
            return
        jobs = [row.job for row in rows]
        fed = torch.tensor([[row.tokens[-1]] for row in rows])
        cached = torch.tensor([row.cached for row in rows])
        with self._meter.shared(jobs):
            logits = self._pass(fed, self._block, cached)
            tokens = self._next_tokens(jobs, logits)
        self.counts.steps += 1
        self.counts.most = max(self.counts.most, len(rows))
        ended = []
        for row, token in zip(rows, tokens, strict=True):
            row.tokens.append(token)
            if row.job.take(token):
                ended.append(row)
        for row in ended:
            self._leave(row)

    def _next_tokens(self, jobs: list[Job], logits: torch.Tensor) -> list[int]:
        self.counts.written += len(jobs)
        return next_tokens(jobs, logits, self._weights.vocabulary)

    def _pass(
        self, fed: torch.Tensor, cache: Cache, done: int | torch.Tensor, *, last: bool = True
    ) -> torch.Tensor:
        """The logits after `fed`, whose rows have `done` columns before them."""
        device, (rows, width) = self._weights.device, fed.shape
        starts = torch.as_tensor(done).expand(rows)
        positions = starts[:, None] + torch.arange(width)
        length = cache.get_seq_length()
        mask = None
        if isinstance(done, torch.Tensor) and bool((done < length).any()):
            mask = (torch.arange(length + width) >= (length - starts)[:, None]).to(device)
        output = self._weights.network(
            input_ids=fed.to(device),
            attention_mask=mask,
            position_ids=positions.to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1 if last else 0,
        )
        logits: torch.Tensor = output.logits
        return logits[:, -1] if last else logits
