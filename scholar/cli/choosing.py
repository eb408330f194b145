"""A person chooses among ideas at the terminal, by short commands on one line."""

from __future__ import annotations

import re
from typing import Any

from scholar.agents.choosing import EDITABLE
from scholar.values import Inquiry

HELP = (
    "keep 1 3 · drop 2 · merge 1 4 · more 3 · edit 2 method NEW TEXT · several with ; between\n"
    "Enter goes on to the ranking."
)
_DO = ("keep", "drop", "merge", "more", "edit")


def shown(inquiry: Inquiry) -> str:
    """The ideas of an inquiry, and what may be done with them."""
    ideas = inquiry.detail.get("ideas", [])
    lines = [
        f"{idea['id']:>3}  {idea['title']} ({idea['novelty']})\n     {idea['summary']}"
        for idea in ideas
    ]
    return "\n".join((*lines, "", inquiry.text, HELP))


def understood(line: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What a line of commands asks for, as the inquiry takes it, and the parts not understood."""
    wishes: list[dict[str, Any]] = []
    unknown: list[str] = []
    for part in filter(None, map(str.strip, _apart(line))):
        wish = _wish(part)
        if wish:
            wishes.append(wish)
        else:
            unknown.append(part)
    return wishes, unknown


def _apart(line: str) -> list[str]:
    """The commands of a line; what is written anew by `edit` may have semicolons of its own."""
    return re.split(rf";\s*(?=(?:{'|'.join(_DO)})\b)|;\s*$", line)


def _wish(part: str) -> dict[str, Any] | None:
    do, _, rest = part.partition(" ")
    do = do.lower()
    if do == "edit":
        found = re.fullmatch(rf"(\d+)\s+(?:({'|'.join(EDITABLE)})[:\s]\s*)?(\S.*)", rest.strip())
        if not found:
            return None
        return {"do": do, "ids": [found[1]], "field": found[2] or "summary", "text": found[3]}
    ids = re.findall(r"\d+", rest)
    understood = do in _DO and ids and not re.sub(r"[\d\s,]|and", "", rest)
    return {"do": do, "ids": ids} if understood else None
