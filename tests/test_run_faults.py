"""What spoils the place where runs are kept takes nothing from a run, and is said in a sentence."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from office import Office, asked_twice, content, ended, whole
from papers import QUESTION
from test_runs import TASKS, failed

from scholar import checkpoints
from scholar.checkpoints import FILE as CHECKPOINTS
from scholar.errors import RunError
from scholar.events import Noted
from scholar.journal import database
from scholar.journal.database import FILE as RUNS
from scholar.report import to_json
from scholar.settings import Settings
from scholar.values import Outcome

DAMAGED = (
    "The state of the run cannot be read (it is damaged); it starts over, and nothing is paid for "
    "again."
)
HERE = Path(__file__).parent


def permitted(*command: str) -> None:
    """Skip where a namespace of its own is not to be had."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    tried = subprocess.run(["unshare", *command, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no namespace may be made here: {tried.stderr.strip()}")


# Disks


def _subject(notice: str) -> int:
    subjects = ("Runs cannot", "The state of runs", "trace")
    return next(n for n, subject in enumerate(subjects) if subject in notice)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "reason"), [("full", "disk I/O|full"), ("readonly", "Read-only")])
def test_a_spoilt_disk_takes_nothing_from_runs(shelf_home: Path, how: str, reason: str) -> None:
    permitted("-rm")
    command = ["unshare", "-rm", sys.executable, str(HERE / "starved.py"), str(shelf_home), how]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    told = json.loads(ran.stdout)
    before, meanwhile, after = told["before"], told["meanwhile"], told["after"]
    assert content(meanwhile["answer"]) == content(before["answer"])
    of_runs, of_states, of_trace = sorted(meanwhile["notices"], key=_subject)
    assert re.search(
        rf"^Runs cannot be kept in .*\(.*({reason}).*\); .* before the next run\.$", of_runs
    )
    assert re.search(r"^The state of runs cannot be kept \(.*\); .* Make room or rights", of_states)
    assert re.search(rf"trace.*({reason}|No space)", of_trace)
    [sentence] = meanwhile["listed"]
    assert re.search(rf"^Runs cannot be kept in .*\(.*({reason}).*\); .* try again\.$", sentence)
    assert after["listed"] == [after["answer"]["run_id"], before["answer"]["run_id"]]
    assert after["notices"] == []
    assert told["again"] == before["answer"]


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Another program has all of a database to itself."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


