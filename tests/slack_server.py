"""A Slack on loopback: its Web API over HTTP, Socket Mode over WebSocket, and the people in it.

It holds what is posted to what Slack really takes (limits of blocks, who is in a channel), limits
rates where it is told to, and fails where it is told to. `Slack.say` and the like are what people
do; what comes of it reaches the bot through whichever of the two doors it listens at.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import hmac
import itertools
import json
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qsl, urlencode

from served import Served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

T = TypeVar("T")
TEAM, BOT, BOT_ID = "T0TEAM", "U0BOT", "B0BOT"
BOT_TOKEN, APP_TOKEN, SECRET = "xoxb-1111-loopback", "xapp-1-loopback", "0123456789abcdef"
SCOPES = (
    "app_mentions:read,assistant:write,channels:history,chat:write,commands,files:read,"
    "files:write,groups:history,im:history,mpim:history"
)
_STREAMS = ("chat.startStream", "chat.appendStream", "chat.stopStream")


@dataclass(frozen=True)
class Call:
    """A call of the Web API; `at` is time.monotonic(), `status` what it was answered."""

    method: str
    args: dict[str, Any]
    at: float
    status: int = 200
    error: str = ""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a call: an error of Slack's, or an HTTP status; `after` it was done."""

    error: str = ""
    status: int = 200
    retry_after: int = 0
    after: bool = False


@dataclass(frozen=True)
class Delivered:
    """How the bot answered something that Slack sent it; `seconds` until it did."""

    status: int
    body: str
    seconds: float


