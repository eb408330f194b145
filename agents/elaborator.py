"""The elaborator: each idea worked out, with what papers say for it on verified quotes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scholar import prompts
from scholar.agents import lookup
from scholar.agents.checks import Stated, own_words
from scholar.agents.evidence import fitting, room, titles_of
from scholar.agents.ideas import brief, title_of
from scholar.agents.likeness import distinct, parents_of
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import BudgetSpent, ModelError
from scholar.events import Proposed
from scholar.state import Failure, State, Update
from scholar.values import Citation, CitedSentence, Experiment, Hit, Idea, Outcome

QUOTES = 8
"""Sentences found for an idea that its grounds may cite, beside those it grew from."""
NEAR = 10
"""Passages that are searched for these."""
_FIELD, _METHOD = 600, 1_500
"""Characters of the longest field of an idea, and of its method."""
_MOST_RISKS, _MOST_CLAIMS, _MOST_GROUNDS = 4, 3, 4


class _Experiment(Reply):
    what: str
    data: str
    metric: str


class Ground(Reply):
    """A sentence on papers and the ids of the quotes that it stands on."""

    text: str
    evidence: list[str]


class _WorkedOut(Reply):
    title: str
    problem: str
    hypothesis: str
    method: str
    experiment: _Experiment
    expected: str
    risks: list[Line]
    claims: list[Line]
    grounds: list[Ground]


async def work_out(state: State, context: Context) -> Update:
    """Work out the ideas that are not yet, all at once.

    One that cannot be worked out stays as it was outlined, which is told; so do all whose turn
    comes after the budget is spent.
    """
    if state.get("failure"):
        return {}
    ideas = state["ideas"]
    waiting = [idea for idea in ideas if not idea.method]
    replies = await asyncio.gather(
        *(_work_out(idea, state, context) for idea in waiting), return_exceptions=True
    )
    done: dict[str, Idea] = {}
    hits: list[Hit] = []
    notes, failure = told_of(waiting, replies, "could not be worked out")
    for reply in replies:
        if not isinstance(reply, BaseException):
            done[reply[0].id] = reply[0]
            hits += reply[1]
    kept, merged = await distinct([done.get(idea.id, idea) for idea in ideas], context.library)
    if merged:
        context.emit(Proposed(tuple(idea.title for idea in kept)))
    update: Update = {"ideas": kept, "notes": [*notes, *merged]}
    update.update(lookup.looked_at([idea.title for idea in done.values()], hits))
    return update | {"failure": failure} if failure else update


def told_of(
    ideas: Sequence[Idea], replies: Sequence[object], what: str
) -> tuple[list[str], Failure | None]:
    """Notes on the ideas of which a model's call failed, and the failure where the budget is spent.

    Raises what is neither.
    """
    notes = []
    failure = None
    for idea, error in zip(ideas, replies, strict=True):
        if isinstance(error, ModelError):
            notes.append(f"“{idea.title}” {what}: {error}")
        elif isinstance(error, BudgetSpent):
            failure = Failure(Outcome.BUDGET_SPENT, str(error))
        elif isinstance(error, BaseException):
            raise error
    return notes, failure


async def _work_out(idea: Idea, state: State, context: Context) -> tuple[Idea, list[Hit]]:
    query = f"{idea.title}. {idea.summary}"
    passages, hits = await lookup.passages_near([query, state["question"]], context, NEAR)
    about = f"{query} {state['question']}"
    near = await lookup.sentences_for(about, passages, context, QUOTES)
    quotes = lookup.offered((*idea.roots, *near))
    thoughts = [
        seed.text
        for seed in state.get("seeds", [])
        if seed.text != idea.summary and {*seed.roots} & {*idea.roots}
    ][:3]
    asked: dict[str, Any] = {
        "question": state["question"],
        "title": idea.title,
        "text": idea.summary,
        "thoughts": thoughts,
    }
    shown = fitting(await lookup.shown(quotes, context), room(context, "work_out", **asked))
    reply = await context.ask(prompts.render("work_out", quotes=shown, **asked), _WorkedOut)
    offered = {quote.id: quotes[quote.id] for quote in shown}
    return await _worked_out(idea, reply, offered, state["question"], context), hits


async def _worked_out(
    idea: Idea, reply: _WorkedOut, quotes: dict[str, Citation], topic: str, context: Context
) -> Idea:
    titles = await titles_of(context.library, (c.paper_id for c in quotes.values()))
    grounds = [
        CitedSentence(brief(ground.text, _FIELD), tuple(cited))
        for ground in reply.grounds[:_MOST_GROUNDS]
        if (cited := [quotes[id] for id in dict.fromkeys(ground.evidence) if id in quotes])
        and _carried(ground.text, cited, titles, topic)
    ]
    # A problem states what is so: a figure in it that no quote has would be a finding.
    stated = Stated.by(topic, idea.summary, *(c.quote for c in quotes.values()))
    return replace(
        idea,
        title=title_of(own_words(reply.title)) or idea.title,
        problem=brief(own_words(reply.problem, stated), _FIELD),
        hypothesis=brief(own_words(reply.hypothesis), _FIELD),
        method=brief(own_words(reply.method), _METHOD) or idea.summary,
        experiment=Experiment(
            *(
                brief(own_words(text), _FIELD)
                for text in (
                    reply.experiment.what,
                    reply.experiment.data,
                    reply.experiment.metric,
                )
            )
        ),
        expected=brief(own_words(reply.expected), _FIELD),
        risks=tuple(filter(None, map(own_words, reply.risks[:_MOST_RISKS]))),
        claims=tuple(filter(None, map(own_words, reply.claims[:_MOST_CLAIMS]))),
        grounds=tuple(grounds),
        parents=parents_of(idea.roots),
    )


def _carried(text: str, cited: Sequence[Citation], titles: dict[str, str], topic: str) -> bool:
    texts = (text for c in cited for text in (c.quote, titles.get(c.paper_id, "")))
    return bool(text.strip()) and Stated.by(topic, *texts).carries(text)
