"""What a model and its server can do, found out by asking once, never by the model's name."""

from __future__ import annotations

import time
from dataclasses import dataclass

from scholar import prompts
from scholar.backends.facts import Facts
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.schema import Reply
from scholar.errors import ModelError, ModelUnavailable, ReplyInvalid

SEED = 7


class _Words(Reply):
    colour: str
    days: int


class _Hello(Reply):
    ok: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a probe found. `json_schema` says that replies are held to a schema by the server;
    without, the schema stands in the prompt. `dialect` is how the server is asked, "chat" or
    "responses", None where there is no choice. `error` is why there was no usable answer.
    """

    model: str
    answers: bool
    seconds: float = 0.0
    json_schema: bool = False
    usage: bool = False
    seed: bool = False
    dialect: str | None = None
    error: str = ""


async def probe(gateway: Gateway, model_id: str, shown: str, ledger: Ledger) -> Found:
    """Ask the model `model_id`, known as `shown`, and keep what its server can do.

    The prompt asks for prose and the schema for JSON: a server that takes the schema and does not
    hold to it is found out by its prose, and asked once more with the schema in the prompt.
    Responses are tried first, where there is a choice, and taken where they are no worse than chat
    completions. Raises SettingsError as `open_backend` does.
    """
    gateway.forget(model_id)
    trial = _Trial(gateway, model_id, shown, ledger)
    try:
        if not gateway.learns(model_id):
            return await trial.run()
        return await _better_dialect(trial)
    except ModelError as error:
        return Found(shown, answers=False, error=str(error))


@dataclass(frozen=True, slots=True)
class _Trial:
    """Asks one model, in one dialect or the other."""

    gateway: Gateway
    model_id: str
    shown: str
    ledger: Ledger

    async def run(self, responses: bool | None = None) -> Found:
        """What the server can do, by responses or else as it comes; raises ModelError.

        Of a server that could not be asked nothing is known afterwards. One whose model cannot
        answer, not even without a schema, has shown all the same that it minds none.
        """
        known = False
        try:
            self._begin(responses)
            found = await self._found()
            known = True
        except ReplyInvalid:
            known = not responses
            raise
        finally:
            if not known:
                self._begin()
        return found

    def _begin(self, responses: bool | None = None) -> None:
        pace = self.gateway.facts(self.model_id).pace
        self.gateway.note(self.model_id, Facts(pace=pace, responses=responses))

    async def _found(self) -> Found:
        before = len(self.ledger.calls)
        try:
            await self._ask("probe", _Words)
        except ReplyInvalid:
            self._note(ignored=True)
            await self._ask("hello", _Hello)
        whole = [call for call in self.ledger.calls[before:] if not call.failed]
        facts = self._note(ignored=len(whole) > 1, usage=not whole[-1].estimated)
        return Found(
            model=self.shown,
            answers=True,
            seconds=whole[0].seconds,
            json_schema=facts.json_schema is True,
            usage=facts.usage is True,
            seed=facts.seed is True,
            dialect=facts.dialect if self.gateway.learns(self.model_id) else None,
        )

    async def _ask(self, prompt: str, reply: type[Reply]) -> None:
        asked = prompts.render(prompt)
        await self.gateway.ask(
            asked, reply, ledger=self.ledger, model=self.model_id, seed=SEED, fresh=True
        )

    def _note(self, *, ignored: bool, usage: bool | None = None) -> Facts:
        """Keep what was found; `ignored` says that the server took the schema for nothing."""
        facts = self.gateway.facts(self.model_id)
        if ignored:
            refused = facts.refused | {facts.schema_parameter}
            facts = facts.model_copy(update={"refused": refused})
        seed = not facts.responses and "seed" not in facts.refused
        found = {"usage": usage, "seed": seed, "checked": time.time()}
        facts = facts.model_copy(update={**found, "responses": facts.responses is True})
        self.gateway.note(self.model_id, facts)
        return facts


async def _better_dialect(trial: _Trial) -> Found:
    by_responses = await _found_by_responses(trial)
    if by_responses and (by_responses.dialect != "responses" or _worth(by_responses) == _MOST):
        return by_responses
    known = trial.gateway.facts(trial.model_id)
    try:
        by_chat = await trial.run()
    except ModelError:
        if by_responses is None:
            raise
        by_chat = by_responses
    if by_responses is None or _worth(by_chat) > _worth(by_responses):
        return by_chat
    trial.gateway.note(trial.model_id, known)
    return by_responses


async def _found_by_responses(trial: _Trial) -> Found | None:
    """What was found by responses, or by chat completions where the server has those alone.

    None where it did not work out, for whatever reason: the error of chat completions is the one
    to tell.
    """
    try:
        return await trial.run(responses=True)
    except ModelError as error:
        if isinstance(error, ModelUnavailable) and not error.reached:
            raise
    return None


_MOST = (True, True)


def _worth(found: Found) -> tuple[bool, bool]:
    return found.json_schema, found.usage
