"""The HTML page of an answer: what it says, and that nothing in it can do anything else."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from typing import Any

import lxml.html
import numpy as np
import pytest
from lxml.html import HtmlElement
from papers import GAIN, NO_GAIN, REVISITED, SHELF, WALKS
from test_report import answer, citation, every_kind, hostile
from test_report_files import reviewed

from scholar.events import Began, Called, Ended, Event
from scholar.library import Atlas, Library
from scholar.report.dossier import Dossier, gather
from scholar.report.excerpt import excerpt
from scholar.report.html import to_html
from scholar.report.plane import plane
from scholar.report.plot import APART, HEIGHT, WIDTH, plot
from scholar.report.timeline import Pause, Timed, timeline
from scholar.text import plain
from scholar.values import Answer, Call, CitedSentence, Outcome, Paper, Passage

EVIL = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"' onmouseover=alert(1) "
    "{{ 7*7 }} {% raw %} </title></style></svg> javascript:alert(1)"
)
START = 1_700_000_000.0


def page_of(dossier: Dossier) -> HtmlElement:
    return lxml.html.document_fromstring(to_html(dossier))


def text_of(element: HtmlElement) -> str:
    return " ".join(str(element.text_content()).split())


def one(page: HtmlElement, selector: str) -> HtmlElement:
    [found] = page.cssselect(selector)
    return found


# What it says


async def test_every_citation_leads_to_its_quote_in_its_passage(shelf: Library) -> None:
    page = page_of(await gather(reviewed(), shelf))
    cites = page.cssselect("a.cite")
    assert len(cites) == 9
    for cite in cites:
        passage = one(page, cite.get("href"))
        marked = "".join(mark.text_content() for mark in passage.cssselect("mark"))
        assert " ".join(marked.split()) in (
            GAIN,
            NO_GAIN,
            "The damping factor is 0.5 in all experiments.",
        )
        assert len(text_of(passage)) > len(marked)
    assert text_of(one(page, "#q-1a")).startswith("Part 1 Graph walks rank passages")
    assert one(page, "#q-1a a").get("href") == "https://arxiv.org/pdf/2401.00001v2#page=1"
    assert text_of(one(page, "#paper-2 .by")) == (
        "Kurt Gödel, Emmy Noether · 2025doi:10.1000/wabstract only"
    )


async def test_every_part_of_a_review_is_there(shelf: Library) -> None:
    text = text_of(one(page_of(await gather(reviewed(), shelf)), "body"))
    for words in (
        "The evidence is mixed, on partial evidence.",
        "You take as given: Walks are slow. The papers contradict this1b.",
        "How walks rank",
        "Whether recall grows.",
        "Papergaindata",
        "not said",
        "support wants a revision: Sentence 1 is vague.",
        "One section was left out.",
        "6 calls, 4,926 tokens, $0.0123, 12.2 s",
    ):
        assert words in text


@pytest.mark.parametrize("kind", every_kind())
def test_every_kind_of_answer_has_a_page(kind: str) -> None:
    shown = every_kind()[kind]
    text = text_of(one(page_of(Dossier(shown)), "body"))
    assert shown.question in text
    assert all(" ".join(plain(p.title).split()) in text for p in shown.bibliography)


def test_quotes_alone_are_shown_once_as_what_the_papers_say() -> None:
    page = page_of(Dossier(every_kind()["evidence"]))
    assert text_of(one(page, "#sources h2")) == "What the papers say"
    assert not page.cssselect(".prose")
    assert text_of(one(page, "main")).count(f"“{GAIN}”") == 0  # the marks are the browser's
    assert len(page.cssselect("summary q")) == 1


def test_a_passage_that_is_gone_is_told_and_the_quote_stays() -> None:
    page = page_of(Dossier(answer()))
    assert text_of(one(page, "#q-1 mark")) == GAIN
    assert "The passage around it is not in this report." in text_of(one(page, "#q-1"))


def test_each_quote_is_printed_below_the_paragraph_that_cites_it_first() -> None:
    notes = [text_of(note) for note in page_of(Dossier(reviewed())).cssselect(".notes li")]
    assert notes[0] == f"1a Lovelace et al. 2024, p. 1: “{GAIN}”"
    labels = [note.split()[0] for note in notes]
    assert sorted(labels) == ["1a", "1b", "2"]


def test_a_long_answer_is_broken_into_paragraphs() -> None:
    sentence = answer().sentences[0]
    page = page_of(Dossier(answer(sentences=(sentence,) * 13)))
    assert [len(p.cssselect(".sentence")) for p in page.cssselect(".lead > p")] == [6, 7]


# Nothing else


def evil() -> Answer:
    """An answer in which every text is an attack."""
    paper = replace(
        SHELF[WALKS].paper,
        title=EVIL,
        authors=(EVIL,),
        venue=EVIL,
        identifiers={"arxiv": EVIL},
        newer=EVIL,
        source="javascript:alert(1)",
    )
    other = replace(
        SHELF[REVISITED].paper, title=EVIL, identifiers={}, source="javascript:alert(1)"
    )
    quoted = replace(citation(), quote=EVIL)
    base = reviewed()
    assert base.review
    assert base.review.table
    table = replace(base.review.table, columns=(EVIL, EVIL))
    section = replace(base.review.sections[0], title=EVIL)
    return replace(
        base,
        run_id=EVIL,
        question=EVIL,
        sentences=(CitedSentence(EVIL, (quoted,)),),
        bibliography=(paper, other),
        conflicts=(replace(base.conflicts[0], about=EVIL),),
        premises=(replace(base.premises[0], text=EVIL),),
        review=replace(base.review, table=table, sections=(section,)),
        notes=(EVIL,),
        coverage=replace(base.coverage, searches=(EVIL,), screened_out={EVIL: 1}),
        verdicts=(replace(base.verdicts[0], juror=EVIL, reasons=(EVIL,)),),
    )


def evil_dossier() -> Dossier:
    passage = Passage(f"{WALKS}#0", WALKS, 0, 0, len(EVIL), EVIL, section=EVIL)
    papers = tuple(Paper(str(n), EVIL, (EVIL,)) for n in range(6))
    atlas = Atlas(papers, np.eye(6, dtype=np.float32), True, ((0, 1),), 6)
    call = Call(EVIL, EVIL, 1, 1, 0.5, node=EVIL)
    events: list[Timed] = [(START + 1, Called(call)), (START + 1, Ended(EVIL, EVIL, 1.0, EVIL))]
    return Dossier(evil(), {passage.id: passage}, atlas, events)


def test_no_text_from_outside_becomes_markup() -> None:
    clean, attacked = page_of(Dossier(reviewed())), page_of(evil_dossier())
    allowed = {element.tag for element in clean.iter()} | {
        *("svg", "g", "circle", "line", "text", "rect", "title", "tr", "th", "td", "thead", "wbr")
    }
    assert {element.tag for element in attacked.iter()} <= allowed
    assert len(attacked.cssselect("script")) == len(attacked.cssselect("style")) == 1
    names = {name for element in attacked.iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or name in ("src", "style")]
    assert one(attacked, "h1").text_content() == " ".join(EVIL.split())
    assert "49" not in text_of(one(attacked, "h1"))


def test_links_lead_within_the_page_or_to_the_web_by_https() -> None:
    links = [link.get("href") for link in page_of(evil_dossier()).cssselect("a, link")]
    assert not [
        link for link in links if not re.match(r"#|https://(arxiv|doi)\.org/|data:,$", link)
    ]
    outward = [a for a in page_of(Dossier(reviewed())).cssselect("a") if "//" in a.get("href")]
    assert all(a.get("rel") == "noopener noreferrer" for a in outward)


def test_the_page_allows_itself_no_other_style_or_script_than_its_own() -> None:
    page = page_of(evil_dossier())
    policy = one(page, "meta[http-equiv]").get("content")
    for name in ("style", "script"):
        own = hashlib.sha256(one(page, name).text.encode()).digest()
        assert f"{name}-src 'sha256-{base64.b64encode(own).decode()}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_nothing_is_fetched_by_the_style_or_the_script() -> None:
    page = page_of(Dossier(reviewed()))
    code = one(page, "style").text + one(page, "script").text
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp|https?:|innerHTML|eval\(", code)


def test_where_a_file_of_the_user_lies_is_told_to_nobody() -> None:
    shown = answer(bibliography=(replace(SHELF[WALKS].paper, source="/home/ada/secret.pdf"),))
    assert "secret" not in to_html(Dossier(shown))


def test_text_cannot_turn_the_direction_of_the_page() -> None:
    assert "\u202e" not in to_html(Dossier(hostile()))


# The quote in its passage


TEXT = "One begins.\n\nTwo is quoted\nover lines. It\n\ngoes on. Three ends."


def passage(**fields: Any) -> Passage:
    return Passage("p#0", "p", 0, 100, 100 + len(TEXT), TEXT, **fields)


def at(quote: str) -> Any:
    start = 100 + TEXT.index(quote)
    return replace(citation(), quote=quote, start=start, end=start + len(quote))


def test_the_quote_is_marked_across_paragraphs_and_pages() -> None:
    pages = ((90, 3), (100 + TEXT.index("over"), 4))
    found = excerpt(at("Two is quoted\nover lines. It\n\ngoes on."), passage(pages=pages))
    assert [[(p.text, p.quoted, p.page) for p in paragraph] for paragraph in found] == [
        [("One begins.", False, None)],
        [("Two is quoted\n", True, None), ("over lines. It", True, 4)],
        [("goes on.", True, None), (" Three ends.", False, None)],
    ]


@pytest.mark.parametrize("change", [{"start": 0}, {"start": 102}, {"quote": "Another."}])
def test_a_quote_that_is_not_where_it_should_be_is_not_marked(change: dict[str, Any]) -> None:
    assert excerpt(replace(at("Two is quoted"), **change), passage()) == ()


# The map


def cloud(n: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """`n` vectors in three groups, one after another."""
    random = np.random.default_rng(7)
    middles = random.normal(size=(3, 40))
    rows = middles[np.arange(n) * 3 // n] + 0.4 * random.normal(size=(n, 40))
    unit: Any = rows / np.linalg.norm(rows, axis=1)[:, None]
    return np.asarray(unit, np.float32)


def test_what_is_alike_lies_together_and_always_at_the_same_place() -> None:
    vectors = cloud(120)
    points = plane(vectors)
    assert (plane(vectors) == points).all()
    assert ((points >= 0) & (points <= 1)).all()
    groups = points.reshape(3, 40, 2)
    middles = groups.mean(axis=1)
    breadth = np.linalg.norm(groups - middles[:, None], axis=2).max()
    apart = min(np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert apart > breadth


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 6])
def test_few_points_and_equal_ones_have_places_too(n: int) -> None:
    for vectors in (cloud(n or 1)[:n], np.ones((n, 4), np.float32)):
        assert np.isfinite(plane(vectors)).all()


def drawn(n: int, used: int, **fields: Any) -> Any:
    papers = tuple(Paper(str(i), f"Title {i}", (f"Ada Name{i}",), 2000 + i) for i in range(n))
    given = {"vectors": cloud(n), "by_words": False, "citations": ((0, 5), (4, 5)), "total": n}
    return plot(Atlas(papers, **{**given, **fields}), {str(i): i + 1 for i in range(used)})


def test_papers_that_were_used_are_numbered_named_and_apart() -> None:
    found = drawn(60, 12, vectors=np.repeat(cloud(6), 10, axis=0))
    assert [dot.number for dot in found.used] == list(range(1, 13))
    assert len(found.others) == 48
    places = np.array([(dot.x, dot.y) for dot in found.used])
    far = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(12) * 1e3
    assert far.min() > APART - 1
    assert {name.text for name in found.names} <= {f"Name{i} {2000 + i}" for i in range(12)}
    assert len(found.names) > 3
    assert all(0 <= name.x <= WIDTH and 0 <= name.y <= HEIGHT for name in found.names)


def test_citations_are_lines_and_those_of_used_papers_told_apart() -> None:
    assert [line.used for line in drawn(9, 2).lines] == [False, True]


def test_a_map_of_one_paper_is_not_drawn() -> None:
    assert drawn(1, 1, citations=()) is None


@pytest.mark.parametrize(
    ("used", "words"),
    [
        (0, "9 papers of the library’s 50. Near"),
        (1, "; the one with a number is cited here. Near"),
        (2, "; the 2 with numbers are cited here. Near each other means alike in meaning"),
    ],
)
def test_what_the_map_shows_is_told(used: int, words: str) -> None:
    papers = tuple(Paper(str(n), f"Title {n}") for n in range(9))
    atlas = Atlas(papers, cloud(9), False, (), 50)
    shown = answer(sentences=(), bibliography=papers[:used])
    assert words in text_of(one(page_of(Dossier(shown, {}, atlas)), "#map"))


def test_a_title_is_told_of_every_dot() -> None:
    page = page_of(evil_dossier())
    assert len(page.cssselect("#map .dot title")) == 6


# The timeline


def call(seconds: float, node: str = "", **fields: Any) -> Called:
    return Called(Call("writer", "m", 80, 20, seconds, **{"dollars": 0.01, "node": node, **fields}))


def timed(*events: tuple[float, Event]) -> list[Timed]:
    return [(START + at, event) for at, event in events]


def test_each_node_has_a_lane_with_its_time_calls_and_cost() -> None:
    run = timed(
        (0, Began("plan")),
        (2, call(1.5, "plan")),
        (2, Ended("plan", "", 2)),
        (2, Began("search", "s1")),
        (2, Began("search", "s2")),
        (3, Ended("search", "s1", 1)),
        (4, Ended("search", "s2", 2)),
        (4, Began("compose")),
        (5, call(0.5, "compose", dollars=None)),
        (6, Ended("compose", "", 2, "The model failed.")),
    )
    found = timeline(run)
    assert found
    assert (found.began, found.seconds, found.pauses) == (START, 6, ())
    plan, search, compose = found.lanes
    assert (plan.node, plan.seconds, plan.tokens, plan.dollars) == ("plan", 2, 100, 0.01)
    assert [(bar.start, bar.end) for bar in plan.calls] == [(0.5, 2)]
    assert [(bar.start, bar.end) for bar in search.bars] == [(2, 3), (2, 4)]
    assert search.seconds == 2
    assert compose.dollars is None
    assert compose.bars[0].failed
    assert compose.bars[0].said == "The model failed."


def test_a_night_of_waiting_is_cut_out_and_told() -> None:
    run = timed((0, Began("plan")), (10, Ended("plan", "", 10)))
    run += timed((30_010, Began("compose")), (30_020, Ended("compose", "", 10)))
    found = timeline(run)
    assert found
    assert found.pauses == (Pause(10, 30_000),)
    assert found.seconds == pytest.approx(20.4)
    assert found.lanes[1].bars[0].start == pytest.approx(10.4)


def test_a_short_wait_is_shown_as_it_was() -> None:
    run = timed((0, Began("plan")), (10, Ended("plan", "", 10)))
    found = timeline(run + timed((12, Began("compose")), (14, Ended("compose", "", 2))))
    assert found
    assert found.pauses == ()
    assert found.seconds == 14


def test_a_node_that_was_cut_short_ends_where_the_run_did() -> None:
    run = timed((0, Began("plan")), (4, call(1, "plan")))
    run += timed((9_000, Began("plan")), (9_002, Ended("plan", "", 2)))
    found = timeline(run)
    assert found
    [lane] = found.lanes
    assert [bar.failed for bar in lane.bars] == [True, False]
    assert lane.bars[0].end == 4
    assert lane.seconds == 6
    still = timeline(timed((0, Began("plan")), (4, call(1, "plan"))))
    assert still
    assert still.lanes[0].bars[0].said == "cut short"


def test_calls_alone_make_lanes_by_role() -> None:
    found = timeline(timed((2, call(1)), (5, call(2))))
    assert found
    assert [(bar.start, bar.end) for bar in found.lanes[0].bars] == [(0, 1), (2, 4)]
    assert found.lanes[0].node == "writer"


def test_a_run_without_anything_that_took_time_has_no_timeline() -> None:
    assert timeline([]) is None
    assert "The run" not in to_html(Dossier(answer()))


def test_the_timeline_is_on_the_page_with_its_figures() -> None:
    run = timed(
        (0, Began("deliberate")), (2, call(2, "deliberate")), (3, Ended("deliberate", "", 3))
    )
    page = page_of(Dossier(answer(outcome=Outcome.PARTIAL), events=run))
    [row] = page.cssselect(".timeline tbody tr")
    assert text_of(row).startswith("jury")
    assert text_of(row).endswith("3.0 s1100$0.0100")
    assert "November 2023" in text_of(one(page, ".kicker"))
