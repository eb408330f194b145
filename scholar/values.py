"""The vocabulary of `scholar` as frozen values. No I/O, and no import of ours.

Offsets are always counted in characters of a paper's stored text, `end` exclusive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Origin = Literal["corpus", "graph", "qa_memory", "web", "user", "parametric"]
Holding = Literal["full", "abstract", "note", "record"]
Action = Literal["accept", "revise", "search_more", "abstain"]
Help = Literal["answers", "partly", "background"]
Stance = Literal["supported", "contradicted", "mixed", "not_enough"]
Basis = Literal["direct", "indirect", "partial"]
Task = Literal["answer", "ideas", "proposal", "review"]
IdeaRoute = Literal["inspire", "brainstorm", "leap", "user"]
IdeaNovelty = Literal["new", "incremental", "known", "unchecked"]
Status = Literal["waiting", "open", "solved", "corrected", "partly", "unsolved"]


class Outcome(StrEnum):
    """How a run ended."""

    ANSWERED = "answered"
    EVIDENCE = "evidence"
    PARTIAL = "partial"
    CONFLICTING = "conflicting"
    NO_EVIDENCE = "no_evidence"
    BUDGET_SPENT = "budget_spent"
    TOOLS_FAILED = "tools_failed"
    MODEL_FAILED = "model_failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Paper:
    """One work.

    `id` is canonical: `arxiv:2502.14802`, `doi:10.1000/x` or `file:<sha256 prefix>`. `holds` says
    what text of it the library has: the full text, its abstract, somebody's note on it, or the
    bibliographic record alone. `source` is the file or address it came from. `newer` names a later
    version than the one that is stored, where one is known to exist.
    """

    id: str
    title: str
    authors: tuple[str, ...] = ()
    year: int | None = None
    venue: str = ""
    identifiers: dict[str, str] = field(default_factory=dict)
    version: str = ""
    holds: Holding = "full"
    source: str = ""
    retracted: bool = False
    newer: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A span of one paper's stored text.

    `pages` holds, for a paper that has pages, where each page the passage touches begins: pairs of
    an offset and a page number, ascending, the first at or before `start`.
    """

    id: str
    paper_id: str
    seq: int
    start: int
    end: int
    text: str
    section: str = ""
    pages: tuple[tuple[int, int], ...] = ()

    @property
    def page(self) -> int | None:
        """The page on which the passage begins."""
        return self.page_at(self.start)

    def page_at(self, offset: int) -> int | None:
        """The page on which the character at `offset` of the paper's stored text stands."""
        return max((number for start, number in self.pages if start <= offset), default=None)


@dataclass(frozen=True, slots=True)
class Reference:
    """A work that a paper cites, as its bibliography says it; `text` is the entry as printed.

    `identifiers` has keys such as "doi" and "arxiv" (without version). What is not said is empty.
    """

    text: str
    title: str = ""
    authors: tuple[str, ...] = ()
    year: int | None = None
    identifiers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fact:
    """A triple, and the ids of the passages that state it."""

    subject: str
    relation: str
    object: str
    passages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """What a paper is about, for finding ideas in it (SciPIP)."""

    paper_id: str
    problem: str
    approach: str
    motivations: tuple[str, ...] = ()
    contributions: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found by a search, with its score per ranking (`bm25`, `dense`, `fused`)."""

    passage_id: str
    paper_id: str
    scores: dict[str, float]
    step: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verbatim quote with its place; `quote` is exactly the stored text from `start` to `end`.

    `says` is the short answer that it implies, by which evidence is grouped; `answers` are those
    that it gives to single steps, as pairs of a step's id and the answer.
    """

    id: str
    quote: str
    paper_id: str
    passage_id: str
    start: int
    end: int
    page: int | None = None
    origin: Origin = "corpus"
    steps: tuple[str, ...] = ()
    helps: Help = "answers"
    score: float = 0.0
    says: str = ""
    answers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the plan: a question of its own, and how it is worked on.

    A `retrieve` step searches for `query`, a `tool` step calls `tool` with `arguments` (pairs), a
    `deduce` step is answered from its parents' answers. `#s1` in question, query or arguments
    stands for the answer of the step s1, one of its `parents`. `prior` is what a model said before
    anything was read: it steers and is never cited. `answer` is what the evidence gives. `k` is the
    passages to read for it, 0 for as many as the run is set to, and `tries` how often it
    was searched for deeper because nothing had been found.
    """

    id: str
    question: str
    query: str
    status: Status = "open"
    op: Literal["retrieve", "tool", "deduce"] = "retrieve"
    parents: tuple[str, ...] = ()
    prior: str = ""
    answer: str = ""
    tool: str = ""
    arguments: tuple[tuple[str, str], ...] = ()
    k: int = 0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Prior:
    """What a model believes about the question before anything is read; never evidence.

    `answer` is empty where it does not know; `sure` is how sure it is, 0 to 1.
    """

    answer: str
    sure: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a past question was searched by: queries that led to quotes its published answer cites,
    best first, and queries that brought nothing.
    """

    question: str
    paid: tuple[str, ...] = ()
    barren: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a draft and the ids of the evidence it rests on.

    `section` is the number of the review's section it stands in, 0 for none.
    """

    text: str
    evidence: tuple[str, ...] = ()
    section: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a review as it is planned: what it is to say, from which evidence, by id."""

    title: str
    says: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table of papers, and the question that its cells answer."""

    name: str
    asks: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A point on which the sources disagree, with one sentence per side."""

    about: str
    sides: tuple[Sentence, ...]


