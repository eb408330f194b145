"""The jury: independent jurors with different briefs, a debate, and what follows from the votes."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from scholar import prompts
from scholar.agents.evidence import Labelled, fitting, room, show_what_fits
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import BudgetSpent, ModelError
from scholar.events import Voted
from scholar.prompts import Prompt
from scholar.quotes import locate
from scholar.settings import Jury
from scholar.state import Failure, State, Update, draft_of
from scholar.values import Action, Draft, Outcome, Sentence, Verdict

T = TypeVar("T", bound=BaseModel)
S = TypeVar("S")

MOST_EXPERTS = 3
"""Experts that judge as personas; Solo Performance Prompting names about three for most tasks."""
MOST_OBJECTIONS = 4
"""Objections of one message of the debate, as its prompt says."""
MESSAGE_LINE = 150
"""Characters of each of them that the other side is shown: eight messages fit a window of 8,000."""
SEARCHES_SHOWN = 8
"""Latest searches that a juror is told of, so that it asks for another."""
MOON, CARBON, LETTERS = 1969, 6, 6
"""What the three experts of the probe have to say."""
SIBLINGS = 3
"""Questions that a student is examined on, as in Learning by Teaching."""
PASS = 0.5
"""Share of them that has to be answered for the example to have taught anything."""

_CAREFUL: tuple[Action, ...] = ("search_more", "revise", "abstain", "accept")
"""In a tie, the first of these wins where ties go to the careful side."""


class _Vote(Reply):
    reasons: list[Line]
    action: Action
    query: Line


class _Judged(Reply):
    number: int
    carried: Literal["yes", "partly", "no"]
    why: Line


class _Support(Reply):
    sentences: list[_Judged]


class _Critic(Reply):
    objections: list[Line]
    satisfied: bool


class _Defence(Reply):
    objection: int
    right: bool
    why: Line


class _Actor(Reply):
    answers: list[_Defence]


class _Expert(Reply):
    name: Line
    looks_at: Line


class _Experts(Reply):
    experts: list[_Expert]


class _Probe(Reply):
    historian: int
    chemist: int
    editor: int
    leader: int


class _Exam(Reply):
    passage: str
    quote: str


async def deliberate(state: State, context: Context) -> Update:
    """Let all jurors judge the draft at once, beside the debate, then decide.

    A juror that cannot be read abstains: it is shown, and counted neither for nor against.
    """
    jury = _Bench(state, context)
    asked: list[tuple[str, Callable[[], Awaitable[list[Verdict]]]]] = [
        (juror, jury.of(juror)) for juror in context.preset.jurors
    ]
    if context.preset.messages:
        asked.append(("critic", jury.debate))
    results = await asyncio.gather(*(_heard(name, vote, context) for name, vote in asked))
    verdicts = [verdict for votes, _ in results for verdict in votes]
    spent = [error for _, error in results if isinstance(error, BudgetSpent)]
    if spent:
        failure = Failure(Outcome.BUDGET_SPENT, str(spent[0]))
        return {"verdicts": verdicts, "decision": "accept", "failure": failure}
    rules = context.settings.jury
    decision = decide(
        verdicts,
        revise=state["revision"] < context.preset.revisions,
        search=state["search_rounds"] < context.preset.searches,
        rules=rules,
    )
    update: Update = {"verdicts": verdicts, "decision": decision}
    if decision == "search_more":
        update["search_rounds"] = state["search_rounds"] + 1
    if note := _missing_jurors(verdicts, rules):
        update["notes"] = [note]
    return update


def decide(
    verdicts: Sequence[Verdict], *, revise: bool, search: bool, rules: Jury | None = None
) -> Action:
    """What follows from the votes, given whether a revision and a search are still allowed.

    A sentence that its quote does not carry is a fault by itself, so a `revise` of the support
    juror needs no second vote. All else takes the `majority` of the jurors that could be read; what
    none reaches is a tie. What is no longer allowed is published as it stands, with the dissent.
    """
    rules = rules or Jury()
    readable = [verdict for verdict in verdicts if not verdict.failed]
    votes = Counter(verdict.action for verdict in readable)
    if not votes:
        return "accept"
    faulty = any(v.juror == "support" and v.action == "revise" for v in readable)
    action = _winner(votes, rules)
    wanted = any(v.action == "search_more" and v.query.strip() for v in readable)
    if action == "search_more" and search and wanted:
        return "search_more"
    if (action == "revise" or faulty) and revise:
        return "revise"
    return "abstain" if action == "abstain" else "accept"


def agreed(verdicts: Sequence[Verdict], rules: Jury) -> bool:
    """Whether enough jurors could be read, and more than the majority of those accept."""
    actions = [verdict.action for verdict in verdicts if not verdict.failed]
    accepting = actions.count("accept")
    return len(actions) >= rules.quorum and accepting > rules.majority * len(actions)


def _winner(votes: Counter[Action], rules: Jury) -> Action:
    total, most = votes.total(), max(votes.values())
    leading = [action for action in _CAREFUL if votes[action] == most]
    if len(leading) == 1 and (most > rules.majority * total or rules.majority <= 0.5):
        return leading[0]
    if rules.tie == "accept":
        return "accept"
    return next(action for action in _CAREFUL if votes[action] == most)


def _missing_jurors(verdicts: Sequence[Verdict], rules: Jury) -> str:
    readable = [verdict for verdict in verdicts if not verdict.failed]
    if verdicts and not readable:
        reason = verdicts[0].reasons[0]
        return f"No juror could be read, so only the quotes are checked: {reason}"
    if len(readable) < rules.quorum:
        return f"{len(readable)} jurors could be read and {rules.quorum} are needed to accept."
    return ""


async def _heard(
    name: str, vote: Callable[[], Awaitable[list[Verdict]]], context: Context
) -> tuple[list[Verdict], ModelError | BudgetSpent | None]:
    error: ModelError | BudgetSpent | None = None
    try:
        verdicts = await vote()
    except (ModelError, BudgetSpent) as failed:
        error = failed
        verdicts = [Verdict(name, "abstain", (str(failed),), failed=True)]
    for verdict in verdicts:
        context.emit(Voted(verdict))
    return verdicts, error


@dataclass(frozen=True, slots=True)
class _Message:
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a conflict, under the number that all jurors and those who mend it know."""

    number: int
    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sides:
    """A conflict as a juror is shown it."""

    about: str
    sides: tuple[Side, ...]


