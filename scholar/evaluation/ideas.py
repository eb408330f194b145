"""What ideas are worth: are the right papers found for them, are they diverse, and does the jury
rank them as people do?

A folder may hold sets for any of the three: see `backgrounds` and `ratings`; and `*.json` as
`scholar ideas --json` prints it, each file the ideas of one run.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from scholar.backends.chain import Given as Backends
from scholar.errors import UsageError
from scholar.evaluation import backgrounds, ratings
from scholar.evaluation.backgrounds import Recall
from scholar.evaluation.keeping import Progress
from scholar.evaluation.metrics import Estimate, Part, estimated
from scholar.evaluation.ratings import Agreement
from scholar.evaluation.scores import rounded
from scholar.evaluation.sets import name_of
from scholar.library import Library
from scholar.settings import Settings

SAME = 0.8
"""Cosine from which two ideas are one, by all-MiniLM-L6-v2 (Si et al. 2024, "Can LLMs Generate
Novel Research Ideas?", section 7.1)."""
TOLD = ("title", "summary", "problem", "hypothesis", "method")
"""Fields of an idea by which it is compared with others."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """The mean distance of two ideas of a run, 1 less their cosine; and the share of its ideas that
    are left where those alike are counted once. `clusters` is that count over all runs.
    """

    distance: Estimate
    distinct: Estimate
    runs: int
    ideas: int
    clusters: int
    embedder: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a folder had sets for; None for the others."""

    name: str
    recall: Recall | None = None
    diversity: Diversity | None = None
    agreement: Agreement | None = None
    seed: int = 0
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        parts = {"recall": self.recall, "diversity": self.diversity, "agreement": self.agreement}
        plain = {name: _plain(part) for name, part in parts.items()}
        return {"set": self.name, **plain, "notes": list(self.notes), "seed": self.seed}


async def evaluate(
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
) -> Report:
    """Measure whatever `folder` has sets for. Raises UsageError where it has none, and what
    `backgrounds.recall` and `ratings.agreement` raise.
    """
    runs = read_runs(folder)
    found, ranked, notes = None, None, []
    if (folder / backgrounds.FILE).is_file():
        found = await backgrounds.recall(
            folder, settings, out, limit=limit, seed=seed, on_notice=on_notice,
            on_progress=on_progress,
        )  # fmt: skip
    spread = await diversity(runs, settings, seed, on_notice) if runs else None
    if runs and spread is None:
        notes.append("How diverse ideas are takes an embedder; set one, as in embedder = 'auto'.")
    if (folder / ratings.FILE).is_file():
        ranked = await ratings.agreement(
            folder, settings, out, limit=limit, comparisons=comparisons, seed=seed,
            backends=backends, on_notice=on_notice, on_progress=on_progress,
        )  # fmt: skip
    if not (found or runs or ranked):
        raise UsageError(
            f"{folder} has nothing to measure ideas by; put {backgrounds.FILE}, {ratings.FILE}, or "
            "what scholar ideas --json printed, as NAME.json, there."
        )
    return Report(name_of(folder), found, spread, ranked, seed, tuple(notes))


def read_runs(folder: Path) -> dict[str, list[str]]:
    """The texts of the ideas of each JSON file, by its name; files without ideas are not ours."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name one that holds sets of ideas.")
    runs: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            ideas = json.loads(path.read_text(encoding="utf-8"))["ideas"]
            runs[path.name] = [_told(idea) for idea in ideas]
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read ({error}); correct or remove it.") from error
        except (KeyError, TypeError, AttributeError):
            raise UsageError(
                f"{path} is not what scholar ideas --json prints; correct or remove it."
            ) from None
    return {name: texts for name, texts in runs.items() if texts}


async def diversity(
    runs: Mapping[str, list[str]],
    settings: Settings,
    seed: int = 0,
    on_notice: Callable[[str], None] = lambda _: None,
) -> Diversity | None:
    """How diverse the ideas of each run are; None without an embedder."""
    distances, distinct = [], []
    with tempfile.TemporaryDirectory(prefix="scholar-eval-") as home:
        settings = settings.model_copy(update={"home": Path(home)})
        library = Library(settings, on_notice=on_notice)
        try:
            for name, texts in runs.items():
                vectors = await library.embed(texts)
                if vectors is None:
                    return None
                cosines = vectors @ vectors.T
                above = cosines[np.triu_indices(len(texts), 1)]
                distances.append(Part(name, float((1 - above).sum()), float(len(above))))
                count, _ = connected_components(cosines >= SAME, directed=False)
                distinct.append(Part(name, float(count), float(len(texts))))
            embedder = (await library.stats()).embedder
        finally:
            library.close()
    return Diversity(
        estimated(distances, seed, share=False),
        estimated(distinct, seed, share=False),
        len(runs),
        sum(map(len, runs.values())),
        round(sum(part.gained for part in distinct)),
        embedder,
    )


def _told(idea: Mapping[str, Any]) -> str:
    parts = [str(idea.get(name) or "") for name in TOLD]
    if not parts[0]:
        raise KeyError("title")
    return " ".join(part for part in parts if part)


def _plain(part: Recall | Diversity | Agreement | None) -> dict[str, Any] | None:
    if part is None:
        return None
    return {name: _shown(value) for name, value in _fields(part).items()}


def _fields(part: Recall | Diversity | Agreement) -> dict[str, Any]:
    return {name: getattr(part, name) for name in asdict(part)}


def _shown(value: Any) -> Any:
    if isinstance(value, Estimate):
        return rounded(value)
    if isinstance(value, Mapping):
        return {str(key): _shown(one) for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value
