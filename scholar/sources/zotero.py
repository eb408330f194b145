"""Zotero on this machine, through its local interface: items with the files attached to them.

What Zotero exports (BibTeX, RIS, CSL JSON, CSV) is read by the modules of those formats.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from scholar.settings import Settings
from scholar.sources.fields import dicts_at, dig, path_of, record, text_at
from scholar.sources.names import identify
from scholar.sources.record import Record, Skipped
from scholar.sources.web import Service, Web

_PAGE = 100
_KEY = re.compile(r"(?:https?://\S*/items/|zotero://select/\S*/items/)?([A-Z0-9]{8})")
_HINT = (
    "start Zotero and allow other applications to communicate with it (Settings, Advanced), "
    "or check '{setting}'"
)
_VENUES = (
    "publicationTitle",
    "proceedingsTitle",
    "bookTitle",
    "conferenceName",
    "repository",
    "institution",
    "university",
    "publisher",
)
_LOCAL = ("localhost", "127.0.0.1", "::1")
_NO_WORKS = ("attachment", "note", "annotation")
_NEVER = 0.0
"""The age of kept answers: Zotero's change at any time, and are near."""
_EXTRA = re.compile(r"^\s*(arxiv|doi|pmid)\s*:\s*(\S+)", re.IGNORECASE | re.MULTILINE)

_Item = dict[str, Any]


class ZoteroSource:
    """Zotero as `settings` name it. Every method raises SourceError where it cannot be asked."""

    name = "Zotero"

    def __init__(self, settings: Settings, web: Web) -> None:
        own = settings.zotero
        self._items = f"{own.api.rstrip('/')}/{own.library.strip('/')}/items"
        self._web = web
        self._service = Service(
            self.name,
            "zotero.api",
            headers={"Zotero-API-Version": "3"},
            local=urlsplit(own.api).hostname in _LOCAL,
            hint=_HINT,
        )

    async def search(self, query: str, limit: int) -> list[Record | Skipped]:
        """At most `limit` items for `query`, those changed last first."""
        words = " ".join(query.split())
        if not words:
            return []
        params = {"q": words, "qmode": "everything"}
        items = await self._list(f"{self._items}/top", params, limit)
        return [await self._with_files(item) for item in items]

    async def by_id(self, ids: Sequence[str]) -> list[Record | Skipped]:
        """The items with these keys, DOIs, arXiv or PubMed ids, in their order."""
        return [await self._one(text) for text in ids]

    async def all(self) -> list[Record | Skipped]:
        """Every work in the library."""
        items = await self._list(f"{self._items}/top", {})
        attached: dict[str, list[_Item]] = {}
        for item in await self._list(self._items, {"itemType": "attachment"}):
            attached.setdefault(text_at(item, "data", "parentItem"), []).append(item)
        return [
            await self._record(item, attached.get(text_at(item, "key"), []))
            for item in items
            if text_at(item, "data", "itemType") not in _NO_WORKS
        ]

    async def _one(self, text: str) -> Record | Skipped:
        if match := _KEY.fullmatch(text.strip()):
            address = f"{self._items}/{match[1]}"
            item = await self._web.json(self._service, address, age=_NEVER)
            return await self._with_files(item) if item else _missing(text)
        name = identify(text)
        if name is None:
            return Skipped(text, f"'{text}' is no id that Zotero knows; give a key or a DOI.")
        found = await self.search(name[1], _PAGE)
        fits = (
            each
            for each in found
            if isinstance(each, Record) and each.paper.identifiers.get(name[0]) == name[1]
        )
        return next(fits, _missing(text))

    async def _list(
        self, address: str, params: dict[str, str], limit: int | None = None
    ) -> list[_Item]:
        """The items at `address`, at most `limit`; their last page is shorter than the others."""
        found: list[_Item] = []
        while limit is None or len(found) < limit:
            place = {"format": "json", "limit": str(_PAGE), "start": str(len(found))}
            page = await self._web.json(
                self._service, address, params | place, age=_NEVER, kind=list, must=True
            )
            items = [item for item in page if isinstance(item, dict)]
            found += items
            if len(page) < _PAGE:
                break
        return found[:limit]

    async def _with_files(self, item: _Item) -> Record | Skipped:
        children: list[_Item] = []
        if dig(item, "meta", "numChildren"):
            key = quote(text_at(item, "key"), safe="")
            children = await self._list(f"{self._items}/{key}/children", {})
        return await self._record(item, children)

    async def _record(self, item: _Item, children: Sequence[_Item]) -> Record | Skipped:
        names = [path for child in children if (path := _path(child))]
        files = await asyncio.to_thread(lambda: tuple(path for path in names if path.is_file()))
        return _described(item, files)


def _path(attachment: _Item) -> Path | None:
    """Where an attachment lies on this machine; None for a link or what is not stored."""
    address = text_at(attachment, "links", "enclosure", "href")
    if address.startswith("file:"):
        return Path(path_of(address))
    named = Path(text_at(attachment, "data", "path"))
    return named if named.is_absolute() else None


def _missing(text: str) -> Skipped:
    return Skipped(text, f"Zotero has no item {text}; check the id.")


def _described(item: _Item, files: tuple[Path, ...]) -> Record | Skipped:
    data = dig(item, "data")
    extra = {key.lower(): value for key, value in _EXTRA.findall(text_at(data, "extra"))}
    return record(
        title=text_at(data, "title"),
        where=f"Zotero {text_at(item, 'key')}".strip(),
        authors=[_name(each) for each in dicts_at(data, "creators") if _is_author(each)],
        year=text_at(data, "date"),
        venue=next(filter(None, (text_at(data, key) for key in _VENUES)), ""),
        abstract=text_at(data, "abstractNote"),
        ids={
            "doi": text_at(data, "DOI") or extra.get("doi", ""),
            "arxiv": [text_at(data, "archiveID"), text_at(data, "url"), extra.get("arxiv", "")],
            "pmid": extra.get("pmid", ""),
        },
        source=text_at(data, "url"),
        files=files,
    )


def _is_author(creator: dict[str, Any]) -> bool:
    return text_at(creator, "creatorType") not in ("editor", "translator", "seriesEditor")


def _name(creator: dict[str, Any]) -> str:
    parts = (text_at(creator, "firstName"), text_at(creator, "lastName"))
    return " ".join(filter(None, parts)) or text_at(creator, "name")
