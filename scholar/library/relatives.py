"""What leads from papers to others: names that they share, and papers that cite both (SciPIP)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from scholar.library.enrichment import Enrichment

TOGETHER = 7
"""Papers that must share two names for the one to lead to the other, and more (SciPIP)."""
PAPERS = 100
"""Papers that names lead to, from the rarest name on (SciPIP)."""
LONGEST = 5
"""Words of a name looked for in a text: SciPIP's entities have 2 to 5."""
Companions = Mapping[str, Counter[str]]


def names_in(text: str) -> list[str]:
    """What in `text` may be a name, as it is spelled there and in small letters."""
    words = [word.strip(".,;:?!\"'()[]") for word in text.split()]
    spans = [
        " ".join(words[at : at + length])
        for length in range(1, LONGEST + 1)
        for at in range(len(words) - length + 1)
    ]
    return list(dict.fromkeys(form for span in spans for form in (span, span.lower()) if form))


def names_of(enrichment: Enrichment, paper_ids: Iterable[str]) -> list[str]:
    """The names in papers, each once."""
    found = enrichment.entities_of(paper_ids).values()
    return list(dict.fromkeys(name for pairs in found for name, _ in pairs))


def by_names(enrichment: Enrichment, names: Iterable[str]) -> list[str]:
    """The papers in which one of `names` occurs, or a name that often occurs with one, those of the
    rarest name first; PAPERS at most.
    """
    named = enrichment.papers_named(names)
    counts: Counter[str] = Counter()
    for pairs in enrichment.entities_of({p for ps in named.values() for p in ps}).values():
        counts.update({name for name, _ in pairs})
    named |= enrichment.papers_named([n for n, c in counts.items() if c > TOGETHER])
    papers: dict[str, None] = {}
    for name in sorted(named, key=lambda name: (len(named[name]), name)):
        papers |= dict.fromkeys(sorted(named[name]))
        if len(papers) >= PAPERS:
            break
    return list(papers)[:PAPERS]


def companions(citations: Iterable[tuple[str, str]]) -> Companions:
    """How often papers are cited together, by paper, given pairs of which the first cites the
    second.
    """
    cited: dict[str, list[str]] = {}
    for citing, paper in citations:
        cited.setdefault(citing, []).append(paper)
    together: dict[str, Counter[str]] = {}
    for papers in cited.values():
        for paper in papers:
            together.setdefault(paper, Counter()).update(p for p in papers if p != paper)
    return together


def closest(together: Companions, paper_ids: Sequence[str]) -> list[str]:
    """For each of the papers the one that is cited with it most, where there is one; by id."""
    return sorted(
        {
            min(counts.items(), key=lambda pair: (-pair[1], pair[0]))[0]
            for paper in paper_ids
            if (counts := together.get(paper))
        }
    )
