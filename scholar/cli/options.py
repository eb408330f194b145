"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Ids = Annotated[
    list[str], typer.Argument(metavar="ID…", help="Paper ids, or unique beginnings of them.")
]
Preset = Annotated[str | None, typer.Option(help="How to answer; see scholar presets.")]
Model = Annotated[
    str | None,
    typer.Option(help="openai:NAME, openai:NAME@URL or local:NAME, for every role."),
]
STRATEGIES = (
    "bm25, dense, hybrid, graph, entity, cocitation or questions, several joined by +, and then "
    "+feedback, +rerank or +diverse"
)
"""The names that the library has for them, which takes too long to load for a help text."""
Strategy = Annotated[str, typer.Option(help=f"How passages are ranked: {STRATEGIES}.")]
Collection = Annotated[
    str, typer.Option("--in", metavar="NAME", help="Only papers of this collection.")
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print it as Markdown.")]
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
Files = Annotated[
    list[str] | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write it to this file too, a .md, .html, .json, .bib or .docx. May be repeated.",
    ),
]
Estimate = Annotated[
    bool, typer.Option("--estimate", help="Say what it would cost, and call nothing.")
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Take no reply from disk, and keep none.")
]
