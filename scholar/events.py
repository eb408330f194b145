"""The typed event stream of a run. Surfaces show these; they never reach into the graph.

Events leave a node through LangGraph's custom stream, in the order in which things happen. `type`
names an event where it is written as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scholar.values import (
    Answer,
    Call,
    Draft,
    IdeaNovelty,
    IdeaRoute,
    Inquiry,
    Step,
    Task,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Started:
    """A run was started, or taken up `again` where it had stopped."""

    run_id: str
    question: str
    preset: str
    task: Task = "answer"
    thread: str = ""
    again: bool = False
    type: Literal["started"] = "started"


@dataclass(frozen=True, slots=True)
class Began:
    """A node of the state machine was entered; `step` is the id of the step it works on, if any."""

    node: str
    step: str = ""
    type: Literal["began"] = "began"


@dataclass(frozen=True, slots=True)
class Ended:
    """A node was left after `seconds`; `failed` says why where it could not do its work."""

    node: str
    step: str = ""
    seconds: float = 0.0
    failed: str = ""
    type: Literal["ended"] = "ended"


@dataclass(frozen=True, slots=True)
class Planned:
    """The steps that will be searched for."""

    steps: tuple[Step, ...]
    type: Literal["planned"] = "planned"


@dataclass(frozen=True, slots=True)
class Searched:
    """One search is done: how many passages of how many papers it brought, by title."""

    step: Step
    passages: int
    titles: tuple[str, ...]
    library_papers: int
    type: Literal["searched"] = "searched"


@dataclass(frozen=True, slots=True)
class Read:
    """Quotes were chosen. `dropped` counts those that do not occur in what was read."""

    quotes: tuple[str, ...]
    papers: int
    dropped: int
    type: Literal["read"] = "read"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the evidence has made of the steps so far."""

    steps: tuple[Step, ...]
    type: Literal["resolved"] = "resolved"


@dataclass(frozen=True, slots=True)
class Outlined:
    """The sections that a review will have, by title."""

    titles: tuple[str, ...]
    type: Literal["outlined"] = "outlined"


@dataclass(frozen=True, slots=True)
class Wrote:
    """Section `number` of `of` of a review is written. Not yet checked."""

    number: int
    of: int
    title: str
    sentences: int
    type: Literal["wrote"] = "wrote"


@dataclass(frozen=True, slots=True)
class Tabled:
    """The table of papers is filled: `said` of its cells have something to say."""

    papers: int
    columns: tuple[str, ...]
    said: int
    type: Literal["tabled"] = "tabled"


@dataclass(frozen=True, slots=True)
class Seeded:
    """One of the routes to ideas has brought so many thoughts."""

    route: IdeaRoute
    thoughts: int
    type: Literal["seeded"] = "seeded"


@dataclass(frozen=True, slots=True)
class Proposed:
    """The ideas there are now, by title. Not yet checked."""

    titles: tuple[str, ...]
    type: Literal["proposed"] = "proposed"


@dataclass(frozen=True, slots=True)
class Placed:
    """Whether prior work has an idea is known, or that it could not be found out."""

    title: str
    verdict: IdeaNovelty
    type: Literal["placed"] = "placed"


@dataclass(frozen=True, slots=True)
class Drafting:
    """The draft so far, as it is being written. Not yet checked."""

    text: str
    type: Literal["drafting"] = "drafting"


@dataclass(frozen=True, slots=True)
class Drafted:
    """The draft after the check in code; `dropped` sentences had no valid citation."""

    draft: Draft
    revision: int
    dropped: int
    type: Literal["drafted"] = "drafted"


@dataclass(frozen=True, slots=True)
class Voted:
    """One juror has voted."""

    verdict: Verdict
    type: Literal["voted"] = "voted"


@dataclass(frozen=True, slots=True)
class Called:
    """A model has answered, or failed to; `step` is the step that it was asked for, if any."""

    call: Call
    step: str = ""
    type: Literal["called"] = "called"


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What a model was sent, as pairs of a role and a text, and what it replied.

    Only where the settings allow it, and right before the Called of the same attempt.
    """

    role: str
    model: str
    messages: tuple[tuple[str, str], ...]
    reply: str
    node: str = ""
    step: str = ""
    type: Literal["exchanged"] = "exchanged"


@dataclass(frozen=True, slots=True)
class Used:
    """A tool was called with `arguments` (pairs); `failed` says why where it brought nothing."""

    tool: str
    arguments: tuple[tuple[str, str], ...]
    seconds: float
    failed: str = ""
    step: str = ""
    type: Literal["used"] = "used"


@dataclass(frozen=True, slots=True)
class Retrying:
    """A model call is being repeated, and why."""

    role: str
    reason: str
    wait: float
    type: Literal["retrying"] = "retrying"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call waits `wait` seconds at most for the model's limit of tokens or requests a minute."""

    role: str
    model: str
    wait: float
    type: Literal["waiting"] = "waiting"


@dataclass(frozen=True, slots=True)
class FellBack:
    """The next model of a role's chain takes over, and why."""

    role: str
    from_model: str
    to_model: str
    reason: str
    type: Literal["fell_back"] = "fell_back"

    @property
    def note(self) -> str:
        """The same as a sentence for the answer's readers, whatever the role."""
        return f"{self.to_model} stood in for {self.from_model}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Noted:
    """Something has come up that a reader of the answer should know; `note` is a sentence."""

    note: str
    type: Literal["noted"] = "noted"


@dataclass(frozen=True, slots=True)
class Paused:
    """The run waits for a person, and goes on with `resume` and a reply to each inquiry, by id."""

    inquiries: tuple[tuple[str, Inquiry], ...]
    type: Literal["paused"] = "paused"


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over."""

    answer: Answer
    type: Literal["finished"] = "finished"


Event = (
    Started
    | Began
    | Ended
    | Planned
    | Searched
    | Read
    | Resolved
    | Outlined
    | Wrote
    | Tabled
    | Seeded
    | Proposed
    | Placed
    | Drafting
    | Drafted
    | Voted
    | Exchanged
    | Called
    | Used
    | Retrying
    | Waiting
    | FellBack
    | Noted
    | Paused
    | Finished
)
