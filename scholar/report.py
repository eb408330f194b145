"""An answer as its readers see it: in a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scholar.text import plain as plain  # surfaces know it by this module
from scholar.values import (
    Answer,
    Citation,
    CitedConflict,
    CitedPremise,
    CitedSentence,
    Coverage,
    Outcome,
    Paper,
    Row,
    Usage,
    Verdict,
)

SET_A_MODEL = (
    "These are quotes. For a written answer set a model: "
    "scholar ask … --model openai:gpt-5-mini (or SCHOLAR_MODEL)."
)
_VOTES = {
    "accept": "accepts",
    "revise": "wants a revision",
    "search_more": "wants more evidence",
    "abstain": "would not answer",
}


def to_json(answer: Answer) -> dict[str, Any]:
    """The answer as plain data, as `scholar/answer.schema.json` describes it."""
    return {
        "run_id": answer.run_id,
        "question": answer.question,
        "outcome": answer.outcome.value,
        "sentences": [asdict(sentence) for sentence in answer.sentences],
        "conflicts": [asdict(conflict) for conflict in answer.conflicts],
        "stance": answer.stance,
        "basis": answer.basis,
        "premises": [asdict(premise) for premise in answer.premises],
        "bibliography": [paper_to_json(paper) for paper in answer.bibliography],
        "coverage": asdict(answer.coverage),
        "verdicts": [
            {"juror": v.juror, "action": v.action, "reasons": list(v.reasons), "failed": v.failed}
            for v in answer.verdicts
        ],
        "usage": asdict(answer.usage),
        "notes": list(answer.notes),
        "review": asdict(answer.review) if answer.review else None,
    }


def paper_to_json(paper: Paper) -> dict[str, Any]:
    """A paper as plain data, with `paper_id` for its id."""
    fields = asdict(paper)
    return {"paper_id": fields.pop("id"), **fields}


def show(answer: Answer, console: Console) -> None:
    """Print the answer for a person, at the width of `console`."""
    for block in _blocks(answer):
        with console.capture() as captured:
            console.print(block)
        # Columns are padded to the full width, which only clutters what is copied or piped.
        lines = (line.rstrip(" ") for line in captured.get().splitlines())
        console.file.write("\n".join(lines) + "\n\n")


def hanging(head: str, body: str, style: str = "") -> RenderableType:
    """`body` indented by the width of `head`, which stands before its first line."""
    grid = Table.grid(padding=0)
    grid.add_column(width=len(head), no_wrap=True)
    grid.add_column(overflow="fold")  # text without spaces, as of Chinese, is not cut short
    grid.add_row(Text(head, style="cyan"), Text(body, style=style))
    return grid


def reference(paper: Paper) -> str:
    """A paper in one line: authors, year, title, where it is found, and what of it is held."""
    who = authors(paper)
    when = str(paper.year) if paper.year else ""
    head = " ".join(part for part in (who, when) if part)
    where = identifier(paper)
    held = {"note": "note", "abstract": "abstract only", "record": "record only"}.get(paper.holds)
    newer = f"[{paper.newer} is out]" if paper.newer else ""
    tail = " ".join(part for part in (where, f"({held})" if held else "", newer) if part)
    retracted = "RETRACTED. " if paper.retracted else ""
    title = paper.title.rstrip(".")
    return plain(f"{retracted}{head}{', ' if head else ''}{title}.{' ' if tail else ''}{tail}")


def authors(paper: Paper) -> str:
    """The authors as a text names them: one, two, or the first *et al.*"""
    last = [name.split()[-1] for name in paper.authors if name.split()]
    if len(last) > 2 or "others" in last[1:]:
        return f"{last[0]} et al."
    return " and ".join(last)


def identifier(paper: Paper) -> str:
    """The public name of a paper: `arXiv:…`, `doi:…`, or nothing for a mere file."""
    if arxiv := paper.identifiers.get("arxiv"):
        return f"arXiv:{arxiv}{paper.version}"
    doi = paper.identifiers.get("doi")
    return f"doi:{doi}" if doi else ""


def vote(verdict: Verdict) -> str:
    """One juror's vote in words."""
    if verdict.failed:
        return f"{verdict.juror} abstains: {'; '.join(verdict.reasons)}"
    return f"{verdict.juror} {_VOTES[verdict.action]}"


def cost(usage: Usage) -> str:
    """What a run took, in one line; an unknown price is called unknown."""
    if not usage.calls:
        return f"no model calls, {usage.seconds:.1f} s"
    tokens = f"{'about ' if usage.estimated else ''}{usage.input_tokens + usage.output_tokens:,}"
    dollars = "price unknown" if usage.dollars is None else f"${usage.dollars:.4f}"
    calls = f"{usage.calls} call{'s' if usage.calls > 1 else ''}"
    if usage.cached:
        calls += f" ({usage.cached} answered from disk)"
    return f"{calls}, {tokens} tokens, {dollars}, {usage.seconds:.1f} s"


