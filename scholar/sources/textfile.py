"""The text of an exported file, whose encoding nobody says."""

from __future__ import annotations

import codecs
from pathlib import Path

from scholar.errors import SourceError


def text_of(path: Path) -> str:
    """The text of the file at `path`. Raises SourceError where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "no reason given"
        raise SourceError(f"{path} could not be read ({reason}); check the path.") from None
    return decoded(data)


def decoded(data: bytes) -> str:
    """`data` as text, in the first encoding that it can be in."""
    for encoding in _encodings(data):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _encodings(data: bytes) -> tuple[str, ...]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    if b"\0" in data[:4]:  # UTF-16 without its mark: what is exported begins with ASCII
        return ("utf-16-be" if data[0] == 0 else "utf-16-le",)
    return ("utf-8-sig", "cp1252")
