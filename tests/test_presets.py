"""What each preset does, step by step, with a model that knows how the questions are taken apart.

A trace is what happened, node by node: the prompts that were asked, and in brackets what came of
the steps. `chain(s1+) read[s1=] …` reads: the chain was drafted and opened s1, which was read and
solved. `+` is an open step, `=` a solved one, `!` one that was corrected, `?` an unsolved one.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from conftest import DATA
from knowing import Dispute, Hop, Puzzle, entry, knowing, musique, puzzles, strays, wikicontradict
from minds import Mind, Seen, for_backend, honest, look
from papers import QUESTION
from typer.testing import CliRunner

from scholar.backends import Request
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.cli import app
from scholar.context import Services
from scholar.graph import build_graph
from scholar.library import Library
from scholar.runs import Scholar
from scholar.settings import Budget, Settings, load_presets
from scholar.state import Question
from scholar.values import Answer, Call, Fact, Outcome, Step

PRESETS = {name: preset for name, preset in load_presets().items() if name != "review"}
"""Those that answer questions."""
MARKS = {
    "open": "+",
    "solved": "=",
    "corrected": "!",
    "partly": "~",
    "unsolved": "?",
    "waiting": ".",
}
JURY = "support completeness conflict"


@dataclass
class Traced:
    """One run: its answer, what was read, its steps, and its trace."""

    answer: Answer
    read: set[str]
    steps: list[Step]
    trace: str


class Tracer:
    """An assistant whose runs are traced."""

    def __init__(self, services: Services, backend: FakeBackend) -> None:
        self._scholar = Scholar(services=services)
        self._backend = backend

    async def run(self, question: str, preset: str) -> Traced:
        """Run to the end; one run at a time."""
        asked = Question(question=question, preset=preset)
        parts: list[str] = []
        state: dict[str, Any] = {}
        stream: Any = self._scholar.graph.astream(asked, stream_mode=["updates", "values"])
        async for mode, data in stream:
            if mode == "values":
                state = data
                continue
            for node, update in data.items():
                parts += self._told(node, update or {})
        read = {passage.split("#")[0] for passage in state["read"]}
        return Traced(state["answer"], read, state["steps"], " ".join(parts))

    def _told(self, node: str, update: dict[str, Any]) -> Iterator[str]:
        requests = list(self._backend.requests)
        self._backend.requests.clear()
        calls = "+".join(sorted(map(_name, requests)))
        if node == "deliberate":
            calls = f"jury({' '.join(_jurors(requests))})"
        if node == "resolve" or (node == "plan" and not calls):
            calls = node
        if calls:
            steps = update.get("steps", ()) if node in ("plan", "resolve") else ()
            yield calls + (f"[{_marks(steps)}]" if steps else "")


def _name(request: Request) -> str:
    return request.schema_name


def _jurors(requests: Sequence[Request]) -> list[str]:
    seen = (look([{"content": m.content} for m in r.messages], r.schema_name) for r in requests)
    return sorted(one.juror or one.call for one in seen)


def _marks(steps: Sequence[Step]) -> str:
    return " ".join(step.id + MARKS[step.status] for step in steps)


ADA = "Ada is a program for proofs that Grace Lin wrote in one summer."
LIN = "Grace Lin works at the Institute for Graphs, where she teaches logic."
INSTITUTE = "The Institute for Graphs was founded in 1962 by four friends."
THREE_HOPS = Puzzle(
    "When was the place founded at which the author of Ada works?",
    "1962",
    (
        Hop("Who wrote Ada?", "Grace Lin", "file:ada", ADA),
        Hop("Where does #1 work?", "Institute for Graphs", "file:lin", LIN),
        Hop("When was the #2 founded?", "1962", "file:institute", INSTITUTE),
    ),
    ("Grace Lin wrote Ada", "Grace Lin works at the Institute for Graphs"),
)
NO_SUMMER = "Ada took three years, as Grace Lin told the Institute for Graphs."
DISPUTE = Dispute(
    "How long did it take to write Ada?",
    ("One summer.", "Three years."),
    ("file:ada", "file:years"),
    (ADA, NO_SUMMER),
)
OTHERS = [
    f"Program {n} sorts the numbers that committee {n} of the city left behind." for n in range(20)
]


@pytest.fixture
async def traced(library: Library, settings: Settings) -> Tracer:
    texts = {"ada": ADA, "lin": LIN, "institute": INSTITUTE, "years": NO_SUMMER}
    texts |= {f"o{n}": text for n, text in enumerate(OTHERS)}
    await library.add([entry(f"file:{id}", "", text) for id, text in texts.items()])
    return tracer(knowing([THREE_HOPS, DISPUTE]), library, settings)


def tracer(mind: Mind, library: Library, settings: Settings) -> Tracer:
    backend = FakeBackend(for_backend(mind))
    return Tracer(Services(settings, library, Gateway(settings, {"*": backend})), backend)


STANDARD = "jury(completeness conflict support)"
ONE_STEP = f"plan[s1+] reader resolve[s1=] writer {STANDARD}"
IN_TURN = (
    "{0}[s1+] reader resolve[s1=] {0}[s1= s2+] reader resolve[s1= s2=] "
    "{0}[s1= s2= s3+] reader resolve[s1= s2= s3=] "
)
AT_ONCE = "planner[s1+ s2+ s3+] reader resolve[s1= s2= s3=] writer "
GOLDEN = {
    "fast": "plan[s1+] resolve[s1?] answer jury(support)",
    "standard": AT_ONCE + STANDARD,
    # Three rounds of questions are its bound, so that none is asked whether that is enough.
    "deep": f"prior {IN_TURN.format('follow_up')}writer "
    "jury(completeness conflict critic policy posteriori support)",
    "sibyl": f"{IN_TURN.format('tool_step')}tool_step[s1= s2= s3=] writer jury(critic support)",
    "searchain": f"{IN_TURN.format('chain')}chain[s1= s2= s3=] writer {STANDARD}",
    "imedrag": f"{IN_TURN.format('follow_up')}follow_up[s1= s2= s3=] writer {STANDARD}",
    # One call plans; what has become ready opens without another.
    "kag": "graph[s1+ s2. s3.] reader resolve[s1= s2. s3.] plan[s1= s2+ s3.] reader "
    f"resolve[s1= s2= s3.] plan[s1= s2= s3+] reader resolve[s1= s2= s3=] writer {STANDARD}",
    "hipporag2": ONE_STEP,
    "genread": f"plan[s1+] document reader resolve[s1=] writer {STANDARD}",
    "spp": f"{AT_ONCE}jury(expert expert persona_probe personas support)",
    "cook": f"plan[s1+] statements reader resolve[s1=] writer {STANDARD}",
    # It reads in two orders.
    "pistis": f"planner[s1+ s2+ s3+] reader+reader resolve[s1= s2= s3=] writer {STANDARD}",
}
"""What each preset does with a question of three hops, all of them found."""


@pytest.mark.parametrize("preset", PRESETS)
async def test_each_preset_takes_the_steps_of_its_method(traced: Tracer, preset: str) -> None:
    run = await traced.run(THREE_HOPS.question, preset)
    assert run.trace == GOLDEN[preset]
    assert run.answer.outcome is Outcome.ANSWERED
    assert THREE_HOPS.supports <= run.read


@pytest.mark.parametrize("preset", PRESETS)
async def test_each_preset_shows_both_sides_of_a_conflict(traced: Tracer, preset: str) -> None:
    answer = (await traced.run(DISPUTE.question, preset)).answer
    assert answer.outcome is Outcome.CONFLICTING
    [conflict] = answer.conflicts
    assert {side.citations[0].quote for side in conflict.sides} == {ADA, NO_SUMMER}


async def test_coverage_counts_what_was_found_read_and_had_as_an_abstract_alone(
    library: Library, settings: Settings
) -> None:
    whole = entry("file:lin", "", LIN)
    whole = replace(whole, paper=replace(whole.paper, holds="full"))
    stray = entry("file:stray", "", "Ada and Grace Lin are names of the two ferries of a lake.")
    await library.add([entry("file:ada", "", ADA), whole, stray])
    run = await tracer(knowing([THREE_HOPS]), library, settings).run(THREE_HOPS.question, "kag")
    coverage = run.answer.coverage
    assert coverage.searches[0] == "Who wrote Ada?"
    assert (coverage.found, coverage.read, coverage.unread) == (3, 2, 1)
    assert coverage.abstracts == 2
    assert coverage.screened_out == {"with nothing in it that helps": 1}


# HippoRAG 2 in a library that was enriched


@pytest.fixture
async def enriched(traced: Tracer, library: Library) -> Tracer:
    facts = {
        "ada": [Fact("Grace Lin", "wrote", "Ada"), Fact("Ada", "is", "a program for proofs")],
        "lin": [Fact("Grace Lin", "works at", "Institute for Graphs")],
        "institute": [Fact("Institute for Graphs", "was founded in", "1962")],
    }
    for id, stated in facts.items():
        await library.put_facts(f"file:{id}#0", stated)
    return traced


async def test_a_model_recognises_the_facts_that_a_walk_starts_from(
    enriched: Tracer, library: Library
) -> None:
    run = await enriched.run(THREE_HOPS.question, "hipporag2")
    assert run.trace == f"plan[s1+] recognise reader resolve[s1=] writer {STANDARD}"
    assert run.answer.outcome is Outcome.ANSWERED


def recognising(*wanted: str) -> Mind:
    """A model that names these facts, and one that was not shown."""

    def mind(seen: Seen) -> Any:
        if seen.call != "recognise":
            return knowing([THREE_HOPS])(seen)
        ids = [id for id, text in seen.facts.items() if text in wanted]
        return {"facts": ["f99", *ids]}

    return mind


async def test_what_is_not_recognised_leads_nowhere(
    enriched: Tracer, library: Library, settings: Settings
) -> None:
    """The question names nothing, so that the walk starts from the facts alone."""
    question, start = "Where is logic being taught?", "Grace Lin works at Institute for Graphs"
    led = await tracer(recognising(start), library, settings).run(question, "hipporag2")
    lost = await tracer(recognising(), library, settings).run(question, "hipporag2")
    assert "file:institute" in led.read
    assert "file:institute" not in lost.read


async def test_a_model_that_cannot_be_read_leaves_the_choice_to_nearness(
    enriched: Tracer, library: Library, settings: Settings
) -> None:
    def mind(seen: Seen) -> Any:
        return "no JSON" if seen.call == "recognise" else knowing([THREE_HOPS])(seen)

    run = await tracer(mind, library, settings).run(THREE_HOPS.question, "hipporag2")
    assert run.answer.outcome is Outcome.ANSWERED
    assert any("chosen by nearness alone" in note for note in run.answer.notes)


def believing(*answers: str) -> Mind:
    """A model that drafts the whole chain at once, with what it believes the answers are."""

    def mind(seen: Seen) -> Any:
        if seen.call != "chain" or seen.known:
            return knowing([THREE_HOPS])(seen)
        believed = zip(THREE_HOPS.filled, answers, strict=False)
        return {"steps": [{"question": q, "query": q, "answer": a} for q, a in believed]}

    return mind


@pytest.mark.parametrize(
    ("answers", "trace"),
    [
        # All verified: the chain stands as it was drafted.
        (
            ("Grace Lin", "Institute for Graphs", "1962"),
            "chain[s1+ s2+ s3+] reader resolve[s1= s2= s3=]",
        ),
        # The first is wrong: it is corrected, and the chain goes on from the papers' answer.
        (
            ("Alan Turing",),
            f"{IN_TURN.format('chain')}chain[s1= s2= s3=]".replace("s1=", "s1!"),
        ),
    ],
)
async def test_a_chain_is_verified_or_corrected_link_by_link(
    traced: Tracer, library: Library, settings: Settings, answers: tuple[str, ...], trace: str
) -> None:
    run = await tracer(believing(*answers), library, settings).run(THREE_HOPS.question, "searchain")
    assert run.trace == f"{trace} writer {STANDARD}"
    assert run.steps[0].answer == "Grace Lin"


@pytest.mark.parametrize("preset", ["searchain", "kag"])
async def test_a_step_that_brings_nothing_is_searched_for_deeper(
    library: Library, settings: Settings, preset: str
) -> None:
    """Four passages fit the words of the question better than the one with the answer."""
    nearer = [f"Ada was not written by author {n}: who wrote Ada, who, who?" for n in range(4)]
    texts = [ADA, LIN, INSTITUTE, *nearer]
    ids = [hop.passage for hop in THREE_HOPS.hops] + [f"file:n{n}" for n in range(4)]
    await library.add([entry(id, "", text) for id, text in zip(ids, texts, strict=True)])
    run = await tracer(knowing([THREE_HOPS]), library, settings).run(THREE_HOPS.question, preset)
    assert "resolve[s1?" in run.trace
    assert run.answer.outcome is Outcome.ANSWERED
    assert run.steps[0].tries == 1
    assert len(run.read) <= 12


@pytest.mark.parametrize("preset", ["deep", "sibyl", "searchain", "imedrag", "kag"])
async def test_what_earlier_rounds_found_is_written_where_the_last_finds_nothing(
    library: Library, settings: Settings, preset: str
) -> None:
    await library.add([entry("file:ada", "", ADA), entry("file:lin", "", LIN)])
    run = await tracer(knowing([THREE_HOPS]), library, settings).run(THREE_HOPS.question, preset)
    assert "writer" in run.trace
    assert run.answer.outcome is Outcome.PARTIAL
    assert run.steps[-1].status == "unsolved"
    assert "Not answered by what was read: No quote has the answer." in run.answer.notes


async def test_a_quote_answers_each_step_with_what_it_says_of_that(
    library: Library, settings: Settings
) -> None:
    both = "Ada was written by Grace Lin in 1962."
    await library.add([entry("file:both", "", both)])

    def mind(seen: Seen) -> Any:
        steps = [
            {"question": "Who wrote Ada?", "query": "Ada"},
            {"question": "When?", "query": "A"},
        ]
        if seen.call == "planner":
            return {"premises": [], "steps": steps}
        if seen.call != "reader":
            return honest(seen)
        quote = {"passage": "p1", "quote": both, "helps": "answers"}
        said = [("s1", "Grace Lin"), ("s2", "1962")]
        return {"quotes": [{**quote, "step": step, "says": says} for step, says in said]}

    run = await tracer(mind, library, settings).run("Who wrote Ada, and when?", "standard")
    assert [(step.status, step.answer) for step in run.steps] == [
        ("solved", "Grace Lin"),
        ("solved", "1962"),
    ]


async def test_what_helps_the_question_beside_a_step_is_no_answer_to_that_step(
    library: Library, settings: Settings
) -> None:
    """KAG reads level by level: a quote for another step turns up where this one is read for."""
    await library.add([entry("file:ada", "", ADA), entry("file:lin", "", LIN)])

    def mind(seen: Seen) -> Any:
        if seen.call != "reader":
            return knowing([THREE_HOPS])(seen)
        shown = {text: label for label, text in seen.passages.items()}
        quotes = [
            {"passage": shown[text], "quote": text, "step": "", "helps": "partly", "says": ""}
            for text in (ADA, LIN)
            if text in shown
        ]
        return {"quotes": quotes}

    beside = await tracer(mind, library, settings).run(THREE_HOPS.question, "kag")
    assert {step.status for step in beside.steps} == {"unsolved"}
    assert beside.answer.coverage.read == 2
    alone = await tracer(mind, library, settings).run(THREE_HOPS.question, "hipporag2")
    assert [step.status for step in alone.steps] == ["partly"]


async def test_a_conclusion_is_not_drawn_from_the_words_that_were_searched_for(
    library: Library, settings: Settings
) -> None:
    await library.add([entry("file:ada", "", ADA)])
    concluded: list[str] = []

    def mind(seen: Seen) -> Any:
        if seen.call == "graph":
            first = {"id": "s1", "op": "retrieve", "question": "How long is Ada?", "query": "Ada"}
            last = {"id": "s2", "op": "deduce", "question": "Is #s1 much?", "query": ""}
            return {"steps": [{**first, "parents": []}, {**last, "parents": ["s1"]}]}
        if seen.call == "reader":
            quote = {"passage": next(iter(seen.passages)), "quote": ADA, "helps": "partly"}
            return {"quotes": [{**quote, "step": "s1", "says": ""}]}
        if seen.call == "deduce":
            concluded.append(seen.text)
        return honest(seen)

    await tracer(mind, library, settings).run("Is Ada long?", "kag")
    assert "Is (not known) much?" in concluded[0]
    assert "How long is Ada? Not answered in full." in concluded[0]


# The same on real questions: whatever is found and whatever is not, the method is kept to.

_END = r"( writer( jury)?)?"
SHAPES = {
    "fast": r"plan resolve answer( jury)?",
    "standard": r"planner reader resolve" + _END,
    "deep": r"prior follow_up reader resolve( follow_up reader resolve)*( follow_up)?" + _END,
    "sibyl": r"tool_step( reader)? resolve( tool_step( reader)? resolve)*( tool_step)?" + _END,
    "searchain": r"chain reader resolve( (chain|plan) reader resolve)*( chain)?" + _END,
    "imedrag": r"follow_up reader resolve( follow_up reader resolve)*( follow_up)?" + _END,
    "kag": r"graph reader resolve( plan reader resolve)*" + _END,
    "hipporag2": r"plan reader resolve" + _END,
    "genread": r"plan document reader resolve" + _END,
    "spp": r"planner reader resolve" + _END,
    "cook": r"plan statements reader resolve" + _END,
    "pistis": r"planner reader(\+reader)? resolve" + _END,
}
_DETAIL = re.compile(r"\[.*?\]|(?<=jury)\(.*?\)")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library that holds the passages of MuSiQue and WikiContradict, searched by BM25 alone."""
    if not DATA.is_dir():
        pytest.skip(f"the data folder {DATA} is absent")
    home = tmp_path_factory.mktemp("real")
    library = Library(Settings(home=home, embedder="none", offline=True))
    entries = [*musique(DATA / "musique")[0], *wikicontradict(DATA / "wikicontradict")[0]]
    asyncio.run(library.add(entries))
    yield library
    library.close()


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
async def test_each_preset_keeps_to_its_method_on_real_questions(
    real: Library, settings: Settings, preset: str
) -> None:
    asked: list[Puzzle | Dispute] = [*musique(DATA / "musique")[1]]
    asked += wikicontradict(DATA / "wikicontradict")[1]
    known = tracer(knowing(asked), real, settings)
    shown = 0
    for one in asked:
        run = await known.run(one.question, preset)
        assert re.fullmatch(SHAPES[preset], _DETAIL.sub("", run.trace)), run.trace
        assert len(run.read) <= (PRESETS[preset].reads or 1000)
        answer, read_all = run.answer, _supports(one) <= run.read
        assert answer.outcome in ENDS, (one.question, answer.notes)
        if read_all:
            assert answer.outcome is (
                Outcome.CONFLICTING if isinstance(one, Dispute) else Outcome.ANSWERED
            ), (one.question, run.trace, answer.notes)
        shown += read_all
    assert shown >= 50  # of 100: enough of both kinds to have shown something


