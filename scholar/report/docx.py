"""An answer as a Word document. Loads python-docx, so it is imported only where one is written."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Pt, RGBColor

from scholar.report import words
from scholar.report.marks import Marks
from scholar.text import plain
from scholar.values import (
    Answer,
    Cell,
    Citation,
    CitedConflict,
    CitedSentence,
    Outcome,
    Paper,
    Table,
)

if TYPE_CHECKING:
    from docx.text.paragraph import Paragraph

_UNFIT = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no place for."""
_ACCENT = RGBColor(0x0B, 0x5D, 0x6B)
_SOFT = RGBColor(0x5F, 0x5B, 0x52)
_INDENT = Pt(22)


def to_docx(answer: Answer) -> bytes:
    """The whole answer, its sources with their quotes and pages, and what it rests on.

    A mark in the text leads to its quote among the sources, an identifier to the paper on the web.
    """
    writer = _Writer(answer)
    writer.write()
    file = io.BytesIO()
    writer.document.save(file)
    return file.getvalue()


class _Writer:
    """Fills a document with one answer."""

    def __init__(self, answer: Answer) -> None:
        self.document = docx.Document()
        self._answer = answer
        self._marks = Marks(answer)
        self._bookmarks = 0
        self._style()

    def write(self) -> None:
        """Write all parts in order."""
        answer = self._answer
        self.document.add_heading(_line(answer.question), 0)
        self._written()
        for section in answer.review.sections if answer.review else ():
            self.document.add_heading(_line(section.title), 1)
            self._prose(section.sentences)
        if answer.conflicts:
            self.document.add_heading("Where the sources disagree", 1)
        for conflict in answer.conflicts:
            self._conflict(conflict)
        if answer.review and answer.review.table:
            self._table(answer.review.table)
        if answer.bibliography:
            self.document.add_heading("Sources", 1)
        for number, paper in enumerate(answer.bibliography, start=1):
            self._source(number, paper)
        self._about()

    def _style(self) -> None:
        known = self.document.core_properties
        known.title, known.author = _line(self._answer.question)[:255], "scholar"
        known.comments, known.created = "", datetime.now(UTC).replace(tzinfo=None)
        styles = self.document.styles
        styles["Normal"].font.size = Pt(11)
        styles["Normal"].paragraph_format.space_after = Pt(7)
        for name, size in (("Title", 22), ("Heading 1", 14), ("Heading 2", 11.5)):
            styles[name].font.size = Pt(size)
            styles[name].font.color.rgb = RGBColor(0x20, 0x1F, 0x1C)

    def _written(self) -> None:
        answer = self._answer
        if answer.outcome is Outcome.NO_EVIDENCE:
            self._line(words.NOTHING_FOUND, bold=True)
        if finding := words.finding(answer):
            self._line(finding, bold=True)
        if answer.sentences and not words.quotes_only(answer):
            self._prose(answer.sentences)
        for premise in answer.premises:
            paragraph = self._line(words.taken_as_given(premise), bold=True)
            self._cite(paragraph, premise.citations)
            paragraph.add_run(".")

    def _prose(self, sentences: Sequence[CitedSentence]) -> None:
        for part in words.paragraphs(sentences):
            paragraph = self.document.add_paragraph()
            for n, sentence in enumerate(part):
                paragraph.add_run(" " if n else "")
                self._sentence(paragraph, sentence)

    def _sentence(self, paragraph: Paragraph, sentence: CitedSentence) -> None:
        text, stop = words.before_stop(_line(sentence.text))
        paragraph.add_run(text)
        self._cite(paragraph, sentence.citations)
        paragraph.add_run(stop)

    def _cite(self, paragraph: Paragraph, citations: Sequence[Citation]) -> None:
        """The marks of `citations` in brackets, each of which leads to its quote."""
        paragraph.add_run(" [")
        for n, mark in enumerate(self._marks.all_of(citations)):
            paragraph.add_run(", " if n else "")
            _link(paragraph, mark, anchor=f"quote_{mark}")
        paragraph.add_run("]")

    def _conflict(self, conflict: CitedConflict) -> None:
        if about := _line(conflict.about):
            self.document.add_heading(about[:1].upper() + about[1:], 2)
        for side in conflict.sides:
            self._sentence(self.document.add_paragraph(style="List Bullet"), side)

    def _table(self, table: Table) -> None:
        self.document.add_heading("The papers side by side", 1)
        papers = {paper.id: paper for paper in self._answer.bibliography}
        numbers = words.numbers_of(self._answer)
        grid = self.document.add_table(rows=1, cols=1 + len(table.columns), style="Table Grid")
        for cell, name in zip(grid.rows[0].cells, ("Paper", *table.columns), strict=True):
            _small(cell.paragraphs[0], _line(name), bold=True)
        _repeat(grid.rows[0]._tr)
        for row in table.rows:
            first, *others = grid.add_row().cells
            name = f"{numbers[row.paper_id]}  {words.short(papers[row.paper_id])}"
            _small(first.paragraphs[0], _line(name), bold=True)
            for place, cell in zip(others, row.cells, strict=True):
                self._cell(place.paragraphs[0], cell)

    def _cell(self, paragraph: Paragraph, cell: Cell) -> None:
        if cell.citation is None:
            _small(paragraph, words.NOT_SAID, soft=True)
            return
        _small(paragraph, _line(cell.text))
        self._cite(paragraph, [cell.citation])
        linked = [run for link in paragraph.hyperlinks for run in link.runs]
        for run in (*paragraph.runs, *linked):
            run.font.size = Pt(9)

    def _source(self, number: int, paper: Paper) -> None:
        text = _line(words.reference(paper))
        paragraph = self.document.add_paragraph()
        paragraph.paragraph_format.keep_with_next = True
        paragraph.paragraph_format.left_indent = _INDENT
        paragraph.paragraph_format.first_line_indent = -_INDENT
        name, address = _line(words.identifier(paper)), words.address(paper)
        before, there, after = text.partition(name) if name and address else (text, "", "")
        paragraph.add_run(f"{number}\t").bold = True
        paragraph.paragraph_format.tab_stops.add_tab_stop(_INDENT)
        paragraph.add_run(before).bold = True
        if there:
            _link(paragraph, there, address=address)
        paragraph.add_run(after).bold = True
        for citation in self._marks.quotes[paper.id]:
            self._quote(citation)

    def _quote(self, citation: Citation) -> None:
        mark = self._marks.of(citation)
        paragraph = self.document.add_paragraph()
        paragraph.paragraph_format.left_indent = _INDENT
        self._bookmarks += 1
        _bookmark(paragraph, f"quote_{mark}", self._bookmarks)
        place = f"{mark}, p. {citation.page}  " if citation.page else f"{mark}  "
        run = paragraph.add_run(place)
        run.font.color.rgb = _ACCENT
        run.font.size = Pt(9)
        paragraph.add_run(f"“{_line(citation.quote)}”")

    def _about(self) -> None:
        answer = self._answer
        self.document.add_heading("About this answer", 1)
        lines = [words.looked_at(answer), words.searched_for(answer)]
        lines += [words.not_quoted(answer.coverage), *map(words.juror, answer.verdicts)]
        lines += [*answer.notes, words.cost(answer.usage)]
        for line in filter(None, map(_line, lines)):
            text = line if line.endswith((".", "!", "?")) else f"{line}."
            paragraph = self.document.add_paragraph(style="List Bullet")
            _small(paragraph, text[:1].upper() + text[1:])

    def _line(self, text: str, *, bold: bool = False) -> Paragraph:
        paragraph = self.document.add_paragraph()
        paragraph.add_run(_line(text)).bold = bold
        return paragraph


