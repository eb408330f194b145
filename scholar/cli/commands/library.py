"""The commands that look after the library."""

from __future__ import annotations

from typing import Annotated

import typer

from scholar.cli.options import Dollars, Json, Model, Tokens

library = typer.Typer(help="Look after the library.")


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
    model: Model = None,
    budget_dollars: Dollars = None,
    budget_tokens: Tokens = None,
    json: Json = False,
) -> None:
    """Let the reader model draw facts, questions and cards from the papers, for better searches.

    Nothing is done twice: what was cut short goes on where it was.
    """
    from scholar.cli import common, enriching, flags

    chosen = flags.settings(model=model, dollars=budget_dollars, tokens=budget_tokens)
    common.run(enriching.run(kinds or [], chosen, json))


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
