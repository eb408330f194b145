"""A scripted OpenAI-compatible server on a free loopback port, for tests and benchmarks."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from served import Served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

TOKEN = 4
"""Characters per token."""


@dataclass(frozen=True)
class Fault:
    """Something other than a reply."""


@dataclass(frozen=True)
class Status(Fault):
    """An error status with a JSON body, or with `text` as it stands."""

    code: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None


@dataclass(frozen=True)
class Html(Fault):
    """A web page."""

    code: int = 200


@dataclass(frozen=True)
class Cut(Fault):
    """The connection drops after `chunks` chunks of `text`, and the finish reason if it has one."""

    text: str
    chunks: int
    finish: str | None = None


@dataclass(frozen=True)
class Unfinished(Fault):
    """All of `text` and [DONE], but no finish reason."""

    text: str


@dataclass(frozen=True)
class Stall(Fault):
    """`text`, and then nothing until the client hangs up."""

    text: str = ""


@dataclass(frozen=True)
class Finish(Fault):
    """`text`, ended for another reason than that it was complete."""

    text: str
    reason: str
    refusal: str | None = None


@dataclass(frozen=True)
class ErrorInStream(Fault):
    """`text`, and then an error object."""

    text: str
    error: Mapping[str, Any]


@dataclass(frozen=True)
class Raw(Fault):
    """These bytes as they stand, by default as an event stream."""

    body: bytes
    content_type: str = "text/event-stream"
    status: int = 200


@dataclass(frozen=True)
class Deltas(Fault):
    """A whole reply made of these delta objects of chat completions."""

    deltas: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Thinking(Fault):
    """`text` after `thoughts`, which are told as such and counted."""

    thoughts: str
    text: str


@dataclass(frozen=True)
class Unmetered(Fault):
    """All of `text`, and no word of its tokens."""

    text: str


@dataclass(frozen=True)
class Events(Fault):
    """These events as they stand."""

    events: tuple[Mapping[str, Any], ...]


Scripted = str | Fault
Script = Callable[[dict[str, Any]], Scripted]


def refuse_param(name: str) -> Status:
    """The answer of OpenAI's server to a parameter that a model does not take."""
    error = {
        "message": f"Unsupported parameter: '{name}' is not supported with this model.",
        "type": "invalid_request_error",
        "param": name,
        "code": "unsupported_parameter",
    }
    return Status(400, {"error": error})


@dataclass(frozen=True)
class Arrival:
    """A request as it came. `at` is time.monotonic()."""

    body: dict[str, Any]
    headers: dict[str, str]
    at: float
    path: str


