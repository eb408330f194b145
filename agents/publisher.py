"""The publisher: the check in code that every citation passes, and the answer itself. No model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_

from scholar.agents import extractor, lessons, lookup, published_ideas
from scholar.agents.checks import Stated, stands
from scholar.agents.evidence import titles_of
from scholar.agents.jury import agreed
from scholar.context import Context
from scholar.errors import LibraryError
from scholar.events import Drafted
from scholar.settings import Jury
from scholar.state import Failure, State, Update, draft_of, is_about_ideas, is_review
from scholar.text import addresses, without_addresses
from scholar.values import (
    Answer,
    Cell,
    Citation,
    CitedConflict,
    CitedPremise,
    CitedSection,
    CitedSentence,
    Conflict,
    Coverage,
    Draft,
    Evidence,
    Outcome,
    Review,
    Row,
    Sentence,
    Table,
    Usage,
    Verdict,
)

_WRITTEN = (Outcome.ANSWERED, Outcome.PARTIAL, Outcome.CONFLICTING)
_WITHOUT_MODEL = (Outcome.MODEL_FAILED, Outcome.BUDGET_SPENT)
_UNCHECKED: State = {"evidence": [], "table": None, "ideas": [], "seeds": [], "proposal": []}
"""A run without all that stands on quotes."""


async def verify(state: State, context: Context) -> Update:
    """Keep of the draft what stands on quotes that stand in the store.

    Evidence whose quote is not the stored text at its offsets, or that nobody may cite, is thrown
    away; then ids nobody knows; then sentences without evidence, or with a figure or an address
    that neither their quotes nor the titles of their papers nor the question have; then conflicts
    with one side.
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
        nothing = not (state.get("evidence") or published_ideas.drafted(state))
        if failure and failure.outcome in _WITHOUT_MODEL and nothing:
            state = {**state, **await extractor.read_without_model(state, context)}
        answer = await _answer(state, context)
    except LibraryError as error:
        # A quote that can no longer be checked is not published.
        failure = failure or Failure(Outcome.TOOLS_FAILED, str(error))
        unchecked: State = {**state, **_UNCHECKED, "failure": failure}
        answer = await _answer(unchecked, context)
    answer = await lessons.learn(state, answer, context)
    # What the same thread asks next is a question again, unless it says otherwise.
    return {"answer": answer, "task": "answer", "columns": [], "interactive": False, "new": 0}


async def _answer(state: State, context: Context) -> Answer:
    evidence = await _in_store(state.get("evidence", []), context)
    found = await published_ideas.checked(state, context)
    outcome = (
        published_ideas.outcome(state, found)
        if found.ideas or state.get("made")
        else _outcome(state, evidence, context.settings.jury)
    )
    draft = await _final(state, evidence, outcome, context)
    by_id = {item.id: item for item in evidence}
    cited = _cite(draft.sentences, by_id)
    table = await _table(state, context) if any(s.section for s in draft.sentences) else None
    answer = Answer(
        run_id=state["run_id"],
        question=state.get("words") or state["question"],
        outcome=outcome,
        sentences=tuple(
            sentence
            for sentence, drafted in zip(cited, draft.sentences, strict=True)
            if not drafted.section
        ),
        conflicts=tuple(
            CitedConflict(_unlinked(c.about, state), _cite(c.sides, by_id)) for c in draft.conflicts
        ),
        coverage=await _coverage(state, [*evidence, *found.citations], context),
        verdicts=tuple(_said_by(verdict, state) for verdict in state.get("verdicts", [])),
        usage=Usage.of(context.record.calls, await context.seconds()),
        notes=(
            *await _empty(outcome, context),
            *_all_unlinked((*_notes(state, outcome), *published_ideas.notes(state, found)), state),
        ),
        stance=draft.stance,
        basis=draft.basis,
        premises=tuple(
            CitedPremise(p.text, p.stance, tuple(lookup.cited(by_id[id]) for id in p.evidence))
            for p in draft.premises
        ),
        review=_review(state, draft, cited, table),
        ideas=found.ideas,
        proposal=found.parts,
    )
    shown: tuple[CitedSentence | CitedPremise, ...] = (*cited, *answer.sides, *answer.premises)
    ids = [citation.paper_id for one in shown for citation in one.citations]
    ids += [row.paper_id for row in (table.rows if table else ())]
    ids += [citation.paper_id for citation in found.citations]
    papers = await context.library.papers(list(dict.fromkeys(ids)))
    return replace(answer, bibliography=tuple(papers))


