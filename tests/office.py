"""Assistants over one home that keep their runs, each as a process of its own would open it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minds import Mind, call_of, for_backend, honest
from papers import QUESTION

from scholar.backends import Request
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Services
from scholar.events import Event, Finished
from scholar.journal import Journal
from scholar.library import Library
from scholar.report import to_json
from scholar.runs import Run, Scholar
from scholar.settings import Settings
from scholar.values import Answer


@dataclass
class Desk:
    """An assistant over the shelf, and the scripted model that it asks."""

    scholar: Scholar
    backend: FakeBackend

    @property
    def calls(self) -> list[str]:
        """The names of the prompts that were asked, in order."""
        return [call_of(request) for request in self.backend.requests]

    def shown(self, call: str) -> list[str]:
        """What the model was shown by each prompt of this name."""
        asked = [r for r in self.backend.requests if call_of(r) == call]
        return [request.messages[1].content for request in asked]


OpenDesk = Callable[..., Desk]


class Office:
    """Opens assistants over the home of `settings`; what they give notice of is in `notices`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.notices: list[str] = []
        self._open: list[Scholar] = []

    def open(
        self, mind: Mind | None = honest, *, server: str = "", name: str = "fake", **changes: Any
    ) -> Desk:
        """One whose model has the given mind, or is at the URL `server`, or none."""
        if server:
            changes = {"model": f"openai:scripted@{server}", "cache": False, **changes}
        known = self.settings.model_copy(update=changes)
        backend = FakeBackend(for_backend(mind) if mind else [], name)
        given = {"*": backend} if mind and not server else None
        services = Services(
            known,
            Library(known),
            Gateway(known, given),
            journal=Journal.of(known, self.notices.append),
        )
        scholar = Scholar(services=services, on_notice=self.notices.append)
        self._open.append(scholar)
        return Desk(scholar, backend)

    async def aclose(self) -> None:
        """Close them all."""
        while self._open:
            await self._open.pop().aclose()


async def events_of(run: Run) -> list[Event]:
    """All events of a run."""
    return [event async for event in run.events()]


async def ended(run: Run) -> Answer:
    """The answer that a run ends in."""
    event = (await events_of(run))[-1]
    assert isinstance(event, Finished)
    return event.answer


async def whole(office: Office, mind: Mind = honest, **asked: Any) -> Answer:
    """The answer of a run that nothing disturbs."""
    return await ended(begun(office.open(mind), **asked))


def begun(desk: Desk, question: str = QUESTION, **asked: Any) -> Run:
    """A run that has not begun, of any task."""
    if asked.get("task") == "review":
        return desk.scholar.start_review(question, columns=asked.get("columns", ()))
    return desk.scholar.start(question, preset=asked.get("preset"))


def content(answer: Answer | Mapping[str, Any]) -> str:
    """All of an answer but its id and what it took."""
    said = to_json(answer) if isinstance(answer, Answer) else answer
    own = ("run_id", "usage")
    return json.dumps({key: said[key] for key in said if key not in own}, sort_keys=True)


def asked_twice(*parts: list[Request]) -> list[str]:
    """The calls that were sent more than once."""
    sent = Counter((call_of(r), *(m.content for m in r.messages)) for part in parts for r in part)
    return [call for (call, *_), times in sent.items() if times > 1]
