"""OpenAI's responses, which newer servers have beside chat completions, and some models alone.

It has no parameter for a seed, and none for stops, so that a reply is ended here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from scholar.backends import Request
from scholar.backends.dialect import Dialect, Finish, Reply, counted, inside, objects, turns, words

SCHEMA = "text"
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_CUTS: Mapping[str, Finish] = {"max_output_tokens": "cut", "content_filter": "filtered"}
_TOOLS = frozenset({"function_call", "custom_tool_call"})
_ASIDE = "commentary"
"""The phase of what a model says while it works; the reply is what it says after."""


class _Reply(Reply):
    def __init__(self, request: Request) -> None:
        super().__init__(request.stop)
        self._asides: list[object] = []
        self._streamed = False

    def _heard(self, event: Mapping[str, Any]) -> str | None:
        match event:
            case {"type": "response.created" | "response.queued" | "response.in_progress"}:
                return None
            case {"type": "response.output_item.added", "item": {"phase": str(phase)}}:
                if phase == _ASIDE:
                    self._asides.append(event.get("output_index"))
            case {"type": "response.output_text.delta", "delta": str(text)}:
                if event.get("output_index") not in self._asides:
                    self._streamed = True
                    return text
            case {"type": "response.refusal.delta", "delta": str(text)}:
                self.refusal += text
            case {"type": "error"}:
                self.complaint = {name: event.get(name) for name in ("code", "message", "param")}
            case {"type": str(kind), "response": {} as response} if kind in _ENDS:
                return self._ended(kind, response)
        return ""

    def _ended(self, kind: str, response: Mapping[str, Any]) -> str:
        """Take in the whole of the response; returns its text where none was streamed."""
        usage = response.get("usage")
        self.tokens = counted(usage, "input_tokens", "output_tokens") or self.tokens
        # Some servers call complete what they then say was cut off.
        status = words(response.get("status")) or kind.removeprefix("response.")
        if status == "failed":
            # Where it does not say why, another event may.
            self.complaint = response.get("error") or {}
        elif status == "incomplete":
            self.finish = _CUTS.get(words(inside(response, "incomplete_details", "reason")), "")
        elif status == "completed":
            called = any(item.get("type") in _TOOLS for item in objects(response.get("output")))
            self.finish = "tools" if called else "whole"
        parts = list(_parts(response))
        self.refusal = self.refusal or "".join(words(part.get("refusal")) for part in parts)
        return "" if self._streamed else "".join(words(part.get("text")) for part in parts)


def _parts(response: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The parts of what the model has said: texts and refusals, and none of its thoughts."""
    for item in objects(response.get("output")):
        if item.get("type") == "message" and item.get("phase") != _ASIDE:
            yield from objects(item.get("content"))


def _parameters(request: Request, refused: Collection[str]) -> dict[str, Any]:
    return {
        "input": turns(request),
        "store": False,
        "temperature": request.temperature,
        "max_output_tokens": request.max_tokens,
        SCHEMA: _format(request),
    }


def _format(request: Request) -> dict[str, Any] | None:
    if request.schema is None:
        return None
    schema = {"name": request.schema_name, "strict": True, "schema": request.schema}
    return {"format": {"type": "json_schema", **schema}}


RESPONSES = Dialect(
    name="responses",
    path="/responses",
    called=re.compile(r"/responses\b|\bresponses (api|endpoint)\b"),
    optional=(SCHEMA, "store", "temperature", "max_output_tokens"),
    schema=SCHEMA,
    parameters=_parameters,
    reply=_Reply,
)
