"""The dense half of the library: its embedder and its vectors, and when they may be used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scholar.errors import SettingsError
from scholar.library import embedding
from scholar.library.catalogue import Catalogue
from scholar.library.embedding import Choice, Embedder, Vectors32
from scholar.library.ranking import Ranking
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


class Dense:
    """Vectors in `folder` by the embedder that the catalogue remembers.

    The embedder loads with the first use. Where it is not at hand, or the library has none,
    everything here finds nothing and `notice` is told why. Safe to use from several threads.
    """

    def __init__(
        self,
        folder: Path,
        catalogue: Catalogue,
        settings: Settings,
        notice: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._settings = settings
        self._notice = notice
        self._lock = threading.RLock()
        self._settled = False
        self._embedder: Embedder | None = None
        self._built_with: str | None = None
        self._vectors: Vectors | None = None
        self._written = catalogue.get_meta(_WRITTEN)

    @property
    def name(self) -> str:
        """The embedder this library was built with; `none` for BM25 alone."""
        return self._catalogue.get_meta(_BUILT_WITH) or "none"

    def warm(self) -> None:
        """Load the embedder and the vectors now."""
        with self._lock:
            if self._find_embedder() is not None:
                self._open()

    def embed(self, texts: Sequence[str]) -> Vectors32 | None:
        """One unit vector per text, shape (len(texts), dimension); None without an embedder."""
        embedder = self._find_embedder()
        return None if embedder is None else embedder.embed(texts)

    def search(self, query: str, k: int) -> Ranking | None:
        """The `k` passages nearest to `query` with their cosines; None without an embedder."""
        self.follow()
        vectors = self.embed([query])
        if vectors is None:
            return None
        with self._lock:
            return self._open().search(vectors[0], k)

    def write(
        self, paper_ids: Sequence[str], passages: Sequence[Passage], texts: Sequence[str]
    ) -> None:
        """Replace the vectors of the papers `paper_ids` by those of `passages`, made of `texts`."""
        self.remove(paper_ids)
        vectors = self.embed(texts)
        if vectors is not None:
            with self._lock:
                self._open().write(passages, vectors)
        elif self.name != "none":
            self._catalogue.set_meta(_UNEMBEDDED, "yes")

    def remove(self, paper_ids: Sequence[str]) -> None:
        """Drop the vectors of the papers `paper_ids`, also where their embedder is not at hand."""
        with self._lock:
            if self._vectors is not None or self._folder.exists():
                self._open().remove(paper_ids)

    def choose_anew(self) -> Callable[[], None]:
        """Load the embedder that the settings choose now; what is returned then puts it in place.

        In two steps, so that an embedder that cannot be had raises before anything is dropped.
        """
        choice = self._choose(fetch=True)
        embedder = _load(choice)

        def put_in_place() -> None:
            with self._lock:
                if self._vectors is not None or self._folder.exists():
                    self._open().clear()
                self._catalogue.set_meta(_UNEMBEDDED, "")
                self._settle(choice.name, embedder)

        return put_in_place

    def follow(self) -> None:
        """Let go of what another process has changed since: Chroma never looks again by itself."""
        with self._lock:
            written = self._catalogue.get_meta(_WRITTEN)
            if written == self._written:
                return
            self._close()
            if self._catalogue.get_meta(_BUILT_WITH) != self._built_with:
                self._settled = False
            self._written = written

    def has_written(self) -> None:
        """Let other processes know that there is something new."""
        with self._lock:
            self._written = str(int(self._written or 0) + 1)
            self._catalogue.set_meta(_WRITTEN, self._written)

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._vectors is not None:
            self._vectors.close()
            self._vectors = None

    def _open(self) -> Vectors:
        if self._vectors is None:
            from scholar.library.vectors import Vectors

            self._vectors = Vectors(self._folder)
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

    def _settle(self, name: str, embedder: Embedder | None) -> None:
        self._catalogue.set_meta(_BUILT_WITH, name)
        self._catalogue.set_meta(_OFFERED, "")
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
        if self._catalogue.get_meta(_OFFERED):
            return
        try:
            choice = self._choose(fetch=False)
        except SettingsError as error:
            self._notice(str(error))
            return
        if choice.load is not None:
            self._catalogue.set_meta(_OFFERED, choice.name)
            self._notice(
                f"This library is searched by BM25 alone and {choice.name} is at hand now; "
                "to search by meaning too: scholar library rebuild."
            )


def _load(choice: Choice) -> Embedder | None:
    return choice.load() if choice.load else None
