"""Which score separates a sentence that answers from one that merely shares words with a question.

For questions that the example notes answer and questions that they don't, the score of the best
sentence, by BM25 alone and with all-MiniLM-L6-v2; the floor in agents/retriever.py lies between.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from scholar import Scholar, load

NOTES = Path(__file__).parents[2] / "examples" / "library"

ANSWERED = {
    "How does HippoRAG 2 rank passages?": "From RAG to Memory",
    "What does R-Tuning teach a language model to do?": "R-Tuning",
    "How does Search-in-the-Chain correct the model's answers?": "Search-in-the-Chain",
    "How many follow-up questions does i-MedRAG ask?": "Iterative Follow-up Questions",
    "Why does Solo Performance Prompting fail with weaker models?": "Cognitive Synergy",
    "How many instances does WikiContradict have?": "WikiContradict",
    "How is X-LoRA gating computed?": "X-LoRA",
    "Can knowledge editing correct hallucinations?": "Can Knowledge Editing",
    "Do language models struggle with long-tail knowledge?": "Long-Tail",
    "What does SciPIP retrieve to propose ideas?": "SciPIP",
    "How many bits of knowledge can a parameter store?": "Part 3.3",
    "What is CorpusBrain?": "CorpusBrain",
    "How does KAG plan its retrieval?": "KAG",
    "How do inference-free sparse retrievers weigh query tokens?": "Inference-Free",
    "Does generating a document beat retrieving one?": "Generate rather than Retrieve",
}
FOREIGN = (
    "What is the capital of France?",
    "How do I bake sourdough bread?",
    "What is the boiling point of ethanol at 2 atm?",
    "Who won the 1998 football world cup?",
    "How does photosynthesis fix carbon dioxide?",
    "What causes the aurora borealis?",
    "Which enzymes repair double-strand DNA breaks?",
    "How are black holes detected by gravitational waves?",
    "What is the tax rate for small companies in Norway?",
    "How long do sea turtles live?",
    "Does vitamin D prevent influenza?",
    "What is the best way to learn the violin?",
)


async def main() -> None:
    for embedder in ("none", "auto"):
        with tempfile.TemporaryDirectory() as home:
            await measure(embedder, Path(home))


async def measure(embedder: str, home: Path) -> None:
    async with Scholar(load(home=home, embedder=embedder)) as scholar:
        await scholar.add(str(NOTES))
        library = scholar.services.library
        rows = []
        for question in (*ANSWERED, *FOREIGN):
            hits = await library.search(question, 8)
            passages = await library.passages([hit.passage_id for hit in hits])
            best = await library.extract(question, passages, 1)
            papers = await library.papers([extract.passage.paper_id for extract in best])
            right = any(ANSWERED.get(question, "\0") in paper.title for paper in papers)
            rows.append((question, best[0].score if best else 0.0, right))
        by = (await library.stats()).embedder
    known, foreign = rows[: len(ANSWERED)], rows[len(ANSWERED) :]
    print(f"### Best sentence, embedder `{by}`\n")
    print(f"right paper first: {sum(r for _, _, r in known)} of {len(known)}")
    print(f"lowest score of an answerable question: {min(s for _, s, _ in known):.2f}")
    print(f"highest score of a foreign question: {max(s for _, s, _ in foreign):.2f}\n")
    for question, score, right in sorted(rows, key=lambda row: -row[1]):
        kind = "right" if right else "WRONG" if question in ANSWERED else "foreign"
        print(f"    {score:.2f}  {kind:8}{question}")
    print()


if __name__ == "__main__":
    asyncio.run(main())
