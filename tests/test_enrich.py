"""Enriching: what a model draws from stored papers, once, and nothing it made up."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from papers import GAIN, SHELF

from scholar.agents.enricher import KINDS, LONGEST_PART, MOST_ENTITIES, Enriched, enrich
from scholar.backends import Request
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.errors import BudgetSpent, ModelRejected
from scholar.library import Kind, Library
from scholar.settings import Budget, Settings

_PASSAGE = re.compile(r'<passage id="(p\d+)"[^>]*>\n(.*?)\n</passage>', re.DOTALL)
FACT = {"subject": "Graph walks", "relation": "gain", "object": "7.1 points of recall"}
PASSAGES = sum(len(stored.entry.passages) for stored in SHELF.values())


def reads(request: Request) -> str:
    """A model that draws two words, a question and a card from whatever it is shown."""
    user = request.messages[1].content
    if request.schema_name == "card":
        words = user.split("\n")[1].split()
        card = {"problem": "P.", "approach": "A.", "motivations": [" "], "contributions": ["C."]}
        return json.dumps(card | {"entities": [words[0], "Zorblax", *words[1:8]]})
    shown = {label: text.split() for label, text in _PASSAGE.findall(user)}
    if request.schema_name == "facts":
        facts = [
            {"passage": label, "subject": words[0], "relation": "stands near", "object": words[1]}
            for label, words in shown.items()
        ]
        return json.dumps({"facts": facts})
    asked = [
        {"passage": label, "question": f"What of {words[0]} then?"}
        for label, words in shown.items()
    ]
    return json.dumps({"questions": asked})


async def enriched(
    library: Library,
    settings: Settings,
    mind: Callable[[Request], str | Exception] = reads,
    kinds: tuple[Kind, ...] = KINDS,
    budget: Budget | None = None,
) -> tuple[list[Enriched], FakeBackend]:
    backend = FakeBackend(mind)
    gateway = Gateway(settings, {"*": backend})
    ledger = Ledger(budget or Budget(), settings.price_of)
    try:
        return [one async for one in enrich(library, gateway, ledger, kinds)], backend
    finally:
        await gateway.aclose()


def facts(*given: dict[str, Any] | Any) -> Callable[[Request], str]:
    """Says `given` of each passage that has GAIN, and nothing of the others."""

    def mind(request: Request) -> str:
        labels = [
            label for label, text in _PASSAGE.findall(request.messages[1].content) if GAIN in text
        ]
        told = [
            {"passage": label} | fact if isinstance(fact, dict) else fact
            for label in labels
            for fact in given
        ]
        return json.dumps({"facts": told})

    return mind


async def test_every_passage_and_paper_is_enriched_once(shelf: Library, settings: Settings) -> None:
    results, first = await enriched(shelf, settings)
    assert sum(one.done for one in results if one.kind == "facts") == PASSAGES
    assert sum(one.kept for one in results if one.kind == "questions") == PASSAGES
    assert sum(one.kept for one in results if one.kind == "card") == len(SHELF)
    assert await shelf.lacking() == {"facts": 0, "questions": 0, "card": 0}
    assert first.requests
    again, second = await enriched(shelf, settings)
    assert not again
    assert not second.requests


async def test_what_is_drawn_can_be_looked_up(shelf: Library, settings: Settings) -> None:
    await enriched(shelf, settings)
    passages = [p for paper in SHELF for p in await shelf.passages_of(paper)]
    ids = [passage.id for passage in passages]
    stated = {id for fact in await shelf.facts_of(ids) for id in fact.passages}
    assert stated == set(ids)
    assert set(await shelf.questions_of(ids)) == set(ids)
    cards = await shelf.cards(list(SHELF))
    assert {card.paper_id for card in cards} == set(SHELF)
    assert all(card.contributions == ("C.",) and not card.motivations for card in cards)


async def test_entities_that_the_text_lacks_are_left_out(
    shelf: Library, settings: Settings
) -> None:
    await enriched(shelf, settings, kinds=("card",))
    for card in await shelf.cards(list(SHELF)):
        assert "Zorblax" not in card.entities
        assert len(card.entities) <= MOST_ENTITIES


@pytest.mark.parametrize(
    "malformed",
    [
        {"subject": "", "relation": "gain", "object": "recall"},
        {"subject": "Graph walks", "relation": "gain", "object": "recall " * (LONGEST_PART + 1)},
        {"subject": "Graph walks", "relation": "gain", "object": "Graph walks"},
        {"subject": "Graph walks", "relation": "defeat", "object": "Zorblax"},
        {"subject": "Graph walks", "relation": "gain"},
        {"subject": "Graph walks", "relation": ["gain"], "object": "recall"},
        {"subject": "Graph walks", "relation": "gain", "object": "recall", "passage": "p99"},
        "no triple at all",
    ],
    ids=str,
)
async def test_a_malformed_triple_is_dropped_and_counted(
    shelf: Library, settings: Settings, malformed: Any
) -> None:
    results, backend = await enriched(shelf, settings, facts(FACT, malformed), ("facts",))
    stated = await shelf.facts()
    assert [(f.subject, f.relation, f.object) for f in stated] == [tuple(FACT.values())]
    assert sum(one.dropped for one in results) == sum(one.kept for one in results) == 1
    assert len(backend.requests) == len(results)  # and nobody was asked again for it


async def test_a_reply_that_never_fits_costs_its_own_passages_until_next_time(
    shelf: Library, settings: Settings
) -> None:
    def mind(request: Request) -> str:
        return "no" if GAIN in request.messages[1].content else reads(request)

    results, _ = await enriched(shelf, settings, mind, ("card",))
    assert [one.problem for one in results if one.problem]
    assert sum(one.done for one in results) < len(SHELF)
    lacking = (await shelf.lacking())["card"]
    assert lacking == len([one for one in results if one.problem])
    await enriched(shelf, settings, kinds=("card",))
    assert (await shelf.lacking())["card"] == 0


async def test_what_was_paid_for_is_kept_when_the_work_breaks_off(
    shelf: Library, settings: Settings
) -> None:
    calls = 0

    def mind(request: Request) -> str | Exception:
        nonlocal calls
        calls += 1
        return reads(request) if calls <= 2 else ModelRejected("The key was refused; set another.")

    with pytest.raises(ModelRejected):
        await enriched(shelf, settings, mind, ("card",))
    assert (await shelf.lacking())["card"] == len(SHELF) - 2
    _, backend = await enriched(shelf, settings, kinds=("card",))
    assert len(backend.requests) == len(SHELF) - 2


async def test_a_spent_budget_ends_the_work(shelf: Library, settings: Settings) -> None:
    with pytest.raises(BudgetSpent):
        await enriched(shelf, settings, budget=Budget(tokens=300))


async def test_leaving_early_leaves_no_task_behind(shelf: Library, settings: Settings) -> None:
    gateway = Gateway(settings, {"*": FakeBackend(reads)})
    ledger = Ledger(Budget(), settings.price_of)
    work = enrich(shelf, gateway, ledger)
    await anext(work)
    await work.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await gateway.aclose()


async def test_hostile_text_stays_inside_its_fence(shelf: Library, settings: Settings) -> None:
    _, backend = await enriched(shelf, settings, kinds=("facts",))
    for request in backend.requests:
        user = request.messages[1].content
        assert user.count("</passage>") == len(_PASSAGE.findall(user))
