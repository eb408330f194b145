"""What the map of papers is drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from test_strategies import TEXTS
from test_strategies import entry as survey_entry

from scholar.library import Entry, Library
from scholar.library.passages import cut
from scholar.readers import Document
from scholar.values import Paper

MANY = [f"n:{n:03d}" for n in range(60)]


def entry(id: str, text: str = "") -> Entry:
    text = text or f"Paper {id[2:]} is about snails on wet glass and how fast they move."
    return Entry(Paper(id, f"Snails {id}"), text, cut(id, Document(text=text)))


@pytest.fixture
async def many(library: Library) -> Library:
    """A survey that cites two others, and many papers on snails."""
    await library.add([survey_entry(id) for id in TEXTS])
    await library.add([entry(id) for id in MANY])
    return library


async def shown(library: Library, used: Sequence[str], most: int) -> list[str]:
    return [paper.id for paper in (await library.atlas(used, most)).papers]


async def test_a_large_library_is_sampled_and_the_used_papers_are_always_among_it(
    many: Library,
) -> None:
    used = ["n:007", "n:059", "gone"]
    ids = await shown(many, used, 40)
    assert ids[:2] == used[:2]
    assert len(ids) == len(set(ids)) == 40
    assert ids == await shown(many, used, 40)
    sample = [int(id[2:]) for id in ids[2:] if id.startswith("n:")]
    assert max(sample) - min(sample) > 50
    assert (await many.atlas(used, 40)).total == len(TEXTS) + len(MANY)


async def test_all_used_papers_are_shown_also_where_they_are_more_than_asked_for(
    many: Library,
) -> None:
    assert await shown(many, MANY[:50], 10) == MANY[:50]


async def test_papers_that_cite_used_ones_or_are_cited_come_before_others(many: Library) -> None:
    found = await many.atlas(["w:curie"], 4)
    ids = [paper.id for paper in found.papers]
    assert ids[:2] == ["w:curie", "w:survey"]
    assert ("w:survey", "w:curie") in [(ids[a], ids[b]) for a, b in found.citations]


async def test_without_an_embedder_papers_lie_by_their_words(many: Library) -> None:
    found = await many.atlas(["w:curie"], 10)
    assert found.by_words
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1)
    ids = [paper.id for paper in found.papers]
    snails = [n for n, id in enumerate(ids) if id.startswith("n:")]
    likeness = found.vectors @ found.vectors.T
    assert likeness[snails[0], snails[1]] > likeness[snails[0], 0]


async def test_with_an_embedder_papers_lie_by_the_mean_of_their_passages(many: Library) -> None:
    await many.add([entry("n:long", "Snails move on wet glass at night. " * 90)])
    ids = [f"{id}#0" for id in (*TEXTS, *MANY)]
    ids += [passage.id for passage in await many.passages_of("n:long")]
    vectors = np.random.default_rng(3).normal(size=(len(ids), 8)).astype(np.float32)
    many._store.dense._kept.put("made up", ids, ["digest"] * len(ids), vectors)
    many._store.dense.adopt("made up", None, "chroma")
    found = await many.atlas(["w:curie", "n:long"], 10)
    assert not found.by_words
    for place, own in ((0, vectors[:1]), (1, vectors[len(TEXTS) + len(MANY) :])):
        mean = own.mean(axis=0)
        assert np.allclose(found.vectors[place], mean / np.linalg.norm(mean), atol=1e-6)


async def test_an_empty_library_has_an_empty_atlas(library: Library) -> None:
    found = await library.atlas([])
    assert (found.papers, found.citations, found.total) == ((), (), 0)
