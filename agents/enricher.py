"""The enricher: what a model can find out about stored papers once, so that later searches use it.

Facts for the graph, questions that a passage answers, and a card of each paper. What was extracted
is stored with the passage or paper before the next is asked for, and never asked for again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from scholar import prompts
from scholar.agents.evidence import Labelled, titles_of
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.schema import Reply
from scholar.errors import ModelRefused, ReplyInvalid
from scholar.library import Kind, Library
from scholar.prompts import Prompt
from scholar.text import one_line
from scholar.values import Card, Fact, Passage

T = TypeVar("T", bound=BaseModel)
B = TypeVar("B")

KINDS: tuple[Kind, ...] = ("facts", "questions", "card")

PER_CALL = 4
"""Passages in one call: about a page and a half, of which small models still miss little."""
MOST_FACTS = 12
"""Facts of one passage: gpt-3.5-turbo drew 9 on average from the passages of MuSiQue, and more than
12 from one in ten.
"""
MOST_QUESTIONS = 3
"""Questions for one passage: it has about twelve sentences, and few of them are looked up."""
AT_ONCE = 8
"""Calls under way where the model's own limit allows more."""
LONGEST_PART = 10
"""Words of a subject, relation or object: of those of MuSiQue one in a hundred has more than 8, and
what is much longer is a sentence, not a name.
"""
LONGEST_QUESTION = 40
"""Words of a question; what is longer is a passage of its own."""
MOST_ENTITIES = 5
"""Entities on a card, as in SciPIP."""
CARD_CHARACTERS = 12_000
"""Of a paper's beginning, for its card: abstract and introduction."""
PAGE = 256
"""Ids of papers read at a time."""
_WORD = re.compile(r"\w+")


class _Fact(Reply):
    passage: str
    subject: str
    relation: str
    object: str


class _Question(Reply):
    passage: str
    question: str


def _item_by_item(form: type[Reply]) -> BeforeValidator:
    """Let one malformed item of a list stand as an empty one, which is dropped and counted."""

    def mend(items: Any) -> Any:
        return [_readable(form, item) for item in items] if isinstance(items, list) else items

    return BeforeValidator(mend)


def _readable(form: type[Reply], item: Any) -> Reply:
    try:
        return form.model_validate(item)
    except ValidationError:
        return form.model_construct(None, **dict.fromkeys(form.model_fields, ""))


class _Facts(Reply):
    facts: Annotated[list[_Fact], _item_by_item(_Fact)]


class _Questions(Reply):
    questions: Annotated[list[_Question], _item_by_item(_Question)]


class _Card(Reply):
    problem: str
    approach: str
    motivations: list[str]
    contributions: list[str]
    entities: list[str]


@dataclass(frozen=True, slots=True)
class Enriched:
    """What one call brought: `done` passages or papers with `kept` items, `dropped` malformed ones.

    `problem` says why the call brought nothing; what it was for can be tried again.
    """

    kind: Kind
    done: int
    kept: int = 0
    dropped: int = 0
    problem: str = ""


async def enrich(
    library: Library, gateway: Gateway, ledger: Ledger, kinds: Sequence[Kind] = KINDS
) -> AsyncGenerator[Enriched, None]:
    """Extract what is lacking, call by call, each stored before it is told of.

    A reply that never fits its form costs its own passages only, until the next time. Raises the
    ModelError or BudgetSpent that ends the work; what was stored until then stays.
    """
    work = _Work(library, gateway, ledger, gateway.model_name("reader") or "")
    for kind in kinds:
        if kind == "card":
            results = _at_once(_papers(library), _tried(kind, _card, work))
        else:
            ask = _facts if kind == "facts" else _questions
            results = _at_once(_passages(kind, library), _tried(kind, ask, work))
        async with aclosing(results):
            async for result in results:
                yield result


def _tried(
    kind: Kind, ask: Callable[[B, _Work], Awaitable[Enriched]], work: _Work
) -> Callable[[B], Awaitable[Enriched]]:
    """`ask` with what cannot be used as a result that says so."""

    async def tried(batch: B) -> Enriched:
        try:
            return await ask(batch, work)
        except (ReplyInvalid, ModelRefused) as error:
            return Enriched(kind, 0, problem=str(error))

    return tried


async def _passages(kind: Kind, library: Library) -> AsyncGenerator[list[Labelled], None]:
    """The passages that lack `kind`, PER_CALL at a time."""
    after = ""
    while passages := await library.passages_without(kind, PER_CALL * AT_ONCE, after):
        after = passages[-1].id
        titles = await titles_of(library, (passage.paper_id for passage in passages))
        for at in range(0, len(passages), PER_CALL):
            yield [
                Labelled(f"p{n}", titles.get(passage.paper_id, ""), passage)
                for n, passage in enumerate(passages[at : at + PER_CALL], start=1)
            ]


async def _papers(library: Library) -> AsyncGenerator[str, None]:
    """The ids of the papers that have text and no card."""
    after = ""
    while ids := await library.papers_without("card", PAGE, after):
        after = ids[-1]
        for id in ids:
            yield id


