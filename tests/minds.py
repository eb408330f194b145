"""Scripted models that read the prompt they get, as `FakeBackend` and the loopback server take."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model_server import Fault, Scripted

from scholar.backends import Request

_PASSAGE = re.compile(r'<passage id="(p\d+)"[^>]*>\n(.*?)\n</passage>', re.DOTALL)
_QUOTE = re.compile(r'<quote id="(e\d+)"[^>]*>\n(.*?)\n</quote>', re.DOTALL)
_STEP = re.compile(r'<step id="(s\d+)">(.*?)</step>', re.DOTALL)
_KNOWN = re.compile(r'<known id="(s\d+)"[^>]*>\n(.*?)\n</known>', re.DOTALL)
_NOTE = re.compile(r'<note step="(s\d+)"[^>]*>\n(.*?)\n</note>', re.DOTALL)
_QUESTION = re.compile(r"<question>\n(.*?)\n</question>", re.DOTALL)
_CLUSTER = re.compile(r'<cluster id="(c\d+)">')
_COLUMN = re.compile(r"<column>(.*?)</column>")
_COLUMN_ID = re.compile(r'<column id="(k\d+)"')
_FACT = re.compile(r'<fact id="(f\d+)">(.*?)</fact>', re.DOTALL)
_LINE = re.compile(r"^(\d+)\. (.*?)(?: \([e\d, ]+\))?$", re.MULTILINE)
_PAPER = re.compile(r'<paper id="(P\d+)"[^>]*>\n(.*?)\n</paper>', re.DOTALL)
_CELL_QUOTE = re.compile(r'<quote id="(q\d+)">\n(.*?)\n</quote>', re.DOTALL)
_BRIEFS = {
    "Is the question answered": "completeness",
    "contradicts the draft": "conflict",
    "Is this answer right": "posteriori",
    "May this be published": "policy",
    "You judge as this expert": "expert",
}
_TURNS = {"You are the critic": "critic", "You are the actor": "actor"}
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
    asked: dict[str, str]
    """The questions of the steps."""
    known: dict[str, str]
    """Question and answer, or the note, of each step that is done."""
    facts: dict[str, str] = field(default_factory=dict)


def look(messages: Sequence[Mapping[str, Any]], name: str = "") -> Seen:
    """Take the messages of one request apart; `name` is the prompt's, where the request has it."""
    system, user = messages[0]["content"], messages[1]["content"]
    calls = {
        "You plan the search for": "facets",
        "You outline a literature review": "outline",
        "You write one section": "section",
        "the summary that opens": "summary",
        "You mend a literature review": "mend",
        "You fill a table": "table",
        "You plan a search": "planner",
        "You pick evidence": "reader",
        "from quotes out of papers": "writer",
        "from passages of papers": "answer",
        "You are one of several jurors": "juror",
        "You check whether the sentences": "support",
        "chain of small questions": "chain",
        "round by round": "follow_up",
        "split it into steps": "graph",
        "one tool at a time": "tool_step",
        "what you already know": "prior",
        "whether you are sure": "sure",
        "facts that lead to the answer": "recognise",
        "could say. Papers": "document",
        "as short statements": "statements",
        "in a debate about": "debate",
        "You draw a conclusion": "deduce",
        "You play three experts": "persona_probe",
        "You name the experts": "personas",
        "You compare two research ideas": "compare",
        "one worked example": "teaching",
        'Reply with JSON only: {"ok": true}': "hello",
        "You answer in plain English": "probe",
        "You rewrite the last question": "standalone",
        "You shorten the earlier turns": "notes",
    }
    question = _QUESTION.search(user)
    call = name or next(name for mark, name in calls.items() if mark in system)
    return Seen(
        call="juror" if call == "support" else call,
        text=user,
        question=question[1] if question else "",
        passages=dict(_PASSAGE.findall(user)),
        quotes=dict(_QUOTE.findall(user)),
        steps=tuple(id for id, _ in _STEP.findall(user)),
        asked=dict(_STEP.findall(user)),
        known=dict(_KNOWN.findall(user)) | dict(_NOTE.findall(user)),
        facts=dict(_FACT.findall(user)),
        juror=_juror(call, system, user),
    )


def _juror(call: str, system: str, user: str) -> str:
    if call == "support":
        return call
    marks, text = (_TURNS, system) if call == "debate" else (_BRIEFS, user)
    return next((name for mark, name in marks.items() if mark in text), "")


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
        case "chain" | "follow_up" | "graph" | "tool_step" | "prior":
            return _planned(seen)
        case "facets" | "outline" | "section" | "summary" | "mend" | "table":
            return _reviewed(seen)
        case _:
            return _aside(seen)


