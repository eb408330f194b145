"""The commands on research ideas."""

from __future__ import annotations

from typing import Annotated

import typer

from scholar.cli.default import WithDefault
from scholar.cli.options import (
    Dollars,
    Estimate,
    Files,
    Json,
    Markdown,
    Model,
    NoCache,
    Preset,
    Seconds,
    Sources,
    Tokens,
)

proposing = typer.Typer(
    cls=WithDefault, help="Propose research ideas on a topic, or work one of them out."
)


@proposing.command(WithDefault.default, epilog="See scholar ideas refine too.")
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
    files: Files = None,
    estimate: Estimate = False,
    markdown: Markdown = False,
    json: Json = False,
) -> None:
    """Propose research ideas on a topic, each with its nearest prior work quoted."""
    from scholar.cli import common, flags, inventing

    chosen = flags.settings(
        preset=preset, model=model, dollars=budget_dollars, tokens=budget_tokens,
        seconds=budget_seconds, no_cache=no_cache,
    )  # fmt: skip
    asked = inventing.Asked(topic, wanted, new, interactive)
    form = flags.form(json=json, markdown=markdown)
    if estimate:
        common.run(inventing.estimate(asked, chosen, form))
    else:
        common.run(inventing.propose(asked, sources or [], chosen, form, files or []))


@proposing.command("refine")
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
    files: Files = None,
    markdown: Markdown = False,
    json: Json = False,
) -> None:
    """Work one idea out into a proposal of two pages, every statement on papers quoted."""
    from scholar.cli import common, flags, inventing

    chosen = flags.settings(
        preset=preset, model=model, dollars=budget_dollars, tokens=budget_tokens,
        seconds=budget_seconds, no_cache=no_cache,
    )  # fmt: skip
    form = flags.form(json=json, markdown=markdown)
    common.run(inventing.refine(idea, file, chosen, form, files or []))
