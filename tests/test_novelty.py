"""Novelty: the passage that has an idea is put before the judge, whose word is checked.

Twenty papers each have an idea in other words in their method section; the judge here is scripted,
and knows an idea only where the sentence that has it is among the passages of its prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from arxiv_server import Arxiv
from conftest import DATA
from inventive import inventive, invents
from minds import Mind, Said, Seen, for_backend
from office import OpenDesk
from papers import GAIN, RANKING, WALKS
from planted import PLANTED, Planted

from scholar.agents import novelty
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Services, context_for
from scholar.errors import ModelUnavailable
from scholar.library import Entry, Library
from scholar.library.passages import cut
from scholar.readers.document import Document
from scholar.settings import Settings, Tools, load
from scholar.state import State
from scholar.values import Idea, Novelty, Outcome, Paper

TITLES = {planted.idea: planted for planted in PLANTED}
HALVES = (PLANTED[::2], PLANTED[1::2])


def judge(seen: Seen) -> Said:
    """Knows an idea by the very sentence that has it, and only where that is shown."""
    title = re.findall(r'<idea title="([^"]*)">', seen.text)[0]
    planted = TITLES[title]
    for label, text in seen.passages.items():
        if planted.done in " ".join(text.split()):
            near = {"passage": label, "quote": planted.done, "same": "all of it", "differs": ""}
            return {"nearest": [near], "verdict": "known"}
    label, text = next(iter(seen.passages.items()))
    near = {"passage": label, "quote": text.split(". ")[0], "same": "", "differs": "the rest"}
    return {"nearest": [near], "verdict": "new"}


def ideas(planted: Sequence[Planted]) -> list[Idea]:
    return [
        Idea(str(n), one.idea, "brainstorm", one.proposes, method=one.proposes, claims=(one.claim,))
        for n, one in enumerate(planted, start=1)
    ]


async def verdicts(
    asked: list[Idea], library: Library, settings: Settings, mind: Mind = judge
) -> tuple[list[Novelty], State]:
    backend = FakeBackend(for_backend(mind))
    services = Services(settings, library, Gateway(settings, {"*": backend}))
    state: State = {"question": "Methods that save labels and reading", "ideas": asked}
    update = await novelty.check(state, context_for(state, services, lambda _: None))
    found = [idea.novelty for idea in update["ideas"]]
    assert all(found)
    return [one for one in found if one], update


@pytest.fixture(params=["none", "auto"])
async def stocked(settings: Settings, request: Any) -> AsyncIterator[tuple[Library, Settings]]:
    """The first half of the planted papers among other ones, searched without and with vectors."""
    known = settings.model_copy(update={"embedder": request.param})
    library = Library(known)
    await library.add([planted.entry for planted in HALVES[0]])
    if DATA.is_dir() and request.param == "auto":  # words alone do not find other words among many
        await library.add(abstracts(120))
    yield library, known
    library.close()


def abstracts(most: int) -> list[Entry]:
    """The first `most` of 200 real abstracts."""
    lines = (DATA / "acl2022" / "papers.jsonl").read_text("utf-8").splitlines()[:most]
    entries = []
    for row in map(json.loads, lines):
        paper = Paper(f"file:{row['_id']}", row["title"], year=2022, holds="abstract")
        document = Document(row["text"], row["title"])
        entries.append(Entry(paper, row["text"], cut(paper.id, document)))
    return entries


@pytest.mark.slow
async def test_twenty_planted_ideas_are_known_by_their_passage_and_controls_are_not(
    stocked: tuple[Library, Settings],
) -> None:
    library, settings = stocked
    for there, absent in (HALVES, HALVES[::-1]):
        if there is HALVES[1]:
            await library.remove([planted.id for planted in absent])
            await library.add([planted.entry for planted in there])
        found, _ = await verdicts(ideas(there), library, settings)
        for planted, one in zip(there, found, strict=True):
            assert one.verdict == "known", planted.idea
            [near] = one.nearest
            assert near.citation.quote == planted.done
            assert near.citation.paper_id == planted.id
            [passage] = await library.passages([near.citation.passage_id])
            start = near.citation.start - passage.start
            assert passage.text[start:].startswith(planted.done)
            assert "Method" in passage.section
        controls, _ = await verdicts(ideas(absent), library, settings)
        assert [one.verdict for one in controls] == ["new"] * len(absent)
        assert all(one.nearest for one in controls)


# What a judge may not do


def says(verdict: str, quote: str, same: str = "", differs: str = "") -> Mind:
    near = {"passage": "p1", "quote": quote, "same": same, "differs": differs}
    return lambda _: {"nearest": [near], "verdict": verdict}


@pytest.fixture
def one() -> list[Idea]:
    method = "Rank passages by a walk over graphs of entities."
    return [Idea("1", "Walking to passages", "leap", method, method=method, claims=(method,))]


async def test_a_verdict_whose_quote_no_passage_has_is_none(
    shelf: Library, settings: Settings, one: list[Idea]
) -> None:
    for verdict in ("known", "incremental"):
        invented = says(verdict, "Graph walks were invented on Mars by patient rovers.")
        [found], _ = await verdicts(one, shelf, settings, invented)
        assert found.verdict == "unchecked"
        assert "no passage was quoted" in found.why
        assert found.nearest  # by the words, without a judgement
        assert not any(near.same or near.differs for near in found.nearest)


async def test_a_quote_keeps_only_what_may_be_said_of_it(
    shelf: Library, settings: Settings, one: list[Idea]
) -> None:
    mind = says("known", RANKING, "it gains 99.3 points", "no links, see https://evil.example/x")
    [found], _ = await verdicts(one, shelf, settings, mind)
    [near] = found.nearest
    assert found.verdict == "known"
    assert near.citation.quote == RANKING
    assert near.same == ""
    assert "evil" not in near.differs


async def test_an_idea_is_unchecked_where_its_judge_fails_or_nothing_is_found(
    shelf: Library, settings: Settings, one: list[Idea]
) -> None:
    def fails(_: Seen) -> Said:
        return ModelUnavailable("Nobody answers.", reached=False)

    two = [*one, *ideas(PLANTED[:1])]
    found, update = await verdicts(two, shelf, settings, fails)
    assert [each.verdict for each in found] == ["unchecked", "unchecked"]
    assert "could not be checked for novelty" in update["notes"][0]


async def test_in_an_empty_library_nothing_is_new(
    library: Library, settings: Settings, one: list[Idea]
) -> None:
    [found], _ = await verdicts(one, library, settings)
    assert found.verdict == "unchecked"
    assert "found no passage" in found.why


async def test_a_checked_idea_is_not_paid_for_again(
    shelf: Library, settings: Settings, one: list[Idea]
) -> None:
    known = Idea(**{**_fields(one[0]), "novelty": Novelty("new")})
    backend = FakeBackend([])
    services = Services(settings, shelf, Gateway(settings, {"*": backend}))
    state: State = {"question": "walks", "ideas": [known]}
    update = await novelty.check(state, context_for(state, services, lambda _: None))
    assert update["ideas"] == [known]
    assert not backend.requests


def _fields(idea: Idea) -> dict[str, Any]:
    return {name: getattr(idea, name) for name in Idea.__dataclass_fields__}


# arXiv


async def test_what_arxiv_lists_is_read_in_and_the_rest_is_told(
    desk: OpenDesk,
    arxiv: Arxiv,
) -> None:
    at = desk(inventive, **arxiv.changes, tools=Tools(papers_per_run=1))
    answer = await at.scholar.ideas("rovers on graphs", wanted=2)
    searched = {place for idea in answer.ideas for place in _novelty(idea).searched}
    assert "arXiv" in searched
    held = {paper.id for paper in await at.scholar.services.library.papers()}
    assert len([id for id in held if id.startswith("arxiv:2402")]) == 1
    listed = [work for idea in answer.ideas for work in _novelty(idea).listed]
    assert all("arxiv:" in work for work in listed)


async def test_where_arxiv_fails_nothing_is_new(desk: OpenDesk) -> None:
    gone = {"api": "http://127.0.0.1:9/api", "delay": 0}
    at = desk(inventive, offline=False, arxiv=_arxiv(gone), http=_impatient())
    answer = await at.scholar.ideas("graph walks", wanted=2)
    assert {_novelty(idea).verdict for idea in answer.ideas} == {"unchecked"}
    assert all("arXiv was not searched" in _novelty(idea).why for idea in answer.ideas)
    assert any("arXiv was not searched for 2 of 2 ideas" in note for note in answer.notes)
    assert answer.outcome is Outcome.PARTIAL


async def test_where_arxiv_fails_what_the_library_has_is_still_known(desk: OpenDesk) -> None:
    gone = {"api": "http://127.0.0.1:9/api", "delay": 0}
    mind = invents(novelty=says("known", GAIN))
    at = desk(mind, offline=False, arxiv=_arxiv(gone), http=_impatient())
    answer = await at.scholar.ideas("graph walks gain recall on multi-hop questions", wanted=2)
    assert {_novelty(idea).verdict for idea in answer.ideas} == {"known"}
    assert _novelty(answer.ideas[0]).nearest[0].citation.paper_id == WALKS


def _arxiv(changes: dict[str, Any]) -> Any:
    return load(arxiv=changes).arxiv


def _impatient() -> Any:
    return load(http={"retries": 0, "timeout": 1}).http


def _novelty(idea: Idea) -> Novelty:
    assert idea.novelty is not None
    return idea.novelty
