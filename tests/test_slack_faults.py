"""What goes wrong between the bot and Slack, and that it ends sensibly each time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from minds import but
from model_server import Stall
from slack_lab import QUESTION, opened
from slack_server import BOT, BOT_TOKEN, Fault, Slack, buttons_of, text_of

from scholar.library import Library
from scholar.settings import Settings
from scholar.slack.post import Refused
from scholar.slack.store import Store

STUCK = but(answer=lambda _: Stall(), writer=lambda _: Stall())


@pytest.fixture(params=["streams", "edits"])
def slack(request: pytest.FixtureRequest) -> Iterator[Slack]:
    with Slack(streams=request.param == "streams") as running:
        yield running


async def test_what_was_sent_while_the_socket_was_down_is_answered_once(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings) as lab:
        await lab.do(slack.drop_sockets)
        await lab.ask()
        await lab.do(slack.drop_sockets)
        await lab.do(slack.ask, QUESTION)
        assert len(await lab.answered(2)) == 2
        assert len(slack.said()) == 2


async def test_calls_that_slack_fails_are_repeated_and_nothing_is_posted_twice(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    failed, done = Fault(status=500), Fault(status=500, after=True)
    for method in ("chat.startStream", "chat.postMessage"):
        slack.fail(method, done, failed)
    slack.fail("chat.update", failed, Fault(status=503), failed)
    slack.fail("chat.appendStream", failed, failed)
    async with opened(slack, notes, settings) as lab:
        answer = await lab.ask()
    assert "Dense retrieval" in text_of(answer)
    assert len(slack.said()) == 1


async def test_a_limit_of_slacks_is_waited_for_as_long_as_it_says(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    slack.fail("chat.update", Fault(status=429, error="ratelimited", retry_after=1))
    async with opened(slack, notes, settings) as lab:
        await lab.ask()
    calls = [call for call in slack.calls if call.method == "chat.update"]
    refused = next(n for n, call in enumerate(calls) if call.status == 429)
    assert calls[refused + 1].at - calls[refused].at >= 1


async def test_a_token_that_expires_ends_the_bot_and_loses_nothing(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings, mind=STUCK) as lab:
        message = await lab.stuck()
        slack.good_tokens.remove(BOT_TOKEN)
        await lab.do(slack.press, message, "cancel")
        with pytest.raises(Refused, match="invalid_auth"):
            await lab.bot.failed
    slack.good_tokens.add(BOT_TOKEN)
    async with opened(slack, notes, settings) as lab:
        [answer] = await lab.answered()
    assert answer["ts"] == message["ts"]
    assert len(slack.said()) == 1


async def test_a_bot_with_a_wrong_token_does_not_start(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    with pytest.raises(Refused, match="invalid_auth"):
        async with opened(slack, notes, settings, bot_token="xoxb-2-wrong"):
            pass


async def test_who_asked_is_told_where_the_bot_was_removed_from_the_channel(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings, mind=STUCK) as lab:
        message = await lab.stuck()
        slack.channels["C0GENERAL"].remove(BOT)
        await lab.do(slack.press, message, "cancel")
        [told] = await lab.until(lambda: slack.said("D0ANN"))
    assert "I am not in that channel" in text_of(told)
    assert QUESTION in text_of(told)


async def test_a_message_posted_just_before_a_crash_is_found_again_and_completed(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings, mind=STUCK) as lab:
        message = await lab.stuck()
        [ask] = lab.bot.store.of_message("C0GENERAL", message["ts"])
        await lab.bot.stop()
    before = Store(settings.home)
    before.update(ask, message="", state="queued")  # as a crash before it was noted leaves it
    before.close()
    async with opened(slack, notes, settings) as lab:
        [answer] = await lab.answered()
    assert answer["ts"] == message["ts"]
    assert len(slack.said()) == 1


async def test_a_deleted_question_is_given_up(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings, mind=STUCK) as lab:
        message = await lab.stuck()
        await lab.do(slack.delete, "C0GENERAL", message["thread_ts"])
        [answer] = await lab.answered()
    assert text_of(answer).startswith("Cancelled.")


async def test_a_run_whose_message_was_deleted_is_given_up_and_not_posted_again(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings, mind=STUCK) as lab:
        message = await lab.stuck()
        await lab.do(slack.delete, "C0GENERAL", message["ts"])
        await lab.bot.idle()
        assert slack.said() == []
        assert lab.bot.store.of_message("C0GENERAL", message["ts"])[0].state == "done"


async def test_who_may_not_ask_is_told_so_and_costs_nothing(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    slack.join("C0OTHER", "U0ANN")
    allowed: dict[str, Any] = {"users": ("U0ANN",), "channels": ("C0GENERAL",)}
    async with opened(slack, notes, settings, **allowed) as lab:
        await lab.do(slack.ask, QUESTION, user="U0BOB")
        await lab.do(slack.ask, QUESTION, channel="C0OTHER")
        delivered = await lab.do(slack.command, f"ask {QUESTION}", user="U0BOB")
        await lab.bot.idle()
        said = [whisper["text"] for whisper in slack.whispers]
        assert ["not among those" in text for text in said] == [True, False]
        assert "not be asked in this channel" in said[1]
        assert "not among those" in delivered.body
        assert lab.model.requests == []
        assert slack.said() == []
        answer = await lab.ask()
        await lab.do(slack.press, answer, "deeper", user="U0BOB")
        await lab.bot.idle()
        assert len(lab.answers()) == 1


async def test_somebody_from_another_workspace_is_not_answered(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings) as lab:
        await lab.do(slack.ask, QUESTION, user_team="T0OTHER")
        await lab.bot.idle()
        assert "members of this workspace" in slack.whispers[0]["text"]
        assert slack.said() == []


@pytest.mark.parametrize("whose", ["user_per_day", "channel_per_day"])
async def test_a_spent_allowance_is_told_with_what_to_do(
    whose: str, slack: Slack, notes: Library, settings: Settings
) -> None:
    changes: dict[str, Any] = {whose: {"questions": 1}}
    async with opened(slack, notes, settings, **changes) as lab:
        await lab.ask()
        await lab.do(slack.ask, QUESTION)
        await lab.bot.idle()
        [whisper] = slack.whispers
        assert "for today is spent (1 question a day)" in whisper["text"]
        assert f"slack.{whose}" in whisper["text"]
        assert len(slack.said()) == 1


async def test_an_allowance_of_tokens_counts_what_was_used(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings, user_per_day={"tokens": 100}) as lab:
        await lab.ask()
        await lab.do(slack.ask, QUESTION)
        await lab.bot.idle()
        assert "100 tokens" in slack.whispers[0]["text"]


async def test_a_command_where_the_bot_is_not_is_answered_to_who_typed_it(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    slack.channels["C0FAR"] = {"U0ANN"}
    async with opened(slack, notes, settings) as lab:
        await lab.do(slack.command, f"ask {QUESTION}", channel="C0FAR")
        [told] = await lab.until(lambda: slack.said("D0ANN"))
        assert "I am not in that channel" in text_of(told)
        assert buttons_of(told) == []


async def test_what_nobody_expected_is_said_in_words_and_told_to_who_runs_it(
    slack: Slack, notes: Library, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scholar.slack import bot

    def broken(*_: object) -> None:
        raise ZeroDivisionError("xoxb-1111-loopback in the details")

    monkeypatch.setattr(bot, "evidence_of", broken)
    slack.join("C0OPS", "U0ANN")
    async with opened(slack, notes, settings, errors="C0OPS") as lab:
        await lab.do(slack.ask, QUESTION)
        [told] = await lab.until(lambda: slack.said("C0OPS"))
        [message] = await lab.until(
            lambda: [m for m in slack.said() if "could not answer" in text_of(m)]
        )
    assert "Something went wrong that should not have" in text_of(message)
    assert "ZeroDivisionError" in text_of(told)
    assert "xoxb-1111" not in text_of(told)


async def test_the_token_goes_to_slack_alone_and_a_file_too_large_is_left_out(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    with Slack() as stranger:
        stranger.events = "unused"
        elsewhere = slack.share("elsewhere.md", b"# Elsewhere\n\nIt is kept by somebody else.")
        elsewhere["url_private_download"] = f"http://{stranger.host}/files/F1"
        large = slack.share("large.md", b"x" * 2_000)
        async with opened(slack, notes, settings, largest_file=1_000) as lab:
            await lab.do(slack.say, "", channel="D0ANN", files=[elsewhere, large])
            [offer] = await lab.until(lambda: slack.said("D0ANN"))
            await lab.do(slack.press, offer, "add_shared", channel="D0ANN")
            await lab.bot.idle()
        assert "elsewhere.md: Slack does not hold it" in text_of(offer)
        assert "large.md: it is larger than" in text_of(offer)
        assert stranger.calls == []
