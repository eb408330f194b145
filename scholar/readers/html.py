"""HTML pages: those that arXiv makes with LaTeXML, and articles elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scholar.readers import references
from scholar.readers.document import Block, Document, clean, place
from scholar.readers.headings import titled
from scholar.readers.markup import (
    children,
    heading,
    name_of,
    paragraph,
    parse_html,
    row,
    text_of,
    under,
    without_article,
    year_in,
)
from scholar.readers.plain import decoded, title_of
from scholar.values import Reference

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]{2,20})", re.IGNORECASE)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section summary table "
    "tbody td tfoot th thead tr ul".split()
)
_NO_TEXT = frozenset(
    "script style noscript template nav footer form button select textarea iframe object svg audio "
    "video canvas head input label dialog menu".split()
)
_NO_TEXT_CLASSES = frozenset(
    "ltx_page_header ltx_page_footer ltx_page_navbar ltx_toc ltx_authors ltx_dates ltx_note_mark "
    "ltx_rdf ltx_tag_note ltx_tag_item ltx_bib_cited ltx_classification package-alerts".split()
)
_NOTES = ("ltx_note", "ltx_role_footnote")
_STAMP = re.compile(
    r"arXiv:\s*(?P<id>\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?P<version>v\d+)"
    r"(?:\s*\[[\w.-]+\]\s*(?P<day>\d{1,2}\s\w{3}\s\d{4}))?"
)
_ADDRESS = re.compile(r"arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5})(v\d+)?")
_DOI = re.compile(r"10\.\d{4,9}/\S+")
_AUTHOR_NOTES = ("ltx_author_notes", "ltx_contact", "ltx_role_affiliation", "ltx_role_email")
_AND = re.compile(r"\s*(?:[,;&\n]|\band\b)\s*")
_MARKS = re.compile(r"[\d*∗†‡§¶,]+$")
_LEAST_LETTERS = 2


def read(path: Path, data: bytes) -> Document:
    """The document in `data`; SourceError where it holds no text."""
    root = parse_html(path, _decoded(path, data))
    meta = _metadata(root)
    main = _main(root)
    blocks, listed = references.split(_blocks(main))
    if not any(not block.heading for block in blocks):
        raise without_article(path)
    text, _, sections = place(blocks)
    stamp = _stamp(root)
    return Document(
        text=text,
        title=_title(root, main, meta) or title_of(path),
        authors=tuple(_authors(main, meta)),
        year=_year(meta, stamp),
        venue=_one(meta, "citation_journal_title", "citation_conference_title"),
        identifiers=_identifiers(root, meta, stamp),
        version=stamp["version"] if stamp else "",
        sections=titled(sections),
        references=tuple(_listed(main)) or listed,
    )


def _decoded(path: Path, data: bytes) -> str:
    named = _CHARSET.search(data[:4096])
    try:
        return data.decode(named[1].decode("ascii")) if named else decoded(path, data)
    except (LookupError, UnicodeDecodeError):
        return decoded(path, data)


def _metadata(root: Element) -> dict[str, list[str]]:
    """The page's <meta> fields by name, in small letters."""
    found: dict[str, list[str]] = {}
    for each in under(root, "meta"):
        name = (each.get("name") or each.get("property") or "").lower()
        value = clean(each.get("content") or "")
        if name and value:
            found.setdefault(name, []).append(value)
    return found


def _one(meta: dict[str, list[str]], *names: str) -> str:
    return next((meta[name][0] for name in names if name in meta), "")


def _main(root: Element) -> Element:
    """What of the page is the article: the longest element that says so, else the body."""
    marked: list[Element] = []
    inside: set[Element] = set()
    for each in under(root, "article", "main", "div", "section"):
        # Only the outermost count; no inner one is longer.
        if each not in inside and _is_main(each):
            marked.append(each)
            inside.update(under(each, "article", "main", "div", "section"))
    bodies = marked or list(under(root, "body")) or [root]
    return max(bodies, key=lambda each: len(text_of(each)))


