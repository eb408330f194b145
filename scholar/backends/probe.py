"""What a model and its server can do, found out by asking once, never by the model's name."""

from __future__ import annotations

import time
from dataclasses import dataclass

from scholar import prompts
from scholar.backends.facts import Facts
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.schema import Reply
from scholar.errors import ModelError, ReplyInvalid

SEED = 7
SCHEMA = "response_format"
"""The parameter that carries a schema, as `Learner.refused` names it."""


class _Words(Reply):
    colour: str
    days: int


class _Hello(Reply):
    ok: bool


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
    hold to it is found out by its prose, and asked once more with the schema in the prompt. Raises
    SettingsError as `open_backend` does.
    """

    async def ask(prompt: str, reply: type[Reply]) -> None:
        asked = prompts.render(prompt)
        await gateway.ask(asked, reply, ledger=ledger, model=model_id, seed=SEED, fresh=True)

    gateway.forget(model_id)
    before = len(ledger.calls)
    try:
        try:
            await ask("probe", _Words)
        except ReplyInvalid:
            _note(gateway, model_id, ignored=True)
            await ask("hello", _Hello)
    except ModelError as error:
        return Found(shown, answers=False, error=str(error))
    whole = [call for call in ledger.calls[before:] if not call.failed]
    facts = _note(gateway, model_id, ignored=len(whole) > 1, usage=not whole[-1].estimated)
    held = SCHEMA not in facts.refused
    return Found(shown, True, whole[0].seconds, held, facts.usage is True, facts.seed is True)


def _note(gateway: Gateway, model_id: str, *, ignored: bool, usage: bool | None = None) -> Facts:
    """Keep what a probe has found; `ignored` says that the server took the schema for nothing."""
    facts = gateway.facts(model_id)
    facts = facts.model_copy(
        update={
            "refused": facts.refused | {SCHEMA} if ignored else facts.refused,
            "usage": usage,
            "seed": "seed" not in facts.refused,
            "checked": time.time(),
        }
    )
    gateway.note(model_id, facts)
    return facts
