"""The reviewer: sections one after another, a summary of them, and what a jury objects to.

One call writes each section with the earlier ones in view, one draws the summary, one mends.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from scholar import prompts
from scholar.agents import jury, writer
from scholar.agents.evidence import (
    CHARACTERS_PER_TOKEN,
    fitting,
    room,
    show_what_fits,
)
from scholar.agents.outliner import MOST_SECTIONS
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ModelRefused, ReplyInvalid
from scholar.events import Wrote
from scholar.state import State, Update, draft_of
from scholar.values import Conflict, Draft, Section, Sentence

SECTION_SENTENCES = 6
"""Sentences of a section where the window has room for them: a paragraph."""
SUMMARY_SENTENCES, SUMMARY_SOURCES = 3, 4
"""Sentences of the summary, and sentences of the review that each may be drawn from."""
MOST_CHANGES = 12
"""Sentences that are mended in one revision; who objects to more wants another review."""
SECTION_CONFLICTS, CONFLICT_SIDES = 1, 3
"""Points of conflict that a section may report, and sides of one."""
DRAFT_SHARE = 0.2
"""Share of the window that the whole review may fill, for the jury is shown all of it."""
EARLIER_SHARE = 0.15
"""Share of the window for the sections before; those that do not fit are shown by their point."""
_USUAL_SENTENCE = 300
_SENTENCE_NUMBER = re.compile(r"\b[Ss]entences?\s+(\d+(?:(?:\s*,\s*|\s+and\s+)\d+)*)")
_QUOTE_ID = re.compile(r"\be\d+\b")
_DISAGREE = "Where the sources disagree"


class _Sentence(Reply):
    text: str
    evidence: list[str]


class _Conflict(Reply):
    about: Line
    sides: list[_Sentence]


class _Text(Reply):
    sentences: list[_Sentence]
    conflicts: list[_Conflict]


class _Drawn(Reply):
    text: str
    uses: list[int]


class _Summary(Reply):
    sentences: list[_Drawn]


class Change(Reply):
    """What a model would change about one sentence of a review."""

    number: int
    do: Literal["replace", "strike", "add_after"]
    text: str
    evidence: list[str]


class _Changes(Reply):
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class Numbered:
    """A sentence of the review as a prompt shows it, under the number that jurors see."""

    number: int
    section: int
    text: str
    evidence: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Sentences of one section as a prompt shows them."""

    title: str
    lines: tuple[Numbered, ...]

    @property
    def text(self) -> str:
        """All of them as one text."""
        return " ".join(line.text for line in self.lines)


# The sections


async def section(state: State, context: Context) -> Update:
    """Write the next section, the earlier ones in view.

    One that cannot be written is told and left out; raises ReplyInvalid or ModelRefused where none
    of them could be.
    """
    number, draft = state.get("written", 0) + 1, draft_of(state)
    this = state["outline"][number - 1]
    last = number == len(state["outline"])
    try:
        sentences, conflicts, notes = await _write(state, context, number, this)
    except (ReplyInvalid, ModelRefused) as error:
        if last and not draft.sentences:
            raise
        return {"written": number, "notes": [f"“{this.title}” could not be written: {error}"]}
    draft = replace(
        draft,
        sentences=(*draft.sentences, *sentences),
        conflicts=(*draft.conflicts, *conflicts)[: writer.MAX_CONFLICTS],
    )
    context.emit(Wrote(number, len(state["outline"]), this.title, len(sentences)))
    return {"written": number, "draft": draft, "notes": notes}


