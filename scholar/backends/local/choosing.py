"""Replies that are one of several choices, by how likely the model is to say each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scholar.backends import Request, TokenCount
from scholar.backends.local.reply import END_OF_THOUGHT, Reply
from scholar.backends.local.streaming import Send
from scholar.errors import ModelRejected

if TYPE_CHECKING:
    import torch

    from scholar.backends.local.accelerator import Meter
    from scholar.backends.local.weights import Weights


class Choosing(Reply):
    """A request to choose: the choices are rated, none is written."""

    def __init__(
        self, request: Request, weights: Weights, send: Send, prompt: list[int], thinking: bool
    ) -> None:
        if thinking:  # it is not asked for its thoughts
            prompt = prompt + weights.encode(END_OF_THOUGHT)
        super().__init__(request, weights, send, prompt, thinking)
        if not all(request.choices):
            raise ModelRejected("A choice is empty; give each at least one letter.")
        self.choices = _with_ends([weights.encode(c) for c in request.choices], weights)
        self.room(max(map(len, self.choices)))

    def rated(self, scores: list[float]) -> None:
        send_choice(self, scores, [len(choice) for choice in self.choices])


def _with_ends(choices: list[list[int]], weights: Weights) -> list[list[int]]:
    """`choices` with the end of the reply after each, where one begins as another does."""
    whole = [tuple(choice) for choice in choices]
    nested = any(a != b and b[: len(a)] == a for a in whole for b in whole)
    return (
        [[*choice, min(weights.ends)] for choice in choices] if nested and weights.ends else choices
    )


def send_choice(reply: Reply, scores: list[float], lengths: list[int]) -> None:
    """Say which of the choices it is, by the score of each; `lengths` are their tokens."""
    total = _log_sum(scores)
    request = reply.request
    logs = {c: score - total for c, score in zip(request.choices, scores, strict=True)}
    if request.temperature > 0:
        chosen = _drawn(list(logs.values()), request.temperature, reply.generator)
    else:
        chosen = max(range(len(scores)), key=scores.__getitem__)
    tokens = TokenCount(reply.sent, lengths[chosen])
    reply.say(request.choices[chosen])
    reply.say(tokens=tokens, choices=logs)
    reply.send(None)


def _log_sum(logs: Sequence[float]) -> float:
    most = max(logs)
    return most + math.log(sum(math.exp(log - most) for log in logs))


def _drawn(logs: list[float], temperature: float, generator: torch.Generator) -> int:
    import torch

    chances = torch.softmax(torch.tensor(logs) / temperature, dim=-1)
    return int(torch.multinomial(chances, 1, generator=generator))


def fill_mask(request: Request, weights: Weights, send: Send, meter: Meter) -> None:
    """Rate choices by what a masked model puts in the place of its mask.

    A choice of several tokens gets as many masks, and counts by their mean.
    """
    if not request.choices:
        raise ModelRejected(
            f"{weights.name} fills gaps and writes no text; use it to choose, "
            "and another model to write."
        )
    from scholar.backends.local.masked import rate

    text = "\n\n".join(message.content for message in request.messages)
    reply = Reply(request, weights, send, [], False)
    with meter.shared([reply]):
        scores, reply.sent, lengths = rate(weights, text, request.choices)
    send_choice(reply, scores, lengths)
