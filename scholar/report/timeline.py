"""What a run did when, out of its events: a lane for each node of the state machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from scholar.events import Began, Called, Ended, Event
from scholar.values import Call

Timed = tuple[float, Event]
"""When something happened, in seconds since the epoch, and what."""

PAUSE = 3.0
"""Seconds without anything under way, at least, from which on they are cut out as a pause: a run
that waited for its human overnight would show nothing else.
"""
LONG = 0.1
"""Share of the whole that a pause must be as well: in a run of minutes, three seconds are nothing.
"""
STUB = 0.02
"""Share of the whole that is shown in place of a pause."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Something from `start` to `end`, in shown seconds from the beginning of the run.

    `said` is what a reader is told of it; `failed` where it could not do its work.
    """

    start: float
    end: float
    said: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """What one node did: when it was at work, its calls, and what they took together.

    `seconds` are those that it was at work, branches beside each other counted once.
    """

    node: str
    bars: tuple[Bar, ...]
    calls: tuple[Bar, ...]
    seconds: float
    tokens: int = 0
    dollars: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Where time was cut out, in shown seconds, and how many seconds it was."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The lanes in the order in which they began; `began` is in seconds since the epoch.

    `seconds` is the length of what is shown: the run without its pauses.
    """

    began: float
    seconds: float
    lanes: tuple[Lane, ...]
    pauses: tuple[Pause, ...] = ()


@dataclass(slots=True)
class _Work:
    """What is known of one node so far; spans are of real time."""

    spans: list[Bar] = field(default_factory=list)
    calls: list[tuple[float, Call]] = field(default_factory=list)


def timeline(events: Iterable[Timed]) -> Timeline | None:
    """The timeline of a run from its events in order; None where nothing took any time.

    Nodes are those that the events frame; a call that none is known of has a lane by its role.
    """
    nodes = _nodes(events)
    spans = [bar for work in nodes.values() for bar in _spans(work)]
    if not spans:
        return None
    clock = _Clock(spans)
    order = sorted(nodes.items(), key=lambda item: min(bar.start for bar in _spans(item[1])))
    lanes = tuple(_lane(name, work, clock) for name, work in order)
    return Timeline(clock.began, clock.seconds, lanes, clock.pauses)


def _nodes(events: Iterable[Timed]) -> dict[str, _Work]:
    nodes: dict[str, _Work] = {}
    open_since: dict[tuple[str, str], float] = {}
    last = 0.0
    for at, event in events:
        if isinstance(event, Began):
            _break_off(nodes, open_since, event, last)
            open_since[event.node, event.step] = at
        elif isinstance(event, Ended):
            start = open_since.pop((event.node, event.step), at - event.seconds)
            bar = Bar(start, at, event.failed, bool(event.failed))
            nodes.setdefault(event.node, _Work()).spans.append(bar)
        elif isinstance(event, Called):
            name = event.call.node or event.call.role
            nodes.setdefault(name, _Work()).calls.append((at, event.call))
        last = at
    for node, step in list(open_since):
        _break_off(nodes, open_since, Began(node, step), last)
    return nodes


def _break_off(
    nodes: dict[str, _Work], open_since: dict[tuple[str, str], float], event: Began, last: float
) -> None:
    """Where a node begins again that never ended, the run was cut short within it."""
    start = open_since.pop((event.node, event.step), None)
    if start is not None:
        bar = Bar(start, max(start, last), "cut short", failed=True)
        nodes.setdefault(event.node, _Work()).spans.append(bar)


def _spans(work: _Work) -> list[Bar]:
    return work.spans or [_span(at, call) for at, call in work.calls]


def _span(at: float, call: Call) -> Bar:
    said = f"{call.model}, {call.input_tokens + call.output_tokens:,} tokens"
    said += ", answered from disk" if call.cached else ""
    return Bar(at - call.seconds, at, said, call.failed)


class _Clock:
    """Real time turned into shown time, without the pauses."""

    def __init__(self, spans: Sequence[Bar]) -> None:
        busy = _united(spans)
        whole = sum(bar.end - bar.start for bar in busy)
        self.began = busy[0].start
        self._breaks: list[tuple[float, float]] = []
        pauses = []
        cut = 0.0
        for before, after in pairwise(busy):
            idle = after.start - before.end
            if idle > max(PAUSE, LONG * whole):
                pauses.append(Pause(before.end - self.began - cut, idle))
                cut += idle - STUB * whole
                self._breaks.append((after.start, cut))
        self.pauses = tuple(pauses)
        self.seconds = self.shown(busy[-1].end)

    def shown(self, at: float) -> float:
        """The moment `at`, no later than where the pause before it ends, in shown seconds."""
        cut = max((cut for since, cut in self._breaks if since <= at), default=0.0)
        return max(0.0, at - self.began - cut)

    def bar(self, bar: Bar) -> Bar:
        """`bar` in shown time."""
        return Bar(self.shown(bar.start), self.shown(bar.end), bar.said, bar.failed)


def _united(spans: Sequence[Bar]) -> list[Bar]:
    """The times in which any of `spans` is under way, apart from each other and in order."""
    found: list[Bar] = []
    for bar in sorted(spans, key=lambda bar: bar.start):
        if found and bar.start <= found[-1].end:
            found[-1] = Bar(found[-1].start, max(found[-1].end, bar.end))
        else:
            found.append(bar)
    return found


def _lane(name: str, work: _Work, clock: _Clock) -> Lane:
    spans = _spans(work)
    prices = [call.dollars for _, call in work.calls]
    known = [price for price in prices if price is not None]
    return Lane(
        node=name,
        bars=tuple(map(clock.bar, sorted(spans, key=lambda bar: bar.start))),
        calls=tuple(clock.bar(_span(at, call)) for at, call in work.calls),
        seconds=sum(bar.end - bar.start for bar in _united(spans)),
        tokens=sum(call.input_tokens + call.output_tokens for _, call in work.calls),
        dollars=sum(known) if len(known) == len(prices) else None,
    )
