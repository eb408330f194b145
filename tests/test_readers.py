from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from scholar.errors import SourceError
from scholar.readers import SUFFIXES, Document, Page, Section, read

DATA = Path(__file__).parents[2] / "shared" / "data"
PDFS = DATA / "pdfs"
S2ORC = DATA / "s2orc" / "pdf"
needs_pdfs = pytest.mark.skipif(not PDFS.is_dir(), reason="no real PDFs")

Text = tuple[float, float, float, str]
"""Left edge, base line counted from the top, type size, words; in Helvetica."""
PROSE = "The quick brown fox jumps over the lazy dog and runs on into the wood"


def pdf(*pages: Sequence[Text], info: str = "", broken: int = 0) -> bytes:
    """A PDF with these pages of 600 by 800 points; page number `broken` has no object."""
    objects = {1: "<</Type/Catalog/Pages 2 0 R>>", 4: f"<<{info}>>"}
    objects[3] = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
    kids = []
    for number, texts in enumerate(pages, 1):
        page, content = 3 + 2 * number, 4 + 2 * number
        kids.append(f"{page} 0 R")
        shown = "\n".join(
            f"BT /F {size} Tf {x} {800 - y} Td ({_escaped(words)}) Tj ET"
            for x, y, size, words in texts
        )
        objects[content] = f"<</Length {len(shown)}>>stream\n{shown}\nendstream"
        if number != broken:
            objects[page] = (
                "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>>>"
                f"/Contents {content} 0 R>>"
            )
    objects[2] = f"<</Type/Pages/Count {len(kids)}/Kids[{' '.join(kids)}]>>"
    return _file(objects)


def _escaped(words: str) -> str:
    return words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _file(objects: dict[int, str]) -> bytes:
    out = b"%PDF-1.4\n"
    places = {}
    for number, body in sorted(objects.items()):
        places[number] = len(out)
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("cp1252")
    table = len(out)
    size = max(objects) + 1
    rows = [
        f"{places[number]:010} 00000 n \n" if number in places else "0000000000 65535 f \n"
        for number in range(size)
    ]
    out += f"xref\n0 {size}\n{''.join(rows)}".encode()
    return (
        out + f"trailer<</Size {size}/Root 1 0 R/Info 4 0 R>>\nstartxref\n{table}\n%%EOF".encode()
    )


def lines(*words: str, top: float = 100, left: float = 50, size: float = 10) -> list[Text]:
    return [(left, top + 12 * at, size, text) for at, text in enumerate(words)]


def read_pdf(folder: Path, *pages: Sequence[Text], info: str = "", broken: int = 0) -> Document:
    path = folder / "paper.pdf"
    path.write_bytes(pdf(*pages, info=info, broken=broken))
    return read(path)


def read_text(folder: Path, text: str, name: str = "note.md") -> Document:
    path = folder / name
    path.write_text(text, "utf-8")
    return read(path)


def assert_normal(document: Document) -> None:
    """The stored text keeps its form, and offsets point at what they name."""
    text = document.text
    assert text == text.strip()
    assert not any(bad in text for bad in ("\n\n\n", "\r", "\0", "\t", "  "))
    assert all("\n" not in paragraph for paragraph in text.split("\n\n"))
    assert [page.number for page in document.pages] == sorted(p.number for p in document.pages)
    starts = [page.start for page in document.pages]
    assert starts == sorted(starts)
    assert all(not text[start].isspace() for start in starts)
    sections = [section.start for section in document.sections]
    assert sections == sorted(sections)
    for section in document.sections:
        paragraph = text[section.start :].split("\n\n")[0]
        assert section.title == paragraph
        assert section.start == 0 or text[section.start - 2 : section.start] == "\n\n"


# PDF: text


def test_wrapped_lines_make_one_paragraph_and_gaps_part_two(tmp_path: Path) -> None:
    page = [*lines(PROSE, PROSE, "to the end."), *lines(PROSE, "and back.", top=160)]
    document = read_pdf(tmp_path, page)
    assert document.text == f"{PROSE} {PROSE} to the end.\n\n{PROSE} and back."
    assert document.pages == (Page(0, 1),)
    assert document.holds == "full"


