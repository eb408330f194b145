"""Whose turn it is: so many questions at a time, those of one thread one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Turn:
    """A place in the queue. `come` is set once it is its turn; `moved` is told of every move."""

    thread: str
    moved: Callable[[int], None] = lambda _: None
    come: asyncio.Event = field(default_factory=asyncio.Event)
    position: int = 0
    """Its number among those that wait; 0 once its turn has come."""


class Turns:
    """First come, first served, `most` at a time; a thread is served in its own order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: list[Turn] = []
        self._busy: list[Turn] = []

    def enter(self, thread: str) -> Turn:
        """The last place in the queue, which may be no queue at all."""
        turn = Turn(thread)
        self._waiting.append(turn)
        self._advance()
        return turn

    def leave(self, turn: Turn) -> None:
        """Give up a place or a turn."""
        for turns in (self._waiting, self._busy):
            if turn in turns:
                turns.remove(turn)
        self._advance()

    def _advance(self) -> None:
        for turn in list(self._waiting):
            if len(self._busy) == self._most:
                break
            if not self._held_up(turn):
                self._waiting.remove(turn)
                self._busy.append(turn)
                turn.position = 0
                turn.come.set()
        for position, turn in enumerate(self._waiting, start=1):
            if position != turn.position:
                turn.position = position
                turn.moved(position)

    def _held_up(self, turn: Turn) -> bool:
        """Whether a question of the same thread is under way or before it."""
        before = self._waiting[: self._waiting.index(turn)]
        return any(other.thread == turn.thread for other in (*self._busy, *before))