class ModelServer(Served):
    """Replies as `script` says: a text, or a Fault.

    A text is streamed in chunks of one token; the first comes `first_token` seconds after the
    request, the others at `rate` per second (None: at once), by the clock, so that delays do not
    add up. `max_concurrent` is the most requests that were answered at a time, and `hung_up` counts
    those that the client left.

    Where there is a script for `responses`, the server speaks them too. It is shown the turns of a
    request as `messages`, as the other is; a server without it knows no such path.
    """

    path = "/v1"

    def __init__(
        self,
        script: Script,
        first_token: float = 0.0,
        rate: float | None = None,
        *,
        responses: Script | None = None,
    ) -> None:
        self._changed = threading.Condition()
        self._open = 0
        self.use(script, first_token, rate, responses=responses)

    def use(
        self,
        script: Script,
        first_token: float = 0.0,
        rate: float | None = None,
        *,
        responses: Script | None = None,
    ) -> None:
        """Go on with another script, as if nothing had been asked yet."""
        with self._changed:
            self.requests: list[Arrival] = []
            self.max_concurrent = self._open
            self._hung_up = 0
        self._script = script
        self._responses = responses
        self._first_token = first_token
        self._rate = rate

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/responses", self._respond, methods=["POST"]),
                Route("/v1/models", self._models),
            ]
        )

    def wait_for_hang_up(self, count: int = 1, timeout: float = 5.0) -> bool:
        """Whether the client has left `count` requests within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._hung_up >= count, timeout)

    def wait_for_requests(self, count: int, timeout: float = 20.0) -> bool:
        """Whether `count` requests have come within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.requests) >= count, timeout)

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        return self._answer(request, body, _Chat(body), self._script(body))

    async def _respond(self, request: Request) -> Response:
        if self._responses is None:
            return JSONResponse({"detail": "Not Found"}, 404)
        body = await request.json()
        said = self._responses({**body, "messages": body["input"]})
        return self._answer(request, body, _Responses(body), said)

    def _answer(
        self, request: Request, body: dict[str, Any], wire: _Wire, said: Scripted
    ) -> Response:
        came = time.monotonic()
        with self._changed:
            self.requests.append(Arrival(body, dict(request.headers), came, request.url.path))
            self._changed.notify_all()
        match said:
            case Status(code, content, headers, text) if text is None:
                return JSONResponse(content, code, dict(headers))
            case Status(code, _, headers, text):
                return Response(text, code, dict(headers))
            case Html(code):
                return HTMLResponse("<!doctype html><title>Welcome</title>", code)
            case Raw(content, kind, status):
                return Response(content, status, media_type=kind)
        return _Tracked(self, self._events(wire, said, came), media_type="text/event-stream")

    async def _events(self, wire: _Wire, said: Scripted, came: float) -> AsyncIterator[bytes]:
        with self._at_work():
            pieces = _pieces(said if isinstance(said, str) else getattr(said, "text", ""))
            await self._until(came, 0)
            for event in _before(wire, said):
                yield _data(event)
            if isinstance(said, Cut):
                pieces = pieces[: said.chunks]
            for index, piece in enumerate(pieces):
                await self._until(came, index)
                yield _data(wire.delta({"content": piece}))
            if isinstance(said, Cut) and said.finish:
                yield _data(wire.ending(said.finish))
            ending = await self._ending(wire, said, len(pieces))
        # Who has read the end may ask again before this goes on.
        for last in ending:
            yield last

    async def _until(self, came: float, index: int) -> None:
        due = came + self._first_token + (index / self._rate if self._rate else 0.0)
        if (left := due - time.monotonic()) > 0:
            await asyncio.sleep(left)

    async def _ending(self, wire: _Wire, said: Scripted, count: int) -> Iterator[bytes]:
        match said:
            case Stall():
                await asyncio.Event().wait()
            case Cut():
                raise _HangUp
            case ErrorInStream(_, error):
                return iter([_data(wire.error(error))])
            case Unfinished() | Events():
                return iter([b"data: [DONE]\n\n"])
            case Finish(_, reason, refusal):
                return wire.closing(reason, Spent(count), refusal)
            case Thinking(thoughts, _):
                thought = len(_pieces(thoughts))
                return wire.closing("stop", Spent(count + thought, thought))
            case Unmetered():
                return wire.closing("stop", None)
        return wire.closing("stop", Spent(count))

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._changed:
            self._open += 1
            self.max_concurrent = max(self.max_concurrent, self._open)
        try:
            yield
        finally:
            with self._changed:
                self._open -= 1

    def _hangs_up(self) -> None:
        with self._changed:
            self._hung_up += 1
            self._changed.notify_all()


class _HangUp(Exception):
    """Ends a response in mid-stream."""


