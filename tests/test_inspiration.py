"""Which papers a background leads to, and which of them are left where many say the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from scholar.library import Candidate, Entry, Library
from scholar.library.inspiration import diverse
from scholar.library.passages import cut
from scholar.readers import Document
from scholar.settings import Settings, load
from scholar.values import Card, Paper, Reference

BACKGROUND = "Retrieval brings passages that share no word with the question."
TEXTS = {
    "expansion": "Retrieval misses passages that share no word with the question.",
    "index": "We build an index of passages for retrieval of answers to a question.",
    "weather": "Rain over the Baltic Sea is forecast by a network of many stations.",
    "bees": "Honey bees tell each other the way to flowers by dances in the hive.",
    "ships": "Container ships burn less fuel when they sail more slowly on long routes.",
    "soil": "Earthworms loosen heavy soil, and so water is taken up sooner.",
    "survey": "This overview lists works of the last years without any comment.",
}


def entry(id: str, text: str, cites: Sequence[str] = ()) -> Entry:
    title = f"On {id.rstrip('0123456789')}"
    paper = Paper(f"t:{id}", title, identifiers={"doi": f"10.1000/{id}"})
    references = tuple(Reference(f"see {to}", identifiers={"doi": f"10.1000/{to}"}) for to in cites)
    passages = cut(paper.id, Document(text=text))
    return Entry(paper, text, passages, references=references)


@pytest.fixture
async def papers(library: Library) -> Library:
    """Papers of which "expansion" shares names with "weather", and "weather" is cited with "bees";
    nothing leads to the others.
    """
    await library.add([entry(id, text) for id, text in TEXTS.items() if id != "survey"])
    await library.add([entry("survey", TEXTS["survey"], ("weather", "bees"))])
    for id, names in {"expansion": ["query expansion", "BM25"], "weather": ["BM25"]}.items():
        await library.put_card(Card(f"t:{id}", "", "", entities=tuple(names)))
    return library


async def found(library: Library, *entities: str, **more: Sequence[str]) -> dict[str, str]:
    """Why each paper was found, best first."""
    candidates = await library.candidates(BACKGROUND, entities, **more)  # type: ignore[arg-type]
    return {one.paper_id.removeprefix("t:"): one.why for one in candidates}


async def test_papers_are_found_by_background_by_names_and_by_being_cited_together(
    papers: Library,
) -> None:
    why = await found(papers)
    assert why["expansion"] == why["index"] == "background"
    assert why["weather"] == "entity", "shares a name with one of the best"
    assert why["bees"] == "cocited", "is cited with a paper that a name led to"
    assert not why.keys() & {"ships", "soil"}
    assert next(iter(why)) == "expansion"


async def test_a_name_that_is_given_leads_on_in_any_capitals(papers: Library) -> None:
    await papers.put_card(Card("t:soil", "", "", entities=("Earth Worms",)))
    assert (await found(papers, "earth worms"))["soil"] == "entity"
    assert "soil" not in await found(papers)


async def test_a_name_in_the_background_leads_on(papers: Library) -> None:
    await papers.put_card(Card("t:ships", "", "", entities=("share no word",)))
    assert (await found(papers))["ships"] == "entity"


async def test_what_is_passed_over_is_neither_found_nor_followed(papers: Library) -> None:
    why = await found(papers, without=["t:expansion"])
    assert "expansion" not in why
    assert "weather" not in why, "only its names led there"
    assert "bees" not in why
    why = await found(papers, "BM25", without=["t:weather"])
    assert "weather" not in why, "also where a name or a citation leads there"
    assert "bees" not in why
    why = await found(papers, without=["t:survey"])
    assert "weather" in why
    assert "bees" not in why, "only its references say that the two go together"


async def test_a_paper_that_is_passed_over_is_not_found_by_being_cited(papers: Library) -> None:
    assert "bees" not in await found(papers, without=["t:bees"])


async def test_the_best_paper_is_kept_although_it_is_the_first(papers: Library) -> None:
    inspirations = await papers.inspirations(BACKGROUND, [], 2)
    assert [one.paper_id for one in inspirations] == ["t:expansion", "t:index"]


async def test_a_library_that_is_not_enriched_gives_what_a_search_finds(library: Library) -> None:
    await library.add([entry(id, text) for id, text in TEXTS.items()])
    hits = await library.search(BACKGROUND, 20)
    candidates = await library.candidates(BACKGROUND, ["BM25"])
    assert [one.paper_id for one in candidates] == list(dict.fromkeys(h.paper_id for h in hits))
    assert {one.why for one in candidates} == {"background"}


@pytest.mark.parametrize("background", ["", "zzz"])
async def test_nothing_is_found_for_nothing(papers: Library, background: str) -> None:
    assert await papers.candidates(background, []) == []
    assert await papers.inspirations(background, []) == []


async def test_no_more_is_given_than_was_asked_for(papers: Library) -> None:
    assert len(await papers.candidates(BACKGROUND, [], 1)) == 1
    assert len(await papers.inspirations(BACKGROUND, [], 1)) == 1


def candidates(**scores: float) -> list[Candidate]:
    return [Candidate(id, score, "background") for id, score in scores.items()]


def test_of_papers_that_are_alike_one_comes_in_turn() -> None:
    near = np.array([0.99, np.sqrt(1 - 0.99**2)], np.float32)
    vectors = {"a": np.array([1, 0], np.float32), "b": near, "c": np.array([0, 1], np.float32)}
    given = candidates(a=0.9, b=0.8, c=0.7)
    assert [one.paper_id for one in diverse(given, vectors, 2)] == ["a", "c"]
    assert [one.paper_id for one in diverse(given, vectors)] == ["a", "c", "b"]
    assert [one.paper_id for one in diverse(given, {}, 2)] == ["a", "b"]


def test_papers_are_put_in_order_before_they_are_clustered() -> None:
    given = candidates(worst=0.1, best=0.9, middle=0.5)
    assert [one.paper_id for one in diverse(given, {}, 3)] == ["best", "middle", "worst"]


# With an embedder


@pytest.fixture
def meaning(tmp_path: Path) -> Iterator[Library]:
    """A library with the embedder that comes with scholar."""
    pytest.importorskip("torch")
    settings: Settings = load(home=tmp_path / "meaning", offline=True)
    library = Library(settings)
    yield library
    library.close()


@pytest.mark.slow
async def test_a_card_tells_the_background_of_its_paper(meaning: Library) -> None:
    await meaning.add([entry(id, text) for id, text in TEXTS.items()])
    before = {one.paper_id: one.score for one in await meaning.candidates(BACKGROUND, [])}
    problem = "Passages without a word of the question are not found by retrieval."
    await meaning.put_card(Card("t:ships", problem, "", motivations=("Words differ.",)))
    after = {one.paper_id: one.score for one in await meaning.candidates(BACKGROUND, [])}
    assert after["t:ships"] > before["t:ships"] + 0.3
    assert all(after[id] == pytest.approx(before[id], abs=1e-4) for id in after if id != "t:ships")


@pytest.mark.slow
async def test_ten_papers_that_say_the_same_take_one_place_of_two(meaning: Library) -> None:
    same = [entry(f"copy{n}", TEXTS["expansion"]) for n in range(10)]
    await meaning.add([*same, entry("index", TEXTS["index"]), entry("bees", TEXTS["bees"])])
    found = [one.paper_id for one in await meaning.inspirations(BACKGROUND, [], 3)]
    assert found[0].startswith("t:copy")
    assert set(found[1:]) == {"t:index", "t:bees"}
