"""Ideas, or the proposal that works one out, as an HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from scholar.report import idea_words, words
from scholar.report.dossier import Dossier
from scholar.report.frame import Block, Mark, Page, Quote, spent
from scholar.text import plain_line
from scholar.values import Answer, Idea, IdeaNovelty, Nearest, Outcome

BAR = 100
"""How wide the drawing of a score is, in its own units; an even chance is its middle."""
_OUTCOMES = {
    Outcome.ANSWERED: "All checked against prior work",
    Outcome.PARTIAL: "Not all that was asked for",
}
_WORKED_OUT = {Outcome.ANSWERED: "Worked out", Outcome.PARTIAL: "Worked out in part"}


@dataclass(frozen=True, slots=True)
class _Score:
    """A score from 0 to 1 with its interval, in units of BAR; `said` is all of it in words."""

    place: str
    at: float
    low: float
    wide: float
    said: str


@dataclass(frozen=True, slots=True)
class _Near:
    """A quote of prior work and how the idea compares to it, as pairs of a name and a text."""

    quote: Quote
    marks: tuple[Mark, ...]
    compared: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Idea:
    """An idea as the page shows it, under its `anchor`."""

    anchor: str
    id: str
    title: str
    verdict: IdeaNovelty
    told: tuple[str, ...]
    score: _Score | None
    summary: str
    fields: tuple[tuple[str, str], ...]
    grounds: tuple[Block, ...]
    grew_from: tuple[Mark, ...]
    roots: tuple[Quote, ...]
    nearest: tuple[_Near, ...]
    unchecked: str
    listed: tuple[str, ...]


class IdeasPage(Page):
    """The ideas of a run, or its proposal."""

    def __init__(self, dossier: Dossier) -> None:
        answer = dossier.answer
        kind = "proposal" if answer.proposal else "ideas"
        title = answer.ideas[0].title if answer.proposal else answer.question
        super().__init__(dossier, kind=kind, title=title)
        outcomes = _WORKED_OUT if answer.proposal else _OUTCOMES
        self.outcome = outcomes.get(answer.outcome, self.outcome)
        self.facts = list(_facts(answer))
        listed = () if answer.proposal else answer.ideas
        self.ideas = [self._idea(f"idea-{n}", idea) for n, idea in enumerate(listed, start=1)]
        self.why = answer.notes[:1] if answer.outcome is not Outcome.ANSWERED else ()
        self.beside = answer.notes[len(self.why) :]
        self.not_kept = list(map(plain_line, idea_words.not_kept(answer, dossier.events)))
        self.footer = list(map(plain_line, idea_words.footer(answer)))

    def _idea(self, anchor: str, idea: Idea) -> _Idea:
        novelty = idea.novelty
        # In print the nearest stand under their idea, so they are no notes of anything.
        nearest = tuple(map(self._near, novelty.nearest if novelty else ()))
        return _Idea(
            anchor,
            plain_line(idea.id),
            plain_line(idea.title),
            idea_words.verdict(idea),
            tuple(idea_words.told(idea, self.answer)),
            _score(idea, self.answer),
            plain_line(idea.summary),
            tuple((name, plain_line(text)) for name, text in idea_words.fields(idea)),
            tuple(self.prose(idea.grounds)) if idea.grounds else (),
            self.marks(idea.roots),
            self.notes(idea.roots),
            nearest,
            plain_line(novelty.why) if novelty else "",
            tuple(map(plain_line, novelty.listed)) if novelty else (),
        )

    def _near(self, near: Nearest) -> _Near:
        self.notes([near.citation])
        compared = ((name, plain_line(text)) for name, text in idea_words.compared(near))
        return _Near(self._quotes[near.citation], self.marks([near.citation]), tuple(compared))


def _score(idea: Idea, answer: Answer) -> _Score | None:
    if (standing := idea.standing) is None:
        return None
    low, at, high = (
        round(BAR * min(max(value, 0.0), 1.0), 1)
        for value in (standing.low, standing.score, standing.high)
    )
    place = idea_words.place(idea, answer)
    return _Score(place, at, low, max(1.0, round(high - low, 1)), idea_words.standing(idea, answer))


def _facts(answer: Answer) -> Iterator[str]:
    """What there is, in a few words each."""
    if answer.proposal:
        yield from idea_words.told(answer.ideas[0], answer)[:1]
    else:
        yield words.count(len(answer.ideas), "idea")
        counted = Counter(map(idea_words.verdict, answer.ideas))
        yield ", ".join(f"{n} {verdict}" for verdict, n in counted.items())
    yield words.looked_at(answer)
    yield from spent(answer.usage)
