"""The state machine: which node follows which, and with which services they run.

    intake → gate → plan ⇉ search → read → resolve → compose → verify → deliberate → publish
                     ▲                        │        ▲                   │
                     ├──── another round ─────┘        └───── revise ──────┤
                     └──────────────────── search_more ────────────────────┘

`search` runs once per open step, in parallel; `approve` comes before it where a person wants to
see the plan. Without a model, `resolve` goes straight to
`publish`; so does every node after a failure, with what there is. Where a review is written,
`outline → section ⟲ → sum_up` stands for `compose`, with `table` beside the first section, and
`mend` for its revisions. Where ideas are asked for, between `intake` and `publish` stands

    theme ⇉ inspire ∥ brainstorm ∥ leap → integrate → work_out → novelty → choose → rank
                                                         ▲                   │
                                                         └────── alter ──────┘

and `propose` where one of them is worked out into a proposal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from itertools import accumulate
from typing import Any, Literal, TypeVar, cast, get_args
from weakref import WeakKeyDictionary

import langsmith
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Checkpointer, Send, interrupt

from scholar import settings as settings_module
from scholar.agents import (
    approval,
    choosing,
    elaborator,
    gate,
    ideas,
    jury,
    novelty,
    outliner,
    planner,
    proposer,
    publisher,
    reader,
    recall,
    retriever,
    reviewer,
    tabulator,
    writer,
)
from scholar.backends.gateway import Gateway
from scholar.checkpoints import shape
from scholar.context import HAS_MODELS, Consult, Context, Services, context_for
from scholar.errors import (
    BudgetSpent,
    LibraryError,
    ModelError,
    ReplayDiffers,
    SettingsError,
    SourceError,
)
from scholar.estimate import estimate
from scholar.events import Began, Called, Ended, Event, Exchanged, FellBack, Noted, Used
from scholar.journal import Journal, RunRow, key_of
from scholar.library import Library
from scholar.settings import Settings, load_presets
from scholar.state import (
    Branch,
    Failure,
    Published,
    Question,
    State,
    Update,
    draft_of,
    is_review,
)
from scholar.tools.mcp import Servers
from scholar.values import Answer, Inquiry, Outcome

Graph = CompiledStateGraph[State, Services, Question, Published]
S = TypeVar("S", bound=Mapping[str, Any])
Writer = Literal["compose", "outline", "mend"]
_WRITERS = get_args(Writer)
_ROUTES = ("inspire", "brainstorm", "leap")

_OUTCOMES: dict[type[Exception], Outcome] = {
    BudgetSpent: Outcome.BUDGET_SPENT,
    ModelError: Outcome.MODEL_FAILED,
    SourceError: Outcome.TOOLS_FAILED,
    LibraryError: Outcome.TOOLS_FAILED,
}


def build_graph(services: Services | None = None, *, checkpointer: Checkpointer = None) -> Graph:
    """The compiled graph: `(await graph.ainvoke({"question": "…"}))["answer"]` is an `Answer`.

    Each run uses the `context=Services(…)` it is given, else `services`, else services built from
    the settings, one set per event loop. `astream` takes LangGraph's own stream modes; `custom`
    carries the events of `scholar.events`. Where the settings say `offline`, LangSmith's tracing is
    off for this whole process, whatever the environment says.
    """
    _keep_traces_here(services)
    return _compiled(services, checkpointer)


def server_graph() -> Graph:
    """The graph as LangGraph's own server and Studio load it: they bring the checkpointer.

    They ask for it within their event loop, so no settings are read here.
    """
    return _compiled(None, None)


def _compiled(services: Services | None, checkpointer: Checkpointer) -> Graph:
    # No context schema: LangGraph's server fills one from JSON, and services are no JSON.
    graph: Any = StateGraph(State, input_schema=Question, output_schema=Published)

    def add(name: str, agent: Callable[[Any, Context], Awaitable[Update]]) -> None:
        graph.add_node(name, _node(name, agent, services))

    add("intake", _intake)
    add("gate", gate.gate)
    add("plan", planner.plan)
    add("approve", _approve)
    add("search", retriever.search)
    add("read", reader.read)
    add("resolve", retriever.resolve)
    add("compose", writer.compose)
    add("outline", outliner.outline)
    add("section", reviewer.section)
    add("table", tabulator.table)
    add("sum_up", reviewer.sum_up)
    add("mend", reviewer.mend)
    add("verify", publisher.verify)
    add("deliberate", _judge)
    add("theme", ideas.theme)
    add("inspire", ideas.inspire)
    add("brainstorm", ideas.brainstorm)
    add("leap", ideas.leap)
    add("integrate", ideas.integrate)
    add("work_out", elaborator.work_out)
    add("novelty", novelty.check)
    add("choose", choosing.choose)
    add("alter", choosing.alter)
    add("rank", choosing.rank)
    add("propose", proposer.propose)
    add("publish", _publish)

    graph.add_edge(START, "intake")
    graph.add_conditional_edges("intake", _task, ["gate", "theme", "propose"])
    _join_answering(graph)
    _join_ideas(graph)
    graph.add_edge("propose", "publish")
    graph.add_edge("publish", END)
    compiled: Graph = graph.compile(checkpointer=checkpointer, name="scholar")
    return compiled.with_config(recursion_limit=_recursion_limit())


def _join_answering(graph: Any) -> None:
    """The edges from the question to a verdict on the answer or the review."""
    graph.add_conditional_edges("gate", _unless_failed("plan"), ["plan", "publish"])
    searching = ["search", *_WRITERS, "publish"]
    graph.add_conditional_edges("plan", _approved_or_asked, ["approve", *searching])
    graph.add_conditional_edges("approve", _each_open_step, searching)
    graph.add_edge("search", "read")
    graph.add_conditional_edges("read", _unless_failed("resolve"), ["resolve", "publish"])
    graph.add_conditional_edges("resolve", _onward, ["plan", *_WRITERS, "publish"])
    graph.add_conditional_edges("outline", _first_section, ["section", "table", "publish"])
    graph.add_conditional_edges("section", _next_section, ["section", "sum_up", "publish"])
    for written in ("compose", "sum_up", "mend"):
        graph.add_conditional_edges(written, _unless_failed("verify"), ["verify", "publish"])
    graph.add_conditional_edges("verify", _jury_or_end, ["deliberate", "publish"])
    graph.add_conditional_edges("deliberate", _verdict, ["publish", "compose", "mend", "plan"])


def _join_ideas(graph: Any) -> None:
    """The edges from the topic to the order of the ideas."""
    graph.add_conditional_edges("theme", _routes, [*_ROUTES, "publish"])
    graph.add_edge(list(_ROUTES), "integrate")
    for done, following in (
        ("integrate", "work_out"),
        ("work_out", "novelty"),
        ("novelty", "choose"),
        ("alter", "work_out"),
    ):
        graph.add_conditional_edges(done, _unless_failed(following), [following, "publish"])
    graph.add_conditional_edges("choose", _chosen, ["alter", "novelty", "rank", "publish"])
    graph.add_edge("rank", "publish")


async def _intake(state: State, context: Context) -> Update:
    """The planner's intake, and the run's entry in the journal."""
    update = await planner.intake(state, context)
    record, services = context.record, context.services
    if record.told(HAS_MODELS) is None:
        await record.keep(HAS_MODELS, "true" if context.has_models else "false")
    known = {k: v for k, v in state.items() if k in Question.__annotations__}
    asked = cast(Question, {**known, "question": update["question"]})
    await services.journal.begin(row_of(asked, record.run_id, services))
    if thread := state.get("thread"):
        meant = await recall.meant(update["question"], thread, context)
        words = update["question"] if meant.question != update["question"] else ""
        return {
            **update,
            "question": meant.question,
            "words": words,
            "recalled": list(meant.recalled),
            "notes": list(meant.notes),
        }
    return update


async def _publish(state: State, context: Context) -> Update:
    """The publisher's answer, and how the run has ended in the journal."""
    update = await publisher.publish(state, context)
    await _mark(context, update)  # first, so that what has ended can be played again
    await context.services.journal.finish(update["answer"], context.services.clock())
    return update


