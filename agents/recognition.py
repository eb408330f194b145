"""Recognition: a model says which facts of the graph bear on a question, before the walk."""

from __future__ import annotations

from dataclasses import dataclass

from scholar import prompts
from scholar.agents.evidence import room, size
from scholar.backends.schema import Reply
from scholar.context import Context
from scholar.errors import ModelRefused, ReplyInvalid
from scholar.values import Step

MOST_SHOWN = 40
"""Facts that are shown, nearest first. Over the 40 MuSiQue questions, with a model that knows which
facts lead on, recall@5 and @10 are 0.762 and 0.856 with 10, 0.817 and 0.894 with 20, 0.873 and
0.912 with 40; by nearness alone they are 0.762 and 0.852.
"""
MOST_KEPT = 5
"""Facts that are kept, as many as HippoRAG 2 links a question to; 10 lose 0.008 and nothing."""
_LONGEST = 300
"""Characters of a fact that are shown: a longer one is a paragraph in the wrong field."""


class _Recognised(Reply):
    facts: list[str]


@dataclass(frozen=True, slots=True)
class _Labelled:
    id: str
    text: str


async def recognised(step: Step, context: Context) -> tuple[list[str] | None, list[str]]:
    """The facts to walk from for `step`, and notes; None where none is linked to it or the model
    cannot be read, so that their nearness decides.

    (HippoRAG 2: Gutiérrez et al. 2025, section 3. Where none stays, it ranks by the passages' own
    vectors; here the names in the question still lead on, where that has recall@5 and @10 of 0.860
    and 0.900 for 0.873 and 0.912.)
    """
    linked = await context.library.linked(step.query, MOST_SHOWN)
    if not linked:
        return None, []
    by_id = {f"f{n}": fact for n, fact in enumerate(linked, start=1)}
    shown = [_Labelled(id, fact[:_LONGEST]) for id, fact in by_id.items()]
    asked = {"question": step.question, "most": MOST_KEPT}
    shown = _fitting(shown, room(context, "recognise", **asked))
    try:
        reply = await context.ask(prompts.render("recognise", facts=shown, **asked), _Recognised)
    except (ReplyInvalid, ModelRefused) as error:
        return None, [f"The facts to start from were chosen by nearness alone: {error}"]
    offered = {fact.id for fact in shown}
    chosen = [id for id in dict.fromkeys(map(str.strip, reply.facts)) if id in offered]
    return [by_id[id] for id in chosen[:MOST_KEPT]], []


def _fitting(facts: list[_Labelled], room: int) -> list[_Labelled]:
    kept = []
    for fact in facts:
        room -= size(fact.text) + size(fact.id) + 20
        if room < 0:
            break
        kept.append(fact)
    return kept
