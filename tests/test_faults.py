"""Faults of servers: what the user sees, what is entered, who stands in, what is left behind."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import injected
import pytest
from conftest import ROOT
from injected import DEAD, FAULTS, GOOD, KEY, Felt, Trip, feel
from minds import for_server, honest
from model_server import ModelServer, Scripted
from papers import QUESTION

from scholar import report
from scholar.backends.gateway import ATTEMPTS, REPAIRS, Gateway
from scholar.context import Services
from scholar.errors import ModelRefused, ModelRejected, ModelUnavailable, ReplyInvalid
from scholar.events import Called, FellBack
from scholar.library import Library
from scholar.runs import Scholar
from scholar.settings import Settings
from scholar.values import Outcome

pytestmark = pytest.mark.slow

SERVER = ModelServer(lambda _: "")
INVALID = ("truncated JSON", "valid JSON of the wrong shape", "empty content")
KINDS = dict.fromkeys(FAULTS, ModelUnavailable) | {
    **dict.fromkeys(INVALID, ReplyInvalid),
    "content filter": ModelRefused,
    "context overflow": ModelRejected,
}


PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
both = pytest.mark.parametrize("dialect", PATHS)


@pytest.fixture(scope="module", autouse=True)
def _served() -> Iterator[None]:
    with SERVER:
        yield


def leaks(felt: Felt, home: Path, log: str) -> list[str]:
    """The places in which the key stands after a fault."""
    places = {
        "error": f"{felt.error!r} {felt.error}",
        "trace": felt.left,
        "events": repr(felt.events),
        "texts": repr(felt.texts),
        "notices": repr(felt.notices),
        "ledger": repr(felt.calls),
        "files": injected.kept(home).decode("utf-8", "replace"),
        "logs": log,
    }
    return [name for name, text in places.items() if KEY in text or "SECRET" in text]


@both
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_one_sentence_and_no_half_answer(
    name: str, dialect: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        felt = await feel(SERVER, FAULTS[name], tmp_path, fall_back=False, dialect=dialect)
    assert felt.reply is None
    assert type(felt.error) is KINDS[name]
    assert "\n" not in felt.sentence
    assert felt.sentence.endswith(".")
    assert leaks(felt, tmp_path, caplog.text) == []
    # Nothing of it may come back from disk as a whole reply.
    well = await feel(SERVER, GOOD, tmp_path, fall_back=False, dialect=dialect)
    assert well.reply == Trip(city="Paris", days=3)
    assert well.requests == 1
    assert well.paths == {PATHS[dialect]}


@both
@pytest.mark.parametrize("name", FAULTS)
async def test_every_attempt_at_a_fault_is_in_the_ledger(
    name: str, dialect: str, tmp_path: Path
) -> None:
    felt = await feel(SERVER, FAULTS[name], tmp_path, fall_back=False, dialect=dialect)
    assert felt.paths <= {PATHS[dialect]}
    once = name in ("content filter", "context overflow")
    assert len(felt.calls) == (1 if once else 1 + REPAIRS if name in INVALID else ATTEMPTS)
    assert felt.requests == (0 if FAULTS[name] == DEAD else len(felt.calls))
    assert [event.call for event in felt.events if isinstance(event, Called)] == list(felt.calls)
    for call in felt.calls:
        assert call.failed is (name not in INVALID)
        assert (call.input_tokens > 0) is (FAULTS[name] != DEAD)
        cost = (call.input_tokens * 1.0 + call.output_tokens * 10.0) / 1e6
        assert call.dollars == pytest.approx(cost)
    half = {"stall in mid-stream": 3, "connection cut in mid-stream": 3, "content filter": 2}
    assert name not in half or felt.calls[0].output_tokens == half[name]


@both
@pytest.mark.parametrize("name", FAULTS)
async def test_the_next_model_stands_in_and_says_so(
    name: str, dialect: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        felt = await feel(SERVER, FAULTS[name], tmp_path, fall_back=True, dialect=dialect)
    assert felt.reply == Trip(city="Paris", days=3)
    assert felt.calls[-1].model == "spare"
    assert not felt.calls[-1].failed
    (event,) = [event for event in felt.events if isinstance(event, FellBack)]
    assert (event.role, event.from_model[:11]) == ("planner", "openai:tiny")
    assert event.to_model.startswith("openai:spare@http://127.0.0.1")
    assert leaks(felt, tmp_path, caplog.text) == []


@pytest.mark.parametrize("name", FAULTS)
async def test_a_whole_run_over_a_fault_ends_with_its_name_and_without_the_key(
    name: str, shelf: Library, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    SERVER.use(lambda _: FAULTS[name])
    known = settings.model_copy(
        update={"model": f"openai:tiny@{SERVER.url}", "api_key": KEY_SETTING, "silence": 0.5}
    )
    if FAULTS[name] == DEAD:
        with injected.closed_port() as nowhere:
            known = known.model_copy(update={"model": f"openai:tiny@{nowhere}"})
    with caplog.at_level(logging.DEBUG), injected.impatient():
        async with Scholar(services=Services(known, shelf, Gateway(known))) as scholar:
            answer = await scholar.ask(QUESTION)
    assert answer.outcome is Outcome.MODEL_FAILED
    assert answer.usage.calls >= 1
    assert answer.notes[0].endswith(".")
    for text in (json.dumps(report.to_json(answer)), repr(answer), caplog.text):
        assert "SECRET" not in text
    assert b"SECRET" not in injected.kept(known.home)


KEY_SETTING = Settings(api_key=KEY).api_key


async def test_a_run_tells_its_readers_who_stood_in(shelf: Library, settings: Settings) -> None:
    mind = for_server(honest)

    def script(body: dict[str, object]) -> Scripted:
        return mind(body) if body["model"] == "spare" else FAULTS["500"]

    SERVER.use(script)
    chain = tuple(f"openai:{name}@{SERVER.url}" for name in ("tiny", "spare"))
    known = settings.model_copy(update={"model": chain})
    with injected.impatient():
        async with Scholar(services=Services(known, shelf, Gateway(known))) as scholar:
            answer = await scholar.ask(QUESTION)
    assert answer.outcome is Outcome.ANSWERED
    (note,) = [note for note in answer.notes if "stood in for" in note]
    assert "The server had an error" in note
    asked = [request.body["model"] for request in SERVER.requests]
    # Having been down for the planner, it is not waited for again by the others.
    assert asked == ["tiny"] * 3 + ["spare"] * 6


@both
async def test_the_page_of_faults_is_what_the_command_prints(dialect: str, tmp_path: Path) -> None:
    printed = await injected.table(SERVER, tmp_path, dialect)
    assert (ROOT / "docs" / "faults.md").read_text("utf-8") == printed
