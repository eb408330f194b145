"""Tools over the library itself: what it holds for a query, and what stands near a paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from scholar.errors import ToolError
from scholar.tools.tool import Brought, Permissions, Tool, argument
from scholar.values import Hit, Paper

if TYPE_CHECKING:
    from scholar.context import Context

RELATED = 8
"""Papers that are named as related: as many as a note has room for."""
_TITLE = 160
"""Characters of a title in a list, which no honest title of a paper exceeds by much."""


async def _search(arguments: Mapping[str, str], context: Context, _: Permissions) -> Brought:
    query = argument(arguments, "query")
    hits = await context.library.search(query, context.k, strategy=context.preset.search)
    return Brought(tuple(hits))


async def _related(arguments: Mapping[str, str], context: Context, _: Permissions) -> Brought:
    paper = await held(argument(arguments, "paper"), context)
    hits = await context.services.library.search(paper.title, context.k * RELATED)
    best = _best_of_each(hit for hit in hits if hit.paper_id != paper.id)[:RELATED]
    near = await context.services.library.papers([hit.paper_id for hit in best])
    library = context.services.library
    linked = await library.cites(paper.id) + await library.cited_by(paper.id)
    both = list({each.id: each for each in (*linked, *near)}.values())[:RELATED]
    return Brought(tuple(best[: context.k]), listed(both) or "No related paper is in the library.")


def _best_of_each(hits: Iterable[Hit]) -> list[Hit]:
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.paper_id, hit)
    return list(best.values())


async def held(key: str, context: Context) -> Paper:
    """The paper of the library that `key` names, by an id or its title; raises ToolError."""
    for name in (key, *named_by(key)):
        if paper := await context.services.library.find(name):
            return paper
    hits = await context.services.library.search(key, 1)
    found = await context.services.library.papers([hit.paper_id for hit in hits])
    if found and _letters(found[0].title) == _letters(key):
        return found[0]
    raise ToolError(f"The library has no paper '{key[:_TITLE]}'; name it by its id or full title.")


def named_by(text: str) -> list[str]:
    """The keys under which the library may know the work that `text` names by an id."""
    from scholar.sources import identify
    from scholar.sources.names import parse_id

    name = identify(text)
    if name is None:
        return []
    scheme, value = name
    arxiv = parse_id(value) if scheme == "arxiv" else None
    return [f"{scheme}:{arxiv[0] if arxiv else value}"]


def listed(papers: Sequence[Paper]) -> str:
    """The papers, one per line, each by its id, title and year."""
    return "\n".join(
        f"{paper.id}: {paper.title[:_TITLE]}{f' ({paper.year})' if paper.year else ''}"
        for paper in papers
    )


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


TOOLS = (
    Tool(
        "search_library",
        "passages of the user's own papers that fit a query",
        ("query",),
        frozenset({"reads library"}),
        _search,
    ),
    Tool(
        "related_papers",
        "papers of the library that are near to one of them",
        ("paper",),
        frozenset({"reads library"}),
        _related,
    ),
)
