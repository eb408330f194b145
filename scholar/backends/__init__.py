"""What a model is to the rest of `scholar`, and how one is opened by its id.

A backend has one primitive, `stream`; a reply is a gathered stream. Nothing but the gateway talks
to a backend. This module is light; the backends themselves load when they are opened.

Other packages bring more of them by entry points of the group `scholar.backends`: see `Factory`.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, runtime_checkable
from urllib.parse import urlsplit

from scholar.errors import ModelError, ReplyInvalid, SettingsError
from scholar.settings import Settings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "scholar.backends"
"""The entry points by which other packages bring backends."""
_OWN = ("openai", "local")
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
    `Backend.classify`. `gpu_seconds` is how long an accelerator of this machine has worked for the
    request so far, None where the model runs elsewhere.
    """

    text: str = ""
    tokens: TokenCount | None = None
    choices: Mapping[str, float] | None = None
    gpu_seconds: float | None = None


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


@dataclass(frozen=True, slots=True)
class Learned:
    """What a backend has found out about its server by asking.

    `refused` are the parameters that the server does not take. `responses` says whether it is asked
    by OpenAI's responses instead of chat completions; None where that was never tried.
    """

    refused: frozenset[str] = frozenset()
    responses: bool | None = None


@runtime_checkable
class Learner(Protocol):
    """A backend that finds out by asking what its server can do."""

    @property
    def learned(self) -> Learned:
        """What is known by now."""
        ...

    def recall(self, learned: Learned) -> None:
        """Know this instead: it was found out earlier, perhaps in another process."""
        ...


class Factory(Protocol):
    """What an entry point of the group `scholar.backends` names; often the backend's class.

    The entry point's name is the scheme of a model id, `SCHEME:NAME` or `SCHEME:NAME@URL`; `url`
    is None where the id has none. Raises SettingsError where the id cannot be used, and
    ModelRejected where the model cannot be asked for another reason.

    Where `offline` is set, a model is opened only if the factory has a function
    `is_local(name, settings, url)` that returns True: no request to it leaves this machine.
    """

    def __call__(self, name: str, settings: Settings, url: str | None, /) -> Backend:
        """The backend for the model `name`."""
        ...


@runtime_checkable
class _SaysWhere(Protocol):
    def is_local(self, name: str, settings: Settings, url: str | None, /) -> bool: ...


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
    `local:NAME+ADAPTER` for a model that runs here; `SCHEME:NAME` or `SCHEME:NAME@URL` for a
    backend that another package brings. Raises SettingsError where the id cannot be read, its
    package cannot be loaded, or it leaves this machine although `offline` is set, and
    ModelRejected where the server is known to want a key and there is none, or torch is missing.
    """
    scheme, name, url = _parts(model_id)
    if scheme == "local":
        from scholar.backends.local import LocalBackend

        return LocalBackend(name, settings)
    if scheme != "openai":
        return _open_elses(_entry_point(scheme), name, settings, url)
    if settings.offline and not (url and is_loopback(url)):
        raise _leaves(f"{name} is not served on this machine")
    from scholar.backends.openai import OpenAIBackend

    return OpenAIBackend(name, settings, url)


def split_model_id(model_id: str) -> tuple[str, str | None]:
    """The bare name and the URL, if any, in `model_id`; SettingsError where it cannot be read."""
    return _parts(model_id)[1:]


def _parts(model_id: str) -> tuple[str, str, str | None]:
    """The scheme, the bare name and the URL, if any."""
    scheme, _, rest = model_id.partition(":")
    if not rest.strip() or (scheme not in _OWN and scheme not in _entry_points()):
        forms = [f"{other}:NAME" for other in sorted(_entry_points())]
        known = ", ".join(["openai:NAME", "openai:NAME@URL", *forms])
        raise SettingsError(
            f"'{model_id}' names no model; write {known} or local:NAME, for example {_EXAMPLE}."
        )
    if scheme == "local":
        return scheme, rest, None
    match = NAME_AT_URL.match(rest)
    if match and _has_host(match["url"]):
        return scheme, match["name"], match["url"]
    if broken := match or _NO_URL.search(rest):
        raise SettingsError(f"'{broken['url']}' is no URL; write it as http://HOST:PORT/v1.")
    return scheme, rest, None


def _entry_points() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Those of other packages, by scheme."""
    return _found_on(tuple(sys.path))


@cache
def _found_on(_: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:
    # Looked up only for a scheme that is not ours: it reads the metadata of all that is installed.
    from importlib.metadata import entry_points

    found = entry_points(group=GROUP)
    names = found.names - set(_OWN)
    return {name: tuple(found.select(name=name)) for name in names}


def _entry_point(scheme: str) -> EntryPoint:
    first, *others = _entry_points()[scheme]
    if others:
        packages = " and ".join(sorted({_package(each) for each in (first, *others)}))
        raise SettingsError(f"{packages} all bring '{scheme}:'; uninstall all but one.")
    return first


def _package(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist else entry_point.module


def _open_elses(entry_point: EntryPoint, name: str, settings: Settings, url: str | None) -> Backend:
    package = _package(entry_point)
    try:
        factory = entry_point.load()
    except Exception as error:  # whatever another package's code raises while it is imported
        why = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        raise SettingsError(
            f"{package} brings '{entry_point.name}:' and cannot be loaded ({why}); "
            f"reinstall {package}, or choose another model."
        ) from error
    if settings.offline:
        if not isinstance(factory, _SaysWhere):
            raise _leaves(f"{package} does not say that {name} stays on this machine")
        if factory.is_local(name, settings, url) is not True:
            raise _leaves(f"{package} says that {name} is not served on this machine")
    return cast(Factory, factory)(name, settings, url)


def _leaves(why: str) -> SettingsError:
    return SettingsError(
        f"offline is set, but {why}; unset it, or choose a "
        "local model such as local:Qwen/Qwen3-8B or openai:qwen3:8b@http://localhost:11434/v1."
    )


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
