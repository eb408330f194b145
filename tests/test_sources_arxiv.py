from __future__ import annotations

import os
import socket
from itertools import pairwise
from pathlib import Path

import pytest
from source_server import ATOM, SILENCE, Answer, SourceServer, always, recorded_atom
from starlette.requests import Request
from starlette.responses import Response

from scholar.errors import SourceError
from scholar.library import Library
from scholar.library.ingest import expand, ingest
from scholar.settings import Settings, load
from scholar.sources import Record, Skipped, Status, everything
from scholar.sources.arxiv import ArxivSource, parse_id
from scholar.values import Paper

PAPER = Paper("arxiv:2401.00001", "A title", identifiers={"arxiv": "2401.00001"}, version="v2")
ENTRY = """<entry><id>http://arxiv.org/abs/{id}</id><title>A title
  on two lines</title><updated>2024-02-03T00:00:00Z</updated>
  <published>2023-01-02T00:00:00Z</published><summary> An
  abstract. </summary><author><name>Ada Lovelace</name></author>{more}</entry>"""
FEED = """<?xml version='1.0' encoding='UTF-8'?>
<feed xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/" xmlns="http://www.w3.org/2005/Atom"
 xmlns:arxiv="http://arxiv.org/schemas/atom">
<opensearch:totalResults>{total}</opensearch:totalResults>{entries}</feed>"""


def feed(*ids: str, total: int | None = None, more: str = "") -> Response:
    entries = "".join(ENTRY.format(id=name, more=more) for name in ids)
    text = FEED.format(total=len(ids) if total is None else total, entries=entries)
    return Response(text, media_type="application/atom+xml")


@pytest.fixture
def source(source_server: SourceServer, tmp_path: Path) -> ArxivSource:
    return source_server.arxiv(tmp_path / "home")


needs_recordings = pytest.mark.skipif(not ATOM.is_dir(), reason="no recorded arXiv answers")


def papers(found: list[Record | Skipped]) -> list[Paper]:
    return [item.paper for item in found if isinstance(item, Record)]


# arXiv: ids


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2502.14802", ("2502.14802", "")),
        ("arXiv:2502.14802v2", ("2502.14802", "v2")),
        ("arxiv: 0704.0001", ("0704.0001", "")),
        ("https://arxiv.org/abs/2502.14802v1", ("2502.14802", "v1")),
        ("https://arxiv.org/pdf/2502.14802", ("2502.14802", "")),
        ("https://arxiv.org/pdf/2502.14802v3.pdf", ("2502.14802", "v3")),
        ("http://export.arxiv.org/abs/2502.14802/", ("2502.14802", "")),
        (" https://www.arxiv.org/html/2502.14802v1#S2 ", ("2502.14802", "v1")),
        ("quant-ph/0201082v1", ("quant-ph/0201082", "v1")),
        ("math.GT/0309136", ("math.GT/0309136", "")),
        ("https://arxiv.org/abs/astro-ph/0601001", ("astro-ph/0601001", "")),
    ],
)
def test_an_arxiv_id_is_found_in_every_usual_form(text: str, expected: tuple[str, str]) -> None:
    assert parse_id(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "abc", "2502.148", "2502.148021", "10.1000/182", "https://example.org/abs/2502.14802",
     "quant-ph/201082", "see 2502.14802", "2502.14802v0", "2502.14802 v1", "../2502.14802"],
)  # fmt: skip
def test_what_is_no_arxiv_id_is_not_taken_for_one(text: str) -> None:
    assert parse_id(text) is None


# arXiv: records


