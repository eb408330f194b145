"""The jury ranks ideas: a Swiss tournament of comparisons, each pair judged both ways round."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal, Protocol

from scholar import prompts
from scholar.agents.evidence import TITLE, room, size
from scholar.agents.strengths import Strengths, Vote, pairs, places, strengths
from scholar.backends.schema import Line, Reply
from scholar.context import Context
from scholar.errors import BudgetSpent, ModelError
from scholar.values import Standing

Better = Literal["first", "second", "same"]
CRITERIA = ("novelty", "feasibility", "excitement", "effectiveness")
"""Each has a score of its own; the score of an idea rests on all four alike."""
BRIEFS = {
    "reviewer": "You review for the leading venue of the field, and ask what of it is new there.",
    "builder": "You would have to carry it out, with the people and machines of one small group.",
    "sceptic": "You look for the step that will fail, and ask what is left of the idea if it does.",
}
"""What the jurors look at: those of one model, with one brief, would all say the same."""
LONGEST = 3_000
"""Characters of an idea that a juror is shown, of each the same."""
FAILURES = 2
"""Comparisons that a juror may fail to judge before it is asked no more."""
BLIND = 2
"""Pairs after which a juror is asked no more that has answered all of them by position. Where one
of three does so, Kendall's tau of 8 ideas after 40 comparisons is 0.84, and 0.80 where it is asked
on.
"""
_WON: dict[Better, float] = {"first": 1.0, "same": 0.5, "second": 0.0}


class Proposal(Protocol):
    """What is compared."""

    @property
    def id(self) -> str:
        """Its own, among those compared."""
        ...

    @property
    def title(self) -> str:
        """A line."""
        ...

    @property
    def text(self) -> str:
        """All of it that jurors are to judge by."""
        ...


class _Compared(Reply):
    why: Line
    novelty: Better
    feasibility: Better
    excitement: Better
    effectiveness: Better


@dataclass(frozen=True, slots=True)
class Ranking:
    """The `standings` by the ids of ideas, best first. `comparisons` counts the times that one
    juror was shown one pair in one order and could be read, which is a call each; it is not
    `complete` where the budget was spent before all were made. `notes` say what is missing.
    """

    standings: dict[str, Standing]
    comparisons: int = 0
    complete: bool = True
    notes: tuple[str, ...] = ()


def enough(count: int) -> int:
    """The comparisons that rank so many ideas roughly: n log n, and an even number."""
    return 2 * math.ceil(count * math.log2(max(count, 1)) / 2)


async def rank(
    ideas: Sequence[Proposal], question: str, context: Context, *, most: int | None = None
) -> Ranking:
    """Rank `ideas` for `question` in at most `most` comparisons, else `enough` of them.

    A pair is shown to a juror in both orders, and counts where both replies can be read. The rounds
    follow one another, all comparisons of a round are made at once; the same ideas and replies
    always make the same rounds. Jurors that fail, or that only look at the order, are asked no
    more. Where the budget is spent, the ranking is made of what is there.
    """
    tournament = _Tournament(ideas, question, context)
    await tournament.play(enough(len(ideas)) if most is None else most)
    return tournament.ranking()


@dataclass(frozen=True, slots=True)
class _Juror:
    name: str
    brief: str
    model: str | None


@dataclass(frozen=True, slots=True)
class _Match:
    one: int
    other: int
    juror: int


class _Tournament:
    """The ideas, who judges them, and what has been said so far."""

    def __init__(self, ideas: Sequence[Proposal], question: str, context: Context) -> None:
        self._ideas = sorted(ideas, key=lambda idea: idea.id)
        # By what is compared, so that a run that is taken up again asks the same again.
        named = "\n".join(idea.id + idea.title for idea in self._ideas)
        random.Random(f"{question}\n{named}").shuffle(self._ideas)
        self._question, self._context = question, context
        self._jurors = _jurors(context)
        self._active = list(range(len(self._jurors)))
        self._votes: dict[str, list[Vote]] = {name: [] for name in CRITERIA}
        self._positions: dict[int, list[Better]] = {}
        self._judged: set[tuple[frozenset[int], int]] = set()
        self._asked: Counter[int] = Counter()
        self._failed: dict[int, list[ModelError]] = {}
        self._met: Counter[frozenset[int]] = Counter()
        self._sat_out = [0] * len(ideas)
        self._comparisons = 0
        self._complete = True
        self._notes: list[str] = []

    async def play(self, most: int) -> None:
        """Round after round, until `most` comparisons are made or nothing is left to ask."""
        left = most // 2
        while matches := self._next_round()[: max(0, left)]:
            left -= len(matches)
            replies = await asyncio.gather(*(self._both_ways(match) for match in matches))
            spent = [self._take(*pair) for pair in zip(matches, replies, strict=True)]
            if any(spent):
                self._complete = False
                self._notes.append(f"The ranking is cut short: {next(filter(None, spent))}")
                break
            self._dismiss()

    def ranking(self) -> Ranking:
        """What follows from all that was said."""
        fitted = self._strengths(self._all_votes(), len(CRITERIA))
        shares = fitted.shares()
        low, high = (list(map(float, ends)) for ends in fitted.intervals())
        by_criterion = {name: self._strengths(v).shares() for name, v in self._votes.items()}
        placed = places(low, high)
        standings = {
            idea.id: Standing(
                placed[at],
                float(shares[at]),
                low[at],
                high[at],
                {name: float(values[at]) for name, values in by_criterion.items()},
            )
            for at, idea in enumerate(self._ideas)
        }
        best_first = dict(sorted(standings.items(), key=lambda one: (-one[1].score, one[0])))
        if not self._comparisons and len(self._ideas) > 1:
            self._notes.append("Nothing was compared, so the ideas are not ranked.")
        return Ranking(best_first, self._comparisons, self._complete, tuple(self._notes))

    def _all_votes(self) -> list[Vote]:
        """The four answers of each comparison as one vote: they are not independent."""
        return [
            Vote(votes[0].first, votes[0].second, votes[0].judge, _mean(v.won for v in votes))
            for votes in zip(*self._votes.values(), strict=True)
        ]

    def _strengths(self, votes: Sequence[Vote], answers: int = 1) -> Strengths:
        return strengths(len(self._ideas), len(self._jurors), votes, answers)

    def _next_round(self) -> list[_Match]:
        """Who meets whom, and before which juror: the one that was asked least, and last one that
        has looked at the order alone so far.
        """
        values = self._strengths(self._all_votes(), len(CRITERIA)).values

        def may_meet(one: int, other: int) -> bool:
            return bool(self._free_for(one, other))

        matches = []
        for one, other in pairs(list(values), self._met, self._sat_out, may_meet):
            juror = min(
                self._free_for(one, other), key=lambda at: (self._is_blind(at), self._asked[at])
            )
            self._asked[juror] += 1
            self._met[frozenset((one, other))] += 1
            self._judged.add((frozenset((one, other)), juror))
            matches.append(_Match(one, other, juror))
        playing = {at for match in matches for at in (match.one, match.other)}
        self._sat_out = [n + (at not in playing) for at, n in enumerate(self._sat_out)]
        return matches

    def _free_for(self, one: int, other: int) -> list[int]:
        """The jurors that may still be asked of two; asked again they would say the same."""
        both = frozenset((one, other))
        return [juror for juror in self._active if (both, juror) not in self._judged]

    def _is_blind(self, juror: int) -> bool:
        """Whether all that a juror has said is "first", or all "second"."""
        return set(self._positions.get(juror, ())) in ({"first"}, {"second"})

    async def _both_ways(self, match: _Match) -> list[_Compared | ModelError | BudgetSpent]:
        orders = ((match.one, match.other), (match.other, match.one))
        return list(await asyncio.gather(*(self._ask(match.juror, *pair) for pair in orders)))

    async def _ask(
        self, juror: int, first: int, second: int
    ) -> _Compared | ModelError | BudgetSpent:
        who = self._jurors[juror]
        known = {"question": self._question, "juror": who.brief}
        longest = min(LONGEST, room(self._context, "compare", **known) // 2 - TITLE)
        pair = [_Shown.of(self._ideas[at], longest) for at in (first, second)]
        prompt = prompts.render("compare", pair=pair, **known)
        try:
            return await self._context.ask(prompt, _Compared, model=who.model)
        except (ModelError, BudgetSpent) as error:
            return error

    def _take(
        self, match: _Match, replies: Sequence[_Compared | ModelError | BudgetSpent]
    ) -> BudgetSpent | None:
        """Enter what was said of a pair both ways round; the error where the budget is spent."""
        for reply in replies:
            if isinstance(reply, BudgetSpent):
                return reply
            if isinstance(reply, ModelError):
                self._failed.setdefault(match.juror, []).append(reply)
                return None
        read = [reply for reply in replies if isinstance(reply, _Compared)]
        orders = ((match.one, match.other), (match.other, match.one))
        for reply, (first, second) in zip(read, orders, strict=True):
            said: dict[str, Better] = reply.model_dump(include=set(CRITERIA))
            self._comparisons += 1
            self._positions.setdefault(match.juror, []).extend(said.values())
            for name in CRITERIA:
                self._votes[name].append(Vote(first, second, match.juror, _WON[said[name]]))
        return None

    def _dismiss(self) -> None:
        """Ask no more of jurors that fail or that answer by position."""
        for juror in list(self._active):
            failed, said = self._failed.get(juror, []), self._positions.get(juror, [])
            name = self._jurors[juror].name
            if len(failed) >= FAILURES:
                self._active.remove(juror)
                self._notes.append(f"The juror '{name}' abstains from the ranking: {failed[-1]}")
            elif len(said) >= 2 * BLIND * len(CRITERIA) and self._is_blind(juror):
                self._active.remove(juror)
                self._notes.append(
                    f"The juror '{name}' always preferred the {said[0]} idea of a pair, in either "
                    "order, and was asked no more."
                )


@dataclass(frozen=True, slots=True)
class _Shown:
    title: str
    text: str

    @classmethod
    def of(cls, idea: Proposal, longest: int) -> _Shown:
        text = idea.text.strip()
        if size(text) > longest:
            text = text.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore") + "…"
        return cls(idea.title[:TITLE], text)


def _jurors(context: Context) -> list[_Juror]:
    """One for each brief; the models that the settings give to jurors take turns."""
    models: list[str | None] = list(dict.fromkeys(context.settings.jury.models.values()))
    count = max(len(BRIEFS), len(models))
    briefs, asked = cycle(BRIEFS.items()), cycle(models or [None])
    named = [(*next(briefs), next(asked)) for _ in range(count)]
    return [_Juror(name, brief, model) for name, brief, model in named]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
