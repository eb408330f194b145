"""What it costs a run to be looked on at: `standard` with zero-latency models, traced and not.

`python tests/benchmarks/tracing.py` exits with 1 where the target is missed.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from collector import serving
from conftest import _build_shelf
from minds import for_backend, honest
from papers import QUESTION

from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.context import Services
from scholar.events import Started
from scholar.library import Library
from scholar.observer import Observer
from scholar.runs import Scholar
from scholar.settings import Otlp, Settings, load
from scholar.spans import Telemetry
from scholar.telemetry import open_telemetry
from scholar.trace import path_of

RUNS = 40
TARGET_MS = 5.0


async def run_once(
    scholar: Scholar, run_id: str, telemetry: Telemetry | None
) -> tuple[float, float]:
    """The CPU seconds of one run, and those of looking on."""
    settings = scholar.services.settings
    began, looking = time.process_time(), 0.0
    observer = Observer(settings, Started(run_id, QUESTION, "standard"), telemetry)
    with observer:
        async for event in scholar.start(QUESTION, preset="standard").events():
            at = time.process_time()
            observer.see(event)
            looking += time.process_time() - at
    return time.process_time() - began, looking


async def measure(name: str, home: Path, settings: Settings) -> float:
    """Milliseconds of looking on at one run, the median of RUNS."""
    telemetry = open_telemetry(settings)
    library = Library(settings)
    gateway = Gateway(settings, {"*": FakeBackend(for_backend(honest))})
    async with Scholar(services=Services(settings, library, gateway)) as scholar:
        await run_once(scholar, "warm-up", telemetry)
        took = [await run_once(scholar, f"run-{n}", telemetry) for n in range(RUNS)]
    if telemetry:
        telemetry.close()
    whole, looking = (1000 * statistics.median(times) for times in zip(*took, strict=True))
    file = path_of(home, "run-0")
    size = file.stat().st_size / 1000 if settings.trace.keep else 0.0
    print(f"{name:20} {looking:6.2f} ms of {whole:6.1f} ms CPU a run, {size:5.1f} KB of trace")
    return float(looking)


async def main() -> int:
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder, serving() as collector:
        home = Path(folder)
        plain = load(home=home, embedder="none", offline=True)
        await _build_shelf(plain)
        said = {"trace": plain.trace.model_copy(update={"content": True})}
        sent = {"otlp": Otlp(endpoint=collector.address)}
        for name, changes in (("trace", {}), ("trace with content", said), ("and telemetry", sent)):
            took = await measure(name, home, plain.model_copy(update=changes))
            worst = max(worst, took if name == "trace" else 0.0)
            for file in (home / "traces").iterdir():
                file.unlink()
    print(f"target: under {TARGET_MS} ms for the trace")
    return int(worst > TARGET_MS)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
