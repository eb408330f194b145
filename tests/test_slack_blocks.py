"""How answers look in Slack, and that they keep to its limits whatever their length."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from slack_server import problem_of, text_of

from scholar.events import Drafted, Planned, Read, Searched, Voted
from scholar.slack.blocks import Message, evidence_of, evidence_view, note, shown
from scholar.slack.progress import Progress
from scholar.slack.rich import pages
from scholar.values import (
    Answer,
    Citation,
    CitedConflict,
    CitedPremise,
    CitedSection,
    CitedSentence,
    Coverage,
    Draft,
    Outcome,
    Paper,
    Review,
    Sentence,
    Step,
    Usage,
    Verdict,
)

PAPERS = (
    Paper("arxiv:2502.14802", "From RAG to Memory", ("Bernal Jiménez Gutiérrez", "Y. Su", "X. Z"),
          2025, identifiers={"arxiv": "2502.14802"}, version="v1"),
    Paper("doi:10.1000/x", "On Ranks", ("Ada Lovelace",), 1843, identifiers={"doi": "10.1000/x"}),
)  # fmt: skip
QUOTES = (
    Citation("arxiv:2502.14802", "p1", "It ranks passages by personalised PageRank.", 10, 50, 4),
    Citation("doi:10.1000/x", "p2", "The ranks do not change with the seeds.", 0, 39),
)
ANSWER = Answer(
    "run", "How are passages ranked?", Outcome.ANSWERED,
    sentences=(
        CitedSentence("Passages are ranked by a walk over the graph.", QUOTES[:1]),
        CitedSentence("Its seeds make no difference.", QUOTES),
    ),
    conflicts=(
        CitedConflict("the seeds", (CitedSentence("They matter.", QUOTES[:1]),
                                    CitedSentence("They do not.", QUOTES[1:]))),
    ),
    bibliography=PAPERS, coverage=Coverage(("rank passages",), 5, 2, 3),
    verdicts=(Verdict("support", "accept"), Verdict("conflict", "revise", ("Say both.",))),
    usage=Usage(3, 2_000, 400, 4.2, 0.01), notes=("One paper is a preprint.",),
    premises=(CitedPremise("Ranks are fair.", "contradicted", QUOTES[1:]),), stance="mixed",
)  # fmt: skip

SCREEN = """\
The evidence is mixed.
Passages are ranked by a walk over the graph [1]. Its seeds make no difference [1, 2].
You take as given: Ranks are fair. The papers contradict this [2].
The sources disagree: the seeds.
> They matter [1].
> They do not [2].
1  Gutiérrez et al. 2025, From RAG to Memory. arXiv:2502.14802v1
2  Lovelace 1843, On Ranks. doi:10.1000/x
  One paper is a preprint.
  Juror conflict wants a revision: Say both.
  Quotes from 2 of 5 papers found · 1 of 2 jurors accept · 3 calls, 2,400 tokens, $0.0100, 4.2 s
[Dig deeper] [Show evidence] [BibTeX] [Helpful] [Not helpful]"""
MODAL = """\
1  Gutiérrez et al. 2025, From RAG to Memory. arXiv:2502.14802v1
> p. 4  “It ranks passages by personalised PageRank.”
2  Lovelace 1843, On Ranks. doi:10.1000/x
> “The ranks do not change with the seeds.”"""
NOTHING = """\
The library does not answer this.
Searched for: seeds of ranks
Came near: 3 papers, none with a sentence that answers it.
Add papers on it with /scholar add and their arXiv ids or DOIs, and ask again.
  Quotes from 0 of 3 papers found · no model calls, 0.0 s
