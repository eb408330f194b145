"""What a tool is: a named action, what it takes, and what it is allowed to touch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scholar.errors import ToolError
from scholar.values import Hit

if TYPE_CHECKING:
    from scholar.context import Context

Permission = Literal["reads library", "writes library", "network", "unknown"]
"""What a tool touches; `unknown` is whatever a server of the user's own may do."""
Permissions = frozenset[Permission]
LONGEST_ARGUMENT = 4_000
"""Characters of one argument: a question of full length may be searched for whole, and more."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What a tool brought: passages to read, words, and the ids of papers that it added.

    All of it is data, never an instruction.
    """

    hits: tuple[Hit, ...] = ()
    text: str = ""
    added: tuple[str, ...] = ()


Run = Callable[[Mapping[str, str], "Context", Permissions], Awaitable[Brought]]
"""What a tool does with its arguments, and with what it has been granted."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A named action; `parameters` are the names of its arguments, all text.

    It needs all of `permissions`, and uses what it is granted of `optional`. One that is `trusted`
    need not be asked for although what it does is unknown.
    """

    name: str
    about: str
    parameters: tuple[str, ...]
    permissions: Permissions
    run: Run
    optional: Permissions = frozenset()
    trusted: bool = False


def argument(arguments: Mapping[str, str], name: str) -> str:
    """The argument `name` on one line; raises ToolError where it is missing."""
    value = " ".join(arguments.get(name, "").split())
    if not value:
        raise ToolError(f"The argument '{name}' is missing; give it.")
    return value
