"""Runs that are killed at any moment go on where they were, and pay for nothing twice."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from inventive import inventive
from minds import for_server, honest
from model_server import ModelServer
from mortal import Mortals, Trial, Whole, died, differences, mortals, tried, undisturbed

pytestmark = pytest.mark.slow

FIRST_TOKEN = 0.01
"""Seconds that a model thinks, so that calls at once are under way together."""
TRIALS = 24
"""Of one long run; the benchmark kills it at every effect."""
MOMENTS = 12
"""Of the random ones; the benchmark has hundreds."""


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(for_server(honest), first_token=FIRST_TOKEN) as server:
        yield server


@pytest.fixture
def living(shelf_home: Path, server: ModelServer) -> Iterator[Mortals]:
    with mortals(shelf_home, server.url) as living:
        yield living


def faulty(trials: list[Trial]) -> list[str]:
    return [f"{trial.moment}: {wrong}" for trial in trials for wrong in trial.wrong]


def at_effects(
    living: Mortals, server: ModelServer, whole: Whole, effects: range, replay_each: int = 5
) -> list[Trial]:
    return [
        tried(living, server, whole, f"at{at}", at=at, replays=n % replay_each == 0)
        for n, at in enumerate(effects)
    ]


def test_a_run_killed_at_any_node_or_edge_ends_as_if_it_had_not_been(
    living: Mortals, server: ModelServer
) -> None:
    whole = undisturbed(living, server, "whole", preset="standard")
    assert whole.answer["outcome"] == "answered"
    trials = at_effects(living, server, whole, range(1, whole.effects + 1, 2))
    assert died(trials)
    assert faulty(trials) == []


@pytest.mark.parametrize(
    "task",
    [
        {"preset": "deep"},
        {"preset": "review", "task": "review"},
        {"preset": "standard", "task": "ideas", "wanted": 4},
    ],
    ids=["deep", "review", "ideas"],
)
def test_so_does_one_with_many_calls_at_once(
    living: Mortals, server: ModelServer, task: dict[str, Any]
) -> None:
    server.use(for_server(inventive), first_token=FIRST_TOKEN)
    whole = undisturbed(living, server, "whole", **task)
    assert whole.answer["outcome"] in ("answered", "partial")
    # An odd step meets both halves of effects: what is before one, and what is after.
    step = max(17, whole.effects // TRIALS) | 1
    trials = at_effects(living, server, whole, range(3, whole.effects + 1, step))
    assert died(trials)
    assert faulty(trials) == []


def test_so_does_one_killed_at_random(living: Mortals, server: ModelServer) -> None:
    whole = undisturbed(living, server, "whole", preset="standard")
    dice = random.Random(5)
    moments = [dice.uniform(0, whole.seconds) for _ in range(MOMENTS)]
    trials = [tried(living, server, whole, f"r{n}", after=after) for n, after in enumerate(moments)]
    assert faulty(trials) == []


def test_of_two_processes_that_resume_a_killed_run_one_wins(
    shelf_home: Path, living: Mortals, server: ModelServer
) -> None:
    whole = undisturbed(living, server, "whole", preset="standard")
    server.requests.clear()
    assert living.live("both", at=30, preset="standard")["died"]
    server.use(for_server(honest), first_token=0.5)  # so that they meet
    with mortals(shelf_home, server.url) as rival, ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda one: one.live("both", preset="standard"), (living, rival)))
    [won] = [said for said in both if said["answer"] is not None]
    [lost] = [said for said in both if said["answer"] is None]
    # It sees who works on the run, or loses the race for its claim.
    assert re.search("is under way(;| in another process; wait for it)", lost["error"])
    assert differences(won["answer"], whole.answer) == []
    bodies = [json.dumps(request.body, sort_keys=True) for request in server.requests]
    assert len(bodies) == len(set(bodies)) <= whole.calls


def test_a_run_may_be_killed_again_and_again(living: Mortals, server: ModelServer) -> None:
    whole = undisturbed(living, server, "whole", preset="standard")
    server.requests.clear()
    lives = 0
    # A life begins with a few effects of its own, so each gets a little further.
    while (said := living.live("again", at=14, preset="standard"))["died"]:
        lives += 1
        assert lives < whole.effects, "it gets no further"
    assert lives > 2
    assert differences(said["answer"], whole.answer) == []
    assert living.replay("again")["answer"] == said["answer"]
