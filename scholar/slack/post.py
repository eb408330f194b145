"""Calls of Slack's Web API: paced, repeated where that is safe, their refusals in words."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

LOCKED = frozenset(
    {
        "account_inactive",
        "invalid_auth",
        "not_authed",
        "token_expired",
        "token_revoked",
        "org_login_required",
        "team_access_not_granted",
    }
)
"""Refusals after which nothing can be done before somebody has changed the token."""
GONE = frozenset(
    {
        "channel_not_found",
        "is_archived",
        "not_in_channel",
        "user_not_in_channel",
        "restricted_action",
        "thread_not_found",
    }
)
"""Refusals of a channel that nothing more can be said in."""
DELETED = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
"""Refusals of a message that is not there to be changed any more."""
_ONCE = frozenset({"chat.postMessage", "chat.startStream", "chat.appendStream"})
"""What would be done twice if it were asked for twice."""
_GET = frozenset({"conversations.replies", "conversations.history", "files.info"})
_SLOWER, _SLOWEST, _FASTER = 0.1, 1.2, 0.97
"""Seconds between calls after the first refusal, and at most: Slack allows 50 a minute of most."""
_WORDS = {
    "channel_not_found": "The channel is not there, or I am not in it; /invite me and ask again.",
    "not_in_channel": "I am not in that channel (any more); /invite me and ask again.",
    "user_not_in_channel": "You are not in that channel.",
    "is_archived": "The channel is archived; ask in another one.",
    "restricted_action": "This workspace does not let me post there; ask in another channel.",
    "thread_not_found": "The thread is not there any more; ask again.",
    "missing_scope": "I lack a permission in Slack; whoever runs me sees with `scholar slack "
    "--check` which.",
}


class Refused(Exception):
    """Slack has refused a call; `error` is its own name for why."""

    def __init__(self, method: str, error: str) -> None:
        super().__init__(_WORDS.get(error, f"Slack has refused {method}: {error}."))
        self.method = method
        self.error = error

    @property
    def locked(self) -> bool:
        """Whether the token is good no more."""
        return self.error in LOCKED

    @property
    def gone(self) -> bool:
        """Whether the channel is."""
        return self.error in GONE

    @property
    def deleted(self) -> bool:
        """Whether the message is."""
        return self.error in DELETED


class Unsure(Exception):
    """Slack has not answered, so that nobody knows whether it has done what was asked."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between calls, and how failures are waited out."""

    post: float = 1.0
    """Between new messages in one channel, as Slack asks."""
    edit: float = 1.5
    """Between two states of one message that is growing."""
    first: float = 0.5
    """Before a failed call is repeated; then twice as long each time."""
    tries: int = 6


@dataclass
class _Gate:
    """Lets calls through one by one, `pause` seconds apart, and none before `open`.

    The pause doubles with every refusal and shrinks with every call that is let through, so that it
    settles near what Slack allows, which Slack says nowhere exactly.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    open: float = 0.0
    pause: float = 0.0

    def refused(self, seconds: float) -> None:
        """Slack asks to be left alone for so long."""
        now = time.monotonic()
        if self.open - now < seconds / 2:  # else it is one of many that were on their way together
            self.pause = min(_SLOWEST, max(_SLOWER, self.pause * 2))
        self.open = max(self.open, now + seconds)

    def allowed(self) -> None:
        """A call was let through."""
        self.pause = self.pause * _FASTER if self.pause > _SLOWER / 2 else 0.0


class Poster:
    """Calls methods of `client`. What Slack limits is waited for, each limit by itself."""

    def __init__(self, client: AsyncWebClient, pace: Pace = Pace()) -> None:
        self.client = client
        self.pace = pace
        self._gates: dict[tuple[str, str], _Gate] = defaultdict(_Gate)

    def is_held_up(self, method: str) -> bool:
        """Whether calls of `method` wait for Slack, so that what is not needed had better wait."""
        gate = self._gates[method, ""]
        return gate.lock.locked() or gate.open - time.monotonic() > self.pace.edit

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """What Slack answers. Raises Refused, and Unsure where a call may not be repeated."""
        posts = method in ("chat.postMessage", "chat.startStream")
        key = ("post", arguments["channel"]) if posts else (method, "")
        gate = self._gates[key]
        wait = self.pace.first
        left = self.pace.tries
        while left:
            try:
                await self._pass(gate, self.pace.post if posts else 0.0)
                answer = await self._send(method, arguments)
                gate.allowed()
                return answer
            except SlackApiError as error:
                again = _again(error)
                if again is None:
                    raise Refused(method, _name(error)) from None
                if again:
                    gate.refused(again)  # which is no failure, however often
                    continue
                reason: Exception = error
            except (SlackClientError, aiohttp.ClientError, TimeoutError, ValueError) as error:
                reason = error
            if method in _ONCE and not isinstance(reason, aiohttp.ClientConnectorError):
                raise Unsure(method) from reason
            left -= 1
            await asyncio.sleep(wait)
            wait *= 2
        raise Unsure(method)

    async def upload(self, channel: str, thread: str, name: str, text: str) -> None:
        """Put a file into a thread. Raises Refused or Unsure."""
        try:
            await self.client.files_upload_v2(
                channel=channel, thread_ts=thread, filename=name, title=name, content=text
            )
        except SlackApiError as error:
            raise Refused("files.upload", _name(error)) from None
        except (SlackClientError, aiohttp.ClientError, TimeoutError) as error:
            raise Unsure("files.upload") from error

    async def _pass(self, gate: _Gate, pause: float) -> None:
        async with gate.lock:
            await asyncio.sleep(max(0.0, gate.open - time.monotonic()))
            # A refusal of another call may have closed it again meanwhile.
            await asyncio.sleep(max(0.0, gate.open - time.monotonic()))
            gate.open = max(gate.open, time.monotonic() + max(pause, gate.pause))

    async def _send(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if token := arguments.get("token"):
            found = await self.client.api_call(method, params={"token": token})
        elif method in _GET:
            found = await self.client.api_call(method, http_verb="GET", params=dict(arguments))
        else:
            found = await self.client.api_call(method, json=dict(arguments))
        return dict(found.data) if isinstance(found.data, dict) else {}


def _again(error: SlackApiError) -> float | None:
    """Seconds that Slack asks to be left alone; 0 where it failed, None where it has refused."""
    response: Any = error.response
    if response.status_code == 429 or _name(error) == "ratelimited":
        headers = {key.lower(): str(value) for key, value in response.headers.items()}
        after = headers.get("retry-after", "")
        return float(after) + 0.1 if after.isdigit() else 1.0
    failed = response.status_code >= 500 or _name(error) in ("internal_error", "fatal_error")
    return 0.0 if failed else None


def _name(error: SlackApiError) -> str:
    response: Any = error.response
    return str(response.get("error") or "unknown_error") if response.data else "unknown_error"
