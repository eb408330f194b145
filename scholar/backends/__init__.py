"""What a model is to the rest of `scholar`, and how one is opened by its id.

A backend has one primitive, `stream`; a reply is a gathered stream. Nothing but the gateway talks
to a backend. This module is light; the backends themselves load when they are opened.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

from scholar.errors import ModelError, SettingsError
from scholar.settings import Settings

_EXAMPLE = "openai:gpt-5-mini or openai:qwen3:8b@http://localhost:11434/v1"
_NAME_AT_URL = re.compile(r"(?P<name>.+)@(?P<url>https?://\S+)\Z")
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
    that sends nothing may be taken for dead; None leaves it to the backend's own setting.
    """

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None
    schema_name: str = "reply"
    temperature: float = 0.0
    max_tokens: int = 8_000
    seed: int | None = None
    silence: float | None = None


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens as the server counts them; `reasoning` is the part of `output` that is not shown."""

    input: int
    output: int
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of a reply. The last one carries the tokens, where the server tells them.

    One without text is a sign of life: the model thinks, and none of it is shown.
    """

    text: str = ""
    tokens: TokenCount | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, as far as it knows by now."""

    json_schema: bool = True


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


def open_backend(model_id: str, settings: Settings) -> Backend:
    """The backend for `model_id`: `openai:NAME`, or `openai:NAME@URL` for a compatible server.

    Raises SettingsError where the id cannot be read, or where it leaves this machine although
    `offline` is set, and ModelRejected where the server is known to want a key and there is none.
    """
    name, url = split_model_id(model_id)
    if settings.offline and not (url and is_loopback(url)):
        raise SettingsError(
            f"offline is set, but {name} is not served on this machine; unset it, or choose a "
            "local model such as openai:qwen3:8b@http://localhost:11434/v1."
        )
    from scholar.backends.openai import OpenAIBackend

    return OpenAIBackend(name, settings, url)


def split_model_id(model_id: str) -> tuple[str, str | None]:
    """The bare name and the URL, if any, in `model_id`; SettingsError where it cannot be read."""
    scheme, _, rest = model_id.partition(":")
    if scheme != "openai" or not rest.strip():
        raise SettingsError(
            f"'{model_id}' names no model; write openai:NAME or openai:NAME@URL, "
            f"for example {_EXAMPLE}."
        )
    match = _NAME_AT_URL.match(rest)
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
