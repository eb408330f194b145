"""Questions that see each other, and people who are asked before a run goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from minds import Mind, Seen, call_of, for_backend, honest

from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Consult, Services
from scholar.errors import RunError
from scholar.events import Event, Finished, Paused
from scholar.journal import Journal
from scholar.library import Library
from scholar.runs import Run, Scholar
from scholar.settings import Settings, Tools
from scholar.values import Answer, Inquiry, Outcome

FIRST = "How do graph walks rank passages on multi-hop questions?"
SECOND = "And what do they cost?"
MEANT = "What do graph walks cost?"


class Kept:
    """An assistant whose runs are kept, and its scripted model."""

    def __init__(self, settings: Settings, library: Library, mind: Mind, consult: Any) -> None:
        self.backend = FakeBackend(for_backend(mind))
        gateway = Gateway(settings, {"*": self.backend})
        journal = Journal.of(settings)
        services = Services(settings, library, gateway, journal=journal, consult=consult)
        self.journal = journal
        self.scholar = Scholar(services=services)

    def shown(self, call: str) -> list[str]:
        """What the model was shown by each prompt of this name."""
        asked = [request for request in self.backend.requests if call_of(request) == call]
        return [request.messages[1].content for request in asked]

    async def ask(self, question: str, **how: Any) -> Answer:
        """The answer to a question."""
        [*_, last] = [event async for event in self.scholar.start(question, **how).events()]
        assert isinstance(last, Finished)
        return last.answer


Open = Callable[..., Kept]


@pytest.fixture
async def kept(shelf: Library, settings: Settings) -> AsyncIterator[Open]:
    """Opens an assistant over the shelf; settings may be changed."""
    opened: list[Kept] = []

    def open_kept(mind: Mind = honest, consult: Consult | None = None, **changes: Any) -> Kept:
        opened.append(Kept(settings.model_copy(update=changes), shelf, mind, consult))
        return opened[-1]

    yield open_kept
    for each in opened:
        await each.scholar._checkpoints.aclose()
        await each.journal.aclose()


def alone(seen: Seen) -> Any:
    return {"question": MEANT} if seen.call == "standalone" else honest(seen)


# Threads


async def test_a_follow_up_is_understood_by_what_came_before(kept: Open) -> None:
    at = kept(alone)
    first = await at.ask(FIRST, thread="t")
    assert not at.shown("standalone")
    answer = await at.ask(SECOND, thread="t")
    [shown] = at.shown("standalone")
    assert FIRST in shown
    assert first.sentences[0].text in shown
    assert answer.question == SECOND
    assert f"Understood as: {MEANT}" in answer.notes
    assert MEANT in at.shown("planner")[-1]


async def test_what_was_quoted_before_is_read_again(kept: Open) -> None:
    at = kept(alone)
    first = await at.ask(FIRST, thread="t", k=1)
    [passage_id] = {c.passage_id for s in first.sentences for c in s.citations}
    [passage] = await at.scholar.services.library.passages([passage_id])
    await at.ask("Which wines go with fish?", thread="t", k=1)
    assert passage.text[:60] in at.shown("reader")[-1]


async def test_threads_do_not_see_each_other(kept: Open) -> None:
    at = kept(alone)
    await at.ask(FIRST, thread="one")
    await at.ask(SECOND, thread="other")
    await at.ask(SECOND)
    assert not at.shown("standalone")


async def test_a_thread_goes_on_in_another_process(kept: Open) -> None:
    await kept(alone).ask(FIRST, thread="t")
    later = kept(alone)
    await later.ask(SECOND, thread="t")
    assert FIRST in later.shown("standalone")[0]


async def test_a_long_thread_is_kept_within_the_window_by_notes(kept: Open) -> None:
    """Every question of it is still known, and none is noted, and paid for, twice."""
    at = kept(context_window=8_192)
    questions = [f"How do graph walks rank passages, case {n}?" for n in range(24)]
    for question in questions:
        await at.ask(question, thread="t")
    noted = at.shown("notes")
    assert noted
    assert all(question in at.shown("standalone")[-1] for question in questions[-14:-1])
    assert sum(f"Asked: {questions[0]}" in text for text in noted) == 1
    assert max(map(len, at.shown("standalone"))) < 8_192 * 3.5


async def test_an_unusable_rewriting_leaves_the_question_as_it_is(kept: Open) -> None:
    at = kept(lambda seen: "no" if seen.call == "standalone" else honest(seen))
    await at.ask(FIRST, thread="t")
    answer = await at.ask(FIRST + " Again?", thread="t")
    assert answer.outcome is Outcome.ANSWERED
    assert any("taken as it stands" in note for note in answer.notes)


async def test_threads_are_listed_renamed_and_removed(kept: Open) -> None:
    at = kept(alone)
    await at.ask(FIRST, thread="one")
    await at.ask(SECOND, thread="one")
    await at.ask(FIRST, thread="two")
    threads = at.journal.threads
    assert [(row.thread, row.runs) for row in await threads.all()] == [("two", 1), ("one", 2)]
    assert (await threads.find("one")).title == FIRST
    await threads.rename("one", "Walks")
    assert (await threads.find("Wal")).thread == "one"
    await threads.remove("one")
    with pytest.raises(RunError, match=r"No thread is called 'one'; see scholar threads list"):
        await threads.find("one")


# Plans


def two_steps(seen: Seen) -> Any:
    if seen.call != "planner":
        return honest(seen)
    return {
        "premises": [],
        "steps": [{"question": q, "query": q} for q in ("Graph walks?", "Dense retrieval?")],
    }


async def until_paused(run: Run) -> Paused:
    [*_, last] = [event async for event in run.events()]
    assert isinstance(last, Paused)
    return last


async def test_a_plan_is_approved_in_another_process(kept: Open) -> None:
    at = kept(two_steps)
    paused = await until_paused(at.scholar.start(FIRST, person=True, review_plan=True))
    [(id, inquiry)] = paused.inquiries
    assert inquiry.kind == "plan"
    assert inquiry.detail["steps"] == ["Graph walks?", "Dense retrieval?"]
    assert inquiry.detail["estimate"]["calls"][1] >= 4
    calls = len(at.backend.requests)
    later = kept(two_steps)
    [row] = await later.scholar.runs.all()
    assert (row.status, row.waits) == ("waiting", paused.inquiries)
    run = await later.scholar.resume(row.run_id, replies={id: True})
    [*_, last] = [event async for event in run.events()]
    assert isinstance(last, Finished)
    assert last.answer.coverage.searches == ("Graph walks?", "Dense retrieval?")
    assert not later.shown("planner")
    assert last.answer.usage.calls == calls + len(later.backend.requests)


async def test_who_wants_the_answer_alone_is_told_of_what_happens_and_that_a_run_waits(
    kept: Open,
) -> None:
    at = kept(two_steps)
    run = at.scholar.start(FIRST, person=True, review_plan=True)
    told: list[Event] = []
    with pytest.raises(RunError, match=f"waits for a person; .* resume {run.run_id}"):
        await run.answer(told.append)
    assert isinstance(told[-1], Paused)
    [(id, _)] = told[-1].inquiries
    resumed = await at.scholar.resume(run.run_id, replies={id: True})
    assert (await resumed.answer()).outcome is Outcome.ANSWERED


async def test_an_edited_plan_is_followed(kept: Open) -> None:
    async def edit(inquiry: Inquiry) -> Any:
        return ["Graph walks?", "Synonym edges?"]

    answer = await kept(two_steps, edit).ask(FIRST, review_plan=True)
    assert answer.coverage.searches == ("Graph walks?", "Synonym edges?")


async def test_a_plan_that_is_declined_is_not_followed(kept: Open) -> None:
    async def decline(inquiry: Inquiry) -> Any:
        return False

    at = kept(two_steps, decline)
    answer = await at.ask(FIRST, review_plan=True)
    assert answer.outcome is Outcome.CANCELLED
    assert "not approved" in answer.notes[0]
    assert not at.shown("reader")


async def test_where_nobody_can_be_asked_the_plan_is_followed_and_that_is_said(kept: Open) -> None:
    answer = await kept(two_steps).ask(FIRST, review_plan=True)
    assert answer.outcome is Outcome.ANSWERED
    assert any("Nobody was there" in note for note in answer.notes)


async def test_a_run_that_is_resumed_without_a_reply_waits_again(kept: Open) -> None:
    at = kept(two_steps)
    run = at.scholar.start(FIRST, person=True, review_plan=True)
    await until_paused(run)
    again = await until_paused(await at.scholar.resume(run.run_id))
    assert len(again.inquiries) == 1


# Tools that are asked for first


def sums_first(seen: Seen) -> Any:
    """Calculates, and then searches."""
    if seen.call != "tool_step" or seen.known:
        return honest(seen)
    given = [{"name": "expression", "value": "1 + 1"}]
    return {"reason": "A sum.", "tool": "calculate", "arguments": given, "question": "A sum?"}


async def test_a_tool_that_is_asked_for_first_pauses_the_run_until_there_is_a_reply(
    kept: Open,
) -> None:
    at = kept(sums_first, tools=Tools(ask_first=("calculate",)))
    run = at.scholar.start(FIRST, preset="sibyl", person=True)
    paused = await until_paused(run)
    [(id, inquiry)] = paused.inquiries
    assert (inquiry.kind, inquiry.detail["tool"]) == ("tool", "calculate")
    before = len(at.shown("tool_step"))
    resumed = await at.scholar.resume(run.run_id, replies={id: False})
    [*_, last] = [event async for event in resumed.events()]
    assert isinstance(last, Finished)
    assert any("did not allow calculate" in note for note in last.answer.notes)
    assert "did not allow" in at.shown("tool_step")[before]
