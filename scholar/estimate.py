"""What a run is likely to take, before anything is called."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scholar import prompts
from scholar.agents import evidence, reader
from scholar.backends import split_model_id
from scholar.backends.forms import CHARS_PER_TOKEN
from scholar.library.passages import WORDS
from scholar.settings import Preset, Role, Settings

Range = tuple[int, int]
"""The least and the most."""

_CHARS_PER_WORD = 7
_LEAST_TEXT = 100
"""Characters of the shortest passages and quotes that a run can work with."""
_QUOTE = 400
"""Characters of a long quote with its title and marks."""
_REPLIES: dict[str, Range] = {
    "planner": (20, 500),
    "reader": (20, 2_000),
    "answer": (30, 2_500),
    "writer": (30, 1_500),
    "juror": (10, 600),
}
"""Tokens of a terse reply and of a long one, by prompt, without what a model thinks before it."""


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
    calls = list(_calls(question, preset, settings, k or preset.passages))
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
    return Estimate((least[0], most[0]), (least[1], most[1]), dollars)


def _calls(question: str, preset: Preset, settings: Settings, k: int) -> Iterator[_Calls]:
    searches, drafts = 1 + preset.searches, 1 + preset.searches + preset.revisions
    steps = preset.steps if preset.plan else 1
    room = int(settings.context_window * evidence.WINDOW_SHARE * evidence.CHARACTERS_PER_TOKEN)
    found = steps * k * WORDS * _CHARS_PER_WORD
    windows = math.ceil(found / room)
    most_quotes = reader.MAX_QUOTES * windows * searches * _QUOTE
    draft = _REPLIES["writer"][1] * CHARS_PER_TOKEN
    passages, quotes = (_LEAST_TEXT, min(found, room)), (_LEAST_TEXT, most_quotes + draft)
    asked = {"question": question}
    if preset.plan:
        yield _call("planner", "planner", (1, 1), (0, 0), asked | {"most": preset.steps})
    if preset.read == "separate":
        yield _call("reader", "reader", (1, windows * searches), passages, asked)
        yield _call("writer", "writer", (1, drafts), quotes, asked)
    else:
        yield _call("writer", "answer", (1, drafts), passages, asked)
    jurors = len(preset.jurors)
    yield _call("juror", "juror", (jurors, jurors * drafts), quotes, asked)


def _call(role: Role, name: str, count: Range, material: Range, values: dict[str, Any]) -> _Calls:
    empty = dict.fromkeys(prompts.variables(name), ())
    bare = prompts.render(name, **{**empty, **values})
    fixed = len(bare.system) + len(bare.user)
    least, most = (math.ceil((fixed + part) / CHARS_PER_TOKEN) for part in material)
    return _Calls(role, count, (least, most), _REPLIES[name])


def _dollars(call: _Calls, settings: Settings, end: int) -> float | None:
    """The cost of all these calls by the first model of the role, None without its price."""
    model = settings.model_for(call.role)
    price = settings.price_of(split_model_id(model)[0]) if model else None
    if price is None:
        return None
    each = call.input[end] * price.input + call.output[end] * price.output
    return call.count[end] * each / 1_000_000
