"""Propose research ideas from Python, each with its nearest prior work.

    python examples/ideas.py "when retrieved text helps language models" examples/library

Set SCHOLAR_MODEL first, for example to openai:gpt-5-mini or to
openai:qwen3:8b@http://localhost:11434/v1; without a model there are only the quotes on the topic.
"""

from __future__ import annotations

import asyncio
import sys

from scholar import Answer, Scholar


async def main(topic: str, *sources: str) -> Answer:
    async with Scholar() as scholar:
        await scholar.add(*sources)
        return await scholar.ideas(topic, wanted=3)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    answer = asyncio.run(main(*sys.argv[1:]))
    print(answer.outcome)
    for idea in answer.ideas:
        print(f"\n{idea.id}. {idea.title}\n   {idea.summary}")
        if idea.novelty:
            print(f"   {idea.novelty.verdict}")
            for near in idea.novelty.nearest:
                print(f'   "{near.citation.quote}" ({near.citation.paper_id})')