def _is_main(element: Element) -> bool:
    named = name_of(element) in ("article", "main") or element.get("role") == "main"
    return named or _has(element, "ltx_document")


def _classes(element: Element) -> list[str]:
    return (element.get("class") or "").split()


def _has(element: Element, *classes: str) -> bool:
    return any(name in classes for name in _classes(element))


def _dropped(element: Element) -> bool:
    return (
        name_of(element) in _NO_TEXT
        or not _NO_TEXT_CLASSES.isdisjoint(_classes(element))
        or element.get("aria-hidden") == "true"
        or element.get("hidden") is not None
    )


def _title(root: Element, main: Element, meta: dict[str, list[str]]) -> str:
    document = next((each for each in under(main, "h1") if _has(each, "ltx_title_document")), None)
    said = "" if document is None else _shown(document)
    said = said or _one(meta, "citation_title", "dc.title", "og:title")
    largest = next((_shown(each) for each in under(main, "h1")), "")
    return said or largest or text_of(next(under(root, "title"), None))


def _authors(main: Element, meta: dict[str, list[str]]) -> Iterator[str]:
    given = meta.get("citation_author") or meta.get("dc.creator")
    if given:
        yield from (_in_order(name) for name in given)
        return
    for person in under(main, "span"):
        if _has(person, "ltx_personname"):
            yield from _persons(person)


def _persons(element: Element) -> Iterator[str]:
    """The names that LaTeXML keeps in one field, which authors may have filled with several."""
    lines = [""]
    for piece in element.iter():
        if any(_has(each, "ltx_note", *_AUTHOR_NOTES) for each in _chain(piece, element)):
            lines[-1] += piece.tail or "" if _has(piece, "ltx_note", *_AUTHOR_NOTES) else ""
            continue
        if name_of(piece) == "br":
            lines.append("")
        elif name_of(piece) not in ("sup", "math") and not _within(piece, element, "math"):
            lines[-1] += piece.text or ""
        if piece is not element and not _within(piece, element, "math"):
            lines[-1] += piece.tail or ""
    for name in _AND.split(lines[0] if len(lines) > 1 and lines[0].strip() else " ".join(lines)):
        name = _MARKS.sub("", clean(name)).strip()
        if sum(map(str.isalpha, name)) >= _LEAST_LETTERS and "@" not in name:
            yield name


def _chain(element: Element, top: Element) -> Iterator[Element]:
    while element is not None and element is not top:
        yield element
        element = element.getparent()


def _within(element: Element, top: Element, name: str) -> bool:
    return any(name_of(each) == name for each in _chain(element.getparent(), top))


def _in_order(name: str) -> str:
    last, comma, given = name.partition(",")
    return clean(f"{given} {last}") if comma else name


def _stamp(root: Element) -> re.Match[str] | None:
    for each in under(root, "div", "span", "a"):
        if each.get("id") == "watermark-tr" or _has(each, "ltx_page_watermark"):
            return _STAMP.search(text_of(each))
    return None


def _year(meta: dict[str, list[str]], stamp: re.Match[str] | None) -> int | None:
    names = ("citation_publication_date", "citation_date", "citation_online_date",
             "citation_year", "dc.date", "article:published_time")  # fmt: skip
    if stamp and stamp["id"][0].isdigit():
        return 2000 + int(stamp["id"][:2])
    return year_in(_one(meta, *names) or (stamp["day"] or "" if stamp else ""))


def _identifiers(
    root: Element, meta: dict[str, list[str]], stamp: re.Match[str] | None
) -> dict[str, str]:
    found = {}
    doi = _DOI.search(_one(meta, "citation_doi", "dc.identifier", "prism.doi"))
    if doi:
        found["doi"] = doi[0].rstrip(".,;)").lower()
    links = [each.get("href") or "" for each in under(root, "link", "base")]
    address = next((match for link in links if (match := _ADDRESS.search(link))), None)
    arxiv = _one(meta, "citation_arxiv_id") or (stamp["id"] if stamp else "")
    arxiv = arxiv or (address[1] if address else "")
    if arxiv:
        found["arxiv"] = arxiv
    return found


