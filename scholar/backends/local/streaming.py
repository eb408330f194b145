"""Replies on their way out: tokens to text, and its pieces to the event loop."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from scholar.backends import Delta
from scholar.errors import ModelError

if TYPE_CHECKING:
    from scholar.backends.local.weights import Weights

_WINDOW = 8
"""Tokens decoded together: more than any character has, few enough to cost nothing."""

Item = Delta | ModelError | None
"""What comes of a request: pieces, then None at the end of a whole reply, or an error."""
Send = Callable[[Item], None]


class Outbox:
    """Hands what the model's thread makes to one event loop, much of it at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._items: deque[tuple[asyncio.Queue[Item], Item]] = deque()
        self._called = False

    def put(self, queue: asyncio.Queue[Item], item: Item) -> bool:
        """Have `item` put into `queue`; False where the loop has ended."""
        self._items.append((queue, item))
        if self._called:
            return True
        self._called = True  # before the call, so that it is never unset after the last item
        loop = self._loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._deliver)
                return True
        except RuntimeError:
            pass  # it was closed, as said below
        self._called = False
        self._items.clear()
        return False

    def _deliver(self) -> None:
        self._called = False
        while self._items:
            queue, item = self._items.popleft()
            queue.put_nowait(item)


class Decoder:
    """Turns tokens into text, holding back what is not yet a whole character."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._tokens: list[int] = []
        self._said = ""

    def feed(self, token: int) -> str:
        """The text that `token` adds."""
        self._tokens.append(token)
        text = self._weights.decode(self._tokens)
        if text.endswith("\ufffd") and len(self._tokens) < _WINDOW:
            return ""
        new, self._said = text[len(self._said) :], text
        if len(self._tokens) >= _WINDOW:
            # A token's text can hang on the one before it, not on all of them.
            self._tokens = self._tokens[-1:]
            self._said = self._weights.decode(self._tokens)
        return new

    def rest(self) -> str:
        """What was held back."""
        new = self._weights.decode(self._tokens)[len(self._said) :]
        self._tokens, self._said = [], ""
        return new
