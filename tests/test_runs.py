"""Runs are kept: listed, resumed, cancelled from elsewhere, claimed by one, and played again."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from minds import Mind, Seen, but, for_server, honest
from model_server import ModelServer, Scripted, Stall, Status
from office import Office, asked_twice, begun, content, ended, events_of, whole
from papers import QUESTION, faults

from scholar import prompts
from scholar.agents import retriever
from scholar.errors import LibraryError, ModelRejected, ReplayDiffers, RunError
from scholar.events import Called, Finished
from scholar.report import to_json
from scholar.runs import Run
from scholar.settings import Budget, Settings, load_presets
from scholar.values import Outcome

REVIEW: dict[str, Any] = {"task": "review", "columns": ("Method",)}
PARALLEL = 3
"""Jurors of standard, who are asked at once."""


def failing(call: str) -> Mind:
    """A mind that cannot be asked for `call`."""

    def refuse(_: Seen) -> Exception:
        return ModelRejected("The key was refused; set OPENAI_API_KEY.")

    return but(**{call: refuse})


async def failed(office: Office, call: str, **asked: Any) -> tuple[str, list[Any]]:
    """The id of a run whose model failed at `call`, and the requests that were answered."""
    desk = office.open(failing(call))
    answer = await ended(begun(desk, **asked))
    assert answer.outcome is Outcome.MODEL_FAILED
    return answer.run_id, desk.backend.requests[:-1]


# The runs there are


async def test_runs_are_listed_newest_first_with_what_became_of_them(office: Office) -> None:
    first = await whole(office)
    second, _ = await failed(office, "writer", preset="deep")
    desk = office.open(None)
    newest, oldest = await desk.scholar.runs.all()
    assert (newest.run_id, oldest.run_id) == (second, first.run_id)
    assert (newest.outcome, newest.preset, newest.goes_on) == ("model_failed", "deep", True)
    assert (oldest.outcome, oldest.status, oldest.goes_on) == ("answered", "finished", False)
    assert oldest.question == QUESTION
    assert oldest.usage == first.usage
    assert oldest.ended
    assert 0 < oldest.started <= oldest.ended <= time.time()
    assert await desk.scholar.runs.all(most=1) == [newest]
    assert await desk.scholar.runs.answer(first.run_id) == first
    assert [call.node for call in await desk.scholar.runs.calls(first.run_id)] == [
        "plan",
        "read",
        "compose",
        *["deliberate"] * PARALLEL,
    ]


async def test_a_run_is_found_by_the_beginning_of_its_id(office: Office) -> None:
    desk = office.open()
    ids = iter(("ab1", "ab2", "a%c"))
    for id in ids:
        run = begun(desk, preset="fast")
        run.question["run_id"] = id
        await ended(run)
    assert (await desk.scholar.runs.find("ab2")).run_id == "ab2"
    assert (await desk.scholar.runs.find("a%")).run_id == "a%c"
    for named, said in {"ab": "Several runs begin", "zz": "No run is", "": "Several runs"}.items():
        with pytest.raises(RunError, match=rf"^{said}.*; see scholar runs list\.$"):
            await desk.scholar.runs.find(named)


async def test_a_run_that_is_removed_leaves_nothing_behind(office: Office) -> None:
    kept = await whole(office, preset="fast")
    gone, _ = await failed(office, "writer")
    scholar = office.open(None).scholar
    assert (await scholar.runs.remove(gone[:8])).run_id == gone
    assert [row.run_id for row in await scholar.runs.all()] == [kept.run_id]
    journal = scholar.services.journal
    assert await journal._remembered(gone) == ({}, {}, 0.0)
    assert await journal.answer(gone) is None
    config: Any = {"configurable": {"thread_id": gone}}
    assert await scholar._checkpoints.aget_tuple(config) is None
    assert await scholar.replay(kept.run_id) == kept


async def test_a_run_that_ended_well_keeps_no_checkpoints(office: Office) -> None:
    answer = await whole(office)
    config: Any = {"configurable": {"thread_id": answer.run_id}}
    saver = office.open(None).scholar._checkpoints
    assert [one async for one in saver.alist(config)] == []


async def test_a_question_that_cannot_be_asked_leaves_no_run(office: Office) -> None:
    desk = office.open()
    with pytest.raises(Exception, match="question"):
        await events_of(begun(desk, "  "))
    assert await desk.scholar.runs.all() == []


# Going on


@pytest.mark.parametrize("call", ["planner", "reader", "writer"])
async def test_after_a_model_failed_no_answered_call_is_paid_again(
    office: Office, call: str
) -> None:
    undisturbed = await whole(office)
    run_id, answered = await failed(office, call)
    desk = office.open()
    answer = await ended(await desk.scholar.resume(run_id))
    assert content(answer) == content(undisturbed)
    assert answer.run_id == run_id
    assert asked_twice(answered, desk.backend.requests) == []
    assert len(answered) + len(desk.backend.requests) == undisturbed.usage.calls
    assert answer.usage.calls == undisturbed.usage.calls + 1
    assert (await desk.scholar.runs.find(run_id)).outcome is Outcome.ANSWERED


async def test_a_run_goes_on_with_another_model(office: Office) -> None:
    undisturbed = await whole(office)
    run_id, answered = await failed(office, "writer")
    desk = office.open(name="another")
    answer = await ended(await desk.scholar.resume(run_id))
    assert content(answer) == content(undisturbed)
    models = [call.model for call in await desk.scholar.runs.calls(run_id)]
    assert models == ["fake"] * (len(answered) + 1) + ["another"] * len(desk.backend.requests)


async def test_after_a_server_that_was_down_nothing_is_paid_twice(
    office: Office, server: ModelServer
) -> None:
    work = for_server(honest)
    broken = True

    def script(body: dict[str, Any]) -> Scripted:
        name = body["response_format"]["json_schema"]["name"]
        return Status(500, {}, {"retry-after": "0"}) if broken and name == "writer" else work(body)

    server.use(script)
    answer = await ended(begun(office.open(server=server.url)))
    assert answer.outcome is Outcome.MODEL_FAILED
    assert [r.body["response_format"]["json_schema"]["name"] for r in server.requests[:2]] == [
        "planner",
        "reader",
    ]
    broken, before = False, len(server.requests)
    again = await ended(await office.open(server=server.url).scholar.resume(answer.run_id))
    assert again.outcome is Outcome.ANSWERED
    assert len(server.requests) - before == 1 + PARALLEL


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
async def test_a_run_that_spent_its_budget_goes_on_with_a_larger_one(
    office: Office, share: float
) -> None:
    undisturbed = await whole(office)
    tokens = undisturbed.usage.input_tokens + undisturbed.usage.output_tokens
    poor = office.open(budget=Budget(tokens=int(tokens * share)))
    spent = await ended(begun(poor))
    assert spent.outcome is Outcome.BUDGET_SPENT
    rich = office.open()
    answer = await ended(await rich.scholar.resume(spent.run_id))
    assert content(answer) == content(undisturbed)
    # A juror whose turn did not come was not asked; a reply that was cut short is asked for anew.
    assert len(rich.backend.requests) <= undisturbed.usage.calls
    assert asked_twice(poor.backend.requests[:-1], rich.backend.requests) == []


async def test_after_tools_failed_the_plan_is_not_paid_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = await whole(office)
    desk = office.open()

    async def fail(*_: Any, **__: Any) -> Any:
        raise LibraryError("The library is gone; bring it back.")

    monkeypatch.setattr(desk.scholar.services.library, "search", fail)
    answer = await ended(begun(desk))
    assert answer.outcome is Outcome.TOOLS_FAILED
    assert desk.calls == ["planner"]
    again = office.open()
    resumed = await ended(await again.scholar.resume(answer.run_id))
    assert content(resumed) == content(undisturbed)
    assert asked_twice(desk.backend.requests, again.backend.requests) == []


async def test_a_branch_that_was_answered_beside_one_that_failed_is_not_paid_again(
    office: Office,
) -> None:
    undisturbed = await whole(office, **REVIEW)
    desk = office.open(failing("section"))
    answer = await ended(begun(desk, **REVIEW))
    assert answer.outcome is Outcome.MODEL_FAILED
    assert {"section", "table"} <= set(desk.calls)
    again = office.open()
    resumed = await ended(await again.scholar.resume(answer.run_id))
    assert content(resumed) == content(undisturbed)
    assert again.calls == ["section", *["juror"] * PARALLEL]


@pytest.mark.parametrize("run_id", ["answered", "unknown"])
async def test_what_cannot_go_on_is_said(office: Office, run_id: str) -> None:
    desk = office.open()
    known = await whole(office, preset="fast")
    named = known.run_id if run_id == "answered" else "zz"
    said = "has ended; see scholar runs show" if run_id == "answered" else "No run is called 'zz'"
    with pytest.raises(RunError, match=said):
        await desk.scholar.resume(named)


# Ending early


def stalling(call: str, juror: str = "") -> Any:
    """A script that begins its reply to `call` and never ends it."""
    work = for_server(lambda seen: Stall("{") if stalls(seen) else honest(seen))

    def stalls(seen: Seen) -> bool:
        return seen.call == call and (not juror or seen.juror == juror)

    return work


async def under_way(run: Run, server: ModelServer, requests: int) -> asyncio.Task[list[Any]]:
    """`run`, once so many of its requests have come."""
    going = asyncio.create_task(events_of(run))
    assert await asyncio.to_thread(server.wait_for_requests, requests)
    return going


STALLED = 3 + PARALLEL
"""Requests until a juror of standard stalls beside the others."""


@pytest.mark.parametrize("how", ["here", "elsewhere"])
async def test_cancelling_cuts_what_is_under_way_and_keeps_the_rest(
    office: Office, server: ModelServer, how: str
) -> None:
    server.use(stalling("juror", "completeness"))
    run = begun(office.open(server=server.url))
    going = await under_way(run, server, STALLED)
    began = time.monotonic()
    if how == "here":
        run.cancel()
    else:
        await office.open(None).scholar.runs.cancel(run.run_id)
    *_, last = await going
    # A second is promised, on a machine that does nothing else.
    assert time.monotonic() - began < 3
    assert isinstance(last, Finished)
    answer = last.answer
    assert answer.outcome is Outcome.CANCELLED
    assert answer.sentences
    assert not faults(answer)
    assert f"go on with scholar runs resume {run.run_id}" in " ".join(answer.notes)
    assert server.wait_for_hang_up()
    calls = await office.open(None).scholar.runs.calls(run.run_id)
    assert len(calls) == len(server.requests) == answer.usage.calls
    assert {call.node for call in calls if call.failed} == {"deliberate"}
    assert answer.usage.estimated


async def test_a_cancelled_run_goes_on_without_asking_the_other_jurors_again(
    office: Office, server: ModelServer
) -> None:
    server.use(stalling("juror", "completeness"))
    run = begun(office.open(server=server.url))
    answered = 0
    async for event in run.events():
        answered += isinstance(event, Called)
        if answered == STALLED - 1:  # the other two have
            run.cancel()
    assert answered >= STALLED - 1
    server.use(for_server(honest))
    again = office.open(server=server.url)
    answer = await ended(await again.scholar.resume(run.run_id))
    assert answer.outcome is Outcome.ANSWERED
    assert len(server.requests) == 1
    assert content(answer) == content(await whole(office))


async def test_closing_the_events_hangs_up_and_leaves_a_run_that_goes_on(
    office: Office, server: ModelServer
) -> None:
    server.use(stalling("writer"))
    run = begun(office.open(server=server.url))
    async with aclosing(run.events()) as events:
        async for event in events:
            if isinstance(event, Called) and event.call.node == "read":
                break
    other = office.open(server=server.url)
    assert (await other.scholar.runs.find(run.run_id)).status == "stopped"
    assert len(server.requests) <= 3
    server.use(for_server(honest))
    assert (await ended(await other.scholar.resume(run.run_id))).outcome is Outcome.ANSWERED
    assert len(server.requests) == 1 + PARALLEL


async def test_a_run_is_let_go_of_once_all_is_kept(office: Office) -> None:
    desk = office.open()
    run, free = begun(desk), threading.Event()
    events = run.events()
    await anext(events)
    database = desk.scholar.services.journal._database
    assert database is not None
    database._thread.submit(free.wait)
    closing = asyncio.create_task(events.aclose())
    assert await asyncio.wait({closing}, timeout=0.2) == (set(), {closing})
    free.set()
    await closing


async def test_only_a_run_that_is_under_way_can_be_cancelled(office: Office) -> None:
    answer = await whole(office, preset="fast")
    with pytest.raises(RunError, match=r"is not under way; see scholar runs list\.$"):
        await office.open(None).scholar.runs.cancel(answer.run_id)


# One at a time


async def test_of_two_that_resume_one_run_one_wins_and_the_other_says_so(office: Office) -> None:
    undisturbed = await whole(office)
    run_id, answered = await failed(office, "reader")
    desks = [office.open(), office.open()]
    runs = [await desk.scholar.resume(run_id) for desk in desks]
    both = await asyncio.gather(*(ended(run) for run in runs), return_exceptions=True)
    [answer] = [one for one in both if not isinstance(one, BaseException)]
    [error] = [one for one in both if isinstance(one, BaseException)]
    assert isinstance(error, RunError)
    assert str(error).startswith(f"The run {run_id} is under way in another process; wait for it")
    assert content(answer) == content(undisturbed)
    asked = [desk.backend.requests for desk in desks]
    assert [] in asked
    assert asked_twice(answered, *asked) == []


async def test_one_that_comes_late_knows_what_the_first_was_told(office: Office) -> None:
    run_id, answered = await failed(office, "reader")
    early, late = office.open(failing("writer")), office.open()
    waiting = await late.scholar.resume(run_id)
    failed_again = await ended(await early.scholar.resume(run_id))
    assert failed_again.outcome is Outcome.MODEL_FAILED
    assert (await ended(waiting)).outcome is Outcome.ANSWERED
    assert asked_twice(answered, early.backend.requests[:-1], late.backend.requests) == []


async def test_one_that_comes_back_knows_what_others_were_told_meanwhile(office: Office) -> None:
    desk = office.open(failing("reader"))
    run = begun(desk)
    first = await ended(run)
    meanwhile = office.open(failing("writer"))
    await ended(await meanwhile.scholar.resume(first.run_id))
    # It starts over, and so needs all that the run was told, also while its first part is held.
    await desk.scholar._checkpoints.adelete_thread(run.run_id)
    answer = await ended(await desk.scholar.resume(run.run_id))
    assert answer.outcome is Outcome.ANSWERED
    assert desk.calls == ["planner", "reader", "writer", *["juror"] * PARALLEL]


async def test_a_run_under_way_can_neither_be_resumed_nor_removed(
    office: Office, server: ModelServer
) -> None:
    server.use(stalling("writer"))
    run = begun(office.open(server=server.url))
    going = await under_way(run, server, 3)
    other = office.open(None).scholar
    assert (await other.runs.find(run.run_id)).status == "running"
    with pytest.raises(RunError, match="is under way; see scholar runs show"):
        await other.resume(run.run_id)
    with pytest.raises(RunError, match="is under way in another process; wait for it, or end it"):
        await other.runs.remove(run.run_id)
    run.cancel()
    await going
    assert (await other.runs.remove(run.run_id)).run_id == run.run_id


# Playing again

TASKS: dict[str, dict[str, Any]] = {
    **{name: {"preset": name} for name in load_presets() if name != "review"},
    "review": REVIEW,
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
async def test_a_run_is_played_again_byte_for_byte_without_a_model(
    office: Office, task: dict[str, Any]
) -> None:
    answer = await whole(office, **task)
    assert await replayed(office, answer.run_id) == to_json(answer)


async def replayed(office: Office, run_id: str) -> Any:
    desk = office.open(None)
    again = await desk.scholar.replay(run_id)
    assert desk.backend.requests == []
    return to_json(again)


async def test_a_run_without_a_model_is_played_again(office: Office) -> None:
    answer = await ended(begun(office.open(None)))
    assert answer.outcome is Outcome.EVIDENCE
    # Also where there are models by now.
    desk = office.open()
    assert to_json(await desk.scholar.replay(answer.run_id)) == to_json(answer)
    assert desk.backend.requests == []


@pytest.mark.parametrize("call", ["planner", "reader", "writer", "juror"])
async def test_a_run_whose_model_failed_is_played_again(office: Office, call: str) -> None:
    answer = await ended(begun(office.open(failing(call))))
    assert await replayed(office, answer.run_id) == to_json(answer)


async def test_a_run_that_spent_its_budget_is_played_again(office: Office) -> None:
    answer = await ended(begun(office.open(budget=Budget(tokens=2_000))))
    assert answer.outcome is Outcome.BUDGET_SPENT
    assert await replayed(office, answer.run_id) == to_json(answer)


async def test_a_run_whose_tools_failed_is_played_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = office.open()

    async def fail(*_: Any, **__: Any) -> Any:
        raise LibraryError("The library is gone; bring it back.")

    monkeypatch.setattr(desk.scholar.services.library, "search", fail)
    answer = await ended(begun(desk))
    assert answer.outcome is Outcome.TOOLS_FAILED
    assert await replayed(office, answer.run_id) == to_json(answer)


async def test_a_run_that_was_resumed_is_played_again(office: Office) -> None:
    run_id, _ = await failed(office, "writer", preset="deep")
    answer = await ended(await office.open().scholar.resume(run_id))
    assert await replayed(office, run_id) == to_json(answer)


async def test_papers_that_came_later_change_nothing_of_what_is_played_again(
    office: Office, tmp_path: Path
) -> None:
    answer = await whole(office)
    note = tmp_path / "late.md"
    note.write_text("# Late\n\nGraph walks rank passages on multi-hop questions by luck alone.\n")
    await office.open(None).scholar.add(note)
    assert await replayed(office, answer.run_id) == to_json(answer)
    assert content(await whole(office)) != content(answer)


async def test_so_does_an_empty_library_that_has_papers_by_now(
    settings: Settings, tmp_path: Path
) -> None:
    office = Office(settings)
    answer = await whole(office)
    assert answer.outcome is Outcome.NO_EVIDENCE
    note = tmp_path / "first.md"
    note.write_text("# First\n\nCats sleep through the day and hunt at night.\n")
    await office.open(None).scholar.add(note)
    assert await replayed(office, answer.run_id) == to_json(answer)
    assert (await whole(office)).notes != answer.notes
    await office.aclose()


async def test_a_node_that_makes_something_else_of_its_state_is_named(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await whole(office)
    resolve = retriever.resolve

    async def later(state: Any, context: Any) -> Any:
        return {**await resolve(state, context), "material": 99}

    monkeypatch.setattr(retriever, "resolve", later)
    with pytest.raises(ReplayDiffers, match="differs at resolve: it makes something else of the s"):
        await office.open(None).scholar.replay(answer.run_id)


@pytest.mark.parametrize("changed", ["version", "text"])
@pytest.mark.parametrize(
    ("prompt", "node"),
    [("planner", "plan"), ("reader", "read"), ("writer", "compose"), ("juror", "deliberate")],
)
async def test_with_a_changed_prompt_the_node_is_named_at_which_it_differs(
    office: Office, monkeypatch: pytest.MonkeyPatch, changed: str, prompt: str, node: str
) -> None:
    answer = await whole(office)
    render = prompts._parts
    filled = prompts._templates

    def parts(name: str) -> Any:
        head, *rest = render(name)
        return ({**head, "version": head["version"] + (name == prompt)}, *rest)

    def templates(name: str) -> Any:
        system, user = filled(name)
        more = prompts._environment().from_string("Be brief." if name == prompt else "")
        return (system, _Both(user, more))

    name, other = ("_parts", parts) if changed == "version" else ("_templates", templates)
    monkeypatch.setattr(prompts, name, other)
    with pytest.raises(ReplayDiffers) as told:
        await office.open(None).scholar.replay(answer.run_id)
    assert told.value.node == node
    said = f"Played again, the run {answer.run_id} differs at {node}: the prompt {prompt} asks"
    assert str(told.value).startswith(said)
    assert str(told.value).endswith("ask anew for an answer of today.")


class _Both:
    def __init__(self, *templates: Any) -> None:
        self._templates = templates

    def render(self, **values: Any) -> str:
        return "\n".join(one.render(**values) for one in self._templates)


async def test_a_run_that_was_cut_short_cannot_be_played_again(
    office: Office, server: ModelServer
) -> None:
    server.use(stalling("writer"))
    run = begun(office.open(server=server.url))
    going = await under_way(run, server, 3)
    run.cancel()
    await going
    with pytest.raises(RunError, match=rf"go on with scholar runs resume {run.run_id}\.$"):
        await office.open(None).scholar.replay(run.run_id)
