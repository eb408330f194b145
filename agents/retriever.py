"""The retriever: search for each step, and say what the evidence makes of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scholar import prompts, tools
from scholar.agents import planner
from scholar.agents.recognition import recognised
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import ModelRefused, ReplyInvalid, ToolError
from scholar.events import Resolved, Searched
from scholar.state import Branch, State, Told, Update
from scholar.values import Evidence, Hit, Status, Step

STATEMENTS = 5
"""Statements of a model that are looked up; each is a search of its own."""
RELEVANT = 0.3
"""Share of the best hit's score below which a passage is not read, where a preset filters by
relevance: a fused score is a weighted mean of shares of the best, so a passage below 0.3 is poor by
whichever of words and meaning weighs more.
"""
BRIEF = 120
"""Characters of the longest statement that is looked up, as in Knowledge Card."""
BORNE_OUT = 0.5
"""Least score of a stored sentence that bears a statement out."""


LONGEST_REASON = 300
"""Characters of a note on why a tool failed, which a server of the user's own may have written."""


class _Document(Reply):
    text: str


class _Statements(Reply):
    statements: list[Line]


async def search(branch: Branch, context: Context) -> Update:
    """Work on one step: search the library for it, or call its tool."""
    step = branch["step"]
    if step.op == "deduce":
        return {}
    if step.op == "tool":
        return await _use_tool(branch, context)
    hits, notes = await _search(branch, context)
    hits += await _recalled(branch, hits, context)
    await _tell(step, hits, context)
    named = [replace(hit, step=step.id) for hit in hits]
    return {"hits": named, "searched": [step.query], "notes": notes}


async def _recalled(branch: Branch, hits: Sequence[Hit], context: Context) -> list[Hit]:
    """What earlier answers of the thread quoted and this search did not find, for the first
    steps: a question that refers to them may be answered there.
    """
    if branch.get("read") or branch["step"].tries:
        return []
    found = {hit.passage_id for hit in hits}
    wanted = [id for id in branch.get("recalled", []) if id not in found]
    passages = await context.library.passages(wanted)
    return [Hit(passage.id, passage.paper_id, {"fused": 0.0}) for passage in passages]


async def resolve(state: State, context: Context) -> Update:
    """Say of each open step what the evidence makes of it, and what is next: another round of
    planning, the writer, or the end.
    """
    steps = [settled(step, state) if step.status == "open" else step for step in state["steps"]]
    material = len(state["read"] if context.preset.read == "combined" else state["evidence"])
    if context.preset.rounds > 1:
        context.emit(Resolved(tuple(step for step in steps if step.status != "waiting")))
    written_from = state.get("material", 0)
    more = _another_round(state, steps, context)
    return {
        "steps": steps,
        "more": more,
        "to_write": context.has_models and material > written_from,
        "material": written_from if more else material,
    }


def settled(step: Step, state: State) -> Step:
    """`step` as the evidence leaves it, by the rule of Search-in-the-Chain.

    What the model did not know is completed; what it believed is corrected only where the quotes
    agree among themselves on an answer that does not contain the model's. (Xu et al. 2024, 3.2.)
    """
    if step.op == "deduce":
        return replace(step, status="solved" if step.answer else "unsolved")
    tolds = (item for item in state.get("told", []) if item.step == step.id and not item.failed)
    told = next((item.text for item in tolds), "")
    if step.tool == "calculate":
        return replace(step, answer=told, status="solved" if told else "unsolved")
    mine = [item for item in state["evidence"] if step.id in item.steps]
    groups = grouped(
        replace(item, says=said)
        for item in mine
        if item.helps == "answers" and (said := _said_of(step, item))
    )
    answer = groups[0].answer if groups else ""
    status = _helped(mine)
    if status == "unsolved" and told and step.op == "tool":
        status = "solved"
    if step.prior and answer and not same(step.prior, answer):
        if len(groups) > 1:  # the papers do not agree either
            return replace(step, status=status, answer=answer)
        return replace(step, status="corrected", answer=answer)
    return replace(step, status=status, answer=answer)


def _helped(evidence: Sequence[Evidence]) -> Status:
    helps = {item.helps for item in evidence}
    return "solved" if "answers" in helps else "partly" if "partly" in helps else "unsolved"


def _said_of(step: Step, item: Evidence) -> str:
    """What a quote answers to `step`: it may answer several, to each something else."""
    return dict(item.answers).get(step.id, "") if item.answers else item.says


@dataclass(frozen=True, slots=True)
class Group:
    """Evidence that implies one answer."""

    answer: str
    evidence: tuple[Evidence, ...]


def grouped(evidence: Iterable[Evidence]) -> list[Group]:
    """The evidence by the answer that it implies, the answer of most papers first."""
    groups: list[list[Evidence]] = []
    for item in evidence:
        fitting = next((group for group in groups if same(group[0].says, item.says)), None)
        if fitting is None:
            groups.append([item])
        else:
            fitting.append(item)
    groups.sort(key=lambda group: (-len({item.paper_id for item in group}), -len(group)))
    return [Group(group[0].says, tuple(group)) for group in groups]


def same(one: str, other: str) -> bool:
    """Whether two short answers say the same: the words of one are all in the other."""
    first, second = _words(one), _words(other)
    return bool(first and second) and (first <= second or second <= first)


_ARTICLES = frozenset({"a", "an", "the", "of", "in", "by", "about", "and"})
_WORD = re.compile(r"\w+(?:[.,]\d+)*")


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower())) - _ARTICLES


