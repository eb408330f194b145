"""Scripted ideators: what a model of good will says to the prompts of the idea generator."""

from __future__ import annotations

import re
from typing import Any

from minds import Mind, Seen, honest

_PASSAGE = re.compile(r'<passage id="(p\d+)" paper="([^"]*)">\n(.*?)\n</passage>', re.DOTALL)
_BRIDGE = re.compile(r'<bridge id="(b\d+)"')
_SEED = re.compile(r'<seed id="(s\d+)" kind="(\w+)"[^>]*>\n(.*?)\n</seed>', re.DOTALL)
_IDEA = re.compile(r'<idea title="([^"]*)">\n(.*?)\n', re.DOTALL)
_SENTENCE = re.compile(r"[A-Z][^.]{30,}\.(?=\s|$)")
MATTERS = (
    "masking tokens of a curriculum ordered by loss",
    "pruning attention heads through evolutionary rivalry",
    "auctioning annotation budgets between disagreeing annotators",
    "compressing dialogue memory like glacier sediment layers",
    "calibrating translators with deliberately corrupted dictionaries",
    "scheduling retrieval by estimating reader surprise",
    "growing grammars from speech rhythm statistics",
    "distilling ensembles across unrelated alphabets",
    "routing questions through simulated peer review",
    "forecasting label noise from typing hesitation",
    "weaving tables into sentences using knot theory",
    "immunising classifiers with vaccine-like perturbations",
)
"""Matters so different that no two are one idea."""


def inventive(seen: Seen) -> dict[str, Any]:
    """Finds something in each paper, and ideas of all routes; holds everything to be new."""
    reply = _OF.get(seen.call)
    return reply(seen) if reply else honest(seen)


def invents(**calls: Mind) -> Mind:
    """`inventive`, except in the calls named."""
    return lambda seen: calls.get(seen.call, inventive)(seen)


def thought(number: int) -> str:
    """One of the thoughts, unlike all others."""
    return f"Try {MATTERS[number % len(MATTERS)]}, because nobody there has a cheaper signal."


def _theme(seen: Seen) -> dict[str, Any]:
    return {"problem": f"It is open how {seen.question}.", "entities": ["graph walks", "recall"]}


def _inspire(seen: Seen) -> dict[str, Any]:
    found: list[dict[str, str]] = []
    papers: set[str] = set()
    for label, paper, text in _PASSAGE.findall(seen.text):
        quotes = _SENTENCE.findall(text)
        if quotes and paper not in papers:
            papers.add(paper)
            serves = thought(len(found))
            found.append({"passage": label, "quote": quotes[0], "serves": serves})
    return {"found": found}


def _leap(seen: Seen) -> dict[str, Any]:
    named = _BRIDGE.findall(seen.text)
    return {"leaps": [{"bridge": id, "idea": thought(n)} for n, id in enumerate(named, 8)]}


def _integrate(seen: Seen) -> dict[str, Any]:
    seeds = _SEED.findall(seen.text)[:8]
    return {"ideas": [_outline(n, id) for n, (id, _, _) in enumerate(seeds)]}


def _outline(n: int, seed: str) -> dict[str, Any]:
    matter = MATTERS[n % len(MATTERS)]
    return {
        "title": f"{matter.capitalize()} for the topic",
        "idea": f"We try {matter}; its own signal says when to stop.",
        "seeds": [seed],
    }


def _work_out(seen: Seen) -> dict[str, Any]:
    title, text = _IDEA.findall(seen.text)[0]
    matter = title.removesuffix(" for the topic").lower()
    grounds = [{"text": quote, "evidence": [id]} for id, quote in list(seen.quotes.items())[:2]]
    return {
        "title": title,
        "problem": f"Without {matter} the cost stays high.",
        "hypothesis": f"With {matter} the cost falls.",
        "method": f"{text} First {matter} is built. Then it is measured.",
        "experiment": {"what": f"{matter} against none", "data": "ACL abstracts", "metric": "F1"},
        "expected": "It is better, or the hypothesis is refuted.",
        "risks": ["It may be too slow."],
        "claims": [f"It is new to do this: {matter}."],
        "grounds": grounds,
    }


def _novelty(seen: Seen) -> dict[str, Any]:
    label, text = next(iter(seen.passages.items()))
    quote = (_SENTENCE.findall(text) or [text])[0]
    near = {"passage": label, "quote": quote, "same": "the aim", "differs": "the mechanism"}
    return {"nearest": [near], "verdict": "new"}


def _vary(seen: Seen) -> dict[str, Any]:
    # Not those that are there already.
    free = [n for n, matter in enumerate(MATTERS) if matter not in seen.text.lower()]
    return {"ideas": [{k: v for k, v in _outline(n, "").items() if k != "seeds"} for n in free[:2]]}


def _proposal(seen: Seen) -> dict[str, Any]:
    cited = [{"text": text, "evidence": [id]} for id, text in list(seen.quotes.items())[:2]]
    own = [{"text": "We propose to measure this first.", "evidence": []}]
    return {"sentences": cited + own}


def _compare(_: Seen) -> dict[str, Any]:
    criteria = ("novelty", "feasibility", "excitement", "effectiveness")
    return {"why": "It says more.", **dict.fromkeys(criteria, "same")}


_OF: dict[str, Any] = {
    "theme": _theme,
    "inspire": _inspire,
    "brainstorm": lambda _: {"ideas": [thought(n) for n in range(4, 8)]},
    "leap": _leap,
    "integrate": _integrate,
    "work_out": _work_out,
    "novelty": _novelty,
    "vary": _vary,
    "proposal": _proposal,
    "compare": _compare,
}
