"""What counts as an answer, as an abstention and as neither."""

from __future__ import annotations

import pytest

from scholar.evaluation.metrics import Cited, Judged
from scholar.evaluation.scores import MEASURES, Done, Given, Judgement, score
from scholar.evaluation.sets import Item
from scholar.values import Outcome

SAID = (Cited("The capital is Tirion.", (("Arda", "Its capital is Tirion."),)),)


def given(
    outcome: Outcome = Outcome.ANSWERED,
    sentences: tuple[Cited, ...] = SAID,
    stance: str | None = None,
    missing: str = "",
) -> Given:
    return Given(outcome, sentences, (), stance, missing, 1.0)


@pytest.mark.parametrize(
    ("said", "answered", "abstained"),
    [
        (given(), True, False),
        (given(Outcome.PARTIAL), True, False),  # the jury has doubts, but it is an answer
        (given(Outcome.PARTIAL, missing="The year."), False, True),
        (given(Outcome.PARTIAL, stance="not_enough"), False, True),
        (given(Outcome.PARTIAL, sentences=()), False, True),  # no sentence stood
        (given(stance="contradicted"), True, False),
        (given(Outcome.NO_EVIDENCE, sentences=()), False, True),
        (given(Outcome.BUDGET_SPENT), False, False),
        (given(Outcome.MODEL_FAILED, sentences=()), False, False),
        (given(Outcome.TOOLS_FAILED, sentences=()), False, False),
    ],
)
def test_an_answer_answers_abstains_or_was_cut_short(
    said: Given, answered: bool, abstained: bool
) -> None:
    assert (said.answered, said.abstained) == (answered, abstained)


def test_a_run_that_was_cut_short_counts_against_coverage_and_recall_alike() -> None:
    short = given(Outcome.BUDGET_SPENT)
    done = [
        Done(Item("a", "a", "Why?", (("Tirion",),), answerable=True), short),
        Done(Item("b", "b", "Why not?", (("Tirion",),), answerable=False), short),
    ]
    found = score(done, MEASURES["abstain"], seed=0)
    assert found["coverage"].value == 0
    assert found["abstention_recall"].value == 0
    assert found["abstention_precision"].value is None
    assert found["accuracy"].value is None


def test_answers_are_weighed_alike_however_many_sentences_they_have() -> None:
    # As in ALCE, the mean over answers: of 1 and of 1/3, not 2 of 4 sentences.
    item = Item("a", "a", "Why?", (("Tirion",),))
    yes, no = Judged(True, (True,)), Judged(False, (False,))
    done = [
        Done(item, given(), (), Judgement((yes,))),
        Done(Item("b", "b", "Why?"), given(), (), Judgement((yes, no, no))),
        Done(Item("c", "c", "Why?"), given(sentences=()), (), Judgement(())),
        Done(Item("d", "d", "Why?"), given()),
    ]
    found = score(done, MEASURES["answer"], seed=0)
    assert found["citation_recall"].value == pytest.approx((1 + 1 / 3) / 2)
    assert found["citation_precision"].value == pytest.approx((1 + 1 / 3) / 2)
    assert found["citation_recall"].of == 2
    assert found["cover_match"].of == 4


def test_f1_and_exact_match_look_at_the_first_sentence_and_cover_at_all() -> None:
    said = (Cited("Of the elves.", ()), Cited("Tirion.", ()))
    found = score(
        [Done(Item("a", "a", "Which?", (("Tirion",),)), given(sentences=said))],
        MEASURES["answer"],
        seed=0,
    )
    assert (found["exact_match"].value, found["f1"].value) == (0, 0)
    assert found["cover_match"].value == 1


def test_a_wrong_answer_to_what_cannot_be_answered_is_never_right() -> None:
    # The very words of the answer do not make it one where the support was left out.
    done = [
        Done(Item("a", "a", "Which?", (("Tirion",),), answerable=True), given()),
        Done(Item("b", "a", "Which?", (("Tirion",),), answerable=False), given()),
    ]
    assert score(done, MEASURES["abstain"], seed=0)["accuracy"].value == 0.5
