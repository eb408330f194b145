"""OpenAlex: works by search or id, which are retracted, and who cites whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from scholar.settings import Settings
from scholar.sources.fields import dicts_at, dig, list_at, record, text_at, texts_at
from scholar.sources.lookup import batches, by_scheme, known_by, look_up, together
from scholar.sources.names import Scheme, parse_doi
from scholar.sources.record import Record, Skipped, Status
from scholar.sources.web import DAY, WEEK, Service, Web
from scholar.values import Paper, Reference

_SCHEMES: tuple[Scheme, ...] = ("openalex", "doi", "pmid", "arxiv")
_ARXIV_DOI = "10.48550/arxiv."
_BATCH = 40
"""Ids in one request: OpenAlex takes 50, and addresses stay below 2,000 characters."""
_PAGE = 100
_LONGEST_ABSTRACT = 50_000
"""Words; a position beyond is an error of the index."""

_Work = dict[str, Any]


class OpenAlexSource:
    """OpenAlex as `settings` name it. Every method raises SourceError where it cannot be asked."""

    name = "OpenAlex"

    def __init__(self, settings: Settings, web: Web) -> None:
        own = settings.openalex
        extra = {"mailto": settings.email} if settings.email else {}
        if own.key is not None:
            extra["api_key"] = own.key.get_secret_value()
        self._works = f"{own.api.rstrip('/')}/works"
        self._web = web
        self._service = Service(self.name, "openalex.api", own.delay, extra)

    async def search(self, query: str, limit: int) -> list[Record | Skipped]:
        """At most `limit` works for `query`, the most relevant first."""
        words = " ".join(query.split())
        works = await self._pages({"search": words}, limit) if words else []
        return [_record(work) for work in works]

    async def by_id(self, ids: Sequence[str]) -> list[Record | Skipped]:
        """The works with these DOIs, PubMed ids, arXiv ids or ids of OpenAlex, in their order."""
        works = await self._look_up(ids, WEEK)
        return [work if isinstance(work, Skipped) else _record(work) for work in works]

    async def status(self, papers: Sequence[Paper]) -> dict[str, Status]:
        """Which of `papers` are retracted, by id."""
        names = known_by(papers, _SCHEMES[1:])
        works = await self._look_up(list(names.values()), DAY)
        return {
            id: Status(retracted=dig(work, "is_retracted") is True)
            for id, work in zip(names, works, strict=True)
            if not isinstance(work, Skipped)
        }

    async def citations(self, paper: Paper, limit: int) -> list[Record | Skipped]:
        """At most `limit` works that cite `paper`; none where OpenAlex does not know it."""
        work = await self._find(paper)
        if work is None:
            return []
        works = await self._pages({"filter": f"cites:{_id(work)}"}, limit)
        return [_record(each) for each in works]

    async def references(self, paper: Paper, limit: int) -> list[Record | Skipped]:
        """At most `limit` works that `paper` cites; none where OpenAlex does not know it."""
        work = await self._find(paper)
        return await self.by_id(texts_at(work, "referenced_works")[: max(0, limit)])

    async def _find(self, paper: Paper) -> _Work | None:
        names = known_by([paper], _SCHEMES)
        works = await self._look_up(list(names.values()), WEEK)
        return next((work for work in works if not isinstance(work, Skipped)), None)

    async def _look_up(self, ids: Sequence[str], age: float) -> list[_Work | Skipped]:
        async def ask(scheme: Scheme, values: list[str]) -> dict[str, _Work]:
            if scheme == "arxiv":
                found = await ask("doi", [_ARXIV_DOI + value for value in values])
                return {name.removeprefix(_ARXIV_DOI): work for name, work in found.items()}
            found = {}
            listed, single = together(values, apart=",|")
            for batch in batches(listed, _BATCH):
                params = {"filter": f"{scheme}:{'|'.join(batch)}", "per-page": str(len(batch))}
                page = await self._page(params, age)
                found |= {_named(work, scheme): work for work in dicts_at(page, "results")}
            for value in single:
                address = f"{self._works}/{_path(scheme, value)}"
                needs = ("id", str)
                if work := await self._web.json(self._service, address, age=age, needs=needs):
                    found[value] = work
            return found

        return await look_up(self.name, ids, _SCHEMES, lambda names: by_scheme(names, ask))

    async def _pages(self, params: dict[str, str], limit: int) -> list[_Work]:
        works: list[_Work] = []
        cursor = "*"
        while cursor and len(works) < limit:
            size = min(limit, _PAGE)
            page = await self._page({**params, "per-page": str(size), "cursor": cursor}, DAY)
            works += (found := dicts_at(page, "results"))
            cursor = text_at(page, "meta", "next_cursor") if len(found) == size else ""
        return works[: max(0, limit)]

    async def _page(self, params: dict[str, str], age: float) -> Any:
        return await self._web.json(
            self._service, self._works, params, age=age, needs=("results", list), must=True
        )


def _path(scheme: Scheme, value: str) -> str:
    if scheme == "openalex":
        return value
    return f"pmid:{value}" if scheme == "pmid" else f"https://doi.org/{quote(value, safe=':')}"


def _named(work: _Work, scheme: Scheme) -> str:
    """The id of `work` in the form in which it was asked for."""
    if scheme == "doi":
        return parse_doi(text_at(work, "doi"))
    return _id(work) if scheme == "openalex" else _pmid(work)


def _id(work: _Work) -> str:
    return text_at(work, "id").rpartition("/")[2]


def _pmid(work: _Work) -> str:
    return text_at(work, "ids", "pmid").rpartition("/")[2]


def _record(work: _Work) -> Record | Skipped:
    places = [dig(work, "best_oa_location"), *list_at(work, "locations")]
    doi = text_at(work, "doi")
    return record(
        title=text_at(work, "title") or text_at(work, "display_name"),
        where=f"OpenAlex {_id(work)}",
        authors=[text_at(each, "author", "display_name") for each in list_at(work, "authorships")],
        year=text_at(work, "publication_year"),
        venue=text_at(work, "primary_location", "source", "display_name"),
        abstract=_abstract(work),
        ids={
            "doi": doi,
            "pmid": _pmid(work),
            "openalex": _id(work),
            "arxiv": [text_at(place, "landing_page_url") for place in places],
        },
        source=doi or text_at(work, "id"),
        retracted=dig(work, "is_retracted") is True,
        addresses=[text_at(place, "pdf_url") for place in places],
        references=[
            Reference(text=address, identifiers={"openalex": address.rpartition("/")[2]})
            for address in texts_at(work, "referenced_works")
        ],
    )


def _abstract(work: _Work) -> str:
    """The abstract, which OpenAlex gives as the places of each word."""
    index = dig(work, "abstract_inverted_index")
    if not isinstance(index, dict):
        return ""
    places = [
        (place, word)
        for word in index
        for place in list_at(index, word)
        if isinstance(place, int) and 0 <= place < _LONGEST_ABSTRACT
    ]
    return " ".join(word for _, word in sorted(places))
