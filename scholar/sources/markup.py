"""Bibliographies in XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from scholar.errors import SourceError


def root_of(path: Path) -> Element:
    """The root of the XML file at `path`. Raises SourceError where it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "no reason given"
        raise SourceError(f"{path} could not be read ({reason}); check the path.") from None
    # No export declares entities, and a file that does may unfold without end.
    if b"<!ENTITY" in data:
        raise SourceError(f"{path} declares entities of its own; export it anew.")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SourceError(f"{path} is not valid XML ({error}); export it anew.") from None


def text_in(item: Element, *paths: str) -> str:
    """The text within the first of `paths` that has any."""
    return next((text for path in paths for text in texts_in(item, path)), "")


def texts_in(item: Element, path: str) -> list[str]:
    """The texts within all elements at `path`, without mark-up; empty ones are left out."""
    texts = (" ".join("".join(each.itertext()).split()) for each in item.iterfind(path))
    return [text for text in texts if text]
