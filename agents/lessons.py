"""Lessons: what past questions were searched by, offered to the planner where the user wants that.

They are learnt from what was verified alone: an answer that was published, and the quotes that it
cites. (After the World Knowledge Model, Qiao et al. 2024, section 3: what told success from failure
is shown to whoever plans next. Its states are questions here, and nothing is trained.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from scholar import prompts
from scholar.agents.evidence import FENCE, size
from scholar.context import Context
from scholar.errors import LibraryError
from scholar.prompts import Prompt
from scholar.state import State, draft_of
from scholar.values import Answer, Lesson, Outcome, Step

OFFERED = 3
"""Past questions that a planner is shown."""
PAID, BARREN = 4, 2
"""Searches of each that paid off, and that brought nothing: the first few tell the words to use."""
LONGEST_QUESTION, LONGEST_QUERY = 200, 120
"""Characters of each that are kept and shown; a query has 3 to 10 words."""
ROOM = 2_400
"""Bytes of all of them together: a tenth of a window of 8,000 tokens."""
_VERIFIED = frozenset((Outcome.ANSWERED, Outcome.PARTIAL, Outcome.CONFLICTING))


async def offered(question: str, context: Context) -> list[Lesson]:
    """The lessons of like questions, where the settings ask for them."""
    if not (context.settings.lessons and context.has_models):
        return []
    try:
        found = await context.library.lessons(question, OFFERED)
    except LibraryError:
        return []  # What is wrong with the library, its first search says.
    left, kept = ROOM, []
    for lesson in map(_bounded, found):
        left -= _taken(lesson)
        if left < 0:
            break
        kept.append(lesson)
    return kept


def with_lessons(prompt: Prompt, state: State) -> Prompt:
    """`prompt` with the lessons that the run was offered before its own material."""
    known = state.get("lessons")
    return prompt.after(prompts.render("lessons", lessons=known)) if known else prompt


def room_taken(state: State) -> int:
    """What the lessons take of a prompt's window, in `evidence.size`."""
    known = state.get("lessons")
    if not known:
        return 0
    prompt = prompts.render("lessons", lessons=known)
    return size(prompt.system) + size(prompt.user)


async def learn(state: State, answer: Answer, context: Context) -> Answer:
    """Keep what the run's searches led to, where the settings ask for that; the answer, with a note
    where that could not be kept.
    """
    lesson = _learnt(state, answer)
    if not context.settings.lessons or lesson is None:
        return answer
    try:
        await context.library.learn(answer.run_id, lesson, context.services.clock())
    except LibraryError as error:
        note = f"What was searched for is not kept for later questions: {error}"
        return replace(answer, notes=(*answer.notes, note))
    return answer


def _learnt(state: State, answer: Answer) -> Lesson | None:
    """What the run teaches; None where no answer was published that cites what a search found."""
    draft, cited = draft_of(state), _cited(answer)
    written = draft.sentences or draft.conflicts  # else bare quotes stand in for an answer
    if answer.outcome not in _VERIFIED or not written:
        return None
    worth: Counter[str] = Counter()
    for item in state.get("evidence", []):
        if (item.passage_id, item.start) in cited:
            worth.update(item.steps)
    searched = [step for step in state.get("steps", []) if step.query and step.op != "deduce"]
    paid = sorted((s for s in searched if worth[s.id]), key=lambda step: -worth[step.id])
    barren = (s for s in searched if s.status == "unsolved" and not worth[s.id])
    lesson = Lesson(answer.question, _queries(paid), _queries(barren))
    return _bounded(lesson) if lesson.paid else None


def _cited(answer: Answer) -> set[tuple[str, int]]:
    """Where the quotes stand that the answer cites."""
    sections = answer.review.sections if answer.review else ()
    sentences = (
        *answer.sentences,
        *answer.sides,
        *(sentence for section in sections for sentence in section.sentences),
    )
    return {(c.passage_id, c.start) for sentence in sentences for c in sentence.citations}


def _queries(steps: Iterable[Step]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.query for step in steps))


def _bounded(lesson: Lesson) -> Lesson:
    return Lesson(
        lesson.question[:LONGEST_QUESTION],
        tuple(query[:LONGEST_QUERY] for query in lesson.paid[:PAID]),
        tuple(query[:LONGEST_QUERY] for query in lesson.barren[:BARREN]),
    )


def _taken(lesson: Lesson) -> int:
    return sum(size(text) + FENCE for text in (lesson.question, *lesson.paid, *lesson.barren))
