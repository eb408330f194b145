"""Bibliographic services on a loopback port: what they really answered, or what a test says."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml
from served import Served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scholar.settings import Settings, load
from scholar.sources import Source, everything
from scholar.sources.arxiv import ArxivSource

DATA = Path(__file__).parents[2] / "shared" / "data"
ATOM = DATA / "arxiv_atom" / "recorded"
EXCHANGES = DATA / "bibliographic_api" / "exchanges.jsonl"
TAPES = DATA / "semanticscholar_api"
SERVICES = ("arxiv", "openalex", "crossref", "semanticscholar", "unpaywall", "zotero")
SILENCE = 0.15
"""Seconds that a service may send nothing in these tests."""

Answer = Callable[[Request], Response]


class SourceServer(Served):
    """`gives` says what is answered, in turn, the last for ever; else it is what was recorded."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.reset()

    def reset(self) -> None:
        """Forget what was asked and said."""
        self.answers: list[Answer] = []
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.times: list[float] = []
        self.released.set()
        self.released = threading.Event()

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [request.url.path for request in self.requests]

    def settings(self, home: Path, delay: float = 0, **changes: Any) -> Settings:
        """Settings of which every service is this server, and every pause is nearly none."""
        places: dict[str, Any] = {name: {"api": f"{self.url}/{name}"} for name in SERVICES}
        for name in SERVICES[:-1]:
            places[name]["delay"] = delay
        places["arxiv"] |= {"pdf": f"{self.url}/pdf", "html": f"{self.url}/html"}
        http = {"timeout": 5, "pause": 0, "failures": 100, **changes.pop("http", {})}
        return load(home=home, **{"email": "a@b.example", **places, "http": http, **changes})

    def sources(self, home: Path, **changes: Any) -> dict[str, Source]:
        """Every source, as `settings` would have them."""
        return everything(self.settings(home, **changes))

    def arxiv(self, home: Path, **changes: Any) -> ArxivSource:
        """arXiv, as `settings` would have it."""
        source = self.sources(home, **changes)["arxiv"]
        assert isinstance(source, ArxivSource)
        return source

    def gives(self, *answers: Answer | Response) -> None:
        """Answer so, one request after the other, and as the last says from then on."""
        self.answers = [always(each) if isinstance(each, Response) else each for each in answers]

    def silent(self, request: Request) -> Response:
        """An answer that does not come while the test lasts."""
        self.released.wait(5)
        return Response()

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])

    def __exit__(self, *exception: object) -> None:
        self.released.set()
        super().__exit__(*exception)

    async def _answer(self, request: Request) -> Response:
        self.requests.append(request)
        self.times.append(time.monotonic())
        self.bodies.append(await request.body())
        if not self.answers:
            return recorded(request, self.bodies[-1])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await asyncio.to_thread(answer, request)


def always(response: Response) -> Answer:
    return lambda request: Response(response.body, response.status_code, dict(response.headers))


def truncated(body: bytes) -> Answer:
    """An answer that ends before the length that it announced."""
    return lambda request: Response(body, headers={"Content-Length": str(len(body) + 100)})


def recorded(request: Request, body: bytes = b"") -> Response:
    """What the service really answered, found by what was asked; 404 for what never was."""
    service, _, path = unquote(request.scope["raw_path"].decode()).lstrip("/").partition("/")
    found = _REPLAYED[service](path, dict(request.query_params), body)
    if found is None:
        return JSONResponse({"error": "not found"}, 404)
    return found if isinstance(found, Response) else JSONResponse(found)


def recorded_atom(ids: str = "", query: str = "", start: int = 0, size: int = 100) -> Response:
    """arXiv's recorded answer to these ids, or to a page of a query."""
    pattern = f"id_{ids.replace('/', '_')}" if ids else f"q_{query}"
    (path,) = ATOM.glob(f"{pattern}_s{start}_m{size}_*.json")
    exchange = json.loads(path.read_text("utf-8"))
    return Response(exchange["body"].encode("latin-1"), exchange["status_code"])


def _atom(path: str, params: Mapping[str, str], body: bytes) -> Response | None:
    for file in ATOM.glob("*.json"):
        exchange = json.loads(file.read_text("utf-8"))
        asked = dict(parse_qsl(urlsplit(exchange["url"]).query, keep_blank_values=True))
        if asked["id_list"]:  # however many were asked for at most, the same came
            asked["max_results"] = params["max_results"]
        if asked == params:
            return Response(exchange["body"].encode("latin-1"), exchange["status_code"])
    return None


@cache
def _exchanges(host: str) -> list[tuple[str, dict[str, str], int, str]]:
    """Path, parameters, status and body of what a host was asked and answered."""
    found = []
    for line in EXCHANGES.read_text("utf-8").splitlines():
        exchange = json.loads(line)
        place = urlsplit(exchange["uri"])
        if place.netloc == host:
            params = dict(parse_qsl(place.query))
            found.append(
                (unquote(place.path), params, exchange["status"], exchange["response"] or "")
            )
    return found