def test_a_short_last_line_ends_a_paragraph_without_a_gap(tmp_path: Path) -> None:
    document = read_pdf(tmp_path, lines(PROSE, "to the end.", PROSE, "and back."))
    assert document.text == f"{PROSE} to the end.\n\n{PROSE} and back."


def test_an_indent_begins_a_paragraph(tmp_path: Path) -> None:
    page = [*lines(PROSE, PROSE + "."), (65, 124, 10, PROSE), (50, 136, 10, "the end")]
    document = read_pdf(tmp_path, page)
    assert document.text == f"{PROSE} {PROSE}.\n\n{PROSE} the end"


@pytest.mark.parametrize(
    ("left", "right", "elsewhere", "expected"),
    [
        ("informa-", "tion is here", "some information", "information is here"),
        ("exam-", "ple is here", "nothing", "example is here"),
        ("state-of-", "the-art is here", "a state-of-the-art", "state-of-the-art is here"),
        ("long-", "context is here", "a long and good context", "long-context is here"),
        ("pre-", "trained is here", "a pre-trained thing", "pre-trained is here"),
        ("the GPT-", "4 is here", "nothing", "the GPT-4 is here"),
        ("non-", "English is here", "nothing", "non-English is here"),
    ],
)
def test_words_broken_at_line_ends_are_joined_as_the_paper_spells_them(
    tmp_path: Path, left: str, right: str, elsewhere: str, expected: str
) -> None:
    page = [*lines(f"{PROSE} {left}", f"{right} {PROSE}."), *lines(elsewhere, top=200)]
    document = read_pdf(tmp_path, page)
    assert f"{PROSE} {expected} {PROSE}." in document.text


def test_a_paragraph_goes_on_across_a_page_end(tmp_path: Path) -> None:
    document = read_pdf(tmp_path, lines(PROSE), lines("and out again.", top=80))
    assert document.text == f"{PROSE} and out again."
    assert document.pages == (Page(0, 1), Page(len(PROSE) + 1, 2))


def test_a_paragraph_goes_on_past_a_footnote_and_a_caption(tmp_path: Path) -> None:
    one = [*lines(PROSE, PROSE), *lines("1 A footnote here.", top=700, size=7)]
    two = [
        *lines("Figure 1: A picture.", top=80, size=9),
        *lines(f"and {PROSE}", "again.", top=300),
    ]
    document = read_pdf(tmp_path, one, two)
    paragraphs = document.text.split("\n\n")
    assert paragraphs == [
        "1 A footnote here.",
        f"{PROSE} {PROSE} and {PROSE} again.",
        "Figure 1: A picture.",
    ]
    second = document.pages[1]
    assert document.text[second.start :].startswith("and The quick")
    assert_normal(document)


def test_headings_are_sections_and_paragraphs_of_their_own(tmp_path: Path) -> None:
    page = [
        *lines("A Paper on Foxes", top=60, size=18),
        *lines("Abstract", top=100),
        *lines(PROSE + ".", top=120),
        *lines("1 Introduction", top=150, size=12),
        *lines(PROSE, "and 2 more", top=170),
        *lines("1.1 What a Fox", "Does at Night", top=220, size=12),
        *lines(PROSE + ".", top=260),
        *lines("REFERENCES", top=300),
        *lines("[1] A. Fox. Dogs. 1999.", "[2] B. Dog. Foxes. 2001.", top=320),
    ]
    document = read_pdf(tmp_path, page)
    assert [section.title for section in document.sections] == [
        "Abstract",
        "1 Introduction",
        "1.1 What a Fox Does at Night",
    ]
    assert document.text.endswith(f"1.1 What a Fox Does at Night\n\n{PROSE}.")
    assert [reference.text for reference in document.references] == [
        "[1] A. Fox. Dogs. 1999.",
        "[2] B. Dog. Foxes. 2001.",
    ]
    assert document.title == "A Paper on Foxes"
    assert_normal(document)


def test_an_abstract_that_runs_in_is_a_section(tmp_path: Path) -> None:
    document = read_pdf(tmp_path, lines("Abstract\u2014The fox. " + PROSE, PROSE + "."))
    assert document.sections == (Section(0, "Abstract"),)
    assert document.text.startswith("Abstract\n\nThe fox.")


