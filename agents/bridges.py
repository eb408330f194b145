"""Bridges from a topic to concepts that are remote from it, for ideas that leap.

In an enriched library a bridge is a path of stored facts; else it is a concept of a card, or the
matter of a paper, that is only weakly related to the topic. No model takes part.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from scholar import tools
from scholar.agents import lookup
from scholar.agents.evidence import TITLE
from scholar.agents.likeness import likenesses
from scholar.context import Context
from scholar.errors import ToolError
from scholar.library.spelling import fold
from scholar.state import Theme
from scholar.values import Citation, Fact, Paper

BRIDGES = 6
"""Bridges that one call is shown: two of three should bear a thought."""
BAND = (0.1, 0.5)
"""Between which parts of all concepts, the least related first, those to leap to are taken: the
very least related are those of another field's front matter, and half are no leap.
"""
MOST_CONCEPTS = 400
"""Concepts compared with the topic; embedding them takes a second or two."""
STEPS = (2, 3)
"""Facts in a row that join the topic to a remote concept, as the tool `paths` finds them."""
FEW, NEAREST = 30, 2
"""A library of fewer papers has too few that are not near the topic, so only the nearest are left
out.
"""
LOOKED_INTO = 3
"""Passages of a paper in which a sentence on its concept is looked up; each takes a tenth of a
second to embed.
"""
PATHS_TRIED = 12
"""Far ends to which a path is looked up; each is a walk over the graph."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A remote concept as the prompt shows it, and the quotes that a thought on it stands on."""

    id: str
    far: str
    title: str
    text: str
    roots: tuple[Citation, ...]


async def build(topic: str, theme: Theme, context: Context) -> list[Bridge]:
    """At most BRIDGES of them, those along facts before those to a mere concept."""
    facts = await context.library.facts()
    found = await _along_facts(topic, theme, facts, context) if facts else []
    if len(found) < BRIDGES:
        found += await _to_concepts(topic, theme, context, BRIDGES - len(found))
    return [
        Bridge(f"b{n}", bridge.far, bridge.title, bridge.text, bridge.roots)
        for n, bridge in enumerate(found[:BRIDGES], start=1)
    ]


async def _along_facts(
    topic: str, theme: Theme, facts: Sequence[Fact], context: Context
) -> list[Bridge]:
    """Paths of two or three facts from an entity of the topic to a concept unlike it."""
    spelled = {fold(name): name for fact in facts for name in (fact.subject, fact.object)}
    starts = [name for entity in theme.entities if (name := fold(entity)) in spelled]
    ends = _reached(facts, starts)
    order = await _weakly_related([spelled[name] for name in ends], topic, theme, context)
    found = []
    for far in order[:PATHS_TRIED]:
        start = ends[fold(far)]
        try:
            told = await tools.call("paths", {"start": spelled[start], "end": far}, context)
        except ToolError:  # switched off; concepts do without paths
            return []
        passages = await context.library.passages([hit.passage_id for hit in told.hits])
        path = told.text.splitlines()[0] if told.hits else ""
        roots = await lookup.sentences_for(path, passages, context, most=2)
        if path and roots:
            found.append(await _bridge(far, path, roots, context))
        if len(found) == BRIDGES:
            break
    return found


def _reached(facts: Iterable[Fact], starts: Sequence[str]) -> dict[str, str]:
    """The names that lie STEPS facts from one of `starts`, each with that start."""
    near: dict[str, set[str]] = {}
    for fact in facts:
        one, other = fold(fact.subject), fold(fact.object)
        near.setdefault(one, set()).add(other)
        near.setdefault(other, set()).add(one)
    found: dict[str, str] = {}
    for start in starts:
        seen, edge = {start}, {start}
        for step in range(1, STEPS[1] + 1):
            edge = {name for here in edge for name in near.get(here, ())} - seen - {""}
            seen |= edge
            if step >= STEPS[0]:
                for name in sorted(edge):
                    found.setdefault(name, start)
    return {name: start for name, start in found.items() if name not in starts}


async def _to_concepts(topic: str, theme: Theme, context: Context, most: int) -> list[Bridge]:
    """Concepts of cards, else the matters of papers, that are weakly related to the topic."""
    papers = await context.library.papers()
    near = theme.papers if len(papers) >= FEW else theme.papers[:NEAREST]
    others = [paper for paper in papers if paper.id not in near and paper.title]
    cards = await context.library.cards([paper.id for paper in others])
    named = {entity: card.paper_id for card in cards for entity in card.entities}
    concepts = named or {paper.title: paper.id for paper in others}
    by_id = {paper.id: paper for paper in others}
    order = await _weakly_related(list(concepts), topic, theme, context)
    found: list[Bridge] = []
    taken: set[str] = set()
    for concept in order:
        paper = by_id[concepts[concept]]
        if len(found) == most:
            break
        if paper.id not in taken and (bridge := await _of_paper(concept, paper, context)):
            taken.add(paper.id)
            found.append(bridge)
    return found


async def _weakly_related(
    concepts: Sequence[str], topic: str, theme: Theme, context: Context
) -> list[str]:
    """`concepts` in the order in which to leap to them: from the middle of BAND outwards, so that
    none is near the topic and none beyond all reach.
    """
    # Drawn by the topic, so that the same run leaps to the same concepts.
    if len(concepts) > MOST_CONCEPTS:
        concepts = random.Random(topic).sample(list(concepts), MOST_CONCEPTS)
    if not concepts:
        return []
    about = " ".join((topic, theme.problem, *theme.entities))
    likeness, _ = await likenesses([about, *concepts], context.library)
    to_topic = likeness[0, 1:]
    order = np.argsort(to_topic, kind="stable")
    low, high = (int(len(order) * share) for share in BAND)
    band = list(order[low : max(high, low + 1)])
    middle = len(band) // 2
    outwards = zip_longest(band[middle:], band[:middle][::-1])
    chosen = [int(n) for pair in outwards for n in pair if n is not None]
    rest = [int(n) for n in order if int(n) not in set(chosen)]
    return [concepts[n] for n in (*_apart(chosen, likeness[1:, 1:]), *rest)]


def _apart(chosen: Sequence[int], likeness: np.ndarray) -> list[int]:
    """`chosen` with those first that are not like one before them, so that leaps differ."""
    first: list[int] = []
    for n in chosen:
        if all(likeness[n, m] < 0.5 for m in first):
            first.append(n)
    return [*first, *(n for n in chosen if n not in first)]


async def _of_paper(concept: str, paper: Paper, context: Context) -> Bridge | None:
    passages = await lookup.best_of(paper, concept, context, LOOKED_INTO)
    roots = await lookup.sentences_for(concept, passages, context, most=1)
    if not roots:
        return None
    return await _bridge(concept, "", roots, context)


async def _bridge(far: str, path: str, roots: Sequence[Citation], context: Context) -> Bridge:
    titles = [paper.title[:TITLE] for paper in await context.library.papers([roots[0].paper_id])]
    text = "\n".join((*([f"Facts: {path}"] if path else []), *(root.quote for root in roots)))
    return Bridge("", far[:TITLE], titles[0] if titles else "", text, tuple(roots))
