"""What every HTML report has in common: one file that needs nothing else, no network, and no script
to be read. Loads numpy for the map.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

import jinja2

from scholar import __version__
from scholar.report import words
from scholar.report.dossier import Dossier
from scholar.report.excerpt import Paragraph, excerpt
from scholar.report.marks import Marks
from scholar.report.plot import plot
from scholar.report.timeline import Bar, Timeline, timeline
from scholar.text import plain, plain_line
from scholar.values import (
    Citation,
    CitedSentence,
    Outcome,
    Paper,
    Passage,
    Statement,
    Usage,
    Verdict,
)

Cited = CitedSentence | Statement

AUTHORS = 6
"""Authors of a paper that are named; more would fill a phone with names."""
OUTCOMES = {
    Outcome.ANSWERED: "Answered",
    Outcome.EVIDENCE: "Quotes only",
    Outcome.PARTIAL: "Answered in part",
    Outcome.CONFLICTING: "The sources disagree",
    Outcome.NO_EVIDENCE: "Not answered",
    Outcome.BUDGET_SPENT: "Cut short: the budget is spent",
    Outcome.TOOLS_FAILED: "Cut short: a tool failed",
    Outcome.MODEL_FAILED: "Cut short: the model failed",
    Outcome.CANCELLED: "Cancelled",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A citation in the text: `id` of the quote it leads to, and who is cited, in words."""

    label: str
    id: str
    said: str


@dataclass(frozen=True, slots=True)
class Sentence:
    text: str
    stop: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote in its passage; `page_address` opens it at the publisher's, where that is known."""

    id: str
    label: str
    text: str
    paper: str
    place: str
    paragraphs: tuple[Paragraph, ...]
    page_address: str
    page: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """A paper of the bibliography with its quotes."""

    number: int
    short: str
    title: str
    by: str
    remarks: tuple[str, ...]
    name: str
    address: str
    retracted: bool
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph and the quotes that it cites for the first time: its notes in print."""

    sentences: tuple[Sentence, ...]
    notes: tuple[Quote, ...]


class Page:
    """What the templates show, under the names they use; `kind` is what it is a report of."""

    def __init__(self, dossier: Dossier, *, kind: str, title: str) -> None:
        answer = dossier.answer
        self.answer = answer
        self.words = words
        self.kind = kind
        self.title = plain_line(title)
        self.outcome = OUTCOMES[answer.outcome]
        self.facts: list[str] = []
        self.quotes_only = False
        self._marks = Marks(answer)
        self._passages = dossier.passages
        self._noted: set[Citation] = set()
        self._quotes = {
            citation: self._quote(citation, paper)
            for paper in answer.bibliography
            for citation in self._marks.quotes[paper.id]
        }
        self.papers = {paper.id: paper for paper in answer.bibliography}
        self.numbers = words.numbers_of(answer)
        self.sources = [self._source(paper) for paper in answer.bibliography]
        self.plot = plot(dossier.atlas, self.numbers) if dossier.atlas else None
        self.timeline = timeline(dossier.events)
        self.asked = _date(dossier)
        self.jurors = [_juror(verdict) for verdict in answer.verdicts]

    def prose(self, sentences: Sequence[Cited]) -> list[Block]:
        """`sentences` in paragraphs of a length that can be read."""
        return [self.block(part) for part in words.paragraphs(sentences)]

    def block(self, sentences: Sequence[Cited]) -> Block:
        """One paragraph."""
        shown = tuple(self.sentence(s) for s in sentences)
        return Block(shown, self.notes(c for s in sentences for c in s.citations))

    def sentence(self, sentence: Cited) -> Sentence:
        """One sentence with its marks."""
        text, stop = words.before_stop(plain_line(sentence.text))
        return Sentence(text, stop, self.marks(sentence.citations))

    def marks(self, citations: Sequence[Citation]) -> tuple[Mark, ...]:
        """The marks of `citations`, each once, in the order of the sources."""
        return tuple(self._mark(citation) for citation in self._marks.ordered(citations))

    def notes(self, citations: Iterable[Citation]) -> tuple[Quote, ...]:
        """The quotes of those `citations` that were not in any notes before."""
        fresh = [c for c in self._marks.ordered(list(citations)) if c not in self._noted]
        self._noted.update(fresh)
        return tuple(self._quotes[citation] for citation in fresh)

    def _mark(self, citation: Citation) -> Mark:
        label = self._marks.of(citation)
        page = f", page {citation.page}" if citation.page else ""
        who = words.short(self.papers[citation.paper_id])
        return Mark(label, f"q-{label}", f"Quote {label}: {who}{page}")

    def _quote(self, citation: Citation, paper: Paper) -> Quote:
        label = self._marks.of(citation)
        passage = self._passages.get(citation.passage_id)
        return Quote(
            f"q-{label}",
            label,
            plain_line(citation.quote),
            words.short(paper),
            _place(citation, passage),
            excerpt(citation, passage),
            _page_address(paper, citation.page),
            citation.page,
        )

    def _source(self, paper: Paper) -> Source:
        when = str(paper.year) if paper.year else ""
        who = ", ".join(map(plain_line, paper.authors[:AUTHORS]))
        who += " et al." if len(paper.authors) > AUTHORS else ""
        return Source(
            self.numbers[paper.id],
            words.short(paper),
            plain_line(paper.title),
            " · ".join(part for part in (who, when, plain_line(paper.venue)) if part),
            tuple(plain(remark).strip("()[]") for remark in words.remarks(paper)),
            plain(words.identifier(paper)),
            words.address(paper),
            paper.retracted,
            tuple(self._quotes[citation] for citation in self._marks.quotes[paper.id]),
        )


def _place(citation: Citation, passage: Passage | None) -> str:
    page = f"p. {citation.page}" if citation.page else ""
    section = plain_line(passage.section) if passage else ""
    return " · ".join(part for part in (page, section) if part)


def _page_address(paper: Paper, page: int | None) -> str:
    """Where a browser opens the paper at that page; only arXiv's addresses can be known."""
    arxiv = words.arxiv_name(paper)
    return f"https://arxiv.org/pdf/{quote(arxiv)}#page={page}" if arxiv and page else ""


