from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from filelock import FileLock

from scholar.errors import LibraryError, SettingsError
from scholar.library import Entry, Library, embedding, store, turns
from scholar.library.catalogue import State
from scholar.library.lexical import Indexed
from scholar.library.passages import cut
from scholar.readers.document import Block, Document, place
from scholar.settings import Settings, load
from scholar.values import Paper

CATS = "Felines rest for most of the day. A kitten sleeps even longer than that."
BONDS = "The bond market fell sharply in March. Yields rose by 0.4 points."


def entry(paper_id: str, text: str = CATS, title: str = "A title") -> Entry:
    """A paper of one paragraph."""
    stored, _, _ = place([Block(text)])
    return Entry(Paper(paper_id, title), stored, cut(paper_id, Document(text=stored)))


async def found(library: Library, query: str, k: int = 5) -> list[str]:
    return [hit.paper_id for hit in await library.search(query, k)]


async def counts(library: Library) -> tuple[int, int]:
    stats = await library.stats()
    return stats.papers, stats.passages


# Adding, finding, removing


async def test_a_paper_is_found_with_its_text_once_it_is_added(library: Library) -> None:
    await library.add([entry("file:cats"), entry("file:bonds", BONDS)])
    (hit,) = await library.search("bond yields", 5)
    (passage,) = await library.passages([hit.passage_id])
    assert (hit.paper_id, passage.text) == ("file:bonds", BONDS)
    assert hit.scores["bm25"] > 0
    assert await library.find("file:bonds") == Paper("file:bonds", "A title")


async def test_a_paper_is_found_by_its_title(library: Library) -> None:
    await library.add([entry("file:a", title="On HippoRAG"), entry("file:b", BONDS)])
    assert await found(library, "hipporag") == ["file:a"]


async def test_the_best_come_first_and_no_more_than_asked(library: Library) -> None:
    await library.add([entry("file:a", "Cats sleep. Dogs run.")])
    await library.add([entry(f"file:{n}", f"Cats are animals of kind {n}.") for n in range(9)])
    hits = await library.search("cats sleep", 4)
    assert hits[0].paper_id == "file:a"
    assert len(hits) == 4
    assert all(a.scores["fused"] >= b.scores["fused"] for a, b in pairwise(hits))


async def test_adding_again_changes_nothing(library: Library) -> None:
    entries = [entry("file:cats"), entry("file:bonds", BONDS)]
    await library.add(entries)
    before = (await counts(library), await library.papers(), await library.search("kitten", 5))
    ids = [p.id for p in await library.passages_of("file:cats")]
    await library.add(entries)
    after = (await counts(library), await library.papers(), await library.search("kitten", 5))
    assert after == before
    assert [p.id for p in await library.passages_of("file:cats")] == ids


def test_indexing_a_passage_again_does_not_double_it(library: Library) -> None:
    for _ in range(2):
        cats = entry("file:cats")
        library._store.lexical.write([Indexed(cats.passages[0].id, CATS, cats.paper)])
    assert len(library._store.lexical.search("kitten", 5)) == 1


def test_no_passage_has_more_words_of_a_query_than_counts(library: Library) -> None:
    words, query = library._store.lexical, "kitten kitten sleep zebra"
    texts = (CATS, BONDS, "kitten sleep " * 200)
    for n, text in enumerate(texts):
        words.write([Indexed(f"file:{n}#0", text, entry(f"file:{n}").paper)])
    without_zebra = words.most("kitten kitten sleep")
    (best, score), *_ = words.search(query, 5)
    assert best == "file:2#0"
    assert 0.9 * without_zebra < score < without_zebra < words.most(query)


async def test_what_is_not_written_to_the_end_is_not_in_the_word_index(library: Library) -> None:
    cats, bonds = entry("file:cats"), entry("file:bonds", BONDS)
    words = library._store.lexical

    def cut_short() -> None:
        with words.writing() as writer:
            writer.write([Indexed(cats.passages[0].id, CATS, cats.paper)])
            raise OSError("The disk is full.")

    with pytest.raises(OSError, match="full"):
        cut_short()
    words.write([Indexed(bonds.passages[0].id, BONDS, bonds.paper)])
    assert words.search("kitten", 5) == []
    assert len(words.search("bond", 5)) == 1


