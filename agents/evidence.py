"""Passages as prompts show them, and the quotes that really stand in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from scholar.context import Context
from scholar.events import Read
from scholar.quotes import locate_sentence
from scholar.values import Evidence, Help, Passage

WINDOW_SHARE = 0.6
"""Share of the context window that passages may fill; the rest is for the prompt and the reply."""
CHARACTERS_PER_TOKEN = 3.5
"""Of English prose in common tokenizers there are about 4; 3.5 keeps clear of the limit."""


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


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of evidence as a prompt shows it."""

    id: str
    title: str
    text: str


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


async def show(context: Context, evidence: Iterable[Evidence]) -> list[Shown]:
    """The evidence with its papers' titles, paper by paper in reading order."""
    evidence = list(evidence)
    papers = list(dict.fromkeys(item.paper_id for item in evidence))
    ordered = sorted(evidence, key=lambda item: (papers.index(item.paper_id), item.start))
    titles = {paper.id: paper.title for paper in await context.library.papers(papers)}
    return [Shown(item.id, titles.get(item.paper_id, ""), item.quote) for item in ordered]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A quote as a model gave it, before anything is known of its truth."""

    passage: str
    quote: str
    steps: tuple[str, ...] = ()
    helps: Help = "answers"
    says: str = ""


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
            says=quote.says,
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
        says=one.says or other.says,
    )


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


def as_event(evidence: Sequence[Evidence], dropped: int) -> Read:
    """What there is to say of the evidence, `dropped` quotes not being in the text."""
    papers = {item.paper_id for item in evidence}
    return Read(tuple(item.quote for item in evidence), len(papers), dropped)
