"""Fetching weights from the Hugging Face hub into its cache, from where `local:` models are loaded.

The hub's own package drops what it has of a file when a download breaks off. Here a file grows in
the cache until it is whole, however often that takes, and is only then handed to that package.
Import this module where it is used: it loads huggingface_hub.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import huggingface_hub
from httpx2 import AsyncClient, HTTPError, Response, Timeout, TransportError
from huggingface_hub import constants, errors, hf_api, utils

from scholar.backends.local.source import Source, place
from scholar.backends.needed import ADAPTER, CONFIG, File, chosen, has_weights
from scholar.errors import ModelError, ModelRejected, ModelUnavailable

CONNECT = 10.0
SILENCE = 30.0
"""Seconds in which the hub has to take a connection, and to send something."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts that bring nothing; after them the network is down and not shaky."""
AT_ONCE = 4
"""Files fetched at the same time: one connection seldom fills a line."""
SPARE = 1 << 28
"""Bytes to leave free on the disk."""
_KEY = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_EXAMPLE = "local:Qwen/Qwen3-8B"
_hub: Any = utils
_api: Any = hf_api
"""The hub's package exports these without types."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What of `repo` is on this machine now: files and bytes, of which so many were `fetched`.

    Where the hub could not be `asked`, there may be a newer version, and nothing was counted.
    """

    repo: str
    folder: Path
    files: int = 0
    size: int = 0
    fetched: int = 0
    asked: bool = True


@dataclass(frozen=True, slots=True)
class Watch:
    """Whom to tell how far it is: `planned` gets all files and bytes, `here` bytes as they come."""

    planned: Callable[[int, int], None] = lambda files, size: None
    here: Callable[[int], None] = lambda size: None


def repositories(name: str) -> tuple[str, ...]:
    """The repositories in the name of a local model, `BASE` or `BASE+ADAPTER`, without folders.

    Raises ModelRejected where one is the path of a folder that there is not.
    """
    source = Source.parse(name)
    both = [part for part in (source.base, source.adapter) if part]
    return tuple(part for part in both if not Path(place(part, here=True)[0]).is_dir())


async def pull(repo: str, *, offline: bool = False, watch: Watch | None = None) -> Pulled:
    """Fetch what loading `repo`, a model or an adapter, needs and the cache does not have.

    With `offline`, or HF_HUB_OFFLINE, nothing is asked of the network. Raises ModelRejected where
    it cannot be had, and ModelUnavailable where the network is at fault; what has come until then
    is kept, and the next call goes on from there.
    """
    _hub.logging.set_verbosity_error()
    there: Path | None = None
    try:
        _hub.validate_repo_id(repo)
        there = _whole(repo)
        if offline or constants.is_offline_mode():
            return Pulled(repo, there or _absent(repo, offline), asked=False)
        async with _client() as client:
            return await _Pull(repo, client, watch or Watch()).run()
    except (HTTPError, OSError, errors.HFValidationError) as error:
        why = _why(repo, error)
        if there and isinstance(why, ModelUnavailable):
            return Pulled(repo, there, asked=False)
        raise why from None


