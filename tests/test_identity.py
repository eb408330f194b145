"""One work is one paper, however it comes, and two works are two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from test_ingest import add, add_items, note, statuses

from scholar.library import Library
from scholar.library.identity import same_work
from scholar.library.spelling import same_name, same_title
from scholar.settings import Settings
from scholar.sources import Record
from scholar.values import Paper, Reference

AUTHORS = ("Ada Lovelace", "Grace Hopper", "Alan M. Turing")


def paper(
    title: str = "Sleep patterns of domestic cats in winter",
    authors: Sequence[str] = AUTHORS,
    year: int | None = 2020,
    venue: str = "",
    **ids: str,
) -> Paper:
    """A paper with a provisional id, as a bibliography gives it."""
    found = {name: value for name, value in ids.items() if name != "version"}
    first = next(((s, found[s]) for s in ("arxiv", "doi", "pmid") if s in found), None)
    name = f"{first[0]}:{first[1]}" if first else f"bib:{abs(hash((title, *authors, year, venue)))}"
    version = ids.get("version", "")
    return Paper(name, title, tuple(authors), year, venue, found, version=version, holds="record")


T = "Sleep patterns of domestic cats in winter"
ONE_WORK: dict[str, tuple[Paper, Paper]] = {
    "preprint and published": (
        paper(arxiv="2001.00001", year=2020),
        paper(year=2021, venue="Journal of Sleep", doi="10.1000/js.1"),
    ),
    "preprint DOI and published": (
        paper(doi="10.1101/2020.01.01.1"),
        paper(year=2022, venue="PLoS ONE", doi="10.1371/p.1"),
    ),
    "arXiv DOI and arXiv id": (
        paper(doi="10.48550/arXiv.2001.00001"),
        paper(title="Cats asleep", arxiv="2001.00001"),
    ),
    "arXiv versions": (
        paper(arxiv="2001.00001", version="v1"),
        paper(title="Cats, asleep", arxiv="2001.00001", version="v3"),
    ),
    "DOI in capitals": (paper(doi="10.1000/ABC"), paper("Else", ("N. N.",), doi="10.1000/abc")),
    "DOI as address": (paper(doi="https://doi.org/10.1000/abc"), paper("Else", doi="10.1000/abc")),
    "version of a DOI": (
        paper(doi="10.12688/f1000research.1.2"),
        paper("E", doi="10.12688/f1000research.1.1"),
    ),
    "PubMed id": (paper(pmid="123"), paper("Sleep in cats.", year=None, pmid="123")),
    "OpenAlex id": (
        paper(openalex="W1"),
        paper("Sleep in cats.", openalex="https://openalex.org/W1"),
    ),
    "Semantic Scholar id": (paper(s2="ab"), paper("Sleep in cats.", s2="ab")),
    "capitals": (paper(T), paper(T.upper())),
    "full stop": (paper(T), paper(f"{T}.")),
    "accents": (
        paper("Rêves d’été des chats domestiques"),
        paper("Reves d'ete des chats domestiques"),
    ),
    "LaTeX accents": (paper("Über träumende Katzen"), paper(r"{\"U}ber tr\"{a}umende {K}atzen")),
    "LaTeX braces and emphasis": (
        paper(T),
        paper(r"{Sleep} patterns of \emph{domestic} cats in {W}inter"),
    ),
    "Greek letters": (
        paper("TNF-α in sleeping domestic cats"),
        paper(r"TNF-$\alpha$ in sleeping domestic cats"),
    ),
    "Greek by name": (
        paper("TNF-α in sleeping domestic cats"),
        paper("TNF-alpha in sleeping domestic cats"),
    ),
    "subtitle with colon or dash": (
        paper("Cats: patterns of their sleep"),
        paper("Cats – Patterns of Their Sleep"),
    ),
    "subtitle with full stop": (
        paper("Cats: patterns of their sleep"),
        paper("Cats. Patterns of their sleep"),
    ),
    "hyphens": (
        paper("Pre-training of deep cat-like models"),
        paper("Pretraining of deep cat like models"),
    ),
    "ampersand": (paper("Cats & dogs in the winter"), paper("Cats and Dogs in the Winter")),
    "HTML entities and tags": (
        paper("Sleep of <i>Felis catus</i> &amp; others"),
        paper("Sleep of Felis catus & others"),
    ),
    "ligatures": (paper("An eﬃcient ﬁlter for cats"), paper("An efficient filter for cats")),
    "quotation marks": (
        paper("“Cats” and the ‘sleep’ problem"),
        paper("\"Cats\" and the 'sleep' problem"),
    ),
    "British and American": (
        paper("Modelling the behaviour of organised cats"),
        paper("Modeling the behavior of organized cats"),
    ),
    "one letter lost": (
        paper("Recommendation of bedtimes to cats"),
        paper("Recomendation of bedtimes to cats"),
    ),
    "letters swapped": (
        paper("Classification of bedtimes of cats"),
        paper("Classificaiton of bedtimes of cats"),
    ),
    "article at the head": (paper("A theory of cats asleep"), paper("Theory of cats asleep")),
    "Roman and Arabic parts": (paper("Cats asleep, Part II"), paper("Cats Asleep: Part 2")),
    "surnames first": (
        paper(),
        paper(authors=("Lovelace, Ada", "Hopper, Grace", "Turing, Alan M.")),
    ),
    "initials": (paper(), paper(authors=("A. Lovelace", "G. Hopper", "A.M. Turing"))),
    "PubMed's names": (paper(), paper(authors=("Lovelace A", "Hopper G", "Turing AM"))),
    "first author alone": (paper(), paper(authors=("Lovelace, Ada",))),
    "umlaut written out": (
        paper(authors=("Jörg Müller", "Bo Ek")),
        paper(authors=("Joerg Mueller", "Bo Ek")),
    ),
    "particles": (paper(authors=("Jan van der Berg",)), paper(authors=("van der Berg, J.",))),
    "two surnames": (
        paper(authors=("Gabriel García Márquez",)),
        paper(authors=("García Márquez, G.",)),
    ),
    "no authors on one side": (paper(), paper(authors=())),
    "no year on one side": (paper(), paper(year=None)),
    "retracted in the title": (paper(), paper(f"RETRACTED: {T}")),
    "co-author left out": (paper(), paper(authors=AUTHORS[:2])),
}
TWO_WORKS: dict[str, tuple[Paper, Paper]] = {
    "parts I and II": (paper(f"{T}, Part I"), paper(f"{T}, Part II")),
    "parts II and III": (paper(f"{T} II"), paper(f"{T} III")),
    "part and whole": (paper(T), paper(f"{T}. Part 2")),
    "parts 1 and 2": (paper(f"{T} 1"), paper(f"{T} 2")),
    "volumes A and B": (paper(f"{T}: Volume A"), paper(f"{T}: Volume B")),
    "years in the title": (
        paper("Cats asleep: results of 2019"),
        paper("Cats asleep: results of 2020"),
    ),
    "model numbers": (paper("GPT-3 and the sleep of cats"), paper("GPT-4 and the sleep of cats")),
    "model numbers with points": (
        paper("GPT-3.5 and the sleep of cats"),
        paper("GPT-35 and the sleep of cats"),
    ),
    "revisited": (paper(T), paper(f"{T}, revisited")),
    "reply": (paper(T), paper(f"{T}: a reply to Hopper")),
    "reply before": (paper(T), paper(f"Reply to: {T}")),
    "comment": (paper(T), paper(f"Comment on “{T}”")),
    "erratum": (paper(T), paper(f"Erratum: {T}")),
    "correction": (paper(T), paper(f"Correction to: {T}")),
    "retraction notice": (paper(T), paper(f"Retraction: {T}")),
    "other authors": (paper(), paper(authors=("Marie Curie", "Lise Meitner"))),
    "other first author": (paper(), paper(authors=("Grace Hopper", "Ada Lovelace"))),
    "same surname, other person": (
        paper(authors=("Ada Lovelace",)),
        paper(authors=("Byron Lovelace",)),
    ),
    "Wei and Wen Zhang": (paper(authors=("Wei Zhang",)), paper(authors=("Wen Zhang",))),
    "other co-authors": (paper(), paper(authors=("Ada Lovelace", "Lise Meitner", "Emmy Noether"))),
    "years far apart": (paper(year=2001), paper(year=2020)),
    "two publishers' DOIs": (paper(doi="10.1000/conf.1"), paper(doi="10.2000/journal.1")),
    "two arXiv ids": (paper(arxiv="2001.00001"), paper(arxiv="2101.00001")),
    "two PubMed ids": (paper(pmid="1"), paper(pmid="2")),
    "hyper and hypo": (
        paper("Hypertension in domestic cats"),
        paper("Hypotension in domestic cats"),
    ),
    "nitrate and nitrite": (paper("Uptake of nitrate by cats"), paper("Uptake of nitrite by cats")),
    "micro and macro": (paper("Microscopic views of cats"), paper("Macroscopic views of cats")),
    "with and without": (
        paper("Sleep with supervision in cats"),
        paper("Sleep without supervision in cats"),
    ),
    "supervised and not": (paper("Supervised sleep of cats"), paper("Unsupervised sleep of cats")),
    "cats and dogs": (
        paper("Sleep patterns of cats in winter"),
        paper("Sleep patterns of dogs in winter"),
    ),
    "word added": (paper(T), paper("Sleep patterns of young domestic cats in winter")),
    "words in another order": (
        paper("Do cats watch people sleep"),
        paper("Do people watch cats sleep"),
    ),
    "vitamin A and B": (
        paper("Vitamin A and the sleep of cats"),
        paper("Vitamin B and the sleep of cats"),
    ),
    "C and C++": (paper("Writing cats in C"), paper("Writing cats in C++")),
    "generic title": (paper("Editorial"), paper("Editorial")),
    "generic title, other DOI": (
        paper("Introduction", doi="10.1/a"),
        paper("Introduction", doi="10.1/b"),
    ),
    "short title without authors": (paper("Cat sleep", ()), paper("Cat sleep")),
    "nameless, other year": (paper(authors=(), year=2019), paper(authors=(), year=2020)),
}


@pytest.mark.parametrize("case", ONE_WORK)
def test_these_are_one_work(case: str) -> None:
    one, other = ONE_WORK[case]
    assert same_work(one, other)
    assert same_work(other, one)


@pytest.mark.parametrize("case", TWO_WORKS)
def test_these_are_two_works(case: str) -> None:
    one, other = (replace(p, id=f"bib:{n}") for n, p in enumerate(TWO_WORKS[case]))
    assert not same_work(one, other)
    assert not same_work(other, one)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["in order", "in reverse", "at once", "at once in reverse"])
async def test_works_are_told_apart_however_they_come(
    library: Library, settings: Settings, mode: str
) -> None:
    for cases, works in ((ONE_WORK, 1), (TWO_WORKS, 2)):
        for case, pair in cases.items():
            some = [replace(each, id=f"bib:{n}") for n, each in enumerate(pair)]
            records = [Record(each, "An abstract.") for each in some]
            records = records[::-1] if "reverse" in mode else records
            for items in [records] if "once" in mode else [[record] for record in records]:
                await add_items(library, settings, items)
            found = await library.papers()
            assert len(found) == works, case
            for each in some:
                assert await library.find(each.id) in found, case
            assert len(await library.search("abstract", 9)) == works, case
            await library.remove([each.id for each in found])


PREPRINT = paper(arxiv="2001.00001", version="v1")
PUBLISHED = replace(
    paper(year=2021, venue="Journal of Sleep", doi="10.1000/js.1", pmid="7"), source="https://x.org"
)


@pytest.mark.parametrize("order", list(permutations(range(2))))
async def test_preprint_and_published_version_become_one_with_the_best_of_both(
    library: Library, settings: Settings, tmp_path: Path, order: tuple[int, int]
) -> None:
    front = f'title: {T}\nauthors: [Ada Lovelace, Grace Hopper]\nyear: 2020\narxiv: "2001.00001"'
    whole = note(tmp_path / "whole.md", f"{front}\nholds: full")
    record = Record(PUBLISHED, "An abstract.")
    for n in order:
        last = await add_items(library, settings, [whole if n == 0 else record])
    (found,) = await library.papers()
    assert (found.holds, found.year, found.venue) == ("full", 2021, "Journal of Sleep")
    assert found.identifiers == {"arxiv": "2001.00001", "doi": "10.1000/js.1", "pmid": "7"}
    for key in ("arxiv:2001.00001", "doi:10.1000/js.1", "pmid:7"):
        assert await library.find(key) == found
    assert "the same work as" in last[0].detail
    assert len(await library.passages_of(found.id)) == 1
    assert [hit.paper_id for hit in await library.search("felines", 9)] == [found.id]
    assert await library.search("abstract", 9) == []


async def test_of_three_arxiv_versions_the_latest_text_stays(
    library: Library, settings: Settings
) -> None:
    for some in (["v2"], ["v1", "v3"], ["v1"]):
        records = [
            Record(replace(PREPRINT, id=f"arxiv:2001.00001{v}", version=v), f"Text of kind {v}.")
            for v in some
        ]
        await add_items(library, settings, records)
    (found,) = await library.papers()
    (passage,) = await library.passages_of(found.id)
    assert (found.version, passage.text) == ("v3", "Text of kind v3.")


async def test_a_later_version_without_a_text_is_told_of(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    await add_items(library, settings, [Record(PREPRINT, "An abstract.")])
    await add_items(library, settings, [Record(replace(PREPRINT, version="v4"))])
    (found,) = await library.papers()
    assert (found.version, found.newer, found.holds) == ("v1", "v4", "abstract")


async def test_the_same_file_under_two_names_is_one_paper(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    files = [note(tmp_path / name, f"title: {T}\nholds: full") for name in ("a.md", "b.md")]
    assert statuses(await add(library, settings, files[0])) == ["added"]
    assert statuses(await add(library, settings, files[1])) == ["present"]
    assert len(await library.papers()) == 1


async def test_what_was_cited_of_a_replaced_text_can_still_be_read(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    await add_items(library, settings, [Record(PUBLISHED, "An abstract of cats.")])
    (old,) = await library.passages_of("doi:10.1000/js.1")
    front = f'title: {T}\nauthors: [Ada Lovelace, Grace Hopper]\narxiv: "2001.00001"'
    await add(library, settings, note(tmp_path / "whole.md", f"{front}\nholds: full"))
    (new,) = await library.passages_of("doi:10.1000/js.1")
    assert new.id != old.id
    assert await library.passages([old.id, new.id]) == [old, new]
    assert "abstract" not in new.text
    await library.remove(["doi:10.1000/js.1"])
    assert await library.passages([old.id, new.id]) == []


async def test_a_third_record_joins_two_that_were_apart(
    library: Library, settings: Settings
) -> None:
    one = paper("Cats asleep", arxiv="2001.00001")
    other = paper("Winter habits of felines", doi="10.1000/js.1")
    await add_items(
        library, settings, [Record(one, "Short."), Record(other, "Longer, of felines.")]
    )
    assert len(await library.papers()) == 2
    both = paper("Cats asleep", arxiv="2001.00001", doi="10.1000/js.1")
    await add_items(library, settings, [Record(both)])
    (found,) = await library.papers()
    assert found.identifiers == {"arxiv": "2001.00001", "doi": "10.1000/js.1"}
    assert await library.find("arxiv:2001.00001") == await library.find("doi:10.1000/js.1") == found
    assert len(await library.search("felines short", 9)) == 1


async def test_a_note_on_a_paper_never_becomes_the_paper(
    library: Library, settings: Settings, tmp_path: Path
) -> None:
    front = f'title: {T}\nauthors: [Ada Lovelace]\nyear: 2020\narxiv: "2001.00001"'
    await add(library, settings, note(tmp_path / "note.md", front))
    await add_items(library, settings, [Record(PREPRINT, "An abstract.")])
    assert sorted(p.holds for p in await library.papers()) == ["abstract", "note"]


async def test_a_title_marked_retracted_marks_the_paper(
    library: Library, settings: Settings
) -> None:
    await add_items(library, settings, [Record(PREPRINT, "An abstract.")])
    await add_items(library, settings, [Record(paper(f"RETRACTED: {T}", doi="10.1000/js.1"))])
    (found,) = await library.papers()
    assert (found.title, found.retracted) == (T, True)


@pytest.mark.parametrize("first", ["citing", "cited"])
async def test_references_are_resolved_whichever_side_comes_first(
    library: Library, settings: Settings, first: str
) -> None:
    references = (
        Reference("Lovelace et al. Sleep.", title=T.upper(), authors=("A. Lovelace",), year=2020),
        Reference("Curie. Radium.", title="Radium", authors=("M. Curie",)),
        Reference("A DOI.", identifiers={"doi": "10.1000/OTHER"}),
    )  # fmt: skip
    citing = Record(
        paper("On the sleep of others", ("Emmy Noether",), doi="10.9/c"),
        "Text.",
        references=references,
    )
    cited = [
        Record(PREPRINT, "An abstract."),
        Record(paper("Another", ("N N",), doi="10.1000/other")),
    ]
    for records in [[citing], cited] if first == "citing" else [cited, [citing]]:
        await add_items(library, settings, records)
    assert [r.text for r in await library.references_of("doi:10.9/c")] == [
        r.text for r in references
    ]
    assert [p.id for p in await library.cites("doi:10.9/c")] == [
        "arxiv:2001.00001",
        "doi:10.1000/other",
    ]
    assert [p.id for p in await library.cited_by("arxiv:2001.00001")] == ["doi:10.9/c"]
    await library.remove(["arxiv:2001.00001"])
    assert [p.id for p in await library.cites("doi:10.9/c")] == ["doi:10.1000/other"]
    await add_items(library, settings, [Record(PREPRINT, "An abstract.")])
    assert len(await library.cites("doi:10.9/c")) == 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ada Lovelace", "LOVELACE, A.", True),
        ("J.-P. Sartre", "Jean-Paul Sartre", True),
        ("O’Neil, P", "Patrick O'Neil", True),
        ("John Smith Jr.", "Smith, J.", True),
        ("Smith JA", "John A. Smith", True),
        ("Anna Schmidt", "Ada Schmidt", False),
        ("Ada Lovelace", "Ada Byron", False),
        ("", "Ada Lovelace", False),
    ],
)
def test_names_are_compared_by_surname_and_initials(one: str, other: str, same: bool) -> None:
    assert same_name(one, other) is same_name(other, one) is same


@pytest.mark.parametrize("title", ["", "?!", "   ", "$$", "\\", "{", "x" * 5_000, "猫の睡眠"])
def test_any_title_can_be_compared(title: str) -> None:
    assert same_title(title, title) is (title in ("x" * 5_000, "猫の睡眠"))
