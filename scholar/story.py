"""A run as a readable story: what was planned, searched, quoted, drafted and voted, and what each
step of it cost. All of it is told from the run's events alone.

`tell` puts the events in order, `to_json` gives that as plain data, and `scholar.telling` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from scholar import events, report
from scholar.events import Event
from scholar.journal import RunRow
from scholar.report.timeline import Timed
from scholar.values import Answer, Call, Step, Usage

_UNTOLD = (
    events.Started,
    events.Ended,
    events.Exchanged,
    events.Drafting,
    events.Finished,
)
_TOLD_BY: dict[type[Event], tuple[str, ...]] = {
    events.Planned: ("plan",),
    events.Searched: ("search",),
    events.Used: ("search", "novelty"),
    events.Read: ("read", "compose"),
    events.Resolved: ("resolve",),
    events.Outlined: ("outline",),
    events.Wrote: ("section",),
    events.Tabled: ("table",),
    events.Drafted: ("verify",),
    events.Voted: ("deliberate",),
    events.Proposed: ("integrate",),
    events.Placed: ("novelty",),
}
"""The nodes that an event comes from. What is not here comes from whatever is under way."""


@dataclass(slots=True)
class Part:
    """One visit to a node: what happened there, and what it took.

    `seconds` is None where it was cut short, and `failed` says why it could not do its work.
    """

    node: str
    step: str = ""
    at: float = 0.0
    seconds: float | None = None
    failed: str = ""
    calls: list[Call] = field(default_factory=list)
    events: list[Timed] = field(default_factory=list)

    @property
    def usage(self) -> Usage:
        """The sum of its calls."""
        return Usage.of(self.calls, self.seconds or 0.0)


@dataclass(slots=True)
class Sitting:
    """What one process did of a run without a break, from `at` to `until`.

    `waits` is set where it ended with a question to a person.
    """

    at: float
    until: float
    parts: list[Part] = field(default_factory=list)
    waits: events.Paused | None = None


def tell(told: Iterable[Timed]) -> list[Sitting]:
    """The events of a run in their sittings, each node's own together."""
    sittings: list[Sitting] = []
    opened: dict[tuple[str, str], Part] = {}
    for at, event in told:
        if isinstance(event, events.Started) or not sittings:
            sittings.append(Sitting(at, at))
            opened = {}
        sitting = sittings[-1]
        sitting.until = at
        match event:
            case events.Began(node, step):
                opened[node, step] = Part(node, step, at)
                sitting.parts.append(opened[node, step])
            case events.Ended(node, step, seconds, failed) if part := opened.pop(
                (node, step), None
            ):
                part.seconds, part.failed = seconds, failed
            case events.Called(call, step):
                _part_of(sitting, opened, (call.node,), step).calls.append(call)
            case events.Paused():
                sitting.waits = event
            case _ if not isinstance(event, _UNTOLD):
                nodes, step = _nodes_of(event), _step_of(event)
                _part_of(sitting, opened, nodes, step).events.append((at, event))
    return sittings


def _part_of(
    sitting: Sitting, opened: dict[tuple[str, str], Part], nodes: Sequence[str], step: str
) -> Part:
    """The part that an event belongs to: of what is under way, the latest that fits."""
    for part in reversed(opened.values()):
        if (not nodes or part.node in nodes) and (not step or part.step == step):
            return part
    if not sitting.parts:
        sitting.parts.append(Part("", at=sitting.at))
    return next((part for part in reversed(sitting.parts) if part.node in nodes), sitting.parts[-1])


def _nodes_of(event: Event) -> Sequence[str]:
    """The nodes that an event may come from; a route to ideas is called as its node."""
    return (event.route,) if isinstance(event, events.Seeded) else _TOLD_BY.get(type(event), ())


def _step_of(event: Event) -> str:
    if isinstance(event, events.Searched):
        return event.step.id
    return event.step if isinstance(event, events.Used) else ""


def answer_of(row: RunRow, told: Iterable[Timed]) -> Answer | None:
    """How the run ended, by its row or its events; None where it has not."""
    last = next((e.answer for _, e in reversed(list(told)) if isinstance(e, events.Finished)), None)
    return row.answer or last


def to_json(row: RunRow, told: Sequence[Timed]) -> dict[str, Any]:
    """The story as plain data: `steps` in the order in which they began, with what each took.

    `pass` counts from 1, and a new one begins where the run was taken up again. `seconds` are null
    where a step was cut short, `dollars` where a price is not known.
    """
    sittings = tell(told)
    answer = answer_of(row, told)
    return {
        "run_id": row.run_id,
        "question": row.question,
        "task": row.task,
        "preset": row.preset,
        "status": row.status,
        "outcome": row.outcome.value if row.outcome else None,
        "started": row.started,
        "ended": row.ended,
        "passes": len(sittings),
        "steps": [
            _part_to_json(part, number)
            for number, sitting in enumerate(sittings, start=1)
            for part in sitting.parts
        ],
        "usage": asdict(row.usage),
        "answer": report.to_json(answer) if answer else None,
    }


def _part_to_json(part: Part, number: int) -> dict[str, Any]:
    usage = part.usage
    return {
        "node": part.node,
        "step": part.step,
        "pass": number,
        "at": part.at,
        "seconds": None if part.seconds is None else round(part.seconds, 3),
        "failed": part.failed,
        "calls": usage.calls,
        "cached": usage.cached,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "dollars": usage.dollars,
        "events": [{"at": at, **asdict(event)} for at, event in part.events],
    }


def resolved(steps: Sequence[Step]) -> str:
    """How many of `steps` are solved, in words."""
    done = [step for step in steps if step.status in ("solved", "corrected")]
    text = f"{len(done)} of {report.count(len(steps), 'step')} solved"
    if corrected := sum(step.status == "corrected" for step in steps):
        text += f", {corrected} corrected by the papers"
    return text


def when(at: float) -> str:
    """A time as a person here reads it."""
    local = datetime.fromtimestamp(at).astimezone()
    return f"{local.day} {local:%B %Y, %H:%M}"


def lasted(seconds: float) -> str:
    """A length of time in the unit that fits it."""
    if seconds < 0.0995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{hours} hours" if hours < 48 else f"{round(seconds / 86_400)} days"
