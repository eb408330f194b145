"""The names by which works are known: arXiv ids, DOIs, and the ids of PubMed and of indexes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal
from urllib.parse import unquote

Scheme = Literal["arxiv", "doi", "pmid", "openalex", "s2", "corpus"]

_ID = re.compile(
    r"(?:https?://(?:www\.|export\.)?arxiv\.org/(?:abs|pdf|html)/|arxiv:\s*)?"
    r"(?P<id>\d{4}\.\d{4,5}|[a-z][a-z-]+(?:\.[a-z]{2})?/\d{7})"
    r"(?P<version>v[1-9]\d*)?(?:\.pdf)?/?(?:[?#].*)?",
    re.IGNORECASE,
)
_DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>{}]+")
_DOI_AT_START = re.compile(r"(?:https?://(?:dx\.|www\.)?doi\.org/|doi:\s*)", re.IGNORECASE)
_ARXIV_DOI = "10.48550/arxiv."
_OTHERS: tuple[tuple[Scheme, re.Pattern[str]], ...] = (
    ("openalex", re.compile(r"(?:https?://(?:api\.)?openalex\.org/(?:works/)?)?([Ww]\d{4,})")),
    ("pmid", re.compile(r"(?:pmid:\s*|https?://pubmed\.ncbi\.nlm\.nih\.gov/)(\d{1,8})/?", re.I)),
    ("corpus", re.compile(r"corpusid:\s*(\d+)", re.I)),
    ("s2", re.compile(r"(?:s2:|https?://\S*semanticscholar\.org/\S*?)?([0-9a-f]{40})", re.I)),
)


def parse_id(text: str) -> tuple[str, str] | None:
    """The arXiv id in `text` without its version, and the version ("v2") or "".

    Takes bare ids, old-style ones too, `arXiv:` names and addresses; None for anything else.
    """
    match = _ID.fullmatch(text.strip())
    if match is None:
        return None
    return match["id"], (match["version"] or "").lower()


def identify(text: str) -> tuple[Scheme, str] | None:
    """The scheme and id that `text` is as a whole; None where it is none.

    DOIs come in small letters, OpenAlex's ids as W123, arXiv's with the version they have. A DOI
    that arXiv gives out is its id there.
    """
    text = text.strip()
    if name := parse_id(text):
        return "arxiv", "".join(name)
    if doi := parse_doi(text):
        return ("arxiv", arxiv) if (arxiv := arxiv_of(doi)) else ("doi", doi)
    for scheme, pattern in _OTHERS:
        if match := pattern.fullmatch(text):
            return scheme, match[1].upper() if scheme == "openalex" else match[1].lower()
    return None


def parse_doi(text: str) -> str:
    """The DOI that `text` is, in small letters; "" where it is none."""
    text = text.strip()
    bare = _DOI_AT_START.sub("", text, count=1)
    if bare != text and "%" in bare:
        bare = unquote(bare)
    match = _DOI.fullmatch(bare)
    return match[0].rstrip(".,;").lower() if match else ""


def find_doi(text: str) -> str:
    """The first DOI within `text`, in small letters; "" where there is none."""
    match = _DOI.search(text)
    return match[0].rstrip(".,;").lower() if match else ""


def arxiv_of(doi: str) -> str:
    """The arXiv id, perhaps with a version, of a DOI that arXiv gave out; "" for any other."""
    name = parse_id(doi.lower().removeprefix(_ARXIV_DOI)) if _is_arxivs(doi) else None
    return "".join(name) if name else ""


def identifiers(
    *, doi: str = "", arxiv: Iterable[str] = (), pmid: str = "", openalex: str = "", s2: str = ""
) -> tuple[dict[str, str], str]:
    """What a record says of its names as `Paper.identifiers`, and the version of the arXiv id.

    Each is taken in whatever form it has; what is none is left out.
    """
    own = parse_doi(doi)
    places = [*arxiv, arxiv_of(own)]
    known = next((name for place in places if place and (name := parse_id(place))), None)
    found = {
        "arxiv": known[0] if known else "",
        "doi": "" if _is_arxivs(own) else own,
        "pmid": pmid.rstrip("/").rpartition("/")[2] if pmid else "",
        "openalex": openalex.rpartition("/")[2].upper(),
        "s2": s2.lower(),
    }
    return {key: value for key, value in found.items() if value}, known[1] if known else ""


def _is_arxivs(doi: str) -> bool:
    return doi.lower().startswith(_ARXIV_DOI)
