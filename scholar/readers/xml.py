"""XML files, told apart by their root element: JATS or TEI."""

from __future__ import annotations

from pathlib import Path

from scholar.errors import SourceError
from scholar.readers import jats, tei
from scholar.readers.document import Document
from scholar.readers.markup import name_of, parse_xml


def read(path: Path, data: bytes) -> Document:
    """The document in `data`; SourceError where it is no XML, or of no kind that is known."""
    root = parse_xml(path, data)
    if name_of(root) in tei.ROOTS:
        return tei.read(path, root)
    if name_of(root) in jats.ROOTS:
        return jats.read(path, root)
    raise SourceError(
        f"{path} is XML with the root '{name_of(root)}', neither JATS nor TEI; "
        "convert it to one of them."
    )
