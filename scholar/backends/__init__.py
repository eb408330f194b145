"""What a model is to the rest of `scholar`, and how one is opened by its id.

A backend has one primitive, `stream`; a reply is a gathered stream. Nothing but the gateway talks
to a backend. This module is light; the backends themselves load when they are opened.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

from scholar.errors import ModelError, ReplyInvalid, SettingsError
from scholar.settings import Settings

_EXAMPLE = "openai:gpt-5-mini, openai:qwen3:8b@http://localhost:11434/v1 or local:Qwen/Qwen3-8B"
NAME_AT_URL = re.compile(r"(?P<name>.+)@(?P<url>https?://\S+)\Z")
# What is meant as a URL and is none; a name may hold an @ too, as in claude-sonnet@20250514.
_NO_URL = re.compile(
    r"@(?P<url>(?:\w+://\S*|localhost\S*|[\w.-]+:\d+(?:/\S*)?|[\w-]+(?:\.[\w-]+)+/\S*)?)\Z"
)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked. `schema` is the JSON schema the reply has to fit, where it has one.

    `max_tokens` bounds the reply, reasoning included. `silence` is the seconds after which a server
    that sends nothing may be taken for dead; None leaves it to the backend's own setting. The reply
    ends before the first of `stop`. Where there are `choices`, the reply is exactly one of them,
    and no schema may be given; the prompt has to name them.
    """

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None
    schema_name: str = "reply"
    temperature: float = 0.0
    max_tokens: int = 8_000
    seed: int | None = None
    silence: float | None = None
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens as the server counts them; `reasoning` is the part of `output` that is not shown."""

    input: int
    output: int
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of a reply. The last one carries the tokens, where the server tells them.

    One without text is a sign of life: the model thinks, and none of it is shown. The last one also
    carries the log-probability of each of the request's `choices`, where there were some; see
    `Backend.classify`.
    """

    text: str = ""
    tokens: TokenCount | None = None
    choices: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, as far as it knows by now.

    `choices`: it can be held to one of several strings. `logprobs`: it tells how likely each of
    them is. `seed`: the same request with the same seed has the same reply. `context_window`: the
    tokens of prompt and reply together, None where they are not known.
    """

    json_schema: bool = True
    choices: bool = True
    logprobs: bool = False
    seed: bool = False
    context_window: int | None = None


class Backend(Protocol):
    """A model that can be asked.

    `stream` yields the reply in pieces. A stream that ends normally was a whole reply; otherwise
    it raises a ModelError. Closing the iterator, or cancelling the task that reads it, cancels the
    request. A request with a schema raises SchemaUnsupported, now and from then on, where
    `capabilities.json_schema` is false or turns out to be.
    """

    @property
    def name(self) -> str:
        """The model's bare name, as prices and ledger know it."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What is known so far; it may change while requests are made."""
        ...

    def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """The reply to `request`, piece by piece."""
        ...

    async def classify(self, request: Request) -> dict[str, float]:
        """The log-probability of each of `request.choices`, given that the reply is one of them.

        Their exponentials add up to one. Where `capabilities.logprobs` is false, the one that was
        chosen has 0.0 and the others have -inf. Raises ModelError as `stream` does.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A backend that finds out by being refused which parameters its server does not take."""

    @property
    def refused(self) -> frozenset[str]:
        """The names of the parameters that are left out from now on."""
        ...

    def recall(self, refused: Iterable[str]) -> None:
        """Leave these out too: they were refused in an earlier process."""
        ...


class SchemaUnsupported(ModelError):
    """The server cannot hold a reply to a JSON schema; put the schema into the prompt instead."""


async def classify(backend: Backend, request: Request) -> dict[str, float]:
    """`Backend.classify` for a backend whose `stream` ends with the `choices`."""
    if not request.choices:
        raise ValueError("a request to classify has choices")
    logs: Mapping[str, float] = {}
    async with aclosing(backend.stream(request)) as deltas:
        async for delta in deltas:
            logs = delta.choices or logs
    return dict(logs)


def certain(chosen: str, choices: Sequence[str]) -> dict[str, float]:
    """The log-probabilities of `choices` where nothing but the chosen one is known.

    Raises ReplyInvalid where it is none of them.
    """
    if chosen not in choices:
        raise ReplyInvalid(
            "The model named none of the choices it was given; ask again, or choose another model."
        )
    return {choice: 0.0 if choice == chosen else -math.inf for choice in choices}


def choice_as_schema(request: Request) -> Request:
    """`request` with its choices as a schema, for a server that knows schemas alone."""
    choice = {"type": "string", "enum": list(request.choices)}
    schema = {
        "type": "object",
        "properties": {"choice": choice},
        "required": ["choice"],
        "additionalProperties": False,
    }
    return replace(request, schema=schema, schema_name="choice", choices=())


def choice_in(text: str) -> str:
    """What a reply to `choice_as_schema` chose, empty where it does not fit."""
    try:
        reply = json.loads(text)
    except json.JSONDecodeError:
        return ""
    return str(reply.get("choice", "")) if isinstance(reply, dict) else ""


def open_backend(model_id: str, settings: Settings) -> Backend:
    """The backend for `model_id`.

    `openai:NAME`, or `openai:NAME@URL` for a compatible server; `local:NAME`, `local:/folder` or
    `local:NAME+ADAPTER` for a model that runs here. Raises SettingsError where the id cannot be
    read, or where it leaves this machine although `offline` is set, and ModelRejected where the
    server is known to want a key and there is none, or torch is missing.
    """
    name, url = split_model_id(model_id)
    if model_id.startswith("local:"):
        from scholar.backends.local import LocalBackend

        return LocalBackend(name, settings)
    if settings.offline and not (url and is_loopback(url)):
        raise SettingsError(
            f"offline is set, but {name} is not served on this machine; unset it, or choose a "
            "local model such as local:Qwen/Qwen3-8B or openai:qwen3:8b@http://localhost:11434/v1."
        )
    from scholar.backends.openai import OpenAIBackend

    return OpenAIBackend(name, settings, url)


def split_model_id(model_id: str) -> tuple[str, str | None]:
    """The bare name and the URL, if any, in `model_id`; SettingsError where it cannot be read."""
    scheme, _, rest = model_id.partition(":")
    if scheme not in ("openai", "local") or not rest.strip():
        raise SettingsError(
            f"'{model_id}' names no model; write openai:NAME, openai:NAME@URL or local:NAME, "
            f"for example {_EXAMPLE}."
        )
    if scheme == "local":
        return rest, None
    match = NAME_AT_URL.match(rest)
    if match and _has_host(match["url"]):
        return match["name"], match["url"]
    if broken := match or _NO_URL.search(rest):
        raise SettingsError(f"'{broken['url']}' is no URL; write it as http://HOST:PORT/v1.")
    return rest, None


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Whether `url` is answered by this machine itself."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
