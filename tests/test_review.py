"""Reviews: what is asked in which order, what of it is published, and how each can end."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from importlib import resources
from typing import Any

import jsonschema
import numpy as np
import pytest
from command_line import command
from langgraph.checkpoint.memory import InMemorySaver
from minds import Mind, Said, Seen, but, call_of, for_backend, honest
from office import OpenDesk
from papers import BM25, GAIN, NO_GAIN, NO_HELP, QUESTION, RANKING, REVISITED, SPARSE, WALKS, faults
from small_window import SMALLEST, tokens_of
from test_worst_models import WORST

from scholar import report
from scholar.agents import jury, outliner, publisher, reader, reviewer, tabulator, writer
from scholar.backends import Delta, Request
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import REPAIRS, Gateway
from scholar.context import Services, context_for
from scholar.errors import ModelRejected, UsageError
from scholar.estimate import estimate_review
from scholar.events import Outlined, Tabled, Wrote
from scholar.graph import build_graph
from scholar.library import Library
from scholar.report import markdown
from scholar.runs import Scholar
from scholar.settings import Budget, Settings
from scholar.state import State
from scholar.values import (
    Answer,
    Cell,
    CitedSection,
    Conflict,
    Draft,
    Evidence,
    Outcome,
    Sentence,
    Table,
)

TOPIC = "graph walks and sparse retrieval"
SCHEMA = json.loads(resources.files("scholar").joinpath("answer.schema.json").read_text("utf-8"))
SIDES = ("graph walks PageRank", "recall multi-hop", "BM25 training", "damping factor", "links")
INVENTED = "Graph walks were invented on Mars in 1871 by red rovers of great patience."


def facets(seen: Seen) -> Said:
    """Five sides of the topic."""
    steps = [{"question": f"What of {side}?", "query": side} for side in SIDES]
    return {"premises": [], "steps": steps}


def spread(*wanted: str) -> Mind:
    """A reader that returns these sentences, the first for the first step and so on."""

    def read(seen: Seen) -> Said:
        found = [
            {"passage": p, "quote": quote, "step": step, "helps": "answers", "says": ""}
            for quote, step in zip(wanted, itertools.cycle(seen.steps))
            for p, text in seen.passages.items()
            if quote in text
        ]
        return {"quotes": found}

    return read


HOURS = "Indexing 10,000 passages takes 12 hours on one GPU."
DAMPING = "The damping factor is 0.5 in all experiments."
START = "The walk starts from the entities of the question."
TRAINING = "The earlier gain on multi-hop questions came from a larger reader."
FIVE = spread(RANKING, GAIN, BM25, DAMPING, START, NO_GAIN, TRAINING)


def mind(**calls: Mind) -> Mind:
    """A reviewer of five sections, one for each side, except in the calls named."""
    return but(**{"facets": facets, "reader": FIVE, **calls})


def vote(action: str, *reasons: str, query: str = "") -> dict[str, Any]:
    return {"reasons": list(reasons), "action": action, "query": query}


def judges(*rounds: dict[str, Any], juror: str = "support") -> Mind:
    """One juror votes as told, round by round and then content; the others accept."""
    votes = iter(rounds)

    def judge(seen: Seen) -> Said:
        return next(votes, vote("accept")) if seen.juror == juror else vote("accept")

    return judge


def sections(answer: Answer) -> tuple[CitedSection, ...]:
    assert answer.review is not None
    return answer.review.sections


def table(answer: Answer) -> Table:
    assert answer.review is not None
    assert answer.review.table is not None
    return answer.review.table


def texts(answer: Answer) -> list[str]:
    return [sentence.text for part in sections(answer) for sentence in part.sentences]


def cells(answer: Answer, paper_id: str) -> tuple[Cell, ...]:
    return next((row.cells for row in table(answer).rows if row.paper_id == paper_id), ())


# The order of things


async def test_a_review_of_five_sections_takes_thirteen_calls(desk: OpenDesk) -> None:
    at = desk(mind())
    answer = await at.scholar.review(TOPIC)
    assert answer.outcome is Outcome.ANSWERED
    assert sorted(at.calls[:3]) == ["facets", "outline", "reader"]
    assert sorted(at.calls[3:5]) == ["section", "table"]
    assert at.calls[5:] == ["section"] * 4 + ["summary"] + ["juror"] * 3
    assert [part.title for part in sections(answer)] == [f"Matter c{n}" for n in range(1, 6)]
    assert not faults(answer)


class Together(FakeBackend):
    """Answers the table only once the first section has been asked for, and the other way."""

    meeting: asyncio.Barrier
    met = 0

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        if call_of(request) in ("table", "section") and self.met < 2:
            self.met += 1
            async with asyncio.timeout(5):
                await self.meeting.wait()
        async for delta in super().stream(request):
            yield delta


async def test_the_table_is_filled_while_the_first_section_is_written(
    shelf: Library, settings: Settings
) -> None:
    backend = Together(for_backend(mind()))
    backend.meeting = asyncio.Barrier(2)
    scholar = Scholar(services=Services(settings, shelf, Gateway(settings, {"*": backend})))
    assert (await scholar.review(TOPIC)).outcome is Outcome.ANSWERED


async def test_each_section_is_written_from_its_own_quotes_with_the_earlier_ones_in_view(
    desk: OpenDesk,
) -> None:
    at = desk(mind())
    await at.scholar.review(TOPIC)
    first, second, *_ = at.shown("section")
    assert RANKING in first
    assert BM25 not in first
    assert "<section" not in first
    quotes = second[second.rindex("</section>") :]
    assert GAIN in quotes
    assert RANKING not in quotes
    assert RANKING in second[: second.rindex("</section>")]
    last = at.shown("section")[-1]
    assert all(f'<section title="Matter c{n}">' in last for n in range(1, 5))


async def test_where_the_window_is_small_older_sections_are_shown_by_their_point(
    desk: OpenDesk,
) -> None:
    def write(seen: Seen) -> Said:
        ids = list(seen.quotes)
        number = re.findall(r"Write section (\d)", seen.text)[0]
        words = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five"}[number]
        long = [f"Point {words}.", f"Detail {words} {'of graph walks ' * 24}"]
        return {"sentences": [{"text": t, "evidence": ids} for t in long], "conflicts": []}

    at = desk(mind(section=write), context_window=2_048)
    await at.scholar.review(TOPIC)
    last = at.shown("section")[-1]
    assert all(f"Point {words}." in last for words in ("one", "two", "three", "four"))
    assert "Detail four" in last
    assert "Detail one" not in last


async def test_what_happens_is_told(desk: OpenDesk) -> None:
    run = desk(mind()).scholar.start_review(TOPIC, columns=["data"], sections=4)
    async with aclosing(run.events()) as events:
        seen = [event async for event in events]
    [outlined] = [event for event in seen if isinstance(event, Outlined)]
    assert len(outlined.titles) == 4
    wrote = [event for event in seen if isinstance(event, Wrote)]
    assert [(event.number, event.of, event.title) for event in wrote] == [
        (n, 4, f"Matter c{n}") for n in range(1, 5)
    ]
    [tabled] = [event for event in seen if isinstance(event, Tabled)]
    assert tabled.columns == ("data",)


# The outline


def outlined(*uses: list[str], columns: tuple[str, ...] = ("Method",)) -> Mind:
    """An outline with a section for each of `uses`."""
    return lambda _: {
        "sections": [
            {"title": f"Part {'abcdefgh'[n]}", "says": "It.", "uses": ids}
            for n, ids in enumerate(uses)
        ],
        "columns": [{"name": name, "asks": f"Which {name}?"} for name in columns],
    }


async def test_a_quote_named_by_itself_leaves_its_cluster(desk: OpenDesk) -> None:
    at = desk(mind(outline=outlined(["c1", "c2", "c3"], ["c4", "c5", "e1"])))
    answer = await at.scholar.review(TOPIC)
    first, second = sections(answer)
    assert RANKING not in " ".join(sentence.text for sentence in first.sentences)
    assert RANKING in " ".join(sentence.text for sentence in second.sentences)
    assert not faults(answer)


async def test_what_the_outline_leaves_out_is_told(desk: OpenDesk) -> None:
    answer = await desk(mind(outline=outlined(["c1"], ["c2"]))).scholar.review(TOPIC)
    assert any("have no place in the outline" in note for note in answer.notes)
    assert BM25 not in " ".join(texts(answer))


@pytest.mark.parametrize(
    "outline",
    [
        {"sections": 7},
        {"sections": [], "columns": []},
        {"sections": [{"title": "Mars", "says": "It.", "uses": ["c99", "e99"]}], "columns": []},
        {"sections": [{"title": " ", "says": "It.", "uses": ["c1"]}], "columns": []},
    ],
)
async def test_without_a_usable_outline_each_step_is_a_section(
    desk: OpenDesk, outline: dict[str, Any]
) -> None:
    at = desk(mind(outline=lambda _: outline))
    answer = await at.scholar.review(TOPIC)
    assert [part.title for part in sections(answer)] == [f"What of {side}?" for side in SIDES]
    assert not faults(answer)


async def test_there_are_no_more_sections_than_asked_for(desk: OpenDesk) -> None:
    for outline in (honest, lambda _: {"sections": 7}):
        at = desk(mind(outline=outline))
        assert len(sections(await at.scholar.review(TOPIC, sections=2))) == 2


async def test_a_title_with_a_figure_that_its_quotes_lack_is_not_shown(desk: OpenDesk) -> None:
    def boast(seen: Seen) -> Said:
        said = outlined(["c1", "c2"], ["c3"])(seen)
        assert isinstance(said, dict)
        said["sections"][0]["title"] = "99.9 points everywhere"
        return said

    answer = await desk(mind(outline=boast)).scholar.review(TOPIC)
    assert [part.title for part in sections(answer)] == ["Part 1", "Part b"]


def _quote(n: int, *steps: str) -> Evidence:
    return Evidence(f"e{n}", f"Quote {n}.", "p", f"p#{n}", 0, 8, steps=steps)


async def test_without_an_embedder_clusters_are_the_steps(library: Library) -> None:
    quotes = [_quote(1, "s1"), _quote(2, "s2"), _quote(3, "s1", "s2"), _quote(4)]
    groups = await outliner.cluster(quotes, 2, library)
    assert [[item.id for item in group] for group in groups] == [["e1", "e3"], ["e2"], ["e4"]]


def test_the_most_alike_are_merged_until_few_enough_and_none_is_near() -> None:
    likeness = np.array(
        [[1.0, 0.9, 0.1, 0.2], [0.9, 1.0, 0.2, 0.1], [0.1, 0.2, 1.0, 0.5], [0.2, 0.1, 0.5, 1.0]]
    )
    assert outliner.agglomerate(likeness, 4) == [[0, 1], [2], [3]]
    assert outliner.agglomerate(likeness, 2) == [[0, 1], [2, 3]]
    assert outliner.agglomerate(likeness, 1) == [[0, 1, 2, 3]]
    assert outliner.agglomerate(likeness[:0, :0], 3) == []


# What is published


async def test_a_section_cites_only_what_it_was_shown(desk: OpenDesk) -> None:
    def invent(seen: Seen) -> Said:
        cited = [{"text": INVENTED, "evidence": ["e90", "e5"]}]
        return {"sentences": [*cited, *honest(seen)["sentences"]], "conflicts": []}

    def not_the_last(seen: Seen) -> Said:
        return honest(seen) if "Write section 5" in seen.text else invent(seen)

    answer = await desk(mind(section=not_the_last)).scholar.review(TOPIC)
    assert INVENTED not in texts(answer)
    assert len(sections(answer)) == 5
    assert any("4 sentences were left out" in note for note in answer.notes)
    assert not faults(answer)


async def test_the_summary_stands_on_the_quotes_of_its_sentences(desk: OpenDesk) -> None:
    def sum_up(seen: Seen) -> Said:
        return {
            "sentences": [
                {"text": "Walks and BM25 differ.", "uses": [1, 99]},
                {"text": "Nothing carries this.", "uses": [99]},
            ]
        }

    answer = await desk(mind(summary=sum_up)).scholar.review(TOPIC)
    [opening] = answer.sentences
    assert opening.text == "Walks and BM25 differ."
    assert [RANKING in citation.quote for citation in opening.citations] == [True]
    assert not faults(answer)


async def test_a_review_of_one_section_has_no_summary(desk: OpenDesk) -> None:
    at = desk(mind(outline=outlined(["c1", "c2", "c3", "c4", "c5"])))
    answer = await at.scholar.review(TOPIC)
    assert "summary" not in at.calls
    assert not answer.sentences
    assert answer.outcome is Outcome.ANSWERED
    assert texts(answer)[0] in report_of(answer)


async def test_sources_that_disagree_are_shown_as_a_conflict(desk: OpenDesk) -> None:
    def disagree(seen: Seen) -> Said:
        said = honest(seen)
        return {**said, "conflicts": [{"about": "the gain", "sides": said["sentences"]}]}

    reader = spread(GAIN)

    def read(seen: Seen) -> Said:
        both = [reader(seen), spread(NO_GAIN)(seen)]
        return {"quotes": [q for said in both if isinstance(said, dict) for q in said["quotes"]]}

    answer = await desk(mind(reader=read, section=disagree)).scholar.review(TOPIC)
    assert answer.outcome is Outcome.CONFLICTING
    [conflict] = answer.conflicts
    assert {c.paper_id for side in conflict.sides for c in side.citations} == {WALKS, REVISITED}


# The table


async def test_the_columns_are_those_the_user_names(desk: OpenDesk) -> None:
    def rename(seen: Seen) -> Said:
        said = honest(seen)
        return {**said, "columns": [{"name": "METHOD ", "asks": "How?"}, {"name": "x", "asks": ""}]}

    at = desk(mind(outline=rename))
    answer = await at.scholar.review(TOPIC, columns=["data used", " Method", "Method"])
    assert table(answer).columns == ("data used", "Method")
    assert "How?" in at.shown("table")[0]
    assert {row.paper_id for row in table(answer).rows} == {WALKS, REVISITED, SPARSE}
    assert not faults(answer)


async def test_without_names_the_model_proposes_columns(desk: OpenDesk) -> None:
    many = tuple(f"Column {n}" for n in "abcdefg")
    at = desk(mind(outline=outlined(["c1", "c2"], ["c3", "c4", "c5"], columns=many)))
    assert table(await at.scholar.review(TOPIC)).columns == many[: outliner.MOST_COLUMNS]


async def test_without_any_column_there_is_no_table(desk: OpenDesk) -> None:
    at = desk(mind(outline=outlined(["c1"], ["c2"], columns=())))
    answer = await at.scholar.review(TOPIC)
    assert "table" not in at.calls
    assert answer.review
    assert answer.review.table is None


def fills(*given: tuple[str, str, str, str]) -> Mind:
    """A table with these cells: paper, column, the words its quote has, text."""

    def fill(seen: Seen) -> Said:
        shown = dict(re.findall(r'<paper id="(P\d)" title="([^"]*)"', seen.text))
        papers = {title: id for id, title in shown.items()}
        said = []
        for title, column, words, text in given:
            paper = seen.text[seen.text.index(f'id="{papers[title]}"') :].split("</paper>")[0]
            quotes = re.findall(r'<quote id="(q\d+)">\n(.*?)\n</quote>', paper, re.DOTALL)
            quote = next((id for id, found in quotes if words in found), words)
            cell = {"paper": papers[title], "column": column, "quote": quote, "text": text}
            said.append(cell)
        return {"cells": said}

    return fill


async def test_a_cell_stands_on_a_quote_of_its_paper_or_says_nothing(desk: OpenDesk) -> None:
    walks, sparse = "Graph Walks for Retrieval", "Sparse Retrieval"
    fill = fills(
        (walks, "k1", RANKING, "personalised PageRank"),
        (walks, "k2", GAIN, "7.1 points of recall"),
        (walks, "k3", GAIN, "99.9 points of recall"),
        (sparse, "k1", "q99", "an invented quote"),
        (sparse, "k2", BM25, "see http://mars.example/x"),
        (sparse, "k3", BM25, "BM25"),
    )
    at = desk(mind(table=fill))
    answer = await at.scholar.review(TOPIC, columns=["a", "b", "c"])
    assert [cell.text for cell in cells(answer, WALKS)] == [
        "personalised PageRank",
        "7.1 points of recall",
        "",
    ]
    assert [cell.text for cell in cells(answer, SPARSE)] == ["", "", "BM25"]
    assert not cells(answer, REVISITED)  # a paper that says nothing has no row
    assert not faults(answer)
    shown = report_of(answer)
    assert report.NOT_SAID in shown
    assert "99.9" not in shown


async def test_sentences_of_the_paper_are_offered_beside_its_quotes(desk: OpenDesk) -> None:
    walks = "Graph Walks for Retrieval"
    at = desk(mind(table=fills((walks, "k1", HOURS, "12 hours on one GPU"))))
    answer = await at.scholar.review(TOPIC, columns=["hours of indexing"])
    [cell] = cells(answer, WALKS)
    assert cell.citation
    assert (cell.text, cell.citation.quote, cell.citation.page) == (
        "12 hours on one GPU",
        HOURS,
        2,
    )


@pytest.mark.parametrize("fault", ["another paper's", "not at its place", "not in the store"])
async def test_a_cell_whose_quote_does_not_stand_is_emptied_on_publication(
    desk: OpenDesk, fault: str
) -> None:
    at = desk(mind())
    run = at.scholar.start_review(TOPIC, columns=["data"])
    async with aclosing(run.events()) as events:
        async for _ in events:
            pass
    known = run.state["table"]
    assert known
    first, second, *others = known.rows
    good = first.cells[0].citation
    assert good
    bad = {
        "another paper's": second.cells[0].citation,
        "not at its place": replace(good, start=good.start + 1, end=good.end + 1),
        "not in the store": replace(good, passage_id="arxiv:0000.00000#0"),
    }[fault]
    tampered = replace(first, cells=(Cell("text", bad),))
    rows = (tampered, second, *others)
    state: State = {**run.state, "table": replace(known, rows=rows)}
    context = context_for(state, at.scholar.services, lambda _: None)
    answer = (await publisher.publish(state, context))["answer"]
    assert not cells(answer, first.paper_id)
    assert cells(answer, second.paper_id) == second.cells
    assert not faults(answer)


async def test_a_table_that_cannot_be_filled_is_told_and_the_review_goes_on(desk: OpenDesk) -> None:
    answer = await desk(mind(table=lambda _: {"cells": 7})).scholar.review(TOPIC)
    assert answer.outcome is Outcome.ANSWERED
    assert answer.review
    assert answer.review.table is None
    assert any("table could not be filled" in note for note in answer.notes)


async def test_many_papers_are_asked_for_in_several_calls(
    notes: Library, settings: Settings
) -> None:
    backend = FakeBackend(for_backend(but(reader=first_of_each)))
    scholar = Scholar(services=Services(settings, notes, Gateway(settings, {"*": backend})))
    answer = await scholar.review("language models and retrieved knowledge", k=20)
    asked = [r.messages[1].content for r in backend.requests if call_of(r) == "table"]
    assert len(asked) > 1
    assert all(text.count("<paper ") <= tabulator.ROWS_A_CALL for text in asked)
    assert len(table(answer).rows) == sum(text.count("<paper ") for text in asked)
    [shown] = [r.messages[1].content for r in backend.requests if call_of(r) == "outline"]
    assert shown.count("<quote ") > reader.MAX_QUOTES


def first_of_each(seen: Seen) -> Said:
    """A reader that takes the first sentence of each passage."""
    quotes = {p: re.findall(r"[A-Z][^.]{30,}\.(?=\s|$)", text) for p, text in seen.passages.items()}
    return {
        "quotes": [
            {"passage": p, "quote": q[0], "step": step, "helps": "answers", "says": ""}
            for (p, q), step in zip(quotes.items(), itertools.cycle(seen.steps))
            if q
        ]
    }


# The jury


async def test_only_the_sentences_that_the_jury_objects_to_are_mended(desk: OpenDesk) -> None:
    def mend(seen: Seen) -> Said:
        numbers = {text: int(n) for n, text in re.findall(r"^(\d+)\. (.*) \(", seen.text, re.M)}
        at = {key: n for text, n in numbers.items() for key in (RANKING, GAIN, BM25) if key in text}
        change = {"do": "replace", "text": "Walks rank by PageRank.", "evidence": ["e1"]}
        return {
            "changes": [
                {"number": at[RANKING], **change},
                {"number": at[GAIN], "do": "strike", "text": "", "evidence": []},
                {"number": at[BM25], **change, "do": "add_after", "text": "It is old.",
                 "evidence": ["e3"]},
                {"number": 99, **change, "text": INVENTED},
                {"number": at[BM25], **change, "do": "add_after", "text": INVENTED,
                 "evidence": ["e90"]},
            ]
        }  # fmt: skip

    judge = judges(vote("revise", "Sentence 2 says too much."))
    at = desk(mind(mend=mend, juror=judge, summary=lambda _: {"sentences": []}))
    answer = await at.scholar.review(TOPIC)
    before = texts(await desk(mind()).scholar.review(TOPIC))
    after = texts(answer)
    assert at.calls.count("section") == 5
    assert at.calls.count("mend") == 1
    assert "Sentence 1: Sentence 2 says too much." in at.shown("mend")[0]
    assert "Walks rank by PageRank." in after
    assert after[after.index(next(t for t in after if BM25 in t)) + 1] == "It is old."
    assert not any(GAIN in text for text in after)
    assert INVENTED not in after
    assert set(after) - set(before) == {"Walks rank by PageRank.", "It is old."}
    assert not faults(answer)


def test_a_conflict_is_struck_with_its_sides_which_are_numbered_on_from_the_sentences() -> None:
    sides = (Sentence("It gains.", ("e1",)), Sentence("It does not.", ("e2",)))
    draft = Draft((Sentence("So it is.", ("e3",), 1),), (Conflict("gain", sides),))
    [shown] = jury._numbered_on(draft)
    assert [side.number for side in shown.sides] == [2, 3]
    strikes = [reviewer.Change(number=n, do="strike", text="", evidence=[]) for n in (2, 3)]
    assert reviewer.mended(draft, strikes, {1, 2, 3}) == replace(draft, conflicts=())


async def test_a_review_that_cannot_be_mended_is_published_with_the_dissent(
    desk: OpenDesk,
) -> None:
    judge: Mind = lambda seen: vote("revise", "Wrong.")  # noqa: E731
    answer = await desk(mind(mend=lambda _: {"changes": 7}, juror=judge)).scholar.review(TOPIC)
    assert answer.outcome is Outcome.PARTIAL
    assert any("could not be mended" in note for note in answer.notes)
    assert len(sections(answer)) == 5


@pytest.mark.parametrize("window", [2_048, 32_768])
async def test_what_the_jury_sends_for_is_worked_in_by_mending(desk: OpenDesk, window: int) -> None:
    reads = itertools.count()
    more = TRAINING

    def read(seen: Seen) -> Said:
        known = (RANKING, BM25, GAIN, DAMPING, START, NO_HELP, HOURS)
        return spread(*known)(seen) if next(reads) == 0 else spread(more)(seen)

    def judge(seen: Seen) -> Said:
        if seen.juror == "support" or more in seen.text.split("<quote")[0]:
            return vote("accept")
        return vote("search_more", "What of the reader?", query="gain larger reader")

    def mend(seen: Seen) -> Said:
        name = next(name for name, text in seen.quotes.items() if more in text)
        added = {"number": 2, "do": "add_after", "text": more, "evidence": [name]}
        return {"changes": [added]}

    def two(seen: Seen) -> Said:
        steps = [{"question": query, "query": query} for query in (RANKING, BM25)]
        return {"premises": [], "steps": steps}

    at = desk(mind(facets=two, reader=read, juror=judge, mend=mend), context_window=window)
    answer = await at.scholar.review(TOPIC, k=1)
    assert "What of the reader?" in at.shown("mend")[0]
    assert at.calls.count("outline") == 1
    assert more in texts(answer)
    assert answer.outcome is Outcome.ANSWERED


def test_a_change_to_a_sentence_that_was_not_shown_is_not_made() -> None:
    draft = Draft((Sentence("One.", ("e1",)), Sentence("Two.", ("e2",))))
    strike = reviewer.Change(number=2, do="strike", text="", evidence=[])
    assert reviewer.mended(draft, [strike], {1}) == draft
    assert reviewer.mended(draft, [strike], {1, 2}).sentences == draft.sentences[:1]


# How a review can end


async def test_without_a_model_there_are_quotes_by_paper_and_the_reason(desk: OpenDesk) -> None:
    answer = await desk().scholar.review(TOPIC)
    assert answer.outcome is Outcome.EVIDENCE
    assert answer.review is None
    assert answer.sentences
    assert any("review is written by a model" in note for note in answer.notes)
    assert "by paper" in report_of(answer)


async def test_a_topic_that_no_quote_bears_on_makes_no_evidence(desk: OpenDesk) -> None:
    at = desk(mind(reader=lambda _: {"quotes": []}))
    answer = await at.scholar.review(TOPIC)
    assert answer.outcome is Outcome.NO_EVIDENCE
    assert at.calls == ["facets", "reader"]
    assert answer.review is None


async def test_a_section_that_cannot_be_written_makes_a_review_partial(desk: OpenDesk) -> None:
    def write(seen: Seen) -> Said:
        return {"sentences": 7} if "Write section 2" in seen.text else honest(seen)

    answer = await desk(mind(section=write)).scholar.review(TOPIC)
    assert answer.outcome is Outcome.PARTIAL
    assert [part.title for part in sections(answer)] == [f"Matter c{n}" for n in (1, 3, 4, 5)]
    assert any("“Matter c2” could not be written" in note for note in answer.notes)
    assert any("Not answered by what was read: Matter c2" in note for note in answer.notes)


async def test_a_review_of_which_nothing_can_be_written_is_the_models_failure(
    desk: OpenDesk,
) -> None:
    answer = await desk(mind(section=lambda _: {"sentences": 7})).scholar.review(TOPIC)
    assert answer.outcome is Outcome.MODEL_FAILED
    assert answer.review is None
    assert answer.sentences
    assert not faults(answer)


async def test_a_summary_that_cannot_be_written_is_told(desk: OpenDesk) -> None:
    answer = await desk(mind(summary=lambda _: {"sentences": 7})).scholar.review(TOPIC)
    assert answer.outcome is Outcome.ANSWERED
    assert any("summary could not be written" in note for note in answer.notes)


async def test_a_model_that_fails_half_way_leaves_the_sections_written(desk: OpenDesk) -> None:
    def write(seen: Seen) -> Said:
        refused = ModelRejected("The key was refused; set OPENAI_API_KEY.")
        return refused if "Write section 3" in seen.text else honest(seen)

    answer = await desk(mind(section=write)).scholar.review(TOPIC)
    assert answer.outcome is Outcome.MODEL_FAILED
    assert [part.title for part in sections(answer)] == ["Matter c1", "Matter c2"]
    assert "OPENAI_API_KEY" in answer.notes[0]
    assert not faults(answer)


async def test_a_spent_budget_leaves_the_sections_written(desk: OpenDesk) -> None:
    whole = (await desk(mind()).scholar.review(TOPIC)).usage
    spent = whole.input_tokens + whole.output_tokens
    answer = await desk(mind(), budget=Budget(tokens=spent * 2 // 3), cache=False).scholar.review(
        TOPIC
    )
    assert answer.outcome is Outcome.BUDGET_SPENT
    assert 0 < len(sections(answer)) < 5
    assert answer.usage.input_tokens + answer.usage.output_tokens <= spent * 2 // 3
    assert not faults(answer)


async def test_a_review_that_is_cancelled_keeps_the_sections_written(desk: OpenDesk) -> None:
    run = desk(mind()).scholar.start_review(TOPIC)
    async with aclosing(run.events()) as events:
        async for event in events:
            if isinstance(event, Wrote) and event.number == 3:
                break
    answer = await run.cancelled()
    assert answer.outcome is Outcome.CANCELLED
    assert [part.title for part in sections(answer)][:2] == ["Matter c1", "Matter c2"]
    assert not faults(answer)


@pytest.mark.parametrize("name", WORST)
async def test_a_review_ends_rightly_with_the_worst_models(desk: OpenDesk, name: str) -> None:
    worst, outcome = WORST[name]
    spoken = worst()

    def speak(seen: Seen) -> Said:
        if name == "invents citations" and seen.call in ("section", "mend"):
            cited = [{"text": INVENTED, "evidence": ["e90"]}]
            return {"sentences": cited, "conflicts": [{"about": "Mars", "sides": cited * 2}]}
        if name == "always accepts" and seen.call == "section":
            return {"sentences": [{"text": "It gains 99.9 points.", "evidence": list(seen.quotes)}],
                    "conflicts": []}  # fmt: skip
        return spoken(seen)

    at = desk(speak)
    answer = await at.scholar.review(TOPIC)
    expected = Outcome.PARTIAL if name == "always accepts" else outcome
    assert answer.outcome is expected
    assert not faults(answer)
    assert len(at.calls) <= 40 * (1 + REPAIRS)
    assert "99.9" not in report_of(answer)
    assert INVENTED not in report_of(answer)


async def test_what_a_thread_is_asked_after_a_review_is_a_question(desk: OpenDesk) -> None:
    at = desk(mind())
    graph = build_graph(at.scholar.services, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "one"}}
    asked: Any = {"question": TOPIC, "task": "review", "preset": "review", "columns": ["data"]}
    first = (await graph.ainvoke(asked, thread))["answer"]
    second: Any = {"question": QUESTION, "preset": "standard"}
    answer = (await graph.ainvoke(second, thread))["answer"]
    assert first.review is not None
    assert answer.review is None
    assert answer.outcome is Outcome.ANSWERED


# What may be asked


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"columns": list("abcdef")}, "at most 5 columns"),
        ({"sections": 0}, "from 1 to 8"),
        ({"sections": 9}, "from 1 to 8"),
        ({"preset": "fast"}, "reads and writes in one call"),
        ({"preset": "slow"}, "No preset"),
    ],
)
async def test_a_review_that_cannot_be_had_says_why(
    desk: OpenDesk, chosen: dict[str, Any], words: str
) -> None:
    at = desk(mind())
    with pytest.raises(UsageError, match=words):
        await at.scholar.review(TOPIC, **chosen)
    assert not at.calls


async def test_the_preset_that_is_set_writes_the_review_where_it_can(desk: OpenDesk) -> None:
    async def planned_with(**changes: str) -> str:
        at = desk(mind(), **changes)
        await at.scholar.review(TOPIC)
        first = at.backend.requests[0]
        [most] = re.findall(r"at most (\d+)", first.messages[0].content)[:1]
        return f"{first.schema_name}, at most {most}"

    assert await planned_with(preset="kag") == "graph, at most 8"
    assert await planned_with(preset="standard") == "facets, at most 3"
    assert await planned_with(preset="fast") == "facets, at most 5"  # `review`: fast cannot
    assert await planned_with() == "facets, at most 5"


@pytest.mark.parametrize("preset", ["review", "deep", "kag", "standard"])
async def test_a_review_stays_within_its_estimate(desk: OpenDesk, preset: str) -> None:
    at = desk(mind())
    known = at.scholar.services.settings
    said = estimate_review(TOPIC, known.preset_named(preset), known, sections=5)
    usage = (await at.scholar.review(TOPIC, preset=preset)).usage
    assert said.calls[0] <= usage.calls <= said.calls[1]
    assert said.tokens[0] <= usage.input_tokens + usage.output_tokens <= said.tokens[1]


def scholar(*arguments: str) -> tuple[int, str, str]:
    code, out, err = command("review", TOPIC, *arguments)
    return code, out, " ".join(err.split())


def test_an_estimate_of_a_review_calls_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHOLAR_MODEL", "openai:nobody@http://127.0.0.1:9/v1")
    code, out, err = scholar("--estimate", "--sections", "3")
    assert code == 0
    assert re.match(r"7 to \d+ calls, [\d,]+ to [\d,]+ tokens", out)
    assert "what is on disk already comes off" in err
    more = json.loads(scholar("--estimate", "--sections", "8", "--json")[1])
    fewer = json.loads(scholar("--estimate", "--sections", "3", "--json")[1])
    assert more["calls"][1] == fewer["calls"][1] + 5


def test_a_preset_that_cannot_review_is_refused_where_it_is_named_and_told_where_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, _, err = scholar("--estimate", "--preset", "fast")
    assert code == 2
    assert "take another: scholar review … --preset review" in err
    monkeypatch.setenv("SCHOLAR_PRESET", "fast")
    code, _, err = scholar("--estimate")
    assert code == 0
    assert "fast, reads and writes in one call and cannot review; this takes review." in err
    monkeypatch.setenv("SCHOLAR_PRESET", "deep")
    assert "cannot review" not in scholar("--estimate")[2]


# Small windows


def brimming() -> Mind:
    """Fills whatever it is asked for to the brim, with text that its quotes carry."""
    filler = "graph walks rank passages by links " * 20

    def speak(seen: Seen) -> Said:
        match seen.call:
            case "facets":
                steps = [{"question": f"{side} {filler}", "query": side} for side in SIDES]
                return {"premises": [filler] * 5, "steps": steps}
            case "outline":
                ids = re.findall(r'<cluster id="(c\d+)">', seen.text)
                parts = [{"title": filler, "says": filler, "uses": [id]} for id in ids]
                return {"sections": parts, "columns": [{"name": filler, "asks": filler}] * 9}
            case "section":
                cited = [{"text": filler[:390], "evidence": list(seen.quotes)}] * 12
                return {"sentences": cited, "conflicts": [{"about": filler, "sides": cited}] * 5}
            case "summary":
                return {"sentences": [{"text": filler[:390], "uses": list(range(1, 40))}] * 9}
            case "juror" if seen.juror == "support":
                judged = {"carried": "no", "why": filler}
                return {"sentences": [{"number": n, **judged} for n in range(1, 50)]}
            case "juror":
                return vote("revise", *[filler] * 9)
            case "reader":
                return first_of_each(seen)
            case _:
                return honest(seen)

    return speak


async def test_a_long_review_fits_the_smallest_window(notes: Library, settings: Settings) -> None:
    known = settings.model_copy(update={"context_window": SMALLEST})
    backend = FakeBackend(for_backend(brimming()), json_schema=False)
    scholar = Scholar(services=Services(known, notes, Gateway(known, {"*": backend})))
    topic = "language models and retrieved knowledge " * 12
    answer = await scholar.review(topic, sections=8)
    assert answer.review
    assert len(answer.conflicts) == writer.MAX_CONFLICTS
    names = {request.schema_name for request in backend.requests}
    assert {"facets", "outline", "section", "summary", "table", "mend"} <= names
    assert not {
        (r.schema_name, size) for r in backend.requests if (size := tokens_of(r)) > SMALLEST
    }
    assert all(
        " ".join(topic.split()) in r.messages[1].content or r.schema_name == "persona_probe"
        for r in backend.requests
    )


# What readers see


def report_of(answer: Answer) -> str:
    return " ".join(markdown.to_markdown(answer).split())


async def test_a_review_as_json_fits_the_schema(desk: OpenDesk) -> None:
    answer = await desk(mind()).scholar.review(TOPIC, columns=["data"])
    plain = json.loads(json.dumps(report.to_json(answer)))
    jsonschema.validate(plain, SCHEMA)
    assert [part["title"] for part in plain["review"]["sections"]] == [
        part.title for part in sections(answer)
    ]
    assert plain["review"]["table"]["columns"] == ["data"]
    asked = await desk(honest).scholar.ask(QUESTION)
    assert report.to_json(asked)["review"] is None


async def test_markdown_names_the_quote_behind_each_sentence_and_its_page(desk: OpenDesk) -> None:
    answer = await desk(mind()).scholar.review(TOPIC)
    text = markdown.to_markdown(answer)
    marks = re.findall(r"\[([\d]+[a-z]*(?:, \d+[a-z]*)*)\]", text)
    listed = set(re.findall(r"^    - (\d+[a-z]*)", text, re.M))
    assert marks
    assert {mark for group in marks for mark in group.split(", ")} == listed
    assert re.search(r"- \d+[a-z]?, p\. \d: “", text)
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        *(f"## Matter c{n}" for n in range(1, 6)),
        "## The papers side by side",
        "## References",
        "## About this answer",
    ]


async def test_markdown_carries_no_markup_of_papers_or_models(desk: OpenDesk) -> None:
    evil = "<b>Walks</b> ![x](y) [z](w) `c` | # a_b *c* ~~d~~"

    def outline(seen: Seen) -> Said:
        said = outlined(["c1", "c2"], ["c3", "c4", "c5"], columns=(evil[:29],))(seen)
        assert isinstance(said, dict)
        said["sections"][0]["title"] = evil
        return said

    def write(seen: Seen) -> Said:
        return {"sentences": [{"text": evil, "evidence": list(seen.quotes)}], "conflicts": []}

    answer = await desk(mind(outline=outline, section=write)).scholar.review(f"{TOPIC} {evil}")
    text = markdown.to_markdown(answer)
    bare = re.sub(r"\\.", "", text)
    assert not re.search(r"[<>`*~!]|\]\(", bare)
    assert not [line for line in bare.splitlines() if line.count("|") not in (0, 3)]
    assert text.count("\n## ") == 5
