"""An answer as its readers see it: in a terminal, and in files of five forms."""

from scholar.report.json import json_text, paper_to_json, to_json
from scholar.report.terminal import hanging, show
from scholar.report.words import (
    NOT_SAID,
    SET_A_MODEL,
    authors,
    citations_of,
    cost,
    identifier,
    reference,
    short,
    vote,
)
from scholar.text import plain

__all__ = [
    "NOT_SAID",
    "SET_A_MODEL",
    "authors",
    "citations_of",
    "cost",
    "hanging",
    "identifier",
    "json_text",
    "paper_to_json",
    "plain",
    "reference",
    "short",
    "show",
    "to_json",
    "vote",
]
