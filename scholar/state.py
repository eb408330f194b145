"""What a run knows at any moment: the graph's state. Everything in it survives a checkpoint.

Passages are kept by id, not by text; quotes are short and kept whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar, cast

from typing_extensions import TypedDict  # LangGraph's server cannot describe typing's own

from scholar.values import (
    Action,
    Answer,
    Column,
    Draft,
    Evidence,
    Hit,
    Idea,
    Lesson,
    Outcome,
    Part,
    Prior,
    Section,
    Seed,
    Step,
    Table,
    Task,
    Verdict,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run could not go on, as an outcome and a sentence."""

    outcome: Outcome
    message: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a tool said to a step beside passages: data, never an instruction. A tool that `failed`
    said why.
    """

    step: str
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Theme:
    """What ideas are wanted for: the problem in one sentence, its entities, and papers near it."""

    problem: str
    entities: tuple[str, ...] = ()
    papers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to become of the ideas `ids`, by at most `most` new ones."""

    do: Literal["merge", "more", "replace"]
    ids: tuple[str, ...] = ()
    most: int = 1


def _first(known: Failure | None, later: Failure | None) -> Failure | None:
    # Steps are searched in parallel, and what breaks one breaks the others too.
    return later and (known or later)


def _grown(known: list[T], more: list[T] | None) -> list[T]:
    return [] if more is None else [*known, *more]


class Question(TypedDict, total=False):
    """What the graph takes in: `question`, and what may be chosen for this run.

    With the `task` review, `question` is its topic, `columns` the names of the columns of its table
    and `sections` the most it may have. With the task ideas it is their topic, `wanted` is how many
    there shall be, `new` how many that no prior work has, and `interactive` says that a person
    chooses among them; with the task proposal, `idea` is the one to work out. `thread` names
    earlier questions that belong to this one. With `person` there is one who may be asked, by
    pausing the run, and who is asked about the plan where `review_plan` is set.
    """

    question: str
    preset: str
    k: int
    run_id: str
    task: Task
    columns: list[str]
    sections: int
    thread: str
    person: bool
    review_plan: bool
    wanted: int
    new: int
    interactive: bool
    idea: Idea | None


class State(Question, total=False):
    """The whole state. Lists marked `_grown` grow, of failures the first stays, all else is
    replaced; `blank` undoes all of it.

    In a thread `question` is made one that can be understood alone, and `words` are the user's own;
    `recalled` are passages that were quoted before.
    """

    words: str
    recalled: list[str]
    lessons: list[Lesson]
    premises: list[str]
    prior: Prior | None
    steps: list[Step]
    rounds: int
    more: bool
    searched: Annotated[list[str], _grown]
    hits: Annotated[list[Hit], _grown]
    told: Annotated[list[Told], _grown]
    added: Annotated[list[str], _grown]
    read: list[str]
    evidence: list[Evidence]
    material: int
    to_write: bool
    outline: list[Section]
    asks: list[Column]
    written: int
    table: Table | None
    theme: Theme | None
    seeds: Annotated[list[Seed], _grown]
    lost: Annotated[list[str], _grown]
    ideas: list[Idea]
    made: int
    wishes: list[Wish]
    choices: int
    proposal: list[Part]
    draft: Draft | None
    dropped: int
    revision: int
    verdicts: list[Verdict]
    decision: Action | None
    search_rounds: int
    notes: Annotated[list[str], _grown]
    failure: Annotated[Failure | None, _first]
    answer: Answer


_COUNTS = (
    "rounds",
    "material",
    "written",
    "made",
    "choices",
    "dropped",
    "revision",
    "search_rounds",
)
_GROWING = ("searched", "hits", "told", "added", "seeds", "lost", "notes")


def blank() -> State:
    """What a run begins with, also where its thread has answered another question before."""
    return cast(
        State,
        {
            "steps": [],
            "read": [],
            "evidence": [],
            "verdicts": [],
            "lessons": [],
            "premises": [],
            "outline": [],
            "asks": [],
            "words": "",
            "recalled": [],
            "ideas": [],
            "wishes": [],
            "proposal": [],
            "more": False,
            **dict.fromkeys(_GROWING, None),
            **dict.fromkeys(_COUNTS, 0),
            **dict.fromkeys(("prior", "draft", "table", "theme", "decision", "failure"), None),
        },
    )


def draft_of(state: State) -> Draft:
    """The draft as it stands, empty before there is one."""
    return state.get("draft") or Draft()


def is_review(state: State) -> bool:
    """Whether a review is asked for instead of an answer."""
    return state.get("task") == "review"


def is_about_ideas(state: State) -> bool:
    """Whether ideas are asked for, or one of them is to be worked out."""
    return state.get("task") in ("ideas", "proposal")


class Branch(TypedDict):
    """What one parallel branch of the search is given; `turn` counts those before it that may add
    a paper each.
    """

    question: str
    step: Step
    preset: str
    k: int
    run_id: str
    read: list[str]
    added: list[str]
    recalled: list[str]
    person: bool
    turn: int


class Published(TypedDict):
    """What the graph gives back."""

    answer: Answer


Update = State
"""What a node returns: the part of the state that it changes."""
