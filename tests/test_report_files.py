"""An answer as a file of each form: what is in it, and what happens where it cannot be written."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import docx
import pytest
from papers import GAIN, NO_GAIN, REVISITED, SHELF, WALKS
from test_report import answer, citation, disagreeing, hostile

from scholar import report
from scholar.errors import ReportError, UsageError
from scholar.report import files
from scholar.report.docx import to_docx
from scholar.report.dossier import Dossier
from scholar.report.markdown import to_markdown
from scholar.sources import bibtex
from scholar.sources.record import Record
from scholar.values import (
    Answer,
    Cell,
    CitedPremise,
    CitedSection,
    CitedSentence,
    Outcome,
    Review,
    Row,
    Table,
    Verdict,
)


def reviewed() -> Answer:
    """A review of two sections with a conflict, a premise, a table and a juror who dissents."""
    far = citation(WALKS, "The damping factor is 0.5 in all experiments.", 3)
    sections = (
        CitedSection("How walks rank", (CitedSentence("They rank by PageRank.", (citation(),)),)),
        CitedSection("What they cost", (CitedSentence("They damp by half.", (far, citation())),)),
    )
    rows = (
        Row(WALKS, (Cell("7.1 points", citation()), Cell())),
        Row(REVISITED, (Cell("no gain", citation(REVISITED, NO_GAIN, None)), Cell())),
    )
    return replace(
        disagreeing(),
        sentences=(CitedSentence("Walks help, or do not.", (citation(),)),),
        review=Review(sections, Table(("gain", "data"), rows)),
        premises=(CitedPremise("Walks are slow.", "contradicted", (far,)),),
        stance="mixed",
        basis="partial",
        verdicts=(Verdict("support", "revise", ("Sentence 1 is vague.",)),),
        notes=("One section was left out.",),
    )


def written(folder: Path, name: str, shown: Answer) -> bytes:
    path = folder / name
    files.save(Dossier(shown), files.place(str(path)))
    return path.read_bytes()


@pytest.mark.parametrize("name", ["answer.txt", "answer", ".html", "answer.html.gz", "folder/"])
def test_another_ending_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UsageError) as raised:
        files.place(name)
    assert ".md, .html, .json, .bib or .docx" in str(raised.value)


def test_an_ending_may_be_in_capitals_and_a_name_in_the_users_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = files.place("~/ANSWER.JSON")
    files.save(Dossier(answer()), path)
    assert json.loads((tmp_path / "ANSWER.JSON").read_text())["run_id"] == "r1"


def test_json_and_markdown_are_what_the_terminal_prints(tmp_path: Path) -> None:
    shown = reviewed()
    assert written(tmp_path, "a.md", shown).decode() == to_markdown(shown)
    assert (
        written(tmp_path, "a.json", shown).decode()
        == report.json_text(report.to_json(shown)) + "\n"
    )


def test_markdown_tells_the_stance_and_what_was_taken_as_given() -> None:
    text = to_markdown(reviewed())
    assert "**The evidence is mixed, on partial evidence.**" in text
    assert "You take as given: Walks are slow. The papers contradict this [1b]." in text


def test_the_bibliography_is_bibtex_that_is_read_back(tmp_path: Path) -> None:
    written(tmp_path, "a.bib", disagreeing())
    found = [r.paper for r in bibtex.read(tmp_path / "a.bib") if isinstance(r, Record)]
    assert [p.title for p in found] == [p.title for p in disagreeing().bibliography]
    assert found[0].identifiers == {"arxiv": "2401.00001"}
    assert found[0].authors == SHELF[WALKS].paper.authors


# Where it cannot be written


@pytest.mark.parametrize("name", ["gone/a.html", "taken.md", "file.json/a.json"])
def test_a_place_where_no_file_can_be_is_told_in_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken.md").mkdir()
    (tmp_path / "file.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReportError) as raised:
        written(tmp_path, name, answer())
    assert str(raised.value).endswith("choose another place with --out.")
    assert "\n" not in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before


FULL = """
import resource, sys
from pathlib import Path
from scholar.errors import ReportError
from scholar.report import files
from scholar.report.dossier import Dossier
from scholar.values import Answer, Outcome
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    if sys.argv[2] == "save":
        files.save(Dossier(Answer("r1", "Q", Outcome.NO_EVIDENCE)), Path(sys.argv[1]))
    else:
        files.write_text(Path(sys.argv[1]), "new" * 100)