@needs_recordings
async def test_a_recorded_paper_becomes_a_record(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(recorded_atom("1605.08386"))
    (record,) = await source.by_id(["arXiv:1605.08386"])
    assert isinstance(record, Record)
    assert record.paper == Paper(
        id="arxiv:1605.08386",
        title="Heat-bath random walks with Markov bases",
        authors=("Caprice Stanley", "Tobias Windisch"),
        year=2016,
        identifiers={"arxiv": "1605.08386"},
        version="v1",
        holds="abstract",
        source="https://arxiv.org/abs/1605.08386v1",
    )
    assert record.abstract.startswith("Graphs on lattice points are studied")
    assert "\n" not in record.abstract


@needs_recordings
async def test_old_ids_keep_their_archive_and_their_venue(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(recorded_atom("quant-ph/0201082v1"))
    (record,) = await source.by_id(["https://arxiv.org/abs/quant-ph/0201082v1"])
    assert isinstance(record, Record)
    assert record.paper.id == "arxiv:quant-ph/0201082"
    assert record.paper.version == "v1"
    assert record.paper.year == 2002


@needs_recordings
async def test_an_id_missing_from_a_partial_answer_is_skipped_by_name(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(recorded_atom("0808.05394_1707.08567"))
    first, second = await source.by_id(["0808.05394", "1707.08567"])
    assert first == Skipped("0808.05394", "arXiv has no paper 0808.05394; check the id.")
    assert isinstance(second, Record)
    assert second.paper.identifiers["arxiv"] == "1707.08567"


@needs_recordings
async def test_an_error_feed_is_reported_at_once(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(recorded_atom("abc"))
    with pytest.raises(SourceError, match=r"HTTP 400.*check"):
        await source.search("id:abc", 5)
    assert len(source_server.requests) == 1


@needs_recordings
async def test_a_search_gives_as_many_papers_as_asked_for(
    source_server: SourceServer, source: ArxivSource
) -> None:
    found = await source.search("testing", 15)
    assert len(papers(found)) == 15
    assert len({paper.id for paper in papers(found)}) == 15


@needs_recordings
async def test_names_keep_their_letters(source_server: SourceServer, source: ArxivSource) -> None:
    source_server.gives(recorded_atom(query="testing", start=50, size=10))
    found = await source.search("testing", 10)
    assert any("Florian Kroiß" in paper.authors for paper in papers(found))
    assert any(paper.identifiers.get("doi", "").startswith("10.1109/") for paper in papers(found))


async def test_long_results_are_fetched_page_by_page(
    source_server: SourceServer, source: ArxivSource
) -> None:
    def page(request: Request) -> Response:
        start, size = (int(request.query_params[key]) for key in ("start", "max_results"))
        return feed(*(f"2401.{at:05}v1" for at in range(start, start + size)), total=500)

    source_server.gives(page)
    found = await source.search("anything", 120)
    assert [paper.id for paper in papers(found)] == [f"arxiv:2401.{at:05}" for at in range(120)]
    assert [request.query_params["start"] for request in source_server.requests] == ["0", "100"]


async def test_the_newest_are_asked_for_by_the_date_of_their_submission(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(lambda _: feed("2401.00001v1", total=1))
    assert len(papers(await source.newest("anything", 5))) == 1
    await source.search("anything", 5)
    sorted_by = [request.query_params["sortBy"] for request in source_server.requests]
    assert sorted_by == ["submittedDate", "relevance"]


async def test_many_ids_are_asked_for_in_batches_and_come_back_in_order(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(lambda request: feed(*reversed(request.query_params["id_list"].split(","))))
    ids = [f"2401.{at:05}v1" for at in range(70)]
    found = await source.by_id(ids)
    assert ["".join((p.identifiers["arxiv"], p.version)) for p in papers(found)] == ids
    assert len(source_server.requests) == 4  # two batches, and two for the newest versions


async def test_an_old_id_with_its_subject_class_is_recognised_without(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(feed("math/0309136v1"))
    (record,) = await source.by_id(["math.GT/0309136"])
    assert isinstance(record, Record)


async def test_what_is_no_id_is_skipped_and_never_asked_for(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(feed("2401.00001v1"))
    first, second = await source.by_id(["bananas", "2401.00001"])
    assert isinstance(first, Skipped)
    assert first.what == "bananas"
    assert isinstance(second, Record)
    assert source_server.requests[0].query_params["id_list"] == "2401.00001"


async def test_an_empty_feed_is_no_papers(source_server: SourceServer, source: ArxivSource) -> None:
    source_server.gives(feed())
    assert await source.search("nothing at all", 5) == []


async def test_no_results_are_wanted_and_none_asked_for(
    source_server: SourceServer, source: ArxivSource
) -> None:
    assert await source.search("anything", 0) == []
    assert source_server.requests == []


@pytest.mark.parametrize(
    "body",
    [
        "<html><body>Please log in</body></html>",
        "",
        FEED.format(total=1, entries=ENTRY.format(id="x", more=""))[:-20],
    ],
    ids=["a web page", "nothing", "a feed cut short"],
)
async def test_what_is_no_whole_feed_is_an_error_not_an_empty_result(
    source_server: SourceServer, source: ArxivSource, body: str
) -> None:
    source_server.gives(Response(body))
    with pytest.raises(SourceError, match="no complete feed"):
        await source.by_id(["2401.00001"])


async def test_a_page_that_stays_empty_is_an_error(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(feed("2401.00001v1", total=2), feed(total=2))
    with pytest.raises(SourceError, match="no complete feed"):
        await source.search("anything", 2)


async def test_a_page_that_is_empty_by_mistake_is_asked_for_again(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(feed("2401.00001v1", total=2), feed(total=2), feed("2401.00002v1", total=2))
    found = papers(await source.search("anything", 2))
    assert [paper.id for paper in found] == ["arxiv:2401.00001", "arxiv:2401.00002"]


async def test_a_busy_server_is_asked_again(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(Response(status_code=503), feed("2401.00001v1"))
    assert len(papers(await source.by_id(["2401.00001"]))) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_stays_busy_is_left_alone_after_three_tries(
    source_server: SourceServer, source: ArxivSource, status: int
) -> None:
    source_server.gives(Response(status_code=status))
    with pytest.raises(SourceError, match=f"busy.*{status}.*try again"):
        await source.search("anything", 1)
    assert len(source_server.requests) == 3


async def test_a_silent_server_is_not_waited_for(
    source_server: SourceServer, tmp_path: Path
) -> None:
    source_server.gives(source_server.silent)
    source = source_server.arxiv(tmp_path, http={"timeout": SILENCE})
    with pytest.raises(SourceError, match="in time"):
        await source.search("anything", 1)
    with pytest.raises(SourceError, match="in time"):
        await source.fetch_pdf(PAPER, Path("unused"))


async def test_a_server_that_is_not_there_is_named_as_such(
    source_server: SourceServer, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    places = {"api": url, "pdf": url, "html": url, "delay": 0}
    source = everything(load(home=tmp_path, arxiv=places, http={"pause": 0}))["arxiv"]
    assert isinstance(source, ArxivSource)
    with pytest.raises(SourceError, match=r"could not be reached; check.*arxiv\.api"):
        await source.search("anything", 1)
    with pytest.raises(SourceError, match="could not be reached"):
        await source.fetch_pdf(PAPER, tmp_path)


async def test_requests_keep_their_distance(source_server: SourceServer, tmp_path: Path) -> None:
    source_server.gives(feed("2401.00001v1"), Response(b"%PDF-1.4"), feed("2401.00001v1"))
    source = source_server.arxiv(tmp_path, delay=0.2)
    await source.by_id(["2401.00001"])
    await source.fetch_pdf(PAPER, tmp_path)
    await source.by_id(["2401.00002"])
    assert len(source_server.times) == 3
    assert all(after - before > 0.19 for before, after in pairwise(source_server.times))


@pytest.mark.slow
async def test_the_pdfs_of_one_addition_keep_their_distance_too(
    source_server: SourceServer, library: Library, settings: Settings
) -> None:
    ids = ("2401.00001", "2401.00002", "2401.00003")
    source_server.gives(feed(*(f"{name}v1" for name in ids)), Response(b"%PDF-1.4 nonsense"))
    arxiv = source_server.settings(settings.home, delay=0.2).arxiv
    known = settings.model_copy(update={"arxiv": arxiv, "offline": False})
    items = await expand(library, ids, known)
    added = [result async for result in ingest(library, items, known)]
    assert [result.status for result in added] == ["added"] * 3
    assert len(source_server.times) >= 4
    assert all(after - before > 0.19 for before, after in pairwise(source_server.times))


async def test_offline_nothing_is_asked_for(source_server: SourceServer, tmp_path: Path) -> None:
    source = source_server.arxiv(tmp_path, offline=True)
    for request in (
        source.by_id(["2401.00001"]),
        source.search("anything", 1),
        source.fetch(PAPER, tmp_path),
        source.status([PAPER]),
    ):
        with pytest.raises(SourceError, match="offline"):
            await request
    assert source_server.requests == []


async def test_an_older_version_names_the_newest(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(feed("2401.00001v1"), feed("2401.00001v3"))
    (record,) = await source.by_id(["2401.00001v1"])
    assert isinstance(record, Record)
    assert (record.paper.version, record.paper.newer) == ("v1", "v3")


async def test_the_newest_version_names_none(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(feed("2401.00001v3"))
    for name in ("2401.00001", "2401.00001v3"):
        (record,) = await source.by_id([name])
        assert isinstance(record, Record)
        assert record.paper.newer == ""


async def test_the_fate_of_papers_is_asked_for_at_once(
    source_server: SourceServer, source: ArxivSource
) -> None:
    doi = "<arxiv:doi>10.1000/ABC</arxiv:doi>"
    source_server.gives(feed("2401.00001v3", "2401.00002v1", more=doi))
    others = [
        Paper("doi:10.1000/abc", "A title", identifiers={"arxiv": "2401.00002"}),
        Paper("doi:10.1000/x", "Not on arXiv", identifiers={"doi": "10.1000/x"}),
        Paper("arxiv:2401.00009", "Unknown", identifiers={"arxiv": "2401.00009"}),
    ]
    assert await source.status([PAPER, *others]) == {
        "arxiv:2401.00001": Status(False, "v3", "10.1000/abc"),
        "doi:10.1000/abc": Status(False, "", "10.1000/abc"),
    }
    assert len(source_server.requests) == 1


@pytest.mark.parametrize(
    ("comment", "withdrawn"),
    [
        ("This paper has been withdrawn by the author due to an error", True),
        ("Withdrawn", True),
        ("12 pages; withdrawn results of others are discussed", False),
        ("Published at ACL", False),
    ],
)
async def test_a_withdrawn_paper_counts_as_retracted(
    source_server: SourceServer, source: ArxivSource, comment: str, withdrawn: bool
) -> None:
    source_server.gives(feed("2401.00001v2", more=f"<arxiv:comment>{comment}</arxiv:comment>"))
    (record,) = await source.by_id(["2401.00001"])
    assert isinstance(record, Record)
    assert record.paper.retracted is withdrawn
    status = (await source.status([PAPER]))[PAPER.id]
    assert (status.retracted, bool(status.notice)) == (withdrawn, withdrawn)


async def test_the_same_is_asked_for_once_also_by_another_instance(
    source_server: SourceServer, tmp_path: Path
) -> None:
    source_server.gives(feed("2401.00001v1"))
    first = await source_server.arxiv(tmp_path).by_id(["2401.00001"])
    assert await source_server.arxiv(tmp_path).by_id(["2401.00001"]) == first
    assert len(source_server.requests) == 1


# arXiv: full texts


def texts(html: Response, pdf: Response) -> Answer:
    """Answers by what is asked for."""
    return lambda request: always(html if "/html/" in request.url.path else pdf)(request)


HTML = Response('<!DOCTYPE html><html><article class="ltx_document">A paper</article></html>')


async def test_the_html_of_a_paper_is_preferred(
    source_server: SourceServer, source: ArxivSource, tmp_path: Path
) -> None:
    source_server.gives(HTML)
    path = await source.fetch(PAPER, tmp_path)
    assert path == tmp_path / "2401.00001v2.html"
    assert path.read_bytes() == HTML.body
    assert await source.fetch(PAPER, tmp_path) == path
    assert source_server.paths == ["/html/2401.00001v2"]


@pytest.mark.parametrize(
    "html",
    [Response(status_code=404), Response("<html>No HTML for this paper</html>"), Response("")],
    ids=["404", "a page that says so", "nothing"],
)
async def test_a_paper_without_html_comes_as_pdf(
    source_server: SourceServer, source: ArxivSource, tmp_path: Path, html: Response
) -> None:
    source_server.gives(texts(html, Response(b"%PDF-1.7")))
    path = await source.fetch(PAPER, tmp_path / "files")
    assert path == tmp_path / "files" / "2401.00001v2.pdf"
    assert await source.fetch(PAPER, tmp_path / "files") == path
    assert source_server.paths == ["/html/2401.00001v2", "/pdf/2401.00001v2"]
    assert os.listdir(tmp_path / "files") == [path.name]


async def test_a_busy_server_does_not_turn_html_into_pdf(
    source_server: SourceServer, source: ArxivSource, tmp_path: Path
) -> None:
    source_server.gives(texts(Response(status_code=503), Response(b"%PDF-1.7")))
    with pytest.raises(SourceError, match="busy"):
        await source.fetch(PAPER, tmp_path)


async def test_a_pdf_is_stored_under_its_id_and_version(
    source_server: SourceServer, source: ArxivSource, tmp_path: Path
) -> None:
    source_server.gives(Response(b"%PDF-1.7 all of it"))
    path = await source.fetch_pdf(PAPER, tmp_path / "new")
    assert path == tmp_path / "new" / "2401.00001v2.pdf"
    assert path.read_bytes() == b"%PDF-1.7 all of it"
    assert source_server.requests[0].url.path == "/pdf/2401.00001v2"
    assert os.listdir(path.parent) == [path.name]


async def test_a_pdf_that_is_there_is_not_fetched_again(
    source_server: SourceServer, source: ArxivSource, tmp_path: Path
) -> None:
    source_server.gives(Response(b"%PDF-1.7"))
    assert await source.fetch_pdf(PAPER, tmp_path) == await source.fetch_pdf(PAPER, tmp_path)
    assert len(source_server.requests) == 1


async def test_an_old_id_makes_one_file_name(
    source_server: SourceServer, source: ArxivSource, tmp_path: Path
) -> None:
    source_server.gives(Response(b"%PDF-1.7"))
    paper = Paper("arxiv:math/0309136", "T", identifiers={"arxiv": "math/0309136"})
    assert await source.fetch_pdf(paper, tmp_path) == tmp_path / "math_0309136.pdf"


@pytest.mark.parametrize(
    ("answer", "message", "tries"),
    [
        (Response("<html>captcha</html>"), "something else than the paper.*open", 1),
        (Response(status_code=404), "no PDF at .*open", 1),
        (Response(status_code=403), "refused.*403", 1),
        (Response(status_code=503), "busy.*503", 3),
        (Response(status_code=429, headers={"Retry-After": "0"}), "busy.*429", 3),
        (Response(status_code=429, headers={"Retry-After": "3600"}), "busy.*429", 1),
    ],
    ids=["a web page", "404", "403", "503", "429", "429 for an hour"],
)
async def test_what_is_no_pdf_leaves_no_file(
    source_server: SourceServer,
    source: ArxivSource,
    tmp_path: Path,
    answer: Response,
    message: str,
    tries: int,
) -> None:
    source_server.gives(answer)
    files = tmp_path / "files"
    with pytest.raises(SourceError, match=message):
        await source.fetch_pdf(PAPER, files)
    assert not files.exists() or os.listdir(files) == []
    assert len(source_server.requests) == tries


async def test_the_pause_that_a_server_asks_for_is_kept(
    source_server: SourceServer, source: ArxivSource, tmp_path: Path
) -> None:
    busy = Response(status_code=503, headers={"Retry-After": "1"})
    source_server.gives(busy, Response(b"%PDF-1.7"))
    await source.fetch_pdf(PAPER, tmp_path)
    assert source_server.times[1] - source_server.times[0] > 0.99


async def test_a_paper_without_an_arxiv_id_cannot_be_fetched(
    source_server: SourceServer, source: ArxivSource, tmp_path: Path
) -> None:
    for identifiers in ({}, {"arxiv": "../../etc/passwd"}):
        with pytest.raises(SourceError, match="no arXiv id"):
            await source.fetch_pdf(Paper("x", "T", identifiers=identifiers), tmp_path)
    assert source_server.requests == []


async def test_a_folder_that_cannot_be_written_is_an_error(
    source_server: SourceServer, source: ArxivSource
) -> None:
    source_server.gives(Response(b"%PDF-1.7"))
    in_the_way = Path(__file__)
    with pytest.raises(SourceError, match="could not be written"):
        await source.fetch_pdf(PAPER, in_the_way)
