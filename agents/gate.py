"""The gate: what the model believes before anything is read, and how sure it is of it."""

from __future__ import annotations

from typing import Literal

from scholar import prompts
from scholar.agents.planner import SURE, UNKNOWN
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ModelRefused, ReplyInvalid
from scholar.state import State, Update
from scholar.values import Prior

_SURENESS = {"high": SURE, "medium": 0.6, "low": 0.3}
_SURE, _UNSURE = "sure", "unsure"


class _Prior(Reply):
    answer: Line
    sure: Literal["high", "medium", "low"]


async def gate(state: State, context: Context) -> Update:
    """What the model believes before anything is read, where the preset wants to know.

    It steers how much is planned and is never evidence. A model that will not say believes nothing.
    """
    if not (context.preset.gate and context.has_models):
        return {}
    question = state["question"]
    try:
        reply = await context.ask(prompts.render("prior", question=question), _Prior)
    except (ReplyInvalid, ModelRefused) as error:
        return {"notes": [f"What the model believes beforehand is not known: {error}"]}
    answer = reply.answer.strip()
    if answer.lower().strip(" .") in UNKNOWN:
        return {"prior": Prior("", 0.0)}
    probed = await _probed(question, answer, context)
    return {"prior": Prior(answer, _SURENESS[reply.sure] if probed is None else probed)}


async def _probed(question: str, answer: str, context: Context) -> float | None:
    """How likely the model is to call itself sure rather than unsure of its answer; None where it
    does not tell, so that its word has to do. (R-Tuning's probe; Zhang et al. 2024, section 2.3.)
    """
    prompt = prompts.render("sure", question=question, answer=answer)
    try:
        likely = await context.classify(prompt, (_SURE, _UNSURE))
    except (ReplyInvalid, ModelRefused):
        return None
    return None if likely is None else likely[_SURE]
