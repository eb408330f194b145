from __future__ import annotations

import itertools
import json
import re
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from minds import Mind, Said, Seen, for_backend, honest
from small_window import HOSTILE, LONG, SMALLEST, tokens_of

from scholar.agents import planner
from scholar.agents.planner import MAX_QUESTION
from scholar.backends import Request
from scholar.backends.fake import FakeBackend
from scholar.backends.gateway import Gateway
from scholar.backends.schema import LINE
from scholar.context import Services, context_for
from scholar.library import Library
from scholar.prompts import names, quoted, render, variables
from scholar.runs import Scholar
from scholar.settings import Settings, load_presets
from scholar.state import State, Told
from scholar.values import Step

PROMPTS = names()
WITH_VALUES = [name for name in PROMPTS if variables(name)]
WITH_QUESTION = [name for name in PROMPTS if "question" in variables(name) and name != "sure"]
"""Those that are answered in JSON; whether a model is sure is one word."""
_TAG = re.compile(r"</?\w+|[<>]")


def values(name: str, text: str = "Some text.") -> dict[str, Any]:
    """Values for all variables of a prompt, with `text` wherever a text goes."""
    sentence = SimpleNamespace(text=text, evidence=("e1",))
    line = SimpleNamespace(number=1, text=text, evidence=("e1",))
    quote = SimpleNamespace(id="e1", title=text, text=text)
    everything = {
        "question": text,
        "title": text,
        "text": text,
        "most": 5,
        "passages": [SimpleNamespace(label="p1", title=text, text=text)],
        "steps": [SimpleNamespace(id="s1", question=text)],
        "quotes": [SimpleNamespace(id="e1", title=text, text=text)],
        "sentences": [sentence],
        "conflicts": [SimpleNamespace(about=text, sides=(line,))],
        "given": [SimpleNamespace(text=text, stance="mixed", evidence=("e1",))],
        "missing": text,
        "juror": "support",
        "draft": [sentence],
        "objections": [text],
        "searched": [text],
        "answer": text,
        "facts": [SimpleNamespace(id="f1", text=text)],
        "lessons": [SimpleNamespace(question=text, paid=(text,), barren=(text,))],
        "known": [SimpleNamespace(id="s1", question=text, answer=text, status="solved")],
        "tools": [SimpleNamespace(name="search_library", parameters=("query",), about="Finds.")],
        "notes": [SimpleNamespace(id="s1", tool=text, text=text)],
        "left": 3,
        "premises": [text],
        "turn": "critic",
        "verdict": "yes, on direct evidence",
        "messages": [SimpleNamespace(by="critic", text=text)],
        "example": text,
        "texts": [SimpleNamespace(title=text, text=text)],
        "statement": text,
        "lines": [text],
        "answers": [text, text],
        "wanted": [text],
        "clusters": [SimpleNamespace(id="c1", quotes=[quote], more=2)],
        "titles": [text],
        "earlier": [SimpleNamespace(title=text, text=text)],
        "parts": [SimpleNamespace(title=text, lines=[line])],
        "papers": [SimpleNamespace(id="P1", title=text, quotes=[quote])],
        "columns": [SimpleNamespace(id="k1", name=text, asks=text)],
        "says": text,
        "number": 2,
        "sources": 4,
        "turns": [text],
        "pair": [SimpleNamespace(title=text, text=text)] * 2,
    }
    everything |= _of_ideas(text)
    return {variable: everything[variable] for variable in variables(name)}


def _of_ideas(text: str) -> dict[str, Any]:
    return {
        "problem": text,
        "entities": [text, text],
        "bridges": [SimpleNamespace(id="b1", far=text, title=text, text=text)],
        "seeds": [SimpleNamespace(id="s1", route="leap", title=text, text=text)],
        "ideas": [SimpleNamespace(id="1", chosen=True, known=text, text=text)],
        "do": "merge",
        "thoughts": [text],
        "claims": [text],
        "part": "method",
    }


@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_says_for_whom_it_is_and_leaves_nothing_unfilled(name: str) -> None:
    prompt = render(name, **values(name))
    assert prompt.role in {"planner", "reader", "ideator", "writer", "juror", "any"}
    assert prompt.version >= 1
    assert prompt.system
    assert prompt.user
    assert not re.search(r"{{|{%|}}(?!\]|,|\n|$)", prompt.user)


@pytest.mark.parametrize("name", WITH_VALUES)
def test_a_variable_left_out_is_an_error(name: str) -> None:
    for left_out in variables(name):
        rest = {key: value for key, value in values(name).items() if key != left_out}
        with pytest.raises(jinja2.UndefinedError):
            render(name, **rest)


@pytest.mark.parametrize("name", PROMPTS)
def test_a_variable_nobody_asked_for_is_an_error(name: str) -> None:
    with pytest.raises(TypeError, match="surplus"):
        render(name, **values(name), surplus=1)


def test_a_prompt_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError, match="no prompt 'nothing'"):
        render("nothing")


@pytest.mark.parametrize("name", WITH_VALUES)
def test_hostile_text_cannot_close_a_fence_or_open_another(name: str) -> None:
    plain, hostile = render(name, **values(name)), render(name, **values(name, HOSTILE))
    assert _TAG.findall(hostile.user) == _TAG.findall(plain.user)
    assert _TAG.findall(hostile.system) == _TAG.findall(plain.system)


@pytest.mark.parametrize("name", WITH_VALUES)
def test_a_template_inside_a_text_is_not_carried_out(name: str) -> None:
    assert "{{ 7 * 7 }}" in render(name, **values(name, HOSTILE)).user


