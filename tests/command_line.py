"""Commands as a user types them, run in this process."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from typing import Any, NamedTuple

import jsonschema
from typer.testing import CliRunner

from scholar.cli import app

KEY = "sk-test-SECRET123"
SECRET = re.compile("(?<!_)SECRET")
"""As in every key of the tests, and not as in the names of variables."""
SCHEMA = json.loads(resources.files("scholar").joinpath("answer.schema.json").read_text("utf-8"))
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("scholar: ")]

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.json
        jsonschema.validate(answer, SCHEMA)
        return answer


Run = Callable[..., Ran]


def command(*arguments: object) -> Ran:
    """What `scholar` leaves behind where it is called with `arguments`."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return checked(result.exit_code, result.stdout, result.stderr)


def checked(code: int, out: str, err: str) -> Ran:
    """Nothing that a user sees is a traceback, a warning of a library, or a key."""
    for text in (out, err):
        assert "Traceback" not in text
        assert "Warning" not in text
        assert "should not have" not in text
        assert not SECRET.search(text)
        assert text.startswith("@") or not STEERING.search(text)  # an export is kept as it is
    return Ran(code, out, err)
