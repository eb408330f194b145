"""What follows from the jurors' votes."""

from __future__ import annotations

import pytest

from scholar.agents.jury import decide
from scholar.values import Action, Verdict

NAMES = ("support", "completeness", "conflict")
VOTES: dict[str, tuple[Action, bool]] = {
    "A": ("accept", False),
    "R": ("revise", False),
    "S": ("search_more", False),
    "N": ("abstain", False),
    "-": ("abstain", True),
}
"""One letter per vote, in the order of NAMES; `-` is a juror that could not be read."""


def verdicts(votes: str, query: str = "walks") -> list[Verdict]:
    return [
        Verdict(name, action, query=query if action == "search_more" else "", failed=failed)
        for name, (action, failed) in zip(NAMES, (VOTES[v] for v in votes), strict=False)
    ]


@pytest.mark.parametrize(
    ("votes", "decision"),
    [
        # a majority
        ("AAA", "accept"),
        ("AAR", "accept"),
        ("ARA", "accept"),
        ("ASA", "accept"),
        ("AAN", "accept"),
        ("RRR", "revise"),
        ("ARR", "revise"),
        ("SSS", "search_more"),
        ("ASS", "search_more"),
        ("RSS", "search_more"),
        ("NNN", "abstain"),
        ("ANN", "abstain"),
        # a fault found by the support juror needs no second vote
        ("RAA", "revise"),
        ("RNN", "revise"),
        ("SAA", "accept"),
        ("NAA", "accept"),
        # a tie goes to the more careful side
        ("ARS", "search_more"),
        ("ARN", "revise"),
        ("ASN", "search_more"),
        # a juror that could not be read is counted neither way
        ("---", "accept"),
        ("-AA", "accept"),
        ("--R", "revise"),
        ("-AR", "revise"),
        ("-RN", "revise"),
        ("-AN", "abstain"),
        ("-AS", "search_more"),
        ("R--", "revise"),
        ("--N", "abstain"),
        # a jury of one
        ("A", "accept"),
        ("R", "revise"),
        ("S", "search_more"),
        ("N", "abstain"),
        ("-", "accept"),
        ("", "accept"),
    ],
)
def test_the_decision_follows_from_the_votes(votes: str, decision: Action) -> None:
    assert decide(verdicts(votes), revise=True, search=True) == decision


@pytest.mark.parametrize(
    ("votes", "revise", "search", "decision"),
    [
        ("RRR", False, True, "accept"),
        ("RAA", False, True, "accept"),
        ("SSS", True, False, "accept"),
        ("SSS", False, False, "accept"),
        ("RSS", True, False, "revise"),  # the support juror's fault can still be mended
        ("ARS", True, False, "accept"),
        ("RNN", False, True, "abstain"),
        ("NNN", False, False, "abstain"),
    ],
)
def test_what_is_no_longer_allowed_is_published_as_it_stands(
    votes: str, revise: bool, search: bool, decision: Action
) -> None:
    assert decide(verdicts(votes), revise=revise, search=search) == decision


@pytest.mark.parametrize("query", ["", "  "])
def test_a_search_without_a_query_is_not_made(query: str) -> None:
    assert decide(verdicts("SSS", query), revise=True, search=True) == "accept"


def test_a_search_needs_the_query_of_a_juror_that_wants_one() -> None:
    votes = [Verdict("support", "search_more"), Verdict("conflict", "search_more")]
    stray = Verdict("completeness", "accept", query="walks")
    assert decide([*votes, stray], revise=True, search=True) == "accept"


@pytest.mark.parametrize("votes", ["ARS", "SRA", "AAR", "RAA", "NNA", "-AR"])
def test_the_order_of_the_jurors_does_not_matter(votes: str) -> None:
    jury = verdicts(votes)
    decisions = {decide(order, revise=True, search=True) for order in (jury, jury[::-1])}
    assert len(decisions) == 1
