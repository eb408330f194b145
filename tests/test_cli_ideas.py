"""`scholar ideas`: what is printed where, and the exit code."""

from __future__ import annotations

import io
import json
from importlib import resources
from pathlib import Path

import docx
import jsonschema
import pytest
from command_line import Run
from inventive import inventive, invents
from minds import Mind, for_server
from model_server import ModelServer
from rich.console import Console
from test_ideas import knows

from scholar.cli import progress as progressing
from scholar.cli.progress import Progress
from scholar.values import Inquiry

SCHEMA = json.loads(resources.files("scholar").joinpath("ideas.schema.json").read_text("utf-8"))


@pytest.fixture
def ideator(model: ModelServer) -> ModelServer:
    """A model for every role that has ideas."""
    model.use(for_server(inventive))
    return model


def test_ideas_are_printed_with_progress_on_standard_error(
    cli: Run,
    ideator: ModelServer,
) -> None:
    ran = cli("ideas", "-n", "3", "graph walks")
    assert ran.code == 0
    for name in ("inspire", "brainstorm", "leap", "ideas", "novelty"):
        assert f"\n  {name}" in f"\n{ran.err}"
    assert ran.out.count("    Hypothesis") == 3
    assert "scholar ideas refine" in ran.out
    assert not ran.complaints


def test_ideas_are_printed_as_json_and_as_markdown_and_one_is_refined_from_the_json(
    cli: Run,
    ideator: ModelServer,
    tmp_path: Path,
) -> None:
    ran = cli("ideas", "graph walks", "-n", "2", "--json")
    assert ran.code == 0
    jsonschema.validate(ran.json, SCHEMA)
    assert [idea["id"] for idea in ran.json["ideas"]] == ["1", "2"]
    assert cli("ideas", "graph walks", "-n", "2", "--markdown").out.startswith("# Ideas: graph")
    kept = tmp_path / "ideas.json"
    kept.write_text(ran.out)
    refined = cli("ideas", "refine", f"{ran.json['run_id'][:4]}.2", "--from", str(kept), "--json")
    assert refined.code == 0
    jsonschema.validate(refined.json, SCHEMA)
    assert len(refined.json["proposal"]) == 4
    assert [idea["id"] for idea in refined.json["ideas"]] == ["2"]
    shown = cli("ideas", "refine", ".2", "--from", str(kept))
    assert "Nearest prior work" in shown.out
    assert "[1" in shown.out


def test_ideas_and_a_proposal_are_written_to_files_and_exported(
    cli: Run,
    ideator: ModelServer,
    tmp_path: Path,
) -> None:
    names = [str(tmp_path / f"ideas{ending}") for ending in (".html", ".docx", ".md", ".json")]
    outs = [part for name in names for part in ("--out", name)]
    ran = cli("ideas", "graph walks", "-n", "2", *outs, "--json")
    assert ran.code == 0
    page, document, markdown, data = (Path(name).read_bytes() for name in names)
    assert data.decode() == ran.out
    titles = [idea["title"] for idea in ran.json["ideas"]]
    assert all(title in page.decode() for title in titles)
    assert 'class="near"' in page.decode()
    assert all(title in markdown.decode() for title in titles)
    text = [paragraph.text for paragraph in docx.Document(io.BytesIO(document)).paragraphs]
    assert f"1. {titles[0]}" in text
    exported = tmp_path / "exported.HTML"
    assert cli("runs", "export", ran.json["run_id"], "--out", str(exported)).code == 0
    assert exported.read_bytes() == page
    proposal = tmp_path / "proposal.html"
    refined = cli("ideas", "refine", f"{ran.json['run_id'][:6]}.2", "--out", str(proposal))
    assert refined.code == 0
    assert f'<h1 dir="auto">{titles[1]}</h1>' in proposal.read_text()


def test_ideas_that_waited_for_a_choice_are_written_with_what_was_dropped(
    cli: Run,
    ideator: ModelServer,
    tmp_path: Path,
) -> None:
    page = tmp_path / "ideas.html"
    ran = cli("ideas", "graph walks", "-n", "2", "--interactive", "--out", str(page))
    assert ran.code == 7
    assert not page.exists()
    [row] = cli("runs", "list", "--json").json
    resumed = cli("runs", "resume", row["run_id"], "--reply", "drop 2", "--out", str(page))
    assert resumed.code == 0
    beside = page.read_text().partition('id="beside"')[2]
    assert "not kept by that title" in beside
    assert "”: nothing found has it</li>" in beside


