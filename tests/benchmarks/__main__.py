"""All benchmarks, as Markdown: `python tests/benchmarks > docs/benchmarks.md`."""

from __future__ import annotations

import asyncio
import datetime
import os
import platform
import sys

import concurrency
import embedding_rate
import evidence
import gateway
import graph_walk
import ingest
import inventing
import kill
import local
import presets
import reading
import retrieval
import rounds
import runs
import scale
import startup
import tournament


def main() -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print("# Benchmarks\n")
    print("Made by `python tests/benchmarks > docs/benchmarks.md`. Ratios carry over to other")
    print("machines better than seconds do.\n")
    print(f"{today}: {os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, no GPU,")
    print(f"{platform.system()}, Python {platform.python_version()}.\n")
    sys.stdout.flush()
    startup.main()
    rounds.main()
    presets.main()
    inventing.main()
    concurrency.main()
    gateway.main()
    runs.main()
    asyncio.run(evidence.main())
    embedding_rate.main()
    local.main()
    reading.main()
    asyncio.run(ingest.main())
    scale.main()
    kill.main()
    retrieval.main()
    graph_walk.main()
    tournament.main()


if __name__ == "__main__":
    main()
