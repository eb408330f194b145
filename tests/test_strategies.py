from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scholar.errors import SettingsError, UsageError
from scholar.library import Entry, Filters, Library
from scholar.library.passages import cut
from scholar.library.strategies import RANKINGS, parse
from scholar.readers import Document
from scholar.settings import Settings
from scholar.values import Card, Fact, Paper, Reference

TEXTS = {
    "w:curie": ("A life", "Marie Curie was born in Warsaw and worked on radiation in Paris.", 1990),
    "w:warsaw": ("A city", "The capital lies on the Vistula and was rebuilt after the war.", 2001),
    "w:rivers": ("Rivers", "The Vistula carries ships and ice to the Baltic Sea.", 2010),
    "w:survey": ("A survey", "Both works are discussed here in some detail.", 2020),
}


def entry(id: str) -> Entry:
    title, text, year = TEXTS[id]
    paper = Paper(id, title, year=year, identifiers={"doi": f"10.1000/{id[2:]}"})
    cited = ("curie", "rivers") if id == "w:survey" else ()
    references = tuple(
        Reference(f"see {name}", identifiers={"doi": f"10.1000/{name}"}) for name in cited
    )
    return Entry(paper, text, cut(id, Document(text=text)), references=references)


@pytest.fixture
async def rivers(library: Library) -> Library:
    """Four papers with facts and cards, one of which cites two others."""
    await library.add([entry(id) for id in TEXTS])
    facts = [
        ("w:curie", Fact("Marie Curie", "was born in", "Warsaw")),
        ("w:warsaw", Fact("Warsaw", "lies on", "Vistula")),
        ("w:rivers", Fact("Vistula", "flows to", "Baltic Sea")),
    ]
    for id, fact in facts:
        await library.put_facts(f"{id}#0", [fact])
    await library.put_card(Card("w:rivers", "", "", entities=("Vistula",)))
    return library


async def found(
    library: Library, query: str, strategy: str, filters: Filters | None = None
) -> list[str]:
    hits = await library.search(query, 10, filters=filters, strategy=strategy)
    return [hit.paper_id for hit in hits]


def test_a_strategy_is_rankings_and_stages_in_any_spacing() -> None:
    assert parse("graph + rerank+diverse") == (["graph"], ["rerank", "diverse"])
    assert parse("bm25+dense+bm25") == (["bm25", "dense"], [])
    assert parse("diverse") == (["hybrid"], ["diverse"])


@pytest.mark.parametrize("strategy", ["", "sparse", "bm25+", "hybrid+magic"])
def test_an_unknown_strategy_is_told_what_there_is(strategy: str) -> None:
    with pytest.raises(UsageError, match=r"bm25, dense, hybrid, graph.*rerank, diverse"):
        parse(strategy)


@pytest.mark.parametrize("strategy", [*RANKINGS, "diverse", "bm25+graph"])
async def test_each_strategy_answers_without_an_embedder(rivers: Library, strategy: str) -> None:
    hits = await rivers.search("Where was Marie Curie born?", 2, strategy=strategy)
    assert len(hits) <= 2
    assert all("fused" in hit.scores for hit in hits)
    assert await rivers.search("  ", 2, strategy=strategy) == []


async def test_facts_lead_to_passages_that_share_no_word_with_the_query(rivers: Library) -> None:
    query = "On which river lies the birthplace of Marie Curie?"
    assert "w:warsaw" not in await found(rivers, "Marie Curie birthplace", "bm25")
    assert (await found(rivers, query, "graph"))[:2] == ["w:curie", "w:warsaw"]


async def test_where_no_name_fits_the_graph_is_as_good_as_hybrid(rivers: Library) -> None:
    assert await found(rivers, "ships and ice", "graph") == ["w:rivers"]


async def test_the_graph_follows_what_is_added_and_removed(rivers: Library) -> None:
    query = "Marie Curie"
    assert "w:warsaw" in await found(rivers, query, "graph")
    await rivers.remove(["w:warsaw"])
    assert "w:warsaw" not in await found(rivers, query, "graph")
    await rivers.put_facts("w:rivers#0", [Fact("Warsaw", "is passed by", "Vistula")])
    assert "w:rivers" in await found(rivers, query, "graph")


