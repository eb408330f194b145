"""What a run knows at any moment: the graph's state. Everything in it survives a checkpoint.

Passages are kept by id, not by text; quotes are short and kept whole.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated

from typing_extensions import TypedDict  # LangGraph's server cannot describe typing's own

from scholar.values import (
    Action,
    Answer,
    Call,
    Draft,
    Evidence,
    Hit,
    Outcome,
    Step,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run could not go on, as an outcome and a sentence."""

    outcome: Outcome
    message: str


def _first(known: Failure, _later: Failure) -> Failure:
    # Steps are searched in parallel, and what breaks one breaks the others too.
    return known


class Question(TypedDict, total=False):
    """What the graph takes in: `question`, and what may be chosen for this run."""

    question: str
    preset: str
    k: int
    run_id: str


class State(Question, total=False):
    """The whole state. Lists marked with `operator.add` grow; all else is replaced."""

    started: float
    steps: list[Step]
    searched: Annotated[list[str], operator.add]
    hits: Annotated[list[Hit], operator.add]
    read: list[str]
    evidence: list[Evidence]
    material: int
    to_write: bool
    draft: Draft
    dropped: int
    revision: int
    verdicts: list[Verdict]
    decision: Action
    search_rounds: int
    notes: Annotated[list[str], operator.add]
    calls: Annotated[list[Call], operator.add]
    failure: Annotated[Failure, _first]
    answer: Answer


class Branch(TypedDict):
    """What one parallel branch of the search is given."""

    step: Step
    question: str
    preset: str
    k: int
    started: float
    calls: list[Call]


class Published(TypedDict):
    """What the graph gives back."""

    answer: Answer


Update = State
"""What a node returns: the part of the state that it changes."""
