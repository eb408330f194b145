"""How well the tournament recovers a known order from jurors that err.

Eight ideas of known quality. Of three jurors the third always prefers what stands first; the others
give the wrong answer in 20 % of all cases, and in 10 % say "first" whatever they think. A
comparison is one juror that is shown one pair in one order: one call. Either each of its four
answers errs for itself, or the whole reply as one, which is the harder case by far. In between,
each idea has four different qualities, of which the mean is to be found.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from scipy.stats import kendalltau

from scholar.agents.tournament import BRIEFS, CRITERIA, Ranking, enough, rank
from scholar.context import Context
from scholar.settings import Settings

IDEAS = 8
COMPARISONS = 40
NOISE = 0.2
BIAS = 0.1
EVERY_PAIR = 2 * len(BRIEFS) * math.comb(IDEAS, 2)
"""Calls in which each pair is shown to each juror both ways round: 28 comparisons of pairs."""
SEEDS = 100
ALWAYS_FIRST = BRIEFS["sceptic"]
WORST = 0.1
"""The share of tournaments that do worse than the worst decile."""
KINDS = {"answers": "each answer", "own": "each, of 4 qualities", "reply": "whole replies"}


@dataclass(frozen=True)
class Judged:
    """An idea and how good it really is, by each criterion."""

    id: str
    qualities: tuple[float, ...]

    title = "An idea"

    @property
    def text(self) -> str:
        """Its id, by which the jurors know it."""
        return self.id


class Jurors:
    """Stands where a run's context stands, and judges as jurors would that know the qualities."""

    def __init__(self, ideas: list[Judged], seed: int, kind: str) -> None:
        self.settings = Settings()
        self._qualities = {idea.id: idea.qualities for idea in ideas}
        self._random = random.Random(seed)
        self._kind = kind

    async def ask(self, prompt: Any, reply: Callable[..., Any], model: None = None) -> Any:
        """What a juror says of a pair."""
        ids = [line for line in prompt.user.splitlines() if line in self._qualities]
        first, second = (self._qualities[id] for id in ids)
        always = ALWAYS_FIRST in prompt.user
        once = self._luck()
        said = {}
        for name, one, other in zip(CRITERIA, first, second, strict=True):
            errs, leans = once if self._kind == "reply" else self._luck()
            better = (one > other) is not errs
            said[name] = "first" if always or leans or better else "second"
        return reply(why="", **said)

    def _luck(self) -> tuple[bool, bool]:
        return self._random.random() < NOISE, self._random.random() < BIAS


def ideas_of(seed: int, kind: str) -> list[Judged]:
    """Ideas with qualities drawn by `seed`."""
    chance = random.Random(seed)
    ranks = chance.sample(range(IDEAS), IDEAS)
    if kind != "own":
        return [Judged(f"idea-{n}", (float(rank),) * 4) for n, rank in enumerate(ranks)]
    return [
        Judged(f"idea-{n}", tuple(rank + chance.gauss(0, IDEAS / 4) for _ in CRITERIA))
        for n, rank in enumerate(ranks)
    ]


@dataclass(frozen=True)
class Result:
    """Kendall's tau; how many of the pairs were told apart, and how many of those wrongly."""

    tau: float
    apart: int
    wrong: int


def result_of(ideas: list[Judged], ranking: Ranking) -> Result:
    """How the ranking compares with the truth."""
    truth = [statistics.fmean(idea.qualities) for idea in ideas]
    stands = [ranking.standings[idea.id] for idea in ideas]
    tau = float(kendalltau(truth, [one.score for one in stands]).statistic)
    pairs = [
        (truth[a] - truth[b], stands[b].place - stands[a].place)
        for a in range(len(ideas))
        for b in range(a)
        if stands[a].place != stands[b].place
    ]
    wrong = sum((true > 0) is not (told > 0) for true, told in pairs)
    return Result(0.0 if math.isnan(tau) else tau, len(pairs), wrong)


