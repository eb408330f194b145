"""What the scheduler, the lanes that replies are written in, and the replies know of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from scholar.errors import ModelError

if TYPE_CHECKING:
    import torch


class Job(Protocol):
    """A reply that is to be written, as a lane sees it. All is called in the model's thread."""

    prompt: list[int]
    """What it follows: the tokens of the request, and of the reply those that were lost again."""
    sent: int
    """How many of them are the request's."""
    temperature: float
    generator: torch.Generator
    choices: Sequence[Sequence[int]]
    """Where there are some, they are rated instead of a reply written."""
    cancelled: bool
    gpu_seconds: float
    """Its share of the accelerator's time so far."""

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


@dataclass(slots=True)
class Counts:
    """What a lane has done so far, in tokens, turns and replies."""

    read: int = 0
    """Tokens of prompts that were computed."""
    copied: int = 0
    """Tokens of prompts that were copied from one that begins alike."""
    written: int = 0
    steps: int = 0
    """Passes in which every reply got a token."""
    most: int = 0
    """Replies in the fullest of them."""


class Lane(Protocol):
    """A way to write several replies at once. Belongs to one thread."""

    size: int
    """The most replies at once; the scheduler lowers it where memory runs out."""
    counts: Counts

    @property
    def under_way(self) -> list[tuple[Job, list[int]]]:
        """The replies that have begun, in the order in which they came, and their tokens."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether one more can be let in now."""
        ...

    @property
    def is_reading(self) -> bool:
        """Whether there is more of a prompt to read before its reply begins."""
        ...

    def enter(self, job: Job) -> None:
        """Let `job` in. Where that raises, it is not in."""
        ...

    def read(self, most: int) -> int:
        """Read on, `most` tokens at most; returns how many."""
        ...

    def write(self) -> None:
        """One token further for every reply."""
        ...

    def drop_cancelled(self) -> None:
        """Let go of those that nobody waits for."""
        ...

    def forget(self) -> bool:
        """Let go of everything; returns whether anything was kept of replies that had ended."""
        ...
