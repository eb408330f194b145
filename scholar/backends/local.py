"""Models that run on this machine, by transformers and torch. Import this module where it is used.

Neither package is loaded before the first request, and then in the thread that owns the model.
"""

from __future__ import annotations

import asyncio
import codecs
import importlib.util
import math
import random
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from scholar.backends import Capabilities, Delta, Request, TokenCount, classify
from scholar.backends.thoughts import CLOSING, Spoken
from scholar.backends.worker import Worker
from scholar.errors import ModelError, ModelRejected, ReplyInvalid
from scholar.settings import Settings

if TYPE_CHECKING:
    import torch

    from scholar.backends.batching import Batch
    from scholar.backends.weights import Grammar, Weights

TURN_ON = "pip install 'scholar[local]'"
_WINDOW = 8
"""Tokens decoded together: more than any character has, few enough to cost nothing."""
_END_OF_THOUGHT = f"\n{CLOSING}\n\n"

Item = Delta | ModelError | None
"""What comes of a request: pieces, then None at the end of a whole reply, or an error."""
Send = Callable[[Item], None]


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
        self._outboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Outbox]
        self._outboxes = weakref.WeakKeyDictionary()
        weakref.finalize(self, self._worker.stop)

    @property
    def capabilities(self) -> Capabilities:
        """The window is known once the model is loaded."""
        serving = self._loaded[0] if self._loaded else None
        writes = not (serving and serving.weights.is_masked)
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
        asked = _Asked(request, self._outboxes.setdefault(loop, _Outbox(loop)))
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
        from scholar.backends.batching import Batch, Model
        from scholar.backends.weights import open_weights

        self.settings = settings.local
        self.weights: Weights = open_weights(name, settings.local, offline=settings.offline)
        weights = self.weights
        model = Model(name, weights.network, weights.device, weights.vocabulary)
        self.batch: Batch = Batch(model, settings.local.max_batch)

    @property
    def is_idle(self) -> bool:
        return self.batch.is_idle

    def turn(self) -> None:
        self.batch.turn()

    def fail_all(self, error: ModelError) -> None:
        self.batch.fail_all(error)


class _Outbox:
    """Hands what the model's thread makes to one event loop, much of it at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._items: deque[tuple[asyncio.Queue[Item], Item]] = deque()
        self._called = False

    def put(self, queue: asyncio.Queue[Item], item: Item) -> bool:
        """Have `item` put into `queue`; False where the loop has ended."""
        self._items.append((queue, item))
        if self._called:
            return True
        self._called = True  # before the call, so that it is never unset after the last item
        loop = self._loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._deliver)
                return True
        except RuntimeError:
            pass  # it was closed, as said below
        self._called = False
        self._items.clear()
        return False

    def _deliver(self) -> None:
        self._called = False
        while self._items:
            queue, item = self._items.popleft()
            queue.put_nowait(item)


class _Asked:
    """A request on its way: from the event loop into the model's thread, its reply back."""

    def __init__(self, request: Request, outbox: _Outbox) -> None:
        self._request = request
        self._outbox = outbox
        self._job: _Job | None = None
        self._cancelled = False
        self.items: asyncio.Queue[Item] = asyncio.Queue()

    def cancel(self) -> None:
        """Nobody waits for (more of) the reply."""
        self._cancelled = True
        if self._job is not None:
            self._job.cancelled = True

    def start(self, serving: _Serving, /) -> None:
        if self._cancelled:
            return
        request, weights = self._request, serving.weights
        if weights.is_masked:
            _fill_mask(request, weights, self._send)
            return
        thinks = serving.settings.thinking and not request.choices
        prompt, thinking = weights.prompt(request.messages, think=thinks)
        kind = _Rating if request.choices else _Writing
        self._job = kind(request, weights, self._send, prompt, thinking)
        self._job.cancelled = self._cancelled
        serving.batch.add(self._job)

    def fail(self, error: ModelError, /) -> None:
        self._send(error)

    def _send(self, item: Item) -> None:
        if not self._outbox.put(self.items, item):  # the loop has ended, and with it whoever asked
            self.cancel()


class _Job:
    """What the batch has to know of every request."""

    choices: Sequence[Sequence[int]] = ()

    def __init__(
        self, request: Request, weights: Weights, send: Send, prompt: list[int], thinking: bool
    ) -> None:
        import torch

        self.request = request
        self.weights = weights
        self.send = send
        self.prompt = prompt
        self.sent = len(prompt)
        self.thinking = thinking
        self.cancelled = False
        self.temperature = request.temperature
        seed = random.getrandbits(63) if request.seed is None else request.seed % 2**63
        self.generator = torch.Generator().manual_seed(seed)

    def room(self, least: int) -> int:
        """Tokens of the window that are left for the reply; ModelRejected where `least` are not."""
        left = self.weights.window - self.sent
        if left < least:
            raise ModelRejected(
                f"The prompt of {self.sent:,} tokens leaves no room for a reply in the window of "
                f"{self.weights.name}, {self.weights.window:,} tokens; choose a model with a "
                "larger window, or set context_window to what this one takes."
            )
        return left

    def fail(self, error: ModelError) -> None:
        self.send(error)

    def forced(self) -> int | None:
        return None

    def mask(self, bits: torch.Tensor, row: int) -> bool:
        return False

    def take(self, token: int) -> bool:
        return True

    def rated(self, scores: list[float]) -> None:
        pass