async def tournament(seed: int, kind: str, comparisons: int) -> Result:
    """One tournament of jurors whose luck is drawn by `seed`."""
    ideas = ideas_of(seed, kind)
    jurors = cast(Context, Jurors(ideas, seed, kind))
    ranking = await rank(ideas, f"Question {seed}", jurors, most=comparisons)
    assert ranking.comparisons <= comparisons
    return result_of(ideas, ranking)


def least_calls(tau: float) -> float:
    """Calls below which no method reaches `tau` where whole replies err, by information theory.

    An order known to `tau` on average takes log n! bits less the entropy of the Mallows
    distribution of so many inversions (the rate-distortion function); a call brings at most the
    capacity of what comes through noise and bias. The juror that says nothing is not counted.
    """
    inversions = (1 - tau) / 2 * math.comb(IDEAS, 2)
    counts = [1]
    for size in range(2, IDEAS + 1):
        padded = [*[0] * (size - 1), *counts, *[0] * (size - 1)]
        counts = [sum(padded[at : at + size]) for at in range(len(counts) + size - 1)]
    low, high = 1e-6, 1 - 1e-6
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _mean(counts, middle) < inversions else (low, middle)
    weights = [count * low**n for n, count in enumerate(counts)]
    entropy = math.log2(sum(weights)) - _mean(counts, low) * math.log2(low)
    return (math.log2(math.factorial(IDEAS)) - entropy) / _capacity()


def _mean(counts: list[int], base: float) -> float:
    weights = [count * base**n for n, count in enumerate(counts)]
    return sum(n * weight for n, weight in enumerate(weights)) / sum(weights)


def _capacity() -> float:
    better, worse = BIAS + (1 - BIAS) * (1 - NOISE), BIAS + (1 - BIAS) * NOISE

    def bits(share: float) -> float:
        mixed = share * better + (1 - share) * worse
        return _entropy(mixed) - share * _entropy(better) - (1 - share) * _entropy(worse)

    return max(bits(share / 200) for share in range(1, 200))


def _entropy(chance: float) -> float:
    return -chance * math.log2(chance) - (1 - chance) * math.log2(1 - chance)


def main() -> None:
    """Print the section."""
    print(f"### Ranking {IDEAS} ideas by a tournament, {SEEDS} simulated juries\n")
    print(f'Each answer is wrong in {NOISE:.0%} of cases, and "first" whatever it should be in')
    print(
        f"{BIAS:.0%}; one juror of three always prefers the first. A comparison is one juror that"
    )
    print(f"is shown one pair in one order: one call. {EVERY_PAIR} of them show each of the")
    print(f"{math.comb(IDEAS, 2)} pairs once to all three jurors, both ways round.\n")
    print("| what errs | comparisons | τ, mean | τ, worst decile | pairs told apart | wrongly |")
    print("|---|---|---|---|---|---|")
    for kind, title in KINDS.items():
        for comparisons in (
            COMPARISONS // 2,
            enough(IDEAS),
            COMPARISONS,
            2 * COMPARISONS,
            EVERY_PAIR,
        ):
            found = [asyncio.run(tournament(seed, kind, comparisons)) for seed in range(SEEDS)]
            taus = sorted(one.tau for one in found)
            apart, wrong = sum(one.apart for one in found), sum(one.wrong for one in found)
            share = apart / (SEEDS * math.comb(IDEAS, 2))
            print(
                f"| {title} | {comparisons} | {statistics.fmean(taus):.2f} | "
                f"{taus[int(WORST * SEEDS)]:.2f} | {share:.0%} | {wrong / max(apart, 1):.0%} |",
                flush=True,
            )
    print("\nWhere whole replies err, no method whatever has a mean τ of 0.8 from fewer than")
    print(f"{least_calls(0.8):.0f} calls of jurors that do look at the ideas.\n")


if __name__ == "__main__":
    main()
