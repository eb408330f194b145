"""Papers that people drop into a thread: offered to be added, and added."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from scholar.library.ingest import Result
from scholar.report import reference
from scholar.slack import rich
from scholar.slack.blocks import Message, note
from scholar.slack.bot import Bot
from scholar.slack.post import Refused, Unsure
from scholar.slack.rich import unit
from scholar.slack.store import as_value
from scholar.slack.text import escape
from scholar.sources import identify

MOST = 20
"""Papers of one offer; a button carries their names, and has 2,000 characters for them."""
_LONGEST_ID = 60
_WORDS = {"added": "Added", "present": "Already there", "failed": "Not added"}
_NO_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class Things:
    """Papers by their ids, and files by Slack's ids for them with their names."""

    papers: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.papers or self.files)

    @property
    def value(self) -> str:
        """What a button carries of them."""
        return as_value({"p": self.papers, "f": [id for id, _ in self.files]})


def things_in(addresses: Iterable[str], files: Iterable[Mapping[str, Any]]) -> Things:
    """The papers that `addresses` lead to, and `files` as Slack tells of them."""
    known = (identify(address) for address in addresses)
    ids = dict.fromkeys(f"{name[0]}:{name[1]}" for name in known if name)
    named = [
        (str(file["id"]), str(file.get("name") or file["id"])) for file in files if "id" in file
    ]
    papers = tuple(id for id in ids if len(id) <= _LONGEST_ID)[:MOST]
    return Things(papers, tuple(named[: MOST - len(papers)]))


async def offer(bot: Bot, channel: str, thread: str, things: Things) -> None:
    """Ask whether `things` are to be added, in a direct message also for whom."""
    names = [*things.papers, *(name for _, name in things.files)]
    lines = [unit("Shall I add this to the library?\n"), *(unit(f"•  {name}\n") for name in names)]
    if channel.startswith("D"):
        buttons = [
            rich.button("Add for me alone", "add_private", things.value, "primary"),
            rich.button("Add for everyone", "add_shared", things.value),
        ]
    else:
        buttons = [rich.button("Add", "add_shared", things.value, "primary")]
    buttons.append(rich.button("No", "add_nothing", "{}"))
    blocks = [*rich.paragraph(lines), rich.actions("offer", *buttons)]
    await bot.say(channel, Message("Shall I add this to the library?", tuple(blocks)), thread)


async def add(bot: Bot, channel: str, ts: str, user: str, value: str, *, private: bool) -> None:
    """Add what a button carries, and say in the message that it stands in what became of it."""
    await bot.replace(channel, ts, note("Adding …"))
    wanted = json.loads(value)
    async with AsyncExitStack() as stack:
        library = bot.desk.shelves.shared
        folder = bot.desk.settings.home / "slack" / "files"
        if private:
            library = await stack.enter_async_context(bot.desk.shelves.own(bot.team, user))
            folder = bot.desk.shelves.folder(bot.team, user) / "files"
        files, failed = await _download(bot, wanted["f"], folder)
        results = await bot.desk.add(library, [*wanted["p"], *files])
    await bot.replace(channel, ts, _told(results, failed, value, private))


def _told(results: Sequence[Result], failed: Sequence[str], value: str, private: bool) -> Message:
    lines = [_line(result) for result in results] + list(failed)
    blocks = rich.paragraph(unit(f"{line}\n") for line in lines)
    kept = any(result.status != "failed" for result in results)
    if private and kept:
        blocks += rich.context(["Only answers in our direct messages draw on this."])
        share = rich.button(
            "Share with everyone", "add_shared", value,
            confirm="It becomes part of the library that everybody's answers come from.",
        )  # fmt: skip
        blocks.append(rich.actions("share", share))
    return Message(escape("; ".join(lines))[:3_000], tuple(blocks))


def told(results: Sequence[Result]) -> Message:
    """What became of what a command has added."""
    return _told(results, (), "", False)


def _line(result: Result) -> str:
    what = reference(result.paper) if result.paper else Path(result.source).name
    why = f": {result.detail}" if result.detail and result.status == "failed" else ""
    return f"{_WORDS[result.status]}  {what}{why}"


async def _download(bot: Bot, ids: Sequence[str], folder: Path) -> tuple[list[Path], list[str]]:
    """The files with these ids as files in `folder`, and why others are not."""
    paths, failed = [], []
    for id in ids:
        try:
            info = (await bot.poster.call("files.info", file=id))["file"]
            paths.append(await _fetch(bot, info, folder))
        except _NotHad as error:
            failed.append(f"Not added  {error}")
        except (Refused, Unsure) as error:
            failed.append(f"Not added  {id}: {error}")
    return paths, failed


class _NotHad(Exception):
    """Why a file could not be had."""


async def _fetch(bot: Bot, info: Mapping[str, Any], folder: Path) -> Path:
    name = _NO_NAME.sub("_", str(info.get("name") or info["id"])).lstrip(".") or "file"
    url = str(info.get("url_private_download") or info.get("url_private") or "")
    most = bot.settings.largest_file
    if not _is_slacks(url, bot.settings.api):
        raise _NotHad(f"{name}: Slack does not hold it; download it and drop the file itself.")
    if int(info.get("size") or 0) > most:
        raise _NotHad(f"{name}: it is larger than {most // 1_000_000} MB; drop a smaller one.")
    headers = {"Authorization": f"Bearer {bot.poster.client.token}"}
    data = bytearray()
    try:
        async with _session(bot).get(url, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                raise _NotHad(f"{name}: Slack answered {response.status}; drop it once more.")
            async for chunk in response.content.iter_chunked(1 << 16):
                data += chunk
                if len(data) > most:
                    raise _NotHad(f"{name}: it is larger than it says; drop a smaller one.")
    except (aiohttp.ClientError, TimeoutError):
        raise _NotHad(f"{name}: Slack did not send it; drop it once more.") from None
    path = folder / f"{_NO_NAME.sub('_', str(info['id']))}-{name[-100:]}"
    return await asyncio.to_thread(_write, path, bytes(data))


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _session(bot: Bot) -> aiohttp.ClientSession:
    session = bot.poster.client.session
    assert session is not None  # `front` opens it
    return session


def _is_slacks(url: str, api: str) -> bool:
    """Whether the token may be sent there: to Slack, and to the server that takes calls."""
    place, ours = urlsplit(url), urlsplit(api)
    if (place.scheme, place.netloc) == (ours.scheme, ours.netloc):
        return True
    host = place.hostname or ""
    return place.scheme == "https" and (host == "slack.com" or host.endswith(".slack.com"))
