"""Ideas and proposals as their readers see them: in a terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Console, Group, RenderableType
from rich.text import Text

from scholar.errors import UsageError
from scholar.report.idea_words import compared, fields, footer, told
from scholar.report.json import paper_to_json
from scholar.report.markdown import escaped, references
from scholar.report.marks import Marks
from scholar.report.terminal import hanging, write_block
from scholar.report.words import before_stop, numbers_of, reference
from scholar.text import plain, plain_line
from scholar.values import Answer, Citation, CitedSentence, Idea, Nearest, Part, Statement

_LABEL = 12


# JSON


def to_json(answer: Answer) -> dict[str, Any]:
    """The ideas as plain data, as `scholar/ideas.schema.json` describes them."""
    return {
        "run_id": answer.run_id,
        "topic": answer.question,
        "outcome": answer.outcome.value,
        "ideas": [_as_data(idea) for idea in answer.ideas],
        "proposal": [asdict(part) for part in answer.proposal],
        "bibliography": [paper_to_json(paper) for paper in answer.bibliography],
        "notes": list(answer.notes),
        "usage": asdict(answer.usage),
    }


def _as_data(idea: Idea) -> dict[str, Any]:
    data = asdict(idea)
    for hidden in ("roots", "standing"):
        data.pop(hidden)
    scores = asdict(idea.standing) if idea.standing else None
    if scores:
        scores |= scores.pop("criteria")
    return {
        **data,
        "grew_from": [asdict(root) for root in idea.roots],
        "scores": scores,
        "citations": [asdict(citation) for citation in idea.citations],
    }


def from_json(data: object, id: str) -> tuple[str, Idea]:
    """The topic of what `to_json` gave, and its idea `id`; raises UsageError."""
    known = data.get("ideas") if isinstance(data, Mapping) else None
    ideas = known if isinstance(known, list) else []
    wanted = next((idea for idea in ideas if str(idea.get("id")) == id), None)
    if not isinstance(data, Mapping) or wanted is None:
        ids = ", ".join(str(idea.get("id")) for idea in ideas) or "none"
        raise UsageError(f"There is no idea {id} in it; it has {ids}.")
    fields = {key: wanted.get(key) for key in Idea.__dataclass_fields__ if key in wanted}
    fields["roots"] = wanted.get("grew_from", [])
    fields["standing"] = _standing_in(wanted.get("scores"))
    try:
        idea = TypeAdapter(Idea).validate_python(fields)
    except ValidationError as error:
        raise UsageError(
            f"The idea {id} is not as scholar ideas --json writes it ({error.error_count()} "
            "faults); give such a file."
        ) from None
    return str(data.get("topic", "")), idea


def _standing_in(scores: object) -> dict[str, Any] | None:
    """A standing as `_as_data` spread it out."""
    if not isinstance(scores, Mapping):
        return None
    own = {key: scores[key] for key in ("place", "score", "low", "high") if key in scores}
    return {**own, "criteria": {key: scores[key] for key in scores if key not in own}}


# The terminal


def show(answer: Answer, console: Console) -> None:
    """Print the ideas, or the proposal, for a person, at the width of `console`."""
    for block in _blocks(answer):
        write_block(console, block, "")


def _blocks(answer: Answer) -> Iterator[RenderableType]:
    numbers = numbers_of(answer)
    if answer.proposal:
        yield Text(plain(answer.ideas[0].title), style="bold")
        for part in answer.proposal:
            yield Group(Text(plain(part.title), style="bold"), _prose(part, numbers))
    else:
        for idea in answer.ideas:
            yield Group(*_idea(idea, answer, numbers))
    if answer.bibliography:
        yield Group(*_papers(answer, numbers))
    if answer.notes:
        yield Group(*(Text(f"Note: {plain(note)}") for note in answer.notes))
    yield Group(*(Text(line, style="dim") for line in footer(answer)))


def _prose(part: Part, numbers: Mapping[str, int]) -> Text:
    prose = Text()
    for n, statement in enumerate(part.statements):
        prose.append(" " if n else "")
        prose.append_text(_cited(statement.text, statement.citations, numbers))
    return prose


def _cited(text: str, citations: Sequence[Citation], numbers: Mapping[str, int]) -> Text:
    text, stop = before_stop(text)
    marks = ", ".join(map(str, sorted({numbers[c.paper_id] for c in citations})))
    return Text.assemble(text, (f" [{marks}]" if marks else "", "cyan"), stop)


def _idea(idea: Idea, answer: Answer, numbers: Mapping[str, int]) -> Iterator[RenderableType]:
    yield hanging(f"{idea.id:>2}  ", plain(idea.title), style="bold")
    yield hanging("    ", " · ".join(told(idea, answer)), style="dim")
    yield hanging("    ", plain(idea.summary))
    for name, text in fields(idea):
        yield hanging(f"    {name:<{_LABEL}}", plain(text))
    if idea.grounds:
        lines = (_cited(s.text, s.citations, numbers) for s in idea.grounds)
        yield hanging(f"    {'Papers say':<{_LABEL}}", " ".join(line.plain for line in lines))
    for near in idea.novelty.nearest if idea.novelty else ():
        yield hanging(f"    {'Nearest':<{_LABEL}}", _near(near, numbers))
    if idea.novelty and idea.novelty.why:
        yield hanging(f"    {'Not checked':<{_LABEL}}", plain(idea.novelty.why))
    for work in idea.novelty.listed if idea.novelty else ():
        yield hanging(f"    {'Not read':<{_LABEL}}", plain(work))


def _near(near: Nearest, numbers: Mapping[str, int]) -> str:
    page = f", p. {near.citation.page}" if near.citation.page else ""
    quote = f"[{numbers[near.citation.paper_id]}{page}] “{plain_line(near.citation.quote)}”"
    return " ".join((quote, *(f"{name}: {plain(text)}" for name, text in compared(near))))


def _papers(answer: Answer, numbers: Mapping[str, int]) -> Iterator[RenderableType]:
    for paper in answer.bibliography:
        yield hanging(f"{numbers[paper.id]:2d}  ", reference(paper), style="bold")


# Markdown


def to_markdown(answer: Answer) -> str:
    """The ideas, or the proposal, with references; text of others is escaped."""
    return "\n\n".join(_markdown(answer)) + "\n"


def _markdown(answer: Answer) -> Iterator[str]:
    marks = Marks(answer)
    if answer.proposal:
        yield f"# {escaped(answer.ideas[0].title)}"
        for part in answer.proposal:
            yield f"## {escaped(part.title)}"
            yield " ".join(_sentence(statement, marks) for statement in part.statements)
    else:
        yield f"# Ideas: {escaped(answer.question)}"
        for idea in answer.ideas:
            yield from _idea_in_markdown(idea, answer, marks)
    if answer.bibliography:
        yield "## References"
        yield "\n".join(references(answer, marks))
    yield "## About this"
    notes = [f"- {escaped(note)}" for note in answer.notes]
    yield "\n".join((*notes, *(f"- {escaped(line)}." for line in footer(answer))))


def _idea_in_markdown(idea: Idea, answer: Answer, marks: Marks) -> Iterator[str]:
    yield f"## {idea.id}. {escaped(idea.title)}"
    yield f"*{escaped(' · '.join(told(idea, answer)))}*"
    yield escaped(idea.summary)
    if lines := [f"- **{name}.** {escaped(text)}" for name, text in fields(idea)]:
        yield "\n".join(lines)
    if idea.grounds:
        yield "What papers say: " + " ".join(_sentence(one, marks) for one in idea.grounds)
    if idea.roots:
        yield f"Grew from {marks.bracketed(idea.roots)}."
    if idea.novelty and (near := [_near_in_markdown(n, marks) for n in idea.novelty.nearest]):
        yield "\n".join(("Nearest prior work:\n", *near))
    if idea.novelty and idea.novelty.why:
        yield escaped(idea.novelty.why)
    if idea.novelty and idea.novelty.listed:
        yield f"Listed and not read: {escaped('; '.join(idea.novelty.listed))}"


def _near_in_markdown(near: Nearest, marks: Marks) -> str:
    quote = f"- {marks.bracketed([near.citation])} “{escaped(near.citation.quote)}”"
    return " ".join((quote, *(f"{name}: {escaped(text)}" for name, text in compared(near))))


def _sentence(statement: CitedSentence | Statement, marks: Marks) -> str:
    text, stop = before_stop(statement.text)
    cited = f" {marks.bracketed(statement.citations)}" if statement.citations else ""
    return f"{escaped(text)}{cited}{stop}"
