"""What a question means within its thread: earlier questions, their answers and their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scholar import prompts
from scholar.agents.evidence import room, size
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ModelRefused, ReplyInvalid
from scholar.journal import Turn
from scholar.journal.threads import Past

RECENT = 2
"""Turns that are never shortened: what a question refers to is mostly there."""
MOST_NOTES = 12
"""Sentences that the notes may have: a line for each of as many questions, in any window."""
SHARE = 0.5
"""Share of the room for material that earlier turns may fill; an answer of ours has 100 words, so
in the smallest window that is some twenty turns.
"""
RECALLED = 4
"""Passages quoted before that are read again: the quotes of the last answer or two."""


class _Standalone(Reply):
    question: str


class _Notes(Reply):
    notes: list[Line]


@dataclass(frozen=True, slots=True)
class Meant:
    """A question as it can be understood alone; `recalled` are ids of passages quoted before."""

    question: str
    recalled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


async def meant(question: str, thread: str, context: Context) -> Meant:
    """What `question` means in its `thread`.

    Without a model, or where it gives no usable reply, that is the question itself.
    """
    past = await context.past(thread)
    if not past.turns and not past.notes:
        return Meant(question)
    quoted = [id for turn in reversed(past.turns) for id in turn.passages]
    recalled = tuple(dict.fromkeys(quoted))[:RECALLED]
    if not context.has_models:
        return Meant(question, recalled)
    try:
        shown = await _shown(past, question, context)
        prompt = prompts.render("standalone", turns=shown, question=question)
        alone = " ".join((await context.ask(prompt, _Standalone)).question.split())
    except (ReplyInvalid, ModelRefused) as error:
        note = f"The question was taken as it stands, without the earlier ones: {error}"
        return Meant(question, recalled, (note,))
    return Meant(alone or question, recalled)


async def _shown(past: Past, question: str, context: Context) -> list[str]:
    """The thread so far, as much as fits: notes stand for what is older."""
    limit = int(SHARE * room(context, "standalone", question=question))
    notes, turns = past.notes, list(past.turns)
    while len(turns) > RECENT and _size(notes, turns) > limit:
        fitting = _fitting(notes, turns[:-RECENT], limit)
        notes = await _shortened(notes, turns[:fitting], context)
        turns = turns[fitting:]
    noted = past.noted + len(past.turns) - len(turns)
    if noted > past.noted:
        await context.note_past(past.thread, notes, noted)
    cut = limit // (len(turns) + 1)
    return [text[:cut] for text in _texts(notes, turns)]


def _fitting(notes: str, turns: Sequence[Turn], limit: int) -> int:
    """How many of `turns`, the oldest first, fit into one call; at least one."""
    return max(1, sum(_size(notes, turns[: n + 1]) <= limit for n in range(len(turns))))


async def _shortened(notes: str, turns: Sequence[Turn], context: Context) -> str:
    limit = room(context, "notes", most=MOST_NOTES)
    shown = [text[: limit // (len(turns) + 1)] for text in _texts(notes, turns)]
    reply = await context.ask(prompts.render("notes", turns=shown, most=MOST_NOTES), _Notes)
    return "\n".join(reply.notes[:MOST_NOTES])


def _texts(notes: str, turns: Sequence[Turn]) -> list[str]:
    said = [f"Asked: {turn.question}\nAnswered: {turn.answer}" for turn in turns]
    return [f"Notes of earlier turns:\n{notes}", *said] if notes else said


def _size(notes: str, turns: Sequence[Turn]) -> int:
    return sum(map(size, _texts(notes, turns)))
