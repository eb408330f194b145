"""Tools over the facts of an enriched library: those about an entity, and paths between two.

As in Graph-Constrained Reasoning (Luo et al. 2025), a path is built from stored facts alone, so one
that is not in the graph cannot be named; unlike there, the graph is searched instead of decoded.
"""

from __future__ import annotations

import difflib
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
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
_NEAREST = 3
Path = tuple[Fact, ...]


async def _facts(arguments: Mapping[str, str], context: Context, _: Permissions) -> Brought:
    graph = _Graph(await context.services.library.facts())
    found = graph.about[graph.name(argument(arguments, "entity"))][:FACTS]
    return Brought(await _hits(found, context), "\n".join(map(_said, found)))


async def _paths(arguments: Mapping[str, str], context: Context, _: Permissions) -> Brought:
    graph = _Graph(await context.services.library.facts())
    start, end = (graph.name(argument(arguments, key)) for key in ("start", "end"))
    paths = graph.paths(start, end)
    if not paths:
        return Brought(text=f"No path of at most {LONGEST} facts joins them.")
    told = "\n".join("; ".join(map(_said, path)) for path in paths)
    return Brought(await _hits([fact for path in paths for fact in path], context), told)


class _Graph:
    """Facts by the folded names that they join."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        from scholar.library.knowledge import fold

        self._fold = fold
        self.about: dict[str, list[Fact]] = defaultdict(list)
        for fact in facts:
            for name in {fold(fact.subject), fold(fact.object)} - {""}:
                self.about[name].append(fact)

    def name(self, spelled: str) -> str:
        """The name in the graph that is `spelled` so; raises ToolError with the nearest ones."""
        if not self.about:
            raise ToolError("The library has no facts yet; make them with scholar enrich.")
        name = self._fold(spelled)
        if name in self.about:
            return name
        near = difflib.get_close_matches(name, self.about, _NEAREST)
        hint = f"the nearest are {', '.join(near)}" if near else "nothing is near"
        raise ToolError(f"No fact is about '{spelled}'; {hint}. Name an entity that is there.")

    def paths(self, start: str, end: str) -> list[Path]:
        """At most PATHS ways from one name to another, the shortest first; no name twice."""
        found: list[Path] = []
        waiting: deque[tuple[str, Path, frozenset[str]]] = deque([(start, (), frozenset({start}))])
        followed = 0
        while waiting and len(found) < PATHS and followed < LOOKED_AT:
            here, path, passed = waiting.popleft()
            for fact in self.about[here]:
                followed += 1
                there = self._other_end(fact, here)
                if there == end and here != end:
                    found.append((*path, fact))
                elif there not in passed and len(path) + 1 < LONGEST:
                    waiting.append((there, (*path, fact), passed | {there}))
        return found[:PATHS]

    def _other_end(self, fact: Fact, here: str) -> str:
        subject = self._fold(fact.subject)
        return self._fold(fact.object) if subject == here else subject


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
