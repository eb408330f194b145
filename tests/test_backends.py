"""Backends against servers on loopback: whole replies come through, all else is a typed error."""

from __future__ import annotations

import asyncio
import doctest
import email.utils
import gzip
import json
import math
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from model_server import (
    Cut,
    Deltas,
    ErrorInStream,
    Events,
    Finish,
    Html,
    ModelServer,
    Raw,
    Script,
    Scripted,
    Stall,
    Status,
    Thinking,
    Unfinished,
    Unmetered,
    refuse_param,
)
from pydantic import BaseModel, Field

from scholar.backends import (
    Delta,
    Learned,
    Message,
    Request,
    SchemaUnsupported,
    TokenCount,
    fake,
    is_loopback,
    open_backend,
    split_model_id,
)
from scholar.backends.failures import Where, retry_after
from scholar.backends.fake import FakeBackend
from scholar.backends.openai import OpenAIBackend
from scholar.backends.schema import strict_schema
from scholar.errors import (
    ModelError,
    ModelRefused,
    ModelRejected,
    ModelUnavailable,
    ReplyInvalid,
    SettingsError,
)
from scholar.settings import Settings

EXCHANGES = Path(__file__).parents[2] / "shared" / "data" / "llm_exchanges" / "openai"
KEY = "sk-test-SECRET123"
QUESTION = Request((Message("system", "Be brief."), Message("user", "What is the capital?")))
SERVER = ModelServer(lambda _: "")
"""One for all tests here: stopping one takes longer than most tests."""
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def error_body(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


@pytest.fixture(scope="module", autouse=True)
def _served() -> Iterator[None]:
    with SERVER:
        yield


@pytest.fixture(autouse=True)
def _no_ambient_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)


both = pytest.mark.parametrize("dialect", ["chat", "responses"])


@asynccontextmanager
async def backend_of(
    said: Scripted | Script,
    *,
    name: str = "tiny",
    silence: float = 5.0,
    dialect: str = "chat",
) -> AsyncIterator[tuple[OpenAIBackend, ModelServer]]:
    """An OpenAIBackend before the server, which says `said` to every request in `dialect`."""
    script = said if callable(said) else lambda _: said
    responses = dialect == "responses"
    SERVER.use(script, responses=script if responses else None)
    backend = OpenAIBackend(name, Settings(api_key=KEY, silence=silence), SERVER.url)
    backend.recall(Learned(responses=responses or None))
    try:
        yield backend, SERVER
    finally:
        await backend.aclose()


async def gather(
    backend: OpenAIBackend | FakeBackend,
    request: Request = QUESTION,
    into: list[Delta] | None = None,
) -> list[Delta]:
    """All deltas of the reply; those before a failure are in `into`."""
    deltas: list[Delta] = [] if into is None else into
    async for delta in backend.stream(request):
        deltas.append(delta)
    return deltas


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


async def failure(
    said: Scripted | Script, request: Request = QUESTION, **options: Any
) -> ModelError:
    """The error that comes of `said`; none shows the key, and all name the model and end well."""
    async with backend_of(said, **options) as (backend, server):
        with pytest.raises(ModelError) as caught:
            await gather(backend, request)
        host = server.url.split("/")[2]
    message = str(caught.value)
    assert "SECRET" not in message
    assert "tiny" in message
    assert host in message
    assert message.endswith(".")
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


# --- whole replies


@both
async def test_a_reply_comes_in_pieces_and_ends_with_the_servers_token_count(dialect: str) -> None:
    async with backend_of("The capital is Paris.", dialect=dialect) as (backend, server):
        deltas = await gather(backend)
    assert text_of(deltas) == "The capital is Paris."
    assert len(deltas) > 3
    assert deltas[-1].tokens == TokenCount(input=8, output=6)
    assert all(delta.tokens is None for delta in deltas[:-1])
    (asked,) = server.requests
    assert asked.path == {"chat": "/v1/chat/completions", "responses": "/v1/responses"}[dialect]
    assert asked.headers["authorization"] == f"Bearer {KEY}"


async def test_what_is_asked_is_sent_as_chat_completions_have_it() -> None:
    async with backend_of("Ok") as (backend, server):
        await gather(backend)
    body = server.requests[0].body
    assert body["messages"][1] == {"role": "user", "content": "What is the capital?"}
    assert (body["temperature"], body["max_tokens"], body["stream"]) == (0.0, 8_000, True)


async def test_what_is_asked_is_sent_as_responses_have_it_and_is_not_to_be_stored() -> None:
    request = Request(QUESTION.messages, schema=SCHEMA, schema_name="place", seed=7)
    async with backend_of("{}", dialect="responses") as (backend, server):
        await gather(backend, request)
        assert not backend.capabilities.seed
    assert server.requests[0].body == {
        "model": "tiny",
        "input": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is the capital?"},
        ],
        "stream": True,
        "store": False,
        "temperature": 0.0,
        "max_output_tokens": 8_000,
        "text": {
            "format": {"type": "json_schema", "name": "place", "strict": True, "schema": SCHEMA}
        },
    }


async def test_a_schema_is_sent_as_strict_response_format() -> None:
    request = Request(QUESTION.messages, schema=SCHEMA, schema_name="place", seed=7)
    async with backend_of('{"city": "Paris"}') as (backend, server):
        await gather(backend, request)
    sent = server.requests[0].body
    assert sent["response_format"]["json_schema"] == {
        "name": "place",
        "strict": True,
        "schema": SCHEMA,
    }
    assert sent["seed"] == 7


