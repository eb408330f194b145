"""Many questions at once, and a bot that is killed in the middle of an answer."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import NOTES
from minds import Seen, for_server, honest
from model_server import ModelServer, Stall
from slack_lab import QUESTION, opened
from slack_server import APP_TOKEN, BOT_TOKEN, Slack, buttons_of, text_of

from scholar.library import Library
from scholar.settings import Settings
from scholar.slack.post import Pace

pytestmark = pytest.mark.slow

QUESTIONS, CHANNELS, WITHIN = 200, 20, 10.0
RATES = {"chat.postMessage": 1.0, "chat.startStream": 5.0, "chat.update": 10.0}
"""Calls a second that this Slack allows, of new messages in each channel; past it answers 429."""


async def test_200_questions_in_20_channels_are_all_answered_once_and_in_order(
    notes: Library, settings: Settings
) -> None:
    with Slack(streams=False) as slack:
        slack.rates = dict(RATES)
        channels = [f"C0CHAN{n:02d}" for n in range(CHANNELS)]
        for n, channel in enumerate(channels):
            slack.join(channel, f"U0USER{n}")
        pace = Pace(post=1.0, edit=1.5, first=0.2)
        async with opened(slack, notes, settings, pace=pace, concurrent=8) as lab:
            asked = await asyncio.to_thread(_ask_all, slack, channels)
            assert len(asked) == QUESTIONS
            assert max(seconds for _, _, seconds in asked) < 3
            await lab.until(lambda: sum(len(lab.answers(c)) for c in channels) == QUESTIONS, 200)
            await lab.bot.idle()
        for channel in channels:
            threads = {thread for c, thread, _ in asked if c == channel}
            answers = slack.said(channel)
            assert len(answers) == len(lab.answers(channel)) == QUESTIONS // CHANNELS
            assert {answer["thread_ts"] for answer in answers} == threads
        _in_order(slack, lab.bot.store)
        _limits_were_obeyed(slack)


def _ask_all(slack: Slack, channels: list[str]) -> list[tuple[str, str, float]]:
    """Ask within ten seconds: in each channel five threads, with two questions each, in order.

    Returns channel, thread and how long the bot took to acknowledge, of each.
    """
    began = time.monotonic()
    asked: list[tuple[str, str, float]] = []

    def in_channel(n: int) -> None:
        channel = channels[n]
        for _ in range(QUESTIONS // CHANNELS // 2):
            thread: str | None = None
            for text in ("First: how does HippoRAG 2 rank?", "Second: what does it cost?"):
                before = time.monotonic()
                ts = slack.ask(text, channel=channel, user=f"U0USER{n}", thread=thread)
                asked.append((channel, thread or ts, time.monotonic() - before))
                thread = thread or ts

    with ThreadPoolExecutor(CHANNELS) as people:
        list(people.map(in_channel, range(CHANNELS)))
    assert time.monotonic() - began < WITHIN
    return asked


def _in_order(slack: Slack, store: Any) -> None:
    """The second question of each thread was taken up after the first was done."""
    done = {(c.args["channel"], c.args["ts"]): c.at for c in slack.called("chat.update")}
    ends: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for channel in slack.channels:
        for message in slack.said(channel):
            ask = store_of(store, channel, message["ts"])
            ends[f"{channel} {message['thread_ts']}"].append(
                (ask.question[:5], done[channel, message["ts"]])
            )
    for pair in ends.values():
        assert [name for name, _ in sorted(pair, key=lambda end: end[1])] == ["First", "Secon"]


def store_of(store: Any, channel: str, ts: str) -> Any:
    """The ask whose message this is."""
    return store.of_message(channel, ts)[0]


def _limits_were_obeyed(slack: Slack) -> None:
    """After each 429 the same call came no earlier than it was told to."""
    by: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for call in slack.calls:
        posts = call.method == "chat.postMessage"
        by[call.method, call.args["channel"] if posts else ""].append(call)
    refused = 0
    for calls in by.values():
        for n, call in enumerate(calls):
            if call.status == 429:
                refused += 1
                later = [c.at for c in calls[n + 1 :] if c.at > call.at + 0.2]
                assert all(at - call.at >= 0.99 for at in later[:1])
    assert refused < QUESTIONS  # it does not run into them again and again


@pytest.mark.parametrize("streams", [True, False])
async def test_a_bot_that_is_killed_goes_on_in_the_same_message(
    streams: bool, tmp_path: Path, settings: Settings
) -> None:
    held = {"on": True}

    def mind(seen: Seen) -> Any:
        return Stall() if held["on"] and seen.call in ("answer", "writer") else honest(seen)

    with Slack(streams=streams) as slack, ModelServer(for_server(mind)) as model:
        environment = _environment(slack, model, settings.home)
        await asyncio.to_thread(_add_notes, environment)
        with _running(environment, tmp_path / "one") as first:
            asked = await asyncio.to_thread(slack.ask, QUESTION)
            await asyncio.to_thread(slack.wait, lambda: model.requests and slack.said(), 30)
            first.send_signal(signal.SIGKILL)
        [message] = slack.said()
        held["on"] = False
        with _running(environment, tmp_path / "two") as second:
            await asyncio.to_thread(slack.wait, lambda: "deeper" in buttons_of(slack.said()[0]), 30)
            again = await asyncio.to_thread(
                slack.say, "And what does it cost, all in all?", thread=asked
            )
            assert again
            await asyncio.to_thread(slack.wait, lambda: len(slack.said()) == 2, 30)
            second.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(second.wait, 20) == 0
        assert slack.said()[0]["ts"] == message["ts"]
        assert "Dense retrieval" in text_of(slack.said()[0])
        assert not slack.said()[0].get("streaming")
    for log in (tmp_path / "one", tmp_path / "two"):
        assert "xoxb" not in log.read_text()
        assert "Listening in Socket Mode" in log.read_text()


def _add_notes(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "scholar", "add", str(NOTES)]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def _environment(slack: Slack, model: ModelServer, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "SCHOLAR_HOME": str(home),
        "SCHOLAR_EMBEDDER": "none",
        "SCHOLAR_PRESET": "fast",
        "SCHOLAR_MODEL": f"openai:scripted@{model.url}",
        "SCHOLAR_SLACK__API": slack.api,
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "COLUMNS": "80",
    }


class _running:  # noqa: N801
    """`scholar slack` as a process of its own, with what it says in a file."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._log = log.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scholar", "slack"],
            env=environment, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()
