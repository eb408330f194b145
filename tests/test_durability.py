"""The library loses nothing and holds nothing twice, whatever happens to it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import tantivy
from test_library import BONDS, CATS, entry, found

from scholar.errors import LibraryError
from scholar.library import Entry, Filters, Finding, Library, embedding, restore
from scholar.library.enrichment import Enrichment
from scholar.library.lexical import Indexed
from scholar.library.schema import VERSION
from scholar.settings import Settings, load
from scholar.values import Card, Fact, Paper, Reference

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

import kill

HERE = Path(__file__).parent


@pytest.fixture
def hashed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings by which passages get vectors that need no model."""
    choice = embedding.Choice("hash", "by hash", kill.HashEmbedder)
    monkeypatch.setattr(embedding, "choose", lambda *_, **__: choice)
    return load(home=settings.home, offline=True)


def places(findings: list[Finding]) -> set[tuple[str, str, str]]:
    return {(finding.place, finding.problem, finding.what) for finding in findings}


# Enrichment


async def test_the_questions_nearest_to_one_are_found(hashed: Settings) -> None:
    library = Library(hashed)
    papers = [kill.paper(n) for n in range(3)]
    await library.unite(papers)
    asked = {"How do cats sleep?": papers[0], "Which rivers run dry?": papers[1]}
    for question, work in asked.items():
        await library.put_questions(work.passages[0].id, [question])
    for question, work in asked.items():
        [found] = await library.siblings(question, 1)
        assert found == (question, work.passages[0].id)
        [first, *_] = await library.search(question, 2, strategy="questions")
        assert first.passage_id == work.passages[0].id
    await library.put_questions(papers[2].passages[0].id, ["Why is the sky blue?"])
    assert ("Why is the sky blue?", papers[2].passages[0].id) in await library.siblings("Sky?", 3)
    library.close()


