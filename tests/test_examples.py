"""The examples run, and the notes answer what the README says they answer."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import yaml
from conftest import NOTES, ROOT
from inventive import inventive
from minds import for_server
from model_server import ModelServer

from scholar.context import Services
from scholar.runs import Scholar
from scholar.values import Outcome

QUESTIONS = {
    "How does HippoRAG 2 rank passages?": ("From RAG to Memory", "personalised PageRank"),
    "How many instances does WikiContradict have?": ("WikiContradict", "253"),
    "How does KAG plan its retrieval?": ("KAG", "logical form"),
    "What does R-Tuning teach a language model to do?": ("R-Tuning", "decline"),
    "How many bits of knowledge can a parameter store?": ("Part 3.3", "2 bits"),
    "Can knowledge editing correct hallucinations?": ("Can Knowledge Editing", "hallucination"),
}


@pytest.mark.parametrize(("question", "expected"), QUESTIONS.items())
async def test_the_notes_answer_the_question(
    services: Services, question: str, expected: tuple[str, str]
) -> None:
    answer = await Scholar(services=services).ask(question)
    title, words = expected
    assert answer.outcome is Outcome.EVIDENCE
    assert title in answer.bibliography[0].title
    assert any(words in sentence.text for sentence in answer.sentences)


def test_every_note_has_its_parts() -> None:
    notes = sorted(NOTES.glob("*.md"))
    assert len(notes) >= 60
    for note in notes:
        _, head, body = note.read_text("utf-8").split("---\n", 2)
        assert yaml.safe_load(head)["title"], note.name
        headings = [line[3:] for line in body.splitlines() if line.startswith("## ")]
        assert headings == ["Problem", "Method", "Findings", "Limits"], note.name
        assert 150 <= len(body.split()) <= 310, f"{note.name}: {len(body.split())} words"


async def test_asking_from_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _bm25_only(monkeypatch, tmp_path)
    example = runpy.run_path(str(ROOT / "examples" / "ask.py"))
    answer = await example["main"]("How does HippoRAG 2 rank passages?", str(NOTES))
    assert answer.outcome is Outcome.EVIDENCE
    assert "PageRank" in answer.sentences[0].text


async def test_ideas_from_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _bm25_only(monkeypatch, tmp_path)
    with ModelServer(for_server(inventive)) as server:
        monkeypatch.setenv("SCHOLAR_MODEL", f"openai:scripted@{server.url}")
        monkeypatch.setenv("SCHOLAR_OFFLINE", "1")
        example = runpy.run_path(str(ROOT / "examples" / "ideas.py"))
        answer = await example["main"]("when retrieval helps", str(NOTES))
    assert len(answer.ideas) == 3
    assert all(idea.novelty and idea.novelty.nearest for idea in answer.ideas)


async def test_running_the_graph(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _bm25_only(monkeypatch, tmp_path)
    ask = runpy.run_path(str(ROOT / "examples" / "ask.py"))
    await ask["main"]("How does HippoRAG 2 rank passages?", str(NOTES))
    seen = await runpy.run_path(str(ROOT / "examples" / "graph.py"))["main"]("How does KAG plan?")
    assert seen[0].startswith("evidence: ")
    assert "updates  publish" in seen
    assert "custom   Searched" in seen


def _bm25_only(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("SCHOLAR_HOME", str(home / "home"))
    monkeypatch.setenv("SCHOLAR_EMBEDDER", "none")