class _Tracked(StreamingResponse):
    """A stream that tells the server where it is left by the client."""

    def __init__(self, server: ModelServer, events: AsyncIterator[bytes], media_type: str) -> None:
        super().__init__(events, media_type=media_type)
        self._server = server
        self._whole = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._run(receive, send)
        finally:
            if not self._whole:
                self._server._hangs_up()

    async def _run(self, receive: Receive, send: Send) -> None:
        streaming = asyncio.ensure_future(self._stream(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({streaming, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (streaming, leaving):
                task.cancel()
            await asyncio.gather(streaming, leaving, return_exceptions=True)

    async def _stream(self, send: Send) -> None:
        # Returning with the body unfinished makes the server drop the connection.
        with suppress(_HangUp):
            await self.stream_response(send)
        self._whole = True


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass(frozen=True)
class Spent:
    """Tokens of a reply, and those of them that were thoughts."""

    written: int
    thought: int = 0


class _Wire(Protocol):
    """How events look in one dialect."""

    def opening(self) -> Iterable[dict[str, Any]]: ...

    def delta(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """A piece of the reply, given as chat completions have it."""
        ...

    def error(self, error: Mapping[str, Any]) -> dict[str, Any]: ...

    def ending(self, reason: str, usage: Any = None) -> dict[str, Any]:
        """The event without which a reply is not whole."""
        ...

    def closing(
        self, reason: str, spent: Spent | None, refusal: str | None = None
    ) -> Iterator[bytes]:
        """Everything from the last piece on, as it is sent."""
        ...


class _Chat:
    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def opening(self) -> Iterable[dict[str, Any]]:
        return ()

    def delta(self, delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        return self._chunk([{"index": 0, "delta": dict(delta), "finish_reason": reason}])

    def error(self, error: Mapping[str, Any]) -> dict[str, Any]:
        return {"error": dict(error)}

    def ending(self, reason: str, usage: Any = None) -> dict[str, Any]:
        return self.delta({}, reason)

    def closing(
        self, reason: str, spent: Spent | None, refusal: str | None = None
    ) -> Iterator[bytes]:
        yield _data(self.delta({"refusal": refusal} if refusal else {}, reason))
        if spent and (self._body.get("stream_options") or {}).get("include_usage"):
            yield _data(self._chunk([], self._usage(spent)))
        yield b"data: [DONE]\n\n"

    def _usage(self, spent: Spent) -> dict[str, Any]:
        prompt = _tokens_of(self._body["messages"])
        usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": spent.written}
        if spent.thought:
            usage["completion_tokens_details"] = {"reasoning_tokens": spent.thought}
        return {**usage, "total_tokens": prompt + spent.written}

    def _chunk(
        self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return {
            "id": "chatcmpl-scripted",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._body["model"],
            "choices": choices,
            "usage": usage,
        }


class _Responses:
    """The events of responses, numbered, with the item and the part that the text stands in."""

    _REASONS: ClassVar = {"length": "max_output_tokens"}

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body
        self._number = -1
        self._text = ""

    def opening(self) -> Iterable[dict[str, Any]]:
        item = {**_MESSAGE, "status": "in_progress", "content": []}
        yield self._event("response.created", response=self._response("in_progress"))
        yield self._event("response.in_progress", response=self._response("in_progress"))
        yield self._event("response.output_item.added", output_index=0, item=item)
        yield self._event("response.content_part.added", **_PLACE, part=_part(""))

    def delta(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought:
            return self._event("response.reasoning_text.delta", **_PLACE, delta=thought)
        piece = delta.get("content") or ""
        self._text += piece
        return self._event("response.output_text.delta", **_PLACE, delta=piece, logprobs=[])

    def error(self, error: Mapping[str, Any]) -> dict[str, Any]:
        return self._event("error", error=dict(error))

    def ending(self, reason: str, usage: Any = None, refusal: str | None = None) -> dict[str, Any]:
        part = {"type": "refusal", "refusal": refusal} if refusal else _part(self._text)
        status = "completed" if reason in ("stop", "tool_calls") else "incomplete"
        item = {**_MESSAGE, "status": status, "content": [part]}
        if reason == "tool_calls":
            item = {"type": "function_call", "id": "fc_1", "name": "search", "arguments": "{}"}
        response = self._response(status, output=[item], usage=usage)
        if status == "incomplete":
            response["incomplete_details"] = {"reason": self._REASONS.get(reason, reason)}
        return self._event(f"response.{status}", response=response)

    def closing(
        self, reason: str, spent: Spent | None, refusal: str | None = None
    ) -> Iterator[bytes]:
        if refusal:
            yield _data(self._event("response.refusal.delta", **_PLACE, delta=refusal))
        else:
            yield _data(self._event("response.output_text.done", **_PLACE, text=self._text))
        yield _data(self.ending(reason, spent and self._usage(spent), refusal))

    def _usage(self, spent: Spent) -> dict[str, Any]:
        prompt = _tokens_of(self._body["input"])
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": spent.written,
            "output_tokens_details": {"reasoning_tokens": spent.thought},
            "total_tokens": prompt + spent.written,
        }

    def _response(self, status: str, **fields: Any) -> dict[str, Any]:
        return {
            "id": "resp_scripted",
            "object": "response",
            "created_at": 0,
            "status": status,
            "model": self._body["model"],
            "error": None,
            "incomplete_details": None,
            "output": [],
            "usage": None,
            **fields,
        }

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._number += 1
        return {"type": kind, "sequence_number": self._number, **fields}


def _before(wire: _Wire, said: Scripted) -> Iterator[Mapping[str, Any]]:
    """What comes before the text, thoughts among it."""
    match said:
        case Stall("") | Cut(_, 0):
            return
        case Events(events):
            yield from events
            return
    yield from wire.opening()
    match said:
        case Deltas(deltas):
            yield from map(wire.delta, deltas)
        case Thinking(thoughts, _):
            yield from (wire.delta({"reasoning_content": piece}) for piece in _pieces(thoughts))


_MESSAGE = {"id": "msg_scripted", "type": "message", "role": "assistant"}
_PLACE: dict[str, Any] = {"item_id": "msg_scripted", "output_index": 0, "content_index": 0}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _pieces(text: str) -> list[str]:
    return [text[i : i + TOKEN] for i in range(0, len(text), TOKEN)]


def _tokens_of(turns: list[dict[str, Any]]) -> int:
    return -(-sum(len(turn["content"]) for turn in turns) // TOKEN)


def _data(value: Mapping[str, Any]) -> bytes:
    """An event as it is sent; its kind, where it has one, is also its name."""
    name = f"event: {value['type']}\n" if "type" in value else ""
    return f"{name}data: {json.dumps(value)}\n\n".encode()
