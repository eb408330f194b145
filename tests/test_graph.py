"""Runs: what is asked in which order, how each run can end, and that it always does."""

from __future__ import annotations

import asyncio
import itertools
import re
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from minds import Mind, Seen, but, call_of, for_backend, for_server, honest
from model_server import ModelServer
from office import OpenDesk
from papers import BM25, GAIN, NO_GAIN, QUESTION, RANKING, REVISITED, SHELF, SPARSE, WALKS, faults

from scholar import graph as graph_module
from scholar.agents import extractor, jury, planner, publisher, reader, retriever, writer
from scholar.backends import Delta, Request
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Context, Services, context_for
from scholar.errors import ModelRejected, SettingsError, UsageError
from scholar.events import (
    Began,
    Called,
    Drafted,
    Drafting,
    Ended,
    Event,
    Finished,
    Planned,
    Read,
    Searched,
    Voted,
)
from scholar.graph import build_graph
from scholar.library import Entry, Library
from scholar.library.passages import cut
from scholar.runs import Run, Scholar
from scholar.settings import Budget, Price, Settings
from scholar.state import Failure, State, draft_of
from scholar.values import Answer, Draft, Evidence, Outcome, Paper, Sentence, Step, Verdict

ABOUT_THE_NOTES = "How does HippoRAG 2 rank passages?"
ROUND = ["planner", "reader", "writer", "juror", "juror", "juror"]
NO_KEY = ModelRejected("The key was refused; set OPENAI_API_KEY.")


def vote(action: str, query: str = "", *reasons: str) -> dict[str, Any]:
    return {"reasons": list(reasons or (f"I say {action}.",)), "action": action, "query": query}


def jurors(*rounds: dict[str, Any]) -> Mind:
    """All three jurors vote alike; one vote per round, the last for ever."""
    votes = itertools.chain.from_iterable([r] * 3 for r in rounds)
    return lambda _: next(votes, rounds[-1])


def texts(answer: Answer) -> list[str]:
    return [sentence.text for sentence in answer.sentences]


def quotes(answer: Answer) -> list[str]:
    return [c.quote for sentence in answer.sentences for c in sentence.citations]


async def events_of(run: Run) -> list[Event]:
    return [event async for event in run.events()]


def picks(*wanted: str) -> Mind:
    """A reader that returns these sentences."""

    def read(seen: Seen) -> dict[str, Any]:
        found = [(q, p) for q in wanted for p, text in seen.passages.items() if q in text]
        return {
            "quotes": [
                {"passage": p, "quote": q, "step": seen.steps[0], "helps": "answers", "says": ""}
                for q, p in found
            ]
        }

    return read


def writes(missing: str = "", conflict: bool = False) -> Mind:
    """A writer of one sentence per quote, or of one conflict between the first two."""

    def write(seen: Seen) -> dict[str, Any]:
        sentences = [{"text": text, "evidence": [name]} for name, text in seen.quotes.items()]
        conflicts = [{"about": "the gain", "sides": sentences[:2]}] if conflict else []
        return {
            "sentences": [] if conflict else sentences,
            "conflicts": conflicts,
            "missing": missing,
        }

    return write


async def test_without_a_model_the_answer_is_the_quotes_themselves(desk: OpenDesk) -> None:
    answer = await desk().scholar.ask(QUESTION)
    assert answer.outcome is Outcome.EVIDENCE
    assert texts(answer) == quotes(answer)
    assert len(answer.sentences) <= extractor.EXTRACTS
    assert any(GAIN in quote for quote in quotes(answer))
    assert answer.usage.calls == 0
    assert answer.usage.dollars == 0
    assert not faults(answer)


async def test_standard_plans_reads_writes_and_asks_three_jurors(desk: OpenDesk) -> None:
    at = desk(honest)
    answer = await at.scholar.ask(QUESTION, preset="standard")
    assert answer.outcome is Outcome.ANSWERED
    assert at.calls == ROUND
    assert [v.juror for v in answer.verdicts] == ["support", "completeness", "conflict"]
    assert not faults(answer)


async def test_fast_reads_and_writes_in_one_call_and_asks_one_juror(desk: OpenDesk) -> None:
    at = desk(honest)
    answer = await at.scholar.ask(QUESTION, preset="fast")
    assert answer.outcome is Outcome.ANSWERED
    assert at.calls == ["answer", "juror"]
    assert [v.juror for v in answer.verdicts] == ["support"]
    assert not faults(answer)


class Together(FakeBackend):
    """Answers jurors only once three of them have asked."""

    meeting: asyncio.Barrier

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        if call_of(request) == "juror":
            async with asyncio.timeout(5):
                await self.meeting.wait()
        async for delta in super().stream(request):
            yield delta


async def test_jurors_are_asked_at_the_same_time(shelf: Library, settings: Settings) -> None:
    backend = Together(for_backend(honest))
    backend.meeting = asyncio.Barrier(3)
    scholar = Scholar(services=Services(settings, shelf, Gateway(settings, {"*": backend})))
    assert (await scholar.ask(QUESTION)).outcome is Outcome.ANSWERED


