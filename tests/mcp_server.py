"""A server of tools on a loopback port, as MCP has them."""

from __future__ import annotations

from typing import ClassVar

from mcp.server.mcpserver import MCPServer
from served import Served
from starlette.applications import Starlette


class Http(Served):
    """Counts what it is asked."""

    path = "/mcp"
    options: ClassVar = {}

    def __init__(self) -> None:
        self.called: list[str] = []
        self.offered = MCPServer("web")
        self.offer()

    def offer(self) -> None:
        """Add the tools that it begins with."""

        @self.offered.tool()
        def look(word: str) -> str:
            """What is noted of a word."""
            self.called.append(word)
            return f"{word} is on the web."

    def app(self) -> Starlette:
        return self.offered.streamable_http_app()
