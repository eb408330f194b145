"""The commands, their arguments and their help. What they do is in the other modules here, which
load only when a command runs, so that help appears at once.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

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
_evaluation = typer.Typer(help="Measure how well it does on judged sets.")
app.add_typer(_evaluation, name="eval", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Ids = Annotated[
    list[str], typer.Argument(metavar="ID…", help="Paper ids, or unique beginnings of them.")
]
Preset = Annotated[str | None, typer.Option(help="How to answer; see scholar presets.")]
Model = Annotated[str | None, typer.Option(help="openai:NAME or openai:NAME@URL, for every role.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Ask so many questions, drawn by --seed; else all.")
]
Seed = Annotated[int, typer.Option(help="Draws questions, and resamples for the intervals.")]
Parallel = Annotated[int, typer.Option(min=1, help="Questions under way at a time.")]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", metavar="FOLDER", help="Where answers are kept, so that a run can go on."
    ),
]
Judge = Annotated[
    str,
    typer.Option(help="A model id, nli:FOLDER or none; else whatever plays the juror."),
]


Sources = Annotated[
    list[str] | None,
    typer.Option("--with", metavar="SOURCE", help="Add this source first. May be repeated."),
]
Passages = Annotated[int | None, typer.Option("-k", min=1, help="Passages to read per step.")]
Dollars = Annotated[float | None, typer.Option(min=0, help="Spend at most so many US dollars.")]
Tokens = Annotated[int | None, typer.Option(min=0, help="Use at most so many tokens.")]
Seconds = Annotated[
    float | None, typer.Option(min=0, help="Stop asking models after so many seconds.")
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Take no reply from disk, and keep none.")
]


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
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it would cost, and call nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Answer a question from the library, or, without a model, show the quotes that bear on it."""
    from scholar.cli import asking, common

    budget = {"dollars": budget_dollars, "tokens": budget_tokens, "seconds": budget_seconds}
    flags = asking.flags(preset, model, budget, no_cache)
    command = asking.estimate if estimate else asking.ask
    common.run(command(question, sources or [], flags, k, json))


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
    markdown: Annotated[bool, typer.Option("--markdown", help="Print it as Markdown.")] = False,
    json: Json = False,
) -> None:
    """Review what the papers of the library say on a topic, with a table of the papers."""
    from scholar.cli import asking, common, reviewing

    budget = {"dollars": budget_dollars, "tokens": budget_tokens, "seconds": budget_seconds}
    flags = asking.flags(None, model, budget, no_cache)
    asked = reviewing.Asked(topic, columns, sections, preset or "review", k)
    form: reviewing.Form = "json" if json else "markdown" if markdown else "terminal"
    common.run(reviewing.review(asked, sources or [], flags, form))


@app.command()
def add(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE…",
            help="PDF, Markdown or text files, folders, .bib files, arXiv ids or addresses.",
            show_default=False,
        ),
    ] = None,
    arxiv: Annotated[
        str | None, typer.Option(metavar="QUERY", help="Add what arXiv finds for this query.")
    ] = None,
    most: Annotated[int, typer.Option("--max", min=1, help="Most papers from arXiv.")] = 20,
    json: Json = False,
) -> None:
    """Put papers into the library. What is there already is left alone."""
    from scholar.cli import adding, common

    common.run(adding.add(sources or [], arxiv or "", most, json))


@app.command()
def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Passages to show.")] = 10,
    json: Json = False,
) -> None:
    """Find the passages of the library that fit a query best."""
    from scholar.cli import common, shelf

    common.run(shelf.search(query, k, json))


@app.command()
def doctor(json: Json = False) -> None:
    """Check what is installed and set, which models answer, and what to do about the rest."""
    from scholar.cli import checkup, common

    common.run(checkup.doctor(json))


@papers.command("list")
def papers_list(json: Json = False) -> None:
    """All papers, by title."""
    from scholar.cli import common, shelf

    common.run(shelf.list_papers(json))


@papers.command("show")
def papers_show(
    paper: Annotated[str, typer.Argument(metavar="ID", help="A paper id, or its beginning.")],
    json: Json = False,
) -> None:
    """One paper with its passages."""
    from scholar.cli import common, shelf

    common.run(shelf.show_paper(paper, json))


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
