"""The trace of a run: its events, one JSON object a line, as `events.schema.json` describes them.

A trace is appended to while the run goes on, and again where it is taken up later. What models were
sent and replied is in it only where the settings allow that, and keys never are. `Drafting` is left
out: a draft is written down when it is whole.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, SecretStr, ValidationError

from scholar import events
from scholar.events import Drafting, Event, Exchanged
from scholar.settings import Settings

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FOLDER = "traces"
HIDDEN = "[key]"
"""What stands where a key was."""
SHORTEST_KEY = 8
"""Characters; what servers without keys are given instead, such as "none", is an ordinary word."""


def path_of(home: Path, run_id: str) -> Path:
    """Where the trace of a run lies."""
    return home / FOLDER / f"{run_id}.jsonl"


class Trace:
    """Writes events to `path`, which is made with its folder when the first one comes.

    `content` says whether what models were sent and replied is written too, and `keys` are left out
    wherever they occur. Where the file cannot be written, `on_notice` gets a sentence, once, and
    the rest of the run goes unwritten.
    """

    def __init__(
        self,
        path: Path,
        *,
        content: bool = False,
        keys: Iterable[str] = (),
        on_notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._content = content
        self._keys = tuple(keys)
        self._on_notice = on_notice
        self._file: IO[str] | None = None
        self._usable = True

    def write(self, event: Event, at: float | None = None) -> None:
        """Append `event` as of `at`, in seconds since the epoch, or now."""
        unwritten = isinstance(event, Drafting) or (
            isinstance(event, Exchanged) and not self._content
        )
        if unwritten or not self._usable:
            return
        line = self._line(event, time.time() if at is None else at)
        try:
            self._file = self._file or _opened(self._path)
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            self._usable = False
            why = error.strerror or str(error)
            self._on_notice(
                f"This run's trace cannot be written to {self._path} ({why}); "
                "the run goes on without. Make room there, or set trace.keep to false."
            )

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            with suppress(OSError):  # What could not be written has been complained of.
                self._file.close()
            self._file = None
            self._usable = False

    def _line(self, event: Event, at: float) -> str:
        fields = {"at": round(at, 6), "type": event.type, **_fields(event)}
        # In ASCII, since people look at these lines in terminals, which other characters can steer.
        line = json.dumps(fields, default=_fields, separators=(",", ":"))
        return hide(line, self._keys) + "\n"


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _opened(path: Path) -> IO[str]:
    """`path`, to be appended to on a line of its own, for its user's eyes only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = _ends_torn(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    file = os.fdopen(descriptor, "a", encoding="ascii", newline="\n")
    if torn:
        file.write("\n")
    return file


def _ends_torn(path: Path) -> bool:
    """Whether the last line was cut off as it was written."""
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # there is no file yet, or nothing in it
        return False


def hide(written: str, keys: Iterable[str]) -> str:
    """JSON without the `keys` that occur in it."""
    for key in keys:
        written = written.replace(json.dumps(key)[1:-1], HIDDEN)
    return written


def keys_of(settings: Settings) -> tuple[str, ...]:
    """All keys that the settings hold, and that of OpenAI in the environment."""
    found = {*_secrets(settings), os.environ.get("OPENAI_API_KEY", "")}
    # The longest first: one may be the beginning of another.
    return tuple(sorted((key for key in found if len(key) >= SHORTEST_KEY), key=len, reverse=True))


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _secrets(item)


def read(path: Path) -> list[tuple[float, Event]]:
    """The events of a trace with their times, in order; raises OSError where there is none.

    Left out are lines cut off by a crash, and events that this version of `scholar` does not know.
    """
    found: list[tuple[float, Event]] = []
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            try:
                fields = json.loads(line)
                at = float(fields.pop("at"))
                found.append((at, _adapter().validate_python(fields)))
            except (ValidationError, ValueError, KeyError, TypeError, AttributeError):
                continue
    return found


def schema() -> dict[str, Any]:
    """The JSON Schema of one line of a trace."""
    described = _adapter().json_schema(mode="serialization")
    parts = described["$defs"]
    for kind in described["discriminator"]["mapping"].values():
        part = parts[kind.rpartition("/")[2]]
        part["properties"] = {"at": {"$ref": "#/$defs/at"}, **part["properties"]}
        part["required"] = ["at", *part["required"]]
        part["additionalProperties"] = False
    parts["at"] = {"description": "When, in seconds since the epoch.", "type": "number"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "description": "One line of a run's trace: an event of `scholar.events`, and when it was.",
        **described,
    }


@cache
def _adapter() -> TypeAdapter[Event]:
    from pydantic import TypeAdapter

    kinds: Any = tuple(kind for kind in events.Event.__args__ if kind is not Drafting)
    union: Any = kinds[0]
    for kind in kinds[1:]:
        union |= kind
    return TypeAdapter(Annotated[union, Field(discriminator="type")])


if __name__ == "__main__":  # python -m scholar.trace > scholar/events.schema.json
    sys.stdout.write(json.dumps(schema(), ensure_ascii=False, indent=2) + "\n")
