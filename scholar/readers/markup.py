"""What the readers of XML and HTML share: safe parsing, text of elements, and blocks from them.

lxml loads with the first file; no entity is expanded and nothing is fetched.
"""

from __future__ import annotations

import html
import html.entities
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scholar.errors import SourceError
from scholar.readers import references
from scholar.readers.document import Block, clean
from scholar.readers.tables import CELL_GAP
from scholar.readers.tex import plain

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

Drop = Callable[["Element"], bool]
"""Says of an element whether its text is left out."""
_DEEPEST = 250
"""How deeply elements may nest; lxml itself stops at 256, and papers stay under 40."""
_YEAR = re.compile(r"\b(1[5-9]\d\d|20\d\d)\b")


def parse_xml(path: Path, data: bytes) -> Element:
    """The root of an XML file; SourceError where it is not well formed or far too large."""
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f" at line {line}" if line else ""
        raise SourceError(
            f"{path} is not well-formed XML{place}; download it again or export it anew."
        ) from None


def parse_html(path: Path, text: str) -> Element:
    """The root of an HTML page, mended as browsers do; SourceError where there is none."""
    from lxml import etree

    parser = etree.HTMLParser(
        no_network=True, remove_comments=True, remove_pis=True, huge_tree=False, encoding="utf-8"
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None:
        raise SourceError(f"{path} holds no HTML; save the page anew.")
    return root


def name_of(element: Element) -> str:
    """The element's name without its namespace; "" for what is no element."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def under(element: Element, *names: str) -> Iterator[Element]:
    """The elements of these names anywhere below `element`, in order."""
    return (each for each in element.iter() if name_of(each) in names and each is not element)


def first(element: Element | None, *path: str) -> Element | None:
    """The first element that `path` leads to, each name somewhere below the one before."""
    for name in path:
        element = None if element is None else next(under(element, name), None)
    return element


def children(element: Element, *names: str) -> Iterator[Element]:
    """The children of these names; without names, all that are elements."""
    return (each for each in element if name_of(each) and (not names or name_of(each) in names))


def text_of(element: Element | None, drop: Drop | None = None) -> str:
    """The clean text of an element, without what `drop` names."""
    return "" if element is None else clean("".join(_pieces(element, drop, 0)))


def year_in(text: str) -> int | None:
    """The first year that `text` names."""
    found = _YEAR.search(text)
    return int(found[1]) if found else None


def paragraph(text: str) -> Iterator[Block]:
    """A block with `text`, where there is any."""
    text = clean(text)
    if text:
        yield Block(text)


def heading(text: str) -> Iterator[Block]:
    """A heading with `text`, where there is any."""
    text = clean(text)
    if text:
        yield Block(text, heading=True)


def row(cells: Iterable[str]) -> Iterator[Block]:
    """A table's row as one block, its cells set apart."""
    return paragraph(CELL_GAP.join(cell for cell in map(clean, cells) if cell))


def without_article(path: Path) -> SourceError:
    """What is raised for a file of markup without text."""
    return SourceError(f"{path} holds no text of a paper; name another file.")


def _pieces(element: Element, drop: Drop | None, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if name_of(element) == "tex-math":
        yield _formula(element.text or "")
        return
    if element.text and name_of(element):
        yield element.text
    for child in element:
        if not name_of(child):
            yield _entity(child)
        elif drop is None or not drop(child):
            yield from _pieces(child, drop, depth + 1)
        # Of names, JATS gives the parts alone: <surname>Fox</surname><given-names>A</given-names>.
        yield child.tail or (" " if name_of(child) == "surname" else "")


def _formula(tex: str) -> str:
    """What a formula shows that publishers wrap into a LaTeX document of its own."""
    inner = tex.partition(r"\begin{document}")[2] or tex
    return plain(inner.partition(r"\end{document}")[0])


def _entity(node: Element) -> str:
    """The character of a named entity such as &nbsp;; any other is left out, never expanded."""
    name = getattr(node, "name", None)
    return html.unescape(f"&{name};") if isinstance(name, str) and f"{name};" in _NAMED else ""


_NAMED = html.entities.html5


def identifiers(element: Element | None, name: str, kind_in: str) -> dict[str, str]:
    """The DOI and the arXiv id that elements `name` within give, which say in `kind_in` what they
    are. Of several the first.
    """
    found: dict[str, str] = {}
    for each in under(element, name) if element is not None else ():
        kind = each.get(kind_in, "").lower()
        if kind in ("doi", "arxiv"):
            value = text_of(each).removeprefix("https://doi.org/").lower()
            found.setdefault(kind, value if kind == "doi" else _bare_arxiv(value))
    return found


def printed_from(names: Sequence[str], year: int | None, title: str, venue: str) -> str:
    """An entry of a bibliography as it would be printed, of what is known of it."""
    parts = (", ".join(names), f"({year})" if year else "", title, venue if venue != title else "")
    return ". ".join(part for part in parts if part)


def _bare_arxiv(value: str) -> str:
    """An arXiv id without prefix, version and subject: arXiv:1706.03762v5[cs.CL]."""
    reference = references.parse(f"arXiv:{value.removeprefix('arxiv:')}")
    return reference.identifiers.get("arxiv", value)
