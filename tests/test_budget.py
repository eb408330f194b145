"""Budgets: no call that could break a cap is sent, also when many are under way at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minds import honest
from office import OpenDesk
from papers import QUESTION
from pydantic import BaseModel

from scholar.backends import Capabilities, Delta, Message, Request, TokenCount, classify
from scholar.backends.fake import FakeBackend
from scholar.backends.forms import likely_tokens, most_input_tokens
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import LEAST_REPLY, Ledger
from scholar.errors import BudgetSpent, ModelError, ModelUnavailable, ReplyInvalid
from scholar.prompts import Prompt
from scholar.settings import Budget, Price, Settings
from scholar.values import Call, Outcome

PRICE = Price(input=2.0, output=8.0)
PROMPT = Prompt("plan", "planner", 1, "You plan.", "Plan a trip.")


class Trip(BaseModel):
    city: str


def ledger(price: Price = PRICE, **caps: Any) -> Ledger:
    return Ledger(Budget.model_validate(caps), lambda _: price)


def call(tokens_in: int, tokens_out: int, price: Price = PRICE, gpu: float = 0.0) -> Call:
    dollars = (tokens_in * price.input + tokens_out * price.output) / 1e6
    return Call("planner", "m", tokens_in, tokens_out, 1.0, dollars, gpu_seconds=gpu)


# --- one call


async def test_a_call_that_fits_gets_all_it_asks_for() -> None:
    held = await ledger(tokens=10_000).reserve("m", 1_000, 9_000)
    assert (held.output, held.shortened) == (9_000, False)


@pytest.mark.parametrize(
    ("caps", "output"), [({"tokens": 9_999}, 8_999), ({"dollars": 0.010}, 1_000)]
)
async def test_a_call_that_does_not_fit_is_asked_for_less(
    caps: dict[str, Any], output: int
) -> None:
    held = await ledger(**caps).reserve("m", 1_000, 9_000)
    assert (held.output, held.shortened) == (output, True)


@pytest.mark.parametrize(
    ("caps", "words"),
    [
        ({"tokens": 1_000 + LEAST_REPLY - 1}, "raise tokens"),
        ({"dollars": 0.002 + (LEAST_REPLY - 1) * 8e-6}, "raise dollars"),
        ({"tokens": 10, "dollars": 99.0}, "raise tokens"),
    ],
)
async def test_a_call_for_which_nothing_is_left_is_refused_with_the_cap_to_raise(
    caps: dict[str, Any], words: str
) -> None:
    with pytest.raises(BudgetSpent, match=f"and the next call.*{words}"):
        await ledger(**caps).reserve("m", 1_000, 9_000)


async def test_a_free_model_is_held_by_tokens_alone() -> None:
    free = ledger(Price(input=0, output=0), dollars=0.01)
    assert (await free.reserve("m", 10**6, 10**6)).output == 10**6


async def test_gpu_seconds_are_summed_and_capped() -> None:
    books = ledger(gpu_seconds=3)
    books.add(call(1, 1, gpu=2.5))
    books.check()
    books.add(call(1, 1, gpu=0.5))
    assert books.usage.gpu_seconds == 3.0
    with pytest.raises(BudgetSpent, match=r"3 of 3 GPU-seconds.*SCHOLAR_BUDGET__GPU_SECONDS"):
        books.check()


# --- several at once


@pytest.mark.parametrize("caps", [{"tokens": 10_000}, {"dollars": 0.08}])
async def test_a_call_waits_for_what_others_may_give_back(caps: dict[str, Any]) -> None:
    books = ledger(**caps)
    first = await books.reserve("m", 1_000, 8_000)
    second = asyncio.create_task(books.reserve("m", 1_000, 8_000))
    await asyncio.sleep(0)
    assert not second.done()
    books.add(call(500, 100))
    books.release(first)
    assert (await second).output == 8_000


async def test_a_call_that_waits_in_vain_is_asked_for_less_or_refused() -> None:
    books = ledger(tokens=10_000)
    first = await books.reserve("m", 1_000, 8_000)
    waiting = [asyncio.create_task(books.reserve("m", 1_000, 8_000)) for _ in range(2)]
    await asyncio.sleep(0)
    books.add(call(1_000, 4_000))
    books.release(first)
    second = await waiting[0]
    assert (second.output, second.shortened) == (4_000, True)
    books.add(call(1_000, 3_900))
    books.release(second)
    with pytest.raises(BudgetSpent):
        await waiting[1]


async def test_a_call_cancelled_while_it_waits_sets_nothing_aside() -> None:
    books = ledger(tokens=10_000)
    first = await books.reserve("m", 1_000, 9_000)
    waiting = asyncio.create_task(books.reserve("m", 1_000, 9_000))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    books.release(first)
    assert (await books.reserve("m", 1_000, 9_000)).output == 9_000


# --- through the gateway


async def test_a_reply_too_long_for_what_is_left_is_a_spent_budget_and_no_fault_of_the_model() -> (
    None
):
    cut = FakeBackend([ReplyInvalid("The reply was cut off at 300 tokens; ask for less.")])
    spare = FakeBackend(['{"city": "Paris"}'], name="spare")
    gateway = Gateway(Settings(), {"*": [cut, spare]})
    with pytest.raises(BudgetSpent, match=r"a reply of \d+ tokens, which was too short"):
        await gateway.ask(PROMPT, Trip, ledger=ledger(tokens=500))
    assert cut.requests[0].max_tokens < 500
    assert not spare.requests


async def test_what_is_under_way_when_the_seconds_are_over_is_cut_short() -> None:
    class Slow(FakeBackend):
        async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
            yield Delta("{")
            await asyncio.Event().wait()

    books = ledger(seconds=0.05)
    gateway = Gateway(Settings(), {"*": [Slow([]), FakeBackend(['{"city": "Paris"}'])]})
    with pytest.raises(BudgetSpent, match=r"0\.05 seconds; raise seconds"):
        await asyncio.wait_for(gateway.ask(PROMPT, Trip, ledger=books), 2)
    (entry,) = books.calls
    assert entry.failed


async def test_a_run_that_hits_its_cap_keeps_below_it_and_shows_what_it_had(
    desk: OpenDesk,
) -> None:
    whole = (await desk(honest).scholar.ask(QUESTION)).usage
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        cap = int((whole.input_tokens + whole.output_tokens) * share)
        at = desk(honest, budget=Budget(tokens=cap))
        answer = await at.scholar.ask(QUESTION)
        assert answer.outcome is Outcome.BUDGET_SPENT
        assert answer.usage.input_tokens + answer.usage.output_tokens <= cap
        assert answer.sentences


class Erratic:
    """A backend that fails, or uses any number of tokens that its request allows."""

    name = "m"
    capabilities = Capabilities()

    def __init__(self, moves: list[tuple[float, float, str]]) -> None:
        self.moves = moves
        self.most: list[tuple[int, int]] = []

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        share_in, share_out, end = self.moves[len(self.most) % len(self.moves)]
        most = (most_input_tokens(request), request.max_tokens)
        self.most.append(most)
        await asyncio.sleep(0)
        tokens = TokenCount(math.floor(share_in * most[0]), math.floor(share_out * most[1]))
        if end == "unknown":
            # What a server does not report is estimated, so it has to be within its text.
            yield Delta('{"city": "Paris"}')
            raise ModelUnavailable("Gone.", retry_after=0)
        yield Delta('{"city": "Paris"}' if end == "good" else "{", tokens)
        if end == "cut":
            raise ReplyInvalid("The reply was cut off; ask for less.")

    async def classify(self, request: Request) -> dict[str, float]:
        return await classify(self, request)

    async def aclose(self) -> None:
        """Nothing to let go of."""


_MOVE = st.tuples(
    st.floats(0, 1), st.floats(0, 1), st.sampled_from(["good", "bad", "cut", "unknown"])
)
_CAPS = st.fixed_dictionaries(
    {},
    optional={"tokens": st.integers(0, 60_000), "dollars": st.floats(0, 0.5, allow_nan=False)},
)


async def _spend(
    caps: dict[str, Any], price: Price, moves: list[tuple[float, float, str]], rounds: list[int]
) -> None:
    backend, books = Erratic(moves), ledger(price, **caps)
    gateway = Gateway(Settings(context_window=8_192), {"*": backend})
    for together in rounds:
        prompt = Prompt("plan", "planner", 1, "You plan.", "Plan a trip. " * together)
        asked = [gateway.ask(prompt, Trip, ledger=books) for _ in range(together)]
        ended = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)
        strange = (e for e in ended if not isinstance(e, Trip | ModelError | BudgetSpent))
        assert next(strange, None) is None
    usage = books.usage
    assert len(books.calls) == len(backend.most)
    assert usage.input_tokens + usage.output_tokens <= caps.get("tokens", math.inf)
    dollars = sum(entry.dollars or 0.0 for entry in books.calls)
    assert dollars <= caps.get("dollars", math.inf) + 1e-12
    assert not books._reserved


_SPENDING = given(
    caps=_CAPS,
    price=st.builds(Price, input=st.floats(0, 100), output=st.floats(0, 500)),
    moves=st.lists(_MOVE, min_size=1, max_size=8),
    rounds=st.lists(st.integers(1, 6), min_size=1, max_size=5),
)


def _check(
    caps: dict[str, Any], price: Price, moves: list[tuple[float, float, str]], rounds: list[int]
) -> None:
    asyncio.run(_spend(caps, price, moves, rounds))


test_no_sequence_of_calls_breaks_a_cap = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)(_SPENDING(_check))

test_ten_thousand_sequences_of_calls_break_no_cap = pytest.mark.slow(
    settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))(
        _SPENDING(_check)
    )
)


@given(st.text(max_size=500))
def test_the_most_a_prompt_may_take_is_no_less_than_the_estimate(text: str) -> None:
    request = Request((Message("user", text),))
    assert most_input_tokens(request) >= likely_tokens(request, "").input