def test_running_heads_and_page_numbers_are_left_out(tmp_path: Path) -> None:
    pages = [
        [
            *lines(f"Journal of Foxes 12 ({number})", top=30),
            *lines(f"{PROSE} on page number {number}", "with 12 foxes", "in it.", top=200),
            *lines(str(number), top=770, left=300),
        ]
        for number in range(1, 5)
    ]
    document = read_pdf(tmp_path, *pages)
    assert "Journal" not in document.text
    assert document.text.count("in it.") == 4
    assert len(document.pages) == 4
    assert "\n4" not in document.text


def test_a_title_that_comes_back_as_running_head_is_kept_once(tmp_path: Path) -> None:
    head = "Foxes and Dogs"
    first = [*lines(head, top=60, size=18), *lines(PROSE, top=200)]
    rest = [[*lines(head, top=30, size=8), *lines(f"{PROSE}.", top=200)] for _ in range(4)]
    document = read_pdf(tmp_path, first, *rest)
    assert document.text.startswith(head)
    assert document.text.count(head) == 1


def test_a_page_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    one, two, three = (lines(f"This is page {name}.") for name in ("one", "two", "three"))
    document = read_pdf(tmp_path, one, two, three, broken=2)
    assert document.text == "This is page one.\n\nThis is page three."
    assert document.problems == ("Page 2 could not be read.",)
    assert document.pages == (Page(0, 1), Page(19, 3))


def test_rows_of_a_table_stay_rows_with_their_cells_apart(tmp_path: Path) -> None:
    rows = [("Name", "Height", "Mood"), ("Red fox", "12.5", "3"), ("Grey fox", "9.1", "4"),
            ("Arctic fox", "7.7", "5")]  # fmt: skip
    table = [
        (50 + 120 * column, 200 + 12 * row, 10, cell)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
    ]
    document = read_pdf(tmp_path, [*lines(PROSE, "to the end."), *table, *lines(PROSE, top=300)])
    assert document.text.split("\n\n")[1:5] == [" | ".join(cells) for cells in rows]
    assert_normal(document)


@pytest.mark.parametrize(
    ("count", "left", "right"),
    [(6, "The quick brown fox jumps", "over the lazy dog again"), (4, "See also", "the dogs")],
)
def test_prose_with_a_wide_space_in_it_is_no_table(
    tmp_path: Path, count: int, left: str, right: str
) -> None:
    wide = [(x, 100 + 12 * at, 10, words) for at in range(count)
            for x, words in ((50, left), (220, right))]  # fmt: skip
    assert "|" not in read_pdf(tmp_path, wide).text


def test_references_leave_the_text_and_an_appendix_behind_them_stays(tmp_path: Path) -> None:
    one = [*lines("1 Introduction", top=60, size=14), *lines(PROSE + ".", top=90)]
    two = [
        *lines("References", top=60, size=14),
        *lines("Ann Fox. 2001. Of dogs and other", top=80),
        *lines("animals. In Proc. of the Wood.", top=92, left=62),
        *lines("Bob Dog. 1999. Of foxes. Wood.", top=104),
        *lines("Cy Cat. 2003. Of mice. Barn 3.", top=116),
    ]
    three = [*lines("A Questionnaire", top=60, size=14), *lines(PROSE + ".", top=90)]
    document = read_pdf(tmp_path, one, two, three)
    assert [reference.title for reference in document.references] == [
        "Of dogs and other animals",
        "Of foxes",
        "Of mice",
    ]
    assert document.text.endswith(f"A Questionnaire\n\n{PROSE}.")
    assert "Of mice" not in document.text
    assert [page.number for page in document.pages] == [1, 3]
    assert_normal(document)


# PDF: what it says of itself


def test_authors_in_columns_are_told_from_their_institutions(tmp_path: Path) -> None:
    columns = [("Ann Fox", "UC San Diego", "fox@ucsd.edu"), ("Bob B. Dog", "Dog Labs", "b@dog.org")]
    below = [("Cy van der Cat", "New York", "cat@nyu.edu"), ("Dé O’Eel", "Sea", "d@sea.org")]
    block = [
        (60 + 200 * column, 110 + 45 * block + 13 * row, 11, words)
        for block, people in enumerate((columns, below))
        for column, person in enumerate(people)
        for row, words in enumerate(person)
    ]
    page = [*lines("Of Foxes and Dogs", top=70, size=16), *block, *lines("Abstract", top=230),
            *lines(PROSE, top=250)]  # fmt: skip
    authors = read_pdf(tmp_path, page).authors
    assert authors == ("Ann Fox", "Bob B. Dog", "Cy van der Cat", "Dé O’Eel")


