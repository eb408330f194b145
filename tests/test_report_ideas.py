"""Ideas and proposals as files: what a page, a Word document, Markdown and JSON say of them, and
that nothing in them can do anything else.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import docx
import jsonschema
import lxml.html
import pytest
from lxml.html import HtmlElement
from papers import GAIN, NO_GAIN, REVISITED, SHELF, WALKS
from test_report import citation
from test_report_html import EVIL, one, page_of, text_of, timed

from scholar import report
from scholar.events import Placed, Proposed
from scholar.library import Library
from scholar.report import files
from scholar.report.docx import to_docx
from scholar.report.dossier import Dossier, gather
from scholar.report.html import to_html
from scholar.report.timeline import Timed
from scholar.values import (
    Answer,
    CitedSentence,
    Coverage,
    Experiment,
    Idea,
    Nearest,
    Novelty,
    Outcome,
    Part,
    Standing,
    Statement,
    Usage,
)

SCHEMA = json.loads(resources.files("scholar").joinpath("ideas.schema.json").read_text("utf-8"))
TOPIC = "graph walks and sparse retrieval"
DAMPING = "The damping factor is 0.5 in all experiments."


def proposed() -> Answer:
    """Four ideas of all verdicts: a whole one, one tied with it, one that is unchecked, and one
    that was neither worked out nor ranked.
    """
    gain, damping = citation(), citation(WALKS, DAMPING, 3)
    other = citation(REVISITED, NO_GAIN, None)
    whole = Idea(
        "3",
        "Walks that damp themselves",
        "inspire",
        "Let each walk choose its damping.",
        problem="One factor serves all walks.",
        hypothesis="Damping by degree gains recall.",
        method="Damp by the degree of the node.",
        experiment=Experiment("Compare with a fixed factor.", "The walk ablation", "recall"),
        expected="Recall grows, or the hypothesis falls.",
        risks=("It is slow.", "It overfits"),
        roots=(damping,),
        grounds=(CitedSentence("Walks gain 7.1 points!", (gain, other)),),
        novelty=Novelty(
            "incremental",
            (
                Nearest(damping, same="a damping factor", differs="it is fixed."),
                Nearest(other),
            ),
            ("library (4 papers)",),
            listed=("Walks Unread, 2025",),
        ),
        standing=Standing(1, 0.62, 0.41, 0.8, {"novelty": 0.7, "feasibility": 0.55}),
    )
    known = replace(
        whole,
        id="1",
        title="Walks for recall",
        route="leap",
        roots=(),
        grounds=(),
        novelty=Novelty("known", (Nearest(gain, same="all of it"),), ("library (4 papers)",)),
        standing=Standing(1, 0.6, 0.4, 0.8),
    )
    unchecked = Idea(
        "2",
        "Walks at night",
        "brainstorm",
        "Walk when it is cheap.",
        novelty=Novelty("unchecked", why="The search failed."),
        standing=Standing(3, 0.2, 0.0, 0.4),
    )
    bare = Idea("5", "Walks alone", "user", "Walk without links.", novelty=Novelty("new"))
    return Answer(
        "abcdef123456",
        TOPIC,
        Outcome.PARTIAL,
        bibliography=(SHELF[WALKS].paper, SHELF[REVISITED].paper),
        coverage=Coverage((TOPIC,), 4, 2, 2),
        usage=Usage(33, 30_000, 4_000, 20.5, 0.05),
        notes=("The route leap brought nothing.", "“Walks again” was too like “Walks at night”."),
        ideas=(whole, known, unchecked, bare),
    )


def refined() -> Answer:
    """The proposal of one idea, with sentences on quotes and sentences without."""
    base = proposed()
    gap = Part(
        "Background and gap",
        (
            Statement("Walks gain 7.1 points", (citation(),)),
            Statement("Nobody damps by degree!"),
        ),
    )
    plan = Part("Experiments, risks and plan", (Statement("We start in May."),))
    return replace(base, outcome=Outcome.ANSWERED, ideas=base.ideas[:1], proposal=(gap, plan))


RUN: list[Timed] = timed(
    (0, Proposed(("Walks for recall", "Walks again", "Walks of old", "Walks unseen"))),
    (1, Placed("Walks of old", "known")),
    (2, Placed("Walks for recall", "known")),
    (3, Proposed(("Walks for recall", "Walks at night"))),
)


def written(folder: Path, shown: Answer, ending: str) -> bytes:
    path = folder / f"a{ending}"
    files.save(Dossier(shown, events=RUN), path)
    return path.read_bytes()


@pytest.mark.parametrize("ending", [".md", ".html", ".json", ".docx"])
def test_a_file_of_every_form_holds_every_idea_and_every_part(tmp_path: Path, ending: str) -> None:
    for shown in (proposed(), refined()):
        content = written(tmp_path, shown, ending)
        if ending == ".docx":
            text = "\n".join(p.text for p in docx.Document(io.BytesIO(content)).paragraphs)
        else:
            text = content.decode()
        assert all(idea.title in text for idea in shown.ideas)
        for part in shown.proposal:
            assert part.title in text
            assert all(statement.text.rstrip("!.") in text for statement in part.statements)


def test_a_json_file_is_what_the_command_prints_and_fits_the_schema(tmp_path: Path) -> None:
    for shown in (proposed(), refined()):
        content = written(tmp_path, shown, ".json").decode()
        assert content == report.json_text(report.to_json(shown)) + "\n"
        jsonschema.validate(json.loads(content), SCHEMA)
        assert len(json.loads(content)["ideas"]) == len(shown.ideas)


def test_markdown_names_quotes_by_their_marks_and_says_what_an_idea_grew_from() -> None:
    text = report.to_markdown(proposed())
    assert "What papers say: Walks gain 7.1 points [1b, 2]\\!" not in text
    assert "What papers say: Walks gain 7.1 points [1b, 2]!" in text
    assert "Grew from [1a]." in text
    assert f"- [1a] “{DAMPING}” Same: a damping factor. Differs: it is fixed." in text
    assert "['" not in text


# The page


def test_the_page_of_an_idea_says_all_there_is_of_it() -> None:
    page = page_of(Dossier(proposed()))
    assert text_of(one(page, "h1")) == TOPIC
    assert "4 ideas" in text_of(one(page, ".facts"))
    assert "1 incremental, 1 known, 1 unchecked, 1 new" in text_of(one(page, ".facts"))
    idea = one(page, "#idea-1")
    assert text_of(one(idea, "h2")) == "3 Walks that damp themselves"
    assert text_of(one(idea, ".told")) == (
        "part of it is therefrom a paperplace 1, tied: 0.62 (0.41 to 0.80)"
    )
    assert text_of(one(idea, ".lead")) == "Let each walk choose its damping."
    fields = {
        text_of(one(row, "dt")): text_of(one(row, "dd")) for row in idea.cssselect("dl > div")
    }
    assert fields == {
        "Problem": "One factor serves all walks.",
        "Hypothesis": "Damping by degree gains recall.",
        "Method": "Damp by the degree of the node.",
        "Experiment": "Compare with a fixed factor.",
        "Data": "The walk ablation",
        "Metric": "recall",
        "Expected": "Recall grows, or the hypothesis falls.",
        "Risks": "It is slow; It overfits",
        "Scores": "novelty 0.70, feasibility 0.55",
    }
    assert "Walks gain 7.1 points1b2!" in text_of(idea)
    assert text_of(one(idea, ".grew")) == "Grew from1a"
    assert text_of(one(idea, ".listed")) == "Walks Unread, 2025"
    assert "Novelty not checked: The search failed." in text_of(one(page, "#idea-3"))


def test_the_nearest_prior_work_stands_with_its_quote_under_its_idea() -> None:
    near, unjudged = page_of(Dossier(proposed())).cssselect("#idea-1 .near")
    assert text_of(one(near, "q")) == DAMPING
    assert text_of(one(near, ".by")) == "Lovelace et al. 2024p. 3"
    assert [text_of(line) for line in near.cssselect(".compared")] == [
        "Same a damping factor.",
        "Differs it is fixed.",
    ]
    assert text_of(one(unjudged, "q")) == NO_GAIN
    assert not unjudged.cssselect(".compared")


async def test_every_mark_leads_to_its_quote_in_its_passage(shelf: Library) -> None:
    for shown in (proposed(), refined()):
        page = page_of(await gather(shown, shelf))
        cites = page.cssselect("a.cite")
        quoted = set()
        for cite in cites:
            passage = one(page, cite.get("href"))
            marked = "".join(mark.text_content() for mark in passage.cssselect("mark"))
            quoted.add(" ".join(marked.split()))
            assert len(text_of(passage)) > len(marked)
        assert quoted == ({GAIN} if shown.proposal else {GAIN, NO_GAIN, DAMPING})


def test_the_standing_is_drawn_as_the_jury_left_it_and_told_in_words() -> None:
    page = page_of(Dossier(proposed()))
    rows = page.cssselect(".glance li")
    anchors = [one(row, "a").get("href") for row in rows]
    assert anchors == ["#idea-1", "#idea-2", "#idea-3", "#idea-4"]
    drawn = one(rows[0], "svg")
    assert drawn.get("aria-label") == "place 1, tied: 0.62 (0.41 to 0.80)"
    assert one(drawn, "circle").get("cx") == "62.0"
    interval = one(drawn, "rect")
    assert (interval.get("x"), interval.get("width")) == ("41.0", "39.0")
    assert not rows[3].cssselect("svg")


def test_one_idea_alone_is_not_compared_with_itself() -> None:
    page = page_of(Dossier(replace(proposed(), ideas=proposed().ideas[:1])))
    assert not page.cssselect(".glance")
    assert page.cssselect("#idea-1")


def test_what_was_not_kept_is_told_with_why_and_once() -> None:
    page = page_of(Dossier(proposed(), events=RUN))
    beside = one(page, "#beside")
    lines = [text_of(line) for line in beside.cssselect("li")]
    assert lines == ["“Walks of old”: known", "“Walks unseen”"]
    assert text_of(one(page, "main")).count("“Walks again”") == 1
    assert "“Walks again” was too like" in text_of(beside)


def test_an_address_in_a_title_that_was_not_kept_is_left_out() -> None:
    run = timed((0, Proposed(("See https://evil.example/x now",))))
    text = to_html(Dossier(proposed(), events=run))
    assert "“See (address left out) now”" in text
    assert "evil.example" not in text


def test_why_a_run_was_cut_short_stands_above_the_ideas_and_once() -> None:
    page = page_of(Dossier(proposed()))
    assert text_of(one(page, "#answer .finding")) == "The route leap brought nothing."
    assert text_of(one(page, "main")).count("The route leap brought nothing.") == 1
    assert not page_of(Dossier(refined())).cssselect(".finding")


def test_how_an_idea_is_worked_out_and_what_was_searched_is_told() -> None:
    text = text_of(one(page_of(Dossier(proposed())), "#made"))
    assert "Work one out: scholar ideas refine abcdef.3." in text
    assert "Novelty is against what was searched: library (4 papers)." in text
    assert "33 calls, 34,000 tokens, $0.0500, 20.5 s." in text


def test_the_page_of_a_proposal_has_its_parts_and_no_list_of_ideas() -> None:
    page = page_of(Dossier(refined()))
    assert text_of(one(page, "h1")) == "Walks that damp themselves"
    assert text_of(one(page, ".kicker")) == "scholar proposal"
    assert [text_of(h) for h in page.cssselect("main section.prose h2")] == [
        "Background and gap",
        "Experiments, risks and plan",
    ]
    assert "Walks gain 7.1 points1b. Nobody damps by degree!" in text_of(one(page, "#part-1"))
    assert not page.cssselect(".idea")
    assert "scholar ideas refine" not in text_of(one(page, "body"))


def test_in_print_a_quote_that_stands_under_its_idea_is_no_note_of_it() -> None:
    page = page_of(Dossier(proposed()))
    notes = [text_of(note).split()[0] for note in page.cssselect(".notes li")]
    assert notes == ["1b"]  # the others are nearest to the idea
    shown = replace(proposed(), ideas=(replace(proposed().ideas[0], novelty=None),))
    notes = [text_of(n).split()[0] for n in page_of(Dossier(shown)).cssselect(".notes li")]
    assert sorted(notes) == ["1a", "1b", "2"]


@pytest.mark.parametrize("outcome", Outcome)
def test_ideas_of_every_outcome_can_be_written_in_every_form(
    tmp_path: Path, outcome: Outcome
) -> None:
    for shown in (proposed(), refined()):
        for ending in files.FORMS:
            assert written(tmp_path, replace(shown, outcome=outcome), ending)


# Nothing else


def evil_ideas() -> Answer:
    """Ideas in which every text is an attack."""
    paper = replace(
        SHELF[WALKS].paper,
        title=EVIL,
        authors=(EVIL,),
        venue=EVIL,
        identifiers={"arxiv": EVIL},
        source="javascript:alert(1)",
    )
    quoted = replace(citation(), quote=EVIL)
    names = ("id", "title", "summary", "problem", "hypothesis", "method", "expected")
    fields: dict[str, Any] = dict.fromkeys(names, EVIL)
    idea = replace(
        proposed().ideas[0],
        **fields,
        experiment=Experiment(EVIL, EVIL, EVIL),
        risks=(EVIL,),
        roots=(quoted,),
        grounds=(CitedSentence(EVIL, (quoted,)),),
        novelty=Novelty("known", (Nearest(quoted, EVIL, EVIL),), (EVIL,), EVIL, (EVIL,)),
        standing=Standing(1, 0.5, 0.4, 0.6, {EVIL: 0.5}),
    )
    return replace(
        proposed(),
        run_id=EVIL,
        question=EVIL,
        bibliography=(paper,),
        coverage=Coverage((EVIL,), 1, 1, 0, 0, {EVIL: 1}),
        notes=(EVIL, EVIL),
        ideas=(idea, replace(idea, title=f"{EVIL} 2")),
    )


def evil_proposal() -> Answer:
    base = evil_ideas()
    quoted = base.ideas[0].roots
    part = Part(EVIL, (Statement(EVIL, quoted), Statement(EVIL)))
    return replace(base, ideas=base.ideas[:1], proposal=(part, part))


EVIL_RUN = timed((0, Proposed((f"{EVIL} 3",))), (1, Placed(f"{EVIL} 3", "known")))


@pytest.mark.parametrize(
    ("attacked", "clean"), [(evil_ideas(), proposed()), (evil_proposal(), refined())]
)
def test_no_text_from_outside_becomes_markup(attacked: Answer, clean: Answer) -> None:
    page = page_of(Dossier(attacked, events=EVIL_RUN))
    allowed = {element.tag for element in page_of(Dossier(clean, events=RUN)).iter()}
    assert {element.tag for element in page.iter()} <= allowed
    assert len(page.cssselect("script")) == len(page.cssselect("style")) == 1
    names = {name for element in page.iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or name in ("src", "style")]
    assert one(page, "h1").text_content() == " ".join(EVIL.split())
    assert "49" not in text_of(one(page, "h1"))


@pytest.mark.parametrize("shown", [evil_ideas(), evil_proposal(), proposed(), refined()])
def test_links_lead_within_the_page_or_to_the_web_by_https(shown: Answer) -> None:
    page = page_of(Dossier(shown, events=EVIL_RUN))
    links = [link.get("href") for link in page.cssselect("a, link")]
    assert not [
        link for link in links if not re.match(r"#|https://(arxiv|doi)\.org/|data:,$", link)
    ]
    assert "unsafe" not in one(page, "meta[http-equiv]").get("content")
    _links_are_whole(page)


def _links_are_whole(page: HtmlElement) -> None:
    """Each link within the page has the one thing it leads to."""
    for link in page.cssselect("a[href^='#']"):
        assert len(page.xpath("//*[@id=$id]", id=link.get("href")[1:])) == 1


def test_a_word_document_shows_hostile_text_as_it_is() -> None:
    hostile = "\x00\x1b[31m\u202e\ud800\uffff</w:t>&<b>"
    idea = replace(proposed().ideas[0], title=f"So{hostile}", summary=f"So{hostile}")
    shown = replace(proposed(), question=f"Why{hostile}?", ideas=(idea,))
    text = [p.text for p in docx.Document(io.BytesIO(to_docx(Dossier(shown)))).paragraphs]
    assert text[0] == "Ideas: Why[31m</w:t>&<b>?"
    assert "3. So[31m</w:t>&<b>" in text
    assert "So[31m</w:t>&<b>" in text


# Word


def document_of(shown: Answer) -> Any:
    return docx.Document(io.BytesIO(to_docx(Dossier(shown, events=RUN))))


def test_a_word_document_of_ideas_says_what_the_page_says() -> None:
    opened = document_of(proposed())
    text = [p.text for p in opened.paragraphs]
    assert text[0] == f"Ideas: {TOPIC}"
    for line in (
        "3. Walks that damp themselves",
        "part of it is there · from a paper · place 1, tied: 0.62 (0.41 to 0.80)",
        "Let each walk choose its damping.",
        "Hypothesis. Damping by degree gains recall.",
        "Walks gain 7.1 points [1b, 2]!",
        "Grew from [1a].",
        f"“{DAMPING}” [1a] Same: a damping factor. Differs: it is fixed.",
        f"“{NO_GAIN}” [2]",
        "Novelty not checked: The search failed.",
        "Listed and not read: Walks Unread, 2025",
        f"1b, p. 1  “{GAIN}”",
        "The route leap brought nothing.",
        "Proposed on the way, not kept by that title: “Walks of old”: known.",
        "Work one out: scholar ideas refine abcdef.3.",
    ):
        assert line in text
    [table] = opened.tables
    cells = [[cell.text for cell in row.cells] for row in table.rows]
    assert cells[0] == ["Idea", "Novelty", "Jury"]
    assert cells[2] == ["1 Walks for recall", "known", "place 1, tied: 0.60 (0.40 to 0.80)"]
    assert cells[4][2] == "not ranked"


def test_marks_of_ideas_in_a_word_document_lead_to_their_quotes() -> None:
    for shown, quoted in ((proposed(), {"1a", "1b", "2"}), (refined(), {"1b"})):
        opened = document_of(shown)
        links = [link for p in opened.paragraphs for link in p.hyperlinks]
        anchors = {link.fragment for link in links if not link.address}
        assert anchors == {f"quote_{mark}" for mark in quoted}
        assert anchors <= set(opened.element.body.xpath(".//w:bookmarkStart/@w:name"))


def test_a_word_document_of_a_proposal_has_its_parts_with_marks() -> None:
    text = [p.text for p in document_of(refined()).paragraphs]
    assert text[:2] == ["Walks that damp themselves", f"A proposal on: {TOPIC}"]
    assert "Walks gain 7.1 points [1b]. Nobody damps by degree!" in text
    assert "We start in May." in text


def test_where_no_idea_came_the_report_is_that_of_any_answer() -> None:
    bare = Answer("r1", TOPIC, Outcome.NO_EVIDENCE, notes=("None of the routes brought any.",))
    page = lxml.html.document_fromstring(to_html(Dossier(bare)))
    assert text_of(one(page, ".kicker")) == "scholar answer"
