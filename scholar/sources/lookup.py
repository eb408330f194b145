"""Looking works up by their ids, whatever kinds of ids a service knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from scholar.sources.names import Scheme, identify, parse_id
from scholar.sources.record import Skipped
from scholar.values import Paper

T = TypeVar("T")
Name = tuple[Scheme, str]
_SPOKEN: dict[Scheme, str] = {
    "arxiv": "an arXiv id",
    "doi": "a DOI",
    "pmid": "a PubMed id such as pmid:12345",
    "openalex": "an OpenAlex id such as W123456",
    "s2": "a Semantic Scholar id",
    "corpus": "a CorpusID",
}
_WRITTEN = {"arxiv": "arxiv:", "doi": "doi:", "pmid": "pmid:", "openalex": "", "s2": "s2:"}


async def look_up(
    service: str,
    ids: Sequence[str],
    schemes: Sequence[Scheme],
    ask: Callable[[list[Name]], Awaitable[Mapping[Name, T]]],
) -> list[T | Skipped]:
    """What `ask` finds for each of `ids`, in their order, or why there is nothing.

    `ask` is given schemes and ids and returns what it found by them. arXiv's ids come to it without
    their version.
    """
    names = [_name(text, schemes) for text in ids]
    wanted = list(dict.fromkeys(name for name in names if name))
    found = await ask(wanted) if wanted else {}
    return [
        _outcome(service, schemes, text, name, found) for text, name in zip(ids, names, strict=True)
    ]


def _name(text: str, schemes: Sequence[Scheme]) -> Name | None:
    name = identify(text)
    if name is None or name[0] not in schemes:
        return None
    arxiv = parse_id(name[1]) if name[0] == "arxiv" else None
    return ("arxiv", arxiv[0]) if arxiv else name


def _outcome(
    service: str,
    schemes: Sequence[Scheme],
    text: str,
    name: Name | None,
    found: Mapping[Name, T],
) -> T | Skipped:
    if name is None:
        forms = " or ".join(_SPOKEN[scheme] for scheme in schemes)
        return Skipped(text, f"'{text}' is no id that {service} knows; give {forms}.")
    if name not in found:
        return Skipped(text, f"{service} has no work {name[1]}; check the id.")
    return found[name]


async def by_scheme(
    names: Sequence[Name], ask: Callable[[Scheme, list[str]], Awaitable[Mapping[str, T]]]
) -> dict[Name, T]:
    """What `ask` finds, for a service that takes the ids of one scheme at a time."""
    found: dict[Name, T] = {}
    for wanted in dict.fromkeys(scheme for scheme, _ in names):
        told = await ask(wanted, [value for scheme, value in names if scheme == wanted])
        found |= {(wanted, value): each for value, each in told.items()}
    return found


def known_by(papers: Iterable[Paper], schemes: Sequence[Scheme]) -> dict[str, str]:
    """For each of `papers` that has an identifier of `schemes`, by its id: the first of them."""
    names: dict[str, str] = {}
    for paper in papers:
        for scheme in schemes:
            if value := paper.identifiers.get(scheme):
                names.setdefault(paper.id, _WRITTEN[scheme] + value)
    return names


def batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


def together(values: Sequence[str], apart: str) -> tuple[list[str], list[str]]:
    """Those of `values` that one request may ask for, and those that need one each.

    The latter are those with a character of `apart`, which would part a filter in two, and one that
    would be alone.
    """
    plain = [value for value in values if not set(value) & set(apart)]
    if len(plain) == 1:
        plain = []
    return plain, [value for value in values if value not in plain]
