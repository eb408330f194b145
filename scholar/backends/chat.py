"""Chat completions, which every OpenAI-compatible server has."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from scholar.backends import Request
from scholar.backends.dialect import Dialect, Finish, Reply, counted, inside, objects, turns, words

SCHEMA = "response_format"
_LIMITS = ("max_tokens", "max_completion_tokens")
_FINISHES: Mapping[str, Finish] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), "whole"),
    **dict.fromkeys(("length", "max_tokens"), "cut"),
    **dict.fromkeys(("content_filter", "safety", "refusal", "sensitive"), "filtered"),
    **dict.fromkeys(("tool_calls", "function_call"), "tools"),
}


class _Reply(Reply):
    def _heard(self, event: Mapping[str, Any]) -> str:
        tokens = counted(event.get("usage"), "prompt_tokens", "completion_tokens")
        self.tokens = tokens or self.tokens
        text = ""
        for choice in objects(event.get("choices")):
            if reason := words(choice.get("finish_reason")):
                self.finish = _FINISHES.get(reason, "")
            text += words(inside(choice, "delta", "content"))
            self.refusal += words(inside(choice, "delta", "refusal"))
        return text


def _parameters(request: Request, refused: Collection[str]) -> dict[str, Any]:
    limit = next((name for name in _LIMITS if name not in refused), _LIMITS[0])
    return {
        "messages": turns(request),
        "stream_options": {"include_usage": True},
        "temperature": request.temperature,
        "seed": request.seed,
        limit: request.max_tokens,
        SCHEMA: _format(request),
        "stop": list(request.stop) or None,
    }


def _format(request: Request) -> dict[str, Any] | None:
    if request.schema is None:
        return None
    schema = {"name": request.schema_name, "strict": True, "schema": request.schema}
    return {"type": "json_schema", "json_schema": schema}


CHAT = Dialect(
    name="chat",
    path="/chat/completions",
    called=re.compile(r"chat[/ _.]completions?\b"),
    optional=(SCHEMA, "stream_options", "temperature", "seed", "stop", *_LIMITS),
    schema=SCHEMA,
    parameters=_parameters,
    # A server may take `stop` and not mind it.
    reply=lambda request: _Reply(request.stop),
)
