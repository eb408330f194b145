"""What a search brings for an idea: passages near it, and sentences of them that may be quoted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from scholar.agents.evidence import TITLE, Shown
from scholar.context import Context
from scholar.library import Extract
from scholar.state import Update
from scholar.values import Citation, Evidence, Hit, Passage

DEPTH = 8
"""Passages that each query of several brings."""


async def passages_near(
    queries: Sequence[str], context: Context, most: int
) -> tuple[list[Passage], list[Hit]]:
    """The passages that fit `queries` best, the queries taking turns, and the hits they were."""
    asked = list(dict.fromkeys(query for query in queries if query.strip()))
    rankings = await asyncio.gather(
        *(context.library.search(query, DEPTH, strategy=context.preset.search) for query in asked)
    )
    turns = (hit for row in zip_longest(*rankings) for hit in row if hit is not None)
    hits = list({hit.passage_id: hit for hit in reversed(list(turns))}.values())[::-1][:most]
    return await context.library.passages([hit.passage_id for hit in hits]), hits


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
    papers = await context.library.papers(list({c.paper_id for c in quotes.values()}))
    titles = {paper.id: paper.title[:TITLE] for paper in papers}
    return [
        Shown(id, titles.get(citation.paper_id, ""), citation.quote)
        for id, citation in quotes.items()
    ]
