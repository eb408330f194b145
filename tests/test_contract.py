"""The contract of backends: those that ship, the example's, and ours before real servers.

What each showed is printed by `python tests/benchmarks/contract.py` and kept in docs/backends.md.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import models
import pytest
from conftest import ROOT
from contract_servers import (
    TEXT,
    learned,
    litellm,
    obey,
    recorded,
    run_example,
    said,
    transformers_serve,
)
from model_server import ModelServer, Raw, Status
from pydantic import ValidationError

from scholar.backends import (
    Backend,
    Capabilities,
    Delta,
    Learned,
    Request,
    SchemaUnsupported,
    TokenCount,
)
from scholar.backends.chat import CHAT
from scholar.backends.fake import FakeBackend, Scripted
from scholar.backends.openai import OpenAIBackend
from scholar.backends.responses import RESPONSES
from scholar.errors import ModelRejected, ModelUnavailable, ReplyInvalid
from scholar.settings import Settings
from scholar.testing import REPLIES, BackendContract

NOBODY = "http://127.0.0.1:1/v1"
"""An address where nothing answers."""


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    """A scripted server; stopping one takes longer than most tests."""
    with ModelServer(obey) as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of random weights."""
    return models.make(tmp_path_factory.mktemp("contract") / "tiny", "llama")


class TestFake(BackendContract):
    """`fake`, with a script that does as it is asked"""

    async def backend(self) -> Backend:
        return FakeBackend(self._say)

    async def broken(self) -> Sequence[Backend]:
        return FakeBackend([]), FakeBackend([ModelUnavailable("It is down; try again later.")])

    def _say(self, request: Request) -> Scripted:
        if request.choices:
            return request.choices[0]
        text, whole = said(request.schema, request.stop, request.max_tokens)
        return text if whole else ReplyInvalid("The reply of fake was cut off; ask for less.")


class TestFakeWithoutSchemas(TestFake):
    """`fake` without schemas"""

    async def backend(self) -> Backend:
        return FakeBackend(self._say, json_schema=False)


class _Compatible(BackendContract):
    """The `openai` backend before some server, with what was found out about that."""

    url: str
    model = "tiny"
    known = Learned()

    async def backend(self) -> Backend:
        backend = OpenAIBackend(self.model, Settings(api_key=self.key), self.url)
        backend.recall(self.known)
        return backend

    async def broken(self) -> Sequence[Backend]:
        wrong_key = f"{self.key}-and-more"
        return (
            OpenAIBackend(self.model, Settings(api_key=self.key), NOBODY),
            OpenAIBackend("unknown", Settings(api_key=self.key), self.url),
            OpenAIBackend(self.model, Settings(api_key=wrong_key), self.url),
        )


class TestChat(_Compatible):
    """`openai`, chat completions, before a scripted server"""

    @pytest.fixture(autouse=True)
    def _served(self, server: ModelServer) -> None:
        server.use(obey, responses=obey)
        self._server = server
        self.url = server.url

    async def broken(self) -> Sequence[Backend]:
        told = {"error": {"message": f"The key {self.key} is wrong."}}
        self._server.use(lambda _: Status(401, told), responses=lambda _: Status(401, told))
        return await super().broken()

    def left(self) -> bool:
        return self._server.wait_for_hang_up()


class TestResponses(TestChat):
    """`openai`, responses, before a scripted server"""

    known = Learned(responses=True)


@pytest.mark.slow
class TestLocal(BackendContract):
    """`local`, a tiny model of random weights"""

    room = 160

    @pytest.fixture(autouse=True)
    def _made(self, folder: Path) -> Iterator[None]:
        import torch

        self._folder = folder
        before = torch.get_num_threads()
        torch.set_num_threads(1)  # more would wait for each other
        yield
        torch.set_num_threads(before)

    async def backend(self) -> Backend:
        return models.backend(self._folder)

    async def broken(self) -> Sequence[Backend]:
        return (models.backend(self._folder / "nowhere"),)


# --- servers that nobody here wrote

Served = tuple[str, str, Learned]
"""A URL, a model's name, and what a check found out about both."""


@pytest.fixture(scope="module")
def transformers_server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    at = tmp_path_factory.mktemp("transformers")
    with transformers_serve(folder, at) as url:
        yield url, str(folder), learned(f"openai:{folder}@{url}", at / "home", BackendContract.key)


@pytest.mark.slow
class TestTransformersServe(_Compatible):
    """`openai`, before `transformers serve` with a tiny model of random weights"""

    room = 32
    seconds = 240.0

    @pytest.fixture(autouse=True)
    def _served(self, transformers_server: Served) -> None:
        self.url, self.model, self.known = transformers_server

    async def broken(self) -> Sequence[Backend]:
        return (await super().broken())[:2]  # it looks at no key