async def test_a_new_text_replaces_the_old_one_and_its_keys(library: Library) -> None:
    old = entry("file:a", CATS)
    await library.add([Entry(old.paper, old.text, old.passages, ("sha256:old",))])
    await library.add([entry("file:a", BONDS)])
    assert await found(library, "kitten") == []
    assert await found(library, "bond") == ["file:a"]
    assert await library.find("sha256:old") is None


async def test_a_removed_paper_is_gone_from_everywhere(library: Library) -> None:
    cats = entry("file:cats")
    await library.add([Entry(cats.paper, cats.text, cats.passages, ("sha256:c",))])
    await library.add([entry("file:bonds", BONDS)])
    passages = await library.passages_of("file:cats")
    await library.remove(["file:cats"])
    assert await found(library, "kitten") == []
    assert library._store.lexical.search("kitten", 5) == []
    assert await library.passages_of("file:cats") == []
    assert await library.passages([passages[0].id]) == []
    assert await library.find("sha256:c") is None
    assert [paper.id for paper in await library.papers()] == ["file:bonds"]
    assert (await library.stats()).passages == 1


async def test_a_paper_without_text_is_kept(library: Library) -> None:
    await library.add([Entry(Paper("doi:10.1/x", "A record", holds="record"), "", ())])
    assert await library.find("doi:10.1/x") is not None
    assert await found(library, "record") == []


async def test_papers_and_passages_come_in_the_order_asked_without_those_gone(
    library: Library,
) -> None:
    await library.add([entry(f"file:{n:04}", f"Text number {n}.") for n in range(1_200)])
    ids = [f"file:{n:04}" for n in range(1_199, -1, -1)]
    assert [paper.id for paper in await library.papers(["gone", *ids])] == ids
    passages = await library.passages(["gone#0", *(f"{name}#0" for name in ids)])
    assert [passage.paper_id for passage in passages] == ids


@pytest.mark.parametrize(
    "query",
    ['AND OR IN: (what?) -x^2 "kitten', "kitten*~2 +[a TO b] {x}", "text:kitten\\ !&& || /k/"],
)
async def test_no_character_of_a_question_is_an_operator(library: Library, query: str) -> None:
    await library.add([entry("file:cats"), entry("file:bonds", BONDS)])
    assert await found(library, query) == ["file:cats"]


@pytest.mark.parametrize("query", ["", " ", "?!*", "what is the", "\0", "🐈", "x" * 70_000])
async def test_a_question_without_words_finds_nothing(library: Library, query: str) -> None:
    await library.add([entry("file:cats")])
    assert await found(library, query) == []
    assert {
        e.score for e in await library.extract(query, await library.passages_of("file:cats"), 9)
    } == {0}


# Sentences


async def test_extracts_are_whole_sentences_best_first_at_their_exact_places(
    library: Library,
) -> None:
    text = f"{CATS}\n\nA table 1 2 3 kitten\n\nKitten no.\n\nA kitten plays with felines."
    passages = cut("file:a", Document(text=text))
    await library.add([Entry(Paper("file:a", "T"), text, passages), entry("file:b", BONDS)])
    extracts = await library.extract("How long does a kitten sleep?", passages, 9)
    assert [text[e.start : e.end] for e in extracts] == [
        "A kitten sleeps even longer than that.",
        "A kitten plays with felines.",
        "Felines rest for most of the day.",
    ]
    assert all(a.score >= b.score for a, b in pairwise(extracts))
    assert all(0 <= extract.score <= 1 for extract in extracts)
    assert len(await library.extract("kitten", passages, 1)) == 1


async def test_extracts_for_several_queries_are_those_of_each(library: Library) -> None:
    await library.add([entry("file:cats"), entry("file:bonds", BONDS)])
    passages = [p for id in ("file:cats", "file:bonds") for p in await library.passages_of(id)]
    queries = ["kitten sleep", "", "bond yields"]
    each = await library.extract_each(queries, passages, 3)
    assert each == [await library.extract(query, passages, 3) for query in queries]
    assert each[0] != each[2]