@cache
def turns_of(file: Path) -> list[Any]:
    turns: list[Any] = yaml.safe_load(file.read_text("utf-8"))["interactions"]
    return turns


def exchanges(path: str, streamed: bool, refused: bool | None = None) -> list[Any]:
    """The recorded exchanges at `path`; those with an error, or those without, where it is said."""
    chosen = []
    for file in sorted(EXCHANGES.glob("*.yaml")):
        for turn in turns_of(file):
            kind = turn["response"]["headers"].get("content-type", [""])[0]
            asked = turn["request"]["uri"].partition("?")[0].endswith(path)
            failed = turn["response"]["status"]["code"] >= 400
            fits = asked and kind.startswith("text/event-stream") is streamed
            if fits and refused in (None, failed):
                chosen.append(pytest.param(turn, id=file.stem.split("__")[-1]))
    return chosen


need_exchanges = pytest.mark.skipif(not EXCHANGES.is_dir(), reason="no recorded exchanges here")


def events_of(turn: Any) -> tuple[bytes, list[Any]]:
    """The body of a recorded stream, and the events in it."""
    body = turn["response"]["body"]["string"]
    lines = (line for line in body.splitlines() if line.startswith("data: {"))
    return body.encode(), [json.loads(line[6:]) for line in lines]


def answer_of(turn: Any) -> dict[str, Any]:
    """The recorded answer that is no stream."""
    answer: dict[str, Any] = turn["response"].get("parsed_body") or json.loads(
        gzip.decompress(turn["response"]["body"]["string"])
    )
    return answer


@need_exchanges
@pytest.mark.parametrize("turn", exchanges("/chat/completions", streamed=True))
async def test_a_recorded_stream_of_openai_is_read_as_it_was_meant(turn: Any) -> None:
    body, chunks = events_of(turn)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    usage = next(chunk["usage"] for chunk in chunks if chunk["usage"])
    expected = "".join(choice["delta"].get("content") or "" for choice in choices)
    async with backend_of(Raw(body)) as (backend, _):
        if any(choice["finish_reason"] == "tool_calls" for choice in choices):
            with pytest.raises(ReplyInvalid, match="tool"):
                await gather(backend)
            return
        deltas = await gather(backend)
    assert text_of(deltas) == expected != ""
    assert deltas[-1].tokens == TokenCount(usage["prompt_tokens"], usage["completion_tokens"])


@need_exchanges
@pytest.mark.parametrize("turn", exchanges("/responses", streamed=True))
async def test_a_recorded_stream_of_responses_is_read_as_it_was_meant(turn: Any) -> None:
    body, events = events_of(turn)
    await check_response(Raw(body), events[-1]["response"])


@need_exchanges
@pytest.mark.parametrize("turn", exchanges("/responses", streamed=False, refused=False))
async def test_a_recorded_response_is_read_the_same_where_it_all_comes_at_the_end(
    turn: Any,
) -> None:
    whole = answer_of(turn)
    event = {"type": "response.completed", "response": whole}
    await check_response(Events((event,)), whole)


async def check_response(said: Scripted, whole: dict[str, Any]) -> None:
    """What comes of `said` is the text of the recorded response `whole`, and its tokens."""
    messages = [item for item in whole["output"] if item["type"] == "message"]
    expected = "".join(part["text"] for message in messages for part in message["content"])
    usage = whole["usage"]
    deltas: list[Delta] = []
    async with backend_of(said, dialect="responses") as (backend, _):
        if any(item["type"] == "function_call" for item in whole["output"]):
            with pytest.raises(ReplyInvalid, match="tool"):
                await gather(backend, into=deltas)
        else:
            await gather(backend, into=deltas)
            assert expected
    assert text_of(deltas) == expected
    assert deltas[-1].tokens == TokenCount(
        usage["input_tokens"],
        usage["output_tokens"],
        usage["output_tokens_details"]["reasoning_tokens"],
    )


@need_exchanges
@pytest.mark.parametrize(
    ("turn", "dialect"),
    [
        pytest.param(*turn.values, dialect, id=f"{dialect}-{turn.id}")
        for dialect, turns in (
            ("chat", exchanges("/chat/completions", streamed=False)),
            ("responses", exchanges("/responses", streamed=False, refused=True)),
            ("responses", exchanges("/responses", streamed=False, refused=False)[:1]),
        )
        for turn in turns
    ],
)
async def test_a_recorded_answer_that_is_no_stream_is_an_error_with_its_reason(
    turn: Any, dialect: str
) -> None:
    status = turn["response"]["status"]["code"]
    parsed = answer_of(turn)
    said = Status(status, parsed) if status >= 400 else Raw(json.dumps(parsed).encode(), JSON)
    error = await failure(said, dialect=dialect)
    assert isinstance(error, ModelRejected)
    if status >= 400:
        assert parsed["error"]["message"][:40] in str(error)


JSON = "application/json"


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (("<think>Let me see.</think>\n\nParis",), "Paris"),
        (("<th", "ink>a</th", "ink", "> ", "\n", "Par", "is"), "Paris"),
        (("\n<think>", "</think>", "Paris <think> is"), "Paris <think> is"),
        (("<thinkers> agree",), "<thinkers> agree"),
        (("<th",), "<th"),
        (("<think>for ever",), ""),
        (("a </think> b",), "a </think> b"),
    ],
)
@both
async def test_thoughts_before_a_reply_are_left_out(
    contents: tuple[str, ...], expected: str, dialect: str
) -> None:
    said = Deltas(tuple({"content": c} for c in contents))
    async with backend_of(said, dialect=dialect) as (backend, _):
        assert text_of(await gather(backend)) == expected


