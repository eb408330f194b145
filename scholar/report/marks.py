"""How quotes are named in a text: the number of their paper, and a letter."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

from scholar.report.words import citations_of, numbers_of
from scholar.values import Answer, Citation


class Marks:
    """The mark of each quote of `answer`: as in 3, or 3b where its paper has several.

    `quotes` are those of each paper by its id, in the order of the text.
    """

    def __init__(self, answer: Answer) -> None:
        self.quotes = {paper.id: citations_of(answer, paper.id) for paper in answer.bibliography}
        self._numbers = numbers_of(answer)
        self._letters = {
            citation: _letter(n) if len(quotes) > 1 else ""
            for quotes in self.quotes.values()
            for n, citation in enumerate(quotes)
        }

    def of(self, citation: Citation) -> str:
        """The mark of one quote; letters go on after z with aa."""
        return f"{self._numbers[citation.paper_id]}{self._letters[citation]}"

    def ordered(self, citations: Sequence[Citation]) -> list[Citation]:
        """The `citations`, each once, in the order of the references."""
        return sorted(dict.fromkeys(citations), key=self._place)

    def all_of(self, citations: Sequence[Citation]) -> list[str]:
        """The marks of `citations`, in the order of the references."""
        return list(map(self.of, self.ordered(citations)))

    def bracketed(self, citations: Sequence[Citation]) -> str:
        """The marks of `citations` as a text has them: `[1a, 3]`."""
        return f"[{', '.join(self.all_of(citations))}]"

    def _place(self, citation: Citation) -> tuple[int, int]:
        quotes = self.quotes[citation.paper_id]
        return self._numbers[citation.paper_id], quotes.index(citation)


def _letter(n: int) -> str:
    before, last = divmod(n, len(ascii_lowercase))
    return (_letter(before - 1) if before else "") + ascii_lowercase[last]
