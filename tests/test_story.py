"""The story of a run, as it was really run: against texts that people have read and found good.

`WRITE_STORIES=1 pytest tests/test_story.py` writes those texts anew; look at what has changed.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from minds import Mind, Seen, but, for_backend, honest
from observing import Watched, before, entry, watch
from office import Desk, OpenDesk
from papers import QUESTION
from rich.console import Console

from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Services
from scholar.errors import ModelRejected
from scholar.events import (
    Began,
    Called,
    Drafted,
    Ended,
    Event,
    Noted,
    Paused,
    Read,
    Retrying,
    Started,
    Voted,
    Waiting,
)
from scholar.journal import RunRow
from scholar.report.timeline import Timed
from scholar.runs import Scholar
from scholar.settings import Settings, load
from scholar.story import lasted, tell, to_json
from scholar.telling import MOST_QUOTES, show
from scholar.values import Answer, Call, Draft, Inquiry, Outcome, Sentence, Usage, Verdict

STORIES = Path(__file__).parent / "stories"
NOON = 1_700_049_600.0
SECONDS = {"plan": 1.24, "search": 0.31, "read": 4.0, "compose": 6.5, "deliberate": 2.0}
"""How long nodes are said to have taken, since each machine takes another time."""
TWO = [{"question": facet, "query": facet} for facet in (QUESTION, "What does BM25 need?")]
NO_KEY = ModelRejected("The key was refused; set OPENAI_API_KEY.")


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def steady(told: Iterable[Timed]) -> list[Timed]:
    """The same events at times that are the same in every run."""
    return [(NOON + n, _steady(event)) for n, (_, event) in enumerate(told)]


def _steady(event: Event) -> Event:
    if isinstance(event, Ended):
        return replace(event, seconds=SECONDS.get(event.node, 0.012))
    return event


def shown(row: RunRow, told: Sequence[Timed], width: int = 80) -> str:
    """The story as it is printed on a terminal without colours."""
    console = Console(
        file=StringIO(), width=width, highlight=False, markup=False, emoji=False, no_color=True
    )
    show(row, told, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return str(text)


def row_of(watched: Watched, preset: str, **known: Any) -> RunRow:
    usage = replace(watched.answer.usage, seconds=14.05) if watched.answer else Usage()
    return entry(QUESTION, preset, watched.answer, started=NOON, usage=usage, **known)


def priced(settings: Settings) -> dict[str, Any]:
    return {"prices": load(prices={"fake": {"input": 1.0, "output": 4.0}}).prices}


def objects_once() -> Mind:
    """A jury whose support juror objects to the first draft."""
    votes = itertools.count()

    def vote(seen: Seen) -> dict[str, Any]:
        faulty = seen.juror == "support" and next(votes) == 0
        reasons = ["Its quote says less."] if faulty else []
        return {"reasons": reasons, "action": "revise" if faulty else "accept", "query": ""}

    return vote


def rewrites() -> Mind:
    """A writer whose second draft has one sentence less."""
    drafts = itertools.count()

    def write(seen: Seen) -> dict[str, Any]:
        sentences = [{"text": text, "evidence": [name]} for name, text in seen.quotes.items()]
        least = next(drafts)
        return {"sentences": sentences[least:3], "conflicts": [], "missing": ""}

    return write


def seen(watched: Watched) -> Usage:
    """What the calls took that were told of."""
    return Usage.of([e.call for _, e in watched.told if isinstance(e, Called)], 9.0)


def check(name: str, text: str) -> None:
    """Compare with the text that is kept, after what every story has to hold."""
    for line in text.splitlines():
        assert len(line) <= 80
        assert line == line.rstrip()
        assert line.isprintable()
    file = STORIES / f"{name}.txt"
    if os.environ.get("WRITE_STORIES"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


async def test_the_story_of_an_answer_with_two_searches_and_a_revision(
    desk: OpenDesk, settings: Settings
) -> None:
    plan: Mind = lambda _: {"premises": [], "steps": TWO}  # noqa: E731
    at = desk(but(planner=plan, juror=objects_once(), writer=rewrites()), **priced(settings))
    watched = await watch(at, at.scholar.start(QUESTION, preset="standard"))
    check("standard", shown(row_of(watched, "standard"), steady(watched.told)))


async def test_the_story_of_a_run_whose_model_failed(desk: OpenDesk, settings: Settings) -> None:
    at = desk(but(writer=lambda _: NO_KEY), **priced(settings))
    watched = await watch(at, at.scholar.start(QUESTION, preset="standard"))
    check("failed", shown(row_of(watched, "standard"), steady(watched.told)))


async def test_the_story_of_a_run_that_was_cut_short(desk: OpenDesk, settings: Settings) -> None:
    at = desk(honest, **priced(settings))
    run = at.scholar.start(QUESTION, preset="standard")
    watched = await watch(at, run, until=before("deliberate"))
    row = entry(QUESTION, "standard", status="stopped", started=NOON, usage=seen(watched))
    check("stopped", shown(row, steady(watched.told)))


async def test_the_story_of_a_run_that_was_cancelled(desk: OpenDesk) -> None:
    at = desk(honest)
    run = at.scholar.start(QUESTION, preset="standard")
    watched = await watch(at, run, until=before("deliberate"))
    answer = await run.cancelled()
    # A juror may have been asked before the word came.
    row = entry(QUESTION, "standard", answer, started=NOON, usage=seen(watched))
    check("cancelled", shown(row, steady(watched.told)))


async def test_the_story_of_a_run_that_was_taken_up_again(
    desk: OpenDesk, settings: Settings
) -> None:
    at = desk(honest, **priced(settings))
    start = at.scholar.start
    await watch(at, start(QUESTION, preset="standard"), until=before("compose"))
    run = start(QUESTION, preset="standard")
    watched = await watch(at, run, skip=before("compose"), again=True)
    told = steady(watched.told)
    again = next(n for n, (_, event) in enumerate(told) if n and isinstance(event, Started))
    told = [(at + (7_200 if n >= again else 0), event) for n, (at, event) in enumerate(told)]
    check("resumed", shown(row_of(watched, "standard"), told))


async def test_the_story_of_a_review(desk: OpenDesk, settings: Settings) -> None:
    at = desk(but(juror=objects_once()), **priced(settings))
    watched = await watch(at, at.scholar.start_review(QUESTION))
    check("review", shown(row_of(watched, "review", task="review"), steady(watched.told)))


async def test_the_story_of_a_run_with_tools(desk: OpenDesk, settings: Settings) -> None:
    at = desk(honest, **priced(settings))
    watched = await watch(at, at.scholar.start(QUESTION, preset="sibyl"))
    check("tools", shown(row_of(watched, "sibyl"), steady(watched.told)))


async def test_the_story_of_a_run_without_a_model(desk: OpenDesk) -> None:
    at = desk()
    watched = await watch(at, at.scholar.start(QUESTION))
    check("evidence", shown(row_of(watched, "standard"), steady(watched.told)))


async def test_a_model_that_stood_in_for_another_is_in_the_story(desk: OpenDesk) -> None:
    at = desk(honest)
    services = at.scholar.services
    chain = [FakeBackend([NO_KEY] * 9), FakeBackend(for_backend(honest))]
    gateway = Gateway(services.settings, {"*": chain})
    other = Scholar(services=Services(services.settings, services.library, gateway))
    watched = await watch(Desk(other, chain[1]), other.start(QUESTION, preset="fast"))
    text = shown(row_of(watched, "fast"), steady(watched.told))
    check("stood_in", text)


PLAN = Inquiry("plan", "Is this plan right, and may it cost $0.0100 to $0.0400?")


def test_a_run_that_waits_for_a_person_says_for_what_and_how_it_goes_on() -> None:
    told: list[Event] = [
        Started("7f3a12bc90de", QUESTION, "standard"),
        Began("plan"),
        Called(Call("planner", "m", 10, 5, 1.0, node="plan")),
        Paused((("i1", PLAN),)),
    ]
    row = entry(QUESTION, "standard", status="waiting", started=NOON)
    check("waiting", shown(row, steady(enumerate(told))))


def test_delays_stand_where_they_happened() -> None:
    told: list[Event] = [
        Began("read"),
        Retrying("reader", "The server is overloaded.", 2.0),
        Waiting("reader", "gpt", 3.0),
        Noted("Mind this."),
        Read(("A quote.",), 1, 0),
        Ended("read"),
        Began("compose"),
        Ended("compose", seconds=1.0),
    ]
    lines = shown(entry(QUESTION, "fast"), steady(enumerate(told))).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("  read "))
    assert "1 quote from 1 paper" in lines[at]
    assert "reader asked again after 2 s: The server is overloaded." in lines[at + 2]
    assert "up to 3 s for the limits of gpt" in lines[at + 3]
    assert "Mind this." in lines[at + 4]


def test_only_some_of_many_quotes_are_shown_and_the_rest_counted() -> None:
    def quoted(count: int) -> str:
        read = Read(tuple(f"Quote {n}." for n in range(count)), 3, 0)
        told: list[Event] = [Began("read"), read, Ended("read")]
        return shown(entry(QUESTION, "fast"), steady(enumerate(told)))

    assert quoted(MOST_QUOTES + 1).count("“") == MOST_QUOTES + 1
    many = quoted(MOST_QUOTES + 5)
    assert many.count("“") == MOST_QUOTES
    assert "and 5 more" in many


def test_a_price_that_is_not_known_is_called_so() -> None:
    told: list[Event] = [
        Began("read"),
        Called(Call("reader", "m", 10, 5, 1.0, node="read")),
        Ended("read"),
    ]
    text = shown(entry(QUESTION, "fast", usage=Usage(1, 10, 5, 1.0, None)), steady(enumerate(told)))
    assert text.count("$?") == 2
    assert "price unknown" in text


def test_a_run_without_a_trace_is_told_by_its_answer_alone() -> None:
    answer = Answer("7f3a12bc90de", QUESTION, Outcome.NO_EVIDENCE)
    text = shown(entry(QUESTION, "fast", answer, started=NOON), [])
    assert "No trace of this run was kept" in text
    assert "No evidence." in text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
async def test_the_story_fits_the_terminal(desk: OpenDesk, width: int) -> None:
    at = desk(honest)
    watched = await watch(at, at.scholar.start(QUESTION, preset="standard"))
    text = shown(row_of(watched, "standard"), watched.told, width)
    assert max(map(len, text.splitlines())) <= max(width, 60)


def test_what_a_paper_says_cannot_steer_the_terminal() -> None:
    steering = "\x1b[2J\x9b31m\u202eevil"
    told: list[Event] = [
        Began("verify"),
        Drafted(Draft((Sentence(steering),), missing=steering), 0, 0),
        Ended("verify", failed=steering),
        Began("deliberate"),
        Voted(Verdict("support", "revise", (steering,), steering)),
    ]
    text = shown(entry(steering, steering), steady(enumerate(told)))
    assert all(character.isprintable() or character == "\n" for character in text)


async def test_calls_are_told_of_the_branch_that_made_them(desk: OpenDesk) -> None:
    at = desk(honest)
    watched = await watch(at, at.scholar.start(QUESTION, preset="genread"))
    [sitting] = tell(watched.told)
    calls = {part.node: len(part.calls) for part in sitting.parts if part.calls}
    assert calls["search"] == 1
    assert watched.answer is not None
    assert sum(calls.values()) == watched.answer.usage.calls


def test_what_comes_between_is_told_of_what_began_last() -> None:
    note = Noted("Mind this.")
    [sitting] = tell(steady(enumerate([Began("section"), Began("table"), note])))
    assert [[e for _, e in part.events] for part in sitting.parts] == [[], [note]]


def test_what_was_cut_short_is_not_told_of_what_came_after() -> None:
    note = Noted("Mind this.")
    started = Started("7f3a12bc90de", QUESTION, "fast", again=True)
    told: list[Event] = [Began("search", "s1"), started, Began("read"), Ended("read"), note]
    before, after = tell(steady(enumerate(told)))
    assert [part.events for part in before.parts] == [[]]
    assert [[e for _, e in part.events] for part in after.parts] == [[note]]


async def test_the_story_as_json_adds_up_to_what_the_run_cost(
    desk: OpenDesk, settings: Settings
) -> None:
    at = desk(but(juror=objects_once()), **priced(settings))
    watched = await watch(at, at.scholar.start(QUESTION, preset="standard"))
    assert watched.answer is not None
    story = json.loads(json.dumps(to_json(row_of(watched, "standard"), watched.told)))
    usage = watched.answer.usage
    steps = story["steps"]
    assert story["passes"] == 1
    assert [step["node"] for step in steps][:4] == ["intake", "gate", "plan", "search"]
    for count in ("calls", "input_tokens", "output_tokens"):
        assert sum(step[count] for step in steps) == getattr(usage, count)
    assert sum(step["dollars"] for step in steps) == pytest.approx(usage.dollars)
    assert story["answer"]["outcome"] == story["outcome"] == "answered"
    [searched] = next(step for step in steps if step["node"] == "search")["events"]
    assert searched["type"] == "searched"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0004, "0 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (119.94, "119.9 s"),
        (120, "2 minutes"),
        (7_200, "2 hours"),
        (40 * 3600, "40 hours"),
        (72 * 3600, "3 days"),
    ],
)
def test_times_have_the_unit_that_fits_them(seconds: float, said: str) -> None:
    assert lasted(seconds) == said
