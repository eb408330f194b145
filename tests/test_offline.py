"""`offline = true`: nothing leaves this machine, whatever is asked and however it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import NOTES, ROOT
from minds import for_server, honest
from model_server import ModelServer

WATCHED = """
import ipaddress, json, sys

seen, left = [], []

def local(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "")

def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple) and local(address[0]):
            seen.append(event)
        elif isinstance(address, tuple):
            left.append([event, *map(str, address)])
            raise ConnectionRefusedError("seen, and held back")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and arguments[0]:
        if not local(arguments[0]):
            left.append([event, str(arguments[0])])
            raise ConnectionRefusedError("seen, and held back")

sys.addaudithook(watch)
from typer.testing import CliRunner
from scholar.cli import app

code = [CliRunner().invoke(app, command).exit_code for command in json.loads(sys.argv[1])]
import gc, threading
for thread in threading.enumerate():
    if thread is not threading.current_thread() and not thread.daemon:
        thread.join(5)
from langsmith import Client
for client in (found for found in gc.get_objects() if isinstance(found, Client)):
    client.flush()
print(json.dumps({"code": code, "seen": len(seen), "left": left}))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(for_server(honest)) as server:
        yield server


def watched(home: Path, *commands: list[str], **variables: str) -> Any:
    """What connections `commands` make in a process in which every socket is watched."""
    environment = {
        **os.environ,
        "SCHOLAR_HOME": str(home),
        "SCHOLAR_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, json.dumps(commands)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_no_command_reaches_for_another_machine(tmp_path: Path, server: ModelServer) -> None:
    remote = "openai:gpt-5@https://models.example.org/v1"
    model = f"openai:scripted@{server.url}"
    found = watched(
        tmp_path,
        ["ask", "How does HippoRAG 2 rank passages?", "--with", str(NOTES)],
        ["ask", "How does HippoRAG 2 rank passages?", "--model", remote],
        ["ask", "How does HippoRAG 2 rank passages?", "--model", "openai:gpt-5"],
        ["add", "2502.14802", "https://arxiv.org/abs/2310.11511"],
        ["add", "--arxiv", "retrieval"],
        ["models", "check"],
        ["doctor"],
        ["papers", "check"],
        ["library", "enrich", "cards"],
        ["add", "10.1000/x"],
        ["add", "--search", "retrieval", "--from", "openalex"],
        SCHOLAR_MODEL=model,
        SCHOLAR_EMBEDDER="auto",
        OPENAI_API_KEY="sk-test",
        LANGSMITH_TRACING="true",
        LANGSMITH_API_KEY="lsv2-test",
    )
    assert found["left"] == []
    assert found["seen"] >= 3, "the watch saw none of the connections to the model's server"
    assert found["code"][:3] == [0, 2, 2]
    assert found["code"][5] == 0


@pytest.mark.slow
def test_the_watch_notices_what_leaves(tmp_path: Path) -> None:
    remote = "openai:gpt-5@http://192.0.2.1:9/v1"
    found = watched(tmp_path, ["models", "check"], SCHOLAR_OFFLINE="0", SCHOLAR_MODEL=remote)
    assert found["left"][0][1] == "192.0.2.1"
