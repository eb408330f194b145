"""The commands, their arguments and their help. What they do is in the other modules here, which
load only when a command runs, so that help appears at once.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from scholar.cli.commands.evaluation import evaluation
from scholar.cli.commands.ideas import proposing
from scholar.cli.commands.library import library
from scholar.cli.commands.models import models as _models
from scholar.cli.commands.papers import papers
from scholar.cli.commands.runs import runs, threads
from scholar.cli.commands.watch import watch
from scholar.cli.options import (
    Collection,
    Dollars,
    Estimate,
    Files,
    Json,
    Markdown,
    Model,
    NoCache,
    Passages,
    Preset,
    Seconds,
    Sources,
    Strategy,
    Tokens,
)

app = typer.Typer(
    name="scholar",
    help="Ask a question of papers. Every sentence of the answer stands on a verbatim quote.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for name, group in {
    "papers": papers,
    "library": library,
    "models": _models,  # models itself is the module that does it
    "runs": runs,
    "threads": threads,
    "watch": watch,
    "eval": evaluation,
}.items():
    app.add_typer(group, name=name, no_args_is_help=True)
app.add_typer(proposing, name="ideas")


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
    from scholar.cli import asking, common, flags

    chosen = flags.settings(
        preset=preset, model=model, dollars=budget_dollars, tokens=budget_tokens,
        seconds=budget_seconds, no_cache=no_cache,
    )  # fmt: skip
    form = flags.form(json=json)
    if estimate:
        common.run(asking.estimate(question, chosen, k, form))
    else:
        asked = asking.Asked(question, k, thread, review_plan=review == "plan")
        common.run(asking.ask(asked, sources or [], chosen, form, files or []))


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
    from scholar.cli import common, flags, talking

    chosen = flags.settings(
        preset=preset, model=model, dollars=budget_dollars, tokens=budget_tokens, no_cache=no_cache
    )
    common.run(talking.chat(thread, chosen, k))


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
    markdown: Markdown = False,
    files: Files = None,
    json: Json = False,
) -> None:
    """Review what the papers of the library say on a topic, with a table of the papers."""
    from scholar.cli import common, flags, reviewing

    chosen = flags.settings(
        model=model, dollars=budget_dollars, tokens=budget_tokens, seconds=budget_seconds,
        no_cache=no_cache,
    )  # fmt: skip
    asked = reviewing.Asked(topic, columns, sections, preset, k)
    form = flags.form(json=json, markdown=markdown)
    if estimate:
        common.run(reviewing.estimate(asked, chosen, form))
    else:
        common.run(reviewing.review(asked, sources or [], chosen, form, files or []))


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
    collection: Collection = "",
    retracted: Annotated[
        bool | None, typer.Option(help="Only papers that were retracted, or none of them.")
    ] = None,
    strategy: Strategy = "hybrid",
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


@app.command("presets")
def list_presets(json: Json = False) -> None:
    """The ways of answering: what each is good for, and what it costs."""
    from scholar.cli import common, presets

    common.run(presets.list_presets(json))


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
