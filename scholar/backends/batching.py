"""Many replies from one model at once, step by step. Import this module only where it is used.

transformers has a continuous batching of its own, which cannot hold replies to a schema: a
request may bring it numbers (temperature, top-k, top-p), not a constraint that follows its text;
its processors see rows without knowing whose they are; and all requests share one random state,
so that a seed of one's own means nothing. This is the smallest scheduler that can.

One thread owns the model. In each turn it drops what was cancelled, lets in what waits, first
come first served, and writes one token of every reply. Keys and values lie in one block with a row
for each reply, all ending at the same column; what a new prompt shares with the beginning of one
that is or was lately here is copied, not computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from scholar.errors import ModelError, ModelRejected

CHUNK = 1_024
"""Tokens of waiting prompts that are read in one turn: replies under way pause no longer for it."""
KEPT_TOKENS = 16_384
"""Tokens whose keys and values are kept after their reply, for a prompt that begins alike; 2 GB of
a model of 8 billion parameters."""
WORTH_COPYING = 16
"""Tokens in common from which on copying is quicker than computing them anew."""
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


class Job(Protocol):
    """A reply that is to be written, as the batch sees it. All is called in the model's thread."""

    prompt: list[int]
    temperature: float
    generator: torch.Generator
    choices: Sequence[Sequence[int]]
    """Where there are some, they are rated instead of a reply written."""
    cancelled: bool

    def forced(self) -> int | None:
        """The next token where it does not depend on the model."""
        ...

    def mask(self, bits: torch.Tensor, row: int) -> bool:
        """Write the tokens allowed next into a row of `bits`; False where all are."""
        ...

    def take(self, token: int) -> bool:
        """The next token of the reply; returns whether it was the last."""
        ...

    def rated(self, scores: list[float]) -> None:
        """The log-probability of each of the choices after the prompt."""
        ...

    def fail(self, error: ModelError) -> None:
        """There will be no (more of the) reply."""
        ...


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


