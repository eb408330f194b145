"""The commands on runs, threads and standing questions, over the shelf and a loopback model."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from minds import Seen, for_server, honest
from model_server import ModelServer, Status

from scholar.cli import talking

QUESTION = "How do graph walks rank passages on multi-hop questions?"


def only_run(cli: Run) -> dict[str, Any]:
    [row] = cli("runs", "list", "--json").json
    return dict(row)


def checkpoints(home: Path) -> int:
    """How many states of runs are kept."""
    with closing(sqlite3.connect(home / "checkpoints.sqlite")) as connection:
        [count] = connection.execute("SELECT count(*) FROM checkpoints").fetchone()
    return int(count)


def test_a_run_is_listed_shown_exported_and_removed(
    cli: Run, model: ModelServer, tmp_path: Path
) -> None:
    answer = cli("ask", QUESTION, "--json").answer
    row = only_run(cli)
    assert (row["run_id"], row["outcome"], row["status"]) == (
        answer["run_id"],
        "answered",
        "finished",
    )
    assert row["question"] == QUESTION
    assert row["usage"]["calls"] == answer["usage"]["calls"]
    assert QUESTION in cli("runs", "list").out
    shown = cli("runs", "show", row["run_id"][:6]).out
    assert "search" in shown
    assert "jury" in shown
    story = cli("runs", "show", row["run_id"], "--json").json
    same = row.keys() - {"usage"}  # its seconds go on until the run is put away
    assert {name: story[name] for name in same} == {name: row[name] for name in same}
    assert datetime.fromisoformat(story["started"]) <= datetime.fromisoformat(story["ended"])
    assert story["steps"]
    exported = json.loads(cli("runs", "export", row["run_id"]).out)
    assert exported["answer"]["sentences"] == answer["sentences"]
    assert {"planned", "called", "finished"} <= {event["type"] for event in exported["events"]}
    page = tmp_path / "page.html"
    assert cli("runs", "export", row["run_id"], "--out", str(page)).code == 0
    assert answer["sentences"][0]["text"][:30] in page.read_text()
    assert cli("runs", "remove", row["run_id"]).code == 0
    assert cli("runs", "list", "--json").json == []
    assert not list((tmp_path / "home" / "traces").glob("*"))


def test_what_a_run_or_a_thread_is_exported_to_is_written_whole_or_not_at_all(
    cli: Run, model: ModelServer, tmp_path: Path
) -> None:
    cli("ask", QUESTION, "--thread", "walks")
    run_id = only_run(cli)["run_id"]
    for what, name in (("runs", "run.json"), ("threads", "thread.md"), ("threads", "t.json")):
        named = run_id if what == "runs" else "walks"
        file = tmp_path / name
        file.write_text("old")
        file.chmod(0o640)
        ran = cli(what, "export", named, "--out", str(file))
        assert ran.code == 0
        assert ran.err.splitlines()[-1] == f"written to {file}"
        assert file.read_text() != "old"
        assert file.stat().st_mode & 0o777 == 0o640
        gone = cli(what, "export", named, "--out", str(tmp_path / "gone" / name))
        assert gone.code == 5
        assert "choose another place with --out" in gone.complaints[0]
    assert not list(tmp_path.glob(".*.part"))


def test_a_run_is_played_again_without_a_model(
    cli: Run, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = cli("ask", QUESTION, "--json").answer
    asked = len(model.requests)
    monkeypatch.delenv("SCHOLAR_MODEL")
    assert cli("runs", "replay", answer["run_id"], "--json").answer == answer
    assert len(model.requests) == asked


def test_a_failed_run_goes_on_and_prints_what_ask_prints(
    cli: Run, model: ModelServer, impatient: None
) -> None:
    writing = for_server(lambda seen: Status(500) if seen.call == "writer" else honest(seen))
    model.use(writing)
    failed = cli("ask", QUESTION, "--json", "--no-cache")
    assert failed.answer["outcome"] == "model_failed"
    model.use(for_server(honest))
    resumed = cli("runs", "resume", failed.answer["run_id"], "--json", "--no-cache").answer
    assert resumed["outcome"] == "answered"
    calls = [json.dumps(request.body["messages"]) for request in model.requests]
    assert not any("You plan a search" in call or "You pick evidence" in call for call in calls)
    again = cli("runs", "resume", resumed["run_id"])
    assert "has ended; see scholar runs show" in again.complaints[0]


def test_a_plan_waits_for_its_reply(cli: Run, model: ModelServer) -> None:
    waiting = cli("ask", QUESTION, "--review", "plan")
    assert waiting.code == 7
    assert "Search for: 1." in waiting.err
    row = only_run(cli)
    assert (row["status"], row["outcome"]) == ("waiting", None)
    wrong = cli("runs", "cancel", row["run_id"])
    assert "is not under way" in wrong.complaints[0]
    questions = "What is a graph walk?\nWhat do graph walks cost?"
    answer = cli("runs", "resume", row["run_id"], "--reply", questions, "--json").answer
    assert answer["coverage"]["searches"] == questions.split("\n")
    assert (
        "waits for no reply" in cli("runs", "resume", row["run_id"], "--reply", "y").complaints[0]
    )


def test_a_review_waits_where_a_tool_is_to_be_asked_for_first(
    cli: Run, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def adds_up(seen: Seen) -> Any:
        if seen.call != "tool_step" or seen.known:
            return honest(seen)
        given = [{"name": "expression", "value": "1 + 1"}]
        return {"reason": "A sum.", "tool": "calculate", "arguments": given, "question": "A sum?"}

    monkeypatch.setenv("SCHOLAR_TOOLS__ASK_FIRST", '["calculate"]')
    model.use(for_server(adds_up))
    waiting = cli("review", QUESTION, "--preset", "sibyl", "--sections", "2")
    assert waiting.code == 7
    assert "calculate" in waiting.err
    run_id = only_run(cli)["run_id"]
    answer = cli("runs", "resume", run_id, "--reply", "no", "--json").answer
    assert any("did not allow calculate" in note for note in answer["notes"])


def test_unknown_runs_are_named(cli: Run) -> None:
    for command in ("show", "resume", "cancel", "replay", "export", "remove"):
        ran = cli("runs", command, "none")
        assert ran.code == 5
        assert ran.complaints == ["scholar: No run is called 'none'; see scholar runs list."]
    assert "no runs yet" in cli("runs", "list").err


def test_a_thread_is_listed_shown_renamed_exported_and_removed(
    cli: Run, model: ModelServer, tmp_path: Path
) -> None:
    def alone(seen: Seen) -> Any:
        walks = {"question": "What do graph walks cost?"}
        return walks if seen.call == "standalone" else honest(seen)

    model.use(for_server(alone))
    cli("ask", QUESTION, "--thread", "walks")
    second = cli("ask", "And what do they cost?", "--thread", "walks", "--json").answer
    assert "Understood as: What do graph walks cost?" in second["notes"]
    [thread] = cli("threads", "list", "--json").json
    assert (thread["thread"], thread["runs"], thread["title"]) == ("walks", 2, QUESTION)
    assert cli("threads", "rename", "walks", "On walks").code == 0
    assert "On walks" in cli("threads", "list").out
    shown = cli("threads", "show", "On walks").out
    assert shown.index(QUESTION) < shown.index("And what do they cost?")
    file = tmp_path / "thread.md"
    cli("threads", "export", "walks", "--out", str(file))
    assert file.read_text().startswith("# On walks")
    assert list((tmp_path / "home" / "traces").glob("*"))
    assert "with 2 runs" in cli("threads", "remove", "walks").out
    assert cli("runs", "list", "--json").json == []
    assert not list((tmp_path / "home" / "traces").glob("*"))
    assert checkpoints(tmp_path / "home") == 0
    assert cli("threads", "show", "walks").code == 5


def test_a_chat_goes_on_until_an_empty_line(
    cli: Run, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = iter([QUESTION, "What is a walk?", ""])

    async def typed() -> str:
        return next(lines)

    monkeypatch.setattr(talking, "line_of_input", typed)
    ran = cli("chat", "--thread", "t")
    assert ran.code == 0
    assert "Go on with scholar chat --thread t" in ran.err
    [thread] = cli("threads", "list", "--json").json
    assert thread["runs"] == 2


def test_a_standing_question_prints_only_what_has_changed(
    cli: Run, model: ModelServer, tmp_path: Path
) -> None:
    watch_id = cli("watch", "add", QUESTION, "--json").json["watch_id"]
    first = cli("watch", "run")
    assert QUESTION in first.out
    asked = len(model.requests)
    second = cli("watch", "run")
    assert (second.code, second.out) == (0, "")
    assert "nothing new" in second.err
    assert len(model.requests) == asked
    note = tmp_path / "new.md"
    note.write_text(
        "---\ntitle: Walks anew\n---\nGraph walks rank passages on multi-hop questions by the time "
        "that a walker spends at each passage.\n"
    )
    cli("add", str(note))
    [report] = cli("watch", "run", watch_id[:4], "--json").json
    assert report["status"] == "changed"
    assert [paper["title"] for paper in report["new"]] == ["Walks anew"]
    assert report["changes"]
    assert cli("watch", "list", "--json").json[0]["papers"] == report["papers"]
    assert cli("watch", "remove", watch_id).code == 0
    assert cli("watch", "run", watch_id).code == 5
