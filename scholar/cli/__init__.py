"""The commands, their arguments and their help. What they do is in the other modules here, which
load only when a command runs, so that help appears at once.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from scholar.cli.default import WithDefault
from scholar.cli.options import (
    Dollars,
    Estimate,
    Files,
    Ids,
    Json,
    Judge,
    Limit,
    Model,
    NoCache,
    Out,
    Parallel,
    Passages,
    Preset,
    Seconds,
    Seed,
    Sources,
    Tokens,
)
from scholar.cli.runs import runs, threads
from scholar.cli.watch import watch

app = typer.Typer(
    name="scholar",
    help="Ask a question of papers. Every sentence of the answer stands on a verbatim quote.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_models = typer.Typer(help="See which models play which roles, and check them.")
papers = typer.Typer(help="List, show, remove and export the papers of the library.")
library = typer.Typer(help="Look after the library.")
app.add_typer(papers, name="papers", no_args_is_help=True)
app.add_typer(library, name="library", no_args_is_help=True)
app.add_typer(_models, name="models", no_args_is_help=True)
app.add_typer(runs, name="runs", no_args_is_help=True)
app.add_typer(threads, name="threads", no_args_is_help=True)
app.add_typer(watch, name="watch", no_args_is_help=True)
_evaluation = typer.Typer(help="Measure how well it does on judged sets.")
app.add_typer(_evaluation, name="eval", no_args_is_help=True)

BENCH_CONCURRENT = "1,4,16"
"""One reader, a jury and its writer, and several questions together."""
BENCH_TOKENS = 128
"""Two seconds of a fast model, half a minute of a slow one on a laptop."""


@app.command()
def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotes.")],
    sources: Sources = None,
    preset: Preset = None,
    model: Model = None,
    k: Passages = None,
    budget_dollars: Dollars = None,
    budget_tokens: Tokens = None,
    budget_seconds: Seconds = None,
    no_cache: NoCache = False,
    estimate: Estimate = False,
    thread: Annotated[
        str | None,
        typer.Option(metavar="THREAD", help="Ask within a thread, a new one or one there is."),
    ] = None,
    review: Annotated[
        Literal["plan"] | None, typer.Option(help="Approve or edit the plan before it is followed.")
    ] = None,
    files: Files = None,
    json: Json = False,
) -> None:
    """Answer a question from the library, or, without a model, show the quotes that bear on it."""
    from scholar.cli import asking, common

    budget = {"dollars": budget_dollars, "tokens": budget_tokens, "seconds": budget_seconds}
    flags = asking.flags(preset, model, budget, no_cache)
    if estimate:
        common.run(asking.estimate(question, flags, k, json))
    else:
        asked = asking.Asked(question, k, thread, review_plan=review == "plan")
        common.run(asking.ask(asked, sources or [], flags, json, files or []))


@app.command()
def chat(
    thread: Annotated[
        str | None,
        typer.Option(metavar="THREAD", help="Go on with this thread, or begin it."),
    ] = None,
    preset: Preset = None,
    model: Model = None,
    k: Passages = None,
    budget_dollars: Dollars = None,
    budget_tokens: Tokens = None,
    no_cache: NoCache = False,
) -> None:
    """Ask one question after another; each sees the earlier ones. The budget is per question."""
    from scholar.cli import asking, common, talking

    budget = {"dollars": budget_dollars, "tokens": budget_tokens}
    flags = asking.flags(preset, model, budget, no_cache)
    common.run(talking.chat(thread, flags, k))


@app.command()
def review(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic, in quotes.")],
    columns: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="Columns of its table, with commas between; else its own choice."
        ),
    ] = "",
    sections: Annotated[int, typer.Option(min=1, max=8, help="Most sections.")] = 5,
    sources: Sources = None,
    preset: Preset = None,
    model: Model = None,
    k: Passages = None,
    budget_dollars: Dollars = None,
    budget_tokens: Tokens = None,
    budget_seconds: Seconds = None,
    no_cache: NoCache = False,
    estimate: Estimate = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print it as Markdown.")] = False,
    files: Files = None,
    json: Json = False,
) -> None:
    """Review what the papers of the library say on a topic, with a table of the papers."""
    from scholar.cli import asking, common, reviewing

    budget = {"dollars": budget_dollars, "tokens": budget_tokens, "seconds": budget_seconds}
    flags = asking.flags(None, model, budget, no_cache)
    asked = reviewing.Asked(topic, columns, sections, preset, k)
    form: reviewing.Form = "json" if json else "markdown" if markdown else "terminal"
    if estimate:
        common.run(reviewing.estimate(asked, flags, form))
    else:
        common.run(reviewing.review(asked, sources or [], flags, form, files or []))


_ideas = typer.Typer(
    cls=WithDefault, help="Propose research ideas on a topic, or work one of them out."
)
app.add_typer(_ideas, name="ideas")
Markdown = Annotated[bool, typer.Option("--markdown", help="Print it as Markdown.")]


@_ideas.command(WithDefault.default, epilog="See scholar ideas refine too.")
def ideas(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Topic or background, in quotes.")],
    wanted: Annotated[int, typer.Option("-n", min=1, max=8, help="How many.")] = 6,
    new: Annotated[
        int, typer.Option(min=0, max=8, help="So many new ones: known ideas are replaced.")
    ] = 0,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Choose among them before they are ranked.")
    ] = False,
    sources: Sources = None,
    preset: Preset = None,
    model: Model = None,
    budget_dollars: Dollars = None,
    budget_tokens: Tokens = None,
    budget_seconds: Seconds = None,
    no_cache: NoCache = False,
    markdown: Markdown = False,
    json: Json = False,
) -> None:
    """Propose research ideas on a topic, each with its nearest prior work quoted."""
    from scholar.cli import asking, common, inventing

    budget = {"dollars": budget_dollars, "tokens": budget_tokens, "seconds": budget_seconds}
    flags = asking.flags(preset, model, budget, no_cache)
    asked = inventing.Asked(topic, wanted, new, interactive)
    form: inventing.Form = "json" if json else "markdown" if markdown else "terminal"
    common.run(inventing.propose(asked, sources or [], flags, form))


@_ideas.command("refine")
def ideas_refine(
    idea: Annotated[
        str, typer.Argument(metavar="ID", help="A run and an idea of it, as in 7f3a.2.")
    ],
    file: Annotated[
        str, typer.Option("--from", metavar="FILE", help="What ideas --json of that run wrote.")
    ] = "",
    preset: Preset = None,
    model: Model = None,
    budget_dollars: Dollars = None,
    budget_tokens: Tokens = None,
    budget_seconds: Seconds = None,
    no_cache: NoCache = False,
    markdown: Markdown = False,
    json: Json = False,
) -> None:
    """Work one idea out into a proposal of two pages, every statement on papers quoted."""
    from scholar.cli import asking, common, inventing

    budget = {"dollars": budget_dollars, "tokens": budget_tokens, "seconds": budget_seconds}
    flags = asking.flags(preset, model, budget, no_cache)
    form: inventing.Form = "json" if json else "markdown" if markdown else "terminal"
    common.run(inventing.refine(idea, file, flags, form))


@app.command()
def add(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE…",
            help="Files (PDF, HTML, LaTeX, JATS, TEI, Markdown, text), folders, bibliographies "
            "(BibTeX, RIS, MEDLINE …), arXiv ids, DOIs or addresses.",
            show_default=False,
        ),
    ] = None,
    arxiv: Annotated[
        str | None, typer.Option(metavar="QUERY", help="Add what arXiv finds for this query.")
    ] = None,
    query: Annotated[
        str | None, typer.Option("--search", metavar="QUERY", help="Add what --from finds for it.")
    ] = None,
    service: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SERVICE",
            help="arxiv, openalex, crossref, semanticscholar, or zotero on this machine.",
        ),
    ] = "arxiv",
    most: Annotated[int, typer.Option("--max", min=1, help="Most papers from a search.")] = 20,
    to: Annotated[
        str, typer.Option("--to", metavar="NAME", help="Put them into this collection too.")
    ] = "",
    json: Json = False,
) -> None:
    """Put papers into the library. What is there already becomes part of it once."""
    from scholar.cli import adding, common

    if arxiv and (query or service != "arxiv"):
        raise typer.BadParameter("give --arxiv, or --search with --from")
    common.run(adding.add(sources or [], arxiv or query or "", service, most, to, json))


@app.command()
def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Passages to show.")] = 10,
    years: Annotated[
        str, typer.Option("--years", metavar="FROM-TO", help="As in 2019-2021, 2019- or -2021.")
    ] = "",
    venue: Annotated[str, typer.Option(help="Words of the journal or conference.")] = "",
    author: Annotated[str, typer.Option(help="Words of the names of the authors.")] = "",
    source: Annotated[str, typer.Option(help="Words of the file or address it came from.")] = "",
    collection: Annotated[
        str, typer.Option("--in", metavar="NAME", help="Only papers of this collection.")
    ] = "",
    retracted: Annotated[
        bool | None, typer.Option(help="Only papers that were retracted, or none of them.")
    ] = None,
    strategy: Annotated[str, typer.Option(help="How passages are ranked.")] = "hybrid",
    json: Json = False,
) -> None:
    """Find the passages of the library that fit a query best."""
    from scholar.cli import common, shelf

    wanted = {"venue": venue, "author": author, "source": source, "collection": collection}
    common.run(shelf.search(query, k, years, wanted, retracted, strategy, json))


@app.command()
def rate(
    passages: Annotated[
        list[str], typer.Argument(metavar="PASSAGE…", help="Ids, as --json and search show them.")
    ],
    helpful: Annotated[bool, typer.Option("--helpful/--unhelpful", help="What they were.")] = True,
) -> None:
    """Say which passages under an answer helped; the strategy feedback ranks by it."""
    from scholar.cli import common, shelf

    common.run(shelf.rate(passages, helpful))


@app.command()
def doctor(json: Json = False) -> None:
    """Check what is installed and set, which models answer, and what to do about the rest."""
    from scholar.cli import checkup, common

    common.run(checkup.doctor(json))


@app.command("slack")
def slack_bot(
    http: Annotated[
        int | None,
        typer.Option(
            "--http", metavar="PORT", min=0, help="Listen for signed requests; else Socket Mode."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Where --http listens.")] = "127.0.0.1",
    check: Annotated[
        bool, typer.Option("--check", help="Say what of the set-up is missing, and end.")
    ] = False,
    json: Json = False,
) -> None:
    """Answer in Slack, in channels, threads and direct messages."""
    from scholar.cli import common, slack

    common.run(slack.check(json) if check else slack.listen(http, host))


@papers.command("list")
def papers_list(
    collection: Annotated[
        str, typer.Option("--in", metavar="NAME", help="Only papers of this collection.")
    ] = "",
    json: Json = False,
) -> None:
    """All papers, by title."""
    from scholar.cli import common, shelf

    common.run(shelf.list_papers(collection, json))


@papers.command("show")
def papers_show(
    paper: Annotated[str, typer.Argument(metavar="ID", help="A paper id, or its beginning.")],
    json: Json = False,
) -> None:
    """One paper with its passages."""
    from scholar.cli import common, shelf

    common.run(shelf.show_paper(paper, json))


@papers.command("check")
def papers_check(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID…]", help="Which; without, all.")
    ] = None,
    json: Json = False,
) -> None:
    """Look up which papers were retracted, have newer versions, or were published since."""
    from scholar.cli import checking, common

    common.run(checking.check(ids or [], json))


@papers.command("remove")
def papers_remove(ids: Ids) -> None:
    """Forget papers; their files are left alone."""
    from scholar.cli import common, shelf

    common.run(shelf.remove_papers(ids))


@papers.command("export")
def papers_export(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID…]", help="Which; without, all.")
    ] = None,
    bibtex: Annotated[
        bool, typer.Option("--bibtex", help="As BibTeX, the only format yet.")
    ] = True,
) -> None:
    """Print the papers as a bibliography."""
    from scholar.cli import common, shelf

    common.run(shelf.export_papers(ids or []))


@library.command("rebuild")
def library_rebuild() -> None:
    """Derive all indexes anew, with the embedder that the settings choose now."""
    from scholar.cli import common, shelf

    common.run(shelf.rebuild())


@library.command("enrich")
def library_enrich(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND…]", help="facts, questions, cards; without, all."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="openai:NAME or openai:NAME@URL to read with.")
    ] = None,
    budget_dollars: Annotated[
        float | None, typer.Option(min=0, help="Spend at most so many US dollars.")
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=0, help="Use at most so many tokens.")
    ] = None,
    json: Json = False,
) -> None:
    """Let the reader model draw facts, questions and cards from the papers, for better searches.

    Nothing is done twice: what was cut short goes on where it was.
    """
    from scholar.cli import asking, common, enriching

    budget = {"dollars": budget_dollars, "tokens": budget_tokens}
    flags = asking.flags(None, model, budget, False)
    common.run(enriching.run(kinds or [], flags, json))


@library.command("check")
def library_check(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is wrong.")] = False,
    json: Json = False,
) -> None:
    """Compare every index with the catalogue; exits with 5 where something is wrong."""
    from scholar.cli import common, shelf

    common.run(shelf.check(repair, json))


@library.command("stats")
def library_stats(json: Json = False) -> None:
    """How much the library holds."""
    from scholar.cli import common, shelf

    common.run(shelf.stats(json))


@library.command("snapshot")
def library_snapshot(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to write, as in lib.tar.")],
) -> None:
    """Write the whole library, as it is now, to one file."""
    from scholar.cli import common, shelf

    common.run(shelf.snapshot(file))


@library.command("restore")
def library_restore(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What library snapshot has written.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also in place of a library that holds papers.")
    ] = False,
) -> None:
    """Put the library of a snapshot in place of the one there is."""
    from scholar.cli import common, shelf

    common.run(shelf.restore(file, force))


@app.command("presets")
def list_presets(json: Json = False) -> None:
    """The ways of answering: what each is good for, and what it costs."""
    from scholar.cli import common, presets

    common.run(presets.list_presets(json))


@_models.command("list")
def models_list(json: Json = False) -> None:
    """What plays each role, in the order of trying, and what is known of it. Calls nothing."""
    from scholar.cli import common, models

    common.run(models.list_models(json))


@_models.command("check")
def models_check(json: Json = False) -> None:
    """Ask each model once, and remember what its server can do."""
    from scholar.cli import common, models

    common.run(models.check_models(json))


@_models.command("bench")
def models_bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL…", help="Ids; without, all that play a role."),
    ] = None,
    concurrent: Annotated[
        str, typer.Option(metavar="N,…", help="Requests at once, each number in its turn.")
    ] = BENCH_CONCURRENT,
    tokens: Annotated[
        int, typer.Option(min=16, max=8_000, help="The longest reply to ask for.")
    ] = BENCH_TOKENS,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before a model that costs money is used.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure how fast each model is, alone and with many requests at once, and remember it."""
    from scholar.cli import bench, common

    common.run(bench.bench_models(models or [], concurrent, tokens, yes, json))


