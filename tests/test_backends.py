"""Backends against servers on loopback: whole replies come through, all else is a typed error."""

from __future__ import annotations

import asyncio
import doctest
import email.utils
import json
import math
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from model_server import (
    Cut,
    Deltas,
    ErrorInStream,
    Finish,
    Html,
    ModelServer,
    Raw,
    Script,
    Scripted,
    Stall,
    Status,
    Unfinished,
    refuse_param,
)
from pydantic import BaseModel, Field

from scholar.backends import (
    Delta,
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


@asynccontextmanager
async def backend_of(
    said: Scripted | Script, *, name: str = "tiny", silence: float = 5.0
) -> AsyncIterator[tuple[OpenAIBackend, ModelServer]]:
    """An OpenAIBackend before the server, which says `said` to every request."""
    SERVER.use(said if callable(said) else lambda _: said)
    backend = OpenAIBackend(name, Settings(api_key=KEY, silence=silence), SERVER.url)
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


async def test_a_reply_comes_in_pieces_and_ends_with_the_servers_token_count() -> None:
    async with backend_of("The capital is Paris.") as (backend, server):
        deltas = await gather(backend)
    assert text_of(deltas) == "The capital is Paris."
    assert len(deltas) > 3
    assert deltas[-1].tokens == TokenCount(input=8, output=6)
    assert all(delta.tokens is None for delta in deltas[:-1])
    body = server.requests[0].body
    assert body["messages"][1] == {"role": "user", "content": "What is the capital?"}
    assert (body["temperature"], body["max_tokens"], body["stream"]) == (0.0, 8_000, True)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


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


def exchanges(streamed: bool) -> list[Any]:
    turns = []
    for file in sorted(EXCHANGES.glob("*.yaml")):
        for turn in yaml.safe_load(file.read_text("utf-8"))["interactions"]:
            kind = turn["response"]["headers"].get("content-type", [""])[0]
            asked_chat = turn["request"]["uri"].endswith("/chat/completions")
            if asked_chat and kind.startswith("text/event-stream") is streamed:
                turns.append(pytest.param(turn, id=file.stem.split("__")[-1]))
    return turns


need_exchanges = pytest.mark.skipif(not EXCHANGES.is_dir(), reason="no recorded exchanges here")


@need_exchanges
@pytest.mark.parametrize("turn", exchanges(streamed=True))
async def test_a_recorded_stream_of_openai_is_read_as_it_was_meant(turn: Any) -> None:
    body = turn["response"]["body"]["string"]
    chunks = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    usage = next(chunk["usage"] for chunk in chunks if chunk["usage"])
    expected = "".join(choice["delta"].get("content") or "" for choice in choices)
    async with backend_of(Raw(body.encode())) as (backend, _):
        if any(choice["finish_reason"] == "tool_calls" for choice in choices):
            with pytest.raises(ReplyInvalid, match="tool"):
                await gather(backend)
            return
        deltas = await gather(backend)
    assert text_of(deltas) == expected != ""
    assert deltas[-1].tokens == TokenCount(usage["prompt_tokens"], usage["completion_tokens"])


@need_exchanges
@pytest.mark.parametrize("turn", exchanges(streamed=False))
async def test_a_recorded_answer_that_is_no_stream_is_an_error_with_its_reason(turn: Any) -> None:
    status = turn["response"]["status"]["code"]
    parsed = turn["response"]["parsed_body"]
    said = Status(status, parsed) if status >= 400 else Raw(json.dumps(parsed).encode(), JSON)
    error = await failure(said)
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
async def test_thoughts_before_a_reply_are_left_out(
    contents: tuple[str, ...], expected: str
) -> None:
    async with backend_of(Deltas(tuple({"content": c} for c in contents))) as (backend, _):
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


async def test_a_reply_is_whole_though_the_line_drops_after_its_end() -> None:
    async with backend_of(Cut("Ok", 1, finish="stop")) as (backend, _):
        deltas = await gather(backend)
    assert text_of(deltas) == "Ok"
    assert deltas[-1].tokens is None


async def test_half_characters_in_a_prompt_do_not_stop_it() -> None:
    request = Request((Message("user", "broken \ud835 letter"),))
    async with backend_of("Ok") as (backend, server):
        await gather(backend, request)
    assert server.requests[0].body["messages"][0]["content"] == "broken ? letter"


# --- choices and stops

CHOICES = Request(QUESTION.messages, choices=("Paris", "Lyon"))


async def test_stops_are_sent_where_there_are_some() -> None:
    async with backend_of("Paris") as (backend, server):
        await gather(backend, Request(QUESTION.messages, stop=("END", "\n")))
        await gather(backend)
    assert [request.body.get("stop") for request in server.requests] == [["END", "\n"], None]


async def test_a_choice_is_asked_for_by_schema_and_is_all_of_the_reply() -> None:
    async with backend_of('{"choice": "Lyon"}') as (backend, server):
        deltas = await gather(backend, CHOICES)
        assert await backend.classify(CHOICES) == {"Paris": -math.inf, "Lyon": 0.0}
        assert not backend.capabilities.logprobs
    assert text_of(deltas) == "Lyon"
    assert [delta.tokens for delta in deltas if delta.tokens] == [TokenCount(8, 5)]
    sent = server.requests[0].body["response_format"]["json_schema"]["schema"]
    assert sent["properties"]["choice"]["enum"] == ["Paris", "Lyon"]


@pytest.mark.parametrize("said", ['{"choice": "Rome"}', "Lyon", "[]"])
async def test_what_was_not_to_choose_from_is_no_reply(said: str) -> None:
    deltas: list[Delta] = []
    async with backend_of(said) as (backend, _):
        with pytest.raises(ReplyInvalid, match="none of the choices"):
            await gather(backend, CHOICES, into=deltas)
    assert text_of(deltas) == ""
    assert deltas[-1].tokens is not None


async def test_choices_end_where_schemas_are_refused() -> None:
    async with backend_of(refuse_param("response_format")) as (backend, _):
        with pytest.raises(SchemaUnsupported):
            await backend.classify(CHOICES)
        assert not backend.capabilities.choices


# --- parameters that a server will not take


@pytest.mark.parametrize("name", ["temperature", "seed", "stream_options"])
async def test_a_refused_parameter_is_left_out_now_and_from_then_on(name: str) -> None:
    def script(body: dict[str, Any]) -> Scripted:
        return refuse_param(name) if name in body else "Paris"

    request = Request(QUESTION.messages, seed=1)
    async with backend_of(script) as (backend, server):
        assert text_of(await gather(backend, request)) == "Paris"
        assert text_of(await gather(backend, request)) == "Paris"
    assert [name in request.body for request in server.requests] == [True, False, False]


async def test_max_completion_tokens_stands_in_for_max_tokens() -> None:
    def script(body: dict[str, Any]) -> Scripted:
        return refuse_param("max_tokens") if "max_tokens" in body else "Paris"

    async with backend_of(script) as (backend, server):
        await gather(backend)
    assert server.requests[1].body["max_completion_tokens"] == 8_000


async def test_all_optional_parameters_can_be_refused_one_after_the_other() -> None:
    def script(body: dict[str, Any]) -> Scripted:
        extra = sorted(body.keys() - {"model", "messages", "stream"})
        detail = [
            {"loc": ["body", name], "msg": "Extra inputs", "input": body} for name in extra[:1]
        ]
        return Status(422, {"detail": detail}) if extra else "Paris"

    async with backend_of(script) as (backend, server):
        assert text_of(await gather(backend)) == "Paris"
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    "complaint",
    [
        refuse_param("response_format"),
        Status(400, error_body("Invalid parameter: 'response_format' of type 'json_schema' ...")),
        Status(422, {"detail": [{"loc": ["body", "response_format", "type"], "msg": "bad"}]}),
        Status(501, error_body("structured output is not implemented")),
    ],
)
async def test_a_refused_schema_is_signalled_and_remembered(complaint: Status) -> None:
    request = Request(QUESTION.messages, schema=SCHEMA)
    async with backend_of(complaint) as (backend, server):
        assert backend.capabilities.json_schema
        for _ in range(2):
            with pytest.raises(SchemaUnsupported):
                await gather(backend, request)
        assert not backend.capabilities.json_schema
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


