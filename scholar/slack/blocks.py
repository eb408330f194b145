"""An answer as Slack's blocks: pure, and under Slack's limits whatever its length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from scholar.report import authors, citations_of, cost, identifier, reference, words
from scholar.slack import rich
from scholar.slack.rich import Block, Span, Unit, unit
from scholar.slack.text import cut, escape
from scholar.text import plain
from scholar.values import (
    Answer,
    CitedConflict,
    CitedPremise,
    CitedSentence,
    Idea,
    Outcome,
    Paper,
)

MOST_MESSAGES = 3
"""Messages that an answer may take; a longer one is a file too, and the first of them shown."""
MOST_PREVIEW = 3_000
"""Characters of what notifications and screen readers say; whole sentences."""
MODAL_BLOCKS = 90
"""Of a page of evidence, of the 100 that Slack takes."""

_UNFINISHED = {
    Outcome.BUDGET_SPENT: "The budget of this question is spent; this is what was found.",
    Outcome.TOOLS_FAILED: "A source or the library could not be used.",
    Outcome.MODEL_FAILED: "The model gave no usable reply.",
    Outcome.CANCELLED: "Cancelled.",
    Outcome.PARTIAL: "Answered in part.",
}
_ARXIV = re.compile(r"[\w.-]+(/\d{7})?")


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted: `text` is what notifications say, in Slack's markup."""

    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer as messages; `attached` says that it goes on in a file, whose name that is."""

    messages: tuple[Message, ...]
    attached: str = ""


def shown(answer: Answer, ask: str) -> Shown:
    """The answer to the ask with this id. Its messages are in order, the buttons in the last."""
    body, tail = list(_body(answer)), [*_tail(answer), _buttons(answer, ask)]
    found = rich.pages([*body, *tail])
    attached = ""
    has_table = bool(answer.review and answer.review.table)
    if len(found) > MOST_MESSAGES or has_table:
        attached = "review.md" if answer.review else "answer.md"
        said = f"All of it, with every quote, is in {attached} below."
        tail = [*rich.context([said]), _buttons(answer, ask)]
        found = [_as_fits(body, tail)] if len(found) > MOST_MESSAGES else found
    text = preview(answer)
    messages = [
        Message(text if n == 0 else "The answer goes on.", tuple(_marked(blocks, ask, n)))
        for n, blocks in enumerate(found)
    ]
    return Shown(tuple(messages), attached)


def _as_fits(body: Sequence[Block], tail: Sequence[Block]) -> list[Block]:
    """The blocks of `body` that fit into one message before `tail`, which stays whole."""
    most = rich.MOST_BLOCKS - len(tail)
    room = rich.MOST_JSON - rich.weight(tail)
    taken: list[Block] = []
    for block in body[:most]:
        room -= rich.weight([block])
        if room < 0:
            break
        taken.append(block)
    return [*taken, *tail]


def _marked(blocks: Sequence[Block], ask: str, n: int) -> Iterator[Block]:
    """`blocks`, the first of which tells which message of which ask it stands in."""
    for index, block in enumerate(blocks):
        yield {**block, "block_id": mark(ask, n)} if index == 0 else block


def mark(ask: str, n: int = 0) -> str:
    """How the message `n` of an ask is known again, also where its time stamp was lost."""
    return f"scholar:{ask}:{n}"


def preview(answer: Answer) -> str:
    """The answer's first sentences, escaped."""
    room, said = MOST_PREVIEW, []
    for text in (sentence.text for sentence in answer.sentences):
        room -= len(escape(text)) + 1
        if room < 0:
            break
        said.append(escape(text))
    return " ".join(said) or escape(headline(answer)) or "Here is what was found."


def headline(answer: Answer) -> str:
    """How it ended, in words; empty where an answer says so itself."""
    if answer.outcome is Outcome.NO_EVIDENCE:
        return words.NOTHING_FOUND
    if answer.outcome in _UNFINISHED:
        return _UNFINISHED[answer.outcome]
    return ""