def _another_round(state: State, steps: Sequence[Step], context: Context) -> bool:
    """Whether planning goes on: the jury's searches are no plan, and every strategy has its end."""
    if not context.has_models or state.get("decision") == "search_more":
        return False
    if not planner.may_go_on(state, context):
        return False
    if planner.may_deepen(steps, state, context):
        return True
    if context.preset.plan == "graph":
        return any(step.status == "waiting" for step in steps)
    if context.preset.plan == "chain":
        opened = {step.id for step in state["steps"] if step.status == "open"}
        return any(
            step.id in opened and (step.status != "solved" or not step.prior) for step in steps
        )
    return context.preset.plan in ("follow_up", "tool_step")


async def _search(branch: Branch, context: Context) -> tuple[list[Hit], list[str]]:
    """The passages for a step, what was read before among them and not counted, and notes."""
    step, seen = branch["step"], set(branch.get("read", []))
    (queries, notes), (keep, more) = await asyncio.gather(
        _queries(branch, context), _facts_to_start_from(step, context)
    )
    most = step.k or context.k
    rankings = await asyncio.gather(
        *(
            context.library.search(
                query, most + len(seen), strategy=context.preset.search, keep=keep
            )
            for query in queries
        )
    )
    hits = _best_of(rankings)
    if "relevance" in context.preset.filters and hits:
        floor = RELEVANT * hits[0].scores["fused"]
        hits = [hit for hit in hits if hit.scores["fused"] >= floor]
    fresh = [hit for hit in hits if hit.passage_id not in seen][:most]
    # What was read for another step may answer this one, where it is among the best for it.
    again = [] if step.tries else [hit for hit in hits[:most] if hit.passage_id in seen]
    return [hit for hit in hits if hit in fresh or hit in again], [*notes, *more]


async def _facts_to_start_from(step: Step, context: Context) -> tuple[list[str] | None, list[str]]:
    """The facts that a walk starts from, where the preset has a model recognise them."""
    if "recognition" in context.preset.filters and context.has_models:
        return await recognised(step, context)
    return None, []


def _best_of(rankings: Sequence[Sequence[Hit]]) -> list[Hit]:
    """One ranking of several: each passage with its best score."""
    best: dict[str, Hit] = {}
    for hit in (hit for ranking in rankings for hit in ranking):
        known = best.get(hit.passage_id)
        if known is None or hit.scores["fused"] > known.scores["fused"]:
            best[hit.passage_id] = hit
    return sorted(best.values(), key=lambda hit: (-hit.scores["fused"], hit.passage_id))


async def _queries(branch: Branch, context: Context) -> tuple[list[str], list[str]]:
    """What is searched for: the step's query, and what the model wrote to search with.

    (GenRead: Yu et al. 2023, section 3; statements: Knowledge Card, Feng et al. 2024, section 3.)
    """
    step, query = branch["step"], branch["step"].query
    if not context.has_models or context.preset.expand == "no":
        return [query], []
    try:
        if context.preset.expand == "document":
            prompt = prompts.render("document", question=step.question)
            document = (await context.ask(prompt, _Document)).text.strip()
            return [query, f"{query}\n{document}"] if document else [query], []
        prompt = prompts.render("statements", question=step.question, most=STATEMENTS)
        reply = await context.ask(prompt, _Statements)
    except (ReplyInvalid, ModelRefused) as error:
        return [query], [f"Searched with the question's own words alone: {error}"]
    statements = [text.strip() for text in reply.statements[:STATEMENTS] if text.strip()]
    return [query, *await _borne_out(statements, context)], []


async def _borne_out(statements: Sequence[str], context: Context) -> list[str]:
    """Of `statements` those that are short enough and that the store bears out, as the preset's
    filters ask.
    """
    filters = context.preset.filters
    if "brevity" in filters:
        statements = [text for text in statements if len(text) <= BRIEF]
    if "factuality" not in filters:
        return list(statements)
    supported = await asyncio.gather(*(_is_borne_out(text, context) for text in statements))
    return [text for text, true in zip(statements, supported, strict=True) if true]


async def _is_borne_out(statement: str, context: Context) -> bool:
    hits = await context.library.search(statement, 3)
    passages = await context.library.passages([hit.passage_id for hit in hits])
    best = await context.library.extract(statement, passages, 1)
    return bool(best) and best[0].score >= BORNE_OUT


async def _use_tool(branch: Branch, context: Context) -> Update:
    step = branch["step"]
    try:
        brought = await tools.call(step.tool, dict(step.arguments), context)
    except ToolError as error:
        reason = str(error)
        return {"told": [Told(step.id, reason, failed=True)], "notes": [reason[:LONGEST_REASON]]}
    hits = [replace(hit, step=step.id) for hit in brought.hits]
    if brought.hits:
        await _tell(step, brought.hits, context)
    return {
        "hits": hits,
        "told": [Told(step.id, brought.text)] if brought.text else [],
        "added": list(brought.added),
        "searched": [step.query] if step.query else [],
    }


async def _tell(step: Step, hits: Sequence[Hit], context: Context) -> None:
    papers = await context.library.papers(list(dict.fromkeys(hit.paper_id for hit in hits)))
    total = (await context.library.stats()).papers
    context.emit(Searched(step, len(hits), tuple(paper.title for paper in papers), total))
