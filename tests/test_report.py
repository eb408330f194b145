"""An answer as people and programs see it."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from importlib import resources
from typing import Any

import jsonschema
import pytest
from minds import Mind, Seen, but, honest
from office import OpenDesk
from papers import GAIN, HOSTILE, NO_GAIN, QUESTION, SHELF, WALKS
from rich.console import Console

from scholar import report
from scholar.errors import ModelRejected
from scholar.settings import Budget
from scholar.values import (
    Answer,
    Citation,
    CitedConflict,
    CitedSentence,
    Coverage,
    Outcome,
    Paper,
    Usage,
    Verdict,
)

SCHEMA = json.loads(resources.files("scholar").joinpath("answer.schema.json").read_text("utf-8"))
WIDTH = 80
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
NO_KEY = ModelRejected("The key was refused; set OPENAI_API_KEY.")


def shown(answer: Answer) -> str:
    """What `show` prints to a pipe, 80 columns wide."""
    file = io.StringIO()
    report.show(answer, Console(file=file, width=WIDTH, highlight=False, markup=False, emoji=False))
    return file.getvalue()


def flat(text: str) -> str:
    return " ".join(text.split())


def citation(paper_id: str = WALKS, quote: str = GAIN, page: int | None = 1) -> Citation:
    start = SHELF[paper_id].document.text.index(quote)
    return Citation(paper_id, f"{paper_id}#0", quote, start, start + len(quote), page)


def answer(**fields: Any) -> Answer:
    sentence = CitedSentence("Walks gain 7.1 points of recall.", (citation(),))
    given = {
        "outcome": Outcome.ANSWERED,
        "sentences": (sentence,),
        "bibliography": (SHELF[WALKS].paper,),
        "coverage": Coverage((QUESTION,), 3, 1, 2),
        "usage": Usage(6, 4_000, 926, 12.25, 0.0123),
    }
    return Answer("r1", QUESTION, **{**given, **fields})


def disagreeing() -> Answer:
    sides = tuple(
        CitedSentence(text, (citation(paper_id, quote, page),))
        for text, paper_id, quote, page in (
            ("It grows.", WALKS, GAIN, 1),
            ("It does not", "doi:10.1000/w", NO_GAIN, None),
        )
    )
    conflict = CitedConflict("whether recall grows.", sides)
    listed = (SHELF[WALKS].paper, SHELF["doi:10.1000/w"].paper)
    return answer(
        outcome=Outcome.CONFLICTING, sentences=(), conflicts=(conflict,), bibliography=listed
    )


# JSON


def conflict(seen: Seen) -> dict[str, Any]:
    sides = [{"text": text, "evidence": [name]} for name, text in seen.quotes.items()][:2]
    about = [{"about": "the gain", "sides": sides}]
    return {"sentences": [], "conflicts": about, "missing": ""}


RUNS: dict[Outcome, tuple[Mind | None, dict[str, Any]]] = {
    Outcome.ANSWERED: (honest, {}),
    Outcome.EVIDENCE: (None, {}),
    Outcome.PARTIAL: (but(juror=lambda _: NO_KEY), {}),
    Outcome.CONFLICTING: (but(writer=conflict), {}),
    Outcome.NO_EVIDENCE: (but(reader=lambda _: {"quotes": []}), {}),
    Outcome.BUDGET_SPENT: (honest, {"budget": Budget(tokens=1)}),
    Outcome.MODEL_FAILED: (but(writer=lambda _: NO_KEY), {}),
}


@pytest.mark.parametrize("outcome", RUNS)
async def test_the_json_of_a_run_fits_its_schema(desk: OpenDesk, outcome: Outcome) -> None:
    mind, changes = RUNS[outcome]
    result = await desk(mind, **changes).scholar.ask(QUESTION)
    assert result.outcome is outcome
    _validate(result)


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.TOOLS_FAILED])
def test_the_json_of_an_answer_cut_short_fits_its_schema(outcome: Outcome) -> None:
    _validate(answer(outcome=outcome, notes=("Cut short; ask again.",)))


def _validate(result: Answer) -> None:
    plain = json.loads(json.dumps(report.to_json(result), ensure_ascii=False))
    jsonschema.validate(plain, SCHEMA, jsonschema.Draft202012Validator)


def test_the_schema_is_one_and_describes_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for part in (SCHEMA, *SCHEMA["$defs"].values()):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
        assert all("description" in field for field in part["properties"].values())


def test_the_schema_knows_every_outcome() -> None:
    assert SCHEMA["properties"]["outcome"]["enum"] == [outcome.value for outcome in Outcome]


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"outcome": "maybe"},
        {"sentences": [{"text": "Bare.", "citations": []}]},
        {"conflicts": [{"about": "one side", "sides": []}]},
    ],
)
def test_the_schema_refuses_what_no_answer_is(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report.to_json(answer()) | change, SCHEMA)


# The terminal


def every_kind() -> dict[str, Answer]:
    nothing: dict[str, Any] = {"sentences": (), "bibliography": ()}
    quotes = (CitedSentence(GAIN, (citation(),)),)
    return {
        "answered": answer(),
        "evidence": answer(outcome=Outcome.EVIDENCE, sentences=quotes, usage=Usage(seconds=0.1)),
        "conflicting": disagreeing(),
        "no evidence": answer(outcome=Outcome.NO_EVIDENCE, **nothing),
        "model failed": answer(outcome=Outcome.MODEL_FAILED, notes=(str(NO_KEY) * 3,), **nothing),
        "hostile": hostile(),
        "long": answer(
            sentences=(CitedSentence(f"A {'very ' * 60}long one.", (citation(),)),),
            notes=(f"See https://example.org/{'path/' * 30}",),
            verdicts=(Verdict("support", "revise", ("word " * 40, "x" * 200)),),
            coverage=Coverage(("query " * 40, "y" * 200), 1, 1, 0),
        ),
    }


def hostile() -> Answer:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u2066 \r\x08"
    sentence = CitedSentence(f"Red rovers{evil} walk.", (citation(HOSTILE, "Graph walks", None),))
    quoted = replace(sentence.citations[0], quote=f"Graph{evil} walks")
    paper = replace(SHELF[HOSTILE].paper, authors=(f"A{evil} B{evil}",))
    side = CitedSentence(f"Yes{evil}.", (quoted,))
    return answer(
        sentences=(sentence,),
        conflicts=(CitedConflict(f"it{evil}", (side, side)),),
        bibliography=(paper,),
        notes=(f"Note{evil}.",),
        verdicts=(Verdict("support", "revise", (f"No{evil}.",)), failed_juror(evil)),
        coverage=Coverage((f"query{evil}",), 1, 1, 0),
    )


def failed_juror(evil: str) -> Verdict:
    return Verdict("conflict", "abstain", (f"The server says{evil}.",), failed=True)


@pytest.mark.parametrize("kind", every_kind())
def test_no_line_is_wider_than_the_terminal(kind: str) -> None:
    assert max(map(len, shown(every_kind()[kind]).splitlines())) <= WIDTH


@pytest.mark.parametrize("outcome", [Outcome.ANSWERED, Outcome.NO_EVIDENCE])
def test_text_from_outside_cannot_steer_the_terminal(outcome: Outcome) -> None:
    assert not STEERING.search(shown(replace(hostile(), outcome=outcome)))


def test_numbers_of_papers_stand_before_the_full_stop() -> None:
    text = flat(shown(answer()))
    assert "Walks gain 7.1 points of recall [1]." in text
    assert "1 Lovelace et al. 2024, Graph Walks for Retrieval. arXiv:2401.00001v2" in text
    assert f"p. 1 “{GAIN}”" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Really?", "Really [1]?"), ("Yes!", "Yes [1]!"), ("No stop", "No stop [1].")],
)
def test_other_ends_of_a_sentence_are_kept(text: str, expected: str) -> None:
    assert expected in shown(answer(sentences=(CitedSentence(text, (citation(),)),)))


def test_a_sentence_names_each_paper_once_and_in_order() -> None:
    cited = (
        citation("doi:10.1000/w", NO_GAIN, None),
        citation(),
        citation(WALKS, "The walk starts from the entities of the question."),
    )
    both = answer(
        sentences=(CitedSentence("Both.", cited),), bibliography=disagreeing().bibliography
    )
    assert "Both [1, 2]." in shown(both)


def test_both_sides_of_a_conflict_are_shown_with_their_papers() -> None:
    text = flat(shown(disagreeing()))
    assert "The sources disagree: whether recall grows. It grows [1]. It does not [2]." in text
    assert "(abstract only)" in text
    assert NO_GAIN in text


def test_a_conflict_about_nothing_in_particular_is_shown_all_the_same() -> None:
    unnamed = replace(disagreeing().conflicts[0], about="")
    assert "The sources disagree.\n" in shown(replace(disagreeing(), conflicts=(unnamed,)))


def test_quotes_alone_are_shown_once_and_say_how_to_get_an_answer() -> None:
    text = flat(shown(every_kind()["evidence"]))
    assert text.count(GAIN) == 1
    assert "SCHOLAR_MODEL" in text
    assert "no model calls" in text


def test_nothing_found_says_what_was_searched_and_what_to_do() -> None:
    text = flat(shown(every_kind()["no evidence"]))
    assert "The library does not answer this." in text
    assert f"searched for: {QUESTION}" in text
    assert "scholar add" in text


def test_nothing_found_says_what_would_help() -> None:
    verdicts = (
        Verdict("completeness", "abstain", ("No quote tells the cost.",), "cost of graph walks"),
        Verdict("conflict", "abstain", (), QUESTION),
    )
    coverage = Coverage((QUESTION,), found=3, read=1, unread=2, abstracts=2)
    nothing = answer(
        outcome=Outcome.NO_EVIDENCE,
        sentences=(),
        bibliography=(),
        verdicts=verdicts,
        coverage=coverage,
    )
    text = flat(shown(nothing))
    assert "came near: 3 papers, 1 with quotes, none of which carries an answer" in text
    assert "The jury would look further for: cost of graph walks." in text
    assert "The full text of 2 papers found is not held" in text
    assert "No quote tells the cost." in text


def test_what_was_screened_out_is_told_with_the_reasons() -> None:
    why = {"with nothing in it that helps": 2, "not read, for others fitted better": 1}
    seen = Coverage((QUESTION,), 4, 1, 3, abstracts=1, screened_out=why)
    text = flat(shown(answer(coverage=seen)))
    assert "not quoted from: 2 with nothing in it that helps; 1 not read, for others" in text
    assert "no full text of 1 paper" in text
    assert report.to_json(answer(coverage=seen))["coverage"]["screened_out"] == why


def test_a_failure_says_why() -> None:
    assert str(NO_KEY) in flat(shown(every_kind()["model failed"]))


def test_dissent_is_shown_and_counted() -> None:
    votes = (
        Verdict("support", "revise", ("Sentence 1 says too much.",)),
        Verdict("completeness", "accept"),
        Verdict("conflict", "abstain", ("No reply.",), failed=True),
    )
    text = flat(shown(answer(outcome=Outcome.PARTIAL, verdicts=votes)))
    assert "Juror support wants a revision: Sentence 1 says too much." in text
    assert "Juror conflict abstains: No reply." in text
    assert "1 of 3 jurors accept" in text


def test_papers_that_were_read_and_not_cited_are_told() -> None:
    read = answer(coverage=Coverage((QUESTION,), 3, 2, 1))
    assert "quotes from 2 of 3 papers found, 1 cited" in flat(shown(read))
    assert "cited" not in flat(shown(answer()))


def test_a_title_without_spaces_is_folded_and_not_cut_short() -> None:
    title = "知识图谱的检索增强生成" * 8
    text = shown(answer(bibliography=(replace(SHELF[WALKS].paper, title=title),)))
    assert title in "".join(text.split())


def test_a_retracted_paper_is_marked() -> None:
    assert report.reference(Paper("x", "On Walks", retracted=True)).startswith("RETRACTED.")


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (Usage(6, 4_000, 926, 12.25, 0.0123), "6 calls, 4,926 tokens, $0.0123, 12.2 s"),
        (Usage(1, 10, 5, 1.0, None), "1 call, 15 tokens, price unknown, 1.0 s"),
        (Usage(2, 10, 5, 1.0, 0.0, estimated=True), "2 calls, about 15 tokens, $0.0000, 1.0 s"),
        (Usage(seconds=0.52), "no model calls, 0.5 s"),
    ],
)
def test_what_a_run_took_is_told_and_an_unknown_price_is_called_so(
    usage: Usage, words: str
) -> None:
    assert report.cost(usage) == words
    assert words in flat(shown(answer(usage=usage)))


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), ""),
        (("Ada Lovelace",), "Lovelace"),
        (("Ada Lovelace", "Alan Turing"), "Lovelace and Turing"),
        (("Ada Lovelace", "others"), "Lovelace et al."),
        (("A B", "C D", "E F"), "B et al."),
        ((" ", "Plato"), "Plato"),
    ],
)
def test_authors_are_named_as_in_a_text(names: tuple[str, ...], text: str) -> None:
    assert report.authors(Paper("x", "T", names)) == text