async def test_reasoning_fields_are_not_part_of_the_text() -> None:
    deltas = Deltas(
        (
            {"reasoning_content": "Hm."},
            {"reasoning": "Well."},
            {"content": None},
            {"content": "Yes"},
        )
    )
    async with backend_of(deltas) as (backend, _):
        assert text_of(await gather(backend)) == "Yes"


@both
async def test_reasoning_is_a_sign_of_life_and_counted_but_never_shown(dialect: str) -> None:
    said = Thinking("What may be the capital?", "Paris")
    async with backend_of(said, dialect=dialect) as (backend, _):
        deltas = await gather(backend)
    assert text_of(deltas) == "Paris"
    assert deltas[0] == Delta("")
    assert len(deltas) >= 8
    assert deltas[-1].tokens == TokenCount(8, 8, reasoning=6)


@both
async def test_a_reply_is_whole_though_the_line_drops_after_its_end(dialect: str) -> None:
    async with backend_of(Cut("Ok", 1, finish="stop"), dialect=dialect) as (backend, _):
        deltas = await gather(backend)
    assert text_of(deltas) == "Ok"
    assert deltas[-1].tokens is None


@both
async def test_half_characters_in_a_prompt_do_not_stop_it(dialect: str) -> None:
    request = Request((Message("user", "broken \ud835 letter"),))
    async with backend_of("Ok", dialect=dialect) as (backend, server):
        await gather(backend, request)
    body = server.requests[0].body
    assert (body.get("messages") or body["input"])[0]["content"] == "broken ? letter"


@both
async def test_tokens_that_a_server_does_not_count_are_not_told(dialect: str) -> None:
    async with backend_of(Unmetered("Paris"), dialect=dialect) as (backend, _):
        deltas = await gather(backend)
    assert text_of(deltas) == "Paris"
    assert deltas[-1].tokens is None


@pytest.mark.parametrize("usage", [{}, {"total_tokens": 9}, 9, {"prompt_tokens": 0}])
async def test_a_usage_without_its_figures_is_none(usage: object) -> None:
    choice = {"index": 0, "delta": {"content": "Ok"}, "finish_reason": "stop"}
    async with backend_of(Events(({"choices": [choice], "usage": usage},))) as (backend, _):
        deltas = await gather(backend)
    assert text_of(deltas) == "Ok"
    assert deltas[-1].tokens is None


# --- choices and stops

CHOICES = Request(QUESTION.messages, choices=("Paris", "Lyon"))


async def test_stops_are_sent_where_there_are_some() -> None:
    async with backend_of("Paris") as (backend, server):
        await gather(backend, Request(QUESTION.messages, stop=("END", "\n")))
        await gather(backend)
    assert [request.body.get("stop") for request in server.requests] == [["END", "\n"], None]


@both
async def test_a_choice_is_asked_for_by_schema_and_is_all_of_the_reply(dialect: str) -> None:
    async with backend_of('{"choice": "Lyon"}', dialect=dialect) as (backend, server):
        deltas = await gather(backend, CHOICES)
        assert await backend.classify(CHOICES) == {"Paris": -math.inf, "Lyon": 0.0}
        assert not backend.capabilities.logprobs
    assert text_of(deltas) == "Lyon"
    assert [delta.tokens for delta in deltas if delta.tokens] == [TokenCount(8, 5)]
    sent = json.dumps(server.requests[0].body)
    assert '"choice": {"type": "string", "enum": ["Paris", "Lyon"]}' in sent


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("Paris is it. END of story", ("END",), "Paris is it. "),
        ("Paris\nLyon", ("END", "\n"), "Paris"),
        ("Paris EN", ("END",), "Paris EN"),
        ("ENDless", ("END",), ""),
        ("Paris END.", ("END",), "Paris "),
        ("Paris", ("",), "Paris"),
        ("<think>END</think>Paris", ("END",), "Paris"),
    ],
)
async def test_responses_which_know_no_stops_are_ended_here(
    text: str, stops: tuple[str, ...], expected: str
) -> None:
    request = Request(QUESTION.messages, stop=stops)
    async with backend_of(text, dialect="responses") as (backend, server):
        assert text_of(await gather(backend, request)) == expected
    assert "stop" not in server.requests[0].body


async def test_a_reply_that_was_ended_here_is_not_waited_for() -> None:
    request = Request(QUESTION.messages, stop=("END",))
    async with backend_of(Stall("Paris END "), dialect="responses") as (backend, server):
        async with asyncio.timeout(4):
            assert text_of(await gather(backend, request)) == "Paris "
        assert await asyncio.to_thread(server.wait_for_hang_up)


@pytest.mark.parametrize("said", ['{"choice": "Rome"}', "Lyon", "[]"])
async def test_what_was_not_to_choose_from_is_no_reply(said: str) -> None:
    deltas: list[Delta] = []
    async with backend_of(said) as (backend, _):
        with pytest.raises(ReplyInvalid, match="none of the choices"):
            await gather(backend, CHOICES, into=deltas)
    assert text_of(deltas) == ""
    assert deltas[-1].tokens is not None


