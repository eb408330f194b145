"""A whole library as one file, and back: its catalogue, of which all else is made."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from scholar.errors import LibraryError
from scholar.library.schema import VERSION
from scholar.library.store import BEFORE, CATALOGUE, Store
from scholar.settings import Settings

FORMAT = 1
_MANIFEST = "manifest.json"


def snapshot(store: Store, target: Path) -> None:
    """Write the library as it is at this moment to the file `target`, which is replaced.

    Raises LibraryError where it cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        with tempfile.TemporaryDirectory(dir=store.folder.parent) as folder:
            with store.writing():
                _copy_sqlite(store.folder / CATALOGUE, Path(folder, CATALOGUE))
            about = {"format": FORMAT, "schema": VERSION}
            Path(folder, _MANIFEST).write_text(json.dumps(about))
            with tarfile.open(part, "w") as tar:
                for file in sorted(Path(folder).rglob("*")):
                    tar.add(file, file.relative_to(folder).as_posix(), recursive=False)
        os.replace(part, target)
    except OSError as error:
        raise LibraryError(
            f"The snapshot could not be written to {target} ({error}); choose another place."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def restore(
    folder: Path,
    source: Path,
    settings: Settings,
    *,
    force: bool = False,
    notice: Callable[[str], None] = lambda _: None,
) -> None:
    """Put the library of the snapshot `source` at `folder`, in place of what is there.

    What is there stays until the other is complete. Raises LibraryError where that holds papers and
    `force` is not given, or where `source` is no snapshot.
    """
    if not force and _holds_papers(folder, settings):
        raise LibraryError(
            f"The library in {folder} is not empty; give --force to put the snapshot in its place."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="restoring-") as temporary:
        new = Path(temporary, "library")
        _unpack(source, Path(temporary, "parts"))
        new.mkdir()
        shutil.move(Path(temporary, "parts", CATALOGUE), new / CATALOGUE)
        with closing(Store(new, settings, notice, anew=True)) as store, store.writing():
            store.index(store.catalogue.ids())
        before = folder.with_name(BEFORE)
        shutil.rmtree(before, ignore_errors=True)
        if folder.exists():
            folder.rename(before)
        new.rename(folder)
        shutil.rmtree(before, ignore_errors=True)


def _holds_papers(folder: Path, settings: Settings) -> bool:
    if not (folder / CATALOGUE).exists():
        return False
    with closing(Store(folder, settings, lambda _: None)) as store:
        return store.catalogue.counts()[0] > 0


def _copy_sqlite(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)


def _unpack(source: Path, parts: Path) -> None:
    """Unpack a snapshot, which must be whole, into the folder `parts`."""
    try:
        with tarfile.open(source) as tar:
            tar.extractall(parts, filter="data")
        about = json.loads((parts / _MANIFEST).read_text("utf-8"))
        if about["format"] != FORMAT:
            raise LibraryError(
                f"{source} is a snapshot of format {about['format']} and this scholar reads "
                f"{FORMAT}; upgrade scholar."
            )
        if not (parts / CATALOGUE).is_file():
            raise KeyError(CATALOGUE)
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        # tarfile tells on a line each what every form of compression says of it.
        reason = "it is no tar file" if isinstance(error, tarfile.ReadError) else error
        raise LibraryError(
            f"{source} is no whole snapshot ({reason}); give a file that scholar library snapshot "
            "has made."
        ) from error