async def _final(
    state: State, evidence: Sequence[Evidence], outcome: Outcome, context: Context
) -> Draft:
    """The draft as it is published, its quotes where nothing else is left to show."""
    # A run that was cut short may hold a draft that `verify` has not seen.
    draft = await _checked(draft_of(state), evidence, state["question"], context)
    if outcome is Outcome.NO_EVIDENCE:
        return Draft()
    if draft.sentences or draft.conflicts:
        return draft
    return Draft(tuple(Sentence(item.quote, (item.id,)) for item in evidence))


def _review(
    state: State, draft: Draft, cited: Sequence[CitedSentence], table: Table | None
) -> Review | None:
    """What a review has beside its summary; None where no section of it stands."""
    under: dict[int, list[CitedSentence]] = {}
    for sentence, drafted in zip(cited, draft.sentences, strict=True):
        if drafted.section:
            under.setdefault(drafted.section, []).append(sentence)
    titles = [section.title for section in state.get("outline", [])]
    sections = tuple(
        CitedSection(_heading(titles[n - 1], of) or f"Part {n}", tuple(of))
        for n, of in sorted(under.items())
    )
    return Review(sections, table) if sections else None


def _heading(title: str, sentences: Iterable[CitedSentence]) -> str:
    """`title` where it has no figure or address but those of the quotes under it."""
    quotes = (citation.quote for sentence in sentences for citation in sentence.citations)
    return title if Stated.by(*quotes).carries(title) else ""


async def _table(state: State, context: Context) -> Table | None:
    """The table, without what does not stand in the store: a cell's quote, whole and of the row's
    paper, and every figure and address of the cell in it; then without the rows that say nothing.
    """
    table = state.get("table")
    if table is None:
        return None
    cited = [cell.citation for row in table.rows for cell in row.cells if cell.citation]
    ids = list(dict.fromkeys(citation.passage_id for citation in cited))
    passages = {passage.id: passage for passage in await context.library.passages(ids)}
    titles = await titles_of(context.library, (row.paper_id for row in table.rows))

    def checked(cell: Cell, paper_id: str) -> Cell:
        place = cell.citation
        if place is None or place.paper_id != paper_id or not stands(place, passages):
            return Cell()
        return cell if Stated.by(place.quote, titles[paper_id]).carries(cell.text) else Cell()

    rows = (
        Row(row.paper_id, tuple(checked(cell, row.paper_id) for cell in row.cells))
        for row in table.rows
        if row.paper_id in titles
    )
    kept = tuple(row for row in rows if any(cell.citation for cell in row.cells))
    columns = _all_unlinked(table.columns, state)
    return Table(columns, kept) if kept else None


async def _in_store(evidence: Sequence[Evidence], context: Context) -> list[Evidence]:
    ids = list(dict.fromkeys(item.passage_id for item in evidence))
    passages = {passage.id: passage for passage in await context.library.passages(ids)}
    return [item for item in evidence if item.origin != "parametric" and stands(item, passages)]


async def _checked(
    draft: Draft, evidence: Sequence[Evidence], question: str, context: Context
) -> Draft:
    titles = await titles_of(context.library, (item.paper_id for item in evidence))
    stated = {
        item.id: Stated.by(question, item.quote, titles.get(item.paper_id, "")) for item in evidence
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
        and addresses(premise.text) <= addresses(question)
    )
    return replace(
        draft, sentences=_kept(draft.sentences, stated), conflicts=conflicts, premises=premises
    )


def _size(draft: Draft) -> int:
    return len(draft.sentences) + len(draft.conflicts)


