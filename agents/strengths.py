"""How strong things are that were compared two at a time, and whom to compare next. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SPREAD = 1.0
"""Standard deviation of strengths before anything was compared, in log-odds: a weak prior, without
which one that won all would be infinitely strong. 0.7 to 2.5 give the same order.
"""
HABIT = 1.5
"""The same of a judge's liking for what stands first: 82 to 18 is one standard deviation of it."""
WIDTH = 1.96
"""Standard errors to each side of a score: a 95 % interval. Where two of them do not overlap, 4 to
8 % of the pairs are in the wrong order even so, by 24 to 80 votes on 8 things.
"""
AGAIN = 0.3
"""What another meeting of the same two costs, in log-odds: Kendall's tau of 8 things after 40
comparisons is 0.83 by it and at 0.1 to 0.6, but 0.81 at 3, where meetings are spread evenly.
"""
STEPS = 60
"""Of Newton's method at most; it takes about six."""
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Vote:
    """What `judge` said of two things, by their places: `won` is 1 where it preferred the first,
    0 where the second, and anything between where neither wholly.
    """

    first: int
    second: int
    judge: int
    won: float


@dataclass(frozen=True, slots=True)
class Strengths:
    """The strengths of things, in log-odds around 0, and their standard errors."""

    values: Floats
    errors: Floats

    def shares(self) -> Floats:
        """For each, the chance to be preferred to one of average strength."""
        return _logistic(self.values)

    def intervals(self) -> tuple[Floats, Floats]:
        """Ends of the intervals of `shares`, 95 % each."""
        wide = WIDTH * self.errors
        return _logistic(self.values - wide), _logistic(self.values + wide)


def strengths(count: int, judges: int, votes: Sequence[Vote], answers: int = 1) -> Strengths:
    """The strengths of `count` things by the votes of so many judges.

    The model is Bradley and Terry's (1952), with a parameter for each judge's liking for what
    stands first (Davidson and Beaver 1977). So a judge that contradicts itself when the order is
    turned round has called a tie, and one that always prefers the first says nothing at all. The
    most likely strengths under a weak prior are found by Newton's method; the errors are those of
    the normal distribution around them (Laplace).

    Where each vote is the mean of several `answers`, it tells as much as one if they go together,
    and as all if they err apart: how they scatter shows which (Wedderburn 1974, quasi-likelihood).
    """
    design = np.zeros((len(votes), count + judges))
    for row, vote in zip(design, votes, strict=True):
        row[vote.first], row[vote.second], row[count + vote.judge] = 1.0, -1.0, 1.0
    won = np.array([vote.won for vote in votes])
    prior = np.concatenate((np.full(count, SPREAD**-2), np.full(judges, HABIT**-2)))
    guess, worth = _fitted(design, won, prior, 1.0), 1.0
    if answers > 1:
        worth = min(max(1.0 / _dispersion(design, won, guess), 1.0), float(answers))
        guess = _fitted(design, won, prior, worth)
    # Around their mean, of which votes tell nothing.
    centred = np.eye(count) - 1.0 / max(count, 1)
    spread = np.linalg.inv(_curvature(design, guess, prior, worth))[:count, :count]
    errors = np.sqrt(np.diag(centred @ spread @ centred))
    return Strengths(centred @ guess[:count], errors)


def _fitted(design: Floats, won: Floats, prior: Floats, worth: float) -> Floats:
    """The most likely parameters where each vote counts `worth` times."""
    guess = np.zeros(len(prior))
    for _ in range(STEPS):
        slope = worth * design.T @ (won - _logistic(design @ guess)) - prior * guess
        move = np.linalg.solve(_curvature(design, guess, prior, worth), slope)
        largest = float(np.abs(move).max(initial=0.0))
        guess += move * min(1.0, 1.0 / max(largest, _TINY))  # a longer step may overshoot for ever
        if largest < _TINY:
            break
    return guess


def _curvature(design: Floats, guess: Floats, prior: Floats, worth: float) -> Floats:
    chance = _logistic(design @ guess)
    return worth * (design.T * (chance * (1.0 - chance))) @ design + np.diag(prior)


def _dispersion(design: Floats, won: Floats, guess: Floats) -> float:
    """How much votes scatter, by that of votes that are 0 or 1; 1 where there are too few."""
    free = len(won) - np.linalg.matrix_rank(design) if len(won) else 0
    if free <= 0:
        return 1.0
    chance = _logistic(design @ guess)
    return max(float(((won - chance) ** 2 / (chance * (1.0 - chance))).sum() / free), _TINY)


def places(low: Sequence[float], high: Sequence[float]) -> list[int]:
    """The place of each thing by the ends of its interval: one behind all that are surely better.

    Where intervals overlap so that none is surely better, things share a place.
    """
    return [1 + sum(other > high[at] for other in low) for at in range(len(high))]


def pairs(
    values: Sequence[float],
    met: Mapping[frozenset[int], int],
    sat_out: Sequence[int],
    may_meet: Callable[[int, int], bool],
) -> list[tuple[int, int]]:
    """The next round of a Swiss tournament: each thing meets one that is about as strong.

    `met` says how often two have met, and `sat_out` how often each had nobody to meet; of an odd
    number, the weakest of those that sat out least does now. Nobody meets whom it may not.
    """
    free = sorted(range(len(values)), key=lambda at: -values[at])
    if len(free) % 2:
        free.remove(min(reversed(free), key=lambda at: sat_out[at]))
    found = []
    while free:
        one, *others = free
        allowed = [other for other in others if may_meet(one, other)]
        free = others
        if allowed:
            other = min(allowed, key=lambda at: _cost(values, met, one, at))
            found.append((one, other))
            free = [at for at in others if at != other]
    return found


def _cost(
    values: Sequence[float], met: Mapping[frozenset[int], int], one: int, other: int
) -> float:
    return abs(values[one] - values[other]) + AGAIN * met.get(frozenset((one, other)), 0)


def _logistic(values: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-values))
