"""The backend itself: requests go to the thread that owns the model, replies come back."""

from __future__ import annotations

import asyncio
import importlib.util
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from scholar.backends import Capabilities, Delta, Request, classify
from scholar.backends.local.chat_template import prompt
from scholar.backends.local.choosing import Choosing, fill_mask
from scholar.backends.local.reply import Reply
from scholar.backends.local.streaming import Item, Outbox
from scholar.backends.local.worker import Worker
from scholar.backends.local.writing import Writing
from scholar.errors import ModelError, ModelRejected
from scholar.settings import Settings

if TYPE_CHECKING:
    from scholar.backends.local.accelerator import Meter
    from scholar.backends.local.lane import Lane
    from scholar.backends.local.scheduler import Scheduler
    from scholar.backends.local.weights import Weights

TURN_ON = "pip install 'scholar[local]'"


class LocalBackend:
    """The model `name` on this machine: an id of the hub or a folder, perhaps `+` an adapter.

    All requests share the model and are answered together. Raises ModelRejected where torch is
    missing; whether the model can be loaded shows with the first request.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        if importlib.util.find_spec("torch") is None:
            raise ModelRejected(f"{name} needs torch to run on this machine; run {TURN_ON}.")
        self.name = name
        self._loaded: list[_Serving] = []
        loaded = self._loaded  # the thread must not hold on to the backend itself

        def load() -> _Serving:
            serving = _Serving(name, settings)
            loaded.append(serving)
            return serving

        self._worker = Worker(name, load)
        self._outboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox]
        self._outboxes = weakref.WeakKeyDictionary()
        weakref.finalize(self, self._worker.stop)

    @property
    def capabilities(self) -> Capabilities:
        """The window is known once the model is loaded."""
        serving = self._loaded[0] if self._loaded else None
        writes = not (serving and serving.weights.memory == "masked")
        return Capabilities(
            json_schema=writes and importlib.util.find_spec("xgrammar") is not None,
            choices=True,
            logprobs=True,
            seed=True,
            context_window=serving.weights.window if serving else None,
        )

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """The reply, without what the model thinks before it; see `Backend` for the contract."""
        loop = asyncio.get_running_loop()
        asked = _Asked(request, self._outboxes.setdefault(loop, Outbox(loop)))
        self._worker.submit(asked)
        item: Item = None
        try:
            while (item := await asked.items.get()) is not None:
                if isinstance(item, ModelError):
                    raise item
                yield item
        finally:
            item = None  # an error holds on to this frame
            asked.cancel()

    async def classify(self, request: Request) -> dict[str, float]:
        """How likely the model is to say each of the choices; see `Backend`."""
        return await classify(self, request)

    async def aclose(self) -> None:
        """Let go of the model; what is under way fails."""
        await asyncio.to_thread(self._worker.close)
        self._loaded.clear()


class _Serving:
    """A loaded model and the replies that it is writing."""

    def __init__(self, name: str, settings: Settings) -> None:
        from scholar.backends.local.accelerator import Meter
        from scholar.backends.local.loading import open_weights
        from scholar.backends.local.scheduler import Scheduler

        self.settings = settings.local
        self.weights: Weights = open_weights(name, settings.local, offline=settings.offline)
        self.meter = Meter(self.weights.device)
        lane = _lane(self.weights, settings.local.max_batch, self.meter)
        self.scheduler: Scheduler = Scheduler(name, self.weights.device, lane)

    @property
    def is_idle(self) -> bool:
        return self.scheduler.is_idle

    def turn(self) -> None:
        self.scheduler.turn()

    def fail_all(self, error: ModelError) -> None:
        self.scheduler.fail_all(error)


def _lane(weights: Weights, size: int, meter: Meter) -> Lane:
    """How the model's replies are written; a masked model writes none."""
    from scholar.backends.local.batching import BatchedLane
    from scholar.backends.local.cacheless import CachelessLane, OwnCacheLane

    if weights.memory == "shared":
        return BatchedLane(weights, size, meter)
    kind = OwnCacheLane if weights.memory == "own" else CachelessLane
    return kind(weights, size, meter)


class _Asked:
    """A request on its way: from the event loop into the model's thread, its reply back."""

    def __init__(self, request: Request, outbox: Outbox) -> None:
        self._request = request
        self._outbox = outbox
        self._reply: Reply | None = None
        self._cancelled = False
        self.items: asyncio.Queue[Item] = asyncio.Queue()

    def cancel(self) -> None:
        """Nobody waits for (more of) the reply."""
        self._cancelled = True
        if self._reply is not None:
            self._reply.cancelled = True

    def start(self, serving: _Serving, /) -> None:
        if self._cancelled:
            return
        request, weights = self._request, serving.weights
        if weights.memory == "masked":
            fill_mask(request, weights, self._send, serving.meter)
            return
        thinks = serving.settings.thinking and not request.choices
        tokens, thinking = prompt(weights, request.messages, think=thinks)
        kind = Choosing if request.choices else Writing
        self._reply = kind(request, weights, self._send, tokens, thinking)
        self._reply.cancelled = self._cancelled
        serving.scheduler.add(self._reply)

    def fail(self, error: ModelError, /) -> None:
        self._send(error)

    def _send(self, item: Item) -> None:
        if not self._outbox.put(self.items, item):  # the loop has ended, and with it whoever asked
            self.cancel()
