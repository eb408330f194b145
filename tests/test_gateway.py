"""The gateway: what is asked, asked again, repaired, counted and given up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from model_server import (
    Cut,
    Finish,
    ModelServer,
    Script,
    Scripted,
    Stall,
    Status,
    Unfinished,
    refuse_param,
)
from pydantic import BaseModel

from scholar.backends import Backend
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import REPLY_TOKENS, Gateway
from scholar.backends.ledger import Ledger
from scholar.errors import (
    BudgetSpent,
    ModelRefused,
    ModelRejected,
    ModelUnavailable,
    ReplyInvalid,
    SettingsError,
)
from scholar.events import Called, Event, Retrying
from scholar.prompts import Prompt
from scholar.settings import Budget, Price, Settings
from scholar.values import Call

KEY = "sk-test-SECRET123"
SERVER = ModelServer(lambda _: "")
PROMPT = Prompt("plan", "planner", 1, "You plan.", "Plan a trip.")
GOOD = '{"city": "Paris", "days": 3}'
BUSY = Status(429, {"error": {"message": "Slow down"}}, {"retry-after": "0.05"})


class Trip(BaseModel):
    city: str
    days: int


@dataclass
class Desk:
    """A gateway with a ledger, and all it emits."""

    gateway: Gateway
    ledger: Ledger
    events: list[Event] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    async def ask(self, prompt: Prompt = PROMPT) -> Trip:
        return await self.gateway.ask(
            prompt, Trip, ledger=self.ledger, emit=self.events.append, on_text=self.texts.append
        )

    @property
    def failed(self) -> list[bool]:
        return [call.failed for call in self.ledger.calls]


def price_of(name: str) -> Price | None:
    return Price(input=1.0, output=10.0) if name in ("tiny", "fake") else None


def ledger(calls: tuple[Call, ...] = (), elapsed: float = 0.0, **caps: Any) -> Ledger:
    return Ledger(Budget(**caps), price_of, calls=calls, elapsed=lambda: elapsed)


def call(
    tokens: tuple[int, int] = (10, 20), dollars: float | None = 0.5, model: str = "fake"
) -> Call:
    return Call("planner", model, *tokens, seconds=1.0, dollars=dollars)


def faked(*replies: str | Exception, json_schema: bool = True, **caps: Any) -> Desk:
    backend = FakeBackend(replies, json_schema=json_schema)
    return Desk(Gateway(Settings(), {"*": backend}), ledger(**caps))


def asked(desk: Desk) -> list[Any]:
    (backend,) = desk.gateway._roster.chain("planner")
    assert isinstance(backend, FakeBackend)
    return backend.requests


@pytest.fixture(scope="module", autouse=True)
def _served() -> Iterator[None]:
    with SERVER:
        yield


@asynccontextmanager
async def served(*said: Scripted, **settings: Any) -> AsyncIterator[Desk]:
    """A gateway before the server, which says `said` in turn, the last for good."""
    left = list(said)
    async with scripted(lambda _: left.pop(0) if left[1:] else left[0], **settings) as desk:
        yield desk


@asynccontextmanager
async def scripted(script: Script, **settings: Any) -> AsyncIterator[Desk]:
    SERVER.use(script)
    options: dict[str, Any] = {"model": f"openai:tiny@{SERVER.url}", "api_key": KEY}
    options |= {"cache": False} | settings
    desk = Desk(Gateway(Settings(**options)), ledger())
    try:
        yield desk
    finally:
        await desk.gateway.aclose()
    assert all(
        call in [e.call for e in desk.events if isinstance(e, Called)] for call in desk.ledger.calls
    )
    assert not any("SECRET" in str(event) for event in desk.events)


# --- one reply


async def test_a_reply_is_validated_and_entered_with_its_price() -> None:
    async with served(GOOD) as desk:
        assert await desk.ask() == Trip(city="Paris", days=3)
    (entry,) = desk.ledger.calls
    assert (entry.role, entry.model) == ("planner", "tiny")
    assert (entry.input_tokens, entry.output_tokens) == (6, 7)
    assert entry.dollars == pytest.approx((6 * 1.0 + 7 * 10.0) / 1e6)
    assert not entry.estimated
    assert not entry.failed
    assert desk.events == [Called(entry)]


async def test_the_prompt_and_a_strict_schema_are_sent() -> None:
    async with served(GOOD) as desk:
        await desk.ask()
    body = SERVER.requests[0].body
    assert [m["content"] for m in body["messages"]] == ["You plan.", "Plan a trip."]
    assert body["response_format"]["json_schema"]["name"] == "plan"
    assert body["response_format"]["json_schema"]["schema"]["additionalProperties"] is False


async def test_the_text_is_told_as_it_grows() -> None:
    async with served(GOOD) as desk:
        await desk.ask()
    assert desk.texts[-1] == GOOD
    assert len(desk.texts) == 7
    assert all(later.startswith(earlier) for earlier, later in pairwise(desk.texts))


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}```\n",
        f"  {GOOD}\n",
        f"so: hm</think>\n{GOOD}",
        f"Here you are:\n```json\n{GOOD}\n```\nI hope it helps!",
        f"Sure. {GOOD} Anything else?",
    ],
)
async def test_what_stands_around_the_json_is_taken_off(text: str) -> None:
    desk = faked(text)
    assert (await desk.ask()).city == "Paris"
    assert len(desk.ledger.calls) == 1


async def test_the_words_that_mark_thought_may_stand_in_a_reply() -> None:
    assert (await faked('{"city": "</think>", "days": 1}').ask()).city == "</think>"


@pytest.mark.parametrize(("window", "expected"), [(4_096, 1_024), (400_000, REPLY_TOKENS)])
async def test_a_reply_may_fill_a_quarter_of_a_small_window(window: int, expected: int) -> None:
    async with served(GOOD, context_window=window) as desk:
        await desk.ask()
    assert SERVER.requests[0].body["max_tokens"] == expected


# --- repairs


async def test_a_reply_that_does_not_fit_is_shown_its_mistakes_twice() -> None:
    async with served("Paris, I think", '{"city": "Paris", "days": "many"}', GOOD) as desk:
        assert (await desk.ask()).days == 3
    assert desk.failed == [False, False, False]
    last = SERVER.requests[2].body["messages"]
    assert [message["role"] for message in last] == ["system", "user"] + ["assistant", "user"] * 2
    assert last[2]["content"] == "Paris, I think"
    assert "invalid JSON" in last[3]["content"]
    assert "at days: input should be a valid integer" in last[5]["content"]


async def test_a_reply_that_never_fits_is_given_up_after_three_calls() -> None:
    async with served('{"city": "Paris"}') as desk:
        with pytest.raises(ReplyInvalid, match=r"at days: field required.*choose another model"):
            await desk.ask()
    assert len(SERVER.requests) == len(desk.ledger.calls) == 3


async def test_a_long_bad_reply_is_shown_shortened() -> None:
    desk = faked("x" * 9_000, GOOD)
    await desk.ask()
    shown = asked(desk)[1].messages[2].content
    assert shown.startswith("x" * 4_000)
    assert len(shown) < 4_010


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Finish('{"city": "Par', "length"), ReplyInvalid),
        (Finish('{"city": "Par', "content_filter"), ModelRefused),
        (Status(401, {"error": {"message": f"Bad key {KEY}"}}), ModelRejected),
    ],
)
async def test_what_no_repair_can_help_is_not_asked_again(
    said: Scripted, kind: type[Exception]
) -> None:
    async with served(said, GOOD) as desk:
        with pytest.raises(kind):
            await desk.ask()
    assert desk.failed == [True]


# --- retries


async def test_a_busy_server_is_asked_again_after_the_wait_it_names() -> None:
    async with served(BUSY, BUSY, GOOD) as desk:
        assert (await desk.ask()).city == "Paris"
    came = [request.at for request in SERVER.requests]
    assert all(b - a >= 0.05 for a, b in pairwise(came))
    assert came[2] - came[0] < 0.5
    assert desk.failed == [True, True, False]
    retries = [event for event in desk.events if isinstance(event, Retrying)]
    assert [(retry.role, retry.wait) for retry in retries] == [("planner", 0.05)] * 2
    assert "Slow down" in retries[0].reason


async def test_an_outage_is_reported_after_three_attempts() -> None:
    async with served(BUSY) as desk:
        with pytest.raises(ModelUnavailable, match="Slow down"):
            await desk.ask()
    assert desk.failed == [True, True, True]


async def test_a_server_that_asks_for_too_long_a_wait_is_given_up_at_once() -> None:
    desk = faked(ModelUnavailable("Come back tomorrow.", retry_after=60.5), GOOD)
    with pytest.raises(ModelUnavailable, match="tomorrow"):
        await desk.ask()
    assert desk.failed == [True]


@pytest.mark.parametrize("said", [Cut(GOOD, 3), Unfinished(GOOD)])
async def test_a_reply_that_broke_off_is_asked_for_anew(said: Scripted) -> None:
    async with served(said, GOOD) as desk:
        assert (await desk.ask()).days == 3
    assert desk.failed == [True, False]
    broken = desk.ledger.calls[0]
    assert broken.estimated
    assert broken.output_tokens == (3 if isinstance(said, Cut) else 7)
    retry = next(event for event in desk.events if isinstance(event, Retrying))
    assert 0.5 <= retry.wait <= 1.0


async def test_retries_do_not_use_up_the_repairs() -> None:
    busy = ModelUnavailable("Busy.", retry_after=0)
    desk = faked("a", busy, busy, "b", busy, GOOD)
    assert (await desk.ask()).city == "Paris"
    assert desk.failed == [False, True, True, False, True, False]


# --- schemas that a server does not know


async def test_a_refused_schema_goes_into_the_prompt_and_is_no_repair() -> None:
    left = ["nope", "no", GOOD, GOOD]

    def script(body: dict[str, Any]) -> Scripted:
        if "response_format" in body:
            return refuse_param("response_format")
        return left.pop(0)

    async with scripted(script) as desk:
        assert (await desk.ask()).city == "Paris"
        assert (await desk.ask()).city == "Paris"
    assert desk.failed == [True, False, False, False, False]
    user = SERVER.requests[1].body["messages"][1]["content"]
    before, _, schema = user.partition("Reply with one JSON object")
    assert before.startswith("Plan a trip.")
    assert json.loads(schema.splitlines()[1])["required"] == ["city", "days"]
    assert "response_format" not in SERVER.requests[4].body


async def test_a_backend_without_schemas_is_never_sent_one() -> None:
    desk = faked("no", GOOD, json_schema=False)
    await desk.ask()
    assert [request.schema for request in asked(desk)] == [None, None]
    assert all('"city"' in request.messages[1].content for request in asked(desk))
    assert asked(desk)[1].messages[1].content.count("JSON object that fits") == 1


async def test_a_refused_temperature_is_no_failed_call() -> None:
    def script(body: dict[str, Any]) -> Scripted:
        return refuse_param("temperature") if "temperature" in body else GOOD

    async with scripted(script) as desk:
        await desk.ask()
    assert ["temperature" in request.body for request in SERVER.requests] == [True, False]
    assert desk.failed == [False]


# --- many at a time, and none at all


async def test_one_model_gets_no_more_requests_at_a_time_than_set() -> None:
    async with served(GOOD, concurrency=2) as desk:
        SERVER.use(lambda _: GOOD, first_token=0.05)
        await asyncio.gather(*[desk.ask() for _ in range(6)])
    assert len(SERVER.requests) == 6
    assert SERVER.max_concurrent == 2


async def test_a_cancelled_call_hangs_up_and_is_entered_with_what_had_come() -> None:
    begun = asyncio.Event()
    async with served(Stall(GOOD[:8])) as desk:
        asking = desk.gateway.ask(
            PROMPT,
            Trip,
            ledger=desk.ledger,
            emit=desk.events.append,
            on_text=lambda text: begun.set() if text == GOOD[:8] else None,
        )
        task = asyncio.create_task(asking)
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(SERVER.wait_for_hang_up)
    (entry,) = desk.ledger.calls
    assert (entry.failed, entry.estimated) == (True, True)
    assert (entry.input_tokens, entry.output_tokens) == (6, 2)


async def test_tokens_reported_for_a_failed_call_are_taken_over() -> None:
    async with served(Finish(GOOD[:8], "length")) as desk:
        with pytest.raises(ReplyInvalid):
            await desk.ask()
    (entry,) = desk.ledger.calls
    assert (entry.failed, entry.estimated, entry.output_tokens) == (True, False, 2)


# --- roles


async def test_roles_have_models_of_their_own_and_share_one_per_id() -> None:
    url = SERVER.url
    models = {"juror": f"openai:judge@{url}"}
    async with served(GOOD, models=models) as desk:
        for role in ("planner", "writer", "juror"):
            await desk.ask(Prompt("x", role, 1, "s", "u"))
        assert len(desk.gateway._roster._opened) == 2
        assert desk.gateway.model_name("juror") == "judge"
        assert desk.gateway.model_name("writer") == "tiny"
        assert desk.gateway.has_models()
    assert [request.body["model"] for request in SERVER.requests] == ["tiny", "tiny", "judge"]
    assert not desk.gateway._roster._opened


async def test_given_backends_come_before_the_settings() -> None:
    planner, rest = FakeBackend([GOOD], name="p"), FakeBackend([GOOD], name="r")
    backends: dict[str, Backend] = {"planner": planner, "*": rest}
    gateway = Gateway(Settings(model="openai:gpt-5"), backends)
    assert (gateway.model_name("planner"), gateway.model_name("juror")) == ("p", "r")
    await Desk(gateway, ledger()).ask()
    assert (len(planner.requests), len(rest.requests)) == (1, 0)


async def test_a_role_without_a_model_is_said_with_the_setting_to_set() -> None:
    gateway = Gateway(Settings(model=None))
    assert gateway.model_name("planner") is None
    assert not gateway.has_models()
    with pytest.raises(SettingsError, match=r"planner.*SCHOLAR_MODEL"):
        await Desk(gateway, ledger()).ask()


def test_single_roles_do_not_make_all_roles() -> None:
    assert not Gateway(Settings(), {"planner": FakeBackend([])}).has_models()
    assert Gateway(Settings(), {"*": FakeBackend([])}).has_models()


# --- the ledger


@pytest.mark.parametrize(
    ("caps", "words"),
    [
        ({"dollars": 0.5}, r"\$0\.5000 of \$0\.5000; raise dollars .*SCHOLAR_BUDGET__DOLLARS"),
        ({"tokens": 30}, r"30 of 30 tokens; raise tokens .*SCHOLAR_BUDGET__TOKENS"),
        ({"seconds": 9.0}, r"9 of 9 seconds; raise seconds .*SCHOLAR_BUDGET__SECONDS"),
    ],
)
def test_a_cap_that_is_reached_is_named_with_the_way_to_raise_it(
    caps: dict[str, Any], words: str
) -> None:
    spent = call()
    with pytest.raises(BudgetSpent, match=words):
        ledger((spent,), 9.0, **caps).check()
    ledger((spent,), 8.9, **{name: cap * 1.1 for name, cap in caps.items()}).check()


def test_without_caps_nothing_is_refused() -> None:
    ledger((call((10**9, 0), dollars=None),), 1e9).check("unheard-of")


def test_an_unknown_price_and_a_cap_in_dollars_do_not_go_together() -> None:
    unknown = call(model="odd", dollars=None)
    with pytest.raises(SettingsError, match=r'odd is unknown.*add \[prices\."odd"\]'):
        ledger((unknown,), dollars=1.0).check()
    with pytest.raises(SettingsError, match="odd is unknown"):
        ledger(dollars=1.0).check("odd")
    ledger(dollars=1.0).check("fake")


def test_a_price_is_dollars_per_million_tokens() -> None:
    assert ledger().price("fake", 1_000_000, 500_000) == pytest.approx(6.0)
    assert ledger().price("odd", 1, 1) is None


async def test_a_spent_budget_stops_a_call_before_it_is_made() -> None:
    desk = faked(GOOD, tokens=0)
    with pytest.raises(BudgetSpent):
        await desk.ask()
    assert asked(desk) == []
    assert desk.ledger.calls == ()


@pytest.mark.parametrize(
    "said", [Stall('{"city": '), Status(503, {"error": {"message": "Busy"}}, {"retry-after": "30"})]
)
async def test_a_call_or_wait_that_outlasts_the_budget_is_cut_and_entered(said: Scripted) -> None:
    async with served(said) as desk:
        desk.ledger = ledger(elapsed=9.8, seconds=10.0)
        with pytest.raises(BudgetSpent, match="its 10 seconds"):
            await asyncio.wait_for(desk.ask(), 5)
    assert desk.failed == [True]


async def test_a_budget_that_runs_out_stops_the_repairs() -> None:
    desk = faked("nope", GOOD, tokens=400)
    with pytest.raises(BudgetSpent, match=r"7 of 400 tokens and the next call.* could take more"):
        await desk.ask()
    assert len(asked(desk)) == 1
