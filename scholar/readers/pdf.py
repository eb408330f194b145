"""PDF files, by pdfium. The package itself loads with the first file read."""

from __future__ import annotations

import ctypes
import math
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scholar.errors import SourceError
from scholar.readers import front, layout
from scholar.readers.document import Document, place
from scholar.readers.headings import MARK, Cell, Line, titled
from scholar.readers.references import split

if TYPE_CHECKING:
    import pypdfium2 as pdfium  # type: ignore[import-untyped]

_LOCK = threading.Lock()
"""pdfium may not be entered by two threads at once, not even for two files."""
_HEADER = b"%PDF-"
_SOFT_HYPHENS = frozenset((0x02, 0xFFFE))
"""What pdfium gives for a hyphen at a line end, in place of the line end."""
_SHY = 0xAD
_LINE_ENDS = frozenset((0x0A, 0x0D)) | _SOFT_HYPHENS
WIDE_GAP = 0.8
"""Of the type size: spaces of justified lines stay under it, those between columns do not."""
_SMALLER = 0.85
_RAISED = 0.1
"""Of the type size: how far above its neighbours' feet a raised sign stands at least."""
_FEW_LETTERS = 60
_LARGE_IMAGE = 0.3
"""Share of the page."""
_BOLD_WEIGHT = 600
_BOLD_NAMES = ("bold", "black", "heavy", "medi", "cmbx", ".b")


def looks_like(data: bytes) -> bool:
    """Whether `data` begins as a PDF does."""
    return data.lstrip()[: len(_HEADER)] == _HEADER


def read(path: Path, data: bytes) -> Document:
    """The document in `data`, the content of `path`.

    Pages that cannot be read, or show only an image of text, are left out and named in `problems`.
    Raises SourceError for a file that is damaged, locked by a password, or without any text.
    """
    with _LOCK:
        scan = _scan(path, data)
    blocks, references = split(layout.blocks(scan.pages))
    if not blocks and not references:
        raise _without_text(path, scan)
    text, starts, sections = place(blocks)
    about = front.describe(scan.pages, scan.info)
    return Document(
        text=text,
        title=about.title,
        authors=about.authors,
        year=about.year,
        identifiers=about.identifiers,
        version=about.version,
        pages=starts,
        sections=titled(sections),
        problems=tuple(_problems(scan)),
        references=references,
    )


@dataclass(slots=True)
class _Scan:
    """The lines of each page, the file's own metadata, and the numbers of pages without."""

    pages: list[list[Line]] = field(default_factory=list)
    info: dict[str, str] = field(default_factory=dict)
    broken: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)


def _without_text(path: Path, scan: _Scan) -> SourceError:
    if scan.pages and len(scan.broken) == len(scan.pages):
        return SourceError(f"No page of {path} could be read; save it anew or download it again.")
    return SourceError(
        f"{path} has no text, only images or empty pages; run OCR, for example ocrmypdf, first."
    )


def _problems(scan: _Scan) -> Iterator[str]:
    if scan.broken:
        yield f"{_listed(scan.broken)} could not be read."
    if scan.images:
        verb = "shows" if len(scan.images) == 1 else "show"
        yield (
            f"{_listed(scan.images)} {verb} only an image; "
            "run OCR, for example ocrmypdf, to have the text."
        )


