from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scholar.errors import SourceError
from scholar.sources import Record, Skipped, bibtex
from scholar.values import Paper

DATA = Path(__file__).parents[2] / "shared" / "data"
BIBLIOGRAPHIES = DATA / "bibliographies"


def papers(found: list[Record | Skipped]) -> list[Paper]:
    return [item.paper for item in found if isinstance(item, Record)]


def read(folder: Path, text: str) -> list[Record | Skipped]:
    path = folder / "library.bib"
    path.write_text(text, "utf-8")
    return bibtex.read(path)


def only(found: list[Record | Skipped]) -> Record:
    (record,) = found
    assert isinstance(record, Record)
    return record


def test_an_entry_becomes_a_record_in_plain_text(tmp_path: Path) -> None:
    text = r"""@string{acl = "Proc. of {ACL}"}
@InProceedings{k1,
  Author = {M{\"u}ller, J{\'e}r{\^o}me and {The Big Team} and van der Aalst, Wil and others},
  title = "{BERT} \& friends: 10\% of {$\alpha$}-stable   laws -- a study",
  booktitle = acl, year = 2020,
  abstract = {A gain of 12% over
     the ``baseline'' for $5.},
  doi = {https://doi.org/10.1000/ABC\_1},
}"""
    record = only(read(tmp_path, text))
    assert record.paper == Paper(
        id="doi:10.1000/abc_1",
        title="BERT & friends: 10% of α-stable laws – a study",
        authors=("Jérôme Müller", "The Big Team", "Wil van der Aalst"),
        year=2020,
        venue="Proc. of ACL",
        identifiers={"doi": "10.1000/abc_1"},
        holds="abstract",
    )
    assert record.abstract == "A gain of 12% over the “baseline” for $5."


@pytest.mark.parametrize(
    "fields",
    [
        "eprint = {2502.14802v1}, archivePrefix = {arXiv}",
        "eprint = {2502.14802v1}, eprinttype = {arxiv}, doi = {10.48550/arXiv.2502.14802}",
        "url = {https://arxiv.org/abs/2502.14802v1}",
        "doi = {10.48550/arXiv.2502.14802v1}",
    ],
)
def test_the_arxiv_id_of_an_entry_is_found(tmp_path: Path, fields: str) -> None:
    paper = only(read(tmp_path, f"@misc{{k, title = {{T}}, {fields}}}")).paper
    assert paper.id == "arxiv:2502.14802"
    assert paper.version == "v1"
    assert paper.identifiers == {"arxiv": "2502.14802"}


def test_an_eprint_of_another_archive_is_no_arxiv_id(tmp_path: Path) -> None:
    text = "@misc{k, title = {T}, eprint = {2502.14802}, archivePrefix = {HAL}}"
    assert only(read(tmp_path, text)).paper.id.startswith("bib:")


def test_a_work_without_identifiers_has_one_id_however_it_is_typed(tmp_path: Path) -> None:
    one = only(read(tmp_path, "@book{a, title={The {TeX}book}, author={Donald Knuth}, year=1984}"))
    two = only(
        read(tmp_path, "@book{b, title={The TeXBook.}, author={Knuth, Donald}, year={1984}}")
    )
    other = only(read(tmp_path, "@book{a, title={The TeXbook}, author={Donald Knuth}, year=1986}"))
    assert one.paper.id == two.paper.id != other.paper.id
    assert len(one.paper.id) == len("bib:") + 16
    assert one.paper.holds == "record"


def test_a_broken_entry_is_skipped_with_its_key_and_line(tmp_path: Path) -> None:
    text = "@misc{good, title = {One}}\n\n@misc{bad, title = {Two\n\n@misc{last, title = {Three}}"
    first, broken, last = read(tmp_path, text)
    assert isinstance(first, Record)
    assert isinstance(broken, Skipped)
    assert broken.what == "bad (line 3)"
    assert isinstance(last, Record)


def test_broken_entries_print_nothing(tmp_path: Path) -> None:
    path = tmp_path / "library.bib"
    path.write_text("@article{bad, title = {Two\n\n@misc{last, title = {Three}}", "utf-8")
    # In a process of its own: pytest takes what is logged before Python would print it.
    code = "import pathlib, sys, scholar.sources.bibtex as b; b.read(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_an_entry_without_a_title_is_skipped(tmp_path: Path) -> None:
    (skipped,) = read(tmp_path, "@article{k, author = {A B}}")
    assert skipped == Skipped("k (line 1)", "It has no title; give it one.")


def test_keys_and_fields_that_stand_twice_cost_no_work(tmp_path: Path) -> None:
    text = "@misc{k, title = {One}, title = {Two}}\n@misc{k, title = {Three}}"
    assert [paper.title for paper in papers(read(tmp_path, text))] == ["One", "Three"]


