"""The tournament of ideas: what a jury's comparisons come to, and what becomes of bad jurors."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from scholar.agents.strengths import Vote, pairs, places, strengths
from scholar.agents.tournament import BRIEFS, CRITERIA, LONGEST, Ranking, enough, rank
from scholar.backends import Request
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Services, context_for
from scholar.errors import ModelRejected
from scholar.library import Library
from scholar.settings import Budget, Settings

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

import tournament as simulation

QUESTION = "What should be tried next?"
_TITLES = re.compile(r'<idea place="(?:first|second)" title="Idea (\d+)">')


@dataclass(frozen=True)
class Idea:
    """One to compare; its number says how good it is."""

    number: int
    body: str = "It is tried on data that exist."

    @property
    def id(self) -> str:
        return f"i{self.number}"

    @property
    def title(self) -> str:
        return f"Idea {self.number}"

    @property
    def text(self) -> str:
        return f"{self.title}. {self.body}"


@dataclass(frozen=True)
class Seen:
    """What a juror was shown."""

    first: int
    second: int
    brief: str
    text: str


Said = dict[str, str] | Exception
Judge = Callable[[Seen], Said]


def seen(request: Request) -> Seen:
    text = request.messages[1].content
    first, second = map(int, _TITLES.findall(text))
    brief = next(name for name, words in BRIEFS.items() if words in text)
    return Seen(first, second, brief, text)


def says(better: str) -> Said:
    return {"why": "So it is.", **dict.fromkeys(CRITERIA, better)}


def able(shown: Seen) -> Said:
    """Knows which idea is better."""
    return says("first" if shown.first > shown.second else "second")


def but(**others: Judge) -> Judge:
    """`able`, except the jurors named."""
    return lambda shown: others.get(shown.brief, able)(shown)


def always(better: str) -> Judge:
    return lambda _: says(better)


def fails(_: Seen) -> Said:
    return ModelRejected("The model broke down; choose another.")


class Hall:
    """Where tournaments are played; `asked` is what the last one's jurors were shown, in order."""

    def __init__(self, library: Library, settings: Settings) -> None:
        self.asked: list[Seen] = []
        self._library, self._settings = library, settings

    async def play(
        self, ideas: Sequence[Idea], judge: Judge, most: int | None = None, **changes: Any
    ) -> Ranking:
        """The ranking of `ideas` by jurors with the given mind; settings may be changed."""

        def reply(request: Request) -> str | Exception:
            said = judge(seen(request))
            return said if isinstance(said, Exception) else json.dumps(said)

        known = self._settings.model_copy(update=changes)
        backend = FakeBackend(reply)
        services = Services(known, self._library, Gateway(known, {"*": backend}))
        ranking = await rank(ideas, QUESTION, context_for({}, services, lambda _: None), most=most)
        self.asked = [seen(request) for request in backend.requests]
        return ranking


@pytest.fixture
def hall(library: Library, settings: Settings) -> Hall:
    """A hall with nobody in it."""
    return Hall(library, settings)


def ideas(count: int) -> list[Idea]:
    return [Idea(n) for n in range(count)]


def order(ranking: Ranking) -> list[str]:
    return list(ranking.standings)


async def test_able_jurors_put_the_ideas_in_order(hall: Hall) -> None:
    ranking = await hall.play(ideas(6), able, most=60)
    assert order(ranking) == ["i5", "i4", "i3", "i2", "i1", "i0"]
    scores = [one.score for one in ranking.standings.values()]
    assert all(0 < score < 1 for score in scores)
    assert all(one.low < one.score < one.high for one in ranking.standings.values())
    assert ranking.standings["i5"].place == 1
    assert ranking.standings["i0"].place > 1
    assert ranking.notes == ()


@pytest.mark.parametrize("count", [2, 3, 5, 6, 8])
async def test_comparisons_are_about_n_log_n_and_each_is_a_call(hall: Hall, count: int) -> None:
    ranking = await hall.play(ideas(count), able)
    assert ranking.comparisons == len(hall.asked) <= enough(count)
    assert count * math.log2(count) <= enough(count) < count * math.log2(count) + 2


@pytest.mark.parametrize("most", [0, 1, 2, 7, 40])
async def test_no_more_is_asked_than_was_allowed(hall: Hall, most: int) -> None:
    ranking = await hall.play(ideas(8), able, most=most)
    assert len(hall.asked) <= most
    assert ranking.comparisons == len(hall.asked)
    assert len(ranking.standings) == 8


async def test_each_pair_is_judged_both_ways_round_by_the_same_juror(hall: Hall) -> None:
    await hall.play(ideas(7), able, most=60)
    shown = {(one.first, one.second, one.brief) for one in hall.asked}
    assert len(shown) == len(hall.asked), "the same was asked twice"
    assert shown == {(second, first, brief) for first, second, brief in shown}
    assert {brief for *_, brief in shown} == set(BRIEFS)