@pytest.mark.parametrize(
    ("dialect", "name"), [("chat", "response_format"), ("responses", "text.format")]
)
async def test_choices_end_where_schemas_are_refused(dialect: str, name: str) -> None:
    async with backend_of(refuse_param(name), dialect=dialect) as (backend, _):
        with pytest.raises(SchemaUnsupported):
            await backend.classify(CHOICES)
        assert not backend.capabilities.choices


# --- parameters that a server will not take


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        *(("chat", name) for name in ("temperature", "seed", "stream_options")),
        *(("responses", name) for name in ("temperature", "store", "max_output_tokens")),
    ],
)
async def test_a_refused_parameter_is_left_out_now_and_from_then_on(
    dialect: str, name: str
) -> None:
    def script(body: dict[str, Any]) -> Scripted:
        return refuse_param(name) if name in body else "Paris"

    request = Request(QUESTION.messages, seed=1)
    async with backend_of(script, dialect=dialect) as (backend, server):
        assert text_of(await gather(backend, request)) == "Paris"
        assert text_of(await gather(backend, request)) == "Paris"
        assert backend.learned.refused == {name}
    assert [name in request.body for request in server.requests] == [True, False, False]


async def test_max_completion_tokens_stands_in_for_max_tokens() -> None:
    def script(body: dict[str, Any]) -> Scripted:
        return refuse_param("max_tokens") if "max_tokens" in body else "Paris"

    async with backend_of(script) as (backend, server):
        await gather(backend)
    assert server.requests[1].body["max_completion_tokens"] == 8_000


@both
async def test_all_optional_parameters_can_be_refused_one_after_the_other(
    dialect: str,
) -> None:
    def script(body: dict[str, Any]) -> Scripted:
        extra = sorted(body.keys() - {"model", "messages", "input", "stream"})
        detail = [
            {"loc": ["body", name], "msg": "Extra inputs", "input": body} for name in extra[:1]
        ]
        return Status(422, {"detail": detail}) if extra else "Paris"

    async with backend_of(script, dialect=dialect) as (backend, server):
        assert text_of(await gather(backend)) == "Paris"
    assert len(server.requests) == {"chat": 5, "responses": 4}[dialect]


@pytest.mark.parametrize(
    ("dialect", "complaint"),
    [
        ("chat", refuse_param("response_format")),
        (
            "chat",
            Status(400, error_body("Invalid parameter: 'response_format' of type 'json_schema' .")),
        ),
        ("chat", Status(422, {"detail": [{"loc": ["body", "response_format"], "msg": "bad"}]})),
        ("chat", Status(501, error_body("structured output is not implemented"))),
        ("responses", refuse_param("text.format")),
        ("responses", refuse_param("text")),
        ("responses", refuse_param("body.text.format")),
        (
            "responses",
            Status(400, error_body("Invalid parameter: 'text.format' of type 'json_schema' ...")),
        ),
        ("responses", Status(400, error_body("Unknown parameter: 'text'."))),
        ("responses", Status(422, {"detail": [{"loc": ["body", "text"], "msg": "Extra input"}]})),
        ("responses", Status(422, {"detail": [{"loc": ["body", "text", "format"], "msg": "x"}]})),
        ("responses", Status(400, error_body("structured outputs are not supported"))),
    ],
)
async def test_a_refused_schema_is_signalled_and_remembered(
    dialect: str, complaint: Status
) -> None:
    request = Request(QUESTION.messages, schema=SCHEMA)
    async with backend_of(complaint, dialect=dialect) as (backend, server):
        assert backend.capabilities.json_schema
        for _ in range(2):
            with pytest.raises(SchemaUnsupported):
                await gather(backend, request)
        assert not backend.capabilities.json_schema
        # What one dialect does not take, the other may.
        backend.recall(Learned(backend.learned.refused, responses=dialect == "chat"))
        assert backend.capabilities.json_schema
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "complaint",
    [
        error_body("The text is in no language I know; I will not store it."),
        error_body("Invalid input.", param="input[1].content[0].text"),
        {"detail": [{"loc": ["body", "input", 1, "content", 0, "text"], "msg": "too odd"}]},
    ],
)
async def test_a_complaint_about_a_text_is_not_about_the_parameter_of_that_name(
    complaint: dict[str, Any],
) -> None:
    request = Request(QUESTION.messages, schema=SCHEMA)
    async with backend_of(Status(400, complaint), dialect="responses") as (backend, server):
        with pytest.raises(ModelRejected):
            await gather(backend, request)
        assert not backend.learned.refused
    assert len(server.requests) == 1


async def test_a_complaint_about_something_else_drops_no_parameter() -> None:
    complaint = error_body("messages[0].role does not support 'system'", param="messages[0].role")
    async with backend_of(Status(400, complaint)) as (backend, server):
        with pytest.raises(ModelRejected, match="does not support 'system'"):
            await gather(backend)
    assert len(server.requests) == 1


async def test_what_a_complaint_repeats_of_the_request_is_not_its_reason() -> None:
    def script(body: dict[str, Any]) -> Scripted:
        detail = [{"loc": ["body", "seed"], "msg": "Extra input", "input": json.dumps(body)}]
        return Status(422, {"detail": detail}) if "seed" in body else "Paris"

    async with backend_of(script) as (backend, server):
        await gather(backend, Request(QUESTION.messages, schema=SCHEMA, seed=1))
    assert {"temperature", "response_format", "max_tokens"} <= server.requests[1].body.keys()


