"""What one run has asked and been told, so that nothing is asked, or paid for, twice."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_json

from scholar.errors import ReplayDiffers, ScholarError, error_named
from scholar.values import Call

T = TypeVar("T")


class Keeper(Protocol):
    """Where a record is kept beyond this process."""

    async def keep(self, run_id: str, key: str, text: str, seconds: float) -> None:
        """Keep what was told under `key`; return when it is kept."""

    def enter(self, run_id: str, number: int, call: Call, *, ended: bool) -> Awaitable[Any]:
        """Keep a call as it stands."""


class Record:
    """One run, as it is remembered.

    `told` is what it was told by key, `calls` its calls and `seconds` the time it has taken, each
    in an earlier part of it. `clock` tells the seconds of any clock that goes on. While `replaying`
    nothing new is asked: what is not known raises ReplayDiffers. Without a `run_id` it is of no
    run, and remembers nothing but calls.
    """

    def __init__(
        self,
        run_id: str,
        clock: Callable[[], float],
        *,
        keeper: Keeper | None = None,
        told: Mapping[str, str] | None = None,
        calls: Mapping[int, Call] | None = None,
        seconds: float = 0.0,
        replaying: bool = False,
    ) -> None:
        self.run_id = run_id
        self.replaying = replaying
        self._told = dict(told or {})
        self._calls = dict(calls or {})
        self._under_way: set[int] = set()
        self._keeper = keeper
        self._clock = clock
        self._before = seconds
        self._began = clock()

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call of the run, in the order of sending: ended, failed, or lost with a process
        that died; without those under way.
        """
        ended = (number for number in sorted(self._calls) if number not in self._under_way)
        return tuple(self._calls[number] for number in ended)

    @property
    def seconds(self) -> float:
        """How long the run has been at work, without the times between its parts."""
        return self._before + self._clock() - self._began

    def told(self, key: str) -> str | None:
        """What the run was told under `key`, or None."""
        return self._told.get(key)

    async def keep(self, key: str, text: str) -> None:
        """Remember what was told under `key`; on return it outlives this process."""
        if not self.run_id:
            return
        self._told[key] = text
        if self._keeper is not None:
            await self._keeper.keep(self.run_id, key, text, self.seconds)

    async def once(self, key: str, form: Any, make: Callable[[], Awaitable[T]]) -> T:
        """What `make` returns, a `form`, and the same again whenever it is asked for anew.

        After an error that was raised on purpose it is made anew, except while replaying: then it
        is raised again.
        """
        adapter = _adapter(form)
        known = self.told(key)
        if known is not None and not known.startswith(_ERROR):
            return adapter.validate_json(known)  # type: ignore[no-any-return]
        if self.replaying:
            raise _as_error(known)
        try:
            made = await make()
        except ScholarError as error:
            await self.keep(key, f"{_ERROR}{type(error).__name__} {error}")
            raise
        await self.keep(key, adapter.dump_json(made).decode())
        return made

    async def begin(self, call: Call) -> int:
        """Note a call that is about to be sent, and return its number."""
        number = max(self._calls, default=-1) + 1
        self._calls[number] = call
        self._under_way.add(number)
        if self._keeper is not None:
            await self._keeper.enter(self.run_id, number, call, ended=False)
        return number

    def end(self, number: int, call: Call) -> None:
        """Note what has come of a call."""
        self._under_way.discard(number)
        self._calls[number] = call
        if self._keeper is not None:
            self._keeper.enter(self.run_id, number, call, ended=True)

    def add(self, call: Call) -> None:
        """Note a call that took nothing to answer."""
        self.end(max(self._calls, default=-1) + 1, call)


def key_of(kind: str, *parts: Any) -> str:
    """The key of something that is fully described by `parts`, which have a JSON form."""
    try:
        said = to_json(parts)
    except PydanticSerializationError:  # halves of characters, as a command line may bring them
        said = repr(parts).encode("utf-8", "replace")
    return f"{kind}:{hashlib.sha256(said).hexdigest()}"


_ERROR = "!"
"""With this begins what is kept of an error; no JSON does."""


def _as_error(known: str | None) -> ScholarError:
    if known is None:
        return ReplayDiffers("something was looked up that the run had not looked up")
    name, _, text = known.removeprefix(_ERROR).partition(" ")
    return error_named(name, text)


@cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    return TypeAdapter(form)