def _blocks(answer: Answer) -> Iterator[RenderableType]:
    numbers = {paper.id: n for n, paper in enumerate(answer.bibliography, start=1)}
    if head := _head(answer):
        yield head
    yield from _written(answer, numbers)
    if answer.outcome is Outcome.NO_EVIDENCE:
        yield _nothing_found(answer)
    if answer.bibliography:
        yield Group(*_bibliography(answer, numbers))
    if answer.notes:
        yield Group(*(Text(f"Note: {plain(note)}") for note in answer.notes))
    if dissent := [v for v in answer.verdicts if v.failed or v.action != "accept"]:
        yield Group(*map(_dissent, dissent))
    yield _footer(answer)


def _written(answer: Answer, numbers: dict[str, int]) -> Iterator[RenderableType]:
    """What was written, as against what it stands on; quotes alone are shown under their papers."""
    quotes_only = all(s.text == s.citations[0].quote for s in answer.sentences)
    if answer.sentences and not quotes_only:
        yield _prose(answer.sentences, numbers)
    for section in answer.review.sections if answer.review else ():
        prose = _prose(section.sentences, numbers)
        yield Group(Text(plain(section.title), style="bold"), prose)
    for premise in answer.premises:
        yield _premise(premise, numbers)
    for conflict in answer.conflicts:
        yield _conflict(conflict, numbers)
    if answer.review and answer.review.table:
        yield _side_by_side(answer, answer.review.table.columns, answer.review.table.rows)


_STANCES = {
    "supported": "Supported",
    "contradicted": "Contradicted",
    "mixed": "The evidence is mixed",
    "not_enough": "Not enough evidence to decide",
}
_BASES = {"indirect": "indirect evidence", "partial": "partial evidence"}


def _head(answer: Answer) -> Text | None:
    """The stance on a claim and how well it is founded, where there is something to say."""
    if not (answer.sentences or answer.conflicts):
        return None
    stance = _STANCES.get(answer.stance or "", "")
    basis = _BASES.get(answer.basis, "")
    if not (stance or basis):
        return None
    if not stance:
        return Text(f"On {basis}:", style="bold")
    return Text(f"{stance}{f', on {basis}' if basis else ''}.", style="bold")


def _premise(premise: CitedPremise, numbers: dict[str, int]) -> Text:
    """What the papers say of a thing that the question takes as given."""
    cited = sorted({numbers[citation.paper_id] for citation in premise.citations})
    said = {"supported": "support", "contradicted": "contradict", "mixed": "do not agree on"}
    verb = said[premise.stance]
    text = plain(premise.text).rstrip(".")
    marks = f" [{', '.join(map(str, cited))}]"
    return Text.assemble(
        (f"You take as given: {text}. The papers {verb} this", "bold"), (marks, "cyan"), "."
    )


def _prose(sentences: Sequence[CitedSentence], numbers: dict[str, int]) -> Text:
    prose = Text()
    for n, sentence in enumerate(sentences):
        prose.append(" " if n else "")
        prose.append_text(_cited(sentence, numbers))
    return prose


def _cited(sentence: CitedSentence, numbers: dict[str, int]) -> Text:
    """The sentence with the numbers of its papers before its full stop."""
    cited = sorted({numbers[citation.paper_id] for citation in sentence.citations})
    marks = f" [{', '.join(map(str, cited))}]"
    text = plain(sentence.text)
    stop = text[-1] if text.endswith((".", "!", "?")) else "."
    return Text.assemble(text.removesuffix(stop), (marks, "cyan"), stop)


def _conflict(conflict: CitedConflict, numbers: dict[str, int]) -> Group:
    about = plain(conflict.about).rstrip(".")
    head = f"The sources disagree: {about}." if about else "The sources disagree."
    sides = [Padding(_cited(side, numbers), (0, 0, 0, 2)) for side in conflict.sides]
    return Group(Text(head, style="bold"), *sides)


NOT_SAID = "not said"
"""What a cell of the table shows that no quote of its paper fills."""


