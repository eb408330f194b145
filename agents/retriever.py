"""The retriever: search for each step, read what was found, keep verbatim quotes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from scholar import prompts
from scholar.backends.schema import Reply
from scholar.context import Context
from scholar.errors import ModelError
from scholar.events import Read, Searched
from scholar.library import Extract
from scholar.quotes import locate_sentence
from scholar.state import Branch, State, Update
from scholar.values import Evidence, Help, Hit, Passage, Step

MAX_QUOTES = 12
"""Quotes one reading call may return: one for each sentence of a draft, and some to spare."""
WINDOW_SHARE = 0.6
"""Share of the context window that passages may fill; the rest is for the prompt and the reply."""
CHARACTERS_PER_TOKEN = 3.5
"""Of English prose in common tokenizers there are about 4; 3.5 keeps clear of the limit."""
EXTRACTS = 8
"""Quotes shown when no model is configured: about one screen."""
EXTRACTS_PER_PAPER = 4
"""At most half of them, so that a second paper is seen beside the best one."""
LEXICAL_FLOOR = 0.4
DENSE_FLOOR = 0.345
"""Least score of a sentence shown without a model, by BM25 alone and with an embedder. Chosen by
tests/benchmarks/evidence.py, which prints how many questions pass that should and should not.
"""
EXTRACT_SPREAD = 0.6
"""Sentences below this share of the best one's score are left out: one screen, not one of chaff."""
NEAREST = 2
"""Sentences shown where none reaches the floor, so that a reader sees how close it came."""


class _Quote(Reply):
    passage: str
    quote: str
    step: str
    helps: Help


class _Quotes(Reply):
    quotes: list[_Quote]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A passage as a prompt shows it: under a short label and the title of its paper."""

    label: str
    title: str
    passage: Passage

    @property
    def text(self) -> str:
        """The passage's stored text."""
        return self.passage.text


async def search(branch: Branch, context: Context) -> Update:
    """Search the library for one step."""
    step = branch["step"]
    hits = await context.library.search(step.query, context.k)
    papers = await context.library.papers(list(dict.fromkeys(hit.paper_id for hit in hits)))
    total = (await context.library.stats()).papers
    context.emit(Searched(step, len(hits), tuple(paper.title for paper in papers), total))
    return {"hits": [replace(hit, step=step.id) for hit in hits], "searched": [step.query]}


async def read(state: State, context: Context) -> Update:
    """Choose quotes from the passages found and not yet read, one call per context window.

    Without a model the best-matching sentences are the quotes. In the `combined` presets the
    passages are only marked as read here: the writer's call does the reading.
    """
    fresh = await unread(state, context)
    known = (*state.get("read", []), *(item.passage.id for item in fresh))
    marked = list(dict.fromkeys((*known, *(hit.passage_id for hit in state["hits"]))))
    if not context.has_models:
        evidence, notes = await _extract(state, context, fresh)
        context.emit(as_event(evidence, 0))
        return {"read": marked, "evidence": evidence, "notes": notes}
    if context.preset.read == "combined":
        return {"read": marked, "evidence": state.get("evidence", [])}
    chosen, notes = await _ask_readers(state, context, fresh)
    evidence = gather(state.get("evidence", []), chosen, fresh)
    kept = len(evidence) - len(state.get("evidence", []))
    context.emit(as_event(evidence, len(chosen) - kept))
    return {"read": marked, "evidence": evidence, "notes": notes}


async def read_without_model(state: State, context: Context) -> Update:
    """The best-matching sentences of what was found; where nothing was searched for yet, of what
    a search for the question itself finds.
    """
    hits = state.get("hits") or await context.library.search(state["question"], context.k)
    passages = await context.library.passages([hit.passage_id for hit in hits])
    evidence, notes = await _extract(state, context, await label(context, passages))
    searched = state.get("searched") or [state["question"]]
    return {
        "hits": hits,
        "searched": searched,
        "evidence": evidence,
        "notes": [*state.get("notes", []), *notes],
    }


