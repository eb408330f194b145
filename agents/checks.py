"""What a published text may state, by the quotes it stands on. No model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from scholar.text import addresses, figures, sentences, without_addresses
from scholar.values import Citation, Evidence, Passage

_OF_PAPERS = re.compile(
    r"""
    \bet\ al\b | \[\d+(?:,\s*\d+)*\] | \barxiv:\s*\d | \bdoi:\s*10
    | \( (?: [^()]{0,80} ,\s* )? (?:19|20)\d\d[a-z]? \)    # (Lovelace and Turing, 2024)
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Stated:
    """The figures and addresses that a sentence may have."""

    figures: frozenset[Decimal] = frozenset()
    addresses: frozenset[str] = frozenset()

    @classmethod
    def by(cls, *texts: str) -> Stated:
        """Those that `texts` have."""
        return cls(
            frozenset().union(*(figures(text, spelled=True) for text in texts)),
            frozenset().union(*map(addresses, texts)),
        )

    def carries(self, text: str) -> bool:
        """Whether `text` has no others."""
        return figures(text) <= self.figures and addresses(text) <= self.addresses

    def __or__(self, other: Stated) -> Stated:
        return Stated(self.figures | other.figures, self.addresses | other.addresses)


def stands(place: Evidence | Citation, passages: Mapping[str, Passage]) -> bool:
    """Whether the quote is the stored text at its offsets."""
    passage = passages.get(place.passage_id)
    if passage is None or not passage.start <= place.start < place.end <= passage.end:
        return False
    text = passage.text[place.start - passage.start : place.end - passage.start]
    return passage.paper_id == place.paper_id and text == place.quote


def speaks_of_papers(text: str) -> bool:
    """Whether `text` refers to a paper as papers do: by authors, a year, a number or an id."""
    return bool(_OF_PAPERS.search(text))


def own_words(text: str, stated: Stated | None = None) -> str:
    """What of `text` may stand without a quote, as a proposal: no address, no sentence that speaks
    of a paper, and with `stated` none that has a figure which is not in it.
    """
    text = " ".join(without_addresses(text).split())
    kept = (text[start:end] for start, end in sentences(text))
    return " ".join(
        said
        for said in kept
        if not speaks_of_papers(said) and (stated is None or figures(said) <= stated.figures)
    )