def _side_by_side(answer: Answer, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """The table of papers, each row under the number of its paper."""
    table = Table("", box=SIMPLE_HEAD, pad_edge=False, show_lines=True)
    for column in columns:
        table.add_column(Text(plain(column)))
    numbers = {paper.id: n for n, paper in enumerate(answer.bibliography, start=1)}
    papers = {paper.id: paper for paper in answer.bibliography}
    for row in rows:
        name = Text.assemble(
            (f"[{numbers[row.paper_id]}]", "cyan"), f" {short(papers[row.paper_id])}"
        )
        cells = (
            Text(plain(cell.text)) if cell.text else Text(NOT_SAID, style="dim")
            for cell in row.cells
        )
        table.add_row(name, *cells)
    return table


def short(paper: Paper) -> str:
    """A paper as a table names it: authors and year, or where it has no authors its title."""
    who = authors(paper) or " ".join(paper.title.split()[:5])
    return plain(f"{who} {paper.year or ''}".strip())


def _bibliography(answer: Answer, numbers: dict[str, int]) -> Iterator[RenderableType]:
    for paper in answer.bibliography:
        yield hanging(f"{numbers[paper.id]:2d}  ", reference(paper), style="bold")
        for citation in citations_of(answer, paper.id):
            place = f"p. {citation.page}  " if citation.page else ""
            quote = " ".join(plain(citation.quote).split())
            yield hanging(f"      {place}", f"“{quote}”")


def citations_of(answer: Answer, paper_id: str) -> list[Citation]:
    """All that an answer quotes of one paper, each once, in the order of the text."""
    sides = [side for conflict in answer.conflicts for side in conflict.sides]
    sections = answer.review.sections if answer.review else ()
    written = [sentence for section in sections for sentence in section.sentences]
    parts: list[CitedSentence | CitedPremise] = [
        *answer.sentences,
        *written,
        *sides,
        *answer.premises,
    ]
    cited = [c for part in parts for c in part.citations]
    if answer.review and answer.review.table:
        cells = (cell for row in answer.review.table.rows for cell in row.cells)
        cited += [cell.citation for cell in cells if cell.citation]
    cited += [citation for idea in answer.ideas for citation in idea.citations]
    statements = (statement for part in answer.proposal for statement in part.statements)
    cited += [citation for statement in statements for citation in statement.citations]
    return [c for c in dict.fromkeys(cited) if c.paper_id == paper_id]


def _nothing_found(answer: Answer) -> Group:
    coverage = answer.coverage
    lines = [Text("The library does not answer this.", style="bold")]
    for query in coverage.searches:
        lines.append(Text(f"  searched for: {plain(query)}"))
    if coverage.found:
        lines.append(Text(f"  came near: {_papers(coverage.found)}, {_near(coverage)}."))
    lines += map(Text, _what_would_help(answer))
    return Group(*lines)


def _near(coverage: Coverage) -> str:
    if coverage.read:
        return f"{coverage.read} with quotes, none of which carries an answer"
    return "none with a sentence that answers it"


def _what_would_help(answer: Answer) -> Iterator[str]:
    wished = dict.fromkeys(verdict.query for verdict in answer.verdicts if verdict.query)
    wishes = [query for query in wished if query not in answer.coverage.searches]
    if wishes:
        yield f"The jury would look further for: {plain('; '.join(wishes))}."
    if answer.coverage.abstracts:
        held = answer.coverage.abstracts
        yield (
            f"The full text of {_papers(held)} found is not held; "
            "with the PDF, scholar add FILE.pdf reads it."
        )
    yield 'Add papers on it, for instance: scholar add --arxiv "…" --max 20, and ask again.'


def _papers(count: int) -> str:
    return f"{count} paper{'s' if count != 1 else ''}"


def _dissent(verdict: Verdict) -> Text:
    reasons = "" if verdict.failed else "; ".join(verdict.reasons)
    return Text(plain(f"Juror {vote(verdict)}{': ' if reasons else ''}{reasons}"), style="yellow")


def _not_quoted(coverage: Coverage) -> str:
    """Why papers found were not quoted from, and of how many the full text is not to be had."""
    reasons = [f"{n} {plain(reason)}" for reason, n in coverage.screened_out.items()]
    parts = [f"not quoted from: {'; '.join(reasons)}"] if reasons else []
    if coverage.abstracts:
        parts.append(f"no full text of {_papers(coverage.abstracts)}")
    return " · ".join(parts)


def _footer(answer: Answer) -> Group:
    coverage = answer.coverage
    parts = [f"quotes from {coverage.read} of {coverage.found} papers found"]
    if len(answer.bibliography) < coverage.read:
        parts[0] += f", {len(answer.bibliography)} cited"
    counted = [verdict for verdict in answer.verdicts if not verdict.failed]
    if counted:
        accepting = sum(verdict.action == "accept" for verdict in counted)
        parts.append(f"{accepting} of {len(answer.verdicts)} jurors accept")
    lines = [Text(" · ".join(parts), style="dim"), Text(cost(answer.usage), style="dim")]
    if answer.outcome is not Outcome.NO_EVIDENCE and coverage.searches:
        searches = plain("; ".join(coverage.searches))
        lines.insert(0, Text(f"searched for: {searches}", style="dim"))
    if unseen := _not_quoted(coverage):
        lines.insert(-1, Text(unseen, style="dim"))
    if answer.outcome is Outcome.EVIDENCE:
        lines.append(Text(SET_A_MODEL))
    return Group(*lines)
