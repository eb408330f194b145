"""From a model's logits to the next tokens, and to how likely it is to say given ones.

Import this module only where it is used: it loads torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from scholar.backends.local.lane import Job


def next_tokens(jobs: Sequence[Job], logits: torch.Tensor, vocabulary: int) -> list[int]:
    """The next token of each job by its row of `logits`, as its form and temperature want it.

    Tokens from `vocabulary` on mean nothing, and are never chosen.
    """
    forced = [job.forced() for job in jobs]
    logits = logits.float()
    logits[:, vocabulary:] = -torch.inf
    _constrain(jobs, logits, forced)
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    for index, (job, token) in enumerate(zip(jobs, forced, strict=True)):
        if token is not None:
            chosen[index] = token
        elif job.temperature > 0:
            chosen[index] = _sample(logits[index], job)
    return chosen


def _constrain(jobs: Sequence[Job], logits: torch.Tensor, forced: Sequence[int | None]) -> None:
    words = (logits.shape[1] + 31) // 32
    bits = torch.full((len(jobs), words), -1, dtype=torch.int32)
    free = [token is None for token in forced]
    held = [row for row, job in enumerate(jobs) if free[row] and job.mask(bits, row)]
    if held:
        import xgrammar

        xgrammar.apply_token_bitmask_inplace(logits, bits.to(logits.device), indices=held)


def _sample(logits: torch.Tensor, job: Job) -> int:
    if logits.max() == -torch.inf:
        return 0  # nothing is allowed, and the job says so of any token
    chances = torch.softmax(logits / job.temperature, dim=-1).cpu()
    return int(torch.multinomial(chances, 1, generator=job.generator))


def likelihoods(logits: torch.Tensor, texts: Sequence[Sequence[int]]) -> list[float]:
    """The log-probability of each of `texts`, each by its row of `logits`, a column per token."""
    logs = torch.log_softmax(logits.float(), dim=-1)
    return [
        sum(float(logs[row, at, token]) for at, token in enumerate(text))
        for row, text in enumerate(texts)
    ]
