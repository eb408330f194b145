"""A quote survives typesetting and nothing else."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from scholar.quotes import MAX_SENTENCE, locate, locate_sentence

PASSAGE = (
    "HippoRAG 2 does not beat every baseline: it gains 7.1% on 1,000 multi-hop questions, "
    "but −0.4 points on NQ. The efficient first filter keeps no more than 5 triples; "
    "state-of-the-art re-rankers are slower. Costs grow as 10⁵, and the naïve Gutiérrez run "
    "affects offline workflows. It isn't ineffective (p < 0.05)."
)
LIGATURES = {"ffi": "ﬃ", "ffl": "ﬄ", "ff": "ﬀ", "fi": "ﬁ", "fl": "ﬂ"}
SPACES = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2009 ", " \n "]
words = st.text(string.ascii_lowercase, min_size=1, max_size=9)
passages = st.one_of(
    st.just(PASSAGE),
    st.lists(words, min_size=4, max_size=30).map(" ".join),
    st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=120),
)


def mangle(data: st.DataObject, text: str) -> str:
    """Set `text` anew: other spaces, words broken at line ends, ligatures, invisible marks."""
    for plain, ligature in LIGATURES.items():
        if data.draw(st.booleans(), label=f"ligature {plain}"):
            text = text.replace(plain, ligature)
    out = []
    for before, character in zip(" " + text, text, strict=False):
        if character == " ":
            out.append(data.draw(st.sampled_from(SPACES)))
            continue
        if _is_letter(before) and _is_letter(character) and data.draw(st.integers(0, 9)) == 0:
            out.append(data.draw(st.sampled_from(["-\n", "\u00ad", "-\r\n  ", "\u200b"])))
        out.append(character)
    return "".join(out)


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


@given(st.data(), passages)
def test_any_substring_survives_typesetting(data: st.DataObject, passage: str) -> None:
    start = data.draw(st.integers(0, len(passage) - 1))
    end = data.draw(st.integers(start + 1, len(passage)))
    substring = passage[start:end]
    assume(any(not c.isspace() and c not in "\"'“”‘’«»….…" for c in substring))
    assert locate(substring, passage) is not None
    if _plain(passage):
        assert locate(mangle(data, substring), passage) is not None
        assert locate(substring, mangle(data, passage)) is not None


def _plain(text: str) -> bool:
    return text == PASSAGE or all(c in string.ascii_lowercase + " " for c in text)


@given(st.data(), st.lists(words, min_size=3, max_size=20, unique=True))
def test_an_altered_word_never_passes(data: st.DataObject, parts: list[str]) -> None:
    at = data.draw(st.integers(0, len(parts) - 1))
    other = data.draw(words)
    altered = " ".join([*parts[:at], other, *parts[at + 1 :]])
    passage = " ".join(parts)
    assume(altered not in passage)
    assert locate(altered, passage) is None


@given(st.data(), st.from_regex(r"[1-9][0-9]{0,6}(\.[0-9]{1,3})?%?", fullmatch=True))
@example(None, "10")
def test_an_altered_number_never_passes(data: st.DataObject | None, number: str) -> None:
    passage = f"The gain was {number} points over the base."
    digits = [i for i, c in enumerate(number) if c.isdigit()]
    at = digits[-1] if data is None else data.draw(st.sampled_from(digits))
    changed = number[:at] + str((int(number[at]) + 1) % 10) + number[at + 1 :]
    assert locate(f"The gain was {changed} points", passage) is None
    assert locate(f"The gain was {number} points", passage) is not None
    for sign in ("-", "−", "+"):
        assert locate(f"gain was {sign}{number} points", passage) is None


@given(st.data())
def test_an_inserted_or_dropped_negation_never_passes(data: st.DataObject) -> None:
    parts = PASSAGE.split()
    at = data.draw(st.integers(1, len(parts) - 1))
    negation = data.draw(st.sampled_from(["not", "no", "never", "without", "hardly"]))
    assert locate(" ".join([*parts[:at], negation, *parts[at:]]), PASSAGE) is None
    assert locate("HippoRAG 2 does beat every baseline", PASSAGE) is None
    assert locate("keeps more than 5 triples", PASSAGE) is None


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("costs grow as 105", PASSAGE),
        ("on 1000 multi-hop questions", PASSAGE),
        ("gains 71% on", PASSAGE),
        ("stateoftheart re-rankers", PASSAGE),
        ("pages 1020", "see pages 10-\n20 of it"),
        ("now here", "nowhere"),
        ("cannot", "can not"),
        ("It is not ineffective", PASSAGE),
        ("hipporag 2 does not beat", PASSAGE),
        ("1½ points", "11⁄2 points"),
        ("a re-sign of it", "a resign of it"),
        ("", PASSAGE),
        ("  ", PASSAGE),
        ("“”", PASSAGE),
    ],
)
def test_what_must_not_pass(quote: str, text: str) -> None:
    assert locate(quote, text) is None


@pytest.mark.parametrize(
    ("quote", "text", "found"),
    [
        ("non-parametric memory", "a non-\nparametric memory", "non-\nparametric memory"),
        ("retrieval works", "re-\ntrieval works", "re-\ntrieval works"),
        ("state-of-the-art", "the state-\nof-the-art way", "state-\nof-the-art"),
        ("re- trieval works", "re-\ntrieval works", "re-\ntrieval works"),
        ("“It isn't so”", "It isn’t so", "It isn’t so"),
        ("p < 0.05", "with p < 0.05 it", "p < 0.05"),
        ("p ‹ 0.05", "with p < 0.05 it", "p < 0.05"),
        ("the ﬁrst oﬄine run", "the first offline run", "the first offline run"),
        ("Gutiérrez", "Gutie\u0301rrez", "Gutie\u0301rrez"),
        ("10–20 of them", "10-20 of them", "10-20 of them"),
    ],
)
def test_what_must_pass(quote: str, text: str, found: str) -> None:
    span = locate(quote, text)
    assert span is not None
    assert text[slice(*span)] == found


@pytest.mark.parametrize(
    ("quote", "text", "whole"),
    [
        ("effective", "It is ineffective.", "ineffective"),
        ("linear models", "use non-linear models", "non-linear models"),
        ("5 points", "a drop of -5 points", "-5 points"),
        ("5", "it gains 95% more", "95%"),
        ("500 items", "of 1,500 items", "1,500 items"),
        ("improve", "improvements", "improvements"),
    ],
)
def test_a_quote_is_widened_to_whole_words_and_numbers(quote: str, text: str, whole: str) -> None:
    span = locate(quote, text)
    assert span is not None
    assert text[slice(*span)] == whole


def test_a_quote_is_published_with_its_sentence() -> None:
    span = locate_sentence("beat every baseline", PASSAGE)
    assert span is not None
    assert PASSAGE[slice(*span)].startswith("HippoRAG 2 does not beat")
    assert PASSAGE[slice(*span)].endswith("on NQ.")


def test_a_sentence_too_long_to_be_one_is_not_widened_to() -> None:
    table = "alpha beta gamma " * (MAX_SENTENCE // 10)
    span = locate_sentence("gamma alpha beta gamma", table)
    assert span is not None
    assert table[slice(*span)] == "gamma alpha beta gamma"


def test_a_scrap_is_no_quote() -> None:
    assert locate_sentence("the", "the first of the sentences stands here") is None
