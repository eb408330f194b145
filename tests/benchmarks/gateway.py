"""What the gateway itself costs: time per call without network, memory of calls held open.

`python tests/benchmarks/gateway.py` exits with 1 where a target is missed.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from pydantic import BaseModel

from scholar.backends import Capabilities, Delta, Request, TokenCount
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
MODEL = "openai:instant@http://127.0.0.1:9/v1"


class Text(BaseModel):
    text: str


class Instant:
    """A model that answers at once, in pieces of four characters; or, held, not until let go."""

    name = "instant"
    capabilities = Capabilities()

    def __init__(self) -> None:
        self.held: asyncio.Event | None = None
        self.open = 0

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        for at in range(0, len(REPLY), 4):
            yield Delta(REPLY[at : at + 4])
            if self.held and not at:
                self.open += 1
                await self.held.wait()
        yield Delta(tokens=TokenCount(len(WORDS) // 4, len(REPLY) // 4))

    async def aclose(self) -> None:
        """Nothing to let go of."""


def prompt(n: int) -> Prompt:
    return Prompt("bench", "writer", 1, "You write.", f"{n} {WORDS}")


async def measure(home: Path) -> tuple[float, float, float, float]:
    """Milliseconds per new call, per call from disk, per bare stream; megabytes of open calls."""
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
        return new, known, alone, await _held_open(gateway, backend)
    finally:
        await gateway.aclose()


async def _held_open(gateway: Gateway, backend: Instant) -> float:
    gc.collect()
    backend.held = asyncio.Event()
    before = _resident()
    ledger = Ledger(Budget(), lambda _: None)
    asked = [
        asyncio.create_task(gateway.ask(prompt(n), Text, ledger=ledger, fresh=True))
        for n in range(OPEN)
    ]
    while backend.open < OPEN:
        await asyncio.sleep(0.01)
    taken = _resident() - before
    backend.held.set()
    await asyncio.gather(*asked)
    return taken


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> bool:
    with tempfile.TemporaryDirectory() as home:
        new, known, alone, memory = asyncio.run(measure(Path(home)))
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