@pytest.fixture(scope="module")
def litellm_url(server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server.use(obey, responses=obey)
    with litellm(server.url, BackendContract.key, tmp_path_factory.mktemp("litellm")) as url:
        yield url


@pytest.fixture(scope="module")
def litellm_tiny(litellm_url: str, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    home = tmp_path_factory.mktemp("home")
    return learned(f"openai:tiny@{litellm_url}", home, BackendContract.key)


@pytest.fixture(scope="module")
def litellm_mock(litellm_url: str, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    home = tmp_path_factory.mktemp("home")
    return learned(f"openai:mock@{litellm_url}", home, BackendContract.key)


@pytest.mark.slow
class TestLiteLLM(_Compatible):
    """`openai`, before LiteLLM's proxy, which passes on to the scripted server"""

    @pytest.fixture(autouse=True)
    def _served(self, server: ModelServer, litellm_url: str, litellm_tiny: Learned) -> None:
        server.use(obey, responses=obey)
        self._server = server
        self.url, self.known = litellm_url, litellm_tiny

    def left(self) -> bool:
        return self._server.wait_for_hang_up()


@pytest.mark.slow
class TestLiteLLMChat(TestLiteLLM):
    """`openai`, before the same by chat completions, though it has responses"""

    @pytest.fixture(autouse=True)
    def _by_chat(self, _served: None) -> None:
        self.known = Learned()


@pytest.mark.slow
class TestLiteLLMMock(_Compatible):
    """`openai`, before LiteLLM's proxy with a mock reply, the same to every request"""

    model = "mock"

    @pytest.fixture(autouse=True)
    def _served(self, litellm_url: str, litellm_mock: Learned) -> None:
        self.url, self.known = litellm_url, litellm_mock

    @pytest.mark.xfail(reason="its mock takes no max_tokens", strict=True)
    def test_a_reply_that_is_cut_off_is_no_reply(self) -> None:
        super().test_a_reply_that_is_cut_off_is_no_reply()


class TestRecordedChat(_Compatible):
    """`openai`, before a recorded reply of OpenAI's chat completions"""

    # A recording is prose whatever it is asked for, as from a server that minds no schema.
    known = Learned(frozenset({CHAT.schema}))

    @pytest.fixture(autouse=True)
    def _served(self, server: ModelServer) -> None:
        body = Raw(recorded("/chat/completions"))
        server.use(lambda _: body)
        self.url = server.url

    async def broken(self) -> Sequence[Backend]:
        return (await super().broken())[:1]  # it knows no other model, and no key

    @pytest.mark.xfail(reason="a recording takes no max_tokens", strict=True)
    def test_a_reply_that_is_cut_off_is_no_reply(self) -> None:
        super().test_a_reply_that_is_cut_off_is_no_reply()


class TestRecordedResponses(TestRecordedChat):
    """`openai`, before a recorded reply of OpenAI's responses"""

    @pytest.fixture(autouse=True)
    def _served(self, server: ModelServer) -> None:
        body = Raw(recorded("/responses"))
        server.use(lambda _: body, responses=lambda _: body)
        self.url = server.url
        self.known = Learned(frozenset({RESPONSES.schema}), responses=True)


# --- the contract itself

Says = Callable[[Request], Iterable[Delta | Exception]]
SPENT = TokenCount(10, 2)


class _Odd(BackendContract):
    """A backend that says what it should not, with every capability."""

    def __init__(self, says: Says, **can: Any) -> None:
        self._says = says
        self._can = Capabilities(seed=True, **can)

    async def backend(self) -> Backend:
        backend = FakeBackend([])
        backend.capabilities = self._can
        backend.stream = self._stream  # type: ignore[method-assign]
        return backend

    async def broken(self) -> Sequence[Backend]:
        return (await self.backend(),)

    async def _stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        for each in self._says(request):
            if isinstance(each, Exception):
                raise each
            yield each


def _certain(request: Request, chosen: str) -> list[Delta]:
    logs = {choice: 0.0 if choice == chosen else -math.inf for choice in request.choices}
    return [Delta(chosen, choices=logs)]


_ever = itertools.count()
ODD: dict[str, tuple[str, Says]] = {
    "says nothing at all": ("a_reply_comes_in_pieces_and_the_last_has_the_tokens", lambda _: []),
    "tells the tokens too early": (
        "a_reply_comes_in_pieces_and_the_last_has_the_tokens",
        lambda _: [Delta("One", SPENT), Delta("Two")],
    ),
    "tells the tokens twice": (
        "a_reply_comes_in_pieces_and_the_last_has_the_tokens",
        lambda _: [Delta("One", SPENT), Delta("Two", SPENT)],
    ),
    "writes more than it may": (
        "a_reply_comes_in_pieces_and_the_last_has_the_tokens",
        lambda _: [Delta("One", TokenCount(10, 10_000))],
    ),
    "cuts characters in half": ("it_can_be_closed_twice", lambda _: [Delta("\ud835")]),
    "takes a cut reply for whole": ("a_reply_that_is_cut_off_is_no_reply", lambda _: [Delta(TEXT)]),
    "goes on after a stop": ("a_reply_ends_before_a_stop", lambda _: [Delta(TEXT)]),
    "draws without its seed": (
        "a_seed_makes_a_reply_again",
        lambda _: [Delta(str(next(_ever)))],
    ),
    "overruns its window": ("a_prompt_beyond_the_window_is_rejected", lambda _: [Delta("One")]),
    "does not say its window": (
        "a_prompt_beyond_the_window_is_rejected",
        lambda request: (
            [ModelRejected("Too long; ask less.")]
            if len(request.messages[0].content) > 100
            else [Delta("One")]
        ),
    ),
    "mixes up its requests": (
        "requests_at_once_do_not_mix",
        lambda request: _certain(request, "a0"),
    ),
    "fails in its own way": ("what_fails_is_said_in_a_sentence", lambda _: [KeyError("model")]),
    "fails in many lines": (
        "what_fails_is_said_in_a_sentence",
        lambda _: [ModelUnavailable("It failed.\nTraceback:\n  all of it.")],
    ),
    "shows the key as it fails": (
        "what_fails_is_said_in_a_sentence",
        lambda _: [ModelUnavailable(f"{BackendContract.key} was refused; set another.")],
    ),
    "says the key": ("the_key_shows_nowhere", lambda _: [Delta(BackendContract.key)]),
}


@pytest.mark.parametrize(("test", "says"), ODD.values(), ids=ODD)
def test_the_contract_is_not_kept_by_what(
    test: str, says: Says, caplog: pytest.LogCaptureFixture
) -> None:
    check = getattr(_Odd(says, context_window=500), f"test_{test}")
    with pytest.raises((AssertionError, UnicodeEncodeError, KeyError, pytest.fail.Exception)):
        check(caplog) if "caplog" in inspect.signature(check).parameters else check()


@pytest.mark.parametrize(
    "says",
    [
        lambda _: [Delta('Sure: {"city": "Rome", "people": 3, "capital": true}')],
        lambda _: [Delta('{"city": "Rome", "people": 3}')],
        lambda _: [SchemaUnsupported("It takes none; put it into the prompt.")],
    ],
    ids=["with words around it", "in part", "though it says it can"],
)
def test_the_contract_is_not_kept_by_a_schema_kept(says: Says) -> None:
    with pytest.raises((AssertionError, ValidationError)):
        _Odd(says).test_a_reply_is_held_to_its_schema(REPLIES[0])


@pytest.mark.parametrize(
    "says",
    [
        lambda request: _certain(request, "yes."),
        lambda request: [Delta("yes")],
        lambda request: [Delta("yes", choices={"yes": 0.0})],
        lambda request: [Delta("yes", choices={"yes": -1.0, "no": -2.0})],
        lambda request: [Delta("yes", choices={"yes": -math.inf, "no": 0.0})],
        lambda request: [Delta("yes", choices=dict.fromkeys(("yes", "no"), math.log(0.5)))],
    ],
    ids=["none of them", "unrated", "partly rated", "not to one", "the other", "not certain"],
)
def test_the_contract_is_not_kept_by_a_choice_that_is(says: Says) -> None:
    with pytest.raises(AssertionError):
        _Odd(says).test_a_choice_is_one_of_those_given(("yes", "no"))


def test_the_contract_is_not_kept_where_what_was_left_goes_on() -> None:
    class Deaf(_Odd):
        def left(self) -> bool:
            return False

    with pytest.raises(AssertionError, match="went on"):
        Deaf(lambda _: [Delta("One"), Delta("Two")]).test_a_stream_that_is_closed_is_left()


def test_the_contract_holds_for_all_that_agents_ask() -> None:
    asked = {reply.__name__ for reply in REPLIES if reply.__module__.startswith("scholar.agents")}
    assert {"_Plan", "_Quotes", "_Draft", "_QuotedDraft", "_Vote"} <= asked


# --- the example, and the page


@pytest.mark.slow
def test_the_example_installs_and_passes_its_own_tests(tmp_path: Path) -> None:
    done = run_example(tmp_path)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-1_000:]


def test_the_page_has_a_row_for_everything_that_was_held_to_the_contract() -> None:
    page = (ROOT / "docs" / "backends.md").read_text("utf-8")
    about = [cls.__doc__ for name, cls in globals().items() if name.startswith("Test")]
    assert len(about) > 9
    assert [words for words in about if f"\n| {words} |" not in page] == []
