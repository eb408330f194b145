"""The command line: what is printed where, and the exit code."""

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

import platformdirs
import pytest
import typer
from command_line import KEY, Run, checked
from minds import Seen, but, for_server
from model_server import Cut, Html, ModelServer, Scripted, Stall, Status
from papers import BM25, GAIN, HOSTILE, QUESTION, SHELF, WALKS

from scholar.cli import common
from scholar.cli.asking import EXIT_CODES
from scholar.errors import BudgetSpent, LibraryError, ModelError, SourceError, UsageError
from scholar.values import Outcome

HEAVY = ("torch", "transformers", "chromadb", "langgraph", "openai", "tantivy", "pypdfium2")
NOTE = """---
title: "On Snails"
year: 2020
---

## Findings
Snails move at 13 metres per hour on wet glass.
"""


def spawn(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """`scholar` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "scholar", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        **options,
    )


# Exit codes


def test_every_outcome_has_its_exit_code() -> None:
    assert set(EXIT_CODES) == set(Outcome)
    assert {code for code in EXIT_CODES.values() if code} == {3, 4, 5, 6, 130}
    kinds = (UsageError, ModelError, SourceError, LibraryError, BudgetSpent)
    assert [kind.exit_code for kind in kinds] == [2, 4, 5, 5, 6]


@pytest.mark.parametrize("preset", ["fast", "standard"])
def test_an_answer_exits_with_0_and_prints_json_alone(
    cli: Run, model: ModelServer, preset: str
) -> None:
    ran = cli("ask", QUESTION, "--json", "--preset", preset)
    assert ran.code == 0
    assert ran.answer["outcome"] == "answered"
    assert ran.answer["usage"]["calls"] == len(model.requests)
    assert not ran.complaints


def test_an_answer_is_printed_for_people_with_progress_on_standard_error(
    cli: Run, model: ModelServer
) -> None:
    ran = cli("ask", QUESTION)
    assert ran.code == 0
    assert "[1]" in ran.out
    assert "3 of 3 jurors accept" in ran.out
    assert "price unknown" in ran.out
    names = re.findall(r"^  (search|read|write|jury) ", ran.err, re.MULTILINE)
    assert names == ["search", "read", "write", "jury", "jury", "jury"]
    assert not ran.complaints


def test_without_a_model_quotes_are_shown(cli: Run) -> None:
    ran = cli("ask", QUESTION)
    assert ran.code == 0
    assert "SCHOLAR_MODEL" in ran.out
    assert " ".join(GAIN.split()) in " ".join(ran.out.split())


def test_an_empty_library_is_said_to_be_empty(run: Run) -> None:
    assert "library is empty" in run("ask", QUESTION).out
    listed = run("papers", "list")
    assert listed.out == ""
    assert "library is empty" in listed.err


def test_a_long_title_stays_on_one_line_of_a_list_that_is_no_terminal(
    run: Run, tmp_path: Path
) -> None:
    title = "Snails " * 20 + "creep"
    (tmp_path / "n.md").write_text(f"# {title}\n\nThey creep.\n")
    run("add", str(tmp_path / "n.md"))
    (line,) = run("papers", "list").out.splitlines()
    assert line.endswith(title)


def test_nothing_found_exits_with_3(cli: Run) -> None:
    ran = cli("ask", "Wie backt man Brot?", "--json")
    assert ran.code == 3
    assert ran.answer["outcome"] == "no_evidence"
    assert len(ran.complaints) == 1
    assert "does not answer this" in cli("ask", "Wie backt man Brot?").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ask", ""], "question is empty"),
        (["ask", " \n "], "question is empty"),
        (["ask", "?! 🙂"], "question has no words"),
        (["ask", "x" * 5_000], "5,000 characters"),
        (["ask", QUESTION, "--preset", "slow"], "searchain, sibyl, spp, standard"),
        (["ask", QUESTION, "--model", "gpt-5"], "openai:NAME"),
        (["ask", QUESTION, "--model", "openai:gpt-5"], "offline is set"),
        (["add"], "Nothing to add"),
        (["search", " "], "query is empty"),
        (["papers", "show", "file:nowhere"], "No paper has"),
        (["papers", "show", "file:"], "2 papers have"),
        (["papers", "remove", "nowhere"], "scholar papers list"),
        (["papers", "remove", ""], "id is empty"),
        (["papers", "export", "nowhere"], "scholar papers list"),
    ],
)
def test_a_command_that_cannot_be_used_exits_with_2_and_one_sentence(
    cli: Run, arguments: list[str], words: str
) -> None:
    ran = cli(*arguments)
    assert ran.code == 2
    assert words in ran.complaints[0]
    assert len(ran.complaints) == 1
    assert ran.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", QUESTION, "-k", "0"],
        ["ask"],
        ["ask", QUESTION, "--colour"],
        ["search", "walks", "-k", "0"],
        ["add", "--arxiv", "walks", "--max", "0"],
        ["bake"],
        [],
    ],
)
def test_a_command_that_does_not_parse_exits_with_2(cli: Run, arguments: list[str]) -> None:
    assert cli(*arguments).code == 2


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SCHOLAR_MODLE", "x", "did you mean 'SCHOLAR_MODEL'"),
        ("SCHOLAR_CONCURRENCY", "many", "'concurrency' is unusable"),
        ("SCHOLAR_PRESET", "slow", "searchain, sibyl, spp, standard"),
    ],
)
def test_a_setting_that_is_wrong_exits_with_2(
    cli: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    ran = cli("ask", QUESTION)
    assert ran.code == 2
    assert words in ran.complaints[0]


UNAUTHORIZED = Status(401, {"error": {"message": f"Incorrect API key provided: {KEY}."}})
NO_MODEL = Status(404, {"error": {"message": "no such model", "code": "model_not_found"}})
STEERED = Status(500, {"error": {"message": "\x1b]0;owned\x07\x1b[2Jfailed"}})
BROKEN: dict[str, tuple[Scripted, str]] = {
    "the key is refused": (UNAUTHORIZED, "SCHOLAR_API_KEY"),
    "the model is unknown": (NO_MODEL, "scripted"),
    "the server fails, and writes to the terminal": (STEERED, "again"),
    "a web page answers": (Html(), "scripted"),
    "it hangs up after half an answer": (Cut('{"steps": []}', 2), "scripted"),
    "it hangs up at once": (Cut("", 0), "scripted"),
    "the JSON never fits": ('{"steps": 7}', "2 corrections"),
    "the JSON never ends": ('{"steps": [', "2 corrections"),
    "it says nothing": ("", "scripted"),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_fails_exits_with_4_and_says_what_to_do(
    cli: Run, model: ModelServer, name: str
) -> None:
    said, words = BROKEN[name]
    model.use(lambda _: said)
    ran = cli("ask", QUESTION, "--json")
    assert ran.code == 4
    assert ran.answer["outcome"] == "model_failed"
    assert ran.answer["usage"]["calls"] == len(model.requests) <= 3
    assert len(ran.complaints) == 1
    assert words in ran.complaints[0]


@pytest.mark.usefixtures("impatient")
def test_a_dead_server_exits_with_4(cli: Run) -> None:
    ran = cli("ask", QUESTION, "--json", "--model", "openai:qwen3@http://127.0.0.1:9/v1")
    assert ran.code == 4
    assert "127.0.0.1:9" in ran.complaints[0]


def test_a_model_that_fails_late_leaves_the_quotes(cli: Run, model: ModelServer) -> None:
    model.use(for_server(but(writer=lambda _: UNAUTHORIZED)))
    ran = cli("ask", QUESTION)
    assert ran.code == 4
    assert "“" in ran.out
    assert len(ran.complaints) == 1


def test_a_spent_budget_exits_with_6(
    cli: Run, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_BUDGET__TOKENS", "1")
    ran = cli("ask", QUESTION, "--json")
    assert ran.code == 6
    assert ran.answer["outcome"] == "budget_spent"
    assert "SCHOLAR_BUDGET__TOKENS" in ran.complaints[0]
    assert not model.requests


def test_a_library_that_cannot_be_opened_exits_with_5(run: Run, home: Path) -> None:
    home.write_text("a file, not a folder")
    for command in (["ask", QUESTION], ["papers", "list"], ["search", "x"], ["add", "x.pdf"]):
        ran = run(*command)
        assert ran.code == 5
        assert "SCHOLAR_HOME" in ran.complaints[0]


def test_an_error_nobody_foresaw_is_one_sentence_and_a_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def broken() -> int:
        raise RuntimeError("boom")

    with pytest.raises(typer.Exit) as caught:
        common.run(broken())
    assert caught.value.exit_code == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    log = platformdirs.user_log_path("scholar") / "errors.log"
    assert str(log) in said
    assert "RuntimeError: boom" in log.read_text("utf-8")


# ask


def test_the_model_flag_comes_before_every_role_of_the_settings(
    cli: Run, model: ModelServer, tmp_path: Path
) -> None:
    config = '[models]\nwriter = "openai:dead@http://127.0.0.1:9/v1"\n'
    (tmp_path / "scholar.toml").write_text(config)
    ran = cli("ask", QUESTION, "--json", "--model", f"openai:flagged@{model.url}")
    assert ran.code == 0
    assert {request.body["model"] for request in model.requests} == {"flagged"}


def test_k_limits_what_is_read(cli: Run, model: ModelServer) -> None:
    cli("ask", QUESTION, "-k", "1", "--preset", "fast")
    assert model.requests[0].body["messages"][1]["content"].count("<passage ") == 1


def test_sources_named_with_the_question_are_added_first(run: Run, tmp_path: Path) -> None:
    note = tmp_path / "snails.md"
    note.write_text(NOTE)
    ran = run("ask", "How do snails move on wet glass?", "--with", str(note), "--json")
    assert ran.code == 0
    [paper] = ran.answer["bibliography"]
    assert paper["title"] == "On Snails"
    assert "13 metres" in ran.answer["sentences"][0]["text"]
    assert "1 added" in ran.err


@pytest.mark.parametrize("name", ["missing.pdf", "broken.pdf", "empty.md", "picture.png"])
def test_a_source_that_cannot_be_read_exits_with_5_and_asks_nothing(
    cli: Run, model: ModelServer, tmp_path: Path, name: str
) -> None:
    contents = {"broken.pdf": b"%PDF-1.7 nonsense", "empty.md": b"", "picture.png": b"\x89PNG"}
    if name in contents:
        (tmp_path / name).write_bytes(contents[name])
    ran = cli("ask", QUESTION, "--with", name, "--json")
    assert ran.code == 5
    assert name in ran.complaints[0]
    assert "nothing was asked" in ran.complaints[-1]
    assert ran.out == ""
    assert not model.requests


def test_one_bad_source_among_good_ones_is_told_and_stops_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "snails.md").write_text(NOTE)
    ran = run("ask", "How do snails move?", "--with", "snails.md", "--with", "gone.md")
    assert ran.code == 0
    assert len(ran.complaints) == 1
    assert "gone.md" in ran.complaints[0]


# review


def test_a_review_is_printed_for_people_with_progress_on_standard_error(
    cli: Run, model: ModelServer
) -> None:
    ran = cli("review", "graph walks", "--columns", "method, data")
    assert ran.code == 0
    assert "Matter c1" in ran.out
    assert "method" in ran.out
    assert "3 of 3 jurors accept" in ran.out
    names = re.findall(r"^  (search|read|outline|write|table) ", ran.err, re.MULTILINE)
    assert names[:3] == ["search", "read", "outline"]
    assert sorted(names[3:5]) == ["table", "write"]
    assert not ran.complaints


def test_a_review_is_printed_as_json_and_as_markdown(cli: Run, model: ModelServer) -> None:
    ran = cli("review", "graph walks", "--columns", "method,,data", "--json")
    assert ran.code == 0
    assert ran.answer["review"]["table"]["columns"] == ["method", "data"]
    written = cli("review", "graph walks", "--markdown")
    assert written.code == 0
    assert written.out.startswith("# graph walks\n\n## Matter c1\n\n")
    assert "| Paper | Method | Result |" in written.out


def test_without_a_model_a_review_says_that_it_needs_one(cli: Run) -> None:
    ran = cli("review", "graph walks on multi-hop questions")
    assert ran.code == 0
    assert "A review is written by a model" in ran.out
    assert "SCHOLAR_MODEL" in ran.out
    assert "“" in ran.out
    assert "“" in cli("review", "graph walks on multi-hop questions", "--markdown").out


@pytest.mark.parametrize(
    "arguments",
    [["--columns", "a,b,c,d,e,f"], ["--sections", "9"], ["--preset", "fast"], ["--preset", "slow"]],
)
def test_a_review_that_cannot_be_had_exits_with_2(
    cli: Run, model: ModelServer, arguments: list[str]
) -> None:
    ran = cli("review", "graph walks", *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert not model.requests


# --out


ENDINGS = ("md", "html", "json", "bib", "docx")


def test_an_answer_is_printed_and_written_to_each_file_that_is_named(
    cli: Run, model: ModelServer, tmp_path: Path
) -> None:
    files = [tmp_path / f"answer.{ending}" for ending in ENDINGS]
    ran = cli("ask", QUESTION, "--json", *(f"--out={file}" for file in files))
    assert ran.code == 0
    assert ran.answer["outcome"] == "answered"
    assert ran.err.splitlines()[-5:] == [f"written to {file}" for file in files]
    assert (tmp_path / "answer.json").read_text() == ran.out
    page = (tmp_path / "answer.html").read_text()
    assert "The walk starts from the entities of the question." in page
    assert 'id="map"' in page
    assert 'class="timeline"' in page
    assert not ran.complaints


def test_a_review_is_written_to_files(cli: Run, model: ModelServer, tmp_path: Path) -> None:
    files = [tmp_path / f"review.{ending}" for ending in ENDINGS]
    ran = cli("review", "graph walks", "--markdown", *(f"--out={file}" for file in files))
    assert ran.code == 0
    assert (tmp_path / "review.md").read_text() == ran.out
    assert "The papers side by side" in (tmp_path / "review.html").read_text()
    assert all(file.stat().st_size for file in files)


def test_a_form_that_does_not_exist_is_refused_before_anything_is_asked(
    cli: Run, model: ModelServer
) -> None:
    for command in ("ask", "review"):
        ran = cli(command, QUESTION, "--out", "answer.pdf")
        assert ran.code == 2
        assert ".md, .html, .json, .bib or .docx" in ran.complaints[0]
        assert ran.out == ""
    assert not model.requests


def test_an_answer_whose_file_cannot_be_written_is_printed_all_the_same(
    cli: Run, tmp_path: Path
) -> None:
    ran = cli("ask", QUESTION, "--out", "gone/answer.html", "--out", str(tmp_path / "a.md"))
    assert ran.code == 5
    assert " ".join(GAIN.split()) in " ".join(ran.out.split())
    [complaint] = ran.complaints
    assert "gone/answer.html could not be written (No such file or directory)" in complaint
    assert complaint.endswith("choose another place with --out.")
    assert (tmp_path / "a.md").exists()


def test_what_is_not_answered_is_written_too_and_keeps_its_exit_code(
    cli: Run, model: ModelServer, tmp_path: Path
) -> None:
    model.use(for_server(but(reader=lambda _: {"quotes": []})))
    ran = cli("ask", QUESTION, "--out", str(tmp_path / "a.html"))
    assert ran.code == 3
    assert "The library does not answer this." in (tmp_path / "a.html").read_text()


# The shelf


def test_papers_are_added_found_listed_shown_and_removed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "snails.md").write_text(NOTE)
    added = run("add", "snails.md", "gone.pdf", "--json")
    assert added.code == 0
    assert sorted(result["status"] for result in added.json) == ["added", "failed"]
    again = run("add", "snails.md")
    assert again.code == 0
    assert "1 already there" in again.out

    [listed] = run("papers", "list", "--json").json
    assert listed["title"] == "On Snails"
    assert "On Snails" in run("papers", "list").out
    [hit] = run("search", "snail glass", "--json").json
    assert hit["paper_id"] == listed["paper_id"]
    assert "13 metres" in hit["text"]
    assert "On Snails" in run("search", "snail glass").out

    beginning = listed["paper_id"].removeprefix("file:")[:4]
    shown = run("papers", "show", beginning, "--json").json
    assert shown["passages"][0]["text"] in hit["text"]
    assert "13 metres" in run("papers", "show", beginning).out
    assert "On Snails" in run("papers", "export").out
    assert "removed" in run("papers", "remove", beginning).out

    assert run("papers", "list", "--json").json == []
    assert "empty" in run("papers", "list").err
    assert run("search", "snail glass").code == 3
    assert (tmp_path / "snails.md").exists()


def test_adding_only_what_cannot_be_read_exits_with_5(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\nnonsense")
    (tmp_path / "folder").mkdir()
    ran = run("add", "broken.pdf", "gone.md", "folder", "2401.00001")
    assert ran.code == 5
    assert "4 failed" in ran.out
    assert "offline is set" in ran.out
    assert "holds nothing to read" in ran.out


def test_a_search_that_finds_nothing_exits_with_3(cli: Run) -> None:
    ran = cli("search", "Brot", "--json")
    assert (ran.code, ran.json) == (3, [])
    assert "Nothing fits" in ran.err


def test_a_search_shows_k_passages(cli: Run) -> None:
    assert [len(cli("search", "walks", "-k", k, "--json").json) for k in ("1", "3")] == [1, 3]


def test_a_search_shows_a_passage_from_its_best_sentence_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "snails.md").write_text(f"{'Slugs eat leaves in the rain. ' * 20}\n\n{NOTE[-48:]}")
    run("add", "snails.md")
    assert "…Snails move at 13 metres" in run("search", "snails metres per hour").out


def test_a_hostile_title_cannot_steer_the_terminal(cli: Run) -> None:
    for command in (
        ["papers", "list"],
        ["papers", "show", HOSTILE],
        ["search", "Mars"],
        ["ask", "Who invented walks on Mars?"],
        ["papers", "remove", HOSTILE],
    ):
        ran = cli(*command)
        assert "Walks" in ran.out
        assert ran.code == 0


def test_the_export_is_a_bibliography_of_the_papers_named(cli: Run) -> None:
    everything = cli("papers", "export").out
    assert everything.count("@") >= len(SHELF)
    one = cli("papers", "export", WALKS).out
    assert "Graph Walks for Retrieval" in one
    assert "Sparse" not in one


def test_a_rebuild_keeps_everything_findable(cli: Run) -> None:
    ran = cli("library", "rebuild")
    assert ran.code == 0
    assert f"Rebuilt {len(SHELF)} papers" in ran.out
    [hit] = cli("search", BM25, "-k", "1", "--json").json
    assert BM25 in hit["text"]


# doctor


def test_doctor_finds_nothing_wrong_with_a_library_without_a_model(cli: Run) -> None:
    ran = cli("doctor", "--json")
    assert ran.code == 0
    findings = {finding["what"]: finding for finding in ran.json}
    assert f"{len(SHELF)} papers" in findings["library"]["detail"]
    assert "SCHOLAR_MODEL" in findings["models"]["fix"]


def test_doctor_asks_each_model_once(cli: Run, model: ModelServer) -> None:
    ran = cli("doctor")
    assert ran.code == 0
    assert "answers in" in ran.out
    assert len(model.requests) == 1


def test_doctor_names_what_is_broken(cli: Run, model: ModelServer) -> None:
    model.use(lambda _: UNAUTHORIZED)
    ran = cli("doctor")
    assert ran.code == 1
    assert "!!" in ran.out
    assert "SCHOLAR_API_KEY" in ran.out


def test_doctor_gives_its_commands_whole_in_a_narrow_terminal(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert "exportSCHOLAR_MODEL=openai:gpt-5-mini" in "".join(cli("doctor").out.split())


def test_doctor_reports_a_preset_that_there_is_not(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_PRESET", "slow")
    ran = cli("doctor", "--json")
    assert ran.code == 1
    (broken,) = [finding for finding in ran.json if not finding["ok"]]
    assert (broken["what"], "spp, standard" in broken["detail"]) == ("settings", True)


def test_doctor_reports_a_library_that_cannot_be_opened(run: Run, home: Path) -> None:
    home.write_text("a file")
    ran = run("doctor")
    assert ran.code == 1
    assert "SCHOLAR_HOME" in ran.out


# Processes


PROBE = f"""
import runpy, sys
sys.argv = ["scholar", *sys.argv[1:]]
try:
    runpy.run_module("scholar", run_name="__main__")
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, encoding="utf-8", check=True
    )
    assert ran.stderr == "[]\n"
    assert "scholar" in ran.stdout


