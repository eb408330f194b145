"""arXiv: records by id or by search, and PDFs. Its packages load with the first request."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import tempfile
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scholar.errors import SourceError
from scholar.settings import Arxiv
from scholar.sources.record import Record, Skipped
from scholar.values import Paper

if TYPE_CHECKING:
    import arxiv  # type: ignore[import-untyped]
    import httpx2
    import requests

_PAGE = 100
"""Records asked for at once; arXiv slows down on larger pages."""
_BATCH = 50
"""Ids in one request, so that its address stays below 2,000 characters."""
_RETRIES = 2
_LONGEST_WAIT = 30.0
"""Seconds that a server's Retry-After is obeyed for; past that the user should decide."""
_LARGEST_PDF = 200 * 1024 * 1024
_BUSY = (429, 500, 502, 503, 504)
_AGENT = "scholar (a research assistant)"

_ID = re.compile(
    r"(?:https?://(?:www\.|export\.)?arxiv\.org/(?:abs|pdf|html)/|arxiv:\s*)?"
    r"(?P<id>\d{4}\.\d{4,5}|[a-z][a-z-]+(?:\.[a-z]{2})?/\d{7})"
    r"(?P<version>v[1-9]\d*)?(?:\.pdf)?/?(?:[?#].*)?",
    re.IGNORECASE,
)

_SUBJECT_CLASS = re.compile(r"\.[a-z]{2}/")


def parse_id(text: str) -> tuple[str, str] | None:
    """The arXiv id in `text` without its version, and the version ("v2") or "".

    Takes bare ids, old-style ones too, `arXiv:` names and addresses; None for anything else.
    """
    match = _ID.fullmatch(text.strip())
    if match is None:
        return None
    return match["id"], (match["version"] or "").lower()


class ArxivSource:
    """arXiv as `settings` name it. Requests are kept `settings.delay` seconds apart.

    `timeout` is the seconds that arXiv may send nothing. Every method raises SourceError where
    arXiv cannot be reached or answers with something else than what was asked for.
    """

    def __init__(self, settings: Arxiv, *, offline: bool = False, timeout: float = 20.0) -> None:
        self._settings = settings
        self._offline = offline
        self._timeout = timeout
        self._client: arxiv.Client | None = None
        self._turn = asyncio.Lock()
        self._free_at = 0.0

    async def by_id(self, ids: Sequence[str]) -> list[Record | Skipped]:
        """The papers with these ids, in their order; an id without a version means the latest."""
        self._check_online()
        names = [parse_id(text) for text in ids]
        wanted = list(dict.fromkeys("".join(name) for name in names if name))
        found: dict[str, Record] = {}
        for at in range(0, len(wanted), _BATCH):
            batch = wanted[at : at + _BATCH]
            results = await self._results(limit=len(batch), id_list=batch)
            for record in sorted(map(_record, results), key=_version_number):
                name = _canonical(record.paper.identifiers["arxiv"])
                found[name] = found[name + record.paper.version] = record
        return [_found(text, name, found) for text, name in zip(ids, names, strict=True)]

    async def search(self, query: str, limit: int) -> list[Record | Skipped]:
        """At most `limit` papers for `query` in arXiv's syntax, the most relevant first."""
        self._check_online()
        if limit < 1 or not query.strip():
            return []
        results = await self._results(limit=limit, query=" ".join(query.split()))
        return [_record(result) for result in results]

    async def fetch_pdf(self, paper: Paper, folder: Path) -> Path:
        """The PDF of `paper` in `folder`; one that is there already is not fetched again."""
        self._check_online()
        name = paper.identifiers.get("arxiv", "") + paper.version
        if parse_id(name) is None:
            raise SourceError(f"'{paper.title}' has no arXiv id; add its PDF by hand.")
        target = folder / f"{name.replace('/', '_')}.pdf"
        if not target.is_file():
            data = await self._download(f"{self._settings.pdf}/{name}")
            await asyncio.to_thread(_store, data, target)
        return target

    def _check_online(self) -> None:
        if self._offline:
            raise SourceError("offline is set; unset it to reach arXiv.")

    async def _results(self, *, limit: int, **search: Any) -> list[arxiv.Result]:
        async with self._turn:
            await self._wait()
            try:
                return await asyncio.to_thread(self._ask, limit, search)
            finally:
                self._free_at = time.monotonic() + self._settings.delay

    async def _wait(self) -> None:
        await asyncio.sleep(max(0.0, self._free_at - time.monotonic()))

    def _ask(self, limit: int, search: dict[str, Any]) -> list[arxiv.Result]:
        import arxiv
        import requests

        client = self._client = self._client or _client(self._settings, self._timeout)
        client.page_size = min(limit, _PAGE)
        try:
            return list(client.results(arxiv.Search(max_results=limit, **search)))
        except arxiv.HTTPError as error:
            raise _refused(error.status) from None
        except arxiv.UnexpectedEmptyPageError:
            raise _garbled() from None
        except requests.RequestException as error:
            raise _unreachable(isinstance(error, requests.Timeout)) from None
        except ValueError:  # a date or number in the feed
            raise _garbled() from None
        finally:
            client._session.close()

    async def _download(self, address: str, retries: int = _RETRIES) -> bytes:
        answer = await self._attempt(address)
        if isinstance(answer, bytes):
            return answer
        if not retries or answer.status not in _BUSY or answer.retry_after > _LONGEST_WAIT:
            raise _refused(answer.status, address)
        self._free_at = max(self._free_at, time.monotonic() + answer.retry_after)
        return await self._download(address, retries - 1)

    async def _attempt(self, address: str) -> bytes | _Refusal:
        async with self._turn:
            await self._wait()
            try:
                return await _pdf(address, self._timeout)
            finally:
                self._free_at = time.monotonic() + self._settings.delay


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An answer that is no PDF, and the seconds the server asked to be left alone."""

    status: int
    retry_after: float


async def _pdf(address: str, silence: float) -> bytes | _Refusal:
    import httpx2

    headers = {"User-Agent": _AGENT}
    options: dict[str, Any] = {"follow_redirects": True, "timeout": silence, "headers": headers}
    try:
        async with (
            httpx2.AsyncClient(**options) as client,
            client.stream("GET", address) as answer,
        ):
            if answer.status_code != httpx2.codes.OK:
                return _Refusal(answer.status_code, _seconds(answer.headers.get("Retry-After", "")))
            return await _body(answer, address)
    except httpx2.TimeoutException:
        raise _unreachable(late=True) from None
    except (httpx2.HTTPError, httpx2.InvalidURL):
        raise _unreachable(late=False) from None


async def _body(answer: httpx2.Response, address: str) -> bytes:
    data = bytearray()
    async for chunk in answer.aiter_bytes():
        data += chunk
        if len(data) > _LARGEST_PDF:
            limit = _LARGEST_PDF // 2**20
            raise SourceError(f"{address} is larger than {limit} MB; download it by hand.")
    if not data.startswith(b"%PDF"):
        raise SourceError(f"{address} gave no PDF but something else; open it in a browser to see.")
    return bytes(data)


def _seconds(retry_after: str) -> float:
    """Retry-After as seconds; the form with a date is taken as a short pause."""
    return float(retry_after) if retry_after.isdigit() else 0.0


def _store(data: bytes, target: Path) -> None:
    """Write `data` to `target` so that no half-written file ever has that name."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, target)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or "no reason given"
        raise SourceError(
            f"{target} could not be written ({reason}); free or choose a folder."
        ) from None


