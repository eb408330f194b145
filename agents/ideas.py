"""The idea generator: what ideas are wanted for, three routes to thoughts, and ideas made of them.

`theme → inspire ∥ brainstorm ∥ leap → integrate → work_out`; novelty, a person's choice and the
ranking follow in `novelty` and `choosing`. (Inspire and brainstorm: SciPIP, Wang et al. 2024,
section 3; leap: Zhong et al. 2024, and paths between remote concepts as in Buehler 2024.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from scholar import prompts
from scholar.agents import bridges, extractor, lookup
from scholar.agents.evidence import (
    TITLE,
    Chosen,
    Labelled,
    fitting,
    gather,
    in_turn,
    label,
    portions,
    room,
    titles_of,
)
from scholar.agents.likeness import distinct, parents_of
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ModelError, ModelRefused, ReplyInvalid
from scholar.events import Proposed, Seeded
from scholar.state import Failure, State, Theme, Update
from scholar.text import one_line, shortened
from scholar.values import Idea, IdeaRoute, Outcome, Passage, Seed

IDEAS = 6
"""Ideas where no number is named: what a person compares at a sitting."""
MOST_IDEAS = 8
"""Ideas of one run; more are several runs, and their ranking takes too many comparisons."""
PAPERS = 10
"""Papers read for inspiration, as in SciPIP."""
PASSAGES = 2
"""Passages of each: where it comes nearest to the problem, beside its beginning."""
PAPERS_A_CALL = 5
"""Papers of one call, so that its thoughts are not all on the first ones."""
THOUGHTS = 4
"""Thoughts of brainstorming and of leaping, as in SciPIP; inspiration has two for each paper."""
MOST_ENTITIES = 10
"""Entities of a topic, as in SciPIP's brainstorming."""
_TITLE = 120
"""Characters of the longest title of an idea."""
_ROUTES: tuple[IdeaRoute, ...] = get_args(IdeaRoute)[:3]


class _Theme(Reply):
    problem: Line
    entities: list[str]


class _Found(Reply):
    passage: str
    quote: str
    serves: Line


class _Inspired(Reply):
    found: list[_Found]


class _Brainstormed(Reply):
    ideas: list[Line]


class _Leap(Reply):
    bridge: str
    idea: Line


class _Leaps(Reply):
    leaps: list[_Leap]


class _Outline(Reply):
    title: str
    idea: str
    seeds: list[str]


class _Integrated(Reply):
    ideas: list[_Outline]


@dataclass(frozen=True, slots=True)
class ShownSeed:
    """A thought as the prompt shows it."""

    id: str
    route: IdeaRoute
    title: str
    text: str


async def theme(state: State, context: Context) -> Update:
    """Say what ideas are wanted for, and find papers to draw them from.

    Without a model there are no ideas, but the quotes that bear on the topic.
    """
    topic = state["question"]
    if not context.has_models:
        return await extractor.read_without_model(state, context)
    notes: list[str] = []
    problem = topic
    entities: tuple[str, ...] = ()
    try:
        reply = await context.ask(prompts.render("theme", question=topic), _Theme)
        problem = reply.problem or topic
        entities = _entities(reply.entities)
    except (ReplyInvalid, ModelRefused) as error:
        notes.append(f"The topic is taken as it stands: {error}")
    found = await context.library.inspirations(f"{topic} {problem}", entities, PAPERS)
    papers = tuple(candidate.paper_id for candidate in found)
    if not papers:
        notes.append("No paper of the library is near the topic, so none gave inspiration.")
    return {"theme": Theme(problem, entities, papers), "searched": [topic], "notes": notes}


def _entities(named: Iterable[str]) -> tuple[str, ...]:
    clean = (one_line(name)[:60] for name in named)
    return tuple(dict.fromkeys(name for name in clean if name))[:MOST_ENTITIES]


# The three routes


async def inspire(state: State, context: Context) -> Update:
    """What of papers could serve the problem: thoughts, each on a verified quote."""
    known = state["theme"]
    assert known is not None
    asked = {"question": state["question"], "problem": known.problem, "most": PAPERS}
    passages = await _passages_of(known, context)
    papers = list(dict.fromkeys(passage.paper_id for passage in passages))
    windows = [
        window
        for n in range(0, len(papers), PAPERS_A_CALL)
        for window in portions(
            await label(context, [p for p in passages if p.paper_id in papers[n:][:PAPERS_A_CALL]]),
            room(context, "inspire", **asked),
        )
    ]
    replies = await asyncio.gather(
        *(_inspired(window, asked, context) for window in windows), return_exceptions=True
    )
    seeds = [seed for reply in replies if isinstance(reply, list) for seed in reply]
    update = _brought("inspire", _two_of_each(seeds), context)
    read = [passage.id for passage in passages]
    return _unless_lost("inspire", {**update, "read": read}, replies)


