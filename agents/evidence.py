"""Passages as prompts show them, and the quotes that really stand in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Protocol, TypeVar

from scholar import prompts
from scholar.context import Context
from scholar.events import Read
from scholar.library import Library
from scholar.quotes import locate_sentence
from scholar.remembered import Remembered
from scholar.values import Evidence, Help, Passage

WINDOW_SHARE = 0.6
"""Share of the context window that passages may fill; the rest is for the prompt and the reply."""
CHARACTERS_PER_TOKEN = 3.5
"""Of English prose in common tokenizers there are about 4; 3.5 keeps clear of the limit."""
REPLY_SHARE = 0.25
"""Share of the context window that is kept for the reply, as the gateway asks for it."""
OVERHEAD = 6_000
"""Characters kept for a schema put into the prompt and for a reply that has to be corrected."""
LEAST_ROOM = 1_000
"""Characters of material below which a call is not worth making, whatever the window."""
TITLE = 200
"""Characters of a title that prompts show: longer ones are abstracts in the wrong field."""
FENCE = 60
"""Characters of the fence around one piece of material."""
_HELPS: tuple[Help, ...] = ("answers", "partly", "background")


class Shows(Protocol):
    """What a prompt shows as one piece: a title and a text."""

    @property
    def title(self) -> str:
        """Of the paper."""
        ...

    @property
    def text(self) -> str:
        """As the prompt shows it."""
        ...


P = TypeVar("P", bound=Shows)
T = TypeVar("T")


def size(text: str) -> int:
    """What `text` takes of a window, in characters of English: other scripts take more tokens."""
    return len(text.encode("utf-8", "replace"))


def room(context: Context, name: str, **values: Any) -> int:
    """How much material the prompt `name` may show, in `size`, beside `values`.

    Those are all its other variables. The question and the form of the reply are never cut: the
    material is what gives way in a small window.
    """
    empty = dict.fromkeys(prompts.variables(name), ())
    bare = prompts.render(name, **{**empty, **values})
    window = context.settings.context_window * CHARACTERS_PER_TOKEN
    free = window * (1 - REPLY_SHARE) - size(bare.system) - size(bare.user) - OVERHEAD
    return max(LEAST_ROOM, int(min(free, window * WINDOW_SHARE)))


async def show_what_fits(
    context: Context, evidence: Sequence[Evidence], room: int, cited: Collection[str] = ()
) -> list[Shown]:
    """As `show`, of the evidence that `room` has space for: first what is `cited`, then what
    answers, then the rest, each in the order in which it was found.
    """
    shown = {item.id: item for item in await show(context, evidence)}
    worth = sorted(evidence, key=lambda e: (e.id not in cited, _HELPS.index(e.helps)))
    kept = {item.id for item in fitting([shown[e.id] for e in worth], room)}
    return [item for item in shown.values() if item.id in kept]


def fitting(items: Iterable[P], room: int) -> list[P]:
    """Of `items`, in order of worth, those that `room` has space for; the first in any case."""
    kept: list[P] = []
    for item in items:
        room -= _taken(item)
        if kept and room < 0:
            break
        kept.append(item)
    return kept


def _taken(item: Shows) -> int:
    return size(item.text) + size(item.title) + FENCE


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
    titles = await titles_of(context.library, (passage.paper_id for passage in passages))
    return [
        Labelled(f"p{n}", titles.get(passage.paper_id, "")[:TITLE], passage)
        for n, passage in enumerate(passages, start=1)
    ]


async def show(context: Context, evidence: Iterable[Evidence]) -> list[Shown]:
    """The evidence with its papers' titles, paper by paper in reading order."""
    evidence = list(evidence)
    papers = list(dict.fromkeys(item.paper_id for item in evidence))
    ordered = sorted(evidence, key=lambda item: (papers.index(item.paper_id), item.start))
    titles = await titles_of(context.library, papers)
    return [Shown(item.id, titles.get(item.paper_id, "")[:TITLE], item.quote) for item in ordered]


async def titles_of(library: Library | Remembered, ids: Iterable[str]) -> dict[str, str]:
    """The titles of the papers `ids`, by id, of those that the library has."""
    return {paper.id: paper.title for paper in await library.papers(list(dict.fromkeys(ids)))}


def in_turn(rankings: Iterable[Iterable[T]]) -> Iterator[T]:
    """The first of each ranking, then the second of each, and so on."""
    return (item for row in zip_longest(*rankings) for item in row if item is not None)


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
            answers=tuple((step, quote.says) for step in quote.steps if quote.says),
        )
    return None


def _overlap(one: Evidence, other: Evidence) -> bool:
    return one.passage_id == other.passage_id and one.start < other.end and other.start < one.end


def _merged(one: Evidence, other: Evidence) -> Evidence:
    """Both as one quote, from the first character of either to the last.

    What is mere background to another step is not counted for it: it was known already.
    """
    first, second = sorted((one, other), key=lambda item: item.start)
    helps = other.helps != "background"
    return replace(
        first,
        id=one.id,
        quote=first.quote + second.quote[first.end - second.start :],
        end=max(first.end, second.end),
        steps=tuple(dict.fromkeys((*one.steps, *(other.steps if helps else ())))),
        helps=min(one.helps, other.helps, key=_HELPS.index),
        says=one.says or other.says,
        answers=tuple({**dict(other.answers), **dict(one.answers)}.items()),
    )


def portions(items: Iterable[Labelled], room: int) -> Iterator[list[Labelled]]:
    """`items` in order, in portions that take no more than `room`."""
    portion: list[Labelled] = []
    used = 0
    for item in items:
        taken = _taken(item)
        if portion and used + taken > room:
            yield portion
            portion, used = [], 0
        portion.append(item)
        used += taken
    if portion:
        yield portion


def as_event(evidence: Sequence[Evidence], dropped: int) -> Read:
    """What there is to say of the evidence, `dropped` quotes not being in the text."""
    papers = {item.paper_id for item in evidence}
    return Read(tuple(item.quote for item in evidence), len(papers), dropped)
