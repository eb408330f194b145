"""An answer as a file: its name's ending decides the form."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from scholar.errors import ReportError, UsageError
from scholar.report.dossier import Dossier
from scholar.report.json import json_text


def _json(dossier: Dossier) -> bytes:
    from scholar.report import to_json

    return f"{json_text(to_json(dossier.answer))}\n".encode()


def _markdown(dossier: Dossier) -> bytes:
    from scholar.report import to_markdown

    return to_markdown(dossier.answer).encode()


def _bibtex(dossier: Dossier) -> bytes:
    from scholar.sources.bibtex import write

    return write(dossier.answer.bibliography).encode()


def _html(dossier: Dossier) -> bytes:
    from scholar.report.html import to_html

    return to_html(dossier).encode()


def _docx(dossier: Dossier) -> bytes:
    from scholar.report.docx import to_docx

    return to_docx(dossier)


FORMS: dict[str, Callable[[Dossier], bytes]] = {
    ".md": _markdown,
    ".html": _html,
    ".json": _json,
    ".bib": _bibtex,
    ".docx": _docx,
}
"""What makes a file of each ending."""


def place(name: str) -> Path:
    """The file `name`; raises UsageError where its ending names none of the five forms."""
    path = Path(name).expanduser()
    if path.suffix.lower() not in FORMS:
        raise UsageError(
            f"'{name}' says no form that a report can have; let it end in {_endings()}."
        )
    return path


def _endings() -> str:
    *others, last = FORMS
    return f"{', '.join(others)} or {last}"


def save(dossier: Dossier, path: Path) -> None:
    """Write the report that the ending of `path` asks for, whole or not at all.

    Raises ReportError where it cannot be written.
    """
    _write(path, FORMS[path.suffix.lower()](dossier))


def write_text(path: Path, text: str) -> None:
    """Write `text` to the file `path`, whole or not at all; halves of characters become `?`.

    Raises ReportError where it cannot be written.
    """
    _write(path, text.encode("utf-8", "replace"))


def _write(path: Path, content: bytes) -> None:
    try:
        _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise ReportError(
            f"{path} could not be written ({error.strerror or error}); "
            "choose another place with --out."
        ) from error


def _replace(path: Path, content: bytes) -> None:
    """Put `content` at `path`; what stood there stays until all of it is on disk."""
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    part = Path(path.parent, f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            part.chmod(path.stat().st_mode & 0o777)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