def _aside(seen: Seen) -> dict[str, Any]:
    """What single presets and commands ask."""
    match seen.call:
        case "document":
            return {"text": f"Papers say of this: {seen.question}"}
        case "statements":
            return {"statements": [seen.question]}
        case "recognise":
            return {"facts": list(seen.facts)}
        case "deduce":
            return {"answer": "yes"}
        case "debate":
            return _message(seen)
        case "persona_probe":
            return {"historian": 1969, "chemist": 6, "editor": 6, "leader": 1981}
        case "personas":
            looks = {"historian": "When it was.", "chemist": "What it is made of."}
            return {"experts": [{"name": k, "looks_at": v} for k, v in looks.items()]}
        case "teaching":
            label, text = next(iter(seen.passages.items()))
            return {"passage": label, "quote": text}
        case _:
            return _otherwise(seen)


def _otherwise(seen: Seen) -> dict[str, Any]:
    """What is asked about a model, a pair of ideas, or a conversation."""
    match seen.call:
        case "compare":
            better = ("novelty", "feasibility", "excitement", "effectiveness")
            return {"why": "The first says how.", **dict.fromkeys(better, "first")}
        case "probe":
            return {"colour": "red", "days": 7}
        case "standalone":
            return {"question": seen.question}
        case "notes":
            return {"notes": re.findall(r"Asked: (.*)", seen.text)[-12:]}
        case _:
            return {"ok": True}


def _message(seen: Seen) -> dict[str, Any]:
    """A critic without objections; an actor who gives in to the first."""
    if seen.juror == "critic":
        return {"objections": [], "satisfied": True}
    return {"answers": [{"objection": 1, "right": True, "why": "So it is."}]}


def _reviewed(seen: Seen) -> dict[str, Any]:
    """A review of one section per cluster, each sentence a quote; nothing is mended."""
    match seen.call:
        case "facets":
            return {"premises": [], "steps": [{"question": seen.question, "query": seen.question}]}
        case "outline":
            sections = [
                {"title": f"Matter {id}", "says": "What is found.", "uses": [id]}
                for id in _CLUSTER.findall(seen.text)
            ]
            names = _COLUMN.findall(seen.text) or ["Method", "Result"]
            return {
                "sections": sections,
                "columns": [{"name": name, "asks": f"Which {name}?"} for name in names],
            }
        case "section":
            sentences = [{"text": text, "evidence": [name]} for name, text in seen.quotes.items()]
            return {"sentences": sentences, "conflicts": []}
        case "summary":
            number, text = _LINE.findall(seen.text)[0]
            return {"sentences": [{"text": text, "uses": [int(number)]}]}
        case "table":
            cells = [
                {"paper": paper, "column": column, "quote": quotes[0][0], "text": quotes[0][1][:40]}
                for paper, shown in _PAPER.findall(seen.text)
                for column in _COLUMN_ID.findall(seen.text)
                if (quotes := _CELL_QUOTE.findall(shown))
            ]
            return {"cells": cells}
        case _:
            return {"changes": []}


def _planned(seen: Seen) -> dict[str, Any]:
    """A plan of one step, the question, and no other once that is known."""
    step = {"question": seen.question, "query": seen.question}
    steps = [] if seen.known else [step]
    match seen.call:
        case "chain":
            return {"steps": [{**step, "answer": ""} for step in steps]}
        case "follow_up":
            return {"enough": bool(seen.known), "steps": steps}
        case "graph":
            return {"steps": [{**step, "id": "s1", "op": "retrieve", "parents": []}]}
        case "tool_step":
            return {
                "reason": "Nothing is known yet.",
                "tool": "finish" if seen.known else "search_library",
                "arguments": [] if seen.known else [{"name": "query", "value": seen.question}],
                "question": seen.question,
            }
        case _:
            return {"answer": "unknown", "sure": "low"}


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
    if (
        seen.juror != "support"
        or not isinstance(said, dict)
        or not {"action", "reasons"} <= said.keys()
    ):
        return said
    faulty = said["action"] in ("revise", "search_more")
    why = " ".join(said["reasons"])
    judged = {"number": 1, "carried": "no" if faulty else "yes", "why": why if faulty else ""}
    return {"sentences": [judged]}


def _text(reply: Said) -> str:
    return reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)