async def test_a_journal_that_another_holds_is_said_once(
    office: Office, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    first = await whole(office)
    with held(settings.home / RUNS):
        answer = await whole(office)
    assert content(answer) == content(first)
    [notice] = office.notices
    said = f"Runs cannot be kept in {settings.home / RUNS} (database is locked); what is under way"
    assert notice.startswith(said)
    scholar = office.open(None).scholar
    assert [row.run_id for row in await scholar.runs.all()] == [first.run_id]
    assert to_json(await scholar.replay(first.run_id)) == to_json(first)


@pytest.mark.slow
async def test_checkpoints_that_another_holds_are_said_once_and_missed_by_nobody(
    office: Office, settings: Settings
) -> None:
    first = await whole(office)
    with held(settings.home / CHECKPOINTS):
        run_id, answered = await failed(office, "writer")
    [notice] = office.notices
    assert notice.startswith("The state of runs cannot be kept (database is locked); what is under")
    desk = office.open()
    answer = await ended(await desk.scholar.resume(run_id))
    assert content(answer) == content(first)
    assert asked_twice(answered, desk.backend.requests) == []


# Damage


def garbage(file: Path) -> None:
    """Something else lies there."""
    file.write_bytes(b"This is no database at all. " * 2_000)


def truncated(file: Path) -> None:
    """The second half is lost."""
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def riddled(file: Path) -> None:
    """The first byte of each page but one is another."""
    data = bytearray(file.read_bytes())
    for at in range(4096, len(data), 4096):
        data[at] ^= 0xFF
    file.write_bytes(bytes(data))


def emptied(file: Path) -> None:
    """Nothing is left of it."""
    file.write_bytes(b"")


async def settled(office: Office, file: Path) -> None:
    """Close everything, and have all of `file` in one file."""
    await office.aclose()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@pytest.mark.parametrize("damage", [garbage, truncated, riddled, emptied])
@pytest.mark.parametrize("call", ["reader", "writer"])
async def test_with_damaged_checkpoints_a_run_starts_over_at_no_cost(
    office: Office, settings: Settings, damage: Any, call: str
) -> None:
    undisturbed = await whole(office)
    run_id, answered = await failed(office, call)
    await settled(office, settings.home / CHECKPOINTS)
    damage(settings.home / CHECKPOINTS)
    desk = office.open()
    answer = await ended(await desk.scholar.resume(run_id))
    assert content(answer) == content(undisturbed)
    assert asked_twice(answered, desk.backend.requests) == []
    assert len(answered) + len(desk.backend.requests) == undisturbed.usage.calls
    assert len(office.notices) <= 1
    assert to_json(await office.open(None).scholar.replay(undisturbed.run_id)) == to_json(
        undisturbed
    )


async def test_every_byte_of_a_checkpoint_may_be_another(
    office: Office, settings: Settings
) -> None:
    undisturbed = await whole(office)
    run_id, answered = await failed(office, "writer")
    file = settings.home / CHECKPOINTS
    await settled(office, file)
    kept, journal = file.read_bytes(), (settings.home / RUNS).read_bytes()
    connection = sqlite3.connect(file)
    blobs = connection.execute("SELECT rowid, checkpoint FROM checkpoints").fetchall()
    connection.close()
    noted = 0
    for share in range(1, 10, 2):
        connection = sqlite3.connect(file)
        for row, blob in blobs:
            at = len(blob) * share // 10
            flipped = blob[:at] + bytes([blob[at] ^ 8]) + blob[at + 1 :]
            connection.execute(
                "UPDATE checkpoints SET checkpoint = ? WHERE rowid = ?", (flipped, row)
            )
        connection.commit()
        connection.close()
        desk = office.open()
        run = await desk.scholar.resume(run_id)
        events = [event async for event in run.events()]
        assert content(events[-1].answer) == content(undisturbed)  # type: ignore[union-attr]
        assert asked_twice(answered, desk.backend.requests) == []
        notes = [e.note for e in events if isinstance(e, Noted)]
        assert notes == [DAMAGED]
        noted += 1
        await office.aclose()
        file.write_bytes(kept)
        (settings.home / RUNS).write_bytes(journal)
    assert noted == 5


async def test_a_checkpoint_of_an_older_version_is_not_gone_on_from(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = await whole(office)
    with monkeypatch.context() as older:
        older.setattr(checkpoints, "shape", lambda: "0123456789abcdef")
        run_id, answered = await failed(office, "writer")
    desk = office.open()
    run = await desk.scholar.resume(run_id)
    events = [event async for event in run.events()]
    assert content(events[-1].answer) == content(undisturbed)  # type: ignore[union-attr]
    [note] = [event.note for event in events if isinstance(event, Noted)]
    assert note.startswith("The state of the run cannot be read (it is of another version);")
    assert asked_twice(answered, desk.backend.requests) == []


@pytest.mark.parametrize("damage", [garbage, truncated, riddled])
async def test_with_a_damaged_journal_runs_go_on_and_the_advice_is_to_move_it(
    office: Office, settings: Settings, damage: Any
) -> None:
    undisturbed = await whole(office)
    file = settings.home / RUNS
    await settled(office, file)
    damage(file)
    spoilt = file.read_bytes()
    assert content(await whole(office)) == content(undisturbed)
    [notice] = set(office.notices)
    assert notice.startswith(f"Runs cannot be kept in {file} (")
    assert notice.endswith(".")
    with pytest.raises(RunError, match="it is damaged, so put a copy in its place, or move it aw"):
        await office.open(None).scholar.replay(undisturbed.run_id)
    await office.aclose()
    if damage is garbage:
        assert file.read_bytes() == spoilt
    file.unlink()
    office.notices.clear()
    answer = await whole(office)
    assert [row.run_id for row in await office.open(None).scholar.runs.all()] == [answer.run_id]
    assert office.notices == []


async def test_a_journal_of_a_later_version_is_left_alone(
    office: Office, settings: Settings
) -> None:
    await whole(office)
    await office.aclose()
    connection = sqlite3.connect(settings.home / RUNS)
    connection.execute("UPDATE scholar_meta SET value = '99'")
    connection.commit()
    connection.close()
    assert (await whole(office)).outcome is Outcome.ANSWERED
    [notice] = office.notices
    assert "(it has format 99 and this scholar reads format 1)" in notice
    with pytest.raises(RunError, match="update scholar, or move it away") as caught:
        await office.open(None).scholar.runs.all()
    assert "disk" not in str(caught.value)


# Without a network


@pytest.mark.slow
async def test_fifty_runs_of_all_presets_are_played_again_without_a_network(
    office: Office, settings: Settings
) -> None:
    permitted("-rn")
    questions = [QUESTION, "Do graph walks help?", "What is BM25?", "Is recall gained?"]
    told = {}
    for question in questions:
        for task in TASKS.values():
            answer = await whole(office, question=question, **task)
            told[answer.run_id] = to_json(answer)
        await office.aclose()
    assert len(told) >= 50
    script = (
        "import asyncio, json, sys; from scholar import Scholar, load; "
        "from scholar.report import to_json\n"
        "async def main():\n"
        "    settings = load(home=sys.argv[1], embedder='none')\n"
        "    async with Scholar(settings) as scholar:\n"
        "        rows = await scholar.runs.all()\n"
        "        return {r.run_id: to_json(await scholar.replay(r.run_id)) for r in rows}\n"
        "print(json.dumps(asyncio.run(main())))"
    )
    command = ["unshare", "-rn", sys.executable, "-c", script, str(settings.home)]
    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert json.loads(ran.stdout) == json.loads(json.dumps(told))
