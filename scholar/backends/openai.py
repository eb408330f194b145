"""Any server that speaks OpenAI's chat completions or responses. Import it only where it is used.

What a server or model will not take is learnt from its own complaint, never from its name.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from scholar.backends import (
    Capabilities,
    Delta,
    Learned,
    Request,
    SchemaUnsupported,
    certain,
    choice_as_schema,
    choice_in,
    classify,
    is_loopback,
)
from scholar.backends.chat import CHAT
from scholar.backends.dialect import Dialect, Reply
from scholar.backends.failures import (
    Complaint,
    Where,
    as_error,
    not_a_model_server,
    refused_parameter,
    retry_after,
    wants_another,
)
from scholar.backends.responses import RESPONSES
from scholar.errors import ModelRefused, ModelRejected, ModelUnavailable, ReplyInvalid
from scholar.settings import Settings

OPENAI_URL = "https://api.openai.com/v1"
CONNECT_SECONDS = 10.0
"""A host that has not taken the connection by then is not there."""

_OPTIONAL = frozenset({*CHAT.optional, *RESPONSES.optional})


class OpenAIBackend:
    """The model `name` at OpenAI, or at `url` where a compatible server answers.

    The user's OPENAI_API_KEY is sent to OpenAI alone; `settings.api_key` to any server. Raises
    ModelRejected where OpenAI is meant and there is no key.
    """

    def __init__(self, name: str, settings: Settings, url: str | None = None) -> None:
        url = url or OPENAI_URL
        self.name = name
        self._where = _where(name, url, settings)
        self._silence = settings.silence
        self._refused: set[str] = set()
        self._responses: bool | None = None
        self._client = _client(url, self._where.key, settings)

    @property
    def capabilities(self) -> Capabilities:
        """JSON schemas are assumed to work until the server has refused one."""
        schemas = self._dialect.schema not in self._refused
        seed = "seed" in self._dialect.optional and "seed" not in self._refused
        return Capabilities(json_schema=schemas, choices=schemas, seed=seed)

    @property
    def learned(self) -> Learned:
        """The optional parameters that the server has refused, and the dialect that it takes."""
        return Learned(frozenset(self._refused), self._responses)

    def recall(self, learned: Learned) -> None:
        """Leave out what was refused earlier, and speak as it worked then."""
        self._refused = set(learned.refused & _OPTIONAL)
        self._responses = learned.responses

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """The reply, without what the model thinks before it; see `Backend` for the contract."""
        replies = self._choose(request) if request.choices else self._reply(request)
        async with aclosing(replies) as deltas:
            async for delta in deltas:
                yield delta

    async def classify(self, request: Request) -> dict[str, float]:
        """What the model chooses, as if it were certain, since servers tell no probabilities."""
        return await classify(self, request)

    async def _choose(self, request: Request) -> AsyncGenerator[Delta, None]:
        text, tokens = "", None
        async with aclosing(self._reply(choice_as_schema(request))) as deltas:
            async for delta in deltas:
                text, tokens = text + delta.text, delta.tokens or tokens
        chosen = choice_in(text)
        yield Delta(tokens=tokens)  # first, since they are spent whatever was chosen
        logs = certain(chosen, request.choices)
        yield Delta(chosen, choices=logs)

    @property
    def _dialect(self) -> Dialect:
        return RESPONSES if self._responses else CHAT

    async def _reply(self, request: Request) -> AsyncGenerator[Delta, None]:
        silence = request.silence or self._silence
        with self._named_errors(Reply(), silence):
            stream, dialect = await self._open(request)
        reply = dialect.reply(request)
        with self._named_errors(reply, silence):
            try:
                await self._expect_stream(stream.response)
                async for event in stream:
                    if (text := reply.take(event)) is not None:
                        yield Delta(text)
                    if reply.is_over:
                        break
            finally:
                await stream.close()
        yield Delta(reply.rest(), reply.tokens)
        self._check_end(reply, request)

    async def _open(self, request: Request) -> tuple[openai.AsyncStream[object], Dialect]:
        """The stream of a reply, in the dialect and with the parameters that the server takes."""
        dialect, switched = self._dialect, False
        while True:
            parameters = self._parameters(request, dialect)
            try:
                stream = await self._post(request, dialect, parameters)
            except openai.APIStatusError as error:
                complaint = _complaint(error)
                sent = [name for name in dialect.optional if name in parameters]
                refused = refused_parameter(complaint, sent, dialect.schema)
                if refused is not None:
                    self._refused.add(refused)
                    continue
                other = CHAT if dialect is RESPONSES else RESPONSES
                if switched or not wants_another(complaint, dialect, other):
                    raise
                dialect, switched = other, True
            else:
                if switched:
                    self._responses = dialect is RESPONSES
                return stream, dialect

    async def _post(
        self, request: Request, dialect: Dialect, parameters: dict[str, Any]
    ) -> openai.AsyncStream[object]:
        return await self._client.post(
            dialect.path,
            body={"model": self.name, "stream": True, **parameters},
            options={"timeout": _timeout(request.silence or self._silence)},
            cast_to=object,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )

    def _parameters(self, request: Request, dialect: Dialect) -> dict[str, Any]:
        if request.schema is not None and dialect.schema in self._refused:
            raise SchemaUnsupported(
                f"{self._where} cannot hold a reply to a schema; put the schema into the prompt."
            )
        return {
            name: value
            for name, value in dialect.parameters(request, self._refused).items()
            if value is not None and name not in self._refused
        }

    async def _expect_stream(self, response: httpx2.Response) -> None:
        kind = response.headers.get("content-type", "")
        if not kind.startswith(("text/html", "application/json")):
            return
        await response.aread()
        body = _json(response.text)
        if isinstance(body, dict) and body.get("error"):
            raise as_error(Complaint(None, body["error"]), self._where)
        raise not_a_model_server(self._where)

    @contextmanager
    def _named_errors(self, reply: Reply, silence: float) -> Iterator[None]:
        """Turn what the client raises into errors of ours, unless the reply has ended already."""
        try:
            yield
        except openai.APIStatusError as error:
            raise as_error(_complaint(error), self._where) from None
        except openai.APITimeoutError as error:
            if not reply.finish:
                raise self._silent(error, silence) from None
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, httpx2.ConnectError):
                raise self._unreachable(reached=False) from None
            if not reply.finish:
                raise self._broken(reply) from None
        except openai.APIError as error:
            raise as_error(Complaint(None, error.body), self._where) from None
        except (httpx2.HTTPError, json.JSONDecodeError, UnicodeDecodeError):
            raise self._broken(reply) from None

    def _silent(self, error: openai.APITimeoutError, silence: float) -> ModelUnavailable:
        if isinstance(error.__cause__, httpx2.ConnectTimeout):
            return self._unreachable(reached=False)
        return ModelUnavailable(
            f"{self._where} sent nothing for {silence:g} seconds; "
            "try again, or raise silence in scholar.toml."
        )

    def _broken(self, reply: Reply) -> ModelUnavailable:
        if not reply.began:
            return self._unreachable()
        return ModelUnavailable(
            f"{self._where} broke off before its reply was complete; try again."
        )

    def _unreachable(self, reached: bool = True) -> ModelUnavailable:
        return ModelUnavailable(
            f"Nothing usable answers at {self._where.host} for {self.name}; start the server, "
            "or check the URL and the network.",
            reached=reached,
        )

    def _check_end(self, reply: Reply, request: Request) -> None:
        if reply.complaint is not None:
            raise as_error(Complaint(None, reply.complaint), self._where)
        if reply.refusal or reply.finish == "filtered":
            words = " ".join(reply.refusal.split())[:200] or "its filter stepped in"
            raise ModelRefused(
                f"{self._where} declined to answer ({self._where.hide(words).rstrip('.')}); "
                "rephrase the question, or choose another model."
            )
        if reply.finish == "cut":
            cut = reply.tokens.output if reply.tokens else request.max_tokens
            raise ReplyInvalid(
                f"The reply of {self._where} was cut off at {cut} tokens; ask for less, "
                "or choose a model that writes more and set context_window to its window."
            )
        if reply.finish == "tools":
            raise ReplyInvalid(
                f"{self._where} called a tool that it was not given; choose another model."
            )
        if reply.finish != "whole":
            raise self._broken(reply)


def _where(name: str, url: str, settings: Settings) -> Where:
    host = urlsplit(url).netloc.rpartition("@")[2]
    own = _is_openai(url)
    key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
    if own and not key:
        key = os.environ.get("OPENAI_API_KEY", "").strip()
    if own and not key:
        raise ModelRejected(f"No API key for {name} at {host}; set OPENAI_API_KEY.")
    setting = "OPENAI_API_KEY or SCHOLAR_API_KEY" if own else "SCHOLAR_API_KEY"
    return Where(name, host, key, setting)


def _is_openai(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and f".{parts.hostname}".endswith(".api.openai.com")


def _client(url: str, key: str, settings: Settings) -> openai.AsyncOpenAI:
    key = key or "none"
    timeout = _timeout(settings.silence)
    client = openai.AsyncOpenAI(
        api_key=key,
        base_url=url,
        timeout=timeout,
        max_retries=0,
        # Said outright, so that no header from the environment takes its place.
        default_headers={"Authorization": f"Bearer {key}"},
        http_client=openai.DefaultAsyncHttpx2Client(
            timeout=timeout,
            # A redirect or a proxy could take the prompt where the user has not sent it.
            follow_redirects=False,
            trust_env=not is_loopback(url),
        ),
    )
    if not _is_openai(url):
        client.organization = client.project = None
    return client


def _timeout(silence: float) -> httpx2.Timeout:
    return httpx2.Timeout(silence, connect=CONNECT_SECONDS)


def _complaint(error: openai.APIStatusError) -> Complaint:
    return Complaint(error.status_code, error.body, retry_after(error.response.headers))


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