@pytest.mark.parametrize(("said", "kind", "words"), FAULTS, ids=lambda v: str(v)[:60])
async def test_a_fault_is_an_error_of_its_kind_that_says_what_to_do(
    said: Scripted, kind: type[ModelError], words: str
) -> None:
    error = await failure(said)
    assert type(error) is kind
    assert words in str(error)


async def test_half_an_answer_is_handed_on_but_never_ends_as_a_whole_one() -> None:
    deltas: list[Delta] = []
    async with backend_of(Cut("Half of an answer, and then", 3)) as (backend, _):
        with pytest.raises(ModelUnavailable):
            await gather(backend, into=deltas)
    assert text_of(deltas) == "Half of an a"


async def test_a_cut_off_reply_still_reports_its_tokens() -> None:
    deltas: list[Delta] = []
    async with backend_of(Finish("Par", "length")) as (backend, _):
        with pytest.raises(ReplyInvalid):
            await gather(backend, into=deltas)
    assert deltas[-1].tokens == TokenCount(8, 1)


async def test_a_server_that_falls_silent_is_given_up() -> None:
    error = await failure(Stall("Par"), silence=0.1)
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


async def test_closing_the_stream_hangs_up() -> None:
    async with backend_of(Stall("Paris and")) as (backend, server):
        stream = backend.stream(QUESTION)
        assert await anext(stream)
        await stream.aclose()
        assert await asyncio.to_thread(server.wait_for_hang_up)


async def test_cancelling_the_reader_hangs_up() -> None:
    async with backend_of(Stall("Paris and")) as (backend, server):
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


async def test_the_openai_key_goes_to_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-SECRET123")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"Authorization: Bearer {KEY}")
    SERVER.use(lambda _: "Ok")
    backend = OpenAIBackend("tiny", Settings(), SERVER.url)
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
