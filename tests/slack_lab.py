"""A bot over a loopback Slack and a loopback model, listening at either door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from minds import Mind, for_server, honest
from model_server import ModelServer
from slack_server import APP_TOKEN, BOT_TOKEN, SECRET, Slack

from scholar.backends.gateway import Gateway
from scholar.context import Services
from scholar.journal import Journal
from scholar.library import Library
from scholar.runs import Scholar
from scholar.settings import Settings
from scholar.settings import Slack as SlackSettings
from scholar.slack import front
from scholar.slack.bot import Bot
from scholar.slack.keys import Keys
from scholar.slack.post import Pace

T = TypeVar("T")
Door = Literal["socket", "http"]
QUICK = Pace(post=0.0, edit=0.01, first=0.05)
"""For tests that are not about the pace."""
QUESTION = "How does HippoRAG 2 rank passages?"


@dataclass
class Lab:
    """The workspace, the bot in it, and the model that it asks."""

    slack: Slack
    bot: Bot
    model: ModelServer

    async def do(self, act: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What a person does in Slack, which waits until the bot has taken note of it."""
        return await asyncio.to_thread(act, *args, **kwargs)

    async def until(
        self, what: Callable[[], T | Literal[False] | None], seconds: float = 20.0
    ) -> T:
        """What `what` gives once it is true."""
        return cast(T, await asyncio.to_thread(self.slack.wait, what, seconds))

    async def ask(self) -> dict[str, Any]:
        """The bot's answer to QUESTION, the first that it is asked in its channel."""
        await self.do(self.slack.ask, QUESTION)
        [answer] = await self.answered()
        return answer

    async def stuck(self) -> dict[str, Any]:
        """The bot's message on QUESTION while the model, which is to stall, is at work on it."""
        await self.do(self.slack.ask, QUESTION)
        await self.until(lambda: self.model.requests)
        return await self.until(lambda: next(iter(self.slack.said()), None))

    async def answered(self, count: int = 1, channel: str = "C0GENERAL") -> list[dict[str, Any]]:
        """The bot's messages in a channel, once `count` of them are answers."""
        await self.until(lambda: len(self.answers(channel)) >= count)
        await self.bot.idle()
        return self.answers(channel)

    def answers(self, channel: str = "C0GENERAL") -> list[dict[str, Any]]:
        """The messages that have turned into answers."""
        return [m for m in self.slack.said(channel) if '"deeper"' in str(m).replace("'", '"')]


@asynccontextmanager
async def opened(
    slack: Slack,
    library: Library,
    settings: Settings,
    *,
    door: Door = "socket",
    mind: Mind | None = honest,
    pace: Pace = QUICK,
    **changes: Any,
) -> AsyncIterator[Lab]:
    """A bot that listens; `changes` are of `[slack]`. Without a mind there is no model."""
    own = {"api": slack.api, "bot_token": BOT_TOKEN, "app_token": APP_TOKEN}
    known = SlackSettings.model_validate({**own, "signing_secret": SECRET, **changes})
    async with AsyncExitStack() as stack:
        model = stack.enter_context(ModelServer(for_server(mind or honest)))
        name = f"openai:scripted@{model.url}" if mind else None
        settings = settings.model_copy(
            update={"slack": known, "model": name, "offline": False, "preset": "fast"}
        )
        gateway = Gateway(settings)
        services = Services(settings, library, gateway, journal=Journal.of(settings))
        scholar = Scholar(services=services)
        for part in (gateway, services.journal, scholar._checkpoints):
            stack.push_async_callback(part.aclose)
        bot = await stack.enter_async_context(front.opened(settings, scholar, pace))
        await stack.enter_async_context(listening(slack, bot, settings, door))
        yield Lab(slack, bot, model)


@asynccontextmanager
async def listening(slack: Slack, bot: Bot, settings: Settings, door: Door) -> AsyncIterator[None]:
    """The bot at its door, and Slack told of it."""
    keys = Keys.of(settings)
    if door == "socket":
        slack.events = ""
        async with front.by_socket(bot, keys, ping=0.3):
            yield
        return
    async with front.by_http(bot, keys, "127.0.0.1", 0) as port:
        slack.events = f"http://127.0.0.1:{port}{front.PATH}"
        yield
