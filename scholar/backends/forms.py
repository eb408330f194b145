"""Replies of a given form: how a request asks for one, and how a reply that misses it is mended."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from pydantic import ValidationError

from scholar.backends import Message, Request, TokenCount

CHARS_PER_TOKEN = 4
_LEAST_BYTES_PER_TOKEN = 3
"""Of English prose there are four to five, of code and of other scripts about three."""
_TOKENS_PER_MESSAGE = 8
_SHOWN_REPLY = 4_000
_SHOWN_ERRORS = 5


def with_schema_in_prompt(request: Request) -> Request:
    """`request` for a server that knows no schemas: the prompt asks for it in words."""
    schema = json.dumps(request.schema, ensure_ascii=False)
    line = f"\n\nReply with one JSON object that fits this schema and nothing else.\n{schema}"
    first_user = next(i for i, message in enumerate(request.messages) if message.role == "user")
    messages = list(request.messages)
    messages[first_user] = Message("user", messages[first_user].content + line)
    return replace(request, messages=tuple(messages), schema=None)


def with_correction(request: Request, text: str, problem: str) -> Request:
    """`request` with the reply it got and what is wrong with it."""
    shown = text if len(text) <= _SHOWN_REPLY else text[:_SHOWN_REPLY] + " […]"
    correction = (
        f"That reply cannot be used: {problem}. "
        "Reply again with the corrected JSON object alone, whole, and no other text."
    )
    turns = (Message("assistant", shown), Message("user", correction))
    return replace(request, messages=request.messages + turns)


def bare_json(text: str) -> str:
    """The object in `text`, without the words and fences that models put around it."""
    text = text.strip()
    # Servers whose template opens the reasoning in the prompt pass on its closing tag alone.
    if not text.startswith(("{", "`")):
        text = text.rpartition("</think>")[2].strip()
    begin, end = text.find("{"), text.rfind("}") + 1
    return text[begin:end] if 0 <= begin < end else text


def in_words(error: ValidationError) -> str:
    """What is wrong, for the model and for a person: the place and the rule, not the value."""
    problems = []
    for found in error.errors(include_url=False)[:_SHOWN_ERRORS]:
        place = ".".join(map(str, found["loc"]))
        what = found["msg"][:1].lower() + found["msg"][1:]
        problems.append(f"at {place}: {what}" if place else what)
    return "; ".join(problems)


def likely_tokens(request: Request, text: str) -> TokenCount:
    """The tokens of a request and of what came of its reply, where the server does not tell."""
    sent = sum(len(message.content) for message in request.messages)
    return TokenCount(math.ceil(sent / CHARS_PER_TOKEN), math.ceil(len(text) / CHARS_PER_TOKEN))


def most_input_tokens(request: Request) -> int:
    """The most tokens that the prompt of `request` is likely to have, its schema included."""
    schema = json.dumps(request.schema) if request.schema else ""
    texts = [*(message.content for message in request.messages), schema]
    sent = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return math.ceil(sent / _LEAST_BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(request.messages)