def _juror(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": plain_line(verdict.juror),
        "vote": words.voted(verdict),
        "accepts": verdict.action == "accept" and not verdict.failed,
        "reasons": [plain_line(reason) for reason in verdict.reasons],
    }


def spent(usage: Usage) -> Iterator[str]:
    """What a run took, in a few words each."""
    if usage.calls:
        yield words.count(usage.calls, "call")
        yield "price unknown" if usage.dollars is None else f"${usage.dollars:.4f}"
    yield f"{usage.seconds:.1f} s"


def _date(dossier: Dossier) -> str:
    if not dossier.events:
        return ""
    began = datetime.fromtimestamp(dossier.events[0][0], UTC).astimezone()
    return f"{began.day} {began:%B %Y}"


def rendered(template: str, page: Page) -> str:
    """`page` by the `template` of that name. Everything that comes from outside is escaped, and the
    page allows itself no other style and script than its own.
    """
    style, script = _file("page.css"), _file("page.js")
    return (
        _templates()
        .get_template(template)
        .render(
            page=page,
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            version=__version__,
        )
    )


def _hash(text: str) -> str:
    """As a content security policy names the text of an element."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _file(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text("utf-8")


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_file),
    )
    environment.filters |= {
        "plain": plain_line,
        "seconds": _seconds,
        "node": _node,
        "at": _at,
        "wide": _wide,
        "capitalise": lambda text: text[:1].upper() + text[1:],
    }
    return environment


def _seconds(value: float) -> str:
    """As in `0.4 s`, `2 min 5 s` and `9 h 3 min`."""
    if value < 100:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


_NODES = {
    "compose": "write",
    "section": "sections",
    "sum_up": "summary",
    "deliberate": "jury",
}
"""What a reader calls the nodes whose names do not say it."""


def _node(name: str) -> str:
    return _NODES.get(name, name.replace("_", " "))


def _at(timeline: Timeline, seconds: float) -> float:
    """A moment of `timeline` in thousandths of it."""
    return round(1000 * seconds / (timeline.seconds or 1.0), 1)


def _wide(timeline: Timeline, bar: Bar) -> float:
    """The length of `bar`, as `_at`; what is very short is a line."""
    return max(4.0, round(_at(timeline, bar.end) - _at(timeline, bar.start), 1))
