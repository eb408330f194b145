"""How fast a model is: to its first token, writing one reply at a time, and writing many at once.

Every request goes through a gateway, with its budget, limits and retries. The gateway is handed the
model's backend inside one that notes when what came.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from scholar import prompts
from scholar.backends import (
    Backend,
    Capabilities,
    Delta,
    Message,
    Request,
    TokenCount,
    is_loopback,
    split_model_id,
)
from scholar.backends.chain import Member, Roster, public_id
from scholar.backends.facts import FactsFile
from scholar.backends.forms import likely_tokens, most_input_tokens
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.pace import MEASURED
from scholar.backends.schema import Reply, strict_schema
from scholar.backends.store import Store
from scholar.errors import BudgetSpent, ReplyInvalid, ScholarError
from scholar.events import Event, Waiting
from scholar.prompts import Prompt
from scholar.settings import Price, Settings
from scholar.values import Usage

_PIECES = 3
"""Pieces of text from which on a reply has a speed; one that was held back came all at once."""
_NUMBERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast `model` was with so many requests `concurrent`, of which `replies` came whole.

    Medians over the replies: seconds to the first text, None where a model only thought, and the
    tokens a second of each; `total_tokens_per_second` is that of all together. `estimated` marks
    tokens that the server did not report. `at_once` is how many requests the limits let through at
    a time, and `limited_by` names the limits that held some back.

    The fields from `seconds` on are what the round took. The first round of a model has one request
    more in it, which wakes the model and is not timed. `error` is why the model, or `failed` of the
    requests, gave no reply.
    """

    model: str
    concurrent: int | None = None
    at_once: int | None = None
    replies: int = 0
    failed: int = 0
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    total_tokens_per_second: float | None = None
    estimated: bool = False
    limited_by: str = ""
    seconds: float = 0.0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = 0.0
    gpu_seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most that measuring `models` may take; `dollars` is None where a price is not known."""

    models: tuple[str, ...]
    requests: int
    tokens: int
    dollars: float | None


def estimate(
    model_ids: Iterable[str], known: Settings, levels: Sequence[int], tokens: int
) -> Estimate:
    """What measuring takes of those models that cost money; calls nothing.

    These are the ones with a price, and those on another's server whose price is not known. Raises
    SettingsError where an id cannot be read.
    """
    costly = [model_id for model_id in model_ids if _costs(model_id, known)]
    prices = [known.price_of(split_model_id(model_id)[0]) for model_id in costly]
    requests, sent = 1 + sum(map(_requests, levels)), _most_sent()
    each = [requests * (sent * p.input + tokens * p.output) / 1_000_000 for p in prices if p]
    return Estimate(
        tuple(map(public_id, costly)),
        requests * len(costly),
        requests * len(costly) * (sent + tokens),
        sum(each) if len(each) == len(costly) else None,
    )


async def bench(
    model_id: str,
    known: Settings,
    ledger: Ledger,
    *,
    levels: Sequence[int],
    tokens: int,
    on_level: Callable[[int], None] = lambda _: None,
    on_notice: Callable[[str], None] = lambda _: None,
) -> AsyncGenerator[Speed, None]:
    """Measure a model with as many requests at once as each of `levels` says.

    Replies have `tokens` tokens at most. `on_level` is told of a level before it begins. The pace
    of single replies is kept for later runs; that of many at once says more of the load. Raises
    what opening the model and asking it raise, BudgetSpent after what was measured until then.
    """
    async with _opened(model_id, known, tokens, on_notice) as (roster, member, asker):
        begun = len(ledger.calls)
        await asker.wake(ledger)
        for level in levels:
            on_level(level)
            heard = await asker.ask(level, ledger)
            if level == 1:
                _learn(roster, member, heard.timings)
            usage = Usage.of(ledger.calls[begun:], heard.seconds)
            begun = len(ledger.calls)
            yield _speed(member, known, level, heard, usage)
            heard.raise_if_spent()


@dataclass(frozen=True, slots=True)
class Timing:
    """When what of one reply came, in seconds: its first sign, its first text if any, its end."""

    sign: float
    text: float | None
    end: float
    pieces: int
    tokens: TokenCount
    estimated: bool

    @property
    def rate(self) -> float:
        """Tokens a second, without the wait for the first; of the text where thoughts are hidden.

        Over all of the time where the reply did not come piece by piece.
        """
        start, tokens = self.sign, self.tokens.output
        if self.tokens.reasoning and self.text is not None:
            start, tokens = self.text, tokens - self.tokens.reasoning
        if self.pieces < _PIECES or start >= self.end:
            return self.tokens.output / max(self.end, 1e-3)
        return max(tokens - 1, 0) / (self.end - start)


@dataclass(slots=True)
class _Heard:
    """What came of the requests of one round."""

    timings: list[Timing] = field(default_factory=list)
    errors: list[ScholarError] = field(default_factory=list)
    seconds: float = 0.0
    waited: bool = False

    def note(self, event: Event) -> None:
        self.waited |= isinstance(event, Waiting)

    def raise_if_spent(self) -> None:
        for error in self.errors:
            if isinstance(error, BudgetSpent):
                raise error


class _Written(Reply):
    """What a model is asked to write. Whatever it wrote is taken, as only the time counts."""

    text: str

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **_: Any) -> Self:
        return cls(text=str(json_data))


class _Timed:
    """A backend around another that times replies; one cut off at its limit is a whole one here."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.timings: list[Timing] = []

    @property
    def name(self) -> str:
        return self._backend.name

    @property
    def capabilities(self) -> Capabilities:
        return self._backend.capabilities

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        began = time.perf_counter()
        all_at: list[float] = []
        text_at: list[float] = []
        text, tokens = "", None
        try:
            async with aclosing(self._backend.stream(request)) as deltas:
                async for delta in deltas:
                    all_at.append(time.perf_counter() - began)
                    if delta.text:
                        text_at.append(all_at[-1])
                    text, tokens = text + delta.text, delta.tokens or tokens
                    yield delta
        except ReplyInvalid:
            if not all_at:
                raise
        if all_at:
            first, counted = next(iter(text_at), None), tokens or likely_tokens(request, text)
            timing = Timing(all_at[0], first, all_at[-1], len(text_at), counted, tokens is None)
            self.timings.append(timing)

    async def classify(self, request: Request) -> dict[str, float]:
        return await self._backend.classify(request)

    async def aclose(self) -> None:
        await self._backend.aclose()


