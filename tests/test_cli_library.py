"""The commands that look after the library: enrich, check, snapshot, restore, stats, filters."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from minds import Said, Seen, but, for_server
from model_server import ModelServer, Status
from papers import GAIN, REVISITED, SHELF, SPARSE, WALKS

from scholar.cli.options import STRATEGIES
from scholar.library.strategies import RANKINGS, STAGES

PASSAGES = sum(len(stored.entry.passages) for stored in SHELF.values())


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


@pytest.fixture
def server(model: ModelServer, impatient: None, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """A model that draws something from all that it is shown."""
    model.use(DILIGENT)
    monkeypatch.setenv("SCHOLAR_CACHE", "false")
    return model


# Enriching


def test_enriching_says_what_was_drawn_and_is_not_done_twice(
    run: Run, shelf_home: Path, server: ModelServer
) -> None:
    code, out, err = run("library", "enrich")
    assert (code, err) == (0, "")
    first, second, third, cost = out.splitlines()
    assert first == f"{PASSAGES} facts of {PASSAGES} passages"
    assert second == f"{PASSAGES} questions of {PASSAGES} passages"
    assert third == f"{len(SHELF)} cards of {len(SHELF)} papers"
    assert cost.startswith(f"{len(server.requests)} calls, ")
    asked = len(server.requests)
    assert run("library", "enrich") == (0, "Nothing is lacking.\n", "")
    assert len(server.requests) == asked
    told = json.loads(run("library", "stats", "--json")[1])
    assert (told["facts"], told["questions"], told["cards"]) == (PASSAGES, PASSAGES, len(SHELF))


def test_one_kind_alone_can_be_drawn(run: Run, shelf_home: Path, server: ModelServer) -> None:
    told = json.loads(run("library", "enrich", "cards", "--json")[1])
    assert told.keys() == {"cards", "dropped", "problems", "usage"}
    assert (told["cards"], told["usage"]["calls"]) == (len(SHELF), len(SHELF))


def test_a_budget_that_is_spent_is_said_and_what_is_left_is_drawn_later(
    run: Run, shelf_home: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_CONCURRENCY", "1")
    code, out, err = run("library", "enrich", "cards", "--budget-tokens", "2500")
    assert (code, "to go on: scholar library enrich" in err) == (6, True)
    paid = int(out.split()[0])
    assert 0 < paid < len(SHELF)
    assert run("library", "enrich", "cards")[1].startswith(f"{len(SHELF) - paid} cards")


def test_a_model_that_fails_midway_keeps_what_was_paid_for(
    run: Run, shelf_home: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_CONCURRENCY", "1")
    left = iter(range(2))

    def weary(seen: Seen) -> Said:
        return card(seen) if next(left, None) is not None else Status(401)

    server.use(for_server(but(card=weary)))
    code, out, err = run("library", "enrich", "cards")
    assert (code, "to go on: scholar library enrich" in err) == (4, True)
    assert out.startswith("2 cards of 2 papers")
    server.use(DILIGENT)
    assert run("library", "enrich", "cards")[1].startswith(f"{len(SHELF) - 2} cards")


def test_malformed_facts_are_counted(run: Run, shelf_home: Path, server: ModelServer) -> None:
    def sloppy(seen: Seen) -> dict[str, Any]:
        return {"facts": [{"passage": next(iter(seen.passages)), "subject": "only"}, "nothing"]}

    server.use(for_server(but(facts=sloppy)))
    out = run("library", "enrich", "facts")[1]
    assert out.startswith("0 facts of")
    assert f"{2 * len(server.requests)} malformed" in out


def test_enriching_without_a_model_says_how_to_set_one(run: Run, shelf_home: Path) -> None:
    code, _, err = run("library", "enrich")
    assert (code, "SCHOLAR_MODEL" in err) == (2, True)


def test_a_kind_that_there_is_not_is_refused(run: Run, shelf_home: Path) -> None:
    code, _, err = run("library", "enrich", "jokes")
    assert (code, "use facts, questions or cards" in err) == (2, True)


# Durability


def test_a_whole_library_is_found_well(run: Run, shelf_home: Path) -> None:
    assert run("library", "check") == (0, "All is well.\n", "")
    assert json.loads(run("library", "check", "--json")[1]) == {"ok": True, "findings": []}


def test_what_an_index_lacks_is_found_and_mended(
    run: Run, shelf_home: Path, tmp_path: Path
) -> None:
    without = tmp_path / "without"
    shutil.copytree(shelf_home / "library" / "lexical", without)
    note = tmp_path / "n.md"
    note.write_text("# On Snails\n\nSnails creep over wet glass at thirteen metres an hour.\n")
    run("add", str(note))
    shutil.rmtree(shelf_home / "library" / "lexical")
    shutil.copytree(without, shelf_home / "library" / "lexical")
    code, out, _ = run("library", "check")
    assert code == 5
    assert "lexical: 1 missing" in out
    assert "scholar library check --repair" in out
    assert run("library", "check", "--repair")[0] == 0
    assert "Snails creep" in run("search", "snails")[1]


def test_a_snapshot_is_a_whole_library(run: Run, shelf_home: Path, tmp_path: Path) -> None:
    before = run("papers", "list")[1]
    file = str(tmp_path / "lib.tar")
    assert run("library", "snapshot", file)[0] == 0
    run("papers", "remove", WALKS)
    code, _, err = run("library", "restore", file)
    assert (code, "--force" in err) == (5, True)
    code, out, _ = run("library", "restore", file, "--force")
    assert (code, f"Restored {len(SHELF)} papers" in out) == (0, True)
    assert run("papers", "list")[1] == before
    assert run("library", "check")[0] == 0


def test_what_is_no_snapshot_is_refused_in_one_line_and_changes_nothing(
    run: Run, shelf_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "lib.tar").write_text("no tar")
    code, _, err = run("library", "restore", str(tmp_path / "lib.tar"), "--force")
    assert (code, err.count("\n")) == (5, 1)
    assert "no whole snapshot" in err
    assert run("library", "check")[0] == 0


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
    run: Run, shelf_home: Path, options: list[str], found: str
) -> None:
    years = {id: stored.paper.year for id, stored in SHELF.items()}
    _, out, _ = run("search", GAIN, "-k", "20", "--json", *options)
    ids = {row["paper_id"] for row in json.loads(out or "[]")}
    assert bool(ids) is bool(found)
    if found == "years":
        assert {years[id] for id in ids} == {2024}
    if found == "all":
        assert {WALKS, REVISITED, SPARSE} <= ids


def test_a_collection_is_made_by_adding_to_it(run: Run, tmp_path: Path) -> None:
    for name in ("snails", "slugs"):
        (tmp_path / f"{name}.md").write_text(f"# On {name}\n\nMany {name} creep over wet glass.\n")
    run("add", str(tmp_path / "snails.md"), "--to", "shells")
    run("add", str(tmp_path / "slugs.md"))
    assert "On snails" in run("papers", "list", "--in", "shells")[1]
    assert "On slugs" not in run("papers", "list", "--in", "shells")[1]
    rows = json.loads(run("search", "creep", "--in", "shells", "--json")[1])
    assert [row["title"] for row in rows] == ["On snails"]
    assert "there are shells" in run("papers", "list", "--in", "shell")[2]


@pytest.mark.parametrize("years", ["then", "20x1-2022", "-"])
def test_years_that_are_none_are_refused(run: Run, shelf_home: Path, years: str) -> None:
    code, _, err = run("search", "walks", f"--years={years}")
    assert (code, "write them as 2019-2021" in err) == (2, True)


def test_a_strategy_that_there_is_not_is_refused(run: Run, shelf_home: Path) -> None:
    code, _, err = run("search", "walks", "--strategy", "luck")
    assert code == 2
    assert "hybrid" in err


def test_a_strategy_that_has_nothing_to_go_by_says_what_would_make_it(
    run: Run, shelf_home: Path
) -> None:
    code, _, err = run("search", "walks", "--strategy", "questions")
    assert (code, "scholar library enrich" in err) == (3, True)
    assert "enrich" not in run("search", "Brot backen")[2]


@pytest.mark.parametrize("command", [("search",), ("eval", "retrieve")])
def test_help_names_every_strategy_that_there_is(run: Run, command: tuple[str, ...]) -> None:
    said = set(re.findall(r"\w+", STRATEGIES))
    joins = {"or", "several", "joined", "by", "and", "then"}
    assert said - joins == {*RANKINGS, *STAGES}
    shown = run(*command, "--help")[1]
    assert " ".join(STRATEGIES.split()) in " ".join(shown.split())


def test_papers_are_exported_as_json_as_they_are_listed(run: Run, shelf_home: Path) -> None:
    listed = json.loads(run("papers", "list", "--json")[1])
    assert json.loads(run("papers", "export", "--json")[1]) == listed
    assert run("papers", "export", "--bibtex")[1] == run("papers", "export")[1]
    assert run("papers", "export")[1].lstrip().startswith("@")