@dataclass
class Bucket:
    """So many calls a second, and no more than that at once."""

    rate: float
    left: float = 0.0
    at: float = 0.0

    def take(self, now: float) -> bool:
        self.left = min(max(1.0, self.rate), self.left + (now - self.at) * self.rate)
        if not self.at:
            self.left = max(1.0, self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class Envelope:
    """Something sent through the socket, until it is acknowledged."""

    id: str
    kind: str
    payload: dict[str, Any]
    sent: float
    attempt: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    answer: dict[str, Any] = field(default_factory=dict)


class Slack(Served):
    """The workspace. Use it as a context manager; `events` is where the bot listens by HTTP."""

    options: ClassVar = {"lifespan": "off", "ws": "websockets-sansio"}

    def __init__(self, *, streams: bool = True) -> None:
        self.events = ""
        self.streams = streams
        self.scopes = SCOPES
        self.manifest: dict[str, Any] = {}
        self.good_tokens = {BOT_TOKEN, APP_TOKEN}
        self.channels: dict[str, set[str]] = {"C0GENERAL": {BOT, "U0ANN"}, "D0ANN": {BOT, "U0ANN"}}
        self.messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.whispers: list[dict[str, Any]] = []
        self.views: dict[str, dict[str, Any]] = {}
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.calls: list[Call] = []
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.rates: dict[str, float] = {}
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._changed = threading.Condition()
        self._counter = itertools.count(1)
        self._sockets: list[tuple[WebSocket, asyncio.AbstractEventLoop]] = []
        self._unacknowledged: dict[str, Envelope] = {}
        self._epoch = int(time.time())

    # Running

    @property
    def api(self) -> str:
        """The address of the Web API."""
        return f"{self.url}/api/"

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/{method}", self._call, methods=["GET", "POST"]),
                Route("/upload/{id}", self._upload, methods=["POST"]),
                Route("/files/{id}", self._download),
                WebSocketRoute("/socket", self._listen),
            ]
        )

    def __exit__(self, *exception: object) -> None:
        self.drop_sockets()
        super().__exit__(*exception)

    def wait(self, what: Callable[[], T], timeout: float = 20.0) -> T:
        """What `what` gives once that is true; AssertionError with what was called where not."""
        with self._changed:
            until = time.monotonic() + timeout
            while not (found := what()):
                if time.monotonic() > until:
                    methods = [f"{call.method} {call.error}" for call in self.calls]
                    raise AssertionError(f"it did not happen; the bot called {methods[-30:]}")
                self._changed.wait(0.05)  # what is waited for need not be of Slack's
            return found

    def fail(self, method: str, *faults: Fault) -> None:
        """Let the next calls of `method` go wrong, one after the other."""
        self.faults[method] += faults

    def called(self, method: str) -> list[Call]:
        """The calls of `method` that were done."""
        return [c for c in self.calls if c.method == method and c.status == 200 and not c.error]

    def said(self, channel: str = "C0GENERAL") -> list[dict[str, Any]]:
        """The bot's messages in a channel."""
        return [m for m in self.messages[channel] if m["user"] == BOT]

    # The Web API

    async def _call(self, request: Request) -> Response:
        method, now = request.path_params["method"], time.monotonic()
        args = await _arguments(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        fault = self.faults[method].pop(0) if self.faults[method] else Fault()
        headers: dict[str, str] = {}
        if (fault.error or fault.status != 200) and not fault.after:
            if fault.retry_after:
                headers["Retry-After"] = str(fault.retry_after)
            answer, status = {"ok": False, "error": fault.error or "internal_error"}, fault.status
        elif not self._within_rate(method, args, now):
            headers["Retry-After"] = "1"
            answer, status = {"ok": False, "error": "ratelimited"}, 429
        elif (token or args.get("token")) not in self.good_tokens:
            answer, status = {"ok": False, "error": "invalid_auth"}, 200
        else:
            answer, status = self._answer(method, args), 200
            if fault.after:
                answer, status = {"ok": False, "error": "internal_error"}, fault.status
        error = "" if answer["ok"] else str(answer["error"])
        with self._changed:
            self.calls.append(Call(method, args, now, status, error))
            self._changed.notify_all()
        if method == "auth.test":
            headers["x-oauth-scopes"] = self.scopes
        return JSONResponse(answer, status, headers)

    def _within_rate(self, method: str, args: Mapping[str, Any], now: float) -> bool:
        if method not in self.rates:
            return True
        key = (method, str(args.get("channel", "")) if method == "chat.postMessage" else "")
        return self._buckets.setdefault(key, Bucket(self.rates[method])).take(now)

    def _answer(self, method: str, args: dict[str, Any]) -> dict[str, Any]:
        if method in _STREAMS and not self.streams:
            return {"ok": False, "error": "unknown_method"}
        handler = getattr(self, "_" + method.replace(".", "_"), None)
        if handler is None:
            return {"ok": False, "error": "unknown_method"}
        with self._changed:
            try:
                return {"ok": True, **(handler(args) or {})}
            except _Refused as error:
                return {"ok": False, "error": str(error)}

    def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "team_id": TEAM, "user_id": BOT, "bot_id": BOT_ID, "team": "Lab", "user": "scholar",
        }  # fmt: skip

    def _bots_info(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"bot": {"id": BOT_ID, "app_id": "A0APP"}}

    def _apps_manifest_export(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"manifest": self.manifest}

    def _apps_connections_open(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"url": f"ws://{self.host}/socket?ticket=secret-ticket"}

    def _chat_postMessage(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        channel = self._place(args)
        message = self._posted(channel, BOT, args.get("text", ""), args.get("thread_ts"))
        message["blocks"] = _checked(args.get("blocks") or [])
        return {"channel": channel, "ts": message["ts"], "message": message}

    def _chat_postEphemeral(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._place(args)
        _checked(args.get("blocks") or [])
        self.whispers.append(args)
        return {"message_ts": self._ts()}

    def _chat_update(self, args: dict[str, Any]) -> dict[str, Any]:
        message = self._own(args)
        if message.get("streaming"):
            raise _Refused("streaming_state_conflict")
        message["text"] = args.get("text", "")
        message["blocks"] = _checked(args.get("blocks") or [])
        message["edits"] = message.get("edits", 0) + 1
        return {"ts": message["ts"], "channel": args["channel"]}

    def _chat_startStream(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        channel = self._place(args)
        if not args.get("thread_ts"):
            raise _Refused("invalid_arguments")
        if not channel.startswith("D") and not args.get("recipient_user_id"):
            raise _Refused("missing_recipient_user_id")
        message = self._posted(channel, BOT, "", args["thread_ts"])
        message |= {"streaming": True, "blocks": [], "chunks": []}
        self._stream(message, args)
        return {"ts": message["ts"], "channel": channel}

    def _chat_appendStream(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        message = self._own(args)
        if not message.get("streaming"):
            raise _Refused("message_not_in_streaming_state")
        self._stream(message, args)
        return {"ts": message["ts"], "channel": args["channel"]}

    def _chat_stopStream(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        message = self._own(args)
        if not message.get("streaming"):
            raise _Refused("message_not_in_streaming_state")
        self._stream(message, args)
        message["streaming"] = False
        return {"ts": message["ts"], "channel": args["channel"]}

    def _stream(self, message: dict[str, Any], args: dict[str, Any]) -> None:
        for chunk in args.get("chunks") or []:
            message["chunks"].append(chunk)
            if chunk["type"] == "blocks":
                message["blocks"] = _checked([*message["blocks"], *chunk["blocks"]])

    def _conversations_replies(self, args: dict[str, Any]) -> dict[str, Any]:
        channel = self._place(args)
        found = [
            m for m in self.messages[channel]
            if args["ts"] in (m["ts"], m.get("thread_ts")) and m["ts"] >= args.get("oldest", "")
        ]  # fmt: skip
        return {"messages": copy.deepcopy(found[: int(args.get("limit", 100))])}

    def _conversations_history(self, args: dict[str, Any]) -> dict[str, Any]:
        found = [m for m in self.messages[self._place(args)] if m.get("thread_ts") is None]
        return {"messages": copy.deepcopy(found[::-1][: int(args.get("limit", 100))])}

    def _assistant_threads_setStatus(self, _: dict[str, Any]) -> None:  # noqa: N802
        pass

    def _assistant_threads_setTitle(self, _: dict[str, Any]) -> None:  # noqa: N802
        pass

    def _assistant_threads_setSuggestedPrompts(self, args: dict[str, Any]) -> None:  # noqa: N802
        if not 1 <= len(args["prompts"]) <= 4:
            raise _Refused("invalid_arguments")

    def _views_open(self, args: dict[str, Any]) -> dict[str, Any]:
        if not args.get("trigger_id"):
            raise _Refused("invalid_trigger_id")
        return self._view(f"V{next(self._counter)}", args["view"])

    def _views_update(self, args: dict[str, Any]) -> dict[str, Any]:
        return self._view(args["view_id"], args["view"])

    def _view(self, id: str, view: dict[str, Any]) -> dict[str, Any]:
        _checked(view["blocks"], 100)
        if len(view["title"]["text"]) > 24:
            raise _Refused("invalid_arguments")
        self.views[id] = view
        return {"view": {"id": id, **view}}

    def _files_info(self, args: dict[str, Any]) -> dict[str, Any]:
        if args["file"] not in self.files:
            raise _Refused("file_not_found")
        return {"file": self.files[args["file"]]}

    def _files_getUploadURLExternal(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        id = f"F{next(self._counter)}"
        self.files[id] = {"id": id, "name": args["filename"]}
        return {"upload_url": f"http://{self.host}/upload/{id}", "file_id": id}

    def _files_completeUploadExternal(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        files = args["files"] if isinstance(args["files"], list) else json.loads(args["files"])
        shared = [self.files[file["id"]] for file in files]
        message = self._posted(args["channel_id"], BOT, "", args.get("thread_ts"))
        message["files"] = shared
        return {"files": shared}

    async def _upload(self, request: Request) -> Response:
        self.contents[request.path_params["id"]] = await request.body()
        return Response("OK", media_type="text/plain")

    async def _download(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {BOT_TOKEN}":
            return Response(status_code=403)
        return Response(self.contents[request.path_params["id"]])

    def _place(self, args: Mapping[str, Any]) -> str:
        channel = str(args["channel"])
        if channel.startswith("U"):
            channel = f"D{channel[1:]}"
            self.channels.setdefault(channel, {BOT, f"U{channel[1:]}"})
        if channel not in self.channels:
            raise _Refused("channel_not_found")
        if BOT not in self.channels[channel]:
            raise _Refused("not_in_channel")
        return channel

    def _own(self, args: Mapping[str, Any]) -> dict[str, Any]:
        self._place(args)
        for message in self.said(args["channel"]):
            if message["ts"] == args["ts"]:
                return message
        raise _Refused("message_not_found")

    def _posted(self, channel: str, user: str, text: str, thread: str | None) -> dict[str, Any]:
        message = {"type": "message", "user": user, "text": text, "ts": self._ts(), "team": TEAM}
        if user == BOT:
            message["bot_id"] = BOT_ID
        if thread:
            message["thread_ts"] = thread
        self.messages[channel].append(message)
        self._changed.notify_all()
        return message

    def _ts(self) -> str:
        return f"{self._epoch}.{next(self._counter):06d}"

    # What people do

    def join(self, channel: str, *users: str) -> None:
        """Make a channel with these users and the bot."""
        self.channels[channel] = {BOT, *users}

    def share(self, name: str, content: bytes) -> dict[str, Any]:
        """A file that somebody has dropped, as messages carry it."""
        id = f"F{next(self._counter)}"
        url = f"http://{self.host}/files/{id}"
        self.contents[id] = content
        self.files[id] = {"id": id, "name": name, "size": len(content), "url_private_download": url}
        return self.files[id]

    def say(
        self,
        text: str,
        *,
        channel: str = "C0GENERAL",
        user: str = "U0ANN",
        thread: str | None = None,
        files: Sequence[dict[str, Any]] = (),
        **more: Any,
    ) -> str:
        """Write a message; its time stamp. It is delivered as Slack would, mentions twice."""
        with self._changed:
            message = self._posted(channel, user, text, thread)
        if files:
            message |= {"files": list(files), "subtype": "file_share"}
        kind = "im" if channel.startswith("D") else "channel"
        event = {**message, "channel": channel, "channel_type": kind, "event_ts": message["ts"]}
        kinds = ["message", "app_mention"] if f"<@{BOT}>" in text and kind == "channel" else []
        for name in kinds or ["message"]:
            delivered = self.deliver_event({**event, "type": name, **more})
            assert delivered.status == 200, delivered
        return str(message["ts"])

    def ask(self, question: str, **where: Any) -> str:
        """Mention the bot with a question."""
        return self.say(f"<@{BOT}> {question}", **where)

    def delete(self, channel: str, ts: str) -> None:
        """Delete a message, whoever wrote it."""
        with self._changed:
            [gone] = [m for m in self.messages[channel] if m["ts"] == ts]
            self.messages[channel].remove(gone)
        self.deliver_event({
            "type": "message", "subtype": "message_deleted", "hidden": True, "channel": channel,
            "deleted_ts": ts, "ts": self._ts(), "event_ts": self._ts(), "channel_type": "channel",
        })  # fmt: skip

    def press(
        self, message: dict[str, Any], action: str, *, channel: str = "C0GENERAL",
        user: str = "U0ANN",
    ) -> Delivered:  # fmt: skip
        """Press a button of a message."""
        return self.deliver("interactive", self._pressed(message, action, channel, user))

    def press_in_view(self, view_id: str, action: str, *, user: str = "U0ANN") -> Delivered:
        """Press a button of a modal."""
        view = self.views[view_id]
        payload = self._pressed({**view, "ts": ""}, action, "", user)
        payload |= {"view": {"id": view_id, **view}, "container": {"type": "view"}}
        return self.deliver("interactive", payload)

    def _pressed(
        self, message: dict[str, Any], action: str, channel: str, user: str
    ) -> dict[str, Any]:
        rows = [block for block in message["blocks"] if block["type"] == "actions"]
        [button] = [e for row in rows for e in row["elements"] if e["action_id"] == action]
        return {
            "type": "block_actions",
            "team": {"id": TEAM, "domain": "lab"},
            "user": {"id": user, "username": user.lower(), "team_id": TEAM},
            "api_app_id": "A0APP",
            "trigger_id": f"{next(self._counter)}.trigger",
            "channel": {"id": channel, "name": "general"},
            "container": {
                "type": "message", "message_ts": message["ts"], "channel_id": channel,
                "thread_ts": message.get("thread_ts"), "is_ephemeral": False,
            },
            "message": message,
            "actions": [{**button, "action_ts": self._ts()}],
        }  # fmt: skip

    def command(self, text: str, *, channel: str = "C0GENERAL", user: str = "U0ANN") -> Delivered:
        """Type `/scholar text`."""
        return self.deliver("slash_commands", {
            "token": "", "command": "/scholar", "text": text, "team_id": TEAM,
            "team_domain": "lab", "channel_id": channel, "channel_name": "general",
            "user_id": user, "user_name": user.lower(), "api_app_id": "A0APP",
            "trigger_id": f"{next(self._counter)}.trigger",
            "response_url": f"http://{self.host}/response",
        })  # fmt: skip

    def shortcut(
        self, message: dict[str, Any], *, channel: str = "C0GENERAL", user: str = "U0ANN"
    ) -> Delivered:
        """Choose “Find evidence for this” in the menu of a message."""
        return self.deliver("interactive", {
            "type": "message_action", "callback_id": "find_evidence", "message": message,
            "trigger_id": f"{next(self._counter)}.trigger", "message_ts": message["ts"],
            "team": {"id": TEAM, "domain": "lab"}, "user": {"id": user, "team_id": TEAM},
            "channel": {"id": channel, "name": "general"},
            "response_url": f"http://{self.host}/response",
        })  # fmt: skip

    # Delivering

    def deliver_event(self, event: dict[str, Any], event_id: str = "") -> Delivered:
        """Send an event of the Events API."""
        return self.deliver("events_api", {
            "type": "event_callback", "token": "", "team_id": TEAM, "api_app_id": "A0APP",
            "event": event, "event_id": event_id or f"Ev{next(self._counter)}",
            "event_time": int(time.time()),
            "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
        })  # fmt: skip

    def deliver(self, kind: str, payload: dict[str, Any]) -> Delivered:
        """Send something to the bot, at whichever door it listens, and wait for its answer."""
        if self.events:
            return self.post(*signed(kind, payload))
        envelope = Envelope(f"E{next(self._counter)}", kind, payload, time.monotonic())
        with self._changed:
            self._unacknowledged[envelope.id] = envelope
            self._changed.wait_for(lambda: bool(self._sockets), 20)
            self._send(envelope)
        assert envelope.done.wait(20), f"{kind} was not acknowledged"
        body = json.dumps(envelope.answer.get("payload", ""))
        return Delivered(200, body, time.monotonic() - envelope.sent)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Delivered:
        """Send a request to the bot's door for HTTP."""
        began = time.monotonic()
        request = urllib.request.Request(self.events, body, dict(headers), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read().decode()
        return Delivered(status, text, time.monotonic() - began)

    def _send(self, envelope: Envelope) -> None:
        for websocket, loop in self._sockets[-1:]:
            text = json.dumps({
                "envelope_id": envelope.id, "type": envelope.kind, "payload": envelope.payload,
                "accepts_response_payload": envelope.kind != "events_api",
                "retry_attempt": envelope.attempt, "retry_reason": "timeout" * envelope.attempt,
            })  # fmt: skip
            asyncio.run_coroutine_threadsafe(websocket.send_text(text), loop)

    async def _listen(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"type": "hello", "num_connections": 1})
        here = (websocket, asyncio.get_running_loop())
        with self._changed:
            self._sockets.append(here)
            for envelope in self._unacknowledged.values():  # as Slack does after a drop
                envelope.attempt += 1
                self._send(envelope)
            self._changed.notify_all()
        try:
            while True:
                answer = json.loads(await websocket.receive_text())
                with self._changed:
                    if heard := self._unacknowledged.pop(answer["envelope_id"], None):
                        heard.answer = answer
                        heard.done.set()
        except WebSocketDisconnect:
            pass
        finally:
            with self._changed:
                if here in self._sockets:
                    self._sockets.remove(here)
                self._changed.notify_all()

    def drop_sockets(self) -> None:
        """Close every socket, as a change of Slack's servers does."""
        with self._changed:
            sockets, self._sockets = self._sockets, []
        for websocket, loop in sockets:
            asyncio.run_coroutine_threadsafe(websocket.close(1001), loop)


class _Refused(Exception):
    """Slack's name for why not."""


async def _arguments(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = dict(request.query_params)
    body = await request.body()
    if request.headers.get("content-type", "").startswith("application/json"):
        return found | (json.loads(body) if body else {})
    return found | dict(parse_qsl(body.decode()))


def signed(
    kind: str, payload: dict[str, Any], *, secret: str = SECRET, at: float | None = None
) -> tuple[bytes, dict[str, str]]:
    """A request as Slack sends and signs it."""
    if kind == "events_api":
        body, content = json.dumps(payload).encode(), "application/json"
    else:
        form = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
        body, content = urlencode(form).encode(), "application/x-www-form-urlencoded"
    timestamp = str(int(time.time() if at is None else at))
    base = b"v0:" + timestamp.encode() + b":" + body
    signature = "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature}
    return body, {"Content-Type": content, **headers}


def _checked(blocks: list[dict[str, Any]], most: int = 50) -> list[dict[str, Any]]:
    """`blocks` where Slack would take them."""
    if problem := problem_of(blocks, most):
        raise _Refused(problem)
    return blocks


def problem_of(blocks: Sequence[Mapping[str, Any]], most: int = 50) -> str:
    """What Slack would not take of `blocks`; empty where it takes them."""
    if len(blocks) > most:
        return "invalid_blocks"
    if most == 50 and len(json.dumps(blocks, ensure_ascii=False)) > 13_000:
        return "msg_blocks_too_long"
    names = [block["block_id"] for block in blocks if "block_id" in block]
    if len(set(names)) != len(names) or any(len(name) > 255 for name in names):
        return "invalid_blocks"
    return next((p for block in blocks if (p := _problem(block))), "")


def _problem(block: Mapping[str, Any]) -> str:
    match block["type"]:
        case "rich_text":
            texts = [e.get("text", "x") for part in block["elements"] for e in part["elements"]]
            if not texts or not all(texts) or len("".join(texts)) > 3_000:
                return "invalid_blocks"
        case "section":
            if not 1 <= len(block["text"]["text"]) <= 3_000:
                return "invalid_blocks"
        case "context":
            elements = block["elements"]
            if len(elements) > 10 or not all(1 <= len(e["text"]) <= 2_000 for e in elements):
                return "invalid_blocks"
        case "actions":
            for element in block["elements"]:
                if len(element["text"]["text"]) > 75 or len(element["value"]) > 2_000:
                    return "invalid_blocks"
        case _:
            return "invalid_blocks"
    return ""


def text_of(message: Mapping[str, Any]) -> str:
    """What a reader sees of the blocks of a message."""
    lines = []
    for block in message.get("blocks", ()):
        match block["type"]:
            case "rich_text":
                for part in block["elements"]:
                    quote = "> " if part["type"] == "rich_text_quote" else ""
                    said = "".join(e.get("text") or f"@{e['user_id']}" for e in part["elements"])
                    lines.append(quote + said.rstrip("\n"))
            case "context":
                lines += [f"  {element['text']}" for element in block["elements"]]
            case "actions":
                lines.append(" ".join(f"[{e['text']['text']}]" for e in block["elements"]))
    return "\n".join(lines)


def buttons_of(message: Mapping[str, Any]) -> list[str]:
    """The actions that the buttons of a message stand for."""
    rows = (block for block in message.get("blocks", ()) if block["type"] == "actions")
    return [element["action_id"] for row in rows for element in row["elements"]]
