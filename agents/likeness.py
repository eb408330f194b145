"""Which ideas are the same idea in other words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scholar.library.embedding import Vectors32
from scholar.values import Idea

ALIKE = 0.9
"""Cosine of the library's embedder from which on two ideas are one."""
ALIKE_WORDS = 0.7
"""The same by the words that two texts share, where there is no embedder. Reworded ideas pass it:
words alone cannot tell that they are the same.
"""
_WORD = re.compile(r"\w{4,}")


class Embeds(Protocol):
    """A library, as far as it tells what texts mean."""

    async def embed(self, texts: Sequence[str]) -> Vectors32 | None:
        """One unit vector per text; None without an embedder."""
        ...


async def likenesses(texts: Sequence[str], library: Embeds) -> tuple[NDArray[Any], float]:
    """How alike `texts` are, shape (n, n), and from which value on two are the same."""
    vectors = await library.embed(texts)
    if vectors is not None:
        return vectors @ vectors.T, ALIKE
    return _by_words(texts), ALIKE_WORDS


def _by_words(texts: Sequence[str]) -> NDArray[Any]:
    """Cosines of the words of `texts`, those counting little that most of them have."""
    words = [set(_WORD.findall(text.lower())) for text in texts]
    places = {word: n for n, word in enumerate(sorted(set().union(*words)))}
    counts = np.zeros((len(texts), len(places)))
    for row, found in enumerate(words):
        counts[row, [places[word] for word in found]] = 1
    weighed = counts * (1 + np.log(len(texts) / np.maximum(counts.sum(0), 1)))
    norms = np.linalg.norm(weighed, axis=1, keepdims=True)
    unit = weighed / np.maximum(norms, 1e-9)
    return np.asarray(unit @ unit.T)


async def distinct(ideas: Sequence[Idea], library: Embeds) -> tuple[list[Idea], list[str]]:
    """`ideas` without those that are the same as an earlier one, which takes over what those grew
    from; and notes on what was merged.
    """
    if len(ideas) < 2:
        return list(ideas), []
    likeness, same = await likenesses([idea.text for idea in ideas], library)
    kept: list[int] = []
    merged: dict[int, Idea] = {}
    notes = []
    for n, idea in enumerate(ideas):
        at = next((m for m in kept if likeness[m, n] >= same), None)
        if at is None:
            kept.append(n)
            merged[n] = idea
        else:
            merged[at] = _with_roots_of(merged[at], idea)
            notes.append(f"“{idea.title}” was too like “{merged[at].title}” and is one with it.")
    return [merged[n] for n in kept], notes


def _with_roots_of(kept: Idea, same: Idea) -> Idea:
    roots = tuple(dict.fromkeys((*kept.roots, *same.roots)))
    return replace(kept, roots=roots, parents=parents_of(roots))


def parents_of(roots: Sequence[Any]) -> tuple[str, ...]:
    """The papers of the quotes that an idea grew from."""
    return tuple(dict.fromkeys(root.paper_id for root in roots))
