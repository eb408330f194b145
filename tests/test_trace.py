"""The trace of a run: all that happened, readable after any crash, and nothing that was not
allowed.
"""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from minds import but, honest
from observing import RUN, before, watch
from office import OpenDesk
from papers import QUESTION, RANKING, SHELF
from pydantic import SecretStr

from scholar.errors import ModelRejected
from scholar.events import (
    Called,
    Drafting,
    Ended,
    Event,
    Exchanged,
    FellBack,
    Finished,
    Noted,
    Paused,
    Read,
    Retrying,
    Started,
    Used,
    Waiting,
)
from scholar.settings import Mcp, OpenAlex, Settings
from scholar.trace import HIDDEN, Trace, keys_of, path_of, read, schema
from scholar.values import Answer, Call, Inquiry, Outcome

SCHEMA = json.loads(resources.files("scholar").joinpath("events.schema.json").read_text("utf-8"))
CHECK = jsonschema.Draft202012Validator(SCHEMA)
KEY = 'sk-"very"-secret-0123456789'
ONE_EACH: tuple[Event, ...] = (
    Started(RUN, QUESTION, "standard"),
    Exchanged("writer", "fake", (("system", "Write."), ("user", "ß 语 \u2028\n")), "{}"),
    Called(Call("writer", "fake", 1, 2, 0.5, None, node="compose"), "s1"),
    Used("calculate", (("expression", "1+1"),), 0.1, "It failed."),
    Retrying("writer", "Overloaded.", 2.0),
    Waiting("writer", "fake", 2.0),
    FellBack("writer", "one", "two", "It is down."),
    Noted("Mind this."),
    Paused((("i1", Inquiry("plan", "Is this the plan?", {"steps": ["a", 1, None]})),)),
    Ended("compose", "", 0.5, "It broke."),
    Finished(Answer(RUN, QUESTION, Outcome.CANCELLED)),
)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def write(path: Path, *events: Event, **options: Any) -> Path:
    trace = Trace(path, **options)
    for event in events:
        trace.write(event)
    trace.close()
    return path


@pytest.mark.parametrize("preset", ["fast", "standard", "genread", "sibyl", "imedrag", "deep"])
async def test_a_runs_trace_gives_back_all_its_events_and_fits_the_schema(
    desk: OpenDesk, preset: str
) -> None:
    at = desk(honest)
    began = time.time()
    watched = await watch(at, at.scholar.start(QUESTION, preset=preset))
    kept = [event for event in watched.events if not isinstance(event, Drafting)]
    assert [event for _, event in watched.told[1:]] == kept
    assert isinstance(watched.told[0][1], Started)
    times = [moment for moment, _ in watched.told]
    assert times == sorted(times)
    assert began <= times[0] <= times[-1] <= time.time()
    for line in lines(watched.path):
        CHECK.validate(line)


async def test_a_reviews_trace_fits_the_schema_too(desk: OpenDesk) -> None:
    at = desk(honest)
    watched = await watch(at, at.scholar.start_review(QUESTION))
    assert {"outlined", "wrote", "tabled"} <= {event.type for event in watched.events}
    assert [event for _, event in watched.told[1:]] == [
        event for event in watched.events if not isinstance(event, Drafting)
    ]
    for line in lines(watched.path):
        CHECK.validate(line)


def test_rarer_events_come_back_as_they_were_and_fit_the_schema(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *ONE_EACH, content=True)
    assert [event for _, event in read(path)] == list(ONE_EACH)
    for line in lines(path):
        CHECK.validate(line)


def test_the_schema_that_ships_is_that_of_the_events() -> None:
    assert schema() == SCHEMA, "python -m scholar.trace > scholar/events.schema.json"


