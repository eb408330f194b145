from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from scholar.library import Entry, Library
from scholar.library.ingest import Item, Result, expand, ingest
from scholar.settings import Settings
from scholar.sources import Record
from scholar.values import Paper

PROSE = "Felines rest for most of the day. A kitten sleeps even longer than that."
ABSTRACT = "We measure how long kittens sleep and find that it is long."


def note(path: Path, front: str = "", body: str = PROSE) -> Path:
    """A Markdown file with the lines `front` as its front matter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\n{front}\n---\n{body}\n" if front else body)
    return path


def bib(path: Path, *entries: str) -> Path:
    """A bibliography of entries, each given as its fields."""
    path.write_text(
        "\n".join(f"@article{{key{n},\n{fields}\n}}" for n, fields in enumerate(entries))
    )
    return path


async def add(library: Library, settings: Settings, *sources: object) -> list[Result]:
    items = await expand(library, [str(source) for source in sources], settings)
    return await add_items(library, settings, items)


async def add_items(library: Library, settings: Settings, items: Sequence[Item]) -> list[Result]:
    return [result async for result in ingest(library, items, settings)]


def statuses(results: Sequence[Result]) -> list[str]:
    return [result.status for result in results]


async def test_a_file_is_added_once(library: Library, settings: Settings, tmp_path: Path) -> None:
    path = note(tmp_path / "a.md", "title: Sleep\nauthors: [Ada, Bo]\nyear: 2020")
    (first,) = await add(library, settings, path)
    (second,) = await add(library, settings, path)
    assert (first.status, second.status) == ("added", "present")
    assert first.paper == second.paper == (await library.papers())[0]
    assert first.paper is not None
    assert (first.paper.title, first.paper.authors, first.paper.year) == (
        "Sleep",
        ("Ada", "Bo"),
        2020,
    )
    assert first.paper.source == str(path)
    assert [hit.paper_id for hit in await library.search("kitten", 5)] == [first.paper.id]


async def test_the_same_content_under_two_names_is_one_paper(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    a, b, later = (note(tmp_path / f"{name}.md") for name in ("a", "b", "later"))
    assert statuses(await add(library, settings, a, b)) == ["added", "present"]
    assert statuses(await add(library, settings, later)) == ["present"]
    assert len(await library.papers()) == 1


async def test_a_folder_is_walked_without_hidden_and_unknown_files(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / ".papers"
    for name in ("a.md", "sub/deep/B.TXT", ".hidden.md", ".git/c.md", "table.xlsx", "no-ending"):
        note(folder / name, body=f"{PROSE} In {name}.")
    results = await add(library, settings, folder)
    names = [Path(result.source).relative_to(folder).as_posix() for result in results]
    assert names == ["a.md", "sub/deep/B.TXT"]
    assert statuses(results) == ["added", "added"]


async def test_what_may_not_be_read_of_a_folder_is_told_and_stops_nothing(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    for name in ("a/closed.md", "b/listed.md", "open.md"):
        note(tmp_path / "papers" / name, body=f"{PROSE} In {name}.")
    try:
        (tmp_path / "papers" / "a").chmod(0o000)
        (tmp_path / "papers" / "b").chmod(0o400)
        if os.access(tmp_path / "papers" / "a", os.R_OK):
            pytest.skip("this user may read everything")
        results = await add(library, settings, tmp_path / "papers")
    finally:
        for name in ("a", "b"):
            (tmp_path / "papers" / name).chmod(0o700)
    told = {Path(result.source).name: result.status for result in results}
    assert told == {"a": "failed", "listed.md": "failed", "open.md": "added"}
    assert all("permissions" in result.detail for result in results if result.status == "failed")


async def test_a_bibliography_in_a_folder_is_read_too(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    bib(tmp_path / "refs.bib", f"title = {{Sleep}}, doi = {{10.1000/s}}, abstract = {{{ABSTRACT}}}")
    (result,) = await add(library, settings, tmp_path)
    assert result.status == "added"
    assert result.paper is not None
    assert (result.paper.id, result.paper.holds) == ("doi:10.1000/s", "abstract")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("absent.pdf", "no file .*check the path"),
        ("absent.bib", "no file .*check the path"),
        ("~nobody-of-this-name/a.pdf", "no file .*check the path"),
        ("x" * 5_000, "could not be read"),
        ("empty", "holds nothing to read; put"),
        ("blank.md", "is empty"),
        ("table.xlsx", "convert it to one of"),
        ("broken.pdf", "."),
        ("blank.bib", "no BibTeX entry"),
        ("2401.00001", "offline"),
        ("", "name a file"),
        ("pipe.md", "no ordinary file"),
        ("https://example.org/a.pdf", "download the paper"),
    ],
)
async def test_what_cannot_be_used_is_a_failure_with_advice(
    library: Library, settings: Settings, tmp_path: Path, source: str, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "blank.md").write_text(" \n")
    (tmp_path / "blank.bib").write_text("\n")
    (tmp_path / "table.xlsx").write_bytes(b"PK")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nthe rest is missing")
    (result,) = await add(library, settings, source)
    assert result.status == "failed"
    assert result.paper is None
    assert re.search(said, result.detail)


async def test_a_broken_one_among_good_ones_stops_nothing(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    for n in range(40):
        note(tmp_path / "notes" / f"{n:02}.md", body=f"{PROSE} Kind {n}.")
    (tmp_path / "notes" / "20.pdf").write_bytes(b"%PDF-1.7\nthe rest is missing")
    results = await add(library, settings, tmp_path / "notes", "2401.00001", tmp_path / "gone.md")
    failed = {Path(result.source).name for result in results if result.status == "failed"}
    assert failed == {"20.pdf", "2401.00001", "gone.md"}
    assert statuses(results).count("added") == 40 == len(await library.papers())


async def test_a_file_whose_name_is_no_text_is_added_like_any_other(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text(PROSE)
    (result,) = await add(library, settings, tmp_path)
    assert result.status == "added"
    (paper,) = await library.papers()
    assert (paper.title, Path(paper.source).name) == ("caf?", "caf?.txt")


async def test_what_is_wrong_with_an_entry_names_its_bibliography(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    path = bib(tmp_path / "refs.bib", "year = {2020}")
    (result,) = await add(library, settings, tmp_path)
    assert result.source == f"{path}: key0 (line 1)"


async def test_ids_that_cannot_be_asked_for_fail_one_by_one(
    library: Library, settings: Settings
) -> None:
    results = await add(library, settings, "2401.00001", "https://arxiv.org/abs/2401.00002v1")
    sources = ["2401.00001", "https://arxiv.org/abs/2401.00002v1"]
    assert [result.source for result in results] == sources
    assert statuses(results) == ["failed", "failed"]


async def test_the_file_of_a_record_is_its_text(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    text = note(tmp_path / "sleep.md", "holds: full")
    fields = "title = {On sleep}, author = {Lovelace, Ada}, doi = {10.1000/s}, file = {sleep.md}"
    (result,) = await add(library, settings, bib(tmp_path / "refs.bib", fields))
    paper = result.paper
    assert paper is not None
    assert (result.status, paper.id, paper.title) == ("added", "doi:10.1000/s", "On sleep")
    assert (paper.authors, paper.holds) == (("Ada Lovelace",), "full")
    assert [passage.text for passage in await library.passages_of(paper.id)] == [PROSE]
    assert statuses(await add(library, settings, text)) == ["present"]


async def test_a_record_whose_file_is_broken_keeps_its_abstract_and_says_so(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    broken = tmp_path / "sleep.pdf"
    broken.write_bytes(b"%PDF-1.7\nthe rest is missing")
    fields = f"title = {{S}}, doi = {{10.1000/s}}, abstract = {{{ABSTRACT}}}, file = {{sleep.pdf}}"
    (result,) = await add(library, settings, bib(tmp_path / "refs.bib", fields))
    assert result.status == "added"
    assert result.paper is not None
    assert result.paper.holds == "abstract"
    assert "full text not to be had" in result.detail
    assert statuses(await add(library, settings, broken)) == ["failed"]


async def test_a_file_that_vanished_does_not_lend_its_absence_to_others(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    record = Record(Paper("doi:10.1000/s", "S"), ABSTRACT, (tmp_path / "vanished.pdf",))
    assert statuses(await add_items(library, settings, [record])) == ["added"]
    assert statuses(await add(library, settings, tmp_path / "absent.pdf")) == ["failed"]


async def test_a_record_without_text_is_kept_and_says_so(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    path = bib(tmp_path / "refs.bib", "title = {Sleep}, doi = {10.1000/s}")
    (result,) = await add(library, settings, path)
    assert result.paper is not None
    assert (result.status, result.paper.holds) == ("added", "record")
    assert "neither abstract nor file" in result.detail


async def test_a_note_on_a_paper_is_not_the_paper(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    front = 'title: Sleep\narxiv: "2401.00001"'
    (mine,) = await add(library, settings, note(tmp_path / "note.md", front))
    assert mine.paper is not None
    assert mine.paper.id.startswith("file:")
    assert mine.paper.holds == "note"
    assert mine.paper.identifiers == {"arxiv": "2401.00001"}
    assert await library.find("arxiv:2401.00001") is None
    whole = note(tmp_path / "whole.md", f"{front}\nholds: full", "The paper itself says more.")
    (paper,) = await add(library, settings, whole)
    assert paper.paper is not None
    assert (paper.status, paper.paper.id) == ("added", "arxiv:2401.00001")
    assert len(await library.papers()) == 2


RECORD = f"title = {{Sleep}}, doi = {{10.1000/s}}, abstract = {{{ABSTRACT}}}"
WHOLE = "title: Sleep\ndoi: 10.1000/s\nholds: full"


async def test_a_fuller_text_replaces_a_lesser_one_and_never_the_other_way(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    refs, whole = bib(tmp_path / "refs.bib", RECORD), note(tmp_path / "whole.md", WHOLE)
    assert statuses(await add(library, settings, refs)) == ["added"]
    assert statuses(await add(library, settings, whole)) == ["added"]
    assert statuses(await add(library, settings, refs)) == ["present"]
    (paper,) = await library.papers()
    assert (paper.id, paper.holds) == ("doi:10.1000/s", "full")
    assert [passage.text for passage in await library.passages_of(paper.id)] == [PROSE]
    assert await library.search("measure", 5) == []


@pytest.mark.parametrize("order", [("refs.bib", "whole.md"), ("whole.md", "refs.bib")])
async def test_of_one_paper_added_twice_at_once_the_fuller_text_is_kept(
    library: Library, settings: Settings, tmp_path: Path, order: tuple[str, str]
) -> None:
    bib(tmp_path / "refs.bib", RECORD)
    note(tmp_path / "whole.md", WHOLE)
    results = await add(library, settings, *(tmp_path / name for name in order))
    assert sorted(statuses(results)) == ["added", "present"]
    (paper,) = await library.papers()
    assert paper.holds == "full"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pdf", "known_as", "fields"),
    [
        ("papers/Bogner2019.pdf", "doi:10.7717/peerj-cs.213", "doi = {10.7717/peerj-cs.213}"),
        (
            "jabref/test-arxivMetadata.pdf",
            "arxiv:2408.06224",
            "eprint = {2408.06224}, archiveprefix = {arXiv}",
        ),
    ],
)
async def test_a_pdf_replaces_the_abstract_of_its_record(
    library: Library,
    settings: Settings,
    data: Path,
    tmp_path: Path,
    pdf: str,
    known_as: str,
    fields: str,
) -> None:
    refs = bib(tmp_path / "refs.bib", f"title = {{T}}, abstract = {{{ABSTRACT}}}, {fields}")
    await add(library, settings, refs)
    (result,) = await add(library, settings, data / "pdfs" / pdf)
    (paper,) = await library.papers()
    assert (result.status, paper.id, paper.holds) == ("added", known_as, "full")
    assert len(await library.passages_of(known_as)) > 20


def copy_pdfs(data: Path, folder: Path) -> list[Path]:
    """Copy all PDF files under `data` into the flat `folder`."""
    folder.mkdir()
    files = sorted(data.rglob("*.pdf"))
    for n, file in enumerate(files):
        shutil.copy(file, folder / f"{n:02}-{file.name}")
    return files


@pytest.mark.slow
async def test_every_real_pdf_is_added_or_fails_with_a_reason(
    library: Library, settings: Settings, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pdfs"
    files = copy_pdfs(data, folder)
    results = await add(library, settings, folder)
    assert len(results) == len(files)
    for result in results:
        if result.status == "failed":
            assert result.detail.endswith(".")
            continue
        assert result.paper is not None
        passages = await library.passages_of(result.paper.id)
        assert passages
        assert all(passage.page is not None for passage in passages)
    added = {Path(result.source).name[3:] for result in results if result.status != "failed"}
    assert {"ALCE.pdf", "Ralph2020.pdf", "Tucker2007.pdf", "N18-3011.pdf"} <= added


async def test_a_paper_of_arxiv_that_is_there_is_not_asked_for_again(
    library: Library, settings: Settings
) -> None:
    paper = Paper("arxiv:2502.14802", "A title", holds="full")
    await library.add([Entry(paper, "Its text.", ())])
    [result] = await add(library, settings, "https://arxiv.org/abs/2502.14802v1")
    assert (result.status, result.paper) == ("present", paper)