async def _facts(batch: Sequence[Labelled], work: _Work) -> Enriched:
    prompt = prompts.render("facts", passages=batch, most=MOST_FACTS)
    reply = await work.ask(prompt, _Facts)
    found = {
        item.label: [_fact(fact) for fact in reply.facts if _is_stated(fact, item)][:MOST_FACTS]
        for item in batch
    }
    for item in batch:
        facts = list(dict.fromkeys(found[item.label]))
        await work.library.put_facts(item.passage.id, facts, model=work.model)
    kept = sum(map(len, found.values()))
    return Enriched("facts", len(batch), kept, len(reply.facts) - kept)


def _fact(fact: _Fact) -> Fact:
    subject, relation, object = (
        one_line(part) for part in (fact.subject, fact.relation, fact.object)
    )
    return Fact(subject, relation, object)


def _is_stated(fact: _Fact, item: Labelled) -> bool:
    """Whether `fact` is well formed, and of things that the passage, or its title, speaks of."""
    parts = (fact.subject, fact.relation, fact.object)
    if fact.passage != item.label or fact.subject.strip() == fact.object.strip():
        return False
    if not all(0 < len(part.split()) <= LONGEST_PART for part in parts):
        return False
    there = _words(f"{item.title} {item.text}")
    return all(_words(part) & there for part in (fact.subject, fact.object))


def _words(text: str) -> set[str]:
    return {word for word in _WORD.findall(text.lower()) if len(word) > 1 or word.isdigit()}


async def _questions(batch: Sequence[Labelled], work: _Work) -> Enriched:
    prompt = prompts.render("questions", passages=batch, most=MOST_QUESTIONS)
    reply = await work.ask(prompt, _Questions)
    kept = 0
    for item in batch:
        asked = (one_line(q.question) for q in reply.questions if q.passage == item.label)
        fitting = list(dict.fromkeys(text for text in asked if _is_question(text)))
        fitting = fitting[:MOST_QUESTIONS]
        await work.library.put_questions(item.passage.id, fitting, model=work.model)
        kept += len(fitting)
    return Enriched("questions", len(batch), kept, len(reply.questions) - kept)


def _is_question(text: str) -> bool:
    return text.endswith("?") and 3 <= len(text.split()) <= LONGEST_QUESTION


async def _card(paper_id: str, work: _Work) -> Enriched:
    papers = await work.library.papers([paper_id])
    passages = await work.library.passages_of(paper_id)
    if not (papers and passages):  # removed meanwhile
        return Enriched("card", 0)
    text = _beginning(passages)
    reply = await work.ask(prompts.render("card", title=papers[0].title, text=text), _Card)
    there = _words(f"{papers[0].title} {text}")
    entities = [one_line(name) for name in reply.entities]
    named = [name for name in dict.fromkeys(entities) if name and _words(name) <= there]
    card = Card(
        paper_id,
        reply.problem.strip(),
        reply.approach.strip(),
        _sentences(reply.motivations)[:3],
        _sentences(reply.contributions)[:4],
        tuple(named[:MOST_ENTITIES]),
    )
    await work.library.put_card(card, model=work.model)
    return Enriched("card", 1, 1, len(entities) - len(card.entities))


def _beginning(passages: Sequence[Passage]) -> str:
    """As many whole passages as CARD_CHARACTERS hold, the first in any case."""
    ends = accumulate(len(passage.text) for passage in passages)
    fitting = sum(end <= CARD_CHARACTERS for end in ends)
    return "\n\n".join(passage.text for passage in passages[: max(1, fitting)])


def _sentences(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts if text.strip())


@dataclass(frozen=True, slots=True)
class _Work:
    """What every call needs. `model` is whom the facts come from, as it is remembered."""

    library: Library
    gateway: Gateway
    ledger: Ledger
    model: str

    async def ask(self, prompt: Prompt, reply: type[T]) -> T:
        """The reader's reply; raises what `Gateway.ask` raises."""
        return await self.gateway.ask(prompt, reply, ledger=self.ledger)


async def _at_once(
    batches: AsyncGenerator[B, None], ask: Callable[[B], Awaitable[Enriched]]
) -> AsyncGenerator[Enriched, None]:
    """The results of `ask` for all `batches` as they come, AT_ONCE of them under way.

    Where a call fails for good, those under way are let finish, since they are paid for, and then
    its error is raised.
    """
    running: set[asyncio.Future[Enriched]] = set()
    failed: list[BaseException] = []

    async def some_done() -> list[Enriched]:
        done, left = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        running.intersection_update(left)
        failed.extend(error for task in done if (error := task.exception()))
        return [task.result() for task in done if not task.exception()]

    try:
        async for batch in batches:
            running.add(asyncio.ensure_future(ask(batch)))
            if len(running) == AT_ONCE:
                for result in await some_done():
                    yield result
            if failed:
                break
        while running:
            for result in await some_done():
                yield result
        if failed:
            raise failed[0]
    finally:
        await batches.aclose()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
