"""Whole processes: help, the README's first command, a question of a library that is there, and a
list of runs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUESTION = "How does HippoRAG 2 rank passages?"
RUNS = 5


def main() -> None:
    print("### Whole processes\n")
    print(f"Median and extremes of {RUNS} runs, BM25 alone, no model.\n")
    print("| command | median | min | max |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as home:
        _row("scholar --help", ["--help"], home)
        _row("scholar ask … --with examples/library, first time", _first, home)
        _row("scholar ask …", ["ask", QUESTION], home)
        _row("scholar runs list --json", ["runs", "list", "--json"], home)
        _row("python -c 'import numpy, pydantic, sqlalchemy, langgraph.graph'", None, home)
    print()


def _first(home: str, run: int) -> tuple[list[str], str]:
    return ["ask", QUESTION, "--with", "examples/library"], f"{home}/first-{run}"


def _row(name: str, arguments: object, home: str) -> None:
    times = []
    for run in range(RUNS):
        command = [sys.executable, "-m", "scholar"]
        data = f"{home}/first-0"
        if arguments is None:
            command = [sys.executable, "-c", "import numpy, pydantic, sqlalchemy, langgraph.graph"]
        elif callable(arguments):
            extra, data = arguments(home, run)
            command += extra
        elif isinstance(arguments, list):
            command += arguments
        environment = {**os.environ, "SCHOLAR_HOME": data, "SCHOLAR_EMBEDDER": "none"}
        began = time.monotonic()
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
        times.append(time.monotonic() - began)
    middle = statistics.median(times)
    print(f"| `{name}` | {middle:.2f} s | {min(times):.2f} s | {max(times):.2f} s |", flush=True)


if __name__ == "__main__":
    main()
