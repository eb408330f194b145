"""The ways to search a library, each on its own or several together.

A strategy names one ranking or, joined by "+", several that are fused, and what is done to the
result then: `graph`, `hybrid+questions`, `graph+rerank+diverse`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from scholar.errors import UsageError
from scholar.library import asked, knowledge
from scholar.library.asked import Asked
from scholar.library.catalogue import ENRICHED, REVISION
from scholar.library.derived import Derived
from scholar.library.embedding import Vectors32
from scholar.library.feedback import weighed
from scholar.library.filters import Filters
from scholar.library.knowledge import Graph
from scholar.library.ranking import CANDIDATES, Ranking, blend, diverse, fuse, ordered
from scholar.library.relatives import Companions, by_names, closest, companions, names_in, names_of
from scholar.library.rerank import Reranker
from scholar.library.store import Store
from scholar.settings import Settings
from scholar.values import Hit

DEFAULT = "hybrid"
RANKINGS = {
    "bm25": "the words of the query",
    "dense": "the meaning of the query, by the embedder",
    "hybrid": "both, and what is like the best of them",
    "graph": "hybrid, led on by the facts that the passages state",
    "entity": "papers that share rare names with those that fit best",
    "cocitation": "papers that are cited together with those that fit best",
    "questions": "passages of which a generated question is like the query",
}
STAGES = {
    "rerank": "the best read once more by a cross-encoder",
    "diverse": "what says the same spread out",
    "feedback": "what readers called helpful higher, and the rest lower",
}
READ_AGAIN = 50
"""Passages that a cross-encoder reads: 1 to 5 s on two cores with one of 22 million parameters."""
BEST_PAPERS = 5
"""Papers whose names and companions are followed (SciPIP absorbs the entities of its top 5)."""


class Searcher:
    """Searches `store` by any strategy. Safe to use from several threads."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._graph = Derived(store.folder / "graph", knowledge.taken, knowledge.put)
        self._asked = Derived(store.folder / "questions", asked.taken, asked.put)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="scholar-words")
        self._reranker: Reranker | None = None
        self._companions: tuple[str, Companions] = ("", {})

    def search(
        self,
        query: str,
        k: int,
        filters: Filters | None = None,
        strategy: str = DEFAULT,
        keep: Sequence[str] | None = None,
    ) -> list[Hit]:
        """The `k` passages that fit `query` best, best first; scores are `fused` and its parts.

        `keep` are the triples that `graph` starts from, of those that are `linked` to the query.
        Raises UsageError where `strategy` names what is not there, or needs what is not set.
        """
        rankings, stages = parse(strategy)
        if "rerank" in stages and not self._settings.reranker:
            raise UsageError(
                "No cross-encoder is set to rerank by; set reranker to the folder of one."
            )
        if not query.strip():
            return []
        self._store.follow()
        one = _Search(self, query, max(k, CANDIDATES), filters, keep)
        found = {name: one.by(name) for name in rankings}
        best = next(iter(found.values()))
        if len(found) > 1:
            best = fuse(found, dict.fromkeys(found, 1 / len(found)))
        for stage in stages:
            best = one.staged(stage, best)
        return one.hits(best[:k])

    def linked(self, query: str, n: int) -> list[str]:
        """The `n` triples nearest to `query`, of those that the passages found for it state."""
        if not query.strip():
            return []
        self._store.follow()
        return _Search(self, query, CANDIDATES, None).linked(n)

    def close(self) -> None:
        """Let go of the threads."""
        self._beside.shutdown()

    def reranker(self) -> Reranker:
        """The cross-encoder that the settings name."""
        self._reranker = self._reranker or Reranker(self._settings.reranker)
        return self._reranker

    def graph(self) -> Graph:
        """What the passages state, as a graph; made anew where that has changed."""
        return self._graph.at(
            *self._enriched(),
            lambda former: Graph.build(
                self._store.enrichment.all_facts(), self._store.dense.embed, former
            ),
        )

    def asked(self) -> Asked:
        """The questions that were made of the passages; read anew where they have changed."""
        return self._asked.at(
            *self._enriched(),
            lambda former: Asked.build(
                self._store.enrichment.all_questions(), self._store.dense.embed, former
            ),
        )

    def _enriched(self) -> tuple[str, str]:
        return self._store.catalogue.get_meta(ENRICHED) or "", self._store.dense.name

    def siblings(self, question: str, n: int) -> list[tuple[str, str]]:
        """The `n` generated questions nearest to `question`, each with the passage it is about."""
        self._store.follow()
        vector = self._store.dense.embed([question])
        return [] if vector is None else self.asked().nearest(vector[0], n)

    def companions(self) -> Companions:
        """How often papers are cited together, by paper."""
        state = self._store.catalogue.get_meta(REVISION) or ""
        if self._companions[0] != state:
            self._companions = (state, companions(self._store.catalogue.citations()))
        return self._companions[1]


