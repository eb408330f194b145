"""What the tests share: a temporary library, real data where it is, and no network."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from minds import Mind, call_of, for_backend
from papers import SHELF

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


@dataclass
class Desk:
    """An assistant over the shelf, and the scripted model that it asks."""

    scholar: Scholar
    backend: FakeBackend

    @property
    def calls(self) -> list[str]:
        """The names of the prompts that were asked, in order."""
        return [call_of(request) for request in self.backend.requests]

    def shown(self, call: str) -> list[str]:
        """What the model was shown by each prompt of this name."""
        asked = [r for r in self.backend.requests if call_of(r) == call]
        return [request.messages[1].content for request in asked]


OpenDesk = Callable[..., Desk]


@pytest.fixture
def desk(shelf: Library, settings: Settings) -> OpenDesk:
    """Opens a `Desk` whose model has the given mind, or no model; settings may be changed."""

    def open_desk(mind: Mind | None = None, **changes: Any) -> Desk:
        known = settings.model_copy(update=changes)
        backend = FakeBackend(for_backend(mind) if mind else [])
        gateway = Gateway(known, {"*": backend} if mind else None)
        return Desk(Scholar(services=Services(known, shelf, gateway)), backend)

    return open_desk
