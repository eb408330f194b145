"""`scholar eval answer|conflict|abstain` as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from examinees import capitals, disputes, judging, knows
from minds import Seen, for_server
from model_server import ModelServer


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(for_server(knows)) as server:
        yield server


def test_a_table_says_what_the_answers_are_worth(
    run_eval: Run, server: ModelServer, tmp_path: Path
) -> None:
    model = f"openai:scripted@{server.url}"
    ran = run_eval("answer", capitals(tmp_path / "lands"), "--model", model, "--preset", "fast")
    assert ran.code == 0, ran.out + ran.err
    lines = ran.out.splitlines()
    assert lines[0] == "eval answer: lands, 4 questions, preset fast"
    assert [line.split() for line in lines if line.startswith("citation recall")] == [
        ["citation", "recall", "1.000", "0.398", "to", "1.000", "4"]
    ]
    assert [line.split()[:2] for line in lines if line.startswith("calls")] == [["calls", "2.0"]]
    assert "Runs ended as: 4 answered." in ran.out
    assert f"Judged by openai:scripted@{server.url}" in ran.out.replace("\n", "")
    assert str(tmp_path / "home" / "evaluations") in ran.out
    assert max(len(line) for line in lines[:-1]) <= 80


@pytest.mark.parametrize("kind", ["answer", "conflict", "abstain"])
def test_json_has_scores_intervals_and_costs(
    run_eval: Run, server: ModelServer, tmp_path: Path, kind: str
) -> None:
    make = disputes if kind == "conflict" else capitals
    folder = make(tmp_path / "set")
    options = ["--model", f"openai:scripted@{server.url}", "--preset", "fast", "--limit", 2]
    ran = run_eval(kind, folder, *options, "--out", tmp_path / "out", "--json")
    assert ran.code == 0, ran.out + ran.err
    said = json.loads(ran.out)
    assert said["questions"] == 2
    assert said["runs"] == (4 if kind == "abstain" else 2)
    assert {tuple(sorted(one)) for one in said["scores"].values()} == {
        ("high", "low", "of", "value")
    }
    assert all(one["value"] == 1 for one in said["scores"].values())
    assert set(said["cost"]) == {"calls", "tokens", "dollars", "seconds"}
    assert Path(said["folder"]).parent == tmp_path / "out"


def test_what_cannot_be_read_is_a_usage_error(run_eval: Run, tmp_path: Path) -> None:
    ran = run_eval("answer", tmp_path / "nowhere")
    assert ran.code == 2
    assert "is no folder" in ran.err


def test_without_a_model_it_says_how_to_name_one(run_eval: Run, tmp_path: Path) -> None:
    ran = run_eval("abstain", capitals(tmp_path / "set"))
    assert ran.code == 2
    assert "--model" in ran.err


@pytest.mark.slow
def test_a_process_that_was_killed_goes_on_and_pays_nothing_twice(
    run_eval: Run, server: ModelServer, tmp_path: Path
) -> None:
    folder = capitals(tmp_path / "set")
    asked: list[str] = []
    running: list[subprocess.Popen[bytes]] = []

    def kills(seen: Seen) -> dict[str, Any]:
        if asked.count("answer") == 2 and seen.call == "answer":
            running[0].send_signal(signal.SIGKILL)
        asked.append(seen.call)
        return knows(seen)

    server.use(for_server(kills))
    options = ["answer", str(folder), "--model", f"openai:scripted@{server.url}"]
    options += ["--preset", "fast", "--parallel", "1"]
    command = [sys.executable, "-m", "scholar", "eval", *options]
    running.append(subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL))
    assert running[0].wait(60) == -signal.SIGKILL
    server.use(for_server(judging(knows, again := list[str]())))
    ran = run_eval(*options, "--json")
    said = json.loads(ran.out)
    assert said["questions"] == 4
    assert again.count("answer") == 2
    assert again.count("entails") == 2
    assert said["cost"]["calls"]["value"] == 2