async def test_every_step_of_the_plan_is_searched_and_shown_to_the_reader(desk: OpenDesk) -> None:
    steps = [
        {"question": "How do walks rank?", "query": "graph walks PageRank"},
        {"question": "How does BM25 rank?", "query": "sparse retrieval BM25 training"},
        {"question": "What is lost?", "query": "ablation term"},
        {"question": "One too many?", "query": "Mars"},
    ]
    at = desk(but(planner=lambda _: {"premises": [], "steps": steps}))
    answer = await at.scholar.ask(QUESTION, preset="standard")
    assert set(answer.coverage.searches) == {step["query"] for step in steps[:3]}
    [shown] = at.shown("reader")
    assert all(step["question"] in shown for step in steps[:3])
    assert RANKING in shown
    assert BM25 in shown


async def test_a_step_that_no_quote_helps_is_told(desk: OpenDesk) -> None:
    steps = [
        {"question": "How do walks rank?", "query": "graph walks PageRank"},
        {"question": "How does BM25 rank?", "query": "sparse retrieval BM25"},
    ]
    answer = await desk(but(planner=lambda _: {"premises": [], "steps": steps})).scholar.ask(
        QUESTION
    )
    assert [note for note in answer.notes if note.startswith("No quote was found")] == [
        "No quote was found for: How does BM25 rank?"
    ]


# How a run can end


async def test_what_is_missing_makes_an_answer_partial(desk: OpenDesk) -> None:
    answer = await desk(but(writer=writes(missing="The cost is not told."))).scholar.ask(QUESTION)
    assert answer.outcome is Outcome.PARTIAL
    assert any("The cost is not told." in note for note in answer.notes)
    assert answer.sentences


async def test_sources_that_disagree_make_an_answer_conflicting(desk: OpenDesk) -> None:
    mind = but(reader=picks(GAIN, NO_GAIN), writer=writes(conflict=True))
    answer = await desk(mind).scholar.ask(QUESTION)
    assert answer.outcome is Outcome.CONFLICTING
    [conflict] = answer.conflicts
    assert [side.citations[0].paper_id for side in conflict.sides] == [WALKS, REVISITED]
    assert not faults(answer)


async def test_a_reader_that_finds_nothing_makes_no_evidence(desk: OpenDesk) -> None:
    at = desk(but(reader=lambda _: {"quotes": []}))
    answer = await at.scholar.ask(QUESTION)
    assert answer.outcome is Outcome.NO_EVIDENCE
    assert at.calls == ["planner", "reader"]
    assert answer.coverage.searches == (QUESTION,)
    assert answer.coverage.found > 0


async def test_jurors_that_abstain_make_no_evidence(desk: OpenDesk) -> None:
    answer = await desk(but(juror=jurors(vote("abstain")))).scholar.ask(QUESTION)
    assert answer.outcome is Outcome.NO_EVIDENCE
    assert not answer.sentences
    assert [v.action for v in answer.verdicts] == ["accept", "abstain", "abstain"]


@pytest.mark.parametrize("preset", ["fast", "standard"])
async def test_an_empty_library_makes_no_evidence_and_no_reading_call(
    library: Library, settings: Settings, preset: str
) -> None:
    backend = FakeBackend(for_backend(honest))
    scholar = Scholar(services=Services(settings, library, Gateway(settings, {"*": backend})))
    answer = await scholar.ask(QUESTION, preset=preset)
    assert answer.outcome is Outcome.NO_EVIDENCE
    assert {request.schema_name for request in backend.requests} <= {"planner"}


@pytest.mark.parametrize("call", ["planner", "reader", "writer"])
async def test_a_model_that_fails_leaves_the_quotes_that_are_found_without_it(
    desk: OpenDesk, call: str
) -> None:
    answer = await desk(but(**{call: lambda _: NO_KEY})).scholar.ask(QUESTION)
    assert answer.outcome is Outcome.MODEL_FAILED
    assert answer.notes[0] == str(NO_KEY)
    assert answer.sentences
    assert all(sentence.text == sentence.citations[0].quote for sentence in answer.sentences)
    assert answer.coverage.searches
    assert texts(answer) == quotes(answer)
    assert not faults(answer)


async def test_jurors_that_fail_abstain_and_leave_the_answer_partial(desk: OpenDesk) -> None:
    answer = await desk(but(juror=lambda _: NO_KEY)).scholar.ask(QUESTION)
    assert answer.outcome is Outcome.PARTIAL
    assert answer.sentences
    assert all(verdict.failed for verdict in answer.verdicts)
    assert any(str(NO_KEY) in note for note in answer.notes)


async def test_one_juror_that_fails_is_not_counted(desk: OpenDesk) -> None:
    def judge(seen: Seen) -> Any:
        return NO_KEY if seen.juror == "support" else vote("accept")

    answer = await desk(but(juror=judge)).scholar.ask(QUESTION)
    assert answer.outcome is Outcome.ANSWERED
    assert [verdict.failed for verdict in answer.verdicts] == [True, False, False]


