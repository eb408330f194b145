"""Files of one format each, read into text with pages and sections."""

from __future__ import annotations

import os
from pathlib import Path

from scholar.errors import SourceError
from scholar.readers import markdown, pdf, plain
from scholar.readers.document import Document, Page, Section

__all__ = ["SUFFIXES", "Document", "Page", "Section", "read"]

_READERS = {
    ".pdf": pdf.read,
    ".md": markdown.read,
    ".markdown": markdown.read,
    ".txt": plain.read,
    ".text": plain.read,
}
SUFFIXES = tuple(_READERS)
"""Endings of the file names that can be read."""


def read(path: Path) -> Document:
    """The document in the file at `path`. A file that begins as a PDF is one, whatever its name.

    Raises SourceError, which says why the file cannot be used and what to do.
    """
    data = _bytes_of(path)
    if not data.strip():
        raise SourceError(f"{path} is empty; remove it or put the paper in its place.")
    if pdf.looks_like(data):
        return pdf.read(path, data)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(SUFFIXES)
        raise SourceError(f"{path} is of no kind that can be read; convert it to one of {known}.")
    return reader(path, data)


def _bytes_of(path: Path) -> bytes:
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise SourceError(f"{path} is no ordinary file; save what it gives and name that file.")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceError(f"There is no file {path}; check the path.") from None
    except IsADirectoryError:
        raise SourceError(f"{path} is a folder; name a file in it.") from None
    except PermissionError:
        raise SourceError(f"{path} may not be read; change its permissions.") from None
    except OSError as error:
        reason = error.strerror or "the system gave no reason"
        raise SourceError(f"{path} could not be read ({reason}); check the disk.") from None
