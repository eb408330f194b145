"""The reviewer: an outline of the quotes, its sections one after another, and a summary of them.

One call orders the quotes into sections, one writes each section with the earlier ones in view, one
draws the summary, and one mends what the jury objects to.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scholar import prompts
from scholar.agents import jury, writer
from scholar.agents.evidence import (
    CHARACTERS_PER_TOKEN,
    Shown,
    fitting,
    room,
    show,
    show_what_fits,
)
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ModelRefused, ReplyInvalid
from scholar.events import Outlined, Wrote
from scholar.library import Library
from scholar.state import State, Update, draft_of
from scholar.values import Column, Conflict, Draft, Evidence, Section, Sentence

SECTIONS = 5
"""Sections of a review of which nothing else is said: about two screens with its summary."""
MOST_SECTIONS = 8
"""Sections of the longest review; a longer one is several reviews."""
MOST_COLUMNS = 5
"""Columns of the table: more leave a cell of 80 characters' width no room for words."""
SECTION_SENTENCES = 6
"""Sentences of a section where the window has room for them: a paragraph."""
SUMMARY_SENTENCES, SUMMARY_SOURCES = 3, 4
"""Sentences of the summary, and sentences of the review that each may be drawn from."""
MOST_CHANGES = 12
"""Sentences that are mended in one revision; who objects to more wants another review."""
SECTION_CONFLICTS, CONFLICT_SIDES = 1, 3
"""Points of conflict that a section may report, and sides of one."""
NEAR = 0.8
"""Mean likeness from which on two clusters are one however few there are: that of two quotes for
one step with a cosine of 0.6, which by MiniLM sentences of different papers hardly ever reach
unless they say the same (mean 0.31, nine tenths below 0.45, over the quotes of one review).
"""
DRAFT_SHARE = 0.2
"""Share of the window that the whole review may fill, for the jury is shown all of it."""
EARLIER_SHARE = 0.15
"""Share of the window for the sections before; those that do not fit are shown by their point."""
_USUAL_SENTENCE = 300
_TITLE, _COLUMN = 80, 30
"""Characters of the longest title of a section and name of a column: a line, and a third of one."""
_SENTENCE_NUMBER = re.compile(r"\b[Ss]entences?\s+(\d+(?:(?:\s*,\s*|\s+and\s+)\d+)*)")
_QUOTE_ID = re.compile(r"\be\d+\b")
_DISAGREE = "Where the sources disagree"


Likeness = NDArray[np.floating[Any]]


class _Section(Reply):
    title: str
    says: Line
    uses: list[str]


class _Column(Reply):
    name: str
    asks: Line


class _Outline(Reply):
    sections: list[_Section]
    columns: list[_Column]


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
class Cluster:
    """Quotes that are like each other, as the outline's prompt shows them: `more` are left out."""

    id: str
    quotes: tuple[Shown, ...]
    more: int


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


# The outline


async def outline(state: State, context: Context) -> Update:
    """Order the quotes into sections, and settle the columns of the table.

    Where the model has no usable outline, each step of the plan is a section.
    """
    most = min(state.get("sections") or SECTIONS, MOST_SECTIONS)
    wanted = _wanted(state)
    groups = await cluster(state["evidence"], 2 * most, context.library)
    asked: dict[str, Any] = {"question": state["question"], "most": most, "wanted": wanted}
    named = {f"c{n}": group for n, group in enumerate(groups, start=1)}
    shown = await _shown_clusters(named, context, room(context, "outline", **asked))
    notes: list[str] = []
    columns = [Column(name, _asks(name)) for name in wanted]
    planned: list[Section] = []
    try:
        reply = await context.ask(prompts.render("outline", clusters=shown, **asked), _Outline)
        planned = _planned(reply.sections[:most], named)
        columns = _columns(reply.columns, wanted)
    except (ReplyInvalid, ModelRefused) as error:
        notes.append(f"The model gave no outline, so each section is a part of the search: {error}")
    planned = planned or _by_steps(state, most)
    if left_out := len(state["evidence"]) - sum(len(part.evidence) for part in planned):
        notes.append(f"{left_out} quotes found have no place in the outline.")
    context.emit(Outlined(tuple(part.title for part in planned)))
    return {"outline": planned, "asks": columns, "draft": Draft(), "notes": notes}