async def test_a_prompt_that_is_too_long_is_not_blamed_on_the_limit_of_the_reply() -> None:
    words = "max_tokens is too large: the maximum context length is 4096 tokens"
    async with backend_of(Status(400, error_body(words))) as (backend, server):
        with pytest.raises(ModelRejected, match="set context_window"):
            await gather(backend)
    assert len(server.requests) == 1


# --- two dialects

ELSEWHERE = Status(
    404,
    error_body(
        "This model is only supported in v1/responses and not in v1/chat/completions.",
        type="invalid_request_error",
        param="model",
    ),
)


async def test_a_model_that_only_responses_serve_is_asked_there_now_and_from_then_on() -> None:
    async with backend_of("", dialect="chat") as (backend, server):
        server.use(lambda _: ELSEWHERE, responses=lambda _: "Paris")
        assert text_of(await gather(backend)) == "Paris"
        assert backend.learned == Learned(responses=True)
        assert text_of(await gather(backend)) == "Paris"
    paths = [request.path for request in server.requests]
    assert paths == ["/v1/chat/completions", "/v1/responses", "/v1/responses"]


@pytest.mark.parametrize(
    "gone",
    [
        Status(404, {"detail": "Not Found"}),
        Html(404),
        Status(405, text="Method not allowed"),
        Status(501, error_body("not implemented")),
        Status(400, error_body("Only /v1/chat/completions can be used with this model.")),
    ],
    ids=str,
)
async def test_responses_that_are_gone_are_done_without_now_and_from_then_on(gone: Status) -> None:
    async with backend_of("", dialect="responses") as (backend, server):
        server.use(lambda _: "Paris", responses=lambda _: gone)
        assert text_of(await gather(backend)) == "Paris"
        assert backend.learned == Learned(responses=False)
        assert text_of(await gather(backend)) == "Paris"
    paths = [request.path for request in server.requests]
    assert paths == ["/v1/responses", "/v1/chat/completions", "/v1/chat/completions"]


@both
async def test_a_server_that_points_from_each_dialect_to_the_other_is_asked_once_in_each(
    dialect: str,
) -> None:
    async with backend_of("", dialect=dialect) as (backend, server):
        before = backend.learned
        back = Status(404, error_body("Use v1/chat/completions."))
        server.use(lambda _: ELSEWHERE, responses=lambda _: back)
        with pytest.raises(ModelRejected):
            await gather(backend)
        assert backend.learned == before
    assert len(server.requests) == 2


async def test_a_model_that_is_not_there_is_no_reason_to_change_the_dialect() -> None:
    missing = Status(404, error_body("The model `tiny` does not exist", code="model_not_found"))
    async with backend_of(missing, dialect="responses") as (backend, _):
        with pytest.raises(ModelRejected, match="does not exist"):
            await gather(backend)
        assert backend.learned == Learned(responses=True)


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_an_error_that_names_the_other_dialect_is_no_reason_either(status: int) -> None:
    said = Status(status, error_body("Trouble at v1/chat/completions or v1/responses"))
    async with backend_of("") as (backend, server):
        server.use(lambda _: said, responses=lambda _: "Paris")
        with pytest.raises(ModelError):
            await gather(backend)
    assert len(server.requests) == 1


# --- responses, event by event


def text_delta(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text, **fields}


def ended(status: str = "completed", *output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = {"status": status, "output": list(output), **fields}
    return {"type": f"response.{status}", "response": response}


def spoken(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "message", "content": list(parts), **fields}


async def of_events(*events: dict[str, Any]) -> list[Delta]:
    """What comes of these events of responses."""
    async with backend_of(Events(events), dialect="responses") as (backend, _):
        return await gather(backend)


async def test_what_a_model_says_while_it_works_is_not_part_of_the_reply() -> None:
    aside = {"type": "message", "phase": "commentary"}
    final = {"type": "message", "phase": "final_answer"}
    deltas = await of_events(
        {"type": "response.output_item.added", "output_index": 0, "item": aside},
        text_delta("Let me see.", output_index=0),
        {"type": "response.output_item.added", "output_index": 1, "item": final},
        text_delta("Paris", output_index=1),
        ended(),
    )
    assert text_of(deltas) == "Paris"


async def test_a_reply_that_comes_only_with_its_end_is_taken_from_there() -> None:
    deltas = await of_events(
        {"type": "response.created", "response": {}},
        ended(
            "completed",
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]},
            spoken({"type": "output_text", "text": "Let me see."}, phase="commentary"),
            spoken({"type": "output_text", "text": "Par"}, {"type": "output_text", "text": "is"}),
            usage={"input_tokens": 3, "output_tokens": 2},
        ),
    )
    assert text_of(deltas) == "Paris"
    assert deltas[-1].tokens == TokenCount(3, 2)


async def test_the_start_of_a_response_is_no_sign_of_its_model() -> None:
    begun = [{"type": f"response.{kind}"} for kind in ("created", "queued", "in_progress")]
    assert len(await of_events(*begun, text_delta("Paris"), ended())) == 3


ODD = [
    [{"type": "response.brand_new", "delta": "no"}, {"type": 7}, {"delta": "no"}],
    [{"type": "response.output_text.delta"}, text_delta("", output_index=[])],
    [{"type": "response.output_text.delta", "delta": None}],
    [{"type": "response.output_item.added", "item": None}],
]


