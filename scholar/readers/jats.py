"""JATS, the XML of PubMed Central and many publishers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scholar.readers import references
from scholar.readers.document import Block, Document, place
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

ROOTS = ("article", "pmc-articleset", "book-part-wrapper")
"""Names of the root elements of such files."""
_FLOATS = (
    "fig",
    "table-wrap",
    "fig-group",
    "table-wrap-group",
    "boxed-text",
    "supplementary-material",
)
_INNER = (*_FLOATS, "list", "disp-quote", "def-list", "fn")
"""Blocks that may stand inside a paragraph."""
_GROUPS = (
    "list",
    "list-item",
    "def-list",
    "def-item",
    "def",
    "disp-quote",
    "boxed-text",
    "fn",
    "fig-group",
    "table-wrap-group",
    "verse-group",
    "supplementary-material",
)
_NO_TEXT = ("alternatives-image", "graphic", "inline-graphic", "media", "object-id", "permissions")
_NO_PUBLICATION = ("pmc-release", "nihms-submitted", "received", "accepted")


def read(path: Path, root: Element) -> Document:
    """The document that `root` holds; SourceError where there is no text in it."""
    article = root if name_of(root) == "article" else first(root, "article")
    if article is None:
        raise without_article(path)
    meta = first(article, "article-meta")
    blocks = list(_blocks(article, meta))
    if not any(not block.heading for block in blocks):
        raise without_article(path)
    text, _, sections = place(blocks)
    return Document(
        text=text,
        title=text_of(first(meta, "title-group", "article-title"), _is_note),
        authors=tuple(_authors(meta)),
        year=_year(meta),
        venue=text_of(first(article, "journal-meta", "journal-title")),
        identifiers=identifiers(meta, "article-id", "pub-id-type"),
        holds="full" if first(article, "body") is not None else "abstract",
        sections=sections,
        references=tuple(_references(article)),
    )


def _is_note(element: Element) -> bool:
    return name_of(element) in ("xref", "fn")


def _blocks(article: Element, meta: Element | None) -> Iterator[Block]:
    for abstract in children(meta, "abstract") if meta is not None else ():
        if abstract.get("abstract-type") is None or first(article, "body") is None:
            yield from heading(text_of(next(children(abstract, "title"), None)) or "Abstract")
            yield from _inside(abstract)
    for part in children(article, "body", "floats-group", "back"):
        yield from _inside(part)


def _inside(element: Element) -> Iterator[Block]:
    for child in children(element):
        yield from _block(child)


def _block(element: Element) -> Iterator[Block]:
    name = name_of(element)
    if name in (
        "sec",
        "app",
        "ack",
        "notes",
        "glossary",
        "bio",
        "app-group",
        "statement",
        "fn-group",
    ):
        yield from heading(_title(element))
        yield from _inside(element)
    elif name == "p":
        yield from _paragraph(element)
    elif name in ("fig", "table-wrap"):
        yield from _float(element)
    elif name in _GROUPS:
        yield from _inside(element)
    elif name not in ("title", "label", "ref-list", "sec-meta", *_NO_TEXT):
        yield from paragraph(text_of(element, _left_out))


def _title(element: Element) -> str:
    parts = (text_of(next(children(element, name), None), _is_note) for name in ("label", "title"))
    return " ".join(part for part in parts if part)


def _paragraph(element: Element) -> Iterator[Block]:
    yield from paragraph(text_of(element, lambda each: name_of(each) in _INNER or _left_out(each)))
    for inner in element:
        if name_of(inner) in _INNER:
            yield from _block(inner)


def _left_out(element: Element) -> bool:
    """Pictures, and all forms of a formula but the first."""
    parent = element.getparent()
    if parent is not None and name_of(parent) == "alternatives":
        return element is not next(children(parent), None)
    return name_of(element) in _NO_TEXT


def _float(element: Element) -> Iterator[Block]:
    label = text_of(next(children(element, "label"), None))
    caption = text_of(next(children(element, "caption"), None), _left_out)
    yield from paragraph(f"{label} {caption}")
    for line in under(element, "tr"):
        yield from row(text_of(cell, _left_out) for cell in children(line, "td", "th"))
    for note in under(element, "table-wrap-foot"):
        yield from paragraph(text_of(note, _left_out))


def _authors(meta: Element | None) -> Iterator[str]:
    for group in children(meta, "contrib-group") if meta is not None else ():
        for person in children(group, "contrib"):
            if person.get("contrib-type", "author") == "author":
                yield from _names(person)


def _names(element: Element) -> Iterator[str]:
    """The people and bodies named directly in `element`, given names first."""
    for each in element.iter():
        if name_of(each) in ("name", "string-name"):
            surname, given = text_of(first(each, "surname")), text_of(first(each, "given-names"))
            suffix = text_of(first(each, "suffix"))
            yield " ".join(part for part in (given, surname, suffix) if part) or text_of(each)
        elif name_of(each) == "collab":
            own = text_of(each, lambda inner: name_of(inner) in ("contrib-group", "xref"))
            if own:
                yield own


def _year(meta: Element | None) -> int | None:
    """The earliest year of publication, in print or online."""
    years = [
        year_in(text_of(first(date, "year")))
        for date in (children(meta, "pub-date") if meta is not None else ())
        if date.get("pub-type", date.get("date-type", "")) not in _NO_PUBLICATION
    ]
    return min((year for year in years if year is not None), default=None)


def _references(article: Element) -> Iterator[Reference]:
    citations = ("element-citation", "mixed-citation", "nlm-citation", "citation")
    for entry in under(article, "ref"):
        citation = next(under(entry, *citations), None)
        if citation is not None:
            yield _reference(citation)


def _reference(citation: Element) -> Reference:
    names = tuple(_names(citation))
    title = text_of(first(citation, "article-title"))
    title = title or text_of(first(citation, "chapter-title"))
    source = text_of(first(citation, "source"))
    year = year_in(text_of(first(citation, "year")))
    printed = text_of(citation, lambda each: each.get("pub-id-type") in ("pmid", "pmcid"))
    # Without marks between its parts, an entry as printed is made from them.
    if name_of(citation) in ("element-citation", "nlm-citation") and (title or source):
        printed = printed_from(names, year, title, source)
    if not (title or source or names):
        return references.parse(printed)
    return Reference(
        printed, title or source, names, year, identifiers(citation, "pub-id", "pub-id-type")
    )
