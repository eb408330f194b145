"""The gate: what a model believes beforehand steers how much is planned, and is never evidence."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from knowing import entry, knowing
from minds import Mind, Seen, but, for_backend
from papers import QUESTION
from test_presets import THREE_HOPS

from scholar.agents import gate
from scholar.backends import Capabilities, Delta, Request
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.context import Services, context_for
from scholar.errors import BudgetSpent, ModelRefused
from scholar.events import Called, Event
from scholar.library import Library
from scholar.prompts import render
from scholar.runs import Scholar
from scholar.settings import Budget, Settings
from scholar.state import State
from scholar.values import Prior

BELIEVED = "By a walk from the entities of the question."


def believing(word: str, answer: str = BELIEVED) -> Mind:
    return but(prior=lambda _: {"answer": answer, "sure": word})


class Telling(FakeBackend):
    """A model that tells likelihoods: it is sure of its answers with probability `sure`."""

    def __init__(self, mind: Mind, sure: float | Exception) -> None:
        super().__init__(for_backend(mind))
        self.capabilities = Capabilities(logprobs=True)
        self._sure = sure

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        if not request.choices:
            async for delta in super().stream(request):
                yield delta
            return
        self.requests.append(request)
        if isinstance(self._sure, Exception):
            raise self._sure
        logs = {"sure": math.log(self._sure), "unsure": math.log(1 - self._sure)}
        yield Delta(max(logs, key=lambda choice: logs[choice]))
        yield Delta(choices=logs)


async def gated(backend: FakeBackend, library: Library, settings: Settings) -> State:
    services = Services(settings, library, Gateway(settings, {"*": backend}))
    state: State = {"question": QUESTION, "preset": "deep"}
    return await gate.gate(state, context_for(state, services, lambda _: None))


async def test_a_model_that_tells_no_likelihoods_is_taken_at_its_word(
    shelf: Library, settings: Settings
) -> None:
    backend = FakeBackend(for_backend(believing("medium")))
    assert await gated(backend, shelf, settings) == {"prior": Prior(BELIEVED, 0.6)}
    assert [request.schema_name for request in backend.requests] == ["prior"]


@pytest.mark.parametrize(("word", "sure"), [("high", 0.25), ("low", 0.97)])
async def test_how_likely_it_calls_itself_sure_counts_before_its_word(
    shelf: Library, settings: Settings, word: str, sure: float
) -> None:
    backend = Telling(believing(word), sure)
    found = (await gated(backend, shelf, settings))["prior"]
    assert found is not None
    assert found.answer == BELIEVED
    assert found.sure == pytest.approx(sure)
    [_, probe] = backend.requests
    assert probe.choices == ("sure", "unsure")
    assert f"<answer>\n{BELIEVED}\n</answer>" in probe.messages[1].content


async def test_who_does_not_know_is_not_asked_how_sure(shelf: Library, settings: Settings) -> None:
    backend = Telling(believing("high", "Unknown."), 0.9)
    assert await gated(backend, shelf, settings) == {"prior": Prior("", 0.0)}
    assert len(backend.requests) == 1


async def test_a_probe_that_is_refused_leaves_the_word(shelf: Library, settings: Settings) -> None:
    backend = Telling(believing("low"), ModelRefused("It would not say; ask another model."))
    assert await gated(backend, shelf, settings) == {"prior": Prior(BELIEVED, 0.3)}


async def test_a_model_that_will_not_say_believes_nothing(
    shelf: Library, settings: Settings
) -> None:
    backend = FakeBackend(for_backend(but(prior=lambda _: "no JSON")))
    update = await gated(backend, shelf, settings)
    assert "prior" not in update
    assert "not known" in update["notes"][0]


@pytest.mark.parametrize(("sure", "rounds"), [(0.95, 1), (0.6, 3)])
async def test_the_sure_plan_one_round_and_what_they_believe_is_no_evidence(
    library: Library, settings: Settings, sure: float, rounds: int
) -> None:
    hops = THREE_HOPS.hops
    await library.add([entry(hop.passage, "", hop.text) for hop in hops])

    def mind(seen: Seen) -> Any:
        said = {"answer": BELIEVED, "sure": "medium"}
        return said if seen.call == "prior" else knowing([THREE_HOPS])(seen)

    backend = Telling(mind, sure)
    services = Services(settings, library, Gateway(settings, {"*": backend}))
    answer = await Scholar(services=services).ask(THREE_HOPS.question, preset="deep")
    planned = [r for r in backend.requests if r.schema_name == "follow_up"]
    assert len(planned) == rounds
    assert BELIEVED not in "".join(sentence.text for sentence in answer.sentences)


# The door that it goes through


async def test_a_probe_is_entered_and_told_like_any_call(
    shelf: Library, settings: Settings
) -> None:
    gateway = Gateway(settings, {"*": Telling(believing("low"), 0.8)})
    ledger, events = Ledger(Budget(), settings.price_of), list[Event]()
    prompt = render("sure", question=QUESTION, answer=BELIEVED)
    likely = await gateway.classify(prompt, ("sure", "unsure"), ledger=ledger, emit=events.append)
    assert likely == pytest.approx({"sure": 0.8, "unsure": 0.2})
    [call] = ledger.calls
    assert call.role == "planner"
    assert call.input_tokens > 10
    assert [event.call for event in events if isinstance(event, Called)] == [call]


async def test_a_spent_budget_stops_a_probe(settings: Settings) -> None:
    backend = Telling(believing("low"), 0.8)
    gateway = Gateway(settings, {"*": backend})
    prompt = render("sure", question=QUESTION, answer=BELIEVED)
    with pytest.raises(BudgetSpent):
        await gateway.classify(
            prompt,
            ("sure", "unsure"),
            ledger=Ledger(Budget(tokens=0), settings.price_of),
        )
    assert not backend.requests


async def test_without_likelihoods_nothing_is_asked(settings: Settings) -> None:
    backend = FakeBackend(["sure"])
    ledger = Ledger(Budget(), settings.price_of)
    prompt = render("sure", question=QUESTION, answer=BELIEVED)
    gateway = Gateway(settings, {"*": backend})
    assert await gateway.classify(prompt, ("sure", "unsure"), ledger=ledger) is None
    assert not backend.requests
