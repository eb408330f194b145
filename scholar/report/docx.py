"""An answer as a Word document. Loads python-docx, so it is imported only where one is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docx.shared import Pt

from scholar.report import words
from scholar.report.docx_ideas import IdeasWriter
from scholar.report.dossier import Dossier
from scholar.report.word import Writer, fit, small
from scholar.values import Cell, CitedConflict, Outcome, Table

if TYPE_CHECKING:
    from docx.text.paragraph import Paragraph


def to_docx(dossier: Dossier) -> bytes:
    """The whole answer, or the ideas or the proposal that it is, with its sources, their quotes and
    pages, and what it rests on.
    """
    if words.about_ideas(dossier.answer):
        return IdeasWriter(dossier).written()
    return _AnswerWriter(dossier.answer, dossier.answer.question).written()


class _AnswerWriter(Writer):
    """An answer or a review."""

    def written(self) -> bytes:
        """All parts in order."""
        answer = self.answer
        self._answer()
        for section in answer.review.sections if answer.review else ():
            self.heading(section.title)
            self.prose(section.sentences)
        if answer.conflicts:
            self.heading("Where the sources disagree")
        for conflict in answer.conflicts:
            self._conflict(conflict)
        if answer.review and answer.review.table:
            self._side_by_side(answer.review.table)
        self.sources()
        lines = [words.looked_at(answer), words.searched_for(answer)]
        lines += [words.not_quoted(answer.coverage), *map(words.juror, answer.verdicts)]
        self.about("About this answer", [*lines, *answer.notes, words.cost(answer.usage)])
        return self.saved()

    def _answer(self) -> None:
        answer = self.answer
        if answer.outcome is Outcome.NO_EVIDENCE:
            self.line(words.NOTHING_FOUND, bold=True)
        if finding := words.finding(answer):
            self.line(finding, bold=True)
        if answer.sentences and not words.quotes_only(answer):
            self.prose(answer.sentences)
        for premise in answer.premises:
            paragraph = self.line(words.taken_as_given(premise), bold=True)
            self.cite(paragraph, premise.citations)
            paragraph.add_run(".")

    def _conflict(self, conflict: CitedConflict) -> None:
        if about := fit(conflict.about):
            self.heading(about[:1].upper() + about[1:], 2)
        for side in conflict.sides:
            self.sentence(self.document.add_paragraph(style="List Bullet"), side)

    def _side_by_side(self, table: Table) -> None:
        self.heading("The papers side by side")
        papers = {paper.id: paper for paper in self.answer.bibliography}
        numbers = words.numbers_of(self.answer)
        grid = self.table("Paper", *table.columns)
        for row in table.rows:
            first, *others = grid.add_row().cells
            name = f"{numbers[row.paper_id]}  {words.short(papers[row.paper_id])}"
            small(first.paragraphs[0], fit(name), bold=True)
            for place, cell in zip(others, row.cells, strict=True):
                self._cell(place.paragraphs[0], cell)

    def _cell(self, paragraph: Paragraph, cell: Cell) -> None:
        if cell.citation is None:
            small(paragraph, words.NOT_SAID, soft=True)
            return
        small(paragraph, fit(cell.text))
        self.cite(paragraph, [cell.citation])
        linked = [run for link in paragraph.hyperlinks for run in link.runs]
        for run in (*paragraph.runs, *linked):
            run.font.size = Pt(9)
