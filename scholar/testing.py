"""What every model backend promises, as tests that any package runs with pytest.

Import this in tests alone: it needs pytest, and no plugin of it.

    class TestMine(BackendContract):
        async def backend(self) -> Backend:
            return MyBackend("tiny", Settings(api_key=self.key), "http://127.0.0.1:8000")

A model may talk nonsense: only the form of what it says is checked. What a backend says that it
cannot do is skipped, with the reason.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import pkgutil
import re
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field

import scholar.agents
from scholar.backends import (
    Backend,
    Capabilities,
    Delta,
    Message,
    Request,
    SchemaUnsupported,
    TokenCount,
)
from scholar.backends.schema import Reply, strict_schema
from scholar.errors import ModelError, ModelRejected, ReplyInvalid

CUT = 16
"""Tokens that no reply to `LONG` fits into; the least that OpenAI lets a reply be bounded to."""
AT_ONCE = 8
"""The requests to one model at a time that `scholar` makes unless it is told otherwise."""
LARGEST = 200_000
"""Tokens of the largest window that is overfilled to see what happens."""
SEED = 7

ASKED = (Message("system", "Be brief."), Message("user", "What is the capital of France?"))
LONG = (Message("user", "Write the numbers from one to one thousand as words, in order."),)


class _Flat(Reply):
    city: str
    people: int
    capital: bool


class _Named(Reply):
    kind: Literal["city", "river", "none of them"]
    name: str = Field(description="As the people there call it.")


class _Nested(Reply):
    first: _Named
    second: _Named


class _Optional(Reply):
    name: str | None
    people: int | None = None
    place: _Named | None = None


class _Many(Reply):
    places: list[_Named]
    tags: list[str]


def _replies(of: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for reply in of.__subclasses__():
        yield reply
        yield from _replies(reply)


def _agents_replies() -> list[type[BaseModel]]:
    """Every form of reply that an agent asks a model for."""
    for module in pkgutil.iter_modules(scholar.agents.__path__):
        importlib.import_module(f"scholar.agents.{module.name}")
    return [each for each in _replies(Reply) if each.__module__.startswith("scholar.agents.")]


def _place(reply: type[BaseModel]) -> str:
    return f"{reply.__module__.rpartition('.')[2]}.{reply.__name__.strip('_')}"


REPLIES: list[type[BaseModel]] = [_Flat, _Nested, _Optional, _Many, *_agents_replies()]
CHOICES = {
    "two": ("yes", "no"),
    "one begins as another does": ("sure", "surely", "surely not"),
    "not of letters alone": ('say "no"', "a\\b", "São Paulo", "日本"),
}
PROMPTS = {
    "other scripts": (Message("user", "日本語, العربية, हिन्दी, ∑x² ≤ ½, 🎉🏽, e\u0301, \u200b?"),),
    "empty system": (Message("system", ""), *ASKED[1:]),
    "no system": ASKED[1:],
    "several turns": (
        *ASKED,
        Message("assistant", "Paris."),
        Message("user", "And of Spain?"),
        Message("assistant", "Madrid."),
        Message("user", "And of Italy?"),
    ),
    "half a character": (Message("user", "What is \ud835 in this text?"),),
    "quotes and braces": (Message("user", 'Is {"a": "</s>"} valid? {% x %} {{ y }} \\n'),),
}


@dataclass(slots=True)
class Heard:
    """What came of one request. `cut` is the error where the reply was longer than allowed."""

    deltas: list[Delta] = field(default_factory=list)
    cut: ReplyInvalid | None = None

    @property
    def text(self) -> str:
        """All of the reply."""
        return "".join(delta.text for delta in self.deltas)

    @property
    def tokens(self) -> TokenCount | None:
        """The tokens, where they were told."""
        return next((delta.tokens for delta in self.deltas if delta.tokens), None)


def plainest(schema: dict[str, Any]) -> Any:
    """The plainest value that fits a schema of `strict_schema`, for servers that tests script."""
    return _plainest(schema, schema.get("$defs", {}))


def _plainest(schema: dict[str, Any], defs: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return _plainest(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _plainest(schema["anyOf"][0], defs)
    if schema["type"] == "object":
        parts = schema.get("properties", {}).items()
        return {name: _plainest(part, defs) for name, part in parts}
    if schema["type"] == "array":
        return [_plainest(schema["items"], defs)]
    plain: dict[str, Any] = {"string": "a", "integer": 1, "number": 0.5, "boolean": True}
    return plain.get(schema["type"])


class BackendContract:
    """Tests of one backend. A subclass, named `Test...`, gives at least `backend`.

    Every test opens backends in an event loop of its own, and closes them.
    """

    key: ClassVar[str] = "sk-contract-7f3aSECRET91"
    """The key to give the backend, where it takes one; it must show nowhere."""
    room: ClassVar[int] = 400
    """The most tokens of a reply; a thinking model needs more."""
    seconds: ClassVar[float] = 120.0
    """What one test may take."""

    async def backend(self) -> Backend:
        """A new backend; the tests close it."""
        raise NotImplementedError("give the backend that is to be tested")

    async def broken(self) -> Sequence[Backend]:
        """Backends that can get no reply: no server, an unknown model, a wrong key."""
        return ()

    def left(self) -> bool | None:
        """Whether the server has seen within some seconds that a request was left.

        Asked right after one was, in a thread; None where nobody can tell.
        """
        return None

    # --- replies

    def test_it_says_what_it_is_and_can(self) -> None:
        """A name that is not empty, and its capabilities, before anything is asked."""

        async def check(backend: Backend) -> None:
            assert backend.name.strip(), "the name is empty"
            assert isinstance(backend.capabilities, Capabilities)

        self._run(check)

    def test_a_reply_comes_in_pieces_and_the_last_has_the_tokens(self) -> None:
        """Pieces of text, and at the end what the server counted, where it tells."""

        async def check(backend: Backend) -> None:
            heard = await self._hear(backend, self._request())
            assert heard.deltas, "nothing came, not even an end"
            if heard.tokens is None:
                pytest.skip("its server reports no tokens")
            assert heard.deltas[-1].tokens, "the tokens came before the end"
            assert heard.tokens.input > 0, "the prompt had no tokens"
            assert heard.tokens.output <= self.room, "more tokens than were allowed"
            assert heard.tokens.output >= heard.tokens.reasoning >= 0

        self._run(check)

    @pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
    def test_every_prompt_is_taken(self, prompt: tuple[Message, ...]) -> None:
        """Whatever text and turns a prompt has, there is a reply."""

        async def check(backend: Backend) -> None:
            assert (await self._hear(backend, self._request(messages=prompt))).deltas

        self._run(check)

    def test_a_reply_that_is_cut_off_is_no_reply(self) -> None:
        """One that `max_tokens` cuts raises ReplyInvalid, whatever came of it before."""

        async def check(backend: Backend) -> None:
            heard = await self._hear(backend, self._request(messages=LONG, max_tokens=CUT))
            assert heard.cut, f"a reply of at most {CUT} tokens was taken for a whole one"
            self._check_error(heard.cut)
            if heard.tokens:
                assert heard.tokens.output <= CUT, "more tokens than were allowed"

        self._run(check)

    def test_a_reply_ends_before_a_stop(self) -> None:
        """What is said again, but for a stop in its middle, has no such stop in it."""

        async def check(backend: Backend) -> None:
            request = self._request(messages=LONG, seed=SEED, max_tokens=4 * CUT)
            whole = (await self._hear(backend, request)).text
            stop = _stop_in(whole)
            if stop is None:
                pytest.skip("its reply is too short to be stopped")
            heard = await self._hear(backend, replace(request, stop=("\u2603\u2603", stop)))
            assert stop not in heard.text, f"{heard.text!r} goes on to or beyond {stop!r}"

        self._run(check)

    def test_a_seed_makes_a_reply_again(self) -> None:
        """The same request with the same seed has the same reply, warm as it may be."""

        async def check(backend: Backend) -> None:
            request = self._request(temperature=1.0, seed=SEED, max_tokens=4 * CUT)
            first = await self._hear(backend, request)
            if not backend.capabilities.seed:
                pytest.skip("it says that it takes no seed")
            assert (await self._hear(backend, request)).text == first.text

        self._run(check)

    def test_a_prompt_beyond_the_window_is_rejected(self) -> None:
        """ModelRejected says how large the window is, where that is known."""

        async def check(backend: Backend) -> None:
            await self._hear(backend, self._request())
            window = backend.capabilities.context_window
            if window is None:
                pytest.skip("it does not know its window")
            if window > LARGEST:
                pytest.skip(f"a window of {window:,} tokens is too large to be overfilled")
            messages = (Message("user", " ".join(map(str, range(window)))),)
            with pytest.raises(ModelRejected) as caught:
                await self._hear(backend, self._request(messages=messages))
            self._check_error(caught.value)
            told = re.sub(r"(?<=\d)[,._\u202f](?=\d)", "", str(caught.value))
            assert str(window) in told, f"'{caught.value}' does not say the window, {window:,}"

        self._run(check)

    # --- schemas

    @pytest.mark.parametrize("reply", REPLIES, ids=_place)
    def test_a_reply_is_held_to_its_schema(self, reply: type[BaseModel]) -> None:
        """A reply to a request with a schema is JSON that fits it, and nothing else."""

        async def check(backend: Backend) -> None:
            schema = strict_schema(reply)
            request = self._request(schema=schema, schema_name="contract")
            try:
                heard = await self._hear(backend, request)
            except SchemaUnsupported:
                assert not backend.capabilities.json_schema, "it says that it takes schemas"
                pytest.skip("its server takes no schemas")
            assert not heard.cut, f"{self.room} tokens were too few; raise `room`"
            reply.model_validate_json(heard.text)

        self._run(check)

    def test_without_schemas_it_says_so(self) -> None:
        """SchemaUnsupported, now and from then on."""

        async def check(backend: Backend) -> None:
            request = self._request(schema=strict_schema(_Flat))
            with suppress(SchemaUnsupported):
                await self._hear(backend, request)
            if backend.capabilities.json_schema:
                pytest.skip("it takes schemas")
            with pytest.raises(SchemaUnsupported) as caught:
                await self._hear(backend, request)
            self._check_error(caught.value)

        self._run(check)

    # --- choices

    @pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
    def test_a_choice_is_one_of_those_given(self, choices: tuple[str, ...]) -> None:
        """The text is one of them, and the end has how likely each was."""

        async def check(backend: Backend) -> None:
            heard = await self._chosen(backend, choices)
            assert heard.text in choices, f"{heard.text!r} is none of them"
            logs = heard.deltas[-1].choices
            assert logs is not None, "the last piece has no log-probabilities"
            self._check_logs(dict(logs), choices, backend)
            assert logs[heard.text] == max(logs.values()), "a less likely one was chosen"

        self._run(check)

    @pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
    def test_classifying_rates_all_choices(self, choices: tuple[str, ...]) -> None:
        """Probabilities that add up to one; without logprobs, one of them is certain."""

        async def check(backend: Backend) -> None:
            await self._chosen(backend, choices)
            logs = await backend.classify(self._choosing(choices))
            self._check_logs(logs, choices, backend)

        self._run(check)

    # --- several requests, and those that are left

    def test_requests_at_once_do_not_mix(self) -> None:
        """Each of several gets a reply of its own: its own choice, its own value, or a whole one.

        Where the model can be held to neither, only that each has a reply.
        """

        async def check(backend: Backend) -> None:
            await self._settle(backend)
            can = backend.capabilities
            requests = [self._marked(can, number) for number in range(AT_ONCE)]
            heard = await asyncio.gather(*(self._hear(backend, each) for each in requests))
            assert all(each.deltas for each in heard), "one had no reply"
            if can.choices or can.json_schema:
                for number, each in enumerate(heard):
                    said = re.findall(r"[a-h]\d", each.text.lower())
                    assert said == [_mark(number)], f"number {number} was told {each.text!r}"

        self._run(check)

    def test_a_stream_that_is_closed_is_left(self) -> None:
        """Closing the iterator cancels the request, and the backend goes on."""

        async def check(backend: Backend) -> None:
            stream = backend.stream(self._request(messages=LONG))
            await anext(stream, None)
            await stream.aclose()
            await self._check_left()
            assert (await self._hear(backend, self._request())).deltas

        self._run(check)

    @pytest.mark.parametrize("pieces", [0, 1], ids=["before it began", "in mid-reply"])
    def test_a_task_that_is_cancelled_is_left(self, pieces: int) -> None:
        """Cancelling the task that reads cancels the request, and the backend goes on."""

        async def check(backend: Backend) -> None:
            began = asyncio.Event()
            reading = asyncio.create_task(self._read(backend, pieces, began))
            await began.wait()
            reading.cancel()
            with suppress(asyncio.CancelledError, ReplyInvalid):
                await reading
            if pieces:
                await self._check_left()
            assert (await self._hear(backend, self._request())).deltas

        self._run(check)

    # --- errors

    def test_what_fails_is_said_in_a_sentence(self, caplog: pytest.LogCaptureFixture) -> None:
        """A ModelError in one line that ends in a full stop, without the key."""
        caplog.set_level(logging.DEBUG)

        async def fail() -> int:
            backends = await self.broken()
            for backend in backends:
                try:
                    with pytest.raises(ModelError) as caught:
                        await self._hear(backend, self._request())
                finally:
                    await backend.aclose()
                self._check_error(caught.value)
            return len(backends)

        if not asyncio.run(fail()):
            pytest.skip("no broken backend was given")
        assert self.key not in caplog.text, "a log shows the key"

    def test_the_key_shows_nowhere(self, caplog: pytest.LogCaptureFixture) -> None:
        """Neither in logs, whatever their level, nor in the backend's own description."""
        caplog.set_level(logging.DEBUG)

        async def check(backend: Backend) -> None:
            heard = await self._hear(backend, self._request())
            assert self.key not in heard.text + repr(backend) + backend.name

        self._run(check)
        assert self.key not in caplog.text, "a log shows the key"

    def test_it_can_be_closed_twice(self) -> None:
        """Closing what is closed does nothing, also where nothing was ever asked."""

        async def check(backend: Backend) -> None:
            await backend.aclose()

        self._run(check)

        async def used(backend: Backend) -> None:
            await self._hear(backend, self._request())
            await backend.aclose()

        self._run(used)

    # --- how the tests ask

    def _run(self, check: Callable[[Backend], Awaitable[None]]) -> None:
        async def run() -> None:
            backend = await self.backend()
            try:
                async with asyncio.timeout(self.seconds):
                    await check(backend)
            finally:
                await backend.aclose()

        asyncio.run(run())

    def _request(self, **changes: Any) -> Request:
        return Request(**{"messages": ASKED, "max_tokens": self.room, **changes})

    async def _hear(self, backend: Backend, request: Request) -> Heard:
        """The reply to `request`, whole or cut off; its form is checked."""
        heard = Heard()
        try:
            async with aclosing(backend.stream(request)) as deltas:
                async for delta in deltas:
                    heard.deltas.append(delta)
        except ReplyInvalid as error:
            heard.cut = error
        heard.text.encode()  # half a character would end here
        told = [delta for delta in heard.deltas if delta.tokens]
        assert len(told) <= 1, "the tokens were told more than once"
        return heard

    async def _read(self, backend: Backend, pieces: int, began: asyncio.Event) -> None:
        """Read a long reply; `began` is set once so many of its pieces have come, or it ended."""
        try:
            async with aclosing(backend.stream(self._request(messages=LONG))) as deltas:
                if not pieces:
                    asyncio.get_running_loop().call_soon(began.set)
                async for _ in deltas:
                    began.set()
        finally:
            began.set()

    async def _check_left(self) -> None:
        saw = await asyncio.to_thread(self.left)
        assert saw is not False, "the server went on with a request that was left"

    async def _settle(self, backend: Backend) -> None:
        """Have it find out whether it can be held to choices or to a schema."""
        with suppress(SchemaUnsupported):
            await self._hear(backend, self._marked(Capabilities(choices=False), 0))
        if backend.capabilities.choices:
            with suppress(SchemaUnsupported):
                await self._hear(backend, self._marked(backend.capabilities, 0))

    def _marked(self, can: Capabilities, number: int) -> Request:
        """A request that only a reply of its own fits."""
        mark = _mark(number)
        messages = (Message("user", f"Say {mark}. " * (number + 1)),)
        if can.choices:
            return self._request(messages=messages, choices=(mark, mark.upper()))
        if can.json_schema:
            schema = {
                "type": "object",
                "properties": {"mark": {"type": "string", "enum": [mark]}},
                "required": ["mark"],
                "additionalProperties": False,
            }
            return self._request(messages=messages, schema=schema, schema_name="mark")
        return self._request(messages=messages)

    def _choosing(self, choices: tuple[str, ...]) -> Request:
        listed = ", ".join(choices)
        messages = (Message("user", f"Choose one of these, and say no more: {listed}."),)
        return self._request(messages=messages, choices=choices)

    async def _chosen(self, backend: Backend, choices: tuple[str, ...]) -> Heard:
        """What it chooses; the test is skipped where it cannot."""
        failed: ModelError | None = None
        try:
            heard = await self._hear(backend, self._choosing(choices))
            failed = heard.cut
        except ModelError as error:
            failed = error
        if failed is None:
            return heard
        self._check_error(failed)
        assert not backend.capabilities.choices, f"it says that it can choose: {failed}"
        pytest.skip("it can be held to no choice")

    def _check_logs(
        self, logs: dict[str, float], choices: tuple[str, ...], backend: Backend
    ) -> None:
        assert set(logs) == set(choices), "not all choices are rated, or others are"
        total = sum(math.exp(log) for log in logs.values())
        assert total == pytest.approx(1.0, abs=1e-3), f"they add up to {total}"
        if not backend.capabilities.logprobs:
            assert sorted(logs.values())[-1] == 0.0, "none is certain"

    def _check_error(self, error: ModelError) -> None:
        message = str(error)
        assert isinstance(error, ModelError), f"{type(error)} is no ModelError"
        assert message.endswith("."), f"'{message}' is no sentence"
        assert len(message.splitlines()) == 1, f"'{message}' is more than a line"
        shown = "".join(traceback.format_exception(error))
        assert self.key not in shown, "the error, or what led to it, shows the key"


def _mark(number: int) -> str:
    return f"{'abcdefgh'[number % 8]}{number}"


def _stop_in(text: str) -> str | None:
    """Two letters from the middle of `text` that it does not begin with."""
    found = [m.group() for m in re.finditer(r"[^\W\d_]{2}", text) if m.start() >= len(text) // 4]
    return found[0] if found else None
