"""What every form of a report says of ideas in the same words, as text of others has it: whoever
shows it takes out what could steer a terminal and escapes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from scholar.events import Placed, Proposed
from scholar.report.timeline import Timed
from scholar.report.words import cost
from scholar.text import addresses, without_addresses
from scholar.values import Answer, Idea, IdeaNovelty, IdeaRoute, Nearest

VERDICTS: dict[IdeaNovelty, str] = {
    "new": "nothing found has it",
    "incremental": "part of it is there",
    "known": "known",
    "unchecked": "novelty not checked",
}
ROUTES: dict[IdeaRoute, str] = {
    "inspire": "from a paper",
    "brainstorm": "from the topic",
    "leap": "a leap",
    "user": "yours",
}
_SHORT_ID = 6


def verdict(idea: Idea) -> IdeaNovelty:
    """Whether prior work has the idea; `unchecked` where nobody looked."""
    return idea.novelty.verdict if idea.novelty else "unchecked"


def told(idea: Idea, answer: Answer) -> list[str]:
    """How new the idea is, whence it came, and, where it was ranked, where the jury puts it."""
    place = standing(idea, answer)
    return [VERDICTS[verdict(idea)], ROUTES[idea.route], *([place] if place else [])]


def standing(idea: Idea, answer: Answer) -> str:
    """Where the jury puts the idea, ties said as ties; empty where it was not ranked."""
    if idea.standing is None:
        return ""
    score, low, high = idea.standing.score, idea.standing.low, idea.standing.high
    return f"{place(idea, answer)}: {score:.2f} ({low:.2f} to {high:.2f})"


def place(idea: Idea, answer: Answer) -> str:
    """The place of the idea, as in `place 2, tied`; empty where it was not ranked."""
    if idea.standing is None:
        return ""
    places = Counter(other.standing.place for other in answer.ideas if other.standing)
    tied = ", tied" if places[idea.standing.place] > 1 else ""
    return f"place {idea.standing.place}{tied}"


def fields(idea: Idea) -> list[tuple[str, str]]:
    """What the idea says beside its summary, under the names that readers see."""
    trial = idea.experiment
    named = [
        ("Problem", idea.problem),
        ("Hypothesis", idea.hypothesis),
        ("Method", idea.method if idea.method != idea.summary else ""),
        ("Experiment", trial.what),
        ("Data", trial.data),
        ("Metric", trial.metric),
        ("Expected", idea.expected),
        ("Risks", "; ".join(risk.rstrip(".") for risk in idea.risks)),
        ("Scores", _criteria(idea)),
    ]
    return [(name, text) for name, text in named if text]


def _criteria(idea: Idea) -> str:
    scores = idea.standing.criteria if idea.standing else {}
    return ", ".join(f"{name} {score:.2f}" for name, score in scores.items())


def compared(near: Nearest) -> list[tuple[str, str]]:
    """What of the idea a quote of prior work has and has not, each a sentence under its name."""
    named = (("Same", near.same), ("Differs", near.differs))
    return [(name, f"{text.rstrip('.')}.") for name, text in named if text]


def searched(answer: Answer) -> str:
    """Against what the novelty of the ideas was judged; empty where nothing was searched."""
    if answer.proposal:
        return ""
    places = {place for i in answer.ideas if i.novelty for place in i.novelty.searched}
    return f"novelty is against what was searched: {', '.join(sorted(places))}" if places else ""


def footer(answer: Answer) -> Iterator[str]:
    """What stands below the ideas: what was searched, what it took, and how one is worked out."""
    if against := searched(answer):
        yield against
    yield cost(answer.usage)
    if answer.ideas and not answer.proposal:
        yield f"work one out: scholar ideas refine {short_id(answer, answer.ideas[0])}"


def short_id(answer: Answer, idea: Idea) -> str:
    """How an idea of a run is named on the command line."""
    return f"{answer.run_id[:_SHORT_ID]}.{idea.id}"


def not_kept(answer: Answer, events: Sequence[Timed]) -> list[str]:
    """The ideas that were proposed during the run and are not among those of `answer`, each with
    what was found of its novelty; those whose fate a note tells are left out.
    """
    verdicts: dict[str, IdeaNovelty | None] = {}
    for _, event in events:
        if isinstance(event, Proposed):
            verdicts = dict.fromkeys(event.titles) | verdicts
        elif isinstance(event, Placed):
            verdicts[event.title] = event.verdict
    allowed = addresses(answer.question)
    gone = {without_addresses(title, allowed): found for title, found in verdicts.items()}
    kept = {idea.title for idea in answer.ideas}
    return [
        f"“{title}”{f': {VERDICTS[found]}' if found else ''}"
        for title, found in gone.items()
        if title not in kept and not any(f"“{title}”" in note for note in answer.notes)
    ]
