"""Whether the indexes say what the catalogue says, and how to make them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from scholar.library.rows import fingerprint
from scholar.library.store import REBUILD_BATCH, Store

Place = Literal["catalogue", "lexical", "vectors"]
Problem = Literal["missing", "surplus", "twice", "wrong", "damaged"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not as it should be: a passage that an index lacks, has although it is gone, has
    twice, or has with another text; or, of the catalogue, what SQLite or the data itself says.
    """

    place: Place
    problem: Problem
    what: str


def check(store: Store, *, repair: bool = False) -> list[Finding]:
    """What is wrong, nothing where all is well. With `repair`, what is still wrong after it.

    Alone, as what another process is just writing would seem wrong.
    """
    with store.writing():
        found = list(_look(store))
        if found and repair:
            _repair(store, found)
            found = list(_look(store))
        return found


def _look(store: Store) -> Iterator[Finding]:
    for problem in store.catalogue.problems():
        yield Finding("catalogue", "damaged", problem)
    wanted: dict[str, tuple[str, str]] = {}
    ids = store.catalogue.ids()
    for at in range(0, len(ids), REBUILD_BATCH):
        for each in store.indexed(ids[at : at + REBUILD_BATCH]):
            wanted[each.passage_id] = each.digest(), fingerprint(each.text)
    words = {id: digest for id, (digest, _) in wanted.items()}
    yield from _compare("lexical", words, store.lexical.digests())
    vectors = store.dense.digests()
    if vectors is not None:
        yield from _compare("vectors", {id: d for id, (_, d) in wanted.items()}, vectors)


def _compare(
    place: Place, wanted: Mapping[str, str], there: Iterable[tuple[str, str]]
) -> Iterator[Finding]:
    seen: Counter[str] = Counter()
    for id, digest in there:
        seen[id] += 1
        if id not in wanted:
            yield Finding(place, "surplus", id)
        elif seen[id] == 2:
            yield Finding(place, "twice", id)
        # A version that kept no digests has written an empty one; that tells nothing.
        elif digest and digest != wanted[id]:
            yield Finding(place, "wrong", id)
    for id in wanted.keys() - seen.keys():
        yield Finding(place, "missing", id)


def _repair(store: Store, found: Iterable[Finding]) -> None:
    wrong = [finding for finding in found if finding.place != "catalogue"]
    with store.lexical.writing() as words:
        words.remove([finding.what for finding in wrong if finding.place == "lexical"])
    store.dense.remove([finding.what for finding in wrong if finding.place == "vectors"])
    owners = store.catalogue.owners([finding.what for finding in wrong])
    store.catalogue.set_state(sorted(set(owners.values())), "stale")
    store.index(sorted(set(owners.values())))