@pytest.mark.parametrize("events", ODD)
async def test_events_that_are_odd_or_unknown_are_passed_over(events: list[Any]) -> None:
    assert text_of(await of_events(*events, text_delta("Paris"), ended())) == "Paris"


FAILED = {"code": "server_error", "message": f"The model broke. {KEY}"}
ENDINGS: list[tuple[list[dict[str, Any]], type[ModelError], str]] = [
    ([ended("failed", error=FAILED)], ModelUnavailable, "The model broke. (key)"),
    ([ended("failed", error=None)], ModelUnavailable, "could not answer (an error)"),
    (
        [
            ended("failed", error=None),
            {"type": "error", "error": {"code": "rate_limit_exceeded", "message": "Slow down"}},
        ],
        ModelUnavailable,
        "Slow down",
    ),
    ([{"type": "error", "code": "server_error", "message": "Boom"}], ModelUnavailable, "Boom"),
    (
        [{"type": "error", "code": "context_length_exceeded", "message": "Too long"}],
        ModelRejected,
        "context_window",
    ),
    (
        [ended("failed", error={"code": "invalid_prompt", "message": "It was flagged."})],
        ModelRefused,
        "It was flagged",
    ),
    ([ended("failed", error={"code": "bio_policy", "message": "No."})], ModelRefused, "No"),
    ([ended("incomplete")], ModelUnavailable, "broke off"),
    ([ended("cancelled")], ModelUnavailable, "broke off"),
    (
        [
            {
                "type": "response.completed",
                "response": {
                    "status": "incomplete",
                    "incomplete_details": {"reason": "max_output_tokens"},
                },
            }
        ],
        ReplyInvalid,
        "cut off",
    ),
    ([ended("completed", {"type": "custom_tool_call"})], ReplyInvalid, "tool"),
    (
        [ended("completed", spoken({"type": "refusal", "refusal": "I will not."}))],
        ModelRefused,
        "I will not",
    ),
    (
        [{"type": "response.refusal.delta", "delta": "I will not."}, ended()],
        ModelRefused,
        "I will not",
    ),
    ([{"type": "response.completed"}], ModelUnavailable, "broke off"),
]


@pytest.mark.parametrize(("events", "kind", "words"), ENDINGS)
async def test_a_response_that_ends_otherwise_is_an_error_of_its_kind(
    events: list[dict[str, Any]], kind: type[ModelError], words: str
) -> None:
    error = await failure(Events((text_delta("Par"), *events)), dialect="responses")
    assert type(error) is kind
    assert words in str(error)


async def test_a_response_that_failed_still_reports_its_tokens() -> None:
    deltas: list[Delta] = []
    events = (ended("failed", error=FAILED, usage={"input_tokens": 8, "output_tokens": 1}),)
    async with backend_of(Events(events), dialect="responses") as (backend, _):
        with pytest.raises(ModelUnavailable):
            await gather(backend, into=deltas)
    assert deltas[-1].tokens == TokenCount(8, 1)


# --- faults

FAULTS = [
    (Status(401, error_body(f"Incorrect API key provided: {KEY}.")), ModelRejected, "API_KEY"),
    (Status(403, error_body("You may not.")), ModelRejected, "SCHOLAR_API_KEY"),
    (Status(404, error_body("The model `tiny` does not exist")), ModelRejected, "/v1"),
    (Status(404, text="404 page not found"), ModelRejected, "/v1"),
    (
        Status(400, error_body("Too long.", code="context_length_exceeded")),
        ModelRejected,
        "context_window",
    ),
    (
        Status(400, error_body("max_tokens: maximum context length is 4096 tokens")),
        ModelRejected,
        "context_window",
    ),
    (Status(413, text="too large"), ModelRejected, "context_window"),
    (Status(400, error_body("Filtered.", code="content_filter")), ModelRefused, "filter"),
    (Status(400, error_body(f"Odd request with {KEY}")), ModelRejected, "Odd request"),
    (Status(429, error_body("Slow down.", code="rate_limit_exceeded")), ModelUnavailable, "Slow"),
    (
        Status(429, error_body("You exceeded it.", code="insufficient_quota")),
        ModelRejected,
        "credit",
    ),
    (Status(402, error_body("Insufficient Balance")), ModelRejected, "credit"),
    (Status(408), ModelUnavailable, "later"),
    (Status(409, error_body("Conflict")), ModelUnavailable, "Conflict"),
    (Status(500, error_body("Boom")), ModelUnavailable, "500: Boom"),
    (Status(503, text="<html>Busy</html>"), ModelUnavailable, "503"),
    (Status(307, text="", headers={"location": "http://127.0.0.1:9/"}), ModelRejected, "URL"),
    (Html(200), ModelRejected, "URL"),
    (Html(404), ModelRejected, "URL"),
    (Raw(b'{"error": {"message": "Late", "code": 502}}', JSON), ModelUnavailable, "Late"),
    (Raw(b"data: {not json\n\n"), ModelUnavailable, "Nothing usable"),
    (Raw(b"data: 17\n\ndata: [DONE]\n\n"), ModelUnavailable, "broke off"),
    (Raw(b"\xff\xfe\n\n"), ModelUnavailable, "Nothing usable"),
    (Raw(b""), ModelUnavailable, "Nothing usable"),
    (Cut("Half of an answer, and then", 3), ModelUnavailable, "broke off"),
    (Cut("Nothing", 0), ModelUnavailable, "Nothing usable"),
    (Unfinished("All of it, it seems"), ModelUnavailable, "broke off"),
    (Finish("Par", "length"), ReplyInvalid, "cut off at 1 tokens"),
    (Finish("Par", "content_filter"), ModelRefused, "declined"),
    (Finish("", "stop", refusal=f"I cannot. {KEY}"), ModelRefused, "I cannot"),
    (Finish("Par", "insufficient_system_resource"), ModelUnavailable, "broke off"),
    (ErrorInStream("Par", {"message": "Overloaded", "code": 503}), ModelUnavailable, "Overloaded"),
    (ErrorInStream("Par", {"message": "x", "type": "server_error"}), ModelUnavailable, "later"),
    (ErrorInStream("", {"message": "x", "type": "invalid_request_error"}), ModelRejected, "x"),
    (ErrorInStream("", {"message": KEY, "type": "authentication_error"}), ModelRejected, "key"),
]


