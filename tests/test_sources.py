from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scholar.errors import SourceError
from scholar.library import Library
from scholar.library.ingest import expand, ingest
from scholar.settings import Arxiv, Settings
from scholar.sources import Record, Skipped, bibtex
from scholar.sources.arxiv import ArxivSource, parse_id
from scholar.values import Paper

DATA = Path(__file__).parents[2] / "shared" / "data"
RECORDED = DATA / "arxiv_atom" / "recorded"
BIBLIOGRAPHIES = DATA / "bibliographies"
ENTRY = """<entry><id>http://arxiv.org/abs/{id}</id><title>A title
  on two lines</title><updated>2024-02-03T00:00:00Z</updated>
  <published>2023-01-02T00:00:00Z</published><summary> An
  abstract. </summary><author><name>Ada Lovelace</name></author></entry>"""
FEED = """<?xml version='1.0' encoding='UTF-8'?>
<feed xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/" xmlns="http://www.w3.org/2005/Atom">
<opensearch:totalResults>{total}</opensearch:totalResults>{entries}</feed>"""

Answer = Callable[[Request], Response]


def feed(*ids: str, total: int | None = None) -> Response:
    entries = "".join(ENTRY.format(id=name) for name in ids)
    text = FEED.format(total=len(ids) if total is None else total, entries=entries)
    return Response(text, media_type="application/atom+xml")


