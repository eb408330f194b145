"""A research assistant whose every sentence stands on a verbatim quote of a stored paper.

from scholar import Scholar

async with Scholar() as scholar:
    await scholar.add("papers/")
    answer = await scholar.ask("How does HippoRAG 2 rank passages?")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scholar.backends.fake import FakeBackend
    from scholar.context import Services
    from scholar.graph import build_graph, build_services
    from scholar.runs import Run, Scholar
    from scholar.settings import Settings, load
    from scholar.values import Answer, Outcome, Paper

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "FakeBackend",
    "Outcome",
    "Paper",
    "Run",
    "Scholar",
    "Services",
    "Settings",
    "build_graph",
    "build_services",
    "load",
]

# Names load where they are used, so that importing the package, as every command does, is quick.
_HOMES = {
    "Answer": "values",
    "FakeBackend": "backends.fake",
    "Outcome": "values",
    "Paper": "values",
    "Run": "runs",
    "Scholar": "runs",
    "Services": "context",
    "Settings": "settings",
    "build_graph": "graph",
    "build_services": "graph",
    "load": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scholar' has no attribute '{name}'")
    return getattr(importlib.import_module(f"scholar.{_HOMES[name]}"), name)