class _Bench:
    """The jurors of one draft. What they see is the same; in which order is each one's own."""

    def __init__(self, state: State, context: Context) -> None:
        self._state = state
        self._context = context
        self._draft: Draft = draft_of(state)

    def of(self, juror: str) -> Callable[[], Awaitable[list[Verdict]]]:
        """How `juror` comes to its verdict, or to several."""
        special = {
            "support": self._support,
            "personas": self._personas,
            "teaching": self._teaching,
        }

        async def by_brief() -> list[Verdict]:
            return [await self._brief(juror, juror)]

        return special.get(juror, by_brief)

    async def debate(self) -> list[Verdict]:
        """Sibyl's jury: a critic objects, an actor answers, until the critic is satisfied or the
        messages are used up; what the actor granted has to be mended. (Wang et al. 2024, 3.3.)
        """
        messages: list[_Message] = []
        granted: list[str] = []
        open_: list[str] = []
        while len(messages) < self._context.preset.messages:
            critic = await self._say("critic", messages, _Critic)
            open_ = [text for text in critic.objections if text][:MOST_OBJECTIONS]
            if critic.satisfied or not open_:
                open_ = []
                break
            messages.append(_Message("critic", _numbered(open_)))
            if len(messages) == self._context.preset.messages:
                break
            actor = await self._say("actor", messages, _Actor)
            said = [item.why for item in actor.answers[:MOST_OBJECTIONS]]
            messages.append(_Message("actor", _numbered(said)))
            right = {item.objection for item in actor.answers if item.right}
            granted += [text for n, text in enumerate(open_, start=1) if n in right]
            open_ = [text for n, text in enumerate(open_, start=1) if n not in right]
            if not open_:
                break
        reasons = tuple(dict.fromkeys((*granted, *open_)))
        return [Verdict("critic", "revise" if reasons else "accept", reasons)]

    async def _say(self, turn: str, messages: Sequence[_Message], reply: type[T]) -> T:
        prompt = await self._with_quotes(
            "critic",
            "debate",
            turn=turn,
            question=self._state["question"],
            sentences=_flat(self._draft),
            missing=self._draft.missing,
            verdict=_verdict(self._draft),
            messages=messages,
        )
        return await self._ask("critic", prompt, reply)

    async def _support(self) -> list[Verdict]:
        sentences = _flat(self._draft)
        prompt = await self._with_quotes(
            "support", "support", question=self._state["question"], sentences=sentences
        )
        reply = await self._ask("support", prompt, _Support)
        faults = [
            f"Sentence {item.number}: {item.why.strip() or 'its quotes do not carry it.'}"
            for item in reply.sentences
            if item.carried != "yes" and 0 < item.number <= len(sentences)
        ]
        return [Verdict("support", "revise" if faults else "accept", tuple(faults))]

    async def _personas(self) -> list[Verdict]:
        """Solo Performance Prompting, one short call for each expert. Weak models lose the thread,
        so that a model has to pass a probe first. (Wang et al. 2023, section 2.)
        """
        said = await self._ask("personas", prompts.render("persona_probe"), _Probe)
        if (said.historian, said.chemist, said.editor) != (MOON, CARBON, LETTERS) or (
            said.leader != MOON + CARBON + LETTERS
        ):
            reason = "The model failed the probe for personas; set a stronger one for the juror."
            return [Verdict("personas", "abstain", (reason,), failed=True)]
        prompt = prompts.render("personas", question=self._state["question"], most=MOST_EXPERTS)
        named = (await self._ask("personas", prompt, _Experts)).experts[:MOST_EXPERTS]
        experts = {item.name.strip(): item.looks_at.strip() for item in named if item.name.strip()}
        votes = (
            self._brief(name, f"{name}, who looks at this: {looks_at.rstrip('.')}")
            for name, looks_at in experts.items()
        )
        return list(await asyncio.gather(*votes))

    async def _teaching(self) -> list[Verdict]:
        """Learning by Teaching: an answer is good if a student who has it as the only example
        answers other questions of the library. (Ning et al. 2024, section 3.1.)
        """
        siblings = await self._context.library.siblings(self._state["question"], SIBLINGS)
        if not siblings:
            reason = "The library has no questions to examine a student on: scholar library enrich."
            return [Verdict("teaching", "abstain", (reason,), failed=True)]
        passed = await asyncio.gather(*(self._examine(*sibling) for sibling in siblings))
        share = sum(passed) / len(passed)
        reasons = (f"A student with this example answered {sum(passed)} of {len(passed)}.",)
        return [Verdict("teaching", "accept" if share >= PASS else "revise", reasons)]

    async def _examine(self, question: str, passage_id: str) -> bool:
        hits = await self._context.library.search(question, SIBLINGS)
        ids = sorted({passage_id, *(hit.passage_id for hit in hits)})
        self._shuffle(ids, question)
        passages = await self._context.library.passages(ids)
        asked = {
            "example": self._state["question"],
            "sentences": self._draft.sentences,
            "question": question,
        }
        shown = fitting(
            [Labelled(f"p{n}", "", passage) for n, passage in enumerate(passages, start=1)],
            room(self._context, "teaching", **asked),
        )
        prompt = prompts.render("teaching", passages=shown, **asked)
        reply = await self._ask("teaching", prompt, _Exam)
        own = next((item.text for item in shown if item.passage.id == passage_id), "")
        return locate(reply.quote, own) is not None

    async def _brief(self, juror: str, brief: str) -> Verdict:
        prompt = await self._with_quotes(
            juror,
            "juror",
            juror=brief,
            question=self._state["question"],
            sentences=self._draft.sentences,
            conflicts=_numbered_on(self._draft),
            given=self._draft.premises,
            missing=self._draft.missing,
            verdict=_verdict(self._draft),
            searched=list(dict.fromkeys(self._state.get("searched", [])))[-SEARCHES_SHOWN:],
        )
        vote = await self._ask(juror, prompt, _Vote)
        reasons = tuple(reason.strip() for reason in vote.reasons if reason.strip())
        return Verdict(juror, vote.action, reasons, vote.query.strip())

    async def _ask(self, juror: str, prompt: Prompt, reply: type[T]) -> T:
        model = self._context.settings.jury.model_of(juror)
        return await self._context.ask(prompt, reply, model=model)

    async def _with_quotes(self, by: str, name: str, **values: Any) -> Prompt:
        """The prompt `name` with the evidence, in an order of the juror's own where the order might
        decide. The support juror sees what the draft cites alone; where a window is too small for
        all, that goes first.
        """
        cited = {id for sentence in _flat(self._draft) for id in sentence.evidence}
        cited |= {id for premise in self._draft.premises for id in premise.evidence}
        space = room(self._context, name, **values)
        evidence = [item for item in self._state["evidence"] if by != "support" or item.id in cited]
        quotes = await show_what_fits(self._context, evidence, space, cited)
        if by not in ("support", "completeness"):
            self._shuffle(quotes, by)
        return prompts.render(name, quotes=quotes, **values)

    def _shuffle(self, items: list[S], name: str) -> None:
        # By the question and the juror, so that the same question asks the same again.
        random.Random(f"{self._state['question']} {name}").shuffle(items)


def _numbered_on(draft: Draft) -> list[Sides]:
    """The conflicts, their sides numbered on from the sentences, as `_flat` has them."""
    numbers = itertools.count(len(draft.sentences) + 1)
    return [
        Sides(
            conflict.about,
            tuple(Side(next(numbers), side.text, side.evidence) for side in conflict.sides),
        )
        for conflict in draft.conflicts
    ]


def _verdict(draft: Draft) -> str:
    """The stance that a draft shows beside its text, in the words that a reader sees."""
    stances = {None: "", "supported": "yes", "contradicted": "no", "mixed": "mixed evidence"}
    words = stances.get(draft.stance, "not enough evidence")
    return f"{words}, on {draft.basis} evidence" if words else ""


def _flat(draft: Draft) -> list[Sentence]:
    """All sentences of a draft, those of its conflicts after the others."""
    return [*draft.sentences, *draft.sides]


def _numbered(texts: Sequence[str]) -> str:
    return "\n".join(f"{n}. {text[:MESSAGE_LINE]}" for n, text in enumerate(texts, start=1))