async def test_the_title_of_a_paper_counts_by_half_for_its_sentences(library: Library) -> None:
    about = entry("file:a", "It sleeps all day long.", title="The kitten")
    other = entry("file:b", "It sleeps all day long.", title="The horse")
    await library.add([about, other])
    extracts = await library.extract("kitten", [*other.passages, *about.passages], 2)
    scores = [(extract.passage.paper_id, extract.score) for extract in extracts]
    assert scores == [("file:a", 0.5), ("file:b", 0.0)]


async def test_extracts_keep_their_scale_after_most_papers_are_gone(library: Library) -> None:
    await library.add([entry(f"file:{n}", f"A kitten sleeps for {n} hours.") for n in range(9)])
    await library.remove([f"file:{n}" for n in range(1, 9)])
    passages = await library.passages_of("file:0")
    for query, least in (("kitten", 1.0), ("kitten hours zebra", 0.0)):
        (extract,) = await library.extract(query, passages, 3)
        assert least <= extract.score <= 1


async def test_passages_of_a_paper_removed_meanwhile_can_still_be_read(library: Library) -> None:
    await library.add([entry("file:cats")])
    passages = await library.passages_of("file:cats")
    await library.remove(["file:cats"])
    assert len(await library.extract("kitten", passages, 5)) == 2


# What was cut short


async def test_what_was_written_but_not_indexed_is_indexed_at_the_next_opening(
    library: Library, settings: Settings
) -> None:
    library._store.catalogue.put([entry("file:cats")])
    library.close()
    again = Library(settings)
    assert await found(again, "kitten") == ["file:cats"]
    assert await again.find("file:cats") is not None
    again.close()


async def test_what_was_half_removed_is_gone_at_the_next_opening(
    library: Library, settings: Settings
) -> None:
    await library.add([entry("file:cats"), entry("file:bonds", BONDS)])
    library._store.catalogue.set_state(["file:cats"], "removing")
    library.close()
    again = Library(settings)
    assert await found(again, "kitten") == []
    assert [paper.id for paper in await again.papers()] == ["file:bonds"]
    assert again._store.catalogue.unfinished() == {}
    again.close()


async def test_what_is_not_ready_is_not_shown(library: Library) -> None:
    await library.add([entry("file:cats"), entry("file:bonds", BONDS)])
    states: tuple[State, ...] = ("pending", "removing")
    for state in states:
        library._store.catalogue.set_state(["file:cats"], state)
        assert await found(library, "kitten") == []
        assert (await library.stats()).papers == (await library.stats()).passages == 1


