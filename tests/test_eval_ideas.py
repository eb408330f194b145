"""What `scholar eval ideas` measures, and what it says of folders that it cannot use."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from citing import write_citing_papers
from command_line import Ran, Run
from model_server import ModelServer

from scholar.backends import Request
from scholar.backends.fake import FakeBackend
from scholar.errors import ModelError, ModelRejected, SettingsError, UsageError
from scholar.evaluation import backgrounds, ratings
from scholar.evaluation.ideas import diversity, evaluate, read_runs
from scholar.evaluation.keeping import numbered
from scholar.library import Library
from scholar.settings import Settings, load
from scholar.values import Reference

_TITLES = re.compile(r'<idea place="(?:first|second)" title="Idea (\d+)">')
QUALITIES = ("novelty", "feasibility", "excitement", "effectiveness")


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# Recall of what a paper cites

CORPUS: dict[str, dict[str, Any]] = {
    "walks": {"title": "Graph walks", "text": "Random walks rank the passages of a graph."},
    "links": {"title": "Links", "text": "Links between passages are found by their names."},
    "bees": {"title": "Bees", "text": "Bees dance in the hive.", "entities": ["Tremble Dance"]},
    "ships": {"title": "Ships", "text": "Ships sail slowly to burn less."},
    "soil": {"title": "Soil", "text": "Worms loosen the soil."},
    "overview": {"title": "Overview", "text": "No comment.", "references": ["bees", "ships"]},
}
ASKED: dict[str, dict[str, Any]] = {
    "new": {"background": "How do walks rank passages of a graph?", "cited": ["walks", "links"]},
    "hive": {
        "background": "Foragers recruit others.",
        "cited": ["bees", "ships"],
        "entities": ["tremble dance"],
    },
}


def a_set(
    folder: Path, asked: dict[str, dict[str, Any]] = ASKED, corpus: dict[str, Any] = CORPUS
) -> Path:
    write(folder / "backgrounds.jsonl", [{"_id": id, **row} for id, row in asked.items()])
    write(folder / "corpus.jsonl", [{"_id": id, **row} for id, row in corpus.items()])
    return folder


async def test_recall_is_of_the_cited_works_by_words_names_and_common_citations(
    settings: Settings, tmp_path: Path
) -> None:
    found = await backgrounds.recall(a_set(tmp_path / "set"), settings, tmp_path / "out")
    assert found.ideas[10].value == 1.0, "bees by a name, ships by being cited with bees"
    assert found.search[10].value == 0.5, "no word of the second background is in the corpus"
    assert (found.papers, found.documents, found.notes) == (2, 6, ())


async def test_the_paper_that_is_asked_for_is_left_out(settings: Settings, tmp_path: Path) -> None:
    """Its references would tell what goes together, and it would find itself."""
    own = {"title": "New", "text": ASKED["new"]["background"], "references": ["walks", "soil"]}
    asked = {"new": {**ASKED["new"], "cited": ["walks", "soil", "new"]}}
    folder = a_set(tmp_path / "set", asked, {**CORPUS, "new": own})
    found = await backgrounds.recall(folder, settings, tmp_path / "out")
    assert found.documents == 6
    assert found.ideas[10].value == 0.5, "soil is found by nothing but the paper itself"


async def test_in_the_library_too_the_paper_itself_is_not_followed(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    def doi(id: str) -> dict[str, str]:
        return {"doi": f"10.1000/{id}"}

    background = ASKED["new"]["background"]
    cited = tuple(Reference(id, identifiers=doi(id)) for id in ("walks", "soil"))
    texts = {id: str(CORPUS[id]["text"]) for id in ("walks", "soil")}
    entries = [numbered(n, id, text, doi(id)) for n, (id, text) in enumerate(texts.items())]
    await library.add([*entries, numbered(9, "New", background, doi("new"), cited)])
    row = {"_id": "doi:10.1000/new", "background": background}
    row |= {"cited": ["doi:10.1000/walks", "doi:10.1000/soil"]}
    write(tmp_path / "set" / "backgrounds.jsonl", [row])
    found = await backgrounds.recall(tmp_path / "set", settings, tmp_path / "out")
    assert found.documents == 3
    assert found.ideas[10].value == 0.5, "soil is found by nothing but the paper itself"


async def test_what_cannot_be_found_is_left_out_and_counted(
    settings: Settings, tmp_path: Path
) -> None:
    asked = {
        "new": {**ASKED["new"], "cited": ["walks", "elsewhere"]},
        "lost": {"background": "Nothing of it is here.", "cited": ["nowhere"]},
    }
    folder = a_set(tmp_path / "set", asked)
    found = await backgrounds.recall(folder, settings, tmp_path / "out")
    assert found.ideas[10].value == 1.0
    assert found.papers == 1
    assert found.notes == (
        "2 of 3 cited works are not there to be found.",
        "1 papers of which no cited work is there are left out.",
    )


async def test_without_a_corpus_the_library_is_asked_and_the_paper_passed_over(
    shelf: Library, settings: Settings, tmp_path: Path
) -> None:
    papers = [paper.id for paper in await shelf.papers()]
    [passage, *_] = await shelf.passages_of(papers[0])
    row = {"_id": papers[0], "background": passage.text, "cited": papers[1:3]}
    write(tmp_path / "set" / "backgrounds.jsonl", [row])
    found = await backgrounds.recall(tmp_path / "set", settings, tmp_path / "out")
    assert found.documents == len(papers)
    assert found.ideas[100].value is not None
    write(tmp_path / "set" / "backgrounds.jsonl", [{**row, "cited": [papers[0]]}])
    with pytest.raises(UsageError, match="is there to be found"):
        await backgrounds.recall(tmp_path / "set", settings, tmp_path / "out")


@pytest.mark.slow
async def test_the_works_that_real_papers_cite_are_found(
    data: Path, settings: Settings, tmp_path: Path
) -> None:
    """By their titles alone, among all that eleven papers of different fields cite."""
    folder = write_citing_papers(data / "s2orc", tmp_path / "set")
    found = await backgrounds.recall(folder, settings, tmp_path / "out")
    assert found.papers >= 8
    assert found.documents > 300
    value = found.ideas[50].value
    assert value is not None
    assert value > 0.5


# Diversity


def printed(*ideas: str) -> dict[str, Any]:
    return {"run_id": "r", "ideas": [{"id": f"r.{n}", "title": one} for n, one in enumerate(ideas)]}


def test_runs_are_read_by_what_ideas_propose(tmp_path: Path) -> None:
    idea = {"title": "Title", "problem": "A problem.", "method": None, "risks": ["none"]}
    (tmp_path / "run.json").write_text(json.dumps({"ideas": [idea]}))
    (tmp_path / "none.json").write_text(json.dumps({"ideas": []}))
    assert read_runs(tmp_path) == {"run.json": ["Title A problem."]}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"answer": 1}', '{"ideas": ["x"]}', '{"ideas": [{}]}']
)
def test_a_file_that_holds_no_ideas_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UsageError, match=r"run\.json .*correct or remove it\."):
        read_runs(tmp_path)


async def test_without_an_embedder_diversity_is_left_out_and_that_is_said(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text(json.dumps(printed("One", "Two")))
    report = await evaluate(tmp_path, settings, tmp_path / "out")
    assert report.diversity is None
    assert "takes an embedder" in report.notes[0]


@pytest.mark.slow
async def test_ideas_that_say_the_same_count_once(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    same = "Train a small model on the edits that people make to drafts."
    runs = {
        "same": [same, f"{same} ", same],
        "apart": [same, "Count the dances of honey bees in autumn.", "Sail more slowly in ice."],
    }
    settings = load(home=tmp_path / "home", offline=True)
    found = await diversity(runs, settings)
    assert found is not None
    assert (found.runs, found.ideas, found.clusters) == (2, 6, 4)
    assert found.distinct.value == pytest.approx(4 / 6)
    alone = await diversity({"same": runs["same"]}, settings)
    assert alone is not None
    assert alone.distance.value == pytest.approx(0.0, abs=1e-3)
    assert found.embedder != "none"


# Agreement with people


def rated(folder: Path, topics: int = 2, ideas: int = 5, **more: Any) -> Path:
    """Ideas of which the one with the higher number is the better."""
    rows = [
        {
            "_id": f"{topic}.{n}", "topic": f"Topic {topic}", "title": f"Idea {n}",
            "text": f"Text {n}.", "score": [n, n + 1], **more,
        }
        for topic in range(topics)
        for n in range(ideas)
    ]  # fmt: skip
    write(folder / "rated.jsonl", rows)
    return folder


Opinion = Callable[[int, int], bool]


def judging(better: Opinion) -> Callable[[Request], str | Exception]:
    def reply(request: Request) -> str:
        first, second = map(int, _TITLES.findall(request.messages[1].content))
        said = "first" if better(first, second) else "second"
        return json.dumps({"why": "So.", **dict.fromkeys(QUALITIES, said)})

    return reply


def higher(one: int, other: int) -> bool:
    return one > other


@pytest.mark.parametrize(("better", "expected"), [(higher, 1.0), (lambda a, b: a < b, -1.0)])
async def test_agreement_is_spearmans_correlation_with_peoples_scores(
    settings: Settings, tmp_path: Path, better: Opinion, expected: float
) -> None:
    backend = FakeBackend(judging(better))
    found = await ratings.agreement(
        rated(tmp_path / "set"), settings, tmp_path / "out", comparisons=30,
        backends={"*": backend},
    )  # fmt: skip
    assert found.correlations["score"].value == pytest.approx(expected)
    assert found.correlations["novelty"].value == pytest.approx(expected)
    low, high = found.correlations["score"].low, found.correlations["score"].high
    assert low is not None
    assert high is not None
    assert low <= expected <= high + 1e-9
    assert (found.topics, found.ideas, found.judge) == (2, 10, "fake")
    assert found.comparisons == len(backend.requests) == found.spent["calls"]


async def test_a_topic_that_is_ranked_is_not_ranked_again(
    settings: Settings, tmp_path: Path
) -> None:
    folder, out = rated(tmp_path / "set"), tmp_path / "out"
    first = FakeBackend(judging(higher))
    one = await ratings.agreement(folder, settings, out, limit=1, backends={"*": first})
    second = FakeBackend(judging(higher))
    both = await ratings.agreement(folder, settings, out, backends={"*": second})
    assert len(second.requests) == len(first.requests)
    assert all("Topic 1" in request.messages[1].content for request in second.requests)
    assert (one.topics, both.topics) == (1, 2)
    assert one.folder == both.folder
    assert both.spent["calls"] == 2 * len(first.requests)


async def test_a_model_that_fails_ends_it_and_what_was_ranked_is_kept(
    settings: Settings, tmp_path: Path
) -> None:
    folder, out = rated(tmp_path / "set"), tmp_path / "out"

    def breaks(request: Request) -> str | Exception:
        if "Topic 1" in request.messages[1].content:
            return ModelRejected("The key is wrong; set another.")
        return judging(higher)(request)

    with pytest.raises(ModelError, match="The key is wrong"):
        await ratings.agreement(folder, settings, out, backends={"*": FakeBackend(breaks)})
    later = FakeBackend(judging(higher))
    await ratings.agreement(folder, settings, out, backends={"*": later})
    assert all("Topic 1" in request.messages[1].content for request in later.requests)


async def test_without_a_model_it_is_said_what_to_set(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--model"):
        await ratings.agreement(rated(tmp_path / "set"), settings, tmp_path / "out")


@pytest.mark.parametrize("score", [None, "7", [], [1, "2"], True])
async def test_an_idea_without_a_number_is_named(tmp_path: Path, score: Any) -> None:
    with pytest.raises(UsageError, match=r"'0\.0' has no number under 'score'"):
        ratings.read(rated(tmp_path, score=score))


def test_topics_of_two_ideas_are_left_out(tmp_path: Path) -> None:
    assert ratings.read(rated(tmp_path, ideas=2)) == {}


def test_the_interval_of_a_correlation_draws_topics_and_ideas() -> None:
    agree = [(float(n), float(n)) for n in range(8)]
    differ = [(float(n), -float(n)) for n in range(8)]
    mixed = ratings.correlated([agree, differ], 0)
    assert mixed.value == pytest.approx(0.0)
    assert mixed.low is not None
    assert mixed.high is not None
    assert mixed.low < -0.9 < 0.9 < mixed.high
    half = [(float(n), float(n if n % 2 else 0)) for n in range(8)]
    one = ratings.correlated([half], 0)
    assert one.value is not None
    assert one.low is not None
    assert one.low < one.value < 1.0
    assert ratings.correlated([[(1.0, 1.0)] * 4], 0).value is None
    assert ratings.correlated([half], 0) == one


# As a user types it


def lines_of(ran: Ran) -> list[list[str]]:
    return [line.split() for line in ran.out.splitlines()]


def test_a_table_shows_all_that_a_folder_has_sets_for(
    run_eval: Run, server: ModelServer, tmp_path: Path
) -> None:
    folder = rated(a_set(tmp_path / "set"))
    ran = run_eval("ideas", folder, "--model", f"openai:scripted@{server.url}")
    assert ran.code == 0, ran.out + ran.err
    assert ran.out.splitlines()[0] == "eval ideas: set"
    assert ["recall@10", "1.000", "0.158", "to", "1.000", "2"] in lines_of(ran)
    assert "agreement with people, Spearman" in ran.out
    assert "always preferred the first idea" in ran.out.replace("\n", " ")
    assert max(map(len, ran.out.splitlines()[:-1])) <= 80


def test_json_has_every_figure(run_eval: Run, tmp_path: Path) -> None:
    ran = run_eval("ideas", a_set(tmp_path / "set"), "--json", "--limit", 1)
    assert ran.code == 0, ran.out + ran.err
    told = json.loads(ran.out)
    assert told["recall"]["ideas"]["10"]["value"] == 1.0
    assert told["recall"]["papers"] == 1
    assert told["diversity"] is told["agreement"] is None


def test_a_folder_without_any_set_says_what_to_put_there(run_eval: Run, tmp_path: Path) -> None:
    ran = run_eval("ideas", tmp_path)
    assert ran.code == 2
    assert "backgrounds.jsonl" in ran.err
    assert run_eval("ideas", tmp_path / "nowhere").code == 2


@pytest.mark.parametrize("field", ["cited", "entities"])
def test_a_row_that_is_no_list_is_named(run_eval: Run, tmp_path: Path, field: str) -> None:
    folder = a_set(tmp_path, {"new": {**ASKED["new"], field: "walks"}})
    ran = run_eval("ideas", folder)
    assert ran.code == 2
    assert f"list of texts under '{field}'" in " ".join(ran.err.split())
