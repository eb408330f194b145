"""The literature store: one facade over a catalogue, Chroma and a lexical index.

The catalogue is the truth and the rest is derived; `store` keeps them in step. Any number of
processes may have the same library open: writers take turns, and readers see whole papers only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from scholar.errors import LibraryError
from scholar.library.atlas import MOST, Atlas, atlas
from scholar.library.catalogue import REVISION, Entry
from scholar.library.check import Finding, check
from scholar.library.embedding import Vectors32
from scholar.library.enrichment import Kind
from scholar.library.filters import Filters
from scholar.library.inspiration import Candidate, Inspirer
from scholar.library.lessons import Lessons
from scholar.library.snapshot import restore as put_in_place
from scholar.library.snapshot import snapshot
from scholar.library.store import Encoded, Store
from scholar.library.strategies import DEFAULT, Searcher
from scholar.library.works import Outcome
from scholar.settings import Settings
from scholar.text import sentences
from scholar.values import Card, Fact, Hit, Lesson, Paper, Passage, Reference

__all__ = [
    "Atlas",
    "Candidate",
    "Entry",
    "Extract",
    "Filters",
    "Finding",
    "Kind",
    "Library",
    "Outcome",
    "Stats",
    "restore",
]


@dataclass(frozen=True, slots=True)
class Extract:
    """A sentence of a passage and how well it answers a query, 0 to 1. Offsets as in Passage."""

    passage: Passage
    start: int
    end: int
    score: float

    @property
    def text(self) -> str:
        """The sentence as it is stored."""
        return self.passage.text[self.start - self.passage.start : self.end - self.passage.start]


@dataclass(frozen=True, slots=True)
class Stats:
    """How much a library holds, by which embedder it searches, and where it lies.

    `holdings` counts papers by what is held of them; `bytes` is what all takes on disk; `revision`
    grows with every change.
    """

    papers: int
    passages: int
    embedder: str
    folder: Path
    holdings: dict[str, int] = field(default_factory=dict)
    references: int = 0
    facts: int = 0
    questions: int = 0
    cards: int = 0
    collections: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    revision: int = 0


class Library:
    """Papers and their passages under `settings.home`. Opening repairs what was cut short.

    `on_notice` is called with a sentence when search is less than it could be, and what to do.
    Raises LibraryError where the store cannot be opened.
    """

    def __init__(
        self, settings: Settings, *, on_notice: Callable[[str], None] = lambda _: None
    ) -> None:
        self.folder = settings.home / "library"
        with _openable(self.folder):
            self._store = Store(self.folder, settings, on_notice)
            self._searcher = Searcher(self._store, settings)
            self._inspirer = Inspirer(self._store, self._searcher)
            self._lessons = Lessons(self._store)

    # Adding and removing

    async def add(self, entries: Sequence[Entry]) -> None:
        """Store `entries`, searchable once this returns; what stood under their ids is replaced."""
        await asyncio.to_thread(self._store.add, list(entries))

    async def unite(
        self, entries: Sequence[Entry], encoded: Encoded | None = None
    ) -> list[Outcome]:
        """Store `entries`, each as part of the work that it is, where that is there already.

        Returns what became of each, in order. Of two texts of a work the fuller stays, of two
        versions the later, and passages that were replaced can still be read by their ids.
        `encoded` is what `encode` made of them before.
        """
        return await asyncio.to_thread(self._store.unite, list(entries), encoded)

    async def encode(self, entries: Sequence[Entry]) -> Encoded:
        """The vectors that uniting `entries` takes, so that they can be made while others write."""
        return await asyncio.to_thread(self._store.encode, list(entries))

    async def embeds(self) -> bool:
        """Whether passages are embedded as they are added."""
        return await asyncio.to_thread(self._store.dense.embeds)

    async def remove(self, paper_ids: Sequence[str]) -> None:
        """Forget papers and everything derived from them."""
        await asyncio.to_thread(self._store.remove, list(paper_ids))

    async def update_status(self, papers: Sequence[Paper]) -> int:
        """Store what was found out about papers: retractions, newer versions, identifiers.

        Of each, `retracted`, `newer`, `venue`, `year` and `identifiers` are taken over where they
        say anything; how many papers that has changed.
        """
        return await asyncio.to_thread(self._update_status, list(papers))

    async def collect(self, name: str, paper_ids: Sequence[str]) -> None:
        """Make papers part of the collection `name`, which is made where there is none."""
        await asyncio.to_thread(self._store.put_into, name, list(paper_ids))

    # Looking up

    async def find(self, key: str) -> Paper | None:
        """The paper known by `key`, its id or another of its keys, or None."""
        return (await self.find_all([key])).get(key)

    async def find_all(self, keys: Sequence[str]) -> dict[str, Paper]:
        """The papers known by `keys`, each under that key."""
        return await asyncio.to_thread(self._store.catalogue.find_all, list(keys))

    async def papers(
        self, ids: Sequence[str] | None = None, *, collection: str = ""
    ) -> list[Paper]:
        """The papers `ids` in that order, without those that are gone; or all, by title."""
        return await asyncio.to_thread(self._store.catalogue.papers, ids, collection=collection)

    async def passages(self, ids: Sequence[str]) -> list[Passage]:
        """The passages `ids` with their text, in that order, without those that are gone.

        One of a text that a fuller one of the same work has replaced is still there.
        """
        return await asyncio.to_thread(self._store.catalogue.passages, ids)

    async def passages_of(self, paper_id: str) -> list[Passage]:
        """All passages of a paper in reading order."""
        return await asyncio.to_thread(self._store.catalogue.passages_of, [paper_id])

    async def collections(self) -> dict[str, int]:
        """How many papers each collection has, by name."""
        return await asyncio.to_thread(self._store.catalogue.collections)

    # References

    async def references_of(self, paper_id: str) -> list[Reference]:
        """The works that a paper cites, in the order of its bibliography."""
        return await asyncio.to_thread(self._store.catalogue.references_of, paper_id)

    async def cites(self, paper_id: str) -> list[Paper]:
        """The papers of the library that a paper cites, in the order of its bibliography."""
        return await asyncio.to_thread(self._store.catalogue.cites, paper_id)

    async def cited_by(self, paper_id: str) -> list[Paper]:
        """The papers of the library that cite a paper, by title."""
        return await asyncio.to_thread(self._store.catalogue.cited_by, paper_id)

    async def citations(self) -> list[tuple[str, str]]:
        """Pairs of ids of papers of the library of which the first cites the second."""
        return await asyncio.to_thread(self._store.catalogue.citations)

    async def atlas(self, used: Sequence[str], most: int = MOST) -> Atlas:
        """What it takes to draw the papers `used` among others, `most` together; see `Atlas`."""
        return await asyncio.to_thread(atlas, self._store, list(used), most)

    # What a model found out

    async def put_facts(self, passage_id: str, facts: Sequence[Fact], *, model: str = "") -> bool:
        """Store the facts that a passage states, in place of those before, for good.

        False where the passage is gone meanwhile, and nothing is stored.
        """
        return await asyncio.to_thread(self._store.enrichment.put_facts, passage_id, facts, model)

    async def put_questions(
        self, passage_id: str, questions: Sequence[str], *, model: str = ""
    ) -> bool:
        """Store the questions that a passage answers. False where it is gone."""
        put = self._store.enrichment.put_questions
        return await asyncio.to_thread(put, passage_id, questions, model)

    async def put_card(self, card: Card, *, model: str = "") -> bool:
        """Store the card of a paper. False where that is gone."""
        return await asyncio.to_thread(self._store.enrichment.put_card, card, model)

    async def facts_of(self, passage_ids: Sequence[str]) -> list[Fact]:
        """The facts of passages, one per different triple, with those that state it."""
        return await asyncio.to_thread(self._store.enrichment.facts_of, passage_ids)

    async def facts(self) -> list[Fact]:
        """All facts, one per different triple, with the passages that state it."""
        return await asyncio.to_thread(self._store.enrichment.all_facts)

    async def facts_about(self, names: Sequence[str]) -> dict[str, list[Fact]]:
        """The facts about each of `names` that has any, by `names` as they are without what
        spellings differ in, as `scholar.library.spelling.fold` has them.
        """
        return await asyncio.to_thread(self._store.enrichment.facts_about, list(names))

    async def names(self) -> list[str]:
        """All that facts are about, without what spellings differ in."""
        return await asyncio.to_thread(self._store.enrichment.names)

    async def questions_of(self, passage_ids: Sequence[str]) -> dict[str, list[str]]:
        """The questions that passages answer, by passage."""
        return await asyncio.to_thread(self._store.enrichment.questions_of, passage_ids)

    async def cards(self, paper_ids: Sequence[str]) -> list[Card]:
        """The cards of papers, of those that have one."""
        return await asyncio.to_thread(self._store.enrichment.cards_of, paper_ids)

    async def passages_without(self, kind: Kind, limit: int, after: str = "") -> list[Passage]:
        """The next `limit` passages by id, after the id `after`, of which no `kind` was made."""
        return await asyncio.to_thread(self._store.enrichment.passages_without, kind, limit, after)

    async def papers_without(self, kind: Kind, limit: int, after: str = "") -> list[str]:
        """The same for papers that have a text, by id."""
        return await asyncio.to_thread(self._store.enrichment.papers_without, kind, limit, after)

    async def lacking(self) -> dict[Kind, int]:
        """How many passages lack facts and questions, and how many papers with text a card."""
        return await asyncio.to_thread(self._store.enrichment.lacking)

    @property
    def revision(self) -> int:
        """A number that grows with every change of papers or of what was made of them."""
        return int(self._store.catalogue.get_meta(REVISION) or 0)

    async def rate(self, passage_ids: Sequence[str], *, helpful: bool) -> int:
        """Keep that passages helped a reader, or did not; how many of them there were.

        The strategy `feedback` ranks by it.
        """
        return await asyncio.to_thread(self._store.feedback.add, passage_ids, helpful)

    async def learn(self, run_id: str, lesson: Lesson, learnt: float) -> None:
        """Keep what a run's searches led to; `learnt` is when, in seconds since 1970."""
        await asyncio.to_thread(self._lessons.put, run_id, lesson, learnt)

    async def lessons(self, question: str, n: int) -> list[Lesson]:
        """What the `n` past questions most like `question` were searched by, the likest first."""
        return await asyncio.to_thread(self._lessons.near, question, n)

    # Searching

    async def search(
        self,
        query: str,
        k: int,
        *,
        filters: Filters | None = None,
        strategy: str = DEFAULT,
        keep: Sequence[str] | None = None,
    ) -> list[Hit]:
        """The `k` passages that fit `query` best, best first; scores are `fused` and its parts.

        `strategy` is as in `strategies`; UsageError names what there is where it is not. The
        strategy `graph` starts from the facts nearest to the query, or of those that are `linked`
        to it from the ones to `keep`; the names in the query are followed in any case.
        """
        return await asyncio.to_thread(self._searcher.search, query, k, filters, strategy, keep)

    async def linked(self, query: str, n: int) -> list[str]:
        """The `n` facts nearest to `query`, as texts, of those that the passages found for it
        state.
        """
        return await asyncio.to_thread(self._searcher.linked, query, n)

    async def siblings(self, question: str, n: int) -> list[tuple[str, str]]:
        """The `n` generated questions nearest to `question`, each with the passage it is about."""
        return await asyncio.to_thread(self._searcher.siblings, question, n)

    async def candidates(
        self,
        background: str,
        entities: Sequence[str],
        most: int = 100,
        *,
        without: Collection[str] = (),
    ) -> list[Candidate]:
        """The `most` papers nearest to a research background, nearest first, found by what they
        say, by the names they share and by who cites them together. `without` are passed over.
        """
        find = self._inspirer.candidates
        return await asyncio.to_thread(find, background, list(entities), most, without)

    async def inspirations(
        self,
        background: str,
        entities: Sequence[str],
        most: int = 10,
        *,
        without: Collection[str] = (),
    ) -> list[Candidate]:
        """The `most` of the candidates to draw ideas from: near, and unlike one another."""
        find = self._inspirer.inspirations
        return await asyncio.to_thread(find, background, list(entities), most, without)

    async def extract(self, query: str, passages: Sequence[Passage], n: int) -> list[Extract]:
        """The `n` sentences of `passages` that answer `query` best, best first."""
        [extracts] = await self.extract_each([query], passages, n)
        return extracts

    async def extract_each(
        self, queries: Sequence[str], passages: Sequence[Passage], n: int
    ) -> list[list[Extract]]:
        """As `extract`, for each of `queries`; every sentence is embedded once for all of them."""
        return await asyncio.to_thread(self._extract_each, list(queries), list(passages), n)

    async def embed(self, texts: Sequence[str]) -> Vectors32 | None:
        """One unit vector per text, shape (len(texts), dimension); None without an embedder."""
        return await asyncio.to_thread(self._store.dense.embed, texts)

    async def warm(self) -> None:
        """Load the embedder and the vectors now, so that the first search does not wait."""
        await asyncio.to_thread(self._store.dense.warm)

    # Looking after it

    async def rebuild(self, on_progress: Callable[[int, int], None] = lambda *_: None) -> Stats:
        """Derive all indexes from the catalogue again, with the embedder the settings choose.

        `on_progress` is told how many papers are done, of how many. Until it is done the indexes
        there are serve on, also where it is cut short.
        """
        await asyncio.to_thread(self._store.rebuild, on_progress)
        return await self.stats()

    async def check(self, *, repair: bool = False) -> list[Finding]:
        """What in the indexes is not as the catalogue says, after mending it with `repair`."""
        return await asyncio.to_thread(check, self._store, repair=repair)

    async def snapshot(self, target: Path) -> None:
        """Write the library as it is now to one file, which `restore` makes a library of."""
        await asyncio.to_thread(snapshot, self._store, target)

    async def stats(self) -> Stats:
        """How much there is."""
        return await asyncio.to_thread(self._stats)

    def close(self) -> None:
        """Let go of the files."""
        self._searcher.close()
        self._store.close()

    # Everything below blocks: it runs in a worker thread.

    def _extract_each(
        self, queries: list[str], passages: list[Passage], n: int
    ) -> list[list[Extract]]:
        spans = [
            (passage, passage.start + start, passage.start + end)
            for passage in passages
            for start, end in sentences(passage.text)
            if _is_sentence(passage.text[start:end])
        ]
        texts = [p.text[start - p.start : end - p.start] for p, start, end in spans]
        found = []
        for scores in self._sentence_scores(queries, [p for p, _, _ in spans], texts):
            ranked = sorted(zip(scores, spans, strict=True), key=lambda pair: -pair[0])
            found.append([Extract(p, start, end, score) for score, (p, start, end) in ranked[:n]])
        return found

    def _sentence_scores(
        self, queries: Sequence[str], passages: Sequence[Passage], texts: Sequence[str]
    ) -> list[list[float]]:
        """For each query the share of its information that each sentence carries, averaged with the
        sentence's cosine.

        A term counts in full where the sentence has it and by half where only the title of its
        paper has it: sentences of a paper on X rarely repeat X.
        """
        all_terms = [self._store.lexical.terms(query) for query in queries]
        if not texts or not any(all_terms):
            return [[0.0] * len(texts) for _ in queries]
        titles = self._store.catalogue.titles(list({passage.paper_id for passage in passages}))
        titled = {id: set(self._store.lexical.terms(title)) for id, title in titles.items()}
        # The paper may be gone since.
        near = [titled.get(passage.paper_id, set()) for passage in passages]
        here = [set(self._store.lexical.terms(text)) for text in texts]
        carried = [self._carried(terms, here, near) for terms in all_terms]
        vectors = self._store.dense.embed([*queries, *texts])
        if vectors is None:
            return carried
        cosines = np.clip(vectors[: len(queries)] @ vectors[len(queries) :].T, 0.0, 1.0)
        return [
            list((np.asarray(shares) + row) / 2) if terms else shares
            for terms, shares, row in zip(all_terms, carried, cosines, strict=True)
        ]

    def _carried(
        self, terms: list[str], here: Sequence[set[str]], near: Sequence[set[str]]
    ) -> list[float]:
        """The share of what `terms` say that each sentence carries, terms of `near` by half."""
        if not terms:
            return [0.0] * len(here)
        idf = self._store.lexical.idf(terms)
        total = sum(idf.values())
        return [
            sum(w * (1.0 if t in own else 0.5 * (t in title)) for t, w in idf.items()) / total
            for own, title in zip(here, near, strict=True)
        ]

    def _update_status(self, told: list[Paper]) -> int:
        known = {paper.id: paper for paper in self._store.catalogue.papers([p.id for p in told])}
        changed = [
            better
            for paper in told
            if paper.id in known and (better := _updated(known[paper.id], paper)) != known[paper.id]
        ]
        if changed:
            self._store.update(changed)
        return len(changed)

    def _stats(self) -> Stats:
        catalogue = self._store.catalogue
        papers, passages = catalogue.counts()
        return Stats(
            papers,
            passages,
            self._store.dense.name,
            self.folder,
            holdings=catalogue.holdings(),
            references=catalogue.count_references(),
            **self._store.enrichment.counts(),
            collections=catalogue.collections(),
            bytes=sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file()),
            revision=self.revision,
        )


def restore(
    settings: Settings,
    source: Path,
    *,
    force: bool = False,
    on_notice: Callable[[str], None] = lambda _: None,
) -> None:
    """Put the library of a snapshot in the place of that of `settings`, which nobody may have open.

    Raises LibraryError where that holds papers and `force` is not given, or `source` is no
    snapshot; then nothing has changed.
    """
    folder = settings.home / "library"
    with _openable(folder):
        put_in_place(folder, source, settings, force=force, notice=on_notice)


def _updated(known: Paper, told: Paper) -> Paper:
    return replace(
        known,
        retracted=told.retracted,
        newer=told.newer or known.newer,
        venue=told.venue or known.venue,
        year=told.year if told.year is not None else known.year,
        identifiers={**known.identifiers, **told.identifiers},
    )


@contextmanager
def _openable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LibraryError(
            f"The library in {folder} cannot be opened ({error}); "
            "make the folder writable or set SCHOLAR_HOME to another one."
        ) from error


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= 4 and text.rstrip("\"'”’)]")[-1:] in tuple(".?!:;")
