"""What a run is likely to take, before anything is called."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scholar import prompts
from scholar.agents import (
    bridges,
    choosing,
    elaborator,
    evidence,
    ideas,
    jury,
    lessons,
    novelty,
    planner,
    reader,
    reviewer,
    tabulator,
    tournament,
    writer,
)
from scholar.backends import split_model_id
from scholar.backends.forms import CHARS_PER_TOKEN
from scholar.backends.schema import LINE
from scholar.library.passages import WORDS
from scholar.settings import Preset, Role, Settings

Range = tuple[int, int]
"""The least and the most."""

_CHARS_PER_WORD = 7
_LEAST_TEXT = 100
"""Characters of the shortest passages and quotes that a run can work with."""
_QUOTE = 400
"""Characters of a long quote with its title and marks."""
_SENTENCE = 300
"""Characters of a sentence of a review."""
_ROOTS = 9
"""Quotes that an idea grew from: of three thoughts, each on a path of three facts at most."""
_WORKED_OUT = 3_500
"""Characters of an idea as its novelty is judged: summary, method and what it claims as new."""
_BRIEF = 100
"""Characters of what a juror of ideas looks at."""
_ENTITY = 60
"""Characters of the longest name of a concept."""
_FACTS = 1_500
"""Characters of ten facts."""
_TABLE = tabulator.ROWS_A_CALL * (tabulator.QUOTES + 3 * tabulator.SENTENCES) * _QUOTE
"""Characters of what the cells of one call may stand on, with three columns."""
_FIXED = 4_500
"""Characters of the longest instructions, with a question of usual length."""
_REPLIES: dict[str, Range] = {
    "prior": (5, 100),
    "sure": (1, 5),
    "recognise": (5, 50),
    "planner": (20, 500),
    "chain": (5, 500),
    "follow_up": (10, 500),
    "graph": (20, 800),
    "tool_step": (10, 200),
    "document": (10, 300),
    "statements": (5, 300),
    "reader": (3, 2_000),
    "deduce": (5, 100),
    "answer": (30, 2_500),
    "writer": (15, 1_500),
    "juror": (10, 600),
    "support": (10, 600),
    "debate": (5, 500),
    "persona_probe": (10, 100),
    "personas": (10, 300),
    "teaching": (5, 200),
    "facets": (30, 600),
    "outline": (60, 900),
    "section": (60, 900),
    "table": (20, 1_500),
    "summary": (20, 300),
    "mend": (5, 1_500),
    "theme": (20, 300),
    "inspire": (5, 1_500),
    "brainstorm": (10, 500),
    "leap": (5, 500),
    "integrate": (20, 1_500),
    "work_out": (60, 1_500),
    "novelty": (10, 900),
    "vary": (10, 1_500),
    "compare": (20, 150),
}
"""Tokens of a terse reply and of a long one, by prompt, without what a model thinks before it."""


_USUAL = {
    "most": 5,
    "number": 1,
    "left": 5,
    "sources": 4,
    "juror": "an expert",
    "title": "Of what it is about",
    "says": "",
    "answer": "",
    "problem": "",
    "text": "",
    "do": "replace",
}
"""What stands where a prompt has a number, or a few words."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run takes that finds something, as ranges; `dollars` is None without a known price.

    Repairs, retries and stand-in models come on top, and so does what a model thinks before it
    answers; replies that are on disk already come off.
    """

    calls: Range
    tokens: Range
    dollars: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class _Calls:
    """So many calls of one prompt, with the tokens of each one's text and reply."""

    role: Role
    count: Range
    input: Range
    output: Range


def estimate(question: str, preset: Preset, settings: Settings, k: int | None = None) -> Estimate:
    """What answering `question` is likely to take, `k` passages being read per step."""
    return _summed(_Plan(question, preset, settings, k or preset.passages), settings)


def estimate_review(
    topic: str, preset: Preset, settings: Settings, sections: int, k: int | None = None
) -> Estimate:
    """The same for a review of `topic` with at most so many sections and a table."""
    plan = _ReviewPlan(topic, preset, settings, k or preset.passages, sections)
    return _summed(plan, settings)


def estimate_ideas(
    topic: str, preset: Preset, settings: Settings, wanted: int, new: int = 0
) -> Estimate:
    """The same for a run that ends with `wanted` ideas on `topic`, or with `new` ones, known ideas
    being replaced. What a person asks for who chooses among them is not foreseen.
    """
    return _summed(_IdeasPlan(topic, preset, settings, wanted, new), settings)


