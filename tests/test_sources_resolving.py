"""A name server that says nothing, or no, costs seconds and not the patience of the system."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from source_server import SourceServer
from starlette.responses import Response

from scholar.errors import SourceError
from scholar.settings import load
from scholar.sources import resolving
from scholar.sources.web import Service, Web

ALONE = Service("Example", "example.api")
QUIET = """
import socket, subprocess, sys, threading
quiet = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
quiet.bind(("127.0.0.1", 53))
sys.exit(subprocess.run([sys.executable, "-m", "scholar", "add", sys.argv[1]]).returncode)
"""
"""Runs a command beside a name server that never answers."""
ALONE_IN_A_NETWORK = 'ip link set lo up && mount --bind "$1" /etc/resolv.conf && exec "${@:2}"'


@pytest.fixture
def web(tmp_path: Path) -> Web:
    return Web(load(home=tmp_path, http={"pause": 0.0}))


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """No name is resolved, and nobody is told so; which were asked for."""
    over = threading.Event()
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def wait(host: str, *args: Any, **named: Any) -> Any:
        if not host.endswith(".example"):  # what a thread of another test still asks for
            return resolve(host, *args, **named)
        asked.append(host)
        over.wait(30)
        raise socket.gaierror("nobody answered")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    monkeypatch.setattr(resolving, "PATIENCE", 1.0)
    monkeypatch.setattr(resolving, "SHORT", 0.1)
    yield asked
    over.set()


async def test_a_name_server_that_keeps_silent_is_not_waited_for(
    web: Web, silence: list[str]
) -> None:
    since = time.monotonic()
    with pytest.raises(SourceError, match=r"name server did not answer.*Example; check the conn"):
        await web.get(ALONE, "https://one.example/a")
    first = time.monotonic() - since
    with pytest.raises(SourceError, match="name server did not answer"):
        await web.get(ALONE, "https://two.example/a")
    second = time.monotonic() - since - first
    assert 1.0 <= first < 8
    assert second < first / 2  # what was silent once has less time
    assert silence == ["one.example", "two.example"]  # and is not asked again and again


async def test_a_name_that_nobody_has_is_not_looked_up_again_and_again(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def unknown(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(SourceError, match=r"could not be reached, as no\.example is not known"):
        await web.get(ALONE, "https://no.example/a")
    assert asked == ["no.example"]


async def test_what_a_proxy_resolves_is_not_looked_up(
    web: Web, silence: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with SourceServer() as server:
        server.gives(Response("through the proxy"))
        monkeypatch.setenv("http_proxy", server.url)
        assert await web.get(ALONE, "http://one.example/a") == b"through the proxy"
    assert silence == []


async def test_numbers_and_this_machine_are_no_names(web: Web, silence: list[str]) -> None:
    for address in ("http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost:9/", "nonsense"):
        assert resolving._name_in(address) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["10.1000/x", "arXiv:2502.14802"])
def test_adding_ends_soon_where_no_name_is_resolved(tmp_path: Path, name: str) -> None:
    isolated = ["unshare", "-rnm", "bash", "-c", ALONE_IN_A_NETWORK, "bash"]
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\n")
    if not shutil.which("unshare") or subprocess.run([*isolated, resolv, "true"]).returncode:
        pytest.skip("no network of its own can be made here")
    command = [*isolated, str(resolv), sys.executable, "-c", QUIET, name]
    since = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"SCHOLAR_HOME": str(tmp_path)}
    )
    assert time.monotonic() - since < 10
    assert "The name server did not answer" in done.stdout + done.stderr
    assert done.returncode
