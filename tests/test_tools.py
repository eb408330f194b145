"""What tools do, and that nothing but the settings and the user decides whether they may."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest
from arxiv_server import Arxiv
from minds import Mind, Said, Seen, but, honest
from office import OpenDesk
from papers import GAIN, QUESTION, REVISITED, SPARSE, WALKS, faults
from rich.console import Console

from scholar import tools
from scholar.backends.gateway import Gateway
from scholar.cli.progress import Progress
from scholar.context import Consult, Context, Services, context_for
from scholar.errors import SettingsError, ToolError
from scholar.library import Library
from scholar.settings import BuiltIn, Settings, Tools, load
from scholar.state import State
from scholar.tools.calculate import calculate
from scholar.values import Fact, Inquiry, Outcome

Open = Callable[..., Context]


@pytest.fixture
def at(shelf: Library, settings: Settings) -> Open:
    """Opens a context of a run over the shelf; settings may be changed."""

    def open_context(
        consult: Consult | None = None, state: Mapping[str, Any] | None = None, **changes: Any
    ) -> Context:
        known = settings.model_copy(update=changes)
        services = Services(known, shelf, Gateway(known), consult=consult)
        return context_for({"preset": "sibyl", **(state or {})}, services, lambda _: None)

    return open_context


async def names(context: Context) -> set[str]:
    return {tool.name for tool in (await tools.offered(context)).tools}


# Who may do what


ONLINE = {"search_arxiv", "fetch_paper"}
EVERYTHING = set(get_args(BuiltIn))
GIVEN = {"query": "graph walks", "paper": "2401.00001", "expression": "1 + 1"}


def test_the_settings_know_every_tool_and_no_other() -> None:
    assert set(tools.BUILT_IN) == EVERYTHING


async def test_online_all_tools_of_ours_are_offered(at: Open) -> None:
    assert await names(at(offline=False)) == EVERYTHING


async def test_offline_no_tool_that_needs_the_network_is_offered_or_runs(at: Open) -> None:
    context = at(offline=True)
    assert await names(context) == EVERYTHING - ONLINE
    for name in ONLINE:
        with pytest.raises(ToolError, match="offline is set"):
            await tools.call(name, GIVEN, context)


async def test_read_only_nothing_that_writes_is_offered_or_runs(at: Open) -> None:
    context = at(offline=False, tools=Tools(read_only=True))
    assert await names(context) == EVERYTHING - {"fetch_paper"}
    with pytest.raises(ToolError, match="read_only is set"):
        await tools.call("fetch_paper", GIVEN, context)


@pytest.mark.parametrize("name", sorted(EVERYTHING))
async def test_a_tool_that_is_off_is_neither_offered_nor_run(at: Open, name: str) -> None:
    context = at(offline=False, tools=Tools(off=(name,)))
    assert name not in await names(context)
    with pytest.raises(ToolError, match="switched off"):
        await tools.call(name, GIVEN, context)


@pytest.mark.parametrize(
    "name", ["", "run_shell", "os.system", "a\nb", "search_library ", "x" * 200]
)
async def test_a_name_that_is_no_tool_is_refused(at: Open, name: str) -> None:
    with pytest.raises(ToolError, match="choose one that is offered"):
        await tools.call(name, {}, at())


async def test_an_argument_as_long_as_a_paper_is_refused(at: Open) -> None:
    with pytest.raises(ToolError, match="may have 4,000"):
        await tools.call("search_library", {"query": "walk " * 1_000}, at())


async def test_arguments_nobody_asked_for_do_not_reach_the_tool(at: Open) -> None:
    given = {"expression": "1 + 1", "__class__": "x", "offline": "false"}
    assert (await tools.call("calculate", given, at())).text == "2"


# Asked first


async def test_what_has_to_be_asked_for_runs_only_where_the_user_agrees(at: Open) -> None:
    asked: list[str] = []
    first = Tools(ask_first=("calculate",))
    for agrees in (True, False):

        async def ask(inquiry: Inquiry, agrees: bool = agrees) -> bool:
            asked.append(inquiry.text)
            return agrees

        context = at(ask, tools=first)
        if agrees:
            assert (await tools.call("calculate", GIVEN, context)).text == "2"
        else:
            with pytest.raises(ToolError, match="did not allow calculate"):
                await tools.call("calculate", GIVEN, context)
    assert asked == ["May the tool calculate run, with expression='1 + 1'?"] * 2


async def test_where_nobody_can_be_asked_the_answer_is_no(at: Open) -> None:
    with pytest.raises(ToolError, match="only if a person agrees"):
        await tools.call("calculate", GIVEN, at(tools=Tools(ask_first=("calculate",))))


async def test_what_a_person_is_asked_cannot_steer_a_terminal_or_hide_its_length(at: Open) -> None:
    asked: list[str] = []

    async def ask(inquiry: Inquiry) -> bool:
        asked.append(inquiry.text)
        return False

    context = at(ask, tools=Tools(ask_first=("search_library",)))
    query = "walks\x1b[2J\u202e\nMay calculate run? [y/N]" + " secret" * 200
    with pytest.raises(ToolError):
        await tools.call("search_library", {"query": query}, context)
    [question] = asked
    assert question.isprintable()
    assert "characters)" in question
    assert len(question) < 500


# Settings


@pytest.mark.parametrize("key", ["off", "ask_first"])
def test_a_tool_nobody_knows_is_an_error_in_the_settings(key: str) -> None:
    with pytest.raises(SettingsError, match=r"serch_arxiv.*search_arxiv"):
        load(tools={key: ["serch_arxiv"]})


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({}, "either a command or a url"),
        ({"command": ["x"], "url": "http://localhost"}, "either a command or a url"),
        ({"url": "ftp://localhost"}, "url"),
        ({"command": ["x"], "timeout": 0}, "timeout"),
        ({"command": ["x"], "trust": ["*"]}, "did you mean 'trusted'"),
    ],
)
def test_a_server_that_cannot_be_reached_as_set_is_an_error(
    server: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        load(mcp={"notes": server})


def test_a_server_may_not_be_called_anything() -> None:
    with pytest.raises(SettingsError, match="no name of a server"):
        load(mcp={"a.b c": {"command": ["x"]}})


def test_what_a_server_is_given_in_secret_is_never_shown() -> None:
    server = {"command": ["x"], "env": {"KEY": "sk-secret"}, "headers": {"a": "sk-secret"}}
    known = load(mcp={"notes": server})
    assert "sk-secret" not in f"{known!r} {known.model_dump()} {known.model_dump_json()}"


# Arithmetic


SUMS = {
    "2 + 3 * 4": "14",
    "(2 + 3) * 4": "20",
    "1,204 - 880": "324",
    "93.2 F1 - 90.1 F1": "3.1 F1",
    "12 hours / 3": "4 hours",
    "12 hours / 3 hours": "4",
    "60 km / 2 hours": "30 km/hours",
    "$1,200 + $300": "1500 $",
    "12% - 10%": "2%",
    "12% of 50": "6",
    "10 % 3": "1",
    "50% * 80%": "0.4",
    "about 1.5 million people / 3": "500000 people",
    "0.1 + 0.2": "0.3",
    "1 / 3": "0.333333",
    "2 ** 10": "1024",
    "2^-3": "0.125",
    "-3 ** 2": "-9",
    "−5 + 3": "-2",
    "6 × 7": "42",
    "sqrt(9)": "3",
    "sqrt(2)": "1.414214",
    "round(2.345, 2)": "2.35",
    "max(1, 2, 30)": "30",
    "mean(1; 2; 6)": "3",
    "1963 > 1950": "yes",
    "1963 is less than 1950": "no",
    "is 12 hours more than 10 hours?": "yes",
    "5 = 5.0": "yes",
}


@pytest.mark.parametrize("expression", SUMS)
def test_a_sum_is_exact_and_keeps_its_unit(expression: str) -> None:
    assert calculate(expression) == SUMS[expression]


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "9**99999",
        "1e99 ** 99",
        "(" * 500 + "1" + ")" * 500,
        "-" * 3_000 + "1",
        "9" * 3_000,
        "1 / 0",
        "0 ** -1",
        "5 % 0",
        "2 ** 0.3",
        "sqrt(-1)",
        "3 km - 200 m",
        "20% > 0.1",
        "Leo Tolstoy - 3",
        "7 May 1828 - 3",
        "__import__('os').system('id')",
        "().__class__",
        "lambda: 1",
        "[1] * 10",
        "1 if 2 else 3",
        "2 + ",
        "1 + 1; 2",
        "",
    ],
)
def test_what_is_no_bounded_arithmetic_is_refused_with_a_sentence(expression: str) -> None:
    with pytest.raises(ToolError, match=r"write numbers, \+ - \* / \*\*, brackets"):
        calculate(expression)


# Over the library


async def test_a_search_brings_passages_that_fit(at: Open) -> None:
    brought = await tools.call("search_library", {"query": QUESTION}, at())
    assert WALKS in {hit.paper_id for hit in brought.hits}
    assert len(brought.hits) <= at().k


@pytest.mark.parametrize("key", [SPARSE, "Sparse Retrieval", "sparse retrieval!"])
async def test_related_papers_are_others_and_are_named(at: Open, key: str) -> None:
    brought = await tools.call("related_papers", {"paper": key}, at())
    assert {hit.paper_id for hit in brought.hits} >= {WALKS}
    assert SPARSE not in {hit.paper_id for hit in brought.hits}
    assert WALKS in brought.text


@pytest.mark.parametrize("tool", ["related_papers", "references", "citations"])
async def test_a_paper_that_is_not_there_is_named_in_the_refusal(at: Open, tool: str) -> None:
    with pytest.raises(ToolError, match=r"no paper 'arxiv:9999\.99999'"):
        await tools.call(tool, {"paper": "arxiv:9999.99999"}, at())


async def _cites(shelf: Library, citing: str, cited: str) -> None:
    """Store that one paper of the shelf cites another."""
    from papers import SHELF

    from scholar.values import Reference

    paper = SHELF[cited].paper
    entry = SHELF[citing].entry
    reference = Reference(f"{paper.title}.", paper.title, identifiers=paper.identifiers)
    other = Reference("Nobody. A Work that Is Elsewhere. 1999.", "A Work that Is Elsewhere")
    await shelf.add([replace(entry, references=(reference, other))])


async def test_references_and_citations_are_those_of_the_bibliographies(
    at: Open, shelf: Library
) -> None:
    await _cites(shelf, REVISITED, WALKS)
    cited = await tools.call("references", {"paper": REVISITED}, at())
    assert WALKS in cited.text
    assert "A Work that Is Elsewhere" in cited.text
    citing = await tools.call("citations", {"paper": WALKS}, at())
    assert REVISITED in citing.text
    assert "Nobody is known" in (await tools.call("citations", {"paper": SPARSE}, at())).text


TRIPLES = [
    ("graph walks", "use", "PageRank"),
    ("PageRank", "was invented by", "Larry Page"),
    ("Larry Page", "founded", "Google"),
    ("Google", "is in", "California"),
    ("BM25", "needs", "no training"),
]


@pytest.fixture
async def with_facts(shelf: Library) -> Library:
    passage = (await shelf.passages_of(WALKS))[0].id
    facts = [Fact(*triple, passages=(passage,)) for triple in TRIPLES]
    assert await shelf.put_facts(passage, facts)
    return shelf


@pytest.mark.usefixtures("with_facts")
async def test_facts_about_an_entity_come_with_the_passages_that_state_them(at: Open) -> None:
    brought = await tools.call("facts", {"entity": "Larry  PAGE"}, at())
    assert brought.text.splitlines() == [
        "PageRank — was invented by — Larry Page",
        "Larry Page — founded — Google",
    ]
    assert {hit.paper_id for hit in brought.hits} == {WALKS}


@pytest.mark.usefixtures("with_facts")
async def test_an_entity_that_is_not_there_is_refused_with_the_nearest(at: Open) -> None:
    with pytest.raises(ToolError, match="larry page"):
        await tools.call("facts", {"entity": "Lary Page"}, at())


@pytest.mark.usefixtures("with_facts")
async def test_facts_are_looked_up_and_never_all_read(
    at: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Library, "facts")
    monkeypatch.delattr(Library, "names")
    assert (await tools.call("facts", {"entity": "Larry Page"}, at())).text
    assert (await tools.call("paths", {"start": "graph walks", "end": "Larry Page"}, at())).text


async def test_a_library_without_facts_says_how_to_make_them(at: Open) -> None:
    with pytest.raises(ToolError, match="scholar enrich"):
        await tools.call("facts", {"entity": "PageRank"}, at())


@pytest.mark.usefixtures("with_facts")
@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("graph walks", "Google", "use — PageRank; PageRank — was invented by"),
        ("Google", "graph walks", "Larry Page — founded — Google; PageRank"),
        ("graph walks", "California", "No path"),  # four facts away
        ("BM25", "Google", "No path"),
    ],
)
async def test_a_path_is_made_of_stored_facts_alone(
    at: Open, start: str, end: str, told: str
) -> None:
    brought = await tools.call("paths", {"start": start, "end": end}, at())
    assert told in brought.text
    stored = {" — ".join(triple) for triple in TRIPLES}
    if "No path" not in told:
        assert set(brought.text.replace("; ", "\n").splitlines()) <= stored
        assert brought.hits


@pytest.mark.usefixtures("with_facts")
async def test_a_path_to_what_is_not_in_the_graph_cannot_be_named(at: Open) -> None:
    with pytest.raises(ToolError, match="No fact is about 'Mars'"):
        await tools.call("paths", {"start": "graph walks", "end": "Mars"}, at())


# From outside


async def test_a_search_on_arxiv_tells_ids_and_adds_nothing(
    at: Open, arxiv: Arxiv, shelf: Library
) -> None:
    before = await shelf.stats()
    brought = await tools.call("search_arxiv", {"query": "rovers"}, at(**arxiv.changes))
    assert brought.text.startswith("arxiv:2402.00001v1: Rovers on Graphs")
    assert not brought.hits
    assert (await shelf.stats()).papers == before.papers


async def test_a_query_that_could_carry_a_paper_away_is_not_sent(at: Open, arxiv: Arxiv) -> None:
    with pytest.raises(ToolError, match="200 characters"):
        await tools.call("search_arxiv", {"query": GAIN * 3}, at(**arxiv.changes))
    assert not arxiv.asked


async def test_a_paper_that_is_fetched_can_be_read_at_once(
    at: Open, arxiv: Arxiv, shelf: Library
) -> None:
    given = {"paper": "2402.00001", "query": "rovers rank passages"}
    brought = await tools.call("fetch_paper", given, at(**arxiv.changes))
    assert brought.added == ("arxiv:2402.00001",)
    passages = await shelf.passages([hit.passage_id for hit in brought.hits])
    assert any("12 graph walks each" in passage.text for passage in passages)
    again = await tools.call("fetch_paper", given, at(**arxiv.changes))
    assert again.added == ()
    assert again.hits == brought.hits


@pytest.mark.parametrize(
    "paper",
    [
        "/etc/passwd",
        "~/.ssh/id_rsa",
        "file:///etc/passwd",
        "https://evil.example/2402.00001.pdf",
        "http://127.0.0.1:1/arxiv.org/abs/2402.00001",
        "http://169.254.169.254/latest/meta-data",
        "Rovers on Graphs",
        "2402.00001 and 2402.00002",
        "../2402.00001",
    ],
)
async def test_a_file_or_an_address_is_no_paper_to_fetch(
    at: Open, arxiv: Arxiv, paper: str
) -> None:
    with pytest.raises(ToolError, match="by its DOI, arXiv or PubMed id"):
        await tools.call("fetch_paper", {"paper": paper}, at(**arxiv.changes))
    assert not arxiv.asked


async def test_a_file_called_like_an_id_is_not_read(
    at: Open, arxiv: Arxiv, tmp_path: Any, shelf: Library
) -> None:
    (tmp_path / "arxiv:2402.00007").mkdir()
    (tmp_path / "arxiv:2402.00007" / "diary.md").write_text("# Secret\n\nI like graph walks.")
    context = at(**arxiv.changes)
    with contextlib.suppress(ToolError):
        await tools.call("fetch_paper", {"paper": "2402.00007"}, context)
    assert "Secret" not in {paper.title for paper in await shelf.papers()}


def fetches(ids: list[str]) -> Mind:
    """Fetches one paper after the other, then finishes."""

    def step(seen: Seen) -> Said:
        n = len(seen.known)
        if n >= len(ids):
            return {"reason": "", "tool": "finish", "arguments": [], "question": ""}
        arguments = {"paper": ids[n], "query": "rovers rank passages"}
        return {
            "reason": "It is not here yet.",
            "tool": "fetch_paper",
            "arguments": [{"name": k, "value": v} for k, v in arguments.items()],
            "question": f"What does {ids[n]} say?",
        }

    return but(tool_step=step)


async def test_a_run_adds_no_more_papers_than_it_may(
    desk: OpenDesk, arxiv: Arxiv, shelf: Library
) -> None:
    before = (await shelf.stats()).papers
    ids = [f"2402.0000{n}" for n in range(1, 6)]
    at = desk(fetches(ids), tools=Tools(papers_per_run=2), **arxiv.changes)
    answer = await at.scholar.ask(QUESTION, preset="sibyl")
    assert (await shelf.stats()).papers == before + 2
    assert any("all papers that this run may" in note for note in answer.notes)
    # It is counted by run: another one may add as many.
    await at.scholar.ask(QUESTION, preset="sibyl")
    assert (await shelf.stats()).papers == before + 4


async def test_branches_that_run_at_once_share_what_may_be_added(at: Open) -> None:
    state: State = {"added": ["arxiv:1"]}
    left = [
        at(state={**state, "turn": turn}, tools=Tools(papers_per_run=3)).papers_left
        for turn in range(4)
    ]
    assert left == [2, 1, 0, 0]
    none_left = at(state={**state, "turn": 2}, tools=Tools(papers_per_run=3), offline=False)
    with pytest.raises(ToolError, match="all papers that this run may"):
        await tools.call("fetch_paper", {"paper": "2402.00001"}, none_left)


async def test_a_fetched_paper_is_cited_in_the_answer(
    desk: OpenDesk, arxiv: Arxiv, shelf: Library
) -> None:
    at = desk(fetches(["2402.00001"]), **arxiv.changes)
    answer = await at.scholar.ask(QUESTION, preset="sibyl")
    cited = {c.paper_id: c for s in answer.sentences for c in s.citations}
    assert "arxiv:2402.00001" in cited
    citation = cited["arxiv:2402.00001"]
    [passage] = await shelf.passages([citation.passage_id])
    assert citation.quote in passage.text


# A person on a terminal


@pytest.mark.parametrize(
    ("typed", "agrees"),
    [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)],
)
async def test_only_a_yes_that_was_typed_is_a_yes(
    monkeypatch: pytest.MonkeyPatch, typed: str, agrees: bool
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    shown = io.StringIO()
    with Progress(Console(file=shown, width=80)) as progress:
        assert await progress.consult(Inquiry("tool", "May the tool walk\x1b[2J run?")) is agrees
    assert "May the tool walk[2J run? [y/N]" in shown.getvalue()


async def test_questions_that_come_at_once_are_asked_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\nn\n"))
    with Progress(Console(file=io.StringIO())) as progress:
        answers = await asyncio.gather(
            *(progress.consult(Inquiry("tool", text)) for text in ("One?", "Two?"))
        )
    assert list(answers) == [True, False]


# In a run


def script(*calls: tuple[str, dict[str, str]]) -> Mind:
    """Calls these tools in turn, then finishes."""

    def step(seen: Seen) -> Said:
        n = len(seen.known)
        name, arguments = calls[n] if n < len(calls) else ("finish", {})
        pairs = [{"name": k, "value": v} for k, v in arguments.items()]
        return {"reason": "", "tool": name, "arguments": pairs, "question": f"Step {n}?"}

    return but(tool_step=step)


async def test_tools_are_called_one_by_one_and_what_they_bring_is_remembered(
    desk: OpenDesk,
) -> None:
    at = desk(script(("search_library", {"query": QUESTION}), ("calculate", {"expression": "6*7"})))
    answer = await at.scholar.ask(QUESTION, preset="sibyl")
    assert answer.outcome is Outcome.ANSWERED
    assert not faults(answer)
    shown = at.shown("tool_step")
    assert len(shown) == 3
    assert "<note" not in shown[0]
    assert "search_library" in shown[1]
    assert "42" in shown[2]


async def test_a_refused_tool_is_told_to_the_model_and_to_the_reader(desk: OpenDesk) -> None:
    at = desk(script(("search_arxiv", {"query": "x"}), ("rm_rf", {})))
    answer = await at.scholar.ask(QUESTION, preset="sibyl")
    assert "offline is set" in at.shown("tool_step")[1]
    assert any("offline is set" in note for note in answer.notes)
    assert any("There is no tool rm_rf" in note for note in answer.notes)
    # The library is looked into all the same.
    assert answer.sentences


async def test_only_what_is_allowed_stands_in_the_prompt(desk: OpenDesk) -> None:
    at = desk(honest, tools=Tools(off=("paths",)))
    await at.scholar.ask(QUESTION, preset="sibyl")
    [system] = {r.messages[0].content for r in at.backend.requests if r.schema_name == "tool_step"}
    assert "search_library(query)" in system
    for name in (*ONLINE, "paths"):
        assert f"- {name}(" not in system


async def test_a_sum_that_fails_leaves_its_step_unsolved(desk: OpenDesk) -> None:
    def graph(_: Seen) -> Said:
        first = {"id": "s1", "op": "retrieve", "question": QUESTION, "query": QUESTION}
        second = {"id": "s2", "op": "compute", "question": "How many?", "query": "Mars - 3"}
        return {"steps": [{**first, "parents": []}, {**second, "parents": []}]}

    answer = await desk(but(graph=graph)).scholar.ask(QUESTION, preset="kag")
    assert any("is missing before 'Mars'" in note for note in answer.notes)
    assert "No quote was found for: How many?" in answer.notes