def test_authors_in_capitals_with_their_places_behind_are_read(tmp_path: Path) -> None:
    page = [
        *lines("Of Foxes and Dogs", top=70, size=16),
        *lines("ANN FOX, University of the Wood, Norway", "BOB B. DOG, Dog Labs, Canada", top=110),
        *lines("Abstract", top=180),
        *lines(PROSE, top=200, size=9),
    ]
    assert read_pdf(tmp_path, page).authors == ("Ann Fox", "Bob B. Dog")


def test_raised_letters_are_no_part_of_a_name(tmp_path: Path) -> None:
    page = [
        *lines("Of Foxes and Dogs", top=70, size=16),
        (50, 110, 11, "Ann Fox"), (91.5, 106, 6, "a,b"), (99, 110, 11, ", Bob Dog"),
        *lines("Abstract", top=180),
        *lines(PROSE, top=200),
    ]  # fmt: skip
    assert read_pdf(tmp_path, page).authors == ("Ann Fox", "Bob Dog")


def test_a_subtitle_is_no_author(tmp_path: Path) -> None:
    page = [
        *lines("Of Foxes", top=70, size=16),
        *lines("How Dogs and Cats Affect Them", top=95, size=12),
        *lines("Abstract", top=180),
        *lines(PROSE, top=200),
    ]
    assert read_pdf(tmp_path, page).authors == ()


def test_a_short_title_in_the_metadata_gives_way_to_the_full_one(tmp_path: Path) -> None:
    page = [*lines("A Tour of Vector Clock Systems", top=80, size=16), *lines(PROSE, top=200)]
    document = read_pdf(tmp_path, page, info="/Title(Vector Clocks)")
    assert document.title == "A Tour of Vector Clock Systems"


def test_a_year_in_the_references_is_not_the_papers_own(tmp_path: Path) -> None:
    page = [*lines(PROSE), *lines("References", top=300, size=12),
            *lines("[1] A. Fox. Dogs. In", "Proceedings of the Wood, 2001.", top=320)]  # fmt: skip
    assert read_pdf(tmp_path, page, info="/CreationDate(D:20190203)").year == 2019


def test_a_title_in_the_metadata_counts_where_the_page_shows_it(tmp_path: Path) -> None:
    page = [*lines("PREPRINT", top=40, size=20), *lines("Of Foxes", "and Dogs", top=80, size=14)]
    info = "/Title(Of Foxes and Dogs)/Author(Ann Fox; Bob Dog and Cy Cat)/CreationDate(D:20190203)"
    document = read_pdf(tmp_path, page, info=info)
    assert document.title == "Of Foxes and Dogs"
    assert document.authors == ("Ann Fox", "Bob Dog", "Cy Cat")
    assert document.year == 2019


@pytest.mark.parametrize(
    "title",
    ["untitled", "Microsoft Word - final.docx", "paper_v2.pdf", "main", "10.1000/182", "",
     "arXiv:2502.14802v1 [cs.CL] 20 Feb 2025", "LaTeX2e Author Guidelines template"],
)  # fmt: skip
def test_a_useless_title_gives_way_to_the_largest_type(tmp_path: Path, title: str) -> None:
    page = [*lines("Of Foxes", "and Dogs", top=80, size=12), *lines(PROSE, top=200)]
    assert read_pdf(tmp_path, page, info=f"/Title({title})").title == "Of Foxes and Dogs"


@pytest.mark.parametrize("author", ["admin", "Owner", "x@y.org", "user 12", "root"])
def test_a_useless_author_is_nobody(tmp_path: Path, author: str) -> None:
    assert read_pdf(tmp_path, lines(PROSE), info=f"/Author({author})").authors == ()


