"""Which of the papers to be added are works that are there already, and what becomes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from scholar.library import identity, spelling
from scholar.library.catalogue import Catalogue, Entry
from scholar.values import Paper, Passage

Fate = Literal["added", "present"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an entry: `added` where its text is in the library now.

    `detail` says which work it was found to be, where that is not plain from its id.
    """

    paper: Paper
    fate: Fate
    detail: str = ""


@dataclass(slots=True)
class _Work:
    """A work as it will be; `entry` is None as long as what is stored of it need not change."""

    paper: Paper
    stored: bool
    entry: Entry | None = None
    gone: list[str] = field(default_factory=list)
    within: _Work | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write: `entries`, each in place of the papers named for its id in `united`."""

    entries: list[Entry]
    united: dict[str, list[str]]
    outcomes: list[Outcome]


def plan(catalogue: Catalogue, entries: Sequence[Entry]) -> Plan:
    """What adding `entries` to `catalogue` comes to. Nothing is written."""
    works = _Works(catalogue, entries)
    taken: dict[int, tuple[_Work, Fate, str]] = {}
    # The fullest first, so that of several in one go the others find it there.
    order = sorted(range(len(entries)), key=lambda n: _fullness(entries[n].paper), reverse=True)
    for n in order:
        taken[n] = works.take(entries[n])
    changed = works.changed()
    return Plan(
        [work.entry for work in changed if work.entry is not None],
        {work.paper.id: work.gone for work in changed if work.stored or work.gone},
        [_outcome(*taken[n]) for n in range(len(entries))],
    )


class _Works:
    """The works that may be meant, those of the catalogue and those of the entries so far."""

    def __init__(self, catalogue: Catalogue, entries: Sequence[Entry]) -> None:
        self._catalogue = catalogue
        self._works: dict[str, _Work] = {}
        self._keys: dict[str, str] = {}
        self._blocks: dict[str, list[tuple[str, str]]] = {}
        wanted = dict.fromkeys(key for entry in entries for key in _keys(entry))
        for key, paper in catalogue.find_all(wanted).items():
            self._keys[key] = self._know(paper).paper.id
        blocked = [entry.paper.title for entry in entries if entry.paper.holds != "note"]
        found = catalogue.in_blocks(
            dict.fromkeys(b for t in blocked for b in spelling.blocks_of(t))
        )
        near = {
            id
            for title in blocked
            for block in spelling.blocks_of(title)
            for id, other in found.get(block, ())
            if spelling.same_title(title, other)
        }
        for paper in catalogue.papers(sorted(near)):
            self._block(self._know(paper).paper)

    def take(self, entry: Entry) -> tuple[_Work, Fate, str]:
        """Make `entry` part of the work that it is, or a new one; what it became, and why."""
        entry = replace(entry, paper=identity.marked_retracted(entry.paper))
        matches = self._matches(entry)
        if not matches:
            work = self._know(entry.paper, stored=False)
            work.entry = entry
            self._name(work, _keys(entry))
            return work, "added", ""
        work, reason = matches[0]
        detail = _detail(entry.paper, work.paper, reason)
        for other, _ in matches[1:]:
            self._unite(work, other)
        takes = self._merge(work, entry)
        return work, "added" if takes else "present", detail

    def changed(self) -> list[_Work]:
        """The works that are to be written."""
        return [work for work in self._works.values() if work.entry is not None]

    def _matches(self, entry: Entry) -> list[tuple[_Work, str]]:
        """The works that `entry` is, the one that is to stay first, each with the reason."""
        found: dict[str, str] = {}
        for key in _keys(entry):
            if key in self._keys:
                found.setdefault(self._keys[key], "")
        if entry.paper.holds != "note":
            for block in spelling.blocks_of(entry.paper.title):
                for id, _ in self._blocks.get(block, ()):
                    if id not in found and (why := self._same(entry.paper, id)):
                        found[id] = why
        matches = [(self._works[id], why) for id, why in found.items() if id in self._works]
        # A note and a work never become one, even where a file is the same.
        matches = [m for m in matches if (m[0].paper.holds == "note") == _is_note(matches[0][0])]
        matches.sort(key=lambda match: (_fullness(match[0].paper), match[0].stored), reverse=True)
        first = [match[0].paper for match in matches[:1]]
        return matches[:1] + [
            m for m in matches[1:] if not identity.contradict(first[0], m[0].paper)
        ]

    def _same(self, paper: Paper, id: str) -> str:
        work = self._works.get(id)
        return identity.same_work(paper, work.paper) if work else ""

    def _merge(self, work: _Work, entry: Entry) -> bool:
        """Make `entry` part of `work`; whether its text takes the place of the other."""
        if _is_note(work):
            return False
        united, takes = identity.unite(work.paper, entry.paper)
        before = self._entry_of(work) if self._brings(work, entry, united) else None
        if before is None:
            return False
        mine = (key for key in _keys(entry) if self._keys.get(key, united.id) == united.id)
        keys = tuple(dict.fromkeys((*_keys(before), *mine)))
        if takes:
            cut = _cut_as(united.id, entry, anew=bool(before.passages))
            refs = entry.references or before.references
            work.entry = Entry(united, entry.text, cut, keys, refs)
        else:
            refs = before.references or entry.references
            work.entry = replace(before, paper=united, keys=keys, references=refs)
        self._rename(work, united, keys)
        return takes

    def _brings(self, work: _Work, entry: Entry, united: Paper) -> bool:
        unknown = any(self._keys.get(key) != work.paper.id for key in _keys(entry))
        if united != work.paper or unknown or work.gone:
            return True
        return bool(entry.references) and not self._catalogue.references_of(work.paper.id)

    def _unite(self, work: _Work, other: _Work) -> None:
        """Make `other`, which is no fuller, part of `work`."""
        before, more = self._entry_of(work), self._entry_of(other)
        united, _ = identity.unite(work.paper, other.paper)
        keys = tuple(dict.fromkeys((*_keys(before), *_keys(more))))
        refs = before.references or more.references
        work.entry = replace(before, paper=united, keys=keys, references=refs)
        work.gone += [*([other.paper.id] if other.stored else []), *other.gone]
        other.within = work
        del self._works[other.paper.id]
        self._rename(work, united, keys)

    def _entry_of(self, work: _Work) -> Entry:
        entry = work.entry or self._catalogue.entry(work.paper.id)
        return entry or Entry(work.paper, "", ())

    def _know(self, paper: Paper, *, stored: bool = True) -> _Work:
        work = self._works.setdefault(paper.id, _Work(paper, stored))
        if not stored:
            self._block(paper)
        return work

    def _rename(self, work: _Work, paper: Paper, keys: Iterable[str]) -> None:
        work.paper = paper
        self._name(work, keys)
        self._block(paper)

    def _name(self, work: _Work, keys: Iterable[str]) -> None:
        self._keys |= dict.fromkeys(keys, work.paper.id)

    def _block(self, paper: Paper) -> None:
        if paper.holds != "note":
            for block in spelling.blocks_of(paper.title):
                self._blocks.setdefault(block, []).append((paper.id, paper.title))


def _outcome(work: _Work, fate: Fate, detail: str) -> Outcome:
    while work.within is not None:
        work = work.within
    return Outcome(work.paper, fate, detail)


def _keys(entry: Entry) -> tuple[str, ...]:
    """All that an entry can be known by."""
    paper = entry.paper
    return tuple(dict.fromkeys((paper.id, *filter(None, entry.keys), *identity.keys_of(paper))))


def _is_note(work: _Work) -> bool:
    return work.paper.holds == "note"


def _fullness(paper: Paper) -> tuple[int, int]:
    return identity.RANK[paper.holds], identity.version_number(paper.version)


def _detail(paper: Paper, work: Paper, reason: str) -> str:
    if paper.id == work.id:
        return ""
    return f"the same work as {work.id}" + (f": {reason}" if reason else "")


def _cut_as(id: str, entry: Entry, *, anew: bool) -> tuple[Passage, ...]:
    """The passages of a text that takes another's place, under ids that never were the other's."""
    whole = hashlib.sha256(entry.text.encode("utf-8", "surrogatepass")).hexdigest()
    mark = f"{whole[:6]}." if anew else ""
    return tuple(replace(p, id=f"{id}#{mark}{p.seq}", paper_id=id) for p in entry.passages)