@dataclass(frozen=True, slots=True)
class Premise:
    """What the user asserts, and what the evidence says of it."""

    text: str
    stance: Stance
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What the writer proposes.

    `missing` says what of the question no evidence answers. `stance` is None unless the question
    asks whether a claim holds. `basis` says how the evidence bears on the question as a whole.
    """

    sentences: tuple[Sentence, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    missing: str = ""
    stance: Stance | None = None
    basis: Basis = "direct"
    premises: tuple[Premise, ...] = ()

    @property
    def sides(self) -> tuple[Sentence, ...]:
        """The sentences of all conflicts, in order."""
        return tuple(side for conflict in self.conflicts for side in conflict.sides)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One juror's vote. A juror that could not be read has `failed` set and is not counted."""

    juror: str
    action: Action
    reasons: tuple[str, ...] = ()
    query: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model. `dollars` is None where the price is not known.

    `estimated` marks token counts that the server did not report. A `cached` call was answered from
    disk: no request left, no token was used. `gpu_seconds` are those of a GPU of the user's own.
    `node` is the box of the state machine that asked.
    """

    role: str
    model: str
    input_tokens: int
    output_tokens: int
    seconds: float
    dollars: float | None = None
    estimated: bool = False
    failed: bool = False
    cached: bool = False
    gpu_seconds: float = 0.0
    node: str = ""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a person is asked before a run goes on: `text` in words, `detail` as JSON values.

    The reply to one about a tool is True or False; what the other kinds take is said where they
    are asked.
    """

    kind: Literal["tool", "plan", "ideas"]
    text: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run has cost. `dollars` is None as soon as one call's price is not known.

    `cached` of the `calls` were answered from disk.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    dollars: float | None = 0.0
    estimated: bool = False
    cached: int = 0
    gpu_seconds: float = 0.0

    @classmethod
    def of(cls, calls: Iterable[Call], seconds: float) -> Usage:
        """The sum over `calls`, with the wall-clock `seconds` of the whole run."""
        calls = tuple(calls)
        prices = [call.dollars for call in calls]
        known = [price for price in prices if price is not None]
        return cls(
            calls=len(calls),
            input_tokens=sum(call.input_tokens for call in calls),
            output_tokens=sum(call.output_tokens for call in calls),
            seconds=round(seconds, 3),
            dollars=round(sum(known), 6) if len(known) == len(prices) else None,
            estimated=any(call.estimated for call in calls),
            cached=sum(call.cached for call in calls),
            gpu_seconds=round(sum(call.gpu_seconds for call in calls), 3),
        )