ENDS = (Outcome.ANSWERED, Outcome.PARTIAL, Outcome.CONFLICTING, Outcome.NO_EVIDENCE)


def _supports(known: Puzzle | Dispute) -> frozenset[str]:
    return known.supports if isinstance(known, Puzzle) else frozenset(known.passages)


# Bounds


def wasteful(mind: Mind) -> FakeBackend:
    """Says what `mind` says, and fills every reply up to the tokens that it is allowed."""
    answer = for_backend(mind)

    def filled(request: Request) -> str:
        return f"{answer(request)}{' ' * 100_000}"[: 4 * request.max_tokens]

    return FakeBackend(filled)


async def test_deep_stops_at_the_tokens_it_states(shelf: Library, settings: Settings) -> None:
    """A run goes on that has used all but a few of them."""
    most = PRESETS["deep"].tokens
    assert most
    assert f"{most:,} tokens" in PRESETS["deep"].cost
    backend = wasteful(honest)
    services = Services(settings, shelf, Gateway(settings, {"*": backend}))
    before = Call("planner", "fake", most - 60_000, 0, 1.0)
    record = await services.journal.record("r", services.clock)
    record.add(before)
    asked = Question(question=QUESTION, preset="deep", run_id="r")
    answer = (await build_graph(services).ainvoke(asked))["answer"]
    used = answer.usage.input_tokens + answer.usage.output_tokens
    assert used <= most
    assert answer.outcome is Outcome.BUDGET_SPENT
    assert "all that its preset allows" in answer.notes[0]
    assert answer.sentences


