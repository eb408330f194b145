"""A conversation as the tokens that a model was taught to read one in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import jinja2

from scholar.backends import Message
from scholar.backends.thoughts import OPENING
from scholar.errors import ModelRejected
from scholar.text import encodable

if TYPE_CHECKING:
    from scholar.backends.local.weights import Weights


def prompt(
    weights: Weights, messages: Iterable[Message], *, think: bool = False
) -> tuple[list[int], bool]:
    """The tokens of a conversation, and whether the reply begins within a thought.

    `think` asks a model to think that can do both; one that always thinks still does. Raises
    ModelRejected where the model's template cannot write the conversation.
    """
    turns = [{"role": m.role, "content": _harmless(m.content, weights.marks)} for m in messages]
    template = weights.tokenizer.chat_template
    if template is None:
        ids: list[int] = weights.tokenizer(_plain(turns))["input_ids"]
        return _without_end(ids, weights), False
    text = _in_template(turns, weights, think)
    if think and OPENING in str(template) and OPENING not in text[-2 * len(OPENING) :]:
        text += f"{OPENING}\n"
    return weights.encode(text), text.rstrip().endswith(OPENING)


def _in_template(turns: list[dict[str, str]], weights: Weights, think: bool) -> str:
    options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": think}
    for variant in (turns, _without_system(turns)):
        try:
            text: str = weights.tokenizer.apply_chat_template(variant, **options)
            return text
        except jinja2.TemplateError as error:
            failure = error  # some templates know no system turn
    raise ModelRejected(
        f"The chat template of {weights.name} cannot write this conversation ({failure}); "
        "choose another model."
    )


def _without_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The conversation with what the system says at the head of the first other turn."""
    system = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
    rest = [dict(turn) for turn in turns if turn["role"] != "system"]
    if rest and system:
        rest[0]["content"] = f"{system}\n\n{rest[0]['content']}"
    return rest or turns


def _plain(turns: Sequence[dict[str, str]]) -> str:
    """A conversation for a model that has no form for one."""
    return "".join(f"{turn['role']}:\n{turn['content']}\n\n" for turn in turns) + "assistant:\n"


def _harmless(text: str, marks: Iterable[str]) -> str:
    """`text` with nothing in it that the tokenizer would take for the end of a turn."""
    text = encodable(text)
    for mark in marks:
        if len(mark) > 1 and mark in text:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


def _without_end(ids: list[int], weights: Weights) -> list[int]:
    """Some tokenizers close every text; a prompt is not at its end, but for an encoder."""
    if weights.decoder_start is not None or len(ids) < 2 or ids[-1] not in weights.ends:
        return ids
    return ids[:-1]