@both
@pytest.mark.parametrize(("said", "kind", "words"), FAULTS, ids=lambda v: str(v)[:60])
async def test_a_fault_is_an_error_of_its_kind_that_says_what_to_do(
    said: Scripted, kind: type[ModelError], words: str, dialect: str
) -> None:
    error = await failure(said, dialect=dialect)
    assert type(error) is kind
    assert words in str(error)


@both
async def test_half_an_answer_is_handed_on_but_never_ends_as_a_whole_one(dialect: str) -> None:
    deltas: list[Delta] = []
    said = Cut("Half of an answer, and then", 3)
    async with backend_of(said, dialect=dialect) as (backend, _):
        with pytest.raises(ModelUnavailable):
            await gather(backend, into=deltas)
    assert text_of(deltas) == "Half of an a"


@both
async def test_a_cut_off_reply_still_reports_its_tokens(dialect: str) -> None:
    deltas: list[Delta] = []
    async with backend_of(Finish("Par", "length"), dialect=dialect) as (backend, _):
        with pytest.raises(ReplyInvalid):
            await gather(backend, into=deltas)
    assert deltas[-1].tokens == TokenCount(8, 1)


@both
async def test_a_server_that_falls_silent_is_given_up(dialect: str) -> None:
    error = await failure(Stall("Par"), silence=0.1, dialect=dialect)
    assert isinstance(error, ModelUnavailable)
    assert "sent nothing for 0.1 seconds" in str(error)


async def test_a_port_that_nobody_serves_is_named() -> None:
    with ModelServer(lambda _: "") as server:
        url = server.url
    backend = OpenAIBackend("tiny", Settings(api_key=KEY), url)
    with pytest.raises(ModelUnavailable, match="start the server"):
        await gather(backend)
    await backend.aclose()


async def test_the_wait_that_a_server_asks_for_is_told() -> None:
    error = await failure(Status(429, error_body("Slow"), {"retry-after": "7"}))
    assert isinstance(error, ModelUnavailable)
    assert error.retry_after == 7.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert retry_after({"retry-after": date}) == pytest.approx(30, abs=2)
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0


@both
async def test_closing_the_stream_hangs_up(dialect: str) -> None:
    async with backend_of(Stall("Paris and"), dialect=dialect) as (backend, server):
        stream = backend.stream(QUESTION)
        assert await anext(stream)
        await stream.aclose()
        assert await asyncio.to_thread(server.wait_for_hang_up)


@both
async def test_cancelling_the_reader_hangs_up(dialect: str) -> None:
    async with backend_of(Stall("Paris and"), dialect=dialect) as (backend, server):
        began = asyncio.Event()

        async def read() -> None:
            async for _ in backend.stream(QUESTION):
                began.set()

        task = asyncio.create_task(read())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.wait_for_hang_up)


# --- keys


@both
async def test_the_openai_key_goes_to_no_other_host(
    monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-SECRET123")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"Authorization: Bearer {KEY}")
    SERVER.use(lambda _: "Ok", responses=lambda _: "Ok")
    backend = OpenAIBackend("tiny", Settings(), SERVER.url)
    backend.recall(Learned(responses=dialect == "responses"))
    await gather(backend)
    await backend.aclose()
    assert "SECRET" not in json.dumps(SERVER.requests[0].headers)


async def test_a_server_that_wants_a_key_is_told_from_one_that_refuses_it() -> None:
    SERVER.use(lambda _: Status(401, error_body("Unauthorized")))
    for settings, words in ((Settings(), "A key is wanted"), (Settings(api_key=KEY), "refused")):
        backend = OpenAIBackend("tiny", settings, SERVER.url)
        with pytest.raises(ModelRejected, match=f"{words}.*set SCHOLAR_API_KEY"):
            await gather(backend)
        await backend.aclose()


def test_openai_itself_wants_a_key() -> None:
    with pytest.raises(ModelRejected, match=r"No API key for gpt-5 at .* set OPENAI_API_KEY"):
        open_backend("openai:gpt-5", Settings())


async def test_openai_itself_gets_the_users_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    backend = OpenAIBackend("gpt-5", Settings())
    assert backend._client.api_key == KEY
    assert KEY not in repr(backend._where)
    await backend.aclose()


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("0123456789abcdef", "Wrong: 0123456789abcdef!", "Wrong: (key)!"),
        ("", "Wrong: sk-proj-****cdef, see docs", "Wrong: (key), see docs"),
        ("", "Authorization: Bearer abc.def", "Authorization: (key)"),
        ("ollama", "ollama is busy", "ollama is busy"),
    ],
)
def test_what_looks_like_a_key_is_hidden(key: str, text: str, expected: str) -> None:
    assert Where("tiny", "host", key, "X").hide(text) == expected


