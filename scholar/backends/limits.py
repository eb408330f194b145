"""How much one model is sent: requests at a time, and requests and tokens a minute."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from scholar.settings import Limit

MINUTE = 60.0
NOTICEABLE = 1.0
"""Seconds of a wait that a person is told about."""


@dataclass(eq=False, slots=True)
class Entry:
    """One request of the last minute. `tokens` may be set to what it took once it is over."""

    at: float
    tokens: int


class Lane:
    """The way to one model, taken in the order of asking.

    `concurrency` is that of `limit`, which has to have one. A request larger than a whole minute's
    tokens is sent when nothing else was in that minute, for else it never would be.
    """

    def __init__(self, limit: Limit, minute: float = MINUTE) -> None:
        self._limit = limit
        self._minute = minute
        self._slots = asyncio.Semaphore(limit.concurrency or 1)
        self._gate = asyncio.Lock()
        self._recent: deque[Entry] = deque()
        self._settled = asyncio.Event()
        self.under_way = 0

    @asynccontextmanager
    async def turn(
        self, tokens: int, on_wait: Callable[[float], None] = lambda _: None
    ) -> AsyncIterator[Entry]:
        """Wait for a slot and for the minute to have room for `tokens`, then hold the slot.

        `on_wait` gets the seconds of a noticeable wait before it begins. Set `tokens` of the entry
        when the true number is known: what was not used is free for others at once.
        """
        async with self._slots:
            entry = await self._admitted(tokens, on_wait)
            self.under_way += 1
            try:
                yield entry
            finally:
                self.under_way -= 1
                self._settled.set()

    async def _admitted(self, tokens: int, on_wait: Callable[[float], None]) -> Entry:
        entry = Entry(time.monotonic(), tokens)
        if self._limit.tokens_per_minute is None and self._limit.requests_per_minute is None:
            return entry
        async with self._gate:
            told = False
            while (wait := self._wait(tokens)) > 0:
                if wait >= NOTICEABLE and not told:
                    on_wait(wait)
                    told = True
                self._settled.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._settled.wait(), wait)
            entry.at = time.monotonic()
            self._recent.append(entry)
        return entry

    def _wait(self, tokens: int) -> float:
        """Seconds until `tokens` more and one request more keep within the limits."""
        now = time.monotonic()
        while self._recent and self._recent[0].at + self._minute <= now:
            self._recent.popleft()
        requests, used = len(self._recent), sum(entry.tokens for entry in self._recent)
        most_requests = self._limit.requests_per_minute or math.inf
        most_tokens = self._limit.tokens_per_minute or math.inf
        wait = 0.0
        for entry in self._recent:
            if requests < most_requests and used + tokens <= most_tokens:
                break
            wait = entry.at + self._minute - now
            requests -= 1
            used -= entry.tokens
        return wait