@pytest.mark.parametrize("name", WITH_QUESTION)
def test_a_long_input_keeps_the_question_and_the_example_of_the_reply(name: str) -> None:
    given = values(name, "A very long passage. " * 20_000)
    asked = "question" if "question" in given else "statement"
    prompt = render(name, **given | {asked: "Is it so?"})
    assert f"<{asked}>\nIs it so?\n</{asked}>" in prompt.user
    examples = [line for line in prompt.system.splitlines() if line.startswith("{")]
    assert examples
    assert all(isinstance(json.loads(example), dict) for example in examples)


FOR_QUESTIONS = [name for name in load_presets() if name != "review"]
OF_A_STEP = ("document", "statements", "recognise", "persona_probe")
"""Prompts about a step's question, or none."""


def rambling() -> Mind:
    """Fills whatever it is asked for to the brim, for ever, with long and hostile text."""
    numbers = itertools.count()

    def mind(seen: Seen) -> Said:
        text = f"Graph walks {next(numbers)}: {LONG}"
        step = {"question": text, "query": text}
        quotes = [
            {"passage": label, "quote": shown[:400], "step": id, "helps": "answers", "says": text}
            for label, shown in seen.passages.items()
            for id in seen.steps[:1]
        ]
        sentence = {"text": shorter(text), "evidence": list(seen.quotes)}
        sides = [{**sentence, "text": shorter(text)}] * 9
        replies: dict[str, Said] = {
            "planner": {"premises": [text] * 9, "steps": [step] * 9},
            "chain": {"steps": [{**step, "answer": text}, {**step, "query": "", "answer": ""}]},
            "follow_up": {"enough": False, "steps": [step, {**step, "question": f"And {text}"}]},
            "graph": {
                "steps": [
                    {**step, "id": f"s{n}", "op": "retrieve", "parents": []} for n in range(9)
                ]
            },
            "tool_step": {
                "reason": text,
                "tool": "search_library",
                "arguments": [{"name": "query", "value": text[:300]}],
                "question": text,
            },
            "prior": {"answer": text, "sure": "low"},
            "document": {"text": text},
            "statements": {"statements": [text] * 9},
            "reader": {"quotes": quotes},
            "writer": {
                "sentences": [sentence] * 20,
                "conflicts": [{"about": text, "sides": sides}] * 9,
                "missing": text,
            },
            "answer": {
                "sentences": [{"text": shorter(text), "quotes": quotes_of(seen)}] * 20,
                "conflicts": [],
                "missing": text,
            },
            "juror": _vote(seen, text),
            "debate": {"objections": [text] * 9, "satisfied": False}
            if seen.juror == "critic"
            else {"answers": [{"objection": n, "right": False, "why": text} for n in range(9)]},
            "personas": {"experts": [{"name": text, "looks_at": text}] * 9},
        }
        return replies.get(seen.call) or honest(seen)

    return mind


def quotes_of(seen: Seen) -> list[dict[str, str]]:
    """The beginning of each passage, as the combined call quotes it."""
    return [{"passage": label, "quote": text[:400]} for label, text in seen.passages.items()]


def shorter(text: str) -> str:
    """As long as a sentence of an answer may be."""
    return re.sub(r"\d", "", text)[:390]  # a figure that no quote has would be struck out


def _vote(seen: Seen, text: str) -> Said:
    if seen.juror == "support":
        return {"sentences": [{"number": n, "carried": "no", "why": text} for n in range(1, 20)]}
    return {"reasons": [text] * 9, "action": "search_more", "query": text}


@pytest.mark.slow
@pytest.mark.parametrize("preset", FOR_QUESTIONS)
async def test_question_and_form_of_the_reply_survive_in_the_smallest_window(
    wordy: Library, settings: Settings, preset: str
) -> None:
    known = settings.model_copy(update={"context_window": SMALLEST})
    backend = FakeBackend(for_backend(rambling()), json_schema=False)
    scholar = Scholar(services=Services(known, wordy, Gateway(known, {"*": backend})))
    question = f"How do graph walks rank passages? {LONG}"[:MAX_QUESTION]
    answer = await scholar.ask(question, preset=preset)
    assert answer.usage.calls > 1
    asked = {request.schema_name for request in backend.requests}
    assert asked >= {"answer", "support"} or asked > {"reader", "writer", "support"}
    assert ("recognise" in asked) == (preset == "hipporag2")
    cut = [r.schema_name for r in backend.requests if not _is_whole(r, quoted(answer.question))]
    assert not cut
    assert not {r.schema_name: tokens_of(r) for r in backend.requests if tokens_of(r) > SMALLEST}


def _is_whole(request: Request, question: str) -> bool:
    """Whether the prompt has its question and its form of reply, as an example and as a schema."""
    system, user = (message.content for message in request.messages[:2])
    examples = [line for line in system.splitlines() if line.startswith("{")]
    own = question in user or request.schema_name in OF_A_STEP
    return own and bool(examples) and "fits this schema" in user


async def test_twenty_long_notes_fit_the_smallest_window(
    wordy: Library, settings: Settings
) -> None:
    known = settings.model_copy(update={"context_window": SMALLEST})
    backend = FakeBackend(for_backend(honest), json_schema=False)
    services = Services(known, wordy, Gateway(known, {"*": backend}))
    question = LONG[:LINE]
    steps = [Step(f"s{n}", question, "", op="tool", tool="search_library") for n in range(20)]
    told = [Told(step.id, LONG) for step in steps]
    state: State = {"question": "How?", "preset": "sibyl", "steps": steps, "told": told}
    state |= {"evidence": [], "rounds": 19, "notes": []}
    await planner.plan(state, context_for(state, services, lambda _: None))
    [request] = backend.requests
    assert tokens_of(request) <= SMALLEST
    assert request.messages[1].content.count("<note ") == len(steps)
    assert quoted(LONG[:700]) in request.messages[1].content
