"""How every service is asked: what goes wrong, what is kept, and what is left alone."""

from __future__ import annotations

import asyncio
import email.utils
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from source_server import SERVICES, SILENCE, Answer, SourceServer, always, truncated
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from scholar.errors import SettingsError, SourceError
from scholar.settings import load
from scholar.sources import Record, Skipped, Source, everything
from scholar.sources.kept import DAY, HOUR, Kept
from scholar.sources.web import Service, Web

IDS = dict.fromkeys(SERVICES, "10.1000/x") | {"arxiv": "2401.00001", "zotero": "ABCD2345"}
"""An id that each service knows the kind of."""
NAMES = {
    "arxiv": "arXiv",
    "openalex": "OpenAlex",
    "crossref": "Crossref",
    "semanticscholar": "Semantic Scholar",
    "unpaywall": "Unpaywall",
    "zotero": "Zotero",
}
ALONE = Service("Example", "example.api")


@pytest.fixture
def web(source_server: SourceServer, tmp_path: Path) -> Web:
    return Web(source_server.settings(tmp_path))


def busy(retry_after: str) -> Response:
    return Response(status_code=429, headers={"Retry-After": retry_after})


def in_seconds(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def around(request: Request) -> Response:
    return RedirectResponse(f"{request.url}x")


Faults = tuple[Answer | Response | None, str, int]
PAGE = Response("<html><body>Please log in</body></html>", media_type="text/html")
FAULTS: dict[str, Faults] = {
    "429": (Response(status_code=429), "is busy .HTTP 429.; try again in a few minutes", 3),
    "429 for no time": (busy("0"), "is busy .HTTP 429.; try again", 3),
    "429 until a date gone by": (busy(in_seconds(-60)), "is busy .HTTP 429.; try again", 3),
    "429 for an hour": (busy("3600"), "asks to be left alone; try again in 60 minutes", 1),
    # Far off, for all dates are made before the first test runs.
    "429 until a date": (busy(in_seconds(36_000)), r"left alone; try again in \d+ hours", 1),
    "429 for ever": (busy("9" * 400), "left alone; try again in more than 100 days", 1),
    "429 for nonsense": (busy("soon"), "is busy .HTTP 429.; try again", 3),
    "500": (Response(status_code=500), "is busy .HTTP 500.; try again", 3),
    "503": (Response(status_code=503), "is busy .HTTP 503.; try again", 3),
    "403": (Response(status_code=403), "refused the request .HTTP 403.; check", 1),
    "400": (Response(status_code=400), "refused the request .HTTP 400.; check", 1),
    "silence": (None, "did not answer in time; try again", 3),
    "malformed": (Response('{"id": "x", <entry>'), "(JSON; try again|feed; try again)", 1),
    "nothing": (Response(b""), "(JSON; try again|feed; try again)", 1),
    "a value of another kind": (Response("7"), "(JSON; try again|feed; try again)", 1),
    "nested without end": (Response("[" * 200_000), "(JSON; try again|feed; try again)", 1),
    "a web page": (PAGE, "(JSON; try again|feed; try again)", 1),
    "cut short": (truncated(b'{"id": "x"'), "broke off its answer; try again", 3),
    "redirects without end": (around, "redirects without end; check", 1),
}


@pytest.mark.parametrize("way", ["by_id", pytest.param("search", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_of_every_service_is_named_in_bounded_time(
    source_server: SourceServer, tmp_path: Path, name: str, fault: str, way: str
) -> None:
    answer, message, requests = FAULTS[fault]
    source_server.gives(answer or source_server.silent)
    http = {} if answer else {"timeout": SILENCE}  # else a busy machine seems silent
    source = source_server.sources(tmp_path, http=http)[name]
    since = time.monotonic()
    with pytest.raises(SourceError, match=message) as caught:
        await asked(source, name, way)
    assert time.monotonic() - since < 10
    assert NAMES[name] in str(caught.value)
    assert re.search(r"; (try|check|start|\w+ it).*\.$", str(caught.value))
    if "redirect" not in fault:
        assert len(source_server.requests) == requests


async def asked(source: Source, name: str, way: str) -> list[Record | Skipped]:
    if way == "search":
        return await source.search("anything", 5)
    return await source.by_id([IDS[name]])


@pytest.mark.parametrize("name", sorted({*SERVICES} - {"arxiv"}))
async def test_a_work_that_is_not_there_is_skipped(
    source_server: SourceServer, tmp_path: Path, name: str
) -> None:
    source_server.gives(Response(status_code=404))
    (skipped,) = await source_server.sources(tmp_path)[name].by_id([IDS[name]])
    assert isinstance(skipped, Skipped)
    assert skipped.what == IDS[name]
    assert re.fullmatch(rf"{NAMES[name]} has no (work|item) .*; check the id\.", skipped.reason)


@pytest.mark.parametrize("name", SERVICES)
async def test_a_wrong_address_of_a_service_is_no_empty_result(
    source_server: SourceServer, tmp_path: Path, name: str
) -> None:
    source_server.gives(Response(status_code=404))
    with pytest.raises(SourceError, match=rf"HTTP 404.; check '{name}\.api'"):
        await source_server.sources(tmp_path)[name].search("anything", 5)


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_that_is_not_there_is_named_with_what_to_do(
    tmp_path: Path, name: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    place = {"api": url} if name == "zotero" else {"api": url, "delay": 0}
    settings = load(home=tmp_path, email="a@b.example", http={"pause": 0}, **{name: place})
    with pytest.raises(SourceError, match=rf"{NAMES[name]} could not be reached; .*{name}\.api"):
        await asked(everything(settings)[name], name, "by_id")


@pytest.mark.parametrize("name", sorted({*SERVICES} - {"zotero"}))
async def test_offline_no_service_is_asked(
    source_server: SourceServer, tmp_path: Path, name: str
) -> None:
    with pytest.raises(SourceError, match=f"offline is set; unset it to reach {NAMES[name]}"):
        await asked(source_server.sources(tmp_path, offline=True)[name], name, "search")
    assert source_server.requests == []


async def test_zotero_is_on_this_machine_and_may_be_asked_offline(
    source_server: SourceServer, tmp_path: Path
) -> None:
    source_server.gives(JSONResponse([]))
    assert await source_server.sources(tmp_path, offline=True)["zotero"].search("anything", 5) == []


# Retries and pauses


async def test_what_passes_is_asked_again(source_server: SourceServer, web: Web) -> None:
    source_server.gives(Response(status_code=503), truncated(b"a"), Response("fine"))
    assert await web.get(ALONE, source_server.url) == b"fine"


@pytest.mark.slow
@pytest.mark.parametrize("header", ["1", "1.0", "date"])
async def test_the_pause_that_a_service_asks_for_is_kept(
    source_server: SourceServer, web: Web, header: str
) -> None:
    source_server.gives(busy(in_seconds(2) if header == "date" else header), Response("fine"))
    assert await web.get(ALONE, source_server.url) == b"fine"
    assert source_server.times[1] - source_server.times[0] > 0.5


async def test_a_service_that_asked_for_an_hour_is_asked_by_nobody(
    source_server: SourceServer, tmp_path: Path
) -> None:
    source_server.gives(busy("3600"))
    for _ in range(2):
        with pytest.raises(SourceError, match="try again in 60 minutes"):
            await Web(source_server.settings(tmp_path)).get(ALONE, source_server.url)
    assert len(source_server.requests) == 1


async def test_no_host_is_left_alone_for_longer_than_an_hour(
    source_server: SourceServer, tmp_path: Path
) -> None:
    kept = Kept(tmp_path)
    kept.leave("host", 1e300)
    assert HOUR - 5 < kept.turn("host", 0, 1) <= HOUR


async def test_a_host_is_asked_one_thing_at_a_time_with_a_pause_between(
    source_server: SourceServer, web: Web
) -> None:
    source_server.gives(Response("fine"))
    service = Service("Example", "example.api", delay=0.1)
    await asyncio.gather(*(web.get(service, f"{source_server.url}/{at}") for at in range(4)))
    assert len(source_server.times) == 4
    assert all(after - before > 0.09 for before, after in pairwise(source_server.times))


async def test_processes_take_turns_at_a_host(tmp_path: Path) -> None:
    one, other = Kept(tmp_path), Kept(tmp_path)
    waits = [kept.turn("host", delay=100, patience=1000) for kept in (one, other, one)]
    assert [round(wait, -1) for wait in waits] == [0, 100, 200]
    assert other.turn("host", delay=100, patience=10) > 290
    assert other.turn("elsewhere", delay=100, patience=10) == 0
    one.leave("host", 10)
    assert other.turn("host", delay=100, patience=10) > 290  # what was said before holds


async def test_an_answer_that_trickles_for_ever_is_cut_off(
    source_server: SourceServer, tmp_path: Path
) -> None:
    def trickle(request: Request) -> Response:
        async def dots() -> AsyncIterator[bytes]:
            while True:
                yield b"."
                await asyncio.sleep(0.02)

        return StreamingResponse(dots())

    source_server.gives(trickle)
    web = Web(source_server.settings(tmp_path, http={"patience": 0.1, "retries": 0}))
    with pytest.raises(SourceError, match="did not answer in time"):
        await web.get(ALONE, source_server.url)


async def test_a_host_that_goes_on_failing_is_left_alone(
    source_server: SourceServer, tmp_path: Path
) -> None:
    source_server.gives(Response(status_code=500))
    web = Web(source_server.settings(tmp_path, http={"failures": 4, "rest": 60}))
    for _ in range(2):
        with pytest.raises(SourceError, match="is busy"):
            await web.get(ALONE, source_server.url)
    assert len(source_server.requests) == 4
    with pytest.raises(SourceError, match="failed 4 times in a row and is left alone; try again"):
        await web.get(ALONE, source_server.url)
    assert len(source_server.requests) == 4


async def test_a_host_left_alone_is_tried_once_after_its_rest(
    source_server: SourceServer, tmp_path: Path
) -> None:
    web = Web(source_server.settings(tmp_path, http={"failures": 3, "rest": 0.05}))
    source_server.gives(Response(status_code=500))
    for requests in (3, 4):
        with pytest.raises(SourceError, match="is busy"):
            await web.get(ALONE, source_server.url)
        assert len(source_server.requests) == requests
        await asyncio.sleep(0.06)
    source_server.gives(Response("fine"))
    assert await web.get(ALONE, source_server.url) == b"fine"
    source_server.gives(Response(status_code=500))
    with pytest.raises(SourceError, match="is busy"):
        await web.get(ALONE, f"{source_server.url}/other")
    assert len(source_server.requests) == 8  # the one that was fine, and three tries anew


async def test_other_hosts_are_still_asked(source_server: SourceServer, tmp_path: Path) -> None:
    web = Web(source_server.settings(tmp_path, http={"failures": 1}))
    source_server.gives(Response(status_code=500), Response("fine"))
    with pytest.raises(SourceError):
        await web.get(ALONE, source_server.url)
    other = source_server.url.replace("127.0.0.1", "localhost")
    assert await web.get(ALONE, other) == b"fine"


# What is kept


async def test_the_same_is_not_asked_for_twice(source_server: SourceServer, web: Web) -> None:
    source_server.gives(Response("first"), Response("second"))
    assert await web.get(ALONE, source_server.url, {"a": "1", "b": "2"}) == b"first"
    assert await web.get(ALONE, source_server.url, {"b": "2", "a": "1"}) == b"first"
    assert await web.get(ALONE, source_server.url, {"a": "2"}) == b"second"
    assert await web.get(ALONE, source_server.url, body={"ids": [1]}) == b"second"
    assert len(source_server.requests) == 3


async def test_another_process_does_not_ask_again(
    source_server: SourceServer, tmp_path: Path
) -> None:
    source_server.gives(Response("kept"))
    await Web(source_server.settings(tmp_path)).get(ALONE, source_server.url)
    code = (
        "import asyncio, sys; from pathlib import Path; from scholar.settings import load\n"
        "from scholar.sources.web import Service, Web\n"
        "web = Web(load(home=Path(sys.argv[1])))\n"
        "print(asyncio.run(web.get(Service('Example', 'x'), sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), source_server.url]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "b'kept'"
    assert len(source_server.requests) == 1


async def test_keys_and_addresses_of_users_are_not_part_of_what_is_asked(
    source_server: SourceServer, web: Web
) -> None:
    source_server.gives(Response("kept"))
    for key in ("one", "two"):
        service = Service("Example", "x", extra={"mailto": key}, headers={"X-Key": key})
        assert await web.get(service, source_server.url) == b"kept"
    assert len(source_server.requests) == 1
    assert source_server.requests[0].query_params["mailto"] == "one"
    assert source_server.requests[0].headers["x-key"] == "one"


async def test_an_answer_is_asked_for_again_once_it_is_old(
    source_server: SourceServer, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_server.gives(Response("first"), Response("second"))
    assert await web.get(ALONE, source_server.url, age=100) == b"first"
    now = time.time()
    monkeypatch.setattr("scholar.sources.kept.time.time", lambda: now + 50)
    assert await web.get(ALONE, source_server.url, age=100) == b"first"
    assert await web.get(ALONE, source_server.url, age=10) == b"second"
    monkeypatch.setattr("scholar.sources.kept.time.time", lambda: now - 50)
    assert await web.get(ALONE, source_server.url, age=100) == b"second"
    assert len(source_server.requests) == 3


async def test_that_there_is_nothing_is_believed_for_an_hour(
    source_server: SourceServer, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_server.gives(Response(status_code=404), Response("there now"))
    assert await web.get(ALONE, source_server.url) is None
    assert await web.get(ALONE, source_server.url) is None
    assert len(source_server.requests) == 1
    now = time.time()
    monkeypatch.setattr("scholar.sources.kept.time.time", lambda: now + HOUR + 1)
    assert await web.get(ALONE, source_server.url) == b"there now"


@pytest.mark.parametrize("fault", [Response(status_code=400), PAGE, Response(b"{")])
async def test_errors_are_not_kept(source_server: SourceServer, web: Web, fault: Response) -> None:
    source_server.gives(fault, JSONResponse({"fine": True}))
    with pytest.raises(SourceError):
        await web.json(ALONE, source_server.url)
    assert await web.json(ALONE, source_server.url) == {"fine": True}


async def test_what_nobody_may_use_any_more_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path)
    kept.keep("old", True, b"old")
    now = time.time()
    monkeypatch.setattr("scholar.sources.kept.time.time", lambda: now + 8 * 86_400)
    kept.keep("new", True, b"new")
    monkeypatch.undo()
    assert kept.answer("old", 1e9) is None


async def test_a_file_of_answers_that_cannot_be_used_is_named(
    source_server: SourceServer, tmp_path: Path
) -> None:
    (tmp_path / "http").mkdir()
    (tmp_path / "http" / "answers.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(SourceError, match=r"answers\.sqlite cannot be used .*delete it"):
        await Web(source_server.settings(tmp_path)).get(ALONE, source_server.url)


# What is sent


async def test_who_asks_is_said(source_server: SourceServer, tmp_path: Path) -> None:
    source_server.gives(Response("fine"))
    for settings in (
        source_server.settings(tmp_path / "a"),
        source_server.settings(tmp_path / "b", email=""),
    ):
        await Web(settings).get(ALONE, source_server.url)
    agents = [request.headers["user-agent"] for request in source_server.requests]
    assert re.fullmatch(r"scholar/\S+ \(.*; mailto:a@b\.example\)", agents[0])
    assert "mailto" not in agents[1]


@pytest.mark.parametrize(
    "address",
    ["http://[x", "ftp://127.0.0.1/x", "nonsense", "", "http://", "http://a:99999999/", "http://\u2028"],
)  # fmt: skip
async def test_an_address_that_is_none_is_named(web: Web, address: str) -> None:
    with pytest.raises(
        SourceError, match=r"(cannot be asked|not be reached).*; check .*'example\.api'"
    ):
        await web.get(ALONE, address)


async def test_a_key_that_cannot_be_sent_is_named(
    source_server: SourceServer, tmp_path: Path
) -> None:
    place = {"api": f"{source_server.url}/semanticscholar", "key": "ключ"}
    source = source_server.sources(tmp_path, semanticscholar=place)["semanticscholar"]
    with pytest.raises(SourceError, match=r"check 'semanticscholar\.api' and its key"):
        await source.search("anything", 5)


@pytest.mark.parametrize("address", ["me", "a@b c", "a@b\nX-Key: 1", "ä@b.example"])
def test_an_email_that_is_none_is_no_setting(address: str) -> None:
    with pytest.raises(SettingsError, match="'email' is unusable"):
        load(email=address)


# Files


def any_file(beginning: bytes) -> bool:
    return beginning.startswith(b"%PDF")


async def test_a_file_is_fetched_once_and_stored_whole(
    source_server: SourceServer, web: Web, tmp_path: Path
) -> None:
    data = b"%PDF" + os.urandom(3_000_000)
    source_server.gives(Response(data))
    target = tmp_path / "files" / "a.pdf"
    for _ in range(2):
        assert await web.file(ALONE, source_server.url, target, any_file)
    assert target.read_bytes() == data
    assert len(source_server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (PAGE, "something else than the paper at http.*; open it"),
        (Response(b""), "something else than the paper"),
        (truncated(b"%PDF-1.4 " + b"x" * 400_000), "broke off"),
        (Response(status_code=500), "is busy"),
    ],
    ids=["a web page", "nothing", "cut short", "500"],
)
async def test_what_is_not_a_whole_file_leaves_none(
    source_server: SourceServer, web: Web, tmp_path: Path, answer: Answer | Response, message: str
) -> None:
    source_server.gives(answer)
    target = tmp_path / "files" / "a.pdf"
    with pytest.raises(SourceError, match=message):
        await web.file(ALONE, source_server.url, target, any_file)
    assert not target.parent.exists() or os.listdir(target.parent) == []


@pytest.mark.parametrize("what", ["file", "answer"])
async def test_what_is_too_large_is_not_taken_in(
    source_server: SourceServer,
    web: Web,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    monkeypatch.setattr("scholar.sources.saving._LARGEST_FILE", 2**20)
    monkeypatch.setattr("scholar.sources.saving._LARGEST_ANSWER", 2**20)
    source_server.gives(Response(b"%PDF" + b"x" * 2**20))
    asking: dict[str, Callable[[], Awaitable[Any]]] = {
        "file": lambda: web.file(ALONE, source_server.url, tmp_path / "files" / "a.pdf", any_file),
        "answer": lambda: web.get(ALONE, source_server.url),
    }
    with pytest.raises(SourceError, match="larger than 1 MB; download it by hand"):
        await asking[what]()


async def test_a_file_that_is_not_there_is_not_asked_for_at_once_again(
    source_server: SourceServer, web: Web, tmp_path: Path
) -> None:
    source_server.gives(Response(status_code=404))
    for _ in range(2):
        assert not await web.file(ALONE, source_server.url, tmp_path / "a.pdf", any_file)
    assert len(source_server.requests) == 1


async def test_one_that_gives_up_waiting_leaves_no_half_file(
    source_server: SourceServer, web: Web, tmp_path: Path
) -> None:
    asked = threading.Event()

    def silent(request: Request) -> Response:
        asked.set()
        return source_server.silent(request)

    source_server.gives(silent)
    task = asyncio.create_task(
        web.file(ALONE, source_server.url, tmp_path / "f" / "a.pdf", any_file)
    )
    await asyncio.to_thread(asked.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    source_server.reset()
    source_server.gives(always(Response(b"%PDF")))
    assert await web.file(ALONE, source_server.url, tmp_path / "f" / "a.pdf", any_file)


def test_threads_that_come_at_once_to_a_file_that_is_not_there_yet_all_get_on(
    tmp_path: Path,
) -> None:
    def asked(kept: Kept, start: threading.Barrier) -> float:
        start.wait()
        kept.answer("nothing", DAY)
        return kept.turn("host", 0, 1)

    with ThreadPoolExecutor(4) as threads:
        for n in range(50):  # one in fifty failed where nobody waited
            kept, start = Kept(tmp_path / str(n)), threading.Barrier(4)
            asking = [threads.submit(asked, kept, start) for _ in range(4)]
            assert [each.result() for each in asking] == [0.0] * 4
