"""Feedback: what readers called helpful ranks higher among equals, and lifts nothing else."""

from __future__ import annotations

import pytest
from papers import QUESTION

from scholar.library import Library
from scholar.library.feedback import BONUS, weighed


async def order(library: Library, strategy: str) -> list[str]:
    return [hit.passage_id for hit in await library.search(QUESTION, 5, strategy=strategy)]


async def test_what_helped_ranks_higher_and_what_did_not_lower(shelf: Library) -> None:
    scores = {hit.passage_id: hit.scores["fused"] for hit in await shelf.search(QUESTION, 5)}
    first, second = list(scores)[:2]
    assert await shelf.rate([second], helpful=True) == 1
    assert await shelf.rate([first], helpful=False) == 1
    found = await shelf.search(QUESTION, 5, strategy="feedback")
    rated = {hit.passage_id: hit.scores["fused"] for hit in found}
    assert rated[second] > scores[second]
    assert rated[first] < scores[first]


async def test_without_feedback_nothing_changes(shelf: Library) -> None:
    assert await order(shelf, "feedback") == await order(shelf, "hybrid")


async def test_no_number_of_voices_lifts_a_passage_further_than_the_bonus(shelf: Library) -> None:
    last = (await order(shelf, "hybrid"))[-1]
    for _ in range(50):
        await shelf.rate([last], helpful=True)
    before = {hit.passage_id: hit.scores["fused"] for hit in await shelf.search(QUESTION, 5)}
    after = await shelf.search(QUESTION, 5, strategy="feedback")
    lifted = next(hit.scores["fused"] for hit in after if hit.passage_id == last)
    assert lifted == pytest.approx(before[last] * (1 + BONUS))


async def test_feedback_goes_with_its_paper_and_unknown_passages_have_none(shelf: Library) -> None:
    [hit, *_] = await shelf.search(QUESTION, 1)
    assert await shelf.rate([hit.passage_id, "nobody#0"], helpful=True) == 1
    await shelf.remove([hit.paper_id])
    assert await shelf.rate([hit.passage_id], helpful=True) == 0


def test_voices_for_and_against_cancel_out() -> None:
    ranking = [("a", 1.0), ("b", 0.99)]
    assert [id for id, _ in weighed(ranking, {"a": 0, "b": 1})] == ["b", "a"]
    assert weighed(ranking, {"a": 0, "b": 0}) == ranking
