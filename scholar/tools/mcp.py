"""The tools of the user's own servers, by the Model Context Protocol.

What a server says (names, descriptions, results) is data: shortened, without invisible characters,
and never an instruction. The `mcp` package loads with the first server that is asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import scholar
from scholar.backends import is_loopback
from scholar.errors import ToolError
from scholar.settings import Mcp, Settings
from scholar.text import plain, plain_line, shortened
from scholar.tools.tool import Brought, Permissions, Tool

if TYPE_CHECKING:
    import mcp
    from mcp_types import CallToolResult

    from scholar.context import Context

LONGEST_RESULT = 4_000
"""Characters of a result that are kept: five times what a note repeats of it."""
LONGEST_ABOUT = 200
"""Characters of a description that the planner is shown: one sentence, not a second prompt."""
MOST_TOOLS = 32
"""Tools of one server; the planner's prompt has to hold them all."""
REST = 60.0
"""Seconds that a server is left alone after it could not be reached, as other services are."""
_PAGES = 5
_NAME = re.compile(r"[A-Za-z][\w-]{0,63}")
_TYPED = frozenset({"integer", "number", "boolean", "array", "object"})
"""Types of arguments that are not text, so that what a model wrote is read as JSON."""


@dataclass(frozen=True, slots=True)
class Served:
    """The tools of all servers, and why those of some could not be had."""

    tools: tuple[Tool, ...] = ()
    notes: tuple[str, ...] = ()


class Servers:
    """The servers of `settings`, each started when it is first needed and kept until `aclose`.

    What a server offers is asked for once, so that it cannot change it later.
    """

    def __init__(self, settings: Settings) -> None:
        self._links = {name: _Link(name, server) for name, server in settings.mcp.items()}
        self._settings = settings

    async def served(self) -> Served:
        """The tools of all servers that may be asked at all; one that fails stops no other."""
        open_to = [link for link in self._links.values() if self._may_ask(link.server)]
        found = await asyncio.gather(*(self._tools(link) for link in open_to))
        tools = tuple(tool for one in found for tool in one.tools)
        return Served(tools, tuple(note for one in found for note in one.notes))

    async def named(self, name: str) -> Tool | None:
        """The tool `name`, as SERVER.TOOL; raises ToolError where its server may not be asked."""
        link = self._links.get(name.partition(".")[0])
        if link is None:
            return None
        if not self._may_ask(link.server):
            raise ToolError(f"The server of {name} may not be asked {self._why()}; unset it.")
        return next((tool for tool in await link.tools() if tool.name == name), None)

    async def aclose(self) -> None:
        """End all servers that were started."""
        await asyncio.gather(*(link.aclose() for link in self._links.values()))

    async def _tools(self, link: _Link) -> Served:
        try:
            return Served(tuple(await link.tools()))
        except ToolError as error:
            return Served(notes=(str(error),))

    def _may_ask(self, server: Mcp) -> bool:
        """Whether `server` could have a tool that is allowed; else it is not even started."""
        if self._settings.offline and "network" in _touches(server, bool(server.trusted)):
            return False
        return bool(server.trusted) or not self._settings.tools.read_only

    def _why(self) -> str:
        return "while offline is set" if self._settings.offline else "while tools.read_only is set"