class _Search:
    """One query, and what it found so far."""

    def __init__(
        self,
        owner: Searcher,
        query: str,
        depth: int,
        filters: Filters | None,
        keep: Sequence[str] | None = None,
    ) -> None:
        self._owner = owner
        self._store = owner._store
        self._query = query
        self._depth = depth
        self._filters = filters
        self._keep = keep
        self._parts: dict[str, Mapping[str, float]] = {}

    def by(self, name: str) -> Ranking:
        """The ranking called `name`; its scores are kept."""
        ways: dict[str, Callable[[], Ranking]] = {
            "bm25": lambda: self._words,
            "dense": lambda: self._near or [],
            "hybrid": lambda: self._hybrid,
            "graph": self._graph,
            "entity": self._entity,
            "cocitation": self._cocitation,
            "questions": self._questions,
        }
        ranking = ways[name]()
        self._parts.setdefault(name, dict(ranking))
        return ranking

    def staged(self, stage: str, ranking: Ranking) -> Ranking:
        """`ranking` after one of STAGES."""
        ways = {"rerank": self.rerank, "diverse": self.diverse, "feedback": self.by_feedback}
        return ways[stage](ranking)

    def by_feedback(self, ranking: Ranking) -> Ranking:
        """`ranking` with what readers said of its passages taken into account."""
        return weighed(ranking, self._store.feedback.standing([id for id, _ in ranking]))

    def rerank(self, ranking: Ranking) -> Ranking:
        """`ranking` with its first READ_AGAIN in the order of a cross-encoder."""
        passages = self._store.catalogue.passages([id for id, _ in ranking[:READ_AGAIN]])
        titles = self._store.catalogue.titles([passage.paper_id for passage in passages])
        texts = [f"{titles[passage.paper_id]}\n{passage.text}" for passage in passages]
        scores = self._owner.reranker().score(self._query, texts)
        read = {p.id: score for p, score in zip(passages, scores, strict=True)}
        self._parts["rerank"] = read
        rest = [pair for pair in ranking if pair[0] not in read]
        return [*ordered(read), *rest]

    def diverse(self, ranking: Ranking) -> Ranking:
        """`ranking` with what says the same spread out."""
        return diverse(ranking, self._store.dense.by_id([id for id, _ in ranking]))

    def hits(self, ranking: Ranking) -> list[Hit]:
        """`ranking` with the papers and the scores of its parts, without what is gone."""
        owners = self._store.catalogue.owners([id for id, _ in ranking])
        return [
            Hit(id, owners[id], {"fused": score} | self._scores(id))
            for id, score in ranking
            if id in owners
        ]

    def _scores(self, id: str) -> dict[str, float]:
        return {name: part[id] for name, part in self._parts.items() if id in part}

    @cached_property
    def _vector(self) -> Vectors32 | None:
        vectors = self._store.dense.embed([self._query])
        return None if vectors is None else vectors[0]

    @cached_property
    def _words(self) -> Ranking:
        return self._store.by_words(self._query, self._depth, self._filters)

    @cached_property
    def _near(self) -> Ranking | None:
        vector = self._vector
        return (
            None if vector is None else self._store.by_meaning(vector, self._depth, self._filters)
        )

    @cached_property
    def _hybrid(self) -> Ranking:
        # Both indexes are searched at once; neither holds the interpreter.
        lexical = self._store.lexical
        waiting = self._owner._beside.submit(lambda: (self._words, lexical.most(self._query)))
        near, vector = self._near, self._vector
        words, most = waiting.result()
        self._parts["bm25"] = dict(words)
        if near is None or vector is None:
            return fuse({"bm25": words}, {"bm25": 1.0})
        self._parts["dense"] = dict(near)
        ids, table = self._store.dense.vectors_of([id for id, _ in (*near, *words)])
        return blend(words, near, vector, ids, table, most)

    def linked(self, n: int) -> list[str]:
        """The `n` triples nearest to the query, of those that what it finds states."""
        return self._owner.graph().linked(self._query, self._vector, self._hybrid, n)

    def _graph(self) -> Ranking:
        # What the graph finds is filtered after it, so more is asked for.
        most = self._depth * (10 if self._filters else 1)
        found = self._owner.graph().rank(self._query, self._vector, self._hybrid, most, self._keep)
        allowed = self._permitted([id for id, _ in found])
        return [pair for pair in found if pair[0] in allowed][: self._depth] or self._hybrid

    def _entity(self) -> Ranking:
        enrichment = self._store.enrichment
        names = [*names_in(self._query), *names_of(enrichment, self._best_papers())]
        return self._passages_of(by_names(enrichment, names))

    def _cocitation(self) -> Ranking:
        return self._passages_of(closest(self._owner.companions(), self._best_papers()))

    def _questions(self) -> Ranking:
        if self._vector is None:
            return []
        found = self._owner.asked().rank(self._vector)
        allowed = self._permitted([id for id, _ in found])
        return [pair for pair in found if pair[0] in allowed][: self._depth]

    def _best_papers(self) -> list[str]:
        owners = self._store.catalogue.owners([id for id, _ in self._hybrid])
        papers = (owners[id] for id, _ in self._hybrid if id in owners)
        return list(dict.fromkeys(papers))[:BEST_PAPERS]

    def _passages_of(self, papers: Sequence[str]) -> Ranking:
        """The passages of `papers`, nearest to the query first; without an embedder by words."""
        ids = [passage.id for passage in self._store.catalogue.passages_of(papers)]
        allowed = self._permitted(ids)
        ids = [id for id in ids if id in allowed]
        if self._vector is None:
            known = dict(self._words)
            return ordered({id: known.get(id, 0.0) for id in ids})[: self._depth]
        vectors = self._store.dense.by_id(ids)
        return ordered({id: float(v @ self._vector) for id, v in vectors.items() if id in allowed})[
            : self._depth
        ]

    def _permitted(self, ids: Iterable[str]) -> set[str]:
        wanted = list(ids)
        if not self._filters or not wanted:
            return set(wanted)
        return set(self._store.lexical.passing(self._filters, len(wanted), wanted))


def parse(strategy: str) -> tuple[list[str], list[str]]:
    """The rankings and the stages that `strategy` names; `hybrid` where it names stages alone."""
    named = [name.strip() for name in strategy.split("+")]
    for name in named:
        if name not in RANKINGS and name not in STAGES:
            known = ", ".join([*RANKINGS, *STAGES])
            raise UsageError(
                f"No strategy is called '{name}'; use one of {known}, or several joined by +."
            )
    rankings = list(dict.fromkeys(name for name in named if name in RANKINGS))
    return rankings or [DEFAULT], [name for name in named if name in STAGES]
