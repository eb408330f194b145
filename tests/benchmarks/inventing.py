"""What six ideas cost on 200 abstracts, and what of them holds, against a server on loopback.

The server answers 0.4 s after the request and then 80 tokens a second. A round is a set of calls
that overlap in time; the critical path is the sum over rounds of the longest call as the server
paces it, and the ratio says what all else adds to it.

The second table says of twenty planted papers, among 120 abstracts, as how many-th passage the one
that has an idea in other words is found: a judge is shown the first 30.
"""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from inventive import inventive
from minds import for_server
from model_server import TOKEN, ModelServer
from planted import PLANTED
from rounds import FIRST_TOKEN, RATE, Span, _critical_path
from test_novelty import abstracts, ideas

from scholar import Answer, Scholar, Settings, load
from scholar.agents import lookup, novelty
from scholar.agents.ideas import IDEAS
from scholar.backends.gateway import Gateway
from scholar.context import Services, context_for
from scholar.estimate import estimate_ideas
from scholar.library import Library

DATA = Path(__file__).parents[3] / "shared" / "data" / "acl2022"
TOPIC = "detecting unsupported statements of text generation in low-resource languages"


def main() -> None:
    if not DATA.is_dir():
        print("### Ideas\n\nNot measured: the data is absent.\n")
        return
    print("### Six ideas on 200 abstracts\n")
    print(f"{FIRST_TOKEN} s to first token, {RATE:.0f} tokens/s.\n")
    print(
        "| embedder | calls | estimated | rounds | tokens in | tokens out | estimated ",
        end="",
    )
    print("| critical path | run | ratio | routes | quotes that stand | nearest pair |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for embedder in ("none", "auto"):
        with tempfile.TemporaryDirectory() as home:
            settings = load(home=home, embedder=embedder, offline=True, cache=False)
            print(asyncio.run(_measured(settings)), flush=True)
    print("\n### Where the passage that has an idea is found\n")
    print("| embedder | place of the passage, 20 planted papers | among 30 |")
    print("|---|---|---|")
    for embedder in ("none", "auto"):
        with tempfile.TemporaryDirectory() as home:
            settings = load(home=home, embedder=embedder, offline=True, cache=False)
            print(asyncio.run(_found(settings)), flush=True)
    print()


async def _measured(settings: Settings) -> str:
    library = Library(settings)
    spans: list[Span] = []
    mind = for_server(inventive)

    def script(body: dict[str, Any]) -> str:
        text, now = str(mind(body)), time.monotonic()
        spans.append((now, now + FIRST_TOKEN + (math.ceil(len(text) / TOKEN) - 1) / RATE))
        return text

    try:
        await library.add(abstracts(200))
        await library.warm()
        with ModelServer(script, first_token=FIRST_TOKEN, rate=RATE) as server:
            known = settings.model_copy(update={"model": f"openai:paced@{server.url}"})
            gateway = Gateway(known)
            scholar = Scholar(services=Services(known, library, gateway))
            began = time.monotonic()
            answer = await scholar.ideas(TOPIC)
            seconds = time.monotonic() - began
            await gateway.aclose()
        return await _row(answer, spans, seconds, library, known)
    finally:
        library.close()


async def _row(
    answer: Answer, spans: list[Span], seconds: float, library: Library, settings: Settings
) -> str:
    rounds, path = _critical_path(spans)
    cited = [citation for idea in answer.ideas for citation in idea.citations]
    passages = {p.id: p for p in await library.passages([c.passage_id for c in cited])}
    stand = sum(
        passages[c.passage_id].text[c.start - passages[c.passage_id].start :].startswith(c.quote)
        for c in cited
    )
    vectors = await library.embed([idea.text for idea in answer.ideas])
    nearest = ""
    if vectors is not None:
        alike = vectors @ vectors.T
        nearest = f"{max(alike[a, b] for a in range(len(alike)) for b in range(a)):.2f}"
    usage = answer.usage
    said = estimate_ideas(TOPIC, settings.preset_named(None), settings, IDEAS)
    routes = len({idea.route for idea in answer.ideas})
    by = (await library.stats()).embedder
    return (
        f"| {by} | {usage.calls} | {said.calls[0]} to {said.calls[1]} | {rounds} "
        f"| {usage.input_tokens:,} | {usage.output_tokens:,} "
        f"| {said.tokens[0]:,} to {said.tokens[1]:,} "
        f"| {path:.2f} s | {seconds:.2f} s | {seconds / path:.3f} | {routes} of 3 "
        f"| {stand} of {len(cited)} | {nearest} |"
    )


async def _found(settings: Settings) -> str:
    library = Library(settings)
    places = []
    try:
        await library.add([planted.entry for planted in PLANTED])
        await library.add(abstracts(120))
        context = context_for({}, Services(settings, library, Gateway(settings)), lambda _: None)
        for idea, planted in zip(ideas(PLANTED), PLANTED, strict=True):
            found, _ = await lookup.passages_near(novelty.queries(idea), context, novelty.PASSAGES)
            texts = [" ".join(passage.text.split()) for passage in found]
            place = [n for n, text in enumerate(texts, start=1) if planted.done in text]
            places.append(place[0] if place else 0)
        by = (await library.stats()).embedder
    finally:
        library.close()
    shown = ", ".join(str(place or "–") for place in sorted(places, key=lambda p: p or 99))
    return f"| {by} | {shown} | {sum(map(bool, places))} of 20 |"


if __name__ == "__main__":
    main()