def row_of(asked: Question, run_id: str, services: Services) -> RunRow:
    """The entry of a run that begins now."""
    return RunRow(
        run_id=run_id,
        thread=asked.get("thread") or run_id,
        question=asked.get("question", ""),
        task=asked.get("task", "answer"),
        preset=asked.get("preset") or services.settings.preset,
        started=services.clock(),
        asked=asked,
        shape=shape(),
    )


async def _approve(state: State, context: Context) -> Update:
    """A person's word on the plan, where there is somebody."""
    if not context.has_person:
        return {"notes": ["Nobody was there to approve the plan, so it was followed as it is."]}
    known = context.settings.preset_named(state.get("preset"))
    likely = asdict(estimate(state["question"], known, context.settings, state.get("k")))
    return await approval.approve(state, context, likely)


async def _judge(state: State, context: Context) -> Update:
    judge = reviewer.judge if is_review(state) else jury.deliberate
    return await judge(state, context)


def build_services(
    settings: Settings | None = None,
    *,
    on_notice: Callable[[str], None] = lambda _: None,
    consult: Consult | None = None,
) -> Services:
    """Services as the settings say; raises SettingsError or LibraryError."""
    settings = settings or settings_module.load()
    library = Library(settings, on_notice=on_notice)
    services = Services(
        settings,
        library,
        Gateway(settings, on_notice=on_notice),
        consult=consult,
        servers=Servers(settings),
        journal=Journal.of(settings, on_notice),
    )
    _keep_traces_here(services)
    return services


