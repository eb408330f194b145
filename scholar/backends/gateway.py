"""The one door to every model.

What happens to a request, in this order: role → chain of models · cache · budget · limits · call
within its deadline · parse, repair, fall back · ledger · event. Each has a module of its own; this
one leads through them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

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
    Delta,
    Learner,
    Message,
    Request,
    SchemaUnsupported,
    TokenCount,
)
from scholar.backends.cache import ReplyCache, reply_key
from scholar.backends.chain import Given, Member, Roster, public_id, shown
from scholar.backends.facts import Facts, FactsFile
from scholar.backends.forms import (
    bare_json,
    in_words,
    likely_tokens,
    most_input_tokens,
    with_correction,
    with_schema_in_prompt,
)
from scholar.backends.ledger import Ledger
from scholar.backends.limits import Entry
from scholar.backends.pace import Patience, patience
from scholar.backends.rating import Likely, Rating
from scholar.backends.schema import strict_schema
from scholar.backends.store import Store
from scholar.backends.told import Told, ended_in, keep_told, told_before, told_key
from scholar.errors import BudgetSpent, ModelError, ModelUnavailable, ReplyInvalid
from scholar.events import Called, Event, Exchanged, FellBack, Retrying, Waiting
from scholar.prompts import Prompt
from scholar.settings import Settings
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

LONGEST_CHOICE = 64
"""Tokens that one of several choices may have: a line."""

_BACKOFF = wait_random_exponential(multiplier=1, min=0.5, max=8)


@dataclass(frozen=True, slots=True)
class _Asking:
    """What stays the same over all attempts at one reply of one model."""

    prompt: Prompt
    member: Member
    ledger: Ledger
    emit: Callable[[Event], None]
    on_text: Callable[[str], None] | None
    node: str = ""


@dataclass(slots=True)
class _Heard:
    """What has come of one attempt. `first` is the seconds to the first sign of a reply."""

    text: str = ""
    tokens: TokenCount | None = None
    first: float | None = None
    seconds: float = 0.0
    gpu_seconds: float = 0.0


class Gateway:
    """Asks the models that play a role for a reply of a given form.

    `backends` maps roles to a backend, or to several in the order of trying, `*` standing for every
    other role; they come before the models that `settings` name. Those are opened when first asked,
    one backend per model id. `on_notice` gets a sentence where replies cannot be kept. Use one
    gateway per event loop, and close it.
    """

    def __init__(
        self,
        settings: Settings,
        backends: Given | None = None,
        *,
        on_notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._store = Store(settings.home, on_notice)
        self._cache = ReplyCache(self._store)
        self._roster = Roster(settings, backends or {}, FactsFile(self._store))

    def has_models(self) -> bool:
        """Whether every role has a model."""
        return self._roster.has_models()

    def model_name(self, role: str) -> str | None:
        """The bare name of the model that plays `role` first, or None where there is none."""
        return self._roster.model_name(role)

    def facts(self, model_id: str) -> Facts:
        """What is known of a model that the settings name, in this process or from earlier ones."""
        return FactsFile(self._store).get(public_id(model_id))

    def learns(self, model_id: str) -> bool:
        """Whether the backend of a model that the settings name finds out what its server takes."""
        return isinstance(self._roster.member(model_id).backend, Learner)

    def note(self, model_id: str, facts: Facts) -> None:
        """Keep what has been found out about a model."""
        self._roster.note(self._roster.member(model_id), facts)

    def forget(self, model_id: str) -> None:
        """Find out anew what the server of a model does not take; before it is first asked."""
        self._roster.forget(model_id)

    async def ask(
        self,
        prompt: Prompt,
        reply: type[T],
        *,
        ledger: Ledger,
        emit: Callable[[Event], None] = lambda _: None,
        on_text: Callable[[str], None] | None = None,
        model: str | None = None,
        seed: int | None = None,
        fresh: bool = False,
        node: str = "",
        moment: str = "",
    ) -> T:
        """The reply to `prompt`, validated as a `reply`, of the first model of the chain that can.

        What the run of `ledger` was told at the same `moment` before is not asked again.
        `model` is the id of one to ask instead of the role's chain. A `fresh` reply is neither
        taken from anywhere nor kept. `node` is who asks, as its calls are to say. `on_text` gets
        the whole text so far whenever it grows; it starts anew with each attempt.

        Every attempt is entered in `ledger` and emitted as Called, a failed or cancelled one with
        what had been sent and received; a model that stands in for another as FellBack. Raises the
        ModelError of the last model (ReplyInvalid where its repairs did not help either), and what
        `ledger.reserve` raises.
        """
        request = Request(
            (Message("system", prompt.system), Message("user", prompt.user)),
            schema=strict_schema(reply),
            schema_name=prompt.name,
            max_tokens=min(REPLY_TOKENS, self._settings.context_window // 4),
            seed=seed,
        )
        key, record = told_key(moment, prompt, request, model), ledger.record
        told = None if fresh else told_before(record, key, prompt)
        if told is not None and (known := _valid(told, reply)) is not None:
            for event in told.passed:
                emit(event)
            if on_text:
                on_text(told.text)
            return known
        passed: list[FellBack] = []

        async def asked(of: Backend | str, is_last: bool) -> tuple[str, T]:
            # Opening a backend and looking up what is known of it read from the disk.
            member = await asyncio.to_thread(self._roster.member, of)
            asking = _Asking(prompt, member, ledger, emit, on_text, node)
            if not is_last and (error := asking.member.resting):
                raise error
            return await self._known_or_asked(asking, request, reply, fresh)

        def fell_back(event: FellBack) -> None:
            passed.append(event)
            emit(event)

        chain = (model,) if model else self._roster.chain(prompt.role)
        try:
            async with ledger.in_time():
                text, value = await _first_that_can(chain, prompt.role, asked, fell_back)
        except (ModelError, BudgetSpent) as error:
            await keep_told(record, key, ended_in(error, passed))
            raise
        if not fresh:
            await keep_told(record, key, Told(text, passed=tuple(passed)))
        return value

    async def aclose(self) -> None:
        """Close the backends that this gateway has opened, and its file."""
        await self._roster.aclose()
        self._store.close()

    def _sent(self, asking: _Asking, request: Request) -> Call:
        """A call that is about to be sent, as it is known of if nothing more ever is."""
        member, tokens = asking.member, likely_tokens(request, "").input
        return Call(
            role=asking.prompt.role,
            model=member.name,
            input_tokens=tokens,
            output_tokens=0,
            seconds=0.0,
            dollars=asking.ledger.price(member.name, tokens, 0),
            estimated=True,
            failed=True,
            node=asking.node,
        )

    async def _known_or_asked(
        self, asking: _Asking, request: Request, reply: type[T], fresh: bool
    ) -> tuple[str, T]:
        key = None if fresh else self._key(asking, request)
        if key is not None:
            known = await self._cached(asking, request, key, reply)
            if known is not None:
                return known
        text, value = await self._validated(asking, request, reply)
        if key is not None:
            self._cache.put(key, asking.member.id, text)
        return text, value

    def _key(self, asking: _Asking, request: Request) -> str | None:
        """The key of the reply on disk; None where it is not to be kept there."""
        member, prompt = asking.member, asking.prompt
        if not self._settings.cache or member.address is None or request.temperature > 0:
            return None
        return reply_key(member.address, member.revision, request, prompt.name, prompt.version)

    async def _cached(
        self, asking: _Asking, request: Request, key: str, reply: type[T]
    ) -> tuple[str, T] | None:
        began = time.monotonic()
        text = await asyncio.to_thread(self._cache.get, key)
        if text is None:
            return None
        try:
            value = reply.model_validate_json(text)
        except ValidationError:
            return None
        if asking.on_text:
            asking.on_text(text)
        seconds = round(time.monotonic() - began, 3)
        self._tell(asking, request, text)
        role, name = asking.prompt.role, asking.member.name
        call = Call(role, name, 0, 0, seconds, 0.0, cached=True, node=asking.node)
        asking.ledger.add(call)
        asking.emit(Called(call))
        return text, value

    async def _validated(self, asking: _Asking, request: Request, reply: type[T]) -> tuple[str, T]:
        """A reply that fits, shown its mistakes where it did not at first."""
        problem = ""
        for _ in range(1 + REPAIRS):
            text = bare_json(await self._reply(asking, request))
            try:
                return text, reply.model_validate_json(text)
            except ValidationError as error:
                problem = in_words(error)
            request = with_correction(request, text, problem)
        raise ReplyInvalid(
            f"{asking.member.name} did not reply in the form the {asking.prompt.name} needs, also "
            f"after {REPAIRS} corrections ({problem}); "
            f"choose another model for the {asking.prompt.role}."
        )

    async def _reply(self, asking: _Asking, request: Request) -> str:
        if asking.member.backend.capabilities.json_schema:
            try:
                return await self._retried(asking, request)
            except SchemaUnsupported:
                pass  # The backend knows from now on; the schema goes into the prompt.
        return await self._retried(asking, with_schema_in_prompt(request))

    async def _retried(self, asking: _Asking, request: Request) -> str:
        def announce(state: RetryCallState) -> None:
            asking.emit(Retrying(asking.prompt.role, str(_failure(state)), state.upcoming_sleep))

        retrying = AsyncRetrying(
            retry=retry_if_exception(_is_worth_another_try),
            stop=stop_after_attempt(ATTEMPTS),
            wait=_wait,
            before_sleep=announce,
            reraise=True,
        )
        try:
            return await retrying(self._within_budget, asking, request)
        except ModelUnavailable as error:
            asking.member.rest(error)
            raise

    async def _within_budget(self, asking: _Asking, request: Request) -> str:
        ledger, member = asking.ledger, asking.member
        prompt_tokens = most_input_tokens(request)
        held = await ledger.reserve(member.name, prompt_tokens, request.max_tokens)
        try:
            return await self._in_turn(asking, replace(request, max_tokens=held.output))
        except ReplyInvalid as error:
            if not held.shortened:
                raise
            raise BudgetSpent(
                f"What is left of the budget allowed {member.name} a reply of {held.output:,} "
                "tokens, which was too short; raise the caps under [budget] in scholar.toml."
            ) from error
        finally:
            ledger.release(held)

    async def _in_turn(self, asking: _Asking, request: Request) -> str:
        member, role = asking.member, asking.prompt.role

        def on_wait(seconds: float) -> None:
            asking.emit(Waiting(role, member.id, seconds))

        prompt_tokens = most_input_tokens(request)
        async with member.lane.turn(prompt_tokens + request.max_tokens, on_wait) as entry:
            asking.ledger.check(member.name)
            heard, failed = _Heard(), True
            # Noted before it is sent, so that a call is known of even if this process dies.
            number = await asking.ledger.record.begin(self._sent(asking, request))
            try:
                await self._listen(asking, request, heard)
                failed = False
            except ModelUnavailable as error:
                heard.tokens = heard.tokens if error.reached else TokenCount(0, 0)
                raise
            finally:
                self._account(asking, request, heard, entry, number, failed)
            return heard.text

    async def _listen(self, asking: _Asking, request: Request, heard: _Heard) -> None:
        """Gather the reply, as long as the model is not silent for longer than it ever should."""
        member, silence = asking.member, self._settings.silence
        sent = likely_tokens(request, "").input
        waiting = patience(
            member.facts.pace, silence, sent, request.max_tokens, member.lane.under_way - 1
        )
        # The backend's own watch goes off only where ours did not.
        request = replace(request, silence=2 * max(waiting.first, waiting.gap))
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(waiting.first) as alarm:
                async with aclosing(member.backend.stream(request)) as deltas:
                    async for delta in deltas:
                        heard.seconds = loop.time() - began
                        if heard.first is None:
                            heard.first = heard.seconds
                        _take(asking, delta, heard)
                        alarm.reschedule(
                            loop.time() + (waiting.gap if heard.text else waiting.first)
                        )
        except TimeoutError:
            if not alarm.expired():
                raise
            raise _fell_silent(member, waiting, heard) from None
        finally:
            heard.seconds = loop.time() - began

    def _account(
        self,
        asking: _Asking,
        request: Request,
        heard: _Heard,
        entry: Entry,
        number: int,
        failed: bool,
    ) -> None:
        """Enter the attempt in the ledger, and take in what it taught about the model."""
        member = asking.member
        tokens = heard.tokens or likely_tokens(request, heard.text)
        entry.tokens = tokens.input + tokens.output
        call = Call(
            role=asking.prompt.role,
            model=member.name,
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            seconds=round(heard.seconds, 3),
            gpu_seconds=round(heard.gpu_seconds, 3),
            dollars=asking.ledger.price(member.name, tokens.input, tokens.output),
            estimated=heard.tokens is None,
            failed=failed,
            node=asking.node,
        )
        asking.ledger.record.end(number, call)
        self._tell(asking, request, heard.text)
        asking.emit(Called(call))
        if not failed and heard.first is not None:
            pace = member.facts.pace
            self._roster.learn(
                member, pace.after(heard.first, heard.seconds, tokens.input, tokens.output)
            )

    def _tell(self, asking: _Asking, request: Request, reply: str) -> None:
        """Show what was said, where the settings let it be kept or sent anywhere."""
        if self._settings.trace.content or self._settings.otlp.content:
            messages = tuple((message.role, message.content) for message in request.messages)
            role, model = asking.prompt.role, asking.member.name
            asking.emit(Exchanged(role, model, messages, reply, asking.node))

    async def classify(
        self,
        prompt: Prompt,
        choices: Sequence[str],
        *,
        ledger: Ledger,
        emit: Callable[[Event], None] = lambda _: None,
        node: str = "",
        moment: str = "",
    ) -> dict[str, float] | None:
        """How likely the first model of the role's chain is to reply each of `choices`, given that
        it replies one of them; they add up to one. None where it does not tell likelihoods.

        A call like any other: what it takes is entered, bounded, kept and remembered as by `ask`,
        and it raises as that does, without another model standing in.
        """
        request = Request(
            (Message("system", prompt.system), Message("user", prompt.user)),
            schema_name=prompt.name,
            max_tokens=LONGEST_CHOICE,
            choices=tuple(choices),
        )
        key, record = told_key(moment, prompt, request, None), ledger.record
        if (told := record.told(key)) is not None:
            likely: dict[str, float] | None = json.loads(told)
            return likely
        known = None if record.replaying else await self._rater(prompt.role)
        if known is None:
            await record.keep(key, "null")
            return None
        member = Member(Rating(known.backend), known.lane, known.id, known.address)
        async with ledger.in_time():
            asking = _Asking(prompt, member, ledger, emit, None, node)
            _, rated = await self._known_or_asked(asking, request, Likely, False)
        await record.keep(key, json.dumps(rated.likely))
        return rated.likely

    async def _rater(self, role: str) -> Member | None:
        """The first model of a role's chain, where it tells likelihoods."""
        member = await asyncio.to_thread(self._roster.member, self._roster.chain(role)[0])
        return member if member.backend.capabilities.logprobs else None


