"""BibTeX, read and written. `bibtexparser` loads with the first call."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from scholar.errors import SourceError
from scholar.sources.fields import is_file
from scholar.sources.names import parse_id
from scholar.sources.record import Record, Skipped, canonical_id
from scholar.sources.textfile import text_of
from scholar.values import Paper

if TYPE_CHECKING:
    from bibtexparser.model import Block, Entry

_VENUES = ("journal", "journaltitle", "booktitle", "school", "institution", "publisher")
_DECODED = ("title", "abstract", *_VENUES)
_OTHERS = "others"
"""What BibTeX writes for the authors that are not listed."""
_YEAR = re.compile(r"(?<!\d)(1[5-9]\d\d|20\d\d)(?!\d)")
_DOI = re.compile(r"10\.\d{4,9}/[^\s{}\"<>]+")
_ARXIV_DOI = "10.48550/arxiv."
_KEY = re.compile(r"@\s*\w+\s*[{(]\s*([^,\s{}=]+)")
_SPACE = re.compile(r"\s+")
_LATEX = re.compile(r"[\\{}$%~]|--|``|''")
# Pairs that LaTeX prints as one: dashes, quotation marks, Spanish marks.
_LIGATURE = re.compile(r"([-`'])(?=\1)|[?!](?=`)")
_BARE_PERCENT = re.compile(r"(?<!\\)%")
_BARE_DOLLAR = re.compile(r"(?<!\\)\$")
_BETWEEN_FILES = re.compile(r"(?<!\\);")
_BETWEEN_PARTS = re.compile(r"(?<!\\):")
_ESCAPED = re.compile(r"\\(?:\\|([:;_&%#$]))")
_WORD = re.compile(r"[a-z0-9]+")
_SMALL_WORDS = frozenset(("a", "an", "the", "on", "in", "of", "for", "and", "to", "from", "with"))
_CARET = r"\textasciicircum{}"
"""Written out and read back here, since the decoder makes an accent of it."""
_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "%": r"\%",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": _CARET,
    }
)
_URL_SPECIAL = str.maketrans({"{": "%7B", "}": "%7D", "\\": "%5C", " ": "%20"})


def read(path: Path) -> list[Record | Skipped]:
    """The entries of the file at `path`, in order; what cannot be used stands as Skipped.

    Names come as "First Last", LaTeX as plain text. Files that an entry names count from the
    folder of `path`. Raises SourceError where there is no BibTeX at all to be read.
    """
    items = list(_items(_split(text_of(path))))
    if not items:
        raise SourceError(f"{path} holds no BibTeX entry; export it from your reference manager.")
    found: list[Record | Skipped] = []
    for item in items:
        found += [item] if isinstance(item, Skipped) else _record(item, path.parent)
    return found


def write(papers: Iterable[Paper]) -> str:
    """The `papers` as BibTeX in UTF-8, under keys such as `cohan2020specter`."""
    papers = list(papers)
    entries = [_written(paper, key) for paper, key in zip(papers, _keys(papers), strict=True)]
    return "\n".join(entries)


@dataclass(frozen=True, slots=True)
class _Fields:
    """One entry: its key, its fields as they stand and its authors, one by one."""

    key: str
    line: int
    raw: Mapping[str, str]
    text: Mapping[str, str]
    authors: tuple[str, ...]


def _split(text: str) -> list[Block]:
    from bibtexparser.entrypoint import parse_string

    # The library logs what it could not parse; here that is returned as Skipped.
    logging.getLogger("bibtexparser").addHandler(logging.NullHandler())
    return parse_string(text, parse_stack=[]).blocks


def _items(blocks: list[Block]) -> Iterator[_Fields | Skipped]:
    """Entries and failures in the order of the file; the rest is comments and strings."""
    from bibtexparser.model import Entry, ParsingFailedBlock, String

    decoder = _Decoder([block for block in blocks if isinstance(block, String)])
    for block in blocks:
        # A key or field that stands twice is no reason to leave a work out.
        inner = block.ignore_error_block if isinstance(block, ParsingFailedBlock) else block
        if isinstance(inner, Entry):
            yield decoder.fields(inner)
        elif isinstance(block, ParsingFailedBlock) and inner is None:
            yield _broken(block)


def _broken(block: Block) -> Skipped:
    key = _KEY.search(block.raw or "")
    line = (block.start_line or 0) + 1
    what = f"{key[1]} (line {line})" if key else f"the entry at line {line}"
    return Skipped(what, "It is not valid BibTeX; check its braces, quotes and commas.")


class _Decoder:
    """Undoes what BibTeX and LaTeX do to values: abbreviations, enclosing, accents, names."""

    def __init__(self, strings: list[Block]) -> None:
        from bibtexparser import middlewares

        self._strings = strings
        self._latex = middlewares.LatexDecodingMiddleware(keep_math_mode=False)
        self._unwrap = [
            middlewares.ResolveStringReferencesMiddleware(),
            middlewares.RemoveEnclosingMiddleware(),
        ]

    def fields(self, entry: Entry) -> _Fields:
        from bibtexparser.library import Library

        library = Library([*self._strings, entry])
        for middleware in self._unwrap:
            library = middleware.transform(library)
        raw: dict[str, str] = {}
        for field in library.entries[0].fields:
            raw.setdefault(field.key.lower(), str(field.value).strip())
        return _Fields(
            key=entry.key,
            line=(entry.start_line or 0) + 1,
            raw=raw,
            text={key: self.plain(raw[key]) for key in _DECODED if key in raw},
            authors=tuple(self._names(raw.get("author", ""))),
        )

    def plain(self, value: str) -> str:
        """`value` as plain text on one line."""
        if _LATEX.search(value):
            value = self._decoded(value)
        return unicodedata.normalize("NFC", _SPACE.sub(" ", value)).strip()

    def _decoded(self, value: str) -> str:
        from bibtexparser.library import Library
        from bibtexparser.model import Entry, Field

        # Exported abstracts have bare percent and dollar signs that LaTeX would read as its own.
        value = _BARE_PERCENT.sub(r"\\%", value).replace(_CARET, "^")
        if len(_BARE_DOLLAR.findall(value)) % 2:
            value = _BARE_DOLLAR.sub(r"\\$", value)
        entry = self._latex.transform_entry(Entry("misc", "", [Field("text", value)]), Library())
        return str(entry["text"]) if isinstance(entry, Entry) else value

    def _names(self, value: str) -> Iterator[str]:
        from bibtexparser.middlewares import names

        # Some exporters part names by semicolons, which BibTeX would take for one name.
        if ";" in value and not _LATEX.search(value):
            value = " and ".join(filter(str.strip, value.split(";")))
        for name in names.split_multiple_persons_names(value):
            parts = names.parse_single_name_into_parts(name, strict=False)
            plain = self.plain(parts.merge_first_name_first)
            if plain and plain != _OTHERS:
                yield plain


def _record(fields: _Fields, folder: Path) -> list[Record | Skipped]:
    title = fields.text.get("title", "")
    if not title:
        where = f"{fields.key or 'an entry'} (line {fields.line})"
        return [Skipped(where, "It has no title; give it one.")]
    abstract = fields.text.get("abstract", "")
    files, missing = _files(fields, folder)
    identifiers, version = _identifiers(fields.raw)
    year = _YEAR.search(fields.raw.get("year", "") or fields.raw.get("date", ""))
    paper = Paper(
        id=canonical_id(identifiers, title, fields.authors, int(year[1]) if year else None),
        title=title,
        authors=fields.authors,
        year=int(year[1]) if year else None,
        venue=next((fields.text[key] for key in _VENUES if fields.text.get(key)), ""),
        identifiers=identifiers,
        version=version,
        holds="abstract" if abstract else "record",
        source=fields.raw.get("url", ""),
    )
    return [Record(paper, abstract, files), *missing]


def _identifiers(raw: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The arXiv id and DOI that an entry gives, and the version of the former."""
    doi = _DOI.search(raw.get("doi", "").replace("\\_", "_"))
    if doi is None and "doi.org/" in raw.get("url", ""):
        doi = _DOI.search(raw["url"])
    name = doi[0].rstrip(".,;").lower() if doi else ""
    arxiv = _arxiv(raw, name)
    found = {"arxiv": arxiv[0]} if arxiv else {}
    if name and not name.startswith(_ARXIV_DOI):
        found["doi"] = name
    return found, arxiv[1] if arxiv else ""


