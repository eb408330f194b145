"""Standing questions in Slack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from knowing import entry
from slack_lab import QUESTION, Lab, opened
from slack_server import Slack

from scholar.library import Library
from scholar.settings import Settings
from scholar.slack import watching


@pytest.fixture
async def lab(slack: Slack, notes: Library, settings: Settings) -> AsyncIterator[Lab]:
    async with opened(slack, notes, settings) as opened_lab:
        opened_lab.bot.when_due.clear()
        yield opened_lab


@pytest.fixture
def slack() -> Any:
    with Slack() as server:
        yield server


def told(lab: Lab) -> list[str]:
    return [str(message) for message in lab.slack.said()]


async def looked(lab: Lab) -> None:
    """As a day later."""
    [watch] = await lab.bot.desk.watches.all()
    await lab.bot.desk.watches.put(replace(watch, checked=None))
    await watching.look_at_all(lab.bot)
    await lab.bot.idle()


async def test_a_standing_question_is_answered_and_new_papers_are_told_of(
    lab: Lab, notes: Library
) -> None:
    await lab.do(lab.slack.command, f"watch {QUESTION}")
    await lab.until(lambda: any(QUESTION in text for text in told(lab)))
    await lab.bot.idle()
    before = len(told(lab))
    await looked(lab)
    assert len(told(lab)) == before  # nothing new, nothing said
    text = "HippoRAG 2 ranks passages by how a passage node is visited in a walk of its graph."
    await notes.add([entry("file:new", "How HippoRAG 2 ranks passages", f"{text} {text}")])
    await looked(lab)
    assert len(told(lab)) == before + 1
    assert "How HippoRAG 2 ranks passages" in told(lab)[-1]


async def test_what_was_looked_at_today_is_left_alone(lab: Lab) -> None:
    await lab.do(lab.slack.command, f"watch {QUESTION}")
    await lab.until(lambda: any(QUESTION in text for text in told(lab)))
    await lab.bot.idle()
    asked = len(lab.model.requests)
    await watching.look_at_all(lab.bot)
    assert len(lab.model.requests) == asked


async def test_standing_questions_are_listed_and_removed(lab: Lab) -> None:
    await lab.do(lab.slack.command, f"watch {QUESTION}")
    await lab.until(lambda: any(QUESTION in text for text in told(lab)))
    await lab.bot.idle()
    [watch] = await lab.bot.desk.watches.all()
    await lab.do(lab.slack.command, "watch list")
    await lab.do(lab.slack.command, f"watch remove {watch.watch_id}", channel="C0RANDOM")
    await lab.bot.idle()
    assert await lab.bot.desk.watches.all() == [watch]  # another channel's is not seen there
    await lab.do(lab.slack.command, f"watch remove {watch.watch_id}")
    await lab.bot.idle()
    assert await lab.bot.desk.watches.all() == []
