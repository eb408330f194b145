"""An answer in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scholar.report import words
from scholar.report.words import citations_of, numbers_of
from scholar.text import plain, plain_line
from scholar.values import Answer, CitedConflict, CitedPremise, CitedSentence, Outcome, Row


def show(answer: Answer, console: Console) -> None:
    """Print the answer for a person, at the width of `console`."""
    for block in _blocks(answer):
        write_block(console, block, "")


def write_block(console: Console, *parts: RenderableType) -> None:
    """Print `parts`, one below the other, without the spaces that pad their lines."""
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    # Columns are padded to the full width, which only clutters what is copied or piped.
    console.file.writelines(f"{line.rstrip(' ')}\n" for line in captured.get().splitlines())


def hanging(head: str, body: str, style: str = "") -> RenderableType:
    """`body` indented by the width of `head`, which stands before its first line."""
    grid = Table.grid(padding=0)
    grid.add_column(width=len(head), no_wrap=True)
    grid.add_column(overflow="fold")  # text without spaces, as of Chinese, is not cut short
    grid.add_row(Text(head, style="cyan"), Text(body, style=style))
    return grid


def _blocks(answer: Answer) -> Iterator[RenderableType]:
    numbers = numbers_of(answer)
    if head := words.finding(answer):
        yield Text(head, style="bold")
    yield from _written(answer, numbers)
    if answer.outcome is Outcome.NO_EVIDENCE:
        yield _nothing_found(answer)
    if answer.bibliography:
        yield Group(*_bibliography(answer, numbers))
    if answer.notes:
        yield Group(*(Text(f"Note: {plain(note)}") for note in answer.notes))
    if dissent := words.dissent(answer):
        yield Group(*(Text(line, style="yellow") for line in dissent))
    yield _footer(answer)


def _written(answer: Answer, numbers: dict[str, int]) -> Iterator[RenderableType]:
    """What was written, as against what it stands on; quotes alone are shown under their papers."""
    if answer.sentences and not words.quotes_only(answer):
        yield _prose(answer.sentences, numbers)
    for section in answer.review.sections if answer.review else ():
        prose = _prose(section.sentences, numbers)
        yield Group(Text(plain(section.title), style="bold"), prose)
    for premise in answer.premises:
        yield _premise(premise, numbers)
    for conflict in answer.conflicts:
        yield _conflict(conflict, numbers)
    if answer.review and answer.review.table:
        yield _side_by_side(answer, answer.review.table.columns, answer.review.table.rows)


def _premise(premise: CitedPremise, numbers: dict[str, int]) -> Text:
    """What the papers say of a thing that the question takes as given."""
    cited = sorted({numbers[citation.paper_id] for citation in premise.citations})
    marks = f" [{', '.join(map(str, cited))}]"
    return Text.assemble((words.taken_as_given(premise), "bold"), (marks, "cyan"), ".")


def _prose(sentences: Sequence[CitedSentence], numbers: dict[str, int]) -> Text:
    prose = Text()
    for n, sentence in enumerate(sentences):
        prose.append(" " if n else "")
        prose.append_text(_cited(sentence, numbers))
    return prose


def _cited(sentence: CitedSentence, numbers: dict[str, int]) -> Text:
    """The sentence with the numbers of its papers before its full stop."""
    cited = sorted({numbers[citation.paper_id] for citation in sentence.citations})
    marks = f" [{', '.join(map(str, cited))}]"
    text, stop = words.before_stop(sentence.text)
    return Text.assemble(text, (marks, "cyan"), stop)


def _conflict(conflict: CitedConflict, numbers: dict[str, int]) -> Group:
    sides = [Padding(_cited(side, numbers), (0, 0, 0, 2)) for side in conflict.sides]
    return Group(Text(words.disagreement(conflict), style="bold"), *sides)


def _side_by_side(answer: Answer, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """The table of papers, each row under the number of its paper."""
    table = Table("", box=SIMPLE_HEAD, pad_edge=False, show_lines=True)
    for column in columns:
        table.add_column(Text(plain(column)))
    numbers = numbers_of(answer)
    papers = {paper.id: paper for paper in answer.bibliography}
    for row in rows:
        name = Text.assemble(
            (f"[{numbers[row.paper_id]}]", "cyan"), f" {words.short(papers[row.paper_id])}"
        )
        cells = (
            Text(plain(cell.text)) if cell.text else Text(words.NOT_SAID, style="dim")
            for cell in row.cells
        )
        table.add_row(name, *cells)
    return table


def _bibliography(answer: Answer, numbers: dict[str, int]) -> Iterator[RenderableType]:
    for paper in answer.bibliography:
        yield hanging(f"{numbers[paper.id]:2d}  ", words.reference(paper), style="bold")
        for citation in citations_of(answer, paper.id):
            place = f"p. {citation.page}  " if citation.page else ""
            yield hanging(f"      {place}", f"“{plain_line(citation.quote)}”")


def _nothing_found(answer: Answer) -> Group:
    coverage = answer.coverage
    lines = [Text(words.NOTHING_FOUND, style="bold")]
    for query in coverage.searches:
        lines.append(Text(f"  searched for: {plain(query)}"))
    if coverage.found:
        lines.append(Text(f"  came near: {words.came_near(coverage)}."))
    lines += map(Text, words.what_would_help(answer))
    return Group(*lines)


def _footer(answer: Answer) -> Group:
    coverage = words.not_quoted(answer.coverage)
    looked = " · ".join(filter(None, (words.looked_at(answer), words.accepted(answer))))
    lines = (words.searched_for(answer), looked, coverage, words.cost(answer.usage))
    shown = [Text(line, style="dim") for line in lines if line]
    if answer.outcome is Outcome.EVIDENCE:
        shown.append(Text(words.SET_A_MODEL))
    return Group(*shown)
