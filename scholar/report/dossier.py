"""All that a report shows of a run, gathered from where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scholar.report.timeline import Timed
from scholar.report.words import citations_of
from scholar.values import Answer, Passage

if TYPE_CHECKING:
    from scholar.library import Atlas, Library


@dataclass(frozen=True, slots=True, eq=False)
class Dossier:
    """An answer, the passages it quotes by id as far as they are still there, the papers around it,
    and the events of its run.
    """

    answer: Answer
    passages: Mapping[str, Passage] = field(default_factory=dict)
    atlas: Atlas | None = None
    events: Sequence[Timed] = ()


async def gather(answer: Answer, library: Library, events: Sequence[Timed] = ()) -> Dossier:
    """What reports of `answer` are made of. Raises LibraryError where it cannot be read."""
    ids = [paper.id for paper in answer.bibliography]
    quoted = dict.fromkeys(c.passage_id for id in ids for c in citations_of(answer, id))
    passages = {passage.id: passage for passage in await library.passages(list(quoted))}
    return Dossier(answer, passages, await library.atlas(ids), tuple(events))