async def tokens_of(desk: OpenDesk, calls: int) -> int:
    """What the first calls of a whole run come to."""
    events = await events_of(desk(honest).scholar.start(QUESTION))
    spent = [event.call for event in events if isinstance(event, Called)]
    return sum(call.input_tokens + call.output_tokens for call in spent[:calls])


async def test_tokens_that_are_spent_end_the_run_with_its_quotes(desk: OpenDesk) -> None:
    at = desk(honest, budget=Budget(tokens=await tokens_of(desk, calls=3)))
    answer = await at.scholar.ask(QUESTION)
    assert answer.outcome is Outcome.BUDGET_SPENT
    assert at.calls == ROUND[:2]
    assert "SCHOLAR_BUDGET__TOKENS" in answer.notes[0]
    assert texts(answer) == quotes(answer) != []


async def test_tokens_that_are_spent_before_the_jury_leave_the_draft(desk: OpenDesk) -> None:
    budget = Budget(tokens=await tokens_of(desk, calls=4))
    answer = await desk(honest, budget=budget).scholar.ask(QUESTION)
    assert answer.outcome is Outcome.BUDGET_SPENT
    assert answer.sentences
    assert all(verdict.failed for verdict in answer.verdicts)


async def test_no_model_is_asked_after_the_seconds_are_spent(
    shelf: Library, settings: Settings
) -> None:
    known = settings.model_copy(update={"budget": Budget(seconds=5)})
    hours = itertools.count(0, 3600)
    backend = FakeBackend(for_backend(honest))
    services = Services(
        known, shelf, Gateway(known, {"*": backend}), clock=lambda: float(next(hours))
    )
    answer = await Scholar(services=services).ask(QUESTION)
    assert answer.outcome is Outcome.BUDGET_SPENT
    assert not backend.requests


async def test_dollars_are_capped_where_the_price_is_known(desk: OpenDesk) -> None:
    prices = {"fake": Price(input=1000.0, output=1000.0)}
    at = desk(honest, budget=Budget(dollars=1.0), prices=prices)
    answer = await at.scholar.ask(QUESTION)
    assert answer.outcome is Outcome.BUDGET_SPENT
    assert answer.usage.dollars is not None
    assert 0.0 < answer.usage.dollars <= 1.0
    assert at.calls == ["planner"]


async def test_a_cap_on_dollars_needs_a_known_price(desk: OpenDesk) -> None:
    with pytest.raises(SettingsError, match=r"price of fake is unknown"):
        await desk(honest, budget=Budget(dollars=1)).scholar.ask(QUESTION)


def _break(library: Library) -> None:
    with sqlite3.connect(library.folder / "catalogue.sqlite") as connection:
        connection.execute("ALTER TABLE passages RENAME TO lost")
    connection.close()


async def test_a_library_that_breaks_ends_the_run_also_on_parallel_steps(
    desk: OpenDesk, shelf: Library
) -> None:
    def plan(_: Seen) -> dict[str, Any]:
        _break(shelf)
        return {
            "premises": [],
            "steps": [{"question": q, "query": f"graph walks {q}"} for q in "abc"],
        }

    answer = await desk(but(planner=plan)).scholar.ask(QUESTION)
    assert answer.outcome is Outcome.TOOLS_FAILED
    assert "SCHOLAR_HOME" in answer.notes[0]


@pytest.mark.parametrize("call", ["reader", "writer", "juror"])
async def test_quotes_that_can_no_longer_be_checked_are_not_published(
    desk: OpenDesk, shelf: Library, call: str
) -> None:
    broken: list[bool] = []

    def break_once(seen: Seen) -> Any:
        if not broken:
            broken.append(True)
            _break(shelf)
        return honest(seen)

    at = desk(but(**{call: break_once}))
    answer = await at.scholar.ask(QUESTION)
    assert call == "juror" or "juror" not in at.calls
    assert answer.outcome is Outcome.TOOLS_FAILED
    assert not answer.sentences
    assert "SCHOLAR_HOME" in answer.notes[0]


class Stalling(FakeBackend):
    """Never answers the call named `at`, tells when it is asked and counts how often."""

    at: str
    asked: asyncio.Event
    stalled = 0

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        if call_of(request) == self.at:
            self.stalled += 1
            self.asked.set()
            await asyncio.Event().wait()
        async for delta in super().stream(request):
            yield delta


@pytest.mark.parametrize(
    ("at", "kept"), [("planner", False), ("reader", False), ("writer", True), ("juror", True)]
)
async def test_a_cancelled_run_keeps_what_it_has_found(
    shelf: Library, settings: Settings, at: str, kept: bool
) -> None:
    backend = Stalling(for_backend(honest))
    backend.at, backend.asked = at, asyncio.Event()
    scholar = Scholar(services=Services(settings, shelf, Gateway(settings, {"*": backend})))
    run = scholar.start(QUESTION)
    task = asyncio.create_task(events_of(run))
    async with asyncio.timeout(5):
        await backend.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    answer = await run.cancelled()
    assert answer.outcome is Outcome.CANCELLED
    assert answer.usage.calls == len(backend.requests) + backend.stalled
    assert answer.usage.estimated
    assert bool(answer.sentences) == kept
    assert not faults(answer)


