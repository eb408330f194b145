"""Tools that bring papers from outside: a search on arXiv, and a paper read into the library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scholar.errors import SourceError, ToolError
from scholar.tools.shelf import named_by
from scholar.tools.tool import Brought, Permissions, Tool, argument
from scholar.values import Hit, Paper

if TYPE_CHECKING:
    from scholar.context import Context
    from scholar.library.ingest import Item, Result
    from scholar.sources import Record

FOUND = 5
"""Papers of one search on arXiv: a note has room for no more."""
LONGEST_QUERY = 200
"""Characters of a query that leaves this machine: enough for any, too few to carry much away."""
_ABSTRACT = 240
"""Characters of an abstract in a list of papers."""


async def _search(arguments: Mapping[str, str], context: Context, _: Permissions) -> Brought:
    from scholar.sources import Record, everything

    query = argument(arguments, "query")
    if len(query) > LONGEST_QUERY:
        raise ToolError(f"A query on arXiv may have {LONGEST_QUERY} characters; shorten it.")
    try:
        items = await everything(context.settings)["arxiv"].search(query, FOUND)
    except SourceError as error:
        raise ToolError(str(error)) from None
    records = [item for item in items if isinstance(item, Record)]
    return Brought(text="\n".join(map(_line, records)) or "arXiv has nothing for this query.")


def _line(record: Record) -> str:
    paper = record.paper
    year = f" ({paper.year})" if paper.year else ""
    return f"{paper.id}{paper.version}: {paper.title}{year}. {record.abstract[:_ABSTRACT]}"


async def _fetch(arguments: Mapping[str, str], context: Context, _: Permissions) -> Brought:
    """Read one paper into the library, and bring the passages of it that fit `query`.

    It is named by an id, never by a file or an address, which a hostile text could choose.
    """
    names = named_by(argument(arguments, "paper"))
    if not names:
        raise ToolError("A paper is fetched by its DOI, arXiv or PubMed id; give one of these.")
    result = await _added(names[0], context)
    if result.paper is None or result.status == "failed":
        raise ToolError(f"The paper could not be fetched: {result.detail}")
    query = arguments.get("query", "").strip() or result.paper.title
    hits = await passages_for(query, result.paper, context)
    new = (result.paper.id,) if result.status == "added" else ()
    return Brought(hits, _said(result), new)


async def _added(name: str, context: Context) -> Result:
    from scholar.library.ingest import Result, expand, ingest

    known = await context.services.library.find(name)
    if known and known.holds == "full":
        return Result(name, "present", known)
    # Only what a service describes goes on: a file that is called like an id is none.
    expanded = await expand(context.services.library, [name], context.settings)
    items = [item for item in expanded if not _is_on_this_machine(item)][:1]
    results = [result async for result in ingest(context.services.library, items, context.settings)]
    return results[0] if results else Result(name, "failed", None, "No service knows it.")


def _is_on_this_machine(item: Item) -> bool:
    from scholar.sources import Record

    return isinstance(item, Path) or (isinstance(item, Record) and bool(item.files))


def _said(result: Result) -> str:
    paper = result.paper
    held = f"{paper.id}: {paper.title}" if paper else ""
    is_new = "was added to the library" if result.status == "added" else "is in the library"
    return f"{held} {is_new}. {result.detail}".strip()


async def passages_for(query: str, paper: Paper, context: Context) -> tuple[Hit, ...]:
    """The passages of `paper` with the sentences that fit `query` best, as many as a step reads."""
    passages = await context.services.library.passages_of(paper.id)
    best = await context.services.library.extract(query, passages, context.k * 4)
    scores: dict[str, float] = {}
    for found in best:
        scores.setdefault(found.passage.id, found.score)
    for passage in passages:
        scores.setdefault(passage.id, 0.0)
    first = list(scores.items())[: context.k]
    return tuple(Hit(id, paper.id, {"fused": score}) for id, score in first)


TOOLS = (
    Tool(
        "search_arxiv",
        "papers on arXiv that fit a query, by id; they are read with fetch_paper",
        ("query",),
        frozenset({"network"}),
        _search,
    ),
    Tool(
        "fetch_paper",
        "reads a paper into the library, by its DOI or arXiv id, and brings what fits the query",
        ("paper", "query"),
        frozenset({"network", "writes library"}),
        _fetch,
    ),
)
