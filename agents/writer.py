"""The writer: sentences, each with the evidence it rests on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import pydantic_core
from pydantic import Field

from scholar import prompts
from scholar.agents.evidence import Chosen, as_event, gather, label, show, windows
from scholar.backends.schema import Reply
from scholar.context import Context
from scholar.events import Drafting
from scholar.state import State, Update, draft_of
from scholar.values import Basis, Conflict, Draft, Evidence, Premise, Sentence, Stance

MAX_SENTENCES = 8
"""Sentences of an answer: what fits a screen with its quotes."""
_MARKS = re.compile(r"\s*[\[(]\s*[ep]\d+(?:\s*[,;]\s*[ep]\d+)*\s*[\])]")
_NOTHING = frozenset({"none", "nothing", "n/a", "no", "nothing is missing"})


class _Sentence(Reply):
    text: str
    evidence: list[str]


class _Conflict(Reply):
    about: str
    sides: list[_Sentence]


class _Premise(Reply):
    premise: int
    stance: Literal["supported", "contradicted", "mixed"]
    evidence: list[str]


class _Draft(Reply):
    stance: Stance | Literal["no_claim"] = "no_claim"
    basis: Basis = "direct"
    sentences: list[_Sentence]
    conflicts: list[_Conflict]
    premises: list[_Premise] = Field(default_factory=list)
    missing: str


class _Quote(Reply):
    passage: str
    quote: str


class _QuotedSentence(Reply):
    text: str
    quotes: list[_Quote]


class _QuotedConflict(Reply):
    about: str
    sides: list[_QuotedSentence]


class _QuotedDraft(Reply):
    stance: Stance | Literal["no_claim"] = "no_claim"
    basis: Basis = "direct"
    sentences: list[_QuotedSentence]
    conflicts: list[_QuotedConflict]
    missing: str


async def compose(state: State, context: Context) -> Update:
    """Write the draft, or write it again with the jury's objections in view."""
    if context.preset.read == "combined":
        return await _read_and_write(state, context)
    last = draft_of(state)
    verdicts = state.get("verdicts", [])
    prompt = prompts.render(
        "writer",
        question=state["question"],
        quotes=await show(context, state["evidence"]),
        premises=state.get("premises", []),
        draft=last.sentences,
        missing=last.missing,
        objections=[reason for v in verdicts if v.action != "accept" for reason in v.reasons],
        most=MAX_SENTENCES,
    )
    reply = await context.ask(prompt, _Draft, on_text=_show_draft(context))
    revised = state.get("decision") == "revise"
    draft = _as_draft(reply, state.get("premises", []))
    return {"draft": draft, "revision": state["revision"] + revised}


async def _read_and_write(state: State, context: Context) -> Update:
    passages = await label(context, await context.library.passages(state["read"]))
    # One call reads what one window takes, the best first.
    shown = next(windows(passages, context.settings.context_window))
    prompt = prompts.render(
        "answer", question=state["question"], passages=shown, most=MAX_SENTENCES
    )
    reply = await context.ask(prompt, _QuotedDraft, on_text=_show_draft(context))
    steps = tuple(step.id for step in state["steps"])

    def found(sentences: Iterable[_QuotedSentence]) -> list[Evidence]:
        quotes = [quote for sentence in sentences for quote in sentence.quotes]
        chosen = [Chosen(quote.passage, quote.quote, steps) for quote in quotes]
        return gather([], chosen, shown)

    sides = [side for conflict in reply.conflicts for side in conflict.sides]
    given = sum(len(sentence.quotes) for sentence in (*reply.sentences, *sides))
    evidence = found((*reply.sentences, *sides))

    def cite(sentence: _QuotedSentence) -> Sentence:
        places = found([sentence])
        ids = tuple(item.id for item in evidence if _covers(item, places))
        return Sentence(_clean(sentence.text), ids)

    draft = Draft(
        tuple(map(cite, reply.sentences)),
        tuple(Conflict(c.about.strip(), tuple(map(cite, c.sides))) for c in reply.conflicts),
        _missing(reply.missing),
        _stance(reply.stance),
        reply.basis,
    )
    context.emit(as_event(evidence, max(0, given - len(evidence))))
    left_out = len(passages) - len(shown)
    notes = [f"{left_out} passages found did not fit the context window."] if left_out else []
    return {"draft": draft, "evidence": evidence, "notes": notes}


def _covers(item: Evidence, places: Sequence[Evidence]) -> bool:
    return any(
        item.passage_id == place.passage_id and item.start <= place.start < item.end
        for place in places
    )


def _as_draft(reply: _Draft, premises: Sequence[str]) -> Draft:
    return Draft(
        tuple(map(_sentence, reply.sentences)),
        tuple(Conflict(c.about.strip(), tuple(map(_sentence, c.sides))) for c in reply.conflicts),
        _missing(reply.missing),
        _stance(reply.stance),
        reply.basis,
        tuple(
            Premise(premises[item.premise - 1], item.stance, tuple(dict.fromkeys(item.evidence)))
            for item in reply.premises
            if 0 < item.premise <= len(premises)
        ),
    )


def _stance(stance: Stance | Literal["no_claim"]) -> Stance | None:
    return None if stance == "no_claim" else stance


def _sentence(sentence: _Sentence) -> Sentence:
    return Sentence(_clean(sentence.text), tuple(dict.fromkeys(sentence.evidence)))


def _clean(text: str) -> str:
    """The sentence without citation marks, which weak models write into it all the same."""
    return " ".join(_MARKS.sub("", text).split())


def _missing(text: str) -> str:
    text = _clean(text)
    return "" if text.lower().strip(" .") in _NOTHING else text


def _show_draft(context: Context) -> Callable[[str], None]:
    """Turn the JSON as it grows into the draft as it is written."""
    last = ""

    def on_text(reply: str) -> None:
        nonlocal last
        draft = _partial_draft(reply)
        if draft != last:
            last = draft
            context.emit(Drafting(draft))

    return on_text


def _partial_draft(reply: str) -> str:
    begin = reply.find("{")
    if begin < 0:
        return ""
    try:
        partial = pydantic_core.from_json(reply[begin:], allow_partial="trailing-strings")
    except ValueError:
        return ""
    sentences = partial.get("sentences") if isinstance(partial, dict) else None
    if not isinstance(sentences, list):
        return ""
    texts = [item.get("text") for item in sentences if isinstance(item, dict)]
    return " ".join(text for text in texts if isinstance(text, str))