async def test_a_run_that_has_not_begun_can_be_cancelled(desk: OpenDesk) -> None:
    answer = await desk(honest).scholar.start(QUESTION).cancelled()
    assert answer.outcome is Outcome.CANCELLED
    assert answer.question == QUESTION
    assert not answer.sentences


# The loops and their bounds


async def test_the_writer_is_sent_back_once_with_the_objections(desk: OpenDesk) -> None:
    at = desk(but(juror=jurors(vote("revise", "", "Sentence 1 claims too much."), vote("accept"))))
    answer = await at.scholar.ask(QUESTION)
    assert answer.outcome is Outcome.ANSWERED
    assert at.calls == [*ROUND, *ROUND[2:]]
    first, second = at.shown("writer")
    assert "Sentence 1 claims too much." not in first
    assert "Sentence 1 claims too much." in second
    assert {v.action for v in answer.verdicts} == {"accept"}


async def test_a_jury_that_is_never_content_is_published_with_its_dissent(desk: OpenDesk) -> None:
    at = desk(but(juror=jurors(vote("revise", "", "Never good enough."))))
    answer = await at.scholar.ask(QUESTION)
    assert answer.outcome is Outcome.PARTIAL
    assert answer.sentences
    assert at.calls.count("writer") == 2
    assert all("Never good enough." in v.reasons[0] for v in answer.verdicts)
    assert len(answer.verdicts) == 3


async def test_the_jury_can_send_the_run_back_to_search_once(desk: OpenDesk) -> None:
    wishes = [vote("search_more", "BM25 training"), vote("search_more", "red rovers on Mars")]
    at = desk(but(juror=jurors(*wishes)))
    answer = await at.scholar.ask("What do graph walks gain?", k=1)
    assert answer.coverage.searches == ("What do graph walks gain?", "BM25 training")
    assert at.calls.count("planner") == 1
    assert at.calls.count("reader") == 2
    assert BM25 in at.shown("reader")[1]
    assert answer.outcome is Outcome.PARTIAL
    assert answer.sentences


async def test_a_search_that_brings_nothing_new_is_not_read_or_written_from(
    desk: OpenDesk,
) -> None:
    at = desk(but(juror=jurors(vote("search_more", "entities of passages"))))
    answer = await at.scholar.ask(QUESTION)
    assert len(answer.coverage.searches) == 2
    assert at.calls == ROUND
    assert answer.outcome is Outcome.PARTIAL
    assert answer.sentences


async def test_a_second_reading_that_fails_is_told_and_leaves_the_first(desk: OpenDesk) -> None:
    readings = itertools.count()
    mind = but(
        reader=lambda seen: NO_KEY if next(readings) else honest(seen),
        juror=jurors(vote("search_more", "BM25 training")),
    )
    answer = await desk(mind).scholar.ask("What do graph walks gain?", k=1)
    assert answer.outcome is Outcome.MODEL_FAILED
    assert answer.notes[0] == str(NO_KEY)
    assert answer.sentences


async def test_a_text_that_is_stored_twice_is_shown_once(desk: OpenDesk, shelf: Library) -> None:
    document = SHELF[SPARSE].document
    copy = Entry(Paper("file:5b", "Reprint"), document.text, cut("file:5b", document))
    await shelf.add([copy])
    at = desk(honest)
    await at.scholar.ask("Which training does BM25 need?")
    assert at.shown("reader")[0].count(BM25) == 1


async def test_a_passage_is_read_once(desk: OpenDesk) -> None:
    at = desk(but(juror=jurors(vote("search_more", "graph walks BM25"), vote("accept"))))
    await at.scholar.ask(QUESTION, k=2)
    first, second = (set(re.findall(r"<passage.*?</passage>", s, re.S)) for s in at.shown("reader"))
    assert second
    assert not {_text_of(p) for p in first} & {_text_of(p) for p in second}


def _text_of(passage: str) -> str:
    return passage.split("\n", 1)[1]


async def test_a_jury_that_asks_for_what_was_searched_ends_the_run(desk: OpenDesk) -> None:
    at = desk(but(juror=jurors(vote("search_more", QUESTION.upper()))))
    answer = await at.scholar.ask(QUESTION)
    assert answer.coverage.searches == (QUESTION,)
    assert at.calls == ROUND
    assert answer.outcome is Outcome.PARTIAL
    assert answer.sentences


async def test_a_jury_that_does_not_say_what_to_search_ends_the_run(desk: OpenDesk) -> None:
    def judge(seen: Seen) -> dict[str, Any]:
        # A support juror has no search to ask for: what it misses is a fault of the draft.
        return vote("accept") if seen.juror == "support" else vote("search_more", " ")

    at = desk(but(juror=judge))
    answer = await at.scholar.ask(QUESTION)
    assert at.calls == ROUND
    assert answer.outcome is Outcome.PARTIAL


