"""A library that may be read and not written, as on a medium or in a share of another user's."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def may_not_be_written(folder: Path) -> bool:
    """Whether there is a library in `folder` and this user may only read it."""
    return folder.is_dir() and not os.access(folder, os.W_OK)


def beside(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder with the indexes of the library in `folder`, in which they can be opened.

    They write locks beside their files even to read them. The files are links, but for Chroma's
    database, which is opened for writing.
    """
    made = tempfile.TemporaryDirectory(prefix="scholar-")
    for place in (*folder.glob("lexical*"), *folder.glob("chroma*")):
        for file in place.rglob("*"):
            target = Path(made.name, file.relative_to(folder))
            if not file.is_file() or file.suffix == ".lock":
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix.startswith(".sqlite"):
                shutil.copyfile(file, target)
            else:
                target.symlink_to(file)
    return made
