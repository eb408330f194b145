"""What flags stand for that many commands take."""

from __future__ import annotations

from typing import Any, Literal, get_args

from scholar.settings import Role

Form = Literal["terminal", "markdown", "json"]
"""How a command prints what it has made."""


def settings(
    *,
    preset: str | None = None,
    model: str | None = None,
    dollars: float | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
    no_cache: bool = False,
) -> dict[str, Any]:
    """The settings that flags stand for; None where one was not given. Caps are of one run."""
    budget = {"dollars": dollars, "tokens": tokens, "seconds": seconds}
    return {
        "preset": preset,
        "model": model,
        "models": dict.fromkeys(get_args(Role), model) if model else None,
        "budget": {name: cap for name, cap in budget.items() if cap is not None} or None,
        "cache": False if no_cache else None,
    }


def form(*, json: bool, markdown: bool = False) -> Form:
    """The form that --json and --markdown ask for."""
    return "json" if json else "markdown" if markdown else "terminal"
