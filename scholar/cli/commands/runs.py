"""The commands on runs and threads, and their arguments."""

from __future__ import annotations

from typing import Annotated

import typer

from scholar.cli.options import Dollars, Files, Json, Model, NoCache, Seconds, Tokens

runs = typer.Typer(help="List, show, resume, cancel, replay, export and remove runs.")
threads = typer.Typer(help="List, show, rename, export and remove threads of questions.")

RunId = Annotated[
    str, typer.Argument(metavar="RUN_ID", help="The run's id, or a unique beginning of it.")
]
Thread = Annotated[
    str, typer.Argument(metavar="THREAD", help="The thread's id or title, or its beginning.")
]
Where = Annotated[
    str | None, typer.Option("--out", metavar="FILE", help="Write it there instead of printing it.")
]


@runs.command("list")
def runs_list(
    most: Annotated[int | None, typer.Option("--most", min=1, help="The newest so many.")] = None,
    thread: Annotated[str | None, typer.Option(help="Those of one thread.")] = None,
    json: Json = False,
) -> None:
    """List the runs, newest first."""
    from scholar.cli import common, running

    common.run(running.show_all(most, thread, json))


@runs.command("show")
def runs_show(run_id: RunId, json: Json = False) -> None:
    """Tell how a run went: plan, searches, quotes, drafts and votes, with their time and cost."""
    from scholar.cli import common, running

    common.run(running.show(run_id, json))


@runs.command("resume")
def runs_resume(
    run_id: RunId,
    reply: Annotated[
        str | None,
        typer.Option(
            metavar="yes|no|TEXT",
            help="Your reply where the run waits for one. To a plan also questions, one a line; "
            "to ideas what is to become of them.",
        ),
    ] = None,
    model: Model = None,
    budget_dollars: Dollars = None,
    budget_tokens: Tokens = None,
    budget_seconds: Seconds = None,
    no_cache: NoCache = False,
    files: Files = None,
    json: Json = False,
) -> None:
    """Go on with a run where it was. A budget is that of the whole run, with what is spent."""
    from scholar.cli import common, flags, resuming

    chosen = flags.settings(
        model=model, dollars=budget_dollars, tokens=budget_tokens, seconds=budget_seconds,
        no_cache=no_cache,
    )  # fmt: skip
    form = flags.form(json=json)
    common.run(resuming.resume(run_id, reply, chosen, form, files or []))


@runs.command("cancel")
def runs_cancel(run_id: RunId) -> None:
    """End a run that is under way; what it has found is kept, and it can be resumed."""
    from scholar.cli import common, running

    common.run(running.cancel(run_id))


@runs.command("replay")
def runs_replay(run_id: RunId, json: Json = False) -> None:
    """Play a run again from what it was told, without model or network, and compare."""
    from scholar.cli import common, resuming

    common.run(resuming.replay(run_id, json))


@runs.command("export")
def runs_export(run_id: RunId, out: Where = None) -> None:
    """Print all that is kept of a run as JSON, or write its answer as --out of scholar ask."""
    from scholar.cli import common, running

    common.run(running.export(run_id, out))


@runs.command("remove")
def runs_remove(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN_ID…", help="Ids of runs.")],
) -> None:
    """Forget runs; the papers that they added stay."""
    from scholar.cli import common, running

    common.run(running.remove(run_ids))


@threads.command("list")
def threads_list(json: Json = False) -> None:
    """List the threads, the one that was last used first."""
    from scholar.cli import common, talking

    common.run(talking.show_all(json))


@threads.command("show")
def threads_show(thread: Thread, json: Json = False) -> None:
    """Show a thread: its questions and their answers."""
    from scholar.cli import common, talking

    common.run(talking.show(thread, json))


@threads.command("rename")
def threads_rename(
    thread: Thread, title: Annotated[str, typer.Argument(help="The new title, in quotes.")]
) -> None:
    """Give a thread another title."""
    from scholar.cli import common, talking

    common.run(talking.rename(thread, title))


@threads.command("export")
def threads_export(thread: Thread, out: Where = None) -> None:
    """Print a thread as Markdown, or write it to a file: .md, or .json."""
    from scholar.cli import common, talking

    common.run(talking.export(thread, out))


@threads.command("remove")
def threads_remove(thread: Thread) -> None:
    """Forget a thread with all its runs."""
    from scholar.cli import common, talking

    common.run(talking.remove(thread))
