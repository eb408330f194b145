"""What the answers to a set are worth: measures from stored rows, so that none needs a new run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scholar.evaluation import metrics
from scholar.evaluation.metrics import Cited, Estimate, Judged, Part
from scholar.evaluation.rows import Row
from scholar.evaluation.sets import Item, Kind
from scholar.values import Outcome

_WHOLE = frozenset((Outcome.ANSWERED, Outcome.PARTIAL, Outcome.CONFLICTING, Outcome.NO_EVIDENCE))
"""Outcomes of runs that were not cut short."""


@dataclass(frozen=True, slots=True)
class Given:
    """What was answered to an item. `missing` says what of the question the answer left open.

    Quotes that were shown because no sentence stood are no answer, so they are left out.
    """

    outcome: Outcome
    sentences: tuple[Cited, ...]
    conflicts: tuple[tuple[str, tuple[Cited, ...]], ...]
    stance: str | None
    missing: str
    seconds: float

    @classmethod
    def of(cls, row: Row) -> Given:
        """From a stored row."""
        answer = row["answer"]
        written = row["written"]
        titles = {paper["paper_id"]: paper["title"] for paper in answer["bibliography"]}

        def cited(parts: Iterable[Row]) -> tuple[Cited, ...]:
            return tuple(
                Cited(
                    part["text"],
                    tuple((titles.get(c["paper_id"], ""), c["quote"]) for c in part["citations"]),
                )
                for part in parts
            )

        return cls(
            outcome=Outcome(answer["outcome"]),
            sentences=cited(answer["sentences"] if written else ()),
            conflicts=tuple((c["about"], cited(c["sides"])) for c in answer["conflicts"]),
            stance=answer["stance"],
            missing=row["missing"],
            seconds=answer["usage"]["seconds"],
        )

    @property
    def stated(self) -> tuple[Cited, ...]:
        """All that was published with citations, the sides of conflicts last."""
        return (*self.sentences, *(side for _, sides in self.conflicts for side in sides))

    @property
    def lines(self) -> list[str]:
        """The answer as a reader sees it, without its citations."""
        lines = [one.text for one in self.sentences]
        for about, sides in self.conflicts:
            lines += [f"The sources disagree on this: {about}", *(f"- {s.text}" for s in sides)]
        return lines

    @property
    def text(self) -> str:
        """All that was published, in one."""
        return " ".join(one.text for one in self.stated)

    @property
    def answered(self) -> bool:
        """Whether it claims to answer. An answer abstains that has nothing to say, that finds the
        papers to decide nothing, or that says what of the question they leave open.
        """
        if self.outcome not in _WHOLE or not self.stated:
            return False
        return not self.missing and self.stance != "not_enough"

    @property
    def abstained(self) -> bool:
        """Whether it says that it does not answer; what broke off does neither."""
        return self.outcome in _WHOLE and not self.answered


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge found of an answer: of each stated sentence, and which answers it reports."""

    sentences: tuple[Judged, ...] = ()
    reported: tuple[bool, ...] = ()

    @classmethod
    def of(cls, row: Row) -> Judgement:
        """From a stored row."""
        judged = (Judged(one["entailed"], tuple(one["precise"])) for one in row["sentences"])
        return cls(tuple(judged), tuple(row["reported"]))


