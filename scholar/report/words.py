"""What every form of a report says in the same words, as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeVar
from urllib.parse import quote

from scholar.text import plain
from scholar.values import (
    Answer,
    Citation,
    CitedConflict,
    CitedPremise,
    CitedSentence,
    Coverage,
    Outcome,
    Paper,
    Usage,
    Verdict,
)

T = TypeVar("T")

SET_A_MODEL = (
    "These are quotes. For a written answer set a model: "
    "scholar ask … --model openai:gpt-5-mini (or SCHOLAR_MODEL)."
)
NOT_SAID = "not said"
"""What a cell of the table shows that no quote of its paper fills."""
PARAGRAPH = 6
"""Sentences after which a long text is broken: as many as a phone shows at once."""
NOTHING_FOUND = "The library does not answer this."
_VOTES = {
    "accept": "accepts",
    "revise": "wants a revision",
    "search_more": "wants more evidence",
    "abstain": "would not answer",
}
_STANCES = {
    "supported": "Supported",
    "contradicted": "Contradicted",
    "mixed": "The evidence is mixed",
    "not_enough": "Not enough evidence to decide",
}
_BASES = {"indirect": "indirect evidence", "partial": "partial evidence"}
_SAID = {"supported": "support", "contradicted": "contradict", "mixed": "do not agree on"}
_HELD = {"note": "note", "abstract": "abstract only", "record": "record only"}


def reference(paper: Paper) -> str:
    """A paper in one line: authors, year, title, where it is found, and what of it is held."""
    who = authors(paper)
    when = str(paper.year) if paper.year else ""
    head = " ".join(part for part in (who, when) if part)
    tail = " ".join(part for part in (identifier(paper), *remarks(paper)) if part)
    retracted = "RETRACTED. " if paper.retracted else ""
    title = paper.title.rstrip(".")
    return plain(f"{retracted}{head}{', ' if head else ''}{title}.{' ' if tail else ''}{tail}")


def remarks(paper: Paper) -> Iterator[str]:
    """What of a paper is held, where that is not all, and the version that has come out since."""
    if held := _HELD.get(paper.holds):
        yield f"({held})"
    if paper.newer:
        yield f"[{paper.newer} is out]"


def authors(paper: Paper) -> str:
    """The authors as a text names them: one, two, or the first *et al.*"""
    last = [name.split()[-1] for name in paper.authors if name.split()]
    if len(last) > 2 or "others" in last[1:]:
        return f"{last[0]} et al."
    return " and ".join(last)


def identifier(paper: Paper) -> str:
    """The public name of a paper: `arXiv:…`, `doi:…`, or nothing for a mere file."""
    if arxiv := arxiv_name(paper):
        return f"arXiv:{arxiv}"
    doi = paper.identifiers.get("doi")
    return f"doi:{doi}" if doi else ""


def arxiv_name(paper: Paper) -> str:
    """What arXiv calls a paper, with its version; empty where it has none."""
    arxiv = paper.identifiers.get("arxiv", "")
    return f"{arxiv}{paper.version}" if arxiv else ""


def address(paper: Paper) -> str:
    """Where a browser finds a paper: at arXiv, by its DOI, or where it came from on the web."""
    if arxiv := arxiv_name(paper):
        return f"https://arxiv.org/abs/{quote(arxiv)}"
    if doi := paper.identifiers.get("doi"):
        return f"https://doi.org/{quote(doi)}"
    return paper.source if paper.source.startswith(("https://", "http://")) else ""


def short(paper: Paper) -> str:
    """A paper as a table names it: authors and year, or where it has no authors its title."""
    who = authors(paper) or " ".join(paper.title.split()[:5])
    return plain(f"{who} {paper.year or ''}".strip())


def vote(verdict: Verdict) -> str:
    """One juror's vote in words."""
    if verdict.failed:
        return f"{verdict.juror} abstains: {'; '.join(verdict.reasons)}"
    return f"{verdict.juror} {voted(verdict)}"


def voted(verdict: Verdict) -> str:
    """What a juror does, after its name."""
    return "abstains" if verdict.failed else _VOTES[verdict.action]


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


def about_ideas(answer: Answer) -> bool:
    """Whether an answer is ideas or a proposal; where none came it reads as any other answer."""
    return bool(answer.ideas or answer.proposal)


def numbers_of(answer: Answer) -> dict[str, int]:
    """The number of each paper in the bibliography, by id."""
    return {paper.id: n for n, paper in enumerate(answer.bibliography, start=1)}


def quotes_only(answer: Answer) -> bool:
    """Whether nothing was written, so that the sentences of the answer are its quotes."""
    return all(s.text == s.citations[0].quote for s in answer.sentences)