@dataclass(slots=True)
class Counts:
    """What the batch has done so far, in tokens, turns and replies."""

    read: int = 0
    """Tokens of prompts that were computed."""
    copied: int = 0
    """Tokens of prompts that were copied from one that begins alike."""
    written: int = 0
    steps: int = 0
    """Passes in which every reply got a token."""
    most: int = 0
    """Replies in the fullest of them."""


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded causal model; tokens from `vocabulary` on mean nothing and are never written."""

    name: str
    network: Any
    device: torch.device
    vocabulary: int


class Batch:
    """The replies that one model writes at once, at most `size`. Belongs to one thread."""

    def __init__(self, model: Model, size: int) -> None:
        self._model = model
        self._limit = self._size = size
        self._waiting: deque[Job] = deque()
        self._reading: _Reading | None = None
        self._rows: list[_Row] = []
        self._block = _new_cache()
        self._kept: list[tuple[list[int], Cache]] = []
        self.counts = Counts()

    def add(self, job: Job) -> None:
        """Let `job` wait for its turn."""
        if self.is_idle:
            self._size = self._limit  # what memory ran out for is over
        self._waiting.append(job)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._waiting or self.active)

    @property
    def active(self) -> int:
        """Replies being read for or written."""
        return len(self._rows) + (self._reading is not None)

    def fail_all(self, error: ModelError) -> None:
        """Let nobody wait for a reply that cannot come."""
        jobs = [*(job for job, _ in self._under_way()), *self._waiting]
        self._waiting.clear()
        self._forget()
        for job in jobs:
            job.fail(error)

    @torch.inference_mode()
    def turn(self) -> None:
        """Drop, let in, read, write: one token further for every reply under way."""
        self._drop_cancelled()
        try:
            self._read()
            if self._rows:
                self._write()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._make_do()

    # --- who is here

    def _under_way(self) -> list[tuple[Job, list[int]]]:
        """The replies that have begun, in the order in which they came, and their tokens."""
        rows = [(row.job, row.tokens) for row in self._rows]
        reading = self._reading
        return rows if reading is None else [*rows, (reading.job, reading.tokens)]

    def _forget(self) -> None:
        self._reading = None
        self._rows = []
        self._block = _new_cache()
        self._kept = []

    def _drop_cancelled(self) -> None:
        self._waiting = deque(job for job in self._waiting if not job.cancelled)
        reading = self._reading
        if reading and reading.job.cancelled:
            self._reading = None
            self._remember(reading.tokens[: reading.done], reading.cache)
        for row in [row for row in self._rows if row.job.cancelled]:
            self._leave(row)

    def _let_in(self) -> None:
        if self._waiting and self._reading is None and len(self._rows) < self._size:
            job = self._waiting[0]
            cache, done = self._shared(job.prompt)
            self._waiting.popleft()  # only now, lest it be lost where memory runs out
            self._reading = _Reading(job, list(job.prompt), cache, done)
            self.counts.copied += done

    def _shared(self, tokens: list[int]) -> tuple[Cache, int]:
        """A cache with the longest beginning of `tokens` that is here, and its length."""
        end = self._block.get_seq_length()
        here = [(row.tokens[: row.cached], self._block, at) for at, row in enumerate(self._rows)]
        known = [*here, *((tokens, cache, 0) for tokens, cache in self._kept)]
        # The last token is read in any case: what follows it is what is asked for.
        common = [_common(tokens[:-1], beginning) for beginning, _, _ in known]
        most = max(common, default=0)
        if most < WORTH_COPYING:
            return _new_cache(), 0
        beginning, cache, row = known[common.index(most)]
        start = end - len(beginning) if cache is self._block else 0
        return Cache(
            layers=[layer.cut(row, start, start + most) for layer in _columns(cache)]
        ), most

    def _join(self, reading: _Reading, token: int) -> None:
        """Make the reply that begins with `token` a row of the block."""
        length = reading.cache.get_seq_length()
        reading.tokens.append(token)
        if self._rows:
            for layer, other in zip(_columns(self._block), _columns(reading.cache), strict=True):
                if length > layer.length:
                    layer.shift(length - layer.length)
                layer.join(other)
        else:
            self._block = reading.cache
        self._rows.append(_Row(reading.job, reading.tokens))
        self._reading = None

    def _leave(self, row: _Row) -> None:
        at, end = self._rows.index(row), self._block.get_seq_length()
        layers = [layer.cut(at, end - row.cached, end) for layer in _columns(self._block)]
        self._remember(row.tokens[: row.cached], Cache(layers=list(layers)))
        for layer in _columns(self._block):
            layer.drop(at)
        del self._rows[at]
        if not self._rows:
            self._block = _new_cache()
            return
        spare = end - max(row.cached for row in self._rows)
        if spare > end // 2:
            for layer in _columns(self._block):
                layer.shift(-spare)

    def _remember(self, tokens: list[int], cache: Cache) -> None:
        """Keep what has been computed for `tokens`, and let go of the oldest for it."""
        if not tokens or any(known[: len(tokens)] == tokens for known, _ in self._kept):
            return
        self._kept = [kept for kept in self._kept if tokens[: len(kept[0])] != kept[0]]
        self._kept.append((tokens, cache))
        while sum(len(known) for known, _ in self._kept) > KEPT_TOKENS:
            del self._kept[0]

    def _make_do(self) -> None:
        """Memory ran out: forget what was computed, and go on with one reply less at a time."""
        under_way, had_kept = self._under_way(), bool(self._kept)
        self._forget()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(under_way) == 1 and not had_kept:
            job, tokens = under_way[0]
            job.fail(self._too_much(len(tokens)))
            return
        self._size = max(1, min(self._size, len(under_way) - 1))
        for job, tokens in reversed(under_way):
            job.prompt = tokens  # what it has written is read again, and then continued
            self._waiting.appendleft(job)

    def _too_much(self, tokens: int) -> ModelRejected:
        return ModelRejected(
            f"{self._model.name} ran out of memory ({self._model.device.type}) at {tokens:,} "
            "tokens; choose a smaller model, or set quantisation under [local] in scholar.toml."
        )

    # --- reading prompts

    def _read(self) -> None:
        left = CHUNK
        self._let_in()
        while self._reading and left > 0:
            reading = self._reading
            piece = reading.tokens[reading.done : reading.done + left]
            logits = self._pass(torch.tensor([piece]), reading.cache, reading.done)
            left -= len(piece)
            self.counts.read += len(piece)
            reading.done += len(piece)
            if reading.done == len(reading.tokens):
                self._begin(reading, logits)
                self._let_in()

    def _begin(self, reading: _Reading, logits: torch.Tensor) -> None:
        """The prompt is read: rate its choices, or write the first token of its reply."""
        job = reading.job
        if job.choices:
            scores = self._rate(reading.cache, logits[0], job.choices)
            self._reading = None
            self._remember(reading.tokens, reading.cache)
            job.rated(scores)
            return
        [token] = self._next_tokens([job], logits)
        if job.take(token):
            self._reading = None
            self._remember(reading.tokens, reading.cache)
        else:
            self._join(reading, token)

    def _rate(
        self, cache: Cache, logits: torch.Tensor, choices: Sequence[Sequence[int]]
    ) -> list[float]:
        first = torch.log_softmax(logits.float(), dim=-1)
        scores = [float(first[choice[0]]) for choice in choices]
        longer = [index for index, choice in enumerate(choices) if len(choice) > 1]
        for at in range(0, len(longer), self._size):
            part = longer[at : at + self._size]
            rest = self._rate_rest(cache, [choices[index] for index in part])
            for index, score in zip(part, rest, strict=True):
                scores[index] += score
        return scores

    def _rate_rest(self, cache: Cache, choices: Sequence[Sequence[int]]) -> list[float]:
        """The log-probability of each choice but for its first token, all in one pass."""
        width = max(map(len, choices)) - 1
        # What pads a choice comes after it, where it changes nothing.
        fed = torch.tensor([[*c[:-1], *[c[0]] * (width + 1 - len(c))] for c in choices])
        rows = Cache(layers=[layer.repeated(len(choices)) for layer in _columns(cache)])
        logits = self._pass(fed, rows, cache.get_seq_length(), last=False)
        logs = torch.log_softmax(logits.float(), dim=-1)
        return [
            sum(float(logs[row, at, token]) for at, token in enumerate(choice[1:]))
            for row, choice in enumerate(choices)
        ]

    # --- writing replies

    def _write(self) -> None:
        rows = list(self._rows)
        fed = torch.tensor([[row.tokens[-1]] for row in rows])
        cached = torch.tensor([row.cached for row in rows])
        logits = self._pass(fed, self._block, cached)
        tokens = self._next_tokens([row.job for row in rows], logits)
        self.counts.steps += 1
        self.counts.most = max(self.counts.most, len(rows))
        ended = []
        for row, token in zip(rows, tokens, strict=True):
            row.tokens.append(token)
            if row.job.take(token):
                ended.append(row)
        for row in ended:
            self._leave(row)

    def _pass(
        self, fed: torch.Tensor, cache: Cache, done: int | torch.Tensor, *, last: bool = True
    ) -> torch.Tensor:
        """The logits after `fed`, whose rows have `done` columns before them."""
        device, (rows, width) = self._model.device, fed.shape
        starts = torch.as_tensor(done).expand(rows)
        positions = starts[:, None] + torch.arange(width)
        length = cache.get_seq_length()
        mask = None
        if isinstance(done, torch.Tensor) and bool((done < length).any()):
            mask = (torch.arange(length + width) >= (length - starts)[:, None]).to(device)
        output = self._model.network(
            input_ids=fed.to(device),
            attention_mask=mask,
            position_ids=positions.to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1 if last else 0,
        )
        logits: torch.Tensor = output.logits
        return logits[:, -1] if last else logits

    def _next_tokens(self, jobs: list[Job], logits: torch.Tensor) -> list[int]:
        forced = [job.forced() for job in jobs]
        logits = logits.float()
        logits[:, self._model.vocabulary :] = -torch.inf
        self._constrain(jobs, logits, forced)
        chosen = logits.argmax(dim=-1).tolist()
        self.counts.written += len(jobs)
        for index, (job, token) in enumerate(zip(jobs, forced, strict=True)):
            if token is not None:
                chosen[index] = token
            elif job.temperature > 0:
                chosen[index] = _sample(logits[index], job)
        return chosen

    def _constrain(
        self, jobs: list[Job], logits: torch.Tensor, forced: Sequence[int | None]
    ) -> None:
        words = (logits.shape[1] + 31) // 32
        bits = torch.full((len(jobs), words), -1, dtype=torch.int32)
        free = [token is None for token in forced]
        held = [row for row, job in enumerate(jobs) if free[row] and job.mask(bits, row)]
        if held:
            import xgrammar

            xgrammar.apply_token_bitmask_inplace(logits, bits.to(logits.device), indices=held)


def _new_cache() -> Cache:
    return Cache(layer_class_to_replicate=Columns)


def _columns(cache: Cache) -> list[Columns]:
    return cast("list[Columns]", cache.layers)


def _common(one: list[int], other: list[int]) -> int:
    """How many tokens two sequences begin with alike."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return next(at for at in range(most) if one[at] != other[at])


def _sample(logits: torch.Tensor, job: Job) -> int:
    if logits.max() == -torch.inf:
        return 0  # nothing is allowed, and the job says so of any token
    chances = torch.softmax(logits / job.temperature, dim=-1).cpu()
    return int(torch.multinomial(chances, 1, generator=job.generator))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the accelerator or of the machine."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "can't allocate memory" in str(error) or "out of memory" in str(error).lower()
    )