async def test_a_rebuild_cut_short_takes_nothing_away(
    library: Library, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "REBUILD_BATCH", 2)
    await library.add([entry(f"file:{n}", f"A kitten of kind {n}.") for n in range(5)])

    def stop(done: int, _of: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library._store.rebuild(stop)
    assert len(await found(library, "kitten")) == 5
    await library.rebuild()
    assert len(await found(library, "kitten")) == 5
    library.close()
    again = Library(settings)
    assert len(await found(again, "kitten")) == 5
    await again.add([entry("file:more", "A kitten more.")])
    again.close()
    assert len(list(again.folder.glob("lexical*"))) == 1


async def test_a_rebuild_finds_what_it_found_before_and_tells_its_progress(
    library: Library,
) -> None:
    await library.add([entry("file:cats"), entry("file:bonds", BONDS)])
    before = await library.search("kitten", 5)
    library._store.lexical.write([], gone=["file:cats", "file:bonds"])
    told: list[tuple[int, int]] = []
    stats = await library.rebuild(lambda done, of: told.append((done, of)))
    assert await library.search("kitten", 5) == before
    assert (stats.papers, stats.passages, stats.embedder) == (2, 2, "none")
    assert told == [(0, 2), (2, 2)]


# Several at a time


async def test_many_may_add_and_search_at_once(library: Library) -> None:
    await asyncio.gather(
        *(library.add([entry(f"file:{n}", f"A kitten of kind {n}.")]) for n in range(8)),
        *(library.search("kitten", 5) for _ in range(8)),
    )
    assert len(await found(library, "kitten", 20)) == 8


WRITER = """
import asyncio, sys
from scholar.library import Library
from scholar.settings import load
sys.path.insert(0, sys.argv[2])
from test_library import entry

async def main():
    library = Library(load(home=sys.argv[1], embedder="none", offline=True))
    for n in range(30):
        await library.add([entry(f"file:{n}", f"A kitten of kind {n}.")])
    library.close()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_one_process_reads_while_another_writes(library: Library, settings: Settings) -> None:
    command = [sys.executable, "-c", WRITER, str(settings.home), str(Path(__file__).parent)]
    writer = await asyncio.create_subprocess_exec(*command)
    counts = [0]
    while writer.returncode is None:
        hits = await library.search("kitten", 100)
        assert len(await library.papers([hit.paper_id for hit in hits])) == len(hits)
        counts.append(len(hits))
        await asyncio.sleep(0)
    assert writer.returncode == 0
    assert all(a <= b for a, b in pairwise(counts))
    assert len(await found(library, "kitten", 100)) == 30


@pytest.mark.parametrize("attempt", range(3))
def test_a_new_library_may_be_made_by_many_at_once(settings: Settings, attempt: int) -> None:
    together = threading.Barrier(8)

    def open_one() -> Path:
        together.wait(10)
        library = Library(settings)
        library.close()
        return library.folder

    with ThreadPoolExecutor(8) as pool:
        opened = [pool.submit(open_one) for _ in range(8)]
    assert {one.result() for one in opened} == {settings.home / "library"}


async def test_a_writer_gives_up_on_another_with_advice(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.05)
    with (
        FileLock(library.folder / "write.lock"),
        pytest.raises(LibraryError, match="wait for it, then try again"),
    ):
        await library.add([entry("file:cats")])
    await library.add([entry("file:cats")])
    assert await found(library, "kitten") == ["file:cats"]


async def test_opening_while_another_writes_leaves_its_papers_to_it(
    library: Library, settings: Settings
) -> None:
    library._store.catalogue.put([entry("file:cats")])
    held = threading.Event()
    free = threading.Event()

    def hold() -> None:
        with FileLock(library.folder / "write.lock"):
            held.set()
            free.wait(10)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        held.wait(10)
        again = Library(settings)
        free.set()
    assert again._store.catalogue.unfinished() == {"file:cats": "pending"}
    again.close()


# What cannot be opened


def refuses(settings: Settings, said: str) -> None:
    with pytest.raises(LibraryError, match=said):
        Library(settings)


def test_a_home_that_is_a_file_is_refused_with_advice(settings: Settings) -> None:
    settings.home.write_text("in the way")
    refuses(settings, "set SCHOLAR_HOME to another")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_may_not_be_written_is_refused_with_advice(settings: Settings) -> None:
    settings.home.mkdir()
    settings.home.chmod(0o500)
    refuses(settings, "make the folder writable")
    settings.home.chmod(0o700)


def test_a_catalogue_of_garbage_is_refused_with_advice(settings: Settings) -> None:
    (settings.home / "library").mkdir(parents=True)
    (settings.home / "library" / "catalogue.sqlite").write_bytes(b"garbage" * 1_000)
    refuses(settings, "not a database.*try again")


def test_a_library_of_another_version_is_refused_with_advice(
    library: Library, settings: Settings
) -> None:
    library._store.catalogue.set_meta(schema="99")
    refuses(settings, "has format 99 .* upgrade scholar")


def test_a_word_index_of_garbage_is_refused_with_the_command(
    library: Library, settings: Settings
) -> None:
    library.close()
    (library.folder / "lexical" / "meta.json").write_text("{garbage")
    refuses(settings, "delete that folder, then: scholar library rebuild")


async def test_a_word_index_deleted_comes_back_by_rebuilding(
    library: Library, settings: Settings
) -> None:
    await library.add([entry("file:cats")])
    library.close()
    for file in (library.folder / "lexical").iterdir():
        file.unlink()
    again = Library(settings)
    await again.rebuild()
    assert await found(again, "kitten") == ["file:cats"]
    again.close()


async def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    home = tmp_path / "papers? 100% & #1"
    library = Library(load(home=home, embedder="none", offline=True))
    await library.add([entry("file:cats")])
    assert await found(library, "kitten") == ["file:cats"]
    library.close()
    with sqlite3.connect(home / "library" / "catalogue.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM papers").fetchone() == (1,)
    connection.close()


# Which embedder


def fill_onnx_cache() -> None:
    """Make the next embedder that is looked for appear to be at hand; it cannot be loaded."""
    folder = embedding._onnx_folder() / "onnx"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without torch and models."""
    monkeypatch.setattr(embedding, "_torch_is_there", lambda: False)


@pytest.mark.usefixtures("bare")
async def test_search_by_words_for_want_of_a_model_says_so_once(tmp_path: Path) -> None:
    notices: list[str] = []
    library = Library(load(home=tmp_path, offline=True), on_notice=notices.append)
    await library.add([entry("file:cats")])
    assert await found(library, "kitten") == ["file:cats"]
    library.close()
    assert [notice for notice in notices if "pip install 'scholar[local]'" in notice] == notices
    assert len(notices) == 1


async def test_search_by_words_that_was_asked_for_says_nothing(settings: Settings) -> None:
    notices: list[str] = []
    library = Library(settings, on_notice=notices.append)
    await library.add([entry("file:cats")])
    library.close()
    again = Library(settings, on_notice=notices.append)
    await again.search("kitten", 5)
    again.close()
    assert notices == []


@pytest.mark.usefixtures("bare")
async def test_a_library_of_words_says_when_a_model_has_come_to_hand(
    library: Library, settings: Settings
) -> None:
    await library.add([entry("file:cats")])
    library.close()
    fill_onnx_cache()
    notices: list[str] = []
    again = Library(load(home=settings.home, offline=True), on_notice=notices.append)
    assert await found(again, "kitten") == ["file:cats"]
    again.close()
    (notice,) = notices
    assert "all-MiniLM-L6-v2 is at hand now" in notice
    assert "scholar library rebuild" in notice


async def test_a_rebuild_with_a_model_that_cannot_be_loaded_drops_nothing(
    library: Library, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await library.add([entry("file:cats")])
    library.close()
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(embedding, "_torch_is_there", lambda: True)
    monkeypatch.setattr(embedding, "_minilm_folder", lambda: tmp_path)
    again = Library(load(home=settings.home, offline=True))
    with pytest.raises(SettingsError, match="are not those of"):
        await again.rebuild()
    assert await found(again, "kitten") == ["file:cats"]
    again.close()


# With the real all-MiniLM-L6-v2

needs_minilm = pytest.mark.skipif(
    not (importlib.util.find_spec("torch") and importlib.util.find_spec(embedding.MINILM_PACKAGE)),
    reason="all-MiniLM-L6-v2 is not installed; pip install 'scholar[local]'",
)


@pytest.fixture
def hybrid(tmp_path: Path) -> Iterator[Library]:
    """A library that searches by words and by meaning, of two papers."""
    library = Library(load(home=tmp_path / "home", offline=True))
    library._store.add(
        [entry("file:cats", title="Rest"), entry("file:bonds", BONDS, title="March")]
    )
    yield library
    library.close()


def words_alone(library: Library, notices: list[str]) -> Library:
    """The same library where no embedder is wanted."""
    settings = load(home=library.folder.parent, embedder="none", offline=True)
    return Library(settings, on_notice=notices.append)


@pytest.mark.slow
@needs_minilm
async def test_a_paraphrase_is_found_by_its_meaning(hybrid: Library) -> None:
    query = "young pets napping"
    assert hybrid._store.lexical.search(query, 5) == []
    hits = await hybrid.search(query, 5)
    assert hits[0].paper_id == "file:cats"
    assert hits[0].scores["dense"] > 0.3
    extracts = await hybrid.extract("kitten napping", await hybrid.passages_of("file:cats"), 5)
    assert "kitten" in CATS[extracts[0].start : extracts[0].end]
    assert all(0 <= extract.score <= 1 for extract in extracts)
    await hybrid.remove(["file:cats"])
    assert await found(hybrid, query) == ["file:bonds"]


@pytest.mark.slow
@needs_minilm
async def test_one_word_of_many_says_less_than_what_is_meant(hybrid: Library) -> None:
    for query, first in (("young pets napping in March", "cats"), ("March", "bonds")):
        hits = await hybrid.search(query, 5)
        assert hits[0].paper_id == f"file:{first}"
        assert max(hits, key=lambda hit: hit.scores.get("bm25", 0)).paper_id == "file:bonds"


@pytest.mark.slow
@needs_minilm
async def test_a_model_that_is_not_wanted_any_more_is_missed_aloud_until_a_rebuild(
    hybrid: Library,
) -> None:
    assert (await hybrid.stats()).embedder == embedding.MINILM
    hybrid.close()
    notices: list[str] = []
    words = words_alone(hybrid, notices)
    (hit,) = await words.search("kitten", 5)
    assert "bm25" in hit.scores
    assert "dense" not in hit.scores
    assert ["searching by BM25 alone" in notice for notice in notices] == [True]
    assert (await words.rebuild()).embedder == "none"
    words.close()
    notices.clear()
    again = words_alone(hybrid, notices)
    assert await found(again, "kitten") == ["file:cats"]
    assert notices == []
    again.close()


@pytest.mark.slow
@needs_minilm
async def test_what_changed_without_the_model_is_neither_stale_nor_silent_with_it(
    hybrid: Library,
) -> None:
    hybrid.close()
    words = words_alone(hybrid, [])
    await words.add([entry("file:bonds", "Planets orbit their stars."), entry("file:new")])
    await words.remove(["file:cats"])
    words.close()
    notices: list[str] = []
    again = Library(load(home=words.folder.parent, offline=True), on_notice=notices.append)
    assert await found(again, "falling prices of debt") == []
    assert ["scholar library rebuild" in notice for notice in notices] == [True]
    await again.rebuild()
    assert set(await found(again, "young pets napping")) == {"file:bonds", "file:new"}
    again.close()


@pytest.mark.slow
@needs_minilm
async def test_vectors_of_garbage_are_refused_with_the_command_every_time(hybrid: Library) -> None:
    hybrid.close()
    chroma = hybrid.folder / "chroma"
    (chroma / "chroma.sqlite3").write_bytes(b"garbage" * 1_000)
    again = Library(load(home=hybrid.folder.parent, offline=True))
    for _ in range(2):
        with pytest.raises(LibraryError, match="delete that folder, then: scholar library rebuild"):
            await again.search("kitten", 5)
    shutil.rmtree(chroma)
    await again.rebuild()
    assert await found(again, "young pets napping")
    again.close()


OTHER = """
import asyncio, sys
from scholar.library import Library
from scholar.settings import load
sys.path.insert(0, sys.argv[2])
from test_library import entry

async def main():
    library = Library(load(home=sys.argv[1], offline=True))
    if sys.argv[3] == "add":
        await library.add([entry("file:stars", "Planets orbit their stars.")])
    else:
        await library.rebuild()
    library.close()

asyncio.run(main())
"""


@pytest.mark.slow
@needs_minilm
async def test_meaning_follows_what_another_process_has_written(hybrid: Library) -> None:
    assert (await found(hybrid, "young pets napping"))[0] == "file:cats"
    home, here = str(hybrid.folder.parent), str(Path(__file__).parent)
    for what in ("add", "rebuild"):
        command = [sys.executable, "-c", OTHER, home, here, what]
        assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0
        assert (await found(hybrid, "astronomical motion"))[0] == "file:stars"
        await hybrid.add([entry("file:more", "Ships cross the sea.")])
        assert (await found(hybrid, "sailing over oceans"))[0] == "file:more"


@pytest.mark.slow
@needs_minilm
async def test_search_goes_on_by_words_while_another_process_begins_to_rebuild(
    hybrid: Library,
) -> None:
    vectors = hybrid._store.dense._open()
    assert vectors is not None
    vectors._client.delete_collection("passages")
    (hit,) = await hybrid.search("kitten", 5)
    assert "bm25" in hit.scores
    assert "dense" not in hit.scores


@pytest.mark.slow
@needs_minilm
async def test_first_searches_while_the_embedder_loads_do_not_block_each_other(
    hybrid: Library,
) -> None:
    for _ in range(5):
        library = Library(load(home=hybrid.folder.parent, offline=True))
        searches = [found(library, "young pets napping") for _ in range(6)]
        results = await asyncio.wait_for(asyncio.gather(library.warm(), *searches), 60)
        assert all(result and result[0] == "file:cats" for result in results[1:])
        library.close()
