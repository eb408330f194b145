"""Any server that speaks OpenAI's chat completions. Import this module only where it is used.

What a server or model will not take is learnt from its own complaint, never from its name.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk
from openai.types.completion_usage import CompletionUsage

from scholar.backends import (
    Capabilities,
    Delta,
    Request,
    SchemaUnsupported,
    TokenCount,
    certain,
    choice_as_schema,
    choice_in,
    classify,
    is_loopback,
)
from scholar.backends.failures import (
    Complaint,
    Where,
    as_error,
    not_a_model_server,
    refused_parameter,
    retry_after,
)
from scholar.backends.thoughts import Spoken
from scholar.errors import ModelRefused, ModelRejected, ModelUnavailable, ReplyInvalid
from scholar.settings import Settings

OPENAI_URL = "https://api.openai.com/v1"
CONNECT_SECONDS = 10.0
"""A host that has not taken the connection by then is not there."""

_LIMITS = ("max_tokens", "max_completion_tokens")
_OPTIONAL = ("response_format", "stream_options", "temperature", "seed", *_LIMITS)
_WHOLE = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence"})
_CUT = frozenset({"length", "max_tokens"})
_FILTERED = frozenset({"content_filter", "safety", "refusal", "sensitive"})
_TOOLS = frozenset({"tool_calls", "function_call"})


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
        self._client = _client(url, self._where.key, settings)

    @property
    def capabilities(self) -> Capabilities:
        """JSON schemas are assumed to work until the server has refused one."""
        schemas = "response_format" not in self._refused
        return Capabilities(json_schema=schemas, choices=schemas, seed="seed" not in self._refused)

    @property
    def refused(self) -> frozenset[str]:
        """The optional parameters that the server has refused."""
        return frozenset(self._refused)

    def recall(self, refused: Iterable[str]) -> None:
        """Leave out what was refused in an earlier process."""
        self._refused.update(set(refused) & set(_OPTIONAL))

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

    async def _reply(self, request: Request) -> AsyncGenerator[Delta, None]:
        reply = _Reply()
        with self._named_errors(reply, request.silence or self._silence):
            stream = await self._open(request)
            try:
                await self._expect_stream(stream.response)
                async for chunk in stream:
                    yield Delta(reply.take(chunk))
            finally:
                await stream.close()
        yield Delta(reply.rest(), reply.tokens)
        self._check_end(reply, request)

    async def _open(self, request: Request) -> openai.AsyncStream[ChatCompletionChunk]:
        while True:
            parameters = self._parameters(request)
            try:
                stream = await self._client.chat.completions.create(**parameters)
                return cast("openai.AsyncStream[ChatCompletionChunk]", stream)
            except openai.APIStatusError as error:
                sent = [name for name in _OPTIONAL if name in parameters]
                refused = refused_parameter(_complaint(error), sent)
                if refused is None:
                    raise
                self._refused.add(refused)

    def _parameters(self, request: Request) -> dict[str, Any]:
        if request.schema is not None and not self.capabilities.json_schema:
            raise SchemaUnsupported(
                f"{self._where} cannot hold a reply to a schema; put the schema into the prompt."
            )
        limit = next((name for name in _LIMITS if name not in self._refused), _LIMITS[0])
        parameters = {
            "stream_options": {"include_usage": True},
            "temperature": request.temperature,
            "seed": request.seed,
            limit: request.max_tokens,
            "response_format": _response_format(request),
            "stop": list(request.stop) or None,
        }
        taken = {
            name: value
            for name, value in parameters.items()
            if value is not None and name not in self._refused
        }
        messages = [
            {"role": message.role, "content": _encodable(message.content)}
            for message in request.messages
        ]
        timeout = _timeout(request.silence or self._silence)
        fixed = {"model": self.name, "messages": messages, "stream": True, "timeout": timeout}
        return fixed | taken

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
    def _named_errors(self, reply: _Reply, silence: float) -> Iterator[None]:
        """Turn what the client raises into errors of ours, unless the reply is already whole."""
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

    def _broken(self, reply: _Reply) -> ModelUnavailable:
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

    def _check_end(self, reply: _Reply, request: Request) -> None:
        if reply.refusal or reply.finish in _FILTERED:
            words = " ".join(reply.refusal.split())[:200] or "its filter stepped in"
            raise ModelRefused(
                f"{self._where} declined to answer ({self._where.hide(words).rstrip('.')}); "
                "rephrase the question, or choose another model."
            )
        if reply.finish in _CUT:
            cut = reply.tokens.output if reply.tokens else request.max_tokens
            raise ReplyInvalid(
                f"The reply of {self._where} was cut off at {cut} tokens; ask for less, "
                "or choose a model that writes more and set context_window to its window."
            )
        if reply.finish in _TOOLS:
            raise ReplyInvalid(
                f"{self._where} called a tool that it was not given; choose another model."
            )
        if reply.finish not in _WHOLE:
            raise self._broken(reply)


class _Reply:
    """What has come of a reply, so far."""

    def __init__(self) -> None:
        self.began = False
        self.finish = ""
        self.refusal = ""
        self.tokens: TokenCount | None = None
        self._spoken = Spoken()

    def take(self, chunk: object) -> str:
        """Take in one chunk; returns the text that it adds."""
        self.began = True
        if not isinstance(chunk, ChatCompletionChunk):
            return ""
        if chunk.usage:
            self.tokens = _tokens(chunk.usage)
        text = ""
        for choice in chunk.choices or []:
            self.finish = choice.finish_reason or self.finish
            if choice.delta:
                text += choice.delta.content or ""
                self.refusal += choice.delta.refusal or ""
        return self._spoken.feed(text)

    def rest(self) -> str:
        """The text that was held back until it was clear that nothing follows."""
        return self._spoken.rest()


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


def _response_format(request: Request) -> dict[str, Any] | None:
    if request.schema is None:
        return None
    schema = {"name": request.schema_name, "strict": True, "schema": request.schema}
    return {"type": "json_schema", "json_schema": schema}


def _tokens(usage: CompletionUsage) -> TokenCount:
    details = usage.completion_tokens_details
    reasoning = details.reasoning_tokens if details else None
    return TokenCount(usage.prompt_tokens or 0, usage.completion_tokens or 0, reasoning or 0)


def _encodable(text: str) -> str:
    """`text` without the half characters that extraction from PDFs can leave."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
