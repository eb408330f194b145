from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from command_line import command

from scholar.errors import UsageError
from scholar.evaluation import beir
from scholar.evaluation.retrieval import score

CORPUS = [
    {"_id": "d1", "title": "Graph walks", "text": "Graph walks rank passages by their links."},
    {"_id": "d2", "title": "Sparse retrieval", "text": "BM25 ranks passages by their words."},
    {"_id": "d3", "title": "Graph walks", "text": "Graph walks rank passages by their links."},
    {"_id": "eval:0", "title": "Only a title about tulips", "text": ""},
]
QUERIES = [
    {"_id": "q1", "text": "BM25 ranks passages by words"},
    {"_id": "q2", "text": "tulips"},
    {"_id": "q3", "text": "quarks"},
    {"_id": "q4", "text": "nothing fits this one"},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\td2\t1\nq2\teval:0\t2\nq3\td1\t1\nq1\td1\t0\nq4\td1\t0\n"


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A small set: of three queries one has no word of what it should find."""
    folder = tmp_path / "set"
    write(folder, "corpus.jsonl", *CORPUS)
    write(folder, "queries.jsonl", *QUERIES)
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(QRELS)
    return folder


def write(folder: Path, name: str, *rows: object) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def bm25(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that search by words alone."""
    monkeypatch.setenv("SCHOLAR_EMBEDDER", "none")
    monkeypatch.setenv("SCHOLAR_OFFLINE", "true")


@pytest.mark.usefixtures("bm25")
def test_one_flat_object_says_how_well_and_how_fast(judged: Path, tmp_path: Path) -> None:
    ran = command("eval", "retrieve", judged, "--json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report["strategy"] == "hybrid"
    assert (
        report["ndcg@10"] == report["mrr"] == report["recall@100"] == pytest.approx(2 / 3, abs=1e-4)
    )
    assert (report["documents"], report["queries"], report["split"]) == (4, 3, "test")
    assert 0 < report["p50_ms"] <= report["p95_ms"]
    assert report["index_seconds"] > 0
    assert all(isinstance(value, (int, float, str)) for value in report.values())
    assert not (tmp_path / "user" / ".local").exists()  # the user's own library is left alone


@pytest.mark.usefixtures("bm25")
def test_all_strategies_that_can_be_are_in_one_table(judged: Path) -> None:
    write(judged, "openie.jsonl", {"_id": "d2", "triples": [["BM25", "ranks", "passages"], ["x"]]})
    ran = command("eval", "retrieve", judged, "--strategy", "all")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].split()[:2] == ["strategy", "ndcg@10"]
    assert [line.split()[0] for line in lines[1:-1]] == ["bm25", "graph", "entity"]
    assert "4 documents" in lines[-1]
    assert "1 malformed triples are left out." in ran.err


@pytest.mark.usefixtures("bm25")
def test_a_wrong_strategy_is_refused_before_anything_is_indexed(judged: Path) -> None:
    ran = command("eval", "retrieve", judged, "--strategy", "magic")
    assert ran.code == 2
    assert "use one of bm25" in ran.err


def test_measures_are_those_of_trec_eval() -> None:
    judged = {"q": {"a": 2, "b": 1, "c": 0}, "lost": {"x": 1}}
    scores = score(judged, {"q": {"c": 3.0, "b": 2.0, "a": 1.0}, "lost": {}})
    gained = 1 / math.log2(3) + 2 / math.log2(4)
    assert scores["ndcg@10"] == pytest.approx(gained / (2 + 1 / math.log2(3)) / 2)
    assert scores["mrr"] == pytest.approx(1 / 2 / 2)
    assert scores["recall@5"] == pytest.approx(1 / 2)


def test_the_only_split_and_the_one_called_test_need_no_name(judged: Path) -> None:
    assert beir.read(judged).split == "test"
    (judged / "qrels" / "dev.tsv").write_text(QRELS)
    assert beir.read(judged).split == "test"
    (judged / "qrels" / "test.tsv").rename(judged / "qrels" / "train.tsv")
    with pytest.raises(UsageError, match=r"several splits; use --split with one of dev, train\."):
        beir.read(judged)
    with pytest.raises(UsageError, match=r"no split 'test'; .* dev, train\."):
        beir.read(judged, "test")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named(judged: Path, name: str) -> None:
    (judged / name).unlink()
    with pytest.raises(UsageError, match=name.replace("test.tsv", "")):
        beir.read(judged)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{broken\n', "line 2: not a JSON object"),
        ("corpus.jsonl", '{"_id": 5, "text": "x"}\n', "line 1: no text under '_id'"),
        ("queries.jsonl", '["q1"]\n', "line 1: not a JSON object"),
        ("queries.jsonl", '{"_id": "q1"}\n', "no text under 'text'"),
        ("qrels/test.tsv", "q1 d1 1\n\nq2\td2\tmany\n", "line 2: not a query id"),
        ("openie.jsonl", "nothing", "line 1: not a JSON object"),
    ],
)
def test_a_malformed_line_is_named(judged: Path, name: str, text: str, said: str) -> None:
    (judged / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        beir.read(judged)


def test_bytes_that_are_no_text_and_a_folder_that_is_none_are_said(judged: Path) -> None:
    (judged / "queries.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not in UTF-8"):
        beir.read(judged)
    with pytest.raises(UsageError, match="is no folder"):
        beir.read(judged / "corpus.jsonl")


def test_what_is_judged_but_not_there_is_counted_and_said(judged: Path) -> None:
    (judged / "qrels" / "test.tsv").write_text(QRELS + "q1\tgone\t1\nlost\td1\t1\n")
    found = beir.read(judged)
    assert found.judgements["q1"]["gone"] == 1
    assert "lost" not in found.queries
    assert [note.split(":")[0] for note in found.notes] == [
        "1 judged documents are not in the corpus and count as never found",
        "1 judged queries are not in queries.jsonl and are left out",
    ]


def test_judgements_of_another_set_are_refused(judged: Path) -> None:
    (judged / "qrels" / "test.tsv").write_text("q1\tz1\t1\n")
    with pytest.raises(UsageError, match="belong together"):
        beir.read(judged)