class Server:
    """arXiv on a loopback port: `answers` are given in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[Request] = []
        self.times: list[float] = []
        self.released = threading.Event()
        routes = [Route("/query", self._answer), Route("/pdf/{name:path}", self._answer)]
        config = uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def settings(self, delay: float = 0) -> Arxiv:
        return Arxiv(api=f"{self.url}/query", pdf=f"{self.url}/pdf", delay=delay)

    def source(self, *, delay: float = 0, timeout: float = 10) -> ArxivSource:
        return ArxivSource(self.settings(delay), timeout=timeout)

    def gives(self, *answers: Answer | Response) -> None:
        self.answers = [_always(each) if isinstance(each, Response) else each for each in answers]

    def stop(self) -> None:
        self.released.set()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    async def _answer(self, request: Request) -> Response:
        self.requests.append(request)
        self.times.append(time.monotonic())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await asyncio.to_thread(answer, request)


def _always(response: Response) -> Answer:
    return lambda request: Response(response.body, response.status_code, dict(response.headers))


def recorded(request: Request) -> Response:
    """What arXiv really answered to these parameters."""
    wanted = dict(request.query_params)
    for path in RECORDED.glob("*.json"):
        exchange = json.loads(path.read_text("utf-8"))
        url = exchange["url"].partition("?")[2]
        asked = Request({"type": "http", "query_string": url.encode(), "headers": []})
        if dict(asked.query_params) == wanted:
            return Response(exchange["body"].encode("latin-1"), exchange["status_code"])
    raise AssertionError(f"not recorded: {wanted}")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded arXiv answers")


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
async def test_a_recorded_paper_becomes_a_record(server: Server) -> None:
    server.gives(recorded_for_one("1605.08386"))
    (record,) = await server.source().by_id(["arXiv:1605.08386"])
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
async def test_old_ids_keep_their_archive_and_their_venue(server: Server) -> None:
    server.gives(recorded_for_one("quant-ph/0201082v1"))
    (record,) = await server.source().by_id(["https://arxiv.org/abs/quant-ph/0201082v1"])
    assert isinstance(record, Record)
    assert record.paper.id == "arxiv:quant-ph/0201082"
    assert record.paper.version == "v1"
    assert record.paper.year == 2002


@needs_recordings
async def test_an_id_missing_from_a_partial_answer_is_skipped_by_name(server: Server) -> None:
    server.gives(recorded_for_one("0808.05394", "1707.08567"))
    first, second = await server.source().by_id(["0808.05394", "1707.08567"])
    assert first == Skipped("0808.05394", "arXiv has no paper 0808.05394; check the id.")
    assert isinstance(second, Record)
    assert second.paper.identifiers["arxiv"] == "1707.08567"


@needs_recordings
async def test_an_error_feed_is_reported_at_once(server: Server) -> None:
    server.gives(recorded_for_one("abc"))
    with pytest.raises(SourceError, match=r"HTTP 400.*check"):
        await server.source().search("id:abc", 5)
    assert len(server.requests) == 1


@needs_recordings
async def test_a_search_gives_as_many_papers_as_asked_for(server: Server) -> None:
    server.gives(recorded)
    found = await server.source().search("testing", 15)
    assert len(papers(found)) == 15
    assert len({paper.id for paper in papers(found)}) == 15


@needs_recordings
async def test_names_keep_their_letters(server: Server) -> None:
    server.gives(recorded_query(50, 10))
    found = await server.source().search("testing", 10)
    assert any("Florian Kroiß" in paper.authors for paper in papers(found))
    assert any(paper.identifiers.get("doi", "").startswith("10.1109/") for paper in papers(found))


def recorded_for_one(*ids: str) -> Answer:
    """The recording for `ids`, whatever page size is asked for."""
    (path,) = RECORDED.glob(f"id_{'_'.join(ids).replace('/', '_')}_s0_m100_*.json")
    exchange = json.loads(path.read_text("utf-8"))
    return _always(Response(exchange["body"].encode("latin-1"), exchange["status_code"]))


def recorded_query(start: int, limit: int) -> Answer:
    (path,) = RECORDED.glob(f"q_testing_s{start}_m{limit}_*.json")
    return _always(Response(json.loads(path.read_text("utf-8"))["body"].encode("latin-1")))


async def test_long_results_are_fetched_page_by_page(server: Server) -> None:
    def page(request: Request) -> Response:
        start, size = (int(request.query_params[key]) for key in ("start", "max_results"))
        return feed(*(f"2401.{at:05}v1" for at in range(start, start + size)), total=500)

    server.gives(page)
    found = await server.source().search("anything", 120)
    assert [paper.id for paper in papers(found)] == [f"arxiv:2401.{at:05}" for at in range(120)]
    assert [request.query_params["start"] for request in server.requests] == ["0", "100"]


async def test_many_ids_are_asked_for_in_batches_and_come_back_in_order(server: Server) -> None:
    server.gives(lambda request: feed(*reversed(request.query_params["id_list"].split(","))))
    ids = [f"2401.{at:05}v1" for at in range(70)]
    found = await server.source().by_id(ids)
    assert ["".join((p.identifiers["arxiv"], p.version)) for p in papers(found)] == ids
    assert len(server.requests) == 2


async def test_an_old_id_with_its_subject_class_is_recognised_without(server: Server) -> None:
    server.gives(feed("math/0309136v1"))
    (record,) = await server.source().by_id(["math.GT/0309136"])
    assert isinstance(record, Record)


async def test_what_is_no_id_is_skipped_and_never_asked_for(server: Server) -> None:
    server.gives(feed("2401.00001v1"))
    first, second = await server.source().by_id(["bananas", "2401.00001"])
    assert isinstance(first, Skipped)
    assert first.what == "bananas"
    assert isinstance(second, Record)
    assert server.requests[0].query_params["id_list"] == "2401.00001"


async def test_an_empty_feed_is_no_papers(server: Server) -> None:
    server.gives(feed())
    assert await server.source().search("nothing at all", 5) == []


async def test_no_results_are_wanted_and_none_asked_for(server: Server) -> None:
    assert await server.source().search("anything", 0) == []
    assert server.requests == []


@pytest.mark.parametrize(
    "body",
    ["<html><body>Please log in</body></html>", "", FEED.format(total=1, entries=ENTRY)[:-20]],
    ids=["a web page", "nothing", "a feed cut short"],
)
async def test_what_is_no_whole_feed_is_an_error_not_an_empty_result(
    server: Server, body: str
) -> None:
    server.gives(Response(body))
    with pytest.raises(SourceError, match="no complete feed"):
        await server.source().by_id(["2401.00001"])


async def test_a_page_that_stays_empty_is_an_error(server: Server) -> None:
    server.gives(feed("2401.00001v1", total=2), feed(total=2))
    with pytest.raises(SourceError, match="no complete feed"):
        await server.source().search("anything", 2)


async def test_a_busy_server_is_asked_again(server: Server) -> None:
    server.gives(Response(status_code=503), feed("2401.00001v1"))
    assert len(papers(await server.source().by_id(["2401.00001"]))) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_stays_busy_is_left_alone_after_three_tries(
    server: Server, status: int
) -> None:
    server.gives(Response(status_code=status))
    with pytest.raises(SourceError, match=f"busy.*{status}.*try again"):
        await server.source().search("anything", 1)
    assert len(server.requests) == 3


async def test_a_silent_server_is_not_waited_for(server: Server) -> None:
    def silent(request: Request) -> Response:
        server.released.wait(5)
        return feed()

    server.gives(silent)
    source = server.source(timeout=0.1)
    with pytest.raises(SourceError, match="in time"):
        await source.search("anything", 1)
    with pytest.raises(SourceError, match="in time"):
        await source.fetch_pdf(PAPER, Path("unused"))


async def test_a_server_that_is_not_there_is_named_as_such(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    source = ArxivSource(Arxiv(api=url, pdf=url, delay=0))
    with pytest.raises(SourceError, match="could not be reached"):
        await source.search("anything", 1)
    with pytest.raises(SourceError, match="could not be reached"):
        await source.fetch_pdf(PAPER, tmp_path)


async def test_requests_keep_their_distance(server: Server, tmp_path: Path) -> None:
    server.gives(feed("2401.00001v1"), Response(b"%PDF-1.4"), feed("2401.00001v1"))
    source = server.source(delay=0.2)
    await source.by_id(["2401.00001"])
    await source.fetch_pdf(PAPER, tmp_path)
    await source.by_id(["2401.00001"])
    gaps = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
    assert all(gap > 0.19 for gap in gaps)


async def test_the_pdfs_of_one_addition_keep_their_distance_too(
    server: Server, library: Library, settings: Settings
) -> None:
    ids = ("2401.00001v1", "2401.00002v1", "2401.00003v1")
    server.gives(feed(*ids), Response(b"%PDF-1.4 nonsense"))
    known = settings.model_copy(update={"arxiv": server.settings(delay=0.2), "offline": False})
    items = await expand(library, ids, known)
    added = [result async for result in ingest(library, items, known)]
    assert [result.status for result in added] == ["added"] * 3
    pdfs = server.times[1:]
    assert len(pdfs) == 3
    assert all(after - before > 0.19 for before, after in pairwise(pdfs))


async def test_offline_nothing_is_asked_for(server: Server, tmp_path: Path) -> None:
    source = ArxivSource(server.settings(), offline=True)
    for request in (
        source.by_id(["2401.00001"]),
        source.search("anything", 1),
        source.fetch_pdf(PAPER, tmp_path),
    ):
        with pytest.raises(SourceError, match="offline"):
            await request
    assert server.requests == []


# arXiv: PDFs

PAPER = Paper("arxiv:2401.00001", "A title", identifiers={"arxiv": "2401.00001"}, version="v2")


async def test_a_pdf_is_stored_under_its_id_and_version(server: Server, tmp_path: Path) -> None:
    server.gives(Response(b"%PDF-1.7 all of it"))
    path = await server.source().fetch_pdf(PAPER, tmp_path / "new")
    assert path == tmp_path / "new" / "2401.00001v2.pdf"
    assert path.read_bytes() == b"%PDF-1.7 all of it"
    assert server.requests[0].url.path == "/pdf/2401.00001v2"
    assert os.listdir(path.parent) == [path.name]


async def test_a_pdf_that_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    server.gives(Response(b"%PDF-1.7"))
    source = server.source()
    assert await source.fetch_pdf(PAPER, tmp_path) == await source.fetch_pdf(PAPER, tmp_path)
    assert len(server.requests) == 1


async def test_an_old_id_makes_one_file_name(server: Server, tmp_path: Path) -> None:
    server.gives(Response(b"%PDF-1.7"))
    paper = Paper("arxiv:math/0309136", "T", identifiers={"arxiv": "math/0309136"})
    assert await server.source().fetch_pdf(paper, tmp_path) == tmp_path / "math_0309136.pdf"


@pytest.mark.parametrize(
    ("answer", "message", "tries"),
    [
        (Response("<html>captcha</html>"), "no PDF but something else", 1),
        (Response(status_code=404), "no PDF at .*open", 1),
        (Response(status_code=403), "refused.*403", 1),
        (Response(status_code=503), "busy.*503", 3),
        (Response(status_code=429, headers={"Retry-After": "0"}), "busy.*429", 3),
        (Response(status_code=429, headers={"Retry-After": "3600"}), "busy.*429", 1),
    ],
    ids=["a web page", "404", "403", "503", "429", "429 for an hour"],
)
async def test_what_is_no_pdf_leaves_no_file(
    server: Server, tmp_path: Path, answer: Response, message: str, tries: int
) -> None:
    server.gives(answer)
    with pytest.raises(SourceError, match=message):
        await server.source().fetch_pdf(PAPER, tmp_path)
    assert os.listdir(tmp_path) == []
    assert len(server.requests) == tries


async def test_the_pause_that_a_server_asks_for_is_kept(server: Server, tmp_path: Path) -> None:
    busy = Response(status_code=503, headers={"Retry-After": "1"})
    server.gives(busy, Response(b"%PDF-1.7"))
    await server.source().fetch_pdf(PAPER, tmp_path)
    assert server.times[1] - server.times[0] > 0.99


async def test_a_paper_without_an_arxiv_id_cannot_be_fetched(
    server: Server, tmp_path: Path
) -> None:
    for identifiers in ({}, {"arxiv": "../../etc/passwd"}):
        with pytest.raises(SourceError, match="no arXiv id"):
            await server.source().fetch_pdf(Paper("x", "T", identifiers=identifiers), tmp_path)
    assert server.requests == []


async def test_a_folder_that_cannot_be_written_is_an_error(server: Server) -> None:
    server.gives(Response(b"%PDF-1.7"))
    in_the_way = Path(__file__)
    with pytest.raises(SourceError, match="could not be written"):
        await server.source().fetch_pdf(PAPER, in_the_way)


# BibTeX


def read(folder: Path, text: str) -> list[Record | Skipped]:
    path = folder / "library.bib"
    path.write_text(text, "utf-8")
    return bibtex.read(path)


def only(found: list[Record | Skipped]) -> Record:
    (record,) = found
    assert isinstance(record, Record)
    return record


def test_an_entry_becomes_a_record_in_plain_text(tmp_path: Path) -> None:
    text = r"""@string{acl = "Proc. of {ACL}"}
