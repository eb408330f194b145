"""Run the LangGraph graph itself: once for the answer, once watching what it does.

    python examples/graph.py "How does HippoRAG 2 rank passages?"

Services (library, models) come from the settings. To give the graph others, pass
`context=Services(…)` to `ainvoke` and `astream`, or `build_graph(services)`.
"""

from __future__ import annotations

import asyncio
import sys

from scholar import build_graph


async def main(question: str) -> list[str]:
    graph = build_graph()
    answer = (await graph.ainvoke({"question": question, "preset": "fast"}))["answer"]
    seen = [f"{answer.outcome}: {len(answer.sentences)} sentences"]
    async for mode, part in graph.astream(
        {"question": question}, stream_mode=["updates", "custom"]
    ):
        name = next(iter(part)) if mode == "updates" else type(part).__name__
        seen.append(f"{mode:8} {name}")
    return seen


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for line in asyncio.run(main(sys.argv[1])):
        print(line)
