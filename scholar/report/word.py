"""What every Word document has in common. Loads python-docx, so it is imported only where one is
written.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Pt, RGBColor

from scholar.report import words
from scholar.report.marks import Marks
from scholar.text import plain_line
from scholar.values import Answer, Citation, CitedSentence, Paper, Statement

if TYPE_CHECKING:
    from docx.text.paragraph import Paragraph

Cited = CitedSentence | Statement

_UNFIT = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no place for."""
_ACCENT = RGBColor(0x0B, 0x5D, 0x6B)
_SOFT = RGBColor(0x5F, 0x5B, 0x52)
_INDENT = Pt(22)


class Writer:
    """Fills a document with an answer under a `title`; a kind of answer adds what it alone has.

    A mark in the text leads to its quote among the sources, an identifier to the paper on the web.
    """

    def __init__(self, answer: Answer, title: str) -> None:
        self.document = docx.Document()
        self.answer = answer
        self.title = fit(title)
        self.marks = Marks(answer)
        self._bookmarks = 0
        self._style()
        self.document.add_heading(self.title, 0)

    def saved(self) -> bytes:
        """The document as a file has it."""
        file = io.BytesIO()
        self.document.save(file)
        return file.getvalue()

    def heading(self, text: str, level: int = 1) -> None:
        """Append a heading of a `level` from 1."""
        self.document.add_heading(fit(text), level)

    def line(self, text: str, *, bold: bool = False) -> Paragraph:
        """Append a paragraph."""
        paragraph = self.document.add_paragraph()
        paragraph.add_run(fit(text)).bold = bold
        return paragraph

    def prose(self, sentences: Sequence[Cited]) -> None:
        """Append `sentences` in paragraphs of a length that can be read."""
        for part in words.paragraphs(sentences):
            paragraph = self.document.add_paragraph()
            for n, sentence in enumerate(part):
                paragraph.add_run(" " if n else "")
                self.sentence(paragraph, sentence)

    def sentence(self, paragraph: Paragraph, sentence: Cited) -> None:
        """Append a sentence, the marks of its quotes before its full stop."""
        text, stop = words.before_stop(fit(sentence.text))
        paragraph.add_run(text)
        self.cite(paragraph, sentence.citations)
        paragraph.add_run(stop)

    def cite(self, paragraph: Paragraph, citations: Sequence[Citation]) -> None:
        """Append the marks of `citations` in brackets, each of which leads to its quote."""
        if not citations:
            return
        paragraph.add_run(" [")
        for n, mark in enumerate(self.marks.all_of(citations)):
            paragraph.add_run(", " if n else "")
            _link(paragraph, mark, anchor=f"quote_{mark}")
        paragraph.add_run("]")

    def sources(self) -> None:
        """Append the papers with their quotes."""
        if self.answer.bibliography:
            self.heading("Sources")
        for number, paper in enumerate(self.answer.bibliography, start=1):
            self._source(number, paper)

    def about(self, heading: str, lines: Iterable[str]) -> None:
        """Append what must be known beside the text, as a list of sentences."""
        self.heading(heading)
        for line in filter(None, map(fit, lines)):
            text = line if line.endswith((".", "!", "?")) else f"{line}."
            paragraph = self.document.add_paragraph(style="List Bullet")
            small(paragraph, text[:1].upper() + text[1:])

    def table(self, *heads: str) -> Any:
        """Append a table whose first row, of `heads`, stands at the head of every page."""
        grid = self.document.add_table(rows=1, cols=len(heads), style="Table Grid")
        for cell, head in zip(grid.rows[0].cells, heads, strict=True):
            small(cell.paragraphs[0], fit(head), bold=True)
        properties = grid.rows[0]._tr.get_or_add_trPr()
        properties.append(OxmlElement("w:tblHeader"))
        return grid

    def _style(self) -> None:
        known = self.document.core_properties
        known.title, known.author = self.title[:255], "scholar"
        known.comments, known.created = "", datetime.now(UTC).replace(tzinfo=None)
        styles = self.document.styles
        styles["Normal"].font.size = Pt(11)
        styles["Normal"].paragraph_format.space_after = Pt(7)
        for name, size in (("Title", 22), ("Heading 1", 14), ("Heading 2", 11.5)):
            styles[name].font.size = Pt(size)
            styles[name].font.color.rgb = RGBColor(0x20, 0x1F, 0x1C)

    def _source(self, number: int, paper: Paper) -> None:
        text = fit(words.reference(paper))
        paragraph = self.document.add_paragraph()
        paragraph.paragraph_format.keep_with_next = True
        paragraph.paragraph_format.left_indent = _INDENT
        paragraph.paragraph_format.first_line_indent = -_INDENT
        name, address = fit(words.identifier(paper)), words.address(paper)
        before, there, after = text.partition(name) if name and address else (text, "", "")
        paragraph.add_run(f"{number}\t").bold = True
        paragraph.paragraph_format.tab_stops.add_tab_stop(_INDENT)
        paragraph.add_run(before).bold = True
        if there:
            _link(paragraph, there, address=address)
        paragraph.add_run(after).bold = True
        for citation in self.marks.quotes[paper.id]:
            self._quote(citation)

    def _quote(self, citation: Citation) -> None:
        mark = self.marks.of(citation)
        paragraph = self.document.add_paragraph()
        paragraph.paragraph_format.left_indent = _INDENT
        self._bookmarks += 1
        _bookmark(paragraph, f"quote_{mark}", self._bookmarks)
        place = f"{mark}, p. {citation.page}  " if citation.page else f"{mark}  "
        run = paragraph.add_run(place)
        run.font.color.rgb = _ACCENT
        run.font.size = Pt(9)
        paragraph.add_run(f"“{fit(citation.quote)}”")


def fit(text: str) -> str:
    """`text` on one line, without what XML has no place for."""
    return plain_line(_UNFIT.sub("", text))


def small(paragraph: Paragraph, text: str, *, bold: bool = False, soft: bool = False) -> None:
    """Append `text` in small letters; `soft` is what is less than the text about it."""
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
