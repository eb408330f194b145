"""What became of stored papers: looked up, stored, and shown wherever a paper is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Ran, Run, command
from source_server import SILENCE, Answer, SourceServer
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from scholar.cli import checking
from scholar.library import Entry, Library
from scholar.library.fate import BATCH, Fates, look_up, with_status
from scholar.library.passages import cut
from scholar.readers import Document
from scholar.settings import Settings
from scholar.sources import Status
from scholar.values import Paper

SNAILS = "Snails creep over wet glass at thirteen metres an hour."
WALK = Paper(
    "doi:10.1000/w", "Walks of snails", ("Ada Lane",), 2020, identifiers={"doi": "10.1000/w"}
)
PREPRINT = Paper(
    "arxiv:2401.00001",
    "On creeping",
    ("Ben Moor",),
    2024,
    identifiers={"arxiv": "2401.00001"},
    version="v1",
)
PRINTED = Paper(
    "doi:10.1000/p", "The speed of gastropods", ("Cy Poe",), 2025, "Nature",
    {"doi": "10.1000/p"}, holds="record",
)  # fmt: skip
NOBODY = Paper("file:1", "A paper without an id")
OPENALEX = {"id": "https://openalex.org/W1", "doi": "https://doi.org/10.1000/w"}
SCHOLAR = {"paperId": "a" * 40, "externalIds": {"DOI": "10.1000/w"}}
GONE = {"DOI": "10.1000/w", "title": ["T"], "updated-by": [{"type": "retraction", "DOI": "10.1/n"}]}


def feed(*ids: str, more: str = "") -> Response:
    """arXiv's answer: these papers."""
    entries = "".join(
        f"<entry><id>http://arxiv.org/abs/{id}</id><title>On creeping</title>"
        f"<updated>2024-02-03T00:00:00Z</updated><published>2024-01-02T00:00:00Z</published>"
        f"<summary>{SNAILS}</summary><author><name>Ben Moor</name></author>{more}</entry>"
        for id in ids
    )
    return Response(
        "<?xml version='1.0'?><feed xmlns='http://www.w3.org/2005/Atom' "
        "xmlns:opensearch='http://a9.com/-/spec/opensearch/1.1/' "
        "xmlns:arxiv='http://arxiv.org/schemas/atom'>"
        f"<opensearch:totalResults>{len(ids)}</opensearch:totalResults>{entries}</feed>",
        media_type="application/atom+xml",
    )


def saying(**services: Response | Answer) -> Answer:
    """Every service answers as is said of it here; one that is not named knows nothing."""

    def answer(request: Request) -> Response:
        name = request.url.path.split("/")[1]
        said = services.get(name, feed() if name == "arxiv" else Response(status_code=404))
        return said if isinstance(said, Response) else said(request)

    return answer


def retraction() -> Response:
    """Crossref's answer for WALK, retracted."""
    return JSONResponse({"message": GONE})


def entry(paper: Paper) -> Entry:
    document = Document("" if paper.holds == "record" else f"{SNAILS} {paper.title}.")
    return Entry(paper, document.text, cut(paper.id, document))


@pytest.fixture
def deaf() -> Iterator[SourceServer]:
    """A service that never answers."""
    with SourceServer() as server:
        server.gives(server.silent)
        yield server


@pytest.fixture
def online(source_server: SourceServer, settings: Settings) -> Settings:
    """Settings of which every service is `source_server`, tried once."""
    return source_server.settings(settings.home, embedder="none", http={"retries": 0})


async def looked_up(
    library: Library, online: Settings, *papers: Paper, **options: Any
) -> tuple[Fates, list[Paper]]:
    """`papers` stored and looked up, and what the library holds then."""
    await library.add([entry(paper) for paper in papers])
    fates = await look_up(library, papers, online, **options)
    return fates, await library.papers()


# What is stored


async def test_a_retraction_is_stored(
    library: Library, source_server: SourceServer, online: Settings
) -> None:
    source_server.gives(saying(crossref=retraction()))
    fates, (paper,) = await looked_up(library, online, WALK)
    assert paper == replace(WALK, retracted=True)
    assert fates == Fates(1, (paper,), ())
    assert [hit.paper_id for hit in await library.search("snails", 5)] == [WALK.id]


@pytest.mark.parametrize("said", [Status(), Status(False), Status(None, newer="v9")])
def test_a_mark_stays_where_services_do_not_know_of_it(said: Status) -> None:
    assert with_status(replace(WALK, retracted=True), said).retracted


