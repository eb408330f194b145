"""The publisher: the check in code that every citation passes, and the answer itself. No model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from scholar.agents import extractor
from scholar.agents.jury import agreed
from scholar.context import Context
from scholar.errors import LibraryError
from scholar.events import Drafted
from scholar.settings import Jury
from scholar.state import Failure, State, Update, draft_of
from scholar.text import figures
from scholar.values import (
    Answer,
    Citation,
    CitedConflict,
    CitedPremise,
    CitedSentence,
    Conflict,
    Coverage,
    Draft,
    Evidence,
    Outcome,
    Sentence,
    Usage,
)

_WITHOUT_MODEL = (Outcome.MODEL_FAILED, Outcome.BUDGET_SPENT)


async def verify(state: State, context: Context) -> Update:
    """Keep of the draft what stands on quotes that stand in the store.

    Evidence whose quote is not the stored text at its offsets, or that nobody may cite, is thrown
    away; then ids nobody knows; then sentences without evidence, or with a figure that neither
    their quotes nor the titles of their papers nor the question have; then conflicts with one side.
    """
    evidence = await _in_store(state["evidence"], context)
    draft = draft_of(state)
    checked = await _checked(draft, evidence, state["question"], context)
    dropped = _size(draft) - _size(checked)
    context.emit(Drafted(checked, state["revision"], dropped))
    return {"draft": checked, "evidence": evidence, "dropped": dropped}


async def publish(state: State, context: Context) -> Update:
    """Put the answer together from whatever the run has reached, every quote checked once more.

    Where no model could read, the quotes that can be found without one are better than nothing.
    """
    failure = state.get("failure")
    try:
        if failure and failure.outcome in _WITHOUT_MODEL and not state.get("evidence"):
            state = {**state, **await extractor.read_without_model(state, context)}
        return {"answer": await _answer(state, context)}
    except LibraryError as error:
        # A quote that can no longer be checked is not published.
        failure = failure or Failure(Outcome.TOOLS_FAILED, str(error))
        unchecked: State = {**state, "evidence": [], "failure": failure}
        return {"answer": await _answer(unchecked, context)}


async def _answer(state: State, context: Context) -> Answer:
    evidence = await _in_store(state.get("evidence", []), context)
    outcome = _outcome(state, evidence, context.settings.jury)
    # A run that was cut short may hold a draft that `verify` has not seen.
    draft = await _checked(draft_of(state), evidence, state["question"], context)
    if outcome is Outcome.NO_EVIDENCE:
        draft = Draft()
    elif not (draft.sentences or draft.conflicts):
        draft = Draft(tuple(Sentence(item.quote, (item.id,)) for item in evidence))
    by_id = {item.id: item for item in evidence}
    cited = _cite(draft.sentences, by_id)
    cited_conflicts = tuple(CitedConflict(c.about, _cite(c.sides, by_id)) for c in draft.conflicts)
    premises = tuple(
        CitedPremise(p.text, p.stance, tuple(_citation(by_id[id]) for id in p.evidence))
        for p in draft.premises
    )
    sides = (side for conflict in cited_conflicts for side in conflict.sides)
    shown: tuple[CitedSentence | CitedPremise, ...] = (*cited, *sides, *premises)
    paper_ids = list(dict.fromkeys(c.paper_id for s in shown for c in s.citations))
    return Answer(
        run_id=state["run_id"],
        question=state["question"],
        outcome=outcome,
        sentences=cited,
        conflicts=cited_conflicts,
        bibliography=tuple(await context.library.papers(paper_ids)),
        coverage=await _coverage(state, evidence, context),
        verdicts=tuple(state.get("verdicts", [])),
        usage=Usage.of(state.get("calls", []), context.services.clock() - state["started"]),
        notes=(*await _empty(outcome, context), *_notes(state, outcome)),
        stance=draft.stance,
        basis=draft.basis,
        premises=premises,
    )


async def _in_store(evidence: Sequence[Evidence], context: Context) -> list[Evidence]:
    ids = list(dict.fromkeys(item.passage_id for item in evidence))
    passages = {passage.id: passage for passage in await context.library.passages(ids)}
    return [
        item
        for item in evidence
        if item.origin != "parametric"
        and (passage := passages.get(item.passage_id))
        and passage.start <= item.start < item.end <= passage.end
        and passage.text[item.start - passage.start : item.end - passage.start] == item.quote
    ]


async def _checked(
    draft: Draft, evidence: Sequence[Evidence], question: str, context: Context
) -> Draft:
    papers = await context.library.papers(list({item.paper_id for item in evidence}))
    titles = {paper.id: paper.title for paper in papers}
    asked = figures(question, spelled=True)
    stated = {
        item.id: asked
        | figures(item.quote, spelled=True)
        | figures(titles.get(item.paper_id, ""), spelled=True)
        for item in evidence
    }
    conflicts = tuple(
        Conflict(conflict.about, sides)
        for conflict in draft.conflicts
        if len(sides := _kept(conflict.sides, stated)) > 1
    )
    premises = tuple(
        replace(premise, evidence=cited)
        for premise in draft.premises
        if (cited := tuple(id for id in premise.evidence if id in stated))
    )
    return replace(
        draft, sentences=_kept(draft.sentences, stated), conflicts=conflicts, premises=premises
    )


def _size(draft: Draft) -> int:
    return len(draft.sentences) + len(draft.conflicts)


def _kept(
    sentences: Iterable[Sentence], stated: Mapping[str, frozenset[Decimal]]
) -> tuple[Sentence, ...]:
    """Of `sentences` those that stand, given the figures that each piece of evidence states."""
    cut = (Sentence(s.text, tuple(id for id in s.evidence if id in stated)) for s in sentences)
    return tuple(
        sentence
        for sentence in cut
        if sentence.text
        and sentence.evidence
        and figures(sentence.text) <= frozenset().union(*(stated[id] for id in sentence.evidence))
    )


def _cite(
    sentences: Iterable[Sentence], evidence: dict[str, Evidence]
) -> tuple[CitedSentence, ...]:
    return tuple(
        CitedSentence(sentence.text, tuple(_citation(evidence[id]) for id in sentence.evidence))
        for sentence in sentences
    )


def _citation(item: Evidence) -> Citation:
    return Citation(item.paper_id, item.passage_id, item.quote, item.start, item.end, item.page)


def _outcome(state: State, evidence: Sequence[Evidence], rules: Jury) -> Outcome:
    draft = state.get("draft")
    if failure := state.get("failure"):
        return failure.outcome
    if not evidence or state.get("decision") == "abstain":
        return Outcome.NO_EVIDENCE
    if draft is None:
        return Outcome.EVIDENCE
    if not draft.sentences and not draft.conflicts:
        return Outcome.PARTIAL if state["dropped"] else Outcome.NO_EVIDENCE
    if draft.conflicts:
        return Outcome.CONFLICTING
    whole = not draft.missing and draft.basis == "direct" and draft.stance != "not_enough"
    return (
        Outcome.ANSWERED if whole and agreed(state.get("verdicts", []), rules) else Outcome.PARTIAL
    )


async def _coverage(state: State, evidence: Sequence[Evidence], context: Context) -> Coverage:
    found = {hit.paper_id for hit in state.get("hits", [])}
    shown = set(state.get("read", []))
    opened = {hit.paper_id for hit in state.get("hits", []) if hit.passage_id in shown}
    quoted = {item.paper_id for item in evidence}
    papers = await context.library.papers(sorted(found))
    reasons = (
        ("retracted", sum(paper.retracted for paper in papers if paper.id not in quoted)),
        ("nothing in it that helps", len(opened - quoted)),
        ("not read, for others fitted better", len(found - opened - quoted)),
    )
    return Coverage(
        searches=tuple(dict.fromkeys(state.get("searched", []))),
        found=len(found),
        read=len(quoted),
        unread=len(found - quoted),
        abstracts=sum(paper.holds != "full" for paper in papers),
        screened_out={reason: n for reason, n in reasons if n},
    )


async def _empty(outcome: Outcome, context: Context) -> tuple[str, ...]:
    """A note that the library is empty, where that is why there is no answer."""
    if outcome is Outcome.NO_EVIDENCE and not (await context.library.stats()).papers:
        return ("The library is empty; put papers into it first: scholar add SOURCE…",)
    return ()


def _notes(state: State, outcome: Outcome) -> tuple[str, ...]:
    notes = list(state.get("notes", []))
    if failure := state.get("failure"):
        notes.insert(0, failure.message)
    draft = state.get("draft")
    if dropped := state.get("dropped", 0):
        were = "sentence was" if dropped == 1 else "sentences were"
        notes.append(f"{dropped} {were} left out: no valid quote, or one that lacks a figure.")
    if draft and draft.missing:
        notes.append(f"Not answered by what was read: {draft.missing}")
    if outcome is not Outcome.NO_EVIDENCE:
        open_steps = [
            s.question
            for s in state.get("steps", [])
            if s.status == "unsolved" and s.question != s.query
        ]
        if len(open_steps) < len(state.get("steps", [])):
            notes += [f"No quote was found for: {question}" for question in open_steps]
    return tuple(dict.fromkeys(notes))
