"""Each measure against cases worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from scholar.evaluation import metrics
from scholar.evaluation.metrics import Cited, Judged, Part, estimated


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("The Anglican Communion.", "anglican communion"),
        ("  an  Apple, a day! ", "apple day"),
        ("U.S.A.", "usa"),
        ("theatre", "theatre"),
        ("the", ""),
    ],
)
def test_text_is_normalised_as_squad_does(text: str, same: str) -> None:
    assert metrics.normalised(text) == same


def test_exact_match_takes_any_alias_and_no_more() -> None:
    assert metrics.exact_match("Stanley Hall.", ["G. Stanley Hall", "Stanley Hall"])
    assert not metrics.exact_match("It was Stanley Hall", ["Stanley Hall"])


def test_f1_counts_words_that_both_have_as_often_as_both_have_them() -> None:
    # 3 words common of 5 said and 3 in the answer: 2 * 3 / 8.
    assert metrics.f1("The answer is G. Stanley Hall.", ["G. Stanley Hall"]) == pytest.approx(0.75)
    # "hall" is said twice and is once in the answer: 1 common of 2 and 1.
    assert metrics.f1("Hall Hall", ["Hall"]) == pytest.approx(2 / 3)
    assert metrics.f1("Paris", ["London", "Paris, France"]) == pytest.approx(2 / 3)
    assert metrics.f1("Paris", ["London"]) == 0
    assert metrics.f1("", ["London"]) == 0
    assert metrics.f1("Paris", []) == 0


def test_an_answer_covers_whole_words_only() -> None:
    assert metrics.covers("It was in the year 1894, at sea.", ["1894"])
    assert metrics.covers("So wrote G. Stanley Hall in May.", ["Hall", "nobody"])
    assert not metrics.covers("Nothing is known of 18945.", ["1894", "no"])
    assert not metrics.covers("Anything at all.", ["the"])


NEEDED = {"A": {"a", "b"}, "B": {"a"}, "C": {"x"}}
"""Which letters a text must have to entail each statement."""


async def entails(texts: Sequence[tuple[str, str]], statement: str) -> bool:
    said = {letter for _, text in texts for letter in text}
    return NEEDED[statement] <= said


@pytest.mark.parametrize(
    ("statement", "citations", "judged"),
    [
        # Nothing is cited, so nothing entails it.
        ("A", [], Judged(False, ())),
        # One citation that does, one that does not.
        ("B", ["a"], Judged(True, (True,))),
        ("B", ["b"], Judged(False, (False,))),
        # Together only: neither does alone, and without either the other does not.
        ("A", ["a", "b"], Judged(True, (True, True))),
        # The third does not alone, and the others do without it.
        ("A", ["a", "b", "x"], Judged(True, (True, True, False))),
        # Each does alone.
        ("B", ["a", "ab"], Judged(True, (True, True))),
        # Two say the same half: each may go, but neither is enough.
        ("A", ["a", "b", "b"], Judged(True, (True, False, False))),
        # Without recall no citation is precise, though it be the only relevant one.
        ("A", ["a", "x"], Judged(False, (False, False))),
    ],
)
async def test_a_sentence_is_judged_as_alce_defines(
    statement: str, citations: list[str], judged: Judged
) -> None:
    sentence = Cited(statement, tuple(("Title", text) for text in citations))
    assert await metrics.judge(sentence, entails) == judged


def test_recall_is_over_sentences_and_precision_over_citations() -> None:
    sentences = [Judged(True, (True, False)), Judged(False, (False,)), Judged(True, (True,))]
    assert metrics.citation_recall(sentences) == pytest.approx(2 / 3)
    assert metrics.citation_precision(sentences) == pytest.approx(2 / 4)
    assert metrics.citation_precision([Judged(False, ())]) == 0


def test_a_measure_is_the_sum_gained_over_the_sum_possible() -> None:
    parts = [Part("a", 1, 2), Part("b", 1, 1), Part("c", 0, 1), Part("d", 0, 0)]
    found = estimated(parts, seed=0)
    assert found.value == pytest.approx(0.5)
    assert found.of == 3
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < 0.5 < found.high <= 1


def test_nothing_possible_is_not_zero() -> None:
    assert estimated([Part("a", 0, 0)], seed=0) == metrics.Estimate(None, None, None, 0)
    assert estimated([], seed=0).value is None


def test_the_interval_of_a_share_is_near_the_normal_one() -> None:
    # 60 of 100: 0.6 ± 1.96 * sqrt(0.6 * 0.4 / 100), which is 0.504 to 0.696.
    found = estimated([Part(str(n), float(n < 60)) for n in range(100)], seed=1)
    assert found.low == pytest.approx(0.504, abs=0.02)
    assert found.high == pytest.approx(0.696, abs=0.02)
    assert estimated([Part(str(n), float(n < 60)) for n in range(100)], seed=1) == found


def test_where_all_are_right_the_interval_is_the_exact_one() -> None:
    # Clopper and Pearson for 40 of 40: the lower end is 0.025 ** (1 / 40).
    right = estimated([Part(str(n), 1) for n in range(40)], seed=0)
    assert (right.value, right.high) == (1, 1)
    assert right.low == pytest.approx(0.9119, abs=1e-4)
    wrong = estimated([Part(str(n), 0) for n in range(40)], seed=0)
    assert (wrong.value, wrong.low) == (0, 0)
    assert wrong.high == pytest.approx(0.0881, abs=1e-4)


def test_items_of_one_question_are_resampled_together() -> None:
    # Two askings of each question that always agree tell no more than one.
    once = [Part(str(n), float(n % 2)) for n in range(40)]
    twice = estimated(once + once, seed=3)
    single = estimated(once, seed=3)
    assert (twice.low, twice.high) == (single.low, single.high)
    assert twice.of == 80


def test_costs_are_no_shares_and_one_alone_has_no_interval() -> None:
    ones = [Part(str(n), 1) for n in range(3)]
    assert estimated(ones, seed=0, share=False) == metrics.Estimate(1, 1, 1, 3)
    assert estimated([Part("a", 7)], seed=0, share=False) == metrics.Estimate(7, None, None, 1)
