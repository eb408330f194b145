"""The proposer: one idea worked out into a proposal of two pages, part by part at once.

A sentence that states what papers say stands on verified quotes, or is left out; one of the
proposal's own speaks of no paper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from scholar import prompts
from scholar.agents import lookup
from scholar.agents.checks import Stated, own_words
from scholar.agents.elaborator import Ground
from scholar.agents.evidence import fitting, room
from scholar.agents.ideas import brief
from scholar.backends.schema import Reply
from scholar.context import Context
from scholar.errors import BudgetSpent, ModelError, UsageError
from scholar.state import Failure, State, Update
from scholar.values import Citation, Hit, Idea, Outcome, Part, Statement

PARTS = {
    "background": "Background and gap",
    "prior work": "Nearest prior work",
    "method": "Hypothesis and method",
    "plan": "Experiments, risks and plan",
}
SENTENCES = 11
"""Sentences of one part: four parts are then about nine hundred words, which are two pages."""
QUOTES = 10
"""Sentences looked up for one part, beside those that the idea has already."""
NEAR = 14
"""Passages that they are looked up in."""
_SENTENCE = 600


class _Written(Reply):
    sentences: list[Ground]


async def propose(state: State, context: Context) -> Update:
    """Write the parts of the proposal of `state["idea"]`, all at once.

    A part that could not be written is told and left out; raises ModelError where none could, and
    UsageError where there is no idea.
    """
    idea = state.get("idea")
    if idea is None or not context.has_models:
        raise UsageError(
            "A proposal is written by a model from an idea; name an idea of an earlier run, and "
            "set a model with --model."
        )
    replies = await asyncio.gather(
        *(_part(name, idea, state["question"], context) for name in PARTS), return_exceptions=True
    )
    parts: list[Part] = []
    hits: list[Hit] = []
    notes: list[str] = []
    dropped = 0
    failure: Failure | None = None
    for name, reply in zip(PARTS, replies, strict=True):
        if isinstance(reply, ModelError):
            notes.append(f"“{PARTS[name]}” could not be written: {reply}")
        elif isinstance(reply, BudgetSpent):
            failure = Failure(Outcome.BUDGET_SPENT, str(reply))
        elif isinstance(reply, BaseException):
            raise reply
        else:
            part, found, lost = reply
            parts += [part] if part.statements else []
            hits += found
            dropped += lost
    if not parts and not failure:
        failure = Failure(Outcome.MODEL_FAILED, notes[0] if notes else "Nothing was written.")
    lost_parts = [PARTS[name] for name in PARTS if PARTS[name] not in {p.title for p in parts}]
    update: Update = {"proposal": parts, "notes": notes, "lost": lost_parts, "dropped": dropped}
    update.update(lookup.looked_at([idea.title], hits))
    return update | {"failure": failure} if failure else update


async def _part(name: str, idea: Idea, topic: str, context: Context) -> tuple[Part, list[Hit], int]:
    passages, hits = await lookup.passages_near(_queries(name, idea), context, NEAR)
    near = await lookup.sentences_for(_queries(name, idea)[0], passages, context, QUOTES)
    quotes = lookup.offered((*_own(name, idea), *near))
    asked: dict[str, Any] = {
        "question": topic,
        "title": idea.title,
        "lines": _lines(idea),
        "part": name,
        "most": SENTENCES,
    }
    shown = fitting(await lookup.shown(quotes, context), room(context, "proposal", **asked))
    reply = await context.ask(prompts.render("proposal", quotes=shown, **asked), _Written)
    titles = {quote.id: quote.title for quote in shown}
    said = [_statement(sentence, quotes, titles, topic) for sentence in reply.sentences[:SENTENCES]]
    kept = [statement for statement in said if statement]
    return Part(PARTS[name], tuple(kept)), hits, len(said) - len(kept)


def _queries(name: str, idea: Idea) -> list[str]:
    summary = f"{idea.title}. {idea.summary}"
    return {
        "background": [idea.problem or summary, summary],
        "prior work": [idea.method or summary, *idea.claims, summary],
        "method": [idea.method or summary, idea.hypothesis],
        "plan": [
            f"{idea.experiment.what} {idea.experiment.data} {idea.experiment.metric}",
            summary,
        ],
    }[name]


def _own(name: str, idea: Idea) -> Sequence[Citation]:
    """The quotes that the idea has for a part already, those it needs most first."""
    nearest = [near.citation for near in idea.novelty.nearest] if idea.novelty else []
    grounds = [citation for sentence in idea.grounds for citation in sentence.citations]
    return (*nearest, *grounds) if name == "prior work" else (*grounds, *idea.roots, *nearest)


def _lines(idea: Idea) -> list[str]:
    trial = idea.experiment
    named = (
        ("Idea", idea.summary),
        ("Problem", idea.problem),
        ("Hypothesis", idea.hypothesis),
        ("Method", idea.method),
        ("First experiment", ". ".join(filter(None, (trial.what, trial.data, trial.metric)))),
        ("Expected", idea.expected),
        ("Risks", "; ".join(idea.risks)),
        *(
            ("Differs from prior work", near.differs)
            for near in (idea.novelty.nearest if idea.novelty else ())
        ),
    )
    return [f"{name}: {text}" for name, text in named if text]


def _statement(
    sentence: Ground, quotes: dict[str, Citation], titles: dict[str, str], topic: str
) -> Statement | None:
    """The sentence as it may stand, or None: cited by quotes that carry it, or of its own words."""
    text = brief(sentence.text, _SENTENCE)
    ids = [id for id in dict.fromkeys(sentence.evidence) if id in quotes]
    if not sentence.evidence:
        return Statement(own) if (own := own_words(text)) else None
    stated = Stated.by(topic, *(t for id in ids for t in (quotes[id].quote, titles.get(id, ""))))
    if not ids or not stated.carries(text):
        return None
    return Statement(text, tuple(quotes[id] for id in ids))
