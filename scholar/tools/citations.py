"""Tools that follow citations: in the library's own bibliographies and, online, in services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from scholar.errors import SourceError
from scholar.tools.shelf import held, listed
from scholar.tools.tool import Brought, Permissions, Tool, argument
from scholar.values import Paper, Reference

if TYPE_CHECKING:
    from scholar.context import Context
    from scholar.sources import Record

SHOWN = 12
"""Works that are named: as many as a note has room for."""
_ENTRY = 200
"""Characters of one entry of a bibliography."""


async def _references(
    arguments: Mapping[str, str], context: Context, granted: Permissions
) -> Brought:
    paper = await held(argument(arguments, "paper"), context)
    inside = await context.services.library.cites(paper.id)
    printed = await context.services.library.references_of(paper.id)
    parts = [listed(inside[:SHOWN]), *map(_printed, printed[: SHOWN - len(inside[:SHOWN])])]
    if "network" in granted and not printed:
        parts += await _walked("references", paper, context)
    return _told(parts, "No reference of this paper is known.")


async def _citations(
    arguments: Mapping[str, str], context: Context, granted: Permissions
) -> Brought:
    paper = await held(argument(arguments, "paper"), context)
    inside = await context.services.library.cited_by(paper.id)
    parts = [listed(inside[:SHOWN])]
    if "network" in granted and len(inside) < SHOWN:
        parts += await _walked("citations", paper, context)
    return _told(parts, "Nobody is known to cite this paper.")


def _told(parts: Sequence[str], nothing: str) -> Brought:
    lines = [line for part in parts for line in part.splitlines() if line]
    return Brought(text="\n".join(dict.fromkeys(lines[: SHOWN + 1])) or nothing)


async def _walked(
    way: Literal["references", "citations"], paper: Paper, context: Context
) -> list[str]:
    """What the first service that knows of citations tells; that it cannot be asked is told too."""
    from scholar.sources import Record, Walks, everything

    problem = ""
    for service in everything(context.settings).values():
        if not isinstance(service, Walks):
            continue
        walk = service.references if way == "references" else service.citations
        try:
            found = [item for item in await walk(paper, SHOWN) if isinstance(item, Record)]
        except SourceError as error:
            problem = str(error)
            continue
        if found:
            return [_line(record) for record in found]
    return [problem]


def _line(record: Record) -> str:
    return listed([record.paper])


def _printed(reference: Reference) -> str:
    name = next((f"{k}:{v}" for k, v in reference.identifiers.items()), "")
    text = " ".join((reference.title or reference.text).split())[:_ENTRY]
    return f"{name or 'no id'}: {text}"


TOOLS = (
    Tool(
        "references",
        "what a paper of the library cites",
        ("paper",),
        frozenset({"reads library"}),
        _references,
        optional=frozenset({"network"}),
    ),
    Tool(
        "citations",
        "who cites a paper of the library",
        ("paper",),
        frozenset({"reads library"}),
        _citations,
        optional=frozenset({"network"}),
    ),
)