@pytest.mark.parametrize("order", [("revise", "search_more"), ("search_more", "revise")])
async def test_the_longest_run_stays_within_its_bounds(
    desk: OpenDesk, order: tuple[str, str]
) -> None:
    queries = (f"links {n}" for n in itertools.count())
    votes = [vote(action, next(queries)) for action in order]
    at = desk(but(juror=jurors(*votes, vote("revise"))))
    answer = await at.scholar.ask(QUESTION, k=1)
    assert answer.outcome is Outcome.PARTIAL
    assert at.calls.count("writer") == 3
    assert at.calls.count("juror") == 9


_queries = itertools.count()
WORST: dict[str, tuple[Mind, Outcome]] = {
    "never finishes its JSON": (lambda _: '{"steps": [{"question": "', Outcome.MODEL_FAILED),
    "is silent": (lambda _: "", Outcome.MODEL_FAILED),
    "replies off the schema": (lambda _: {"verdict": 7}, Outcome.MODEL_FAILED),
    "talks instead of replying": (lambda _: "Certainly! Here is my plan.", Outcome.MODEL_FAILED),
    "replies with a list": (lambda _: "[]", Outcome.MODEL_FAILED),
    "always rejects": (but(juror=lambda _: vote("revise")), Outcome.PARTIAL),
    "always accepts": (honest, Outcome.ANSWERED),
    "always wants more": (
        but(juror=lambda _: vote("search_more", f"graph walks {next(_queries)}")),
        Outcome.PARTIAL,
    ),
    "writes off the schema": (
        but(writer=lambda _: {"sentences": "x"}, answer=lambda _: {"sentences": "x"}),
        Outcome.MODEL_FAILED,
    ),
    "judges off the schema": (but(juror=lambda _: {"action": "burn"}), Outcome.PARTIAL),
    "plans nothing": (but(planner=lambda _: {"premises": [], "steps": []}), Outcome.ANSWERED),
}


@pytest.mark.parametrize("preset", ["fast", "standard"])
@pytest.mark.parametrize("name", WORST)
async def test_a_run_ends_whatever_the_model_does(desk: OpenDesk, name: str, preset: str) -> None:
    mind, outcome = WORST[name]
    at = desk(mind)
    answer = await at.scholar.ask(QUESTION, preset=preset)
    assert answer.outcome is outcome
    assert len(at.calls) <= 3 * (1 + 2 + 3 + 9)
    assert not faults(answer)


async def test_a_model_that_replies_off_the_schema_is_corrected_twice(desk: OpenDesk) -> None:
    at = desk(lambda _: "{}")
    await at.scholar.ask(QUESTION)
    assert at.calls == ["planner"] * 3


# What else a run keeps to


async def test_k_passages_are_read_per_step(desk: OpenDesk) -> None:
    at = desk(honest)
    await at.scholar.ask(QUESTION, k=1)
    await at.scholar.ask(QUESTION, k=3)
    assert [shown.count("<passage ") for shown in at.shown("reader")] == [1, 3]


@pytest.mark.parametrize("k", [0, -1])
async def test_k_below_one_is_refused(desk: OpenDesk, k: int) -> None:
    with pytest.raises(UsageError, match="k is the passages"):
        await desk(honest).scholar.ask(QUESTION, k=k)
    with pytest.raises(UsageError, match="k is the passages"):
        await desk(honest).scholar.graph.ainvoke({"question": QUESTION, "k": k})


@pytest.mark.parametrize("question", ["", " \n\t", "x" * (planner.MAX_QUESTION + 1)])
async def test_a_question_that_is_none_is_refused_before_any_call(
    desk: OpenDesk, question: str
) -> None:
    at = desk(honest)
    with pytest.raises(UsageError, match="question"):
        await at.scholar.ask(question)
    assert not at.calls


async def test_an_unknown_preset_is_refused_with_those_there_are(desk: OpenDesk) -> None:
    with pytest.raises(SettingsError, match=r"one of .*fast.*standard"):
        await desk(honest).scholar.ask(QUESTION, preset="slow")


async def test_events_come_in_the_order_in_which_things_happen(desk: OpenDesk) -> None:
    events = await events_of(desk(honest).scholar.start(QUESTION, preset="standard"))
    quiet = (Began, Ended, Drafting)
    kinds = [type(event) for event in events if not isinstance(event, quiet)]
    head = [Called, Planned, Searched, Called, Read, Called, Drafted]
    assert kinds[:7] == head
    assert sorted(k.__name__ for k in kinds[7:-1]) == ["Called"] * 3 + ["Voted"] * 3
    assert kinds[-1] is Finished
    drafting = [type(event) for event in events].index(Drafting)
    assert drafting < [type(event) for event in events].index(Drafted)


async def test_each_node_is_framed_by_events_and_named_by_its_calls(desk: OpenDesk) -> None:
    facets = [{"question": facet, "query": facet} for facet in (QUESTION, "What is BM25?")]
    at = desk(but(planner=lambda _: {"premises": [], "steps": facets}))
    events = await events_of(at.scholar.start(QUESTION, preset="standard"))
    frames = [event for event in events if isinstance(event, Began | Ended)]
    names = [event.node for event in frames if isinstance(event, Began)]
    line = "intake gate plan search search read resolve compose verify deliberate publish"
    assert names == line.split()
    opened: set[tuple[str, str]] = set()
    for event in events:
        match event:
            case Began(node, step):
                opened.add((node, step))
            case Called(call, step):
                assert (call.node, step) in opened
            case Ended(node, step, seconds, failed):
                opened.remove((node, step))
                assert seconds >= 0
                assert not failed
    assert not opened
    searched = {(event.node, event.step) for event in frames if event.step}
    assert searched == {("search", "s1"), ("search", "s2")}
    asked = [event.call.node for event in events if isinstance(event, Called)]
    assert asked == ["plan", "read", "compose", *["deliberate"] * 3]


