"""Who may write: one process and thread at a time, in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from scholar.errors import LibraryError

PATIENCE = 60.0
"""Seconds to wait for others that are writing."""
POLL = 0.01
"""Seconds between looks: adding a few papers takes as long."""


class Turns:
    """The right to write in `folder`.

    Who waits holds the place next in the queue, so that one who writes batch after batch lets
    others in between.
    """

    def __init__(self, folder: Path) -> None:
        self._queue = FileLock(folder / "queue.lock")
        self._write = FileLock(folder / "write.lock")

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Alone. Raises LibraryError where others do not finish within PATIENCE."""
        # Whoever has the turn already must not queue behind those that wait for it.
        queued = self._write.is_locked
        try:
            with nullcontext() if queued else self._queue.acquire(PATIENCE, POLL):
                self._write.acquire(PATIENCE, POLL)
        except Timeout:
            raise LibraryError(
                "Another process is still writing to the library; wait for it, then try again."
            ) from None
        try:
            yield
        finally:
            self._write.release()

    @contextmanager
    def taken_if_free(self) -> Iterator[bool]:
        """Whether nobody else writes at this moment; if so, alone."""
        try:
            self._write.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            self._write.release()
