"""What the bot keeps: once each, also from several processes, and what a dead one left undone."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from scholar.settings import Allowance
from scholar.slack.store import DAY, Ask, Spent, Store
from scholar.slack.turns import Turns

FREE = Allowance()


def _ask(key: str = "k", **more: str) -> Ask:
    return Ask(key, "T1", "C1", "1.0", "U1", "What?", **more)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def _take_all(folder: Path, found: multiprocessing.Queue[int]) -> None:
    store = Store(folder)
    found.put(sum(store.take(_ask(f"k{n}"), FREE, FREE) is not None for n in range(100)))
    store.close()


@pytest.mark.slow
def test_four_processes_take_each_ask_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[int] = context.Queue()
    others = [context.Process(target=_take_all, args=(tmp_path, found)) for _ in range(4)]
    for other in others:
        other.start()
    assert sum(found.get(timeout=60) for _ in others) == 100
    for other in others:
        other.join()
    found.close()
    found.join_thread()


def test_what_a_dead_process_left_is_adopted_in_order_and_what_a_living_one_does_is_not(
    tmp_path: Path,
) -> None:
    dead, living = Store(tmp_path), Store(tmp_path)
    for n in range(3):
        dead.take(_ask(f"dead{n}"), FREE, FREE)
    living.take(_ask("living"), FREE, FREE)
    dead.close()
    heir = Store(tmp_path)
    assert [ask.key for ask in heir.adopt()] == ["dead0", "dead1", "dead2"]
    assert heir.adopt() == []
    living.close()
    heir.close()


def test_a_day_ends_at_midnight_utc(tmp_path: Path) -> None:
    now = [DAY * 20_000.0 + 100]
    store = Store(tmp_path, clock=lambda: now[0])
    one = Allowance(questions=1)
    assert store.take(_ask("a"), one, FREE)
    with pytest.raises(Spent) as spent:
        store.take(_ask("b"), one, FREE)
    assert spent.value.whose == "user"
    with pytest.raises(Spent) as spent:
        store.take(_ask("b"), FREE, one)
    assert spent.value.whose == "channel"
    now[0] += DAY
    assert store.take(_ask("b"), one, one)
    store.close()


def test_what_was_changed_of_an_ask_is_there_when_it_is_read_again(store: Store) -> None:
    ask = store.take(_ask(), FREE, FREE)
    assert ask is not None
    evidence = [{"paper": "p", "quotes": []}]
    store.update(ask, state="done", posted=["1.2"], evidence=evidence, dollars=0.5)
    known = store.get(ask.id)
    assert known is not None
    assert (known.state, known.posted, known.evidence) == ("done", ("1.2",), tuple(evidence))
    assert store.knows_thread("C1", "1.0")
    assert not store.knows_thread("C1", "2.0")


def test_an_ask_that_waits_for_a_person_is_gone_on_with_once(store: Store) -> None:
    ask = store.take(_ask(), FREE, FREE)
    assert ask is not None
    assert store.reopen(ask, {"i": True}) is None  # it does not wait
    store.update(ask, state="waiting")
    opened = store.reopen(ask, {"i": True})
    assert opened is not None
    assert (opened.state, opened.replies) == ("queued", {"i": True})
    assert store.reopen(ask, {"i": True}) is None


def test_a_vote_counts_once(store: Store) -> None:
    assert store.vote("a", "U1", True)
    assert not store.vote("a", "U1", False)
    assert store.vote("a", "U2", False)


async def test_turns_come_in_order_and_those_of_a_thread_one_by_one() -> None:
    turns = Turns(2)
    a, b, a2, c = (turns.enter(thread) for thread in "abac")
    assert [turn.come.is_set() for turn in (a, b, a2, c)] == [True, True, False, False]
    assert [turn.position for turn in (a, b, a2, c)] == [0, 0, 1, 2]
    moves: list[int] = []
    c.moved = moves.append
    turns.leave(b)
    assert [turn.come.is_set() for turn in (a2, c)] == [False, True]  # a is not done with
    turns.leave(a)
    assert a2.come.is_set()
    await asyncio.wait_for(a2.come.wait(), 1)


async def test_a_place_that_is_given_up_moves_the_others() -> None:
    turns = Turns(1)
    first, second, third = (turns.enter(thread) for thread in "abc")
    moves: list[int] = []
    third.moved = moves.append
    turns.leave(second)
    assert moves == [1]
    turns.leave(first)
    assert third.come.is_set()
