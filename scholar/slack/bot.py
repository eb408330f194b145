"""What becomes of what people say: who may ask, what is asked, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from scholar.errors import ScholarError
from scholar.events import Finished, Paused
from scholar.report import to_markdown
from scholar.slack import rich, words
from scholar.slack.blocks import Message, Shown, evidence_of, mark, note, shown
from scholar.slack.desk import Desk, Going
from scholar.slack.live import Live, Streams, arguments, find
from scholar.slack.logs import without_secrets
from scholar.slack.post import Poster, Refused, Unsure
from scholar.slack.rich import Span, unit
from scholar.slack.store import Ask, Spent, Store
from scholar.slack.text import escape
from scholar.slack.turns import Turn, Turns
from scholar.values import Answer

log = logging.getLogger("scholar.slack")
WATCH = 20.0
"""Seconds between looks at whether another process has died; a look is one query."""
TITLE = 60
"""Characters of a thread's title in Slack's assistant pane, which shows about so many."""


class Bot:
    """Takes asks and sees them through; `failed` is done once it cannot go on at all."""

    def __init__(self, desk: Desk, poster: Poster, store: Store) -> None:
        self.desk = desk
        self.poster = poster
        self.store = store
        self.settings = desk.settings.slack
        self.team = self.user = ""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._streams = Streams()
        self._turns = Turns(self.settings.concurrent)
        self._going: dict[str, Going] = {}
        self._places: dict[str, Turn] = {}
        self._cancelled: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self.watch_every = WATCH
        self.when_due: list[Callable[[Bot], Coroutine[Any, Any, None]]] = []

    async def start(self) -> None:
        """Learn who it is, and go on with what was left undone. Raises Refused or Unsure."""
        me = await self.poster.call("auth.test")
        self.team, self.user = str(me["team_id"]), str(me["user_id"])
        self._adopt()
        self._watch = asyncio.create_task(self._watch_over())

    def _adopt(self) -> None:
        for ask in self.store.adopt():
            self._see_through(ask, resumed=True)

    async def _watch_over(self) -> None:
        """Go on with what another process leaves undone when it dies, and do what is due."""
        while True:
            await asyncio.sleep(self.watch_every)
            self.store.forget_old()
            self._adopt()
            for due in self.when_due:
                self.soon(due(self))

    async def stop(self) -> None:
        """Leave everything as it is, for another process to go on with."""
        tasks = [*self._tasks, *self._asks, *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.store.close()

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while tasks := [*self._tasks, *self._asks]:
            await asyncio.gather(*tasks, return_exceptions=True)

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Have `work` done beside everything else."""
        self._keep(self._tasks, self._guarded(work))

    def _keep(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            await self.complain(error)

    async def complain(self, error: Exception) -> None:
        """Say to those who run the bot what went wrong, in words and with all there is of it."""
        if isinstance(error, Refused) and error.locked and not self.failed.done():
            self.failed.set_exception(error)
        known = isinstance(error, ScholarError | Refused | Unsure)
        log.error("%s", words.in_words(error), exc_info=None if known else error)
        if self.settings.errors and not isinstance(error, Refused):
            with suppress(Refused, Unsure):
                said = without_secrets(f"{words.in_words(error)} ({error!r})")
                await self.say(self.settings.errors, note(said))

    # Saying

    async def say(self, channel: str, message: Message, thread: str = "") -> str:
        """Post a message of the bot's own; its time stamp."""
        place = {"channel": channel, **({"thread_ts": thread} if thread else {})}
        posted = await self.poster.call("chat.postMessage", **place, **arguments(message))
        return str(posted.get("ts", ""))

    async def whisper(self, channel: str, user: str, text: str, thread: str = "") -> None:
        """Say something that this user alone sees, here or else in a direct message."""
        await self.say_to(channel, user, note(text), thread)

    async def say_to(self, channel: str, user: str, message: Message, thread: str = "") -> None:
        """The same for a whole message."""
        if channel.startswith("D") or channel == user:
            await self.say(channel, message, thread)
            return
        place = {"channel": channel, "user": user, **({"thread_ts": thread} if thread else {})}
        try:
            await self.poster.call("chat.postEphemeral", **place, **arguments(message))
        except Refused as error:
            if error.locked:
                raise
            await self.say(user, message)

    async def replace(self, channel: str, ts: str, message: Message) -> None:
        """Put another message in the place of one of the bot's own."""
        await self.poster.call("chat.update", channel=channel, ts=ts, **arguments(message))

    # Being asked

    def refusal(self, channel: str, user: str, team: str = "") -> str:
        """Why this user may not ask here, in words; "" where they may."""
        allowed = self.settings
        if allowed.users:
            if user not in allowed.users:
                return "You are not among those who may ask me; whoever runs me can add you."
        elif team and self.team and team != self.team:
            return "I answer members of this workspace only; whoever runs me can add you."
        if allowed.channels and not channel.startswith("D") and channel not in allowed.channels:
            return "I may not be asked in this channel; ask me in a direct message."
        return ""

    def ask(self, ask: Ask) -> None:
        """Take an ask, unless it is known, and see it through. What is taken outlives a crash."""
        try:
            taken = self.store.take(ask, self.settings.user_per_day, self.settings.channel_per_day)
        except Spent as error:
            if self.store.first_time(f"spent:{ask.key}"):
                said = words.spent(error, self.settings)
                self.soon(self.whisper(ask.channel, ask.user, said, ask.thread))
            return
        if taken is not None:
            self._see_through(taken)

    def reply(self, ask: Ask, replies: dict[str, Any]) -> None:
        """Go on with an ask that waited for a person's word."""
        if opened := self.store.reopen(ask, replies):
            self._see_through(opened, resumed=True)

    def cancel(self, id: str) -> None:
        """End the ask with this id, if it is under way here."""
        if id in self._places:
            self._cancelled.add(id)
            self._places[id].come.set()  # what is to be given up need not wait for its turn
        if going := self._going.get(id):
            going.cancel()

    def deleted(self, channel: str, ts: str) -> None:
        """Give up what was asked by, or shown in, a message that is gone."""
        for ask in self.store.of_message(channel, ts):
            self.cancel(ask.id)

    # Seeing it through

    def _see_through(self, ask: Ask, *, resumed: bool = False) -> None:
        turn = self._places[ask.id] = self._turns.enter(
            f"{ask.channel} {ask.thread}" if ask.thread else ask.id
        )
        self._keep(self._asks, self._life(ask, turn, resumed))

    async def _life(self, ask: Ask, turn: Turn, resumed: bool) -> None:
        try:
            if not ask.thread:
                root = await self._root(ask, resumed)
                ask = self.store.update(ask, thread=root, source=root)
            live = Live(
                self.poster, self.store, ask, self._streams,
                lambda: self.cancel(ask.id), resumed=resumed,
            )  # fmt: skip
            turn.moved = live.moved
            try:
                await self._asked_and_answered(live, turn)
            finally:
                await live.stop()
        except Exception as error:
            await self._ended(ask, error)
        finally:
            self._turns.leave(turn)
            self._places.pop(ask.id, None)
            self._going.pop(ask.id, None)
            self._cancelled.discard(ask.id)

    async def _asked_and_answered(self, live: Live, turn: Turn) -> None:
        await self._name_thread(live.ask)
        await live.begin(turn.position)
        await turn.come.wait()
        live.moved(0)
        ask = live.ask = self.store.update(live.ask, state="running")
        end = await self._run(ask, live)
        if isinstance(end, Paused):
            await self._inquire(live, end)
            return
        usage = end.usage
        answer = shown(end, ask.id)
        live.ask = self.store.update(
            live.ask,
            outcome=end.outcome.value,
            tokens=usage.input_tokens + usage.output_tokens,
            dollars=usage.dollars or 0.0,
            evidence=evidence_of(end),
        )
        await live.finish(answer)
        if answer.attached:
            await self._attach(live.ask, answer.attached, to_markdown(end))
        self.store.update(live.ask, state="done")

    async def _run(self, ask: Ask, live: Live) -> Answer | Paused:
        async with self.desk.going(ask) as going:
            live.ask = self.store.update(live.ask, run=going.run_id)
            self._going[ask.id] = going
            if ask.id in self._cancelled:
                going.cancel()
            async with aclosing(going.events()) as events:
                async for event in events:
                    live.see(event)
                    if isinstance(event, Finished):
                        return event.answer
                    if isinstance(event, Paused):
                        return event
        raise RuntimeError("a run ends in Finished or Paused")

    async def _inquire(self, live: Live, paused: Paused) -> None:
        """Ask the person what the run has to know; the buttons go on with it."""
        blocks: list[rich.Block] = []
        for id, inquiry in paused.inquiries:
            blocks += rich.paragraph([unit(Span(inquiry.text))])
            yes = rich.button("Yes", "reply_yes", f"{live.ask.id} {id}", "primary")
            no = rich.button("No", "reply_no", f"{live.ask.id} {id}")
            blocks.append(rich.actions(f"reply:{id}"[:250], yes, no))
        self.store.update(live.ask, state="waiting")
        said = escape("; ".join(inquiry.text for _, inquiry in paused.inquiries))
        await live.finish(Shown((Message(said, tuple(blocks[: rich.MOST_BLOCKS])),)))

    async def _attach(self, ask: Ask, name: str, text: str) -> None:
        """Attach the answer as a file, once."""
        if f"file:{name}" in ask.posted:
            return
        await self.upload(ask, name, text)
        self.store.update(ask, posted=[*ask.posted, f"file:{name}"])

    async def upload(self, ask: Ask, name: str, text: str) -> None:
        """Put a file into the thread of `ask`."""
        await self.poster.upload(ask.channel, ask.thread, name, text)

    async def _root(self, ask: Ask, resumed: bool) -> str:
        """The message that begins the thread of what a command has asked."""
        marked = mark(ask.id, -1)
        if resumed and (ts := await find(self.poster, ask, marked)):
            return ts
        asker = {"type": "user", "user_id": ask.user}
        asked = [asker, *(span.element() for span in unit(f" asks: {ask.question}"))]
        section = {"type": "rich_text_section", "elements": asked}
        block = {"type": "rich_text", "block_id": marked, "elements": [section]}
        message = Message(escape(ask.question[:TITLE]), (block,))
        try:
            return await self.say(ask.channel, message)
        except Unsure:
            if ts := await find(self.poster, ask, marked):
                return ts
            raise

    async def _name_thread(self, ask: Ask) -> None:
        """In Slack's assistant pane: a title for the thread, and that it is being worked on."""
        if not ask.private or ask.message:
            return
        place = {"channel_id": ask.channel, "thread_ts": ask.thread}
        with suppress(Refused, Unsure):  # a direct message outside of the pane has neither
            await self.poster.call(
                "assistant.threads.setTitle", **place, title=ask.question[:TITLE]
            )
            status = "is looking through the papers …"
            await self.poster.call("assistant.threads.setStatus", **place, status=status)

    async def _ended(self, ask: Ask, error: Exception) -> None:
        """Say in the ask's own message what went wrong; where that is gone, to the asker alone."""
        ask = self.store.get(ask.id) or ask
        if isinstance(error, Refused) and error.locked:
            await self.complain(error)  # it is gone on with once there is a token again
            return
        self.store.update(ask, state="done", outcome=ask.outcome or "failed")
        if isinstance(error, Refused) and error.deleted:
            return  # somebody did not want to see it
        if not isinstance(error, ScholarError):
            await self.complain(error)
        try:
            await self._say_instead(ask, words.in_words(error), error)
        except (Refused, Unsure) as again:
            log.error("%s", words.in_words(again))

    async def _say_instead(self, ask: Ask, text: str, error: Exception) -> None:
        gone = isinstance(error, Refused) and error.gone
        if ask.message and not gone:
            message = note(text, bold="I could not answer this.")
            await self.replace(ask.channel, ask.message, message)
            return
        question = f"You asked: {ask.question}"
        await self.say(ask.user, note(f"{text}\n{question}", bold="I could not answer there."))


def deeper(ask: Ask, key: str, user: str, preset: str) -> Ask:
    """The same question again, asked by `user` for an answer that takes more trouble."""
    return replace(
        Ask(key, ask.team, ask.channel, ask.thread, user, ask.question),
        kind=ask.kind, preset=preset,
    )  # fmt: skip