@dataclass(frozen=True, slots=True)
class Citation:
    """A verified quote under a published sentence."""

    paper_id: str
    passage_id: str
    quote: str
    start: int
    end: int
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """What one paper says under one column, and the quote that says it; empty where none does."""

    text: str = ""
    citation: Citation | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One paper of the table: a cell for each column."""

    paper_id: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The papers of a review side by side."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class CitedSentence:
    """A published sentence with the quotes that carry it; there is always at least one."""

    text: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class CitedConflict:
    """A published disagreement: each side with its own quotes."""

    about: str
    sides: tuple[CitedSentence, ...]


@dataclass(frozen=True, slots=True)
class CitedSection:
    """A published section of a review; there is always at least one sentence."""

    title: str
    sentences: tuple[CitedSentence, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """What a review has beside its summary, which are the sentences of the answer."""

    sections: tuple[CitedSection, ...]
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Seed:
    """What one route found for ideas to grow from: a thought, and the quotes that gave rise to it.

    `route` is how it was found: in a paper, from the topic alone, or by a leap between concepts.
    """

    route: IdeaRoute
    text: str
    roots: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Experiment:
    """The first experiment of an idea: what is done, on which data, judged by which metric."""

    what: str = ""
    data: str = ""
    metric: str = ""


@dataclass(frozen=True, slots=True)
class Nearest:
    """A quote from prior work that is near to an idea, with what is the same and what differs.

    Both are empty where nobody has judged the quote, which is then the nearest by its words.
    """

    citation: Citation
    same: str = ""
    differs: str = ""


@dataclass(frozen=True, slots=True)
class Novelty:
    """Whether prior work has an idea already, by the nearest passages of what was searched.

    `unchecked` is an idea whose search or judgement failed, and `why` then says so. `listed` are
    works that a service outside lists for it, which were not read.
    """

    verdict: IdeaNovelty
    nearest: tuple[Nearest, ...] = ()
    searched: tuple[str, ...] = ()
    why: str = ""
    listed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the jury's comparisons put an idea. `score` is the chance that it is preferred to an
    average one of those compared, `low` to `high` its interval, and `criteria` the same by
    criterion. Ideas whose intervals overlap are tied and share a `place`, unless others part them.
    """

    place: int
    score: float
    low: float
    high: float
    criteria: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Idea:
    """A research idea. `grounds` are what it says of papers, each on quotes; all else is proposed.

    `roots` are the quotes that it grew from and `parents` their papers; `claims` say what of it is
    held to be new. One that was not worked out has a `summary` alone.
    """

    id: str
    title: str
    route: IdeaRoute
    summary: str
    problem: str = ""
    hypothesis: str = ""
    method: str = ""
    experiment: Experiment = Experiment()
    expected: str = ""
    risks: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    roots: tuple[Citation, ...] = ()
    grounds: tuple[CitedSentence, ...] = ()
    novelty: Novelty | None = None
    standing: Standing | None = None

    @property
    def text(self) -> str:
        """What is proposed, as one text: by this ideas are compared."""
        parts = (self.title, self.summary, self.hypothesis, self.method)
        return " ".join(part if part.endswith((".", "?")) else f"{part}." for part in parts if part)

    @property
    def citations(self) -> tuple[Citation, ...]:
        """All its quotes, each once: those it grew from, those it cites, those nearest to it."""
        nearest = self.novelty.nearest if self.novelty else ()
        cited = (citation for sentence in self.grounds for citation in sentence.citations)
        return tuple(dict.fromkeys((*self.roots, *cited, *(near.citation for near in nearest))))


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of a proposal: cited where it speaks of papers, else the proposer's own."""

    text: str
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a proposal under its heading."""

    title: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class CitedPremise:
    """What the user asserted, and the quotes that speak for or against it."""

    text: str
    stance: Stance
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was looked at: searches made; papers found, quoted from, and found but not quoted.

    Of the papers found, `abstracts` are held without their full text. `screened_out` says why those
    that were not quoted from were not.
    """

    searches: tuple[str, ...] = ()
    found: int = 0
    read: int = 0
    unread: int = 0
    abstracts: int = 0
    screened_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run publishes. `notes` say in words what a reader must know beside the answer.

    `stance`, `basis` and `premises` are those of `Draft`; each premise has at least one quote.
    `review` is None unless a review was asked for and written. `ideas` are those proposed, the best
    first where they were ranked; `proposal` are the parts of a proposal that works out the only
    one of them.
    """

    run_id: str
    question: str
    outcome: Outcome
    sentences: tuple[CitedSentence, ...] = ()
    conflicts: tuple[CitedConflict, ...] = ()
    bibliography: tuple[Paper, ...] = ()
    coverage: Coverage = Coverage()
    verdicts: tuple[Verdict, ...] = ()
    usage: Usage = Usage()
    notes: tuple[str, ...] = ()
    stance: Stance | None = None
    basis: Basis = "direct"
    premises: tuple[CitedPremise, ...] = ()
    review: Review | None = None
    ideas: tuple[Idea, ...] = ()
    proposal: tuple[Part, ...] = ()

    @property
    def sides(self) -> tuple[CitedSentence, ...]:
        """The sentences of all conflicts, in order."""
        return tuple(side for conflict in self.conflicts for side in conflict.sides)
