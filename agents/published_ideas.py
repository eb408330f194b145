"""What is published of ideas: every quote checked once more, and how the run ended. No model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scholar.agents import ideas as generator
from scholar.agents.checks import stands
from scholar.agents.choosing import EDITABLE, is_known
from scholar.agents.likeness import parents_of
from scholar.context import Context
from scholar.state import State
from scholar.text import addresses, without_addresses
from scholar.values import Citation, Idea, Novelty, Outcome, Part, Passage


@dataclass(frozen=True, slots=True)
class Proposals:
    """The ideas of a run and the parts of its proposal, as they are published."""

    ideas: tuple[Idea, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def citations(self) -> list[Citation]:
        """All their quotes."""
        of_ideas = [citation for idea in self.ideas for citation in idea.citations]
        return of_ideas + [c for part in self.parts for s in part.statements for c in s.citations]


def drafted(state: State) -> list[Idea]:
    """The ideas as far as they are; of a run cut short before it had any, its thoughts."""
    if state.get("task") == "proposal":
        idea = state.get("idea")
        return [idea] if idea and state.get("proposal") else []
    if state.get("made"):
        return state["ideas"]
    return generator.of_seeds(state.get("seeds", []), generator.wanted(state))


async def checked(state: State, context: Context) -> Proposals:
    """What of the ideas stands: a quote that is not in the store goes, and with it the sentence
    that has no other, or the verdict `known` that rests on it.
    """
    found = Proposals(tuple(drafted(state)), tuple(state.get("proposal", [])))
    ids = list(dict.fromkeys(citation.passage_id for citation in found.citations))
    passages = {passage.id: passage for passage in await context.library.passages(ids)}
    known = addresses(state["question"])
    ideas = [_checked(idea, passages, known) for idea in found.ideas]
    return Proposals(_in_order(ideas), tuple(_parts(found.parts, passages, known)))


def _in_order(ideas: Iterable[Idea]) -> tuple[Idea, ...]:
    """The best first, where they were ranked."""
    return tuple(sorted(ideas, key=lambda i: i.standing.place if i.standing else 0))


def _standing_of(
    citations: Iterable[Citation], passages: Mapping[str, Passage]
) -> tuple[Citation, ...]:
    return tuple(citation for citation in citations if stands(citation, passages))


def _checked(idea: Idea, passages: Mapping[str, Passage], known: frozenset[str]) -> Idea:
    roots = _standing_of(idea.roots, passages)
    grounds = (
        replace(sentence, citations=_standing_of(sentence.citations, passages))
        for sentence in idea.grounds
    )
    written: dict[str, Any] = {n: without_addresses(getattr(idea, n), known) for n in EDITABLE}
    return replace(
        idea,
        roots=roots,
        parents=parents_of(roots),
        grounds=tuple(sentence for sentence in grounds if sentence.citations),
        novelty=_novelty(idea.novelty or _NOT_CHECKED, passages, known),
        **written,
    )


_NOT_CHECKED = Novelty("unchecked", why="The run ended before it was checked.")


def _novelty(novelty: Novelty, passages: Mapping[str, Passage], known: frozenset[str]) -> Novelty:
    kept = tuple(near for near in novelty.nearest if stands(near.citation, passages))
    if novelty.verdict in ("known", "incremental") and not kept:
        return replace(novelty, verdict="unchecked", nearest=(), why="Its quote no longer stands.")
    why = without_addresses(novelty.why, known)
    return replace(novelty, nearest=kept, why=why)


def _parts(
    parts: Iterable[Part], passages: Mapping[str, Passage], known: frozenset[str]
) -> Iterable[Part]:
    for part in parts:
        statements = [
            replace(statement, citations=cited, text=without_addresses(statement.text, known))
            for statement in part.statements
            if (cited := _standing_of(statement.citations, passages)) or not statement.citations
        ]
        if statements:
            yield replace(part, statements=tuple(statements))


def outcome(state: State, found: Proposals) -> Outcome:
    """How a run that has ideas ended: `answered` with as many as were asked for, each checked."""
    if failure := state.get("failure"):
        return failure.outcome
    if state.get("task") == "proposal":
        return Outcome.PARTIAL if state.get("lost") else Outcome.ANSWERED
    standing = [idea for idea in found.ideas if not (state.get("new") and is_known(idea))]
    asked = 1 if state.get("interactive") else generator.wanted(state)
    whole = len(standing) >= asked and not state.get("lost")
    unchecked = any(i.novelty is None or i.novelty.verdict == "unchecked" for i in found.ideas)
    return Outcome.ANSWERED if whole and not unchecked else Outcome.PARTIAL


def notes(state: State, found: Proposals) -> Sequence[str]:
    """What a reader must know beside the ideas: how many are missing, and that none is there."""
    if state.get("task") != "ideas" or state.get("interactive"):
        return ()
    asked = generator.wanted(state)
    if new := state.get("new"):
        standing = sum(not is_known(idea) for idea in found.ideas)
        said = f"{standing} of the {new} new ideas asked for were found"
        return (f"{said}; the others are known.",) if standing < new else ()
    short = len(found.ideas) < asked
    return (f"{len(found.ideas)} of the {asked} ideas asked for stand.",) if short else ()
