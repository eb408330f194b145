"""Novelty by search: whether the passages nearest to an idea, in full text, have it already.

Of each idea what it proposes and what it claims as new is searched for, in the library and, where
that is allowed, on arXiv, whose nearest papers are read into the library first. One call judges the
passages found; its quotes are checked in code, and a verdict without a quote that stands is none.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scholar import prompts, tools
from scholar.agents import lookup
from scholar.agents.checks import Stated, own_words
from scholar.agents.elaborator import told_of
from scholar.agents.evidence import Chosen, Labelled, fitting, gather, label, room
from scholar.agents.likeness import likenesses
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ToolError
from scholar.events import Placed
from scholar.state import State, Update
from scholar.values import Hit, Idea, IdeaNovelty, Nearest, Novelty

PASSAGES = 30
"""Passages that a judge is shown where the window has room: in twenty planted cases among 120 other
papers the passage sought was found as the 23rd at the latest, and in 17 of them within 16. A window
of 8,000 tokens has room for seven.
"""
QUOTED = 3
"""Passages quoted as the nearest."""
LISTED = 3
"""Works that a service lists for an idea and that were not read, told beside it."""
_FOUND = re.compile(r"^(?P<id>arxiv:\S+?)(?:v\d+)?: (?P<rest>.+)$", re.MULTILINE)
_LONGEST_QUERY = 200
_CLAUSE = re.compile(r"[.;,:]\s+(?:and\s+|then\s+)?|\s+and\s+")
_SHORTEST_CLAUSE = 20
MOST_CLAUSES = 8
"""Clauses of a method that are searched for by themselves."""


class _Near(Reply):
    passage: str
    quote: str
    same: Line
    differs: Line


class _Judged(Reply):
    nearest: list[_Near]
    verdict: Literal["new", "incremental", "known"]


@dataclass(frozen=True, slots=True)
class _Outside:
    """What arXiv brought: where it failed, which works it lists by idea, and what was added."""

    allowed: bool
    failed: dict[str, str]
    listed: dict[str, tuple[str, ...]]
    added: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


async def check(state: State, context: Context) -> Update:
    """Say of each idea whose novelty is not known yet whether prior work has it.

    What could not be searched or judged is `unchecked`, never new.
    """
    if state.get("failure"):
        return {}
    waiting = [idea for idea in state["ideas"] if idea.novelty is None]
    outside = await _outside(waiting, context)
    total = (await context.library.stats()).papers
    where = (f"library ({total} papers)", *(("arXiv",) if outside.allowed else ()))
    replies = await asyncio.gather(
        *(_check(idea, state["question"], where, outside, context) for idea in waiting),
        return_exceptions=True,
    )
    notes, failure = told_of(waiting, replies, "could not be checked for novelty")
    found: dict[str, Novelty] = {}
    hits: list[Hit] = []
    for idea, reply in zip(waiting, replies, strict=True):
        if isinstance(reply, BaseException):
            found[idea.id] = Novelty("unchecked", searched=where, why=str(reply))
        else:
            found[idea.id] = reply[0]
            hits += reply[1]
        context.emit(Placed(idea.title, found[idea.id].verdict))
    ideas = [replace(i, novelty=found.get(i.id, i.novelty)) for i in state["ideas"]]
    update: Update = {"ideas": ideas, "added": list(outside.added)}
    update |= {"notes": [*outside.notes, *notes]}
    update.update(lookup.looked_at([q for idea in waiting for q in idea.claims], hits))
    return update | {"failure": failure} if failure else update


async def _check(
    idea: Idea, topic: str, where: tuple[str, ...], outside: _Outside, context: Context
) -> tuple[Novelty, list[Hit]]:
    passages, hits = await lookup.passages_near(queries(idea), context, PASSAGES)
    if not passages:
        passages, hits = await lookup.passages_near([topic], context, PASSAGES)
    listed = outside.listed.get(idea.id, ())
    if not passages:
        why = "The search found no passage to compare it with."
        return Novelty("unchecked", (), where, why, listed), hits
    asked = {"title": idea.title, "text": _proposed(idea), "claims": idea.claims}
    shown = fitting(await label(context, passages), room(context, "novelty", **asked))
    reply = await context.ask(prompts.render("novelty", passages=shown, **asked), _Judged)
    nearest = _nearest(reply, shown, idea)
    verdict, why = _verdict(reply.verdict, nearest, outside.failed.get(idea.id, ""))
    if not nearest:
        near = await lookup.sentences_for(idea.text, passages, context, QUOTED, per_paper=1)
        nearest = [Nearest(citation) for citation in near]
    return Novelty(verdict, tuple(nearest), where, why, listed), hits


def queries(idea: Idea) -> list[str]:
    """What is searched for: what the idea claims as new and does, as a whole and clause by clause,
    since a paper that has it may have it in one sentence.
    """
    clauses = [clause.strip() for clause in _CLAUSE.split(idea.method or idea.summary)]
    long = [clause for clause in clauses if len(clause) >= _SHORTEST_CLAUSE]
    summary = f"{idea.title}. {idea.summary}"
    return [*idea.claims, idea.method, summary, *long[:MOST_CLAUSES]]


def _proposed(idea: Idea) -> str:
    return " ".join(
        filter(None, (idea.summary, idea.method if idea.method != idea.summary else ""))
    )


def _verdict(said: IdeaNovelty, nearest: Sequence[Nearest], failed: str) -> tuple[IdeaNovelty, str]:
    """The verdict that stands, and why it is not the one `said`."""
    if said != "new" and not nearest:
        return "unchecked", f"It was judged {said}, but no passage was quoted that says so."
    if said == "new" and failed:
        return "unchecked", f"Nothing in the library has it, but arXiv was not searched: {failed}"
    return said, ""


def _nearest(reply: _Judged, shown: Sequence[Labelled], idea: Idea) -> list[Nearest]:
    """The quotes that stand in the passages, with what was said of them as far as they carry it."""
    found: list[Nearest] = []
    titles = {item.passage.paper_id: item.title for item in shown}
    for near in reply.nearest[:QUOTED]:
        for item in gather([], [Chosen(near.passage, near.quote)], shown):
            stated = Stated.by(item.quote, titles[item.paper_id], idea.text, *idea.claims)
            same, differs = (own_words(text, stated) for text in (near.same, near.differs))
            if all(item.start != known.citation.start for known in found):
                found.append(Nearest(lookup.cited(item), same, differs))
    return found


# Outside


async def _outside(ideas: Sequence[Idea], context: Context) -> _Outside:
    """Search arXiv for each idea, where that is allowed, and read in what comes nearest."""
    settings = context.settings
    if not ideas or settings.offline or "search_arxiv" in settings.tools.off:
        return _Outside(False, {}, {})
    failed: dict[str, str] = {}
    found: dict[str, dict[str, str]] = {}
    for idea in ideas:  # one after another, as arXiv asks for
        try:
            brought = await tools.call("search_arxiv", {"query": _words(idea)}, context)
        except ToolError as error:
            failed[idea.id] = str(error)
            continue
        found[idea.id] = {m["id"]: m["rest"] for m in _FOUND.finditer(brought.text)}
    held = await context.library.find_all([id for one in found.values() for id in one])
    unread = {n: {k: v for k, v in one.items() if k not in held} for n, one in found.items()}
    added, notes = await _read_in(ideas, unread, context)
    listed = {
        n: tuple(f"{rest.split('. ')[0]} {id}" for id, rest in one.items() if id not in added)
        for n, one in unread.items()
    }
    if failed:
        notes.append(f"arXiv was not searched for {len(failed)} of {len(ideas)} ideas.")
    first = {n: works[:LISTED] for n, works in listed.items()}
    return _Outside(True, failed, first, tuple(added), tuple(notes))


async def _read_in(
    ideas: Sequence[Idea], unread: dict[str, dict[str, str]], context: Context
) -> tuple[list[str], list[str]]:
    """Read the works nearest to the ideas into the library, as many as a run may add."""
    order: list[tuple[float, str, Idea]] = []
    for idea in ideas:
        works = unread.get(idea.id, {})
        if works:
            likeness, _ = await likenesses([idea.text, *works.values()], context.library)
            order += [(-float(s), id, idea) for s, id in zip(likeness[0, 1:], works, strict=True)]
    added: list[str] = []
    notes: list[str] = []
    tried: set[str] = set()
    for _, id, idea in sorted(order, key=lambda work: work[:2]):
        if len(added) >= context.papers_left or len(tried) >= context.papers_left * 2:
            break
        if id in tried:
            continue
        tried.add(id)
        try:
            brought = await tools.call("fetch_paper", {"paper": id, "query": idea.title}, context)
            added += brought.added
        except ToolError as error:
            notes.append(f"{id} was not read: {error}")
    return added, notes


def _words(idea: Idea) -> str:
    """A query for arXiv: the words of the title, which is all that leaves this machine."""
    return " ".join(re.findall(r"\w+", idea.title))[:_LONGEST_QUERY]
