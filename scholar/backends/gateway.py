"""The one door to every model: role, budget, slots, retries, validation and repair, the ledger."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from scholar.backends import (
    Backend,
    Message,
    Request,
    SchemaUnsupported,
    TokenCount,
    open_backend,
    split_model_id,
)
from scholar.backends.ledger import Ledger
from scholar.backends.schema import strict_schema
from scholar.errors import ModelUnavailable, ReplyInvalid, SettingsError
from scholar.events import Called, Event, Retrying
from scholar.prompts import Prompt
from scholar.settings import Role, Settings
from scholar.values import Call

T = TypeVar("T", bound=BaseModel)

ATTEMPTS = 3
"""Tries of one request: a hiccup is got over, an outage is reported within half a minute."""
REPAIRS = 2
"""Times a model is shown what is wrong with its reply."""
PATIENCE = 60.0
"""Seconds a server may ask us to wait; beyond, a person would rather know."""
REPLY_TOKENS = 8_000
"""The longest reply asked for: a full draft with its quotes, and a model's reasoning before it."""

_BACKOFF = wait_random_exponential(multiplier=1, min=0.5, max=8)
_CHARS_PER_TOKEN = 4
_SHOWN_REPLY = 4_000
_SHOWN_ERRORS = 5


@dataclass(frozen=True, slots=True)
class _Asking:
    """What stays the same over all attempts at one reply."""

    role: str
    backend: Backend
    ledger: Ledger
    emit: Callable[[Event], None]
    on_text: Callable[[str], None] | None