class _Link:
    """One server and the connection to it, which a task of its own holds open."""

    def __init__(self, name: str, server: Mcp) -> None:
        self.server = server
        self._name = name
        self._turn = asyncio.Lock()
        self._closing = asyncio.Event()
        self._holding: asyncio.Task[None] | None = None
        self._client: asyncio.Future[mcp.Client] | None = None
        self._offers: list[Tool] | None = None
        self._failed: tuple[float, ToolError] | None = None

    async def tools(self) -> list[Tool]:
        """What the server offers, as it did at first; raises ToolError."""
        async with self._turn:
            if self._offers is None:
                if self._failed and time.monotonic() < self._failed[0] + REST:
                    raise self._failed[1]
                try:
                    self._offers = await self._list()
                except ToolError as error:
                    self._failed = (time.monotonic(), error)
                    raise
            return self._offers

    async def aclose(self) -> None:
        """End the server."""
        self._closing.set()
        if self._holding is not None:
            await asyncio.wait([self._holding])

    async def _list(self) -> list[Tool]:
        found: list[Tool] = []
        async with self._asking("list its tools") as client:
            cursor: str | None = None
            for _ in range(_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += [self._tool(each.name, each) for each in page.tools if _fit(each.name)]
                cursor = page.next_cursor
                if not cursor:
                    break
        return found[:MOST_TOOLS]

    def _tool(self, name: str, offer: Any) -> Tool:
        schema = offer.input_schema if isinstance(offer.input_schema, dict) else {}
        properties = schema.get("properties", {})
        properties = properties if isinstance(properties, dict) else {}
        trusted = name in self.server.trusted or "*" in self.server.trusted
        return Tool(
            f"{self._name}.{name}",
            _told(offer.description or "a tool of the user's own server"),
            tuple(key for key in properties if _fit(key)),
            _touches(self.server, trusted),
            partial(self._call, name, properties),
            trusted=trusted,
        )

    async def _call(
        self,
        name: str,
        properties: Mapping[str, Any],
        arguments: Mapping[str, str],
        context: Context,
        granted: Permissions,
    ) -> Brought:
        given = {key: _typed(value, properties.get(key)) for key, value in arguments.items()}
        async with self._asking(f"run {name}") as client:
            result = await client.call_tool(name, given)
        text = shortened(plain(_text(result)).strip(), LONGEST_RESULT)
        if result.is_error:
            raise ToolError(f"{self._name}.{name} failed: {text or 'it does not say why'}.")
        return Brought(text=text or "It brought nothing.")

    @asynccontextmanager
    async def _asking(self, what: str) -> AsyncIterator[mcp.Client]:
        """The connection, with what goes wrong on it as a ToolError."""
        try:
            from mcp import MCPError
            from mcp_types import CONNECTION_CLOSED
        except ImportError:
            raise ToolError(
                f"The server {self._name} needs the package mcp; install scholar[mcp]."
            ) from None
        try:
            async with asyncio.timeout(self.server.timeout):
                yield await self._connected()
        except TimeoutError:
            raise self._error(f"did not {what} within {self.server.timeout:g} s") from None
        # The package gathers what its tasks raise in groups.
        except (MCPError, OSError, ValueError, RuntimeError, ExceptionGroup) as error:
            if not isinstance(error, MCPError) or error.code == CONNECTION_CLOSED:
                self._closing.set()  # the next call starts it anew
            raise self._error(f"could not {what} ({_reason(error)})") from None

    def _error(self, what: str) -> ToolError:
        setting = f"mcp.{self._name}"
        return ToolError(f"The server {self._name} {what}; check '{setting}' in the settings.")

    async def _connected(self) -> mcp.Client:
        if self._client is None or self._closing.is_set():
            self._client = asyncio.get_running_loop().create_future()
            self._closing = asyncio.Event()
            # What opens a connection has to close it, so this cannot be the run's own task.
            self._holding = asyncio.create_task(self._hold(self._client, self._closing))
        return await asyncio.shield(self._client)

    async def _hold(self, client: asyncio.Future[mcp.Client], closing: asyncio.Event) -> None:
        from mcp import MCPError

        try:
            async with AsyncExitStack() as stack:
                opened = await self._open(stack)
                client.set_result(opened)
                await closing.wait()
        except (MCPError, OSError, ValueError, RuntimeError, ExceptionGroup) as error:
            if not client.done():
                client.set_exception(self._error(f"did not start ({_reason(error)})"))
                client.exception()  # whoever waited may have gone
        finally:
            closing.set()

    async def _open(self, stack: AsyncExitStack) -> mcp.Client:
        from mcp import Client, StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client

        server = self.server
        if server.url:
            import httpx2

            # A proxy of the environment is no way to this machine itself.
            http = httpx2.AsyncClient(
                headers={key: value.get_secret_value() for key, value in server.headers.items()},
                timeout=server.timeout,
                trust_env=not is_loopback(server.url),
            )
            await stack.enter_async_context(http)
            transport: Any = streamable_http_client(server.url, http_client=http)
        else:
            # What a server says beside the protocol could steer the user's terminal.
            silenced = stack.enter_context(open(os.devnull, "w"))  # noqa: ASYNC230, SIM115
            command, *arguments = server.command
            env = {key: value.get_secret_value() for key, value in server.env.items()}
            parameters = StdioServerParameters(command=command, args=arguments, env=env)
            transport = stdio_client(parameters, errlog=silenced)
        return await stack.enter_async_context(
            Client(transport, client_info=_who(), cache=None, read_timeout_seconds=server.timeout)
        )


async def served(context: Context) -> Served:
    """The tools of the servers of this run."""
    servers = context.services.servers
    return await servers.served() if servers else Served()


async def named(name: str, context: Context) -> Tool | None:
    """The tool SERVER.TOOL, or None where there is none; raises ToolError."""
    servers = context.services.servers
    return await servers.named(name) if servers else None


def _touches(server: Mcp, trusted: bool) -> Permissions:
    """What a tool of `server` may touch: a program may reach anything unless the user trusts it."""
    stays = is_loopback(server.url) if server.url else trusted
    return frozenset({"unknown"} if stays else {"network", "unknown"})


def _who() -> Any:
    from mcp import Implementation

    return Implementation(name="scholar", version=scholar.__version__)


def _fit(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _typed(value: str, schema: Any) -> Any:
    """`value` as the server's schema wants it; as text where it cannot be read so."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind not in _TYPED:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _reason(error: BaseException) -> str:
    """What went wrong, in one line: the first error of a group stands for it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return _told(str(error)).rstrip(".") or type(error).__name__


def _told(text: str) -> str:
    """What a server says of something, in one line."""
    return shortened(plain_line(text), LONGEST_ABOUT)


def _text(result: CallToolResult) -> str:
    """The words of a result; what is not text is named only."""
    parts = [getattr(block, "text", None) or f"({block.type})" for block in result.content]
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts)
