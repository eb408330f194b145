"""A scripted backend, for tests and for trying things out without a model."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Sequence

from scholar.backends import (
    Capabilities,
    Delta,
    Request,
    SchemaUnsupported,
    TokenCount,
    certain,
    classify,
)
from scholar.errors import ModelUnavailable

Scripted = str | Exception


class FakeBackend:
    """A backend that says what it was told to say.

    `reply` is a function of the request, or the replies in order; an exception among them is
    raised. Replies come in pieces of `chunk` characters, and four characters count as a token.
    `json_schema` says whether it takes a schema. What was asked is in `requests`.

    >>> import asyncio
    >>> from scholar.backends import Message, Request
    >>> backend = FakeBackend(["Paris."])
    >>> async def ask(question: str) -> str:
    ...     request = Request((Message("user", question),))
    ...     return "".join([delta.text async for delta in backend.stream(request)])
    >>> asyncio.run(ask("What is the capital of France?"))
    'Paris.'
    >>> backend.requests[0].messages[0].content
    'What is the capital of France?'
    """

    def __init__(
        self,
        reply: Callable[[Request], Scripted] | Sequence[Scripted],
        name: str = "fake",
        chunk: int = 20,
        *,
        json_schema: bool = True,
    ) -> None:
        self.name = name
        self.capabilities = Capabilities(json_schema=json_schema)
        self.requests: list[Request] = []
        self._reply = reply if callable(reply) else _in_turn(reply)
        self._chunk = chunk

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """The scripted reply; ModelUnavailable when the script has run out."""
        if request.schema is not None and not self.capabilities.json_schema:
            raise SchemaUnsupported(f"{self.name} knows no schemas; put it into the prompt.")
        self.requests.append(request)
        reply = self._reply(request)
        if isinstance(reply, Exception):
            raise reply
        for start in range(0, len(reply), self._chunk):
            yield Delta(reply[start : start + self._chunk])
        sent = sum(len(message.content) for message in request.messages)
        tokens = TokenCount(math.ceil(sent / 4), math.ceil(len(reply) / 4))
        logs = certain(reply, request.choices) if request.choices else None
        yield Delta(tokens=tokens, choices=logs)

    async def classify(self, request: Request) -> dict[str, float]:
        """The scripted choice, as if it were certain; ReplyInvalid where it is none of them."""
        return await classify(self, request)

    async def aclose(self) -> None:
        """Nothing to let go of."""


def _in_turn(replies: Sequence[Scripted]) -> Callable[[Request], Scripted]:
    left = iter(replies)
    ended = ModelUnavailable("The fake model has no reply left; give it one more.")
    return lambda _: next(left, ended)
