"""The state of runs between two nodes: what it may hold, and what becomes of damaged states."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.types import Send

from scholar import checkpoints
from scholar.checkpoints import FILE, KINDS, Checkpoints, Sealed, shape
from scholar.errors import RunError
from scholar.settings import Settings
from scholar.state import Failure, blank
from scholar.values import Draft, Hit, Outcome, Sentence, Step

CONFIG: Any = {"configurable": {"thread_id": "r1", "checkpoint_ns": ""}}


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
async def saver(settings: Settings, notices: list[str]) -> AsyncIterator[Checkpoints]:
    saver = Checkpoints(settings, notices.append)
    yield saver
    await saver.aclose()


async def put(saver: Checkpoints, **values: Any) -> None:
    checkpoint = {**empty_checkpoint(), "channel_values": values}
    versions = {name: saver.get_next_version(None, None) for name in values}
    checkpoint["channel_versions"] = versions
    await saver.aput(CONFIG, checkpoint, {}, versions)  # type: ignore[arg-type]


async def values(saver: Checkpoints) -> dict[str, Any] | None:
    found = await saver.aget_tuple(CONFIG)
    return None if found is None else found.checkpoint["channel_values"]


STATE: dict[str, Any] = {
    **blank(),
    "steps": [Step("s1", "Why?", "why")],
    "hits": [Hit("p1", "file:a", {"fused": 0.5})],
    "draft": Draft((Sentence("So.", ("e1",)),)),
    "failure": Failure(Outcome.MODEL_FAILED, "It broke."),
}


async def test_all_that_a_state_may_hold_comes_back_as_it_was(saver: Checkpoints) -> None:
    await put(saver, **STATE)
    assert await values(saver) == STATE


def test_so_does_what_is_sent_to_a_branch() -> None:
    sealed = Sealed(allowed_msgpack_modules=KINDS)
    sent = Send("search", {"step": Step("s1", "q", "q", parents=("s0",)), "read": ["p1"]})
    assert sealed.loads_typed(sealed.dumps_typed(sent)) == sent


def test_nothing_is_made_from_a_checkpoint_that_a_state_does_not_hold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = Sealed(allowed_msgpack_modules=KINDS)
    assert known.loads_typed(known.dumps_typed(Step("s1", "q", "q"))) == Step("s1", "q", "q")
    smuggled = known.loads_typed(known.dumps_typed(Path("/etc/passwd")))
    stranger = known.loads_typed(known.dumps_typed(Settings(home=Path("h"))))
    assert not isinstance(stranger, Settings)
    assert isinstance(smuggled, Path | list)  # a path does nothing


@pytest.mark.parametrize("at", [0, 5, 12, 16, 20, -1])
def test_a_value_with_a_changed_byte_is_not_read(at: int) -> None:
    sealed = Sealed(allowed_msgpack_modules=KINDS)
    kind, data = sealed.dumps_typed(["a quote that must not change"])
    at %= len(data)
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    with pytest.raises(ValueError, match=r"damaged|another version"):
        sealed.loads_typed((kind, changed))
    with pytest.raises(ValueError, match="damaged"):
        sealed.loads_typed(("bytes", data))


async def test_a_state_of_another_shape_is_said_to_be_of_another_version(
    saver: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(saver, **STATE)
    monkeypatch.setattr(checkpoints, "shape", lambda: "0" * 16)
    with pytest.raises(RunError, match=r"of another version\); it starts over, and nothing is"):
        await values(saver)


async def test_a_damaged_state_is_said_to_be_and_others_are_read(
    saver: Checkpoints, settings: Settings
) -> None:
    await put(saver, **STATE)
    await saver.aclose()
    with sqlite3.connect(settings.home / FILE) as connection:
        blob = connection.execute("SELECT checkpoint FROM checkpoints").fetchone()[0]
        flipped = blob[:60] + bytes([blob[60] ^ 4]) + blob[61:]
        connection.execute("UPDATE checkpoints SET checkpoint = ?", (flipped,))
        connection.commit()
    connection.close()
    with pytest.raises(RunError, match=r"^The state of the run cannot be read \(it is damaged\)"):
        await values(saver)
    other: Any = {"configurable": {"thread_id": "r2", "checkpoint_ns": ""}}
    assert await saver.aget_tuple(other) is None
    await saver.adelete_thread("r1")
    assert await values(saver) is None


@pytest.mark.parametrize("content", [b"This is no database. " * 300, b"SQLite format 3\0" * 300])
async def test_a_file_that_is_no_database_is_told_of_once_and_stands_in_nobodys_way(
    saver: Checkpoints, settings: Settings, notices: list[str], content: bytes
) -> None:
    settings.home.mkdir(parents=True)
    (settings.home / FILE).write_bytes(content)
    assert await values(saver) is None
    await put(saver, **STATE)
    await saver.adelete_thread("r1")
    [notice] = notices
    assert notice.startswith("The state of runs cannot be kept (")
    assert notice.endswith(f"Move {settings.home / FILE} away.")
    assert (settings.home / FILE).read_bytes() == content


async def test_after_a_while_a_database_is_tried_again(
    saver: Checkpoints, settings: Settings, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.home.mkdir(parents=True)
    (settings.home / FILE).write_bytes(b"This is no database. " * 300)
    assert await values(saver) is None
    (settings.home / FILE).unlink()
    monkeypatch.setattr(saver, "_rests_until", time.monotonic())
    await put(saver, **STATE)
    assert await values(saver) == STATE
    assert len(notices) == 1


def test_the_shape_follows_the_state_and_what_it_holds() -> None:
    assert shape() == shape()
    assert len(bytes.fromhex(shape())) == 8


async def test_without_settings_states_are_kept_in_memory() -> None:
    saver = Checkpoints(None)
    await put(saver, **STATE)
    assert await values(saver) == STATE
    await saver.aclose()
