"""Recall of the works that a paper cites, given the background it starts from and nothing else.

`backgrounds.jsonl` has `_id`, `background`, `cited` (ids) and where they are known `entities`.
`corpus.jsonl` beside it has `_id`, `title`, `text`, and where they are known `references` (ids of
the corpus) and `entities`; without it the user's own library is searched, and ids are such as name
a paper there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from scholar.errors import UsageError
from scholar.evaluation.keeping import Progress, kept_library, numbered
from scholar.evaluation.metrics import Estimate, Part, estimated
from scholar.evaluation.rows import Row, rows
from scholar.library import Entry, Library
from scholar.settings import Settings
from scholar.values import Card, Reference

FILE, CORPUS = "backgrounds.jsonl", "corpus.jsonl"
DEPTHS = (10, 20, 50, 100)
"""Papers looked at; SciPIP reports 10 to 150."""


@dataclass(frozen=True, slots=True)
class Background:
    """What a paper starts from, what that is about, and the works it cites, by id."""

    id: str
    text: str
    cited: frozenset[str]
    entities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of the cited papers that are among the first so many, `ideas` as candidates for
    ideas and `search` as a plain search finds them, by depth; `notes` say what is left out.
    """

    ideas: Mapping[int, Estimate]
    search: Mapping[int, Estimate]
    papers: int
    documents: int
    notes: tuple[str, ...] = ()


def read(folder: Path) -> list[Background]:
    """The backgrounds of a folder; UsageError says which line cannot be used."""
    path = folder / FILE
    return [
        Background(
            row["_id"],
            row["background"],
            frozenset(_names(row, "cited", path)) - {row["_id"]},
            _names(row, "entities", path),
        )
        for row in rows(path, "_id", "background")
    ]


async def recall(
    folder: Path,
    settings: Settings,
    out: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    on_notice: Callable[[str], None] = lambda _: None,
    on_progress: Progress = lambda *_: None,
) -> Recall:
    """Recall over the backgrounds in `folder`, the first `limit` of them.

    None of the papers that are asked for is ever in the library it is asked of.
    """
    asked = read(folder)
    async with _shelf(folder, asked, settings, out, on_notice, on_progress) as (library, ids):
        usable = [one for one in asked if any(id in ids for id in one.cited)][:limit]
        if not usable:
            raise UsageError(
                f"No work that {folder / FILE} has as cited is there to be found; "
                f"put {CORPUS} beside it, or add the works to the library."
            )
        found: dict[str, dict[int, list[Part]]] = {way: {k: [] for k in DEPTHS} for way in _WAYS}
        for n, one in enumerate(usable):
            on_progress("Searching", n, len(usable))
            wanted = {ids[id] for id in one.cited if id in ids}
            without = {ids[one.id]} if one.id in ids else set()
            for way, find in _WAYS.items():
                ranked = await find(library, one, without)
                for k, parts in found[way].items():
                    parts.append(Part(one.id, len(wanted & set(ranked[:k])) / len(wanted)))
        papers = (await library.stats()).papers
    cited = {id for one in asked for id in one.cited}
    absent = len(cited - ids.keys())
    notes = [f"{absent} of {len(cited)} cited works are not there to be found."] if absent else []
    if left_out := sum(not any(id in ids for id in one.cited) for one in asked):
        notes.append(f"{left_out} papers of which no cited work is there are left out.")
    by_way = {
        way: {k: estimated(parts, seed) for k, parts in depths.items()}
        for way, depths in found.items()
    }
    return Recall(by_way["ideas"], by_way["search"], len(usable), papers, tuple(notes))


async def _candidates(library: Library, one: Background, without: set[str]) -> list[str]:
    found = await library.candidates(one.text, one.entities, max(DEPTHS), without=without)
    return [each.paper_id for each in found]


async def _searched(library: Library, one: Background, without: set[str]) -> list[str]:
    stats = await library.stats()
    depth = max(DEPTHS) * max(1, stats.passages // max(1, stats.papers))
    hits = await library.search(one.text, depth)
    return list(dict.fromkeys(hit.paper_id for hit in hits if hit.paper_id not in without))


_WAYS = {"ideas": _candidates, "search": _searched}


@asynccontextmanager
async def _shelf(
    folder: Path,
    asked: Sequence[Background],
    settings: Settings,
    out: Path,
    on_notice: Callable[[str], None],
    on_progress: Progress,
) -> AsyncIterator[tuple[Library, dict[str, str]]]:
    """The library that is searched, and its papers by the ids that the folder has."""
    if not (folder / CORPUS).is_file():
        library = Library(settings, on_notice=on_notice)
        try:
            known = await library.find_all([id for one in asked for id in (one.id, *one.cited)])
            yield library, {key: paper.id for key, paper in known.items()}
        finally:
            library.close()
        return
    own = {one.id for one in asked}
    documents = [row for row in rows(folder / CORPUS, "_id", "text") if row["_id"] not in own]
    path = folder / CORPUS
    entries = [_entry(n, row, path) for n, row in enumerate(documents)]
    ids = {row["_id"]: entry.paper.id for row, entry in zip(documents, entries, strict=True)}
    shelf = kept_library(out, documents, entries, settings, on_notice, on_progress)
    async with shelf as library:
        named = {ids[row["_id"]]: _names(row, "entities", path) for row in documents}
        there = {card.paper_id for card in await library.cards(list(named))}
        for id, names in named.items():
            if names and id not in there:
                await library.put_card(Card(id, "", "", entities=names))
        yield library, ids


def _entry(number: int, row: Row, path: Path) -> Entry:
    title = str(row.get("title") or "")
    references = tuple(
        Reference(id, identifiers=_identifiers(id)) for id in _names(row, "references", path)
    )
    text = row["text"] if row["text"].strip() else title
    return numbered(number, title, text, _identifiers(row["_id"]), references)


def _identifiers(id: str) -> dict[str, str]:
    """By this the references of a throwaway library find their papers, whatever ids the set has."""
    return {"doi": f"10.0000/eval.{id}"}


def _names(row: Row, name: str, path: Path) -> tuple[str, ...]:
    values = row.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UsageError(
            f"{path}: '{row['_id']}' has something else than a list of texts under '{name}'; "
            "correct it."
        )
    return tuple(dict.fromkeys(values))
