"""The outliner: clusters of like quotes, and one call that orders them into sections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scholar import prompts
from scholar.agents.evidence import Shown, fitting, in_turn, room, show
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ModelRefused, ReplyInvalid
from scholar.events import Outlined
from scholar.journal import key_of
from scholar.library import Library
from scholar.state import State, Update
from scholar.text import one_line, shortened
from scholar.values import Column, Draft, Evidence, Section

SECTIONS = 5
"""Sections of a review of which nothing else is said: about two screens with its summary."""
MOST_SECTIONS = 8
"""Sections of the longest review; a longer one is several reviews."""
MOST_COLUMNS = 5
"""Columns of the table: more leave a cell of 80 characters' width no room for words."""
NEAR = 0.8
"""Mean likeness from which on two clusters are one however few there are: that of two quotes for
one step with a cosine of 0.6, which by MiniLM sentences of different papers hardly ever reach
unless they say the same (mean 0.31, nine tenths below 0.45, over the quotes of one review).
"""
_TITLE, _COLUMN = 80, 30
"""Characters of the longest title of a section and name of a column: a line, and a third of one."""

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


@dataclass(frozen=True, slots=True)
class Cluster:
    """Quotes that are like each other, as the outline's prompt shows them: `more` are left out."""

    id: str
    quotes: tuple[Shown, ...]
    more: int


async def outline(state: State, context: Context) -> Update:
    """Order the quotes into sections, and settle the columns of the table.

    Where the model has no usable outline, each step of the plan is a section.
    """
    most = min(state.get("sections") or SECTIONS, MOST_SECTIONS)
    wanted = _wanted(state)
    groups = await _clusters(state["evidence"], 2 * most, context)
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


async def _clusters(
    evidence: Sequence[Evidence], most: int, context: Context
) -> list[list[Evidence]]:
    """As `cluster`, and the same whenever the run comes here again."""

    async def make() -> list[list[str]]:
        groups = await cluster(evidence, most, context.services.library)
        return [[item.id for item in group] for group in groups]

    by_id = {item.id: item for item in evidence}
    ids = await context.record.once(key_of("cluster", list(by_id), most), list[list[str]], make)
    return [[by_id[id] for id in group] for group in ids]


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
    turns = (shown[item.id] for item in in_turn(named.values()))
    kept = {item.id for item in fitting(turns, space)}
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
    return shortened(one_line(text).rstrip("."), _TITLE)


def _wanted(state: State) -> list[str]:
    """The columns that the user named, each once."""
    names = (one_line(name)[:_COLUMN] for name in state.get("columns") or ())
    return list(dict.fromkeys(name for name in names if name))[:MOST_COLUMNS]


def _asks(name: str) -> str:
    return f"What does the paper say of this: {name}?"


def _columns(named: Iterable[_Column], wanted: Sequence[str]) -> list[Column]:
    """The user's columns with the questions that the model puts, or the model's own."""
    given = {one_line(item.name)[:_COLUMN].lower(): item for item in named}
    if wanted:
        asks = ((name, given.get(name.lower())) for name in wanted)
        return [Column(name, (item and item.asks) or _asks(name)) for name, item in asks]
    names = (one_line(item.name)[:_COLUMN] for item in given.values())
    own = [Column(name, given[name.lower()].asks or _asks(name)) for name in names if name]
    return own[:MOST_COLUMNS]
