"""What the library writes and finds: the catalogue and the indexes derived from it, kept in step.

A paper is written as *pending*, indexed everywhere, then marked *ready*; a removal goes the same
way in reverse. Where only what is said of a paper changes it is *stale* in between, and still seen.
Whatever was cut short is driven on by whoever writes or opens the library next. Everything blocks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

import sqlalchemy as sa

from scholar.errors import LibraryError
from scholar.library import works
from scholar.library.catalogue import Catalogue, Entry
from scholar.library.dense import PLACES_ANEW, Dense
from scholar.library.embedding import Embedder, Vectors32
from scholar.library.enrichment import Enrichment
from scholar.library.feedback import Feedback
from scholar.library.filters import Filters
from scholar.library.lexical import FORMAT, Indexed, Lexical
from scholar.library.ranking import Ranking
from scholar.library.readonly import beside, may_not_be_written
from scholar.library.turns import Turns
from scholar.library.works import Outcome
from scholar.settings import Settings
from scholar.values import Paper, Passage

REBUILD_BATCH = 256
"""Papers indexed at a time when rebuilding, so that memory does not grow with the library."""
_PLACE = "lexical"
"""What the catalogue remembers of where the word index lies, since a rebuild puts it elsewhere."""
_FORMAT = "lexical_format"
"""What the catalogue remembers of how it is made."""
_GENERATION = "generation"
"""What the catalogue remembers to tell rebuilt indexes from the ones before."""

CATALOGUE = "catalogue.sqlite"
BEFORE = "library-before"
"""Name of the folder beside it where a library lies while another is put in its place."""

Progress = Callable[[int, int], None]
Encoded = dict[str, Vectors32]
"""Vectors by the texts they were made of."""


class Store:
    """The library in `folder`. Opening it repairs what was cut short.

    Raises OSError or LibraryError where it cannot be opened.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        notice: Callable[[str], None],
        *,
        anew: bool = False,
    ) -> None:
        self.folder = self._indexes = folder
        self._read_only = may_not_be_written(folder)
        self._turns = Turns(folder)
        with ExitStack() as opened:
            if self._read_only:
                self._indexes = Path(opened.enter_context(beside(folder)))
            else:
                _put_back(folder)
                folder.mkdir(parents=True, exist_ok=True)
            with self._alone_if_new():
                url = sa.URL.create("sqlite", database=str(folder / CATALOGUE))
                self.catalogue = Catalogue(url, read_only=self._read_only)
                opened.callback(self.catalogue.close)
                self._file = _identity(folder)
                if anew:
                    self.catalogue.set_meta(**{_PLACE: "lexical", _FORMAT: FORMAT, **PLACES_ANEW})
                self.dense = Dense(self._indexes, self.catalogue, settings, notice)
                opened.callback(self.dense.close)
                self._renew_lexical()
                self.lexical = Lexical(self._lexical_folder())
            self.enrichment = Enrichment(self.catalogue)
            self.feedback = Feedback(self.catalogue)
            self._recover()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the files."""
        self._opened.close()

    # Writing

    def add(self, entries: Sequence[Entry]) -> None:
        """Write `entries`; what stood under their ids is replaced."""
        encoded = self._encode(entries)
        with self.writing():
            self._put(entries, {}, encoded)

    def unite(self, entries: Sequence[Entry], encoded: Encoded | None = None) -> list[Outcome]:
        """Write `entries`, each as the work that it is; what became of them, in their order."""
        encoded = self.encode(entries) if encoded is None else encoded
        with self.writing():
            plan = works.plan(self.catalogue, entries)
            if plan.entries:
                self._put(plan.entries, plan.united, encoded)
                self._unindex([id for gone in plan.united.values() for id in gone])
        return plan.outcomes

    def encode(self, entries: Sequence[Entry]) -> Encoded:
        """The vectors that adding `entries` will take: made before, others may write meanwhile."""
        if not self.dense.embeds():
            return {}
        return self._encode(works.plan(self.catalogue, entries).entries)

    def remove(self, paper_ids: Sequence[str]) -> None:
        """Forget papers and everything made of them."""
        with self.writing():
            self.catalogue.set_state(paper_ids, "removing")
            self._unindex(paper_ids)

    def update(self, papers: Iterable[Paper]) -> None:
        """Write what is said of papers; their texts stay as they are."""
        with self.writing():
            self.catalogue.update(papers)
            self._drive_on()

    def put_into(self, collection: str, paper_ids: Sequence[str]) -> None:
        """Make papers part of a collection."""
        with self.writing():
            self.catalogue.put_into(collection, paper_ids)
            self._drive_on()

    def index(self, paper_ids: Sequence[str], on_progress: Progress = lambda *_: None) -> None:
        """Write into the indexes what the catalogue has of papers, as far as they lack it."""
        for at in range(0, len(paper_ids), REBUILD_BATCH):
            on_progress(at, len(paper_ids))
            self._index(paper_ids[at : at + REBUILD_BATCH], {})
        on_progress(len(paper_ids), len(paper_ids))

    def rebuild(self, on_progress: Progress = lambda *_: None) -> None:
        """Derive all indexes anew beside those there are, which serve until it is done."""
        with self.writing():
            name, embedder = self.dense.choose_anew()
            generation = self.catalogue.count_up(_GENERATION)
            words, vectors = f"lexical-{generation}", f"chroma-{generation}"
            self._build(words, vectors, embedder, on_progress)
            self.dense.adopt(name, embedder, vectors, **{_PLACE: words, _FORMAT: FORMAT})
            self.lexical = Lexical(self.folder / words)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alone, in step with what others have written, and with what they left undone done."""
        if self._read_only:
            raise LibraryError(
                f"The library in {self.folder} may not be written; make the folder writable or set "
                "SCHOLAR_HOME to another one."
            )
        with self._turns.taken():
            self._still_there()
            self._sweep()
            self.follow()
            self.dense.catch_up()
            self._drive_on()
            try:
                yield
            finally:
                self.dense.has_written()

    # Finding

    def follow(self) -> None:
        """See what others have written since."""
        if self.dense.follow():
            if self._lexical_folder() != self.lexical.folder:
                self.lexical = Lexical(self._lexical_folder())
            self.lexical.follow()

    def by_words(self, query: str, k: int, filters: Filters | None = None) -> Ranking:
        """The `k` passages that fit the words of `query` best, with their BM25 scores."""
        return self.lexical.search(query, k, filters)

    def by_meaning(self, vector: Vectors32, k: int, filters: Filters | None = None) -> Ranking:
        """The `k` passages nearest to `vector`, with their cosines."""
        if not filters:
            return self.dense.nearest(vector, k)
        allowed = _Allowed(self.lexical, filters)
        return self.dense.nearest(vector, k, allowed) if allowed.share else []

    # How

    def _alone_if_new(self) -> AbstractContextManager[object]:
        """Keeps others from making the same library; one that is there is opened beside them."""
        made = (self.folder / CATALOGUE).exists() and any(self.folder.glob("lexical*/meta.json"))
        return nullcontext() if made or self._read_only else self._turns.taken()

    def _renew_lexical(self) -> None:
        """Make the word index anew where an older version has made it."""
        if self.catalogue.get_meta(_FORMAT) == FORMAT:
            return
        with self._turns.taken():
            if self.catalogue.get_meta(_FORMAT) == FORMAT:
                return
            place = "lexical"
            if (self.folder / place).exists():
                place = f"lexical-{self.catalogue.count_up(_GENERATION)}"
                self._build(place, None, None, lambda *_: None)
            self.catalogue.set_meta(**{_PLACE: place, _FORMAT: FORMAT})

    def _lexical_folder(self) -> Path:
        return self._indexes / (self.catalogue.get_meta(_PLACE) or "lexical")

    def _recover(self) -> None:
        if self.catalogue.unfinished() and not self._read_only:
            with self._turns.taken_if_free() as free:
                if free:  # else another process is writing them at this moment
                    self.follow()
                    self._drive_on()
                    self.dense.has_written()

    def _drive_on(self) -> None:
        unfinished = self.catalogue.unfinished()
        if unfinished:
            self._unindex([id for id, state in unfinished.items() if state == "removing"])
            self.index([id for id, state in unfinished.items() if state != "removing"])

    def _put(
        self, entries: Sequence[Entry], united: Mapping[str, Sequence[str]], encoded: Encoded
    ) -> None:
        ids = [entry.paper.id for entry in entries]
        there = self.catalogue.descriptions(ids).keys()
        new = [entry for entry in entries if entry.paper.id not in there]
        papers = {entry.paper.id: entry.paper for entry in new}
        passages = [passage for entry in new for passage in entry.passages]
        indexed = self._indexed(papers, passages)
        with self.lexical.writing() if new else nullcontext() as words:
            if words:
                words.write(indexed)  # which are indexed while the catalogue is written
            self.catalogue.put(entries, united=united)
            texts = [each.text for each in indexed]
            self.dense.write(list(papers), passages, texts, encoded, new=True)
        self.catalogue.set_state(list(papers), "ready")
        self._index([id for id in ids if id in there], encoded)

    def _index(self, paper_ids: Sequence[str], encoded: Encoded) -> None:
        if paper_ids:
            passages = self.catalogue.passages_of(paper_ids)
            indexed = self._indexed(self.catalogue.descriptions(paper_ids), passages)
            texts = [each.text for each in indexed]
            self.dense.write(paper_ids, passages, texts, encoded, new=False)
            self.lexical.write(indexed, gone=paper_ids)
            self.catalogue.set_state(paper_ids, "ready")

    def indexed(self, paper_ids: Sequence[str]) -> list[Indexed]:
        """What of papers ought to stand in the word index."""
        passages = self.catalogue.passages_of(paper_ids)
        return self._indexed(self.catalogue.descriptions(paper_ids), passages)

    def _indexed(self, papers: Mapping[str, Paper], passages: Sequence[Passage]) -> list[Indexed]:
        """What is indexed of each passage: its text under the title of its paper."""
        inside = self.catalogue.collections_of(papers)
        return [
            Indexed(
                passage.id,
                f"{papers[passage.paper_id].title}\n{passage.text}",
                papers[passage.paper_id],
                tuple(inside.get(passage.paper_id, ())),
            )
            for passage in passages
        ]

    def _unindex(self, paper_ids: Sequence[str]) -> None:
        if paper_ids:
            self.dense.forget(paper_ids)
            self.lexical.write([], gone=paper_ids)
            self.catalogue.delete(paper_ids)

    def _encode(self, entries: Sequence[Entry]) -> Encoded:
        """The vectors of what is not stored as it is; none without an embedder."""
        there = self.catalogue.descriptions([entry.paper.id for entry in entries])
        texts = [
            f"{entry.paper.title}\n{passage.text}"
            for entry in entries
            if not self._stands(entry, there)
            for passage in entry.passages
        ]
        vectors = self.dense.embed(texts) if texts else None
        return {} if vectors is None else dict(zip(texts, vectors, strict=True))

    def _stands(self, entry: Entry, there: Mapping[str, Paper]) -> bool:
        """Whether the vectors of an entry are those that it has."""
        before = there.get(entry.paper.id)
        if before is None or before.title != entry.paper.title:
            return False
        stored = self.catalogue.passages_of([entry.paper.id])
        return [(p.id, p.text) for p in stored] == [(p.id, p.text) for p in entry.passages]

    def _build(
        self, words: str, vectors: str | None, embedder: Embedder | None, on_progress: Progress
    ) -> None:
        """Make a word index at `words` and, by `embedder`, vectors at `vectors`."""
        lexical = Lexical(self.folder / words)
        made = self.dense.begin(vectors) if embedder and vectors else None
        ids = self.catalogue.ids()
        try:
            for at in range(0, len(ids), REBUILD_BATCH):
                on_progress(at, len(ids))
                some = ids[at : at + REBUILD_BATCH]
                passages = self.catalogue.passages_of(some)
                indexed = self._indexed(self.catalogue.descriptions(some), passages)
                if embedder and made and passages:
                    texts = [each.text for each in indexed]
                    made.write(passages, texts, self.dense.make(embedder, passages, texts))
                lexical.write(indexed)
        finally:
            if made:
                made.close()
        on_progress(len(ids), len(ids))

    def _still_there(self) -> None:
        if _identity(self.folder) != self._file:
            raise LibraryError(
                "Another library has been put in the place of this one; open it again."
            )

    def _sweep(self) -> None:
        """Drop indexes that another has replaced, or that were never finished."""
        used = {self._lexical_folder(), self.dense.folder}
        for folder in (*self.folder.glob("lexical*"), *self.folder.glob("chroma*")):
            if folder not in used and folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)  # somebody may still read it


def _put_back(folder: Path) -> None:
    """Put a library back that was about to be replaced, where that was cut short."""
    before = folder.with_name(BEFORE)
    if before.exists() and not folder.exists():
        before.rename(folder)


def _identity(folder: Path) -> tuple[int, int]:
    found = (folder / CATALOGUE).stat()
    return found.st_dev, found.st_ino


class _Allowed:
    """The passages that `filters` let pass, told by the word index."""

    def __init__(self, lexical: Lexical, filters: Filters) -> None:
        self._lexical = lexical
        self.filters = filters
        self._count = lexical.count(filters)
        self.share = self._count / max(1, lexical.count())

    def all(self) -> Sequence[str]:
        return self._lexical.passing(self.filters, self._count)

    def among(self, ids: Sequence[str]) -> Sequence[str]:
        return self._lexical.passing(self.filters, len(ids), ids)
