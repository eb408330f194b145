"""The measures, as pure functions: agreement with known answers, citations, intervals."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 5_000
"""Of a bootstrap: the ends of a 95 % interval then move by a few thousandths from seed to seed."""
CONFIDENCE = 0.95

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """`text` as SQuAD compares it: small letters, no punctuation, no articles, single spaces.

    (Rajpurkar et al. 2016, section 6.1.)
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(text: str, answers: Iterable[str]) -> bool:
    """Whether `text` is one of `answers`."""
    return any(normalised(text) == normalised(answer) for answer in answers)


def f1(text: str, answers: Iterable[str]) -> float:
    """The harmonic mean of precision and recall of words, for the answer that fits best."""
    return max((_f1(normalised(text).split(), normalised(a).split()) for a in answers), default=0.0)


def covers(text: str, answers: Iterable[str]) -> bool:
    """Whether one of `answers` stands in `text`, word for word, whatever stands around it."""
    padded = f" {normalised(text)} "
    return any((gold := normalised(answer)) and f" {gold} " in padded for answer in answers)


def _f1(said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    common = (Counter(said) & Counter(gold)).total()
    return 2 * common / (len(said) + len(gold))


@dataclass(frozen=True, slots=True)
class Cited:
    """A sentence as published, and what it cites: title and text of each."""

    text: str
    citations: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether a sentence's citations entail it together, and which of them are needed or enough."""

    entailed: bool
    precise: tuple[bool, ...]


Entails = Callable[[Sequence[tuple[str, str]], str], Awaitable[bool]]
"""Whether texts, each with its title, entail a statement."""


async def judge(sentence: Cited, entails: Entails) -> Judged:
    """ALCE's judgement of one sentence (Gao et al. 2023, section 3): its recall is 1 if what it
    cites entails it; a citation is precise if the sentence has recall, and the citation entails it
    alone or the others do not without it.
    """
    cited = sentence.citations
    if not cited or not await entails(cited, sentence.text):
        return Judged(False, (False,) * len(cited))
    if len(cited) == 1:
        return Judged(True, (True,))
    precise = [
        await entails([one], sentence.text)
        or not await entails([*cited[:at], *cited[at + 1 :]], sentence.text)
        for at, one in enumerate(cited)
    ]
    return Judged(True, tuple(precise))


def citation_recall(sentences: Sequence[Judged]) -> float:
    """The share of an answer's sentences that their citations entail."""
    return sum(one.entailed for one in sentences) / len(sentences)


def citation_precision(sentences: Sequence[Judged]) -> float:
    """The share of an answer's citations that are precise; 0 for an answer without any."""
    votes = [vote for one in sentences for vote in one.precise]
    return sum(votes) / len(votes) if votes else 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """What one item adds to a measure, which is the sum of `gained` over the sum of `possible`."""

    group: str
    gained: float
    possible: float = 1.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure with the ends of its interval, over `of` items; None where that is not known."""

    value: float | None
    low: float | None
    high: float | None
    of: int


def estimated(parts: Sequence[Part], seed: int, *, share: bool = True) -> Estimate:
    """The measure and its 95 % interval by the percentile bootstrap over groups.

    Where every item of a `share` is all right or all wrong there is nothing to resample; then the
    exact binomial interval (Clopper and Pearson 1934) of so many groups is given.
    """
    sums: dict[str, np.ndarray] = {}
    for part in parts:
        both = np.array([part.gained, part.possible])
        sums[part.group] = sums.get(part.group, np.zeros(2)) + both
    table = np.array([both for both in sums.values() if both[1] > 0]).reshape(-1, 2)
    of = sum(part.possible > 0 for part in parts)
    if not len(table):
        return Estimate(None, None, None, of)
    value = _ratio(table.sum(axis=0))
    if share and value in (0.0, 1.0):
        far = ((1 - CONFIDENCE) / 2) ** (1 / len(table))
        low, high = (far, 1.0) if value else (0.0, 1 - far)
        return Estimate(value, low, high, of)
    if len(sums) < 2:
        return Estimate(value, None, None, of)
    low, high = _bootstrap(np.array(list(sums.values())), seed)
    return Estimate(value, low, high, of)


def _bootstrap(table: np.ndarray, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), size=RESAMPLES)
    drawn = counts @ table
    drawn = drawn[drawn[:, 1] > 0]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [tail, 100 - tail])
    return float(low), float(high)


def _ratio(sums: np.ndarray) -> float:
    return float(sums[0] / sums[1])
