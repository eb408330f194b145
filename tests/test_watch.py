"""Standing questions: what new papers change, sentence by sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from minds import Seen, for_backend, honest

from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Services
from scholar.errors import RunError
from scholar.journal import Journal
from scholar.journal.watches import Watch
from scholar.library import Entry, Library
from scholar.library.passages import cut
from scholar.readers.document import Document
from scholar.runs import Scholar
from scholar.settings import Settings
from scholar.values import Answer, Citation, CitedSentence, Outcome, Paper
from scholar.watch import Change, Report, compare, look

QUESTION = "How do graph walks rank passages on multi-hop questions?"


class Kept:
    """An assistant whose runs are kept, and its scripted model."""

    def __init__(self, settings: Settings, library: Library, mind: Any) -> None:
        self.library = library
        self.backend = FakeBackend(for_backend(mind))
        self.journal = Journal.of(settings)
        gateway = Gateway(settings, {"*": self.backend})
        self.scholar = Scholar(services=Services(settings, library, gateway, journal=self.journal))

    async def look(self) -> Report:
        """Look at the one question there is."""
        [watch] = await self.journal.watches.all()
        return await look(self.scholar, watch)


@pytest.fixture
async def kept(shelf: Library, settings: Settings) -> AsyncIterator[Kept]:
    at = Kept(settings, shelf, honest)
    await at.journal.watches.put(Watch("w", QUESTION))
    yield at
    await at.scholar._checkpoints.aclose()
    await at.journal.aclose()


def paper(name: str, text: str) -> Entry:
    document = Document(text)
    made = Paper(f"file:{name}", name.title())
    return Entry(made, text, tuple(cut(made.id, document)))


NEW = paper(
    "walks again",
    "Graph walks rank passages on multi-hop questions by the time that a walker spends there. "
    "On multi-hop questions graph walks rank passages better when the walk begins at facts.",
)


async def test_the_first_look_answers(kept: Kept) -> None:
    report = await kept.look()
    assert report.status == "first"
    assert report.answer
    assert report.answer.outcome is Outcome.ANSWERED


async def test_one_removed_while_it_is_looked_at_stays_removed(kept: Kept) -> None:
    [watch] = await kept.journal.watches.all()
    await kept.journal.watches.remove(watch.watch_id)
    assert not await kept.journal.watches.update(watch)
    assert await kept.journal.watches.all() == []


async def test_nothing_new_costs_nothing(kept: Kept) -> None:
    await kept.look()
    asked = len(kept.backend.requests)
    assert (await kept.look()).status == "nothing_new"
    assert len(kept.backend.requests) == asked


async def test_a_new_paper_on_something_else_costs_nothing(kept: Kept) -> None:
    await kept.look()
    asked = len(kept.backend.requests)
    await kept.library.add([paper("fish", "Herring swim in the cold sea and eat plankton. " * 3)])
    report = await kept.look()
    assert report.status == "nothing_relevant"
    assert [new.title for new in report.new] == ["Fish"]
    assert len(kept.backend.requests) == asked
    assert (await kept.look()).status == "nothing_new"


async def test_a_new_paper_that_bears_on_it_is_named_with_what_it_changed(kept: Kept) -> None:
    first = await kept.look()
    await kept.library.add([NEW])
    report = await kept.look()
    assert report.status == "changed"
    assert any(NEW.paper.id in change.papers for change in report.changes)
    assert first.answer
    assert report.answer
    assert report.answer.run_id != first.answer.run_id


async def test_a_run_that_fails_leaves_what_was_seen_as_it_was(
    kept: Kept, shelf: Library, settings: Settings
) -> None:
    await kept.look()
    await shelf.add([NEW])

    def fails(seen: Seen) -> Any:
        return "nothing"

    failing = Kept(settings, shelf, fails)
    assert (await failing.look()).status == "failed"
    assert (await kept.look()).status == "changed"
    await failing.scholar._checkpoints.aclose()
    await failing.journal.aclose()


async def test_a_retraction_of_a_cited_paper_is_reported(kept: Kept) -> None:
    first = await kept.look()
    assert first.answer
    cited = first.answer.bibliography[0]
    [held] = await kept.library.papers([cited.id])
    await kept.library.update_status([Paper(held.id, held.title, retracted=True)])
    report = await kept.look()
    assert Change("retracted", cited.title, "", (cited.id,)) in report.changes


async def test_two_looks_at_once_do_not_ask_twice(kept: Kept) -> None:
    claim = kept.journal.claim("watch-w")
    with pytest.raises(RunError, match="under way in another process"):
        await kept.look()
    claim.release()
    assert not kept.backend.requests


def said(*sentences: tuple[str, str]) -> Answer:
    cited = (
        CitedSentence(text, (Citation(id, f"{id}#0", text, 0, len(text)),))
        for text, id in sentences
    )
    return Answer("r", QUESTION, Outcome.ANSWERED, tuple(cited))


def test_sentences_are_compared_by_what_they_say() -> None:
    before = said(
        ("Walks gain 7% on MuSiQue over dense retrieval.", "a"),
        ("Synonym edges help little.", "a"),
        ("The walk costs one second a query.", "b"),
    )
    after = said(
        ("The walk costs one second a query.", "c"),
        ("Walks gain 9% on MuSiQue over dense retrieval.", "d"),
        ("Fact filters remove noise before walking begins.", "d"),
    )
    assert compare(before, after) == [
        Change(
            "changed",
            "Walks gain 7% on MuSiQue over dense retrieval.",
            "Walks gain 9% on MuSiQue over dense retrieval.",
            ("d",),
        ),
        Change("new", "", "Fact filters remove noise before walking begins.", ("d",)),
        Change("gone", "Synonym edges help little.", "", ("a",)),
    ]
    assert compare(before, before) == []
