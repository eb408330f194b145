"""Models of Ollama, by its own API: `ollama:NAME`, or `ollama:NAME@http://HOST:11434`.

What a model thinks comes apart from its reply there, and is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2

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
from scholar.errors import ModelError, ModelRejected, ModelUnavailable, ReplyInvalid
from scholar.settings import Settings

URL = "http://localhost:11434"
CONNECT_SECONDS = 10.0
_TOO_LONG = re.compile(r"context (length|window|size)|prompt is too long")
_NO_SCHEMA = re.compile(r"json schema|grammar|invalid format")
_SHOWN = 200


class OllamaBackend:
    """The model `name` at `url`. `settings.api_key`, where there is one, is sent along."""

    def __init__(self, name: str, settings: Settings, url: str | None = None) -> None:
        self.name = name
        url = (url or URL).rstrip("/")
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self._key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        self._silence = settings.silence
        self._window = settings.context_window
        self._schemas = True
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            trust_env=not is_loopback(url),
        )

    @staticmethod
    def is_local(name: str, settings: Settings, url: str | None) -> bool:
        """Whether the server is this machine, and the model one that it does not pass on."""
        return is_loopback(url or URL) and not name.endswith(("-cloud", ":cloud"))

    @property
    def capabilities(self) -> Capabilities:
        """The window is the one that is asked for with every request."""
        can = self._schemas
        return Capabilities(can, choices=can, seed=True, context_window=self._window)

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """The reply; see `scholar.backends.Backend` for the contract."""
        replies = self._choose(request) if request.choices else self._reply(request)
        async with aclosing(replies) as deltas:
            async for delta in deltas:
                yield delta

    async def classify(self, request: Request) -> dict[str, float]:
        """What the model chooses, as if it were certain."""
        return await classify(self, request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _choose(self, request: Request) -> AsyncGenerator[Delta, None]:
        text, tokens = "", None
        async with aclosing(self._reply(choice_as_schema(request))) as deltas:
            async for delta in deltas:
                text, tokens = text + delta.text, delta.tokens or tokens
        yield Delta(tokens=tokens)  # first, since they are spent whatever was chosen
        chosen = choice_in(text)
        logs = certain(chosen, request.choices)
        yield Delta(chosen, choices=logs)

    async def _reply(self, request: Request) -> AsyncGenerator[Delta, None]:
        if request.schema is not None and not self._schemas:
            raise self._no_schemas()
        silence = request.silence or self._silence
        last: dict[str, Any] = {}
        with self._named_errors(silence):
            timeout = httpx2.Timeout(silence, connect=CONNECT_SECONDS)
            asked = self._client.stream(
                "POST", "/api/chat", json=self._body(request), timeout=timeout
            )
            async with asked as response:
                if response.status_code != httpx2.codes.OK:
                    raise self._complaint(response.status_code, _error(await response.aread()))
                async for line in response.aiter_lines():
                    last = json.loads(line)
                    if "error" in last:
                        raise self._complaint(500, str(last["error"]))
                    yield Delta(last["message"]["content"], _tokens(last))
        self._check_end(last)

    def _body(self, request: Request) -> dict[str, Any]:
        options = {
            "temperature": request.temperature,
            "num_predict": request.max_tokens,
            "num_ctx": self._window,
            "seed": request.seed,
            "stop": list(request.stop) or None,
        }
        return {
            "model": self.name,
            "messages": [
                # Half a character, as PDFs can leave them, is none that can be sent.
                {"role": each.role, "content": each.content.encode("utf-8", "replace").decode()}
                for each in request.messages
            ],
            "stream": True,
            "options": {name: value for name, value in options.items() if value is not None},
            # Without these two, what does not fit the window is left out in silence.
            "truncate": False,
            "shift": False,
        } | ({"format": request.schema} if request.schema else {})

    @contextmanager
    def _named_errors(self, silence: float) -> Iterator[None]:
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise ModelUnavailable(
                f"Nothing answers at {self._host} for {self.name}; start it by 'ollama serve', or "
                "check the URL.",
                reached=False,
            ) from None
        except httpx2.TimeoutException:
            raise ModelUnavailable(
                f"{self._where} sent nothing for {silence:g} seconds; try again, or raise silence "
                "in scholar.toml."
            ) from None
        except (httpx2.HTTPError, json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError):
            raise self._broken() from None

    def _complaint(self, status: int, words: str) -> ModelError:
        shown = " ".join(words.replace(self._key or "\0", "(key)").split())[:_SHOWN].rstrip(".")
        if status == httpx2.codes.NOT_FOUND:
            return ModelRejected(
                f"There is no {self._where} ({shown}); fetch it by 'ollama pull {self.name}', or "
                "choose another model."
            )
        if _TOO_LONG.search(words.lower()):
            return ModelRejected(
                f"The prompt is too long for {self._where} with a window of {self._window:,} "
                f"tokens ({shown}); choose a model with a larger one, and raise context_window."
            )
        if _NO_SCHEMA.search(words.lower()):
            self._schemas = False
            return self._no_schemas()
        if status >= 500 or status in (408, 429):
            return ModelUnavailable(f"{self._where} could not answer ({shown}); try again later.")
        if status in (401, 403):
            return ModelRejected(f"A key is wanted for {self._where}; set SCHOLAR_API_KEY.")
        return ModelRejected(f"{self._where} refuses the request ({shown}); choose another model.")

    def _check_end(self, last: dict[str, Any]) -> None:
        if not last.get("done"):
            raise self._broken()
        if last.get("done_reason") == "length":
            raise ReplyInvalid(
                f"The reply of {self._where} was cut off at {last.get('eval_count', 0):,} tokens; "
                "ask for less, or choose a model that writes more and raise context_window."
            )
        if last.get("done_reason", "stop") != "stop":
            raise self._broken()

    def _broken(self) -> ModelUnavailable:
        return ModelUnavailable(
            f"{self._where} broke off before its reply was complete; try again."
        )

    def _no_schemas(self) -> SchemaUnsupported:
        return SchemaUnsupported(
            f"{self._where} cannot hold a reply to a schema; put the schema into the prompt."
        )

    @property
    def _where(self) -> str:
        return f"{self.name} at {self._host}"


def _tokens(part: dict[str, Any]) -> TokenCount | None:
    if not part.get("done") or "eval_count" not in part:
        return None
    return TokenCount(part.get("prompt_eval_count", 0), part["eval_count"])


def _error(body: bytes) -> str:
    """The server's words."""
    try:
        return str(json.loads(body)["error"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return body.decode("utf-8", "replace")