except ReportError as error:
    print(error)
"""


@pytest.mark.parametrize("by", ["save", "write_text"])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, by: str) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(path), by], capture_output=True, text=True, check=True
    )
    assert "could not be written" in ran.stdout
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_text_is_written_also_where_it_has_halves_of_characters(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.md", "é \ud800.")
    assert (tmp_path / "a.md").read_text("utf-8") == "é ?."


def test_a_file_that_is_replaced_keeps_its_permissions_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    written(tmp_path, "link.json", answer())
    assert link.is_symlink()
    assert json.loads(real.read_text())["run_id"] == "r1"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_new_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    written(tmp_path, "a.bib", answer())
    assert (tmp_path / "a.bib").stat().st_mode == (tmp_path / "other").stat().st_mode


# Word


def document_of(shown: Answer) -> docx.document.Document:
    return docx.Document(io.BytesIO(to_docx(Dossier(shown))))


def text_of(shown: Answer) -> list[str]:
    return [paragraph.text for paragraph in document_of(shown).paragraphs]


def test_a_word_document_has_every_part_of_a_review() -> None:
    opened = document_of(reviewed())
    headings = [p.text for p in opened.paragraphs if p.style and "Heading" in str(p.style.name)]
    assert headings == [
        "How walks rank",
        "What they cost",
        "Where the sources disagree",
        "Whether recall grows.",
        "The papers side by side",
        "Sources",
        "About this answer",
    ]
    text = [p.text for p in opened.paragraphs]
    assert text[0] == reviewed().question
    assert "The evidence is mixed, on partial evidence." in text
    assert "Walks help, or do not [1a]." in text
    assert "They damp by half [1a, 1b]." in text
    assert "You take as given: Walks are slow. The papers contradict this [1b]." in text
    assert f"1a, p. 1  “{GAIN}”" in text
    assert f"2  “{NO_GAIN}”" in text
    assert "Juror support wants a revision: Sentence 1 is vague." in text
    assert "One section was left out." in text
    [table] = opened.tables
    cells = [[cell.text for cell in row.cells] for row in table.rows]
    assert cells[0] == ["Paper", "gain", "data"]
    assert cells[1] == ["1 Lovelace et al. 2024", "7.1 points [1a]", "not said"]


def test_marks_of_a_word_document_lead_to_quotes_and_identifiers_to_the_web() -> None:
    opened = document_of(reviewed())
    links = [link for p in opened.paragraphs for link in p.hyperlinks]
    links += [
        link
        for row in opened.tables[0].rows
        for cell in row.cells
        for link in cell.paragraphs[0].hyperlinks
    ]
    anchors = {link.fragment for link in links if not link.address}
    assert anchors == {"quote_1a", "quote_1b", "quote_2"}
    names = opened.element.body.xpath(".//w:bookmarkStart/@w:name")
    assert sorted(names) == sorted(anchors)
    assert {(link.text, link.address) for link in links if link.address} == {
        ("arXiv:2401.00001v2", "https://arxiv.org/abs/2401.00001v2"),
        ("doi:10.1000/w", "https://doi.org/10.1000/w"),
    }


def test_what_xml_has_no_place_for_is_left_out_of_a_word_document() -> None:
    evil = "\x00\x0b\x1b[31m\ud800\ufffe\uffff</w:t>&<b>"
    shown = replace(hostile(), question=f"Why{evil}?", notes=(f"So{evil}.",))
    text = text_of(shown)
    assert text[0] == "Why[31m</w:t>&<b>?"
    assert "So[31m</w:t>&<b>." in text


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_can_be_written_in_every_form(tmp_path: Path, outcome: Outcome) -> None:
    bare = Answer("r1", "Why?", outcome, notes=("The key was refused.",))
    for shown in (bare, replace(answer(), outcome=outcome)):
        for ending in files.FORMS:
            if ending != ".bib" or shown.bibliography:
                assert written(tmp_path, f"a{ending}", shown)