def test_the_schema_refuses_what_is_no_event() -> None:
    good = {"at": 1.0, **asdict(Noted("Mind this."))}
    CHECK.validate(good)
    for wrong in ({"at": None}, {"type": "noticed"}, {"note": 3}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            CHECK.validate({**good, **wrong})


async def test_prompts_replies_and_passages_are_not_in_the_trace_unless_allowed(
    desk: OpenDesk,
) -> None:
    at = desk(honest)
    run = at.scholar.start(QUESTION, preset="standard")
    watched = await watch(at, run)
    written = watched.path.read_text("utf-8")
    quotes = {quote for e in watched.events if isinstance(e, Read) for quote in e.quotes}
    for request in at.backend.requests:
        for message in request.messages:
            assert json.dumps(message.content)[1:-1] not in written
    for stored in SHELF.values():
        for passage in stored.entry.passages:
            assert passage.text in quotes or json.dumps(passage.text)[1:-1] not in written
    assert RANKING in written  # as a quote of the answer


async def test_where_it_is_allowed_each_call_has_its_prompt_and_reply(
    desk: OpenDesk, settings: Settings
) -> None:
    at = desk(honest, trace=settings.trace.model_copy(update={"content": True}))
    watched = await watch(at, at.scholar.start(QUESTION, preset="standard"))
    told = [event for _, event in watched.told]
    said = [event for event in told if isinstance(event, Exchanged)]
    requests = at.backend.requests
    sent = [tuple((m.role, m.content) for m in request.messages) for request in requests]
    assert sorted(event.messages for event in said) == sorted(sent)
    for event in said:
        call = told[told.index(event) + 1]
        assert isinstance(call, Called)
        assert (call.call.role, call.call.node) == (event.role, event.node)
        assert json.loads(event.reply)


async def test_no_trace_is_kept_where_none_is_wanted(desk: OpenDesk, settings: Settings) -> None:
    at = desk(honest, trace=settings.trace.model_copy(update={"keep": False}))
    watched = await watch(at, at.scholar.start(QUESTION))
    assert watched.answer is not None
    assert not watched.path.parent.exists()


async def test_a_key_that_a_server_echoes_is_not_in_the_trace(desk: OpenDesk) -> None:
    refused = ModelRejected(f"The key {KEY} was refused; set another.")
    at = desk(but(writer=lambda _: refused), api_key=SecretStr(KEY))
    watched = await watch(at, at.scholar.start(QUESTION))
    written = watched.path.read_text("utf-8")
    assert f"The key {HIDDEN} was refused" in written
    assert "0123456789" not in written
    assert read(watched.path)[-1][1].type == "finished"


def test_all_keys_of_the_settings_are_known_but_not_what_stands_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    settings = Settings(
        api_key=SecretStr("none"),
        openalex=OpenAlex(key=SecretStr("openalex-key")),
        mcp={"one": Mcp(command=("x",), env={"TOKEN": SecretStr("token-of-one-server")})},
    )
    known = {"from-the-environment", "openalex-key", "token-of-one-server"}
    assert set(keys_of(settings)) == known


def test_a_key_within_a_longer_one_leaves_no_rest_of_it(tmp_path: Path) -> None:
    settings = Settings(
        api_key=SecretStr("secret-of-mine"),
        openalex=OpenAlex(key=SecretStr("secret-of-mine-and-more")),
    )
    event = Noted("It said secret-of-mine-and-more.")
    path = write(tmp_path / "a.jsonl", event, keys=keys_of(settings))
    assert read(path)[0][1] == Noted(f"It said {HIDDEN}.")


def test_events_can_be_read_as_soon_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "traces" / "a.jsonl"
    trace = Trace(path)
    trace.write(Noted("One."), 5.0)
    assert read(path) == [(5.0, Noted("One."))]
    trace.write(Noted("Two."), 6.0)
    assert read(path)[-1] == (6.0, Noted("Two."))
    trace.close()


def test_a_trace_is_for_the_eyes_of_its_user_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", Noted("One."))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_written_before_stays_when_a_run_is_taken_up_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", Noted("One."))
    write(path, Noted("Two."))
    assert [event for _, event in read(path)] == [Noted("One."), Noted("Two.")]


@pytest.mark.parametrize("left", [1, 7, 30, -1])
def test_a_line_that_a_crash_cut_off_is_left_out_and_spoils_no_other(
    tmp_path: Path, left: int
) -> None:
    path = write(tmp_path / "a.jsonl", Noted("One."), Noted("Zwei, größer."))
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(first + b"\n" + second[:left])
    assert [event for _, event in read(path)] == [Noted("One.")]
    write(path, Noted("Three."))
    assert [event for _, event in read(path)] == [Noted("One."), Noted("Three.")]


def test_a_trace_that_is_looked_at_in_a_terminal_cannot_steer_it(tmp_path: Path) -> None:
    event = Noted("\x9b2J \x1b[31m \u202e \u2028 語")
    path = write(tmp_path / "a.jsonl", event)
    assert path.read_text("ascii").rstrip("\n").isprintable()
    assert read(path)[0][1] == event


def test_events_of_a_newer_version_are_left_out_and_new_fields_overlooked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", Noted("One."))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"at": 2.0, "type": "dreamt", "of": "sheep"}\n')
        file.write('{"at": 3.0, "type": "noted", "note": "Two.", "mood": "good"}\n')
        file.write('[1]\n"x"\n{"type": "noted", "note": "When?"}\n\x00\x00\n')
    assert [event for _, event in read(path)] == [Noted("One."), Noted("Two.")]


def test_half_a_character_from_a_model_does_not_stop_the_trace(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", Noted("\ud83d"), Noted("Two."))
    assert read(path)[-1][1] == Noted("Two.")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_told_once_and_nothing_raised(tmp_path: Path) -> None:
    notices: list[str] = []
    path = tmp_path / "a.jsonl"
    path.symlink_to("/dev/full")
    write(path, Noted("One."), Noted("Two."), on_notice=notices.append)
    [notice] = notices
    assert "No space left on device" in notice
    assert "trace.keep" in notice


async def test_a_run_whose_trace_cannot_be_written_goes_on_and_says_so_once(
    desk: OpenDesk, settings: Settings
) -> None:
    at = desk(honest)
    (settings.home / "traces").write_text("in the way")
    watched = await watch(at, at.scholar.start(QUESTION))
    assert watched.answer is not None
    assert watched.answer.outcome is Outcome.ANSWERED
    [notice] = watched.notices
    assert "cannot be written" in notice


async def test_a_run_that_is_cut_short_has_a_trace_until_then(desk: OpenDesk) -> None:
    at = desk(honest)
    watched = await watch(at, at.scholar.start(QUESTION), until=before("compose"))
    kinds = [event.type for _, event in watched.told]
    assert kinds[0] == "started"
    assert kinds[-1] == "began"


def test_the_trace_of_a_run_lies_in_the_home_under_its_id(tmp_path: Path) -> None:
    assert path_of(tmp_path, RUN) == tmp_path / "traces" / f"{RUN}.jsonl"


async def test_writing_a_trace_takes_a_few_milliseconds_of_a_run(desk: OpenDesk) -> None:
    at = desk(honest)
    watched = await watch(at, at.scholar.start(QUESTION, preset="standard"))
    trace = Trace(watched.path.with_name("again.jsonl"))
    began = time.process_time()
    for event in watched.events:
        trace.write(event)
    took = time.process_time() - began
    trace.close()
    assert took < 0.01, f"{1000 * took:.1f} ms for {len(watched.events)} events"
    assert os.stat(watched.path).st_size < 40_000
