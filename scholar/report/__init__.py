"""An answer as its readers see it: in a terminal, and in files of five forms."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from scholar.report import ideas, json, markdown, terminal
from scholar.report.json import json_text, paper_to_json
from scholar.report.terminal import hanging, write_block
from scholar.report.words import (
    NOT_SAID,
    SET_A_MODEL,
    about_ideas,
    authors,
    citations_of,
    cost,
    count,
    identifier,
    reference,
    short,
    vote,
)
from scholar.text import plain
from scholar.values import Answer

__all__ = [
    "NOT_SAID",
    "SET_A_MODEL",
    "authors",
    "citations_of",
    "cost",
    "count",
    "hanging",
    "identifier",
    "json_text",
    "paper_to_json",
    "plain",
    "reference",
    "short",
    "show",
    "to_json",
    "to_markdown",
    "vote",
    "write_block",
]


def show(answer: Answer, console: Console) -> None:
    """Print an answer, or the ideas or the proposal that it is."""
    if about_ideas(answer):
        ideas.show(answer, console)
    else:
        terminal.show(answer, console)


def to_json(answer: Answer) -> dict[str, Any]:
    """An answer as plain data, as `answer.schema.json` or `ideas.schema.json` describes it."""
    return ideas.to_json(answer) if about_ideas(answer) else json.to_json(answer)


def to_markdown(answer: Answer) -> str:
    """An answer, or the ideas or the proposal that it is, as Markdown."""
    return ideas.to_markdown(answer) if about_ideas(answer) else markdown.to_markdown(answer)
