"""Files of one format each, read into text with pages and sections."""

from __future__ import annotations

import os
from pathlib import Path

from scholar.errors import SourceError
from scholar.readers import html, latex, markdown, pdf, plain, xml
from scholar.readers.document import Document, Page, Section

__all__ = ["SUFFIXES", "Document", "Page", "Section", "read"]

_READERS = {
    ".pdf": pdf.read,
    ".md": markdown.read,
    ".markdown": markdown.read,
    ".txt": plain.read,
    ".text": plain.read,
    ".html": html.read,
    ".htm": html.read,
    ".xhtml": html.read,
    ".xml": xml.read,
    ".nxml": xml.read,
    ".tei": xml.read,
    ".tex": latex.read,
    ".gz": latex.read,
    ".tgz": latex.read,
    ".zip": latex.read,
}
SUFFIXES = tuple(_READERS)
"""Endings of the file names that can be read."""
_MOST_BYTES = 512 * 2**20
"""Of any file; scanned books have 300 MiB."""
_MOST_TEXT = 64 * 2**20
"""Of a file of text; the longest of papers, pictures in it, have 20 MiB."""
_PACKED = (".pdf", ".gz", ".tgz", ".zip")


def read(path: Path) -> Document:
    """The document in the file at `path`. A file that begins as a PDF is one, whatever its name.

    Raises SourceError, which says why the file cannot be used and what to do.
    """
    data = _bytes_of(path)
    if not data.strip():
        raise SourceError(f"{path} is empty; remove it or put the paper in its place.")
    if pdf.looks_like(data):
        return pdf.read(path, data)
    suffix = path.suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        known = ", ".join(SUFFIXES)
        raise SourceError(f"{path} is of no kind that can be read; convert it to one of {known}.")
    if suffix not in _PACKED and len(data) > _MOST_TEXT:
        raise _too_large(path, _MOST_TEXT)
    return reader(path, data)


def _too_large(path: Path, most: int) -> SourceError:
    return SourceError(
        f"{path} is larger than {most >> 20} MiB, more than a paper can be; name a smaller file."
    )


def _bytes_of(path: Path) -> bytes:
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise SourceError(f"{path} is no ordinary file; save what it gives and name that file.")
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise SourceError(f"There is no file {path}; check the path.") from None
    except IsADirectoryError:
        raise SourceError(f"{path} is a folder; name a file in it.") from None
    except PermissionError:
        raise SourceError(f"{path} may not be read; change its permissions.") from None
    except OSError as error:
        reason = error.strerror or "the system gave no reason"
        raise SourceError(f"{path} could not be read ({reason}); check the disk.") from None
    if len(data) > _MOST_BYTES:
        raise _too_large(path, _MOST_BYTES)
    return data
