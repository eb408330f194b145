"""The HTML page of an answer as a browser shows it: in a window, on a phone, in the dark, in print.

Skipped where there is no Chromium; CHROMIUM_FOR_TESTS names one that is not on the path.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import browser
import pypdf
import pytest
from browser import Browser
from papers import GAIN, NO_GAIN, SHELF
from test_report import answer, citation, disagreeing, every_kind
from test_report_files import reviewed
from test_report_html import call, evil_dossier, timed
from test_report_ideas import DAMPING, evil_ideas, evil_proposal, proposed, refined

from scholar.events import Began, Ended
from scholar.library import Library
from scholar.report import files
from scholar.report.dossier import gather
from scholar.values import Answer, CitedSection, CitedSentence, Review, Table

pytestmark = pytest.mark.slow

CONTRAST = """
(() => {
  const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const parts = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = [];
  let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("svg, script, style, :disabled")) continue;
    seen += 1;
    const [one, other] = [parts(getComputedStyle(element).color), behind(element)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push([walker.currentNode.data, ratio]);
  }
  return { seen, poor };
})()
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser, or the test is skipped."""
    program = browser.find()
    if program is None:
        pytest.skip("no Chromium is installed; apt-get install chromium, or set CHROMIUM_FOR_TESTS")
    with Browser(program) as opened:
        yield opened


def many_quotes() -> Answer:
    """A review of 60 sentences and as many quotes, under a title without a space in it."""
    text = SHELF["arxiv:2401.00001"].document.text
    found = [f"Run {n} of the walk ablation" for n in range(1, 21)]
    found += [text[at : at + 40] for at in range(100, 900, 20)]
    cited = [CitedSentence(f"It is {'so' * 40}.", (citation(quote=q, page=3),)) for q in found]
    sections = tuple(CitedSection("T" * 90, tuple(cited[n : n + 15])) for n in range(0, 60, 15))
    base = reviewed()
    assert base.review
    assert base.review.table
    table = Table(("column " * 6,) * 2, base.review.table.rows)
    return replace(base, question="Q" * 200, review=Review(sections, table))


RUN = timed(
    (0, Began("plan")),
    (2, call(2, "plan")),
    (3, Ended("plan", "", 3)),
    (3, Began("compose")),
    (7, Ended("compose", "", 4, "The model failed.")),
)


@pytest.fixture
async def pages(shelf: Library, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of several kinds of answer, by name; written once."""
    folder = tmp_path_factory.getbasetemp() / "pages"
    if not folder.exists():
        folder.mkdir()
        await write_pages(folder, shelf)
    return {path.stem: path for path in folder.iterdir()}


async def write_pages(folder: Path, shelf: Library) -> None:
    kinds: dict[str, Answer] = {
        **every_kind(),
        "conflicting": disagreeing(),
        "review": reviewed(),
        "many": many_quotes(),
        "one": answer(),
        "ideas": proposed(),
        "proposal": refined(),
        "evil ideas": evil_ideas(),
        "evil proposal": evil_proposal(),
    }
    for name, shown in kinds.items():
        files.save(await gather(shown, shelf, RUN), folder / f"{name}.html")
    files.save(evil_dossier(), folder / "evil.html")


def complaints(chromium: Browser) -> list[Any]:
    """What the console, the policy or a script complained of."""
    logged = [entry["entry"]["text"] for entry in chromium.told("Log.entryAdded")]
    said = [c["args"] for c in chromium.told("Runtime.consoleAPICalled")]
    return [*logged, *said, *chromium.told("Runtime.exceptionThrown")]


def requests(chromium: Browser) -> list[str]:
    return [told["request"]["url"] for told in chromium.told("Network.requestWillBeSent")]


def reader(chromium: Browser) -> str:
    """What the reader shows; empty where it is closed."""
    return str(
        chromium.run("document.getElementById('reader').checkVisibility() ?"
                     " document.getElementById('reader').innerText : ''")
    )  # fmt: skip


