"""An answer or a review as a Markdown document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from string import ascii_lowercase

from scholar.report import NOT_SAID, citations_of, cost, plain, reference, short, vote
from scholar.values import Answer, Cell, Citation, CitedSentence, Outcome

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~$!])")
_LIST = re.compile(r"^([-+]|\d+[.)])(?=\s)")


def to_markdown(answer: Answer) -> str:
    """The whole answer, its references with their quotes and pages, and what it rests on.

    Text of papers and models is escaped, so that it is shown as it is and brings no link, image or
    table of its own.
    """
    return "\n\n".join(_blocks(answer)) + "\n"


class _Marks:
    """The mark of each quote: the number of its paper, and a letter where it has several."""

    def __init__(self, answer: Answer) -> None:
        self.quotes = {paper.id: citations_of(answer, paper.id) for paper in answer.bibliography}
        self._numbers = {paper.id: n for n, paper in enumerate(answer.bibliography, start=1)}

    def of(self, citation: Citation) -> str:
        """As in 3b; letters go on after z with aa."""
        quotes = self.quotes[citation.paper_id]
        letter = _letter(quotes.index(citation)) if len(quotes) > 1 else ""
        return f"{self._numbers[citation.paper_id]}{letter}"

    def all_of(self, citations: Sequence[Citation]) -> str:
        """Those of `citations` in brackets, in the order of the references."""
        order = sorted(citations, key=lambda c: (self._numbers[c.paper_id], self._place(c)))
        return f"[{', '.join(dict.fromkeys(map(self.of, order)))}]"

    def _place(self, citation: Citation) -> int:
        return self.quotes[citation.paper_id].index(citation)


def _letter(n: int) -> str:
    before, last = divmod(n, len(ascii_lowercase))
    return (_letter(before - 1) if before else "") + ascii_lowercase[last]


def _blocks(answer: Answer) -> Iterator[str]:
    marks = _Marks(answer)
    yield f"# {_text(answer.question)}"
    yield from _written(answer, marks)
    if table := _table(answer, marks):
        yield "## The papers side by side"
        yield table
    if answer.bibliography:
        yield "## References"
        yield "\n".join(_references(answer, marks))
    yield "## About this answer"
    yield "\n".join(_about(answer))


def _written(answer: Answer, marks: _Marks) -> Iterator[str]:
    if answer.outcome is Outcome.NO_EVIDENCE:
        yield "The library does not answer this."
    if any(s.text != s.citations[0].quote for s in answer.sentences):
        yield _prose(answer.sentences, marks)
    for section in answer.review.sections if answer.review else ():
        yield f"## {_text(section.title)}"
        yield _prose(section.sentences, marks)
    if answer.conflicts:
        yield "## Where the sources disagree"
    for conflict in answer.conflicts:
        sides = (f"- {_cited(side, marks)}" for side in conflict.sides)
        yield "\n".join((f"{_text(conflict.about)}:\n", *sides))


def _prose(sentences: Sequence[CitedSentence], marks: _Marks) -> str:
    return " ".join(_cited(sentence, marks) for sentence in sentences)


def _cited(sentence: CitedSentence, marks: _Marks) -> str:
    """The sentence with the marks of its quotes before its full stop."""
    text = _text(sentence.text)
    stop = text[-1] if text.endswith((".", "?")) else "."
    return f"{text.removesuffix(stop)} {marks.all_of(sentence.citations)}{stop}"


def _table(answer: Answer, marks: _Marks) -> str:
    table = answer.review.table if answer.review else None
    if table is None:
        return ""
    papers = {paper.id: paper for paper in answer.bibliography}
    rows = (
        [_text(short(papers[row.paper_id])), *(_cell(cell, marks) for cell in row.cells)]
        for row in table.rows
    )
    head = ["Paper", *map(_text, table.columns)]
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell, marks: _Marks) -> str:
    return f"{_text(cell.text)} {marks.all_of([cell.citation])}" if cell.citation else NOT_SAID


def _references(answer: Answer, marks: _Marks) -> Iterator[str]:
    for n, paper in enumerate(answer.bibliography, start=1):
        yield f"{n}. {_text(reference(paper))}"
        for citation in marks.quotes[paper.id]:
            place = f", p. {citation.page}" if citation.page else ""
            yield f"    - {marks.of(citation)}{place}: “{_text(citation.quote)}”"


def _about(answer: Answer) -> Iterator[str]:
    coverage = answer.coverage
    yield f"- Quotes from {coverage.read} of {coverage.found} papers found."
    if coverage.searches:
        yield f"- Searched for: {_text('; '.join(coverage.searches))}"
    for verdict in answer.verdicts:
        reasons = "" if verdict.failed else "; ".join(verdict.reasons)
        yield f"- Juror {_text(vote(verdict))}{': ' if reasons else ''}{_text(reasons)}"
    yield from (f"- {_text(note)}" for note in answer.notes)
    yield f"- {_text(cost(answer.usage))}."


def _text(text: str) -> str:
    """`text` on one line, with what Markdown would take for markup escaped."""
    line = _MARKUP.sub(r"\\\1", " ".join(plain(text).split()))
    return _LIST.sub(r"\\\1", line)