async def test_a_call_made_for_one_step_names_it(desk: OpenDesk) -> None:
    events = await events_of(desk(honest).scholar.start(QUESTION, preset="genread"))
    asked = [(event.call.node, event.step) for event in events if isinstance(event, Called)]
    assert ("search", "s1") in asked
    assert ("compose", "") in asked


async def test_a_node_that_could_not_do_its_work_says_why_as_it_is_left(desk: OpenDesk) -> None:
    at = desk(but(writer=lambda _: NO_KEY))
    events = await events_of(at.scholar.start(QUESTION))
    failed = {event.node: event.failed for event in events if isinstance(event, Ended)}
    assert failed["compose"] == str(NO_KEY)
    assert not any(why for node, why in failed.items() if node != "compose")


async def test_the_growing_draft_is_shown_before_it_is_whole(desk: OpenDesk) -> None:
    events = await events_of(desk(honest).scholar.start(QUESTION, preset="fast"))
    shown = [event.text for event in events if isinstance(event, Drafting)]
    assert len(shown) > 2
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(shown))


async def test_two_runs_at_once_do_not_share_what_they_cost(desk: OpenDesk) -> None:
    at = desk(honest)
    one, other = await asyncio.gather(
        at.scholar.ask(QUESTION, preset="standard"), at.scholar.ask(QUESTION, preset="fast")
    )
    assert (one.usage.calls, other.usage.calls) == (6, 2)
    assert one.run_id != other.run_id
    assert len(other.verdicts) == 1


