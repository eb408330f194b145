"""What a bibliographic source says of a work, and what of it could not be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scholar.values import Paper, Reference


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