def _client(settings: Arxiv, timeout: float) -> arxiv.Client:
    import arxiv
    import requests

    class Adapter(requests.adapters.HTTPAdapter):
        """Sets the timeout that `arxiv.Client` leaves out: without one it may wait for ever."""

        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            return super().send(*args, **{**kwargs, "timeout": timeout})

    # The package logs what it passes over; with no handler, Python would print that.
    logging.getLogger("arxiv").addHandler(logging.NullHandler())
    client = arxiv.Client(delay_seconds=settings.delay, num_retries=_RETRIES)
    client.query_url_format = settings.api + "?{}"
    for scheme in ("https://", "http://"):
        client._session.mount(scheme, Adapter())
    client._session.hooks["response"].append(_check)
    return client


def _check(response: requests.Response, *args: Any, **kwargs: Any) -> None:
    """Stop at answers that the package would repeat in vain or take for an empty feed."""
    status = response.status_code
    if 400 <= status < 500 and status not in _BUSY:
        raise _refused(status)
    if status == 200 and not response.content.rstrip().endswith(b"</feed>"):
        raise _garbled()


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
    )
    return Record(paper, abstract=_line(result.summary))


def _version_number(record: Record) -> int:
    return int(record.paper.version.removeprefix("v") or 0)


def _canonical(name: str) -> str:
    """An id as arXiv's own answers write it, without the subject class of old ones."""
    return _SUBJECT_CLASS.sub("/", name.lower())


def _line(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _found(text: str, name: tuple[str, str] | None, found: dict[str, Record]) -> Record | Skipped:
    if name is None:
        return Skipped(text, f"'{text}' is no arXiv id; give one such as 2502.14802.")
    record = found.get(_canonical("".join(name)))
    return record or Skipped(text, f"arXiv has no paper {''.join(name)}; check the id.")


def _refused(status: int, address: str = "") -> SourceError:
    if status == 404 and address:
        return SourceError(f"arXiv has no PDF at {address}; open the paper's page to see why.")
    if status in _BUSY:
        return SourceError(f"arXiv is busy (HTTP {status}); try again in a few minutes.")
    return SourceError(f"arXiv refused the request (HTTP {status}); check the ids or the query.")


def _unreachable(late: bool) -> SourceError:
    if late:
        return SourceError("arXiv did not answer in time; try again in a few minutes.")
    return SourceError("arXiv could not be reached; check the connection or the 'arxiv' settings.")


def _garbled() -> SourceError:
    return SourceError("arXiv's answer was no complete feed; try again, or check 'arxiv.api'.")
