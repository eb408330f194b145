"""Which papers a search may find."""

from __future__ import annotations

from dataclasses import dataclass

Years = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Filters:
    """What a paper must be to be found; what is empty lets all pass.

    `years` are the first and the last, either of them may be None. `venue`, `author` and `source`
    are words that must all stand there, in any case and with or without accents. `retracted` is
    None for all papers, False for those that have not been retracted, True for the others.
    """

    years: Years | None = None
    venue: str = ""
    author: str = ""
    source: str = ""
    collection: str = ""
    retracted: bool | None = None

    def __bool__(self) -> bool:
        """Whether anything is kept out."""
        return self != _ALL


_ALL = Filters()
