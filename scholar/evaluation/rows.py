"""Reading files with one JSON object per line, and writing them so that a kill loses one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scholar.errors import LibraryError, UsageError

Row = dict[str, Any]
MISSING = "check the folder that you named"
"""What to do about a file that cannot be read, where its reader knows no better."""


def rows(path: Path, *needed: str, missing: str = MISSING) -> Iterator[Row]:
    """The objects of `path`, each with text under the names `needed`; UsageError says which not.

    `missing` is as in `lines`.
    """
    for number, line in enumerate(lines(path, missing), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UsageError(f"{path}, line {number}: not a JSON object; correct it.")
        for name in needed:
            if not isinstance(row.get(name), str):
                raise UsageError(f"{path}, line {number}: no text under '{name}'; correct it.")
        yield row


def lines(path: Path, missing: str = MISSING) -> list[str]:
    """The lines of a text; UsageError where it cannot be read, which ends in `missing`."""
    try:
        # By line feeds alone: texts may have other marks that end a line.
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); {missing}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not in UTF-8 ({error.reason}); convert it.") from error


class RowFile:
    """A file that only grows, one JSON object per line; `rows` is all that is in it.

    A last line that was cut short is forgotten. Raises LibraryError where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: list[Row] = []
        whole = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                file.seek(0)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self.rows.append(json.loads(line))
                    whole += len(line)
                file.truncate(whole)
        except (OSError, ValueError) as error:
            raise LibraryError(
                f"{path} cannot be used ({error}); remove it, or choose another --out."
            ) from error

    def add(self, row: Row) -> None:
        """Write one more."""
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        try:
            with self._path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise LibraryError(
                f"{self._path} cannot be written ({error.strerror}); make room or choose "
                "another --out, and run the command again."
            ) from error
        self.rows.append(row)