async def test_a_budget_below_that_of_the_preset_holds(shelf: Library, settings: Settings) -> None:
    known = settings.model_copy(update={"budget": Budget(tokens=20_000)})
    gateway = Gateway(known, {"*": wasteful(honest)})
    answer = await Scholar(services=Services(known, shelf, gateway)).ask(QUESTION, preset="deep")
    assert answer.usage.input_tokens + answer.usage.output_tokens <= 20_000
    assert "[budget]" in answer.notes[0]


async def test_fifty_questions_at_once_share_nothing(library: Library, settings: Settings) -> None:
    asked = puzzles(50)
    hops = [hop for puzzle in asked for hop in puzzle.hops]
    await library.add([entry(hop.passage, "", hop.text) for hop in hops])
    backend = FakeBackend(for_backend(knowing(asked)))
    scholar = Scholar(services=Services(settings, library, Gateway(settings, {"*": backend})))
    answers = await asyncio.gather(*(scholar.ask(one.question, preset="kag") for one in asked))
    assert {answer.outcome for answer in answers} == {Outcome.ANSWERED}
    assert [strays(*pair) for pair in zip(asked, answers, strict=True)] == [set()] * 50
    assert len({answer.run_id for answer in answers}) == 50
    assert {answer.usage.calls for answer in answers} == {7}
    assert len(backend.requests) == 50 * 7


# As a user sees them


def test_each_preset_says_what_it_is_good_for_and_what_it_costs() -> None:
    found = CliRunner().invoke(app, ["presets"], env={"COLUMNS": "80"})
    assert found.exit_code == 0
    said = " ".join(found.stdout.split())
    for name, preset in load_presets().items():
        assert f"{name} {preset.about}" in said
        assert preset.cost in said
    assert "* standard" in said
    assert all(len(line) <= 80 and line == line.rstrip() for line in found.stdout.splitlines())


def test_presets_can_be_had_as_json() -> None:
    found = CliRunner().invoke(app, ["presets", "--json"])
    rows = {row["name"]: row for row in json.loads(found.stdout)}
    assert rows.keys() == load_presets().keys()
    assert [name for name, row in rows.items() if row["chosen"]] == ["standard"]
    assert rows["searchain"]["reads"] == 12


def test_every_line_for_a_person_is_one() -> None:
    for preset in load_presets().values():
        assert 20 <= len(preset.about) <= 100
        assert 5 <= len(preset.cost) <= 100
