"""OpenAlex, Crossref, Semantic Scholar, Unpaywall and Zotero, by what they really answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_server import EXCHANGES, SERVICES, TAPES, SourceServer
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from scholar.errors import SourceError
from scholar.sources import (
    Checks,
    Record,
    Skipped,
    Source,
    Status,
    Walks,
    crossref,
    fetch,
    identify,
    openalex,
    semanticscholar,
    status,
    unpaywall,
    zotero,
)
from scholar.sources.names import identifiers
from scholar.values import Paper

PRIME = "10.1016/j.xgen.2025.100814"
PREPRINT = "10.1101/2024.04.01.587366"
TISSUES = "10.1073/pnas.1414271111"
IODIDE = "10.1023/a:1007154515475"
COPPER = "10.1063/1.4938384"
PAPERQA = "PaperQA: Retrieval-Augmented Generative Agent for Scientific Research"
CHEMCROW = "10.1038/s42256-024-00832-8"

needs_recordings = pytest.mark.skipif(
    not (EXCHANGES.is_file() and TAPES.is_dir()), reason="no recorded exchanges"
)


@pytest.fixture
def sources(source_server: SourceServer, tmp_path: Path) -> dict[str, Source]:
    return source_server.sources(tmp_path)


def records(found: list[Record | Skipped]) -> list[Record]:
    return [item for item in found if isinstance(item, Record)]


def only(found: list[Record | Skipped]) -> Record:
    (record,) = found
    assert isinstance(record, Record)
    return record


def paper(id: str = "", **names: str) -> Paper:
    return Paper(id or str(names), "A title", identifiers=names)


# Names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.1000/ABC", ("doi", "10.1000/abc")),
        ("doi:10.1000/abc.", ("doi", "10.1000/abc")),
        ("https://doi.org/10.1016%2Fj.x.2025.1", ("doi", "10.1016/j.x.2025.1")),
        ("http://dx.doi.org/10.1000/a(b)c", ("doi", "10.1000/a(b)c")),
        ("https://doi.org/10.48550/arXiv.2502.14802", ("arxiv", "2502.14802")),
        ("10.48550/arxiv.2502.14802v2", ("arxiv", "2502.14802v2")),
        ("arXiv:2502.14802v1", ("arxiv", "2502.14802v1")),
        ("W2109415576", ("openalex", "W2109415576")),
        ("https://openalex.org/w2109415576", ("openalex", "W2109415576")),
        ("PMID: 25349395", ("pmid", "25349395")),
        ("https://pubmed.ncbi.nlm.nih.gov/25349395/", ("pmid", "25349395")),
        ("CorpusId:470667", ("corpus", "470667")),
        ("S2:" + "0f" * 20, ("s2", "0f" * 20)),
        ("0F" * 20, ("s2", "0f" * 20)),
        ("bananas", None),
        ("", None),
        ("12345", None),
        ("https://example.org/10.1000/x", None),
        ("10.1000/with space", None),
        ("10.48550/arxiv.nonsense", ("doi", "10.48550/arxiv.nonsense")),
    ],
)  # fmt: skip
def test_ids_are_told_apart(text: str, expected: tuple[str, str] | None) -> None:
    assert identify(text) == expected


def test_identifiers_are_taken_in_any_form() -> None:
    assert identifiers(
        doi="https://doi.org/10.1000/ABC",
        arxiv=["https://example.org", "http://arxiv.org/abs/2502.14802v2"],
        pmid="https://pubmed.ncbi.nlm.nih.gov/25349395",
        openalex="https://openalex.org/W1",
    ) == (
        {"arxiv": "2502.14802", "doi": "10.1000/abc", "pmid": "25349395", "openalex": "W1"},
        "v2",
    )
    assert identifiers(doi="10.48550/arXiv.2502.14802") == ({"arxiv": "2502.14802"}, "")


# The protocol


def test_every_service_is_a_source_and_says_what_else_it_knows(sources: dict[str, Source]) -> None:
    assert set(sources) == set(SERVICES)
    checks = {name for name, source in sources.items() if isinstance(source, Checks)}
    assert checks == {"arxiv", "openalex", "crossref", "semanticscholar"}
    walks = {name for name, source in sources.items() if isinstance(source, Walks)}
    assert walks == {"openalex", "semanticscholar"}


@pytest.mark.parametrize("name", SERVICES)
async def test_nothing_wanted_is_nothing_asked(
    source_server: SourceServer, sources: dict[str, Source], name: str
) -> None:
    source = sources[name]
    assert await source.search("  ", 5) == []
    assert await source.search("anything", 0) == []
    assert await source.by_id([]) == []
    if isinstance(source, Checks):
        assert await source.status([]) == {}
        assert await source.status([paper("file:1")]) == {}
    if isinstance(source, Walks):
        assert await source.citations(paper("file:1"), 5) == []
        assert await source.references(paper("file:1"), 5) == []
    assert source_server.requests == []


@pytest.mark.parametrize("name", SERVICES)
async def test_what_is_no_id_is_skipped_and_never_asked_for(
    source_server: SourceServer, sources: dict[str, Source], name: str
) -> None:
    (skipped,) = await sources[name].by_id(["bananas"])
    assert isinstance(skipped, Skipped)
    assert "'bananas' is no" in skipped.reason
    assert "give" in skipped.reason
    assert source_server.requests == []


# OpenAlex


@needs_recordings
async def test_a_work_of_openalex_becomes_a_record(sources: dict[str, Source]) -> None:
    record = only(await sources["openalex"].by_id([f"https://doi.org/{TISSUES}"]))
    assert record.paper == Paper(
        id=f"doi:{TISSUES}",
        title="Developing functional musculoskeletal tissues through hypoxia and lysyl "
        "oxidase-induced collagen cross-linking",
        authors=(
            "Eleftherios Makris",
            "Donald J. Responte",
            "Nikolaos K. Paschos",
            "Jerry C. Hu",
            "Kyriacos A. Athanasiou",
        ),
        year=2014,
        venue="Proceedings of the National Academy of Sciences",
        identifiers={"doi": TISSUES, "pmid": "25349395", "openalex": "W2109415576"},
        holds="abstract",
        source=f"https://doi.org/{TISSUES}",
    )
    assert record.abstract.startswith("Significance The inadequate mechanical properties of")
    assert record.addresses[0] == "https://europepmc.org/articles/pmc4234579?pdf=render"
    assert len(record.addresses) == len(set(record.addresses))
    assert len(record.references) > 20
    assert record.references[0].identifiers["openalex"].startswith("W")


@needs_recordings
async def test_several_ids_are_asked_for_at_once_and_come_in_order(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    ids = [IODIDE, "10.9999/none", PRIME.upper(), "bananas", f"doi:{IODIDE}"]
    found = await sources["openalex"].by_id(ids)
    assert [record.paper.identifiers["doi"] for record in records(found)] == [IODIDE, PRIME, IODIDE]
    assert [item.what for item in found if isinstance(item, Skipped)] == ["10.9999/none", "bananas"]
    assert len(source_server.requests) == 1


async def test_a_doi_with_a_comma_is_asked_for_alone(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    source_server.gives(
        JSONResponse({"results": []}), JSONResponse({"id": "x/W1", "title": "Comma"})
    )
    ids = ["10.1000/a", "10.1000/b", "10.1000/c,d"]
    found = await sources["openalex"].by_id(ids)
    assert [record.paper.title for record in records(found)] == ["Comma"]
    assert source_server.requests[0].query_params["filter"] == "doi:10.1000/a|10.1000/b"
    assert source_server.paths[1].endswith("/10.1000/c,d")


@needs_recordings
async def test_a_search_of_openalex_finds_preprints_by_their_arxiv_id(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    record = only(await sources["openalex"].search(f" {PAPERQA}\n", 5))
    assert record.paper.id == "arxiv:2312.07559"
    assert record.paper.title == PAPERQA
    assert source_server.requests[0].query_params["mailto"] == "a@b.example"


async def test_a_key_goes_with_every_request(source_server: SourceServer, tmp_path: Path) -> None:
    source_server.gives(JSONResponse({"results": []}), JSONResponse({"total": 0, "offset": 0}))
    api, scholar = (f"{source_server.url}/{name}" for name in ("openalex", "semanticscholar"))
    known = source_server.sources(
        tmp_path,
        openalex={"api": api, "key": "one"},
        semanticscholar={"api": scholar, "key": "two"},
    )
    await known["openalex"].search("anything", 5)
    await known["semanticscholar"].search("anything", 5)
    assert source_server.requests[0].query_params["api_key"] == "one"
    assert source_server.requests[1].headers["x-api-key"] == "two"


async def test_citing_works_of_openalex_are_fetched_page_by_page(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    def page(request: Request) -> Response:
        if "filter" not in request.query_params:
            return JSONResponse({"id": "https://openalex.org/W7", "title": "The cited one"})
        assert request.query_params["filter"] == "cites:W7"
        start = int(request.query_params["cursor"].replace("*", "0"))
        works = [{"id": f"x/W{at}", "title": f"Work {at}"} for at in range(start, start + 100)]
        return JSONResponse({"meta": {"next_cursor": str(start + 100)}, "results": works})

    source_server.gives(page)
    source = sources["openalex"]
    assert isinstance(source, Walks)
    found = records(await source.citations(paper(doi="10.1000/x"), 250))
    assert [each.paper.title for each in found] == [f"Work {at}" for at in range(250)]
    assert len(source_server.requests) == 4


@needs_recordings
async def test_cited_works_of_openalex_are_looked_up_by_their_ids(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    source = sources["openalex"]
    assert isinstance(source, Walks)
    await source.references(paper(doi=PRIME), 3)
    wanted = source_server.requests[1].query_params["filter"]
    assert wanted.startswith("openalex:W1973260880|W")
    assert wanted.count("|") == 2


def test_an_abstract_is_put_together_from_the_places_of_its_words() -> None:
    work = {
        "title": "T",
        "abstract_inverted_index": {
            "are": [2],
            "facts": [1, 3],
            "Some": [0],
            "odd": "x",
            "x": [-1],
        },
    }
    assert only([openalex._record(work)]).abstract == "Some facts are facts"


async def test_a_retracted_work_is_marked(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    work = {"id": "x/W1", "doi": "https://doi.org/10.1000/x", "title": "T", "is_retracted": True}
    source_server.gives(JSONResponse(work))
    assert only(await sources["openalex"].by_id(["10.1000/x"])).paper.retracted
    source = sources["openalex"]
    assert isinstance(source, Checks)
    assert await source.status([paper("p", doi="10.1000/x")]) == {"p": Status(retracted=True)}


# Crossref


@needs_recordings
async def test_a_work_of_crossref_becomes_a_record(sources: dict[str, Source]) -> None:
    record = only(await sources["crossref"].by_id([COPPER]))
    assert record.paper == Paper(
        id=f"doi:{COPPER}",
        title="Effect of native oxide layers on copper thin-film tensile properties: A reactive "
        "molecular dynamics study",
        authors=("Michael D. Skarlinski", "David J. Quesnel"),
        year=2015,
        venue="Journal of Applied Physics",
        identifiers={"doi": COPPER},
        holds="abstract",
        source=f"https://doi.org/{COPPER}",
    )
    assert record.abstract.startswith("Metal-oxide layers are likely to be present")
    assert "jats" not in record.abstract
    assert record.abstract.count("<") == 2  # "less than", twice
    assert record.addresses[0].endswith("235306_1_online.pdf")
    assert record.references[0].identifiers == {"doi": "10.1021/nn504883m"}
    assert record.references[0].year == 2014
    assert record.references[1].title.startswith("Ultrathin Metal Transparent Electrodes")


@needs_recordings
async def test_headings_of_an_abstract_stay_but_for_its_own(sources: dict[str, Source]) -> None:
    record = only(await sources["crossref"].by_id([PREPRINT]))
    assert record.abstract.startswith("Understanding the effects of rare genetic variants")
    assert record.paper.venue == "bioRxiv"


@needs_recordings
async def test_what_crossref_does_not_know_is_skipped(sources: dict[str, Source]) -> None:
    ids = ["10.48550/arxiv.2312.07559", "10.9999/none"]
    first, second = await sources["crossref"].by_id(ids)
    assert first == Skipped(ids[0], f"'{ids[0]}' is no id that Crossref knows; give a DOI.")
    assert second == Skipped(ids[1], "Crossref has no work 10.9999/none; check the id.")


@needs_recordings
async def test_a_search_without_results_is_empty(sources: dict[str, Source]) -> None:
    assert await sources["crossref"].search("askldjrq3rjaw938h", 5) == []


async def test_a_search_of_crossref_goes_on_to_the_next_page(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    def page(request: Request) -> Response:
        start, rows = (int(request.query_params.get(key, 0)) for key in ("offset", "rows"))
        items = [{"DOI": f"10.1000/{at}", "title": [f"W{at}"]} for at in range(start, start + rows)]
        return JSONResponse({"message": {"items": items}})

    source_server.gives(page)
    found = records(await sources["crossref"].search("anything", 130))
    assert [each.paper.title for each in found] == [f"W{at}" for at in range(130)]


@needs_recordings
async def test_crossref_tells_what_became_of_papers(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    source = sources["crossref"]
    assert isinstance(source, Checks)
    papers = [paper("a", doi=PREPRINT), paper("b", doi=TISSUES), paper("c", doi="10.9999/none")]
    assert await source.status(papers) == {
        "a": Status(False, published_doi=PRIME),
        "b": Status(False, notice="Correction 10.1073/pnas.1507001112"),
    }
    assert len(source_server.requests) == 1


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("retraction", Status(True, notice="Mark 10.1000/n")),
        ("Withdrawal", Status(True, notice="Mark 10.1000/n")),
        ("removal", Status(True, notice="Mark 10.1000/n")),
        ("new_version", Status(False, "10.1000/n", notice="Mark 10.1000/n")),
        ("erratum", Status(False, notice="Mark 10.1000/n")),
    ],
)
async def test_every_kind_of_notice_is_understood(
    source_server: SourceServer, sources: dict[str, Source], kind: str, expected: Status
) -> None:
    updates = [
        {"type": "correction", "DOI": "10.1000/c", "label": "Correction"},
        {"type": kind, "DOI": "10.1000/N", "label": "Mark"},
    ]
    work = {"DOI": "10.1000/x", "title": ["T"], "updated-by": updates[1:]}
    source_server.gives(JSONResponse({"message": work}))
    source = sources["crossref"]
    assert isinstance(source, Checks)
    told = (await source.status([paper("p", doi="10.1000/x")]))["p"]
    assert told == Status(
        expected.retracted, expected.newer, notice=expected.notice.replace("/n", "/N")
    )
    assert only([crossref._record(work | {"updated-by": updates})]).paper.retracted is (
        expected.retracted is True
    )


@pytest.mark.parametrize(
    ("title", "retracted"),
    [
        ("RETRACTED: A cure", True),
        ("RETRACTED ARTICLE: A cure", True),
        ("[Retracted] A cure", True),
        ("Retracted articles and their citations", False),
        ("Why papers are retracted: a survey", False),
    ],
)
def test_a_title_that_says_so_marks_a_retraction(title: str, retracted: bool) -> None:
    assert only([crossref._record({"title": [title]})]).paper.retracted is retracted


def test_mark_up_and_entities_are_taken_out_of_titles() -> None:
    work = {"title": ["The <i>H</i><sub>2</sub>O &amp;amp; p &lt; 0.05\n <b>study</b>"]}
    assert only([crossref._record(work)]).paper.title == "The H2O & p < 0.05 study"


# Semantic Scholar


@needs_recordings
async def test_a_work_of_semantic_scholar_becomes_a_record(sources: dict[str, Source]) -> None:
    record = only(await sources["semanticscholar"].by_id([CHEMCROW]))
    assert record.paper.id == "arxiv:2304.05376"
    assert record.paper.identifiers == {
        "arxiv": "2304.05376",
        "doi": CHEMCROW,
        "pmid": "38799228",
        "s2": "354dcdebf3f8b5feeed5c62090e0bc1f0c28db06",
    }
    assert record.paper.authors[:2] == ("Andrés M Bran", "Sam Cox")
    assert record.paper.year == 2023


def test_all_fields_and_references_of_a_work_are_taken() -> None:
    path = TAPES / "Paper.json"
    if not path.is_file():
        pytest.skip("no recorded paper")
    record = only([semanticscholar._record(json.loads(path.read_text("utf-8")))])
    assert record.paper.id == "doi:10.1093/mind/lix.236.433"
    assert record.paper.authors == ("A. Turing",)
    assert record.paper.venue == "The Philosophy of Artificial Intelligence"
    assert record.abstract.startswith("I propose to consider the question")
    assert len(record.references) == 14
    assert any(reference.identifiers.get("s2") for reference in record.references)


@needs_recordings
async def test_several_works_are_asked_for_in_one_post(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    name = "0f40b1f08821e22e859c6050916cec3667778613"
    ids = ["CorpusId:211530585", "CorpusId:470667", "10.2139/ssrn.2250500", f"s2:{name}"]
    found = await sources["semanticscholar"].by_id(ids)
    assert [type(item) for item in found] == [Skipped, Record, Record, Record]
    assert len(source_server.requests) == 1
    assert json.loads(source_server.bodies[0])["ids"] == [*ids[:2], f"DOI:{ids[2]}", name]
    assert records(found)[2].paper.identifiers["s2"] == name


@needs_recordings
async def test_the_thousand_citing_papers_are_walked(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    source = sources["semanticscholar"]
    assert isinstance(source, Walks)
    cited = Paper("p", "A title", identifiers={"doi": "10.2139/ssrn.2250500"})
    assert len(await source.references(cited, 1000)) == 67
    assert len(await source.references(cited, 30)) == 30


async def test_a_walk_goes_on_as_far_as_it_may(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    def page(request: Request) -> Response:
        start, size = (int(request.query_params[key]) for key in ("offset", "limit"))
        assert start + size < 10_000
        links = [{"citingPaper": {"title": f"W{at}"}} for at in range(start, start + size)]
        return JSONResponse({"offset": start, "next": start + size, "data": links})

    source_server.gives(page)
    source = sources["semanticscholar"]
    assert isinstance(source, Walks)
    found = await source.citations(paper(doi="10.1000/x"), 20_000)
    assert len(found) == 9_999
    assert len(source_server.requests) == 10


@needs_recordings
async def test_an_empty_search_of_semantic_scholar_is_empty(sources: dict[str, Source]) -> None:
    assert await sources["semanticscholar"].search("n0 r3sult s3arch t3rm", 5) == []


@needs_recordings
async def test_works_of_which_only_a_title_is_known_are_records_too(
    sources: dict[str, Source],
) -> None:
    found = records(await sources["semanticscholar"].search("turing", 20))
    assert len(found) == 20
    assert all(record.paper.id == f"s2:{record.paper.identifiers['s2']}" for record in found)


async def test_semantic_scholar_tells_where_a_preprint_was_published(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    source_server.gives(
        JSONResponse([{"externalIds": {"DOI": "10.1000/X"}}, {"externalIds": {"ArXiv": "2401.2"}}])
    )
    source = sources["semanticscholar"]
    assert isinstance(source, Checks)
    papers = [paper("a", arxiv="2401.00001"), paper("b", arxiv="2401.00002")]
    told = await source.status([*papers, paper("c", arxiv="2401.00003", doi="10.1000/y")])
    assert told == {"a": Status(published_doi="10.1000/x")}


# Unpaywall, and bringing files


@needs_recordings
async def test_unpaywall_tells_where_a_work_is_open(sources: dict[str, Source]) -> None:
    found = records(await sources["unpaywall"].by_id([TISSUES, IODIDE]))
    assert found[0].addresses == ("https://www.pnas.org/content/pnas/111/45/E4832.full.pdf",)
    assert found[0].paper.authors[0] == "Eleftherios A. Makris"
    assert found[1].addresses == ()


@needs_recordings
async def test_unpaywall_is_searched_by_title(sources: dict[str, Source]) -> None:
    title = "Augmenting large language models with chemistry tools"
    found = records(await sources["unpaywall"].search(title, 1))
    assert [each.paper.identifiers["doi"] for each in found] == [CHEMCROW]


async def test_without_an_address_unpaywall_is_left_out_with_the_reason(
    source_server: SourceServer, tmp_path: Path
) -> None:
    source = source_server.sources(tmp_path, email="")["unpaywall"]
    for found in (await source.by_id(["10.1000/x"]), await source.search("anything", 5)):
        (skipped,) = found
        assert isinstance(skipped, Skipped)
        assert skipped.reason.endswith("set 'email' to ask it.")
    assert source_server.requests == []


def files(source_server: SourceServer, pdfs: Mapping[str, bytes], places: list[str]) -> None:
    """Serve `pdfs` by path, and let Unpaywall name `places`."""

    def answer(request: Request) -> Response:
        if request.url.path.startswith("/unpaywall"):
            known = [{"url_for_pdf": f"{source_server.url}{place}"} for place in places]
            return JSONResponse({"doi": "10.1000/x", "title": "T", "oa_locations": known})
        body = pdfs.get(request.url.path)
        return Response(body) if body else Response(status_code=404)

    source_server.gives(answer)


async def test_the_first_address_that_gives_a_pdf_is_taken(
    source_server: SourceServer, sources: dict[str, Source], tmp_path: Path
) -> None:
    files(source_server, {"/a": b"<html>", "/c": b"%PDF-1.7"}, places=[])
    addresses = tuple(f"{source_server.url}/{name}" for name in "abc")
    record = Record(paper("doi:10.1000/x", doi="10.1000/x"), addresses=addresses)
    for _ in range(2):
        path = await fetch(sources, record, tmp_path / "files")
        assert path.read_bytes() == b"%PDF-1.7"
    assert path.suffix == ".pdf"
    assert path.parent == tmp_path / "files"
    assert source_server.paths == ["/a", "/b", "/c"]


async def test_unpaywall_is_asked_where_the_record_names_no_place(
    source_server: SourceServer, sources: dict[str, Source], tmp_path: Path
) -> None:
    files(source_server, {"/open": b"%PDF-1.7"}, places=["/gone", "/open"])
    record = Record(paper("doi:10.1000/x", doi="10.1000/x"))
    assert (await fetch(sources, record, tmp_path)).read_bytes() == b"%PDF-1.7"


async def test_what_stood_in_the_way_of_a_full_text_is_said(
    source_server: SourceServer, sources: dict[str, Source], tmp_path: Path
) -> None:
    files(source_server, {"/a": b"<html>"}, places=["/gone"])
    record = Record(paper("doi:10.1000/x", doi="10.1000/x"), addresses=(f"{source_server.url}/a",))
    with pytest.raises(SourceError, match=r"something else.*There is nothing at .*/gone; open"):
        await fetch(sources, record, tmp_path)
    with pytest.raises(SourceError, match="No open copy of 'A title' is known; add its PDF"):
        await fetch(sources, Record(paper("bib:1")), tmp_path)


async def test_two_papers_never_share_a_file(
    source_server: SourceServer, sources: dict[str, Source], tmp_path: Path
) -> None:
    files(source_server, {"/a": b"%PDF-a", "/b": b"%PDF-b"}, places=[])
    for id, place in (("doi:10.1000/a_b", "/a"), ("doi:10.1000/a/b", "/b")):
        record = Record(paper(id), addresses=(source_server.url + place,))
        path = await fetch(sources, record, tmp_path / "files")
        assert path.read_bytes() == f"%PDF-{place[1:]}".encode()


async def test_an_arxiv_paper_comes_from_arxiv_or_else_from_its_addresses(
    source_server: SourceServer, sources: dict[str, Source], tmp_path: Path
) -> None:
    files(source_server, {"/pdf/2401.00001": b"%PDF-arxiv", "/a": b"%PDF-a"}, places=[])
    for name, expected in (("2401.00001", b"%PDF-arxiv"), ("2401.00002", b"%PDF-a")):
        record = Record(paper(f"arxiv:{name}", arxiv=name), addresses=(f"{source_server.url}/a",))
        assert (await fetch(sources, record, tmp_path / "files")).read_bytes() == expected


# All together


@needs_recordings
async def test_what_several_services_know_of_a_paper_is_put_together(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    asked = {name: sources[name] for name in ("openalex", "crossref", "unpaywall")}
    told, failed = await status(asked, [paper("p", doi=TISSUES), paper("q")])
    assert told == {"p": Status(False, notice="Correction 10.1073/pnas.1507001112")}
    assert failed == []


async def test_a_service_that_fails_costs_its_own_answer_only(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    def answer(request: Request) -> Response:
        if request.url.path.startswith("/crossref"):
            return Response(status_code=500)
        return JSONResponse({"id": "x/W1", "title": "T", "is_retracted": True})

    source_server.gives(answer)
    asked = {name: sources[name] for name in ("crossref", "openalex")}
    told, failed = await status(asked, [paper("p", doi="10.1000/x")])
    assert told == {"p": Status(True)}
    (skipped,) = failed
    assert skipped.what == "Crossref"
    assert "busy" in skipped.reason


def test_a_retraction_that_one_knows_of_stands() -> None:
    assert Status(False).and_also(Status(True, notice="n")) == Status(True, notice="n")
    assert Status(True).and_also(Status(None)) == Status(True)
    assert Status(None).and_also(Status(False, newer="v2")) == Status(False, newer="v2")
    assert Status().and_also(Status()) == Status()


# Zotero


def item(key: str, kind: str = "journalArticle", children: int = 0, **data: Any) -> Any:
    fields = {"key": key, "itemType": kind, "title": f"Title {key}", **data}
    return {"key": key, "data": fields, "meta": {"numChildren": children}}


def attachment(key: str, parent: str, path: Path) -> Any:
    file = item(key, "attachment", parentItem=parent, linkMode="imported_file")
    return file | {"links": {"enclosure": {"type": "application/pdf", "href": path.as_uri()}}}


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    path = tmp_path / "storage" / "A file.pdf"
    path.parent.mkdir()
    path.write_bytes(b"%PDF-1.7")
    return path


ARTICLE = item(
    "ABCD2345",
    children=2,
    creators=[
        {"creatorType": "author", "firstName": "Ada", "lastName": "Lovelace"},
        {"creatorType": "editor", "firstName": "No", "lastName": "Author"},
        {"creatorType": "author", "name": "The Team"},
    ],
    date="2024-05-01",
    publicationTitle="Journal of Notes",
    abstractNote="We note.",
    DOI="10.1000/ABC",
    url="https://example.org/abc",
    extra="PMID: 12345678\narXiv: 2401.00001 [cs]\ntex.note: none",
)


def zotero_library(source_server: SourceServer, attached: list[Any]) -> None:
    def answer(request: Request) -> Response:
        path = request.url.path.removeprefix("/zotero/users/0/items")
        if path == "/ABCD2345/children" or request.query_params.get("itemType") == "attachment":
            return JSONResponse(attached)
        if path == "/ABCD2345":
            return JSONResponse(ARTICLE)
        if path == "/top":
            note = item("NOTE2345", "note")
            return JSONResponse([ARTICLE, item("EFGH2345"), note])
        return Response(status_code=404)

    source_server.gives(answer)


async def test_an_item_of_zotero_comes_with_its_files(
    source_server: SourceServer, sources: dict[str, Source], pdf: Path, tmp_path: Path
) -> None:
    gone = attachment("GONE2345", "ABCD2345", tmp_path / "gone.pdf")
    zotero_library(source_server, [attachment("FILE2345", "ABCD2345", pdf), gone])
    record = only(await sources["zotero"].by_id(["ABCD2345"]))
    assert record == Record(
        Paper(
            id="arxiv:2401.00001",
            title="Title ABCD2345",
            authors=("Ada Lovelace", "The Team"),
            year=2024,
            venue="Journal of Notes",
            identifiers={"arxiv": "2401.00001", "doi": "10.1000/abc", "pmid": "12345678"},
            holds="abstract",
            source="https://example.org/abc",
        ),
        abstract="We note.",
        files=(pdf,),
    )
    assert source_server.requests[0].headers["zotero-api-version"] == "3"


async def test_an_item_of_zotero_is_found_by_its_doi(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    zotero_library(source_server, [])
    found, missing = await sources["zotero"].by_id(["https://doi.org/10.1000/abc", "10.1000/other"])
    assert isinstance(found, Record)
    assert missing == Skipped("10.1000/other", "Zotero has no item 10.1000/other; check the id.")


async def test_the_whole_library_of_zotero_is_listed_without_notes(
    source_server: SourceServer, sources: dict[str, Source], pdf: Path
) -> None:
    zotero_library(source_server, [attachment("FILE2345", "ABCD2345", pdf)])
    source = sources["zotero"]
    assert isinstance(source, zotero.ZoteroSource)
    found = records(await source.all())
    assert [each.paper.title for each in found] == ["Title ABCD2345", "Title EFGH2345"]
    assert [each.files for each in found] == [(pdf,), ()]


async def test_a_large_library_of_zotero_comes_page_by_page(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    def page(request: Request) -> Response:
        start = int(request.query_params["start"])
        return JSONResponse([item(f"K{at:07}") for at in range(start, min(start + 100, 230))])

    source_server.gives(page)
    assert len(records(await sources["zotero"].search("anything", 1000))) == 230
    assert len(await sources["zotero"].search("anything", 120)) == 120


async def test_what_zotero_says_is_asked_anew_each_time(
    source_server: SourceServer, sources: dict[str, Source]
) -> None:
    source_server.gives(JSONResponse([]), JSONResponse([item("ABCD2345")]))
    assert await sources["zotero"].search("anything", 5) == []
    assert len(await sources["zotero"].search("anything", 5)) == 1


# Whatever they answer

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    "title display_name doi DOI ids authorships author authors locations publication_year issued "
    "abstract_inverted_index referenced_works reference relation updated-by link externalIds year "
    "references openAccessPdf oa_locations z_authors data key links creators extra abstract".split()
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=8), VALUES)
def test_no_answer_of_whatever_shape_breaks_a_reader(work: dict[str, Any], odd: Any) -> None:
    work = {**work, "title": work.get("title") or "T", "data": {**work, "creators": [odd, {}]}}
    for module in (openalex, crossref, semanticscholar, unpaywall):
        assert isinstance(module._record(work), Record | Skipped)
    assert isinstance(zotero._described(work, ()), Record | Skipped)
    assert isinstance(crossref._status(work), Status)
