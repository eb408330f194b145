"""A run whose disk is full, or may not be written, in a mount namespace of its own.

`unshare -rm python starved.py HOME full|readonly` asks a scripted model over the library in HOME,
once before the disk is spoilt, once meanwhile and once when it is mended, and prints as JSON what
came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from minds import for_backend, honest
from papers import QUESTION

from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Services
from scholar.errors import ScholarError
from scholar.journal import Journal
from scholar.library import Library
from scholar.report import to_json
from scholar.runs import Scholar
from scholar.settings import Settings, load

SIZE = 8 << 20
"""Bytes of the small disk; the library of the tests takes less than one MiB."""


def opened(settings: Settings, notices: list[str]) -> Scholar:
    """An assistant that keeps its runs on the disk."""
    gateway = Gateway(settings, {"*": FakeBackend(for_backend(honest))})
    journal = Journal.of(settings, notices.append)
    services = Services(settings, Library(settings), gateway, journal=journal)
    return Scholar(services=services, on_notice=notices.append)


async def asked(settings: Settings, spoilt: str = "") -> dict[str, Any]:
    """What comes of asking and of looking at the runs there are."""
    notices: list[str] = []
    async with opened(settings, notices) as scholar:
        if spoilt:
            spoil(settings.home, spoilt)
        answer = to_json(await scholar.ask(QUESTION))
        try:
            listed = [row.run_id for row in await scholar.runs.all()]
        except ScholarError as error:
            listed = [str(error)]
    return {"answer": answer, "notices": notices, "listed": listed}


async def replayed(settings: Settings, run_id: str) -> dict[str, Any]:
    """The answer of a run, played again."""
    async with opened(settings, []) as scholar:
        return to_json(await scholar.replay(run_id))


def spoil(home: Path, how: str) -> None:
    """Leave nothing free on the disk, or let nobody write on it."""
    if how == "readonly":
        subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
        return
    with (home / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            os.fsync(file.fileno())


def mend(home: Path, how: str) -> None:
    """Undo it."""
    if how == "readonly":
        subprocess.run(["mount", "-o", "remount,rw", str(home)], check=True)
    else:
        (home / "filler").unlink()


def main() -> None:
    """Spoil a small disk on which a library lies."""
    place, how = Path(sys.argv[1]), sys.argv[2]
    home = place.with_name("small")
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(home)], check=True)
    shutil.copytree(place, home, dirs_exist_ok=True)
    settings = load(home=home, embedder="none", offline=True)
    before = asyncio.run(asked(settings))
    # On a full disk not even the library opens, so it fills up while that is open.
    if how == "readonly":
        spoil(home, how)
    meanwhile = asyncio.run(asked(settings, "full" if how == "full" else ""))
    mend(home, how)
    after = asyncio.run(asked(settings))
    again = asyncio.run(replayed(settings, before["answer"]["run_id"]))
    told = {"before": before, "meanwhile": meanwhile, "after": after, "again": again}
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main()
