"""What the replies of every kind have in common."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scholar.backends import Delta, Request, TokenCount
from scholar.backends.local.streaming import Send
from scholar.backends.thoughts import CLOSING
from scholar.errors import ModelError, ModelRejected

if TYPE_CHECKING:
    import torch

    from scholar.backends.local.weights import Weights

END_OF_THOUGHT = f"\n{CLOSING}\n\n"


class Reply:
    """A request at the model: what its lane has to know of it, and the way back."""

    choices: Sequence[Sequence[int]] = ()

    def __init__(
        self, request: Request, weights: Weights, send: Send, prompt: list[int], thinking: bool
    ) -> None:
        import torch

        self.request = request
        self.weights = weights
        self.send = send
        self.prompt = prompt
        self.sent = len(prompt)
        self.thinking = thinking
        self.cancelled = False
        self.gpu_seconds = 0.0
        self.temperature = request.temperature
        seed = random.getrandbits(63) if request.seed is None else request.seed % 2**63
        self.generator = torch.Generator().manual_seed(seed)

    def room(self, least: int) -> int:
        """Tokens of the window that are left for the reply; ModelRejected where `least` are not."""
        left = self.weights.window - self.sent
        if left < least:
            raise ModelRejected(
                f"The prompt of {self.sent:,} tokens leaves no room for a reply in the window of "
                f"{self.weights.name}, {self.weights.window:,} tokens; choose a model with a "
                "larger window, or set context_window to what this one takes."
            )
        return left

    def say(
        self,
        text: str = "",
        tokens: TokenCount | None = None,
        choices: Mapping[str, float] | None = None,
    ) -> None:
        """Send the next piece."""
        self.send(Delta(text, tokens, choices, self.gpu_seconds))

    def fail(self, error: ModelError) -> None:
        self.send(error)

    def forced(self) -> int | None:
        return None

    def mask(self, bits: torch.Tensor, row: int) -> bool:
        return False

    def take(self, token: int) -> bool:
        return True

    def rated(self, scores: list[float]) -> None:
        pass
