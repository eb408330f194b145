from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from scholar.library.passages import LEFT_OUT, LETTERS, WORDS, cut
from scholar.readers.document import Block, Document, Page, place
from scholar.text import sentences
from scholar.values import Passage


def document(*blocks: str | tuple[str]) -> Document:
    """A document of paragraphs, and of headings where a block is a tuple."""
    made = [Block(b, False) if isinstance(b, str) else Block(b[0], True) for b in blocks]
    text, pages, sections = place(made)
    return Document(text=text, pages=pages, sections=sections)


def prose(words: int, per_sentence: int = 10) -> str:
    """So many words, in sentences of equal length."""
    sentence = " ".join(["Word", *["word"] * (per_sentence - 2), "end."])
    return " ".join([sentence] * (words // per_sentence))


def lengths(passages: tuple[Passage, ...]) -> list[int]:
    return [len(passage.text.split()) for passage in passages]


PARAGRAPHS = st.builds(prose, st.integers(1, 60).map(lambda n: n * 10))
HEADINGS = st.sampled_from(["Method", "3 Results", "References", "7. Bibliography"]).map(
    lambda title: (title,)
)
MONSTERS = st.integers(WORDS, 4 * WORDS).map(lambda n: "Cell " * n + "end.")


@settings(max_examples=50)
@given(st.lists(PARAGRAPHS | HEADINGS | MONSTERS, max_size=8))
def test_passages_hold_every_sentence_once_save_those_left_out(
    blocks: list[str | tuple[str]],
) -> None:
    paper = document(*blocks)
    passages = cut("file:x", paper)
    assert all(p.text == paper.text[p.start : p.end] for p in passages)
    assert all(a.end <= b.start for a, b in pairwise(passages))
    assert all(length <= WORDS for length in lengths(passages))
    assert [p.id for p in passages] == [f"file:x#{n}" for n in range(len(passages))]
    for start, end in sentences(paper.text):
        titles = [s.title.strip(" .0123456789").lower() for s in paper.sections if s.start <= start]
        inside = [p for p in passages if p.start < end and start < p.end]
        if titles and titles[-1] in LEFT_OUT:
            assert not inside
        elif len(paper.text[start:end].split()) <= WORDS:
            assert [p.start <= start and end <= p.end for p in inside] == [True]
        else:
            held = " ".join(paper.text[max(start, p.start) : min(end, p.end)] for p in inside)
            assert held.split() == paper.text[start:end].split()


def test_passages_are_about_250_words() -> None:
    passages = cut("file:x", document(prose(3_000, 18)))
    assert all(230 <= length <= 250 for length in lengths(passages)[:-1])


def test_a_section_ends_a_passage_that_is_at_least_half_full() -> None:
    full = cut("file:x", document(("One",), prose(130), ("Two",), prose(50)))
    assert [(p.section, p.text.split()[0]) for p in full] == [("One", "One"), ("Two", "Two")]
    short = cut("file:x", document(("One",), prose(60), ("Two",), prose(50)))
    assert [p.section for p in short] == ["One"]


def test_no_passage_spans_a_section_left_out() -> None:
    paper = document(prose(30), ("References",), "A title of 1999.", ("Appendix",), prose(20))
    passages = cut("file:x", paper)
    assert [p.section for p in passages] == ["", "Appendix"]
    assert not any("1999" in p.text for p in passages)


def test_writing_without_spaces_is_cut_by_its_length() -> None:
    text = "字" * 3 * WORDS * LETTERS
    passages = cut("file:x", document(text))
    assert "".join(p.text for p in passages) == text
    assert [len(p.text) for p in passages] == [WORDS * LETTERS] * 3


def test_a_document_without_text_has_no_passages() -> None:
    assert cut("file:x", Document(text="")) == ()


def test_a_place_in_a_passage_over_a_page_border_has_the_page_it_stands_on() -> None:
    text = "On three. Still three. On four. On five."
    starts = [(0, 3), (text.index("On four"), 4), (text.index("On five"), 5)]
    paper = Document(text=text, pages=tuple(Page(start, number) for start, number in starts))
    (passage,) = cut("file:x", paper)
    assert passage.page == 3
    found = [passage.page_at(text.index(w)) for w in ("three", "Still", "On four", "four", "five")]
    assert found == [3, 3, 4, 4, 5]


def test_a_later_passage_knows_the_page_that_began_before_it() -> None:
    text = prose(600)
    last = len(text) - 20
    passages = cut("file:x", Document(text=text, pages=(Page(0, 1), Page(9, 2), Page(last, 3))))
    assert [p.page for p in passages] == [1, 2, 2]
    assert [p.pages for p in passages] == [((0, 1), (9, 2)), ((9, 2),), ((9, 2), (last, 3))]


def test_a_text_without_pages_has_none() -> None:
    (passage,) = cut("file:x", document("One sentence only."))
    assert passage.page is None