@_models.command("pull")
def models_pull(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL…", help="Ids such as local:Qwen/Qwen3-8B; without, all that are set."
        ),
    ] = None,
) -> None:
    """Fetch the weights of local models from the Hugging Face hub, or the rest of them."""
    from scholar.cli import common, pull

    common.run(pull.pull_models(models or []))


@_evaluation.command("retrieve")
def eval_retrieve(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="With corpus.jsonl, queries.jsonl and qrels/, as BEIR."),
    ],
    split: Annotated[str, typer.Option(help="Which of the qrels; test, or the only one.")] = "",
    strategy: Annotated[
        str,
        typer.Option(
            help="bm25, dense, hybrid, graph, entity, cocitation, questions, rerank or diverse, "
            "several joined by +, or all."
        ),
    ] = "hybrid",
    json: Json = False,
) -> None:
    """Index a judged set in a throwaway library and measure how well its documents are found."""
    from pathlib import Path

    from scholar.cli import common, evaluating

    common.run(evaluating.retrieve(Path(folder).expanduser(), split, strategy, json))


@_evaluation.command("answer")
def eval_answer(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="With corpus.jsonl, and answers in queries.jsonl.")
    ],
    preset: Preset = None,
    model: Model = None,
    limit: Limit = None,
    seed: Seed = 0,
    parallel: Parallel = 4,
    judge: Judge = "",
    into: Out = None,
    json: Json = False,
) -> None:
    """Ask questions with known answers: are they right, and do their citations carry them?"""
    _examine("answer", folder, (preset, limit, seed, parallel, judge), model, into, json)


