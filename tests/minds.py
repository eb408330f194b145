"""Scripted models that read the prompt they get, as `FakeBackend` and the loopback server take."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_server import Fault, Scripted

from scholar.backends import Request

_PASSAGE = re.compile(r'<passage id="(p\d+)"[^>]*>\n(.*?)\n</passage>', re.DOTALL)
_QUOTE = re.compile(r'<quote id="(e\d+)"[^>]*>\n(.*?)\n</quote>', re.DOTALL)
_STEP = re.compile(r'<step id="(s\d+)">')
_QUESTION = re.compile(r"<question>\n(.*?)\n</question>", re.DOTALL)
_BRIEFS = {
    "Is the question answered": "completeness",
    "contradicts the draft": "conflict",
}
_SENTENCE = re.compile(r"[A-Z][^.]{30,}\.(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Seen:
    """A prompt, taken apart."""

    call: str
    text: str
    question: str
    passages: dict[str, str]
    quotes: dict[str, str]
    steps: tuple[str, ...]
    juror: str


def look(messages: Sequence[Mapping[str, Any]], name: str = "") -> Seen:
    """Take the messages of one request apart; `name` is the prompt's, where the request has it."""
    system, user = messages[0]["content"], messages[1]["content"]
    calls = {
        "You plan a search": "planner",
        "You pick evidence": "reader",
        "from quotes out of papers": "writer",
        "from passages of papers": "answer",
        "You are one of several jurors": "juror",
        "You check whether the sentences": "support",
        'Reply with JSON only: {"ok": true}': "hello",
        "You answer in plain English": "probe",
    }
    question = _QUESTION.search(user)
    call = name or next(name for mark, name in calls.items() if mark in system)
    return Seen(
        call="juror" if call == "support" else call,
        text=user,
        question=question[1] if question else "",
        passages=dict(_PASSAGE.findall(user)),
        quotes=dict(_QUOTE.findall(user)),
        steps=tuple(_STEP.findall(user)),
        juror="support"
        if call == "support"
        else next((name for mark, name in _BRIEFS.items() if mark in user), ""),
    )


def call_of(request: Request) -> str:
    """Which call a request is, the support juror's being a juror's."""
    return "juror" if request.schema_name == "support" else request.schema_name


Said = dict[str, Any] | str | Exception | Fault
"""A reply, as data or as text; an exception is for `FakeBackend`, a Fault for the server."""
Mind = Callable[[Seen], Said]


def honest(seen: Seen) -> dict[str, Any]:
    """A model that does as it is told: copies sentences, cites what it was shown, accepts."""
    match seen.call:
        case "planner":
            return {
                "premises": [],
                "steps": [{"question": seen.question, "query": seen.question}],
            }
        case "reader":
            first = [(label, _SENTENCE.findall(text)) for label, text in seen.passages.items()]
            return {
                "quotes": [
                    {
                        "passage": label,
                        "quote": found[0],
                        "step": seen.steps[0],
                        "helps": "answers",
                        "says": "",
                    }
                    for label, found in first[:4]
                    if found
                ]
            }
        case "writer":
            sentences = [{"text": text, "evidence": [name]} for name, text in seen.quotes.items()]
            return {"sentences": sentences[:3], "conflicts": [], "missing": ""}
        case "answer":
            label, text = next(iter(seen.passages.items()))
            quote = _SENTENCE.findall(text)[0]
            sentence = {"text": quote, "quotes": [{"passage": label, "quote": quote}]}
            return {"sentences": [sentence], "conflicts": [], "missing": ""}
        case "juror":
            return {"reasons": [], "action": "accept", "query": ""}
        case "probe":
            return {"colour": "red", "days": 7}
        case _:
            return {"ok": True}


def but(**calls: Mind) -> Mind:
    """`honest`, except in the calls named."""
    return lambda seen: calls.get(seen.call, honest)(seen)


def for_backend(mind: Mind) -> Callable[[Request], str | Exception]:
    """`mind` as `FakeBackend` takes it."""

    def answer(request: Request) -> str | Exception:
        messages = [{"content": message.content} for message in request.messages]
        reply = _spoken(mind, look(messages, request.schema_name))
        return reply if isinstance(reply, Exception) else _text(reply)

    return answer


def for_server(mind: Mind) -> Callable[[dict[str, Any]], Scripted]:
    """`mind` as the scripted server takes it."""

    def answer(body: dict[str, Any]) -> Scripted:
        name = body.get("response_format", {}).get("json_schema", {}).get("name", "")
        reply = _spoken(mind, look(body["messages"], name))
        return reply if isinstance(reply, Fault) else _text(reply)

    return answer


def _spoken(mind: Mind, seen: Seen) -> Said:
    """What the mind says; the vote of a support juror as its verdict on the first sentence."""
    said = mind(seen)
    if seen.juror != "support" or not isinstance(said, dict) or not {"action", "reasons"} <= said.keys():
        return said
    faulty = said["action"] in ("revise", "search_more")
    why = " ".join(said["reasons"])
    judged = {"number": 1, "carried": "no" if faulty else "yes", "why": why if faulty else ""}
    return {"sentences": [judged]}


def _text(reply: Said) -> str:
    return reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)
