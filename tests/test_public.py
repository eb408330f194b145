"""The public names, and that importing the package costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import scholar

HEAVY = ("torch", "transformers", "chromadb", "langgraph", "openai")


def test_the_public_names_are_these() -> None:
    assert scholar.__all__ == [
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
    assert all(getattr(scholar, name).__module__.startswith("scholar") for name in scholar.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = scholar.nonsense


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['scholar', '--help']\n"
        "from scholar.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"sys.exit(', '.join(m for m in {HEAVY!r} if m in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "ask" in done.stdout