async def test_usage_is_the_sum_of_what_the_server_counted(
    shelf: Library, settings: Settings, server: ModelServer
) -> None:
    replies: list[str] = []
    revise_once = but(juror=jurors(vote("revise"), vote("accept")))

    def script(body: dict[str, Any]) -> str:
        replies.append(str(for_server(revise_once)(body)))
        return replies[-1]

    server.use(script)
    model = f"openai:gpt-5-mini@{server.url}"
    known = settings.model_copy(update={"model": model, "cache": False})
    gateway = Gateway(known)
    answer = await Scholar(services=Services(known, shelf, gateway)).ask(QUESTION)
    await gateway.aclose()
    sent = [sum(len(m["content"]) for m in r.body["messages"]) for r in server.requests]
    assert answer.usage.calls == len(server.requests) == 10
    assert answer.usage.input_tokens == sum(-(-length // 4) for length in sent)
    assert answer.usage.output_tokens == sum(-(-len(reply) // 4) for reply in replies)
    assert not answer.usage.estimated
    price = (answer.usage.input_tokens * 0.25 + answer.usage.output_tokens * 2.0) / 1e6
    assert answer.usage.dollars == pytest.approx(price, abs=1e-6)


async def test_a_small_window_is_read_in_several_calls_and_survives_one_failure(
    desk: OpenDesk,
) -> None:
    def read(seen: Seen) -> Any:
        return honest(seen) if RANKING in seen.text else NO_KEY

    at = desk(but(reader=read), context_window=2_048)
    answer = await at.scholar.ask(QUESTION)
    assert at.calls.count("reader") > 1
    assert answer.sentences
    assert any("could not be read" in note for note in answer.notes)


async def test_what_a_small_window_does_not_hold_is_told_where_one_call_reads(
    desk: OpenDesk,
) -> None:
    notes = [
        (await desk(honest, context_window=window).scholar.ask(QUESTION, preset="fast")).notes
        for window in (2_048, 32_768)
    ]
    assert [any("did not fit" in note for note in found) for found in notes] == [True, False]


async def test_a_reader_that_rambles_is_cut_short(desk: OpenDesk) -> None:
    runs = [f"Run {n} of the term ablation of graph walks keeps {n} links" for n in range(1, 26)]
    at = desk(but(reader=picks(*runs)))
    await at.scholar.ask(QUESTION)
    assert at.shown("writer")[0].count("<quote ") == reader.MAX_QUOTES


async def test_a_library_read_in_part_is_not_said_to_hold_no_answer(desk: OpenDesk) -> None:
    def read(seen: Seen) -> Any:
        return {"quotes": []} if RANKING in seen.text else NO_KEY

    answer = await desk(but(reader=read), context_window=2_048).scholar.ask(QUESTION)
    assert answer.outcome is Outcome.MODEL_FAILED


# The graph by itself


@pytest.fixture
async def own_services(
    shelf: Library, settings: Settings, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[None, None]:
    """Settings by the environment alone, as somebody has them who builds the graph anew."""
    monkeypatch.setenv("SCHOLAR_HOME", str(settings.home))
    monkeypatch.setenv("SCHOLAR_EMBEDDER", "none")
    monkeypatch.setenv("SCHOLAR_MODEL", f"openai:scripted@{server.url}")
    yield
    await (await graph_module._default_services.pop(asyncio.get_running_loop())).aclose()


@pytest.mark.usefixtures("own_services")
async def test_the_graph_runs_on_services_from_the_environment(server: ModelServer) -> None:
    answer = (await build_graph().ainvoke({"question": QUESTION}))["answer"]
    assert answer.outcome is Outcome.ANSWERED
    assert len(server.requests) == 6
    assert not faults(answer)


async def test_the_graph_streams_values_updates_and_events(desk: OpenDesk) -> None:
    graph = desk(honest).scholar.graph
    nodes: list[str] = []
    events: list[Event] = []
    values: list[dict[str, Any]] = []
    parts: Any = graph.astream({"question": QUESTION}, stream_mode=["values", "updates", "custom"])
    async for mode, part in parts:
        if mode == "updates":
            nodes += part
        elif mode == "custom":
            events.append(part)
        else:
            values.append(part)
    chain = "intake gate plan search read resolve compose verify deliberate publish"
    assert nodes == chain.split()
    assert sum(isinstance(event, Voted) for event in events) == 3
    assert values[-1]["answer"].outcome is Outcome.ANSWERED


async def test_a_run_goes_on_from_its_checkpoint_without_asking_again(
    desk: OpenDesk,
) -> None:
    at = desk(honest)
    graph = build_graph(at.scholar.services, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke({"question": QUESTION}, thread, interrupt_before=["compose"])
    assert at.calls == ROUND[:2]
    answer = (await graph.ainvoke(None, thread))["answer"]
    assert answer.outcome is Outcome.ANSWERED
    assert at.calls == ROUND
    assert answer.usage.calls == 6


# Nodes by themselves: plain state in, the change out


@pytest.fixture
def context(desk: OpenDesk) -> Callable[..., Context]:
    def context(mind: Mind | None = None, **state: Any) -> Context:
        services = desk(mind).scholar.services
        return context_for({"preset": "standard", **state}, services, lambda _: None)

    return context


def evidence(name: str, quote: str, start: int, **fields: Any) -> Evidence:
    end = start + len(quote)
    return Evidence(name, quote, WALKS, f"{WALKS}#0", start, end, page=1, **fields)


async def test_the_planner_falls_back_on_the_question(context: Callable[..., Context]) -> None:
    blank = but(planner=lambda _: {"premises": [], "steps": [{"question": " ", "query": "x"}]})
    update = await planner.plan({"question": QUESTION}, context(blank))
    assert update["steps"] == [Step("s1", QUESTION, QUESTION)]


async def test_resolve_marks_the_steps_that_a_quote_helps(context: Callable[..., Context]) -> None:
    steps = [Step("s1", "a", "a"), Step("s2", "b", "b"), Step("s3", "c", "c")]
    found = [
        evidence("e1", RANKING, 8, steps=("s1",)),
        evidence("e2", GAIN, 9, steps=("s2",), helps="background"),
    ]
    state: State = {"steps": steps, "evidence": found, "read": []}
    update = await retriever.resolve(state, context(honest))
    assert [step.status for step in update["steps"]] == ["solved", "unsolved", "unsolved"]
    assert update["to_write"]


async def test_the_writer_leaves_marks_and_empty_remarks_out(
    context: Callable[..., Context],
) -> None:
    reply = {
        "sentences": [{"text": "Walks rank [e1] passages (e1, e2).", "evidence": ["e1", "e1"]}],
        "conflicts": [],
        "missing": "None.",
    }
    state: State = {"question": QUESTION, "evidence": [evidence("e1", RANKING, 8)], "revision": 0}
    update = await writer.compose(state, context(but(writer=lambda _: reply)))
    assert update["draft"] == Draft((Sentence("Walks rank passages.", ("e1",)),))


async def test_the_check_keeps_what_stands_in_the_store(context: Callable[..., Context]) -> None:
    found = [
        evidence("e1", RANKING, 8),
        evidence("e2", "Graph walks were invented on Mars.", 8),
        evidence("e3", RANKING, 9),
        evidence("e4", RANKING, 8, origin="parametric"),
    ]
    draft = Draft(
        (
            Sentence("a", ("e1", "e2")),
            Sentence("b", ("e3",)),
            Sentence("c", ()),
            Sentence("", ("e1",)),
        )
    )
    state: State = {"question": QUESTION, "evidence": found, "draft": draft, "revision": 0}
    update = await publisher.verify(state, context())
    assert [item.id for item in update["evidence"]] == ["e1"]
    assert draft_of(update).sentences == (Sentence("a", ("e1",)),)
    assert update["dropped"] == 3


async def test_a_draft_that_was_never_checked_is_checked_on_publishing(
    context: Callable[..., Context],
) -> None:
    draft = Draft((Sentence("Sound.", ("e1", "e9")), Sentence("Bare."), Sentence("New.", ("e9",))))
    state: State = {
        "question": QUESTION,
        "run_id": "r",
        "evidence": [evidence("e1", RANKING, 8)],
        "draft": draft,
        "failure": Failure(Outcome.CANCELLED, "Cancelled; ask again."),
    }
    answer = (await publisher.publish(state, context()))["answer"]
    assert texts(answer) == ["Sound."]
    assert not faults(answer)


async def test_a_juror_sees_the_draft_and_all_quotes(context: Callable[..., Context]) -> None:
    seen: list[Seen] = []

    def judge(prompt: Seen) -> dict[str, Any]:
        seen.append(prompt)
        return vote("accept")

    state: State = {
        "question": QUESTION,
        "evidence": [evidence("e1", RANKING, 8), evidence("e2", GAIN, 146)],
        "draft": Draft((Sentence("Walks rank.", ("e1",)),), missing="The cost."),
        "revision": 0,
        "search_rounds": 0,
    }
    update = await jury.deliberate(state, context(but(juror=judge)))
    assert update["decision"] == "accept"
    assert update["verdicts"][0] == Verdict("support", "accept")
    assert update["verdicts"][1] == Verdict("completeness", "accept", ("I say accept.",))
    assert {prompt.juror for prompt in seen} == {"support", "completeness", "conflict"}
    for prompt in seen:  # what the draft does not cite is no business of the support juror
        every = {} if prompt.juror == "support" else {"e2": GAIN}
        assert prompt.quotes == {"e1": RANKING} | every
    assert all("Walks rank. (e1)" in prompt.text for prompt in seen)
    assert all("The cost." in prompt.text for prompt in seen if prompt.juror != "support")


async def test_events_can_be_left_early_without_a_task_left_behind(desk: OpenDesk) -> None:
    async with aclosing(desk(honest).scholar.start(QUESTION).events()) as events:
        async for event in events:
            if isinstance(event, Planned):
                break
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_thread_that_asks_again_begins_anew(services: Services) -> None:
    graph = build_graph(services, checkpointer=InMemorySaver())
    thread: RunnableConfig = {"configurable": {"thread_id": "t"}}
    first = (await graph.ainvoke({"question": "How long do sea turtles live?"}, thread))["answer"]
    second = (await graph.ainvoke({"question": ABOUT_THE_NOTES}, thread))["answer"]
    alone = (await build_graph(services).ainvoke({"question": ABOUT_THE_NOTES}))["answer"]
    assert first.outcome is Outcome.NO_EVIDENCE
    assert second.run_id != first.run_id
    assert (second.outcome, second.sentences, second.coverage, second.notes) == (
        alone.outcome,
        alone.sentences,
        alone.coverage,
        alone.notes,
    )


async def test_runs_that_start_together_share_the_services_they_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SCHOLAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCHOLAR_EMBEDDER", "none")
    built = await asyncio.gather(*(graph_module._services(None) for _ in range(4)))
    assert len(set(map(id, built))) == 1
    await (await graph_module._default_services.pop(asyncio.get_running_loop())).aclose()


GATE = "X-LoRA adds a small gate that reads hidden states and weighs the adapters by them."


@pytest.fixture
def short_note(tmp_path: Path) -> Path:
    note = tmp_path / "note.md"
    note.write_text(f"# Gating\n\n{GATE}\n", "utf-8")
    return note


async def test_a_library_of_one_short_paper_answers(
    library: Library, settings: Settings, short_note: Path
) -> None:
    gateway = Gateway(settings)
    scholar = Scholar(services=Services(settings, library, gateway))
    await scholar.add(short_note)
    answer = await scholar.ask("How does X-LoRA choose between its adapters?")
    assert [sentence.text for sentence in answer.sentences] == [GATE]
    await gateway.aclose()


async def test_a_premise_that_nothing_bears_on_is_named(desk: OpenDesk) -> None:
    premise = "Graph walks are slow"

    def plan(seen: Seen) -> dict[str, Any]:
        return {**honest(seen), "premises": [premise]}

    answer = await desk(but(planner=plan)).scholar.ask(f"Since {premise}, what do they cost?")
    assert f"Nothing that was read bears on what you take as given: “{premise}”" in answer.notes


async def test_jurors_are_shown_what_is_said_of_a_premise(desk: OpenDesk) -> None:
    premise = "Graph walks are slow"
    shown: list[str] = []

    def write(seen: Seen) -> dict[str, Any]:
        last = list(seen.quotes)[-1]
        judged = {"premise": 1, "stance": "contradicted", "evidence": [last]}
        return {**honest(seen), "premises": [judged]}

    def judge(seen: Seen) -> dict[str, Any]:
        if seen.juror != "support":  # which is shown sentences alone
            shown.append(seen.text)
        return honest(seen)

    plan = {"planner": lambda seen: {**honest(seen), "premises": [premise]}}
    answer = await desk(but(**plan, writer=write, juror=judge)).scholar.ask(QUESTION)
    assert [each.stance for each in answer.premises] == ["contradicted"]
    said = f"Taken as given: {premise} What the quotes say of it: contradicted (e"
    assert shown
    assert all(said in text for text in shown)
