"""Where LangGraph keeps the state of runs between two nodes: its own savers, made robust.

A run does not read its checkpoints while it goes on, and can start over from its journal at no
cost. So where the database cannot be used, on a full disk, that is said once and the run ends as it
would have. A single checkpoint that cannot be read raises RunError.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
import sqlite3
import sys
import time
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Send

from scholar import state, values
from scholar.errors import RunError, SettingsError
from scholar.settings import Settings

FILE = "checkpoints.sqlite"
REST = 30.0
"""Seconds in which nothing is tried after a failure: each try may wait for a lock."""
REACH = 5.0
"""Seconds in which a database server has to take a connection."""
SEAL = 16
"""Bytes before each value: eight of the state's shape, eight of a checksum."""
_PLAIN = tuple(
    kind
    for module in (values, state)
    for kind in vars(module).values()
    if isinstance(kind, type) and is_dataclass(kind)
)
KINDS: tuple[type, ...] = (*_PLAIN, values.Outcome)
"""What a checkpoint may hold beside plain data; nothing else is ever made from one."""


@cache
def shape() -> str:
    """A fingerprint of the state and all it may hold: checkpoints of another cannot be read."""
    said = [
        (kind.__qualname__, [(field.name, str(field.type)) for field in fields(kind)])
        for kind in _PLAIN
    ]
    known = sorted((name, str(of)) for name, of in typing.get_type_hints(state.State).items())
    return hashlib.sha256(repr((said, known)).encode()).hexdigest()[:16]


