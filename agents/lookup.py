"""What a search brings for an idea: passages near it, and sentences of them that may be quoted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from scholar.agents.evidence import TITLE, Shown, in_turn, titles_of
from scholar.context import Context
from scholar.library import Extract
from scholar.state import Update
from scholar.values import Citation, Evidence, Hit, Paper, Passage

DEPTH = 50
"""Passages that a search goes through for those of one paper, since it finds other papers' too."""


async def passages_near(
    queries: Sequence[str], context: Context, most: int
) -> tuple[list[Passage], list[Hit]]:
    """The passages that fit `queries` best, the queries taking turns, and the hits they were."""
    asked = list(dict.fromkeys(query for query in queries if query.strip()))
    rankings = await asyncio.gather(
        *(context.library.search(query, most, strategy=context.preset.search) for query in asked)
    )
    first: dict[str, Hit] = {}
    for hit in in_turn(rankings):
        first.setdefault(hit.passage_id, hit)
    hits = list(first.values())[:most]
    return await context.library.passages([hit.passage_id for hit in hits]), hits


async def best_of(paper: Paper, query: str, context: Context, most: int) -> list[Passage]:
    """The passages of `paper` that a search for `query` finds, else those it begins with."""
    passages = await context.library.passages_of(paper.id)
    if len(passages) <= most:
        return passages
    found = await found_in(paper, [query], passages, context)
    return list({p.id: p for p in (*found, *passages)}.values())[:most]


async def found_in(
    paper: Paper, queries: Iterable[str], passages: Iterable[Passage], context: Context
) -> list[Passage]:
    """Those of the `passages` of `paper` that searches find, the queries taking turns."""
    # With the paper's title in the query, its own passages come first.
    rankings = await asyncio.gather(
        *(context.library.search(f"{paper.title} {query}", DEPTH) for query in queries)
    )
    own = {passage.id: passage for passage in passages}
    found = dict.fromkeys(hit.passage_id for hit in in_turn(rankings))
    return [own[id] for id in found if id in own]


def looked_at(queries: Iterable[str], hits: Iterable[Hit]) -> Update:
    """What a node tells of its searches, for the account of what was looked at."""
    hits = list(hits)
    return {
        "searched": list(queries),
        "hits": hits,
        "read": [hit.passage_id for hit in hits],
    }


async def sentences_for(
    query: str, passages: Sequence[Passage], context: Context, most: int, per_paper: int = 2
) -> list[Citation]:
    """The sentences of `passages` that fit `query` best, at most `per_paper` of one paper."""
    found = await context.library.extract(query, passages, most * 3)
    kept: list[Citation] = []
    for extract in found:
        of_paper = sum(c.paper_id == extract.passage.paper_id for c in kept)
        if extract.score > 0 and of_paper < per_paper:
            kept.append(cited(extract))
    return kept[:most]


def cited(found: Extract | Evidence) -> Citation:
    """A sentence or a quote of the store as a citation."""
    if isinstance(found, Evidence):
        f = found
        return Citation(f.paper_id, f.passage_id, f.quote, f.start, f.end, f.page)
    passage = found.passage
    page = passage.page_at(found.start)
    return Citation(passage.paper_id, passage.id, found.text, found.start, found.end, page)


def offered(citations: Iterable[Citation]) -> dict[str, Citation]:
    """`citations` under the ids e1, e2, … by which a model cites them, each place once."""
    kept: list[Citation] = []
    for one in citations:
        if not any(
            one.passage_id == other.passage_id and one.start < other.end and other.start < one.end
            for other in kept
        ):
            kept.append(one)
    return {f"e{n}": citation for n, citation in enumerate(kept, start=1)}


async def shown(quotes: dict[str, Citation], context: Context) -> list[Shown]:
    """`quotes` as prompts show them, with the titles of their papers."""
    titles = await titles_of(context.library, (c.paper_id for c in quotes.values()))
    return [
        Shown(id, titles.get(citation.paper_id, "")[:TITLE], citation.quote)
        for id, citation in quotes.items()
    ]
