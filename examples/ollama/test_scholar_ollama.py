"""The backend keeps scholar's contract before a server that answers as Ollama does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from scholar_ollama import OllamaBackend

from scholar.backends import Backend, Message, Request, SchemaUnsupported, open_backend
from scholar.errors import ModelError, ModelUnavailable, SettingsError
from scholar.settings import Settings
from scholar.testing import BackendContract, plainest

WORDS = [f"{tens}-{ones}, " for tens in ("twenty", "thirty", "forty") for ones in range(1, 10)]
PACE = 0.001
"""Seconds between the pieces of a reply, so that one can be left in its middle."""


class Ollama(ThreadingHTTPServer):
    """A server with one model, `tiny`. Besides its replies, it says what it is told to in `says`.

    `asked` has the requests; `left` counts those that nobody read to their end.
    """

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Chat)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[dict[str, Any]] = []
        self.says: tuple[int, list[dict[str, Any]]] | None = None
        self.left = threading.Semaphore(0)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    def __enter__(self) -> Ollama:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Chat(BaseHTTPRequestHandler):
    server: Ollama

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        status, lines = self.server.says or _answer(body, self.headers.get("authorization", ""))
        self.send_response(status)
        self.send_header("content-type", "application/x-ndjson")
        self.end_headers()
        try:
            for line in lines:
                self.wfile.write(json.dumps(line).encode() + b"\n")
                threading.Event().wait(PACE)
        except ConnectionError:
            self.server.left.release()

    def log_message(self, *_: object) -> None:
        pass


def _answer(body: dict[str, Any], key: str) -> tuple[int, list[dict[str, Any]]]:
    options = body["options"]
    sent = sum(len(message["content"].split()) for message in body["messages"])
    if body["model"] != "tiny":
        return 404, [{"error": f"model '{body['model']}' not found for {key}"}]
    if sent >= options["num_ctx"] and body["truncate"] is False:
        return 400, [{"error": "the input length exceeds the context length"}]
    whole = json.dumps(plainest(body["format"])) if "format" in body else "".join(WORDS)
    ends = [at for stop in options.get("stop", ()) if (at := whole.find(stop)) >= 0]
    whole = whole[: min(ends, default=None)]
    pieces = [whole[at : at + 8] for at in range(0, len(whole), 8)]
    said = pieces[: options["num_predict"]]
    end = {
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop" if said == pieces else "length",
        "prompt_eval_count": sent,
        "eval_count": len(said),
    }
    return 200, [_part("", thinking="Hm. "), *map(_part, said), end]


def _part(content: str, **more: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **more}, "done": False}


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama() as server:
        yield server


class TestOllama(BackendContract):
    """All that scholar wants of a backend, opened as scholar opens it."""

    @pytest.fixture(autouse=True)
    def _served(self, server: Ollama) -> None:
        self._server = server

    async def backend(self) -> Backend:
        return self._open("tiny", self._server.url)

    async def broken(self) -> Sequence[Backend]:
        nobody = "http://127.0.0.1:1"
        return self._open("tiny", nobody), self._open("other", self._server.url)

    def left(self) -> bool:
        return self._server.left.acquire(timeout=5)

    def _open(self, name: str, url: str) -> Backend:
        settings = Settings(api_key=self.key, context_window=4_096)
        return open_backend(f"ollama:{name}@{url}", settings)


def hear(server: Ollama, **request: Any) -> str:
    """The reply of `tiny` to a question."""

    async def ask() -> str:
        backend = OllamaBackend("tiny", Settings(), server.url)
        try:
            asked = Request((Message("user", "How?"),), **request)
            return "".join([delta.text async for delta in backend.stream(asked)])
        finally:
            await backend.aclose()

    return asyncio.run(ask())


def test_what_is_asked_is_put_as_ollama_wants_it(server: Ollama) -> None:
    hear(server, temperature=0.5, seed=3, max_tokens=99, stop=("END",), schema={"type": "null"})
    [asked] = server.asked
    assert asked["options"] == {
        "temperature": 0.5,
        "seed": 3,
        "num_predict": 99,
        "num_ctx": Settings().context_window,
        "stop": ["END"],
    }
    assert asked["format"] == {"type": "null"}
    assert asked["truncate"] is asked["shift"] is False


def test_thoughts_are_left_out(server: Ollama) -> None:
    assert "Hm" not in hear(server)


@pytest.mark.parametrize(
    ("status", "lines", "error", "words"),
    [
        (200, [_part("One"), {"error": "out of memory"}], ModelUnavailable, "out of memory"),
        (200, [_part("One")], ModelUnavailable, "broke off"),
        (200, [], ModelUnavailable, "broke off"),
        (200, [{"done": True}], ModelUnavailable, "broke off"),
        (503, [{"error": "busy"}], ModelUnavailable, "busy"),
        (400, [{"error": "invalid JSON schema in format"}], SchemaUnsupported, "schema"),
        (401, [{"error": "unauthorized"}], ModelError, "SCHOLAR_API_KEY"),
    ],
)
def test_every_failure_has_its_error(
    server: Ollama, status: int, lines: list[Any], error: type[ModelError], words: str
) -> None:
    server.says = status, lines
    with pytest.raises(error, match=words):
        hear(server)


def test_a_schema_that_was_refused_is_not_tried_again(server: Ollama) -> None:
    server.says = 400, [{"error": "invalid JSON schema in format"}]

    async def ask_twice() -> None:
        backend = OllamaBackend("tiny", Settings(), server.url)
        for _ in range(2):
            with pytest.raises(SchemaUnsupported):
                await anext(backend.stream(Request((Message("user", "How?"),), {"type": "null"})))
        assert not backend.capabilities.json_schema
        await backend.aclose()

    asyncio.run(ask_twice())
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "model_id", ["ollama:tiny@http://box:11434", "ollama:gpt-oss:120b-cloud", "ollama:glm:cloud"]
)
def test_offline_opens_no_model_that_is_elsewhere(model_id: str) -> None:
    with pytest.raises(SettingsError, match="offline"):
        open_backend(model_id, Settings(offline=True))


def test_offline_opens_a_model_that_is_here() -> None:
    backend = open_backend("ollama:qwen3:8b", Settings(offline=True))
    assert isinstance(backend, OllamaBackend)
    assert backend.name == "qwen3:8b"
    asyncio.run(backend.aclose())