class _Asker:
    """Asks one model through its gateway."""

    def __init__(self, gateway: Gateway, timed: _Timed) -> None:
        self._gateway = gateway
        self._timed = timed

    async def wake(self, ledger: Ledger) -> None:
        """Have the model loaded, and its server say what it does not take."""
        await self._ask(prompts.render("hello"), ledger, lambda _: None)

    async def ask(self, level: int, ledger: Ledger) -> _Heard:
        """What came of `level` requests at once, or of several in turn for one.

        Raises the error of the first where all failed.
        """
        heard = _Heard()
        before, began = len(self._timed.timings), time.perf_counter()
        turns = [1] * _requests(1) if level == 1 else [level]
        for many in turns:
            await asyncio.gather(*(self._one(ledger, heard) for _ in range(many)))
        heard.seconds = time.perf_counter() - began
        heard.timings = self._timed.timings[before:]
        if heard.errors and not heard.timings:
            raise heard.errors[0]
        return heard

    async def _one(self, ledger: Ledger, heard: _Heard) -> None:
        try:
            await self._ask(_prompt(), ledger, heard.note)
        except ScholarError as error:
            heard.errors.append(error)

    async def _ask(self, prompt: Prompt, ledger: Ledger, emit: Callable[[Event], None]) -> None:
        await self._gateway.ask(prompt, _Written, ledger=ledger, emit=emit, fresh=True)


@asynccontextmanager
async def _opened(
    model_id: str, known: Settings, tokens: int, on_notice: Callable[[str], None]
) -> AsyncIterator[tuple[Roster, Member, _Asker]]:
    """The model with what is known of it, and one who asks it for so many tokens."""
    async with AsyncExitStack() as stack:
        store = Store(known.home, on_notice)
        stack.callback(store.close)
        roster = Roster(known, {}, FactsFile(store))
        stack.push_async_callback(roster.aclose)
        member = await asyncio.to_thread(roster.member, model_id)
        timed = _Timed(member.backend)
        # A gateway asks for a reply of a quarter of the window.
        gateway = Gateway(known.model_copy(update={"context_window": 4 * tokens}), {"*": timed})
        stack.push_async_callback(gateway.aclose)
        yield roster, member, _Asker(gateway, timed)


def _learn(roster: Roster, member: Member, timings: Iterable[Timing]) -> None:
    """Keep the pace of replies that were written one at a time."""
    pace = member.facts.pace
    for one in timings:
        pace = pace.after(one.sign, one.end, one.tokens.input, one.tokens.output)
    roster.learn(member, pace)


def _speed(member: Member, known: Settings, level: int, heard: _Heard, usage: Usage) -> Speed:
    timings = heard.timings
    at_once = min(level, known.limit_of(member.name).concurrency or level)
    texts = [one.text for one in timings if one.text is not None]
    return Speed(
        model=member.id,
        concurrent=level,
        at_once=at_once,
        replies=len(timings),
        failed=len(heard.errors),
        first_token_seconds=round(statistics.median(texts), 3) if texts else None,
        tokens_per_second=round(statistics.median([one.rate for one in timings]), 1),
        total_tokens_per_second=round(sum(one.tokens.output for one in timings) / heard.seconds, 1),
        estimated=any(one.estimated for one in timings),
        limited_by=_limits(at_once, level, heard.waited),
        seconds=usage.seconds,
        requests=usage.calls,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        dollars=usage.dollars,
        gpu_seconds=usage.gpu_seconds,
        error=str(heard.errors[0]) if heard.errors else "",
    )


def _limits(at_once: int, level: int, waited: bool) -> str:
    """The limits that held requests back, as scholar.toml names them."""
    held = [f"concurrency = {at_once}"] if at_once < level else []
    return " and ".join(held + ["the limits of a minute"] * waited)


def _requests(level: int) -> int:
    """Requests of a round: as many replies in turn as a pace is relied on from, or all at once."""
    return MEASURED if level == 1 else level


def _prompt() -> Prompt:
    # No two alike, so that nothing between here and the model knows the reply already.
    number = random.randrange(_NUMBERS)
    return prompts.render("bench", question=f"What is there to tell about the number {number}?")


def _most_sent() -> int:
    """The most tokens of a prompt."""
    prompt = _prompt()
    messages = (Message("system", prompt.system), Message("user", prompt.user))
    return most_input_tokens(Request(messages, schema=strict_schema(_Written)))


def _costs(model_id: str, known: Settings) -> bool:
    """Whether asking the model costs money, as far as can be told."""
    name, url = split_model_id(model_id)
    price = known.price_of(name)
    if price is not None:
        return price != Price(input=0, output=0)
    return model_id.startswith("openai:") and not (url and is_loopback(url))