def finding(answer: Answer) -> str:
    """The stance on a claim and how well it is founded; empty where there is nothing to say."""
    if not (answer.sentences or answer.conflicts):
        return ""
    stance = _STANCES.get(answer.stance or "", "")
    basis = _BASES.get(answer.basis, "")
    if not stance:
        return f"On {basis}:" if basis else ""
    return f"{stance}{f', on {basis}' if basis else ''}."


def taken_as_given(premise: CitedPremise) -> str:
    """What the papers say of a thing that the question takes as given, without a full stop."""
    return f"You take as given: {_clause(premise.text)}. The papers {_SAID[premise.stance]} this"


def disagreement(conflict: CitedConflict) -> str:
    """What the sources disagree about, as a sentence."""
    about = _clause(conflict.about)
    return f"The sources disagree: {about}." if about else "The sources disagree."


def before_stop(text: str) -> tuple[str, str]:
    """A sentence and its last mark, between which its citations stand."""
    text = plain(text)
    stop = text[-1] if text.endswith((".", "!", "?")) else "."
    return text.removesuffix(stop), stop


def paragraphs(sentences: Sequence[T]) -> list[Sequence[T]]:
    """`sentences` in paragraphs of about PARAGRAPH each."""
    parts = max(1, round(len(sentences) / PARAGRAPH))
    ends = [len(sentences) * n // parts for n in range(parts + 1)]
    return [sentences[start:end] for start, end in pairwise(ends)]


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
    cited += [citation for idea in answer.ideas for citation in idea.citations]
    statements = (statement for part in answer.proposal for statement in part.statements)
    cited += [citation for statement in statements for citation in statement.citations]
    if answer.review and answer.review.table:
        cells = (cell for row in answer.review.table.rows for cell in row.cells)
        cited += [cell.citation for cell in cells if cell.citation]
    return [c for c in dict.fromkeys(cited) if c.paper_id == paper_id]


def came_near(coverage: Coverage) -> str:
    """How near the search came to what it did not find."""
    if coverage.read:
        near = f"{coverage.read} with quotes, none of which carries an answer"
    else:
        near = "none with a sentence that answers it"
    return f"{count(coverage.found, 'paper')}, {near}"


def what_would_help(answer: Answer) -> Iterator[str]:
    """What to do where nothing was found, a sentence each."""
    wished = dict.fromkeys(verdict.query for verdict in answer.verdicts if verdict.query)
    wishes = [query for query in wished if query not in answer.coverage.searches]
    if wishes:
        yield f"The jury would look further for: {plain('; '.join(wishes))}."
    if answer.coverage.abstracts:
        held = answer.coverage.abstracts
        yield (
            f"The full text of {count(held, 'paper')} found is not held; "
            "with the PDF, scholar add FILE.pdf reads it."
        )
    yield 'Add papers on it, for instance: scholar add --arxiv "…" --max 20, and ask again.'


def dissent(answer: Answer) -> list[str]:
    """The votes that do not accept, each with its reasons."""
    return [juror(v) for v in answer.verdicts if v.failed or v.action != "accept"]


def juror(verdict: Verdict) -> str:
    """One juror's vote and the reasons for it."""
    reasons = "" if verdict.failed else "; ".join(verdict.reasons)
    return plain(f"Juror {vote(verdict)}{': ' if reasons else ''}{reasons}")


def accepted(answer: Answer) -> str:
    """How many jurors accept; empty where none has voted."""
    counted = [verdict for verdict in answer.verdicts if not verdict.failed]
    accepting = sum(verdict.action == "accept" for verdict in counted)
    return f"{accepting} of {len(answer.verdicts)} jurors accept" if counted else ""


def looked_at(answer: Answer) -> str:
    """Of how many of the papers found there are quotes, and how many of those are cited."""
    coverage = answer.coverage
    text = f"quotes from {coverage.read} of {coverage.found} papers found"
    if len(answer.bibliography) < coverage.read:
        text += f", {len(answer.bibliography)} cited"
    return text


def searched_for(answer: Answer) -> str:
    """The searches, where some were made and the answer does not list them itself."""
    if answer.outcome is Outcome.NO_EVIDENCE or not answer.coverage.searches:
        return ""
    return f"searched for: {plain('; '.join(answer.coverage.searches))}"


def not_quoted(coverage: Coverage) -> str:
    """Why papers found were not quoted from, and of how many the full text is not to be had."""
    reasons = [f"{n} {plain(reason)}" for reason, n in coverage.screened_out.items()]
    parts = [f"not quoted from: {'; '.join(reasons)}"] if reasons else []
    if coverage.abstracts:
        parts.append(f"no full text of {count(coverage.abstracts, 'paper')}")
    return " · ".join(parts)


def count(n: int, what: str) -> str:
    """As in `1 paper` and `2 papers`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _clause(text: str) -> str:
    return plain(text).rstrip(".")