def _summed(plan: _Plan, settings: Settings) -> Estimate:
    calls = list(plan.calls())
    least, most = (
        (
            sum(call.count[end] for call in calls),
            sum(call.count[end] * (call.input[end] + call.output[end]) for call in calls),
            [_dollars(call, settings, end) for call in calls],
        )
        for end in (0, 1)
    )
    prices = [price for price in (*least[2], *most[2]) if price is not None]
    known = len(prices) == 2 * len(calls)
    dollars = (sum(prices[: len(calls)]), sum(prices[len(calls) :])) if known else None
    tokens = (least[1], min(most[1], plan.preset.tokens or most[1]))
    return Estimate((least[0], most[0]), tokens, dollars)


class _Plan:
    """Which calls the strategies of a preset make, from the shortest run to the longest."""

    planner = "planner"
    most_quotes = reader.MAX_QUOTES

    def __init__(self, question: str, preset: Preset, settings: Settings, k: int) -> None:
        self._question, self.preset = question, preset
        self._lessons = 2 * lessons.ROOM if settings.lessons else 0
        self._drafts = 1 + preset.searches + preset.revisions
        self._rounds = preset.rounds + preset.searches
        window = settings.context_window * evidence.CHARACTERS_PER_TOKEN
        left = window * (1 - evidence.REPLY_SHARE) - evidence.OVERHEAD - _FIXED
        self._room = int(max(evidence.LEAST_ROOM, min(window * evidence.WINDOW_SHARE, left)))
        steps = 1 if preset.plan in ("question", "tool_step") else preset.steps
        # A jury's searches are steps too: one of each juror that may ask for one.
        self._steps = max(steps, len(preset.jurors) - 1 if preset.searches else 1)
        found = self._steps * k * WORDS * _CHARS_PER_WORD
        self._windows = math.ceil(found / self._room)
        self._found = min(found, self._room)
        quotes = self.most_quotes * self._windows * self._rounds * _QUOTE
        self._quotes = min(quotes, self._room) + writer.MOST_DRAFT

    def calls(self) -> Iterator[_Calls]:
        """All calls, prompt by prompt."""
        preset = self.preset
        if preset.gate:
            yield self._call("planner", "prior", (1, 1))
            yield self._call("planner", "sure", (0, 1))
        yield from self._planning()
        searches = 1 + preset.searches * (len(preset.jurors) - 1)
        if preset.expand != "no":
            prompt = "document" if preset.expand == "document" else "statements"
            yield self._call("reader", prompt, (1, searches))
        if "recognition" in preset.filters:
            yield self._call("reader", "recognise", (0, searches), (0, _FACTS))
        yield from self._reading()
        yield from self._judging()

    def _planning(self) -> Iterator[_Calls]:
        preset, more = self.preset, self._lessons
        known = (0, preset.rounds * preset.steps * LINE + more)
        match preset.plan:
            case "question":
                return
            case "single":
                yield self._call("planner", self.planner, (1, 1), (0, more))
            case "graph":
                yield self._call("planner", "graph", (1, 1), (0, more))
                yield self._call("reader", "deduce", (0, preset.steps), (0, self._quotes))
            case "tool_step":
                notes = preset.rounds * (planner.NOTE_QUOTES * _QUOTE + planner.NOTE_CHARACTERS)
                most = (0, min(notes, self._room) + more)
                yield self._call("planner", "tool_step", (1, preset.rounds), most)
            case "chain" | "follow_up":
                yield self._call("planner", preset.plan, (1, preset.rounds), known)

    def _reading(self) -> Iterator[_Calls]:
        preset = self.preset
        passages, quotes = (_LEAST_TEXT, self._found), (_LEAST_TEXT, self._quotes)
        if preset.read == "combined":
            yield self._call("writer", "answer", (1, self._drafts), passages)
            return
        windows = self._windows * self._rounds * preset.orders
        yield self._call("reader", "reader", (1, windows), passages)
        yield from self._writing(quotes)

    def _writing(self, quotes: Range) -> Iterator[_Calls]:
        yield self._call("writer", "writer", (1, self._drafts), quotes)

    def _judging(self) -> Iterator[_Calls]:
        preset, quotes = self.preset, (_LEAST_TEXT, self._quotes)
        for juror in preset.jurors:
            if juror == "personas":
                yield self._call("juror", "persona_probe", (1, self._drafts))
                yield self._call("juror", "personas", (0, self._drafts))
                experts = jury.MOST_EXPERTS * self._drafts
                yield self._call("juror", "juror", (0, experts), quotes)
            elif juror == "teaching":
                exams = jury.SIBLINGS * self._drafts
                yield self._call("reader", "teaching", (0, exams), (0, self._found))
            else:
                prompt = "support" if juror == "support" else "juror"
                yield self._call("juror", prompt, (1, self._drafts), quotes)
        if preset.messages:
            messages = preset.messages * self._drafts
            yield self._call("juror", "debate", (1, messages), quotes)

    def _call(self, role: Role, name: str, count: Range, material: Range = (0, 0)) -> _Calls:
        known = {"question": self._question, **_USUAL}
        wanted = prompts.variables(name)
        empty: dict[str, Any] = dict.fromkeys(wanted, ())
        bare = prompts.render(
            name, **{**empty, **{key: known[key] for key in known.keys() & wanted}}
        )
        fixed = len(bare.system) + len(bare.user)
        least, most = (math.ceil((fixed + part) / CHARS_PER_TOKEN) for part in material)
        return _Calls(role, count, (least, most), _REPLIES[name])