@InProceedings{k1,
  Author = {M{\"u}ller, J{\'e}r{\^o}me and {The Big Team} and van der Aalst, Wil and others},
  title = "{BERT} \& friends: 10\% of {$\alpha$}-stable   laws -- a study",
  booktitle = acl, year = 2020,
  abstract = {A gain of 12% over
     the ``baseline'' for $5.},
  doi = {https://doi.org/10.1000/ABC\_1},
}"""
    record = only(read(tmp_path, text))
    assert record.paper == Paper(
        id="doi:10.1000/abc_1",
        title="BERT & friends: 10% of α-stable laws – a study",
        authors=("Jérôme Müller", "The Big Team", "Wil van der Aalst"),
        year=2020,
        venue="Proc. of ACL",
        identifiers={"doi": "10.1000/abc_1"},
        holds="abstract",
    )
    assert record.abstract == "A gain of 12% over the “baseline” for $5."


@pytest.mark.parametrize(
    "fields",
    [
        "eprint = {2502.14802v1}, archivePrefix = {arXiv}",
        "eprint = {2502.14802v1}, eprinttype = {arxiv}, doi = {10.48550/arXiv.2502.14802}",
        "url = {https://arxiv.org/abs/2502.14802v1}",
        "doi = {10.48550/arXiv.2502.14802v1}",
    ],
)
def test_the_arxiv_id_of_an_entry_is_found(tmp_path: Path, fields: str) -> None:
    paper = only(read(tmp_path, f"@misc{{k, title = {{T}}, {fields}}}")).paper
    assert paper.id == "arxiv:2502.14802"
    assert paper.version == "v1"
    assert paper.identifiers == {"arxiv": "2502.14802"}


def test_an_eprint_of_another_archive_is_no_arxiv_id(tmp_path: Path) -> None:
    text = "@misc{k, title = {T}, eprint = {2502.14802}, archivePrefix = {HAL}}"
    assert only(read(tmp_path, text)).paper.id.startswith("bib:")


def test_a_work_without_identifiers_has_one_id_however_it_is_typed(tmp_path: Path) -> None:
    one = only(read(tmp_path, "@book{a, title={The {TeX}book}, author={Donald Knuth}, year=1984}"))
    two = only(
        read(tmp_path, "@book{b, title={The TeXBook.}, author={Knuth, Donald}, year={1984}}")
    )
    other = only(read(tmp_path, "@book{a, title={The TeXbook}, author={Donald Knuth}, year=1986}"))
    assert one.paper.id == two.paper.id != other.paper.id
    assert len(one.paper.id) == len("bib:") + 16
    assert one.paper.holds == "record"


def test_a_broken_entry_is_skipped_with_its_key_and_line(tmp_path: Path) -> None:
    text = "@misc{good, title = {One}}\n\n@misc{bad, title = {Two\n\n@misc{last, title = {Three}}"
    first, broken, last = read(tmp_path, text)
    assert isinstance(first, Record)
    assert isinstance(broken, Skipped)
    assert broken.what == "bad (line 3)"
    assert isinstance(last, Record)


def test_broken_entries_print_nothing(tmp_path: Path) -> None:
    path = tmp_path / "library.bib"
    path.write_text("@article{bad, title = {Two\n\n@misc{last, title = {Three}}", "utf-8")
    # In a process of its own: pytest takes what is logged before Python would print it.
    code = "import pathlib, sys, scholar.sources.bibtex as b; b.read(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_an_entry_without_a_title_is_skipped(tmp_path: Path) -> None:
    (skipped,) = read(tmp_path, "@article{k, author = {A B}}")
    assert skipped == Skipped("k (line 1)", "It has no title; give it one.")


def test_keys_and_fields_that_stand_twice_cost_no_work(tmp_path: Path) -> None:
    text = "@misc{k, title = {One}, title = {Two}}\n@misc{k, title = {Three}}"
    assert [paper.title for paper in papers(read(tmp_path, text))] == ["One", "Three"]


@pytest.mark.parametrize(
    "field",
    [
        "paper.pdf",
        "papers/../paper.pdf",
        ":paper.pdf:PDF",
        "Full Text:paper.pdf:application/pdf",
        r":sub\\in.pdf:PDF;:paper.pdf:PDF",
        "file://{here}/paper.pdf",
        ":{here}/paper.pdf:pdf",
        r"a\:b:{here}/paper.pdf:application/pdf",
    ],
)
def test_files_are_found_as_reference_managers_name_them(tmp_path: Path, field: str) -> None:
    (tmp_path / "papers").mkdir()
    for name in ("paper.pdf", "sub/in.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"%PDF-1.4")
    text = f"@misc{{k, title = {{T}}, file = {{{field.replace('{here}', str(tmp_path))}}}}}"
    files = only(read(tmp_path, text)).files
    assert files[-1].resolve() == tmp_path / "paper.pdf"
    assert len(files) == field.count(";") + 1


def test_colons_and_semicolons_in_file_names_may_be_escaped(tmp_path: Path) -> None:
    (tmp_path / "a; b: c.pdf").write_bytes(b"%PDF-1.4")
    text = r"@misc{k, title = {T}, file = {:a\; b\: c.pdf:PDF}}"
    assert only(read(tmp_path, text)).files == (tmp_path / "a; b: c.pdf",)


def test_mendeley_leaves_out_the_slash_of_absolute_paths(tmp_path: Path) -> None:
    (tmp_path / "p.pdf").write_bytes(b"%PDF-1.4")
    text = f"@misc{{k, title = {{T}}, file = {{:{str(tmp_path)[1:]}/p.pdf:pdf}}}}"
    assert only(read(tmp_path, text)).files == (tmp_path / "p.pdf",)


def test_a_file_that_does_not_exist_is_named_and_the_record_kept(tmp_path: Path) -> None:
    text = "@misc{k, title = {T}, file = {:gone.pdf:PDF;https://example.org/x.pdf}}"
    record, skipped = read(tmp_path, text)
    assert isinstance(record, Record)
    assert record.files == ()
    assert isinstance(skipped, Skipped)
    assert skipped.what == "file of k"
    assert "gone.pdf does not exist" in skipped.reason


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "library.bib"
    path.write_bytes("@misc{k, title = {Naïve}}".encode(encoding))
    assert papers(bibtex.read(path))[0].title == "Naïve"


@pytest.mark.parametrize("text", ["", "no BibTeX at all", "@comment{nothing}"])
def test_a_file_without_entries_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="holds no BibTeX"):
        read(tmp_path, text)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="could not be read"):
        bibtex.read(tmp_path / "none.bib")


@pytest.mark.skipif(not BIBLIOGRAPHIES.is_dir(), reason="no real bibliographies")
def test_every_real_bibliography_is_read_or_refused_with_a_reason() -> None:
    paths = sorted(DATA.glob("**/*.bib"))
    records = 0
    for path in paths:
        try:
            found = bibtex.read(path)
        except SourceError as error:
            assert "holds no BibTeX" in str(error)  # noqa: PT017
            continue
        records += len(papers(found))
        for paper in papers(found):
            assert paper.title == " ".join(paper.title.split())
            assert not any(";" in name or "{" in name for name in paper.authors)
    assert len(paths) > 50
    assert records > 380


# BibTeX: export


def test_a_paper_is_exported_with_its_identifiers() -> None:
    paper = Paper(
        "arxiv:2502.14802",
        "From RAG to Memory: 100% & more_",
        ("Bernal Jiménez Gutiérrez", "Yu Su"),
        2025,
        identifiers={"arxiv": "2502.14802"},
        version="v1",
    )
    assert bibtex.write([paper]) == (
        "@misc{gutierrez2025rag,\n"
        "  title = {{From RAG to Memory: 100\\% \\& more\\_}},\n"
        "  author = {Bernal Jiménez Gutiérrez and Yu Su},\n"
        "  year = {2025},\n"
        "  eprint = {2502.14802},\n"
        "  archivePrefix = {arXiv},\n"
        "  url = {https://arxiv.org/abs/2502.14802v1},\n"
        "}\n"
    )


def test_exported_keys_are_unique() -> None:
    same = Paper("a", "On the Title", ("Ann O'Neil",), 2020)
    text = bibtex.write([same, same, Paper("b", "", ()), Paper("c", "标题"), same])
    keys = [line.split("{")[1].rstrip(",") for line in text.splitlines() if line.startswith("@")]
    assert keys == ["oneil2020titlea", "oneil2020titleb", "papera", "paperb", "oneil2020titlec"]


def test_what_is_exported_reads_back_the_same(tmp_path: Path) -> None:
    originals = [
        Paper(
            "doi:10.1000/a_b",
            r"Braces {x}, a \ slash, 50% of $5, A&B #1 ~ ^2",
            ("Ludwig van Beethoven", "OpenAI, Inc.", "Simon and Schuster"),
            1999,
            "Journal of Costs & Benefits",
            {"doi": "10.1000/a_b"},
            holds="record",
            source="https://example.org/a_b?c=d%20e&f=~g",
        ),
        Paper(
            "arxiv:math.GT/0309136",
            "Knots",
            ("Ġorġ Ħ",),
            identifiers={"arxiv": "math.GT/0309136", "doi": "10.1000/x"},
            version="v2",
            holds="record",
            source="https://arxiv.org/abs/math.GT/0309136v2",
        ),
    ]
    path = tmp_path / "out.bib"
    path.write_text(bibtex.write(originals), "utf-8")
    assert papers(bibtex.read(path)) == originals


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20))
@example("--- ''a'' ``b`` ?` !`")
@example("it's {`x'} \"q\" -\\- $x$ % & # _ ~ ^")
def test_every_title_survives_the_way_out_and_back(
    tmp_path_factory: pytest.TempPathFactory, words: str
) -> None:
    title = unicodedata.normalize("NFC", " ".join(f"A {words}".split()))
    path = tmp_path_factory.mktemp("bib") / "out.bib"
    path.write_text(bibtex.write([Paper("x", title)]), "utf-8")
    assert [paper.title for paper in papers(bibtex.read(path))] == [title]