def test_a_lone_author_in_the_metadata_is_completed_from_the_page(tmp_path: Path) -> None:
    page = [
        *lines("Of Foxes", top=80, size=14),
        *lines("Ann Fox1,2, Bob B. Dog2", "and Cy van der Cat1", top=110, size=11),
        *lines("1 University of the Wood", top=140, size=8),
    ]
    document = read_pdf(tmp_path, page, info="/Author(Ann Fox)")
    assert document.authors == ("Ann Fox", "Bob B. Dog", "Cy van der Cat")


def test_the_arxiv_stamp_gives_id_version_and_year(tmp_path: Path) -> None:
    stamp = "arXiv:2502.14802v2 [cs.CL] 3 Jan 2026"
    document = read_pdf(tmp_path, [*lines(PROSE), *lines(stamp, top=780)])
    assert document.identifiers == {"arxiv": "2502.14802"}
    assert document.version == "v2"
    assert document.year == 2025


def test_an_arxiv_id_in_the_running_text_is_not_the_papers_own(tmp_path: Path) -> None:
    document = read_pdf(tmp_path, lines("We follow arXiv:2502.14802v2 in this and more."))
    assert document.identifiers == {}


def test_a_doi_counts_only_at_the_begin_of_a_line(tmp_path: Path) -> None:
    cited = lines(PROSE, "See Fox (2001), https://doi.org/10.1000/other.")
    own = lines("https://doi.org/10.1000/Own.1", top=700)
    assert read_pdf(tmp_path, cited).identifiers == {}
    assert read_pdf(tmp_path, [*cited, *own]).identifiers == {"doi": "10.1000/own.1"}


def test_the_year_of_publication_wins_over_the_year_of_the_file(tmp_path: Path) -> None:
    page = [*lines("Fox et al., 2003 ran.", PROSE), *lines("Published online: 4 May 2011", top=700)]
    assert read_pdf(tmp_path, page, info="/CreationDate(D:20190203)").year == 2011


# PDF: the real ones


@needs_pdfs
@pytest.mark.slow
def test_every_real_pdf_is_read_or_refused_with_a_reason() -> None:
    outcomes = {}
    for path in sorted([*PDFS.glob("*/*.pdf"), *S2ORC.glob("*.pdf")]):
        try:
            document = read(path)
        except SourceError as error:
            outcomes[path.name] = str(error)
        else:
            outcomes[path.name] = "read"
            assert_normal(document)
    assert len(outcomes) >= 30
    locked = [name for name, outcome in outcomes.items() if "remove the password" in outcome]
    assert len(locked) == 5
    assert "ocrmypdf" in outcomes["nonfree__175.pdf"]
    assert all(word in ("read",) or word.endswith(".") for word in outcomes.values())


BOGNER = (
    "On the impact of service-oriented patterns on software evolvability: "
    "a controlled experiment and metric-based analysis"
)


@needs_pdfs
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "title", "authors", "year", "doi"),
    [
        ("Bogner2019.pdf", BOGNER, 3, 2019, "10.7717/peerj-cs.213"),
        ("Ralph2020.pdf", "Pandemic programming", 17, 2020, "10.1007/s10664-020-09875-y"),
        ("Tucker2007.pdf", "OPIUM: Optimal Package Install/Uninstall Manager", 4, 2007, None),
        ("ALCE.pdf", "Enabling Large Language Models to Generate Text with Citations", 4, 2023,
         None),
    ],
)  # fmt: skip
def test_real_papers_say_what_they_are(
    name: str, title: str, authors: int, year: int, doi: str | None
) -> None:
    document = read(PDFS / "papers" / name)
    assert document.title == title
    assert len(document.authors) == authors
    assert document.year == year
    assert document.identifiers.get("doi") == doi
    titles = [section.title for section in document.sections]
    assert titles[0].lower() == "abstract"
    assert "References" not in titles
    assert len(document.references) > 15


@needs_pdfs
@pytest.mark.slow
def test_a_real_paragraph_is_whole() -> None:
    text = read(PDFS / "papers" / "ALCE.pdf").text
    assert "We argue that the absence of automated evaluation hinders the advances" in text
    assert "prone to hallucination. In this work" in text
    assert "state-of-the-art LLMs and novel prompting strategies" in text