async def cluster(
    evidence: Sequence[Evidence], most: int, library: Library
) -> list[list[Evidence]]:
    """The evidence in clusters of like quotes, in the order in which it was found.

    With an embedder by average linkage, until there are `most` and no two of them are NEAR. Two
    quotes are as like as the mean of their cosine and of whether they were found for one step: by
    cosine alone the clusters are the papers, whose sentences all name the same thing. Without an
    embedder the clusters are the steps.
    """
    vectors = await library.embed([item.quote for item in evidence])
    if vectors is None:
        by_step: defaultdict[str, list[Evidence]] = defaultdict(list)
        for item in evidence:
            by_step[item.steps[0] if item.steps else item.paper_id].append(item)
        return list(by_step.values())
    one_step = [[bool({*a.steps} & {*b.steps}) for b in evidence] for a in evidence]
    groups = agglomerate((vectors @ vectors.T + np.asarray(one_step)) / 2, most)
    return [[evidence[n] for n in group] for group in groups]


def agglomerate(likeness: Likeness, most: int) -> list[list[int]]:
    """The rows of `likeness`, shape (n, n) and symmetric, in clusters by average linkage: the two
    that are most alike are merged while there are more than `most` or their mean is NEAR.
    """
    groups = [[n] for n in range(len(likeness))]
    sums = likeness.copy()
    while len(groups) > 1:
        sizes = np.array([len(group) for group in groups])
        means = sums / np.outer(sizes, sizes)
        np.fill_diagonal(means, -np.inf)
        one, other = sorted(int(n) for n in np.unravel_index(np.argmax(means), means.shape))
        if len(groups) <= most and means[one, other] < NEAR:
            break
        groups[one] = sorted(groups[one] + groups.pop(other))
        sums[one] += sums[other]
        sums[:, one] += sums[:, other]
        sums = np.delete(np.delete(sums, other, 0), other, 1)
    return sorted(groups)


async def _shown_clusters(
    named: Mapping[str, Sequence[Evidence]], context: Context, space: int
) -> list[Cluster]:
    """The clusters, of each as many quotes as there is room for, all taking turns."""
    shown = {item.id: item for group in named.values() for item in await show(context, group)}
    turns = (item for row in zip_longest(*named.values()) for item in row if item is not None)
    kept = {item.id for item in fitting([shown[item.id] for item in turns], space)}
    return [
        Cluster(
            id,
            tuple(shown[item.id] for item in group if item.id in kept),
            sum(item.id not in kept for item in group),
        )
        for id, group in named.items()
    ]


def _planned(
    sections: Sequence[_Section], clusters: Mapping[str, Sequence[Evidence]]
) -> list[Section]:
    """The sections that have a title and quotes; each quote in the first that claims it, those
    named by their own ids before those of a cluster.
    """
    known = {item.id for group in clusters.values() for item in group}
    owner: dict[str, int] = {}
    for n, section in enumerate(sections):
        for id in section.uses:
            if id in known:
                owner.setdefault(id, n)
    for n, section in enumerate(sections):
        for name in section.uses:
            for item in clusters.get(name, ()):
                owner.setdefault(item.id, n)
    planned = [
        Section(title, section.says or title, tuple(id for id, at in owner.items() if at == n))
        for n, section in enumerate(sections)
        if (title := _title(section.title))
    ]
    return [section for section in planned if section.evidence]


def _by_steps(state: State, most: int) -> list[Section]:
    """A section for each step of the plan, the last with all that is left."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    titles = {step.id: step.question for step in state["steps"]}
    for item in state["evidence"]:
        step = next((id for id in item.steps if id in titles), "")
        key = step if step in groups or len(groups) < most else next(reversed(groups))
        groups[key].append(item.id)
    named = [(titles.get(step) or state["question"], ids) for step, ids in groups.items()]
    return [Section(_title(text), text, tuple(ids)) for text, ids in named]


def _title(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= _TITLE else text[: _TITLE - 1].rstrip() + "…"


def _wanted(state: State) -> list[str]:
    """The columns that the user named, each once."""
    names = (" ".join(name.split())[:_COLUMN] for name in state.get("columns") or ())
    return list(dict.fromkeys(name for name in names if name))[:MOST_COLUMNS]


def _asks(name: str) -> str:
    return f"What does the paper say of this: {name}?"


def _columns(named: Iterable[_Column], wanted: Sequence[str]) -> list[Column]:
    """The user's columns with the questions that the model puts, or the model's own."""
    given = {" ".join(item.name.split())[:_COLUMN].lower(): item for item in named}
    if wanted:
        asks = ((name, given.get(name.lower())) for name in wanted)
        return [Column(name, (item and item.asks) or _asks(name)) for name, item in asks]
    names = (" ".join(item.name.split())[:_COLUMN] for item in given.values())
    own = [Column(name, given[name.lower()].asks or _asks(name)) for name in names if name]
    return own[:MOST_COLUMNS]


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
    sides = (side for conflict in draft.conflicts for side in conflict.sides)
    every = [*draft.sentences, *(replace(side, section=MOST_SECTIONS + 1) for side in sides)]
    return [
        Numbered(n, sentence.section, sentence.text, sentence.evidence)
        for n, sentence in enumerate(every, start=1)
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
