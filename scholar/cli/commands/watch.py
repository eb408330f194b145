"""The commands on standing questions, and their arguments."""

from __future__ import annotations

from typing import Annotated

import typer

from scholar.cli.options import Json, Model, Preset

watch = typer.Typer(help="Ask questions again when there are new papers, and see what changed.")

WatchId = Annotated[
    str, typer.Argument(metavar="WATCH_ID", help="Its id, or a unique beginning of it.")
]


@watch.command("add")
def watch_add(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotes.")],
    arxiv: Annotated[
        str, typer.Option(metavar="QUERY", help="Add what is new on arXiv for this, each time.")
    ] = "",
    preset: Preset = None,
    json: Json = False,
) -> None:
    """Keep a question, to be asked by scholar watch run; the first time it is simply answered."""
    from scholar.cli import common, watching

    common.run(watching.add(question, arxiv, preset, json))


@watch.command("list")
def watch_list(json: Json = False) -> None:
    """List the standing questions."""
    from scholar.cli import common, watching

    common.run(watching.show_all(json))


@watch.command("run")
def watch_run(
    watch_ids: Annotated[
        list[str] | None, typer.Argument(metavar="WATCH_ID…", help="These; else all.")
    ] = None,
    model: Model = None,
    json: Json = False,
) -> None:
    """Look for new papers and say what they change, sentence by sentence.

    Made for cron: where nothing has changed, nothing is printed, and where there is nothing new
    nothing is paid.
    """
    from scholar.cli import common, flags, watching

    common.run(watching.run(watch_ids or [], flags.settings(model=model), json))


@watch.command("remove")
def watch_remove(watch_id: WatchId) -> None:
    """Forget a standing question; its answers stay among the runs."""
    from scholar.cli import common, watching

    common.run(watching.remove(watch_id))