def _arxiv(raw: Mapping[str, str], doi: str) -> tuple[str, str] | None:
    kind = raw.get("archiveprefix") or raw.get("eprinttype") or "arxiv"
    places = [raw.get("eprint", "") if kind.lower() == "arxiv" else "", raw.get("arxiv", "")]
    places += [raw.get("arxivid", ""), raw.get("url", "")]
    if doi.startswith(_ARXIV_DOI):
        places.append(doi.removeprefix(_ARXIV_DOI))
    found = [name for place in places if (name := parse_id(place))]
    # The version often stands in the address alone.
    exact = (name for name in found if name[1] and name[0] == found[0][0])
    return next(exact, found[0]) if found else None


def _files(fields: _Fields, folder: Path) -> tuple[tuple[Path, ...], list[Skipped]]:
    """The files of an entry that exist, and a line on each that does not."""
    found: list[Path] = []
    missing: list[Skipped] = []
    for item in filter(None, map(str.strip, _BETWEEN_FILES.split(fields.raw.get("file", "")))):
        names = _file_names(item)
        if names[-1].startswith(("http://", "https://")):
            continue
        there = next((path for name in names if is_file(path := folder / name)), None)
        if there is not None:
            found.append(there)
        else:
            reason = f"{names[-1]} does not exist; correct the path or remove it from the entry."
            missing.append(Skipped(f"file of {fields.key or fields.text['title']}", reason))
    return tuple(dict.fromkeys(found)), missing