class _Pull:
    """One repository on its way into the cache, in the layout that all tools of the hub share."""

    def __init__(self, repo: str, client: AsyncClient, watch: Watch) -> None:
        self._repo = repo
        self._client = client
        self._watch = watch
        name = f"models--{repo.replace('/', '--')}"
        self._folder = Path(constants.HF_HUB_CACHE) / name
        self._lock = Path(constants.HF_HUB_CACHE) / ".locks" / name / "pull.lock"
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._commit = ""

    async def run(self) -> Pulled:
        listed = await self._list()
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(self._lock, timeout=0):
                return await self._fetch(listed)
        except filelock.Timeout:
            raise ModelUnavailable(
                f"{self._repo} is being fetched by another process; wait until it is done."
            ) from None

    async def _list(self) -> dict[str, File]:
        """All files of the newest version, by name."""
        url = f"{constants.ENDPOINT}/api/models/{self._repo}"
        answer = await self._client.get(url, params={"blobs": "true"})
        _hub.hf_raise_for_status(answer)
        try:
            info = _api.ModelInfo(**answer.json())
            self._commit = _checked(info.sha)
            files = [
                File(f.rfilename, int(f.size), _checked(f.lfs.sha256 if f.lfs else f.blob_id))
                for f in info.siblings
            ]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ModelRejected(
                f"What answers at {constants.ENDPOINT} for {self._repo} is no hub; check "
                "HF_ENDPOINT and the network."
            ) from None
        return {file.name: file for file in files}

    async def _fetch(self, listed: Mapping[str, File]) -> Pulled:
        wanted = await chosen(self._repo, listed, self._read)
        missing = [file for file in wanted if not self._snapshot(file).exists()]
        contents = {file.key: file for file in wanted}  # two files may have the same
        size = sum(file.size for file in contents.values())
        lacking = size - sum(map(self._had, contents.values()))
        self._make_room(lacking, size)
        self._watch.planned(len(wanted), size)
        self._watch.here(size - lacking)
        try:
            async with asyncio.TaskGroup() as group:
                for file in {file.key: file for file in missing}.values():
                    group.create_task(self._file(file))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        for file in missing:
            await self._link(file)
        reference = self._folder / "refs" / "main"
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(self._commit)
        folder = self._folder / "snapshots" / self._commit
        return Pulled(self._repo, folder, len(wanted), size, lacking)

    async def _read(self, file: File) -> dict[str, Any]:
        """A small file of JSON, which says what else is needed."""
        path = self._snapshot(file)
        if not path.exists():
            await self._file(file, quiet=True)
            path = self._blob(file)
        known: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return known

    async def _link(self, file: File) -> None:
        """Have the hub's package name the content; it fetches it anew where it is another."""
        await asyncio.to_thread(
            huggingface_hub.hf_hub_download, self._repo, file.name, revision=self._commit
        )

    async def _file(self, file: File, quiet: bool = False) -> None:
        """Fetch the content of a file, or the rest of it."""
        async with self._slots:
            part, tell = self._part(file), (lambda _: None) if quiet else self._watch.here
            part.parent.mkdir(parents=True, exist_ok=True)
            pauses, most = iter(PAUSES), _size(part)
            while not self._blob(file).exists():
                broken = None
                if most < file.size or not part.exists():
                    broken = await self._more(file, part, tell)
                if _size(part) >= file.size:
                    await asyncio.to_thread(_settle, self._repo, file, part, self._blob(file))
                elif _size(part) > most:
                    most = _size(part)  # what brought something is worth another try at once
                elif (pause := next(pauses, None)) is not None:
                    await asyncio.sleep(pause)
                else:
                    raise self._broke_off(broken)

    async def _more(
        self, file: File, part: Path, tell: Callable[[int], None]
    ) -> TransportError | None:
        """Append to `part` what the server sends of the file; returns what broke it off, if so."""
        had = _size(part)
        url = huggingface_hub.hf_hub_url(self._repo, file.name, revision=self._commit)
        headers = {"Range": f"bytes={had}-"} if had else {}
        try:
            async with self._client.stream("GET", url, headers=headers) as answer:
                await _raise_for_status(answer)
                again = had > 0 and answer.status_code != 206
                if again:
                    tell(-had)
                with part.open("wb" if again else "ab") as out:
                    async for block in answer.aiter_raw():
                        out.write(block)
                        tell(len(block))
        except TransportError as error:
            return error
        return None

    def _broke_off(self, error: TransportError | None) -> ModelUnavailable:
        why = f" ({error})" if str(error or "") else ""
        return ModelUnavailable(
            f"The download of {self._repo} broke off{why}; what has come is kept, so run "
            "scholar models pull again to go on from there."
        )

    def _make_room(self, lacking: int, size: int) -> None:
        cache = Path(constants.HF_HUB_CACHE)
        there = next(folder for folder in (cache, *cache.parents) if folder.exists())
        free = shutil.disk_usage(there).free
        if lacking and lacking + SPARE > free:
            raise ModelRejected(
                f"{self._repo} has {in_bytes(size)}, of which {in_bytes(lacking)} are missing, and "
                f"{cache} has room for {in_bytes(free)}; free some, or set HF_HOME to a folder on "
                "a larger disk."
            )

    def _blob(self, file: File) -> Path:
        return self._folder / "blobs" / file.key

    def _part(self, file: File) -> Path:
        return self._folder / "blobs" / f"{file.key}.incomplete"

    def _snapshot(self, file: File) -> Path:
        return self._folder / "snapshots" / self._commit / file.name

    def _had(self, file: File) -> int:
        whole = self._blob(file).exists() or self._snapshot(file).exists()
        return file.size if whole else min(_size(self._part(file)), file.size)


