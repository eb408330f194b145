"""Where an evaluation keeps what it has, so that it can go on; and the libraries that it asks."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from scholar import __version__
from scholar.errors import UsageError
from scholar.library import Entry, Library
from scholar.library.passages import cut
from scholar.readers import Document as Text
from scholar.settings import Settings
from scholar.values import Paper, Reference

BATCH = 128
"""Documents written at a time, so that memory stays flat."""
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""


@asynccontextmanager
async def kept_library(
    out: Path,
    contents: object,
    entries: Sequence[Entry],
    settings: Settings,
    on_notice: Callable[[str], None],
    on_progress: Progress,
) -> AsyncIterator[Library]:
    """A library of `entries` that is kept under `out` by its `contents`, and completed where it was
    broken off.

    Entries stay apart even where they are the same work, since they are judged apart.
    """
    home = out / "libraries" / digest([contents, settings.embedder, __version__])
    library = Library(settings.model_copy(update={"home": home}), on_notice=on_notice)
    try:
        known = {paper.id for paper in await library.papers()}
        left = [entry for entry in entries if entry.paper.id not in known]
        for at in range(0, len(left), BATCH):
            on_progress("Indexing", len(entries) - len(left) + at, len(entries))
            await library.add(left[at : at + BATCH])
        yield library
    finally:
        library.close()


def numbered(
    number: int,
    title: str,
    text: str,
    identifiers: dict[str, str] | None = None,
    references: tuple[Reference, ...] = (),
) -> Entry:
    """A document of a set as an entry of a library."""
    # By number: an id of the set may be one that means something here.
    id = f"eval:{number}"
    passages = cut(id, Text(text=text, holds="abstract"))
    paper = Paper(id, title, holds="abstract", identifiers=identifiers or {})
    return Entry(paper, text, passages, references=references)


def alone(folder: Path) -> Any:
    """Keeps a second process from doing the same."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / "run.lock").acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"Another process is asking the same in {folder}; let it end, or choose another --out."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror}); choose another --out."
        ) from error


def prompt_text(name: str) -> str:
    """The wording of a prompt."""
    return resources.files("scholar.prompts").joinpath(f"{name}.md").read_text("utf-8")


def digest(value: object) -> str:
    """A short name for `value`, the same for the same."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def slug(text: str) -> str:
    """`text` as part of the name of a file."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[:40]