async def _passages_of(known: Theme, context: Context) -> list[Passage]:
    """Of each paper its beginning and where it comes nearest to the problem."""
    query = " ".join((known.problem, *known.entities))
    chosen: list[Passage] = []
    for paper in await context.library.papers(list(known.papers)):
        first = (await context.library.passages_of(paper.id))[:1]
        near = await lookup.best_of(paper, query, context, PASSAGES)
        chosen += list({passage.id: passage for passage in (*first, *near)}.values())[:PASSAGES]
    return chosen


async def _inspired(
    window: Sequence[Labelled], asked: dict[str, Any], context: Context
) -> list[Seed]:
    prompt = prompts.render("inspire", passages=window, **asked)
    reply = await context.ask(prompt, _Inspired)
    chosen = [Chosen(item.passage, item.quote, says=item.serves) for item in reply.found]
    return [
        Seed("inspire", item.says, (lookup.cited(item),))
        for item in gather([], chosen, window)
        if item.says
    ]


def _two_of_each(seeds: Iterable[Seed]) -> list[Seed]:
    kept: list[Seed] = []
    for seed in seeds:
        papers = [known.roots[0].paper_id for known in kept]
        if papers.count(seed.roots[0].paper_id) < 2:
            kept.append(seed)
    return kept


async def brainstorm(state: State, context: Context) -> Update:
    """Thoughts from the topic and its entities alone, without papers."""
    known = state["theme"]
    assert known is not None
    asked: dict[str, Any] = {"problem": known.problem, "entities": known.entities}
    prompt = prompts.render("brainstorm", question=state["question"], most=THOUGHTS, **asked)
    [reply] = await asyncio.gather(context.ask(prompt, _Brainstormed), return_exceptions=True)
    thoughts = reply.ideas[:THOUGHTS] if isinstance(reply, _Brainstormed) else []
    seeds = [Seed("brainstorm", text) for text in thoughts if text]
    return _unless_lost("brainstorm", _brought("brainstorm", seeds, context), [reply])


async def leap(state: State, context: Context) -> Update:
    """Thoughts that join the problem to concepts remote from it, each on a quote of a paper."""
    known = state["theme"]
    assert known is not None
    built = {bridge.id: bridge for bridge in await bridges.build(state["question"], known, context)}
    if not built:
        note = "The library has no concept remote from the topic to leap to."
        return {"lost": ["leap"], "notes": [note]}
    asked = {"question": state["question"], "problem": known.problem, "most": THOUGHTS}
    space = room(context, "leap", **asked)
    prompt = prompts.render("leap", bridges=fitting(built.values(), space), **asked)
    [reply] = await asyncio.gather(context.ask(prompt, _Leaps), return_exceptions=True)
    leaps = reply.leaps[:THOUGHTS] if isinstance(reply, _Leaps) else []
    seeds = [
        Seed("leap", item.idea, built[item.bridge].roots)
        for item in leaps
        if item.bridge in built and item.idea
    ]
    return _unless_lost("leap", _brought("leap", seeds, context), [reply])


def _brought(route: IdeaRoute, seeds: list[Seed], context: Context) -> Update:
    context.emit(Seeded(route, len(seeds)))
    return {"seeds": seeds}


def _unless_lost(route: IdeaRoute, update: Update, replies: Sequence[object]) -> Update:
    """`update`, with a note where a model failed the route; raises what is no model's failure."""
    failed = [reply for reply in replies if isinstance(reply, BaseException)]
    for error in failed:
        if not isinstance(error, ModelError):
            raise error
    if failed:
        part = "" if update["seeds"] else "was lost"
        note = f"The route {route} {part or 'was lost in part'}: {failed[0]}"
        return {**update, "notes": [note], "lost": [route]}
    if not update["seeds"]:
        return {**update, "notes": [f"The route {route} brought nothing."], "lost": [route]}
    return update


# Ideas of their thoughts