@_evaluation.command("conflict")
def eval_conflict(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="With items.jsonl, as WikiContradict.")
    ],
    preset: Preset = None,
    model: Model = None,
    limit: Limit = None,
    seed: Seed = 0,
    parallel: Parallel = 4,
    judge: Judge = "",
    into: Out = None,
    json: Json = False,
) -> None:
    """Ask questions on which two documents disagree: are both answers reported?"""
    _examine("conflict", folder, (preset, limit, seed, parallel, judge), model, into, json)


@_evaluation.command("abstain")
def eval_abstain(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="As for answer, with qrels; or with claims_*.jsonl."),
    ],
    preset: Preset = None,
    model: Model = None,
    limit: Limit = None,
    seed: Seed = 0,
    parallel: Parallel = 4,
    into: Out = None,
    json: Json = False,
) -> None:
    """Ask questions that the documents answer, and that they do not: is each told apart?"""
    _examine("abstain", folder, (preset, limit, seed, parallel, ""), model, into, json)


@_evaluation.command("ideas")
def eval_ideas(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="With backgrounds.jsonl, rated.jsonl, or what scholar ideas --json printed.",
        ),
    ],
    comparisons: Annotated[
        int | None,
        typer.Option(min=2, help="Comparisons of rated ideas for each topic; else n log n."),
    ] = None,
    model: Model = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use so many backgrounds and topics; else all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Resamples for the intervals.")] = 0,
    into: Out = None,
    json: Json = False,
) -> None:
    """Are the right papers found for ideas, are ideas diverse, are they ranked as people do?"""
    from scholar.cli import asking, common, weighing

    flags = asking.flags(None, model, {}, False)
    common.run(weighing.weigh(folder, flags, into, limit, comparisons, seed, json))


def _examine(
    kind: Literal["answer", "conflict", "abstain"],
    folder: str,
    plan: tuple[str | None, int | None, int, int, str],
    model: str | None,
    into: str | None,
    json: bool,
) -> None:
    from scholar.cli import asking, common, examining
    from scholar.evaluation.asking import Plan

    preset, limit, seed, parallel, judge = plan
    flags = asking.flags(preset, model, {}, False)
    asked = Plan(preset or "", limit, seed, parallel, judge)
    common.run(examining.examine(kind, folder, asked, flags, into, json))


def _version(wanted: bool) -> None:
    if wanted:
        from scholar import __version__

        typer.echo(f"scholar {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
