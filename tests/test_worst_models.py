"""The worst models there are, each with every preset: a run ends within its bounds, says rightly
how, and shows nothing that does not stand in the store.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from minds import Mind, Said, Seen, honest
from office import OpenDesk
from papers import QUESTION, faults

from scholar.backends.gateway import REPAIRS
from scholar.settings import load_presets
from scholar.values import Answer, Outcome

pytestmark = pytest.mark.slow  # not one of them, but all together

PRESETS = [name for name in load_presets() if name != "review"]
"""Those that answer questions."""
INVENTED = "Graph walks were invented on Mars in 1871 by red rovers of great patience."
"""In no paper of the shelf."""


def invents(seen: Seen) -> Said:
    """Quotes what no paper says, and cites what was never quoted."""
    quote = {"passage": "p1", "quote": INVENTED}
    match seen.call:
        case "reader":
            step = seen.steps[0] if seen.steps else "s1"
            more = {"step": step, "helps": "answers", "says": "on Mars"}
            return {"quotes": [{**quote, **more}, *_of(honest(seen), "quotes")]}
        case "writer":
            cited = [{"text": INVENTED, "evidence": [f"e{n}" for n in range(90, 99)]}]
            return _draft(cited, [{"about": "Mars", "sides": cited * 2}])
        case "answer":
            quoted = [{"text": INVENTED, "quotes": [quote, {**quote, "passage": "p99"}]}]
            return _draft(quoted, [{"about": "Mars", "sides": quoted * 2}])
        case _:
            return honest(seen)


def never_finishes() -> Mind:
    """Always has another question, another tool to call, another objection, another wish."""
    numbers = itertools.count()

    def mind(seen: Seen) -> Said:
        n = next(numbers)
        step = {"question": f"What of walk {n}?", "query": f"graph walks {n}"}
        more = [step, {"question": f"And of link {n}?", "query": f"links entities {n}"}]
        match seen.call:
            case "chain":
                return {"steps": [{**one, "answer": ""} for one in more]}
            case "follow_up":
                return {"enough": False, "steps": more}
            case "graph":
                return {"steps": _waiting_for_each_other()}
            case "tool_step":
                return _tool(f"graph walks {n}")
            case "juror":
                return _vote(seen, "search_more", f"graph walks {n}")
            case "debate" if seen.juror == "critic":
                return {"objections": [f"Objection {n}."], "satisfied": False}
            case "debate":
                return {"answers": [{"objection": 1, "right": False, "why": f"No, {n}."}]}
            case _:
                return honest(seen)

    return mind


def loops(seen: Seen) -> Said:
    """Says the same for ever: the same steps, the same tool, the same wish."""
    step = {"question": QUESTION, "query": QUESTION}
    match seen.call:
        case "chain":
            return {"steps": [{**step, "answer": ""}] * 3}
        case "follow_up":
            return {"enough": False, "steps": [step] * 3}
        case "graph":
            return {"steps": _waiting_for_each_other()}
        case "tool_step":
            return _tool(QUESTION)
        case "juror":
            return _vote(seen, "search_more", QUESTION)
        case "debate" if seen.juror == "critic":
            return {"objections": ["Again."], "satisfied": False}
        case "debate":
            return {"answers": [{"objection": 1, "right": False, "why": "No."}]}
        case _:
            return honest(seen)


def rejects(seen: Seen) -> Said:
    """Is content with nothing."""
    match seen.call:
        case "juror":
            return _vote(seen, "revise", "", "Never good enough.")
        case "debate" if seen.juror == "critic":
            return {"objections": ["Never good enough."], "satisfied": False}
        case _:
            return honest(seen)


def accepts(seen: Seen) -> Said:
    """Accepts every draft, and its writer claims a figure that no quote has."""
    said = honest(seen)
    if seen.call not in ("writer", "answer"):
        return said
    boast = {**_of(said, "sentences")[0], "text": "Graph walks gain 99.9 points everywhere."}
    return {**said, "sentences": [boast, *_of(said, "sentences")]}


WORST: dict[str, tuple[Callable[[], Mind], Outcome]] = {
    "invents citations": (lambda: invents, Outcome.PARTIAL),
    "never finishes": (never_finishes, Outcome.PARTIAL),
    "loops": (lambda: loops, Outcome.PARTIAL),
    "always accepts": (lambda: accepts, Outcome.ANSWERED),
    "always rejects": (lambda: rejects, Outcome.PARTIAL),
    "is off the schema": (lambda: lambda _: {"verdict": 7}, Outcome.MODEL_FAILED),
    "is silent": (lambda: lambda _: "", Outcome.MODEL_FAILED),
}
EXCEPTIONS = {
    # Nothing stands, and there is no quote beside the invented ones that the reader kept.
    ("invents citations", "fast"): Outcome.NO_EVIDENCE,
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", WORST)
async def test_every_preset_ends_rightly_with_the_worst_models(
    desk: OpenDesk, name: str, preset: str
) -> None:
    mind, outcome = WORST[name]
    at = desk(mind())
    answer = await at.scholar.ask(QUESTION, preset=preset)
    assert answer.outcome is EXCEPTIONS.get((name, preset), outcome)
    assert not faults(answer)
    assert not _shown(answer) & {INVENTED, "Graph walks gain 99.9 points everywhere."}
    most = at.scholar.estimate(QUESTION, preset=preset).calls[1]
    assert len(at.calls) <= most * (1 + REPAIRS)


def _shown(answer: Answer) -> set[str]:
    sides = [side for conflict in answer.conflicts for side in conflict.sides]
    return {sentence.text for sentence in (*answer.sentences, *sides)}


def _of(said: Said, key: str) -> list[Any]:
    assert isinstance(said, dict)
    return list(said[key])


def _draft(sentences: list[dict[str, Any]], conflicts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"sentences": sentences, "conflicts": conflicts, "missing": ""}


def _tool(query: str) -> dict[str, Any]:
    arguments = [{"name": "query", "value": query}]
    return {"reason": "More.", "tool": "search_library", "arguments": arguments, "question": query}


def _vote(seen: Seen, action: str, query: str, *reasons: str) -> dict[str, Any]:
    return {"reasons": list(reasons or ("More.",)), "action": action, "query": query}


def _waiting_for_each_other() -> list[dict[str, Any]]:
    """A ring of steps, a step twice, and one that waits for a step there is not."""
    names = [("s1", "s3"), ("s2", "s1"), ("s3", "s2"), ("s1", "s1"), ("s4", "s9")]
    return [
        {
            "id": id,
            "op": "retrieve",
            "question": f"What of {id} after #{parent}?",
            "query": f"graph walks {id} #{parent}",
            "parents": [parent],
        }
        for id, parent in names
    ]
