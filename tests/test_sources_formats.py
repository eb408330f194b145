"""RIS, MEDLINE, EndNote, PubMed's XML, Web of Science, CSL JSON and tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scholar.errors import SourceError
from scholar.sources import FORMATS, Record, Skipped, format_of, read
from scholar.values import Paper

DATA = Path(__file__).parents[2] / "shared" / "data" / "bibliographies"
needs_files = pytest.mark.skipif(not DATA.is_dir(), reason="no real bibliographies")
SUFFIXES = (*FORMATS, ".txt", ".xml", ".json", ".csv", ".tsv", ".ref")


def found(folder: Path, name: str, text: str) -> list[Record | Skipped]:
    path = folder / name
    path.write_text(text, "utf-8")
    return read(path)


def only(items: list[Record | Skipped]) -> Record:
    (record,) = items
    assert isinstance(record, Record)
    return record


def papers(items: list[Record | Skipped]) -> list[Paper]:
    return [item.paper for item in items if isinstance(item, Record)]


FULL = Paper(
    id="doi:10.1000/abc",
    title="A study of things & such",
    authors=("Ada Lovelace", "Karl von Müller Jr."),
    year=2019,
    venue="Journal of Things",
    identifiers={"doi": "10.1000/abc"},
    holds="abstract",
    source="https://example.org/abc",
)
RIS = """TY  - JOUR
AU  - Lovelace, Ada
AU  - von Müller, Karl, Jr.
TI  - A study of things &amp; such
T2  - Journal of Things
AB  - We studied <i>things</i> that
 go on here.
PY  - 2019/05/01
DO  - https://doi.org/10.1000/ABC
UR  - https://example.org/abc
ER  -
"""
NBIB = """
PMID- 12345678
TI  - A study of things &amp;
      such
FAU - Lovelace, Ada
AU  - Lovelace A
FAU - von Müller, Karl, Jr.
AU  - von Müller K Jr
AB  - We studied things that
      go on here.
DP  - 2019 May 1
JT  - Journal of Things
LID - 10.1000/ABC [doi]
LID - S1234 [pii]
"""
ENW = """%0 Journal Article
%A Lovelace, Ada
%A von Müller, Karl, Jr.
%T A study of things & such
%J Journal of Things
%D 2019
%X We studied things that
go on here.
%R 10.1000/abc
%U https://example.org/abc
"""
ISI = """FN Clarivate Analytics Web of Science
VR 1.0
PT J
AU Lovelace, A
   von Muller, K
AF Lovelace, Ada
   von Müller, Karl, Jr.
TI A study of things
   & such
SO Journal of Things
AB We studied things that
   go on here.
PY 2019
DI 10.1000/abc
ZZ something new
ER

