"""The formats of bibliographies, told apart by suffix or, where that says little, by content."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from scholar.errors import SourceError
from scholar.sources import bibtex, csl, endnote, nbib, pubmed, ris, table
from scholar.sources.record import Record, Skipped
from scholar.sources.textfile import decoded

Reader = Callable[[Path], list[Record | Skipped]]

FORMATS: Mapping[str, Reader] = {
    ".bib": bibtex.read,
    ".bibtex": bibtex.read,
    ".ris": ris.read,
    ".nbib": nbib.read,
    ".medline": nbib.read,
    ".enw": endnote.read,
    ".isi": ris.read_isi,
    ".ciw": ris.read_isi,
}
"""How files with these suffixes are read; they hold nothing but bibliographies."""
OTHERS = (".txt", ".xml", ".json", ".csv", ".tsv", ".ref")
"""Suffixes that bibliographies share with other files."""
_BEGINNING = 8192
_SIGNS: tuple[tuple[re.Pattern[str], Reader], ...] = (
    (re.compile(r"^TY {1,2}- ?", re.M), ris.read),
    (re.compile(r"^PMID ?- ?\d+\s*$", re.M), nbib.read),
    (re.compile(r"^%[0AT] \S", re.M), endnote.read),
    (re.compile(r"\A\s*FN .*\n(?:VR .*\n)?\s*PT \w", re.M), ris.read_isi),
    (re.compile(r"\A(?:\s|%[^\n]*\n)*@\w+\s*[{(]", re.M), bibtex.read),
    (re.compile(r"<Pubmed(?:Book)?Article"), pubmed.read),
    (re.compile(r"<xml>\s*<records>"), endnote.read_xml),
)
_JSON = re.compile(r"\A\s*[\[{].*\"(?:DOI|issued|container-title|author|abstract)\"\s*:", re.S)


def format_of(path: Path) -> Reader | None:
    """How the bibliography at `path` is read; None where it is none, or of an unknown format."""
    suffix = path.suffix.lower()
    if suffix in FORMATS or suffix not in OTHERS:
        return FORMATS.get(suffix)
    try:
        with path.open("rb") as file:
            beginning = decoded(file.read(_BEGINNING))
    except OSError:
        return None  # whoever reads it says what is wrong
    return _by_content(suffix, beginning.replace("\r\n", "\n").replace("\r", "\n"))


def read(path: Path) -> list[Record | Skipped]:
    """What the bibliography at `path` holds, in order; what cannot be used stands as Skipped.

    Nothing is raised: a file that cannot be used at all is one Skipped.
    """
    reader = format_of(path)
    if reader is None:
        reason = "It is no bibliography in a known format; export it as BibTeX, RIS or CSL JSON."
        return [Skipped(str(path), reason)]
    try:
        return reader(path)
    except SourceError as error:
        return [Skipped(str(path), str(error))]


def _by_content(suffix: str, beginning: str) -> Reader | None:
    if suffix == ".json":
        return csl.read if _JSON.search(beginning) else None
    if suffix in (".csv", ".tsv"):
        return table.read if table.is_bibliography(beginning) else None
    return next((reader for sign, reader in _SIGNS if sign.search(beginning)), None)