async def integrate(state: State, context: Context) -> Update:
    """Make distinct ideas of the thoughts, at least one of each route that brought any.

    Where the model does not, the thoughts themselves are the ideas, the routes taking turns.
    """
    seeds = list(taking_turns(state.get("seeds", [])))
    if state.get("failure"):
        return {}
    if not seeds:
        outcome = Outcome.MODEL_FAILED if state.get("lost") else Outcome.NO_EVIDENCE
        message = "None of the three routes brought a thought; word the topic otherwise."
        return {"failure": Failure(outcome, message)}
    most = wanted(state)
    known = state["theme"]
    assert known is not None
    asked = {"question": state["question"], "problem": known.problem, "most": most}
    shown = await _shown(seeds, context)
    shown = fitting(shown, room(context, "integrate", **asked))
    notes: list[str] = []
    outlines: list[_Outline] = []
    try:
        prompt = prompts.render("integrate", seeds=shown, **asked)
        outlines = (await context.ask(prompt, _Integrated)).ideas
    except (ReplyInvalid, ModelRefused) as error:
        notes.append(f"The thoughts were not joined, so each idea is one of them: {error}")
    by_id = dict(zip((one.id for one in shown), seeds, strict=False))
    ideas = [idea for outline in outlines if (idea := _outlined(outline, by_id))]
    ideas, merged = await distinct(ideas or of_seeds(seeds, most), context.library)
    ideas = _of_every_route(ideas, seeds, most)
    ideas = [replace(idea, id=str(n)) for n, idea in enumerate(ideas, start=1)]
    context.emit(Proposed(tuple(idea.title for idea in ideas)))
    return {"ideas": ideas, "made": len(ideas), "notes": [*notes, *merged]}


def wanted(state: State) -> int:
    """How many ideas the run is to end with."""
    return state.get("new") or state.get("wanted") or IDEAS


async def _shown(seeds: Sequence[Seed], context: Context) -> list[ShownSeed]:
    titles = await titles_of(context.library, (r.paper_id for s in seeds for r in s.roots))
    return [
        ShownSeed(
            f"s{n}",
            seed.route,
            titles.get(seed.roots[0].paper_id, "")[:TITLE] if seed.roots else "",
            "\n".join((seed.text, *(f"({root.quote})" for root in seed.roots[:1]))),
        )
        for n, seed in enumerate(seeds, start=1)
    ]


def taking_turns(seeds: Iterable[Seed]) -> Iterator[Seed]:
    """The seeds, one of each route after another."""
    seeds = list(seeds)
    return in_turn([seed for seed in seeds if seed.route == route] for route in _ROUTES)


def _outlined(outline: _Outline, seeds: dict[str, Seed]) -> Idea | None:
    """An idea as it was outlined; its route is that of its first thought."""
    grew = [seeds[id] for id in dict.fromkeys(outline.seeds) if id in seeds][:3]
    summary = brief(outline.idea, SUMMARY)
    if not (summary and title_of(outline.title)):
        return None
    roots = tuple(dict.fromkeys(root for seed in grew for root in seed.roots))
    route: IdeaRoute = grew[0].route if grew else "brainstorm"
    return Idea("", title_of(outline.title), route, summary, parents=parents_of(roots), roots=roots)


SUMMARY = 700
"""Characters of the longest summary of an idea: a hundred words."""


def brief(text: str, most: int) -> str:
    """`text` on one line, cut at `most` characters."""
    return shortened(one_line(text), most)


def title_of(text: str) -> str:
    """`text` as the title of an idea."""
    return brief(text, _TITLE).rstrip(".")


def of_seeds(seeds: Iterable[Seed], most: int) -> list[Idea]:
    """The thoughts as ideas, the routes taking turns."""
    first = list(taking_turns(seeds))[:most]
    return [_of_seed(seed, str(n)) for n, seed in enumerate(first, start=1)]


def _of_seed(seed: Seed, id: str = "") -> Idea:
    title = title_of(brief(seed.text.split(". ")[0], 80))
    parents = parents_of(seed.roots)
    return Idea(id, title, seed.route, seed.text, parents=parents, roots=seed.roots)


def _of_every_route(ideas: Sequence[Idea], seeds: Sequence[Seed], most: int) -> list[Idea]:
    """At most `most` of `ideas`, with one of each route that brought a thought: where the model
    left a route out, its first thought takes the place of the last idea of the commonest route.
    """
    kept = list(ideas[:most])
    for route in _ROUTES:
        own = [seed for seed in seeds if seed.route == route]
        if not own or any(idea.route == route for idea in kept):
            continue
        later = [idea for idea in ideas[most:] if idea.route == route]
        if len(kept) >= most:
            routes = [idea.route for idea in kept]
            common = max(routes, key=routes.count)
            if routes.count(common) < 2:
                continue
            kept.pop(max(n for n, idea in enumerate(kept) if idea.route == common))
        kept.append(later[0] if later else _of_seed(own[0]))
    return kept
