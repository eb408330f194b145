"""Reading sets of questions, and what is said of one that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from examinees import CAPITALS, capitals, claims, disputes, write

from scholar.errors import LibraryError, UsageError
from scholar.evaluation import sets
from scholar.evaluation.rows import RowFile


def test_a_question_has_its_answer_in_all_forms(tmp_path: Path) -> None:
    found = sets.read("answer", capitals(tmp_path))
    assert [item.answers for item in found.items] == [
        ((city, f"old {city}"),) for city in CAPITALS.values()
    ]
    assert len(found.shelves["whole"]) == 8


def test_questions_without_an_answer_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    none = {"_id": "q9", "text": "What is the capital of the sea?", "answerable": False}
    found = sets.read("answer", capitals(tmp_path, queries=[none]))
    assert len(found.items) == 4
    assert found.notes == ("1 questions without an answer are left out.",)


def test_a_question_is_asked_with_and_without_what_supports_it(tmp_path: Path) -> None:
    none = {"_id": "q9", "text": "What is the capital of the sea?", "answerable": False}
    unjudged = {"_id": "q8", "text": "What is a capital?", "answer": "a city"}
    found = sets.read("abstain", capitals(tmp_path, queries=[none, unjudged]))
    assert [(i.id, i.group, i.answerable, i.shelf) for i in found.items[:2]] == [
        ("q0, with", "q0", True, "whole"),
        ("q0, without", "q0", False, "bereft"),
    ]
    assert [(i.group, i.answerable, i.shelf) for i in found.items[8:]] == [("q9", False, "whole")]
    left = {document.id for document in found.shelves["bereft"]}
    assert left == {"n0", "n1", "n2", "n3"}


def test_both_contexts_of_a_conflict_are_documents_and_each_only_once(tmp_path: Path) -> None:
    text = (disputes(tmp_path) / "items.jsonl").read_text("utf-8")
    rows = list(map(json.loads, text.splitlines()))
    again = {**rows[0], "question": "And what else?", "context1_self_contained": "In full."}
    write(tmp_path / "items.jsonl", [*rows, again])
    found = sets.read("conflict", tmp_path)
    texts = [document.text for document in found.shelves["whole"]]
    assert len(texts) == 7
    assert "In full." in texts
    assert found.items[0].answers == (("1411",), ("1412",))
    assert found.items[0].statements[1] == "Of Arda they say 1412."


def test_a_claim_has_the_stance_of_its_labels(tmp_path: Path) -> None:
    found = sets.read("abstain", claims(tmp_path))
    assert [(item.stance, item.answerable) for item in found.items] == [
        ("supported", True),
        ("contradicted", True),
        ("not_enough", False),
    ]
    assert found.items[0].question == "Does this claim hold? The capital of Arda is Tirion."


def test_a_draw_depends_on_the_seed_and_keeps_both_askings_of_a_question(tmp_path: Path) -> None:
    found = sets.read("abstain", capitals(tmp_path))
    draws = {tuple(item.id for item in found.some(1, seed)) for seed in range(20)}
    assert draws == {(f"q{n}, with", f"q{n}, without") for n in range(4)}
    assert set(found.some(1, 5)) < set(found.some(2, 5)) < set(found.some(3, 5))
    assert found.some(None, 5) == found.some(99, 5) == found.items


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (capitals(folder) / name).unlink()


def _with(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (capitals(folder) / name).write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder.rmdir(), "is no folder"),
        (_without("corpus.jsonl"), r"corpus\.jsonl cannot be read"),
        (_without("queries.jsonl"), r"queries\.jsonl cannot be read"),
        (_with("corpus.jsonl", '{"_id": "a"}'), r"line 1: no text under 'text'"),
        (_with("queries.jsonl", "[]"), "line 1: not a JSON object"),
        (_with("queries.jsonl", '{"_id": "a", "text": "Why?"}'), "query 'a' has no 'answer'"),
        (_with("queries.jsonl", ""), "has no answerable question"),
        (_with("qrels/test.tsv", "a\tb\tc\nq0\td0\n"), r"test\.tsv, line 2: not a query id"),
        (_with("qrels/test.tsv", "a\tb\tc\n"), "has no answerable question"),
        (lambda folder: (capitals(folder) / "corpus.jsonl").write_bytes(b"\xff"), "not in UTF-8"),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    make(folder)
    with pytest.raises(UsageError, match=said):
        sets.read("abstain", folder)


def test_an_id_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twice = {"_id": "q0", "text": "Once more?", "answer": "yes"}
    with pytest.raises(UsageError, match="'q0' twice"):
        sets.read("answer", capitals(tmp_path, queries=[twice]))


def test_a_journal_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("no JSON\n", "utf-8")
    with pytest.raises(LibraryError, match="--out"):
        RowFile(tmp_path / "answers.jsonl")
