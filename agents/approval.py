"""What a person says of the plan before anything is searched for. No model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scholar.context import Context
from scholar.events import Planned
from scholar.state import Failure, State, Update
from scholar.values import Inquiry, Outcome, Step

MOST_STEPS = 12
"""Steps that a person may ask for: twice as many as any preset plans at once."""
STOPPED = "The plan was not approved, so nothing was searched; ask again, or edit the plan."


async def approve(state: State, context: Context, estimate: dict[str, Any]) -> Update:
    """Go on with the plan as it is, as a person has edited it, or not at all.

    The person's reply is True, False, or the questions to search for instead, one step each.
    """
    steps = [step for step in state["steps"] if step.status == "open"]
    detail = {"steps": [step.question for step in steps], "estimate": estimate}
    reply = await context.consult(Inquiry("plan", f"Search for: {_said(steps)}", detail))
    if reply is True:
        return {}
    questions = [text for each in reply if (text := str(each).strip())] if reply else []
    if not questions:
        return {"failure": Failure(Outcome.CANCELLED, STOPPED)}
    edited = _edited(state["steps"], questions[:MOST_STEPS])
    context.emit(Planned(tuple(step for step in edited if step.status == "open")))
    return {"steps": edited}


def _said(steps: list[Step]) -> str:
    return "; ".join(f"{n}. {step.question}" for n, step in enumerate(steps, start=1))


def _edited(steps: list[Step], questions: list[str]) -> list[Step]:
    """`steps` with those that are open replaced by a search for each of `questions`, where it is
    not one that was planned.
    """
    planned = {step.question: step for step in steps if step.status == "open"}
    rest = [step for step in steps if step.status not in ("open", "waiting")]
    taken = {step.id for step in steps}
    ids = (name for n in range(1, 1_000) if (name := f"s{n}") not in taken)
    wanted = [planned.get(text) or Step(next(ids), text, text) for text in questions]
    return [*rest, *(replace(step, parents=()) for step in wanted)]