def _whole(repo: str) -> Path | None:
    """The folder of the cache from which `repo` can be loaded as it is, if there is one."""
    for name in (CONFIG, ADAPTER):
        found = huggingface_hub.try_to_load_from_cache(repo, name)
        if isinstance(found, str) and has_weights(Path(found).parent):
            return Path(found).parent
    return None


def _settle(repo: str, file: File, part: Path, blob: Path) -> None:
    """Take what has come for the file, if it is that."""
    if _hash(part, file.key) == file.key:
        part.replace(blob)
        return
    part.unlink()
    raise ModelUnavailable(
        f"{file.name} of {repo} did not arrive as the hub has it, and is dropped; "
        "run scholar models pull again."
    )


def _hash(path: Path, like: str) -> str:
    """The hash of a file, of the same kind as `like`."""
    if len(like) == 64:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _absent(repo: str, offline: bool) -> Path:
    setting = "offline" if offline else "HF_HUB_OFFLINE"
    raise ModelRejected(
        f"{repo} is not on this machine, and {setting} is set; unset it to fetch the weights, "
        "or name a folder as local:/path/to/model."
    )


def _why(repo: str, error: Exception) -> ModelError:
    """The error to raise for what the hub, the network or the disk made of it."""
    hub = constants.ENDPOINT
    match error:
        case errors.GatedRepoError():
            return ModelRejected(
                f"{repo} is for those who have accepted its terms; accept them at {hub}/{repo}, "
                "run hf auth login, and try again."
            )
        case errors.RepositoryNotFoundError():
            return ModelRejected(
                f"The hub has no {repo} that you may read; check the name, as in {_EXAMPLE}, or "
                "run hf auth login if it is private."
            )
        case errors.HfHubHTTPError() if error.response.status_code in (401, 403):
            return ModelRejected(
                f"The hub does not let you have {repo}; run hf auth login with a token that may "
                f"read it, and accept its terms at {hub}/{repo}."
            )
        case errors.HfHubHTTPError():
            return ModelUnavailable(
                f"{hub} answers with {error.response.status_code} for {repo}; try again later."
            )
        case HTTPError() | errors.LocalEntryNotFoundError():
            return ModelUnavailable(
                f"{hub} cannot be reached for {repo}; check the network, or name a folder as "
                "local:/path/to/model."
            )
        case errors.HFValidationError():
            return ModelRejected(f"'{repo}' is no model of the hub; write it as in {_EXAMPLE}.")
        case OSError() as disk:
            return ModelRejected(
                f"{repo} cannot be kept in {constants.HF_HUB_CACHE} ({disk.strerror or disk}); "
                "make room there, or set HF_HOME to another folder."
            )
    raise error


def _client() -> AsyncClient:
    # A redirect to another host goes without the token, which is for the hub alone.
    headers = {**_hub.build_hf_headers(), "Accept-Encoding": "identity"}
    timeout = Timeout(SILENCE, connect=CONNECT)
    return AsyncClient(headers=headers, timeout=timeout, follow_redirects=True)


async def _raise_for_status(answer: Response) -> None:
    if answer.is_error:
        await answer.aread()
    _hub.hf_raise_for_status(answer)


def _checked(key: str | None) -> str:
    """`key`, which becomes the name of a file; ValueError where it is no hash."""
    if key is None or not _KEY.fullmatch(key):
        raise ValueError("no hash")
    return key


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def in_bytes(size: int) -> str:
    """A number of bytes for a person, in the units that disks are sold in."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size} bytes"