[Dig deeper]"""
WORK = """\
The jury …
Planning  2 steps: What?; Why?
Searching  2 papers of 64: A; B
Reading  2 quotes from 1 paper
Writing  1 sentence
The jury  support accepts
[Cancel]"""


def with_text(text: str) -> Answer:
    """`ANSWER` with `text` wherever a paper, a person or a model writes something."""
    quotes = tuple(replace(quote, quote=text) for quote in QUOTES)
    said = CitedSentence(text, quotes)
    return replace(
        ANSWER, question=text, notes=(text,), sentences=(said, replace(said, text=f"{text}.")),
        conflicts=(CitedConflict(text, (said, said)),),
        premises=(CitedPremise(text, "mixed", quotes),),
        bibliography=tuple(replace(p, title=text, authors=(text,), venue=text) for p in PAPERS),
        verdicts=(Verdict("support", "revise", (text,)), Verdict("x", "abstain", (text,), text)),
        coverage=Coverage((text,), 1, 1, 1, 0, {text: 1}),
        review=Review((CitedSection(text, (said,)),)),
    )  # fmt: skip


def test_an_answer_shows_all_that_a_reader_needs() -> None:
    [message] = shown(ANSWER, "ask").messages
    assert text_of({"blocks": message.blocks}) == SCREEN
    assert message.text == (
        "Passages are ranked by a walk over the graph. Its seeds make no difference."
    )


def test_the_evidence_shows_quotes_with_pages_and_links() -> None:
    view = evidence_view(evidence_of(ANSWER), "ask")
    assert text_of(view) == MODAL
    assert "https://arxiv.org/pdf/2502.14802v1#page=4" in json.dumps(view)
    assert "https://doi.org/10.1000/x" in json.dumps(view)


def test_finding_nothing_says_what_was_tried_and_what_would_help() -> None:
    nothing = Answer(
        "run", "?", Outcome.NO_EVIDENCE, coverage=Coverage(("seeds of ranks",), 3, 0, 3)
    )
    [message] = shown(nothing, "ask").messages
    assert text_of({"blocks": message.blocks}) == NOTHING


@pytest.mark.parametrize(
    ("found", "read", "near"),
    [
        (1, 0, "1 paper, none with a sentence that answers it."),
        (3, 2, "3 papers, 2 with quotes, none of which carries an answer."),
    ],
)
def test_what_came_near_is_told_as_it_was(found: int, read: int, near: str) -> None:
    nothing = Answer("run", "?", Outcome.NO_EVIDENCE, coverage=Coverage(("x",), found, read, 9))
    [message] = shown(nothing, "ask").messages
    assert f"Came near: {near}\n" in text_of({"blocks": message.blocks})


def test_work_is_shown_line_by_line() -> None:
    progress = Progress("What?")
    steps = (Step("s1", "What?", "what"), Step("s2", "Why?", "why"))
    for event in (
        Planned(steps), Searched(steps[0], 3, ("A", "B"), 64), Read(("q", "r"), 1, 0),
        Drafted(Draft((Sentence("x"),)), 0, 0), Voted(Verdict("support", "accept")),
    ):  # fmt: skip
        assert progress.see(event)
    assert text_of({"blocks": progress.message("ask").blocks}) == WORK


def test_the_tasks_of_a_stream_hold_no_text_from_outside() -> None:
    progress = Progress("<!channel>")
    steps = (Step("s1", "<!channel>", "x"), Step("s2", "[x](http://e.x)", "x"))
    progress.see(Planned(steps))
    progress.see(Searched(steps[0], 3, ("<!here>",), 64))
    said = json.dumps(list(progress.tasks()))
    assert "<!" not in said
    assert "http" not in said


@pytest.mark.parametrize("sentences", [1, 5, 30, 100, 400, 3_000])
@pytest.mark.parametrize("length", [1, 40, 2_899, 2_900, 2_901, 9_000])
def test_no_answer_is_too_long_and_none_is_cut(sentences: int, length: int) -> None:
    if sentences * length > 1_000_000:
        return
    said = [CitedSentence(f"{n} " + "wörd 😀" * (length // 6), QUOTES) for n in range(sentences)]
    answer = replace(ANSWER, sentences=tuple(said))
    result = shown(answer, "ask")
    assert all(problem_of(message.blocks) == "" for message in result.messages)
    assert all(len(message.text) <= 3_000 for message in result.messages)
    visible = "".join(text_of({"blocks": m.blocks}) for m in result.messages).replace("\n", "")
    if not result.attached:  # what does not fit is whole in the file
        for sentence in said:
            assert sentence.text.rstrip(".").replace(" ", "") in visible.replace(" ", "")
    assert result.attached or len(result.messages) <= 3
    assert "\n0" in text_of({"blocks": result.messages[0].blocks})  # it begins there in any case
    assert "buttons:ask" in json.dumps(result.messages[-1].blocks)


def test_an_answer_breaks_between_sentences() -> None:
    said = [CitedSentence(f"Sentence {n} {'is long ' * 60}indeed.", QUOTES) for n in range(12)]
    blocks = [b for m in shown(replace(ANSWER, sentences=tuple(said)), "a").messages
              for b in m.blocks if b["type"] == "rich_text"]  # fmt: skip
    prose = [text for b in blocks if "Sentence" in (text := text_of({"blocks": [b]}))]
    assert len(prose) > 1
    assert all(text.strip().endswith("[1, 2].") for text in prose)
    assert all(text.strip().startswith("Sentence") for text in prose)


def test_each_message_of_an_answer_is_marked_so_that_it_is_found_again() -> None:
    said = tuple(CitedSentence("Much. " + "word " * 400, QUOTES) for _ in range(7))
    messages = shown(replace(ANSWER, sentences=said), "ask").messages
    assert len(messages) > 1
    marks = [message.blocks[0]["block_id"] for message in messages]
    assert marks == [f"scholar:ask:{n}" for n in range(len(messages))]


def test_much_evidence_takes_several_pages_and_loses_no_quote() -> None:
    quotes = tuple(
        replace(QUOTES[0], quote=f"Quote {n} {'says ' * 100}", start=n) for n in range(150)
    )
    evidence = evidence_of(replace(ANSWER, sentences=(CitedSentence("All.", quotes),)))
    seen, page = "", 0
    while True:
        view = evidence_view(evidence, "ask", page)
        assert problem_of(view["blocks"], 100) == ""
        seen += text_of(view)
        if "More quotes" not in seen.rsplit("Page", 1)[-1]:
            break
        page += 1
    assert page > 0
    assert all(f"Quote {n} " in seen for n in range(150))


def test_a_note_of_any_length_fits() -> None:
    message: Message = note("long " * 2_000, bold="Look:")
    assert len(pages(message.blocks)) >= 1
    assert all(problem_of([block]) == "" for block in message.blocks)