def _kept(sentences: Iterable[Sentence], stated: Mapping[str, Stated]) -> tuple[Sentence, ...]:
    """Of `sentences` those that stand, given what each piece of evidence states."""
    cut = (replace(s, evidence=tuple(id for id in s.evidence if id in stated)) for s in sentences)
    return tuple(
        sentence
        for sentence in cut
        if sentence.text
        and sentence.evidence
        and reduce(or_, (stated[id] for id in sentence.evidence)).carries(sentence.text)
    )


def _cite(
    sentences: Iterable[Sentence], evidence: dict[str, Evidence]
) -> tuple[CitedSentence, ...]:
    return tuple(
        CitedSentence(sentence.text, tuple(lookup.cited(evidence[id]) for id in sentence.evidence))
        for sentence in sentences
    )


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


async def _coverage(
    state: State, evidence: Sequence[Evidence | Citation], context: Context
) -> Coverage:
    found = {hit.paper_id for hit in state.get("hits", [])}
    shown = set(state.get("read", []))
    opened = {hit.paper_id for hit in state.get("hits", []) if hit.passage_id in shown}
    quoted = {item.paper_id for item in evidence}
    papers = await context.library.papers(sorted(found))
    retracted = {paper.id for paper in papers if paper.retracted} - quoted
    left = found - quoted - retracted
    reasons = (
        ("retracted", len(retracted)),
        ("with nothing in it that helps", len(left & opened)),
        ("not read, for others fitted better", len(left - opened)),
    )
    return Coverage(
        searches=tuple(dict.fromkeys(_all_unlinked(state.get("searched", []), state))),
        found=len(found),
        read=len(quoted),
        unread=len(found - quoted),
        abstracts=sum(paper.holds != "full" for paper in papers),
        screened_out={reason: n for reason, n in reasons if n},
    )


def _unlinked(text: str, state: State) -> str:
    """What a model has said beside the sentences: an address in it is the user's own, or left out.

    Nobody checks it against a quote, and a surface may turn it into a link.
    """
    return without_addresses(text, addresses(state["question"]))


def _all_unlinked(texts: Iterable[str], state: State) -> tuple[str, ...]:
    return tuple(_unlinked(text, state) for text in texts)


def _said_by(verdict: Verdict, state: State) -> Verdict:
    reasons = _all_unlinked(verdict.reasons, state)
    return replace(verdict, reasons=reasons, query=_unlinked(verdict.query, state))


async def _empty(outcome: Outcome, context: Context) -> tuple[str, ...]:
    """A note that the library is empty, where that is why there is no answer."""
    if outcome is Outcome.NO_EVIDENCE and not (await context.library.stats()).papers:
        return ("The library is empty; put papers into it first: scholar add SOURCE…",)
    return ()


def _notes(state: State, outcome: Outcome) -> tuple[str, ...]:
    notes = list(state.get("notes", []))
    if state.get("words"):
        notes.append(f"Understood as: {state['question']}")
    if failure := state.get("failure"):
        notes.insert(0, failure.message)
    draft = state.get("draft")
    if is_review(state) and outcome is Outcome.EVIDENCE:
        notes.append("A review is written by a model; these are the quotes, by paper.")
    if is_about_ideas(state) and outcome is Outcome.EVIDENCE:
        notes.append("Ideas are thought of by a model; these are the quotes on the topic.")
    if dropped := state.get("dropped", 0):
        were = "sentence was" if dropped == 1 else "sentences were"
        notes.append(
            f"{dropped} {were} left out: no valid quote, or one that lacks a figure or an address."
        )
    if draft and not draft.premises and outcome in _WRITTEN:
        said = [f"“{premise}”" for premise in state.get("premises", [])]
        notes += [f"Nothing that was read bears on what you take as given: {text}" for text in said]
    if draft and draft.missing:
        notes.append(f"Not answered by what was read: {draft.missing.rstrip('.')}.")
    if outcome is not Outcome.NO_EVIDENCE:
        open_steps = [
            s.question
            for s in state.get("steps", [])
            if s.status == "unsolved" and s.question != s.query
        ]
        if len(open_steps) < len(state.get("steps", [])):
            notes += [f"No quote was found for: {question}" for question in open_steps]
    return tuple(dict.fromkeys(notes))
