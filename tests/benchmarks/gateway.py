"""What the gateway itself costs: time per call without network, memory of calls held open.

`python tests/benchmarks/gateway.py` exits with 1 where a target is missed.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from scholar.backends import Capabilities, Delta, Request, TokenCount, classify
from scholar.backends.chain import Member
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.limits import Lane
from scholar.prompts import Prompt
from scholar.settings import Budget, Limit, Price, Settings

CALLS = 500
OPEN = 200
TARGET_MS = 3.0
TARGET_MB = 100.0
WORDS = "A sentence of a passage that a prompt would carry, again and again. " * 400
REPLY = '{"text": "' + "A sentence of an answer. " * 60 + '"}'
SERVER = """
import sys
sys.path.insert(0, sys.argv[1])
from model_server import ModelServer, Stall
with ModelServer(lambda _: Stall('{"te')) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
MODEL = "openai:instant@http://127.0.0.1:9/v1"


class Text(BaseModel):
    text: str


class Instant:
    """A model that answers at once, in pieces of four characters."""

    name = "instant"
    capabilities = Capabilities()

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        for at in range(0, len(REPLY), 4):
            yield Delta(REPLY[at : at + 4])
        yield Delta(tokens=TokenCount(len(WORDS) // 4, len(REPLY) // 4))

    async def classify(self, request: Request) -> dict[str, float]:
        return await classify(self, request)

    async def aclose(self) -> None:
        """Nothing to let go of."""


def prompt(n: int) -> Prompt:
    return Prompt("bench", "writer", 1, "You write.", f"{n} {WORDS}")


async def per_call(home: Path) -> tuple[float, float, float]:
    """Milliseconds per new call, per call from disk, and of the model's own share in a call."""
    settings = Settings(home=home, model=MODEL, budget=Budget(tokens=10**9, dollars=10**6))
    gateway, backend = Gateway(settings), Instant()
    # In the place of the backend that the id would open: the whole way is gone, but the network.
    lane = Lane(Limit(concurrency=OPEN, tokens_per_minute=10**9, requests_per_minute=10**6))
    gateway._roster._opened[MODEL] = Member(backend, lane, MODEL, MODEL)

    async def ask(n: int) -> float:
        ledger = Ledger(settings.budget, lambda _: Price(input=1, output=1))
        began = time.perf_counter()
        await gateway.ask(prompt(n), Text, ledger=ledger)
        return 1_000 * (time.perf_counter() - began)

    async def bare(n: int) -> float:
        began = time.perf_counter()
        text = "".join([delta.text async for delta in backend.stream(Request(()))])
        Text.model_validate_json(text)
        return 1_000 * (time.perf_counter() - began)

    try:
        await ask(-1)
        new = statistics.median([await ask(n) for n in range(CALLS)])
        known = statistics.median([await ask(n) for n in range(CALLS)])
        alone = statistics.median([await bare(n) for n in range(CALLS)])
        return new, known, alone
    finally:
        await gateway.aclose()


async def held_open(home: Path, url: str) -> float:
    """Megabytes that OPEN calls take, each of them in the middle of its reply from a server."""
    settings = Settings(home=home, model=f"openai:slow@{url}", concurrency=OPEN)
    gateway, ledger = Gateway(settings), Ledger(Budget(), lambda _: None)
    begun, all_open = 0, asyncio.Event()

    def on_text(_: str) -> None:
        nonlocal begun
        begun += 1
        if begun == OPEN:
            all_open.set()

    async def ask(n: int) -> None:
        await gateway.ask(prompt(n), Text, ledger=ledger, on_text=on_text)

    gc.collect()
    before = _resident()
    asked = [asyncio.create_task(ask(n)) for n in range(OPEN)]
    await asyncio.wait_for(all_open.wait(), 60)
    taken = _resident() - before
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await gateway.aclose()
    return taken


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server in a process of its own that begins every reply and ends none."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(Path(__file__).parents[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate("")


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> bool:
    with tempfile.TemporaryDirectory() as home, server() as url:
        new, known, alone = asyncio.run(per_call(Path(home)))
        memory = asyncio.run(held_open(Path(home), url))
    own = new - alone
    print("### The gateway itself\n")
    print(f"Medians of {CALLS} calls of a model that answers at once, with a prompt of")
    print(
        f"{len(WORDS) // 4:,} tokens and a reply of {len(REPLY) // 4} in as many pieces; all caps"
    )
    print("and limits set, replies kept on disk.\n")
    print("| what | measured | target |\n|---|---|---|")
    print(f"| a call, less the model's own {alone:.2f} ms | {own:.2f} ms | < {TARGET_MS:g} ms |")
    print(f"| a call answered from disk | {known:.2f} ms | |")
    print(f"| {OPEN} calls held open | {memory:.1f} MB | < {TARGET_MB:g} MB |\n")
    return own < TARGET_MS and memory < TARGET_MB


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
