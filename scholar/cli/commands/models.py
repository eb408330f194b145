"""The commands on models."""

from __future__ import annotations

from typing import Annotated

import typer

from scholar.cli.options import Json

models = typer.Typer(help="See which models play which roles, and check them.")

BENCH_CONCURRENT = "1,4,16"
"""One reader, a jury and its writer, and several questions together."""
BENCH_TOKENS = 128
"""Two seconds of a fast model, half a minute of a slow one on a laptop."""


@models.command("list")
def models_list(json: Json = False) -> None:
    """What plays each role, in the order of trying, and what is known of it. Calls nothing."""
    from scholar.cli import common, models

    common.run(models.list_models(json))


@models.command("check")
def models_check(json: Json = False) -> None:
    """Ask each model once, and remember what its server can do."""
    from scholar.cli import common, models

    common.run(models.check_models(json))


@models.command("bench")
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


@models.command("pull")
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
