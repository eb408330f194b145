"""Evidence without a model: the sentences that match the question best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scholar.agents.evidence import Labelled, label
from scholar.context import Context
from scholar.library import Extract
from scholar.state import State, Update
from scholar.values import Evidence

EXTRACTS = 8
"""Quotes shown when no model is configured: about one screen."""
EXTRACTS_PER_PAPER = 4
"""At most half of them, so that a second paper is seen beside the best one."""
LEXICAL_FLOOR = 0.4
DENSE_FLOOR = 0.345
"""Least score of a sentence shown without a model, by BM25 alone and with an embedder. Chosen by
tests/benchmarks/evidence.py, which prints how many questions pass that should and should not.
"""
EXTRACT_SPREAD = 0.6
"""Sentences below this share of the best one's score are left out: one screen, not one of chaff."""
NEAREST = 2
"""Sentences shown where none reaches the floor, so that a reader sees how close it came."""


async def read_without_model(state: State, context: Context) -> Update:
    """The best-matching sentences of what was found; where nothing was searched for yet, of what
    a search for the question itself finds.
    """
    hits = state.get("hits") or await context.library.search(state["question"], context.k)
    passages = await context.library.passages([hit.passage_id for hit in hits])
    evidence, notes = await extract(state, context, await label(context, passages))
    searched = state.get("searched") or [state["question"]]
    return {
        "hits": hits,
        "searched": searched,
        "evidence": evidence,
        "notes": [*state.get("notes", []), *notes],
    }


async def extract(
    state: State, context: Context, fresh: Sequence[Labelled]
) -> tuple[list[Evidence], list[str]]:
    """The sentences of `fresh` that match best, or notes on how near the nearest came."""
    passages = [item.passage for item in fresh]
    # More than are shown, since most of the best may be of one paper.
    extracts = await context.library.extract(state["question"], passages, EXTRACTS * 4)
    embedder = (await context.library.stats()).embedder
    floor = LEXICAL_FLOOR if embedder == "none" else DENSE_FLOOR
    if not extracts or extracts[0].score < floor:
        titles = {item.passage.paper_id: item.title for item in fresh}
        return [], [
            f"Nearest, but not near enough: “{extract.text}” ({titles[extract.passage.paper_id]})"
            for extract in extracts[:NEAREST]
            if extract.score > 0
        ]
    best = extracts[0].score
    worthy = [extract for extract in extracts if extract.score >= max(floor, best * EXTRACT_SPREAD)]
    steps = tuple(step.id for step in state.get("steps", []))
    evidence = [
        Evidence(
            id=f"e{n}",
            quote=extract.text,
            paper_id=extract.passage.paper_id,
            passage_id=extract.passage.id,
            start=extract.start,
            end=extract.end,
            page=extract.passage.page_at(extract.start),
            steps=steps,
            score=extract.score,
        )
        for n, extract in enumerate(_spread(worthy), start=1)
    ]
    return evidence, []


def _spread(extracts: Sequence[Extract]) -> list[Extract]:
    """The first EXTRACTS of `extracts`, at most EXTRACTS_PER_PAPER of one paper."""
    per_paper: Counter[str] = Counter()
    kept = []
    for extract in extracts:
        per_paper[extract.passage.paper_id] += 1
        if per_paper[extract.passage.paper_id] <= EXTRACTS_PER_PAPER:
            kept.append(extract)
    return kept[:EXTRACTS]
