"""A run keeps its budget whatever goes on at once, and many runs leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import math
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from minds import Mind, but, for_backend, honest
from office import Office, begun, ended, whole
from test_runs import REVIEW

from scholar.backends import Delta, Request, TokenCount
from scholar.backends.fake import FakeBackend
from scholar.backends.forms import likely_tokens, most_input_tokens
from scholar.backends.gateway import Gateway
from scholar.context import Services
from scholar.journal import Journal
from scholar.library import Library
from scholar.runs import Scholar
from scholar.settings import Budget, Price, Settings, load
from scholar.values import Answer, Outcome

ASKED: list[dict[str, Any]] = [
    {"preset": "standard"},
    {"preset": "deep"},
    {"preset": "kag"},
    REVIEW,
]
ENOUGH = 40
"""Runs after which a leak of one file, task or thread a run would show."""


def three_steps(seen: Any) -> Any:
    """A plan whose steps are searched at once."""
    questions = [f"{seen.question} Part {number}." for number in range(3)]
    steps = [{"question": question, "query": question} for question in questions]
    return {"premises": [], "steps": steps}


class Greedy(FakeBackend):
    """Uses `share` of all the tokens that each request allows, while others are under way."""

    def __init__(self, mind: Mind, share: float) -> None:
        super().__init__(for_backend(mind))
        self._share = share
        self.under_way = self.most_under_way = 0

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            async for delta in super().stream(request):
                await asyncio.sleep(0.001)
                yield replace(delta, tokens=delta.tokens and self._taken(request))
        finally:
            self.under_way -= 1

    def _taken(self, request: Request) -> TokenCount:
        least = likely_tokens(request, "").input
        most = most_input_tokens(request)
        return TokenCount(
            least + math.floor(self._share * (most - least)),
            math.floor(self._share * request.max_tokens),
        )


async def _spent(home: Path, share: float, asked: dict[str, Any], caps: dict[str, Any]) -> Answer:
    price = {"fake": Price(input=2.0, output=8.0)}
    known = load(home=home, embedder="none", offline=True).model_copy(
        update={"budget": Budget(**caps), "prices": price}
    )
    backend = Greedy(but(planner=three_steps), share)
    gateway, journal = Gateway(known, {"*": backend}), Journal.of(known)
    services = Services(known, Library(known), gateway, journal=journal)
    async with Scholar(services=services) as scholar:
        if asked.get("task") == "review":
            return await scholar.review("Graph walks", columns=("Method",))
        return await scholar.ask("How do graph walks rank?", preset=asked["preset"])


@pytest.mark.slow
def test_no_run_with_calls_at_once_takes_more_than_its_caps(shelf_home: Path) -> None:
    outcomes = set()

    @examples(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        asked=st.sampled_from(ASKED),
        share=st.floats(0, 1),
        caps=st.one_of(
            st.fixed_dictionaries({"tokens": st.integers(0, 60_000)}),
            st.fixed_dictionaries({"dollars": st.floats(0, 0.3)}),
        ),
    )
    def check(asked: dict[str, Any], share: float, caps: dict[str, Any]) -> None:
        answer = asyncio.run(_spent(shelf_home, share, asked, caps))
        usage = answer.usage
        outcomes.add(answer.outcome)
        assert usage.input_tokens + usage.output_tokens <= caps.get("tokens", math.inf)
        assert (usage.dollars or 0.0) <= caps.get("dollars", math.inf) + 1e-12

    check()
    assert {Outcome.BUDGET_SPENT, Outcome.ANSWERED} <= outcomes


@pytest.mark.slow
@pytest.mark.parametrize("asked", [ASKED[0], REVIEW], ids=["jurors", "branches"])
def test_no_cap_is_passed_by_calls_that_take_all_they_may(
    shelf_home: Path, asked: dict[str, Any]
) -> None:
    for tokens in range(3_000, 75_000, 3_000):
        usage = asyncio.run(_spent(shelf_home, 1.0, asked, {"tokens": tokens})).usage
        assert usage.input_tokens + usage.output_tokens <= tokens


async def test_calls_are_under_way_at_once_when_a_budget_is_kept(
    shelf_home: Path, settings: Settings
) -> None:
    backend = Greedy(honest, 0.0)
    services = Services(settings, Library(settings), Gateway(settings, {"*": backend}))
    async with Scholar(services=services) as scholar:
        await scholar.ask("How do graph walks rank?")
    assert backend.most_under_way == 3


@pytest.mark.slow
async def test_many_runs_in_one_process_leave_nothing_open(office: Office) -> None:
    desk = office.open()

    async def some(count: int) -> tuple[int, int]:
        for _ in range(count):
            await ended(begun(desk))
        desk.backend.requests.clear()
        gc.collect()
        kinds = ("fd", "task")
        return sum(len(os.listdir(f"/proc/self/{kind}")) for kind in kinds), len(gc.get_objects())

    before = await some(15)  # by then each worker thread has its connections
    after = await some(ENOUGH)
    assert after[0] - before[0] < ENOUGH / 2
    assert after[1] - before[1] < ENOUGH * 20
    assert len(asyncio.all_tasks()) == 1
    assert not desk.scholar.services.journal._live


async def test_the_record_of_a_run_goes_with_it(office: Office) -> None:
    desk = office.open()
    run = begun(desk)
    await ended(run)
    del run
    gc.collect()
    journal = desk.scholar.services.journal
    assert not journal._held
    assert not journal._live


async def test_the_usage_of_a_run_that_goes_on_includes_what_it_had_taken(office: Office) -> None:
    undisturbed = await whole(office)
    tokens = undisturbed.usage.input_tokens + undisturbed.usage.output_tokens
    spent = await ended(begun(office.open(budget=Budget(tokens=tokens // 2))))
    # No more is left of a budget than was left before.
    again = await ended(
        await office.open(budget=Budget(tokens=tokens // 2)).scholar.resume(spent.run_id)
    )
    assert again.outcome is Outcome.BUDGET_SPENT
    assert again.usage.input_tokens + again.usage.output_tokens <= tokens // 2