def _keep_traces_here(services: Services | None) -> None:
    """Let LangGraph send no trace of a run anywhere, where nothing may leave this machine."""
    if _is_offline(services):
        langsmith.configure(enabled=False)


def _is_offline(services: Services | None) -> bool:
    try:
        return (services.settings if services else settings_module.load()).offline
    except SettingsError:
        return True  # The first run says what is wrong with the settings.


_default_services: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Services]]
_default_services = WeakKeyDictionary()


async def _services(given: Services | None) -> Services:
    if given is not None:
        return given
    # Connections belong to their event loop, so each loop has services of its own; runs that
    # start together wait for the same ones.
    loop = asyncio.get_running_loop()
    known = _default_services.get(loop)
    if known is None or (known.done() and known.exception()):
        known = loop.create_task(asyncio.to_thread(build_services))
        _default_services[loop] = known
    return await asyncio.shield(known)


def _node(
    name: str, agent: Callable[[S, Context], Awaitable[Update]], services: Services | None
) -> Callable[[S, Runtime[Services]], Awaitable[Update]]:
    """`agent` as the LangGraph node `name`: framed by Began and Ended, its calls booked, its
    failures and stand-in models named. One that is cut short has no Ended.
    """

    async def node(state: S, runtime: Runtime[Services]) -> Update:
        known = await _services(runtime.context or services)
        record = await known.journal.record(_run_id(state, known), known.clock)
        notes: list[str] = []
        step = state["step"].id if "step" in state else ""
        began = time.monotonic()

        def emit(event: Event) -> None:
            if isinstance(event, Called | Exchanged | Used):
                event = replace(event, step=step)
            if isinstance(event, FellBack | Noted):
                notes.append(event.note)
            runtime.stream_writer(event)

        emit(Began(name, step))
        pause = _pause if state.get("person") else None
        moment = _moment(name, state)
        context = context_for(state, known, emit, name, moment=moment, record=record, pause=pause)
        try:
            update = await agent(state, context)
        except ReplayDiffers as error:
            raise ReplayDiffers(str(error), error.node or name) from None
        except tuple(_OUTCOMES) as error:
            outcome = next(o for kind, o in _OUTCOMES.items() if isinstance(error, kind))
            update = {"failure": Failure(outcome, str(error))}
        if notes:
            update = {**update, "notes": [*(update.get("notes") or ()), *dict.fromkeys(notes)]}
        failure = update.get("failure")
        emit(Ended(name, step, time.monotonic() - began, failure.message if failure else ""))
        await _mark(context, update)
        return update

    return node


def _run_id(state: Mapping[str, Any], services: Services) -> str:
    """The id of the run: a new one where a thread that has answered asks again."""
    answered: Answer | None = state.get("answer")
    run_id: str | None = state.get("run_id")
    if not run_id or (answered and answered.run_id == run_id):
        return services.new_id()
    return run_id


def _pause(inquiry: Inquiry) -> Any:
    return interrupt(inquiry)


