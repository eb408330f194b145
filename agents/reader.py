"""The reader: verbatim quotes from what was found, one call per context window."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scholar import prompts
from scholar.agents import extractor
from scholar.agents.evidence import (
    Chosen,
    Labelled,
    as_event,
    gather,
    in_turn,
    label,
    portions,
    room,
    show_what_fits,
)
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ModelError
from scholar.state import State, Update, is_review
from scholar.values import Help, Step

MAX_QUOTES = 12
"""Quotes one reading call may return: one for each sentence of a draft, and some to spare."""


REVIEW_QUOTES = 30
"""The same for a review: one for each sentence of five sections."""


class _Quote(Reply):
    passage: str
    quote: str
    step: str
    helps: Help
    says: Line = ""


class _Quotes(Reply):
    quotes: list[_Quote]


class _Deduced(Reply):
    answer: Line


async def read(state: State, context: Context) -> Update:
    """Choose quotes from what was found for the open steps, and answer those that deduce.

    Without a model the best-matching sentences are the quotes. In the `combined` presets the
    passages are only marked as read here: the writer's call does the reading.
    """
    fresh = await to_read(state, context)
    known = (*state.get("read", []), *(item.passage.id for item in fresh))
    marked = list(dict.fromkeys((*known, *(hit.passage_id for hit in state.get("hits", [])))))
    if not context.has_models:
        evidence, notes = await extractor.extract(state, context, fresh)
        context.emit(as_event(evidence, 0))
        return {"read": marked, "evidence": evidence, "notes": notes}
    if context.preset.read == "combined":
        return {"read": marked, "evidence": state.get("evidence", [])}
    (chosen, notes), deduced = await asyncio.gather(
        _ask_readers(state, context, fresh), _deduce(state, context)
    )
    before = state.get("evidence", [])
    evidence = gather(before, chosen, fresh)
    kept = len(evidence) - len(before)
    context.emit(as_event(evidence, max(0, len(chosen) - kept)))
    return {"read": marked, "evidence": evidence, "steps": deduced, "notes": notes}


async def to_read(state: State, context: Context) -> list[Labelled]:
    """The passages found for the open steps, steps taking turns.

    What was read before is shown again where the step asks something new of it; what the jury sent
    for is not, for the question was the same.
    """
    jury = state.get("decision") == "search_more"
    read = set(state.get("read", []))
    seen = read if jury else set()
    per_step = [
        [
            hit
            for hit in state.get("hits", [])
            if hit.step == step.id and not (step.tries and hit.passage_id in read)
        ]
        for step in state["steps"]
        if step.status == "open"
    ]
    order = dict.fromkeys(hit.passage_id for hit in in_turn(per_step) if hit.passage_id not in seen)
    return await label(context, await context.library.passages(list(order)))


async def _ask_readers(
    state: State, context: Context, fresh: Sequence[Labelled]
) -> tuple[list[Chosen], list[str]]:
    steps = [step for step in state["steps"] if step.status == "open" and step.op != "deduce"]
    most = REVIEW_QUOTES if is_review(state) else MAX_QUOTES
    asked = {"question": state["question"], "steps": steps, "most": most}
    windows = list(portions(fresh, room(context, "reader", **asked)))
    if context.preset.orders > 1:
        windows += [window[::-1] for window in windows if len(window) > 1]
    replies = await asyncio.gather(
        *(_ask_reader(asked, context, window) for window in windows), return_exceptions=True
    )
    chosen = [quote for reply in replies if not isinstance(reply, BaseException) for quote in reply]
    errors = [reply for reply in replies if isinstance(reply, BaseException)]
    fatal = [error for error in errors if not isinstance(error, ModelError)]
    nothing = not (chosen or state.get("evidence"))
    # A library of which a part could not be read has not been found to lack an answer.
    if fatal or (errors and (nothing or len(errors) == len(replies))):
        raise (fatal or errors)[0]
    if context.preset.orders > 1:
        chosen = _steady_first(chosen)
    return chosen, [f"A part of the passages could not be read: {error}" for error in errors]


def _steady_first(chosen: Sequence[Chosen]) -> list[Chosen]:
    """Each quote once, those first that were chosen in either order of the passages."""
    times = Counter(quote.quote for quote in chosen)
    once = {quote.quote: quote for quote in chosen}.values()
    return sorted(once, key=lambda quote: -times[quote.quote])


async def _ask_reader(
    asked: Mapping[str, Any], context: Context, window: Sequence[Labelled]
) -> list[Chosen]:
    reply = await context.ask(prompts.render("reader", passages=window, **asked), _Quotes)
    steps: Sequence[Step] = asked["steps"]
    known = {step.id for step in steps}
    return [
        Chosen(
            quote.passage,
            quote.quote,
            (quote.step,) if quote.step in known else _instead(quote.step, asked),
            quote.helps,
            quote.says.strip(),
        )
        for quote in reply.quotes[: asked["most"]]
    ]


def _instead(named: str, asked: Mapping[str, Any]) -> tuple[str, ...]:
    """The only step, for a quote under a wrong id, or under none where that step is the question:
    what helps the question beside a step helps none.
    """
    steps: Sequence[Step] = asked["steps"]
    beside = not named.strip() and steps[0].question != asked["question"]
    return (steps[0].id,) if len(steps) == 1 and not beside else ()


async def _deduce(state: State, context: Context) -> list[Step]:
    """The steps, those answered that are drawn from the answers of others."""
    steps = state["steps"]
    waiting = [step for step in steps if step.status == "open" and step.op == "deduce"]
    answers = await asyncio.gather(*(_conclude(step, state, context) for step in waiting))
    answered = {step.id: answer for step, answer in zip(waiting, answers, strict=True)}
    return [replace(step, answer=answered.get(step.id, step.answer)) for step in steps]


async def _conclude(step: Step, state: State, context: Context) -> str:
    parents = [known for known in state["steps"] if known.id in step.parents]
    ids = {parent.id for parent in parents}
    under = [item for item in state.get("evidence", []) if ids & set(item.steps)]
    asked: dict[str, Any] = {"question": step.question, "known": parents}
    quotes = await show_what_fits(context, under, room(context, "deduce", **asked))
    reply = await context.ask(prompts.render("deduce", quotes=quotes, **asked), _Deduced)
    return reply.answer.strip()