@pytest.mark.slow
def test_a_list_of_runs_loads_neither_the_library_nor_the_graph(cli: Run) -> None:
    loads = {"numpy", "scipy", "scholar.library", "scholar.graph", "sqlalchemy", *HEAVY}
    probe = PROBE.replace(repr(HEAVY), repr(tuple(loads)))
    ran = subprocess.run(
        [sys.executable, "-c", probe, "runs", "list", "--json"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert ran.stderr == "['sqlalchemy']\n"
    assert json.loads(ran.stdout) == []


@pytest.mark.slow
def test_a_whole_run_in_its_own_process_prints_json_alone(cli: Run, model: ModelServer) -> None:
    with spawn("ask", QUESTION, "--json", "--preset", "fast") as process:
        ran = checked(*_ended(process))
    assert ran.code == 0
    assert ran.answer["outcome"] == "answered"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--json"], []])
def test_ctrl_c_exits_with_130_and_keeps_what_was_found(
    cli: Run, model: ModelServer, arguments: list[str]
) -> None:
    writing = threading.Event()

    def stall(_: Seen) -> Stall:
        writing.set()
        return Stall('{"sentences": [{"text": "Walks')

    model.use(for_server(but(writer=stall)))
    with spawn("ask", QUESTION, *arguments, preexec_fn=_heed_sigint) as process:
        assert writing.wait(30)
        process.send_signal(signal.SIGINT)
        ran = checked(*_ended(process))
    assert ran.code == 130
    assert len(ran.complaints) == 1
    assert "Cancelled" in ran.complaints[0]
    assert model.wait_for_hang_up()
    if arguments:
        assert ran.answer["outcome"] == "cancelled"
        assert ran.answer["sentences"]
    else:
        assert "“" in ran.out
    assert len(cli("papers", "list", "--json").json) == len(SHELF)


def _heed_sigint() -> None:
    # A shell that starts its children in the background makes them ignore the signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["papers", "export"], ["search", "walks"], ["papers", "list", "--json"]],
)
def test_a_reader_that_has_gone_is_no_error(cli: Run, arguments: list[str]) -> None:
    with spawn(*arguments) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.slow
def test_a_letter_that_the_terminal_lacks_is_no_crash(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.md").write_text("# Über Schnecken\n\nSnails creep.\n", "utf-8")
    run("add", str(tmp_path / "n.md"))
    with spawn("papers", "list", env={**os.environ, "PYTHONIOENCODING": "ascii"}) as process:
        code, out, err = _ended(process)
    assert (code, err) == (0, "")
    assert "?ber Schnecken" in out


@pytest.mark.slow
def test_an_argument_that_is_no_text_is_no_crash(cli: Run) -> None:
    command: list[str | bytes] = [
        sys.executable,
        "-m",
        "scholar",
        "ask",
        b"graph walks \xff\xfe",
        "--json",
    ]
    ran = subprocess.run(command, capture_output=True, env=os.environ, check=False)
    checked(ran.returncode, ran.stdout.decode(), ran.stderr.decode())
    assert ran.returncode == 0
