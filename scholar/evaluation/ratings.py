"""Whether the jury ranks ideas as people do.

`rated.jsonl` has `_id`, `title`, `text`, `score` (a number, or a list of them, one per person) and
where there are several `topic`: ideas are compared with those of their own topic alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from scholar import __version__
from scholar.agents.tournament import CRITERIA, Ranking, rank
from scholar.backends.chain import Given as Backends
from scholar.backends.chain import public_id
from scholar.backends.gateway import Gateway
from scholar.context import Services, context_for
from scholar.errors import ModelError, SettingsError, UsageError
from scholar.evaluation.keeping import Progress, alone, digest, prompt_text, slug
from scholar.evaluation.metrics import CONFIDENCE, RESAMPLES, Estimate
from scholar.evaluation.rows import Row, RowFile, rows
from scholar.evaluation.scores import spent
from scholar.evaluation.sets import name_of
from scholar.events import Called, Event
from scholar.library import Library
from scholar.settings import Settings

FILE = "rated.jsonl"
MEASURES = ("score", *CRITERIA)
"""What of the jury is compared with people's scores."""
LEAST = 3
"""Ideas of a topic below which an order says nothing."""
Pairs = Sequence[tuple[float, float]]
"""The jury's score and people's, idea by idea."""


@dataclass(frozen=True, slots=True)
class Rated:
    """An idea and what people think of it."""

    id: str
    topic: str
    title: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Spearman's correlation of the jury's scores with people's, the mean over topics, for each of
    MEASURES; what judging took; and where it is kept.
    """

    correlations: Mapping[str, Estimate]
    topics: int
    ideas: int
    comparisons: int
    judge: str
    spent: Mapping[str, float | int | None]
    notes: tuple[str, ...]
    folder: str


def read(folder: Path) -> dict[str, list[Rated]]:
    """The rated ideas of a folder by topic; UsageError says which line cannot be used."""
    path = folder / FILE
    topics: dict[str, list[Rated]] = {}
    for row in rows(path, "_id", "title", "text"):
        topic = str(row.get("topic") or "")
        idea = Rated(row["_id"], topic, row["title"], row["text"], _score(row, path))
        topics.setdefault(topic, []).append(idea)
    for topic, ideas in topics.items():
        if len({idea.id for idea in ideas}) < len(ideas):
            raise UsageError(f"{path} has an id twice under '{topic}'; give each idea its own.")
    return {topic: ideas for topic, ideas in topics.items() if len(ideas) >= LEAST}


async def agreement(
    folder: Path,
    settings: Settings,
    out: Path,
    *,
    limit: int | None = None,
    comparisons: int | None = None,
    seed: int = 0,
    backends: Backends | None = None,
    on_notice: Callable[[str], None] = lambda _: None,
    on_progress: Progress = lambda *_: None,
) -> Agreement:
    """Let the jury rank what has not been ranked yet, by so many `comparisons` for each topic.

    Raises SettingsError without a model, UsageError where no topic has LEAST ideas, and ModelError
    where nothing could be judged; what was ranked by then is kept.
    """
    topics = dict(list(read(folder).items())[:limit])
    if not topics:
        raise UsageError(f"{folder / FILE} has no topic of {LEAST} ideas or more; add ideas.")
    judge = _judge(settings, backends)
    contents = [[asdict(idea) for idea in ideas] for ideas in read(folder).values()]
    identity = [__version__, contents, judge, comparisons, prompt_text("compare")]
    place = out / f"ideas-{slug(name_of(folder))}-{digest(identity)}"
    async with AsyncExitStack() as opened:
        opened.enter_context(alone(place))
        journal, calls = RowFile(place / "rankings.jsonl"), RowFile(place / "calls.jsonl")
        done = {row["topic"]: row for row in journal.rows}
        jury = await _Jury.open(opened, settings, place, backends, on_notice, calls)
        for n, (topic, ideas) in enumerate(topics.items()):
            on_progress("Comparing", n, len(topics))
            if topic not in done:
                ranking = await jury.rank(topic, ideas, comparisons)
                row = done[topic] = _row(topic, ranking)
                if ranking.complete:
                    journal.add(row)
    known = [done[topic] for topic in topics]
    pairs = {
        name: [_pairs(ideas, done[topic], name) for topic, ideas in topics.items()]
        for name in MEASURES
    }
    return Agreement(
        {name: correlated(each, seed) for name, each in pairs.items()},
        len(topics),
        sum(map(len, topics.values())),
        sum(row["comparisons"] for row in known),
        judge,
        spent(calls.rows),
        tuple(dict.fromkeys(note for row in known for note in row["notes"])),
        str(place),
    )


@dataclass(frozen=True)
class _Jury:
    services: Services
    calls: RowFile

    @classmethod
    async def open(
        cls,
        opened: AsyncExitStack,
        settings: Settings,
        place: Path,
        backends: Backends | None,
        on_notice: Callable[[str], None],
        calls: RowFile,
    ) -> _Jury:
        """A jury whose replies are kept in `place`, so that none is paid for twice."""
        gateway = Gateway(
            settings.model_copy(update={"home": place}), backends, on_notice=on_notice
        )
        opened.push_async_callback(gateway.aclose)
        home = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="scholar-eval-")))
        library = Library(settings.model_copy(update={"home": home, "embedder": "none"}))
        opened.callback(library.close)
        return cls(Services(settings, library, gateway), calls)

    async def rank(self, topic: str, ideas: Sequence[Rated], comparisons: int | None) -> Ranking:
        context = context_for({}, self.services, self._note)
        question = topic or "Which of these ideas should be pursued?"
        ranking = await rank(ideas, question, context, most=comparisons)
        if not ranking.comparisons:
            raise ModelError(" ".join(ranking.notes))
        return ranking

    def _note(self, event: Event) -> None:
        if isinstance(event, Called):
            self.calls.add(asdict(event.call))


def correlated(topics: Sequence[Pairs], seed: int) -> Estimate:
    """The mean over topics of Spearman's correlation, and its 95 % interval by a bootstrap that
    draws topics, and ideas within each. Topics without any order in one of the two do not count.
    """
    tables = [np.array(pairs, float) for pairs in topics]
    values = [value for table in tables if (value := _spearman(table)) is not None]
    of = sum(map(len, tables))
    if not values:
        return Estimate(None, None, None, of)
    rng = np.random.default_rng(seed)
    drawn = [mean for _ in range(RESAMPLES) if (mean := _resampled(tables, rng)) is not None]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn or values, [tail, 100 - tail])
    return Estimate(float(np.mean(values)), float(low), float(high), of)


def _resampled(tables: Sequence[np.ndarray], rng: np.random.Generator) -> float | None:
    values = []
    for at in rng.integers(len(tables), size=len(tables)):
        table = tables[at]
        value = _spearman(table[rng.integers(len(table), size=len(table))])
        if value is not None:
            values.append(value)
    return float(np.mean(values)) if values else None


def _spearman(table: np.ndarray) -> float | None:
    """The correlation of the ranks of two columns; None where one has no order."""
    ranks = rankdata(np.round(table, 9), axis=0)
    ranks -= ranks.mean(axis=0)
    size = float(np.sqrt((ranks[:, 0] ** 2).sum() * (ranks[:, 1] ** 2).sum()))
    return float(ranks[:, 0] @ ranks[:, 1]) / size if size else None


def _pairs(ideas: Iterable[Rated], row: Row, name: str) -> list[tuple[float, float]]:
    return [(row["ideas"][idea.id][name], idea.score) for idea in ideas]


def _row(topic: str, ranking: Ranking) -> Row:
    """What is kept of a ranking."""
    ideas: dict[str, dict[str, Any]] = {
        id: {"score": one.score, "low": one.low, "high": one.high, "place": one.place}
        | one.criteria
        for id, one in ranking.standings.items()
    }
    notes = list(ranking.notes)
    return {"topic": topic, "ideas": ideas, "comparisons": ranking.comparisons, "notes": notes}


def _judge(settings: Settings, backends: Backends | None) -> str:
    """What plays the juror; SettingsError where nothing does."""
    given = (backends or {}).get("juror") or (backends or {}).get("*") or ()
    several = given if isinstance(given, Sequence) else (given,)
    own = dict.fromkeys(settings.jury.models.values())
    named = [one.name for one in several] or [*map(public_id, own or settings.chain_for("juror"))]
    if not named:
        raise SettingsError(
            "To compare ideas a model must play the juror; use --model, or set SCHOLAR_MODEL."
        )
    return ", ".join(named)


def _score(row: Row, path: Path) -> float:
    given = row.get("score")
    scores = given if isinstance(given, list) else [given]
    numbers = [float(s) for s in scores if isinstance(s, int | float) and not isinstance(s, bool)]
    if not numbers or len(numbers) < len(scores):
        raise UsageError(f"{path}: '{row['_id']}' has no number under 'score'; correct it.")
    return sum(numbers) / len(numbers)