@pytest.mark.parametrize(
    "field",
    [
        "paper.pdf",
        "papers/../paper.pdf",
        ":paper.pdf:PDF",
        "Full Text:paper.pdf:application/pdf",
        r":sub\\in.pdf:PDF;:paper.pdf:PDF",
        "file://{here}/paper.pdf",
        ":{here}/paper.pdf:pdf",
        r"a\:b:{here}/paper.pdf:application/pdf",
    ],
)
def test_files_are_found_as_reference_managers_name_them(tmp_path: Path, field: str) -> None:
    (tmp_path / "papers").mkdir()
    for name in ("paper.pdf", "sub/in.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"%PDF-1.4")
    text = f"@misc{{k, title = {{T}}, file = {{{field.replace('{here}', str(tmp_path))}}}}}"
    files = only(read(tmp_path, text)).files
    assert files[-1].resolve() == tmp_path / "paper.pdf"
    assert len(files) == field.count(";") + 1


def test_colons_and_semicolons_in_file_names_may_be_escaped(tmp_path: Path) -> None:
    (tmp_path / "a; b: c.pdf").write_bytes(b"%PDF-1.4")
    text = r"@misc{k, title = {T}, file = {:a\; b\: c.pdf:PDF}}"
    assert only(read(tmp_path, text)).files == (tmp_path / "a; b: c.pdf",)


def test_mendeley_leaves_out_the_slash_of_absolute_paths(tmp_path: Path) -> None:
    (tmp_path / "p.pdf").write_bytes(b"%PDF-1.4")
    text = f"@misc{{k, title = {{T}}, file = {{:{str(tmp_path)[1:]}/p.pdf:pdf}}}}"
    assert only(read(tmp_path, text)).files == (tmp_path / "p.pdf",)


def test_a_file_that_does_not_exist_is_named_and_the_record_kept(tmp_path: Path) -> None:
    text = "@misc{k, title = {T}, file = {:gone.pdf:PDF;https://example.org/x.pdf}}"
    record, skipped = read(tmp_path, text)
    assert isinstance(record, Record)
    assert record.files == ()
    assert isinstance(skipped, Skipped)
    assert skipped.what == "file of k"
    assert "gone.pdf does not exist" in skipped.reason


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "library.bib"
    path.write_bytes("@misc{k, title = {Naïve}}".encode(encoding))
    assert papers(bibtex.read(path))[0].title == "Naïve"


@pytest.mark.parametrize("text", ["", "no BibTeX at all", "@comment{nothing}"])
def test_a_file_without_entries_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="holds no BibTeX"):
        read(tmp_path, text)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="could not be read"):
        bibtex.read(tmp_path / "none.bib")


@pytest.mark.skipif(not BIBLIOGRAPHIES.is_dir(), reason="no real bibliographies")
def test_every_real_bibliography_is_read_or_refused_with_a_reason() -> None:
    paths = sorted(DATA.glob("**/*.bib"))
    records = 0
    for path in paths:
        try:
            found = bibtex.read(path)
        except SourceError as error:
            assert "holds no BibTeX" in str(error)  # noqa: PT017
            continue
        records += len(papers(found))
        for paper in papers(found):
            assert paper.title == " ".join(paper.title.split())
            assert not any(";" in name or "{" in name for name in paper.authors)
    assert len(paths) > 50
    assert records > 380


# BibTeX: export


def test_a_paper_is_exported_with_its_identifiers() -> None:
    paper = Paper(
        "arxiv:2502.14802",
        "From RAG to Memory: 100% & more_",
        ("Bernal Jiménez Gutiérrez", "Yu Su"),
        2025,
        identifiers={"arxiv": "2502.14802"},
        version="v1",
    )
    assert bibtex.write([paper]) == (
        "@misc{gutierrez2025rag,\n"
        "  title = {{From RAG to Memory: 100\\% \\& more\\_}},\n"
        "  author = {Bernal Jiménez Gutiérrez and Yu Su},\n"
        "  year = {2025},\n"
        "  eprint = {2502.14802},\n"
        "  archivePrefix = {arXiv},\n"
        "  url = {https://arxiv.org/abs/2502.14802v1},\n"
        "}\n"
    )


def test_exported_keys_are_unique() -> None:
    same = Paper("a", "On the Title", ("Ann O'Neil",), 2020)
    text = bibtex.write([same, same, Paper("b", "", ()), Paper("c", "标题"), same])
    keys = [line.split("{")[1].rstrip(",") for line in text.splitlines() if line.startswith("@")]
    assert keys == ["oneil2020titlea", "oneil2020titleb", "papera", "paperb", "oneil2020titlec"]


def test_what_is_exported_reads_back_the_same(tmp_path: Path) -> None:
    originals = [
        Paper(
            "doi:10.1000/a_b",
            r"Braces {x}, a \ slash, 50% of $5, A&B #1 ~ ^2",
            ("Ludwig van Beethoven", "OpenAI, Inc.", "Simon and Schuster"),
            1999,
            "Journal of Costs & Benefits",
            {"doi": "10.1000/a_b"},
            holds="record",
            source="https://example.org/a_b?c=d%20e&f=~g",
        ),
        Paper(
            "arxiv:math.GT/0309136",
            "Knots",
            ("Ġorġ Ħ",),
            identifiers={"arxiv": "math.GT/0309136", "doi": "10.1000/x"},
            version="v2",
            holds="record",
            source="https://arxiv.org/abs/math.GT/0309136v2",
        ),
    ]
    path = tmp_path / "out.bib"
    path.write_text(bibtex.write(originals), "utf-8")
    assert papers(bibtex.read(path)) == originals


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20))
@example("--- ''a'' ``b`` ?` !`")
@example("it's {`x'} \"q\" -\\- $x$ % & # _ ~ ^")
def test_every_title_survives_the_way_out_and_back(
    tmp_path_factory: pytest.TempPathFactory, words: str
) -> None:
    title = unicodedata.normalize("NFC", " ".join(f"A {words}".split()))
    path = tmp_path_factory.mktemp("bib") / "out.bib"
    path.write_text(bibtex.write([Paper("x", title)]), "utf-8")
    assert [paper.title for paper in papers(bibtex.read(path))] == [title]
