"""What becomes of the ideas before they are ranked: a person's choice, and the place of known ones.

A person may keep, drop, merge and edit ideas and ask for more like one; whoever asks for N new
ones gets others in place of those that prior work has. What is new comes back here worked out and
checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from scholar import prompts
from scholar.agents import tournament
from scholar.agents.evidence import FENCE, room, size
from scholar.agents.ideas import MOST_IDEAS, SUMMARY, brief, title_of
from scholar.agents.likeness import distinct, parents_of
from scholar.backends.schema import Reply
from scholar.context import Context
from scholar.errors import ModelError
from scholar.events import Proposed
from scholar.state import State, Update, Wish
from scholar.values import Idea, IdeaRoute, Inquiry

CHOICES = 5
"""Times that a person may change the ideas of one run; each change is worked out and checked."""
REPLACEMENTS = 2
"""Times that known ideas are replaced; a topic that yields no new ones then is worked out."""
MORE = 2
"""Ideas that are like one a person wants more of."""
EDITABLE = ("title", "summary", "problem", "hypothesis", "method", "expected")
"""Fields of an idea that a person may write anew."""
_EDIT = 1_500
HOW = (
    "A list of what to do, in order, each of them one of: "
    '{"do": "keep", "ids": [...]}, {"do": "drop", "ids": [...]}, {"do": "merge", "ids": [...]}, '
    '{"do": "more", "ids": [...]}, {"do": "edit", "ids": [...], "field": "summary", "text": "…"}; '
    "an empty list goes on to the ranking."
)


class _Varied(Reply):
    title: str
    idea: str


class _Variants(Reply):
    ideas: list[_Varied]


@dataclass(frozen=True, slots=True)
class _ShownIdea:
    id: str
    text: str
    chosen: bool
    known: str


async def choose(state: State, context: Context) -> Update:
    """Let a person choose among the ideas, or ask for others in place of known ones."""
    if state.get("failure"):
        return {}
    if state.get("new") and (wish := _replacement(state)):
        return {"wishes": [wish], "choices": state.get("choices", 0) + 1}
    if not state.get("interactive") or state.get("choices", 0) >= CHOICES:
        return {"wishes": []}
    if not context.has_person:
        return {"wishes": [], "notes": ["Nobody was there to choose among the ideas."]}
    text = "Keep, drop, merge or edit ideas, or ask for more like one, before they are ranked."
    detail = {"ideas": [_told(idea) for idea in state["ideas"]], "takes": HOW}
    reply = await context.consult(Inquiry("ideas", text, detail))
    ideas, wishes = chosen(state["ideas"], reply)
    again = bool(wishes) or any(idea.novelty is None for idea in ideas)
    return {"ideas": ideas, "wishes": wishes, "choices": state.get("choices", 0) + again}


def _replacement(state: State) -> Wish | None:
    """The wish for others in place of known ideas, where as many new ones as asked for lack."""
    known = tuple(idea.id for idea in state["ideas"] if is_known(idea))
    lacking = state["new"] - (len(state["ideas"]) - len(known))
    if lacking <= 0 or state.get("choices", 0) >= REPLACEMENTS:
        return None
    return Wish("replace", known, lacking)


def is_known(idea: Idea) -> bool:
    """Whether prior work has the idea."""
    return idea.novelty is not None and idea.novelty.verdict == "known"


def _told(idea: Idea) -> dict[str, Any]:
    novelty = idea.novelty.verdict if idea.novelty else "unchecked"
    fields = {name: getattr(idea, name) for name in EDITABLE}
    return {"id": idea.id, "route": idea.route, "novelty": novelty, **fields}


def chosen(ideas: Sequence[Idea], reply: object) -> tuple[list[Idea], list[Wish]]:
    """`ideas` after what `reply` asks for in code, and what of it a model has to do.

    What names no idea or no thing to do is passed over.
    """
    kept = {idea.id: idea for idea in ideas}
    wishes: list[Wish] = []
    for item in reply if isinstance(reply, list) else []:
        if not isinstance(item, Mapping):
            continue
        named = item.get("ids")
        given = map(str, named if isinstance(named, list) else [])
        ids = tuple(id for id in dict.fromkeys(given) if id in kept)
        do = item.get("do")
        if do == "keep" and ids:
            kept = {id: idea for id, idea in kept.items() if id in ids}
        elif do == "drop":
            kept = {id: idea for id, idea in kept.items() if id not in ids}
        elif do == "edit" and ids:
            kept[ids[0]] = _edited(kept[ids[0]], item.get("field", "summary"), item.get("text"))
        elif do == "merge" and len(ids) > 1:
            wishes.append(Wish("merge", ids))
        elif do == "more" and ids:
            wishes.append(Wish("more", ids[:1], MORE))
    still = [w for w in wishes if all(id in kept for id in w.ids)]
    return list(kept.values()), still


def _edited(idea: Idea, field: object, text: object) -> Idea:
    """`idea` in a person's words; a change of substance has to be checked for novelty again."""
    if field not in EDITABLE or not isinstance(text, str) or not text.strip():
        return idea
    written: dict[str, Any] = {str(field): brief(text, _EDIT)}
    idea = replace(idea, **written)
    if field in ("summary", "hypothesis", "method"):
        return replace(idea, novelty=None, claims=(), standing=None)
    return idea