class _ReviewPlan(_Plan):
    """The calls of a review, where an answer is written by one call each time."""

    planner = "facets"
    most_quotes = reader.REVIEW_QUOTES

    def __init__(
        self, topic: str, preset: Preset, settings: Settings, k: int, sections: int
    ) -> None:
        super().__init__(topic, preset, settings, k)
        self._sections = sections
        self._quotes += sections * reviewer.SECTION_SENTENCES * _SENTENCE

    def _writing(self, quotes: Range) -> Iterator[_Calls]:
        tables = math.ceil(tabulator.MOST_ROWS / tabulator.ROWS_A_CALL)
        yield self._call("planner", "outline", (1, 1), quotes)
        # A quote stands in one section and under one paper; earlier sections are shown too.
        own = quotes[1] // self._sections + self._sections * reviewer.SECTION_SENTENCES * _SENTENCE
        yield self._call("writer", "section", (1, self._sections), (_LEAST_TEXT, own))
        yield self._call("reader", "table", (0, tables), (0, min(_TABLE, self._room)))
        yield self._call("writer", "summary", (0, 1), quotes)
        yield self._call("writer", "mend", (0, self._drafts - 1), quotes)


class _IdeasPlan(_Plan):
    """The calls of a run for ideas: of the preset it has the budget alone."""

    def __init__(
        self, topic: str, preset: Preset, settings: Settings, wanted: int, new: int
    ) -> None:
        super().__init__(topic, preset, settings, preset.passages)
        self._ideas = new or wanted
        self._again = choosing.REPLACEMENTS if new else 0

    def calls(self) -> Iterator[_Calls]:
        """All calls, node by node."""
        yield self._call("ideator", "theme", (1, 1))
        yield from self._thinking()
        many = self._ideas * (1 + self._again)
        quotes = _QUOTE * (elaborator.QUOTES + _ROOTS)
        grounds = min(quotes, self._room) + ideas.SUMMARY + _ROOTS * LINE
        yield self._call("ideator", "work_out", (self._ideas, many), (_LEAST_TEXT, grounds))
        shown = self._passages(novelty.PASSAGES) + _WORKED_OUT
        yield self._call("juror", "novelty", (self._ideas, many), (_LEAST_TEXT, shown))
        others = self._ideas * (ideas.SUMMARY + 2 * _QUOTE)
        yield self._call("ideator", "vary", (0, self._again), (0, min(others, self._room)))
        pair = 2 * (tournament.LONGEST + evidence.TITLE) + _BRIEF
        compared = tournament.enough(self._ideas)
        # Jurors that only look at the order are asked no more.
        least = min(compared, 2 * tournament.BLIND * len(tournament.BRIEFS))
        yield self._call("juror", "compare", (least, compared), (_LEAST_TEXT, pair))

    def _thinking(self) -> Iterator[_Calls]:
        """The three routes to thoughts, and the call that makes ideas of these."""
        problem = LINE
        of_each = min(ideas.PAPERS_A_CALL, ideas.PAPERS) * ideas.PASSAGES
        windows = math.ceil(of_each * WORDS * _CHARS_PER_WORD / self._room)
        read = math.ceil(ideas.PAPERS / ideas.PAPERS_A_CALL) * windows
        papers = self._passages(of_each) + problem
        yield self._call("ideator", "inspire", (1, read), (_LEAST_TEXT, papers))
        named = problem + _ENTITY * ideas.MOST_ENTITIES
        yield self._call("ideator", "brainstorm", (1, 1), (0, named))
        far = bridges.BRIDGES * 2 * _QUOTE
        yield self._call("ideator", "leap", (0, 1), (0, min(far, self._room) + problem))
        thoughts = 2 * ideas.PAPERS + 2 * ideas.THOUGHTS
        seeds = min(thoughts * (LINE + _QUOTE), self._room) + problem
        yield self._call("ideator", "integrate", (1, 1), (_LEAST_TEXT, seeds))

    def _passages(self, count: int) -> int:
        """The most characters that so many passages take of one prompt."""
        return min(count * WORDS * _CHARS_PER_WORD, self._room)


def _dollars(call: _Calls, settings: Settings, end: int) -> float | None:
    """The cost of all these calls by the first model of the role, None without its price."""
    model = settings.model_for(call.role)
    price = settings.price_of(split_model_id(model)[0]) if model else None
    if price is None:
        return None
    each = call.input[end] * price.input + call.output[end] * price.output
    return call.count[end] * each / 1_000_000
