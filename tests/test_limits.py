"""Limits and deadlines: how much a model is sent at a time, and how long it may be silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from injected import impatient
from model_server import ModelServer
from pydantic import BaseModel

from scholar.backends import Delta, Request, TokenCount
from scholar.backends.facts import Facts
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.limits import Lane
from scholar.backends.pace import (
    AWAKE,
    FIRST_FLOOR,
    GAP_FLOOR,
    MEASURED,
    MULTIPLE,
    Pace,
    patience,
)
from scholar.errors import ModelUnavailable
from scholar.events import Event, Waiting
from scholar.prompts import Prompt
from scholar.settings import Budget, Limit, Settings

PROMPT = Prompt("plan", "planner", 1, "You plan.", "Plan a trip.")
GOOD = '{"city": "Paris"}'
pytestmark = pytest.mark.slow

MINUTE = 1.0
"""A short one, so that the tests do not take long."""


class Trip(BaseModel):
    city: str


def lane(**limits: Any) -> Lane:
    return Lane(Limit(**{"concurrency": 100} | limits), MINUTE)


async def admitted(lane: Lane, *tokens: int) -> list[float]:
    """When each of several requests, made at once, was let through, in seconds from now."""
    began = time.monotonic()

    async def one(size: int) -> float:
        async with lane.turn(size):
            return time.monotonic() - began

    return list(await asyncio.gather(*(one(size) for size in tokens)))


# --- limits


async def test_without_limits_nothing_waits() -> None:
    assert max(await admitted(lane(), *[10**6] * 50)) < MINUTE / 2


async def test_requests_beyond_those_of_a_minute_wait_for_the_next() -> None:
    times = await admitted(lane(requests_per_minute=2), 1, 1, 1, 1, 1)
    assert [round(at / MINUTE - 0.01) for at in times] == [0, 0, 1, 1, 2]


async def test_tokens_beyond_those_of_a_minute_wait_in_the_order_of_asking() -> None:
    times = await admitted(lane(tokens_per_minute=100), 60, 60, 30)
    # The small one would fit at once, yet the larger one came before it.
    assert [round(at / MINUTE - 0.01) for at in times] == [0, 1, 1]


async def test_a_request_larger_than_a_minute_goes_alone_instead_of_never() -> None:
    times = await admitted(lane(tokens_per_minute=100), 500, 10)
    assert times[0] < MINUTE / 2
    assert times[1] >= MINUTE


async def test_tokens_that_were_not_used_are_free_for_others_at_once() -> None:
    way = lane(tokens_per_minute=100)
    async with way.turn(90) as entry:
        waiting = asyncio.create_task(admitted(way, 50))
        # Until it is waiting for the minute to be over.
        while not way._gate.locked():  # noqa: ASYNC110
            await asyncio.sleep(0)
        entry.tokens = 10
    assert (await waiting)[0] < MINUTE / 2


async def test_one_who_stops_waiting_holds_nobody_up() -> None:
    way = lane(tokens_per_minute=100)
    await admitted(way, 90)
    waiting = asyncio.create_task(admitted(way, 90))
    await asyncio.sleep(0)
    waiting.cancel()
    assert (await admitted(way, 10))[0] < MINUTE / 2


async def test_a_noticeable_wait_is_told_with_the_model() -> None:
    settings = Settings(limits={"fake": Limit(requests_per_minute=1)})
    gateway = Gateway(settings, {"*": FakeBackend([GOOD, GOOD])})
    events: list[Event] = []
    told = asyncio.Event()

    def emit(event: Event) -> None:
        events.append(event)
        told.set()

    books = Ledger(Budget(), lambda _: None)
    await gateway.ask(PROMPT, Trip, ledger=books)
    waiting = asyncio.create_task(gateway.ask(PROMPT, Trip, ledger=books, emit=emit))
    await told.wait()
    waiting.cancel()
    (event,) = events
    assert isinstance(event, Waiting)
    assert (event.role, event.model) == ("planner", "fake")
    assert 59 < event.wait <= 60


def test_a_model_has_limits_of_its_own_before_the_common_one() -> None:
    settings = Settings(concurrency=3, limits={"a": Limit(concurrency=1, tokens_per_minute=5)})
    assert (settings.limit_of("a").concurrency, settings.limit_of("a").tokens_per_minute) == (1, 5)
    assert settings.limit_of("b").concurrency == 3


# --- deadlines

SILENCE = 300.0


def pace(first: float, rate: float, **fields: Any) -> Pace:
    return replace(Pace(MEASURED, first, 1_000, rate, time.time()), **fields)


def test_before_there_are_measurements_the_settings_hold() -> None:
    for unknown in (Pace(), pace(1, 100, calls=MEASURED - 1)):
        found = patience(unknown, SILENCE, 1_000, 8_000)
        assert (found.first, found.gap, found.measured) == (SILENCE, SILENCE, False)


def test_a_slow_model_gets_more_than_the_settings_grant() -> None:
    found = patience(pace(200.0, 0.5), SILENCE, 1_000, 800)
    assert found.first == pytest.approx(MULTIPLE * (200 + 1_600))
    assert found.gap == pytest.approx(MULTIPLE * 50 / 0.5)


def test_a_longer_prompt_gets_more_time_to_its_first_token() -> None:
    short, long = (patience(pace(10.0, 100), SILENCE, n, 100) for n in (1_000, 4_000))
    assert long.first - short.first == pytest.approx(MULTIPLE * 30)


def test_a_fast_model_that_is_dead_is_found_out_early_yet_never_at_once() -> None:
    found = patience(pace(0.1, 1_000), SILENCE, 1_000, 100)
    assert (found.first, found.gap) == (FIRST_FLOOR, GAP_FLOOR)


def test_requests_under_way_beside_it_may_come_first() -> None:
    alone, beside = (patience(pace(10.0, 10), SILENCE, 1_000, 100, n) for n in (0, 7))
    assert beside.first == pytest.approx(8 * alone.first)


def test_a_model_not_asked_for_long_may_have_to_be_loaded_again() -> None:
    found = patience(pace(0.1, 1_000, at=time.time() - AWAKE - 1), SILENCE, 1_000, 100)
    assert found.first == SILENCE


def test_running_means_follow_the_newest_calls() -> None:
    known = Pace()
    for _ in range(20):
        known = known.after(1.0, 3.0, 500, 100)
    assert (known.calls, known.measured) == (20, True)
    assert (known.first, known.input, known.rate) == pytest.approx((1.0, 500, 50))
    for _ in range(20):
        known = known.after(2.0, 4.0, 500, 20)
    assert (known.first, known.rate) == pytest.approx((2.0, 10.0), rel=0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(lambda _: GOOD) as server:
        yield server


async def test_the_pace_of_a_model_is_measured_and_known_to_later_processes(
    server: ModelServer, tmp_path: Path
) -> None:
    server.use(lambda _: GOOD, first_token=0.1, rate=40)
    model = f"openai:tiny@{server.url}"
    settings = Settings(home=tmp_path, model=model, cache=False)
    for calls in (1, 2):
        gateway = Gateway(settings)
        await gateway.ask(PROMPT, Trip, ledger=Ledger(Budget(), lambda _: None))
        known = gateway.facts(model).pace
        await gateway.aclose()
        assert known.calls == calls
    assert 0.1 <= known.first < 0.2
    assert 25 <= known.rate <= 55


class Stalling(FakeBackend):
    """Says `pieces` and then nothing."""

    def __init__(self, *pieces: str) -> None:
        super().__init__([], "slow")
        self.pieces = pieces

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        for piece in self.pieces:
            yield Delta(piece)
        await asyncio.Event().wait()


@pytest.mark.parametrize("pieces", [(), ("",), ('{"city"',)])
async def test_a_measured_model_that_stalls_is_given_up_with_the_numbers(
    pieces: tuple[str, ...],
) -> None:
    backend = Stalling(*pieces)
    gateway = Gateway(Settings(silence=0.05, context_window=2_048), {"*": backend})
    member = gateway._roster.member(backend)
    member.facts = Facts(pace=Pace(9, 0.001, 6, 10_000.0, time.time()))
    books = Ledger(Budget(), lambda _: None)
    with pytest.raises(ModelUnavailable) as caught, impatient():
        await gateway.ask(PROMPT, Trip, ledger=books)
    begun = bool("".join(pieces))
    said = str(caught.value)
    # Before the first text all 512 tokens may be thoughts; after it, 50 may come at once.
    assert f"slow sent nothing for {0.05 if begun else 0.261:g} seconds" in said
    assert "0.0 s to its first word and 10000 tokens a second" in said
    assert ("7 characters into its reply" in said) is begun
    assert backend.requests[0].silence == pytest.approx(2 * 0.261)


async def test_signs_of_life_keep_a_thinking_model_from_being_given_up() -> None:
    class Thinking(FakeBackend):
        async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
            for _ in range(8):
                await asyncio.sleep(0.2)
                yield Delta()
            yield Delta(GOOD, TokenCount(6, 40, 36))

    gateway = Gateway(Settings(silence=1.0), {"*": Thinking([])})
    books = Ledger(Budget(), lambda _: None)
    assert (await gateway.ask(PROMPT, Trip, ledger=books)).city == "Paris"
    assert books.calls[0].seconds > 1.0