async def test_a_juror_that_contradicts_itself_calls_a_tie(hall: Hall) -> None:
    ranking = await hall.play(ideas(2), always("second"), most=2)
    one, other = ranking.standings.values()
    assert one.score == pytest.approx(other.score) == pytest.approx(0.5)
    assert one.place == other.place == 1


async def test_a_juror_that_always_prefers_the_first_is_asked_no_more_and_named(
    hall: Hall,
) -> None:
    ranking = await hall.play(ideas(8), but(sceptic=always("first")), most=56)
    assert sum(one.brief == "sceptic" for one in hall.asked) <= 4
    assert any("'sceptic' always preferred the first" in note for note in ranking.notes)
    assert order(ranking) == [f"i{n}" for n in reversed(range(8))]


async def test_where_all_jurors_look_at_the_order_alone_all_ideas_are_tied(hall: Hall) -> None:
    ranking = await hall.play(ideas(6), always("first"), most=60)
    assert {one.place for one in ranking.standings.values()} == {1}
    assert len(hall.asked) < 20
    assert len(ranking.notes) == len(BRIEFS)


async def test_a_juror_that_cannot_be_read_abstains_and_is_named(hall: Hall) -> None:
    ranking = await hall.play(ideas(6), but(builder=fails), most=60)
    assert order(ranking) == ["i5", "i4", "i3", "i2", "i1", "i0"]
    assert ["'builder' abstains" in note for note in ranking.notes] == [True]
    read = sum(one.brief != "builder" for one in hall.asked)
    assert ranking.comparisons == read


async def test_where_no_juror_can_be_read_nothing_is_ranked_and_that_is_said(hall: Hall) -> None:
    ranking = await hall.play(ideas(6), fails, most=60)
    assert ranking.comparisons == 0
    assert {one.place for one in ranking.standings.values()} == {1}
    assert {one.score for one in ranking.standings.values()} == {0.5}
    assert ranking.notes[-1] == "Nothing was compared, so the ideas are not ranked."


async def test_a_pair_that_was_read_one_way_round_alone_does_not_count(hall: Hall) -> None:
    def reads_one_order(shown: Seen) -> Said:
        return able(shown) if shown.first < shown.second else fails(shown)

    ranking = await hall.play(ideas(4), reads_one_order, most=40)
    assert ranking.comparisons == 0


async def test_a_spent_budget_ends_in_a_ranking_of_what_is_there(hall: Hall) -> None:
    whole = await hall.play(ideas(8), able, most=40)
    budget = Budget(tokens=12_000)  # a call is kept 8,000 for its reply at first, and takes 600
    ranking = await hall.play(ideas(8), able, most=40, budget=budget)
    assert 0 < ranking.comparisons < whole.comparisons
    assert ["cut short" in note for note in ranking.notes] == [True]
    assert whole.complete
    assert not ranking.complete


async def test_each_criterion_has_a_score_of_its_own(hall: Hall) -> None:
    def newest_is_hardest(shown: Seen) -> Said:
        better, worse = ("first", "second") if shown.first > shown.second else ("second", "first")
        return {**says("same"), "novelty": better, "feasibility": worse}  # type: ignore[dict-item]

    ranking = await hall.play(ideas(4), newest_is_hardest, most=36)
    best, worst = ranking.standings["i3"].criteria, ranking.standings["i0"].criteria
    assert set(best) == set(CRITERIA)
    assert best["novelty"] > 0.5 > best["feasibility"]
    assert worst["novelty"] < 0.5 < worst["feasibility"]
    assert best["excitement"] == pytest.approx(0.5)
    assert {one.place for one in ranking.standings.values()} == {1}, "overall they are tied"


async def test_the_same_ideas_in_any_order_are_asked_about_in_the_same_way(hall: Hall) -> None:
    first = await hall.play(ideas(6), able)
    once = hall.asked
    shuffled = ideas(6)
    random.Random(3).shuffle(shuffled)
    assert await hall.play(shuffled, able) == first
    assert hall.asked == once


async def test_ideas_are_shown_alike_and_fit_the_smallest_window(hall: Hall) -> None:
    window = 8_192
    long = [Idea(n, "Ähnliche Wörter. " * 3_000) for n in range(2)]
    await hall.play(long, able, context_window=window)
    for one in hall.asked:
        texts = re.findall(r"<idea [^>]*>\n(.*?)\n</idea>", one.text, re.DOTALL)
        assert len({len(text) for text in texts}) == 1
        assert all(len(text.encode()) <= LONGEST + 3 for text in texts)
        assert QUESTION in one.text
        assert len(one.text.encode()) < 3.5 * window * 0.75


@pytest.mark.parametrize("count", [0, 1])
async def test_what_cannot_be_compared_asks_nobody(hall: Hall, count: int) -> None:
    ranking = await hall.play(ideas(count), fails)
    assert [one.place for one in ranking.standings.values()] == [1] * count
    assert hall.asked == []
    assert ranking.notes == ()


