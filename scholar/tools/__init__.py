"""The actions that a plan may call, and the one place where it is decided whether they may run.

A model chooses a tool by its name and nothing else. Whether it exists, is switched off, may write,
may reach the network or has to be asked for first is decided here, from the settings alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scholar.errors import ScholarError, ToolError
from scholar.events import Used
from scholar.journal import key_of
from scholar.text import plain_line
from scholar.tools import calculate, citations, knowledge, mcp, papers, shelf
from scholar.tools.tool import LONGEST_ARGUMENT, Brought, Permission, Permissions, Tool
from scholar.values import Inquiry

if TYPE_CHECKING:
    from scholar.context import Context

__all__ = ["BUILT_IN", "Brought", "Offer", "Permission", "Permissions", "Tool", "call", "offered"]

BUILT_IN: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (*shelf.TOOLS, *papers.TOOLS, *citations.TOOLS, *knowledge.TOOLS, *calculate.TOOLS)
}
MOST_ARGUMENTS = 8
"""Arguments of one call; no tool of ours takes more than two."""
LONGEST_SHOWN = 300
"""Characters of an argument that a person is shown before agreeing, with how many more it has."""
_NAME = re.compile(r"[A-Za-z][\w.-]{0,99}")


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool as a model is told of it."""

    name: str
    about: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools that a run may use now, and why those of a server could not be had."""

    tools: tuple[Offered, ...]
    notes: tuple[str, ...] = ()


async def offered(context: Context) -> Offer:
    """The tools that may be called now: ours, then those of the user's servers."""
    served = await mcp.served(context)
    allowed = (t for t in (*BUILT_IN.values(), *served.tools) if not _refusal(t, context))
    return Offer(tuple(Offered(t.name, t.about, t.parameters) for t in allowed), served.notes)


async def call(name: str, arguments: Mapping[str, str], context: Context) -> Brought:
    """What the tool `name` brings; raises ToolError where it fails or is not allowed.

    Whoever calls, and whatever was offered before: nothing runs without being allowed here. What a
    tool has brought a run is not fetched again until the run has added a paper.
    """
    key = key_of("tool", name, sorted(arguments.items()), context.library.epoch)
    return await context.record.once(key, Brought, lambda: _call(name, arguments, context))


async def _call(name: str, arguments: Mapping[str, str], context: Context) -> Brought:
    tool = await _named(name, context)
    if refusal := _refusal(tool, context):
        raise ToolError(refusal)
    if len(arguments) > MOST_ARGUMENTS:
        raise ToolError(f"{tool.name} was given too many arguments; it takes {_takes(tool)}.")
    given = {key: value for key, value in arguments.items() if key in tool.parameters}
    if any(len(value) > LONGEST_ARGUMENT for value in given.values()):
        raise ToolError(f"An argument may have {LONGEST_ARGUMENT:,} characters; shorten it.")
    if _asks_first(tool, context):
        await _ask(tool, given, context)
    return await _run(tool, given, context)


async def _run(tool: Tool, arguments: Mapping[str, str], context: Context) -> Brought:
    granted = tool.permissions | (tool.optional - _withheld(context))
    began, failed = time.monotonic(), ""
    try:
        return await tool.run(arguments, context, granted)
    except ScholarError as error:
        failed = str(error)
        raise
    finally:
        seconds = round(time.monotonic() - began, 3)
        context.emit(Used(tool.name, tuple(arguments.items()), seconds, failed))


async def _named(name: str, context: Context) -> Tool:
    if tool := BUILT_IN.get(name):
        return tool
    if not _NAME.fullmatch(name):
        raise ToolError("What was called is no name of a tool; choose one that is offered.")
    tool = await mcp.named(name, context) if "." in name else None
    if tool is None:
        raise ToolError(f"There is no tool {name}; choose one that is offered.")
    return tool


def _refusal(tool: Tool, context: Context) -> str:
    """Why `tool` may not run now, as a sentence; empty where it may."""
    settings = context.settings.tools
    if tool.name in settings.off:
        return f"{tool.name} is switched off; take it out of tools.off to use it."
    if "writes library" in tool.permissions and not (settings.read_only or context.papers_left):
        return f"{tool.name} has added all papers that this run may; raise tools.papers_per_run."
    withheld = tool.permissions & _withheld(context)
    if "network" in withheld:
        return f"{tool.name} may reach the network and offline is set; unset it to use this tool."
    if withheld - ({"unknown"} if tool.trusted else set()):
        return f"{tool.name} may change something and tools.read_only is set; unset it to use it."
    return ""


def _withheld(context: Context) -> Permissions:
    """What no tool of this run is granted."""
    withheld: set[Permission] = set()
    if context.settings.offline:
        withheld.add("network")
    if context.settings.tools.read_only:
        withheld |= {"writes library", "unknown"}
    return frozenset(withheld)


def _asks_first(tool: Tool, context: Context) -> bool:
    unknown = "unknown" in tool.permissions and not tool.trusted
    return unknown or tool.name in context.settings.tools.ask_first


async def _ask(tool: Tool, arguments: Mapping[str, str], context: Context) -> None:
    """Ask the user; raises ToolError unless the answer is yes."""
    if not context.has_person:
        setting = "list it under 'trusted'" if "unknown" in tool.permissions else "change ask_first"
        raise ToolError(
            f"{tool.name} runs only if a person agrees, and none is here; "
            f"ask in a terminal, or {setting}."
        )
    said = ", ".join(f"{key}={_shown(value)!r}" for key, value in arguments.items())
    text = f"May the tool {tool.name} run, with {said or 'no arguments'}?"
    if not await context.consult(Inquiry("tool", text, {"tool": tool.name})):
        raise ToolError(f"The user did not allow {tool.name}; go on without it.")


def _shown(text: str) -> str:
    text = plain_line(text)
    more = len(text) - LONGEST_SHOWN
    return text if more <= 0 else f"{text[:LONGEST_SHOWN]}… (and {more} characters)"


def _takes(tool: Tool) -> str:
    return ", ".join(tool.parameters) or "none"
