"""arXiv: records by id or by search, newer versions, and full texts as HTML or PDF.

The `arxiv` package reads the feeds; it loads with the first request, and asks through `Web` alone.
"""

from __future__ import annotations

import asyncio
import logging
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scholar.errors import SourceError
from scholar.settings import Settings
from scholar.sources.names import parse_id
from scholar.sources.record import Record, Skipped, Status
from scholar.sources.web import DAY, HOUR, WEEK, OtherThing, Service, Web, is_pdf
from scholar.values import Paper

if TYPE_CHECKING:
    import arxiv  # type: ignore[import-untyped]
    import requests

__all__ = ["ArxivSource", "parse_id"]

_PAGE = 100
"""Records asked for at once; arXiv slows down on larger pages."""
_BATCH = 50
"""Ids in one request, so that its address stays below 2,000 characters."""
_EMPTY_PAGES = 2
"""Times that a page is asked for again which should hold records and holds none, as happens."""

_SUBJECT_CLASS = re.compile(r"\.[a-z]{2}/")
_NO_RESULTS = re.compile(rb"totalResults[^>]*>\s*0\s*<")
_WITHDRAWN = re.compile(
    r"\b(?:paper|article|submission|manuscript|work|preprint)\b.{0,40}\bwithdrawn\b|^\W*withdrawn\b",
    re.IGNORECASE,
)
"""What authors write as the comment of a version that withdraws the paper."""


class ArxivSource:
    """arXiv as `settings` name it. Every method raises SourceError where arXiv cannot be asked or
    answers with something else than what was asked for.
    """

    name = "arXiv"

    def __init__(self, settings: Settings, web: Web) -> None:
        self._settings = settings.arxiv
        self._web = web
        self._service = Service(self.name, "arxiv.api", self._settings.delay, pace=self.name)

    async def by_id(self, ids: Sequence[str]) -> list[Record | Skipped]:
        """The papers with these ids, in their order; an id without a version means the latest.

        A record of an older version names the latest in `newer`.
        """
        found = await self._by_name(ids, WEEK)
        names = [parse_id(text) for text in ids]
        return [_found(text, name, found) for text, name in zip(ids, names, strict=True)]

    async def search(self, query: str, limit: int) -> list[Record | Skipped]:
        """At most `limit` papers for `query` in arXiv's syntax, the most relevant first."""
        return await self._searched(query, limit, DAY)

    async def newest(self, query: str, limit: int) -> list[Record | Skipped]:
        """As `search`, but those submitted last, the newest first."""
        return await self._searched(query, limit, HOUR, newest=True)

    async def _searched(
        self, query: str, limit: int, age: float, *, newest: bool = False
    ) -> list[Record | Skipped]:
        if limit < 1 or not query.strip():
            return []
        words = " ".join(query.split())
        results = await self._results(age, limit=limit, query=words, newest=newest)
        return [_record(result) for result in results]

    async def status(self, papers: Sequence[Paper]) -> dict[str, Status]:
        """Which of `papers` have a newer version, were published elsewhere or withdrawn, by id."""
        names = {paper.id: name for paper in papers if (name := paper.identifiers.get("arxiv"))}
        found = await self._by_name(list(names.values()), DAY)
        versions = {paper.id: paper.version for paper in papers}
        return {
            id: _status(versions[id], latest)
            for id, name in names.items()
            if (latest := found.get(_canonical(name)))
        }

    async def fetch(self, paper: Paper, folder: Path) -> Path:
        """The full text of `paper` in `folder`: arXiv's HTML where it has one, else the PDF.

        One that is there already is not fetched again.
        """
        name = _name_of(paper)
        stem = folder / name.replace("/", "_")
        pdf = stem.with_name(f"{stem.name}.pdf")
        if await asyncio.to_thread(pdf.is_file):
            return pdf
        target = stem.with_name(f"{stem.name}.html")
        try:
            address = f"{self._settings.html}/{name}"
            if await self._web.file(self._service, address, target, _is_paper):
                return target
        except OtherThing:
            pass  # a page that says that there is no HTML
        return await self.fetch_pdf(paper, folder)

    async def fetch_pdf(self, paper: Paper, folder: Path) -> Path:
        """The PDF of `paper` in `folder`; one that is there already is not fetched again."""
        name = _name_of(paper)
        target = folder / f"{name.replace('/', '_')}.pdf"
        address = f"{self._settings.pdf}/{name}"
        if await self._web.file(self._service, address, target, is_pdf):
            return target
        raise SourceError(f"arXiv has no PDF at {address}; open the paper's page to see why.")

    async def _by_name(self, ids: Sequence[str], age: float) -> dict[str, Record]:
        """The papers with these ids by canonical id, each as its latest and as its own version."""
        names = [name for text in ids if (name := parse_id(text))]
        exact = dict.fromkeys("".join(name) for name in names)
        latest = dict.fromkeys(base for base, version in names if version and base not in exact)
        found: dict[str, Record] = {}
        for wanted in (list(exact), list(latest)):
            for at in range(0, len(wanted), _BATCH):
                batch = wanted[at : at + _BATCH]
                results = await self._results(age, limit=len(batch), id_list=batch)
                for record in sorted(map(_record, results), key=_version_number):
                    base = _canonical(record.paper.identifiers["arxiv"])
                    if base not in found or _version_number(found[base]) < _version_number(record):
                        found[base] = record
                    found[base + record.paper.version] = record
        return found

    async def _results(self, age: float, *, limit: int, **search: Any) -> list[arxiv.Result]:
        loop = asyncio.get_running_loop()

        def get(address: str) -> bytes | None:
            asking = self._web.get(self._service, address, age=age, check=_check)
            return asyncio.run_coroutine_threadsafe(asking, loop).result()

        return await asyncio.to_thread(_ask, self._settings.api, get, limit, search)