def _moment(name: str, state: Mapping[str, Any]) -> str:
    """The node and its state, as a key."""
    return key_of("node", name, {key: value for key, value in state.items() if key != "run_id"})


async def _mark(context: Context, update: Update) -> None:
    """Remember what a node made of its state; raises ReplayDiffers where it had made another."""
    record, made = context.record, key_of("update", {**update, "run_id": ""})
    if not record.replaying:
        await record.keep(context.moment, made)
    elif record.told(context.moment) != made:
        raise ReplayDiffers("it makes something else of the same state", context.node)


def _approved_or_asked(state: State) -> Any:
    first = state.get("rounds") == 1 and not state.get("search_rounds")
    asks = state.get("review_plan") and first and not state.get("failure")
    return "approve" if asks else _each_open_step(state)


def _task(state: State) -> Literal["gate", "theme", "propose"]:
    task = state.get("task")
    return "theme" if task == "ideas" else "propose" if task == "proposal" else "gate"


def _routes(state: State) -> list[str]:
    """The routes to ideas, all at once; without a model there is what `theme` has found."""
    return ["publish"] if state.get("failure") or not state["theme"] else list(_ROUTES)


def _chosen(state: State) -> Literal["alter", "novelty", "rank", "publish"]:
    """What a person's choice calls for: new ideas, another check of changed ones, or the rest."""
    if state.get("failure"):
        return "publish"
    if state["wishes"]:
        return "alter"
    return "novelty" if any(idea.novelty is None for idea in state["ideas"]) else "rank"


def _each_open_step(state: State) -> list[Send] | Literal["publish"] | Writer:
    if state.get("failure"):
        return "publish"
    steps = [step for step in state.get("steps", []) if step.status == "open"]
    if not steps:  # the plan is complete, or the jury asked for nothing new
        nothing_new = state.get("draft") or not state.get("evidence")
        return "publish" if nothing_new else _writer(state)
    shared = {key: value for key, value in state.items() if key in Branch.__annotations__}
    may_add = list(accumulate((step.op == "tool" for step in steps), initial=0))
    return [
        Send("search", {**shared, "step": step, "turn": turn})
        for step, turn in zip(steps, may_add, strict=False)
    ]


def _writer(state: State) -> Writer:
    """Which node writes: one call for an answer, several for a review that is not written yet."""
    if not is_review(state):
        return "compose"
    return "mend" if state.get("draft") else "outline"


def _first_section(state: State) -> list[str]:
    if state.get("failure"):
        return ["publish"]
    return ["section", "table"] if state["asks"] else ["section"]


def _next_section(state: State) -> Literal["section", "sum_up", "publish"]:
    if state.get("failure"):
        return "publish"
    return "section" if state["written"] < len(state["outline"]) else "sum_up"


def _unless_failed(next_node: str) -> Callable[[State], str]:
    def route(state: State) -> str:
        return "publish" if state.get("failure") else next_node

    return route


def _onward(state: State) -> Literal["plan", "publish"] | Writer:
    if state.get("failure"):
        return "publish"
    if state["more"]:
        return "plan"
    return _writer(state) if state["to_write"] else "publish"


def _jury_or_end(state: State) -> Literal["deliberate", "publish"]:
    if state.get("failure"):
        return "publish"
    draft = draft_of(state)
    return "deliberate" if draft.sentences or draft.conflicts else "publish"


def _verdict(state: State) -> Literal["publish", "plan"] | Writer:
    if state.get("failure"):
        return "publish"
    decision = state["decision"]
    if decision == "revise":
        return _writer(state)
    return "plan" if decision == "search_more" else "publish"


def _recursion_limit() -> int:
    """Steps of the longest run that the presets' bounds allow."""
    search, write = 4, 3  # nodes of one round of searching, of writing and judging
    longest = max(
        search * (p.searches + p.rounds) + write * (p.searches + p.revisions + 1)
        for p in load_presets().values()
    )
    review = outliner.MOST_SECTIONS + 2  # an outline and a summary around them
    altered = 4 * (choosing.CHOICES + choosing.REPLACEMENTS)  # alter, work_out, novelty, choose
    return (
        longest + review + altered + 5
    )  # intake, gate, publish, and LangGraph's own first and last step