@pytest.mark.parametrize("width", [360, 800, 1280])
async def test_a_click_on_a_citation_opens_the_quote_in_its_passage_and_page(
    chromium: Browser, pages: dict[str, Path], width: int
) -> None:
    chromium.open(pages["review"], width)
    assert reader(chromium) == ""
    chromium.click(".summary a.cite")
    shown = reader(chromium)
    assert "Lovelace et al. 2024, p. 1 · Part 1" in shown
    assert "Graph Walks for Retrieval" in shown
    assert "The walk starts from the entities of the question." in shown
    marked = chromium.run("document.querySelector('#reader mark').innerText")
    assert marked == GAIN
    inside = chromium.run(
        "(() => { const m = document.querySelector('#reader mark').getBoundingClientRect();"
        "return m.top >= 0 && m.bottom <= innerHeight && m.width > 0; })()"
    )
    assert inside
    cite = "document.querySelector('.summary a.cite').getBoundingClientRect()"
    covered = f"document.elementFromPoint({cite}.x + 3, {cite}.y + 3).className"
    assert chromium.run(covered) == "cite"
    assert not complaints(chromium)


async def test_the_reader_goes_on_to_the_next_quote_and_back_and_closes(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    chromium.open(pages["review"])
    chromium.click(".summary a.cite")
    chromium.press("ArrowRight")
    assert "damping factor" in str(chromium.run("document.querySelector('#reader mark').innerText"))
    chromium.click("#reader [data-go='-1']")
    assert chromium.run("document.querySelector('#reader mark').innerText") == GAIN
    chromium.press("ArrowLeft")
    assert "1 of 9" in reader(chromium)
    assert chromium.run("document.querySelector('#reader [data-go=\"-1\"]').disabled")
    assert not chromium.run("document.querySelector('#reader [data-go=\"1\"]').disabled")
    chromium.press("Escape")
    assert reader(chromium) == ""
    assert chromium.run("document.activeElement.className") == "cite"
    chromium.click(".summary a.cite")
    chromium.click("#reader [data-close]")
    assert reader(chromium) == ""


async def test_citations_can_be_reached_and_opened_by_the_keyboard(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    chromium.open(pages["one"])
    for _ in range(20):
        chromium.press("Tab")
        if chromium.run("document.activeElement.className") == "cite":
            break
    chromium.press("Enter")
    assert GAIN in reader(chromium)
    assert chromium.run("document.activeElement.id") == "reader"


async def test_without_scripts_a_citation_leads_to_its_open_passage(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(pages["review"])
        chromium.click(".summary a.cite")
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)
        assert chromium.run("location.hash") == "#q-1a"
        assert chromium.run("document.querySelector('#q-1a').closest('details').open")
        top = chromium.run("document.querySelector('#q-1a').getBoundingClientRect().top")
        assert 0 <= top < 900
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [400, 1200])
async def test_the_nearest_prior_work_of_an_idea_opens_in_its_passage(
    chromium: Browser, pages: dict[str, Path], width: int
) -> None:
    chromium.open(pages["ideas"], width)
    chromium.click("#idea-1 .near a.cite")
    assert "Lovelace et al. 2024, p. 3 · Part 1" in reader(chromium)
    assert chromium.run("document.querySelector('#reader mark').innerText") == DAMPING
    assert chromium.run("document.querySelector('.current').className") == "near current"
    chromium.press("Escape")
    chromium.click(".glance a")
    assert chromium.run("location.hash") == "#idea-1"
    assert not complaints(chromium)


async def test_without_scripts_a_quote_of_an_idea_is_reached_too(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(pages["ideas"])
        chromium.click("#idea-1 .near a.cite")
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)
    assert chromium.run("location.hash") == "#q-1a"
    assert chromium.run("document.querySelector('#q-1a').closest('details').open")


async def test_no_page_asks_for_anything_or_complains(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    for path in pages.values():
        chromium.open(path)
        chromium.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))")
        assert requests(chromium) == [path.as_uri()]
        assert not complaints(chromium)
        assert not chromium.told("Page.javascriptDialogOpening")


async def test_the_policy_of_the_page_stops_what_would_be_injected(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    chromium.open(pages["one"])
    chromium.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.owned = 1';"
        "document.body.append(s); const i = document.createElement('img');"
        "i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i); })()"
    )
    assert chromium.run("window.owned") is None
    assert len(complaints(chromium)) == 2


