"""`scholar slack --check`: what is set up, what is missing, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from scholar.settings import Settings
from scholar.slack.keys import Keys
from scholar.slack.store import FILE, Store

SCOPES = {
    "app_mentions:read": "hear its mentions",
    "assistant:write": "use Slack's assistant pane, and stream",
    "channels:history": "hear follow-ups in threads of public channels",
    "chat:write": "answer",
    "commands": "take /scholar and the message shortcut",
    "files:read": "take files into the library",
    "files:write": "give BibTeX and long answers as files",
    "groups:history": "hear follow-ups in private channels",
    "im:history": "hear direct messages",
    "mpim:history": "hear follow-ups in group messages",
}
"""The least that the bot can do with all that it does, and what each is for."""
EVENTS = {
    "app_mention": "mentions",
    "assistant_thread_started": "the assistant pane",
    "message.channels": "follow-ups in public channels",
    "message.groups": "follow-ups in private channels",
    "message.im": "direct messages",
    "message.mpim": "follow-ups in group messages",
}
_TIMEOUT = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `good` is None where it could not be told."""

    name: str
    good: bool | None
    said: str


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """What there is to be said of the set-up, in the order in which it is mended best."""
    keys = Keys.of(settings)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        client = AsyncWebClient(keys.bot, settings.slack.api, session=session, retry_handlers=[])
        me, finding = await _bot(client, keys)
        yield finding
        if me is not None:
            yield _scopes(me[1])
        yield await _socket(client, keys)
        yield _signing(keys)
        yield await _events(client, keys, settings, me[0] if me else {})


Answered = tuple[Mapping[str, Any], Mapping[str, Any]]


async def _bot(client: AsyncWebClient, keys: Keys) -> tuple[Answered | None, Finding]:
    if keys.bot is None:
        return None, Finding("bot token", False, "none is set; set SLACK_BOT_TOKEN (xoxb-…)")
    try:
        found = await client.auth_test()
    except (SlackClientError, aiohttp.ClientError, TimeoutError) as error:
        return None, Finding("bot token", False, f"{_why(error)}; install the app anew")
    data: Any = found.data
    said = f"@{data.get('user')} in {data.get('team')}"
    headers = {key.lower(): value for key, value in found.headers.items()}
    return (data, headers), Finding("bot token", True, said)


def _scopes(headers: Mapping[str, Any]) -> Finding:
    given = headers.get("x-oauth-scopes")
    if given is None:
        return Finding("scopes", None, "Slack does not say which the token has")
    has = {scope.strip() for scope in str(given).split(",")}
    missing = [f"{scope} (to {why})" for scope, why in SCOPES.items() if scope not in has]
    if not missing:
        return Finding("scopes", True, f"all {len(SCOPES)}")
    said = f"missing: {', '.join(missing)}; add them under OAuth & Permissions, and reinstall"
    return Finding("scopes", False, said)


async def _socket(client: AsyncWebClient, keys: Keys) -> Finding:
    if keys.app is None:
        said = "no SLACK_APP_TOKEN (xapp-…, with connections:write), so by --http alone"
        return Finding("socket mode", None, said)
    try:
        url = str((await client.apps_connections_open(app_token=keys.app))["url"])
        session = client.session
        assert session is not None
        async with session.ws_connect(url) as socket:
            hello = await socket.receive_json(timeout=_TIMEOUT)
    except (SlackClientError, aiohttp.ClientError, TimeoutError, TypeError, ValueError) as error:
        return Finding("socket mode", False, f"{_why(error)}; make a new token, or use --http")
    good = hello.get("type") == "hello"
    return Finding("socket mode", good, "connects" if good else "connects, and says no hello")


def _signing(keys: Keys) -> Finding:
    if keys.signing is None:
        return Finding("http", None, "no SLACK_SIGNING_SECRET, so in Socket Mode alone")
    return Finding("http", True, "requests are checked by the signing secret")


async def _events(
    client: AsyncWebClient, keys: Keys, settings: Settings, me: Mapping[str, Any]
) -> Finding:
    if keys.config is None:
        return _events_heard(settings)
    try:
        app = await client.api_call("bots.info", params={"bot": me.get("bot_id", "")})
        asked = {"token": keys.config, "app_id": app["bot"]["app_id"]}
        manifest = (await client.api_call("apps.manifest.export", params=asked))["manifest"]
    except (SlackClientError, aiohttp.ClientError, TimeoutError, KeyError, TypeError) as error:
        return Finding("events", None, f"cannot be read ({_why(error)})")
    told = manifest.get("settings", {}).get("event_subscriptions", {}).get("bot_events", ())
    missing = [f"{name} ({why})" for name, why in EVENTS.items() if name not in told]
    if not missing:
        return Finding("events", True, f"all {len(EVENTS)}")
    said = f"missing: {', '.join(missing)}; add them under Event Subscriptions"
    return Finding("events", False, said)


def _events_heard(settings: Settings) -> Finding:
    """Without a look at the app's set-up: what has come of it so far."""
    heard: dict[str, float] = {}
    if (settings.home / FILE).is_file():
        store = Store(settings.home)
        heard = store.heard()
        store.close()
    kinds = sorted({name.partition(".")[0] for name in EVENTS})
    said = ", ".join(f"{kind} {_when(heard.get(kind))}" for kind in kinds)
    advice = "a SLACK_CONFIG_TOKEN lets me see what the app is subscribed to"
    return Finding("events", None, f"last heard: {said}; {advice}")


def _when(at: float | None) -> str:
    if at is None:
        return "never"
    minutes = int((time.time() - at) / 60)
    if minutes < 60:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // 1440} days ago"


def _why(error: Exception) -> str:
    if isinstance(error, SlackApiError):
        response: Any = error.response
        return f"Slack says {response.get('error') or response.status_code}"
    return f"Slack cannot be reached ({type(error).__name__})"
