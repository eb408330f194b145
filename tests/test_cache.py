"""Replies on disk: what comes from there, what never gets there, and what if there is no disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from injected import impatient, kept
from model_server import Cut, Finish, ModelServer, Scripted
from pydantic import BaseModel

from scholar.backends import Message, Request
from scholar.backends.cache import MOST, ReplyCache, reply_key
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.store import FILE, Store
from scholar.errors import ModelError
from scholar.events import Called, Event, Exchanged
from scholar.prompts import Prompt
from scholar.settings import Budget, Price, Settings, Trace

KEY = "sk-test-SECRET123"
SERVER = ModelServer(lambda _: "")
PROMPT = Prompt("plan", "planner", 1, "You plan.", "Plan a trip.")
GOOD = '{"city": "Paris"}'


class Trip(BaseModel):
    city: str


@pytest.fixture(scope="module", autouse=True)
def _served() -> Iterator[None]:
    with SERVER:
        yield


@dataclass
class Desk:
    """One process, as it were: a gateway over the home that all share."""

    gateway: Gateway
    ledger: Ledger
    events: list[Event] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    async def ask(self, prompt: Prompt = PROMPT, **options: Any) -> Trip:
        return await self.gateway.ask(
            prompt,
            Trip,
            ledger=self.ledger,
            emit=self.events.append,
            on_text=self.texts.append,
            **options,
        )


@asynccontextmanager
async def opened(home: Path, **settings: Any) -> AsyncIterator[Desk]:
    notices: list[str] = []
    options: dict[str, Any] = {"model": f"openai:tiny@{SERVER.url}", "api_key": KEY}
    gateway = Gateway(Settings(home=home, **options | settings), on_notice=notices.append)
    ledger = Ledger(Budget(), lambda _: Price(input=1.0, output=1.0))
    try:
        yield Desk(gateway, ledger, notices=notices)
    finally:
        await gateway.aclose()


def says(*said: Scripted) -> None:
    left = list(said)
    SERVER.use(lambda _: left.pop(0) if left[1:] else left[0])


async def test_the_same_request_is_paid_for_once_also_by_a_later_process(tmp_path: Path) -> None:
    says(GOOD)
    async with opened(tmp_path) as first:
        assert (await first.ask()).city == "Paris"
    async with opened(tmp_path) as later:
        assert (await later.ask()).city == "Paris"
    assert len(SERVER.requests) == 1
    (entry,) = later.ledger.calls
    assert (entry.cached, entry.failed, entry.estimated) == (True, False, False)
    assert (entry.input_tokens, entry.output_tokens, entry.dollars) == (0, 0, 0.0)
    assert later.events == [Called(entry)]
    assert later.texts == [GOOD]
    assert later.ledger.usage.cached == 1
    assert not first.ledger.calls[0].cached


async def test_what_was_said_is_shown_where_allowed_also_of_a_reply_from_disk(
    tmp_path: Path,
) -> None:
    says(GOOD)
    messages = (("system", PROMPT.system), ("user", PROMPT.user))
    async with opened(tmp_path, trace=Trace(content=True)) as desk:
        await desk.ask(node="plan")
        await desk.ask(node="plan")
    said = Exchanged("planner", "tiny", messages, GOOD, "plan")
    assert desk.events[0::2] == [said, said]
    assert [type(event) for event in desk.events[1::2]] == [Called, Called]
    assert [call.cached for call in desk.ledger.calls] == [False, True]


async def test_a_reply_that_was_mended_is_kept_as_it_is_in_the_end(tmp_path: Path) -> None:
    says("no", f"```json\n{GOOD}\n```")
    async with opened(tmp_path) as desk:
        await desk.ask()
        assert (await desk.ask()).city == "Paris"
    assert len(SERVER.requests) == 2
    assert [call.cached for call in desk.ledger.calls] == [False, False, True]


@pytest.mark.parametrize(
    "said", ["", "no", '{"town": 1}', Cut(GOOD, 2), Finish(GOOD, "length"), Finish(GOOD, "safety")]
)
async def test_what_is_no_valid_reply_is_not_kept(tmp_path: Path, said: Scripted) -> None:
    says(said)
    async with opened(tmp_path) as desk:
        for _ in range(2):
            SERVER.requests.clear()
            with pytest.raises(ModelError), impatient():
                await desk.ask()
            assert SERVER.requests
        assert desk.gateway._store.rows("SELECT * FROM replies") == []


async def test_a_cancelled_reply_is_not_kept(tmp_path: Path) -> None:
    SERVER.use(lambda _: GOOD, first_token=0.3)
    async with opened(tmp_path) as desk:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(desk.ask(), 0.1)
        assert desk.gateway._store.rows("SELECT * FROM replies") == []


@pytest.mark.parametrize("options", [{"fresh": True}, {"seed": 3}])
async def test_another_seed_or_a_wish_for_a_fresh_reply_is_asked(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    says(GOOD)
    async with opened(tmp_path) as desk:
        await desk.ask()
        await desk.ask(**options)
    assert len(SERVER.requests) == 2


async def test_the_setting_turns_it_off(tmp_path: Path) -> None:
    says(GOOD)
    async with opened(tmp_path, cache=False) as desk:
        await desk.ask()
        await desk.ask()
    assert len(SERVER.requests) == 2


async def test_a_backend_that_was_handed_over_is_always_asked(tmp_path: Path) -> None:
    backend = FakeBackend([GOOD, GOOD])
    gateway = Gateway(Settings(home=tmp_path), {"*": backend})
    for _ in range(2):
        await gateway.ask(PROMPT, Trip, ledger=Ledger(Budget(), lambda _: None))
    await gateway.aclose()
    assert len(backend.requests) == 2


async def test_a_spent_budget_does_not_forbid_what_costs_nothing(tmp_path: Path) -> None:
    says(GOOD)
    async with opened(tmp_path) as desk:
        await desk.ask()
        desk.ledger = Ledger(Budget(tokens=0), lambda _: None)
        assert (await desk.ask()).city == "Paris"


REQUEST = Request((Message("system", "s"), Message("user", "u")), schema={"type": "object"})
CHANGES: dict[str, Callable[[], str]] = {
    "model": lambda: key(model="openai:other@http://h/v1"),
    "address": lambda: key(model="openai:tiny@http://other/v1"),
    "revision": lambda: key(revision="2"),
    "prompt": lambda: key(prompt="write"),
    "version": lambda: key(version=2),
    "system": lambda: key(replace(REQUEST, messages=(Message("system", "x"), REQUEST.messages[1]))),
    "user": lambda: key(replace(REQUEST, messages=(REQUEST.messages[0], Message("user", "x")))),
    "schema": lambda: key(replace(REQUEST, schema=None)),
    "schema_name": lambda: key(replace(REQUEST, schema_name="x")),
    "temperature": lambda: key(replace(REQUEST, temperature=0.1)),
    "max_tokens": lambda: key(replace(REQUEST, max_tokens=1)),
    "seed": lambda: key(replace(REQUEST, seed=1)),
}


def key(
    request: Request = REQUEST,
    model: str = "openai:tiny@http://h/v1",
    revision: str = "",
    prompt: str = "plan",
    version: int = 1,
) -> str:
    return reply_key(model, revision, request, prompt, version)


def test_all_that_a_reply_depends_on_is_in_its_key() -> None:
    keys = {name: change() for name, change in CHANGES.items()}
    assert len({*keys.values(), key()}) == len(keys) + 1
    assert key(replace(REQUEST, silence=3.0)) == key()


# --- no disk, or one that is no good


async def test_a_file_that_is_no_database_is_told_once_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all, but long enough to look at" * 100)
    says(GOOD)
    async with opened(tmp_path) as desk:
        assert (await desk.ask()).city == "Paris"
        assert (await desk.ask()).city == "Paris"
    assert len(SERVER.requests) == 2
    (notice,) = desk.notices
    assert str(tmp_path / FILE) in notice
    assert "delete it" in notice


async def test_a_home_that_cannot_be_made_is_told_once_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    says(GOOD)
    async with opened(tmp_path / "file" / "home") as desk:
        assert (await desk.ask()).city == "Paris"
    assert len(desk.notices) == 1


async def test_a_file_that_somebody_has_locked_is_told_once_and_the_run_goes_on(
    tmp_path: Path,
) -> None:
    says(GOOD)
    async with opened(tmp_path) as desk:
        await desk.ask()
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    async with opened(tmp_path) as desk:
        assert (await desk.ask(Prompt("plan", "planner", 1, "s", "another"))).city == "Paris"
    other.close()
    assert len(desk.notices) == 1


async def test_a_reply_that_was_changed_on_disk_is_asked_for_anew(tmp_path: Path) -> None:
    says(GOOD)
    async with opened(tmp_path) as desk:
        await desk.ask()
        desk.gateway._store.write("UPDATE replies SET text = '{'")
        assert (await desk.ask()).city == "Paris"
        await desk.ask()
    assert len(SERVER.requests) == 2


async def test_the_key_never_gets_there_also_where_it_stands_in_a_url(tmp_path: Path) -> None:
    says(GOOD)
    url = SERVER.url.replace("http://", "http://me:SECRET9@") + "?api-key=SECRET7"
    async with opened(tmp_path, model=f"openai:tiny@{SERVER.url}") as desk:
        await desk.ask()
    async with opened(tmp_path, model=f"openai:tiny@{url}") as desk:
        desk.gateway._roster.note(
            desk.gateway._roster.member(f"openai:tiny@{url}"), desk.gateway.facts("x")
        )
    written = kept(tmp_path)
    assert GOOD.encode() in written
    assert b"SECRET" not in written


def test_the_oldest_replies_go_when_there_are_too_many(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("DELETE FROM replies")
    assert store.rows("SELECT * FROM replies") == []
    connection = store._opened()
    connection.execute("BEGIN")
    rows = ((f"k{n}", "m", "{}", float(n)) for n in range(MOST + 10))
    connection.executemany("INSERT INTO replies VALUES (?, ?, ?, ?)", rows)
    connection.execute("COMMIT")
    cache = ReplyCache(store)
    cache.put("new", "m", GOOD)
    assert store.rows("SELECT count(*) FROM replies") == [(MOST + 1,)]
    assert (cache.get("k0"), cache.get("new")) == (None, GOOD)
    store.close()


def test_looking_for_a_reply_makes_no_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "home")
    assert ReplyCache(store).get("k") is None
    assert not (tmp_path / "home").exists()