class _Rating(_Job):
    """A request to choose: the choices are rated, none is written."""

    def __init__(
        self, request: Request, weights: Weights, send: Send, prompt: list[int], thinking: bool
    ) -> None:
        if thinking:  # it is not asked for its thoughts
            prompt = prompt + weights.encode(_END_OF_THOUGHT)
        super().__init__(request, weights, send, prompt, thinking)
        if not all(request.choices):
            raise ModelRejected("A choice is empty; give each at least one letter.")
        self.choices = _with_ends([weights.encode(c) for c in request.choices], weights)
        self.room(max(map(len, self.choices)))

    def rated(self, scores: list[float]) -> None:
        _send_choice(self, scores, [len(choice) for choice in self.choices])


def _with_ends(choices: list[list[int]], weights: Weights) -> list[list[int]]:
    """`choices` with the end of the reply after each, where one begins as another does."""
    whole = [tuple(choice) for choice in choices]
    nested = any(a != b and b[: len(a)] == a for a in whole for b in whole)
    return (
        [[*choice, min(weights.ends)] for choice in choices] if nested and weights.ends else choices
    )


def _send_choice(job: _Job, scores: list[float], lengths: list[int]) -> None:
    total = _log_sum(scores)
    request = job.request
    logs = {c: score - total for c, score in zip(request.choices, scores, strict=True)}
    if request.temperature > 0:
        chosen = _drawn(list(logs.values()), request.temperature, job.generator)
    else:
        chosen = max(range(len(scores)), key=scores.__getitem__)
    tokens = TokenCount(job.sent, lengths[chosen])
    job.send(Delta(request.choices[chosen]))
    job.send(Delta(tokens=tokens, choices=logs))
    job.send(None)


def _log_sum(logs: Sequence[float]) -> float:
    most = max(logs)
    return most + math.log(sum(math.exp(log - most) for log in logs))


def _drawn(logs: list[float], temperature: float, generator: torch.Generator) -> int:
    import torch

    chances = torch.softmax(torch.tensor(logs) / temperature, dim=-1)
    return int(torch.multinomial(chances, 1, generator=generator))


class _Writing(_Job):
    """A reply that is written token by token, held to a schema where there is one."""

    def __init__(
        self, request: Request, weights: Weights, send: Send, prompt: list[int], thinking: bool
    ) -> None:
        super().__init__(request, weights, send, prompt, thinking)
        schema = request.schema
        self._guide = None if schema is None else _Guide(weights.grammar(schema), weights)
        self._spoken = Spoken(thinking)
        self._stops = _Stops(request.stop)
        self._decoder = _Decoder(weights)
        self._forced: deque[int] = deque()
        self._close = weights.encode(_END_OF_THOUGHT) if thinking else []
        needed = len(self._close) + (self._guide.needs if self._guide else 1)
        self._most = min(request.max_tokens, self.room(needed))
        if self._most < needed:
            raise ModelRejected(
                f"{request.max_tokens} tokens are too few for the {request.schema_name} that "
                f"{weights.name} is to write, which needs {needed}; raise max_tokens."
            )
        # Half of what is not needed is for thoughts, so that enough is left to answer in.
        self._thoughts = (self._most - needed) // 2
        self._count = self._reasoning = 0

    @property
    def _is_guided(self) -> bool:
        return self._guide is not None and not self._spoken.thinking

    def forced(self) -> int | None:
        return self._forced[0] if self._forced else None

    def mask(self, bits: torch.Tensor, row: int) -> bool:
        if self._guide is None or self._spoken.thinking:
            return False
        self._guide.mask(bits, row)
        return True

    def take(self, token: int) -> bool:
        self._count += 1
        if self._forced:
            self._forced.popleft()
        if self._is_guided:
            return self._take_guided(token)
        if self._guide is not None:
            return self._take_thought(token)
        return self._take_free(token)

    def _take_guided(self, token: int) -> bool:
        assert self._guide is not None
        left = self._most - self._count
        if self._guide.takes(token, left):
            text = self._guide.text(token)
        else:
            closing = self._guide.end()
            self._count += len(closing) - 1  # they come in the place of `token`
            text = "".join(map(self._guide.text, closing))
        if text:
            self.send(Delta(text))
        if self._guide.is_done:
            self._finish()
        return self._guide.is_done

    def _take_thought(self, token: int) -> bool:
        """Thoughts before a reply to a schema; they end in time for it."""
        self._spoken.feed(self._decoder.feed(token))
        self._reasoning = self._count
        spent = token in self.weights.ends or self._count >= self._thoughts
        if spent and self._spoken.thinking and not self._forced:
            self._forced.extend(self._close)
        return False

    def _take_free(self, token: int) -> bool:
        if token in self.weights.ends:
            self._say(self._spoken.feed(self._decoder.rest()) + self._spoken.rest())
            self._finish(self._stops.rest())
            return True
        self._say(self._spoken.feed(self._decoder.feed(token)))
        if self._spoken.has_thought and not self._spoken.speaking:
            self._reasoning = self._count
        if self._stops.hit:
            self._finish()
            return True
        if self._count < self._most:
            return False
        self._say(self._spoken.feed(self._decoder.rest()))
        self._cut(self._stops.rest())
        return True

    def _say(self, text: str) -> None:
        if text := self._stops.feed(text):
            self.send(Delta(text))

    def _finish(self, rest: str = "") -> None:
        self.send(Delta(rest, self._tokens))
        self.send(None)

    def _cut(self, rest: str) -> None:
        self.send(Delta(rest, self._tokens))
        self.send(
            ReplyInvalid(
                f"The reply of {self.weights.name} was cut off at {self._count:,} tokens; ask for "
                "less, or choose a model that writes more and set context_window to its window."
            )
        )

    @property
    def _tokens(self) -> TokenCount:
        return TokenCount(self.sent, self._count, self._reasoning)


