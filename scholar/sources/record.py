"""What a bibliographic source says of a work, and what of it could not be used."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scholar.values import Paper, Reference

_SCHEMES = ("arxiv", "doi", "pmid", "openalex", "s2")
"""The identifiers that name a work in the library, the one that is preferred first."""


@dataclass(frozen=True, slots=True)
class Record:
    """One work as a bibliographic source describes it.

    `files` exist on this machine; `addresses` are where its full text may be fetched, best first.
    `references` are the works that it cites, where the source tells them.
    """

    paper: Paper
    abstract: str = ""
    files: tuple[Path, ...] = ()
    addresses: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry or item that could not be used: what it was, and a sentence that says why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Status:
    """What a service knows of a paper's fate.

    `retracted` is None where it does not say. `newer` is a later version ("v3"), `published_doi`
    where a preprint was published, `notice` the retraction's or correction's own DOI or kind.
    """

    retracted: bool | None = None
    newer: str = ""
    published_doi: str = ""
    notice: str = ""

    def and_also(self, other: Status) -> Status:
        """Both together: what either knows, and a retraction that either knows of."""
        known = [each for each in (self.retracted, other.retracted) if each is not None]
        return Status(
            retracted=any(known) if known else None,
            newer=self.newer or other.newer,
            published_doi=self.published_doi or other.published_doi,
            notice=self.notice or other.notice,
        )


def canonical_id(
    identifiers: Mapping[str, str], title: str, authors: Sequence[str], year: int | None
) -> str:
    """The id of a work in the library: its best identifier, else one made of title and author."""
    for scheme in _SCHEMES:
        if scheme in identifiers:
            return f"{scheme}:{identifiers[scheme]}"
    words = " ".join(re.findall(r"\w+", title.casefold()))
    name = "|".join((words, authors[0].casefold() if authors else "", str(year or "")))
    return "bib:" + hashlib.sha256(name.encode()).hexdigest()[:16]