async def _first_that_can(
    chain: Sequence[Backend | str],
    role: str,
    asked: Callable[[Backend | str, bool], Awaitable[tuple[str, T]]],
    fell_back: Callable[[FellBack], None],
) -> tuple[str, T]:
    """The reply of the first of `chain` that gives one; raises the ModelError of the last."""
    *others, last = chain
    for at, one in enumerate(others):
        try:
            return await asked(one, False)
        except ModelError as error:
            fell_back(FellBack(role, shown(one), shown(chain[at + 1]), str(error)))
    return await asked(last, True)


def _valid(told: Told, reply: type[T]) -> T | None:
    try:
        return reply.model_validate_json(told.text)
    except ValidationError:
        return None  # a later version wants another form


def _take(asking: _Asking, delta: Delta, heard: _Heard) -> None:
    heard.tokens = delta.tokens or heard.tokens
    heard.gpu_seconds = delta.gpu_seconds or heard.gpu_seconds
    if delta.text:
        heard.text += delta.text
        if asking.on_text:
            asking.on_text(heard.text)


def _fell_silent(member: Member, waiting: Patience, heard: _Heard) -> ModelUnavailable:
    waited = waiting.gap if heard.text else waiting.first
    pace, after = member.facts.pace, ""
    if heard.text:
        after = f", {len(heard.text):,} characters into its reply"
    if not waiting.measured:
        advice = "try again, or raise silence in scholar.toml"
    else:
        usual = f"{pace.first:.1f} s to its first word and {pace.rate:.0f} tokens a second"
        advice = f"its usual pace is {usual}; try again, or see whether the server still works"
    return ModelUnavailable(f"{member.id} sent nothing for {waited:g} seconds{after}; {advice}.")


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(error, ModelUnavailable) and (error.retry_after or 0.0) <= PATIENCE


def _wait(state: RetryCallState) -> float:
    asked = getattr(_failure(state), "retry_after", None)
    return _BACKOFF(state) if asked is None else float(asked)
