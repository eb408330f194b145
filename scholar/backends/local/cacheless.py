"""Lanes for models whose replies no common block of keys and values can serve.

Import this module only where it is used: it loads torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from scholar.backends.local.accelerator import Meter
from scholar.backends.local.lane import Counts, Job
from scholar.backends.local.sampling import likelihoods, next_tokens
from scholar.backends.local.weights import Weights


@dataclass(eq=False, slots=True)
class Row:
    """A reply under way: all its tokens, and where it has a `cache`, how many are in it."""

    job: Job
    tokens: list[int]
    cache: Any = None
    done: int = 0


class CachelessLane:
    """Reads all that went before anew for every token, of all replies in one pass.

    So it serves whatever can be read from its beginning, at a price that grows with the square of
    the length: adapters that weigh the whole text, and models of an encoder and a decoder.
    """

    def __init__(self, weights: Weights, size: int, meter: Meter) -> None:
        self.size = size
        self.counts = Counts()
        self._weights = weights
        self._meter = meter
        self._rows: list[Row] = []
        self._keeps = "logits_to_keep" in inspect.signature(weights.base.forward).parameters

    @property
    def under_way(self) -> list[tuple[Job, list[int]]]:
        return [(row.job, row.tokens) for row in self._rows]

    @property
    def has_room(self) -> bool:
        return len(self._rows) < self.size

    @property
    def is_reading(self) -> bool:
        return False

    def forget(self) -> bool:
        self._rows = []
        return False

    def drop_cancelled(self) -> None:
        self._rows = [row for row in self._rows if not row.job.cancelled]

    def enter(self, job: Job) -> None:
        self._rows.append(Row(job, list(job.prompt)))

    def read(self, most: int) -> int:
        return 0

    def write(self) -> None:
        for row in [row for row in self._rows if row.job.choices]:
            with self._meter.shared([row.job]):
                scores = self._rate(row.job)
            self._rows.remove(row)
            row.job.rated(scores)
        if self._rows:
            self._step(list(self._rows))

    def _step(self, rows: list[Row]) -> None:
        jobs = [row.job for row in rows]
        with self._meter.shared(jobs):
            tokens = next_tokens(jobs, self._logits(rows), self._weights.vocabulary)
        self.counts.written += len(rows)
        self.counts.steps += 1
        self.counts.most = max(self.counts.most, len(rows))
        for row, token in zip(rows, tokens, strict=True):
            row.tokens.append(token)
            if row.job.take(token):
                self._rows.remove(row)

    def _logits(self, rows: Sequence[Row]) -> torch.Tensor:
        """The logits after each row."""
        texts = [row.tokens for row in rows]
        return self._pass(texts, [row.job.sent for row in rows], [1] * len(rows))[:, 0]

    def _rate(self, job: Job) -> list[float]:
        scores: list[float] = []
        for at in range(0, len(job.choices), self.size):
            part = job.choices[at : at + self.size]
            texts = [[*job.prompt, *choice[:-1]] for choice in part]
            logits = self._pass(texts, [job.sent] * len(part), list(map(len, part)))
            scores += likelihoods(logits, part)
        return scores

    def _pass(
        self, texts: Sequence[list[int]], sent: Sequence[int], last: Sequence[int]
    ) -> torch.Tensor:
        """The logits after each of the last tokens of each text, so many as `last` says.

        Of each text, so many tokens are the prompt's as `sent` says.
        """
        written, given = self._inputs(texts, sent)
        # Counted from the end, as an adapter may put something before the beginning.
        beyond = max(map(len, written))
        places = [
            [min(len(text) - count + at, len(text) - 1) - beyond for at in range(max(last))]
            for text, count in zip(written, last, strict=True)
        ]
        if self._keeps:
            kept = sorted({place for row in places for place in row})
            places = [[kept.index(place) for place in row] for row in places]
            given["logits_to_keep"] = torch.tensor(kept, device=self._weights.device)
        logits: torch.Tensor = self._weights.network(use_cache=False, **given).logits
        return torch.stack([logits[row, at] for row, at in enumerate(places)])

    def _inputs(
        self, texts: Sequence[list[int]], sent: Sequence[int]
    ) -> tuple[Sequence[list[int]], dict[str, Any]]:
        """What the reply is written after, and what the model is given."""
        start = self._weights.decoder_start
        if start is None:
            return texts, {"input_ids": self._padded(texts)}
        prompts = [text[:count] for text, count in zip(texts, sent, strict=True)]
        written = [[start, *text[count:]] for text, count in zip(texts, sent, strict=True)]
        seen = self._padded([[1] * len(prompt) for prompt in prompts], 0)
        return written, {
            "input_ids": self._padded(prompts),
            "attention_mask": seen,
            "decoder_input_ids": self._padded(written),
        }

    def _padded(self, texts: Sequence[list[int]], filler: int | None = None) -> torch.Tensor:
        """`texts` as rows; what pads one comes after it, where it changes nothing."""
        width = max(map(len, texts))
        rows = [
            [*text, *[text[0] if filler is None else filler] * (width - len(text))]
            for text in texts
        ]
        return torch.tensor(rows, device=self._weights.device)


class OwnCacheLane(CachelessLane):
    """Each reply has a cache of its own, and passes of its own.

    So it serves models that carry a state along, of which none can be cut or put beside another:
    recurrent ones, and those in which only some layers attend. A prompt is read in one piece.
    """

    def _logits(self, rows: Sequence[Row]) -> torch.Tensor:
        return torch.cat([self._after(row) for row in rows])

    def _after(self, row: Row) -> torch.Tensor:
        name = self._weights.cache_name
        given: dict[str, Any] = {} if row.cache is None else {name: row.cache}
        if self._keeps:
            given["logits_to_keep"] = 1
        fed = torch.tensor([row.tokens[row.done :]], device=self._weights.device)
        output = self._weights.network(input_ids=fed, use_cache=True, **given)
        row.cache = getattr(output, name)
        row.done = len(row.tokens)
        logits: torch.Tensor = output.logits
        return logits[:, -1]