def _line(text: str) -> str:
    return " ".join(_UNFIT.sub("", plain(text)).split())


def _small(paragraph: Paragraph, text: str, *, bold: bool = False, soft: bool = False) -> None:
    run = paragraph.add_run(text)
    run.bold, run.italic, run.font.size = bold, soft, Pt(9)
    if soft:
        run.font.color.rgb = _SOFT
    paragraph.paragraph_format.space_after = Pt(2)


def _link(paragraph: Paragraph, text: str, *, address: str = "", anchor: str = "") -> None:
    """Append `text` as a link to an `address` on the web or to the bookmark `anchor`."""
    link = OxmlElement("w:hyperlink")
    if address:
        known = paragraph.part.relate_to(address, RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
        link.set(qn("r:id"), known)
    else:
        link.set(qn("w:anchor"), anchor)
    run = paragraph.add_run(text)
    run.font.color.rgb = _ACCENT
    run.font.underline = bool(address)
    link.append(run._r)
    paragraph._p.append(link)


def _bookmark(paragraph: Paragraph, name: str, number: int) -> None:
    """Let `paragraph` be found by `name`; `number` is one that no other bookmark has."""
    for tag in ("w:bookmarkStart", "w:bookmarkEnd"):
        element = OxmlElement(tag)
        element.set(qn("w:id"), str(number))
        if tag == "w:bookmarkStart":
            element.set(qn("w:name"), name)
        paragraph._p.append(element)


def _repeat(row: Any) -> None:
    """Let a row of a table stand at the head of every page."""
    properties = row.get_or_add_trPr()
    properties.append(OxmlElement("w:tblHeader"))
