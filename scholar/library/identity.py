"""When two papers are one work, and what is kept of both. Pure functions, no I/O.

A work is known by its identifiers; where they do not say, by its title and authors. Two works taken
for one lose a source for good and one work taken for two is only cited twice, so that whatever is
in doubt stays two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from scholar.library.spelling import RETRACTED, same_name, same_title, title_key, words_of
from scholar.values import Holding, Paper, Reference

RANK: Mapping[Holding, int] = {"record": 0, "note": 1, "abstract": 2, "full": 3}
"""What a paper holds, by how much of it that is."""
YEARS_APART = 4
"""Years between a preprint and its publication; later, the same title is another work."""
NAMELESS_WORDS = 5
"""Words a title needs to be the same work without any author: shorter ones recur."""
_SCHEMES = ("doi", "arxiv", "pmid", "pmcid", "openalex", "s2", "corpus", "dblp", "isbn")
_CONTRADICT = ("doi", "arxiv", "pmid")
"""Schemes that give a work one id only, so that two ids are two works."""
_PREPRINT_DOIS = (
    "10.48550/", "10.1101/", "10.2139/", "10.5281/", "10.20944/", "10.21203/", "10.22541/",
    "10.26434/", "10.31219/", "10.31222/", "10.31234/", "10.31235/", "10.36227/", "10.64898/",
)  # fmt: skip
"""Of arXiv, bioRxiv and medRxiv, SSRN, Zenodo, Preprints.org, Research Square, Authorea, ChemRxiv,
OSF and its communities, TechRxiv, openRxiv."""
_ARXIV_DOI = "10.48550/arxiv."
_DOI_HEAD = re.compile(r"^(?:https?://)?(?:dx\.)?(?:doi\.org/|doi:\s*)", re.IGNORECASE)
_DOI_VERSION = re.compile(r"(?:/v\d+|(f1000research\.\d+)\.\d+|(elife\.\d+)\.\d+)$")
_ARXIV_VERSION = re.compile(r"v\d+$")
_PREPRINT_VENUE = re.compile(r"\b(arxiv|preprint|biorxiv|medrxiv|ssrn|corr|openreview)\b", re.I)


def keys_of(paper: Paper) -> tuple[str, ...]:
    """The names that only this work has: `doi:…`, `arxiv:…`, `pmid:…`. A note on it has none."""
    if paper.holds == "note":
        return ()
    scheme, _, id = paper.id.partition(":")
    named = {scheme: id} if scheme in _SCHEMES else {}
    return _keys_from(tuple({**paper.identifiers, **named}.items()))


def keys_from(identifiers: Mapping[str, str]) -> tuple[str, ...]:
    """`identifiers` as keys, in one spelling: small letters, no address, no version."""
    return _keys_from(tuple(identifiers.items()))


def reference_keys(reference: Reference) -> tuple[str, ...]:
    """What the work that `reference` names can be recognised by: its ids and its title."""
    title = title_key(reference.title)
    return (*keys_from(reference.identifiers), *((f"title:{title}",) if title else ()))


def is_cited(reference: Reference, paper: Paper) -> bool:
    """Whether `reference` may mean `paper`, whose title or an id is the same."""
    said = keys_from(reference.identifiers)
    known = keys_of(paper)
    if set(said) & set(known):
        return True
    if _contradict(said, known) or not _near_in_time(reference.year, paper.year):
        return False
    if not (reference.authors and paper.authors):
        return len(words_of(reference.title)) >= NAMELESS_WORDS
    # References name people by surname and initial, or the first of them alone.
    return any(same_name(reference.authors[0], name) for name in paper.authors)


def same_work(one: Paper, other: Paper) -> str:
    """Why `one` and `other` are the same work, in words; empty where they are two."""
    if "note" in (one.holds, other.holds):
        return ""
    mine, theirs = keys_of(one), keys_of(other)
    shared = [key for key in mine if key in theirs]
    if shared:
        return f"same {shared[0].partition(':')[0]}"
    if _contradict(mine, theirs) or not same_title(one.title, other.title):
        return ""
    return "same title and authors" if _same_makers(one, other) else ""


def unite(stored: Paper, new: Paper) -> tuple[Paper, bool]:
    """One paper of both under the id of `stored`, and whether the text of `new` is to be kept.

    The fuller text stays, of two versions on arXiv the later; what is said of the work is that of
    the published one, else of a bibliography before that read off a file.
    """
    takes = _fuller(stored, new)
    text, rest = (new, stored) if takes else (stored, new)
    lead, other = sorted((stored, new), key=_authority, reverse=True)  # stable: stored before new
    united = replace(
        text,
        id=stored.id,
        title=lead.title or other.title,
        authors=lead.authors or other.authors,
        year=lead.year if lead.year is not None else other.year,
        venue=lead.venue or other.venue,
        identifiers={**other.identifiers, **lead.identifiers},
        source=text.source or rest.source,
        retracted=stored.retracted or new.retracted,
        newer=_newer(text, rest),
    )
    return united, takes


def marked_retracted(paper: Paper) -> Paper:
    """`paper`, retracted where its title says that, and without saying so in the title."""
    bare = RETRACTED.sub("", paper.title)
    if bare == paper.title or not bare:
        return paper
    return replace(paper, title=bare, retracted=True)


def version_number(version: str) -> int:
    """3 for `v3`; 0 where there is none."""
    digits = version.strip().lower().removeprefix("v")
    return int(digits) if digits.isdecimal() else 0


@lru_cache(maxsize=4096)
def _keys_from(identifiers: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    found = (_key(scheme, value.strip()) for scheme, value in identifiers)
    return tuple(dict.fromkeys(filter(None, found)))


def _key(scheme: str, value: str) -> str:
    scheme = scheme.lower()
    if scheme not in _SCHEMES or not value:
        return ""
    value = value.lower()
    if scheme == "doi":
        value = _DOI_HEAD.sub("", value)
        if value.startswith(_ARXIV_DOI):
            return _key("arxiv", value.removeprefix(_ARXIV_DOI))
        value = _DOI_VERSION.sub(lambda found: found[1] or found[2] or "", value)
    if scheme == "arxiv":
        value = _ARXIV_VERSION.sub("", value.removeprefix("arxiv:"))
    if scheme == "openalex":
        value = value.rpartition("/")[2]
    return f"{scheme}:{value}"


def contradict(one: Paper, other: Paper) -> bool:
    """Whether an id says that two papers are two works."""
    return _contradict(keys_of(one), keys_of(other))


def _contradict(mine: Iterable[str], theirs: Iterable[str]) -> bool:
    """Whether one of the schemes names two works. A preprint's DOI says nothing of the other's."""
    ours, others = _firm(mine), _firm(theirs)
    return any(ours[scheme] != others[scheme] for scheme in ours.keys() & others.keys())


def _firm(keys: Iterable[str]) -> dict[str, str]:
    parted = (key.split(":", 1) for key in keys)
    return {
        scheme: value
        for scheme, value in parted
        if scheme in _CONTRADICT and not (scheme == "doi" and value.startswith(_PREPRINT_DOIS))
    }


def _same_makers(one: Paper, other: Paper) -> bool:
    if not (one.authors and other.authors):
        exact = title_key(one.title) == title_key(other.title)
        same_year = None in (one.year, other.year) or one.year == other.year
        return exact and same_year and len(words_of(one.title)) >= NAMELESS_WORDS
    if not _near_in_time(one.year, other.year):
        return False
    if not same_name(one.authors[0], other.authors[0]):
        return False
    fewer, more = sorted((one.authors, other.authors), key=len)
    shared = sum(any(same_name(name, theirs) for theirs in more) for name in fewer)
    return 2 * shared >= len(fewer)


def _near_in_time(one: int | None, other: int | None) -> bool:
    return one is None or other is None or abs(one - other) <= YEARS_APART


def _fuller(stored: Paper, new: Paper) -> bool:
    if RANK[new.holds] != RANK[stored.holds]:
        return RANK[new.holds] > RANK[stored.holds]
    before = version_number(stored.version)
    return 0 < before < version_number(new.version)


def _authority(paper: Paper) -> tuple[bool, bool]:
    read_off_a_file = bool(paper.source) and "://" not in paper.source
    return is_published(paper), not read_off_a_file


def is_published(paper: Paper) -> bool:
    """Whether `paper` is more than a preprint: it has a venue or a publisher's DOI."""
    dois = [key for key in keys_of(paper) if key.startswith("doi:")]
    if any(not doi.removeprefix("doi:").startswith(_PREPRINT_DOIS) for doi in dois):
        return True
    return bool(paper.venue) and not _PREPRINT_VENUE.search(paper.venue)


def _newer(text: Paper, rest: Paper) -> str:
    known = max((text.newer, rest.newer, rest.version), key=version_number)
    if version_number(known) > version_number(text.version) > 0:
        return known
    # A later version that has a DOI of its own has no number.
    return "" if version_number(text.newer) else text.newer
