"""What a node may touch. All effects of a run go through here, so that nodes hold nothing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import ReferenceType, WeakKeyDictionary, ref

from pydantic import BaseModel

from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.events import Event
from scholar.journal import Journal, Past, Record, key_of
from scholar.library import Library
from scholar.prompts import Prompt
from scholar.remembered import Remembered
from scholar.settings import Preset, Settings
from scholar.tools.mcp import Servers
from scholar.values import Inquiry

T = TypeVar("T", bound=BaseModel)

HAS_MODELS = "has_models"
SECONDS = "seconds"
"""Keys of what a run remembers beside replies and searches."""

Consult = Callable[[Inquiry], Awaitable[Any]]
"""Asks a person and returns the reply."""


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class Services:
    """The services that runs share; what is injected into the graph as its runtime context.

    Without `consult` nobody is at hand, and what has to be asked for is refused, or the run pauses.
    Without `servers` there are no tools but our own. Without a `journal` in a database, what a run
    was told is forgotten with it.
    """

    settings: Settings
    library: Library
    gateway: Gateway
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = _new_id
    consult: Consult | None = None
    servers: Servers | None = None
    journal: Journal = field(default_factory=Journal)

    async def aclose(self) -> None:
        """Let go of connections and files."""
        if self.servers is not None:
            await self.servers.aclose()
        await self.gateway.aclose()
        await self.journal.aclose()
        self.library.close()


@dataclass(frozen=True)
class Context:
    """The services, as one node of one run sees them. `k` is the passages to read per step,
    `papers_left` the papers that tools may still add, and `node` its name. `moment` is the same
    whenever the node is entered with the same state. `pause` stops the run until a person has
    replied.
    """

    services: Services
    preset: Preset
    ledger: Ledger
    library: Remembered
    k: int
    emit: Callable[[Event], None] = lambda _: None
    papers_left: int = 0
    node: str = ""
    moment: str = ""
    pause: Callable[[Inquiry], Any] | None = None

    @property
    def record(self) -> Record:
        """What the run was told before."""
        return self.ledger.record

    @property
    def settings(self) -> Settings:
        """The settings of the whole program."""
        return self.services.settings

    @property
    def has_models(self) -> bool:
        """Whether there are models to plan, read, write and judge; else quotes are all."""
        told = self.record.told(HAS_MODELS)
        return self.services.gateway.has_models() if told is None else told == "true"

    @property
    def has_person(self) -> bool:
        """Whether there is a person who may be asked."""
        return bool(self.services.consult or self.pause or self.record.replaying)

    async def consult(self, inquiry: Inquiry) -> Any:
        """The person's reply to `inquiry`, a JSON value; only where there `has_person`.

        The node may be left here and entered anew once there is a reply, so it asks at most once.
        """

        async def ask() -> Any:
            if self.services.consult is not None:
                return await self.services.consult(inquiry)
            assert self.pause is not None
            return self.pause(inquiry)

        return await self.record.once(reply_key(inquiry), Any, ask)

    async def past(self, thread: str) -> Past:
        """What came in a thread before this run."""
        threads, run_id = self.services.journal.threads, self.record.run_id
        return await self.record.once(f"past:{thread}", Past, lambda: threads.past(thread, run_id))

    async def note_past(self, thread: str, notes: str, noted: int) -> None:
        """Keep notes that stand for the first `noted` turns of a thread."""
        if not self.record.replaying:
            await self.services.journal.threads.note(thread, notes, noted)

    async def seconds(self) -> float:
        """How long the run has been at work, as it is to be published."""
        told = self.record.told(SECONDS)
        if self.record.replaying and told is not None:
            return float(told)
        seconds = round(self.record.seconds, 3)
        await self.record.keep(SECONDS, repr(seconds))
        return seconds

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
            prompt,
            reply,
            ledger=self.ledger,
            emit=self.emit,
            on_text=on_text,
            model=model,
            node=self.node,
            moment=self.moment,
        )

    async def classify(self, prompt: Prompt, choices: Sequence[str]) -> dict[str, float] | None:
        """How likely the model that plays `prompt.role` is to reply each of `choices`, adding up to
        one; None where it does not tell. Raises as `ask` does.
        """
        return await self.services.gateway.classify(
            prompt,
            choices,
            ledger=self.ledger,
            emit=self.emit,
            node=self.node,
            moment=self.moment,
        )


def context_for(
    state: Mapping[str, Any],
    services: Services,
    emit: Callable[[Event], None],
    node: str = "",
    *,
    moment: str = "",
    record: Record | None = None,
    pause: Callable[[Inquiry], Any] | None = None,
) -> Context:
    """The context of one `node`: its preset, and what the run has spent and been told."""
    settings = services.settings
    preset = settings.preset_named(state.get("preset"))
    record = record or Record("", services.clock)
    ledger = _ledger_of(record, settings, preset)
    # Branches that run at once take turns, so that together they add no more than one would.
    spoken_for = len(state.get("added", ())) + state.get("turn", 0)
    papers_left = max(0, settings.tools.papers_per_run - spoken_for)
    library = Remembered(services.library, record, len(state.get("added", ())))
    k = state.get("k") or preset.passages
    return Context(services, preset, ledger, library, k, emit, papers_left, node, moment, pause)


def reply_key(inquiry: Inquiry) -> str:
    """The key under which a run remembers what a person replied to `inquiry`."""
    return key_of("consult", inquiry)


_ledgers: WeakKeyDictionary[Record, ReferenceType[Ledger]] = WeakKeyDictionary()
"""By a weak reference, since a ledger holds its record, which would never be let go."""


def _ledger_of(record: Record, settings: Settings, preset: Preset) -> Ledger:
    """The one ledger of a run, so that branches at once do not spend the same money."""
    known = _ledgers.get(record)
    ledger = None if known is None else known()
    if ledger is None:
        cap, prices = preset.tokens, settings.price_of
        ledger = Ledger(settings.budget, prices, record=record, most_tokens=cap)
        _ledgers[record] = ref(ledger)
    return ledger
