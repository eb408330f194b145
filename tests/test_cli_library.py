"""The commands that look after the library: enrich, check, snapshot, restore, stats, filters."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from minds import Said, Seen, but, for_server
from model_server import ModelServer, Status
from papers import GAIN, REVISITED, SHELF, SPARSE, WALKS
from tenacity import wait_none
from typer.testing import CliRunner

from scholar.backends import gateway
from scholar.cli import app
from scholar.cli.options import STRATEGIES
from scholar.library.strategies import RANKINGS, STAGES

PASSAGES = sum(len(stored.entry.passages) for stored in SHELF.values())
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command over the library in `tmp_path`/home."""
    for name, value in (("HOME", tmp_path / "home"), ("EMBEDDER", "none"), ("OFFLINE", "1")):
        monkeypatch.setenv(f"SCHOLAR_{name}", str(value))

    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.stderr
        assert "should not have" not in result.stderr
        return result.exit_code, result.stdout, result.stderr

    return run


def draws(seen: Seen) -> dict[str, Any]:
    """One fact or question of each passage shown, made of its first words; a card of each paper."""
    words = {label: text.split() for label, text in seen.passages.items()}
    if seen.call == "facts":
        made = [
            {"passage": label, "subject": some[0], "relation": "precedes", "object": some[1]}
            for label, some in words.items()
        ]
    else:
        made = [
            {"passage": label, "question": f"What of {some[0]}?"} for label, some in words.items()
        ]
    return {seen.call: made}


def card(seen: Seen) -> dict[str, Any]:
    return {
        "problem": "P.", "approach": "A.", "motivations": [], "contributions": [], "entities": []
    }  # fmt: skip


DILIGENT = for_server(but(facts=draws, questions=draws, card=card))


@pytest.fixture(scope="module")
def running() -> Iterator[ModelServer]:
    with ModelServer(DILIGENT) as server:
        yield server


