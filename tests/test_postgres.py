"""Runs kept in PostgreSQL: the same tests as of files, against a server that they start."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres_server
import pytest
import sqlalchemy as sa
from minds import but, for_server, honest
from model_server import ModelServer
from mortal import died, mortals, tried, undisturbed
from office import Office, asked_twice, content, ended, whole
from pydantic import SecretStr
from test_runs import (  # noqa: F401  the tests that are run again here
    failed,
    test_a_branch_that_was_answered_beside_one_that_failed_is_not_paid_again,
    test_a_cancelled_run_goes_on_without_asking_the_other_jurors_again,
    test_a_run_is_found_by_the_beginning_of_its_id,
    test_a_run_is_played_again_byte_for_byte_without_a_model,
    test_a_run_that_ended_well_keeps_no_checkpoints,
    test_a_run_that_is_removed_leaves_nothing_behind,
    test_a_run_that_was_resumed_is_played_again,
    test_a_run_under_way_can_neither_be_resumed_nor_removed,
    test_after_a_model_failed_no_answered_call_is_paid_again,
    test_cancelling_cuts_what_is_under_way_and_keeps_the_rest,
    test_closing_the_events_hangs_up_and_leaves_a_run_that_goes_on,
    test_of_two_that_resume_one_run_one_wins_and_the_other_says_so,
    test_one_that_comes_late_knows_what_the_first_was_told,
    test_runs_are_listed_newest_first_with_what_became_of_them,
)

from scholar import checkpoints
from scholar.errors import RunError
from scholar.settings import Runs, Settings, load
from scholar.values import Outcome

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(postgres_server.missing()), reason=postgres_server.missing() or "-"),
]

MOMENTS = 12
"""Of the killed runs; files are tried at all of them."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[postgres_server.PostgresServer]:
    with postgres_server.postgres_server() as started:
        yield started


@pytest.fixture
def url(postgres: postgres_server.PostgresServer) -> str:
    """The URL of an empty database."""
    return postgres.create()


@pytest.fixture
def settings(tmp_path: Path, url: str) -> Settings:
    """Settings of a fresh home whose runs are kept in a database of their own."""
    runs = Runs(database=SecretStr(url))
    return load(home=tmp_path / "home", embedder="none", offline=True, runs=runs)


async def test_nothing_of_a_run_is_kept_in_files(office: Office, settings: Settings) -> None:
    await failed(office, "writer")
    names = {path.name for path in settings.home.iterdir()}
    assert not {name for name in names if "runs" in name or "checkpoints" in name}
    assert "locks" not in names


async def test_a_run_goes_on_from_its_checkpoint(office: Office) -> None:
    run_id, _ = await failed(office, "writer")
    desk = office.open()
    config: Any = {"configurable": {"thread_id": run_id}}
    assert await desk.scholar._checkpoints.aget_tuple(config) is not None
    nodes = [
        event.node
        async for event in (await desk.scholar.resume(run_id)).events()
        if event.type == "began"
    ]
    assert nodes[0] == "compose"


async def test_a_state_of_another_version_is_not_gone_on_from(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = await whole(office)
    with monkeypatch.context() as older:
        older.setattr(checkpoints, "shape", lambda: "0123456789abcdef")
        run_id, answered = await failed(office, "writer")
    desk = office.open()
    answer = await ended(await desk.scholar.resume(run_id))
    assert content(answer) == content(undisturbed)
    assert asked_twice(answered, desk.backend.requests) == []


async def test_a_server_that_goes_away_takes_nothing_from_a_run(
    office: Office, postgres: postgres_server.PostgresServer, url: str
) -> None:
    first = await whole(office)
    name = sa.make_url(url).database

    def cut(seen: Any) -> Any:
        if seen.call == "reader":
            postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            who = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            postgres.execute(who)
        return honest(seen)

    answer = await whole(office, cut)
    assert content(answer) == content(first)
    assert len(office.notices) == 2
    for notice in office.notices:
        assert notice.endswith(".")
        assert "\n" not in notice
    with pytest.raises(RunError, match=r"^Runs cannot be kept in postgresql.*; see whether"):
        await office.open(None).scholar.runs.all()
    postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    scholar = office.open(None).scholar
    assert await scholar.replay(first.run_id) == first
    [later, _] = await scholar.runs.all()
    assert later.status == "stopped"
    again = await ended(await office.open().scholar.resume(later.run_id))
    assert content(again) == content(first)


async def test_a_password_is_not_shown(settings: Settings) -> None:
    runs = Runs(database=SecretStr("postgresql://me:hunter2@127.0.0.1:9/none"))
    office = Office(settings.model_copy(update={"runs": runs}))
    answer = await whole(office)
    assert answer.outcome is Outcome.NO_EVIDENCE
    with pytest.raises(RunError) as told:
        await office.open(None).scholar.runs.all()
    assert office.notices
    assert "hunter2" not in f"{told.value} {office.notices}"
    await office.aclose()


def test_runs_killed_at_any_moment_go_on(shelf_home: Path, url: str) -> None:
    with (
        ModelServer(for_server(but()), first_token=0.01) as asked,
        mortals(shelf_home, asked.url, runs={"database": url}) as living,
    ):
        whole = undisturbed(living, asked, "whole", preset="standard")
        effects = sorted(random.Random(7).sample(range(1, whole.effects + 1), MOMENTS))
        trials = [
            tried(living, asked, whole, f"at{at}", at=at, replays=at % 3 == 0) for at in effects
        ]
    assert died(trials)
    assert [(trial.moment, wrong) for trial in trials for wrong in trial.wrong] == []
