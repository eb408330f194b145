"""What the ways to talk to an OpenAI-compatible server have in common.

A dialect is a path, the parameters of a request, and how the events of a reply are read. Events are
read as the plain JSON that they are: compatible servers leave out much of what OpenAI's own sends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scholar.backends import Request, TokenCount
from scholar.backends.stops import Stops
from scholar.backends.thoughts import Spoken
from scholar.text import encodable

Finish = Literal["whole", "cut", "filtered", "tools", ""]
"""How a reply has ended; empty while it has not, or where the server gives an unknown reason."""


class Reply:
    """What has come of a reply, so far. Each dialect says in `_heard` what an event means.

    `complaint` is an error that came as an event, empty where the server did not say which. The
    reply ends before the first of `stops`, whether or not the server minds them.
    """

    def __init__(self, stops: Collection[str] = ()) -> None:
        self.began = False
        self.finish: Finish = ""
        self.refusal = ""
        self.tokens: TokenCount | None = None
        self.complaint: object = None
        self._spoken = Spoken()
        self._stops = Stops(tuple(stops))

    @property
    def is_over(self) -> bool:
        """Whether nothing that follows counts any more."""
        return bool(self.complaint) or self._stops.hit

    def take(self, event: object) -> str | None:
        """Take in one event; returns the text that it adds, None where the model has yet to begin.

        An event without text may be a thought.
        """
        self.began = True
        heard = self._heard(event) if isinstance(event, Mapping) else ""
        if heard is None:
            return None
        text = self._stops.feed(self._spoken.feed(heard))
        if self._stops.hit:
            self.finish = "whole"
        return text

    def rest(self) -> str:
        """The text that was held back until it was clear that nothing follows."""
        if self._stops.hit:
            return ""
        return self._stops.feed(self._spoken.rest()) + self._stops.rest()

    def _heard(self, event: Mapping[str, Any]) -> str | None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to ask for a reply.

    `optional` are the parameters that a server may refuse, `schema` the one of them that carries a
    JSON schema. `called` finds the dialect in a complaint that names it. `parameters` are those of
    a request, but for the refused ones that have another name; None stands for not to be sent.
    """

    name: Literal["chat", "responses"]
    path: str
    called: re.Pattern[str]
    optional: tuple[str, ...]
    schema: str
    parameters: Callable[[Request, Collection[str]], dict[str, Any]]
    reply: Callable[[Request], Reply]


def turns(request: Request) -> list[dict[str, str]]:
    """The conversation of a request."""
    return [
        {"role": message.role, "content": encodable(message.content)}
        for message in request.messages
    ]


def inside(value: object, *path: str) -> Any:
    """What stands in nested objects at `path`; None where there is no such thing."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def objects(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def words(value: object) -> str:
    """`value` where it is text."""
    return value if isinstance(value, str) else ""


def counted(usage: object, sent: str, written: str) -> TokenCount | None:
    """The tokens that a server reports, with its names for them; None where it counts none."""
    tokens = TokenCount(
        input=_count(inside(usage, sent)),
        output=_count(inside(usage, written)),
        reasoning=_count(inside(usage, f"{written}_details", "reasoning_tokens")),
    )
    return tokens if tokens.input or tokens.output else None


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
