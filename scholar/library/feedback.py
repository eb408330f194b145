"""What readers said of passages, and what that makes of a ranking."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from scholar.library.catalogue import Catalogue
from scholar.library.ranking import Ranking, ordered
from scholar.library.rows import chunks, insert
from scholar.library.schema import feedback, passages

BONUS = 0.1
"""Most that feedback adds to or takes from a score, as a share of it: about what parts neighbours
in a ranking, so that it decides between equals and lifts nothing that does not fit.
"""


class Feedback:
    """The feedback that `catalogue` holds."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def add(self, passage_ids: Iterable[str], helpful: bool) -> int:
        """Keep that these passages were helpful, or were not; of how many that could be kept."""
        wanted = list(dict.fromkeys(passage_ids))
        kept = 0
        with self._catalogue.transaction() as connection:
            for chunk in chunks(wanted):
                there = connection.scalars(sa.select(passages.c.id).where(passages.c.id.in_(chunk)))
                rows = [{"passage_id": id, "helpful": helpful} for id in there]
                insert(connection, feedback, rows)
                kept += len(rows)
        return kept

    def standing(self, passage_ids: Iterable[str]) -> dict[str, int]:
        """How many more readers called each of the passages helpful than not, where any did."""
        worth = sa.func.sum(sa.case((feedback.c.helpful, 1), else_=-1)).label("worth")
        query = sa.select(feedback.c.passage_id, worth).group_by(feedback.c.passage_id)
        found: dict[str, int] = {}
        for chunk in chunks(dict.fromkeys(passage_ids)):
            rows = self._catalogue.fetch(query.where(feedback.c.passage_id.in_(chunk)))
            found |= {row["passage_id"]: int(row["worth"]) for row in rows}
        return found


def weighed(ranking: Ranking, standing: Mapping[str, int]) -> list[tuple[str, float]]:
    """`ranking` with what helped before higher and what did not lower, by BONUS at most.

    The first voices count most: one gives three quarters of the bonus. (After the feedback that
    Pistis-RAG aligns its ranking to; Bai et al. 2024, section 3.)
    """
    return ordered(
        {id: score * (1 + BONUS * math.tanh(standing.get(id, 0))) for id, score in ranking}
    )
