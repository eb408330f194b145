"""How a run and a thread are told of outside the state machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from scholar.state import Question
from scholar.values import Answer, Inquiry, Outcome, Usage

Status = Literal["running", "waiting", "stopped", "finished"]
RESUMABLE = frozenset(
    (Outcome.CANCELLED, Outcome.BUDGET_SPENT, Outcome.MODEL_FAILED, Outcome.TOOLS_FAILED)
)
"""Outcomes after which a run can go on where it was."""


@cache
def form_of(kind: Any) -> TypeAdapter[Any]:
    """How a `kind` is written as JSON and read. Made when first used, as most commands use few."""
    return TypeAdapter(kind)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. Times are in seconds since the epoch; `seconds` is how long it has been at work.

    A `stopped` run was interrupted, a `waiting` one has asked a person `waits`, by id. `asked` is
    the graph's input, and `shape` that of its state. `answer` is None also where it was not asked
    for, as in a list.
    """

    run_id: str
    thread: str
    question: str
    task: str
    preset: str
    started: float
    status: Status = "running"
    outcome: Outcome | None = None
    ended: float | None = None
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    asked: Question = field(default_factory=lambda: Question())
    shape: str = ""
    waits: tuple[tuple[str, Inquiry], ...] = ()
    answer: Answer | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it can be resumed."""
        return self.status in ("waiting", "stopped") or self.outcome in RESUMABLE


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """A thread of `runs` questions that see each other, `seen` when the last one began.

    `notes` stand for its first `noted` runs where all of them no longer fit into a prompt.
    """

    thread: str
    title: str
    started: float
    runs: int = 0
    seen: float = 0.0
    notes: str = ""
    noted: int = 0
