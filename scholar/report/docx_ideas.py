"""Ideas, or the proposal that works one out, as a Word document. Loads python-docx."""

from __future__ import annotations

from scholar.report import idea_words, words
from scholar.report.dossier import Dossier
from scholar.report.word import Writer, fit, small
from scholar.values import Idea, Nearest


class IdeasWriter(Writer):
    """The ideas of a run, or its proposal."""

    def __init__(self, dossier: Dossier) -> None:
        answer = dossier.answer
        title = answer.ideas[0].title if answer.proposal else f"Ideas: {answer.question}"
        super().__init__(answer, title)
        self._not_kept = idea_words.not_kept(answer, dossier.events)

    def written(self) -> bytes:
        """All parts in order."""
        if self.answer.proposal:
            self._proposal()
        else:
            self._ideas()
        self.sources()
        lines = [words.looked_at(self.answer), *self.answer.notes, *idea_words.footer(self.answer)]
        lines += [f"Proposed on the way, not kept by that title: {line}" for line in self._not_kept]
        self.about("About this", lines)
        return self.saved()

    def _proposal(self) -> None:
        self._soft(f"A proposal on: {self.answer.question}")
        for part in self.answer.proposal:
            self.heading(part.title)
            self.prose(part.statements)

    def _ideas(self) -> None:
        if len(self.answer.ideas) > 1:
            self._at_a_glance()
        for idea in self.answer.ideas:
            self._idea(idea)

    def _at_a_glance(self) -> None:
        grid = self.table("Idea", "Novelty", "Jury")
        for idea in self.answer.ideas:
            novelty = idea_words.VERDICTS[idea_words.verdict(idea)]
            standing = idea_words.standing(idea, self.answer) or "not ranked"
            cells = (f"{idea.id}  {idea.title}", novelty, standing)
            for place, text in zip(grid.add_row().cells, cells, strict=True):
                small(place.paragraphs[0], fit(text))

    def _idea(self, idea: Idea) -> None:
        self.heading(f"{idea.id}. {idea.title}")
        self._soft(" · ".join(idea_words.told(idea, self.answer)))
        self.line(idea.summary)
        for name, text in idea_words.fields(idea):
            paragraph = self.document.add_paragraph(style="List Bullet")
            paragraph.add_run(f"{name}. ").bold = True
            paragraph.add_run(fit(text))
        if idea.grounds:
            self.heading("What papers say", 2)
            self.prose(idea.grounds)
        if idea.roots:
            paragraph = self.line("Grew from")
            self.cite(paragraph, idea.roots)
            paragraph.add_run(".")
        self._prior(idea)

    def _prior(self, idea: Idea) -> None:
        if (novelty := idea.novelty) is None:
            return
        if novelty.nearest:
            self.heading("Nearest prior work", 2)
        for near in novelty.nearest:
            self._near(near)
        if novelty.why:
            self._soft(f"Novelty not checked: {novelty.why}")
        if novelty.listed:
            self.line(f"Listed and not read: {'; '.join(novelty.listed)}")

    def _near(self, near: Nearest) -> None:
        paragraph = self.document.add_paragraph(style="List Bullet")
        paragraph.add_run(f"“{fit(near.citation.quote)}”")
        self.cite(paragraph, [near.citation])
        for name, text in idea_words.compared(near):
            paragraph.add_run(f" {name}: ").bold = True
            paragraph.add_run(fit(text))

    def _soft(self, text: str) -> None:
        small(self.document.add_paragraph(), fit(text), soft=True)
