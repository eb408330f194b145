"""The commands on the papers of the library."""

from __future__ import annotations

from typing import Annotated

import typer

from scholar.cli.options import Collection, Ids, Json

papers = typer.Typer(help="List, show, remove and export the papers of the library.")


@papers.command("list")
def papers_list(
    collection: Collection = "",
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
        bool, typer.Option("--bibtex/--json", help="As BibTeX, or as JSON like papers list.")
    ] = True,
) -> None:
    """Print the papers as a bibliography."""
    from scholar.cli import common, shelf

    common.run(shelf.export_papers(ids or [], json=not bibtex))
