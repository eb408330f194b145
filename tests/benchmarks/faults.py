"""The table of faults: `python tests/benchmarks/faults.py > docs/faults.md`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import injected
from model_server import ModelServer


def main() -> None:
    with ModelServer(lambda _: "") as server, tempfile.TemporaryDirectory() as home:
        print(asyncio.run(injected.table(server, Path(home))), end="")


if __name__ == "__main__":
    main()
