"""The one message of an ask: it says what is going on and turns into the answer.

Where the workspace has Slack's streaming it grows as a stream, else by edits; either way the last
thing that happens to it is one edit that makes it what it shall be, so that it comes out the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from scholar.events import Event
from scholar.slack.blocks import Message, Shown, mark
from scholar.slack.post import Poster, Refused, Unsure
from scholar.slack.progress import Progress, cancel_button
from scholar.slack.rich import Block
from scholar.slack.store import Ask, Store

QUIET = {"unfurl_links": False, "unfurl_media": False, "parse": "none", "link_names": False}
"""Nothing in a message of the bot's unfolds, and Slack looks for no names or links in its text."""
_NO_STREAMS = frozenset({"unknown_method", "method_not_supported", "feature_not_enabled"})
_NEAR = 2
"""The first numbers of the queue."""
_FOUND_AMONG = 200
"""Messages that are looked through for one whose time stamp was lost."""


@dataclass
class Streams:
    """Whether the workspace has Slack's streaming, as far as is known."""

    there: bool = True


class Live:
    """The message of `ask`. `deleted` is called where somebody has deleted it meanwhile.

    With `resumed` another process may have begun with it, and not have noted what it posted last.
    """

    def __init__(
        self,
        poster: Poster,
        store: Store,
        ask: Ask,
        streams: Streams,
        deleted: Callable[[], None],
        *,
        resumed: bool = False,
    ) -> None:
        self._poster = poster
        self._store = store
        self._streams = streams
        self._deleted = deleted
        self._resumed = resumed
        self._streaming = False
        self._changed = asyncio.Event()
        self._busy = asyncio.Lock()
        self._pushing: asyncio.Task[None] | None = None
        self.ask = ask
        self.progress = Progress(ask.question)

    async def begin(self, waiting: int) -> None:
        """Post it, unless it is there already. One that has to wait is not streamed, since a
        stream that nothing comes of for long is cut by Slack.
        """
        self.progress.waiting = waiting
        ts = self.ask.message or await self._left_behind(mark(self.ask.id))
        if not ts:
            ts = await self._post_first(waiting)
        elif self._resumed:
            with suppress(Refused, Unsure):  # it may have been a stream that was left open
                await self._poster.call("chat.stopStream", channel=self.ask.channel, ts=ts)
        self.ask = self._store.update(self.ask, message=ts)
        self._pushing = asyncio.create_task(self._push_on())

    def moved(self, position: int) -> None:
        """Show which number it has now: near the front each, before that every halving, so that
        a long queue does not use up what Slack allows of edits.
        """
        if position <= _NEAR or position <= self.progress.waiting // 2:
            self.progress.waiting = position
            self._changed.set()

    def see(self, event: Event) -> None:
        """Show what has happened, before long."""
        if self.progress.see(event):
            self._changed.set()

    async def finish(self, shown: Shown) -> None:
        """Turn it into `shown`. Raises Refused where it or its channel is gone."""
        await self._still()
        first, *more = shown.messages
        if self._streaming:
            await self._stream_out(first)
        await self._edit(first)
        for n, message in enumerate(more, start=1):
            if n > len(self.ask.posted):
                marked = mark(self.ask.id, n)
                ts = await self._left_behind(marked) or await self._post(message, marked)
                self.ask = self._store.update(self.ask, posted=[*self.ask.posted, ts])

    async def stop(self) -> None:
        """Show nothing more, and leave the message open to edits."""
        await self._still()
        if self._streaming:
            self._streaming = False
            place = {"channel": self.ask.channel, "ts": self.ask.message}
            with suppress(Refused, Unsure):
                await self._poster.call("chat.stopStream", **place)

    async def _still(self) -> None:
        # What is being shown is shown to its end, so that it does not come after what is next.
        if self._pushing is not None:
            async with self._busy:
                self._pushing.cancel()
            await asyncio.gather(self._pushing, return_exceptions=True)

    # Posting

    async def _post_first(self, waiting: int) -> str:
        if self._streams.there and not waiting:
            try:
                return await self._start_stream()
            except Refused as error:
                if error.locked or error.gone:
                    raise
                self._streams.there = error.error not in _NO_STREAMS
        message = self.progress.message(self.ask.id)
        return await self._post(message, mark(self.ask.id))

    async def _start_stream(self) -> str:
        start: dict[str, Any] = {
            **self._place(),
            "recipient_team_id": self.ask.team,
            "recipient_user_id": self.ask.user,
            "task_display_mode": "plan",
            "chunks": [*self.progress.tasks(), _blocks([cancel_button(self.ask.id)])],
        }
        try:
            ts = str((await self._poster.call("chat.startStream", **start))["ts"])
        except Unsure:
            ts = await find(self._poster, self.ask, mark(self.ask.id))
            if not ts:
                raise Refused("chat.startStream", "no_answer") from None
        self._streaming = True
        return ts

    async def _post(self, message: Message, marked: str) -> str:
        """Post `message` and return its time stamp, whatever Slack answers in between."""
        for _ in range(self._poster.pace.tries):
            try:
                found = await self._poster.call(
                    "chat.postMessage", **self._place(), **arguments(message)
                )
                return str(found["ts"])
            except Unsure:
                if ts := await find(self._poster, self.ask, marked):
                    return ts
                await asyncio.sleep(self._poster.pace.first)
        raise Refused("chat.postMessage", "no_answer")

    async def _left_behind(self, marked: str) -> str:
        return await find(self._poster, self.ask, marked) if self._resumed else ""

    def _place(self) -> dict[str, Any]:
        return {"channel": self.ask.channel, "thread_ts": self.ask.thread}

    # Changing

    async def _push_on(self) -> None:
        while True:
            await self._changed.wait()
            if self._poster.is_held_up("chat.update"):
                await asyncio.sleep(self._poster.pace.edit)
                continue
            self._changed.clear()
            async with self._busy:
                try:
                    await self._push()
                except Refused as error:
                    if error.deleted or error.gone:
                        self._deleted()
                        return
                except Unsure:
                    pass  # the next state is shown instead
            await asyncio.sleep(self._poster.pace.edit)

    async def _push(self) -> None:
        if self._streaming:
            try:
                await self._append(list(self.progress.tasks()))
                return
            except Refused as error:
                if error.locked or error.gone or error.deleted:
                    raise
                self._streaming = False
        await self._edit(self.progress.message(self.ask.id))

    async def _append(self, chunks: list[Block]) -> None:
        place = {"channel": self.ask.channel, "ts": self.ask.message}
        await self._poster.call("chat.appendStream", **place, chunks=chunks)

    async def _stream_out(self, message: Message) -> None:
        """Stream the answer and end the stream. What fails here the last edit makes good."""
        place = {"channel": self.ask.channel, "ts": self.ask.message}
        with suppress(Refused, Unsure):
            for block in message.blocks:
                if block["type"] != "actions":
                    await self._append([_blocks([_unnamed(block)])])
        with suppress(Refused, Unsure):
            await self._poster.call("chat.stopStream", **place)
        self._streaming = False

    async def _edit(self, message: Message) -> None:
        place = {"channel": self.ask.channel, "ts": self.ask.message}
        await self._poster.call("chat.update", **place, **arguments(message))


async def find(poster: Poster, ask: Ask, marked: str) -> str:
    """The time stamp of the message of this ask that is marked so; "" where there is none."""
    wanted = {marked, f"cancel:{ask.id}"} if marked == mark(ask.id) else {marked}
    place = {"channel": ask.channel, "limit": _FOUND_AMONG, "oldest": ask.source or str(ask.asked)}
    method = "conversations.replies" if ask.thread else "conversations.history"
    if ask.thread:
        place["ts"] = ask.thread
    try:
        found = await poster.call(method, **place)
    except Refused as error:
        if error.locked or error.gone:
            raise
        return ""
    messages: Iterable[Mapping[str, Any]] = found.get("messages", ())
    for message in messages:
        if wanted & {block.get("block_id") for block in message.get("blocks", ())}:
            return str(message["ts"])
    return ""


def arguments(message: Message) -> dict[str, Any]:
    """What Slack's methods that post or edit take `message` by."""
    return {"text": message.text, "blocks": list(message.blocks), **QUIET}


def _blocks(blocks: list[Block]) -> Block:
    return {"type": "blocks", "blocks": blocks}


def _unnamed(block: Block) -> Block:
    return {key: value for key, value in block.items() if key != "block_id"}