async def alter(state: State, context: Context) -> Update:
    """Carry out what is wished: merge ideas, find more like one, replace known ones.

    A wish that a model does not fulfil leaves the ideas as they are, which is told.
    """
    ideas = list(state["ideas"])
    made, notes = state.get("made", len(ideas)), []
    for wish in state.get("wishes", []):
        try:
            variants = await _varied(wish, ideas, state, context)
        except ModelError as error:
            notes.append(f"{_NOT_DONE[wish.do]}: {error}")
            continue
        fresh = [_of(variant, wish, ideas, made + n) for n, variant in enumerate(variants, 1)]
        made += len(fresh)
        if wish.do == "merge" and fresh:
            ideas = [idea for idea in ideas if idea.id not in wish.ids]
        kept, merged = await distinct([*ideas, *fresh], context.library)
        new = {idea.id for idea in fresh}
        if wish.do == "replace":
            some = sum(idea.id in new for idea in kept)
            known = wish.ids[:some]
            kept = [idea for idea in kept if idea.id not in known]
        ideas, notes = kept, [*notes, *merged]
    context.emit(Proposed(tuple(idea.title for idea in ideas)))
    return {"ideas": ideas, "made": made, "wishes": [], "notes": notes}


_NOT_DONE: dict[Literal["merge", "more", "replace"], str] = {
    "merge": "The ideas were not merged",
    "more": "No more like it were found",
    "replace": "Known ideas were not replaced",
}


async def _varied(
    wish: Wish, ideas: Sequence[Idea], state: State, context: Context
) -> list[_Varied]:
    most = min(wish.most, MOST_IDEAS)
    asked = {"question": state["question"], "do": wish.do, "most": most}
    space = room(context, "vary", **asked)
    # Those that are meant come first, since a small window may not have room for all.
    order = sorted(ideas, key=lambda idea: idea.id not in wish.ids)
    shown = [_as_shown(idea, wish) for idea in order]
    while len(shown) > 1 and sum(size(one.text + one.known) + FENCE for one in shown) > space:
        shown.pop()
    prompt = prompts.render("vary", ideas=shown, **asked)
    return (await context.ask(prompt, _Variants)).ideas[:most]


def _as_shown(idea: Idea, wish: Wish) -> _ShownIdea:
    nearest = idea.novelty.nearest[:1] if idea.novelty and is_known(idea) else ()
    known = " ".join(near.citation.quote for near in nearest)
    return _ShownIdea(idea.id, f"{idea.title}. {idea.summary}", idea.id in wish.ids, known)


def _of(variant: _Varied, wish: Wish, ideas: Iterable[Idea], id: int) -> Idea:
    """The idea that a wish has brought, of the route and on the quotes of those it comes from."""
    origins = [idea for idea in ideas if idea.id in wish.ids] if wish.do != "replace" else []
    route: IdeaRoute = origins[0].route if origins else "brainstorm"
    roots = tuple(dict.fromkeys(root for idea in origins for root in idea.roots))
    title, summary = title_of(variant.title), brief(variant.idea, SUMMARY)
    return Idea(str(id), title, route, summary, parents=parents_of(roots), roots=roots)


@dataclass(frozen=True, slots=True)
class _Contender:
    """An idea as jurors compare it."""

    id: str
    title: str
    text: str


def _judged(idea: Idea) -> str:
    """What jurors are shown of an idea: without its experiment and what is nearest to it nobody
    could tell how feasible or how new it is.
    """
    first = idea.experiment
    parts = [idea.text]
    if first.what:
        parts.append(f"First experiment: {first.what} Data: {first.data} Metric: {first.metric}")
    for near in idea.novelty.nearest[:2] if idea.novelty else ():
        parts.append(f"Nearest prior work: “{near.citation.quote}”")
        parts.append(f"Same: {near.same} Differs: {near.differs}")
    return "\n".join(parts)


async def rank(state: State, context: Context) -> Update:
    """Put the ideas into the order in which the jury prefers them, as far as the budget goes."""
    ideas = state["ideas"]
    if state.get("failure") or len(ideas) < 2:
        return {}
    contenders = [_Contender(idea.id, idea.title, _judged(idea)) for idea in ideas]
    ranking = await tournament.rank(contenders, state["question"], context)
    ranked = [replace(idea, standing=ranking.standings.get(idea.id)) for idea in ideas]
    return {"ideas": ranked, "notes": list(ranking.notes)}