class _Guide:
    """Holds one reply to a grammar, and knows how to end it within any number of tokens."""

    def __init__(self, grammar: Grammar, weights: Weights) -> None:
        import xgrammar

        self._weights = weights
        self._matcher: Any = xgrammar.GrammarMatcher(grammar.compiled)
        self._state = grammar.walk.start
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.is_done = False

    @property
    def needs(self) -> int:
        """Tokens that the shortest reply takes."""
        return len(self._state.closing or ())

    def end(self) -> tuple[int, ...]:
        """End the reply as soon as can be; returns the tokens that do."""
        self.is_done = True
        return self._state.closing or ()

    def mask(self, bits: torch.Tensor, row: int) -> None:
        """Write the tokens that may follow into a row of `bits`."""
        self._matcher.fill_next_token_bitmask(bits, row)
        bits[row] &= self._weights.wordy  # its marks for turns and gaps spell text, but are none

    def takes(self, token: int, left: int) -> bool:
        """Whether `token` goes on the reply so that it can end within `left` tokens after it."""
        if token in self._weights.ends:
            return False  # at a whole reply the closing is empty, so this ends it
        after = self._state.after(self._weights.bytes_of(token))
        if after is None or after.closing is None or len(after.closing) > left:
            return False
        if not self._matcher.accept_token(token):
            return False
        self._state, self.is_done = after, after.is_end
        return True

    def text(self, token: int) -> str:
        """The text of the next token of the reply."""
        return self._decoder.decode(self._weights.bytes_of(token))


class _Decoder:
    """Turns tokens into text, holding back what is not yet a whole character."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._tokens: list[int] = []
        self._said = ""

    def feed(self, token: int) -> str:
        """The text that `token` adds."""
        self._tokens.append(token)
        text = self._weights.decode(self._tokens)
        if text.endswith("\ufffd") and len(self._tokens) < _WINDOW:
            return ""
        new, self._said = text[len(self._said) :], text
        if len(self._tokens) >= _WINDOW:
            # A token's text can hang on the one before it, not on all of them.
            self._tokens = self._tokens[-1:]
            self._said = self._weights.decode(self._tokens)
        return new

    def rest(self) -> str:
        """What was held back."""
        new = self._weights.decode(self._tokens)[len(self._said) :]
        self._tokens, self._said = [], ""
        return new


class _Stops:
    """Ends a text before the first of some strings, holding back what may become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """What of the text so far is sure to be said."""
        text = self._held + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._held, self.hit = "", True
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """What was held back."""
        return self._held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` with which `stop` begins."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)


def _fill_mask(request: Request, weights: Weights, send: Send) -> None:
    """Rate choices by what a masked model puts in the place of its mask.

    A choice of several tokens gets as many masks, and counts by their mean.
    """
    if not request.choices:
        raise ModelRejected(
            f"{weights.name} fills gaps and writes no text; use it to choose, "
            "and another model to write."
        )
    from scholar.backends.masked import rate

    text = "\n\n".join(message.content for message in request.messages)
    scores, prompt, lengths = rate(weights, text, request.choices)
    _send_choice(_Job(request, weights, send, prompt, False), scores, lengths)