def test_a_name_that_says_no_form_is_refused_before_ideas_are_asked_for(
    cli: Run,
    ideator: ModelServer,
) -> None:
    for arguments in (["graph walks"], ["refine", "ab.1", "--from", "x.json"]):
        ran = cli("ideas", *arguments, "--out", "ideas.txt")
        assert ran.code == 2
        assert "says no form" in ran.complaints[0]
    assert not ideator.requests


@pytest.mark.parametrize(
    ("asked", "mind"),
    [
        ((), inventive),
        (("-n", "1"), inventive),
        (("--new", "2"), invents(novelty=knows(99))),
        (("--new", "2", "-n", "6"), inventive),
    ],
    ids=["six", "one", "new, all known", "new"],
)
def test_ideas_stay_within_their_estimate(
    cli: Run,
    model: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[str, ...],
    mind: Mind,
) -> None:
    monkeypatch.setenv("SCHOLAR_PRICES", '{"scripted": {"input": 1, "output": 2}}')
    model.use(for_server(mind))
    said = cli("ideas", "graph walks rank passages", *asked, "--estimate", "--json").json
    assert not model.requests
    usage = cli("ideas", "graph walks rank passages", *asked, "--json").json["usage"]
    tokens = usage["input_tokens"] + usage["output_tokens"]
    used = {"calls": usage["calls"], "tokens": tokens, "dollars": usage["dollars"]}
    for what, value in used.items():
        least, most = said[what]
        assert least <= value <= most, what


def test_an_estimate_of_ideas_says_what_it_leaves_out(cli: Run) -> None:
    shown = cli("ideas", "graph walks", "--estimate", "--model", "openai:own")
    assert shown.out.startswith("28 to 34 calls, ")
    assert shown.out.endswith("tokens, price unknown\n")
    assert "where you choose" not in shown.err
    chosen = cli("ideas", "graph walks", "--estimate", "--interactive")
    assert "what you ask for where you choose" in " ".join(chosen.err.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["refine", "two"], "names no idea"),
        (["refine", "ab.9", "--from", "kept.json"], "no idea 9"),
        (["refine", "ab.1", "--from", "gone.json"], "cannot be read"),
    ],
)
def test_an_idea_that_is_not_there_exits_with_2(
    cli: Run,
    ideator: ModelServer,
    arguments: list[str],
    says: str,
) -> None:
    Path("kept.json").write_text('{"ideas": [{"id": "1"}]}')
    ran = cli("ideas", *arguments)
    assert ran.code == 2
    assert says in ran.complaints[0]
    assert not ideator.requests


def test_without_a_model_ideas_say_that_they_need_one(cli: Run) -> None:
    ran = cli("ideas", "How do graph walks rank passages on multi-hop questions?")
    assert ran.code == 0
    assert "Ideas are thought of by a model" in ran.out
    assert "SCHOLAR_MODEL" in ran.out
    none = cli("ideas", "How do graph walks rank passages on multi-hop questions?", "--json")
    jsonschema.validate(none.json, SCHEMA)
    assert none.json["ideas"] == []


def test_help_names_both_ways(cli: Run) -> None:
    assert "TOPIC" in cli("ideas", "--help").out
    assert "refine" in cli("ideas", "--help").out
    assert "--from" in cli("ideas", "refine", "--help").out


async def test_a_person_chooses_by_a_line_and_is_asked_again_where_it_is_not_understood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["throw 1 away", "drop 1; edit 2 title Better"])

    async def typed() -> str:
        return next(lines)

    monkeypatch.setattr(progressing, "line_of_input", typed)
    ideas = [{"id": "1", "title": "One", "summary": "It walks.", "novelty": "new"}]
    inquiry = Inquiry("ideas", "Choose.", {"ideas": ideas})
    with Progress(Console(stderr=False, force_terminal=False)) as progress:
        chosen = await progress.consult(inquiry)
    assert chosen == [
        {"do": "drop", "ids": ["1"]},
        {"do": "edit", "ids": ["2"], "field": "title", "text": "Better"},
    ]
    shown = capsys.readouterr().out
    assert "1  One (new)" in shown
    assert "Not understood: throw 1 away" in shown
