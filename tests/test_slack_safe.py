"""That nobody but Slack is heard, nothing is done twice, and text does nothing but be read."""

from __future__ import annotations

import asyncio
import html
import io
import json
import random
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_lab import QUESTION, Lab, opened
from slack_server import APP_TOKEN, BOT, BOT_TOKEN, SECRET, TEAM, Slack, problem_of, signed
from test_slack_blocks import ANSWER, with_text

from scholar.library import Library
from scholar.settings import Settings
from scholar.slack import logs
from scholar.slack.blocks import evidence_of, evidence_view, note, shown
from scholar.slack.progress import Progress
from scholar.slack.text import cut, escape, question_in, size
from scholar.text import plain

FORGED = 1_000


@pytest.fixture
async def lab(slack: Slack, notes: Library, settings: Settings) -> AsyncIterator[Lab]:
    async with opened(slack, notes, settings, door="http") as running:
        yield running


def _event(text: str = QUESTION, ts: str = "1700000000.000100") -> dict[str, Any]:
    event = {
        "type": "app_mention", "user": "U0ANN", "text": f"<@{BOT}> {text}", "ts": ts,
        "channel": "C0GENERAL", "event_ts": ts,
    }  # fmt: skip
    return {
        "type": "event_callback", "team_id": TEAM, "event": event, "event_id": f"Ev{ts}",
        "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
    }  # fmt: skip


def _forged(n: int, rng: random.Random) -> tuple[bytes, dict[str, str]]:
    """A request that Slack has not sent like this: of one kind after the other."""
    kind = ("events_api", "interactive", "slash_commands")[n % 3]
    payload = _event(ts=f"1700000000.{n:06d}")
    if kind == "slash_commands":
        payload = {"command": "/scholar", "text": "help", "ssl_check": "1", "team_id": TEAM}
    body, headers = signed(kind, payload)
    match n % 10:
        case 0:
            body, headers = signed(kind, payload, secret="f" * 16)
        case 1:
            body, headers = signed(kind, payload, at=time.time() - rng.randint(301, 10**6))
        case 2:
            body, headers = signed(kind, payload, at=time.time() + rng.randint(301, 10**6))
        case 3:
            at = rng.randrange(len(body))
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        case 4:
            body = body + rng.choice([b" ", b"\x00", b"\xff\xfe", b"&ssl_check=1"])
        case other:
            headers = {name: value for name, value in _altered(other, headers, rng) if value != "-"}
    return body, headers


def _altered(n: int, headers: dict[str, str], rng: random.Random) -> Iterator[tuple[str, str]]:
    """The headers, the signature or the time stamp in them changed or left out ("-")."""
    signature, stamp = headers["X-Slack-Signature"], headers["X-Slack-Request-Timestamp"]
    at = rng.randrange(3, len(signature))
    another = rng.choice([c for c in "0123456789abcdef" if c != signature[at]])
    signatures = ["", "v0=", f"v1={signature[3:]}", signature.upper(), f"{signature}00", "\xe9"]
    stamps = ["", "-1", "1e9", "nan", "0x10", f"+{stamp}", f"{stamp}.0", "9" * 400]
    yield "Content-Type", headers["Content-Type"]
    if n % 2:
        changed = [signature[:at] + another + signature[at + 1 :], rng.choice(signatures), "-"]
        yield "X-Slack-Signature", rng.choice(changed)
        yield "X-Slack-Request-Timestamp", stamp
    else:
        moved = str(int(stamp) + rng.choice([-7, -1, 1, 60]))
        yield "X-Slack-Signature", signature
        yield "X-Slack-Request-Timestamp", rng.choice([moved, rng.choice(stamps), "-"])


async def test_forged_stale_and_altered_requests_are_refused_all_of_them(lab: Lab) -> None:
    rng = random.Random(7)
    requests = [_forged(n, rng) for n in range(FORGED)]

    def send() -> list[int]:
        return [lab.slack.post(body, headers).status for body, headers in requests]

    statuses = await lab.do(send)
    assert {status: statuses.count(status) for status in set(statuses)} == {401: FORGED}
    await lab.bot.idle()
    assert lab.slack.said() == []


async def test_a_request_that_slack_did_sign_is_heard_once_and_its_replay_refused(
    lab: Lab,
) -> None:
    request = signed("events_api", _event())
    assert (await lab.do(lab.slack.post, *request)).status == 200
    assert (await lab.do(lab.slack.post, *request)).status == 401
    assert len(await lab.answered()) == 1