def _body(answer: Answer) -> Iterator[Block]:
    numbers = words.numbers_of(answer)
    for line in (headline(answer), words.finding(answer)):
        if line:
            yield from rich.paragraph([unit(Span(line, bold=True))])
    yield from _prose(answer, numbers)
    for section in answer.review.sections if answer.review else ():
        yield from rich.paragraph([unit(Span(section.title, bold=True))])
        yield from rich.paragraph(_sentences(section.sentences, numbers))
    for idea in answer.ideas:
        yield from _idea(idea, numbers)
    for premise in answer.premises:
        yield from rich.paragraph([_premise(premise, numbers)])
    for conflict in answer.conflicts:
        yield from _conflict(conflict, numbers)
    if answer.outcome is Outcome.NO_EVIDENCE:
        yield from rich.paragraph(map(unit, _what_was_tried(answer)))


def _prose(answer: Answer, numbers: Mapping[str, int]) -> Iterator[Block]:
    """The answer's sentences; quotes alone each by itself, as quotes."""
    if not words.quotes_only(answer):
        yield from rich.paragraph(_sentences(answer.sentences, numbers))
        return
    for sentence in answer.sentences:
        mark = Span(f" {_marks(sentence, numbers)}", italic=True)
        quoted = unit(f"“{_line(sentence.text)}”", mark)
        yield from rich.paragraph([quoted], "rich_text_quote")


def _sentences(sentences: Sequence[CitedSentence], numbers: Mapping[str, int]) -> Iterator[Unit]:
    for n, sentence in enumerate(sentences):
        text, stop = words.before_stop(_line(sentence.text))
        marks = Span(f" {_marks(sentence, numbers)}", italic=True)
        yield unit(" " if n else "", text, marks, stop)


def _marks(cited: CitedSentence | CitedPremise, numbers: Mapping[str, int]) -> str:
    found = sorted({numbers[citation.paper_id] for citation in cited.citations})
    return f"[{', '.join(map(str, found))}]"


def _idea(idea: Idea, numbers: Mapping[str, int]) -> Iterator[Block]:
    """An idea: what it is, whether it is new, and the quotes of the work that is nearest to it."""
    verdict = idea.novelty.verdict if idea.novelty else "unchecked"
    title = Span(f"{idea.id}. {_line(idea.title)}", bold=True)
    head = unit(title, Span(f"  {verdict}\n", italic=True))
    yield from rich.paragraph([head, unit(_line(idea.summary))])
    for near in idea.novelty.nearest if idea.novelty else ():
        differs = f" Differs: {_line(near.differs)}" if near.differs else ""
        mark = Span(f" [{numbers[near.citation.paper_id]}]", italic=True)
        said = unit(f"“{_line(near.citation.quote)}”", mark, differs)
        yield from rich.paragraph([said], "rich_text_quote")


def _premise(premise: CitedPremise, numbers: Mapping[str, int]) -> Unit:
    said = _line(words.taken_as_given(premise))
    return unit(Span(said, bold=True), Span(f" {_marks(premise, numbers)}", italic=True), ".")


def _conflict(conflict: CitedConflict, numbers: Mapping[str, int]) -> Iterator[Block]:
    yield from rich.paragraph([unit(Span(_line(words.disagreement(conflict)), bold=True))])
    for side in conflict.sides:
        yield from rich.paragraph(_sentences([side], numbers), "rich_text_quote")


def _what_was_tried(answer: Answer) -> Iterator[str]:
    for query in answer.coverage.searches:
        yield f"Searched for: {_line(query)}\n"
    if answer.coverage.found:
        yield f"Came near: {words.came_near(answer.coverage)}.\n"
    yield "Add papers on it with /scholar add and their arXiv ids or DOIs, and ask again."


def _tail(answer: Answer) -> Iterator[Block]:
    if answer.bibliography:
        papers = enumerate(answer.bibliography, start=1)
        yield from rich.paragraph(_reference(n, paper) for n, paper in papers)
    yield from rich.context(_small_print(answer))


def _reference(n: int, paper: Paper) -> Unit:
    return unit(f"{n}  ", Span(reference(paper), url=address(paper)), "\n")