async def test_where_nothing_is_new_nothing_is_written(
    library: Library, source_server: SourceServer, online: Settings
) -> None:
    source_server.gives(saying(openalex=JSONResponse({"id": "x/W1", "title": "T"})))
    await library.add([entry(WALK)])
    before = library.revision
    assert await look_up(library, [WALK], online) == Fates(1, (), ())
    assert library.revision == before


async def test_a_newer_version_is_stored(
    library: Library, source_server: SourceServer, online: Settings
) -> None:
    source_server.gives(saying(arxiv=feed("2401.00001v3")))
    fates, (paper,) = await looked_up(library, online, PREPRINT)
    assert paper.newer == "v3"
    assert fates.changed == (paper,)


async def test_a_newer_version_with_a_doi_of_its_own_survives_what_is_added_later(
    library: Library, source_server: SourceServer, online: Settings
) -> None:
    news = GONE | {"updated-by": [{"type": "new_version", "DOI": "10.1000/w2"}]}
    source_server.gives(saying(crossref=JSONResponse({"message": news})))
    await looked_up(library, online, WALK)
    await library.unite([entry(replace(WALK, venue="Nature", holds="record"))])
    (paper,) = await library.papers()
    assert (paper.newer, paper.venue) == ("10.1000/w2", "Nature")


async def test_a_preprint_is_known_by_the_doi_under_which_it_was_published(
    library: Library, source_server: SourceServer, online: Settings
) -> None:
    doi = "<arxiv:doi>10.1000/P</arxiv:doi>"
    source_server.gives(saying(arxiv=feed("2401.00001v1", more=doi)))
    fates, (paper,) = await looked_up(library, online, PREPRINT)
    assert paper.identifiers == {"arxiv": "2401.00001", "doi": "10.1000/p"}
    assert await library.find("doi:10.1000/p") == paper
    assert fates.changed == (paper,)


async def test_a_preprint_and_what_it_became_are_one_work_from_then_on(
    library: Library, source_server: SourceServer, online: Settings
) -> None:
    doi = "<arxiv:doi>10.1000/p</arxiv:doi>"
    source_server.gives(saying(arxiv=feed("2401.00001v2", more=doi)))
    fates, (paper,) = await looked_up(library, online, PREPRINT, PRINTED)
    assert (paper.title, paper.year, paper.venue) == (PRINTED.title, 2025, "Nature")
    assert (paper.holds, paper.version, paper.newer) == ("full", "v1", "v2")
    assert await library.find(PREPRINT.id) == await library.find(PRINTED.id) == paper
    assert fates.changed == (paper,)
    assert [hit.paper_id for hit in await library.search("creeping", 5)] == [paper.id]
    assert await library.check() == []


def test_the_doi_of_a_preprint_gives_way_to_that_of_the_publisher() -> None:
    preprint = replace(PREPRINT, identifiers={"doi": "10.48550/arxiv.2401.00001"})
    told = Status(published_doi="10.1000/p")
    assert with_status(preprint, told).identifiers == {"doi": "10.1000/p"}
    assert with_status(WALK, told).identifiers == WALK.identifiers


# Whom is asked, and for how long


async def test_a_paper_without_an_id_and_a_note_are_not_asked_about(
    library: Library, source_server: SourceServer, online: Settings
) -> None:
    fates, _ = await looked_up(library, online, NOBODY, replace(WALK, holds="note"))
    assert (fates, source_server.requests) == (Fates(0, (), ()), [])


async def test_a_service_that_fails_is_told_and_costs_its_own_answer_only(
    library: Library, source_server: SourceServer, online: Settings
) -> None:
    source_server.gives(saying(crossref=retraction(), openalex=Response(status_code=500)))
    fates, (paper,) = await looked_up(library, online, WALK)
    assert paper.retracted
    assert [item.what for item in fates.failed] == ["OpenAlex"]


async def test_a_service_that_does_not_answer_in_time_is_given_up(
    library: Library, source_server: SourceServer, online: Settings, deaf: SourceServer
) -> None:
    source_server.gives(saying(crossref=retraction()))
    await look_up(library, [WALK], online)  # Crossref's answer is there from now on
    await library.add([entry(WALK)])
    unheard = online.openalex.model_copy(update={"api": deaf.url})
    known = online.model_copy(update={"openalex": unheard})
    fates, (paper,) = await looked_up(library, known, WALK, patience=4 * SILENCE)
    assert paper.retracted
    assert [(item.what, "in time" in item.reason) for item in fates.failed] == [("OpenAlex", True)]


