"""Tools over the facts of an enriched library: those about an entity, and paths between two.

As in Graph-Constrained Reasoning (Luo et al. 2025), a path is built from stored facts alone, so one
that is not in the graph cannot be named; unlike there, the graph is searched instead of decoded.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scholar.errors import ToolError
from scholar.tools.tool import Brought, Permissions, Tool, argument
from scholar.values import Fact, Hit

if TYPE_CHECKING:
    from scholar.context import Context

FACTS = 20
"""Facts about an entity that are told: as many as a note has room for."""
LONGEST = 3
"""Facts in a row on a path: the paper's 2, and one more, since names are not always joined."""
PATHS = 5
"""Paths that are told, the shortest first."""
LOOKED_AT = 20_000
"""Facts followed in search of a path, so that a dense graph takes no longer than a second."""
AT_ONCE = 100
"""Names of which the facts are looked up together."""
_NEAREST = 3
Path = tuple[Fact, ...]


async def _facts(arguments: Mapping[str, str], context: Context, _: Permissions) -> Brought:
    about = _About(context)
    found = (await about.each([await about.name(argument(arguments, "entity"))]))[0][:FACTS]
    return Brought(await _hits(found, context), "\n".join(map(_said, found)))


async def _paths(arguments: Mapping[str, str], context: Context, _: Permissions) -> Brought:
    about = _About(context)
    start, end = [await about.name(argument(arguments, key)) for key in ("start", "end")]
    paths = await _between(about, start, end)
    if not paths:
        return Brought(text=f"No path of at most {LONGEST} facts joins them.")
    told = "\n".join("; ".join(map(_said, path)) for path in paths)
    return Brought(await _hits([fact for path in paths for fact in path], context), told)


class _About:
    """The facts about names, looked up as they are needed."""

    def __init__(self, context: Context) -> None:
        self._library = context.services.library
        self._known: dict[str, list[Fact]] = {}

    async def each(self, names: Sequence[str]) -> list[list[Fact]]:
        """The facts about each of `names`, which are folded."""
        unknown = [name for name in dict.fromkeys(names) if name not in self._known]
        if unknown:
            found = await self._library.facts_about(unknown)
            self._known |= {name: found.get(name, []) for name in unknown}
        return [self._known[name] for name in names]

    async def name(self, spelled: str) -> str:
        """The name in the library that is `spelled` so; raises ToolError with the nearest ones."""
        name = _fold(spelled)
        if (await self.each([name]))[0]:
            return name
        known = await self._library.names()
        if not known:
            raise ToolError("The library has no facts yet; make them with scholar enrich.")
        near = difflib.get_close_matches(name, known, _NEAREST)
        hint = f"the nearest are {', '.join(near)}" if near else "nothing is near"
        raise ToolError(f"No fact is about '{spelled}'; {hint}. Name an entity that is there.")


async def _between(about: _About, start: str, end: str) -> list[Path]:
    """At most PATHS ways from one name to another, the shortest first; no name twice."""
    found: list[Path] = []
    reached: list[tuple[str, Path]] = [(start, ())]
    followed = 0
    while reached and followed < LOOKED_AT:
        further: list[tuple[str, Path]] = []
        for at in range(0, len(reached), AT_ONCE):
            some = reached[at : at + AT_ONCE]
            facts = await about.each([name for name, _ in some])
            for (here, path), stated in zip(some, facts, strict=True):
                followed += len(stated)
                for fact in stated:
                    there = _other_end(fact, here)
                    if there == end and here != end:
                        found.append((*path, fact))
                    elif len(path) + 1 < LONGEST and there not in _passed(start, path):
                        further.append((there, (*path, fact)))
                if len(found) >= PATHS or followed >= LOOKED_AT:
                    return found[:PATHS]
        reached = further
    return found[:PATHS]


def _other_end(fact: Fact, here: str) -> str:
    subject = _fold(fact.subject)
    return _fold(fact.object) if subject == here else subject


def _passed(start: str, path: Path) -> frozenset[str]:
    return frozenset(
        {start, *(_fold(name) for fact in path for name in (fact.subject, fact.object))}
    )


def _fold(name: str) -> str:
    from scholar.library.spelling import fold  # the library's database loads with it

    return fold(name)


def _said(fact: Fact) -> str:
    return f"{fact.subject} — {fact.relation} — {fact.object}"


async def _hits(facts: Sequence[Fact], context: Context) -> tuple[Hit, ...]:
    """The passages that state `facts`, in their order, as many as a step reads."""
    ids = list(dict.fromkeys(id for fact in facts for id in fact.passages))[: context.k]
    passages = await context.services.library.passages(ids)
    return tuple(Hit(passage.id, passage.paper_id, {"fused": 1.0}) for passage in passages)


TOOLS = (
    Tool(
        "facts",
        "what the papers state about an entity, as triples",
        ("entity",),
        frozenset({"reads library"}),
        _facts,
    ),
    Tool(
        "paths",
        "how facts of the papers join two entities",
        ("start", "end"),
        frozenset({"reads library"}),
        _paths,
    ),
)