@needs_pdfs
@pytest.mark.slow
def test_every_page_of_a_real_paper_has_its_place() -> None:
    document = read(PDFS / "papers" / "Ralph2020.pdf")  # page 21 is printed sideways
    numbers = [page.number for page in document.pages]
    assert numbers == list(range(1, 27))  # behind them there are references alone


@needs_pdfs
@pytest.mark.slow
def test_files_may_be_read_in_several_threads() -> None:
    path = PDFS / "papers" / "Tucker2007.pdf"
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(read(path).text)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 4
    assert len(set(texts)) == 1


# Any file


def test_a_pdf_is_known_by_its_content_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "paper.txt"
    path.write_bytes(pdf(lines(PROSE)))
    assert read(path).text == PROSE


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.pdf", b"", "empty; remove it"),
        ("a.txt", b" \n\n", "empty; remove it"),
        ("a.docx", b"PK\x03\x04", r"no kind that can be read; convert it .*\.pdf"),
        ("a.pdf", b"not a PDF at all", "not a readable PDF; .*again"),
        ("a.pdf", b"%PDF-1.4\ngarbage", "not a readable PDF; .*again"),
        ("a.txt", bytes(range(256)), "not text; save it"),
        ("a.md", b"\x00\x01\x02\xff" * 9, "not text; save it"),
        ("a.txt", b"\x81\x8d\x8f", "not text; save it"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_to_do(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SourceError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_pages_without_text_ask_for_ocr(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no text.*ocrmypdf"):
        read_pdf(tmp_path, [])


def test_a_file_of_which_no_page_can_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No page of"):
        read_pdf(tmp_path, lines(PROSE), broken=1)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no file .*check the path"):
        read(tmp_path / "none.pdf")
    with pytest.raises(SourceError, match="is a folder"):
        read(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words")
    path.chmod(0)
    with pytest.raises(SourceError, match="permissions"):
        read(path)


def test_nothing_heavy_loads_before_a_file_is_read() -> None:
    code = (
        "import sys, scholar.readers, scholar.sources.bibtex, scholar.sources.arxiv\n"
        "heavy = {'pypdfium2', 'pylatexenc', 'markdown_it', 'yaml', 'bibtexparser', 'arxiv'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


LATEX = rf"\documentclass{{article}}\begin{{document}}{PROSE}\end{{document}}".encode()
XML = f"<article><body><p>{PROSE}</p></body></article>".encode()


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("paper.tex", content)
    return packed.getvalue()


CONTENTS = {
    ".pdf": pdf(lines(PROSE)),
    ".xml": XML,
    ".nxml": XML,
    ".tei": f"<TEI><text><body><p>{PROSE}</p></body></text></TEI>".encode(),
    ".tex": LATEX,
    ".gz": gzip.compress(LATEX),
    ".tgz": gzip.compress(LATEX),
    ".zip": zipped(LATEX),
}


def test_every_suffix_has_a_reader(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"file{suffix.upper()}"
        path.write_bytes(CONTENTS.get(suffix, PROSE.encode()))
        assert read(path).text == PROSE


# Markdown

NOTE = """---
title: "Foxes: a study"
authors: ["Ann Fox", "Bob Dog"]
year: 2025
venue: Journal of Foxes
arxiv: 2502.14800
doi: 10.1000/ABC
---

<!-- not for
readers -->

# Foxes

## Problem

Foxes *run* over
[lazy dogs](https://example.org "a title") with `code` and ![a fox](fox.png).

- First **item**
- Second

| Name | Speed |
|------|------:|
| Fox  | 12    |

```
x = 1
```
"""


def test_a_note_is_read_as_plain_paragraphs(tmp_path: Path) -> None:
    document = read_text(tmp_path, NOTE)
    assert document.text.split("\n\n") == [
        "Foxes",
        "Problem",
        "Foxes run over lazy dogs with code and a fox.",
        "First item",
        "Second",
        "Name | Speed",
        "Fox | 12",
        "x = 1",
    ]
    assert document.sections == (Section(0, "Foxes"), Section(7, "Problem"))
    assert_normal(document)


def test_front_matter_says_what_the_note_is_about(tmp_path: Path) -> None:
    document = read_text(tmp_path, NOTE)
    assert document.title == "Foxes: a study"
    assert document.authors == ("Ann Fox", "Bob Dog")
    assert document.year == 2025
    assert document.venue == "Journal of Foxes"
    assert document.identifiers == {"arxiv": "2502.14800", "doi": "10.1000/abc"}
    assert document.holds == "note"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Ann Fox and Bob Dog", ("Ann Fox", "Bob Dog")),
        ("Ann Fox, Bob Dog, and Cy Cat", ("Ann Fox", "Bob Dog", "Cy Cat")),
        ("Ann Fox; Bob Dog", ("Ann Fox", "Bob Dog")),
        ("Fox, Ann and Dog, Bob", ("Ann Fox", "Bob Dog")),
        ("Aristotle", ("Aristotle",)),
        ("\n  - Ann Fox\n  - Bob Dog", ("Ann Fox", "Bob Dog")),
        ("Ann Fox", ("Ann Fox",)),
        ("", ()),
        ("null", ()),
    ],
)
def test_authors_may_be_written_in_several_ways(
    tmp_path: Path, value: str, expected: tuple[str, ...]
) -> None:
    assert read_text(tmp_path, f"---\nauthors: {value}\n---\nWords.").authors == expected


def test_an_arxiv_version_is_kept_apart(tmp_path: Path) -> None:
    document = read_text(tmp_path, "---\narxiv: arXiv:2502.14802v3\n---\nWords.")
    assert document.identifiers == {"arxiv": "2502.14802"}
    assert document.version == "v3"


@pytest.mark.parametrize("holds", ["full", "abstract", "note", "record"])
def test_a_note_may_say_what_it_holds(tmp_path: Path, holds: str) -> None:
    assert read_text(tmp_path, f"---\nholds: {holds}\n---\nWords.").holds == holds


def test_the_title_is_the_first_main_heading_else_the_files_name(tmp_path: Path) -> None:
    assert read_text(tmp_path, "Before.\n\n# Of *Foxes*\n\nWords.").title == "Of Foxes"
    assert read_text(tmp_path, "## Part\n\nWords.", "of-foxes_2.md").title == "of foxes 2"


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("title: ok\nauthors: [a, b", "not valid YAML at line 4"),
        ("title: a: b", "not valid YAML at line 2"),
        ("just words", "has no fields"),
        ("year: soon", "year.*four digits"),
        ("authors: {a: b}", "no list of names"),
        ("holds: everything", "'holds'.*one of full"),
    ],
)
def test_front_matter_that_cannot_be_used_is_refused(
    tmp_path: Path, front: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        read_text(tmp_path, f"---\n{front}\n---\nWords.")


def test_front_matter_may_follow_a_byte_order_mark(tmp_path: Path) -> None:
    assert read_text(tmp_path, "\ufeff---\ntitle: Of Foxes\n---\nWords.").title == "Of Foxes"


def test_front_matter_makes_no_objects(tmp_path: Path) -> None:
    front = "title: !!python/object/apply:os.getcwd []"
    assert read_text(tmp_path, f"---\n{front}\n---\nWords.").title == "note"


def test_a_rule_is_no_front_matter(tmp_path: Path) -> None:
    assert read_text(tmp_path, "Words.\n\n---\n\nMore.").text == "Words.\n\nMore."


def test_headings_alone_are_no_note(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no text below its headings"):
        read_text(tmp_path, "# Foxes\n\n## Problem\n")


# Plain text


def test_plain_text_keeps_its_paragraphs_and_joins_their_lines(tmp_path: Path) -> None:
    document = read_text(tmp_path, "Of Foxes\r\n\r\nOne\r\ntwo.\r\n \t\r\nThree.\x07", "a.txt")
    assert document.text == "Of Foxes\n\nOne two.\n\nThree."
    assert document.title == "Of Foxes"
    assert document.holds == "note"
    assert_normal(document)


def test_a_first_line_that_is_a_sentence_is_no_title(tmp_path: Path) -> None:
    assert read_text(tmp_path, "Foxes run.\n\nMore.", "my-notes.txt").title == "my notes"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Naïve “foxes” – 5 €".encode(encoding))
    assert read(path).text == "Naïve “foxes” – 5 €"


def test_letters_are_composed(tmp_path: Path) -> None:
    assert read_text(tmp_path, "Gutie\u0301rrez", "a.txt").text == "Guti\u00e9rrez"
