"""TEI, the XML that GROBID makes of PDFs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scholar.readers import references
from scholar.readers.document import Block, Document, clean, place
from scholar.readers.markup import (
    children,
    first,
    heading,
    identifiers,
    name_of,
    paragraph,
    printed_from,
    row,
    text_of,
    under,
    without_article,
    year_in,
)
from scholar.values import Reference

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

ROOTS = ("tei", "teicorpus")
"""Names of the root elements of such files, in small letters."""
_LEFT_OUT = ("listbibl", "graphic", "note", "ptr")


def read(path: Path, root: Element) -> Document:
    """The document that `root` holds; SourceError where there is no text in it."""
    header, body = first(root, "teiheader"), first(root, "text")
    work = first(header, "sourcedesc", "biblstruct")
    blocks = [*_abstract(header), *(_inside(body) if body is not None else ())]
    if not any(not block.heading for block in blocks):
        raise without_article(path)
    text, _, sections = place(blocks)
    return Document(
        text=text,
        title=text_of(first(header, "titlestmt", "title")) or _title(work, "analytic"),
        authors=tuple(_names(work, "analytic") or _names(header, "titlestmt")),
        year=_year(work) or _year(first(header, "publicationstmt")),
        venue=_title(work, "monogr"),
        identifiers=identifiers(work, "idno", "type"),
        sections=sections,
        references=tuple(_reference(entry) for entry in _entries(body)),
    )


def _abstract(header: Element | None) -> Iterator[Block]:
    abstract = first(header, "profiledesc", "abstract")
    if abstract is not None and text_of(abstract):
        yield from heading("Abstract")
        yield from _inside(abstract)


def _inside(element: Element) -> Iterator[Block]:
    yield from paragraph(element.text or "")
    for child in children(element):
        yield from _block(child)
        yield from paragraph(child.tail or "")


def _block(element: Element) -> Iterator[Block]:
    name = name_of(element)
    if name in _LEFT_OUT or element.get("type") == "references":
        return
    if name == "head":
        yield from heading(f"{element.get('n', '')} {text_of(element)}")
    elif name == "figure":
        yield from _figure(element)
    elif (
        name in ("body", "front", "back", "group", "text", "list", "lg", "sp") or name[:3] == "div"
    ):
        yield from _inside(element)
    elif name == "row":
        yield from row(text_of(cell) for cell in children(element, "cell"))
    else:
        yield from paragraph(text_of(element))


def _figure(element: Element) -> Iterator[Block]:
    head, label = (text_of(next(children(element, name), None)) for name in ("head", "label"))
    told = text_of(next(children(element, "figdesc"), None))
    # GROBID gives the number twice: Figure 1 : and 1.
    start = head if label and label in head else f"{head} {label}"
    yield from paragraph(told if told.startswith(start) else f"{start} {told}")
    for line in under(element, "row"):
        yield from row(text_of(cell) for cell in children(line, "cell"))


def _entries(body: Element | None) -> Iterator[Element]:
    for listed in under(body, "listbibl") if body is not None else ():
        yield from children(listed, "biblstruct", "bibl")


def _reference(entry: Element) -> Reference:
    raw = next((note for note in under(entry, "note") if note.get("type") == "raw_reference"), None)
    title = _title(entry, "analytic") or _title(entry, "monogr")
    names = tuple(_names(entry, "analytic") or _names(entry, "monogr"))
    if not title and not names:
        return references.parse(text_of(raw) or text_of(entry))
    year = _year(entry)
    venue = _title(entry, "monogr")
    printed = text_of(raw) or printed_from(names, year, title, venue)
    return Reference(printed, title, names, year, identifiers(entry, "idno", "type"))


def _title(work: Element | None, level: str) -> str:
    return text_of(first(work, level, "title"))


def _names(work: Element | None, level: str) -> list[str]:
    place = first(work, level)
    return [
        name
        for each in (under(place, "author") if place is not None else ())
        if (name := _name(each))
    ]


def _name(author: Element) -> str:
    person = first(author, "persname")
    if person is None:
        return text_of(author) if len(author) == 0 else ""
    given = [text_of(each) for each in children(person, "forename")]
    surname = text_of(first(person, "surname"))
    return clean(" ".join([*given, surname])) or text_of(person)


def _year(work: Element | None) -> int | None:
    dates = list(under(work, "date")) if work is not None else []
    dates.sort(key=lambda date: date.get("type") != "published")
    found = (year_in(date.get("when", "")) or year_in(text_of(date)) for date in dates)
    return next((year for year in found if year), None)