def _blocks(element: Element) -> Iterator[Block]:
    """Headings, paragraphs, rows of tables and captions below `element`, in order."""
    run = element.text or ""
    for child in element:
        name = name_of(child)
        if name and not _dropped(child):
            if name in _BLOCKS or _has_block(child):
                yield from paragraph(run)
                run = ""
                yield from _block(child, name)
            else:
                run += _inline(child)
        run += child.tail or ""
    yield from paragraph(run)


def _block(element: Element, name: str) -> Iterator[Block]:
    if (
        _has(element, "ltx_biblist", "ltx_bibliography")
        and next(_entries(element), None) is not None
    ):
        return
    if name in _HEADINGS:
        yield from () if _has(element, "ltx_title_document") else heading(_shown(element))
    elif name == "table" and _has(element, "ltx_equation", "ltx_equationgroup", "ltx_eqn_table"):
        yield from (each for line in under(element, "tr") for each in paragraph(_shown(line)))
    elif name == "tr" and not _has_table(element):
        yield from row(_shown(cell) for cell in children(element, "td", "th"))
    elif name == "pre":
        yield from paragraph(text_of(element))
    else:
        yield from _blocks(element)


def _has_block(element: Element) -> bool:
    """Whether something inside an inline element parts paragraphs; notes are read in their line."""
    if name_of(element) == "math" or _has(element, *_NOTES):
        return False
    return any(name_of(each) in _BLOCKS for each in element.iter() if each is not element)


def _has_table(line: Element) -> bool:
    return any(True for _ in under(line, "table"))


def _shown(element: Element) -> str:
    return clean("".join(_pieces(element)))


def _inline(element: Element) -> str:
    if name_of(element) == "br":
        return " "
    if name_of(element) == "img":
        return ""
    return "".join(_pieces(element))


def _pieces(element: Element) -> Iterator[str]:
    """The text of a line: formulas as TeX, footnotes in parentheses."""
    if name_of(element) == "math":
        yield _formula(element)
        return
    note = _has(element, *_NOTES)
    yield " (" if note else ""
    yield element.text or ""
    for child in element:
        name = name_of(child)
        if name and not _dropped(child):
            gap = " " if name in _BLOCKS or name == "br" else ""
            yield gap
            yield from _pieces(child)
            yield gap
        yield child.tail or ""
    yield ")" if note else ""


def _formula(element: Element) -> str:
    """TeX where the page has it, else the signs of the formula."""
    if element.get("alttext"):
        return str(element.get("alttext"))
    for each in under(element, "annotation"):
        if each.get("encoding") == "application/x-tex":
            return text_of(each)
    return text_of(element, lambda each: name_of(each) in ("annotation", "annotation-xml"))


def _entries(element: Element) -> Iterator[Element]:
    return (each for each in under(element, "li", "dd", "div") if _has(each, "ltx_bibitem"))


def _listed(main: Element) -> Iterator[Reference]:
    """The entries of LaTeXML's bibliography, whose style may name the parts."""
    for entry in _entries(main):
        parts = [_shown(each) for each in under(entry, "span") if _has(each, "ltx_bibblock")
                 and not _has(each, "ltx_bib_cited")]  # fmt: skip
        printed = " ".join(parts) or _shown(entry)
        links = " ".join(each.get("href") or "" for each in under(entry, "a"))
        read = references.parse(printed)
        linked = references.parse(links).identifiers
        title = next((_shown(each) for each in under(entry, "span", "em")
                      if _has(each, "ltx_bib_title")), "")  # fmt: skip
        yield Reference(
            printed,
            title.strip(" .,") or read.title,
            read.authors,
            read.year,
            {**linked, **read.identifiers},
        )
