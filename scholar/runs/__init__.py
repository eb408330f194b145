"""A run's life: begin, watch, pause, cancel, resume and play it again."""

from __future__ import annotations

from scholar.runs.archive import Runs
from scholar.runs.assistant import Scholar
from scholar.runs.run import Run

__all__ = ["Run", "Runs", "Scholar"]