def _small_print(answer: Answer) -> Iterator[str]:
    yield from answer.notes
    yield from words.dissent(answer)
    coverage = answer.coverage
    parts = [f"Quotes from {coverage.read} of {coverage.found} papers found"]
    parts += [words.accepted(answer), cost(answer.usage)]
    yield " · ".join(filter(None, parts))
    if answer.outcome is Outcome.EVIDENCE:
        yield "These are quotes. For written answers, whoever runs this bot sets a model."


def _buttons(answer: Answer, ask: str) -> Block:
    found = [rich.button("Dig deeper", "deeper", ask)]
    if answer.bibliography:
        found += [
            rich.button("Show evidence", "evidence", ask),
            rich.button("BibTeX", "bibtex", ask),
            rich.button("Helpful", "helpful", ask),
            rich.button("Not helpful", "unhelpful", ask),
        ]
    return rich.actions(f"buttons:{ask}", *found)


def _line(text: str) -> str:
    return " ".join(plain(text).split())


# Evidence


def address(paper: Paper, page: int | None = None) -> str:
    """Where a paper can be read, or "". Only arXiv and doi.org are ever linked to."""
    arxiv = paper.identifiers.get("arxiv", "")
    if arxiv and _ARXIV.fullmatch(arxiv):
        name = quote(f"{arxiv}{paper.version}", safe="/.")
        kind = f"pdf/{name}#page={page}" if page else f"abs/{name}"
        return f"https://arxiv.org/{kind}"
    doi = paper.identifiers.get("doi", "")
    return f"https://doi.org/{quote(doi, safe='/.')}" if doi.startswith("10.") else ""


def evidence_of(answer: Answer) -> list[dict[str, Any]]:
    """The papers of an answer with all that it quotes of them, as plain data to be kept."""
    return [
        {
            "paper": paper.id,
            "reference": reference(paper),
            "name": f"{authors(paper)} {paper.year or ''} {identifier(paper)}".strip(),
            "url": address(paper),
            "quotes": [
                {
                    "passage": citation.passage_id,
                    "page": citation.page,
                    "url": address(paper, citation.page) if citation.page else "",
                    "quote": _line(citation.quote),
                }
                for citation in citations_of(answer, paper.id)
            ],
        }
        for paper in answer.bibliography
    ]


def evidence_view(evidence: Sequence[Mapping[str, Any]], ask: str, page: int = 0) -> dict[str, Any]:
    """A page of the modal that shows the quotes, with their pages and links."""
    found = rich.pages(_quotes(evidence), MODAL_BLOCKS)
    page = max(0, min(page, len(found) - 1))
    blocks = list(found[page])
    moves = []
    if page:
        moves.append(rich.button("Back", "evidence_back", f"{ask} {page - 1}"))
    if page < len(found) - 1:
        moves.append(rich.button("More quotes", "evidence_more", f"{ask} {page + 1}"))
    if moves:
        blocks += [*rich.context([f"Page {page + 1} of {len(found)}"]), rich.actions("m", *moves)]
    return {
        "type": "modal",
        "title": {"type": "plain_text", "text": "Evidence"},
        "close": {"type": "plain_text", "text": "Close"},
        "blocks": blocks,
    }


def _quotes(evidence: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    for n, paper in enumerate(evidence, start=1):
        head = unit(f"{n}  ", Span(paper["reference"], bold=True, url=paper["url"]))
        yield from rich.paragraph([head])
        for each in paper["quotes"]:
            place = f"p. {each['page']}  " if each["page"] else ""
            said = unit(Span(place, italic=True, url=each["url"]), f"“{each['quote']}”")
            yield from rich.paragraph([said], "rich_text_quote")


def note(text: str, *, bold: str = "") -> Message:
    """A message of the bot's own: `bold` and then `text`, which may hold anything."""
    parts = [unit(Span(piece)) for piece in cut(text, rich.MOST_TEXT)]
    head = [unit(Span(f"{bold}\n", bold=True))] if bold else []
    said = escape(f"{bold} {text}".strip())
    return Message(said[:MOST_PREVIEW], tuple(rich.paragraph([*head, *parts])))
