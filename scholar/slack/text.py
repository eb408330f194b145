"""Text on its way into Slack and out of it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from scholar.text import plain

_REFERENCE = re.compile(r"<([^<>]*)>")
_ADDRESS = re.compile(r"https?://[^\s<>|]+", re.IGNORECASE)
_SPACES = re.compile(r"[^\S\n]+")


def escape(text: str) -> str:
    """`text` as Slack's markup shows it: nothing in it is a mention, a channel or a link."""
    return html.escape(plain(text), quote=False)


def size(text: str) -> int:
    """How long Slack takes `text` to be, which counts what lies past U+FFFF twice."""
    return len(text) + sum(ord(c) > 0xFFFF for c in text)


def cut(text: str, most: int) -> Iterator[str]:
    """`text` in pieces of at most `most`, as `size` counts, which joined are `text` again.

    It is cut after white space where there is any.
    """
    while size(text) > most:
        end = _fitting(text, most)
        space = max(text.rfind(" ", 0, end), text.rfind("\n", 0, end)) + 1
        yield text[: space or end]
        text = text[space or end :]
    if text:
        yield text


def _fitting(text: str, most: int) -> int:
    """How many characters of `text` fit; at least one."""
    total = 0
    for index, character in enumerate(text):
        total += size(character)
        if total > most:
            return max(1, index)
    return len(text)


def question_in(text: str, bot: str) -> str:
    """What a person has written, as plain text, without the mentions of `bot`."""
    said = _REFERENCE.sub(lambda found: _meant(found[1], bot), text)
    return _SPACES.sub(" ", plain(html.unescape(said))).strip()


def _meant(reference: str, bot: str) -> str:
    target, _, label = reference.partition("|")
    if target.startswith("@"):
        return "" if target == f"@{bot}" else f"@{label or target[1:]}"
    if target.startswith("#"):
        return f"#{label or target[1:]}"
    if target.startswith("!"):
        return f"@{label.lstrip('@') or target[1:].partition('^')[0]}"
    return target.removeprefix("mailto:")


def mentions(text: str) -> set[str]:
    """The ids of the users that a message speaks to."""
    found = (match[1].partition("|")[0] for match in _REFERENCE.finditer(text))
    return {target[1:] for target in found if target.startswith("@")}


def addresses(text: str) -> list[str]:
    """The web addresses in what a person has written, each once."""
    found = (address.rstrip(".,;:!?)") for address in _ADDRESS.findall(text))
    return list(dict.fromkeys(found))


def without_addresses(text: str) -> str:
    """What is left of it without them."""
    return _SPACES.sub(" ", _ADDRESS.sub(" ", text)).strip()
