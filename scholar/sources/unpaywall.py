"""Unpaywall: where a work with a DOI is openly to be had, and bringing it from there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from scholar.errors import SourceError
from scholar.settings import Settings
from scholar.sources.fields import dicts_at, dig, list_at, record, text_at
from scholar.sources.lookup import by_scheme, look_up
from scholar.sources.names import Scheme
from scholar.sources.record import Record, Skipped
from scholar.sources.web import DAY, Service, Web, is_pdf
from scholar.values import Paper

_NO_EMAIL = "Unpaywall answers only those who give an address; set 'email' to ask it."
_LONGEST_NAME = 60

_Work = dict[str, Any]


class UnpaywallSource:
    """Unpaywall as `settings` name it, which its terms allow with an `email` in them alone.

    Without one, what is asked of it is skipped. Every method raises SourceError where it cannot be
    asked.
    """

    name = "Unpaywall"

    def __init__(self, settings: Settings, web: Web) -> None:
        own = settings.unpaywall
        self._api = own.api.rstrip("/")
        self._web = web
        self._email = settings.email
        self._service = Service(self.name, "unpaywall.api", own.delay, {"email": self._email})

    async def search(self, query: str, limit: int) -> list[Record | Skipped]:
        """At most `limit` works whose titles fit `query`, the best fit first."""
        words = " ".join(query.split())
        if not words or limit < 1:
            return []
        if not self._email:
            return [Skipped(f"{self.name}: {query}", _NO_EMAIL)]
        address, needs = f"{self._api}/search", ("results", list)
        page = await self._web.json(
            self._service, address, {"query": words}, age=DAY, needs=needs, must=True
        )
        works = [dig(result, "response") for result in dicts_at(page, "results")]
        return [_record(work) for work in works[:limit]]

    async def by_id(self, ids: Sequence[str]) -> list[Record | Skipped]:
        """The works with these DOIs, in their order."""
        if not self._email:
            return [Skipped(text, _NO_EMAIL) for text in ids]
        works = await look_up(self.name, ids, ("doi",), lambda names: by_scheme(names, self._ask))
        return [work if isinstance(work, Skipped) else _record(work) for work in works]

    async def fetch(self, found: Record, folder: Path) -> Path:
        """The full text of `found` as a PDF in `folder`, from its addresses, else by its DOI.

        One that is there already is not fetched again. Raises SourceError, with what stood in the
        way, where there is none.
        """
        target = folder / f"{_file_name(found.paper)}.pdf"
        problems: list[str] = []
        if await self._first(found.addresses, target, problems):
            return target
        if await self._first(await self._open_addresses(found.paper, problems), target, problems):
            return target
        raise SourceError(
            " ".join(problems)
            or f"No open copy of '{found.paper.title}' is known; add its PDF by hand."
        )

    async def _ask(self, scheme: Scheme, values: list[str]) -> dict[str, _Work]:
        found: dict[str, _Work] = {}
        for value in values:
            address = f"{self._api}/{quote(value, safe=':/')}"
            work = await self._web.json(self._service, address, age=DAY, needs=("doi", str))
            if work is not None:
                found[value] = work
        return found

    async def _open_addresses(self, paper: Paper, problems: list[str]) -> tuple[str, ...]:
        doi = paper.identifiers.get("doi")
        if doi is None:
            return ()
        try:
            (known,) = await self.by_id([doi])
        except SourceError as error:
            problems.append(str(error))
            return ()
        return known.addresses if isinstance(known, Record) else ()

    async def _first(self, addresses: Sequence[str], target: Path, problems: list[str]) -> bool:
        """Whether one of `addresses` gave the file; why each other did not goes to `problems`."""
        for address in addresses:
            # Each address is a service of its own, named for its host.
            place = Service(urlsplit(address).netloc, address, hint="try again later")
            try:
                if await self._web.file(place, address, target, is_pdf):
                    return True
                problems.append(f"There is nothing at {address}; open it in a browser to see.")
            except SourceError as error:
                problems.append(str(error))
        return False


def _file_name(paper: Paper) -> str:
    """A name that no other paper's file has."""
    digest = hashlib.sha256(paper.id.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', paper.id)[:_LONGEST_NAME]}-{digest}"


def _record(work: Any) -> Record | Skipped:
    places = [dig(work, "best_oa_location"), *list_at(work, "oa_locations")]
    return record(
        title=text_at(work, "title"),
        where=f"Unpaywall {text_at(work, 'doi')}".strip(),
        authors=[_name(author) for author in dicts_at(work, "z_authors")],
        year=text_at(work, "year"),
        venue=text_at(work, "journal_name"),
        ids={
            "doi": text_at(work, "doi"),
            "arxiv": [text_at(place, "url_for_landing_page") for place in places],
        },
        source=text_at(work, "doi_url"),
        addresses=[text_at(place, "url_for_pdf") for place in places],
    )


def _name(author: dict[str, Any]) -> str:
    parts = (text_at(author, "given"), text_at(author, "family"))
    return text_at(author, "raw_author_name") or " ".join(filter(None, parts))
