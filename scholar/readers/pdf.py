"""PDF files, by pdfium. The package itself loads with the first file read."""

from __future__ import annotations

import ctypes
import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scholar.errors import SourceError
from scholar.readers import front, layout
from scholar.readers.document import Document, place
from scholar.readers.headings import Line, titled

if TYPE_CHECKING:
    import pypdfium2 as pdfium  # type: ignore[import-untyped]

_LOCK = threading.Lock()
"""pdfium may not be entered by two threads at once, not even for two files."""
_HEADER = b"%PDF-"
_SOFT_HYPHENS = frozenset((0x02, 0xFFFE))
"""What pdfium gives for a hyphen at a line end, in place of the line end."""
_SHY = 0xAD
_LINE_ENDS = frozenset((0x0A, 0x0D)) | _SOFT_HYPHENS
_BOLD_WEIGHT = 600
_BOLD_NAMES = ("bold", "black", "heavy", "medi", "cmbx", ".b")


def looks_like(data: bytes) -> bool:
    """Whether `data` begins as a PDF does."""
    return data.lstrip()[: len(_HEADER)] == _HEADER


def read(path: Path, data: bytes) -> Document:
    """The document in `data`, the content of `path`.

    Pages that cannot be read are left out and named in `problems`. Raises SourceError for a file
    that is damaged, locked by a password, or without any text.
    """
    with _LOCK:
        pages, info, problems = _contents(path, data)
    blocks = layout.blocks(pages)
    if not blocks:
        raise _without_text(path, len(pages), problems)
    text, starts, sections = place(blocks)
    about = front.describe(pages, info)
    return Document(
        text=text,
        title=about.title,
        authors=about.authors,
        year=about.year,
        identifiers=about.identifiers,
        version=about.version,
        pages=starts,
        sections=titled(sections),
        problems=tuple(problems),
    )


def _without_text(path: Path, pages: int, problems: list[str]) -> SourceError:
    if pages and len(problems) == pages:
        return SourceError(f"No page of {path} could be read; save it anew or download it again.")
    return SourceError(
        f"{path} has no text, only images or empty pages; run OCR, for example ocrmypdf, first."
    )


def _contents(path: Path, data: bytes) -> tuple[list[list[Line]], dict[str, str], list[str]]:
    """The lines of each page, the file's own metadata, and what went wrong."""
    import pypdfium2 as pdfium

    pages: list[list[Line]] = []
    problems: list[str] = []
    with closing(_opened(path, data)) as pdf:
        info = {key: str(value).strip() for key, value in pdf.get_metadata_dict().items()}
        for index in range(len(pdf)):
            try:
                pages.append(_lines(pdf, index))
            except pdfium.PdfiumError:
                pages.append([])
                problems.append(f"Page {index + 1} could not be read.")
    return pages, info, problems


def _opened(path: Path, data: bytes) -> pdfium.PdfDocument:
    import pypdfium2 as pdfium
    import pypdfium2.raw as raw  # type: ignore[import-untyped]

    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            reason = f"{path} is locked by a password; remove the password and add it again."
        elif error.err_code == raw.FPDF_ERR_SECURITY:
            reason = f"{path} is locked in a way that cannot be opened; save it without protection."
        else:
            reason = f"{path} is not a readable PDF; save it anew or download it again."
        raise SourceError(reason) from None


def _lines(pdf: pdfium.PdfDocument, index: int) -> list[Line]:
    import pypdfium2.raw as raw

    with closing(pdf[index]) as page, closing(page.get_textpage()) as text:
        codes = [raw.FPDFText_GetUnicode(text.raw, at) for at in range(text.count_chars())]
        height = page.get_height()
        return [_line(text.raw, codes, *stretch, height) for stretch in _stretches(codes)]


def _stretches(codes: list[int]) -> Iterator[tuple[int, int, bool]]:
    """Begin and end of each line that shows something, and whether its last word is broken."""
    first = 0
    for at, code in enumerate([*codes, 0x0A]):
        if code not in _LINE_ENDS:
            continue
        if any(_shows(code) for code in codes[first:at]):
            yield first, at, code in _SOFT_HYPHENS or codes[at - 1] == _SHY
        first = at + 1


def _shows(code: int) -> bool:
    return code > 0x20 and code != _SHY and not chr(code).isspace()


def _line(handle: Any, codes: list[int], first: int, end: int, broken: bool, height: float) -> Line:
    marks = [at for at in range(first, end) if _shows(codes[at])]
    middle = marks[len(marks) // 2]
    # A raised footnote mark may begin or end a line, so three characters stand for it.
    sample = sorted({marks[0], middle, marks[-1]})
    boxes = [_box(handle, at) for at in sample]
    fonts = [_font(handle, at) for at in sample]
    return Line(
        text="".join(chr(code) for code in codes[first:end]),
        size=max(_size(handle, at) for at in sample),
        font=Counter(name for name, _ in fonts).most_common(1)[0][0],
        bold=all(bold for _, bold in fonts),
        upright=_upright(handle, middle),
        left=boxes[0][0],
        right=boxes[-1][2],
        top=height - max(box[3] for box in boxes),
        bottom=height - min(box[1] for box in boxes),
        page_height=height,
        broken=broken,
    )


def _box(handle: Any, at: int) -> tuple[float, float, float, float]:
    """Left, bottom, right and top in points, as tall as the font."""
    import pypdfium2.raw as raw

    box = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(handle, at, box)
    return box.left, box.bottom, box.right, box.top


def _size(handle: Any, at: int) -> float:
    """Font size in points as shown; files may scale a font of size 1."""
    import pypdfium2.raw as raw

    matrix = raw.FS_MATRIX()
    raw.FPDFText_GetMatrix(handle, at, matrix)
    scale = math.hypot(matrix.c, matrix.d) or 1.0
    return float(round(raw.FPDFText_GetFontSize(handle, at) * scale, 1))


def _font(handle: Any, at: int) -> tuple[str, bool]:
    """The font's name, and whether it is bold."""
    import pypdfium2.raw as raw

    buffer = ctypes.create_string_buffer(64)
    raw.FPDFText_GetFontInfo(handle, at, buffer, len(buffer), ctypes.c_int())
    name = buffer.value.decode("latin-1")
    heavy = raw.FPDFText_GetFontWeight(handle, at) >= _BOLD_WEIGHT
    return name, heavy or any(part in name.lower() for part in _BOLD_NAMES)


def _upright(handle: Any, at: int) -> bool:
    import pypdfium2.raw as raw

    return bool(math.cos(raw.FPDFText_GetCharAngle(handle, at)) > 0.9)