def _ask(
    api: str, get: Callable[[str], bytes | None], limit: int, search: dict[str, Any]
) -> list[arxiv.Result]:
    import arxiv

    if search.pop("newest", False):
        search["sort_by"] = arxiv.SortCriterion.SubmittedDate
    client = _client(api, get)
    client.page_size = min(limit, _PAGE)
    try:
        return list(client.results(arxiv.Search(max_results=limit, **search)))
    except arxiv.HTTPError as error:
        raise SourceError(
            f"arXiv has nothing at {error.url} (HTTP {error.status}); check 'arxiv.api'."
        ) from None
    except arxiv.UnexpectedEmptyPageError:
        raise _garbled() from None
    except ValueError:  # a date or number in the feed
        raise _garbled() from None
    finally:
        client._session.close()


def _client(api: str, get: Callable[[str], bytes | None]) -> arxiv.Client:
    """A client whose every request goes through `get`, which keeps the pauses and the answers."""
    import arxiv
    import requests

    class Adapter(requests.adapters.BaseAdapter):
        def send(
            self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
        ) -> requests.Response:
            body = get(str(request.url))
            response = requests.Response()
            response.status_code = 404 if body is None else 200
            response._content = body or b""
            response.url, response.request = str(request.url), request
            return response

        def close(self) -> None:
            pass

    # The package logs what it passes over; with no handler, Python would print that.
    logging.getLogger("arxiv").addHandler(logging.NullHandler())
    client = arxiv.Client(delay_seconds=0, num_retries=_EMPTY_PAGES)
    client.query_url_format = api + "?{}"
    for scheme in ("https://", "http://"):
        client._session.mount(scheme, Adapter())
    return client


def _check(data: bytes) -> bool:
    """Whether a feed may be kept; an error where it is none, or not whole."""
    if not data.rstrip().endswith(b"</feed>"):
        raise _garbled()
    # A page without records may be one of those that arXiv sends in error.
    return b"<entry" in data or _NO_RESULTS.search(data) is not None


def _is_paper(beginning: bytes) -> bool:
    """Whether it is a page that LaTeXML made of a paper."""
    return b"ltx_" in beginning


def _name_of(paper: Paper) -> str:
    name = paper.identifiers.get("arxiv", "") + paper.version
    if parse_id(name) is None:
        raise SourceError(f"'{paper.title}' has no arXiv id; add its PDF by hand.")
    return name


def _record(result: arxiv.Result) -> Record:
    name = parse_id(result.get_short_id())
    if name is None:
        raise SourceError(f"arXiv reports: {_line(result.summary) or 'an error'}; mend the query.")
    base, version = name
    identifiers = {"arxiv": base}
    if result.doi:
        identifiers["doi"] = result.doi.strip().lower()
    paper = Paper(
        id=f"arxiv:{base}",
        title=_line(result.title),
        authors=tuple(_line(author.name) for author in result.authors),
        year=result.published.year,
        venue=_line(result.journal_ref or ""),
        identifiers=identifiers,
        version=version,
        holds="abstract",
        source=f"https://arxiv.org/abs/{base}{version}",
        retracted=_WITHDRAWN.search(result.comment or "") is not None,
    )
    return Record(paper, abstract=_line(result.summary))


def _status(version: str, latest: Record) -> Status:
    paper = latest.paper
    newer = _number(paper.version) > _number(version) if version else False
    return Status(
        retracted=paper.retracted,
        newer=paper.version if newer else "",
        published_doi=paper.identifiers.get("doi", ""),
        notice="withdrawn from arXiv" if paper.retracted else "",
    )


def _version_number(record: Record) -> int:
    return _number(record.paper.version)


def _number(version: str) -> int:
    return int(version.removeprefix("v") or 0)


def _canonical(name: str) -> str:
    """An id as arXiv's own answers write it, without the subject class of old ones."""
    return _SUBJECT_CLASS.sub("/", name.lower())


def _line(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _found(text: str, name: tuple[str, str] | None, found: dict[str, Record]) -> Record | Skipped:
    if name is None:
        return Skipped(text, f"'{text}' is no arXiv id; give one such as 2502.14802.")
    record = found.get(_canonical("".join(name)))
    if record is None:
        return Skipped(text, f"arXiv has no paper {''.join(name)}; check the id.")
    latest = found[_canonical(name[0])].paper.version
    if _number(latest) > _number(record.paper.version):
        return replace(record, paper=replace(record.paper, newer=latest))
    return record


def _garbled() -> SourceError:
    return SourceError("arXiv's answer was no complete feed; try again, or check 'arxiv.api'.")
