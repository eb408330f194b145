"""The bot's two doors: Socket Mode, and HTTP with signed requests. Behind both is one bolt app."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from scholar.errors import SettingsError
from scholar.runs import Scholar
from scholar.settings import Settings
from scholar.slack import logs, said, watching
from scholar.slack.bot import Bot
from scholar.slack.desk import Desk
from scholar.slack.keys import Keys
from scholar.slack.post import Pace, Poster
from scholar.slack.store import Store

PATH = "/slack/events"
LARGEST = 1 << 20
"""Bytes of a request; Slack's own are a tenth of this at most."""
_ANY = re.compile(".*")
_TIMESTAMP = re.compile(r"\d{1,12}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
_TIMEOUT = 15
"""Seconds that Slack may take to answer a call."""


@asynccontextmanager
async def opened(
    settings: Settings, scholar: Scholar, pace: Pace | None = None
) -> AsyncIterator[Bot]:
    """A bot that knows who it is. Raises SettingsError without a token, and what Slack refuses."""
    keys = Keys.of(settings)
    if keys.bot is None:
        raise SettingsError(
            "There is no token of a Slack bot; set SLACK_BOT_TOKEN (xoxb-…), as docs/slack.md says."
        )
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    connector = aiohttp.TCPConnector(limit=50)
    log = logs.logger()
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        client = AsyncWebClient(
            keys.bot, settings.slack.api, session=session, retry_handlers=[], logger=log
        )
        bot = Bot(Desk(scholar), Poster(client, pace or Pace()), Store(settings.home))
        bot.when_due.append(watching.look_at_all)
        try:
            await bot.start()
            yield bot
        finally:
            await bot.stop()


@asynccontextmanager
async def by_socket(bot: Bot, keys: Keys, ping: float = 5.0) -> AsyncIterator[None]:
    """Listen in Socket Mode. `ping` is the seconds between looks at whether it is connected."""
    if keys.app is None:
        raise SettingsError(
            "Socket Mode takes a token of the app; set SLACK_APP_TOKEN (xapp-…), "
            "or listen by HTTP with --http PORT."
        )
    await bot.poster.call("apps.connections.open", token=keys.app)  # refuses a wrong token
    handler = AsyncSocketModeHandler(
        app_for(bot, keys), keys.app, logger=bot_log(bot), ping_interval=ping
    )
    client: Any = handler.client  # its methods have no types
    try:
        await client.connect()
        yield
    finally:
        await client.close()


@asynccontextmanager
async def by_http(bot: Bot, keys: Keys, host: str, port: int) -> AsyncIterator[int]:
    """Listen for signed requests at `PATH`; gives the port, which is a free one for 0."""
    if keys.signing is None:
        raise SettingsError(
            "HTTP takes the app's signing secret; set SLACK_SIGNING_SECRET, "
            "or listen in Socket Mode without --http."
        )
    server = web.Application(client_max_size=LARGEST)
    server.router.add_post(PATH, Gate(bot, app_for(bot, keys), keys.signing).handle)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


class Gate:
    """Lets through what Slack has signed a short while ago and not sent before, and nothing else.

    Slack signs a repetition anew, so that one signature seen twice is somebody else's doing.
    """

    def __init__(self, bot: Bot, app: AsyncApp, secret: str) -> None:
        self._bot = bot
        self._app = app
        self._verifier = SignatureVerifier(secret)

    async def handle(self, request: web.Request) -> web.Response:
        """What Slack is answered."""
        body = await request.read()
        if not self._is_signed(body, request.headers):
            return web.Response(status=401, text="invalid request")
        signature = request.headers["x-slack-signature"]
        if not self._bot.store.first_time(f"signature:{signature}"):
            return web.Response(status=401, text="replayed request")
        asked = AsyncBoltRequest(
            body=body.decode(), query=request.query_string, headers=dict(request.headers)
        )
        answer = await self._app.async_dispatch(asked)
        headers = {"content-type": _first(answer.headers, "content-type", "text/plain")}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    def _is_signed(self, body: bytes, headers: Mapping[str, str]) -> bool:
        timestamp = headers.get("x-slack-request-timestamp", "")
        signature = headers.get("x-slack-signature", "")
        if not (_TIMESTAMP.fullmatch(timestamp) and _SIGNATURE.fullmatch(signature)):
            return False
        try:
            return self._verifier.is_valid(body, timestamp, signature)
        except UnicodeDecodeError:
            return False


def _first(headers: Mapping[str, Any], name: str, otherwise: str) -> str:
    found = headers.get(name) or [otherwise]
    return str(found[0])


def bot_log(bot: Bot) -> Any:
    """The logger that Slack's packages are given."""
    return bot.poster.client.logger


def app_for(bot: Bot, keys: Keys) -> AsyncApp:
    """The bolt app of the bot. A request is acknowledged once what it asks for is kept."""
    app = AsyncApp(
        client=bot.poster.client,
        signing_secret=keys.signing or "",
        logger=bot_log(bot),
        process_before_response=True,
        ssl_check_enabled=False,  # it would let through what nobody has signed
    )

    async def keep(body: dict[str, Any], next: Callable[[], Awaitable[None]]) -> None:
        kind = (body.get("event") or {}).get("type") or body.get("type") or body.get("command")
        bot.store.hear(str(kind))
        await next()

    async def on_message(event: dict[str, Any]) -> None:
        said.message(bot, event)

    async def on_pane(event: dict[str, Any]) -> None:
        said.pane_opened(bot, event)

    async def on_command(ack: Any, body: dict[str, Any]) -> None:
        await ack(said.command(bot, body))

    async def on_shortcut(ack: Any, body: dict[str, Any]) -> None:
        said.shortcut(bot, body)
        await ack()

    async def on_button(ack: Any, body: dict[str, Any]) -> None:
        said.pressed(bot, body)
        await ack()

    async def ignore() -> None:
        """What was not asked for is acknowledged, or Slack sends it again."""

    app.middleware(keep)
    app.event("app_mention")(on_message)
    app.event("message")(on_message)
    app.event("assistant_thread_started")(on_pane)
    app.event(_ANY)(ignore)
    app.command("/scholar")(on_command)
    app.shortcut(said.SHORTCUT)(on_shortcut)
    app.action(_ANY)(on_button)
    return app
