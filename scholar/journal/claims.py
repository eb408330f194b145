"""Who works on a run: one process at a time, and none once it has died."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout

from scholar.errors import RunError, RunTaken
from scholar.journal.database import BUSY_SECONDS

MOMENT = 0.05
"""Seconds in which one who only looks whether a run is claimed has let go of it."""


class Claim:
    """The right to work on one run, until `release` or the end of the process."""

    def __init__(self, let_go: Any) -> None:
        self._let_go = let_go

    def release(self) -> None:
        """Let others work on the run."""
        self._let_go()


class Claims:
    """The claims of this machine in `folder`, or those of all machines in the database at `url`."""

    def __init__(self, folder: Path, url: sa.URL | None = None) -> None:
        self._folder = folder
        wait = {"connect_timeout": int(BUSY_SECONDS)}
        self._engine = (
            sa.create_engine(url, poolclass=sa.NullPool, connect_args=wait) if url else None
        )

    def claim(self, run_id: str, *, new: bool = False) -> Claim:
        """Claim a run; raises RunTaken where it is taken, RunError where no claim can be made.

        One that is `new` needs none where nothing can be written: nobody else can know of it.
        """
        try:
            claim = self._tried(run_id)
            if claim is None:
                time.sleep(MOMENT)
                claim = self._tried(run_id)
        except RunError:
            if new:
                return Claim(lambda: None)
            raise
        if claim is None:
            raise RunTaken(
                f"The run {run_id} is under way in another process; wait for it, or end it with "
                f"scholar runs cancel {run_id}."
            )
        return claim

    def taken(self, run_id: str) -> bool:
        """Whether some process works on a run."""
        try:
            claim = self._tried(run_id)
        except RunError:
            return False
        if claim is not None:
            claim.release()
        return claim is None

    def _tried(self, run_id: str) -> Claim | None:
        return self._in_database(run_id) if self._engine is not None else self._file(run_id)

    def _file(self, run_id: str) -> Claim | None:
        path = self._folder / f"{run_id}.lock"
        with _claimable(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path, thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return None

            def let_go() -> None:
                # Unlinked while it is held, so that nobody can hold a file that is no longer there.
                path.unlink(missing_ok=True)
                lock.release()

            return Claim(let_go)

    def _in_database(self, run_id: str) -> Claim | None:
        assert self._engine is not None
        number = int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8], signed=True)
        with _claimable("the database"):
            connection = self._engine.connect()
            got = connection.scalar(sa.select(sa.func.pg_try_advisory_lock(number)))
            connection.commit()  # the lock is the session's, and no transaction need stay open
            if got:
                return Claim(connection.close)
            connection.close()
            return None


@contextmanager
def _claimable(place: str) -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise RunError(
            f"No run can be claimed in {place} ({error}); see whether it may be written."
        ) from error