async def test_jurors_with_models_of_their_own_are_asked_by_these(
    library: Library, settings: Settings
) -> None:
    models: list[str | None] = []

    class Noting(Gateway):
        async def ask(self, prompt: Any, reply: Any, **more: Any) -> Any:
            models.append(more["model"])
            return reply(**cast(dict[str, str], says("first")))

    known = settings.model_copy(
        update={
            "jury": settings.jury.model_copy(update={"models": {"support": "a", "critic": "b"}})
        }
    )
    services = Services(known, library, Noting(known))
    await rank(ideas(6), QUESTION, context_for({}, services, lambda _: None))
    assert set(models) == {"a", "b"}


# The scores


def votes(*said: tuple[int, int, int, float]) -> list[Vote]:
    return [Vote(*one) for one in said]


def test_strengths_are_those_of_bradley_and_terry() -> None:
    """Against the closed form of two things: log-odds of the share won, but for the weak prior."""
    said = votes(*[(0, 1, 0, 1.0)] * 300, *[(1, 0, 0, 0.0)] * 300, *[(0, 1, 0, 0.0)] * 100,
                 *[(1, 0, 0, 1.0)] * 100)  # fmt: skip
    found = strengths(2, 1, said)
    assert found.values[0] - found.values[1] == pytest.approx(math.log(3), abs=0.02)
    assert found.values.sum() == pytest.approx(0.0, abs=1e-6)


def test_a_liking_for_the_first_is_not_taken_for_strength() -> None:
    """Half of the votes are for the one that was always shown second, by a judge that prefers the
    first of two others in either order.
    """
    leaning = [(2, 3, 0, 1.0), (3, 2, 0, 1.0)] * 10
    found = strengths(4, 1, votes(*leaning, *[(0, 1, 0, 1.0), (0, 1, 0, 0.0)] * 5))
    assert found.values[1] > found.values[0] + 0.3
    assert found.values[2] == pytest.approx(found.values[3])


def test_more_votes_narrow_the_interval() -> None:
    few = strengths(2, 1, votes((0, 1, 0, 1.0), (1, 0, 0, 1.0)))
    many = strengths(2, 1, votes(*[(0, 1, 0, 1.0), (1, 0, 0, 1.0)] * 20))
    assert np.all(many.errors < few.errors)


def test_answers_that_err_apart_tell_more_than_answers_that_go_together() -> None:
    apart = [(0, 1, 0, 0.75), (1, 0, 0, 0.25)] * 10
    together = [(0, 1, 0, 1.0), (1, 0, 0, 0.0)] * 7 + [(0, 1, 0, 0.0), (1, 0, 0, 1.0)] * 3
    told = strengths(2, 1, votes(*apart), answers=4)
    lumped = strengths(2, 1, votes(*together), answers=4)
    assert told.errors[0] < 0.8 * lumped.errors[0]


def test_places_are_shared_where_intervals_overlap() -> None:
    assert places([0.6, 0.5, 0.1], [0.9, 0.7, 0.4]) == [1, 1, 3]
    assert places([0.6, 0.3, 0.1], [0.9, 0.7, 0.4]) == [1, 1, 2]
    assert places([], []) == []


def test_neighbours_meet_and_of_an_odd_number_each_sits_out_in_turn() -> None:
    assert pairs([0.0, 3.0, 1.0, 2.9], {}, [0] * 4, lambda *_: True) == [(1, 3), (2, 0)]
    met = {frozenset((1, 3)): 9}
    assert pairs([0.0, 3.0, 1.0, 2.9], met, [0] * 4, lambda *_: True)[0] == (1, 2)
    assert pairs([3.0, 2.0, 1.0], {}, [0, 0, 0], lambda *_: True) == [(0, 1)]
    assert pairs([3.0, 2.0, 1.0], {}, [0, 0, 1], lambda *_: True) == [(0, 2)]
    assert pairs([3.0, 2.0], {}, [0, 0], lambda *_: False) == []


# With jurors that err


@pytest.mark.slow
async def test_jurors_that_err_recover_the_order_in_forty_comparisons() -> None:
    """20 % noise, a lean towards the first, and one of three that always prefers the first."""

    async def mean(kind: str, comparisons: int) -> float:
        found = [await simulation.tournament(seed, kind, comparisons) for seed in range(60)]
        return sum(one.tau for one in found) / len(found)

    half, whole, double = [await mean("answers", n) for n in (20, 40, 80)]
    assert half < whole < double
    assert whole >= 0.8
    assert await mean("reply", 40) > 0.55


def test_the_least_number_of_calls_grows_with_what_is_asked() -> None:
    assert 25 < simulation.least_calls(0.8) < 35
    assert simulation.least_calls(0.6) < simulation.least_calls(0.8) < simulation.least_calls(0.9)


def test_the_simulated_tournament_is_the_same_each_time() -> None:
    one, other = (asyncio.run(simulation.tournament(1, "own", 24)) for _ in range(2))
    assert one == other
