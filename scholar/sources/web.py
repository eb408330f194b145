"""How services are asked: politely, not twice, and in bounded time. httpx2 loads with the first
request.

Each host is asked one thing at a time, with the pause between that its terms want, also across
processes. What may pass (busy, broken off, silent) is tried again; a host that goes on failing is
left alone for a while. Answers are kept on disk.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import scholar
from scholar.errors import SourceError
from scholar.settings import Settings
from scholar.sources.kept import DAY, HOUR, WEEK, Kept
from scholar.sources.resolving import Resolver
from scholar.sources.saving import copy, whole, written
from scholar.sources.service import Absent, OtherThing, Passing, Request, Service
from scholar.sources.waits import retry_after, spoken

if TYPE_CHECKING:
    import ssl

    import httpx2

__all__ = ["DAY", "HOUR", "WEEK", "OtherThing", "Service", "Web"]

_REDIRECTS = 5
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_Loop = asyncio.AbstractEventLoop


class Web:
    """Asks services as `settings` say. Every method raises SourceError, which names the service."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = settings.http
        self._kept = Kept(settings.home / "http")
        self._resolver = Resolver()
        self._failures: dict[str, int] = {}
        self._closed_until: dict[str, float] = {}
        self._locks: WeakKeyDictionary[_Loop, dict[str, asyncio.Lock]] = WeakKeyDictionary()

    async def get(
        self,
        service: Service,
        address: str,
        params: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        age: float = WEEK,
        check: Callable[[bytes], bool] = lambda data: True,
    ) -> bytes | None:
        """What is at `address`, or None where there is nothing (404).

        An answer of the last `age` seconds is not asked for again; 0 keeps none. With `body` it is
        a POST of it as JSON. `check` says whether the answer may be kept, or raises SourceError.
        """
        request = Request(service, address, params or {}, body)
        known = await asyncio.to_thread(self._kept.answer, request.key, age) if age else None
        if known is not None:
            return known[1] if known[0] else None
        data: bytes | None = None
        with suppress(Absent):
            data = await self._tried(request, whole)
        if (data is None or check(data)) and age:
            found = data is not None
            await asyncio.to_thread(self._kept.keep, request.key, found, data or b"")
        return data

    async def json(
        self,
        service: Service,
        address: str,
        params: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        age: float = WEEK,
        kind: type = dict,
        needs: tuple[str, type] | None = None,
        must: bool = False,
    ) -> Any:
        """As `get`, for a JSON value of `kind`.

        Where it `needs` a key, one without it, or with a value of another type, is an error; where
        there `must` be something, so is nothing.
        """

        def check(data: bytes) -> bool:
            _parsed(service, data, kind, needs)
            return True

        data = await self.get(service, address, params, body=body, age=age, check=check)
        if data is None and must:
            raise SourceError(
                f"{service.name} has nothing at {address} (HTTP 404); check '{service.setting}'."
            )
        return None if data is None else _parsed(service, data, kind, needs)

    async def file(
        self, service: Service, address: str, target: Path, looks: Callable[[bytes], bool]
    ) -> bool:
        """Bring the file at `address` to `target`; false where there is none.

        A `target` that is there already is not fetched again. `looks` is given the first bytes and
        says whether they begin what is wanted.
        """
        if await asyncio.to_thread(target.is_file):
            return True
        request = Request(service, address, {})
        if await asyncio.to_thread(self._kept.answer, request.key, HOUR):
            return False

        async def save(request: Request, answer: httpx2.Response) -> None:
            async with written(target) as file:
                await copy(request, answer, file, looks)

        try:
            await self._tried(request, save)
        except Absent:
            await asyncio.to_thread(self._kept.keep, request.key, False, b"")
            return False
        return True

    async def _tried(self, request: Request, take: Any) -> Any:
        if self._settings.offline and not request.service.local:
            raise SourceError(f"offline is set; unset it to reach {request.service.name}.")
        import tenacity

        http = self._http

        def enough(state: tenacity.RetryCallState) -> bool:
            return state.attempt_number > http.retries or self._rest_of(request.host) > 0

        pause = tenacity.wait_exponential(multiplier=http.pause, max=http.longest_wait)
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Passing),
            stop=enough,
            wait=pause,
            reraise=True,
        ):
            with attempt:
                return await self._attempt(request, take)
        raise AssertionError("the last attempt raises")

    async def _attempt(self, request: Request, take: Any) -> Any:
        async with self._lock(request.pace):
            self._check_open(request)
            await self._wait(request)
            try:
                result = await self._send(request, take)
            except Passing:
                self._count_failure(request.host)
                raise
            finally:
                await asyncio.to_thread(self._kept.leave, request.pace, request.service.delay)
            self._failures.pop(request.host, None)
            return result

    def _lock(self, pace: str) -> asyncio.Lock:
        # A lock belongs to one event loop.
        here = self._locks.setdefault(asyncio.get_running_loop(), {})
        return here.setdefault(pace, asyncio.Lock())

    def _check_open(self, request: Request) -> None:
        if left := self._rest_of(request.host):
            times = self._failures[request.host]
            raise SourceError(
                f"{request.service.name} failed {times} times in a row and is left alone; "
                f"try again in {spoken(left)}."
            )

    def _rest_of(self, host: str) -> float:
        """The seconds for which `host` is still left alone."""
        return max(0.0, self._closed_until.get(host, 0.0) - time.monotonic())

    def _count_failure(self, host: str) -> None:
        self._failures[host] = self._failures.get(host, 0) + 1
        # After the rest, a single failure is enough to leave it alone again.
        if self._failures[host] >= self._http.failures:
            self._closed_until[host] = time.monotonic() + self._http.rest

    async def _wait(self, request: Request) -> None:
        service, longest = request.service, self._http.longest_wait
        patience = longest + service.delay
        wait = await asyncio.to_thread(self._kept.turn, request.pace, service.delay, patience)
        if wait > patience:
            raise SourceError(
                f"{service.name} may not be asked just now; try again in {spoken(wait)}."
            )
        await asyncio.sleep(wait)

    async def _send(self, request: Request, take: Any) -> Any:
        import httpx2

        name = request.service.name
        await self._resolver.check(request)
        try:
            async with (
                asyncio.timeout(self._http.patience),
                self._client(request.service) as client,
                client.stream(
                    "GET" if request.body is None else "POST",
                    request.address,
                    params={**request.params, **request.service.extra} or None,
                    json=request.body,
                ) as answer,
            ):
                await self._check_status(request, answer)
                return await take(request, answer)
        except (httpx2.TimeoutException, TimeoutError):
            raise Passing(f"{name} did not answer in time; try again in a few minutes.") from None
        except httpx2.TooManyRedirects:
            raise SourceError(
                f"{name} redirects without end; check '{request.service.setting}'."
            ) from None
        except (httpx2.DecodingError, httpx2.ReadError, httpx2.RemoteProtocolError):
            raise Passing(f"{name} broke off its answer; try again in a few minutes.") from None
        except (
            httpx2.InvalidURL,
            httpx2.UnsupportedProtocol,
            httpx2.LocalProtocolError,
            UnicodeError,
        ):
            raise SourceError(
                f"{name} cannot be asked at {request.address}; check '{request.service.setting}' "
                "and its key, if one is set."
            ) from None
        except httpx2.HTTPError:
            raise Passing(f"{name} could not be reached; {request.service.what_to_do}.") from None

    def _client(self, service: Service) -> httpx2.AsyncClient:
        import httpx2

        return httpx2.AsyncClient(
            follow_redirects=True,
            max_redirects=_REDIRECTS,
            timeout=self._http.timeout,
            verify=_certificates(),
            headers={"User-Agent": _agent(self._settings.email), **service.headers},
        )

    async def _check_status(self, request: Request, answer: httpx2.Response) -> None:
        status, name = answer.status_code, request.service.name
        if status in (404, 410):
            raise Absent
        if status in _BUSY:
            asked = retry_after(answer.headers.get("Retry-After", ""))
            await self._leave(request, status, asked)
            raise Passing(f"{name} is busy (HTTP {status}); try again in a few minutes.")
        if status in (401, 403):
            raise SourceError(
                f"{name} refused the request (HTTP {status}); check its key, if one is set, or "
                f"{request.service.what_to_do}."
            )
        if status != 200:
            raise SourceError(
                f"{name} refused the request (HTTP {status}); check the ids or the query."
            )

    async def _leave(self, request: Request, status: int, asked: float) -> None:
        await asyncio.to_thread(self._kept.leave, request.pace, min(asked, HOUR))
        if asked > self._http.longest_wait:
            self._count_failure(request.host)
            raise SourceError(
                f"{request.service.name} is busy (HTTP {status}) and asks to be left alone; "
                f"try again in {spoken(asked)}."
            )


def is_pdf(beginning: bytes) -> bool:
    """Whether a file that begins so is a PDF."""
    return b"%PDF" in beginning[:1024]


def _parsed(service: Service, data: bytes, kind: type, needs: tuple[str, type] | None) -> Any:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    fits = isinstance(value, kind)
    if fits and needs is not None:
        key, wanted = needs
        fits = isinstance(value.get(key), wanted)
    if not fits:
        raise SourceError(
            f"{service.name} answered with something else than its JSON; try again later, or "
            f"check '{service.setting}'."
        )
    return value


def _agent(email: str) -> str:
    contact = f"; mailto:{email}" if email else ""
    return f"scholar/{scholar.__version__} (a research assistant{contact})"


@cache
def _certificates() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()  # 60 ms, which every client would spend anew
