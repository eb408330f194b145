"""Standing questions: asked again when papers have come that bear on them, and compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Literal

from scholar.journal import RESUMABLE
from scholar.journal.watches import Watch
from scholar.library.ingest import expand, ingest
from scholar.runs import Scholar
from scholar.values import Answer, CitedSentence, Paper

ALIKE = 0.6
"""Share of words in order from which two sentences are one that was changed: a sentence with a
figure or a name replaced has 0.8 and more, two on one subject mostly below 0.5.
"""
NEWEST = 20
"""Papers that arXiv is asked for at a time, the newest first: more than a field brings in a day."""
DEPTH = 3
"""Times the passages that a step reads, among which a paper bears on the question."""

Kind = Literal["new", "changed", "gone", "retracted"]
Status = Literal["first", "nothing_new", "nothing_relevant", "same", "changed", "failed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One sentence that is not what it was: `before` and `after`, one of which may be empty, and
    the `papers` that changed it, by id.
    """

    kind: Kind
    before: str
    after: str
    papers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What looking at a standing question brought.

    `new` are the papers that have come since, `failed` what could not be added, each with its
    reason. `answer` is None where nothing had to be asked.
    """

    watch: Watch
    status: Status
    new: tuple[Paper, ...] = ()
    changes: tuple[Change, ...] = ()
    answer: Answer | None = None
    failed: tuple[str, ...] = ()


async def look(scholar: Scholar, watch: Watch) -> Report:
    """Look whether there are new papers, ask again where they bear on the question, and compare.

    Without a new paper nothing is asked and nothing is paid. Raises RunError where another process
    is looking at the same question.
    """
    services = scholar.services
    journal = services.journal
    claim = journal.claim(f"watch-{watch.watch_id}")
    try:
        watch = await journal.watches.find(watch.watch_id)  # somebody may just have looked
        failed = await _fetch(scholar, watch)
        papers = {paper.id: paper for paper in await services.library.papers()}
        new = tuple(paper for id, paper in papers.items() if id not in watch.seen)
        before = await journal.answer(watch.run_id) if watch.run_id else None
        retracted = tuple(_retracted(before, papers))
        now = replace(watch, checked=services.clock(), seen=tuple(papers))
        if before is not None and not retracted and not await _bears(scholar, watch, new):
            await journal.watches.update(now)
            status: Status = "nothing_relevant" if new else "nothing_new"
            return Report(now, status, new, failed=failed)
        answer = await _asked(scholar, watch)
        if answer.outcome in RESUMABLE:
            # What has been seen stays as it was, so that the next look asks again.
            return Report(watch, "failed", new, answer=answer, failed=failed)
        now = replace(now, run_id=answer.run_id)
        await journal.watches.update(now)
        if before is None:
            return Report(now, "first", new, answer=answer, failed=failed)
        changes = (*retracted, *compare(before, answer))
        return Report(now, "changed" if changes else "same", new, changes, answer, failed)
    finally:
        claim.release()


def compare(before: Answer, after: Answer) -> list[Change]:
    """What is different in `after`, sentence by sentence."""
    old, new = [*before.sentences, *before.sides], [*after.sentences, *after.sides]
    pairs = dict(_paired(old, new))
    changes = []
    for at, sentence in enumerate(new):
        was = old[pairs[at]] if at in pairs else None
        if was is None:
            changes.append(Change("new", "", sentence.text, _cited(sentence)))
        elif was.text != sentence.text:
            changes.append(Change("changed", was.text, sentence.text, _moved(was, sentence)))
    left = set(range(len(old))) - set(pairs.values())
    changes += [Change("gone", old[n].text, "", _cited(old[n])) for n in sorted(left)]
    return changes


async def _fetch(scholar: Scholar, watch: Watch) -> tuple[str, ...]:
    """Add what arXiv has for the question's query, and return what could not be added and why."""
    services = scholar.services
    if not watch.query:
        return ()
    if services.settings.offline:
        return (f"arXiv was not searched for {watch.query}, since offline is set.",)
    items = await expand(
        services.library, [], services.settings, query=watch.query, limit=NEWEST, newest=True
    )
    results = [result async for result in ingest(services.library, items, services.settings)]
    return tuple(result.failure for result in results if result.status == "failed")


async def _bears(scholar: Scholar, watch: Watch, new: Sequence[Paper]) -> bool:
    """Whether one of the new papers is among what a search for the question would read."""
    if not new:
        return False
    preset = scholar.services.settings.preset_named(watch.preset or None)
    hits = await scholar.services.library.search(watch.question, DEPTH * preset.passages)
    return not {hit.paper_id for hit in hits}.isdisjoint(paper.id for paper in new)


async def _asked(scholar: Scholar, watch: Watch) -> Answer:
    run = scholar.start(watch.question, preset=watch.preset or None)
    return await run.answer()


def _retracted(before: Answer | None, papers: dict[str, Paper]) -> Iterator[Change]:
    """The papers of an answer that have been retracted since."""
    for paper in before.bibliography if before else ():
        now = papers.get(paper.id)
        if now is not None and now.retracted and not paper.retracted:
            yield Change("retracted", paper.title, "", (paper.id,))


def _paired(
    old: Sequence[CitedSentence], new: Sequence[CitedSentence]
) -> Iterable[tuple[int, int]]:
    """Pairs of a new sentence and the old one that it was, the most alike first."""
    likeness = sorted(
        (
            (_likeness(old[was].text, new[now].text), -now, -was)
            for now in range(len(new))
            for was in range(len(old))
        ),
        reverse=True,
    )
    used_new: set[int] = set()
    used_old: set[int] = set()
    for alike, now, was in likeness:
        if alike >= ALIKE and -now not in used_new and -was not in used_old:
            used_new.add(-now)
            used_old.add(-was)
            yield -now, -was


def _likeness(one: str, other: str) -> float:
    if one == other:
        return 2.0  # before any pair that is merely alike
    return SequenceMatcher(None, one.lower().split(), other.lower().split(), False).ratio()


def _cited(sentence: CitedSentence) -> tuple[str, ...]:
    return tuple(dict.fromkeys(citation.paper_id for citation in sentence.citations))


def _moved(was: CitedSentence, now: CitedSentence) -> tuple[str, ...]:
    """The papers that a changed sentence cites anew, or all of its papers where none is."""
    cited, before = _cited(now), set(_cited(was))
    return tuple(id for id in cited if id not in before) or cited
