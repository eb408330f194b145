"""Chains of models: who is asked, who stands in for whom, and when nobody may."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel

from scholar.backends import Request
from scholar.backends.chain import public_id
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.errors import (
    BudgetSpent,
    ModelError,
    ModelRefused,
    ModelRejected,
    ModelUnavailable,
    ReplyInvalid,
    SettingsError,
)
from scholar.events import Event, FellBack
from scholar.prompts import Prompt
from scholar.settings import FILE_NAME, Budget, Settings, load

PROMPT = Prompt("plan", "planner", 1, "You plan.", "Plan a trip.")
GOOD = '{"city": "Paris"}'
GONE = ModelUnavailable("Gone.", retry_after=0)


class Trip(BaseModel):
    city: str


class Asked:
    """A gateway before a chain of scripted models, named a, b, c, …"""

    def __init__(self, *scripts: Sequence[str | Exception], **caps: float) -> None:
        self.chain = [FakeBackend(said, name) for said, name in zip(scripts, "abc", strict=False)]
        self.gateway = Gateway(Settings(), {"*": self.chain})
        self.ledger = Ledger(Budget.model_validate(caps), lambda _: None)
        self.events: list[Event] = []

    async def ask(self) -> Trip:
        return await self.gateway.ask(PROMPT, Trip, ledger=self.ledger, emit=self.events.append)

    @property
    def fell(self) -> list[tuple[str, str]]:
        falls = [event for event in self.events if isinstance(event, FellBack)]
        return [(event.from_model, event.to_model) for event in falls]

    @property
    def counts(self) -> list[int]:
        return [len(backend.requests) for backend in self.chain]


@pytest.mark.parametrize(
    ("said", "attempts"),
    [
        ([GONE] * 3, 3),
        ([ModelRejected("No key.")], 1),
        ([ModelRefused("I cannot.")], 1),
        ([ReplyInvalid("Cut off.")], 1),
        (["no", "no", "no"], 3),
    ],
)
async def test_a_typed_failure_hands_over_to_the_next_model(
    said: list[str | Exception], attempts: int
) -> None:
    at = Asked(said, [GOOD])
    assert (await at.ask()).city == "Paris"
    assert at.counts == [attempts, 1]
    assert at.fell == [("a", "b")]


async def test_the_last_failure_is_that_of_the_chain() -> None:
    at = Asked([ModelRefused("I cannot.")], [ModelRejected("No key.")], [ReplyInvalid("Cut.")])
    with pytest.raises(ReplyInvalid, match="Cut"):
        await at.ask()
    assert at.fell == [("a", "b"), ("b", "c")]
    assert [call.failed for call in at.ledger.calls] == [True, True, True]


async def test_a_model_that_answers_is_not_stood_in_for() -> None:
    at = Asked(["no", GOOD], [GOOD])
    await at.ask()
    assert at.counts == [2, 0]
    assert at.fell == []


async def test_a_spent_budget_is_not_got_round_by_another_model() -> None:
    at = Asked([GOOD], [GOOD], tokens=10)
    with pytest.raises(BudgetSpent):
        await at.ask()
    assert at.counts == [0, 0]
    assert at.fell == []


async def test_a_mistake_of_ours_is_not_got_round_by_another_model() -> None:
    at = Asked([RuntimeError("a bug")], [GOOD])
    with pytest.raises(RuntimeError):
        await at.ask()
    assert at.counts == [1, 0]


async def test_a_cancelled_call_is_not_asked_of_another_model() -> None:
    at = Asked([GONE], [GOOD])
    begun = asyncio.Event()

    def hang(request: Request) -> str:
        begun.set()
        raise asyncio.CancelledError

    at.chain[0]._reply = hang
    with pytest.raises(asyncio.CancelledError):
        await at.ask()
    assert begun.is_set()
    assert at.counts == [1, 0]


async def test_a_model_that_was_down_is_passed_over_for_a_while_and_said_again() -> None:
    at = Asked([GONE] * 3 + [GOOD], [GOOD, GOOD])
    await at.ask()
    await at.ask()
    assert at.counts == [3, 2]
    assert at.fell == [("a", "b"), ("a", "b")]


async def test_a_model_that_refused_one_request_is_asked_the_next() -> None:
    at = Asked([ModelRefused("I cannot."), GOOD], [GOOD])
    await at.ask()
    await at.ask()
    assert at.counts == [2, 1]


async def test_the_last_model_is_asked_though_it_was_down() -> None:
    at = Asked([*[GONE] * 3, GOOD])
    with pytest.raises(ModelError):
        await at.ask()
    assert (await at.ask()).city == "Paris"


# --- settings


def test_a_chain_is_a_list_in_any_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FILE_NAME).write_text(
        'model = ["openai:a", "openai:b@http://localhost:1/v1"]\n'
        '[models]\nwriter = ["openai:c", "openai:c", "openai:d"]\njuror = "openai:e"\n'
    )
    settings = load()
    assert settings.chain_for("planner") == ("openai:a", "openai:b@http://localhost:1/v1")
    assert settings.chain_for("writer") == ("openai:c", "openai:d")
    assert settings.chain_for("juror") == ("openai:e",)
    assert settings.model_for("writer") == "openai:c"
    assert settings.has_models()
    monkeypatch.setenv("SCHOLAR_MODEL", '["openai:x", "openai:y"]')
    monkeypatch.setenv("SCHOLAR_MODELS__WRITER", '["openai:z", "openai:y"]')
    assert load().chain_for("planner") == ("openai:x", "openai:y")
    assert load().chain_for("writer") == ("openai:z", "openai:y")
    monkeypatch.setenv("SCHOLAR_MODEL", "openai:plain")
    assert load().chain_for("planner") == ("openai:plain",)


def test_an_empty_chain_is_no_model() -> None:
    settings = Settings(model=())
    assert settings.chain_for("planner") == ()
    assert not settings.has_models()


def test_a_chain_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("model = 5")
    with pytest.raises(SettingsError, match=r"'model' is unusable"):
        load()


async def test_offline_no_model_elsewhere_is_opened_though_another_could_stand_in() -> None:
    chain = ("openai:x@http://127.0.0.1:9/v1", "openai:y@https://example.org/v1")
    gateway = Gateway(Settings(offline=True, model=chain[::-1]))
    with pytest.raises(SettingsError, match="offline is set, but y"):
        await gateway.ask(PROMPT, Trip, ledger=Ledger(Budget(), lambda _: None))
    await gateway.aclose()


@pytest.mark.parametrize(
    ("model_id", "shown"),
    [
        ("openai:gpt-5", "openai:gpt-5"),
        ("openai:a@http://h:1/v1", "openai:a@http://h:1/v1"),
        ("openai:a@https://me:p4ss@h/v1?key=abc#x", "openai:a@https://h/v1"),
        ("local:/models/qwen", "local:/models/qwen"),
    ],
)
def test_what_may_be_secret_in_a_url_is_not_shown(model_id: str, shown: str) -> None:
    assert public_id(model_id) == shown
