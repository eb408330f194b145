"""What the tests share: a temporary library, real data where it is, and no network."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from arxiv_server import Arxiv
from command_line import KEY, Run, command
from minds import Mind, for_backend, for_server, honest
from model_server import ModelServer
from office import Desk, Office, OpenDesk
from papers import SHELF
from slack_server import Slack
from small_window import fill
from source_server import SourceServer
from tenacity import wait_none

from scholar.backends import gateway as gateways
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Services
from scholar.library import Library
from scholar.library.ingest import expand, ingest
from scholar.runs import Scholar
from scholar.settings import Settings, load

ROOT = Path(__file__).parents[1]
NOTES = ROOT / "examples" / "library"
DATA = ROOT.parent / "shared" / "data"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where slow tests are left out, do not even load torch for them: that takes seconds."""
    left_out = config.getoption("markexpr") == "not slow"
    return True if left_out and collection_path.name == "test_local.py" else None


@pytest.fixture
def data() -> Path:
    """The folder of real public data; the test is skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"the data folder {DATA} is absent")
    return DATA


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but this machine can be reached."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _local(str(address[0])):
            raise AssertionError(f"a test reached for the network: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _local(host: str) -> bool:
    return host.startswith("127.") or host in ("::1", "localhost")


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's own settings, keys or folders gets in."""
    import os

    for name in [name for name in os.environ if name.startswith(("SCHOLAR_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a fresh home that searches by BM25 alone and may not go online."""
    return load(home=tmp_path / "home", embedder="none", offline=True)


@pytest.fixture
def library(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """An empty library."""
    # Copied, which takes a third of making one.
    built = tmp_path_factory.getbasetemp() / "empty"
    if not built.exists():
        Library(settings.model_copy(update={"home": built})).close()
    shutil.copytree(built, settings.home, dirs_exist_ok=True)
    library = Library(settings)
    yield library
    library.close()


@pytest.fixture
async def wordy(library: Library) -> Library:
    """A library of long passages under long and hostile titles."""
    await fill(library)
    return library


@pytest.fixture
async def notes(library: Library, settings: Settings) -> Library:
    """A library that holds the example notes."""
    items = await expand(library, [str(NOTES)], settings)
    results = [result async for result in ingest(library, items, settings)]
    assert {result.status for result in results} == {"added"}
    return library


@pytest.fixture
async def services(notes: Library, settings: Settings) -> AsyncIterator[Services]:
    """Services over the example notes, without a model."""
    gateway = Gateway(settings)
    yield Services(settings, notes, gateway)
    await gateway.aclose()


@pytest.fixture
def shelf_home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`settings.home` with a library in it that holds the papers of `papers.SHELF`."""
    # Built once and copied, since every test may change its own.
    built = tmp_path_factory.getbasetemp() / "shelf"
    if not built.exists():
        with ThreadPoolExecutor(1) as thread:  # the test may have an event loop in this one
            building = _build_shelf(settings.model_copy(update={"home": built}))
            thread.submit(asyncio.run, building).result()
    shutil.copytree(built, settings.home)
    return settings.home


async def _build_shelf(settings: Settings) -> None:
    library = Library(settings)
    await library.add([stored.entry for stored in SHELF.values()])
    library.close()


@pytest.fixture
def shelf(shelf_home: Path, settings: Settings) -> Iterator[Library]:
    """The library in `shelf_home`."""
    library = Library(settings)
    yield library
    library.close()


@pytest.fixture
def desk(shelf: Library, settings: Settings) -> OpenDesk:
    """Opens a `Desk` whose model has the given mind, or no model; settings may be changed."""

    def open_desk(mind: Mind | None = None, **changes: Any) -> Desk:
        known = settings.model_copy(update=changes)
        backend = FakeBackend(for_backend(mind) if mind else [])
        gateway = Gateway(known, {"*": backend} if mind else None)
        return Desk(Scholar(services=Services(known, shelf, gateway)), backend)

    return open_desk


@pytest.fixture
async def office(shelf_home: Path, settings: Settings) -> AsyncIterator[Office]:
    """Opens assistants over the shelf that keep their runs."""
    office = Office(settings)
    yield office
    await office.aclose()


# Servers


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A model that is asked over HTTP, an honest one."""
    with ModelServer(for_server(honest)) as server:
        yield server


@pytest.fixture(scope="module")
def _sources() -> Iterator[SourceServer]:
    with SourceServer() as server:
        yield server


@pytest.fixture
def source_server(_sources: SourceServer) -> SourceServer:
    """Bibliographic services that have not been asked yet."""
    _sources.reset()
    return _sources


@pytest.fixture(scope="module")
def _arxiv() -> Iterator[Arxiv]:
    with Arxiv() as server:
        yield server


@pytest.fixture
def arxiv(_arxiv: Arxiv) -> Arxiv:
    """An arXiv that has not been asked yet."""
    _arxiv.asked.clear()
    return _arxiv


@pytest.fixture
def slack() -> Iterator[Slack]:
    """A workspace, with nobody listening to it yet."""
    with Slack() as running:
        yield running


# The command line


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a library yet, as the environment names it."""
    for name, value in (("HOME", tmp_path / "home"), ("EMBEDDER", "none"), ("OFFLINE", "1")):
        monkeypatch.setenv(f"SCHOLAR_{name}", str(value))
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Run:
    """Runs a command in this process, in an empty library."""
    return command


@pytest.fixture
def cli(run: Run, shelf_home: Path) -> Run:
    """Runs a command in this process, over the shelf."""
    return run


@pytest.fixture
def run_eval(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `scholar eval` in this process, at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return partial(run, "eval")


@pytest.fixture(scope="module")
def _model() -> Iterator[ModelServer]:
    with ModelServer(for_server(honest)) as server:
        yield server


@pytest.fixture
def model(_model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """A model for every role of what is typed, at first an honest one."""
    _model.use(for_server(honest))
    monkeypatch.setenv("SCHOLAR_MODEL", f"openai:scripted@{_model.url}")
    monkeypatch.setenv("SCHOLAR_API_KEY", KEY)
    return _model


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is tried again at once."""
    monkeypatch.setattr(gateways, "_BACKOFF", wait_none())