async def _write(
    state: State, context: Context, number: int, this: Section
) -> tuple[list[Sentence], list[Conflict], list[str]]:
    most = _sentences_each(context, len(state["outline"]))
    asked: dict[str, Any] = {
        "question": state["question"],
        "titles": [part.title for part in state["outline"]],
        "earlier": _earlier(state, context),
        "number": number,
        "title": this.title,
        "says": this.says,
        "most": most,
    }
    evidence = [item for item in state["evidence"] if item.id in this.evidence]
    quotes = await show_what_fits(context, evidence, room(context, "section", **asked))
    prompt = prompts.render("section", quotes=quotes, **asked)
    reply = await context.ask(prompt, _Text, on_text=writer.show_draft(context))
    shown = {quote.id for quote in quotes}

    def cite(sentence: _Sentence) -> Sentence:
        ids = [id for id in sentence.evidence if id in shown]
        return replace(writer.as_sentence(sentence.text, ids), section=number)

    conflicts = [
        Conflict(point.about, tuple(map(cite, point.sides[:CONFLICT_SIDES])))
        for point in reply.conflicts[:SECTION_CONFLICTS]
    ]
    left_out = len(evidence) - len(quotes)
    notes = [f"{left_out} quotes did not fit the window for “{this.title}”."] if left_out else []
    return [cite(sentence) for sentence in reply.sentences[:most]], conflicts, notes


def _sentences_each(context: Context, sections: int) -> int:
    """Sentences of one section, so that the jury's window has room for all of them."""
    window = context.settings.context_window * CHARACTERS_PER_TOKEN
    fitting_in = int(window * DRAFT_SHARE / _USUAL_SENTENCE / max(1, sections))
    return max(2, min(SECTION_SENTENCES, fitting_in))


def _earlier(state: State, context: Context) -> list[Part]:
    """The sections before, the newest whole; of those that do not fit, the first sentence, which
    has the point.
    """
    space = context.settings.context_window * CHARACTERS_PER_TOKEN * EARLIER_SHARE
    parts = _parts(_numbered(replace(draft_of(state), conflicts=())), state["outline"])
    space -= sum(len(part.lines[0].text) for part in parts)
    kept: list[Part] = []
    for part in reversed(parts):
        space -= len(part.text) - len(part.lines[0].text)
        kept.append(part if space >= 0 else Part(part.title, part.lines[:1]))
    return kept[::-1]


def _numbered(draft: Draft) -> list[Numbered]:
    """The sentences that stand on something, those of conflicts after the others."""
    sides = (replace(side, section=MOST_SECTIONS + 1) for side in draft.sides)
    return [
        Numbered(n, sentence.section, sentence.text, sentence.evidence)
        for n, sentence in enumerate((*draft.sentences, *sides), start=1)
        if sentence.evidence
    ]


def _parts(lines: Iterable[Numbered], outline: Sequence[Section]) -> list[Part]:
    """`lines` under the titles of their sections, in the order of the review."""
    titles = ("Summary", *(part.title for part in outline))
    under: defaultdict[int, list[Numbered]] = defaultdict(list)
    for line in lines:
        under[line.section].append(line)
    return [
        Part(titles[n] if n < len(titles) else _DISAGREE, tuple(of))
        for n, of in sorted(under.items())
    ]


# The summary


async def sum_up(state: State, context: Context) -> Update:
    """Put a summary before the sections, each sentence on the quotes of those it is drawn from.

    A review of one section has none, nor has one whose summary could not be had: that is told.
    """
    draft, planned = draft_of(state), state["outline"]
    written = {sentence.section for sentence in draft.sentences if sentence.evidence}
    empty = [part.title for n, part in enumerate(planned, start=1) if n not in written]
    draft = replace(draft, missing="; ".join(empty))
    if len(written) < 2:
        return {"draft": draft}
    lines = _numbered(replace(draft, conflicts=()))
    asked: dict[str, Any] = {
        "question": state["question"],
        "most": SUMMARY_SENTENCES,
        "sources": SUMMARY_SOURCES,
    }
    shown = _lines_that_fit(lines, _points(lines), room(context, "summary", **asked))
    try:
        prompt = prompts.render("summary", parts=_parts(shown, planned), **asked)
        reply = await context.ask(prompt, _Summary, on_text=writer.show_draft(context))
    except (ReplyInvalid, ModelRefused) as error:
        return {"draft": draft, "notes": [f"The summary could not be written: {error}"]}
    known = {line.number: line.evidence for line in shown}
    opening = [_drawn(item, known) for item in reply.sentences[:SUMMARY_SENTENCES]]
    return {"draft": replace(draft, sentences=(*opening, *draft.sentences))}


