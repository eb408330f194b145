"""What a node may touch. All effects of a run go through here, so that nodes hold nothing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.events import Event
from scholar.library import Library
from scholar.prompts import Prompt
from scholar.settings import Preset, Settings

T = TypeVar("T", bound=BaseModel)


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class Services:
    """The services that runs share; what is injected into the graph as its runtime context."""

    settings: Settings
    library: Library
    gateway: Gateway
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = _new_id

    async def aclose(self) -> None:
        """Let go of connections and files."""
        await self.gateway.aclose()
        self.library.close()


@dataclass(frozen=True)
class Context:
    """The services, as one node of one run sees them. `k` is the passages to read per step."""

    services: Services
    preset: Preset
    ledger: Ledger
    k: int
    emit: Callable[[Event], None] = lambda _: None

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
    )
    return Context(services, preset, ledger, state.get("k") or preset.passages, emit)
