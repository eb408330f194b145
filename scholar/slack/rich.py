"""The pieces of Slack's blocks. All text in them is literal: nothing in it is read as markup.

Rich text has no markup at all, so that what a paper or a person has written can neither mention
anybody nor become a link or a button.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from scholar.slack.text import cut, size
from scholar.text import plain

Block = dict[str, Any]

MOST_BLOCKS = 48
"""Of a message, of the 50 that Slack takes; two are left for what else a message may need."""
MOST_TEXT = 2_900
"""Characters of a block, of Slack's 3,000."""
MOST_JSON = 11_000
"""Characters of the blocks of a message. Slack refuses somewhat above 13,000, and says nowhere
that it does.
"""
MOST_LOAD = 7_000
"""Of these that one block takes, since many small pieces weigh more than their text."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text in one style; with `url` it is a link, which only the bot itself makes."""

    text: str
    bold: bool = False
    italic: bool = False
    url: str = ""

    def element(self) -> Block:
        """As Slack has it."""
        style = {name: True for name in ("bold", "italic") if getattr(self, name)}
        styled: Block = {"style": style} if style else {}
        if self.url:
            return {"type": "link", "url": self.url, "text": self.text, **styled}
        return {"type": "text", "text": self.text, **styled}


Unit = tuple[Span, ...]
"""What stays in one block where it fits: a sentence, a reference, a quote."""


def unit(*parts: Span | str) -> Unit:
    """A unit of spans and plain texts, without what is empty."""
    spans = (Span(part) if isinstance(part, str) else part for part in parts)
    shown = (replace(span, text=plain(span.text)) for span in spans)
    return tuple(span for span in shown if span.text)


Kind = Literal["rich_text_section", "rich_text_quote"]


def paragraph(units: Iterable[Unit], kind: Kind = "rich_text_section") -> list[Block]:
    """`units` one after the other in as few blocks as may be; what joins them is theirs."""
    blocks: list[list[Span]] = [[]]
    room, load = MOST_TEXT, MOST_LOAD
    for each in (piece for whole in units for piece in _fitting(whole)):
        needed, heavy = _text_of(each), weight([span.element() for span in each])
        if blocks[-1] and (needed > room or heavy > load):
            blocks.append([])
            room, load = MOST_TEXT, MOST_LOAD
        blocks[-1] += each
        room -= needed
        load -= heavy
    return [_rich(spans, kind) for spans in blocks if spans]


def _fitting(whole: Unit) -> Iterator[Unit]:
    """`whole`, or where it is too long for a block its pieces."""
    if _text_of(whole) <= MOST_TEXT:
        yield whole
        return
    for span in whole:
        for text in cut(span.text, MOST_TEXT):
            yield (replace(span, text=text),)


def _text_of(whole: Unit) -> int:
    return sum(size(span.text) for span in whole)


def _rich(spans: Sequence[Span], kind: Kind) -> Block:
    joined: list[Span] = []
    for span in spans:
        if joined and replace(joined[-1], text="") == replace(span, text=""):
            span = replace(span, text=joined.pop().text + span.text)
        joined.append(span)
    elements = [span.element() for span in joined]
    return {"type": "rich_text", "elements": [{"type": kind, "elements": elements}]}


def context(texts: Iterable[str]) -> list[Block]:
    """Small print, a line each."""
    pieces = [piece for text in texts if plain(text).strip() for piece in cut(plain(text), 1_900)]
    return [{"type": "context", "elements": [_plain(piece)]} for piece in pieces]


def button(label: str, action: str, value: str, style: str = "", confirm: str = "") -> Block:
    """A button that sends `action` and `value`; with `confirm` it asks that first."""
    made: Block = {"type": "button", "text": _plain(label), "action_id": action, "value": value}
    if style:
        made["style"] = style
    if confirm:
        made["confirm"] = {
            "title": _plain("Are you sure?"),
            "text": _plain(confirm),
            "confirm": _plain("Yes"),
            "deny": _plain("No"),
        }
    return made


def actions(id: str, *buttons: Block) -> Block:
    """A row of buttons. `id` names the block, and so the message that it stands in."""
    return {"type": "actions", "block_id": id, "elements": list(buttons)}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def pages(blocks: Iterable[Block], most: int = MOST_BLOCKS) -> list[list[Block]]:
    """`blocks` in as few messages as they take, in order."""
    found: list[list[Block]] = [[]]
    room = MOST_JSON
    for block in blocks:
        needed = weight([block])
        if found[-1] and (needed > room or len(found[-1]) == most):
            found.append([])
            room = MOST_JSON
        found[-1].append(block)
        room -= needed
    return found


def weight(blocks: Sequence[Block]) -> int:
    """How much of a message `blocks` take."""
    return size(json.dumps(blocks, ensure_ascii=False))
