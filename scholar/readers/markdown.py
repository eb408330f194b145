"""Markdown files with optional YAML front matter; its two packages load with the first file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from scholar.errors import SourceError
from scholar.readers import references
from scholar.readers.document import Block, Document, clean, place
from scholar.readers.plain import decoded, title_of
from scholar.readers.tables import CELL_GAP
from scholar.values import Holding

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_VERSION = re.compile(r"v\d+\Z")
_AND = re.compile(r"\s*;\s*|\s+and\s+")
_COMMA_OR_AND = re.compile(r"\s*[;,]\s*(?:and\s+)?|\s+and\s+")
_NULL = ("", "null", "~")
_PAIRED = re.compile(r"[\[\]*_`<]")
_MOST_PAIRS = 10**10
"""Marks of each paragraph squared; so many took 4 s, and papers come to 10**7."""
_HTML = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)


def read(path: Path, data: bytes) -> Document:
    """The document in `data`, the content of `path`.

    Headings become sections and paragraphs lose their marks. Raises SourceError where the front
    matter is not YAML or a field of it cannot be used.
    """
    source = decoded(path, data)
    fields, body = _parted(path, source)
    _refuse_tangled(path, body)
    blocks, listed = references.split(_blocks(body))
    if not any(not block.heading for block in blocks):
        raise SourceError(f"{path} holds no text below its headings; write the note or remove it.")
    text, _, sections = place(blocks)
    arxiv, version = _arxiv(fields)
    doi = _words(fields, "doi").removeprefix("https://doi.org/").lower()
    return Document(
        text=text,
        title=_words(fields, "title") or _first_heading(body) or title_of(path),
        authors=_authors(path, fields.get("authors", fields.get("author"))),
        year=_year(path, _words(fields, "year")),
        venue=_words(fields, "venue"),
        identifiers={key: value for key, value in (("arxiv", arxiv), ("doi", doi)) if value},
        version=version,
        holds=_holds(path, fields),
        sections=sections,
        references=listed,
    )


def _refuse_tangled(path: Path, body: str) -> None:
    """SourceError for paragraphs of so many marks that pairing them would take minutes."""
    paragraphs = re.split(r"\n[ \t]*\n", body)
    if sum(len(_PAIRED.findall(paragraph)) ** 2 for paragraph in paragraphs) > _MOST_PAIRS:
        raise SourceError(
            f"{path} has paragraphs of little but marks; save it as .txt or mend its Markdown."
        )


def _parted(path: Path, source: str) -> tuple[Mapping[str, Any], str]:
    """The fields of the front matter, and what follows it."""
    import yaml

    match = _FRONT_MATTER.match(source)
    if match is None:
        return {}, source
    try:
        # Every scalar as it is written: an arXiv id such as 2502.14800 is no number.
        fields = yaml.load(match[1], Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # The mark counts from 0 and from the line below the opening fence.
        line = mark.line + 2 if mark else 1
        raise SourceError(
            f"The front matter of {path} is not valid YAML at line {line}; correct it."
        ) from None
    if not fields:
        return {}, source[match.end() :]
    if not isinstance(fields, dict):
        raise SourceError(f"The front matter of {path} has no fields; write them as 'title: ...'.")
    return {str(key).lower(): value for key, value in fields.items()}, source[match.end() :]


def _words(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key, "")
    return clean(value) if isinstance(value, str) and value not in _NULL else ""


def _arxiv(fields: Mapping[str, Any]) -> tuple[str, str]:
    name = re.sub(r"(?i)\Aarxiv:\s*", "", _words(fields, "arxiv"))
    version = _VERSION.search(name)
    return (name[: version.start()], version[0]) if version else (name, _words(fields, "version"))


def _authors(path: Path, value: object) -> tuple[str, ...]:
    if value is None or value in _NULL:
        return ()
    if isinstance(value, str):
        return tuple(_names(value))
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(clean(name) for name in value)
    raise SourceError(f'The authors in {path} are no list of names; write them as ["A", "B"].')


def _names(line: str) -> Iterator[str]:
    """The names in "A B, C D and E F", "B, A and D, C" or "B, A; D, C"."""
    names = [clean(name) for name in _COMMA_OR_AND.split(line) if name.strip()]
    if all(" " in name for name in names):
        yield from names
        return
    for name in filter(str.strip, _AND.split(line)):
        last, _, first = name.partition(",")
        yield clean(f"{first} {last}")


def _year(path: Path, digits: str) -> int | None:
    if not digits:
        return None
    if not re.fullmatch(r"\d{4}", digits):
        raise SourceError(f"The year in {path} is '{digits}'; give it as four digits.")
    return int(digits)


def _holds(path: Path, fields: Mapping[str, Any]) -> Holding:
    holds = _words(fields, "holds") or "note"
    if holds not in get_args(Holding):
        known = ", ".join(get_args(Holding))
        raise SourceError(f"'holds' in {path} is '{holds}'; give one of {known}.")
    return cast(Holding, holds)


def _tokens(body: str) -> list[Token]:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)


def _first_heading(body: str) -> str:
    tokens = _tokens(body)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag == "h1":
            return clean(_shown(inline.children or ()))
    return ""


def _blocks(body: str) -> Iterator[Block]:
    """One block for each heading, paragraph, list item, code line group and table row."""
    heading = False
    row: list[str] | None = None
    for token in _tokens(body):
        if token.type in ("heading_open", "heading_close"):
            heading = token.type == "heading_open"
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row is not None:
            yield from _block(CELL_GAP.join(row))
            row = None
        elif token.type in ("fence", "code_block"):
            yield from _block(token.content)
        elif token.type == "html_block":
            yield from _block(_HTML.sub(" ", token.content))
        elif token.type == "inline":
            shown = _shown(token.children or ())
            if row is None:
                yield from _block(shown, heading=heading)
            else:
                row.append(clean(shown))


def _block(text: str, *, heading: bool = False) -> Iterator[Block]:
    text = clean(text)
    if text:
        yield Block(text, heading)


def _shown(tokens: Sequence[Token]) -> str:
    """What a reader sees of a line: no marks, no link targets, an image's words; HTML goes."""
    parts = []
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif token.type == "image":
            parts.append(_shown(token.children or ()))
        elif token.type != "html_inline":
            parts.append(token.content)
    return "".join(parts)