def _listed(numbers: list[int]) -> str:
    """Page numbers in words, runs of them as one: "Pages 2–4, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    spans = [f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"{'Page' if len(numbers) == 1 else 'Pages'} {', '.join(spans)}"


def _scan(path: Path, data: bytes) -> _Scan:
    import pypdfium2 as pdfium

    scan = _Scan()
    with closing(_opened(path, data)) as pdf:
        scan.info = {key: str(value).strip() for key, value in pdf.get_metadata_dict().items()}
        for index in range(len(pdf)):
            lines: list[Line] = []
            try:
                with closing(pdf[index]) as page:
                    lines = _lines(page, marked=index == 0)
                    if _is_image(page, lines):
                        scan.images.append(index + 1)
            except pdfium.PdfiumError:
                scan.broken.append(index + 1)
            scan.pages.append(lines)
    return scan


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


def _is_image(page: pdfium.PdfPage, lines: list[Line]) -> bool:
    """Whether the page is a picture, perhaps with a stamp or a page number on it."""
    import pypdfium2.raw as raw

    if sum(len(line.text) for line in lines) >= _FEW_LETTERS:
        return False
    width, height = page.get_size()
    for shape in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = shape.get_bounds()
        if (right - left) * (top - bottom) >= _LARGE_IMAGE * width * height:
            return True
    return False


def _lines(page: pdfium.PdfPage, *, marked: bool) -> list[Line]:
    import pypdfium2.raw as raw

    with closing(page.get_textpage()) as text:
        codes = [raw.FPDFText_GetUnicode(text.raw, at) for at in range(text.count_chars())]
        height = page.get_height()
        stretches = list(_stretches(codes))
        return [_line(text.raw, codes, stretch, height, marked=marked) for stretch in stretches]


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
    return 0x20 < code <= sys.maxunicode and code != _SHY and not chr(code).isspace()


def _text(codes: Iterable[int]) -> str:
    """`codes`, some of which may be halves of a pair, as text; what is no character is left out."""
    text = "".join(chr(code) for code in codes if code <= sys.maxunicode)
    if not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def _line(
    handle: Any, codes: list[int], stretch: tuple[int, int, bool], height: float, *, marked: bool
) -> Line:
    first, end, broken = stretch
    marks = [at for at in range(first, end) if _shows(codes[at])]
    middle = marks[len(marks) // 2]
    # A raised footnote mark may begin or end a line, so three characters stand for it.
    sample = sorted({marks[0], middle, marks[-1]})
    boxes = [_box(handle, at) for at in sample]
    fonts = [_font(handle, at) for at in sample]
    size = max(_size(handle, at) for at in sample)
    raised = _raised(handle, marks, size) if marked else None
    return Line(
        text=_text(codes[first:end]),
        size=size,
        font=Counter(name for name, _ in fonts).most_common(1)[0][0],
        bold=all(bold for _, bold in fonts),
        upright=_upright(handle, middle),
        left=boxes[0][0],
        right=boxes[-1][2],
        top=height - max(box[3] for box in boxes),
        bottom=height - min(box[1] for box in boxes),
        page_height=height,
        broken=broken,
        cells=tuple(_cells(handle, codes, marks, size, raised)),
    )


def _cells(
    handle: Any, codes: list[int], marks: list[int], size: float, raised: set[int] | None
) -> Iterator[Cell]:
    """The stretches of a line that gaps wider than WIDE_GAP of its type size part."""
    first, left = marks[0], _box(handle, marks[0])[0]
    for before, after in [*pairwise(marks), (marks[-1], None)]:
        if after == before + 1:
            continue
        right = _box(handle, before)[2]
        start = right if after is None else _box(handle, after)[0]
        if after is None or start - right > WIDE_GAP * size:
            cell = range(first, before + 1)
            text = _text(codes[at] for at in cell)
            yield Cell(
                text, left, right, _marked(codes, cell, raised) if raised is not None else ""
            )
            first, left = after or 0, start


def _raised(handle: Any, marks: list[int], size: float) -> set[int]:
    """The characters that are set smaller than the line and above its feet."""
    small = [at for at in marks if _size(handle, at) < _SMALLER * size]
    if not small or len(small) == len(marks):
        return set()
    foot = min(_box(handle, at)[1] for at in marks if at not in small)
    return {at for at in small if _box(handle, at)[1] > foot + _RAISED * size}


def _marked(codes: list[int], cell: Iterable[int], raised: set[int]) -> str:
    """The text of a cell with every run of raised characters as one MARK."""
    shown = [ord(MARK) if at in raised else codes[at] for at in cell]
    kept = [
        code for at, code in enumerate(shown) if code != ord(MARK) or shown[at - 1 : at] != [code]
    ]
    return _text(kept)


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
