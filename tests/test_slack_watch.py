"""Standing questions in Slack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from knowing import entry
from slack_lab import QUESTION, Lab, opened
from slack_server import Slack

from scholar.errors import RunError
from scholar.journal.watches import Watch
from scholar.library import Library
from scholar.runs import Scholar
from scholar.settings import Settings
from scholar.slack import watching
from scholar.watch import Report, look

OPS = "C0OPS"


@pytest.fixture
async def lab(slack: Slack, notes: Library, settings: Settings) -> AsyncIterator[Lab]:
    slack.join(OPS, "U0ANN")
    async with opened(slack, notes, settings, errors=OPS) as opened_lab:
        opened_lab.bot.when_due.clear()
        yield opened_lab


def told(lab: Lab) -> list[str]:
    return [str(message) for message in lab.slack.said()]


async def kept(lab: Lab) -> None:
    """QUESTION is a standing question, and was answered."""
    await lab.do(lab.slack.command, f"watch {QUESTION}")
    await lab.until(lambda: any(QUESTION in text for text in told(lab)))
    await lab.bot.idle()


async def due(lab: Lab) -> Watch:
    """QUESTION is a standing question that nobody has looked at."""
    watch = lab.bot.desk.new_watch(QUESTION, watching.place_of(lab.bot, "C0GENERAL"))
    await lab.bot.desk.watches.put(watch)
    return watch


async def looked(lab: Lab) -> None:
    """As a day later."""
    [watch] = await lab.bot.desk.watches.all()
    await lab.bot.desk.watches.put(replace(watch, checked=None))
    await watching.look_at_all(lab.bot)
    await lab.bot.idle()


async def test_a_standing_question_is_answered_and_new_papers_are_told_of(
    lab: Lab, notes: Library
) -> None:
    await kept(lab)
    before = len(told(lab))
    await looked(lab)
    assert len(told(lab)) == before  # nothing new, nothing said
    text = "HippoRAG 2 ranks passages by how a passage node is visited in a walk of its graph."
    await notes.add([entry("file:new", "How HippoRAG 2 ranks passages", f"{text} {text}")])
    await looked(lab)
    assert len(told(lab)) == before + 1
    assert "How HippoRAG 2 ranks passages" in told(lab)[-1]


async def test_what_was_looked_at_today_is_left_alone(lab: Lab) -> None:
    await kept(lab)
    asked = len(lab.model.requests)
    await watching.look_at_all(lab.bot)
    assert len(lab.model.requests) == asked


async def test_standing_questions_are_listed_and_removed(lab: Lab) -> None:
    await kept(lab)
    [watch] = await lab.bot.desk.watches.all()
    await lab.do(lab.slack.command, "watch list")
    await lab.do(lab.slack.command, f"watch remove {watch.watch_id}", channel="C0RANDOM")
    await lab.bot.idle()
    assert await lab.bot.desk.watches.all() == [watch]  # another channel's is not seen there
    await lab.do(lab.slack.command, f"watch remove {watch.watch_id}")
    await lab.bot.idle()
    assert await lab.bot.desk.watches.all() == []


async def test_what_another_process_is_at_is_left_to_it(lab: Lab) -> None:
    watch = await due(lab)
    claim = lab.bot.desk.scholar.services.journal.claim(f"watch-{watch.watch_id}")
    await watching.look_at_all(lab.bot)
    claim.release()
    assert (lab.slack.said(OPS), await lab.bot.desk.watches.all()) == ([], [watch])


async def test_a_standing_question_that_cannot_be_asked_is_told_of_once_a_day(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waits(*_: object) -> None:
        raise RunError("The run waits for a person; go on with scholar runs resume 1.")

    await due(lab)
    monkeypatch.setattr(watching, "look", waits)
    for _ in range(2):
        await watching.look_at_all(lab.bot)
    [complaint] = lab.slack.said(OPS)
    assert "waits for a person" in str(complaint)


async def test_a_standing_question_that_was_removed_meanwhile_stays_so(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(scholar: Scholar, watch: Watch) -> Report:
        await lab.bot.desk.watches.remove(watch.watch_id)
        return await look(scholar, watch)

    await due(lab)
    monkeypatch.setattr(watching, "look", late)
    await watching.look_at_all(lab.bot)
    assert (lab.slack.said(OPS), await lab.bot.desk.watches.all()) == ([], [])
