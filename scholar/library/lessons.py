"""What past questions were searched by: which searches led to quotes that were published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from scholar.library.rows import insert
from scholar.library.schema import lessons
from scholar.library.store import Store
from scholar.values import Lesson

KEPT = 1_000
"""Past questions that are kept; to compare a new one with so many takes a few milliseconds."""
LIKE = 0.5
"""How like a question must be: by cosine with an embedder, else by the share of its information
that the past one's words carry. Of the 780 pairs of the 40 MuSiQue questions none reaches it, by
either; of the 1,770 of the 60 WikiContradict questions 10 by cosine, which ask of the same things.
"""


class Lessons:
    """The lessons that the catalogue of `store` holds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, run_id: str, lesson: Lesson, learnt: float) -> None:
        """Keep the lesson of a run, in place of what the same run or question taught before.

        `learnt` is in seconds since 1970; of more than KEPT, the oldest go.
        """
        catalogue = self._store.catalogue
        row = {
            "run_id": run_id,
            "question": lesson.question,
            "learnt": learnt,
            "paid": list(lesson.paid),
            "barren": list(lesson.barren),
            **self._embedded(lesson.question),
        }
        same = (lessons.c.run_id == run_id) | (lessons.c.question == lesson.question)
        newest = sa.select(lessons.c.run_id).order_by(lessons.c.learnt.desc()).limit(KEPT)
        with catalogue.transaction() as connection:
            # A library of before there were lessons has no place for them.
            lessons.create(connection, checkfirst=True)
            connection.execute(lessons.delete().where(same))
            insert(connection, lessons, [row])
            connection.execute(lessons.delete().where(lessons.c.run_id.not_in(newest)))

    def near(self, question: str, n: int) -> list[Lesson]:
        """The lessons of the `n` past questions most like `question`, of those that are LIKE it."""
        with self._store.catalogue.connection() as connection:
            if not sa.inspect(connection).has_table(lessons.name):
                return []
        rows = list(self._store.catalogue.fetch(sa.select(lessons)))
        if not rows:
            return []
        likeness = self._likeness(question, rows)
        ranked = sorted(zip(likeness, rows, strict=True), key=_likest_then_latest)
        return [_lesson(row) for like, row in ranked[:n] if like >= LIKE]

    def _embedded(self, question: str) -> dict[str, str | bytes]:
        vectors = self._store.dense.embed([question])
        if vectors is None:
            return {"embedder": "", "vector": b""}
        return {
            "embedder": self._store.dense.name,
            "vector": vectors[0].astype(np.float16).tobytes(),
        }

    def _likeness(self, question: str, rows: Sequence[RowMapping]) -> list[float]:
        """How like `question` each past one is, 0 to 1; by its words where it has no vector."""
        vectors = self._store.dense.embed([question])
        name = self._store.dense.name
        by_words = self._carried(question, [row["question"] for row in rows])
        if vectors is None:
            return by_words
        return [
            float(np.frombuffer(row["vector"], np.float16).astype(np.float32) @ vectors[0])
            if row["embedder"] == name
            else carried
            for row, carried in zip(rows, by_words, strict=True)
        ]

    def _carried(self, question: str, past: Iterable[str]) -> list[float]:
        """The share of what `question` says, by its terms, that each past question says too."""
        lexical = self._store.lexical
        worth = lexical.idf(lexical.terms(question))
        total = sum(worth.values())
        if not total:
            return [0.0 for _ in past]
        return [sum(worth.get(t, 0.0) for t in {*lexical.terms(text)}) / total for text in past]


def _likest_then_latest(pair: tuple[float, RowMapping]) -> tuple[float, float]:
    return -pair[0], -pair[1]["learnt"]


def _lesson(row: RowMapping) -> Lesson:
    return Lesson(row["question"], tuple(row["paid"]), tuple(row["barren"]))
