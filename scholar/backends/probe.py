"""What a model and its server can do, found out by asking once, never by the model's name."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from scholar import prompts
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.errors import ModelError

SEED = 7
SCHEMA = "response_format"
"""The parameter that carries a schema, as `Learner.refused` names it."""


class _Words(BaseModel):
    model_config = ConfigDict(extra="forbid")
    colour: str
    days: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a probe found. `json_schema` says that replies are held to a schema by the server;
    without, the schema stands in the prompt. `error` is why there was no usable answer.
    """

    model: str
    answers: bool
    seconds: float = 0.0
    json_schema: bool = False
    usage: bool = False
    seed: bool = False
    error: str = ""


async def probe(gateway: Gateway, model_id: str, shown: str, ledger: Ledger) -> Found:
    """Ask the model `model_id`, known as `shown`, and keep what its server can do.

    The prompt asks for prose and the schema for JSON: a server that takes the schema and does not
    hold to it is found out by its prose. Raises SettingsError as `open_backend` does.
    """
    gateway.forget(model_id)
    before = len(ledger.calls)
    try:
        await gateway.ask(
            prompts.render("probe"), _Words, ledger=ledger, model=model_id, seed=SEED, fresh=True
        )
    except ModelError as error:
        return Found(shown, answers=False, error=str(error))
    whole = [call for call in ledger.calls[before:] if not call.failed]
    facts = gateway.facts(model_id)
    held = len(whole) == 1 and SCHEMA not in facts.refused
    usage, seed = not whole[-1].estimated, "seed" not in facts.refused
    refused = facts.refused if held else facts.refused | {SCHEMA}
    gateway.note(
        model_id,
        facts.model_copy(
            update={"refused": refused, "usage": usage, "seed": seed, "checked": time.time()}
        ),
    )
    return Found(shown, True, whole[0].seconds, held, usage, seed)