async def test_patience_is_for_all_papers_together(
    library: Library, online: Settings, deaf: SourceServer
) -> None:
    many = [
        replace(WALK, id=f"doi:10.1000/n{n}", identifiers={"doi": f"10.1000/n{n}"})
        for n in range(2 * BATCH)
    ]
    unheard = online.openalex.model_copy(update={"api": deaf.url})
    known = online.model_copy(update={"openalex": unheard})
    done: list[int] = []
    await look_up(library, many, known, done.append, patience=4 * SILENCE)
    assert done == [BATCH, 2 * BATCH]
    assert len(deaf.requests) <= 1  # for the second batch no time was left


# On the command line


@pytest.fixture
def cli(source_server: SourceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command of which every service is `source_server`."""
    values = {
        "HOME": str(tmp_path / "home"),
        "EMBEDDER": "none",
        "HTTP__PAUSE": "0",
        "HTTP__FAILURES": "99",
    }
    for name in ("ARXIV", "OPENALEX", "CROSSREF", "SEMANTICSCHOLAR", "ZOTERO"):
        values[f"{name}__API"] = f"{source_server.url}/{name.lower()}"
        if name != "ZOTERO":
            values[f"{name}__DELAY"] = "0"
    values |= {"ARXIV__HTML": f"{source_server.url}/html", "ARXIV__PDF": f"{source_server.url}/pdf"}
    for name, value in values.items():
        monkeypatch.setenv(f"SCHOLAR_{name}", value)

    def run(*arguments: str) -> Ran:
        code, out, err = command(*arguments)
        return Ran(code, " ".join(out.split()), " ".join(err.split()))

    return run


@pytest.fixture
def forget_answers(tmp_path: Path) -> Callable[[], None]:
    """Makes it the next day, on which services are asked again."""
    return lambda: shutil.rmtree(tmp_path / "home" / "http")


@pytest.fixture
def bibliography(tmp_path: Path) -> str:
    path = tmp_path / "refs.bib"
    path.write_text(
        "@article{w, title={Walks of snails}, author={Ada Lane}, year={2020}, doi={10.1000/w}, "
        f"abstract={{{SNAILS}}}}}"
    )
    return str(path)


def test_adding_looks_up_what_was_added(
    source_server: SourceServer, cli: Run, bibliography: str, forget_answers: Callable[[], None]
) -> None:
    source_server.gives(saying(crossref=retraction()))
    code, out, err = cli("add", bibliography, "--to", "gastropods")
    assert (code, err) == (0, "")
    assert "RETRACTED. Lane 2020, Walks of snails" in out
    asked = len(source_server.requests)
    forget_answers()
    assert "already there" in cli("add", bibliography)[1]
    assert len(source_server.requests) == asked
    assert WALK.title in cli("papers", "list", "--in", "gastropods")[1]


def test_adding_offline_asks_nobody_and_says_nothing(
    source_server: SourceServer, cli: Run, bibliography: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_OFFLINE", "1")
    code, _, err = cli("add", bibliography)
    assert (code, err, source_server.requests) == (0, "", [])


def test_where_nobody_can_be_reached_adding_says_so_once_and_ends(
    source_server: SourceServer, cli: Run, bibliography: str
) -> None:
    source_server.gives(Response(status_code=500))
    code, out, err = cli("add", bibliography)
    assert (code, out.endswith("1 added")) == (0, True)
    assert err.count("papers check") == 1
    assert "was not looked up at OpenAlex, Crossref" in err
    # Nothing is worth a second try: whoever waits has what they came for.
    assert len(source_server.requests) == len(set(source_server.paths))


def test_services_that_are_silent_do_not_keep_adding_waiting(
    source_server: SourceServer, cli: Run, bibliography: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "PATIENCE", SILENCE)
    source_server.gives(source_server.silent)
    code, out, err = cli("add", bibliography)
    assert (code, out.endswith("1 added")) == (0, True)
    assert err.count("papers check") == 1


def test_asking_with_a_source_looks_nothing_up(
    source_server: SourceServer, cli: Run, bibliography: str
) -> None:
    source_server.gives(source_server.silent)
    assert cli("ask", "How fast do snails creep?", "--with", bibliography)[0] == 0
    assert source_server.requests == []


def test_a_retracted_paper_is_marked_wherever_it_is_shown(
    source_server: SourceServer, cli: Run, bibliography: str
) -> None:
    source_server.gives(saying(crossref=retraction()))
    cli("add", bibliography)
    marked = "RETRACTED. Lane 2020, Walks of snails"
    assert marked in cli("search", "snails")[1]
    assert marked in cli("papers", "show", WALK.id)[1]
    assert marked in cli("ask", "How fast do snails creep over glass?")[1]
    assert marked in cli("papers", "check")[1]
    assert "RETRACTED. Walks" in cli("papers", "list")[1]
    assert "note = {Retracted}" in cli("papers", "export")[1]
    assert marked in cli("papers", "remove", WALK.id)[1]


def test_json_marks_a_retracted_paper_too(
    source_server: SourceServer, cli: Run, bibliography: str
) -> None:
    source_server.gives(saying(crossref=retraction()))
    (added,) = json.loads(cli("add", bibliography, "--json")[1])
    (found,) = json.loads(cli("search", "snails", "--json")[1])
    (listed,) = json.loads(cli("papers", "list", "--json")[1])
    (cited,) = json.loads(cli("ask", "How fast do snails creep over glass?", "--json")[1])[
        "bibliography"
    ]
    shown = json.loads(cli("papers", "show", WALK.id, "--json")[1])
    assert all(each["retracted"] for each in (added["paper"], found, listed, cited, shown))
    assert json.loads(cli("search", "snails", "--no-retracted", "--json")[1] or "[]") == []


def test_a_newer_version_is_named_wherever_the_paper_is_shown(
    source_server: SourceServer, cli: Run, forget_answers: Callable[[], None]
) -> None:
    source_server.gives(saying(arxiv=feed("2401.00001v1")))
    assert cli("add", "2401.00001v1")[0] == 0
    forget_answers()
    source_server.gives(saying(arxiv=feed("2401.00001v3")))
    code, out, _ = cli("papers", "check")
    assert code == 0
    assert "[v3 is out]" in out
    assert "1 paper looked up: 0 retracted, 1 with a newer version, 1 changed." in out
    assert "[v3 is out]" in cli("papers", "list")[1]
    assert "[v3 is out]" in cli("search", "snails")[1]
    assert "[v3 is out]" in cli("ask", "How fast do snails creep over glass?")[1]
    assert "v3 is out; this is v1." in cli("papers", "show", PREPRINT.id)[1]


def test_a_check_as_json_is_one_object(
    source_server: SourceServer, cli: Run, bibliography: str, forget_answers: Callable[[], None]
) -> None:
    source_server.gives(saying())
    cli("add", bibliography)
    forget_answers()
    source_server.gives(saying(crossref=retraction(), openalex=Response(status_code=500)))
    told = json.loads(cli("papers", "check", "--json")[1])
    assert told["asked"] == 1
    assert told["retracted"] == [WALK.id]
    assert [paper["paper_id"] for paper in told["changed"]] == [WALK.id]


def test_only_the_papers_named_are_checked(
    source_server: SourceServer, cli: Run, bibliography: str
) -> None:
    source_server.gives(saying(arxiv=feed("2401.00001v1")))
    cli("add", bibliography, "2401.00001")
    assert cli("papers", "check", "arxiv:2401")[1].startswith("1 paper looked up:")
    assert cli("papers", "check")[1].startswith("2 papers looked up:")
    assert cli("papers", "check", "nowhere")[0] == 2


def test_a_check_that_reached_nobody_exits_with_5_and_says_why(
    source_server: SourceServer, cli: Run, bibliography: str
) -> None:
    source_server.gives(Response(status_code=500))
    cli("add", bibliography)
    code, out, err = cli("papers", "check")
    assert code == 5
    assert out.startswith("1 paper looked up, not at OpenAlex, Crossref:")
    assert "OpenAlex is busy" in err


def test_a_check_offline_says_that_it_cannot_be(
    source_server: SourceServer, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_OFFLINE", "1")
    code, _, err = cli("papers", "check")
    assert (code, "offline is set" in err) == (5, True)


@pytest.mark.parametrize(
    ("service", "found"),
    [
        ("openalex", {"results": [OPENALEX | {"title": WALK.title}]}),
        ("crossref", {"message": {"items": [{"DOI": "10.1000/w", "title": [WALK.title]}]}}),
        ("semanticscholar", {"total": 1, "data": [SCHOLAR | {"title": WALK.title}]}),
    ],
)
def test_what_a_service_finds_is_added(
    source_server: SourceServer, cli: Run, service: str, found: Any
) -> None:
    source_server.gives(saying(**{service: JSONResponse(found)}))
    code, out, _ = cli("add", "--search", "snails", "--from", service, "--max", "3")
    assert (code, out.endswith("1 added")) == (0, True)
    assert f"{WALK.title}. doi:10.1000/w" in out


def test_a_service_that_cannot_be_searched_is_refused(
    source_server: SourceServer, cli: Run
) -> None:
    code, _, err = cli("add", "--search", "snails", "--from", "unpaywall")
    assert (code, "use one of arxiv, openalex" in err) == (2, True)
    assert cli("add", "--arxiv", "snails", "--from", "openalex")[0] == 2
    assert source_server.requests == []
