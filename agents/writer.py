"""The writer: sentences, each with the evidence it rests on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import pydantic_core
from pydantic import Field

from scholar import prompts
from scholar.agents.evidence import (
    Chosen,
    as_event,
    fitting,
    gather,
    label,
    room,
    show_what_fits,
)
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.events import Drafting
from scholar.state import State, Update, draft_of
from scholar.values import Basis, Conflict, Draft, Evidence, Premise, Sentence, Stance, Verdict

MAX_SENTENCES = 8
"""Sentences of an answer: what fits a screen with its quotes."""
LONGEST_SENTENCE = 1_000
"""Characters; what is longer is no sentence."""
MOST_DRAFT = 6_500
"""Characters of a draft with its conflicts: a long page, and what a juror with a window of 8,000
tokens has room for beside the quotes.
"""
MAX_CONFLICTS = 3
"""Points on which the sources disagree that an answer shows, and sides of one."""
MAX_OBJECTIONS = 9
"""Reasons of the jurors that the writer is shown, of one juror a third at most."""
_MARKS = re.compile(r"\s*[\[(]\s*[ep]\d+(?:\s*[,;]\s*[ep]\d+)*\s*[\])]")
_NOTHING = frozenset({"none", "nothing", "n/a", "no", "nothing is missing"})


class _Sentence(Reply):
    text: str
    evidence: list[str]


class _Conflict(Reply):
    about: Line
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
    missing: Line


class _Quote(Reply):
    passage: str
    quote: str


class _QuotedSentence(Reply):
    text: str
    quotes: list[_Quote]


class _QuotedConflict(Reply):
    about: Line
    sides: list[_QuotedSentence]


class _QuotedDraft(Reply):
    stance: Stance | Literal["no_claim"] = "no_claim"
    basis: Basis = "direct"
    sentences: list[_QuotedSentence]
    conflicts: list[_QuotedConflict]
    missing: Line


async def compose(state: State, context: Context) -> Update:
    """Write the draft, or write it again with the jury's objections in view."""
    if context.preset.read == "combined":
        return await _read_and_write(state, context)
    last = draft_of(state)
    asked: dict[str, Any] = {
        "question": state["question"],
        "premises": state.get("premises", []),
        "draft": last.sentences,
        "missing": last.missing,
        "objections": _objections(state.get("verdicts", [])),
        "most": MAX_SENTENCES,
    }
    cited = {id for sentence in last.sentences for id in sentence.evidence}
    space = room(context, "writer", **asked)
    quotes = await show_what_fits(context, state["evidence"], space, cited)
    prompt = prompts.render("writer", quotes=quotes, **asked)
    reply = await context.ask(prompt, _Draft, on_text=show_draft(context))
    revised = state.get("decision") == "revise"
    draft = _within_bounds(_as_draft(reply, state.get("premises", [])))
    left_out = len(state["evidence"]) - len(quotes)
    notes = [f"{left_out} quotes found did not fit the context window."] if left_out else []
    return {"draft": draft, "revision": state["revision"] + revised, "notes": notes}


def _objections(verdicts: Iterable[Verdict]) -> list[str]:
    """What the jurors object to, of each the first few."""
    objecting = (verdict for verdict in verdicts if verdict.action != "accept")
    first = [text for verdict in objecting for text in verdict.reasons[: MAX_OBJECTIONS // 3]]
    return first[:MAX_OBJECTIONS]


async def _read_and_write(state: State, context: Context) -> Update:
    passages = await label(context, await context.library.passages(state["read"]))
    # One call reads what one window takes, the best first.
    asked = {"question": state["question"], "most": MAX_SENTENCES}
    shown = fitting(passages, room(context, "answer", **asked))
    prompt = prompts.render("answer", passages=shown, **asked)
    reply = await context.ask(prompt, _QuotedDraft, on_text=show_draft(context))
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
        return as_sentence(sentence.text, ids)

    draft = Draft(
        tuple(map(cite, reply.sentences[:MAX_SENTENCES])),
        tuple(
            Conflict(conflict.about, tuple(map(cite, conflict.sides[:MAX_CONFLICTS])))
            for conflict in reply.conflicts[:MAX_CONFLICTS]
        ),
        _missing(reply.missing),
        _stance(reply.stance),
        reply.basis,
    )
    context.emit(as_event(evidence, max(0, given - len(evidence))))
    left_out = len(passages) - len(shown)
    notes = [f"{left_out} passages found did not fit the context window."] if left_out else []
    return {"draft": _within_bounds(draft), "evidence": evidence, "notes": notes}


def _covers(item: Evidence, places: Sequence[Evidence]) -> bool:
    return any(
        item.passage_id == place.passage_id and item.start <= place.start < item.end
        for place in places
    )


def _as_draft(reply: _Draft, premises: Sequence[str]) -> Draft:
    def cite(sentence: _Sentence) -> Sentence:
        return as_sentence(sentence.text, sentence.evidence)

    return Draft(
        tuple(map(cite, reply.sentences[:MAX_SENTENCES])),
        tuple(
            Conflict(conflict.about, tuple(map(cite, conflict.sides[:MAX_CONFLICTS])))
            for conflict in reply.conflicts[:MAX_CONFLICTS]
        ),
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


def as_sentence(text: str, evidence: Iterable[str]) -> Sentence:
    """A model's sentence, cleaned and of bounded length; one too long loses its evidence."""
    text = _clean(text)
    # Without evidence it is left out when the draft is checked, and the reader is told.
    cited = dict.fromkeys(evidence) if len(text) <= LONGEST_SENTENCE else ()
    return Sentence(text[:LONGEST_SENTENCE], tuple(cited))


def _within_bounds(draft: Draft) -> Draft:
    """`draft` without the evidence of what goes beyond MOST_DRAFT: it is left out when the draft is
    checked, and the reader is told.
    """
    left = MOST_DRAFT

    def bounded(sentence: Sentence) -> Sentence:
        nonlocal left
        left -= len(sentence.text)
        return sentence if left >= 0 else Sentence(sentence.text[:1])

    sentences = tuple(map(bounded, draft.sentences))
    conflicts = tuple(
        replace(conflict, sides=tuple(map(bounded, conflict.sides))) for conflict in draft.conflicts
    )
    return replace(draft, sentences=sentences, conflicts=conflicts)


def _clean(text: str) -> str:
    """The sentence without citation marks, which weak models write into it all the same."""
    return " ".join(_MARKS.sub("", text).split())


def _missing(text: str) -> str:
    text = _clean(text)
    return "" if text.lower().strip(" .") in _NOTHING else text


def show_draft(context: Context) -> Callable[[str], None]:
    """Turns the JSON of a reply as it grows into the draft as it is written."""
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