@pytest.fixture
def server(running: ModelServer, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """A model that draws something from all that it is shown."""
    running.use(DILIGENT)
    monkeypatch.setenv("SCHOLAR_MODEL", f"openai:scripted@{running.url}")
    monkeypatch.setenv("SCHOLAR_CACHE", "false")
    monkeypatch.setattr(gateway, "_BACKOFF", wait_none())
    return running


# Enriching


def test_enriching_says_what_was_drawn_and_is_not_done_twice(
    cli: Run, shelf_home: Path, server: ModelServer
) -> None:
    code, out, err = cli("library", "enrich")
    assert (code, err) == (0, "")
    first, second, third, cost = out.splitlines()
    assert first == f"{PASSAGES} facts of {PASSAGES} passages"
    assert second == f"{PASSAGES} questions of {PASSAGES} passages"
    assert third == f"{len(SHELF)} cards of {len(SHELF)} papers"
    assert cost.startswith(f"{len(server.requests)} calls, ")
    asked = len(server.requests)
    assert cli("library", "enrich") == (0, "Nothing is lacking.\n", "")
    assert len(server.requests) == asked
    told = json.loads(cli("library", "stats", "--json")[1])
    assert (told["facts"], told["questions"], told["cards"]) == (PASSAGES, PASSAGES, len(SHELF))


def test_one_kind_alone_can_be_drawn(cli: Run, shelf_home: Path, server: ModelServer) -> None:
    told = json.loads(cli("library", "enrich", "cards", "--json")[1])
    assert told.keys() == {"cards", "dropped", "problems", "usage"}
    assert (told["cards"], told["usage"]["calls"]) == (len(SHELF), len(SHELF))


def test_a_budget_that_is_spent_is_said_and_what_is_left_is_drawn_later(
    cli: Run, shelf_home: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_CONCURRENCY", "1")
    code, out, err = cli("library", "enrich", "cards", "--budget-tokens", "2500")
    assert (code, "to go on: scholar library enrich" in err) == (6, True)
    paid = int(out.split()[0])
    assert 0 < paid < len(SHELF)
    assert cli("library", "enrich", "cards")[1].startswith(f"{len(SHELF) - paid} cards")


def test_a_model_that_fails_midway_keeps_what_was_paid_for(
    cli: Run, shelf_home: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_CONCURRENCY", "1")
    left = iter(range(2))

    def weary(seen: Seen) -> Said:
        return card(seen) if next(left, None) is not None else Status(401)

    server.use(for_server(but(card=weary)))
    code, out, err = cli("library", "enrich", "cards")
    assert (code, "to go on: scholar library enrich" in err) == (4, True)
    assert out.startswith("2 cards of 2 papers")
    server.use(DILIGENT)
    assert cli("library", "enrich", "cards")[1].startswith(f"{len(SHELF) - 2} cards")


def test_malformed_facts_are_counted(cli: Run, shelf_home: Path, server: ModelServer) -> None:
    def sloppy(seen: Seen) -> dict[str, Any]:
        return {"facts": [{"passage": next(iter(seen.passages)), "subject": "only"}, "nothing"]}

    server.use(for_server(but(facts=sloppy)))
    out = cli("library", "enrich", "facts")[1]
    assert out.startswith("0 facts of")
    assert f"{2 * len(server.requests)} malformed" in out


def test_enriching_without_a_model_says_how_to_set_one(cli: Run, shelf_home: Path) -> None:
    code, _, err = cli("library", "enrich")
    assert (code, "SCHOLAR_MODEL" in err) == (2, True)


def test_a_kind_that_there_is_not_is_refused(cli: Run, shelf_home: Path) -> None:
    code, _, err = cli("library", "enrich", "jokes")
    assert (code, "use facts, questions or cards" in err) == (2, True)


# Durability


def test_a_whole_library_is_found_well(cli: Run, shelf_home: Path) -> None:
    assert cli("library", "check") == (0, "All is well.\n", "")
    assert json.loads(cli("library", "check", "--json")[1]) == {"ok": True, "findings": []}


def test_what_an_index_lacks_is_found_and_mended(
    cli: Run, shelf_home: Path, tmp_path: Path
) -> None:
    without = tmp_path / "without"
    shutil.copytree(shelf_home / "library" / "lexical", without)
    note = tmp_path / "n.md"
    note.write_text("# On Snails\n\nSnails creep over wet glass at thirteen metres an hour.\n")
    cli("add", str(note))
    shutil.rmtree(shelf_home / "library" / "lexical")
    shutil.copytree(without, shelf_home / "library" / "lexical")
    code, out, _ = cli("library", "check")
    assert code == 5
    assert "lexical: 1 missing" in out
    assert "scholar library check --repair" in out
    assert cli("library", "check", "--repair")[0] == 0
    assert "Snails creep" in cli("search", "snails")[1]


def test_a_snapshot_is_a_whole_library(cli: Run, shelf_home: Path, tmp_path: Path) -> None:
    before = cli("papers", "list")[1]
    file = str(tmp_path / "lib.tar")
    assert cli("library", "snapshot", file)[0] == 0
    cli("papers", "remove", WALKS)
    code, _, err = cli("library", "restore", file)
    assert (code, "--force" in err) == (5, True)
    code, out, _ = cli("library", "restore", file, "--force")
    assert (code, f"Restored {len(SHELF)} papers" in out) == (0, True)
    assert cli("papers", "list")[1] == before
    assert cli("library", "check")[0] == 0


def test_what_is_no_snapshot_is_refused_in_one_line_and_changes_nothing(
    cli: Run, shelf_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "lib.tar").write_text("no tar")
    code, _, err = cli("library", "restore", str(tmp_path / "lib.tar"), "--force")
    assert (code, err.count("\n")) == (5, 1)
    assert "no whole snapshot" in err
    assert cli("library", "check")[0] == 0


# Searching some of the papers


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--years", "2024"], "years"),
        (["--author", "nobody"], ""),
        (["--in", "nothing"], ""),
        (["--strategy", "bm25"], "all"),
    ],
)
def test_a_search_keeps_to_the_papers_that_are_wanted(
    cli: Run, shelf_home: Path, options: list[str], found: str
) -> None:
    years = {id: stored.paper.year for id, stored in SHELF.items()}
    _, out, _ = cli("search", GAIN, "-k", "20", "--json", *options)
    ids = {row["paper_id"] for row in json.loads(out or "[]")}
    assert bool(ids) is bool(found)
    if found == "years":
        assert {years[id] for id in ids} == {2024}
    if found == "all":
        assert {WALKS, REVISITED, SPARSE} <= ids


def test_a_collection_is_made_by_adding_to_it(cli: Run, tmp_path: Path) -> None:
    for name in ("snails", "slugs"):
        (tmp_path / f"{name}.md").write_text(f"# On {name}\n\nMany {name} creep over wet glass.\n")
    cli("add", str(tmp_path / "snails.md"), "--to", "shells")
    cli("add", str(tmp_path / "slugs.md"))
    assert "On snails" in cli("papers", "list", "--in", "shells")[1]
    assert "On slugs" not in cli("papers", "list", "--in", "shells")[1]
    rows = json.loads(cli("search", "creep", "--in", "shells", "--json")[1])
    assert [row["title"] for row in rows] == ["On snails"]
    assert "there are shells" in cli("papers", "list", "--in", "shell")[2]


@pytest.mark.parametrize("years", ["then", "20x1-2022", "-"])
def test_years_that_are_none_are_refused(cli: Run, shelf_home: Path, years: str) -> None:
    code, _, err = cli("search", "walks", f"--years={years}")
    assert (code, "write them as 2019-2021" in err) == (2, True)


def test_a_strategy_that_there_is_not_is_refused(cli: Run, shelf_home: Path) -> None:
    code, _, err = cli("search", "walks", "--strategy", "luck")
    assert code == 2
    assert "hybrid" in err


def test_a_strategy_that_has_nothing_to_go_by_says_what_would_make_it(
    cli: Run, shelf_home: Path
) -> None:
    code, _, err = cli("search", "walks", "--strategy", "questions")
    assert (code, "scholar library enrich" in err) == (3, True)
    assert "enrich" not in cli("search", "Brot backen")[2]


@pytest.mark.parametrize("command", [("search",), ("eval", "retrieve")])
def test_help_names_every_strategy_that_there_is(cli: Run, command: tuple[str, ...]) -> None:
    said = set(re.findall(r"\w+", STRATEGIES))
    joins = {"or", "several", "joined", "by", "and", "then"}
    assert said - joins == {*RANKINGS, *STAGES}
    shown = cli(*command, "--help")[1]
    assert " ".join(STRATEGIES.split()) in " ".join(shown.split())


def test_papers_are_exported_as_json_as_they_are_listed(cli: Run, shelf_home: Path) -> None:
    listed = json.loads(cli("papers", "list", "--json")[1])
    assert json.loads(cli("papers", "export", "--json")[1]) == listed
    assert cli("papers", "export", "--bibtex")[1] == cli("papers", "export")[1]
    assert cli("papers", "export")[1].lstrip().startswith("@")
