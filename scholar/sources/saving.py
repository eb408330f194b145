"""Taking in what a service sends, as far as it is not too large and is what was wanted."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scholar.errors import SourceError
from scholar.sources.service import OtherThing, Request

if TYPE_CHECKING:
    import httpx2

_LARGEST_ANSWER = 64 * 2**20
"""Bytes; a page of 100 works with all their references is a tenth of it."""
_LARGEST_FILE = 200 * 2**20
_CHUNK = 2**18


async def whole(request: Request, answer: httpx2.Response) -> bytes:
    """All of an answer."""
    data = bytearray()
    async for chunk in answer.aiter_bytes(_CHUNK):
        data += chunk
        _check_size(request, len(data), _LARGEST_ANSWER)
    return bytes(data)


async def copy(
    request: Request, answer: httpx2.Response, file: Any, looks: Callable[[bytes], bool]
) -> None:
    """Write an answer to `file`, of which `looks` says by its first bytes whether it is wanted."""
    size = 0
    async for chunk in answer.aiter_bytes(_CHUNK):
        if not size and not looks(chunk):
            raise _odd(request)
        size += len(chunk)
        _check_size(request, size, _LARGEST_FILE)
        await asyncio.to_thread(file.write, chunk)
    if not size:
        raise _odd(request)


def _check_size(request: Request, size: int, largest: int) -> None:
    if size > largest:
        raise SourceError(
            f"{request.address} is larger than {largest // 2**20} MB; download it by hand."
        )


def _odd(request: Request) -> OtherThing:
    return OtherThing(
        f"{request.service.name} gave something else than the paper at {request.address}; "
        "open it in a browser to see."
    )


@asynccontextmanager
async def written(target: Path) -> AsyncIterator[Any]:
    """A file that gets the name `target` once it is whole."""

    def begin() -> Any:
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{target.name}."
        return tempfile.NamedTemporaryFile(dir=target.parent, prefix=prefix, delete=False)

    def end(done: bool) -> None:
        if done:
            os.replace(file.name, target)
        else:
            Path(file.name).unlink(missing_ok=True)

    try:
        file = await asyncio.to_thread(begin)
        done = False
        try:
            with file:
                yield file
            done = True
        finally:
            end(done)
    except OSError as error:
        reason = error.strerror or "no reason given"
        raise SourceError(
            f"{target} could not be written ({reason}); free or choose a folder."
        ) from None
