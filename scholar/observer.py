"""What looks on as a run goes by: its trace on disk, and its telemetry."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from scholar.events import Event, Started
from scholar.settings import Settings
from scholar.trace import Trace, keys_of, path_of

if TYPE_CHECKING:
    from scholar.spans import RunSpans, Telemetry


class Observer:
    """Gets every event of a run, from `started` on. Use as a context manager.

    `on_notice` gets a sentence where the trace cannot be written. `clock` tells the seconds since
    the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        started: Started,
        telemetry: Telemetry | None = None,
        *,
        on_notice: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._started = started
        self._clock = clock
        self._trace: Trace | None = None
        if settings.trace.keep:
            self._trace = Trace(
                path_of(settings.home, started.run_id),
                content=settings.trace.content,
                keys=keys_of(settings),
                on_notice=on_notice,
            )
        self._spans: RunSpans | None = telemetry.run() if telemetry else None

    def see(self, event: Event) -> None:
        """Take in an event that has happened now."""
        at = self._clock()
        if self._trace is not None:
            self._trace.write(event, at)
        if self._spans is not None:
            self._spans.take(event, at)

    def __enter__(self) -> Self:
        self.see(self._started)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._spans is not None:
            self._spans.close(self._clock())
        if self._trace is not None:
            self._trace.close()
