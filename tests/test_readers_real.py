"""What is read of real papers, against gold and against other libraries."""

from __future__ import annotations

import logging
import random
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from scholar.errors import SourceError
from scholar.library.passages import cut
from scholar.readers import SUFFIXES, Document, read
from scholar.text import sentences

DATA = Path(__file__).parents[2] / "shared" / "data"
pytestmark = [
    pytest.mark.skipif(not (DATA / "s2orc").is_dir(), reason="no real papers"),
    pytest.mark.slow,
]
PASSAGES = 1_000


def bare(text: str) -> str:
    """Letters and digits alone, ligatures and accents resolved."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in plain if character.isalnum())


def files() -> list[Path]:
    folders = (DATA / "pdfs", DATA / "s2orc")
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return sorted(path for path in found if path.suffix in SUFFIXES)


def assert_sound(document: Document) -> None:
    text = document.text
    assert text == unicodedata.normalize("NFC", text).strip()
    assert not re.search(r"\n\n\n|(?<!\n)\n(?!\n)|[\r\t\0]| {2}", text)
    for section in document.sections:
        assert text[section.start :].split("\n\n")[0] == section.title
    starts = [(page.start, page.number) for page in document.pages]
    assert starts == sorted(starts)
    assert len({number for _, number in starts}) == len(starts)


def test_every_file_is_read_or_refused_with_a_reason() -> None:
    outcomes = {}
    for path in files():
        try:
            document = read(path)
        except SourceError as error:
            outcomes[path] = str(error)
        else:
            assert_sound(document)
            outcomes[path] = "read"
    assert len(outcomes) >= 40
    assert all(said == "read" or re.search(r"; .+\.$", said) for said in outcomes.values())
    assert sum(said == "read" for said in outcomes.values()) >= 30


@pytest.mark.parametrize("name", ["N18-3011", "2020.acl-main.207"])
def test_pdf_and_tei_of_one_paper_agree(name: str) -> None:
    pdf, tei = (read(DATA / "s2orc" / "pdf" / f"{name}{end}") for end in (".pdf", ".tei.xml"))
    assert bare(pdf.title) == bare(tei.title)
    assert [bare(each.split()[-1]) for each in pdf.authors] == [
        bare(each.split()[-1]) for each in tei.authors
    ]
    shown = bare(pdf.text)
    said = [tei.text[start:end] for start, end in sentences(tei.text)]
    plain = [each for each in said if len(each) > 60 and not re.search(r"[=|∈→_]", each)]
    assert sum(bare(each) in shown for each in plain) >= 0.9 * len(plain)
    listed = " ".join(bare(each.title) for each in pdf.references)
    titles = [bare(each.title) for each in tei.references if each.title]
    assert sum(title in listed for title in titles) >= 0.9 * len(titles)


@pytest.mark.parametrize(
    ("name", "authors", "year", "references"),
    [
        ("jats/PMC5828200.nxml", 7, 2018, 52),
        ("jats/PMC6398430.nxml", 6, 2018, 80),
        ("jats/PMC7417471.nxml", 3, 2020, 206),
        ("latex/1911.02782.gz", 5, 2019, 55),
    ],
)
def test_sources_of_real_papers_are_read_whole(
    name: str, authors: int, year: int, references: int
) -> None:
    document = read(DATA / "s2orc" / name)
    assert len(document.authors) == authors
    assert document.year == year
    assert len(document.references) == references
    assert all(reference.title for reference in document.references)
    assert len(document.text) > 30_000
    assert not re.search(r"\\[a-z]{2,}|\\cite|<[a-z]+>", document.text)


def readable_pdfs() -> Iterator[tuple[Path, Document]]:
    for path in files():
        if path.suffix == ".pdf":
            try:
                yield path, read(path)
            except SourceError:
                continue


def test_sentences_of_passages_stand_on_their_page_by_another_library() -> None:
    pypdf = pytest.importorskip("pypdf")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    chosen = random.Random(1)
    passages = [(path, passage) for path, document in readable_pdfs()
                for passage in cut("paper", document)]  # fmt: skip
    pages: dict[Path, list[str]] = {}
    missed = []
    for path, passage in chosen.choices(passages, k=PASSAGES):
        start, end = chosen.choice(sentences(passage.text))
        page = passage.page_at(passage.start + start)
        assert page is not None
        if path not in pages:
            reader = pypdf.PdfReader(path)
            pages[path] = [bare(each.extract_text()) for each in reader.pages]
        # A sentence may end on the page after the one it begins on.
        shown = "".join(pages[path][page - 1 : page + 1])
        words = [bare(word) for word in passage.text[start:end].split()]
        found = bare(passage.text[start:end]) in shown
        # Formulas and what floats stand in another order in the other library's text.
        if not found and sum(word in shown for word in words) < 0.9 * len(words):
            missed.append((path.name, page, passage.text[start:end]))
    assert len(missed) <= 0.01 * PASSAGES, missed
