"""A scripted OpenAI-compatible server on a free loopback port, for tests and benchmarks."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
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
    """A whole reply made of these delta objects."""

    deltas: tuple[Mapping[str, Any], ...]


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


class ModelServer:
    """Replies as `script` says: a text, or a Fault.

    A text is streamed in chunks of one token; the first comes `first_token` seconds after the
    request, the others at `rate` per second (None: at once), by the clock, so that delays do not
    add up. `max_concurrent` is the most requests that were open at a time, and `hung_up` counts
    those that the client left.
    """

    def __init__(self, script: Script, first_token: float = 0.0, rate: float | None = None) -> None:
        self._changed = threading.Condition()
        self._open = 0
        self.use(script, first_token, rate)

    def use(self, script: Script, first_token: float = 0.0, rate: float | None = None) -> None:
        """Go on with another script, as if nothing had been asked yet."""
        with self._changed:
            self.requests: list[Arrival] = []
            self.max_concurrent = self._open
            self._hung_up = 0
        self._script = script
        self._first_token = first_token
        self._rate = rate

    def __enter__(self) -> ModelServer:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        config = uvicorn.Config(
            self._app(),
            log_level="critical",
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def wait_for_hang_up(self, count: int = 1, timeout: float = 5.0) -> bool:
        """Whether the client has left `count` requests within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._hung_up >= count, timeout)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._models),
            ]
        )

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    async def _complete(self, request: Request) -> Response:
        came = time.monotonic()
        body = await request.json()
        self.requests.append(Arrival(body, dict(request.headers), came))
        said = self._script(body)
        match said:
            case Status(code, content, headers, text) if text is None:
                return JSONResponse(content, code, dict(headers))
            case Status(code, _, headers, text):
                return Response(text, code, dict(headers))
            case Html(code):
                return HTMLResponse("<!doctype html><title>Welcome</title>", code)
            case Raw(content, kind, status):
                return Response(content, status, media_type=kind)
        return _Tracked(self, self._events(body, said, came), media_type="text/event-stream")

    async def _events(
        self, body: dict[str, Any], said: Scripted, came: float
    ) -> AsyncIterator[bytes]:
        text = said if isinstance(said, str) else getattr(said, "text", "")
        pieces = [text[i : i + TOKEN] for i in range(0, len(text), TOKEN)]
        if isinstance(said, Deltas):
            for delta in said.deltas:
                yield _event(body, dict(delta))
        elif isinstance(said, Cut):
            pieces = pieces[: said.chunks]
        for index, piece in enumerate(pieces):
            await self._until(came, index)
            yield _event(body, {"content": piece})
        if isinstance(said, Cut) and said.finish:
            yield _event(body, {}, said.finish)
        await self._until(came, len(pieces) - 1)
        for event in await self._ending(body, said, len(pieces)):
            yield event

    async def _until(self, came: float, index: int) -> None:
        due = came + self._first_token + (index / self._rate if self._rate else 0.0)
        if (left := due - time.monotonic()) > 0:
            await asyncio.sleep(left)

    async def _ending(self, body: dict[str, Any], said: Scripted, count: int) -> Iterator[bytes]:
        match said:
            case Stall():
                await asyncio.Event().wait()
            case Cut():
                raise _HangUp
            case ErrorInStream(_, error):
                return iter([_data({"error": dict(error)})])
            case Unfinished():
                return iter([b"data: [DONE]\n\n"])
            case Finish(_, reason, refusal):
                delta = {"refusal": refusal} if refusal else {}
                return _closing(body, delta, reason, count)
        return _closing(body, {}, "stop", count)

    def _count(self, opened: int, hung_up: bool = False) -> None:
        with self._changed:
            self._open += opened
            self._hung_up += hung_up
            self.max_concurrent = max(self.max_concurrent, self._open)
            self._changed.notify_all()


class _HangUp(Exception):
    """Ends a response in mid-stream."""


class _Tracked(StreamingResponse):
    """A stream that tells the server when it opens, ends, or is left by the client."""

    def __init__(self, server: ModelServer, events: AsyncIterator[bytes], media_type: str) -> None:
        super().__init__(events, media_type=media_type)
        self._server = server
        self._whole = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._server._count(+1)
        try:
            await self._run(receive, send)
        finally:
            self._server._count(-1, hung_up=not self._whole)

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


def _closing(
    body: dict[str, Any], delta: dict[str, Any], reason: str, count: int
) -> Iterator[bytes]:
    yield _event(body, delta, reason)
    if (body.get("stream_options") or {}).get("include_usage"):
        sent = sum(len(message["content"]) for message in body["messages"])
        usage = {"prompt_tokens": -(-sent // TOKEN), "completion_tokens": count}
        usage["total_tokens"] = sum(usage.values())
        yield _data(_chunk(body, [], usage))
    yield b"data: [DONE]\n\n"


def _event(body: dict[str, Any], delta: dict[str, Any], reason: str | None = None) -> bytes:
    return _data(_chunk(body, [{"index": 0, "delta": delta, "finish_reason": reason}]))


def _chunk(
    body: dict[str, Any], choices: list[dict[str, Any]], usage: dict[str, int] | None = None
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": body["model"],
        "choices": choices,
        "usage": usage,
    }


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