@dataclass(frozen=True, slots=True)
class Done:
    """An item with what came of it; `calls` are those for its answer, all tries included."""

    item: Item
    given: Given
    calls: Sequence[Row] = ()
    judgement: Judgement | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of a report: what it is called in JSON and to people, and what an item adds to it.

    The item adds nothing where `part` gives None.
    """

    name: str
    title: str
    part: Callable[[Done], tuple[float, float] | None]
    share: bool = True


def score(done: Sequence[Done], measures: Iterable[Measure], seed: int) -> dict[str, Estimate]:
    """Each of `measures` over `done`, with its interval."""
    return {
        measure.name: metrics.estimated(
            [
                Part(one.item.group, *part)
                for one in done
                if (part := measure.part(one)) is not None
            ],
            seed,
            share=measure.share,
        )
        for measure in measures
    }


def _answers(done: Done) -> tuple[str, ...]:
    return done.item.answers[0] if done.item.answers else ()


def _first(done: Done) -> str:
    """The sentence that has to answer the question."""
    return next((one.text for one in done.given.stated), "")


def _mean(value: Callable[[Done], float]) -> Callable[[Done], tuple[float, float]]:
    return lambda done: (float(value(done)), 1.0)


def _cited(
    value: Callable[[Sequence[Judged]], float],
) -> Callable[[Done], tuple[float, float] | None]:
    """Over the answers that state anything, as in ALCE."""
    return lambda done: (
        (value(done.judgement.sentences), 1.0)
        if done.judgement and done.judgement.sentences
        else None
    )


def _reported(
    value: Callable[[Sequence[bool]], bool],
) -> Callable[[Done], tuple[float, float] | None]:
    return lambda done: (float(value(done.judgement.reported)), 1.0) if done.judgement else None


def _covered(done: Done) -> list[bool]:
    return [metrics.covers(done.given.text, forms) for forms in done.item.answers]


def _right(done: Done) -> bool:
    """Whether an answer, or the stance on a claim, is the one that should be given."""
    if done.item.stance is not None:
        return done.given.stance == done.item.stance
    return done.item.answerable and metrics.covers(done.given.text, _answers(done))


def _among(
    whole: Callable[[Done], bool], right: Callable[[Done], bool]
) -> Callable[[Done], tuple[float, float]]:
    """The share of `right` among those of which `whole` holds."""
    return lambda done: (float(whole(done) and right(done)), float(whole(done)))


def _abstained(done: Done) -> bool:
    return done.given.abstained


def _unanswerable(done: Done) -> bool:
    return not done.item.answerable


def _harmonic(done: Done) -> tuple[float, float]:
    said, due = _abstained(done), _unanswerable(done)
    return 2.0 * (said and due), float(said) + float(due)


_CITATIONS = (
    Measure("citation_recall", "citation recall", _cited(metrics.citation_recall)),
    Measure("citation_precision", "citation precision", _cited(metrics.citation_precision)),
)
MEASURES: Mapping[Kind, tuple[Measure, ...]] = {
    "answer": (
        Measure(
            "exact_match",
            "exact match, 1st sentence",
            _mean(lambda d: metrics.exact_match(_first(d), _answers(d))),
        ),
        Measure("f1", "F1, 1st sentence", _mean(lambda d: metrics.f1(_first(d), _answers(d)))),
        Measure("cover_match", "answer in the text", _mean(lambda d: all(_covered(d)))),
        Measure("answered", "claims to answer", _mean(lambda d: d.given.answered)),
        *_CITATIONS,
    ),
    "conflict": (
        Measure("both", "both answers reported", _reported(all)),
        Measure("either", "at least one reported", _reported(any)),
        Measure(
            "conflicting",
            "shown as a conflict",
            _mean(lambda d: d.given.outcome is Outcome.CONFLICTING),
        ),
        Measure("both_words", "both, word for word", _mean(lambda d: all(_covered(d)))),
        *_CITATIONS,
    ),
    "abstain": (
        Measure("abstention_precision", "abstention precision", _among(_abstained, _unanswerable)),
        Measure("abstention_recall", "abstention recall", _among(_unanswerable, _abstained)),
        Measure("abstention_f1", "abstention F1", _harmonic),
        Measure(
            "coverage",
            "coverage of the answerable",
            _among(lambda d: d.item.answerable, lambda d: d.given.answered),
        ),
        Measure("accuracy", "right where answered", _among(lambda d: d.given.answered, _right)),
    ),
}


def _tokens(call: Row) -> int:
    return int(call["input_tokens"] + call["output_tokens"])


def _dollars(done: Done) -> tuple[float, float] | None:
    prices = [call["dollars"] for call in done.calls]
    return None if None in prices else (sum(prices), 1.0)


COSTS = (
    Measure("calls", "calls", _mean(lambda d: len(d.calls)), share=False),
    Measure("tokens", "tokens", _mean(lambda d: sum(map(_tokens, d.calls))), share=False),
    Measure("dollars", "dollars", _dollars, share=False),
    Measure("seconds", "seconds", _mean(lambda d: d.given.seconds), share=False),
)
"""What a question takes, on average."""


@dataclass(frozen=True, slots=True)
class Report:
    """The scores of one set by one preset, with their intervals and what they cost per question.

    `outcomes` counts how the runs ended; those that `failed` count as not answered. `unjudged` are
    answers that the `judge` could not judge; they count for nothing in what it decides. `judging`
    sums what the judge took.
    """

    kind: Kind
    name: str
    preset: str
    models: Mapping[str, str]
    judge: str
    items: int
    groups: int
    scores: Mapping[str, Estimate]
    costs: Mapping[str, Estimate]
    outcomes: Mapping[str, int]
    failed: int
    unjudged: int
    judging: Mapping[str, float | int | None]
    folder: str
    seed: int
    documents: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "kind": self.kind,
            "set": self.name,
            "preset": self.preset,
            "models": dict(self.models),
            "judge": self.judge,
            "questions": self.groups,
            "runs": self.items,
            "scores": {name: rounded(one) for name, one in self.scores.items()},
            "cost": {name: rounded(one, 6) for name, one in self.costs.items()},
            "judging": dict(self.judging),
            "outcomes": dict(self.outcomes),
            "failed": self.failed,
            "unjudged": self.unjudged,
            "documents": dict(self.documents),
            "seed": self.seed,
            "folder": self.folder,
        }


def rounded(estimate: Estimate, digits: int = 4) -> dict[str, float | int | None]:
    def short(value: float | None) -> float | None:
        return None if value is None else round(value, digits)

    return {
        "value": short(estimate.value),
        "low": short(estimate.low),
        "high": short(estimate.high),
        "of": estimate.of,
    }


def spent(calls: Iterable[Row]) -> dict[str, float | int | None]:
    """Calls, tokens and dollars in all; dollars are None where a price is not known."""
    calls = list(calls)
    prices = [call["dollars"] for call in calls]
    known: Iterator[float] = (price for price in prices if price is not None)
    return {
        "calls": len(calls),
        "tokens": sum(map(_tokens, calls)),
        "dollars": None if None in prices else round(sum(known), 6),
    }
