"""What a node may touch. All effects of a run go through here, so that nodes hold nothing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.events import Event
from scholar.library import Library
from scholar.prompts import Prompt
from scholar.settings import Preset, Settings
from scholar.tools.mcp import Servers
from scholar.values import Inquiry

T = TypeVar("T", bound=BaseModel)


Consult = Callable[[Inquiry], Awaitable[Any]]
"""Asks a person and returns the reply."""


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class Services:
    """The services that runs share; what is injected into the graph as its runtime context.

    Without `consult` there is nobody to ask, and what has to be asked for is refused. Without
    `servers` there are no tools but our own.
    """

    settings: Settings
    library: Library
    gateway: Gateway
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = _new_id
    consult: Consult | None = None
    servers: Servers | None = None

    async def aclose(self) -> None:
        """Let go of connections and files."""
        if self.servers is not None:
            await self.servers.aclose()
        await self.gateway.aclose()
        self.library.close()


@dataclass(frozen=True)
class Context:
    """The services, as one node of one run sees them. `k` is the passages to read per step,
    `papers_left` the papers that tools may still add.
    """

    services: Services
    preset: Preset
    ledger: Ledger
    k: int
    emit: Callable[[Event], None] = lambda _: None
    papers_left: int = 0

    @property
    def library(self) -> Library:
        """The literature store."""
        return self.services.library

    @property
    def settings(self) -> Settings:
        """The settings of the whole program."""
        return self.services.settings

    @property
    def has_models(self) -> bool:
        """Whether there are models to plan, read, write and judge; else quotes are all."""
        return self.services.gateway.has_models()

    @property
    def has_person(self) -> bool:
        """Whether there is a person who may be asked."""
        return self.services.consult is not None

    async def consult(self, inquiry: Inquiry) -> Any:
        """The person's reply to `inquiry`; only where there `has_person`."""
        assert self.services.consult is not None
        return await self.services.consult(inquiry)

    async def ask(
        self,
        prompt: Prompt,
        reply: type[T],
        *,
        on_text: Callable[[str], None] | None = None,
        model: str | None = None,
    ) -> T:
        """Ask the model that plays `prompt.role`, or `model`; raises ModelError or BudgetSpent."""
        return await self.services.gateway.ask(
            prompt, reply, ledger=self.ledger, emit=self.emit, on_text=on_text, model=model
        )

    async def classify(self, prompt: Prompt, choices: Sequence[str]) -> dict[str, float] | None:
        """How likely the model that plays `prompt.role` is to reply each of `choices`, adding up to
        one; None where it does not tell. Raises as `ask` does.
        """
        return await self.services.gateway.classify(
            prompt, choices, ledger=self.ledger, emit=self.emit
        )


def context_for(
    state: Mapping[str, Any], services: Services, emit: Callable[[Event], None]
) -> Context:
    """The context of one node: its preset, and a ledger that knows what the run has spent."""
    settings = services.settings
    preset = settings.preset_named(state.get("preset"))
    started = state.get("started", services.clock())
    ledger = Ledger(
        settings.budget,
        settings.price_of,
        calls=state.get("calls", ()),
        elapsed=lambda: services.clock() - started,
        most_tokens=preset.tokens,
    )
    # Branches that run at once take turns, so that together they add no more than one would.
    spoken_for = len(state.get("added", ())) + state.get("turn", 0)
    papers_left = max(0, settings.tools.papers_per_run - spoken_for)
    return Context(services, preset, ledger, state.get("k") or preset.passages, emit, papers_left)