async def test_the_facts_of_what_is_found_are_linked_and_may_be_kept(rivers: Library) -> None:
    query = "radiation in Paris"
    assert await rivers.linked(query, 5) == ["Marie Curie was born in Warsaw"]
    kept = await rivers.search(query, 5, strategy="graph", keep=["Marie Curie was born in Warsaw"])
    assert [hit.paper_id for hit in kept] == ["w:curie", "w:warsaw", "w:rivers"]
    assert [hit.paper_id for hit in await rivers.search(query, 5, strategy="graph", keep=[])] == [
        "w:curie"
    ]
    assert await rivers.linked(" ", 5) == []


async def test_what_a_graph_finds_passes_the_filters(rivers: Library) -> None:
    filters = Filters(years=(2000, None))
    assert await found(rivers, "Marie Curie", "graph", filters=filters) == ["w:warsaw", "w:rivers"]


async def test_a_name_of_the_best_papers_leads_to_others_that_have_it(rivers: Library) -> None:
    assert "w:warsaw" in await found(rivers, "Warsaw", "entity")
    assert "w:rivers" in await found(rivers, "ships and ice", "entity")
    assert "w:warsaw" in await found(rivers, "ships and ice", "entity")


async def test_a_name_in_the_query_leads_to_papers_whose_text_lacks_it(rivers: Library) -> None:
    await rivers.put_facts("w:warsaw#0", [Fact("Polonia", "is played in", "Warsaw")])
    assert await found(rivers, "polonia", "bm25") == []
    assert await found(rivers, "Polonia", "entity") == ["w:warsaw"]


async def test_what_is_cited_together_most_is_found_together(rivers: Library) -> None:
    assert await found(rivers, "ships and ice", "cocitation") == ["w:curie"]
    for n in range(2):
        references = tuple(
            Reference(f"see {name}", identifiers={"doi": f"10.1000/{name}"})
            for name in ("warsaw", "rivers")
        )
        text = f"Review number {n}."
        paper = Paper(f"w:review{n}", f"Review {n}")
        passages = cut(paper.id, Document(text=text))
        await rivers.add([Entry(paper, text, passages, references=references)])
    assert await found(rivers, "ships and ice", "cocitation") == ["w:warsaw"]


async def test_scores_tell_what_each_ranking_gave(rivers: Library) -> None:
    [first, *_] = await rivers.search("Marie Curie", 3, strategy="graph")
    assert set(first.scores) == {"fused", "bm25", "graph"}
    assert first.scores["fused"] == first.scores["graph"]


async def test_reranking_without_a_model_says_what_to_set(rivers: Library) -> None:
    with pytest.raises(UsageError, match="set reranker"):
        await rivers.search("Warsaw", 3, strategy="rerank")


@pytest.mark.slow
async def test_a_cross_encoder_sets_the_order(rivers: Library, tmp_path: Path) -> None:
    settings = Settings(
        home=rivers.folder.parent, embedder="none", reranker=cross_encoder(tmp_path)
    )
    library = Library(settings)
    try:
        plain = await library.search("Vistula Warsaw capital", 5, strategy="bm25")
        hits = await library.search("Vistula Warsaw capital", 5, strategy="bm25+rerank")
    finally:
        library.close()
    assert {hit.passage_id for hit in hits} == {hit.passage_id for hit in plain}
    scores = [hit.scores["rerank"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert [hit.scores["fused"] for hit in hits] == scores


@pytest.mark.slow
def test_a_folder_without_a_cross_encoder_is_refused(tmp_path: Path) -> None:
    from scholar.library.rerank import Reranker

    with pytest.raises(SettingsError, match="set reranker to"):
        Reranker(str(tmp_path))


def cross_encoder(folder: Path) -> str:
    """A random BERT with one output over a vocabulary of letters."""
    pytest.importorskip("torch")
    import transformers

    hub: Any = transformers  # its names come and go by what is installed
    letters = [*"abcdefghijklmnopqrstuvwxyz.?"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    hub.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = hub.BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, num_labels=1, initializer_range=0.5,
    )  # fmt: skip
    hub.BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)