class Gateway:
    """Asks the model that plays a role for a reply of a given form.

    `backends` maps roles to backends, `*` standing for every other role; they come before the
    models that `settings` name. Those are opened when first asked, one backend per model id. Use
    one gateway per event loop, and close it.
    """

    def __init__(self, settings: Settings, backends: Mapping[str, Backend] | None = None) -> None:
        self._settings = settings
        self._given = dict(backends or {})
        self._opened: dict[str, Backend] = {}
        self._slots: dict[int, asyncio.Semaphore] = {}

    def has_models(self) -> bool:
        """Whether every role has a model."""
        return all(self.model_name(role) is not None for role in get_args(Role))

    def model_name(self, role: str) -> str | None:
        """The bare name of the model that plays `role`, or None where there is none."""
        given = self._given_to(role)
        if given is not None:
            return given.name
        model_id = self._settings.model_for(cast(Role, role))
        return None if model_id is None else split_model_id(model_id)[0]

    async def ask(
        self,
        prompt: Prompt,
        reply: type[T],
        *,
        ledger: Ledger,
        emit: Callable[[Event], None] = lambda _: None,
        on_text: Callable[[str], None] | None = None,
    ) -> T:
        """The model's reply to `prompt`, validated as a `reply`.

        `on_text` gets the whole text so far whenever it grows; it starts anew with each attempt.
        Every attempt is entered in `ledger` and emitted as Called, a failed or cancelled one with
        what had been sent and received. Raises ModelError as the backend does, ReplyInvalid where
        the repairs did not help either, and what `ledger.check` raises.
        """
        asking = _Asking(prompt.role, self._backend(prompt.role), ledger, emit, on_text)
        request = Request(
            (Message("system", prompt.system), Message("user", prompt.user)),
            schema=strict_schema(reply),
            schema_name=prompt.name,
            max_tokens=min(REPLY_TOKENS, self._settings.context_window // 4),
        )
        problem = ""
        for _ in range(1 + REPAIRS):
            text = await self._reply(asking, request)
            try:
                return reply.model_validate_json(_bare_json(text))
            except ValidationError as error:
                problem = _in_words(error)
            request = _with_correction(request, text, problem)
        raise ReplyInvalid(
            f"{asking.backend.name} did not reply in the form the {prompt.name} needs, also after "
            f"{REPAIRS} corrections ({problem}); choose another model for the {prompt.role}."
        )

    async def aclose(self) -> None:
        """Close the backends that this gateway has opened."""
        while self._opened:
            await self._opened.popitem()[1].aclose()

    def _given_to(self, role: str) -> Backend | None:
        return self._given.get(role) or self._given.get("*")

    def _backend(self, role: str) -> Backend:
        given = self._given_to(role)
        if given is not None:
            return given
        model_id = self._settings.model_for(cast(Role, role))
        if model_id is None:
            raise SettingsError(
                f"No model plays the {role}; set SCHOLAR_MODEL, or model in scholar.toml, "
                "to one such as openai:gpt-5-mini."
            )
        if model_id not in self._opened:
            self._opened[model_id] = open_backend(model_id, self._settings)
        return self._opened[model_id]

    async def _reply(self, asking: _Asking, request: Request) -> str:
        if asking.backend.capabilities.json_schema:
            try:
                return await self._retried(asking, request)
            except SchemaUnsupported:
                pass  # The backend knows from now on; the schema goes into the prompt.
        return await self._retried(asking, _with_schema_in_prompt(request))

    async def _retried(self, asking: _Asking, request: Request) -> str:
        def announce(state: RetryCallState) -> None:
            asking.emit(Retrying(asking.role, str(_failure(state)), state.upcoming_sleep))

        retrying = AsyncRetrying(
            retry=retry_if_exception(_is_worth_another_try),
            stop=stop_after_attempt(ATTEMPTS),
            wait=_wait,
            before_sleep=announce,
            reraise=True,
        )
        async with asking.ledger.within_seconds():
            return await retrying(self._once, asking, request)

    async def _once(self, asking: _Asking, request: Request) -> str:
        backend = asking.backend
        slots = self._slots.setdefault(id(backend), asyncio.Semaphore(self._settings.concurrency))
        text, tokens, failed = "", None, True
        async with slots:
            asking.ledger.check(backend.name)
            started = time.monotonic()
            try:
                async with aclosing(backend.stream(request)) as deltas:
                    async for delta in deltas:
                        tokens = delta.tokens or tokens
                        text += delta.text
                        if delta.text and asking.on_text:
                            asking.on_text(text)
                failed = False
                return text
            finally:
                seconds = time.monotonic() - started
                call = _call(asking, tokens, _estimate(request, text), seconds, failed)
                asking.ledger.add(call)
                asking.emit(Called(call))


def _call(
    asking: _Asking, reported: TokenCount | None, guess: TokenCount, seconds: float, failed: bool
) -> Call:
    tokens = reported or guess
    model = asking.backend.name
    return Call(
        role=asking.role,
        model=model,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        seconds=round(seconds, 3),
        dollars=asking.ledger.price(model, tokens.input, tokens.output),
        estimated=reported is None,
        failed=failed,
    )


def _estimate(request: Request, text: str) -> TokenCount:
    sent = sum(len(message.content) for message in request.messages)
    return TokenCount(math.ceil(sent / _CHARS_PER_TOKEN), math.ceil(len(text) / _CHARS_PER_TOKEN))


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(error, ModelUnavailable) and (error.retry_after or 0.0) <= PATIENCE


def _wait(state: RetryCallState) -> float:
    asked = getattr(_failure(state), "retry_after", None)
    return _BACKOFF(state) if asked is None else float(asked)


def _with_schema_in_prompt(request: Request) -> Request:
    schema = json.dumps(request.schema, ensure_ascii=False)
    line = f"\n\nReply with one JSON object that fits this schema and nothing else.\n{schema}"
    first_user = next(i for i, message in enumerate(request.messages) if message.role == "user")
    messages = list(request.messages)
    messages[first_user] = Message("user", messages[first_user].content + line)
    return replace(request, messages=tuple(messages), schema=None)


def _with_correction(request: Request, text: str, problem: str) -> Request:
    shown = text if len(text) <= _SHOWN_REPLY else text[:_SHOWN_REPLY] + " […]"
    correction = (
        f"That reply cannot be used: {problem}. "
        "Reply again with the corrected JSON object alone, whole, and no other text."
    )
    turns = (Message("assistant", shown), Message("user", correction))
    return replace(request, messages=request.messages + turns)


def _bare_json(text: str) -> str:
    """The object in `text`, without the words and fences that models put around it."""
    text = text.strip()
    # Servers whose template opens the reasoning in the prompt pass on its closing tag alone.
    if not text.startswith(("{", "`")):
        text = text.rpartition("</think>")[2].strip()
    begin, end = text.find("{"), text.rfind("}") + 1
    return text[begin:end] if 0 <= begin < end else text


def _in_words(error: ValidationError) -> str:
    """What is wrong, for the model and for a person: the place and the rule, not the value."""
    problems = []
    for found in error.errors(include_url=False)[:_SHOWN_ERRORS]:
        place = ".".join(map(str, found["loc"]))
        what = found["msg"][:1].lower() + found["msg"][1:]
        problems.append(f"at {place}: {what}" if place else what)
    return "; ".join(problems)