def _file_names(item: str) -> list[str]:
    """What path `item` may mean, likely ones last: managers write `text:path:type` or a path.

    Mendeley leaves out the slash before absolute paths.
    """
    whole = _unescaped(item)
    if whole.startswith("file:"):
        return [unquote(urlsplit(whole).path)]
    parts = _BETWEEN_PARTS.split(item)
    if len(parts) < 3:
        return [whole]
    inner = _unescaped(":".join(parts[1:-1]))
    return [whole, f"/{inner}", inner.replace("\\", "/"), inner]


def _unescaped(text: str) -> str:
    text = text.replace(r"{\_}", "_").replace(r"$\backslash$", "")
    return _ESCAPED.sub(lambda match: match[1] or "\\", text)


def _written(paper: Paper, key: str) -> str:
    arxiv, doi = paper.identifiers.get("arxiv", ""), paper.identifiers.get("doi", "")
    fields = {
        # Doubled braces keep the capitals of the title in every style.
        "title": f"{{{_escaped(paper.title)}}}",
        "author": " and ".join(map(_written_name, paper.authors)),
        "year": str(paper.year or ""),
        "journal": _escaped(paper.venue),
        "eprint": arxiv,
        "archivePrefix": "arXiv" if arxiv else "",
        "doi": doi.translate(_URL_SPECIAL),
        "url": _address(paper, arxiv, doi).translate(_URL_SPECIAL),
        "note": "Retracted" if paper.retracted else "",
    }
    lines = [f"  {name} = {{{value}}},\n" for name, value in fields.items() if value]
    return f"@{'article' if paper.venue else 'misc'}{{{key},\n{''.join(lines)}}}\n"


def _address(paper: Paper, arxiv: str, doi: str) -> str:
    if paper.source.startswith(("http://", "https://")):
        return paper.source
    if arxiv:
        return f"https://arxiv.org/abs/{arxiv}{paper.version}"
    return f"https://doi.org/{doi}" if doi else ""


def _written_name(name: str) -> str:
    escaped = _escaped(name)
    # BibTeX would split these at the comma or the word.
    return f"{{{escaped}}}" if "," in name or " and " in name.lower() else escaped


def _escaped(text: str) -> str:
    return _LIGATURE.sub(r"\g<0>{}", text.translate(_SPECIAL))


def _keys(papers: list[Paper]) -> Iterator[str]:
    bases = [_base_key(paper) for paper in papers]
    shared = {base for base, times in Counter(bases).items() if times > 1}
    used = set(bases) - shared
    for base in bases:
        if base not in shared:
            yield base
            continue
        key = next(key for number in count() if (key := base + _letters(number)) not in used)
        used.add(key)
        yield key


def _base_key(paper: Paper) -> str:
    last = _ascii(paper.authors[0]).split()[-1:] if paper.authors else []
    words = [word for word in _ascii(paper.title).split() if word not in _SMALL_WORDS]
    return "".join([*last, str(paper.year or ""), *words[:1]]) or "paper"


def _ascii(text: str) -> str:
    """The words of `text` in small ASCII letters and digits, accents dropped."""
    folded = unicodedata.normalize("NFKD", text.replace("'", "").replace("-", ""))
    bare = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return " ".join(_WORD.findall(bare.lower()))


def _letters(number: int) -> str:
    """0 → a, 25 → z, 26 → ba."""
    head, tail = divmod(number, 26)
    return (_letters(head) if head else "") + chr(ord("a") + tail)
