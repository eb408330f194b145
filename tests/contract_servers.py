"""Servers for the contract of backends: scripted ones, recorded ones, and others' own programs."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from model_server import TOKEN, Finish, Scripted, Stall

from scholar.backends import Learned
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.probe import probe
from scholar.settings import Settings
from scholar.testing import CUT, LONG, plainest

EXCHANGES = Path(__file__).parents[2] / "shared" / "data" / "llm_exchanges" / "openai"
LITELLM = os.environ.get("LITELLM_FOR_TESTS", "")
"""The `litellm` of an environment of its own: it wants another openai than we do."""
TEXT = "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen. " * 2
STARTING = 180.0
"""Seconds in which a server has to answer: on two busy cores, torch alone takes twenty to load."""


def said(schema: Any, stops: Sequence[str], max_tokens: int) -> tuple[str, bool]:
    """What a model that does as it is asked says, and whether that is all of it."""
    text = json.dumps(plainest(schema)) if schema else TEXT
    text = text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)]
    most = max_tokens * TOKEN
    return text[:most], len(text) <= most


def obey(body: dict[str, Any]) -> Scripted:
    """The same, of a request to chat completions or responses."""
    chat = (body.get("response_format") or {}).get("json_schema")
    form = chat or body.get("text", {}).get("format")
    most = body.get("max_tokens") or body.get("max_completion_tokens") or body["max_output_tokens"]
    if most > 4 * CUT and LONG[0].content in json.dumps(body["messages"]):
        return Stall(TEXT)  # so that it can be left, and that shows
    text, whole = said(form["schema"] if form else None, body.get("stop") or (), most)
    return text if whole else Finish(text, "length")


def learned(model_id: str, home: Path, key: str) -> Learned:
    """What `scholar models check` finds out about a server, in a home of its own."""
    # A small window, so that a model of random weights does not go on for long.
    settings = Settings(home=home, api_key=key, context_window=2_048)

    async def check() -> Learned:
        gateway = Gateway(settings)
        try:
            await probe(gateway, model_id, model_id, Ledger(settings.budget, settings.price_of))
            return gateway.facts(model_id).learned
        finally:
            await gateway.aclose()

    return asyncio.run(check())


@functools.cache
def recorded(path: str) -> bytes:
    """The longest reply in text that OpenAI was recorded to stream at `path`."""
    if not EXCHANGES.is_dir():
        pytest.skip("the recorded exchanges are not here")
    streams = [
        turn["response"]["body"]["string"]
        for file in sorted(EXCHANGES.glob("*.yaml"))
        for turn in yaml.safe_load(file.read_text("utf-8"))["interactions"]
        if turn["request"]["uri"].endswith(path)
        and turn["response"]["headers"].get("content-type", [""])[0].startswith("text/event-stream")
    ]
    longest: str = max(streams, key=lambda body: len(_text(body)))
    return longest.encode()


def run_example(at: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Install the example's package into the folder `at`, as pip does, and run its own tests."""
    example = Path(__file__).parents[1] / "examples" / "ollama"
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation")
    install = ("pip", "install", *quiet, "--target", at / "site", example)
    tests = ("pytest", "-q", "-p", "no:cacheprovider", *options, example)
    for command in (install, tests):
        done = subprocess.run(
            [sys.executable, "-m", *map(str, command)],
            cwd=at,
            env={**os.environ, "PYTHONPATH": str(at / "site"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            break
    return done


def _text(body: str) -> str:
    lines = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    text = ""
    for event in lines:
        for choice in event.get("choices", ()):
            text += choice["delta"].get("content") or ""
        if event.get("type") == "response.output_text.delta":
            text += event["delta"]
    return text


@contextmanager
def transformers_serve(model: Path, at: Path) -> Iterator[str]:
    """The URL of transformers' own server with one model."""
    port = _free_port()
    program = Path(sys.executable).with_name("transformers")
    options = ("--device", "cpu", "--host", "127.0.0.1", "--port", str(port))
    with _running((program, "serve", model, *options), at, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def litellm(upstream: str, key: str, at: Path) -> Iterator[str]:
    """The URL of LiteLLM's proxy: `mock` says TEXT, and `tiny` is passed on to `upstream`."""
    if not LITELLM:
        pytest.skip("LITELLM_FOR_TESTS names no litellm")
    models = {
        "mock": {"model": "openai/mock", "api_key": "none", "mock_response": TEXT},
        "tiny": {"model": "openai/tiny", "api_key": "none", "api_base": upstream},
    }
    config = {
        "model_list": [
            {"model_name": name, "litellm_params": params} for name, params in models.items()
        ],
        "general_settings": {"master_key": key},
    }
    at.mkdir(parents=True, exist_ok=True)
    (at / "config.yaml").write_text(yaml.safe_dump(config))
    port = _free_port()
    options = ("--config", at / "config.yaml", "--host", "127.0.0.1", "--port", str(port))
    with _running((LITELLM, *options), at, f"http://127.0.0.1:{port}/health/liveliness"):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def _running(command: Sequence[str | Path], at: Path, health: str) -> Iterator[None]:
    """A program that serves, from when it is well until the block ends; it may not go online."""
    at.mkdir(parents=True, exist_ok=True)
    environment: Mapping[str, str] = {
        "PATH": f"{Path(command[0]).parent}:{os.defpath}",
        "HOME": str(at),
        "HF_HUB_OFFLINE": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",  # no .env file is read
        "OMP_NUM_THREADS": "1",
        "NO_PROXY": "127.0.0.1",
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    log = at / "server.log"
    with log.open("wb") as out:
        arguments = list(map(str, command))
        process = subprocess.Popen(arguments, stdout=out, stderr=out, cwd=at, env=environment)
        try:
            _wait_for(health, process, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(health: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTING
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            pass
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"{process.args!r} did not start:\n{log.read_text('utf-8')[-2_000:]}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
