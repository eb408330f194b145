"""Real runs with their traces, for tests of what looks on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from office import Desk

from scholar.events import Began, Event, Finished, Started
from scholar.journal import RunRow
from scholar.observer import Observer
from scholar.runs import Run
from scholar.spans import Telemetry
from scholar.trace import path_of, read
from scholar.values import Answer

RUN = "7f3a12bc90de"


@dataclass
class Watched:
    """A run that has been looked on at."""

    path: Path
    events: list[Event] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def told(self) -> list[tuple[float, Event]]:
        return read(self.path)

    @property
    def answer(self) -> Answer | None:
        return next((e.answer for e in self.events if isinstance(e, Finished)), None)


Until = Callable[[Event], bool]


def before(node: str) -> Until:
    """Where a run is to be cut short: as `node` begins."""
    return lambda event: isinstance(event, Began) and event.node == node


async def watch(
    desk: Desk,
    run: Run,
    *,
    until: Until = lambda _: False,
    skip: Until = lambda _: True,
    again: bool = False,
    telemetry: Telemetry | None = None,
) -> Watched:
    """Drive `run` with an observer, from the first event that `skip` holds for, `until` one."""
    settings = desk.scholar.services.settings
    watched = Watched(path_of(settings.home, RUN))
    asked = run.question
    started = Started(
        RUN, asked["question"], asked["preset"], asked.get("task", "answer"), again=again
    )
    seeing = False
    with Observer(settings, started, telemetry, on_notice=watched.notices.append) as observer:
        async with aclosing(run.events()) as events:
            async for event in events:
                seeing = seeing or skip(event)
                if seeing:
                    observer.see(event)
                    watched.events.append(event)
                if until(event):
                    break
    return watched


def entry(question: str, preset: str, answer: Answer | None = None, **known: Any) -> RunRow:
    """The entry of a run that has ended with `answer`, if nothing else is said."""
    outcome = answer.outcome if answer else None
    ended: dict[str, Any] = {"task": "answer", "started": 0.0, "status": "finished"}
    row = RunRow(RUN, RUN, question, preset=preset, outcome=outcome, answer=answer, **ended)
    return replace(row, **known)
