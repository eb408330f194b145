"""Semantic Scholar: works by search or id, where preprints were published, who cites whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from scholar.settings import Settings
from scholar.sources.fields import dicts_at, dig, record, text_at, year_of
from scholar.sources.lookup import Name, batches, known_by, look_up
from scholar.sources.names import Scheme, identifiers
from scholar.sources.record import Record, Skipped, Status
from scholar.sources.web import DAY, WEEK, Service, Web
from scholar.values import Paper, Reference

_SCHEMES: tuple[Scheme, ...] = ("s2", "corpus", "doi", "arxiv", "pmid")
_PREFIXES = {"s2": "", "corpus": "CorpusId:", "doi": "DOI:", "arxiv": "ARXIV:", "pmid": "PMID:"}
_FIELDS = "title,abstract,authors,year,venue,journal,externalIds,openAccessPdf"
_CITED = "references.title,references.authors,references.year,references.externalIds"
_BATCH = 100
"""Ids in one request; more than 500 are refused, and with their references answers grow large."""
_SEARCH_PAGE = 100
_WALK_PAGE = 1000
_LAST = 9_999
"""Semantic Scholar refuses to page further."""

_Work = dict[str, Any]


class SemanticScholarSource:
    """Semantic Scholar as `settings` name it. Every method raises SourceError where it cannot be
    asked.
    """

    name = "Semantic Scholar"

    def __init__(self, settings: Settings, web: Web) -> None:
        own = settings.semanticscholar
        headers = {"x-api-key": own.key.get_secret_value()} if own.key is not None else {}
        self._api = f"{own.api.rstrip('/')}/paper"
        self._web = web
        self._service = Service(self.name, "semanticscholar.api", own.delay, headers=headers)

    async def search(self, query: str, limit: int) -> list[Record | Skipped]:
        """At most `limit` works for `query`, the most relevant first."""
        words = " ".join(query.split())
        if not words:
            return []
        params = {"query": words, "fields": _FIELDS}
        works = await self._pages("search", params, limit, _SEARCH_PAGE, ("total", int))
        return [_record(work) for work in works]

    async def by_id(self, ids: Sequence[str]) -> list[Record | Skipped]:
        """The works with these ids of Semantic Scholar, DOIs, arXiv or PubMed ids, in order."""
        works = await self._look_up(ids, f"{_FIELDS},{_CITED}", WEEK)
        return [work if isinstance(work, Skipped) else _record(work) for work in works]

    async def status(self, papers: Sequence[Paper]) -> dict[str, Status]:
        """Where those of `papers` that are preprints were published, by id."""
        names = known_by((paper for paper in papers if "doi" not in paper.identifiers), _SCHEMES)
        works = await self._look_up(list(names.values()), "externalIds", DAY)
        return {
            id: Status(published_doi=_ids(work)["doi"])
            for id, work in zip(names, works, strict=True)
            if not isinstance(work, Skipped) and "doi" in _ids(work)
        }

    async def citations(self, paper: Paper, limit: int) -> list[Record | Skipped]:
        """At most `limit` works that cite `paper`; none where it is not known here."""
        return await self._walk(paper, "citations", "citingPaper", limit)

    async def references(self, paper: Paper, limit: int) -> list[Record | Skipped]:
        """At most `limit` works that `paper` cites; none where it is not known here."""
        return await self._walk(paper, "references", "citedPaper", limit)

    async def _walk(
        self, paper: Paper, direction: str, key: str, limit: int
    ) -> list[Record | Skipped]:
        found: list[Record | Skipped] = []
        for name in known_by([paper], _SCHEMES).values():
            path = f"{quote(_asked(name), safe=':/')}/{direction}"
            links = await self._pages(path, {"fields": _FIELDS}, limit, _WALK_PAGE)
            found += [_record(work) for link in links if (work := dig(link, key))]
        return found

    async def _pages(
        self,
        path: str,
        params: dict[str, str],
        limit: int,
        size: int,
        needs: tuple[str, type] | None = None,
    ) -> list[_Work]:
        """The entries at `path`, `size` at a time; it must be there if it `needs` a key."""
        found: list[_Work] = []
        offset: int | None = 0
        while offset is not None and len(found) < limit:
            wanted = min(size, limit - len(found), _LAST - offset)
            place = {"offset": str(offset), "limit": str(wanted)}
            address = f"{self._api}/{path}"
            page = await self._web.json(
                self._service, address, params | place, age=DAY, needs=needs, must=bool(needs)
            )
            found += dicts_at(page, "data")
            offset = _further(page, offset)
        return found[: max(0, limit)]

    async def _look_up(self, ids: Sequence[str], fields: str, age: float) -> list[_Work | Skipped]:
        async def ask(names: list[Name]) -> dict[Name, _Work]:
            found: dict[Name, _Work] = {}
            for batch in batches(names, _BATCH):
                written = [_PREFIXES[scheme] + value for scheme, value in batch]
                works = await self._several(written, fields, age)
                pairs = zip(batch, works, strict=False)
                found |= {name: work for name, work in pairs if isinstance(work, dict)}
            return found

        return await look_up(self.name, ids, _SCHEMES, ask)

    async def _several(self, names: list[str], fields: str, age: float) -> list[Any]:
        """The works with these names, and None for each that there is none of."""
        params = {"fields": fields}
        if len(names) == 1:
            address = f"{self._api}/{quote(names[0], safe=':/')}"
            return [await self._web.json(self._service, address, params, age=age)]
        body = {"ids": names}
        address = f"{self._api}/batch"
        works: list[Any] = await self._web.json(
            self._service, address, params, body=body, age=age, kind=list, must=True
        )
        return works


def _asked(name: str) -> str:
    """A name such as "doi:10.1000/x" as Semantic Scholar writes it."""
    scheme, _, value = name.partition(":")
    return _PREFIXES[scheme] + value


def _further(page: Any, offset: int) -> int | None:
    """Where the next page begins, or None where this was the last."""
    further = dig(page, "next")
    return further if isinstance(further, int) and offset < further < _LAST else None


def _ids(work: _Work) -> dict[str, str]:
    return _names(work)[0]


def _names(work: _Work) -> tuple[dict[str, str], str]:
    return identifiers(**_given(work))


def _given(work: _Work) -> dict[str, Any]:
    return {
        "doi": text_at(work, "externalIds", "DOI"),
        "arxiv": [text_at(work, "externalIds", "ArXiv")],
        "pmid": text_at(work, "externalIds", "PubMed"),
        "s2": text_at(work, "paperId"),
    }


def _record(work: _Work) -> Record | Skipped:
    return record(
        title=text_at(work, "title"),
        where=f"Semantic Scholar {text_at(work, 'paperId')}".strip(),
        authors=[text_at(author, "name") for author in dicts_at(work, "authors")],
        year=text_at(work, "year"),
        venue=text_at(work, "venue") or text_at(work, "journal", "name"),
        abstract=text_at(work, "abstract"),
        ids=_given(work),
        source=_source(work),
        addresses=[text_at(work, "openAccessPdf", "url")],
        references=[_reference(each) for each in dicts_at(work, "references")],
    )


def _source(work: _Work) -> str:
    name = text_at(work, "paperId")
    return f"https://www.semanticscholar.org/paper/{name}" if name else ""


def _reference(cited: _Work) -> Reference:
    authors = tuple(filter(None, (text_at(each, "name") for each in dicts_at(cited, "authors"))))
    title, year = text_at(cited, "title"), text_at(cited, "year")
    parts = (", ".join(authors), f"({year})" if year else "", title)
    return Reference(
        text=". ".join(filter(None, parts)),
        title=title,
        authors=authors,
        year=year_of(year),
        identifiers=_ids(cited),
    )
