from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scholar.readers.document import Block, Page, place
from scholar.readers.references import entries, parse, split


@pytest.mark.parametrize(
    ("entry", "title", "authors", "year"),
    [
        ("[5] J. Aldrich, C. Chambers, and D. Notkin. Archjava: connecting things. ICSE, 2002.",
         "Archjava: connecting things",
         ("J. Aldrich", "C. Chambers", "D. Notkin"), 2002),
        ("Hal Daumé and Ann Fox. 2007. Easy adaptation. In ACL.", "Easy adaptation",
         ("Hal Daumé", "Ann Fox"), 2007),
        ("[3] C. Dwork, “Differential privacy,” in Automata, Springer, 2006, pp. 1–12.",
         "Differential privacy", ("C. Dwork",), 2006),
        ("[1] Amalfitano, D., Hauck, J.C.R., 2023. Testing: A study. ACM Surv. 56.",
         "Testing: A study", ("D. Amalfitano", "J. C. R. Hauck"), 2023),
        ("Amir B, Ralph P (2018) There is no sampling. In: Proc. 40th", "There is no sampling",
         ("B. Amir", "P. Ralph"), 2018),
        ("Fox, A., & Dog, B. (2019). Of foxes: a study. Journal of Foxes, 12(3), 1–5.",
         "Of foxes: a study", ("A. Fox", "B. Dog"), 2019),
        ("1. Fox, A., Dog, B.: Of foxes and dogs. In: FOX 2019, pp. 1–5. Springer (2019)",
         "Of foxes and dogs", ("A. Fox", "B. Dog"), 2019),
        ("2. Fox A, Dog BC. Of foxes. J Fox. 2010;12(3):1-5.", "Of foxes",
         ("A. Fox", "B. C. Dog"), 2010),
        ("[1] A. Fox, B. Dog, Of foxes and their ways, J. Fox. 12 (2010) 1–5.",
         "Of foxes and their ways", ("A. Fox", "B. Dog"), 2010),
        ("[2] Jimmy Lei Ba, Jamie Ryan Kiros, and Geoffrey E Hinton. Layer normalization. 2016.",
         "Layer normalization", ("Jimmy Lei Ba", "Jamie Ryan Kiros", "Geoffrey E Hinton"), 2016),
        ("Hochreiter, S. and Schmidhuber, J. Long short-term memory. Neural Comput., 9, 1997.",
         "Long short-term memory", ("S. Hochreiter", "J. Schmidhuber"), 1997),
        ("van der Maaten, L.; and Hinton, G. 2008. Visualizing Data. JMLR, 9: 2579–2605.",
         "Visualizing Data", ("L. van der Maaten", "G. Hinton"), 2008),
        ("[3] Ashish Vaswani et al. Attention is all you need. In NIPS, 2017.",
         "Attention is all you need", ("Ashish Vaswani",), 2017),
        ("[4] Yum: Yellow dog, Modified. http://linux.duke.edu/yum.", "Yum: Yellow dog, Modified",
         (), None),
    ],
)  # fmt: skip
def test_the_usual_styles_are_read(
    entry: str, title: str, authors: tuple[str, ...], year: int | None
) -> None:
    reference = parse(entry)
    assert reference.text == entry
    assert (reference.title, reference.authors, reference.year) == (title, authors, year)


@pytest.mark.parametrize(
    ("entry", "identifiers"),
    [
        ("A. Fox. Foxes. https://doi.org/10.1000/ABC.1.", {"doi": "10.1000/abc.1"}),
        ("A. Fox. Foxes. arXiv preprint arXiv:1607.06450v2, 2016.", {"arxiv": "1607.06450"}),
        ("A. Fox. Foxes. CoRR, abs/1607.06450.", {"arxiv": "1607.06450"}),
        ("A. Fox. Foxes. arXiv:hep-th/9901001.", {"arxiv": "hep-th/9901001"}),
        ("A. Fox. Foxes, 2016.", {}),
    ],
)
def test_identifiers_are_found(entry: str, identifiers: dict[str, str]) -> None:
    assert parse(entry).identifiers == identifiers


def test_entries_run_together_are_cut_at_their_numbers() -> None:
    run = "[1] A. Fox. One, 2001. [2] B. Dog. Two, 2002. [3] C. Cat. Three, see [12]."
    assert entries([run]) == [
        "[1] A. Fox. One, 2001.",
        "[2] B. Dog. Two, 2002.",
        "[3] C. Cat. Three, see [12].",
    ]


def test_an_entry_that_a_page_end_cuts_is_made_whole() -> None:
    listed = ["[1] A. Fox. Of dogs.", "In Wood, 2001.", "[2] B. Dog. Two, 2002."]
    assert entries(listed) == ["[1] A. Fox. Of dogs. In Wood, 2001.", "[2] B. Dog. Two, 2002."]


def heading(text: str) -> Block:
    return Block(text, heading=True)


def test_a_figure_within_the_list_and_an_appendix_stay_in_the_text() -> None:
    blocks = [
        Block("Words.", pages=(Page(0, 1),)),
        heading("References"),
        Block("[1] A. Fox. One, 2001."),
        Block("Figure 3: A fox.", pages=(Page(0, 2),)),
        Block("[2] B. Dog. Two, 2002.", pages=(Page(0, 3),)),
        heading("A Appendix"),
        Block("More words."),
    ]
    kept, references = split(blocks)
    assert [block.text for block in kept] == [
        "Words.", "Figure 3: A fox.", "A Appendix", "More words."]  # fmt: skip
    assert len(references) == 2
    text, pages, _ = place(kept)
    assert [(page.number, text[page.start :][:8]) for page in pages] == [
        (1, "Words.\n\n"), (2, "Figure 3"), (3, "A Append")]  # fmt: skip


def test_a_section_without_entries_stays_whole() -> None:
    blocks = [heading("References"), Block("We refer the reader to the works of many others.")]
    assert split(blocks) == (blocks, ())


def test_a_list_without_a_heading_is_found_at_the_end() -> None:
    listed = [Block(f"[{n}] A. Fox, Foxes {n}, J. Fox {n}, 200{n}.") for n in range(1, 5)]
    kept, references = split([Block("Words [1]."), Block("More."), Block("And."), *listed])
    assert [block.text for block in kept] == ["Words [1].", "More.", "And."]
    assert len(references) == 4


@given(st.lists(st.text("aA1. ,[]()&2001“”:;-/\n", max_size=60).map(str.strip), max_size=8))
def test_anything_below_the_heading_is_kept_or_listed(texts: list[str]) -> None:
    blocks = [heading("References"), *(Block(text) for text in texts if text)]
    kept, references = split(blocks)
    letters = "".join(block.text for block in kept) + "".join(each.text for each in references)
    for text in filter(None, texts):
        assert Counter("".join(text.split())) <= Counter(letters)


@pytest.mark.parametrize("piece", ["A. ", "A, ", "Fox A, ", "a.b: ", "and A. Fox, ", "van der "])
def test_hostile_entries_take_no_long_time(piece: str) -> None:
    assert parse(piece * 600).text