async def test_what_slack_sends_again_is_acknowledged_and_not_done_again(lab: Lab) -> None:
    began = time.time()
    for retry in range(3):
        # Slack signs a repetition anew.
        body, headers = signed("events_api", _event(), at=began - retry)
        again = {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"}
        assert (await lab.do(lab.slack.post, body, {**headers, **again})).status == 200
    assert len(await lab.answered()) == 1
    assert len(lab.slack.said()) == 1


async def test_an_event_that_reaches_two_processes_runs_once(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings, door="http") as one:
        first = slack.events
        async with opened(slack, notes, settings, door="http") as two:
            began = time.time()
            requests = [
                (door, *signed("events_api", _event(ts=f"1700000000.{n:06d}"), at=began - again))
                for n in range(20)
                for again, door in enumerate((first, slack.events))
            ]
            posts = (asyncio.to_thread(_post, *request) for request in requests)
            assert set(await asyncio.gather(*posts)) == {200}
            await one.until(lambda: len(one.answers()) >= 20, 60)
            await one.bot.idle()
            await two.bot.idle()
            assert len(slack.said()) == 20


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    slack = Slack()
    slack.events = url
    return slack.post(body, headers).status


async def test_no_secret_reaches_a_log(
    slack: Slack, notes: Library, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    import logging

    async with opened(slack, notes, settings) as lab:
        for name in ("scholar.slack", "slack_bolt", "slack_sdk"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        await lab.ask()
        slack.good_tokens.remove(BOT_TOKEN)
        await lab.do(slack.drop_sockets)
        await lab.do(slack.ask, QUESTION)
        with pytest.raises(Exception, match="invalid_auth"):
            await lab.bot.failed
    for name in ("scholar.slack", "slack_bolt", "slack_sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)
    written = capfd.readouterr().err
    assert len(written) > 1_000  # it has logged
    for secret in (BOT_TOKEN, APP_TOKEN, SECRET, "secret-ticket"):
        assert secret not in written


def test_secrets_are_taken_out_of_tracebacks_too() -> None:
    stream = io.StringIO()
    log = logs.logger(stream)
    try:
        raise ValueError(f"{BOT_TOKEN} {APP_TOKEN} xoxe.xoxp-1-abc wss://a.b/?ticket=1")
    except ValueError:
        log.exception("%s failed", BOT_TOKEN)
    logs.logger()
    assert re.findall(r"xox|xapp|wss", stream.getvalue()) == []
    assert "ValueError" in stream.getvalue()


# Markup

_ACTIVE = re.compile(r"<([@#!]|https?:|mailto:|[^<>]*\|)[^<>]*>")
_HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "<!channel>", "<!here>", "<!everyone>", "<@U0ANN>", "<#C0GENERAL|general>",
                "<https://evil.example|click>", "<!subteam^S1>", "<!date^1^{date}^https://e.x|x>",
                "&lt;!channel&gt;", "&amp;lt;", "@here", "@channel", "http://evil.example/x.png",
                "*bold*", "_it_", "`code`", "```", "~no~", ">>>", ":tada:", "[a](http://evil.x)",
                "![i](http://e.x/i.png)", "\u202e", "\u200b", "\x00", "\ud800", "\n", " ",
                '{"type":"actions"}', "<javascript:alert(1)|x>", "<mailto:a@b.c>", "😀", "&", "<",
            ]
        ),
        st.text(max_size=8),
    ),
    max_size=12,
).map("".join)  # fmt: skip


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _objects(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _objects(each)


def _does_nothing(blocks: Any, text: str) -> None:
    """No markup that Slack would act on: text in blocks is literal, `text` is escaped."""
    assert not _ACTIVE.search(text)
    for found in _objects(blocks):
        assert found.get("type") not in ("mrkdwn", "user", "usergroup", "broadcast", "channel")
        if found.get("type") == "link":
            assert re.match(r"https://(arxiv|doi)\.org/[!-~]+$", found["url"])
        if found.get("type") == "plain_text":
            assert found.get("emoji", False) is False
    json.dumps(blocks).encode()


@settings(max_examples=150, deadline=None)
@given(_HOSTILE)
def test_no_text_of_an_answer_is_markup_in_slack(text: str) -> None:
    answer = with_text(text or "x")
    result = shown(answer, "ask")
    for message in result.messages:
        _does_nothing(message.blocks, message.text)
        assert problem_of(message.blocks) == ""
    _does_nothing(evidence_view(evidence_of(answer), "ask"), "")
    own = note(text)
    _does_nothing(own.blocks, own.text)
    _does_nothing(Progress(text).message("ask").blocks, Progress(text).message("ask").text)


@settings(max_examples=300, deadline=None)
@given(_HOSTILE)
def test_escaped_text_reads_as_it_was_and_does_nothing(text: str) -> None:
    escaped = escape(text)
    assert not _ACTIVE.search(escaped)
    assert "<" not in escaped
    assert html.unescape(escaped.replace("&amp;", "&amp;")) == html.unescape(
        html.escape(plain(text), quote=False)
    )


@settings(max_examples=200, deadline=None)
@given(_HOSTILE, st.integers(1, 20))
def test_text_that_is_cut_loses_nothing(text: str, most: int) -> None:
    pieces = list(cut(text, most))
    assert "".join(pieces) == text
    assert all(size(piece) <= max(most, 2) for piece in pieces)


@settings(max_examples=200, deadline=None)
@given(_HOSTILE)
def test_a_question_is_plain_text_whatever_was_written(text: str) -> None:
    asked = question_in(text, BOT)
    assert f"<@{BOT}>" not in question_in(f"<@{BOT}> {text}", BOT)[: len(BOT) + 3]
    assert asked == asked.strip()


def test_a_link_is_made_of_nothing_but_an_identifier() -> None:
    paper = replace(
        ANSWER.bibliography[0],
        identifiers={"arxiv": "../../evil|x", "doi": "10.1/x>|<!channel>"},
    )
    found = [o["url"] for o in _objects(evidence_view(evidence_of(
        replace(ANSWER, bibliography=(paper,))), "ask")) if o.get("type") == "link"]  # fmt: skip
    assert set(found) == {"https://doi.org/10.1/x%3E%7C%3C%21channel%3E"}
