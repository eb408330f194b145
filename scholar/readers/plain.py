"""Plain text files."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from scholar.errors import SourceError
from scholar.readers.document import Block, Document, clean, place

_BLANK_LINE = re.compile(r"\n[ \t\f\v]*\n")
_LONGEST_TITLE = 150
"""Characters; the longest titles of papers on arXiv have about as many."""
_MOSTLY_TEXT = 0.95
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read(path: Path, data: bytes) -> Document:
    """The document in `data`, the content of `path`; SourceError where it is no text."""
    paragraphs = [clean(part) for part in _BLANK_LINE.split(decoded(path, data))]
    paragraphs = [paragraph for paragraph in paragraphs if paragraph]
    if not paragraphs:
        raise SourceError(f"{path} holds no text; put the paper's text in its place.")
    text, _, _ = place(Block(paragraph) for paragraph in paragraphs)
    first = paragraphs[0]
    title = first if _could_be_title(first) else title_of(path)
    return Document(text=text, title=title, holds="note")


def decoded(path: Path, data: bytes) -> str:
    """`data` as text with `\\n` line ends: UTF-8, UTF-16 with its mark, or Windows Western."""
    text = _decoded(data)
    if text is None or not _readable(text):
        raise SourceError(f"{path} is not text; save it as UTF-8 text or convert it to PDF.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def title_of(path: Path) -> str:
    """The file's name as words, for a file that gives no title of its own."""
    return " ".join(re.split(r"[\s_-]+", path.stem)).strip() or path.name


def _decoded(data: bytes) -> str | None:
    encodings = ("utf-16",) if data.startswith(_UTF16) else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _readable(text: str) -> bool:
    if "\0" in text:
        return False
    shown = sum(character.isprintable() or character.isspace() for character in text)
    return shown >= _MOSTLY_TEXT * len(text)


def _could_be_title(paragraph: str) -> bool:
    return len(paragraph) <= _LONGEST_TITLE and not paragraph.endswith((".", ",", ";", ":"))
