"""The planner: what the question is, and which steps answer it, round by round.

A round opens steps; they are searched, read and resolved; then the strategy of the preset says
whether there is another. Only a strategy that needs a model's word for that asks for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field

from scholar import prompts, tools
from scholar.agents import lessons
from scholar.agents.evidence import FENCE, LEAST_ROOM, room, size
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ModelRefused, ReplyInvalid, UsageError
from scholar.events import Noted, Planned
from scholar.journal import key_of
from scholar.state import State, Update, blank, is_review
from scholar.text import encodable, one_line
from scholar.values import Step

MAX_QUESTION = 3_000
"""Characters of the longest question: more is a document, which belongs into the library."""
NO_REVIEW = (
    "This preset reads and writes in one call, and a review is written from quotes; "
    "take another: scholar review … --preset review."
)
"""What is said where a review is asked for of a preset that cannot give one."""
SURE = 0.9
"""From here on a prior is taken for sure, and one round of planning has to do."""
UNKNOWN = frozenset({"", "unknown", "i don't know", "not known", "n/a"})
"""What a model says that does not know an answer."""
MOST_PREMISES = 5
"""Premises of one question; a question that asserts more is a text."""
NOTE_QUOTES = 4
"""Quotes that a note repeats; twenty notes then fit a window of 8,000 tokens."""
NOTE_CHARACTERS = 800
"""Characters that a note repeats of what a tool said, for the same reason."""
NOTE_BRIEF = 240
"""Characters of a note that had to be cut; twenty of these fit the same window in any script."""
FINISHED = ("", "finish")
"""What a model says instead of a tool's name where it needs no other. A name that is none is called
like any: where it is refused, the note of that is what the model goes on from.
"""
MOST_TRIES = 2
"""Times that a step which brought nothing is searched for deeper; each is a reading call more."""
_REFERENCE = re.compile(r"#(s\d+)\b")


class _Step(Reply):
    question: Line
    query: Line


class _Plan(Reply):
    premises: list[Line] = Field(default_factory=list)
    steps: list[_Step]


class _Link(Reply):
    question: Line
    query: Line
    answer: Line


class _Chain(Reply):
    premises: list[Line] = Field(default_factory=list)
    steps: list[_Link]


class _FollowUp(Reply):
    enough: bool
    premises: list[Line] = Field(default_factory=list)
    steps: list[_Step]


class _Node(Reply):
    id: str
    op: Literal["retrieve", "compute", "deduce"]
    question: Line
    query: Line
    parents: list[str]


class _Graph(Reply):
    premises: list[Line] = Field(default_factory=list)
    steps: list[_Node]


class _Argument(Reply):
    name: str
    value: str


class _ToolStep(Reply):
    reason: Line
    tool: str
    arguments: list[_Argument]
    question: Line


async def intake(state: State, context: Context) -> Update:
    """Take the question in: check it, give the run its id and its starting time.

    Raises UsageError where there is no question or it is too long to be one, `k` is below 1, or a
    review is asked for by a preset that cannot give one.
    """
    # Bytes of a command line that are no text arrive as half characters, which nothing can encode.
    question = one_line(encodable(state.get("question", "")))
    if not any(map(str.isalnum, question)):
        state_of_it = "has no words" if question else "is empty"
        raise UsageError(
            f'The question {state_of_it}; write it in quotes, as in scholar ask "How …?".'
        )
    if len(question) > MAX_QUESTION:
        raise UsageError(
            f"The question has {len(question):,} characters and may have {MAX_QUESTION:,}; "
            "put long text into a file and add it with --with."
        )
    k = state.get("k")
    if k is not None and k < 1:
        raise UsageError(f"k is the passages to read per step and may not be {k}; give 1 or more.")
    if is_review(state) and not context.preset.can_review:
        raise UsageError(NO_REVIEW)
    return {
        **blank(),
        "question": question,
        "run_id": context.record.run_id,
        "lessons": await lessons.offered(question, context),
    }


async def plan(state: State, context: Context) -> Update:
    """Open the steps of the next round.

    Without a model the question is the only step. Sent back by the jury for more evidence, the
    jurors' own queries are the new steps: no further call, and no step where all of them were
    searched for already. Nor is there a call where steps that brought nothing are searched once
    more, deeper. A later round that cannot be planned ends the planning with a note, for
    there is something to write from.
    """
    notes: list[str] = []
    premises = state.get("premises", [])
    if state.get("decision") == "search_more":
        steps = [*state["steps"], *_steps_of_the_jury(state)]
    elif not context.has_models:
        steps = _only_the_question(state)
    elif deeper := _once_more(state, context):
        steps = deeper
    else:
        try:
            premises, steps = await _STRATEGIES[context.preset.plan](state, context)
        except (ReplyInvalid, ModelRefused) as error:
            if not state.get("rounds"):
                raise
            steps = state["steps"]
            notes = [f"Planning ended early: {error}"]
    steps = _shared_out(steps, state, context)
    context.emit(Planned(tuple(step for step in steps if step.status == "open")))
    return {
        "premises": premises,
        "steps": steps,
        "rounds": state.get("rounds", 0) + 1,
        "more": False,
        "notes": notes,
    }


def may_go_on(state: State, context: Context) -> bool:
    """Whether the bounds allow another round of planning; one has to do where the prior is sure."""
    prior = state.get("prior")
    most = 1 if prior and prior.sure >= SURE else context.preset.rounds
    return state.get("rounds", 0) < most


Planning = tuple[list[str], list[Step]]
"""The premises of the question, and all steps: those known, and the new ones that are open."""


async def _question(state: State, context: Context) -> Planning:
    return [], _only_the_question(state)


def _only_the_question(state: State) -> list[Step]:
    prior = state.get("prior")
    query = " ".join(filter(None, (state["question"], prior.answer if prior else "")))
    return [Step("s1", state["question"], query)]


async def _single(state: State, context: Context) -> Planning:
    most = context.preset.steps
    name = "facets" if is_review(state) else "planner"
    prompt = prompts.render(name, question=state["question"], most=most)
    reply = await context.ask(lessons.with_lessons(prompt, state), _Plan)
    steps = [_step(n, item.question, item.query) for n, item in enumerate(reply.steps, start=1)]
    steps = [step for step in steps if step.question][:most] or _only_the_question(state)
    return _premises(reply.premises, state), steps


def _premises(said: Iterable[str], state: State) -> list[str]:
    """The premises that the first round found; later ones find no new ones in the question."""
    found = [text.strip() for text in said if text.strip()][:MOST_PREMISES]
    return state.get("premises", []) if state.get("rounds") else found


async def _chain(state: State, context: Context) -> Planning:
    """Search-in-the-Chain: the model drafts questions with answers, and grows on from what the
    papers made of them. (Xu et al. 2024, section 3.)
    """
    known = state["steps"]
    asked = {"question": state["question"], "most": context.preset.steps}
    shown = _latest(known, _room(state, context, "chain", **asked))
    prompt = prompts.render("chain", known=shown, **asked)
    reply = await context.ask(lessons.with_lessons(prompt, state), _Chain)
    drafted = [
        replace(_step(n, link.question, link.query), prior=_believed(link.answer))
        for n, link in enumerate(reply.steps[: context.preset.steps], start=len(known) + 1)
    ]
    return _premises(reply.premises, state), [*known, *_new(drafted, known)] or _only_the_question(
        state
    )


async def _follow_up(state: State, context: Context) -> Planning:
    """i-MedRAG: questions in view of the answers so far. (Xiong et al. 2024, section 3.)"""
    known, most = state["steps"], context.preset.steps
    told = {"question": state["question"], "most": most}
    shown = _latest(known, _room(state, context, "follow_up", **told))
    prompt = prompts.render("follow_up", known=shown, **told)
    reply = await context.ask(lessons.with_lessons(prompt, state), _FollowUp)
    wanted = [] if reply.enough and known else reply.steps[:most]
    asked = [
        _step(n, item.question, item.query) for n, item in enumerate(wanted, start=len(known) + 1)
    ]
    return _premises(reply.premises, state), [*known, *_new(asked, known)] or _only_the_question(
        state
    )


async def _graph(state: State, context: Context) -> Planning:
    """KAG: typed steps that name those they need. One call; a later round opens what has become
    ready. (Liang et al. 2024, section 2.3.)
    """
    if state.get("rounds"):
        return state["premises"], opened(state["steps"])
    most = context.preset.steps
    prompt = prompts.render("graph", question=state["question"], most=most)
    reply = await context.ask(lessons.with_lessons(prompt, state), _Graph)
    steps = _acyclic(_node(item) for item in reply.steps[:most])
    return _premises(reply.premises, state), opened(steps) or _only_the_question(state)


async def _tool_step(state: State, context: Context) -> Planning:
    """Sibyl: one tool at a time, with ordered notes as the only memory. (Wang et al. 2024,
    section 3.)
    """
    known = state["steps"]
    key = key_of("offer", len(known), state.get("rounds", 0))
    offer = await context.record.once(key, tools.Offer, lambda: tools.offered(context))
    for note in offer.notes:
        context.emit(Noted(note))
    asked = {
        "question": state["question"],
        "tools": offer.tools,
        "left": context.preset.rounds - state.get("rounds", 0),
    }
    notes = _remembered(list(_notes(state)), _room(state, context, "tool_step", **asked))
    prompt = prompts.render("tool_step", notes=notes, **asked)
    reply = await context.ask(lessons.with_lessons(prompt, state), _ToolStep)
    arguments = tuple((item.name, item.value) for item in reply.arguments)
    step = Step(
        f"s{len(known) + 1}",
        reply.question.strip() or state["question"],
        dict(arguments).get("query", ""),
        op="tool",
        tool=reply.tool.strip(),
        arguments=arguments,
    )
    again = any((old.tool, old.arguments) == (step.tool, step.arguments) for old in known)
    if again or step.tool in FINISHED:
        if state.get("evidence") or any(old.op == "retrieve" for old in known):
            return [], known
        # A library that was never asked has not been found to lack an answer.
        return [], [*known, replace(_only_the_question(state)[0], id=step.id)]
    return [], [*known, step]


def _room(state: State, context: Context, name: str, **asked: Any) -> int:
    """The room that the prompt `name` has for what is known, beside the lessons."""
    return max(LEAST_ROOM, room(context, name, **asked) - lessons.room_taken(state))


@dataclass(frozen=True, slots=True)
class Note:
    """What a prompt shows of a step that is done."""

    id: str
    tool: str
    text: str


def _notes(state: State) -> Iterator[Note]:
    """One note for each step: its answer, the quotes found for it, and what its tool said."""
    for step in state["steps"]:
        quotes = [item.quote for item in state["evidence"] if step.id in item.steps]
        told = [item.text[:NOTE_CHARACTERS] for item in state["told"] if item.step == step.id]
        parts = (step.question, step.answer, *quotes[:NOTE_QUOTES], *told)
        text = "\n".join(part for part in parts if part)
        if not (quotes or told):
            text += "\nIt brought nothing."
        arguments = ", ".join(value for _, value in step.arguments)
        yield Note(step.id, f"{step.tool}({arguments})", text)


def _latest(known: Sequence[Step], room: int) -> list[Step]:
    """The last of `known` that `room` has space for, in their order."""
    kept: list[Step] = []
    for step in reversed(known):
        room -= size(step.question) + size(step.answer) + FENCE
        if kept and room < 0:
            break
        kept.append(step)
    return kept[::-1]


def _remembered(notes: Sequence[Note], room: int) -> list[Note]:
    """The notes in their order: the latest whole as far as `room` has space for them, those before
    cut to how they begin, with the question and its answer; the earliest forgotten where need be.
    """
    brief = [replace(note, text=note.text[:NOTE_BRIEF]) for note in notes]
    while len(brief) > 1 and sum(map(_taken, brief)) > room:
        brief.pop(0)
    left = room - sum(map(_taken, brief))
    kept = list(brief)
    for at, note in enumerate(reversed(notes[-len(brief) :]), start=1):
        left -= _taken(note) - _taken(brief[-at])
        if left < 0:
            break
        kept[-at] = note
    return kept


def _taken(note: Note) -> int:
    return size(note.text) + size(note.tool) + FENCE


_STRATEGIES: dict[str, Callable[[State, Context], Awaitable[Planning]]] = {
    "question": _question,
    "single": _single,
    "chain": _chain,
    "follow_up": _follow_up,
    "graph": _graph,
    "tool_step": _tool_step,
}


def opened(steps: Iterable[Step]) -> list[Step]:
    """`steps` with those open whose parents are done, the parents' answers put in their places.

    Where a parent brought no answer, the words it was searched by stand in, so that the search goes
    on with what it has.
    """
    steps = list(steps)
    done = {step.id: step for step in steps if step.status not in ("waiting", "open")}
    return [
        _filled(step, done)
        if step.status == "waiting" and all(id in done for id in step.parents)
        else step
        for step in steps
    ]


def _filled(step: Step, done: dict[str, Step]) -> Step:
    def answer(match: re.Match[str]) -> str:
        parent = done.get(match[1])
        if parent is None:
            return ""
        # The words that were searched for lead a search on, and say nothing to conclude from.
        otherwise = "(not known)" if step.op == "deduce" else parent.query
        return parent.answer or parent.prior or otherwise

    def fill(text: str) -> str:
        return " ".join(_REFERENCE.sub(answer, text).split())

    arguments = tuple((name, fill(value)) for name, value in step.arguments)
    return replace(
        step,
        question=fill(step.question),
        query=fill(step.query),
        arguments=arguments,
        status="open",
    )


def _node(item: _Node) -> Step:
    named = (*item.parents, *_REFERENCE.findall(f"{item.question} {item.query}"))
    step = Step(
        item.id.strip(),
        item.question.strip(),
        item.query.strip() or item.question.strip(),
        status="waiting",
        op="deduce" if item.op == "deduce" else "retrieve",
        parents=tuple(dict.fromkeys(named)),
    )
    if item.op != "compute":
        return step
    return replace(step, op="tool", tool="calculate", arguments=(("expression", item.query),))


def _acyclic(steps: Iterable[Step]) -> list[Step]:
    """`steps` without those that have no question or a number twice, each naming earlier ones only,
    so that none can wait for itself.
    """
    kept: dict[str, Step] = {}
    for step in steps:
        if step.id and step.question and step.id not in kept:
            parents = tuple(id for id in step.parents if id in kept)
            kept[step.id] = replace(step, parents=parents)
    return list(kept.values())


def _step(number: int, question: str, query: str) -> Step:
    question = question.strip()
    return Step(f"s{number}", question, query.strip() or question)


def _believed(answer: str) -> str:
    answer = answer.strip()
    return "" if answer.lower().strip(" .") in UNKNOWN else answer


def _new(steps: Iterable[Step], known: Sequence[Step]) -> list[Step]:
    """Those of `steps` that were not asked before, or not so, numbered on from `known`."""
    seen = {(step.question.lower(), step.query.lower()) for step in known}
    seen |= {(step.question.lower(), "") for step in known if step.status != "unsolved"}
    fresh: list[Step] = []
    for step in steps:
        keys = {(step.question.lower(), step.query.lower()), (step.question.lower(), "")}
        if step.question and not keys & seen:
            seen |= keys
            fresh.append(replace(step, id=f"s{len(known) + len(fresh) + 1}"))
    return fresh


def may_deepen(steps: Sequence[Step], state: State, context: Context) -> bool:
    """Whether some of `steps` brought nothing and may be searched for deeper, and the steps that
    wait need neither all that is left to read nor all rounds that are left.
    """
    if context.preset.reads is None or not any(map(_is_shallow, steps)):
        return False
    waiting = [step for step in steps if step.status == "waiting"]
    searches = sum(step.op == "retrieve" for step in waiting)
    rounds = context.preset.rounds - state.get("rounds", 0)
    return _reads_left(state, context) > searches and rounds > _levels(waiting)


def _levels(waiting: Sequence[Step]) -> int:
    """Rounds that steps take which wait for each other; each names earlier ones only."""
    level: dict[str, int] = {}
    for step in waiting:
        level[step.id] = 1 + max((level.get(id, 0) for id in step.parents), default=0)
    return max(level.values(), default=0)


def _is_shallow(step: Step) -> bool:
    return step.status == "unsolved" and step.op == "retrieve" and step.tries < MOST_TRIES


def _once_more(state: State, context: Context) -> list[Step]:
    """The steps, those that brought nothing open again, and those that now can be; or none."""
    steps = state.get("steps", [])
    if not may_deepen(steps, state, context):
        return []
    return opened(
        replace(step, status="open", tries=step.tries + 1) if _is_shallow(step) else step
        for step in steps
    )


def _reads_left(state: State, context: Context) -> int:
    return max(0, (context.preset.reads or 0) - len(state.get("read", [])))


def _shared_out(steps: Sequence[Step], state: State, context: Context) -> list[Step]:
    """`steps` with the passages that each open one may read, where the preset bounds their sum.

    What is left is shared by the steps that search, those that still wait among them; of a chain,
    which grows as it goes, one more is expected until the last try. A first search takes no more
    than `context.k` of its share, so that something is left to go deeper for the steps that bring
    nothing. Where nothing is left, a step ends unsolved.
    """
    if context.preset.reads is None or state.get("decision") == "search_more":
        return list(steps)
    pending = [s for s in steps if s.status in ("open", "waiting") and s.op == "retrieve"]
    left = _reads_left(state, context)
    grows = context.preset.plan == "chain" and all(s.tries < MOST_TRIES for s in pending)
    expected = len(pending) + grows
    share = max(1, math.ceil(left / max(1, expected)))
    shared: list[Step] = []
    for step in steps:
        if step.status == "open" and step.op == "retrieve":
            most = min(left, share if step.tries else min(share, context.k))
            step = replace(step, k=most, status="open" if most else "unsolved")
            left -= most
        shared.append(step)
    return shared


def _steps_of_the_jury(state: State) -> list[Step]:
    known = {query.lower() for query in state.get("searched", [])}
    queries: list[str] = []
    for verdict in state.get("verdicts", []):
        query = verdict.query.strip()
        if verdict.action == "search_more" and query and query.lower() not in known:
            known.add(query.lower())
            queries.append(query)
    first = len(state.get("steps", [])) + 1
    return [Step(f"s{n}", query, query) for n, query in enumerate(queries, start=first)]
