"""`scholar slack --check`, and the manifest that it agrees with."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from command_line import command
from conftest import ROOT
from slack_server import APP_TOKEN, BOT_TOKEN, SECRET, Slack
from slack_server import SCOPES as GIVEN

from scholar.slack.check import EVENTS, SCOPES

MANIFEST = ROOT / "examples" / "slack" / "manifest.yaml"


@pytest.fixture
def slack(slack: Slack, monkeypatch: pytest.MonkeyPatch) -> Slack:
    """A Slack as the environment names it."""
    monkeypatch.setenv("SCHOLAR_SLACK__API", slack.api)
    monkeypatch.setenv("SLACK_BOT_TOKEN", BOT_TOKEN)
    monkeypatch.setenv("SLACK_APP_TOKEN", APP_TOKEN)
    monkeypatch.setenv("SLACK_SIGNING_SECRET", SECRET)
    return slack


def _check() -> tuple[int, dict[str, Any]]:
    ran = command("slack", "--check", "--json")
    return ran.code, {found["name"]: found for found in json.loads(ran.out)}


def test_the_manifest_asks_for_what_the_bot_needs_and_no_more() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    assert sorted(manifest["oauth_config"]["scopes"]["bot"]) == sorted(SCOPES)
    assert sorted(manifest["settings"]["event_subscriptions"]["bot_events"]) == sorted(EVENTS)
    assert sorted(GIVEN.split(",")) == sorted(SCOPES)
    assert manifest["settings"]["socket_mode_enabled"] is True
    [command] = manifest["features"]["slash_commands"]
    assert command["command"] == "/scholar"
    [shortcut] = manifest["features"]["shortcuts"]
    assert (shortcut["name"], shortcut["callback_id"]) == (
        "Find evidence for this",
        "find_evidence",
    )


def test_a_whole_set_up_is_good(slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_CONFIG_TOKEN", "xoxe.xoxp-1-config")
    slack.good_tokens.add("xoxe.xoxp-1-config")
    slack.manifest = yaml.safe_load(MANIFEST.read_text())
    code, found = _check()
    assert code == 0
    assert {name: each["good"] for name, each in found.items()} == {
        "bot token": True, "scopes": True, "socket mode": True, "http": True, "events": True,
    }  # fmt: skip


def test_what_is_missing_is_named_with_what_it_is_for(
    slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_CONFIG_TOKEN", "xoxe.xoxp-1-config")
    slack.good_tokens.add("xoxe.xoxp-1-config")
    slack.scopes = "chat:write,commands"
    slack.manifest = {"settings": {"event_subscriptions": {"bot_events": ["app_mention"]}}}
    code, found = _check()
    assert code == 5
    assert "files:read (to take files into the library)" in found["scopes"]["said"]
    assert "message.im (direct messages)" in found["events"]["said"]


def test_wrong_and_missing_tokens_are_told(slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-wrong")
    slack.good_tokens.remove(BOT_TOKEN)
    code, found = _check()
    assert code == 5
    assert "invalid_auth" in found["bot token"]["said"]
    assert found["socket mode"]["good"] is False
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    monkeypatch.delenv("SLACK_APP_TOKEN")
    monkeypatch.delenv("SLACK_SIGNING_SECRET")
    _, found = _check()
    assert "SLACK_BOT_TOKEN" in found["bot token"]["said"]
    assert [found[name]["good"] for name in ("socket mode", "http")] == [None, None]
    assert "never" in found["events"]["said"]


def test_without_tokens_it_does_not_start_and_says_what_to_set() -> None:
    ran = command("slack")
    assert ran.code == 2
    assert "SLACK_BOT_TOKEN" in ran.err


def test_a_wrong_token_of_the_app_does_not_start(
    slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-wrong")
    ran = command("slack")
    assert ran.code == 5
    assert "invalid_auth" in ran.err
    assert "scholar slack --check" in ran.err
