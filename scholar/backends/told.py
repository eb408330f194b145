"""How asking a model ended, as a run remembers it: with a reply, or with an error."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from scholar.backends import Request
from scholar.errors import BudgetSpent, ModelError, ReplayDiffers, error_named
from scholar.events import FellBack
from scholar.journal.record import Record, key_of
from scholar.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Told:
    """`text` is the reply, or the sentence of the `error` that is named. `passed` are the models
    that another stood in for.
    """

    text: str
    error: str = ""
    passed: tuple[FellBack, ...] = ()


_FORM = TypeAdapter(Told)


def told_key(moment: str, prompt: Prompt, request: Request, model: str | None) -> str:
    """The key of a request at a `moment` of a run, whichever model of a role's chain answers it."""
    return key_of("reply", moment, prompt.name, prompt.version, request, model)


def told_before(record: Record, key: str, prompt: Prompt) -> Told | None:
    """What a run was told when it asked the same before, or None where it has to ask.

    An error is worth asking again, unless the run is only played again. Raises ReplayDiffers where
    that run never asked this, and the error that it met.
    """
    known = record.told(key)
    told = None if known is None else _FORM.validate_json(known)
    if not record.replaying:
        return None if told is None or told.error else told
    if told is None:
        raise ReplayDiffers(f"the prompt {prompt.name} asks what the run had not asked")
    if told.error:
        raise error_named(told.error, told.text)
    return told


async def keep_told(record: Record, key: str, told: Told) -> None:
    """Remember how asking ended."""
    await record.keep(key, _FORM.dump_json(told).decode())


def ended_in(error: ModelError | BudgetSpent, passed: list[FellBack]) -> Told:
    """What to remember of an error."""
    return Told(str(error), type(error).__name__, tuple(passed))