async def test_what_is_made_of_all_that_was_found_out_is_made_anew_where_that_changes(
    hashed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(hashed)
    papers = [kill.paper(n) for n in range(3)]
    await library.unite(papers)
    first, second = papers[0].passages[0].id, papers[1].passages[0].id
    await library.put_questions(first, ["How do cats sleep?"])
    await library.put_facts(first, [Fact("cats", "sleep", "long")], model="m")
    assert await library.siblings("Cats?", 9) == [("How do cats sleep?", first)]
    assert await library.linked("cats", 9) == ["cats sleep long"]
    library.close()

    library = Library(hashed)  # another process has them ready
    embedded: list[str] = []
    embed = kill.HashEmbedder.embed

    def counted(self: kill.HashEmbedder, texts: list[str]) -> object:
        embedded.extend(texts)
        return embed(self, texts)

    with monkeypatch.context() as patched:
        for read in ("all_facts", "all_questions"):
            patched.setattr(Enrichment, read, lambda _: pytest.fail("made anew"))
        await library.unite([kill.paper(3)])  # nothing was found out about it
        assert await library.siblings("Cats?", 9) == [("How do cats sleep?", first)]
        assert await library.linked("cats", 9) == ["cats sleep long"]

    await library.put_questions(second, ["Which rivers run dry?"])
    await library.put_facts(second, [Fact("rivers", "run", "dry")], model="m")
    monkeypatch.setattr(kill.HashEmbedder, "embed", counted)
    assert len(await library.siblings("Cats?", 9)) == 2
    assert {*await library.linked("cats", 9)} == {"cats sleep long", "rivers run dry"}
    new = ["Which rivers run dry?", "rivers", "dry", "rivers run dry"]
    assert sorted(embedded) == sorted(["Cats?", "cats", *new])

    await library.remove([papers[0].paper.id])
    assert await library.siblings("Cats?", 9) == [("Which rivers run dry?", second)]
    assert await library.linked("cats", 9) == ["rivers run dry"]
    library.close()


async def test_what_was_found_out_is_stored_counted_and_replaced(library: Library) -> None:
    await library.add([entry("file:a"), entry("file:b", BONDS)])
    before = library.revision
    facts = [Fact("cats", "sleep", "long"), Fact("cats", "are", "felines")]
    assert await library.put_facts("file:a#0", facts, model="m")
    assert await library.put_facts("file:b#0", facts[:1], model="m")
    assert await library.put_questions("file:a#0", ["How long?"], model="m")
    card = Card("file:a", "sleep", "watching", ("m",), ("c",), ("cats",))
    assert await library.put_card(card, model="m")
    assert library.revision == before + 4
    assert await library.facts() == [
        Fact("cats", "sleep", "long", ("file:a#0", "file:b#0")),
        Fact("cats", "are", "felines", ("file:a#0",)),
    ]
    assert await library.facts_of(["file:b#0"]) == [Fact("cats", "sleep", "long", ("file:b#0",))]
    assert await library.questions_of(["file:a#0", "file:b#0"]) == {"file:a#0": ["How long?"]}
    assert await library.cards(["file:a", "file:b"]) == [card]
    await library.put_facts("file:a#0", [], model="m")
    stats = await library.stats()
    assert (stats.facts, stats.questions, stats.cards) == (1, 1, 1)


async def test_what_is_lacking_comes_page_by_page(library: Library) -> None:
    await library.add([entry(f"file:{n}", f"Text {n}.") for n in range(5)])
    await library.put_facts("file:1#0", [], model="m")
    first = await library.passages_without("facts", 2)
    assert [p.id for p in first] == ["file:0#0", "file:2#0"]
    rest = await library.passages_without("facts", 9, after=first[-1].id)
    assert [p.id for p in rest] == ["file:3#0", "file:4#0"]
    assert len(await library.passages_without("questions", 9)) == 5
    await library.put_card(Card("file:3", "p", "a"), model="m")
    assert await library.papers_without("card", 3, after="file:1") == ["file:2", "file:4"]


async def test_enrichment_goes_with_its_passage_and_does_not_come_back(library: Library) -> None:
    async def enrich() -> None:
        await library.put_facts("file:a#0", [Fact("s", "r", "o")], model="m")
        await library.put_questions("file:a#0", ["Q?"], model="m")
        await library.put_card(Card("file:a", "p", "a", entities=("e",)), model="m")

    async def none_left() -> bool:
        stats = await library.stats()
        return stats.facts == stats.questions == stats.cards == 0

    await library.add([entry("file:a")])
    await enrich()
    await library.add([entry("file:a")])
    assert not await none_left()  # it was not changed
    await library.add([entry("file:a", BONDS)])
    assert await none_left()
    await enrich()
    await library.remove(["file:a"])
    await library.add([entry("file:a", BONDS)])
    assert await none_left()
    assert len(await library.passages_without("facts", 9)) == 1
    assert not await library.put_facts("file:gone#0", [Fact("s", "r", "o")], model="m")
    assert not await library.put_card(Card("file:gone", "p", "a"), model="m")


# Filters and collections

FILTERED = {
    "file:old": Paper("file:old", "Old", ("José Ångström",), 1999, "Proceedings of ACL"),
    "file:new": Paper("file:new", "New", ("Ada Lovelace",), 2021, "Nature", source="/shelf/n.pdf"),
    "file:gone": Paper("file:gone", "Gone", ("Ada Byron",), 2022, "Nature", retracted=True),
    "file:bare": Paper("file:bare", "Bare"),
}  # fmt: skip


@pytest.mark.parametrize("vectors", [False, True], ids=["words", "vectors"])
async def test_filters_let_pass_what_they_say(hashed: Settings, vectors: bool) -> None:
    settings = hashed if vectors else load(home=hashed.home, embedder="none", offline=True)
    library = Library(settings)
    bare = entry("file:x")
    for paper in FILTERED.values():
        cut = tuple(replace(p, id=f"{paper.id}#0", paper_id=paper.id) for p in bare.passages)
        await library.add([Entry(paper, bare.text, cut)])
    await library.collect("mine", ["file:old", "file:bare"])
    for filters, names in (
        (Filters(), {"old", "new", "gone", "bare"}),
        (Filters(years=(2000, None)), {"new", "gone"}),
        (Filters(years=(None, 2021)), {"old", "new"}),
        (Filters(years=(2021, 2021)), {"new"}),
        (Filters(venue="acl"), {"old"}),
        (Filters(author="angstrom jose"), {"old"}),
        (Filters(author="ADA", retracted=False), {"new"}),
        (Filters(source="shelf"), {"new"}),
        (Filters(retracted=True), {"gone"}),
        (Filters(retracted=False), {"old", "new", "bare"}),
        (Filters(collection="mine"), {"old", "bare"}),
        (Filters(collection="mine", years=(1990, 2000)), {"old"}),
        (Filters(collection="nobody's"), set()),
    ):
        for strategy in ("hybrid", "bm25", *(("dense",) if vectors else ())):
            hits = await library.search("kitten", 9, filters=filters, strategy=strategy)
            assert {hit.paper_id for hit in hits} == {f"file:{n}" for n in names}, filters
    library.close()


async def test_filters_follow_what_becomes_of_a_paper(library: Library) -> None:
    await library.add([entry("file:a"), entry("file:b", f"{CATS} More.")])
    (paper, _) = await library.papers()
    assert await library.update_status([replace(paper, retracted=True, newer="v2")]) == 1
    assert await library.update_status([replace(paper, retracted=True, newer="v2")]) == 0
    (known,) = await library.papers([paper.id])
    assert (known.retracted, known.newer) == (True, "v2")
    kept = await library.search("kitten", 9, filters=Filters(retracted=False))
    assert [hit.paper_id for hit in kept] == ["file:b"]
    assert len(await library.search("kitten", 9)) == 2
    await library.collect("mine", ["file:b", "file:gone"])
    assert await library.collections() == {"mine": 1}
    assert [p.id for p in await library.papers(collection="mine")] == ["file:b"]
    assert await library.check() == []


# Checking and mending


async def test_a_check_finds_and_mends_whatever_is_wrong(hashed: Settings) -> None:
    library = Library(hashed)
    await library.add([entry(f"file:{n}", f"A kitten of kind {n}.") for n in range(6)])
    assert await library.check() == []
    store = library._store
    gone = Indexed("file:gone#0", "A kitten.", Paper("file:gone", "T"))
    other = Indexed("file:2#0", "Another text.", Paper("file:2", "T"))
    writer = store.lexical._index.writer(15_000_000, 1)
    from scholar.library.lexical import _document

    writer.add_document(_document(gone))
    writer.add_document(_document(store.indexed(["file:3"])[0]))
    writer.commit()
    writer.wait_merging_threads()
    store.lexical.write([other])
    with store.lexical.writing() as words:
        words.remove(["file:1#0"])
    vectors = store.dense._make()
    vectors.remove(["file:4#0"])
    (passage,) = await library.passages_of("file:5")
    lost = replace(passage, id="file:lost#0", paper_id="file:lost")
    vector = kill.HashEmbedder().embed(["wrong"])
    vectors.write([passage], ["wrong"], vector)
    vectors.write([lost], ["lost"], vector)
    assert places(await library.check()) == {
        ("lexical", "surplus", "file:gone#0"),
        ("lexical", "twice", "file:3#0"),
        ("lexical", "wrong", "file:2#0"),
        ("lexical", "missing", "file:1#0"),
        ("vectors", "missing", "file:4#0"),
        ("vectors", "wrong", "file:5#0"),
        ("vectors", "surplus", "file:lost#0"),
    }
    assert await library.check(repair=True) == []
    assert await library.check() == []
    assert len(await found(library, "kitten", 99)) == 6
    library.close()


async def test_a_check_finds_and_mends_vectors_that_are_damaged_or_lost(hashed: Settings) -> None:
    library = Library(hashed)
    await library.add([entry(f"file:{n}", f"A kitten of kind {n}.") for n in range(3)])
    folder = library._store.dense.folder
    before = await found(library, "kitten of kind 1", 3)
    library.close()
    numbers = folder / "table.f32"
    damaged = bytearray(numbers.read_bytes())
    damaged[0] ^= 1
    numbers.write_bytes(damaged[: -len(damaged) // 3])  # and the last is gone
    library = Library(hashed)
    assert places(await library.check()) == {
        ("vectors", "wrong", "file:0#0"),
        ("vectors", "missing", "file:2#0"),
    }
    assert await library.check(repair=True) == []
    assert await found(library, "kitten of kind 1", 3) == before
    library.close()


async def test_a_library_of_a_version_without_a_table_gets_one_and_is_searched_before(
    hashed: Settings,
) -> None:
    library = Library(hashed)
    await library.add([entry(f"file:{n}", f"A kitten of kind {n}.") for n in range(3)])
    folder = library._store.dense.folder
    before = await library.search("kitten of kind 1", 3)
    library.close()
    for name in ("table.rows", "table.f32"):
        (folder / name).unlink()
    library = Library(hashed)
    assert await library.search("kitten of kind 1", 3) == before
    await library.add([entry("file:more", BONDS)])
    assert await library.check() == []
    assert len(library._store.dense._make().table.of([f"file:{n}#0" for n in range(3)])[0]) == 3
    library.close()


async def test_a_rebuild_mends_too_and_embeds_nothing_again(
    hashed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(hashed)
    await library.add([entry(f"file:{n}", f"A kitten of kind {n}.") for n in range(3)])
    store = library._store
    with store.lexical.writing() as words:
        words.remove(["file:1#0"])
    store.dense.remove(["file:2#0"])
    embedded: list[str] = []
    embed = kill.HashEmbedder.embed

    def counted(self: kill.HashEmbedder, texts: list[str]) -> object:
        embedded.extend(texts)
        return embed(self, texts)

    monkeypatch.setattr(kill.HashEmbedder, "embed", counted)
    await library.rebuild()
    assert embedded == []
    assert await library.check() == []
    library.close()


# Snapshots


async def test_a_snapshot_brings_everything_back(hashed: Settings, tmp_path: Path) -> None:
    library = Library(hashed)
    cats = entry("file:a")
    references = (Reference("B.", title="A title of bonds in the market"),)
    await library.add([Entry(cats.paper, cats.text, cats.passages, ("k",), references)])
    await library.put_facts("file:a#0", [Fact("s", "r", "o")], model="m")
    await library.collect("mine", ["file:a"])
    before = await library.search("kitten", 5)
    await library.snapshot(tmp_path / "all.tar")
    await library.add([entry("file:later")])
    library.close()
    with pytest.raises(LibraryError, match="--force"):
        restore(hashed, tmp_path / "all.tar")
    restore(hashed, tmp_path / "all.tar", force=True)
    again = Library(hashed)
    assert await again.search("kitten", 5) == before
    assert "dense" in before[0].scores
    assert await again.find("k") == cats.paper
    assert len(await again.facts()) == len(await again.references_of("file:a")) == 1
    assert await again.collections() == {"mine": 1}
    assert await again.check() == []
    again.close()
    assert [path.name for path in hashed.home.iterdir()] == ["library"]


def test_a_snapshot_makes_a_library_where_there_is_none(hashed: Settings, tmp_path: Path) -> None:
    library = Library(hashed)
    library._store.add([entry("file:a")])
    asyncio.run(library.snapshot(tmp_path / "all.tar"))
    library.close()
    elsewhere = load(home=tmp_path / "elsewhere", offline=True)
    restore(elsewhere, tmp_path / "all.tar")
    again = Library(elsewhere)
    assert asyncio.run(again.check()) == []
    assert asyncio.run(found(again, "kitten")) == ["file:a"]
    again.close()


async def test_what_is_no_snapshot_changes_nothing(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    await library.add([entry("file:a")])
    await library.snapshot(tmp_path / "all.tar")
    library.close()
    whole = (tmp_path / "all.tar").read_bytes()
    for name, data in (
        ("half.tar", whole[: len(whole) // 2]),
        ("text.tar", b"no tar"),
        ("no", None),
    ):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(LibraryError, match="no whole snapshot"):
            restore(settings, tmp_path / name, force=True)
    again = Library(settings)
    assert await found(again, "kitten") == ["file:a"]
    again.close()


async def test_a_restoring_cut_short_leaves_the_library_that_was(
    library: Library, settings: Settings
) -> None:
    await library.add([entry("file:a")])
    library.close()
    library.folder.rename(library.folder.with_name("library-before"))
    again = Library(settings)
    assert await found(again, "kitten") == ["file:a"]
    again.close()


async def test_who_has_the_replaced_library_open_is_told_to_open_it_again(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    await library.snapshot(tmp_path / "all.tar")
    restore(settings, tmp_path / "all.tar")
    with pytest.raises(LibraryError, match="open it again"):
        await library.add([entry("file:a")])


# Several at once

WRITER = """
import asyncio, sys
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/benchmarks"]
import kill
from test_library import entry
from scholar.library import Library

async def main():
    name = sys.argv[3]
    library = Library(kill.settings(kill.Path(sys.argv[1])))
    for n in range(15):
        text = f"A kitten of kind {name} {n}."
        await library.unite([entry(f"file:{name}{n}", text, f"On {name} {n}")])
    library.close()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_two_processes_make_and_fill_one_library_at_once(hashed: Settings) -> None:
    names = ("left", "right", "third")
    command = [sys.executable, "-c", WRITER, str(hashed.home), str(HERE)]
    writers = [await asyncio.create_subprocess_exec(*command, name) for name in names]
    assert [await writer.wait() for writer in writers] == [0, 0, 0]
    library = Library(hashed)
    assert (await library.stats()).papers == 45
    assert await library.check() == []
    library.close()


async def test_a_reader_goes_on_while_and_after_another_rebuilds(hashed: Settings) -> None:
    reader, writer = Library(hashed), Library(hashed)
    await writer.add([entry(f"file:{n}", f"A kitten of kind {n}.") for n in range(4)])
    assert len(await found(reader, "kitten")) == 4
    seen: list[int] = []
    stop = asyncio.Event()

    async def read() -> None:
        while not stop.is_set():
            hits = await reader.search("kitten", 9)
            seen.append(len(hits))
            assert all("dense" in hit.scores for hit in hits)

    reading = asyncio.create_task(read())
    for _ in range(3):
        await writer.rebuild()
    stop.set()
    await reading
    assert set(seen) == {4}
    await writer.add([entry("file:more", "A kitten more.")])
    assert len(await found(reader, "kitten", 9)) == 5
    reader.close()
    writer.close()


# Older and closed libraries

SCHEMA_1 = """
CREATE TABLE papers (id VARCHAR NOT NULL PRIMARY KEY, state VARCHAR NOT NULL,
  title VARCHAR NOT NULL,
  authors JSON NOT NULL, year INTEGER, venue VARCHAR NOT NULL, identifiers JSON NOT NULL,
  version VARCHAR NOT NULL, holds VARCHAR NOT NULL, source VARCHAR NOT NULL,
  retracted BOOLEAN NOT NULL, text TEXT NOT NULL);
CREATE INDEX ix_papers_state ON papers (state);
CREATE TABLE keys (key VARCHAR NOT NULL PRIMARY KEY,
  paper_id VARCHAR NOT NULL REFERENCES papers (id) ON DELETE CASCADE);
CREATE TABLE passages (id VARCHAR NOT NULL PRIMARY KEY,
  paper_id VARCHAR NOT NULL REFERENCES papers (id) ON DELETE CASCADE, seq INTEGER NOT NULL,
  start INTEGER NOT NULL, "end" INTEGER NOT NULL, section VARCHAR NOT NULL, pages JSON NOT NULL);
CREATE INDEX ix_passages_paper_id ON passages (paper_id);
CREATE TABLE meta (key VARCHAR NOT NULL PRIMARY KEY, value VARCHAR NOT NULL);
INSERT INTO meta VALUES ('schema', '1'), ('embedder', 'none'), ('written', '7');
"""


def make_schema_1(folder: Path) -> None:
    """A library as the first version has left it, one of its papers half removed."""
    folder.mkdir(parents=True)
    with sqlite3.connect(folder / "catalogue.sqlite") as connection:
        connection.executescript(SCHEMA_1)
        for n, state in enumerate(("ready", "ready", "removing")):
            ids = json.dumps({"doi": f"10.1000/{n}"})
            known = (f"arxiv:2001.0000{n}", state, f"On the sleep of cats {n}", '["Ada Lovelace"]')
            row = (*known, 2020, "", ids, "v1", "full", "", False, CATS)
            connection.execute(f"INSERT INTO papers VALUES ({','.join('?' * 12)})", row)
            connection.execute("INSERT INTO keys VALUES (?, ?)", (row[0], row[0]))
            passage = (f"{row[0]}#0", row[0], 0, 0, len(CATS), "", "[]")
            connection.execute("INSERT INTO passages VALUES (?,?,?,?,?,?,?)", passage)
    connection.close()
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    (folder / "lexical").mkdir()
    tantivy.Index(builder.build(), path=str(folder / "lexical"))


async def test_a_library_of_the_first_version_is_brought_up_to_date(settings: Settings) -> None:
    make_schema_1(settings.home / "library")
    for _ in range(2):
        library = Library(settings)
        assert len(await library.papers()) == 2
        assert set(await found(library, "kitten")) == {"arxiv:2001.00000", "arxiv:2001.00001"}
        known = await library.find("doi:10.1000/1")
        assert known is not None
        assert known.id == "arxiv:2001.00001"
        assert await library.check() == []
        library.close()
    again = Library(settings)
    same = Entry(Paper("bib:1", "ON THE SLEEP OF CATS 0", ("A. Lovelace",), 2021), "", ())
    assert [o.fate for o in await again.unite([same])] == ["present"]
    again.close()


async def test_names_of_the_second_version_are_looked_up_by_any_spelling(
    library: Library, settings: Settings
) -> None:
    await library.add([entry("file:cats")])
    fact = Fact("Élan", "is", "a Cat", ("file:cats#0",))
    await library.put_facts("file:cats#0", [fact])
    library._store.catalogue.set_meta(schema="2")
    library.close()
    with sqlite3.connect(library.folder / "catalogue.sqlite") as connection:
        connection.execute("DROP INDEX ix_entities_folded")
        connection.execute("ALTER TABLE entities DROP COLUMN folded")
    connection.close()
    again = Library(settings)
    assert again._store.catalogue.get_meta("schema") == VERSION
    assert await again.facts_about(["elan", "a cat", "dog", ""]) == {
        "elan": [fact],
        "a cat": [fact],
    }
    assert sorted(await again.names()) == ["a cat", "elan"]
    again.close()


def test_bringing_up_to_date_is_all_or_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_schema_1(settings.home / "library")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("scholar.library.schema._from_1", killed)
        with pytest.raises(KeyboardInterrupt):
            Library(settings)
    with sqlite3.connect(settings.home / "library" / "catalogue.sqlite") as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        assert "facts" not in tables
    connection.close()
    library = Library(settings)
    assert library._store.catalogue.get_meta("schema") == VERSION
    library.close()


@pytest.mark.slow
def test_nothing_is_lost_or_twice_or_paid_for_again_after_a_kill(tmp_path: Path) -> None:
    here = Path(__file__).parent / "benchmarks" / "kill.py"
    done = subprocess.run(
        [sys.executable, str(here), "8"], capture_output=True, text=True, timeout=300
    )
    assert "| wrong afterwards | 0 |" in done.stdout, done.stdout + done.stderr


def forbid_writing(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


READER = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[2])
import kill
from scholar.errors import LibraryError
from scholar.library import Library

import scholar.library.vectors  # while it may still be read

settings = kill.settings(kill.Path(sys.argv[1]))
os.setuid(65534)
library = Library(settings)
print(sorted(asyncio.run(library.search("cats sleep", 5))[0].scores))
try:
    asyncio.run(library.remove(["arxiv:2001.00000"]))
except LibraryError as error:
    print(error)
library.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become a user who may not write")
async def test_a_library_that_may_only_be_read_is_searched(
    hashed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not all(parent.stat().st_mode & 0o005 == 0o005 for parent in Path(sys.prefix).parents):
        pytest.skip("the environment of the tests may not be read by other users")
    with tempfile.TemporaryDirectory() as folder:
        library = Library(load(home=Path(folder), offline=True))
        await library.unite([kill.paper(n) for n in range(6)])
        library.close()
        forbid_writing(Path(folder))
        command = [sys.executable, "-c", READER, folder, str(HERE / "benchmarks")]
        piped = asyncio.subprocess.PIPE
        read = await asyncio.create_subprocess_exec(*command, stdout=piped, cwd=folder)
        said, _ = await read.communicate()
        assert "['bm25', 'dense', 'fused', 'hybrid']" in said.decode()
        assert "may not be written" in said.decode()


async def test_a_filter_used_before_knows_of_papers_added_and_removed_since(
    hashed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scholar.library.dense.BROAD", 1.1)  # as if it let few of many pass

    async def late(library: Library) -> set[str]:
        filters = Filters(years=(2010, None))
        hits = await library.search("cats", 10, filters=filters, strategy="dense")
        return {hit.paper_id for hit in hits}

    def dated(id: str, year: int) -> Entry:
        made = entry(id)
        return replace(made, paper=replace(made.paper, year=year))

    one, other = Library(hashed), Library(hashed)
    await one.add([dated("file:a", 2015), dated("file:b", 2000)])
    assert await late(one) == await late(other) == {"file:a"}
    await other.add([dated("file:c", 2020)])
    assert await late(one) == await late(other) == {"file:a", "file:c"}
    await one.remove(["file:a"])
    assert await late(one) == await late(other) == {"file:c"}
    one.close()
    other.close()