def _drawn(item: _Drawn, known: Mapping[int, tuple[str, ...]]) -> Sentence:
    uses = item.uses[:SUMMARY_SOURCES]
    return writer.as_sentence(item.text, (id for n in uses for id in known.get(n, ())))


def _points(lines: Iterable[Numbered]) -> set[int]:
    """The numbers of the first sentences of the sections."""
    first: dict[int, int] = {}
    for line in lines:
        first.setdefault(line.section, line.number)
    return set(first.values())


def _lines_that_fit(lines: Sequence[Numbered], before: set[int], space: float) -> list[Numbered]:
    """`lines` in their order; where there is no room for all, those numbered in `before` first."""
    worth = sorted(lines, key=lambda line: line.number not in before)
    kept = {line.number for line in fitting(worth, int(space))}
    return [line for line in lines if line.number in kept]


# The jury and what it objects to


async def judge(state: State, context: Context) -> Update:
    """Let the jury judge the review as a whole; its question is what a review is to do."""
    question = f"Review what these papers say on the topic: {state['question']}"
    return await jury.deliberate({**state, "question": question}, context)


async def mend(state: State, context: Context) -> Update:
    """Change the sentences that the jury objected to, with what was found for it since."""
    draft, planned = draft_of(state), state["outline"]
    objecting = (v for v in state.get("verdicts", []) if v.action != "accept")
    objections = [reason for v in objecting for reason in v.reasons][:MOST_CHANGES]
    lines = _numbered(draft)
    text = "\n".join(objections)
    objected = {int(n) for said in _SENTENCE_NUMBER.findall(text) for n in re.findall(r"\d+", said)}
    space = context.settings.context_window * CHARACTERS_PER_TOKEN * EARLIER_SHARE
    shown = _lines_that_fit(lines, objected, space)
    asked: dict[str, Any] = {
        "question": state["question"],
        "parts": _parts(shown, planned),
        "objections": objections,
        "most": MOST_CHANGES,
    }
    placed = {id for part in planned for id in part.evidence}
    wanted = set(_QUOTE_ID.findall(text))
    wanted |= {item.id for item in state["evidence"] if item.id not in placed}
    wanted |= {id for line in lines if line.number in objected for id in line.evidence}
    quotes = await show_what_fits(
        context, state["evidence"], room(context, "mend", **asked), wanted
    )
    revised = state["revision"] + (state.get("decision") == "revise")
    try:
        prompt = prompts.render("mend", quotes=quotes, **asked)
        reply = await context.ask(prompt, _Changes)
    except (ReplyInvalid, ModelRefused) as error:
        return {"revision": revised, "notes": [f"The review could not be mended: {error}"]}
    changed = mended(draft, reply.changes[:MOST_CHANGES], {line.number for line in shown})
    return {"draft": changed, "revision": revised}


def mended(draft: Draft, changes: Iterable[Change], shown: set[int]) -> Draft:
    """`draft` with `changes` made to the sentences `shown`, numbered as the jury sees them."""
    by_number: defaultdict[int, list[Change]] = defaultdict(list)
    for change in changes:
        if change.number in shown:
            by_number[change.number].append(change)
    sentences = [
        new for n, old in enumerate(draft.sentences, 1) for new in _changed(old, by_number[n])
    ]
    conflicts = []
    number = len(draft.sentences)
    for conflict in draft.conflicts:
        sides: list[Sentence] = []
        for side in conflict.sides:
            number += 1
            sides += _changed(side, by_number[number])
        if sides:  # one of which all sides are struck is struck itself
            conflicts.append(replace(conflict, sides=tuple(sides)))
    return replace(draft, sentences=tuple(sentences), conflicts=tuple(conflicts))


def _changed(old: Sentence, changes: Sequence[Change]) -> list[Sentence]:
    kept, added = [old], []
    for change in changes:
        new = replace(writer.as_sentence(change.text, change.evidence), section=old.section)
        if change.do == "strike":
            kept = []
        elif new.text and change.do == "replace":
            kept = [new]
        elif new.text:
            added.append(new)
    return [*kept, *added]
