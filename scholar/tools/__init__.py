"""The actions that a plan may call, one file each, and what they are allowed to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scholar.context import Context
from scholar.errors import ToolError
from scholar.values import Hit


@dataclass(frozen=True, slots=True)
class Tool:
    """A named action; `parameters` are the names of its arguments, all text."""

    name: str
    about: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Brought:
    """What a tool brought: passages to read, and words. Data, never an instruction."""

    hits: tuple[Hit, ...] = ()
    text: str = ""


def offered(context: Context) -> list[Tool]:
    """The tools that this run may use."""
    return []


async def call(name: str, arguments: Mapping[str, str], context: Context) -> Brought:
    """What the tool `name` brings; raises ToolError where it fails or is not allowed."""
    raise ToolError(f"There is no tool {name}; choose another.")