EF
"""
ENDNOTE_XML = """<?xml version="1.0"?><xml><records><record>
<contributors><authors><author><style>Lovelace, Ada</style></author>
<author>von Müller, Karl, Jr.</author></authors></contributors>
<titles><title><style>A study of</style><style> things &amp; such</style></title>
<secondary-title>Journal of Things</secondary-title></titles>
<dates><year>2019</year></dates><abstract>We studied things that
go on here.</abstract><electronic-resource-num>10.1000/abc</electronic-resource-num>
<urls><related-urls><url>https://example.org/abc</url></related-urls>
<pdf-urls><url>internal-pdf://12/a.pdf</url></pdf-urls></urls></record></records></xml>"""
PUBMED = """<?xml version="1.0"?><!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD" "x.dtd">
<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>12345678</PMID><Article>
<Journal><JournalIssue><PubDate><Year>2019</Year><Month>May</Month></PubDate></JournalIssue>
<Title>Journal of Things</Title></Journal><ArticleTitle>A study of <i>things</i> &amp; such
</ArticleTitle><ELocationID EIdType="doi">10.1000/ABC</ELocationID>
<Abstract><AbstractText Label="METHODS">We studied things that</AbstractText>
<AbstractText>go on here.</AbstractText></Abstract><AuthorList><Author><LastName>Lovelace</LastName>
<ForeName>Ada</ForeName></Author><Author><CollectiveName>Karl von Müller Jr.</CollectiveName>
</Author></AuthorList></Article>{more}</MedlineCitation></PubmedArticle></PubmedArticleSet>"""
CSL = [
    {
        "id": "lovelace2019",
        "type": "article-journal",
        "title": "A study of things &amp; such",
        "author": [
            {"given": "Ada", "family": "Lovelace"},
            {"given": "Karl", "non-dropping-particle": "von", "family": "Müller", "suffix": "Jr."},
        ],
        "container-title": "Journal of Things",
        "issued": {"date-parts": [["2019", 5]]},
        "abstract": "We studied things that go on here.",
        "DOI": "10.1000/ABC",
        "URL": "https://example.org/abc",
    }
]
CSV = """\ufeffTitle,Authors,Publication Year,Source Title,Abstract,DOI,URL
"A study of things & such","Lovelace, Ada; von Müller, Karl, Jr.",2019,Journal of Things,"We studied
things that go on here.",10.1000/ABC,https://example.org/abc
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.ris", RIS),
        ("a.txt", RIS.replace("  - ", " - ")),
        ("a.ris", RIS.replace("\n", "\r\n")),
        ("a.ris", RIS.replace("ER  -\n", "")),
        ("a.nbib", NBIB),
        ("pubmed-set.txt", NBIB),
        ("a.enw", ENW),
        ("a.ref", ENW),
        ("a.isi", ISI),
        ("savedrecs.txt", ISI),
        ("a.xml", ENDNOTE_XML),
        ("a.xml", PUBMED.replace("{more}", "")),
        ("a.json", json.dumps(CSL)),
        ("a.json", json.dumps({"items": CSL}, indent=2)),
        ("a.csv", CSV),
        ("a.csv", CSV.replace("; ", " and ").replace("\n", "\r\n")),
    ],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_an_entry_of_every_format_becomes_the_same_record(
    tmp_path: Path, name: str, text: str
) -> None:
    record = only(found(tmp_path, name, text))
    assert record.abstract.removeprefix("Methods: ") == "We studied things that go on here."
    identifiers = {key: value for key, value in record.paper.identifiers.items() if key != "pmid"}
    known = record.paper
    assert (known.id, known.title, known.authors) == (FULL.id, FULL.title, FULL.authors)
    assert (known.year, known.venue, known.holds) == (FULL.year, FULL.venue, FULL.holds)
    assert identifiers == FULL.identifiers
    assert known.source == (FULL.source if "example.org" in text else "")


def test_a_table_parted_by_tabs_or_semicolons_is_read(tmp_path: Path) -> None:
    for name, separator in (("a.tsv", "\t"), ("a.csv", ";")):
        rows = [["title", "abstract", "doi"], ["One, two", "Some; text", "10.1000/x"]]
        text = "\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows)
        assert only(found(tmp_path, name, text)).paper.title == "One, two"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Liu R., Adler D.G.", ("Liu R.", "Adler D.G.")),
        ("Liu, Rong", ("Rong Liu",)),
        ("['Marx, Karl', \"O'Neil, Ann\"]", ("Karl Marx", "Ann O'Neil")),
        ("Ada Lovelace and Karl Marx", ("Ada Lovelace", "Karl Marx")),
        ("", ()),
    ],
)
def test_the_authors_of_a_table_are_told_apart(
    tmp_path: Path, text: str, names: tuple[str, ...]
) -> None:
    cell = text.replace('"', '""')
    record = only(found(tmp_path, "a.csv", f'title,abstract,authors\nT,A,"{cell}"\n'))
    assert record.paper.authors == names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.ris", RIS.replace("JOUR", "JOUR\nM3  - x").replace("TI  - A", "TI  - RETRACTED: A")),
        ("a.nbib", NBIB + "PT  - Retracted Publication\n"),
        ("a.nbib", NBIB + "RIN - J Things. 2020\n"),
        (
            "a.xml",
            PUBMED.replace(
                "{more}",
                '<CommentsCorrectionsList><CommentsCorrections RefType="RetractionIn"/>'
                "</CommentsCorrectionsList>",
            ),
        ),
    ],
    ids=["title", "kind", "notice", "XML"],
)
def test_a_retraction_that_an_export_tells_of_is_kept(tmp_path: Path, name: str, text: str) -> None:
    assert only(found(tmp_path, name, text)).paper.retracted


def test_entries_are_told_apart_and_those_without_title_skipped_by_line(tmp_path: Path) -> None:
    text = f"{RIS}\nTY  - JOUR\nAU  - Nobody\nER  - \n\nTY  - BOOK\nBT  - A book\n{RIS}"
    first, skipped, book, last = found(tmp_path, "a.ris", text)
    assert skipped == Skipped("the entry at line 13", "It has no title; give it one.")
    assert [item.paper.title for item in (first, book, last) if isinstance(item, Record)] == [
        FULL.title,
        "A book",
        FULL.title,
    ]


@pytest.mark.parametrize(("name", "text"), [("a.nbib", NBIB), ("a.enw", ENW), ("a.isi", ISI)])
def test_every_entry_of_a_file_is_a_record_of_its_own(tmp_path: Path, name: str, text: str) -> None:
    assert [paper.title for paper in papers(found(tmp_path, name, text * 3))] == [FULL.title] * 3
    assert [paper.authors for paper in papers(read(tmp_path / name))] == [FULL.authors] * 3


def test_files_are_found_as_managers_name_them(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for name in ("one.pdf", "files/two words.pdf"):
        (tmp_path / name).write_bytes(b"%PDF-1.4")
    text = (
        "TY  - JOUR\nTI  - T\nL1  - one.pdf\nL1  - files/two words.pdf\nL1  - gone.pdf\n"
        f"L1  - {(tmp_path / 'one.pdf').as_uri()}\nL1  - internal-pdf://1/x.pdf\n"
        "L1  - https://example.org/open.pdf\nER  - \n"
    )
    record, missing = found(tmp_path, "a.ris", text)
    assert isinstance(record, Record)
    assert record.files == (tmp_path / "one.pdf", tmp_path / "files" / "two words.pdf")
    assert record.addresses == ("https://example.org/open.pdf",)
    assert isinstance(missing, Skipped)
    assert missing.what == "file of T"
    assert missing.reason.startswith("gone.pdf does not exist")


def test_an_arxiv_address_makes_it_an_arxiv_paper(tmp_path: Path) -> None:
    text = "TY  - JOUR\nTI  - T\nUR  - https://arxiv.org/abs/2401.00001v2\nER  - \n"
    paper = only(found(tmp_path, "a.ris", text)).paper
    assert (paper.id, paper.version) == ("arxiv:2401.00001", "v2")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.ris"
    path.write_bytes(RIS.encode(encoding))
    assert only(read(path)).paper.authors[1] == "Karl von Müller Jr."


def test_a_text_is_only_taken_for_a_bibliography_if_it_is_one(tmp_path: Path) -> None:
    for name, text in (
        ("notes.txt", "TY for reading - this is my note.\nPMID is a number."),
        ("page.xml", "<article><front/></article>"),
        ("package.json", '{"name": "x", "title": "T", "dependencies": {}}'),
        ("data.json", "[1, 2]"),
        ("numbers.csv", "title,value\nx,1\n"),
        ("image.png", "x"),
    ):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        assert format_of(path) is None
        (skipped,) = read(path)
        assert isinstance(skipped, Skipped)
        assert "export it as" in skipped.reason


def test_a_character_cut_in_two_by_the_first_look_does_not_change_the_encoding(
    tmp_path: Path,
) -> None:
    for padding in range(4):
        text = RIS.replace("We", "x" * padding + "ü" * 5000)
        assert only(found(tmp_path, "a.txt", text)).abstract.count("ü") == 5000


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"nonsense", b"\0\xff\xfe" * 50, b"{", b"<xml><records>"])
def test_a_file_that_holds_nothing_is_refused_with_a_reason(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    (skipped,) = read(path)
    assert isinstance(skipped, Skipped)
    assert str(path) in (skipped.what, skipped.reason.split(" ")[0])
    assert "export it" in skipped.reason


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_not_there_is_refused_with_a_reason(tmp_path: Path, suffix: str) -> None:
    (skipped,) = read(tmp_path / f"a{suffix}")
    assert isinstance(skipped, Skipped)


def test_a_file_with_entities_of_its_own_is_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "b">]><xml><records><record/></records></xml>'
    (skipped,) = found(tmp_path, "a.xml", bomb)
    assert isinstance(skipped, Skipped)
    assert "declares entities" in skipped.reason


def test_every_reader_raises_what_can_be_shown(tmp_path: Path) -> None:
    for reader in FORMATS.values():
        with pytest.raises(SourceError, match="could not be read"):
            reader(tmp_path / "none")


@needs_files
@pytest.mark.parametrize("folder", ["asreview", "jabref"])
def test_every_real_export_ends_as_records_or_is_refused_with_a_reason(folder: str) -> None:
    paths = sorted(path for path in (DATA / folder).iterdir() if path.suffix != ".bib")
    records = 0
    for path in paths:
        items = read(path)
        assert items, path
        for item in items:
            if isinstance(item, Skipped):
                assert item.reason.endswith((".", "one.")), item
                continue
            records += 1
            paper = item.paper
            assert paper.title == " ".join(paper.title.split())
            assert not any(";" in name or "," in name[:-4] for name in paper.authors), paper
            doi = paper.identifiers.get("doi", "")
            assert doi == doi.lower()
    assert records > {"asreview": 200, "jabref": 20}[folder]


@needs_files
def test_real_exports_are_read_right() -> None:
    scopus = papers(read(DATA / "asreview" / "scopus.ris"))
    assert len(scopus) == 6
    assert scopus[0].authors[0] == "A. Labanski"
    assert (scopus[0].year, scopus[0].venue) == (2020, "Psychoneuroendocrinology")
    assert scopus[0].id == "doi:10.1016/j.psyneuen.2019.104501"
    medline = papers(read(DATA / "jabref" / "MedlinePlainImporterTestCompleteEntry.txt"))
    assert medline[0].id == "pmid:20481061"
    assert medline[0].title.endswith("girl in early twentieth-century Britain.")
    assert medline[0].authors == ("Vicky Long", "Hilary Marland")
    science = papers(read(DATA / "jabref" / "IsiImporterTestWOS.isi"))
    assert science[0].title.endswith("photorefractive Sn2P2S6 crystals")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            "TY  - JOUR|ER  - |TI  - T|AU  - A, B|AB  - a|DO  - x|UR  - y;z|  more|PMID- 1|%0 x"
            "|%T y|PT J|AU x|TI y|ER|EF|\ufeff|%|-|TY|L1  - /|XX  - q|DO  - 10.1000/x".split("|")
        ),
        max_size=12,
    ),
    st.sampled_from([".ris", ".nbib", ".enw", ".isi", ".txt", ".csv"]),
)
def test_no_order_of_lines_breaks_a_reader(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("formats") / f"a{suffix}"
    path.write_text("\n".join(lines), "utf-8")
    assert all(isinstance(item, Record | Skipped) for item in read(path))


def test_no_format_loads_its_library_before_it_is_read() -> None:
    code = (
        "import sys, scholar.sources; "
        "print([name for name in ('rispy', 'bibtexparser', 'arxiv', 'httpx2', 'requests') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
