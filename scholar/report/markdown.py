"""An answer or a review as a Markdown document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from scholar.report import words
from scholar.report.marks import Marks
from scholar.report.words import NOT_SAID, cost, reference, short
from scholar.text import plain_line
from scholar.values import Answer, Cell, CitedSentence, Outcome

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~$!])")
_LIST = re.compile(r"^([-+]|\d+[.)])(?=\s)")


def to_markdown(answer: Answer) -> str:
    """The whole answer, its references with their quotes and pages, and what it rests on.

    Text of papers and models is escaped, so that it is shown as it is and brings no link, image or
    table of its own.
    """
    return "\n\n".join(_blocks(answer)) + "\n"


def _blocks(answer: Answer) -> Iterator[str]:
    marks = Marks(answer)
    yield f"# {escaped(answer.question)}"
    yield from _written(answer, marks)
    if table := _table(answer, marks):
        yield "## The papers side by side"
        yield table
    if answer.bibliography:
        yield "## References"
        yield "\n".join(references(answer, marks))
    yield "## About this answer"
    yield "\n".join(_about(answer))


def _written(answer: Answer, marks: Marks) -> Iterator[str]:
    if answer.outcome is Outcome.NO_EVIDENCE:
        yield words.NOTHING_FOUND
    if finding := words.finding(answer):
        yield f"**{escaped(finding)}**"
    if not words.quotes_only(answer):
        yield _prose(answer.sentences, marks)
    for premise in answer.premises:
        yield f"{escaped(words.taken_as_given(premise))} {marks.bracketed(premise.citations)}."
    for section in answer.review.sections if answer.review else ():
        yield f"## {escaped(section.title)}"
        yield _prose(section.sentences, marks)
    if answer.conflicts:
        yield "## Where the sources disagree"
    for conflict in answer.conflicts:
        sides = (f"- {_cited(side, marks)}" for side in conflict.sides)
        yield "\n".join((f"{escaped(conflict.about)}:\n", *sides))


def _prose(sentences: Sequence[CitedSentence], marks: Marks) -> str:
    return " ".join(_cited(sentence, marks) for sentence in sentences)


def _cited(sentence: CitedSentence, marks: Marks) -> str:
    """The sentence with the marks of its quotes before its full stop."""
    text, stop = words.before_stop(sentence.text)
    return f"{escaped(text)} {marks.bracketed(sentence.citations)}{stop}"


def _table(answer: Answer, marks: Marks) -> str:
    table = answer.review.table if answer.review else None
    if table is None:
        return ""
    papers = {paper.id: paper for paper in answer.bibliography}
    rows = (
        [escaped(short(papers[row.paper_id])), *(_cell(cell, marks) for cell in row.cells)]
        for row in table.rows
    )
    head = ["Paper", *map(escaped, table.columns)]
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell, marks: Marks) -> str:
    if cell.citation is None:
        return NOT_SAID
    return f"{escaped(cell.text)} {marks.bracketed([cell.citation])}"


def references(answer: Answer, marks: Marks) -> Iterator[str]:
    for n, paper in enumerate(answer.bibliography, start=1):
        yield f"{n}. {escaped(reference(paper))}"
        for citation in marks.quotes[paper.id]:
            place = f", p. {citation.page}" if citation.page else ""
            yield f"    - {marks.of(citation)}{place}: “{escaped(citation.quote)}”"


def _about(answer: Answer) -> Iterator[str]:
    coverage = answer.coverage
    yield f"- Quotes from {coverage.read} of {coverage.found} papers found."
    if coverage.searches:
        yield f"- Searched for: {escaped('; '.join(coverage.searches))}"
    yield from (f"- {escaped(words.juror(verdict))}" for verdict in answer.verdicts)
    yield from (f"- {escaped(note)}" for note in answer.notes)
    yield f"- {escaped(cost(answer.usage))}."


def escaped(text: str) -> str:
    """`text` on one line, with what Markdown would take for markup escaped."""
    line = _MARKUP.sub(r"\\\1", plain_line(text))
    return _LIST.sub(r"\\\1", line)