class Sealed(JsonPlusSerializer):
    """LangGraph's serializer, with the shape of the state and a checksum before each value.

    What it cannot tell from another value (a letter of a quote, a field with another meaning) would
    otherwise be taken for what the run had found.
    """

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """The value's kind and its sealed bytes."""
        kind, data = super().dumps_typed(obj)
        return kind, _seal(kind, data) + data

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value; raises ValueError where it is not as it was written, or of another version."""
        kind, sealed = data
        seal, plain = sealed[:SEAL], sealed[SEAL:]
        if not hmac.compare_digest(seal, _seal(kind, plain)):
            other = seal[: SEAL // 2] != bytes.fromhex(shape())
            raise ValueError("it is of another version" if other else "it is damaged")
        return _thawed(super().loads_typed((kind, plain)))


def _thawed(value: Any, within: bool = False) -> Any:
    """`value` with the tuples of its dataclasses, of which msgpack makes lists."""
    if isinstance(value, dict):
        return {key: _thawed(one, within) for key, one in value.items()}
    if type(value) in (list, tuple):
        return (tuple if within else type(value))(_thawed(one, within) for one in value)
    if isinstance(value, Send):
        return Send(value.node, _thawed(value.arg))
    if type(value) in _PLAIN:
        for field in fields(value):
            object.__setattr__(value, field.name, _thawed(getattr(value, field.name), True))
    return value


def _seal(kind: str, data: bytes) -> bytes:
    digest = hashlib.blake2b(data, digest_size=SEAL // 2, person=kind.encode()[:16])
    return bytes.fromhex(shape()) + digest.digest()


class Checkpoints(BaseCheckpointSaver[Any]):
    """LangGraph's saver for the place that `settings` name, opened when first used; without
    settings in memory.

    `on_notice` gets a sentence once where the database cannot be used; for half a minute there are
    no checkpoints then.
    """

    def __init__(
        self, settings: Settings | None, on_notice: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(serde=Sealed(allowed_msgpack_modules=KINDS))
        self._settings = settings
        self._on_notice = on_notice
        self._opening = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._opened = AsyncExitStack()
        self._saver: BaseCheckpointSaver[Any] | None = None
        self._rests_until = 0.0

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the latest of its thread."""
        if self._rests:
            return None
        try:
            with _readable():
                return await (await self._open()).aget_tuple(config)
        except _faults() as error:
            self._give_up(error)
            return None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints of a thread, newest first."""
        if self._rests:
            return
        try:
            with _readable():
                saver = await self._open()
                async for one in saver.alist(config, filter=filter, before=before, limit=limit):
                    yield one
        except _faults() as error:
            self._give_up(error)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint, where it can be kept."""
        kept: list[RunnableConfig] = []

        async def put(saver: BaseCheckpointSaver[Any]) -> None:
            kept.append(await saver.aput(config, checkpoint, metadata, new_versions))

        await self._write(put)
        return (
            kept[0]
            if kept
            else {"configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}
        )

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Keep what a node of an unfinished step has returned, where it can be kept."""
        await self._write(lambda saver: saver.aput_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """Forget all checkpoints of a run, where there are any."""
        await self._write(lambda saver: saver.adelete_thread(thread_id))

    def get_next_version(self, current: Any, channel: None) -> Any:
        """The version after `current`, as LangGraph's savers count but shorter: every checkpoint
        names one for each part of the state.
        """
        number = 0 if current is None else int(str(current).partition(".")[0])
        # Two branches of one history must not share a version.
        return f"{number + 1:06}.{random.getrandbits(32):08x}"

    async def aclose(self) -> None:
        """Let go of the database; the next use opens it again."""
        await self._opened.aclose()
        self._saver = None

    async def _write(self, work: Callable[[BaseCheckpointSaver[Any]], Awaitable[None]]) -> None:
        # One after the other, so that what cannot be written is waited for once.
        async with self._writing:
            if self._rests:
                return
            try:
                await work(await self._open())
            except _faults() as error:
                self._give_up(error)

    async def _open(self) -> BaseCheckpointSaver[Any]:
        async with self._opening:
            if self._saver is None:
                self._saver = await self._there(self._settings)
            return self._saver

    async def _there(self, settings: Settings | None) -> BaseCheckpointSaver[Any]:
        if settings is None:
            return InMemorySaver(serde=self.serde)
        if settings.runs.database is None:
            return await self._file(settings.home / FILE)
        return await self._postgres(settings.runs.database.get_secret_value())

    async def _file(self, path: Path) -> BaseCheckpointSaver[Any]:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        opening = AsyncSqliteSaver.from_conn_string(str(path))
        saver = await self._opened.enter_async_context(opening)
        await saver.conn.execute("PRAGMA journal_mode=WAL")
        # Without its last checkpoint a run goes on from the one before, at no cost.
        await saver.conn.execute("PRAGMA synchronous=NORMAL")
        saver.serde = self.serde
        await saver.setup()
        return saver

    async def _postgres(self, url: str) -> BaseCheckpointSaver[Any]:
        try:
            from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
            from psycopg.rows import dict_row
            from psycopg_pool import AsyncConnectionPool
        except ImportError:
            raise SettingsError(
                "Runs in PostgreSQL need more packages: pip install 'scholar[postgres]'."
            ) from None
        # What cannot be reached is told of by us, once, and not by each try of the pool.
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
        how = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=4,
            kwargs={**how, "connect_timeout": int(REACH)},
            timeout=REACH,
            open=False,
        )
        await self._opened.enter_async_context(pool)
        saver = AsyncPostgresSaver(pool, serde=self.serde)  # type: ignore[arg-type]
        await saver.setup()
        return saver

    @property
    def _rests(self) -> bool:
        return time.monotonic() < self._rests_until

    def _give_up(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + REST
        reason = str(error).strip().partition("\n")[0]
        damaged = type(error) is sqlite3.DatabaseError
        place = "" if self._settings is None else str(self._settings.home / FILE)
        self._on_notice(
            f"The state of runs cannot be kept ({reason}); what is under way goes on, and if it is "
            "interrupted starts over at no cost where its replies are kept. "
            + (f"Move {place} away." if damaged else "Make room or rights there.")
        )


def _faults() -> tuple[type[Exception], ...]:
    """What a database raises that cannot be used."""
    if "psycopg" not in sys.modules:
        return (OSError, sqlite3.Error)
    return (OSError, sqlite3.Error, sys.modules["psycopg"].Error)


@contextmanager
def _readable() -> Iterator[None]:
    """Name what a checkpoint raises that is not as it was written."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        if isinstance(error, _faults()):
            raise
        reason = str(error).partition("\n")[0]
        raise RunError(
            f"The state of the run cannot be read ({reason}); it starts over, and nothing is paid "
            "for again."
        ) from error
