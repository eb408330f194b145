"""Finding out, in bounded time, whether the names of servers are resolved at all.

The system's own look-up cannot be called off: with a name server that never answers it takes 10
seconds and more, and keeps the process from ending for as long. So each name is looked up before
its server is asked, by a thread that nobody waits for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit
from urllib.request import getproxies

from scholar.errors import SourceError
from scholar.sources.service import Request

PATIENCE = 3.0
"""Seconds a name server has; those that answer at all take less than one."""
SHORT = 1.0
"""The same while a name server has kept silent, so that asking several services stays bounded."""
REST = 60.0
"""Seconds for which that is remembered."""
KNOWN = 300.0
"""Seconds for which a name that was resolved is not looked up again."""


class Resolver:
    """Looks up the names of servers and remembers how that went."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}
        self._silent = -REST

    async def check(self, request: Request) -> None:
        """Raises SourceError where the name of the server is not resolved, or not in time.

        What is no name, or is behind a proxy that resolves it, is not looked up.
        """
        host = _name_in(request.address)
        if not host or time.monotonic() - self._known.get(host, -KNOWN) < KNOWN or getproxies():
            return
        patience = SHORT if time.monotonic() - self._silent < REST else PATIENCE
        try:
            async with asyncio.timeout(patience):
                await _look_up(host)
        except TimeoutError:
            self._silent = time.monotonic()
            raise SourceError(
                f"The name server did not answer when asked for {request.service.name}; "
                f"{request.service.what_to_do}."
            ) from None
        except (OSError, UnicodeError):
            raise SourceError(
                f"{request.service.name} could not be reached, as {host} is not known; "
                f"{request.service.what_to_do}."
            ) from None
        self._known[host] = time.monotonic()


def _name_in(address: str) -> str:
    """The name of the server in `address`; empty where it is a number or this machine."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:  # no address at all, as the client will say
        return ""
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return ""
    return "" if host == "localhost" else host


async def _look_up(host: str) -> None:
    """Returns once `host` is resolved. Raises what the system says against it."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if not found.done():
            found.set_result(None) if error is None else found.set_exception(error)

    def ask() -> None:
        error: Exception | None = None
        try:
            socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as said:
            error = said
        with suppress(RuntimeError):  # nobody waits any longer
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=ask, daemon=True, name=f"resolving {host}").start()
    await found
