"""Likelihoods as replies: a backend whose reply says how likely each of several choices is."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from pydantic import BaseModel

from scholar.backends import Backend, Capabilities, Delta, Request


class Likely(BaseModel):
    """How likely each choice is, 0 to 1; together they are 1."""

    likely: dict[str, float]


class Rating:
    """`backend`, replying to a request with choices with a `Likely` as JSON.

    So what a request with choices brings goes through cache, budget, limits and ledger as every
    reply does.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def name(self) -> str:
        """The model's bare name."""
        return self._backend.name

    @property
    def capabilities(self) -> Capabilities:
        """Those of the backend; the form of this reply needs no schema."""
        return replace(self._backend.capabilities, json_schema=True)

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """The likelihoods, once they are known; signs of life before."""
        logs = dict.fromkeys(request.choices, -math.inf)
        last = Delta()
        async with aclosing(self._backend.stream(request)) as deltas:
            async for last in deltas:
                logs |= last.choices or {}
                yield replace(last, text="", choices=None)
        likely = Likely(likely={choice: math.exp(log) for choice, log in logs.items()})
        yield replace(last, text=likely.model_dump_json(), choices=None)

    async def classify(self, request: Request) -> dict[str, float]:
        """As the backend does."""
        return await self._backend.classify(request)

    async def aclose(self) -> None:
        """Nothing of its own to let go of."""
