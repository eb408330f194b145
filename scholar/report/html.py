"""An answer as one HTML file that needs nothing else: no network, and no script to be read."""

from __future__ import annotations

from collections.abc import Iterator

from scholar.report import words
from scholar.report.dossier import Dossier
from scholar.report.frame import Page, rendered, spent
from scholar.report.html_ideas import IdeasPage
from scholar.values import Answer, Outcome


def to_html(dossier: Dossier) -> str:
    """The report of `dossier`, an answer or the ideas or the proposal that it is."""
    if words.about_ideas(dossier.answer):
        return rendered("ideas.html", IdeasPage(dossier))
    return rendered("answer.html", _AnswerPage(dossier))


class _AnswerPage(Page):
    """An answer or a review."""

    def __init__(self, dossier: Dossier) -> None:
        answer = dossier.answer
        kind = "review" if answer.review else "answer"
        super().__init__(dossier, kind=kind, title=answer.question)
        self.finding = words.finding(answer)
        self.quotes_only = bool(answer.sentences) and words.quotes_only(answer)
        self.nothing_found = answer.outcome is Outcome.NO_EVIDENCE
        self.facts = list(_facts(answer))


def _facts(answer: Answer) -> Iterator[str]:
    """What the answer rests on, in a few words each."""
    coverage = answer.coverage
    yield f"{coverage.read} of {words.count(coverage.found, 'paper')} quoted"
    if accepted := words.accepted(answer):
        yield accepted
    yield from spent(answer.usage)
