"""Ask a question from Python.

    python examples/ask.py "How does HippoRAG 2 rank passages?" examples/library

Without a model the answer is the quotes that bear on the question; set SCHOLAR_MODEL, for example
to openai:gpt-5-mini or openai:qwen3:8b@http://localhost:11434/v1, for a written one.
"""

from __future__ import annotations

import asyncio
import sys

from scholar import Answer, Scholar


async def main(question: str, *sources: str) -> Answer:
    async with Scholar() as scholar:
        for result in await scholar.add(*sources):
            if result.status == "failed":
                print(f"{result.source}: {result.detail}", file=sys.stderr)
        return await scholar.ask(question)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    answer = asyncio.run(main(*sys.argv[1:]))
    print(answer.outcome)
    for sentence in answer.sentences:
        print("-", sentence.text)
        for citation in sentence.citations:
            print(f'    "{citation.quote}" ({citation.paper_id})')
