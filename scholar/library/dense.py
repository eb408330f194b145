"""The dense half of the library: its embedder and its vectors, and when they may be used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scholar.errors import SettingsError
from scholar.library import embedding
from scholar.library.catalogue import Catalogue
from scholar.library.embedding import Choice, Embedder, Vectors32
from scholar.library.filters import Filters
from scholar.library.kept import Kept
from scholar.library.ranking import Ranking
from scholar.library.rows import fingerprint
from scholar.library.single import one_thread
from scholar.library.table import Table
from scholar.settings import Settings
from scholar.values import Passage

if TYPE_CHECKING:
    from scholar.library.vectors import Vectors

_BUILT_WITH = "embedder"
"""What the catalogue remembers of the embedder, `none` for BM25 alone."""
_OFFERED = "offered"
"""What the catalogue remembers where a better embedder was pointed out: that is done once."""
_WRITTEN = "written"
"""What the catalogue remembers to count writes by, so that other processes notice them."""
_UNEMBEDDED = "unembedded"
"""What the catalogue remembers where papers lack vectors that the others have."""
_PLACE = "vectors"
"""What the catalogue remembers of where they lie, since a rebuild puts them elsewhere."""
PLACES_ANEW = {_PLACE: "chroma", _UNEMBEDDED: ""}
"""What it remembers where there are none yet."""
BROAD = 0.05
"""Share of the passages from which on filtered vectors are sought by looking at more of them: of
100,000, looking at 2,000 takes 17 ms, and a search among a named twentieth about as long."""
EXACT = 5_000
"""Passages whose vectors are rather compared one by one than looked for in the graph: of 100,000, a
search for 100 takes 15 to 60 ms among so few by the graph each time, and longest among the fewest;
to fetch 2,500 takes 50 ms once."""
SETS = 4
"""Sets of so few that are kept, with their vectors: 30 MB at most."""
SPARE = 1.5
"""How many times more are looked at than should do, since what is near may well pass less often."""
_NO_VECTORS: Vectors32 = np.zeros((0, 0), np.float32)


class Allowed(Protocol):
    """Which passages may be found."""

    filters: Filters
    """By what they are told."""
    share: float
    """How many of all, 0 to 1."""

    def all(self) -> Sequence[str]:
        """The ids of those that may."""
        ...

    def among(self, ids: Sequence[str]) -> Collection[str]:
        """Which of `ids` may."""
        ...


@dataclass(frozen=True, slots=True)
class _Few:
    """The passages that filters let pass, and their vectors row by row unless they are many."""

    ids: Sequence[str]
    table: Vectors32 | None


class Dense:
    """Vectors in a folder of `home` by the embedder that the catalogue remembers.

    The embedder loads with the first use. Where it is not at hand, or the library has none,
    everything here finds nothing and `notice` is told why. Safe to use from several threads.
    """

    def __init__(
        self,
        home: Path,
        catalogue: Catalogue,
        settings: Settings,
        notice: Callable[[str], None],
    ) -> None:
        self._home = home
        self._catalogue = catalogue
        self._settings = settings
        self._notice = notice
        self._lock = threading.RLock()
        self._settled = False
        self._embedder: Embedder | None = None
        self._built_with: str | None = None
        self._vectors: Vectors | None = None
        self._kept = Kept(catalogue)
        self._written = catalogue.get_meta(_WRITTEN)
        self._narrow: dict[Filters, _Few] = {}
        self._narrow_of = self._written

    @property
    def name(self) -> str:
        """The embedder this library was built with; `none` for BM25 alone."""
        return self._catalogue.get_meta(_BUILT_WITH) or "none"

    @property
    def folder(self) -> Path:
        """Where the vectors lie."""
        return self._home / (self._catalogue.get_meta(_PLACE) or "chroma")

    def warm(self) -> None:
        """Load the embedder and the vectors now."""
        with self._lock:
            if self._find_embedder() is not None:
                self._open()

    def embeds(self) -> bool:
        """Whether there is an embedder; it is loaded now."""
        return self._find_embedder() is not None

    def embed(self, texts: Sequence[str]) -> Vectors32 | None:
        """One unit vector per text, shape (len(texts), dimension); None without an embedder."""
        embedder = self._find_embedder()
        return None if embedder is None else embedder.embed(texts)

    def search(self, query: str, k: int, allowed: Allowed | None = None) -> Ranking | None:
        """The `k` passages nearest to `query` with their cosines; None without an embedder."""
        vectors = self.embed([query])
        return None if vectors is None else self.nearest(vectors[0], k, allowed)

    def nearest(self, vector: Vectors32, k: int, allowed: Allowed | None = None) -> Ranking:
        """The `k` passages nearest to `vector` with their cosines, best first."""
        with self._lock:
            vectors = self._open()
            if vectors is None:
                return []
            if allowed is None:
                return vectors.search(vector, k)
            found = _filtered(vectors, vector, k, allowed) if allowed.share >= BROAD else None
        if found is not None:
            return found
        these = self._few(allowed)
        if these.table is not None:
            return _exact(these.ids, these.table, vector, k)
        with self._lock:
            return vectors.search(vector, k, these.ids)

    def by_id(self, ids: Iterable[str]) -> dict[str, Vectors32]:
        """The vectors of those of the passages `ids` that have one."""
        return dict(zip(*self.vectors_of(list(ids)), strict=True))

    def vectors_of(self, ids: Sequence[str]) -> tuple[list[str], Vectors32]:
        """Those of the passages `ids`, each once, that have a vector, and these row by row."""
        with self._lock:
            vectors = self._open()
        wanted = list(dict.fromkeys(ids))
        found, table = vectors.table.of(wanted) if vectors else ([], _NO_VECTORS)
        if len(found) == len(wanted):
            return found, table
        # An older version has not written them there, or an embedder is not at hand.
        there = set(found)
        known = self._built_with if self._settled else None  # what `follow` keeps up to date
        rest = self._kept.of(known or self.name, [id for id in wanted if id not in there])
        if not rest:
            return found, table
        more = np.stack(list(rest.values()))
        return [*found, *rest], np.concatenate((table, more)) if found else more

    def catch_up(self) -> None:
        """Write what an older version has not: the vectors as a table."""
        with self._lock:
            if Table(self.folder) or (vectors := self._open()) is None:
                return
            for ids, digests, rows in self._kept.all(self.name):
                vectors.table.write(ids, digests, rows)

    def write(
        self,
        paper_ids: Sequence[str],
        passages: Sequence[Passage],
        texts: Sequence[str],
        encoded: Mapping[str, Vectors32],
        *,
        new: bool,
    ) -> None:
        """Let the papers `paper_ids` have the vectors of `passages`, made of `texts`, and no other.

        What is there and right is left alone, and nothing is looked up of papers that are `new`.
        Vectors that were made before are taken from `encoded`, by text.
        """
        there = {} if new else self._digests_in(paper_ids)
        wanted = {passage.id for passage in passages}
        todo = [n for n, p in enumerate(passages) if there.get(p.id) != fingerprint(texts[n])]
        lacking, their = [passages[n] for n in todo], [texts[n] for n in todo]
        embedder = self._find_embedder() if todo else None
        vectors = self.make(embedder, lacking, their, encoded, new=new) if embedder else None
        with self._lock:
            wrong = [passage.id for passage in lacking if passage.id in there]
            self.remove([*(there.keys() - wanted), *wrong])
            if vectors is not None:
                self._make().write(lacking, their, vectors)
            elif lacking and self.name != "none":
                self._catalogue.set_meta(**{_UNEMBEDDED: "yes"})

    def forget(self, paper_ids: Sequence[str]) -> None:
        """Drop the vectors of the papers `paper_ids`, also where their embedder is not at hand."""
        self.remove(list(self._digests_in(paper_ids)))

    def remove(self, ids: Sequence[str]) -> None:
        """Drop the vectors of the passages `ids`."""
        with self._lock:
            if ids and (vectors := self._open()) is not None:
                vectors.remove(ids)

    def digests(self) -> list[tuple[str, str]] | None:
        """The digest of what each passage's vector was made of; None where there are no vectors."""
        with self._lock:
            if self.name == "none":
                return None
            vectors = self._open()
            return list(vectors.digests()) if vectors else []

    def choose_anew(self) -> tuple[str, Embedder | None]:
        """The embedder that the settings choose now, loaded, and its name."""
        choice = self._choose(fetch=True)
        return choice.name, _load(choice)

    def make(
        self,
        embedder: Embedder,
        passages: Sequence[Passage],
        texts: Sequence[str],
        encoded: Mapping[str, Vectors32] = MappingProxyType({}),
        *,
        new: bool = False,
    ) -> Vectors32:
        """The vectors of `texts` by `embedder`, each made once and kept with its passage.

        None is looked for where the passages are `new`.
        """
        digests = [fingerprint(text) for text in texts]
        named = dict(zip((passage.id for passage in passages), digests, strict=True))
        known = {} if new else self._kept.made_of(embedder.name, named)
        known |= {fingerprint(text): vector for text, vector in encoded.items()}
        unknown = {d: text for d, text in zip(digests, texts, strict=True) if d not in known}
        if unknown:
            made = embedder.embed(list(unknown.values()))
            known |= zip(unknown, made, strict=True)
        vectors = np.stack([known[digest] for digest in digests])
        self._kept.put(embedder.name, list(named), digests, vectors)
        return vectors

    def begin(self, place: str) -> Vectors:
        """Vectors to be made at `place`, which nobody uses yet."""
        from scholar.library.vectors import Vectors

        return Vectors(self._home / place)

    def adopt(self, name: str, embedder: Embedder | None, place: str, **more: str) -> None:
        """From now on use the vectors at `place`, which `embedder` made, and remember `more`."""
        with self._lock:
            self._close()
            self._settle(name, embedder, **{_PLACE: place, _UNEMBEDDED: ""}, **more)

    def follow(self) -> bool:
        """Let go of what another process has changed since: Chroma never looks again by itself.

        Whether there was anything.
        """
        with self._lock:
            written = self._catalogue.get_meta(_WRITTEN)
            if written == self._written:
                return False
            self._close()
            if self._catalogue.get_meta(_BUILT_WITH) != self._built_with:
                self._settled = False
            self._written = written
            return True

    def has_written(self) -> None:
        """Let other processes know that there is something new."""
        with self._lock:
            self._written = self._catalogue.count_up(_WRITTEN)

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            self._close()

    def _few(self, allowed: Allowed) -> _Few:
        """Those that are allowed; looked up once, as the next query often has the same filters."""
        with self._lock:
            if self._narrow_of != self._written:
                self._narrow, self._narrow_of = {}, self._written
            if allowed.filters not in self._narrow:
                if len(self._narrow) >= SETS:
                    del self._narrow[next(iter(self._narrow))]
                ids = allowed.all()
                few = self.vectors_of(ids) if len(ids) <= EXACT else None
                self._narrow[allowed.filters] = _Few(*few) if few and few[0] else _Few(ids, None)
            return self._narrow[allowed.filters]

    def _close(self) -> None:
        if self._vectors is not None:
            self._vectors.close()
            self._vectors = None

    def _digests_in(self, paper_ids: Sequence[str]) -> dict[str, str]:
        with self._lock:
            vectors = self._open()
            return vectors.digests_in(paper_ids) if vectors and paper_ids else {}

    def _open(self) -> Vectors | None:
        """The vectors; None where none were made yet, since only a writer may make them."""
        return self._make() if self._vectors or (self.folder / "chroma.sqlite3").exists() else None

    def _make(self) -> Vectors:
        if self._vectors is None:
            from scholar.library.vectors import Vectors

            self._vectors = Vectors(self.folder)
        return self._vectors

    def _find_embedder(self) -> Embedder | None:
        with self._lock:
            if not self._settled:
                self._load_embedder()
            return self._embedder

    def _load_embedder(self) -> None:
        built_with = self._catalogue.get_meta(_BUILT_WITH)
        if built_with == "none":
            self._offer_more()
            self._remember(built_with, None)
            return
        # What is not at hand is fetched for a new library or a rebuild, and never waited for again.
        choice = self._choose(fetch=built_with is None)
        if built_with is None:
            self._settle(choice.name, _load(choice))
        elif choice.load is None or choice.name != built_with:
            self._notice(
                f"This library was embedded by {built_with}, which the settings now replace by "
                f"{choice.name}: searching by BM25 alone. "
                "To embed it anew: scholar library rebuild."
            )
            self._remember(built_with, None)
        else:
            if self._catalogue.get_meta(_UNEMBEDDED):
                self._notice(
                    "Some papers were added while the embedder was not at hand and are found by "
                    "their words alone; to embed them too: scholar library rebuild."
                )
            self._remember(built_with, choice.load())

    def _settle(self, name: str, embedder: Embedder | None, **more: str) -> None:
        self._catalogue.set_meta(**{_BUILT_WITH: name, _OFFERED: "", **more})
        if embedder is None and self._settings.embedder != "none":
            self._notice(
                "Searching by words alone (BM25): no embedding model is at hand. To search by "
                f"meaning too: {embedding.TURN_ON} && scholar library rebuild."
            )
        self._remember(name, embedder)

    def _remember(self, name: str, embedder: Embedder | None) -> None:
        self._embedder = embedder
        self._built_with = name
        self._settled = True

    def _choose(self, *, fetch: bool) -> Choice:
        known = self._settings
        return embedding.choose(
            known.embedder, offline=known.offline, fetch=fetch, notice=self._notice
        )

    def _offer_more(self) -> None:
        if self._catalogue.read_only or self._catalogue.get_meta(_OFFERED):
            return
        try:
            choice = self._choose(fetch=False)
        except SettingsError as error:
            self._notice(str(error))
            return
        if choice.load is not None:
            self._catalogue.set_meta(**{_OFFERED: choice.name})
            self._notice(
                f"This library is searched by BM25 alone and {choice.name} is at hand now; "
                "to search by meaning too: scholar library rebuild."
            )


def _load(choice: Choice) -> Embedder | None:
    return choice.load() if choice.load else None


def _filtered(
    vectors: Vectors, vector: Vectors32, k: int, allowed: Allowed
) -> list[tuple[str, float]] | None:
    """The nearest of the many that are allowed; None where those near are hardly among them."""
    most = vectors.count()
    depth = min(most, int(k / allowed.share * SPARE))
    near = vectors.search(vector, depth)
    passing = set(allowed.among([id for id, _ in near]))
    found = [(id, score) for id, score in near if id in passing][:k]
    return found if len(found) == k or depth == most else None


def _exact(
    ids: Sequence[str], table: Vectors32, vector: Vectors32, k: int
) -> list[tuple[str, float]]:
    with one_thread():
        cosines = table @ vector
    best = np.argsort(-cosines, kind="stable")[:k]
    return [(ids[at], float(cosines[at])) for at in best]
