"""The map of papers as it is drawn: where each lies, and whose name stands beside its dot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scholar.library import Atlas
from scholar.library.single import one_thread
from scholar.report.plane import Floats, plane
from scholar.report.words import short
from scholar.text import plain_line, shortened
from scholar.values import Paper

WIDTH, HEIGHT = 720, 480
"""Of the drawing, in its own units."""
MARGIN = 28
APART = 34.0
"""Between the dots of two used papers, at least: on a phone they are drawn larger."""
LETTER = 6.6
"""How wide a letter of a name is on average, and a little more."""
LINE = 16.0
BESIDE = 15.0
"""From the middle of a dot to the name beside it."""
NAME = 26
"""Characters of a name that is drawn; the whole title shows when it is pointed at."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A paper on the map; `number` is that of the bibliography, 0 where it was not used."""

    x: float
    y: float
    title: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Name:
    """A name beside a dot, `anchor` as in SVG."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Line:
    """A citation; `used` where one of its papers was."""

    x1: float
    y1: float
    x2: float
    y2: float
    used: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """The drawing. `others` are the papers of the library that were not used, as far as shown."""

    used: tuple[Dot, ...]
    others: tuple[Dot, ...]
    lines: tuple[Line, ...]
    names: tuple[Name, ...]
    total: int
    by_words: bool
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def shown(self) -> int:
        """How many papers are drawn."""
        return len(self.used) + len(self.others)


def plot(atlas: Atlas, numbers: dict[str, int]) -> Plot | None:
    """The map of `atlas`, on which the papers that have a number are marked; None where fewer than
    two papers could be placed.
    """
    if len(atlas.papers) < 2:
        return None
    with one_thread():
        room = (WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN)
        points = plane(atlas.vectors) * room + MARGIN
    known = [numbers.get(paper.id, 0) for paper in atlas.papers]
    places = np.flatnonzero(np.array(known))
    points[places] = _apart(points[places])
    dots = [
        Dot(round(float(x), 1), round(float(y), 1), _title(paper), number)
        for (x, y), paper, number in zip(points, atlas.papers, known, strict=True)
    ]
    lines = [
        Line(dots[a].x, dots[a].y, dots[b].x, dots[b].y, bool(dots[a].number or dots[b].number))
        for a, b in atlas.citations
    ]
    used = [(dot, paper) for dot, paper in zip(dots, atlas.papers, strict=True) if dot.number]
    return Plot(
        tuple(dot for dot, _ in used),
        tuple(dot for dot in dots if not dot.number),
        tuple(sorted(lines, key=lambda line: line.used)),
        tuple(_names(used)),
        atlas.total,
        atlas.by_words,
    )


def _title(paper: Paper) -> str:
    who = short(paper)
    title = plain_line(paper.title)
    return title if title.startswith(who) else f"{title} ({who})"


def _apart(points: Floats) -> Floats:
    """`points` pushed apart until no two lie on each other, or nearly."""
    points = points.copy()
    for _ in range(60):
        gaps = points[:, None] - points[None, :]
        far = np.hypot(gaps[..., 0], gaps[..., 1])
        np.fill_diagonal(far, np.inf)
        if not (far < APART).any():
            break
        # Two at one place part sideways, each its own way.
        turns = np.arange(len(points)) * 2.4
        ways = np.stack([np.cos(turns), np.sin(turns)], axis=1)
        same = (far < 1e-6)[..., None]
        unit = np.where(
            same, ways[:, None] - ways[None, :], gaps / np.maximum(far, 1e-6)[..., None]
        )
        push = np.clip(APART - far, 0, None)[..., None] / 2
        points += (unit * push).sum(axis=1)
        points = np.clip(points, MARGIN, (WIDTH - MARGIN, HEIGHT - MARGIN))
    return points


_Box = tuple[float, float, float, float]


def _names(used: Sequence[tuple[Dot, Paper]]) -> list[Name]:
    """A name beside each dot that has room for one on any side."""
    taken: list[_Box] = [
        (dot.x - BESIDE, dot.y - BESIDE, dot.x + BESIDE, dot.y + BESIDE) for dot, _ in used
    ]
    found: list[Name] = []
    for dot, paper in used:
        text = shortened(short(paper), NAME)
        for name, box in _sides(dot, text):
            if _inside(box) and not any(_overlap(box, other) for other in taken):
                found.append(name)
                taken.append(box)
                break
    return found


def _sides(dot: Dot, text: str) -> list[tuple[Name, _Box]]:
    wide = len(text) * LETTER
    right, left = dot.x + BESIDE + 2, dot.x - BESIDE - 2
    above, below = dot.y - BESIDE - 4, dot.y + BESIDE + 12
    places = (
        (Name(right, dot.y + 4, text, "start"), right, dot.y + 4),
        (Name(left, dot.y + 4, text, "end"), left - wide, dot.y + 4),
        (Name(dot.x, above, text, "middle"), dot.x - wide / 2, above),
        (Name(dot.x, below, text, "middle"), dot.x - wide / 2, below),
    )
    return [(name, (x, base - LINE + 3, x + wide, base + 3)) for name, x, base in places]


def _inside(box: _Box) -> bool:
    return box[0] >= 2 and box[1] >= 2 and box[2] <= WIDTH - 2 and box[3] <= HEIGHT - 2


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
