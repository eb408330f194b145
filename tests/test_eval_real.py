"""Evaluations of the real sets, answered by models that know what they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from examinees import declines
from knowing import knowing, musique, wikicontradict
from minds import Mind, Seen, for_backend

from scholar.backends.fake import FakeBackend
from scholar.evaluation import sets
from scholar.evaluation.asking import Plan, evaluate
from scholar.evaluation.scores import Report
from scholar.evaluation.sets import Kind
from scholar.settings import Settings

pytestmark = pytest.mark.slow


def trusting(mind: Mind) -> Mind:
    """`mind`, and a judge that finds everything carried and reported."""

    def judged(seen: Seen) -> Any:
        match seen.call:
            case "entails":
                return {"why": "", "entailed": True}
            case "reported":
                return {"first": True, "second": True}
            case _:
                return mind(seen)

    return judged


async def examined(kind: Kind, folder: Path, settings: Settings, mind: Mind, plan: Plan) -> Report:
    backend = FakeBackend(for_backend(trusting(mind)))
    out = settings.home / "evaluations"
    return await evaluate(sets.read(kind, folder), settings, out, plan, backends={"*": backend})


def value(report: Report, name: str) -> float:
    found = report.scores[name].value
    assert found is not None
    return found


async def test_who_knows_the_steps_of_musique_answers_what_retrieval_finds(
    data: Path, settings: Settings
) -> None:
    _, puzzles = musique(data / "musique")
    report = await examined(
        "answer", data / "musique", settings, knowing(puzzles), Plan("searchain")
    )
    assert report.groups == 40
    assert value(report, "cover_match") >= 0.65
    assert value(report, "answered") >= value(report, "cover_match")


async def test_who_knows_the_steps_of_musique_abstains_without_the_passages(
    data: Path, settings: Settings
) -> None:
    _, puzzles = musique(data / "musique")
    report = await examined(
        "abstain", data / "musique", settings, knowing(puzzles), Plan("searchain")
    )
    assert (report.groups, report.items) == (40, 80)
    assert value(report, "abstention_recall") == 1
    assert value(report, "coverage") >= 0.65


async def test_who_knows_both_sides_of_wikicontradict_reports_both(
    data: Path, settings: Settings
) -> None:
    _, disputes = wikicontradict(data / "wikicontradict")
    report = await examined(
        "conflict", data / "wikicontradict", settings, knowing(disputes), Plan("standard")
    )
    assert report.groups == 60
    # It shows both sides by whole sentences, which seldom have the answer word for word.
    assert 0 < value(report, "both_words") < value(report, "conflicting")
    assert value(report, "conflicting") >= 0.75


async def test_claims_of_scifact_are_asked_as_they_are(data: Path, settings: Settings) -> None:
    plan = Plan("fast", limit=12, seed=1)
    report = await examined("abstain", data / "scifact", settings, declines, plan)
    assert report.items == 12
    assert report.documents == {"whole": 5183}
    assert value(report, "abstention_recall") == 1
    assert value(report, "coverage") == 0