async def test_a_proxy_does_not_stand_before_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with backend_of("Ok") as (backend, _):
        assert text_of(await gather(backend)) == "Ok"


# --- model ids


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [
        ("openai:gpt-5", ("gpt-5", None)),
        (
            "openai:qwen2.5:7b@http://localhost:11434/v1",
            ("qwen2.5:7b", "http://localhost:11434/v1"),
        ),
        ("openai:meta-llama/Llama-3@https://x.org/v1", ("meta-llama/Llama-3", "https://x.org/v1")),
        ("openai:a@http@http://[::1]:80/v1", ("a@http", "http://[::1]:80/v1")),
        ("openai:a@b", ("a@b", None)),
        ("openai:claude-sonnet@20250514", ("claude-sonnet@20250514", None)),
    ],
)
def test_a_model_id_is_a_name_and_perhaps_a_url(
    model_id: str, expected: tuple[str, str | None]
) -> None:
    assert split_model_id(model_id) == expected


@pytest.mark.parametrize("model_id", ["gpt-5", "anthropic:x", "openai:", "", "openai:a@http://:1"])
def test_an_id_that_names_no_model_is_refused_with_an_example(model_id: str) -> None:
    with pytest.raises(SettingsError, match=r"openai:NAME|http://HOST"):
        split_model_id(model_id)


@pytest.mark.parametrize(
    "url", ["", "localhost:11434/v1", "localhost", "box:8000/v1", "10.0.0.2/v1", "ws://box/v1"]
)
def test_an_address_without_its_scheme_is_not_taken_for_a_name(url: str) -> None:
    with pytest.raises(SettingsError, match=f"'{url}' is no URL"):
        split_model_id(f"openai:qwen3:8b@{url}")


@pytest.mark.parametrize("model_id", ["openai:gpt-5", "openai:x@https://example.org/v1"])
def test_offline_lets_no_model_elsewhere_be_opened(model_id: str) -> None:
    with pytest.raises(SettingsError, match="offline is set"):
        open_backend(model_id, Settings(offline=True, api_key=KEY))


async def test_offline_lets_a_model_on_this_machine_be_opened() -> None:
    backend = open_backend("openai:x@http://127.0.0.1:1/v1", Settings(offline=True))
    assert backend.name == "x"
    await backend.aclose()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:1/v1", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8/v1", True),
        ("http://localhost.example.org/v1", False),
        ("http://192.168.0.3/v1", False),
        ("http://localhost@example.org/v1", False),
    ],
)
def test_loopback_is_told_from_elsewhere(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


def test_the_gateway_loads_without_the_openai_package() -> None:
    code = "import sys, scholar.backends.gateway; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- schemas


class Part(BaseModel):
    title: str = Field(description="What it is called.")
    kind: str | None = None


class Whole(BaseModel):
    parts: list[Part] = Field(max_length=3)
    first: Part = Field(description="The first.")
    default: int = 3


def test_a_strict_schema_requires_every_property_and_allows_no_other() -> None:
    schema = strict_schema(Whole)
    part = schema["$defs"]["Part"]
    assert schema["required"] == ["parts", "first", "default"]
    assert part["required"] == ["title", "kind"]
    assert schema["additionalProperties"] is part["additionalProperties"] is False
    assert schema["properties"]["first"] == {"$ref": "#/$defs/Part"}
    assert part["properties"]["title"] == {"type": "string", "description": "What it is called."}
    assert part["properties"]["kind"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert schema["properties"]["parts"] == {"type": "array", "items": {"$ref": "#/$defs/Part"}}


# --- the fake


async def test_the_fake_says_its_lines_in_turn_and_keeps_what_it_was_asked() -> None:
    backend = FakeBackend(["one two three", "four"], chunk=5)
    deltas = await gather(backend)
    assert [delta.text for delta in deltas] == ["one t", "wo th", "ree", ""]
    assert deltas[-1].tokens == TokenCount(8, 4)
    assert text_of(await gather(backend)) == "four"
    assert backend.requests == [QUESTION, QUESTION]
    with pytest.raises(ModelUnavailable, match="no reply left"):
        await gather(backend)


async def test_the_fake_raises_what_it_was_told_to_and_may_answer_by_function() -> None:
    backend = FakeBackend(lambda request: ModelRefused(request.messages[1].content))
    with pytest.raises(ModelRefused, match="What is the capital"):
        await gather(backend)


async def test_the_fake_chooses_what_it_was_told_to() -> None:
    backend = FakeBackend(["Lyon", "Rome"])
    assert await backend.classify(CHOICES) == {"Paris": -math.inf, "Lyon": 0.0}
    with pytest.raises(ReplyInvalid, match="none of the choices"):
        await backend.classify(CHOICES)
    with pytest.raises(ValueError, match="has choices"):
        await backend.classify(QUESTION)


async def test_the_fake_without_schemas_refuses_one() -> None:
    with pytest.raises(SchemaUnsupported):
        await gather(FakeBackend(["x"], json_schema=False), Request((), schema=SCHEMA))


def test_the_example_of_the_fake_runs() -> None:
    assert doctest.testmod(fake).attempted > 0
    assert doctest.testmod(fake).failed == 0