async def resolve(state: State, context: Context) -> Update:
    """Mark each step as solved where a quote answers it at least in part, and say whether there is
    anything new to write from.
    """
    helped = {
        step for item in state["evidence"] if item.helps != "background" for step in item.steps
    }
    material = len(state["read"] if context.preset.read == "combined" else state["evidence"])
    return {
        "to_write": context.has_models and material > state.get("material", 0),
        "material": material,
        "steps": [
            replace(step, status="solved" if step.id in helped else "unsolved")
            for step in state["steps"]
        ],
    }


async def unread(state: State, context: Context) -> list[Labelled]:
    """The passages found and not yet read, steps taking turns."""
    seen = set(state.get("read", []))
    per_step = [[hit for hit in state["hits"] if hit.step == step.id] for step in state["steps"]]
    order = [id for id in _taking_turns(per_step) if id not in seen]
    return await label(context, await context.library.passages(order))


async def label(context: Context, passages: Sequence[Passage]) -> list[Labelled]:
    """`passages` under the labels p1, p2, … with their papers' titles, each text once: it may be
    stored twice, as a preprint and as published.
    """
    passages = list({passage.text: passage for passage in reversed(passages)}.values())[::-1]
    papers = await context.library.papers(list({passage.paper_id for passage in passages}))
    titles = {paper.id: paper.title for paper in papers}
    return [
        Labelled(f"p{n}", titles.get(passage.paper_id, ""), passage)
        for n, passage in enumerate(passages, start=1)
    ]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A quote as a model gave it, before anything is known of its truth."""

    passage: str
    quote: str
    steps: tuple[str, ...] = ()
    helps: Help = "answers"


def gather(
    known: Sequence[Evidence], chosen: Iterable[Chosen], shown: Sequence[Labelled]
) -> list[Evidence]:
    """`known` evidence and what of `chosen` really stands in the passages `shown`.

    A quote is looked for in the passage it names, then in the others, for a weak model mixes up
    labels more often than words. Its page and offsets come from the store, never from the model.
    Quotes of one place become one, with the steps of both.
    """
    found = list(known)
    for quote in chosen:
        place = _find(quote, shown)
        if place is None:
            continue
        at = next((i for i, item in enumerate(found) if _overlap(item, place)), None)
        if at is None:
            found.append(replace(place, id=f"e{len(found) + 1}"))
        else:
            found[at] = _merged(found[at], place)
    return found


def _find(quote: Chosen, shown: Sequence[Labelled]) -> Evidence | None:
    for item in sorted(shown, key=lambda item: item.label != quote.passage):
        span = locate_sentence(quote.quote, item.text)
        if span is None:
            continue
        passage = item.passage
        start, end = passage.start + span[0], passage.start + span[1]
        return Evidence(
            id="",
            quote=passage.text[slice(*span)],
            paper_id=passage.paper_id,
            passage_id=passage.id,
            start=start,
            end=end,
            page=passage.page_at(start),
            steps=quote.steps,
            helps=quote.helps,
        )
    return None


def _overlap(one: Evidence, other: Evidence) -> bool:
    return one.passage_id == other.passage_id and one.start < other.end and other.start < one.end


def _merged(one: Evidence, other: Evidence) -> Evidence:
    """Both as one quote, from the first character of either to the last."""
    first, second = sorted((one, other), key=lambda item: item.start)
    order: tuple[Help, ...] = ("answers", "partly", "background")
    return replace(
        first,
        id=one.id,
        quote=first.quote + second.quote[first.end - second.start :],
        end=max(first.end, second.end),
        steps=tuple(dict.fromkeys((*one.steps, *other.steps))),
        helps=min(one.helps, other.helps, key=order.index),
    )


async def _ask_readers(
    state: State, context: Context, fresh: Sequence[Labelled]
) -> tuple[list[Chosen], list[str]]:
    portions = list(windows(fresh, context.settings.context_window))
    replies = await asyncio.gather(
        *(_ask_reader(state, context, window) for window in portions), return_exceptions=True
    )
    chosen = [quote for reply in replies if not isinstance(reply, BaseException) for quote in reply]
    errors = [reply for reply in replies if isinstance(reply, BaseException)]
    fatal = [error for error in errors if not isinstance(error, ModelError)]
    nothing = not (chosen or state.get("evidence"))
    # A library of which a part could not be read has not been found to lack an answer.
    if fatal or (errors and (nothing or len(errors) == len(replies))):
        raise (fatal or errors)[0]
    return chosen, [f"A part of the passages could not be read: {error}" for error in errors]


async def _ask_reader(state: State, context: Context, window: Sequence[Labelled]) -> list[Chosen]:
    steps = [step for step in state["steps"] if step.status == "open"]
    prompt = prompts.render(
        "reader", question=state["question"], steps=steps, passages=window, most=MAX_QUOTES
    )
    reply = await context.ask(prompt, _Quotes)
    known = {step.id for step in steps}
    return [
        Chosen(
            quote.passage,
            quote.quote,
            (quote.step,) if quote.step in known else _only(steps),
            quote.helps,
        )
        for quote in reply.quotes[:MAX_QUOTES]
    ]


def _only(steps: Sequence[Step]) -> tuple[str, ...]:
    return (steps[0].id,) if len(steps) == 1 else ()


async def _extract(
    state: State, context: Context, fresh: Sequence[Labelled]
) -> tuple[list[Evidence], list[str]]:
    """The sentences that match best, or notes on how near the nearest came."""
    passages = [item.passage for item in fresh]
    # More than are shown, since most of the best may be of one paper.
    extracts = await context.library.extract(state["question"], passages, EXTRACTS * 4)
    embedder = (await context.library.stats()).embedder
    floor = LEXICAL_FLOOR if embedder == "none" else DENSE_FLOOR
    if not extracts or extracts[0].score < floor:
        titles = {item.passage.paper_id: item.title for item in fresh}
        return [], [
            f"Nearest, but not near enough: “{extract.text}” ({titles[extract.passage.paper_id]})"
            for extract in extracts[:NEAREST]
            if extract.score > 0
        ]
    best = extracts[0].score
    worthy = [extract for extract in extracts if extract.score >= max(floor, best * EXTRACT_SPREAD)]
    steps = tuple(step.id for step in state.get("steps", []))
    evidence = [
        Evidence(
            id=f"e{n}",
            quote=extract.text,
            paper_id=extract.passage.paper_id,
            passage_id=extract.passage.id,
            start=extract.start,
            end=extract.end,
            page=extract.passage.page_at(extract.start),
            steps=steps,
            score=extract.score,
        )
        for n, extract in enumerate(_spread(worthy), start=1)
    ]
    return evidence, []


def _spread(extracts: Sequence[Extract]) -> list[Extract]:
    """The first EXTRACTS of `extracts`, at most EXTRACTS_PER_PAPER of one paper."""
    per_paper: Counter[str] = Counter()
    kept = []
    for extract in extracts:
        per_paper[extract.passage.paper_id] += 1
        if per_paper[extract.passage.paper_id] <= EXTRACTS_PER_PAPER:
            kept.append(extract)
    return kept[:EXTRACTS]


def windows(items: Sequence[Labelled], tokens: int) -> Iterator[list[Labelled]]:
    """`items` in order, in portions that a context window of `tokens` has room for."""
    room = int(tokens * WINDOW_SHARE * CHARACTERS_PER_TOKEN)
    window: list[Labelled] = []
    used = 0
    for item in items:
        if window and used + len(item.text) > room:
            yield window
            window, used = [], 0
        window.append(item)
        used += len(item.text)
    if window:
        yield window


def _taking_turns(rankings: Iterable[Sequence[Hit]]) -> list[str]:
    rows = chain.from_iterable(zip_longest(*rankings))
    return list(dict.fromkeys(hit.passage_id for hit in rows if hit is not None))


def as_event(evidence: Sequence[Evidence], dropped: int) -> Read:
    """What there is to say of the evidence, `dropped` quotes not being in the text."""
    papers = {item.paper_id for item in evidence}
    return Read(tuple(item.quote for item in evidence), len(papers), dropped)
