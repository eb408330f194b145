"""The shared library and a user's own, read as one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from knowing import entry

from scholar.library import Library
from scholar.settings import Settings
from scholar.slack.private import Joint
from scholar.values import Lesson, Reference

OWN = "own:fish"
TEXT = "The fish of our laboratory swim along the walks of a graph that ranks passages by music."
NOT_READ = {
    "add", "check", "close", "collect", "embed", "embeds", "encode", "lacking", "learn",
    "papers_without", "passages_without", "put_card", "put_facts", "put_questions", "rebuild",
    "remove", "snapshot", "unite", "update_status",
}  # fmt: skip
"""What writes or looks after a library, which is `own`."""
THROUGH_OTHERS = {"find", "extract"}


@pytest.fixture
async def joint(notes: Library, settings: Settings) -> AsyncIterator[Joint]:
    own = Library(settings.model_copy(update={"home": settings.home / "own"}))
    await own.add([entry(OWN, "Fish on graphs", f"{TEXT} {TEXT}")])
    yield Joint(notes, own)
    own.close()


def test_all_that_reads_a_library_reads_both() -> None:
    public = {name for name in vars(Library) if not name.startswith("_")}
    assert public - NOT_READ - THROUGH_OTHERS - set(vars(Joint)) == set()


async def test_papers_to_draw_ideas_from_are_the_nearest_of_both_each_once(
    joint: Joint, notes: Library
) -> None:
    await notes.add([entry(OWN, "Fish on graphs", f"{TEXT} {TEXT}")])
    for find in (joint.candidates, joint.inspirations):
        found = await find("How do fish walk a graph that ranks passages?", ["graph"], 4)
        ids = [one.paper_id for one in found]
        assert len(ids) == len(set(ids)) == 4
        assert OWN in ids
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        without = await find("How do fish walk a graph?", ["graph"], 4, without=[OWN])
        assert OWN not in [one.paper_id for one in without]


async def test_lessons_of_both_are_told_and_new_ones_are_kept_apart(
    joint: Joint, notes: Library
) -> None:
    await notes.learn("r1", Lesson("How do graph walks rank passages?", ("walks",), ()), 1.0)
    await joint.learn("r2", Lesson("How do graph walks rank passages here?", ("fish",), ()), 2.0)
    told = await joint.lessons("How do graph walks rank passages?", 3)
    assert {lesson.paid for lesson in told} == {("walks",), ("fish",)}
    assert len(await notes.lessons("How do graph walks rank passages?", 3)) == 1


async def test_an_atlas_shows_the_used_papers_of_both_first(joint: Joint, notes: Library) -> None:
    reference = Reference("Fish on graphs.", "Fish on graphs", identifiers={"doi": "10.1000/fish"})
    fish = entry("doi:10.1000/fish", "Fish on graphs", TEXT)
    await joint.add([replace(entry("own:pond", "A pond", TEXT), references=(reference,)), fish])
    shared = (await notes.papers())[0].id
    found = await joint.atlas([shared, "own:pond"], 20)
    ids = [paper.id for paper in found.papers]
    assert ids[:2] == [shared, "own:pond"]
    assert len(ids) == len(found.vectors) == len(set(ids))
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1)
    assert found.total == len(await joint.papers())
    assert [(ids[a], ids[b]) for a, b in found.citations] == await joint.citations()
    assert ("own:pond", fish.paper.id) in await joint.citations()


async def test_collections_and_changes_of_both_count(joint: Joint, notes: Library) -> None:
    paper = (await notes.papers())[0].id
    before = joint.revision
    await notes.collect("walks", [paper])
    await joint.collect("walks", [OWN])
    assert await joint.collections() == {"walks": 2}
    assert joint.revision > before