def _single(host: str, path: str) -> Any:
    """The recorded JSON at `path`, whatever was asked of it."""
    for known, params, status, body in _exchanges(host):
        if known.lower() == path.lower() and status == 200 and "select" not in params:
            return json.loads(body)
    return None


def _searched(host: str, path: str, *words: str) -> Any:
    """The recorded JSON of a search whose words were among `words`."""
    for known, params, _, body in _exchanges(host):
        if known == path and any(
            value.removeprefix("title.search:") in words for value in params.values()
        ):
            return json.loads(body)
    return None


def _crossref(path: str, params: Mapping[str, str], body: bytes) -> Any:
    host = "api.crossref.org"
    if "filter" in params:
        dois = [each.removeprefix("doi:") for each in params["filter"].split(",")]
        works = [work["message"] for doi in dois if (work := _single(host, f"/works/{doi}"))]
        return {"status": "ok", "message": {"items": works}}
    if path == "works":
        return _searched(host, "/works", params["query.bibliographic"])
    return _single(host, f"/{path}")


def _openalex(path: str, params: Mapping[str, str], body: bytes) -> Any:
    host = "api.openalex.org"
    scheme, _, values = params.get("filter", "").partition(":")
    if scheme == "doi":
        paths = [f"/works/https://doi.org/{doi}" for doi in values.split("|")]
        return {"results": [work for each in paths if (work := _single(host, each))]}
    if "search" in params:
        return _searched(host, "/works", params["search"])
    return _single(host, f"/{path}")


def _unpaywall(path: str, params: Mapping[str, str], body: bytes) -> Any:
    host = "api.unpaywall.org"
    assert "email" in params
    if path == "search":
        return _searched(host, "/v2/search", params["query"])
    return _single(host, f"/v2/{path}")


@cache
def _taped() -> list[tuple[str, dict[str, str], str, int, str]]:
    """Path, parameters, body, status and answer of Semantic Scholar's tapes."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = []
    for tape in ("paper", "papers", "paper_citations", "paper_references"):
        text = (TAPES / f"test_get_{tape}.yaml").read_text("utf-8")
        found += yaml.load(text, loader)["interactions"]
    for tape in ("search_paper", "empty_paginated_results", "get_papers_not_found_warning"):
        text = (TAPES / f"test_{tape}.yaml").read_text("utf-8")
        found += yaml.load(text, loader)["interactions"]
    return [_taken(each["request"], each["response"]) for each in found]


def _taken(request: Any, response: Any) -> tuple[str, dict[str, str], str, int, str]:
    place = urlsplit(request["uri"])
    path = unquote(place.path).removeprefix("/graph/v1/")
    answer = response["body"]["string"] if "body" in response else response["content"]
    status = response["status"]["code"] if "status" in response else response["status_code"]
    return (
        _bare(path),
        dict(parse_qsl(place.query)),
        _bare(str(request["body"] or "")),
        status,
        answer,
    )


def _bare(path: str) -> str:
    """`path` with the id in it in the form in which it was recorded."""
    return path.replace("DOI:", "").replace("CorpusId:", "CorpusID:")


def _semanticscholar(path: str, params: Mapping[str, str], body: bytes) -> Any:
    if found := _single("api.semanticscholar.org", f"/graph/v1/{path}"):
        return found
    path = _bare(path)
    if path.endswith(("/citations", "/references")):
        return _walked(path, int(params["offset"]), int(params["limit"]))
    for known, asked, sent, status, answer in _taped():
        same_body = not body or (
            bool(sent) and json.loads(sent) == json.loads(_bare(body.decode()))
        )
        if known == path and asked.get("query") == params.get("query") and same_body:
            return Response(answer, status, media_type="application/json")
    return None


def _walked(path: str, offset: int, limit: int) -> Any:
    """A page of the recorded ones laid end to end."""
    pages = [
        (int(asked["offset"]), json.loads(answer)["data"])
        for known, asked, _, _, answer in _taped()
        if known == path
    ]
    links = [link for _, page in sorted(pages, key=lambda page: page[0]) for link in page]
    page = {"offset": offset, "data": links[offset : offset + limit]}
    return page | ({"next": offset + limit} if offset + limit < len(links) else {})


_REPLAYED: dict[str, Callable[[str, Mapping[str, str], bytes], Any]] = {
    "arxiv": _atom,
    "crossref": _crossref,
    "openalex": _openalex,
    "unpaywall": _unpaywall,
    "semanticscholar": _semanticscholar,
    "zotero": lambda path, params, body: None,
    "html": lambda path, params, body: None,
    "pdf": lambda path, params, body: None,
}
