"""`scholar models bench`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from command_line import Ran, command
from injected import closed_port, impatient
from model_server import Finish, ModelServer, Scripted, Stall, Status, refuse_param

from scholar.backends import TokenCount
from scholar.backends.bench import Timing

FREE = "own"
PRICED = "gpt-5-mini"
FIELDS = {
    "model", "concurrent", "at_once", "replies", "failed", "first_token_seconds",
    "tokens_per_second", "total_tokens_per_second", "estimated", "limited_by", "seconds",
    "requests", "input_tokens", "output_tokens", "dollars", "gpu_seconds", "error",
}  # fmt: skip


def essay(body: dict[str, Any]) -> Scripted:
    """As much as is allowed, cut off there."""
    return Finish("a bc" * body["max_tokens"], "length")


@pytest.fixture
def server(model: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModelServer:
    model.use(essay)
    monkeypatch.setenv("SCHOLAR_MODEL", f"openai:{FREE}@{model.url}")
    monkeypatch.setenv("SCHOLAR_HOME", str(tmp_path / "home"))
    return model


def model(server: ModelServer, name: str = FREE) -> str:
    return f"openai:{name}@{server.url}"


def run(*arguments: str, name: str = "bench") -> Ran:
    return command("models", name, *arguments)


def rows(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    code, out, _ = run("--json", "--tokens", "16", *arguments)
    return code, json.loads(out)


def questions(server: ModelServer) -> list[str]:
    asked = (request.body["messages"][1]["content"] for request in server.requests)
    return [text for text in asked if "<question>" in text]


# --- what is measured


def test_the_speed_of_one_and_of_many_is_that_of_the_server(server: ModelServer) -> None:
    server.use(essay, first_token=0.4, rate=320)
    code, (one, four) = rows("--concurrent", "4,1")
    assert code == 0
    assert (one["concurrent"], four["concurrent"]) == (1, 4)
    assert (one["replies"], four["replies"]) == (3, 4)
    for row in (one, four):
        assert row.keys() == FIELDS
        # Never faster than the server; slower where the machine has other things to do.
        assert 0.4 <= row["first_token_seconds"] < 4
        assert 20 < row["tokens_per_second"] < 1.1 * 320
    # 16 tokens take 400 ms and then 47, and four times as many no longer where all wait at once.
    assert 4 < one["total_tokens_per_second"] < 1.1 * 36
    assert 1.5 * one["total_tokens_per_second"] < four["total_tokens_per_second"] < 4.4 * 36
    assert server.max_concurrent == 4


def test_a_reply_is_asked_for_with_so_many_tokens_and_may_be_cut_off_there(
    server: ModelServer,
) -> None:
    code, (row,) = rows("--concurrent", "1")
    assert (code, row["error"]) == (0, "")
    assert {request.body["max_tokens"] for request in server.requests} == {16}
    assert row["output_tokens"] == 4 * 16  # with the one that wakes the model
    assert row["requests"] == 4


def test_tokens_are_those_that_the_server_counts(server: ModelServer) -> None:
    code, (row,) = rows("--concurrent", "2")
    assert (code, row["estimated"]) == (0, False)
    sent = [request.body["messages"] for request in server.requests]
    assert row["input_tokens"] == sum(-(-sum(len(m["content"]) for m in s) // 4) for s in sent)


def test_tokens_that_the_server_does_not_count_are_marked_as_estimated(
    server: ModelServer,
) -> None:
    server.use(uncounted)
    code, (row,) = rows("--concurrent", "2")
    assert (code, row["estimated"]) == (0, True)
    assert re.search(r" ~[\d.,]+ tokens/s", run("--concurrent", "2")[1])


def uncounted(body: dict[str, Any]) -> Scripted:
    """A server that takes the option to report tokens for nothing."""
    body.pop("stream_options", None)
    return essay(body)


def test_prose_where_json_was_asked_for_is_as_good(server: ModelServer) -> None:
    server.use(lambda _: "Words, and no braces at all.")
    code, (row,) = rows("--concurrent", "2")
    assert (code, row["replies"], len(server.requests)) == (0, 2, 3)


def test_no_two_requests_are_alike_and_none_is_answered_from_disk(server: ModelServer) -> None:
    rows("--concurrent", "1,4")
    rows("--concurrent", "1,4")
    asked = questions(server)
    assert len(asked) == len(set(asked)) == 2 * (3 + 4)


def test_named_models_are_measured_and_all_that_are_set_without_names(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = [model(server, name) for name in ("a", "b")]
    monkeypatch.setenv("SCHOLAR_MODELS__JUROR", json.dumps(chain))
    found = rows("--concurrent", "2")[1]
    assert [row["model"] for row in found] == [model(server), *chain]
    found = rows("--concurrent", "2", model(server, "c"))[1]
    assert [row["model"] for row in found] == [model(server, "c")]


def test_the_table_fits_a_terminal(server: ModelServer) -> None:
    code, out, err = run("--tokens", "16")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[0] == model(server)
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["1", "4", "16"]
    assert re.fullmatch(r"24 calls, [\d,]+ tokens, price unknown, [\d.]+ s\n", err)


@pytest.mark.parametrize(
    ("timing", "rate"),
    [
        (Timing(1, 1, 3, 21, TokenCount(10, 21, 0), False), 10),
        (
            Timing(1, 5, 9, 20, TokenCount(10, 141, 100), False),
            10,
        ),  # 100 of them were hidden thoughts
        (Timing(4, 4, 4, 1, TokenCount(10, 40, 0), False), 10),  # all at once
        (Timing(1, None, 5, 0, TokenCount(10, 50, 50), False), 10),  # thoughts alone
    ],
)
def test_the_rate_leaves_out_the_wait_for_the_first_token(timing: Timing, rate: float) -> None:
    assert timing.rate == pytest.approx(rate)


# --- what it costs


def test_a_model_that_costs_money_is_not_asked_without_a_yes(server: ModelServer) -> None:
    code, out, err = run(model(server, PRICED))
    assert (code, out, server.requests) == (2, "", [])
    assert re.search(
        r"takes 24 requests and at most [\d,]+ tokens \(\$0\.0\d+\), .*; add --yes", err
    )
    code, _, err = run(model(server), "openai:unheard-of")
    assert (code, server.requests) == (2, [])
    assert "Measuring openai:unheard-of takes 24 requests" in err
    assert "(price unknown)" in err


def test_with_a_yes_it_costs_no_more_than_was_said(server: ModelServer) -> None:
    _, _, err = run(model(server, PRICED), "--tokens", "16")
    said = re.search(r"([\d,]+) tokens \(\$([\d.]+)\)", err)
    assert said
    code, found = rows(model(server, PRICED), "--yes", "--concurrent", "1,4,16")
    assert code == 0
    tokens = sum(row["input_tokens"] + row["output_tokens"] for row in found)
    assert 0 < tokens <= int(said[1].replace(",", ""))
    assert 0 < sum(row["dollars"] for row in found) <= float(said[2])
    assert sum(row["requests"] for row in found) == len(server.requests) == 24


@pytest.mark.parametrize("concurrent", ["1,4,16", "16"])
def test_a_spent_budget_ends_it_with_what_was_measured(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, concurrent: str
) -> None:
    monkeypatch.setenv("SCHOLAR_BUDGET__TOKENS", "1500")
    code, out, err = run("--json", "--tokens", "16", "--concurrent", concurrent)
    found = json.loads(out)
    assert code == 6
    assert "raise tokens" in err
    assert found[0]["tokens_per_second"] > 0
    assert sum(row["input_tokens"] + row["output_tokens"] for row in found) <= 1500


def test_a_cap_in_dollars_refuses_a_model_without_a_price(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_BUDGET__DOLLARS", "1")
    code, (row,) = rows()
    assert (code, server.requests) == (4, [])
    assert "The price of own is unknown" in row["error"]


# --- limits


def test_limits_are_kept_and_named_where_they_cap_the_measure(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_LIMITS", json.dumps({FREE: {"concurrency": 2}}))
    server.use(essay, first_token=0.05)
    code, (two, four) = rows("--concurrent", "2,4")
    assert (code, server.max_concurrent) == (0, 2)
    assert (two["limited_by"], four["limited_by"]) == ("", "concurrency = 2")
    assert (four["concurrent"], four["at_once"], four["replies"]) == (4, 2, 4)
    assert "4 at once, 2 at a time: concurrency = 2" in run("--concurrent", "4")[1]


# --- what fails


def test_a_model_that_fails_has_its_sentence_and_the_others_go_on(server: ModelServer) -> None:
    with closed_port() as nowhere, impatient():
        gone = f"openai:gone@{nowhere}"
        code, found = rows("--concurrent", "2", gone, model(server))
        assert (code, [row["model"] for row in found]) == (4, [gone, model(server)])
        assert "start the server" in found[0]["error"]
        assert (found[0]["concurrent"], found[1]["error"]) == (None, "")
        code, out, _ = run("--concurrent", "2", gone, model(server))
    assert code == 4
    assert "!! Nothing usable answers" in out
    assert " 2  " in out


def test_requests_that_fail_are_counted_beside_those_that_did_not(server: ModelServer) -> None:
    def once(body: dict[str, Any]) -> Scripted:
        return (
            Status(401, {"error": {"message": "no"}}) if len(server.requests) == 3 else essay(body)
        )

    server.use(once)
    code, (row,) = rows("--concurrent", "4")
    assert (code, row["replies"], row["failed"]) == (4, 3, 1)
    assert row["tokens_per_second"] > 0
    assert "SCHOLAR_API_KEY" in row["error"]


@pytest.mark.parametrize("wrong", ["0", "1,x", "", "-1", "1;4"])
def test_numbers_of_requests_that_are_none_are_refused(server: ModelServer, wrong: str) -> None:
    code, _, err = run("--concurrent", wrong)
    assert (code, server.requests) == (2, [])
    assert "--concurrent 1,4,16" in err


def test_what_is_no_model_is_refused_before_any_is_asked(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run(model(server), "gpt-5-mini")
    assert (code, server.requests) == (2, [])
    assert "'gpt-5-mini' names no model" in err
    monkeypatch.delenv("SCHOLAR_MODEL")
    assert run()[0] == 2


@pytest.mark.slow
def test_ctrl_c_ends_with_what_was_measured(server: ModelServer) -> None:
    stalled = threading.Event()

    def script(body: dict[str, Any]) -> Scripted:
        if len(server.requests) <= 4:
            return essay(body)
        stalled.set()
        return Stall("a bc")

    server.use(script)
    command = [sys.executable, "-m", "scholar", "models", "bench", "--json", "--concurrent", "1,2"]
    with subprocess.Popen(
        command,
        env=os.environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert stalled.wait(30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert [row["concurrent"] for row in json.loads(out)] == [1]
    assert "Cancelled" in err
    assert "Traceback" not in err
    assert server.wait_for_hang_up()


# --- what is remembered


def test_the_pace_of_single_replies_is_remembered_and_not_that_of_many(
    server: ModelServer,
) -> None:
    server.use(essay, rate=400)
    rows("--concurrent", "1")
    server.use(essay, rate=100)
    rows("--concurrent", "4")
    known = json.loads(run("--json", name="list")[1])[0]
    assert known["calls"] == 3
    assert known["tokens_per_second"] > 1.5 * 100


def test_what_the_server_refuses_is_remembered(server: ModelServer) -> None:
    def picky(body: dict[str, Any]) -> Scripted:
        return refuse_param("response_format") if "response_format" in body else essay(body)

    server.use(picky)
    assert rows("--concurrent", "1")[0] == 0
    known = json.loads(run("--json", name="list")[1])[0]
    assert known["refused"] == ["response_format"]