@pytest.mark.parametrize("width", [320, 360, 800, 1280])
async def test_nothing_scrolls_sideways(
    chromium: Browser, pages: dict[str, Path], width: int
) -> None:
    for name, path in pages.items():
        chromium.open(path, width, 740)
        for opened in (False, True):
            if opened and chromium.run("!!document.querySelector('a.cite')"):
                chromium.click("a.cite")
            found = chromium.run("[document.documentElement.scrollWidth, innerWidth]")
            assert found[0] <= width, (name, opened, found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_what_is_behind_it(
    chromium: Browser, pages: dict[str, Path], scheme: str
) -> None:
    kinds = ("review", "conflicting", "evidence", "no evidence", "model failed")
    for name in (*kinds, "ideas", "proposal"):
        chromium.open(pages[name], prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        if chromium.run("!!document.querySelector('a.cite')"):
            chromium.click("a.cite")
        found = chromium.run(CONTRAST)
        assert found["seen"] > 10
        assert not found["poor"], name


async def test_the_two_schemes_differ(chromium: Browser, pages: dict[str, Path]) -> None:
    seen = []
    for scheme in ("light", "dark"):
        chromium.open(pages["one"], prefers_color_scheme=scheme)
        seen.append(chromium.run("getComputedStyle(document.body).backgroundColor"))
    assert len(set(seen)) == 2


def printed(chromium: Browser, page: Path) -> str:
    chromium.open(page)
    read = pypdf.PdfReader(io.BytesIO(chromium.pdf()))
    text = " ".join(page.extract_text() for page in read.pages)
    return re.sub(r"\s+", "", text)


async def test_in_print_every_idea_has_its_quotes(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    text = printed(chromium, pages["ideas"])
    for quote, times in ((GAIN, 2), (NO_GAIN, 1), (DAMPING, 1)):
        assert text.count(re.sub(r"\s+", "", quote)) == times
    assert "Nearestpriorwork" in text
    assert "p.3" in text


@pytest.mark.parametrize("kind", ["review", "evidence", "conflicting"])
async def test_in_print_every_quote_stands_on_the_page(
    chromium: Browser, pages: dict[str, Path], kind: str
) -> None:
    text = printed(chromium, pages[kind])
    for quote in (GAIN,) if kind == "evidence" else (GAIN, NO_GAIN):
        assert text.count(re.sub(r"\s+", "", quote)) == 1
    assert "p.1" in text
    assert "Choose one to read it" not in text


async def test_in_print_an_open_reader_is_left_out(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    chromium.open(pages["review"])
    chromium.click("a.cite")
    chromium.media("print")
    assert reader(chromium) == ""


async def test_nothing_moves_while_the_page_loads_or_a_quote_opens(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    watch = """
    new Promise((done) => {
      let total = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) total += entry.value;
      }).observe({ type: "layout-shift", buffered: true });
      setTimeout(() => document.querySelector("a.cite").click(), 50);
      setTimeout(() => done(total), 300);
    })
    """
    for width in (360, 1280):
        chromium.open(pages["one"], width, 740)
        assert chromium.run(watch) == 0


async def test_the_map_tells_the_title_of_the_dot_that_is_pointed_at(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    chromium.open(pages["one"], 360, 740)
    place = chromium.run(
        "(() => { const d = document.querySelector('#map .others .dot');"
        "d.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const r = d.getBoundingClientRect(); return {x: r.x + 2, y: r.y + 2}; })()"
    )
    chromium.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
    told = chromium.run("document.querySelector('#map .pointed').innerText")
    assert told == chromium.run("document.querySelector('#map .others .dot title').textContent")


async def test_a_paper_of_the_map_leads_to_its_sources(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    chromium.open(pages["review"])
    chromium.click("#map a.used circle")
    assert str(chromium.run("location.hash")).startswith("#paper-")


async def test_a_page_of_many_quotes_opens_each_of_them(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    chromium.open(pages["many"])
    wrong = chromium.run(
        "[...document.querySelectorAll('a.cite')].filter((cite) => { cite.click();"
        "const quote = document.querySelector(cite.hash).closest('details').querySelector('q');"
        "const squeeze = (e) => e.textContent.replace(/\\s+/g, ' ').trim();"
        "const shown = [...document.querySelectorAll('#reader mark')].map(squeeze).join(' ');"
        "return shown !== squeeze(quote); }).length"
    )
    assert wrong == 0
    assert chromium.run("document.querySelectorAll('a.cite').length") > 60
