"""The questions that models made of passages, and which of them are like one that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scholar.library.derived import Embed, Halves, Parts, embedded
from scholar.library.embedding import Vectors32
from scholar.library.ranking import Ranking, ordered


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions, `passages[n]` answering `texts[n]`, and `vectors`, None without an embedder."""

    passages: Sequence[str]
    texts: Sequence[str]
    vectors: Vectors32 | None

    @classmethod
    def build(
        cls, questions: Sequence[tuple[str, str]], embed: Embed, former: Asked | None = None
    ) -> Asked:
        """Those of `questions`, each after its passage; what `former` has is not embedded again."""
        texts = [text for _, text in questions]
        known = (former.texts, _halved(former.vectors)) if former else ()
        return cls([id for id, _ in questions], texts, _whole(embedded(texts, embed, *known)))

    def nearest(self, vector: Vectors32, n: int) -> list[tuple[str, str]]:
        """The `n` questions nearest to `vector`, each with the passage it is about."""
        if self.vectors is None:
            return []
        best = np.argsort(-(self.vectors @ vector), kind="stable")[:n]
        return [(self.texts[at], self.passages[at]) for at in best]

    def rank(self, vector: Vectors32) -> Ranking:
        """The passages by their question nearest to `vector`, best first."""
        if self.vectors is None:
            return []
        best: dict[str, float] = {}
        for id, cosine in zip(self.passages, (self.vectors @ vector).tolist(), strict=True):
            best[id] = max(best.get(id, -1.0), cosine)
        return ordered(best)


def taken(asked: Asked) -> Parts:
    """Questions as they are kept."""
    words = {"passages": [*asked.passages], "texts": [*asked.texts]}
    return words, {}, _halved(asked.vectors)


def put(parts: Parts) -> Asked:
    """The questions that were kept as `parts`."""
    words, _, vectors = parts
    return Asked(words["passages"], words["texts"], _whole(vectors))


def _halved(vectors: Vectors32 | None) -> Halves | None:
    return None if vectors is None else vectors.astype(np.float16)


def _whole(vectors: Halves | None) -> Vectors32 | None:
    return None if vectors is None else vectors.astype(np.float32)
