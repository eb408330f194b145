from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scholar.text import encodable, figures, one_line, paragraphs, plain_line, sentences, shortened

PIECES = st.sampled_from(
    [
        "One two",
        "A b. ",
        "Is it? ",
        "et al. [3] ",
        "Fig. 2 ",
        "e.g. ",
        "3.5 ",
        "x",
        ". ",
        "! ",
        " ",
        "\n",
        "\n\n",
        "\n \t\n",
        "é",
        "“So.” ",
        "中文。",
        "\t",
        "\u00a0",
        "U.S. ",
        "[1, 2]",
        "…",
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=200)


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\n ", []),
        ("x", ["x"]),
        ("It works. It is fast.", ["It works.", "It is fast."]),
        ("As Wu et al. [3] show, it is so. We agree.", ["As Wu et al. [3] show, it is so."]),
        ("We gain 3.5 points, e.g. on QA. Good.", ["We gain 3.5 points, e.g. on QA.", "Good."]),
        ("A heading\n\nIt works.", ["A heading", "It works."]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    assert cut(text)[: len(expected)] == expected


@given(TEXTS)
def test_sentences_hold_every_character_once_and_in_order(text: str) -> None:
    spans = sentences(text)
    assert all(a_end <= b_start for (_, a_end), (b_start, _) in pairwise(spans))
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)
    assert "".join("".join(cut(text)).split()) == "".join(text.split())


@given(TEXTS)
@example("x\n\nOne two")
def test_no_sentence_crosses_a_blank_line(text: str) -> None:
    within = paragraphs(text)
    for start, end in sentences(text):
        assert any(a <= start and end <= b for a, b in within)
    assert not any("\n\n" in text[start:end] for start, end in within)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("It gains 7.1% on 1,000 items.", ["7.1", "1000"]),
        ("GPT-4 and Llama-2-7B reach an F1 of 59.8.", ["59.8"]),
        ("Between 10-20 and 3–4 of them, in 2020.", ["10", "20", "3", "4", "2020"]),
        ("It drops by −0.4 points (p<0.05), k=32.", ["0.4", "0.05", "32"]),
        ("A speed-up of 3.5x.", []),
        ("recall@5 is two points up", ["5"]),
    ],
)
def test_the_figures_of_a_text_are_its_numbers_but_not_those_of_names(
    text: str, stated: list[str]
) -> None:
    assert figures(text) == frozenset(map(Decimal, stated))


def test_number_words_are_figures_where_they_are_asked_for() -> None:
    assert figures("recall at five", spelled=True) == {Decimal(5)}


@pytest.mark.parametrize(
    ("text", "most", "cut"),
    [("abcd", 4, "abcd"), ("abcde", 4, "abc…"), ("ab cde", 4, "ab…"), ("", 4, "")],
)
def test_what_is_too_long_is_cut_with_a_mark_that_counts(text: str, most: int, cut: str) -> None:
    assert shortened(text, most) == cut


def test_one_line_has_single_blanks_alone() -> None:
    assert one_line("  a\n\tb\u2028 c ") == "a b c"


def test_a_plain_line_has_nothing_either_that_steers_a_terminal() -> None:
    assert plain_line(" Two\n\nlines\t of \x1b[31m\u202e text\ud800 ") == "Two lines of [31m text"


@given(st.text())
def test_all_that_is_encodable_can_be_sent_and_the_rest_is_kept(text: str) -> None:
    assert encodable(text) == text
    encodable(f"{text}\ud800").encode()
