"""Which score separates a sentence that answers from one that merely shares words with a question.

For questions that the example notes answer, short and long, and for foreign ones, the score of the
best sentence, by BM25 alone and with all-MiniLM-L6-v2, and how many pass the floors that
agents/extractor.py sets.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from scholar import Scholar, load
from scholar.agents.extractor import DENSE_FLOOR, LEXICAL_FLOOR

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
LONG = (
    (
        "In the HippoRAG 2 paper, what do the authors report about how much the recognition memory "
        "filter contributes to recall compared with passage nodes?"
    ),
    (
        "Is there evidence that language models become more confident and less accurate when the "
        "retrieved documents conflict with what they memorised?"
    ),
    (
        "Which approaches let a small local model refuse questions it cannot answer instead of "
        "hallucinating an answer?"
    ),
    (
        "What kinds of errors do large language models make when they use a knowledge graph for "
        "multi-hop reasoning?"
    ),
    "How can I combine several LoRA adapters in a single model?",
    "What training data was used for Qwen2.5 and how large was it?",
    "Should I fine-tune a medical language model or just use the base model with good prompts?",
    "How do people update the knowledge in a language model without retraining it from scratch?",
    "What makes generative retrieval different from dense retrieval?",
)
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
    "Which model of bicycle should a beginner buy?",
    "What is the best way to train for a marathon in three months?",
    "Is there evidence that meditation improves sleep quality in adults?",
    "How do large dams affect the migration of salmon in North America?",
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
        for question in (*ANSWERED, *LONG, *FOREIGN):
            hits = await library.search(question, 8)
            passages = await library.passages([hit.passage_id for hit in hits])
            best = await library.extract(question, passages, 1)
            papers = await library.papers([extract.passage.paper_id for extract in best])
            right = any(ANSWERED.get(question, "\0") in paper.title for paper in papers)
            rows.append((question, best[0].score if best else 0.0, right))
        by = (await library.stats()).embedder
    floor = LEXICAL_FLOOR if by == "none" else DENSE_FLOOR
    firsts = sum(right for question, _, right in rows if question in ANSWERED)
    print(f"### Evidence without a model, embedder `{by}`, floor {floor}\n")
    print(f"The best sentence is of the right paper for {firsts} of {len(ANSWERED)} questions.\n")
    print("| questions | lowest score | highest score | pass the floor |\n|---|---|---|---|")
    for name, group in (("answered", ANSWERED), ("long", LONG), ("foreign", FOREIGN)):
        scores = [score for question, score, _ in rows if question in group]
        passing = sum(score >= floor for score in scores)
        print(f"| {name} | {min(scores):.2f} | {max(scores):.2f} | {passing} of {len(scores)} |")
    print()


if __name__ == "__main__":
    asyncio.run(main())
