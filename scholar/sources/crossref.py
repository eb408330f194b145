"""Crossref: works by search or DOI, and what has become of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from scholar.settings import Settings
from scholar.sources.fields import dicts_at, dig, record, text_at, texts_at, year_of
from scholar.sources.lookup import batches, by_scheme, known_by, look_up, together
from scholar.sources.names import Scheme, parse_doi
from scholar.sources.record import Record, Skipped, Status
from scholar.sources.web import DAY, WEEK, Service, Web
from scholar.values import Paper, Reference

_SCHEMES: tuple[Scheme, ...] = ("doi",)
_BATCH = 30
"""DOIs in one request, so that its address stays below 2,000 characters."""
_PAGE = 100
_RETRACTIONS = ("retraction", "withdrawal", "removal")
_NEWER = ("new_version", "new_edition")

_Work = dict[str, Any]


class CrossrefSource:
    """Crossref as `settings` name it. Every method raises SourceError where it cannot be asked."""

    name = "Crossref"

    def __init__(self, settings: Settings, web: Web) -> None:
        own = settings.crossref
        extra = {"mailto": settings.email} if settings.email else {}
        self._works = f"{own.api.rstrip('/')}/works"
        self._web = web
        self._service = Service(self.name, "crossref.api", own.delay, extra)

    async def search(self, query: str, limit: int) -> list[Record | Skipped]:
        """At most `limit` works for `query`, the most relevant first."""
        words = " ".join(query.split())
        works: list[_Work] = []
        while words and len(works) < limit:
            size = min(limit - len(works), _PAGE)
            params = {"query.bibliographic": words, "rows": str(size)}
            page = await self._list(params | ({"offset": str(len(works))} if works else {}), DAY)
            works += page
            if len(page) < size:
                break
        return [_record(work) for work in works[: max(0, limit)]]

    async def by_id(self, ids: Sequence[str]) -> list[Record | Skipped]:
        """The works with these DOIs, in their order."""
        works = await self._look_up(ids, WEEK)
        return [work if isinstance(work, Skipped) else _record(work) for work in works]

    async def status(self, papers: Sequence[Paper]) -> dict[str, Status]:
        """Whether `papers` are retracted, superseded or, as preprints, published; by id."""
        names = known_by(papers, _SCHEMES)
        works = await self._look_up(list(names.values()), DAY)
        return {
            id: _status(work)
            for id, work in zip(names, works, strict=True)
            if not isinstance(work, Skipped)
        }

    async def _look_up(self, ids: Sequence[str], age: float) -> list[_Work | Skipped]:
        async def ask(scheme: Scheme, values: list[str]) -> dict[str, _Work]:
            found: dict[str, _Work] = {}
            listed, single = together(values, apart=",")
            for batch in batches(listed, _BATCH):
                params = {"filter": ",".join(f"doi:{each}" for each in batch), "rows": str(_BATCH)}
                found |= {_doi(work): work for work in await self._list(params, age)}
            for value in single:
                if work := await self._work(value, age):
                    found[value] = work
            return found

        return await look_up(self.name, ids, _SCHEMES, lambda names: by_scheme(names, ask))

    async def _work(self, doi: str, age: float) -> _Work | None:
        address = f"{self._works}/{quote(doi, safe=':')}"
        needs = ("message", dict)
        answer = await self._web.json(self._service, address, age=age, needs=needs)
        work = dig(answer, "message")
        return work if isinstance(work, dict) else None

    async def _list(self, params: dict[str, str], age: float) -> list[_Work]:
        needs = ("message", dict)
        page = await self._web.json(
            self._service, self._works, params, age=age, needs=needs, must=True
        )
        return dicts_at(page, "message", "items")


def _doi(work: _Work) -> str:
    return parse_doi(text_at(work, "DOI"))


def _record(work: _Work) -> Record | Skipped:
    return record(
        title=_title(work),
        where=f"Crossref {_doi(work)}",
        authors=[_name(each) for each in dicts_at(work, "author")],
        year=_year(work),
        venue=_venue(work),
        abstract=text_at(work, "abstract"),
        ids={"doi": _doi(work), "arxiv": _arxiv(work)},
        source=text_at(work, "URL"),
        retracted=_status(work).retracted is True,
        addresses=[
            text_at(link, "URL")
            for link in dicts_at(work, "link")
            if text_at(link, "content-type") == "application/pdf"
        ],
        references=[_reference(each) for each in dicts_at(work, "reference")],
    )


def _title(work: _Work) -> str:
    title, subtitle = (next(iter(texts_at(work, key)), "") for key in ("title", "subtitle"))
    if not title or not subtitle or subtitle.casefold() in title.casefold():
        return title
    return f"{title.rstrip(':')}: {subtitle}"


def _name(author: dict[str, Any]) -> str:
    parts = (text_at(author, "given"), text_at(author, "family"), text_at(author, "suffix"))
    return " ".join(filter(None, parts)) or text_at(author, "name")


def _year(work: _Work) -> str:
    dates = ("issued", "published", "published-print", "published-online", "posted", "created")
    years = (text_at(work, date, "date-parts", 0, 0) for date in dates)
    return next(filter(None, years), "")


def _venue(work: _Work) -> str:
    names = [*texts_at(work, "container-title"), text_at(work, "institution", 0, "name")]
    return next(filter(None, names), "")


def _arxiv(work: _Work) -> list[str]:
    """The arXiv ids of the work's own preprints."""
    related = dicts_at(work, "relation", "has-preprint") + dicts_at(work, "relation", "is-same-as")
    return [text_at(each, "id") for each in related if text_at(each, "id-type").lower() == "arxiv"]


def _reference(cited: dict[str, Any]) -> Reference:
    title = text_at(cited, "article-title") or text_at(cited, "volume-title")
    author, year = text_at(cited, "author"), text_at(cited, "year")
    parts = (author, f"({year})" if year else "", title, text_at(cited, "journal-title"))
    doi = parse_doi(text_at(cited, "DOI"))
    return Reference(
        text=text_at(cited, "unstructured") or ". ".join(filter(None, (*parts, doi))),
        title=title,
        authors=(author,) if author else (),
        year=year_of(year),
        identifiers={"doi": doi} if doi else {},
    )


def _status(work: _Work) -> Status:
    updates = dicts_at(work, "updated-by")
    kinds = {text_at(update, "type").lower(): update for update in updates}
    gone = next((kinds[kind] for kind in _RETRACTIONS if kind in kinds), None)
    newer = next((kinds[kind] for kind in _NEWER if kind in kinds), None)
    notice = gone or next(iter(updates), None)
    words = (text_at(notice, "label") or text_at(notice, "type"), text_at(notice, "DOI"))
    published = dicts_at(work, "relation", "is-preprint-of")
    return Status(
        retracted=gone is not None,
        newer=parse_doi(text_at(newer, "DOI")),
        published_doi=next(
            (doi for each in published if (doi := parse_doi(text_at(each, "id")))), ""
        ),
        notice=" ".join(filter(None, words)),
    )
