"""Choosing with a masked language model: one pass, and the mask's place says which choice.

Import this module only where it is used: it loads torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from scholar.backends.local.weights import Weights
from scholar.errors import ModelRejected


@torch.inference_mode()
def rate(weights: Weights, text: str, choices: Sequence[str]) -> tuple[list[float], int, list[int]]:
    """The score of each choice, and how many tokens the prompt and each choice have.

    The prompt is `text` with the mask where it has one, else at its end. Raises ModelRejected
    where it is longer than the window.
    """
    spelled = [_spelled(weights, choice) for choice in choices]
    logs = {size: _logs(weights, text, size) for size in sorted({len(s) for s in spelled})}
    scores = [
        sum(float(logs[len(s)][1][at, token]) for at, token in enumerate(s)) / len(s)
        for s in spelled
    ]
    return scores, len(logs[min(logs)][0]), [len(s) for s in spelled]


def _spelled(weights: Weights, choice: str) -> list[int]:
    """The tokens of `choice`, as after a space where that makes fewer."""
    return min((weights.encode(text) for text in (f" {choice}", choice)), key=len)


def _logs(weights: Weights, text: str, masks: int) -> tuple[list[int], torch.Tensor]:
    """The prompt's tokens with so many masks, and the log-probabilities at each of them."""
    mask = weights.tokenizer.mask_token
    text = text if mask in text else f"{text} {mask}"
    before, _, after = text.rpartition(mask)
    ids: list[int] = weights.tokenizer(before + mask * masks + after)["input_ids"]
    if len(ids) > weights.window:
        raise ModelRejected(
            f"The prompt of {len(ids):,} tokens is longer than the window of {weights.name}, "
            f"{weights.window:,} tokens; choose a model with a larger window."
        )
    places = [at for at, token in enumerate(ids) if token == weights.tokenizer.mask_token_id]
    fed = torch.tensor([ids], device=weights.device)
    logits = weights.network(input_ids=fed, attention_mask=torch.ones_like(fed)).logits[0]
    return ids, torch.log_softmax(logits[places[-masks:]].float(), dim=-1)
