"""The commands that a LaTeX source defines for itself, put in place of their names."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DEFINED = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand|DeclareRobustCommand)\*?\s*\{?\\(?P<name>[A-Za-z]+)\}?"
    r"\s*(?:\[(?P<count>\d)\])?\s*(?P<default>\[[^\]]*\])?\s*(?=\{)"
    r"|\\[egx]?def\s*\\(?P<def>[A-Za-z]+)(?P<marks>(?:#\d)*)\s*(?=\{)"
)
_COMMAND = re.compile(r"\\([A-Za-z]+)[ \t]*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_OWN = frozenset(
    "title author section subsection subsubsection paragraph caption cite citep citet label ref "
    "item begin end footnote thanks".split()
)
"""Commands that are read by name; a paper may dress them anew, which changes nothing here."""
_MOST_USES = 50_000
_MOST_GROWTH = 4 * 2**20
"""Characters that all uses may add: definitions that feed on one another would never end."""
_DEEPEST = 12


def group_at(tex: str, at: int) -> tuple[str, int]:
    """The braced group that begins at `at`, white space skipped, without its braces, and its end.

    Without a brace it is the one character or command there; an open group goes to the end.
    """
    while at < len(tex) and tex[at].isspace():
        at += 1
    if at >= len(tex):
        return "", at
    if tex[at] != "{":
        command = _COMMAND.match(tex, at)
        end = command.end() if command else at + 1
        return tex[at:end], end
    depth = 0
    for match in _BRACE.finditer(tex, at):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return tex[at + 1 : match.start()], match.end()
    return tex[at + 1 :], len(tex)


def split_at(tex: str, border: re.Pattern[str]) -> list[str]:
    """`tex` cut where `border` matches outside of all groups."""
    parts: list[str] = []
    depth = start = at = 0
    scan = re.compile(rf"(?P<border>{border.pattern})|(?P<brace>\\.|[{{}}])", re.DOTALL)
    while match := scan.search(tex, at):
        at = match.end()
        if match["brace"]:
            depth += {"{": 1, "}": -1}.get(match[0], 0)
        elif depth <= 0:
            parts.append(tex[start : match.start()])
            start = at
    return [*parts, tex[start:]]


@dataclass(frozen=True, slots=True)
class _Definition:
    count: int
    default: str | None
    text: str


class Definitions:
    """The definitions in a preamble."""

    def __init__(self, head: str) -> None:
        self._known: dict[str, _Definition] = {}
        self._uses = _MOST_USES
        self._growth = _MOST_GROWTH
        self._learn(head)

    def expanded(self, tex: str) -> str:
        """`tex` with the commands that are defined, here or in it, replaced by their text."""
        self._learn(tex)
        return self._replaced(tex, 0) if self._known else tex

    def _learn(self, tex: str) -> None:
        for match in _DEFINED.finditer(tex):
            name = match["name"] or match["def"]
            text, _ = group_at(tex, match.end())
            count = int(match["count"] or len(match["marks"] or "") // 2)
            default = match["default"][1:-1] if match["default"] else None
            if name not in _OWN:
                self._known[name] = _Definition(count, default, text)

    def _replaced(self, tex: str, depth: int) -> str:
        parts: list[str] = []
        at = 0
        while match := _COMMAND.search(tex, at):
            definition = self._known.get(match[1])
            if definition is None or self._defining(tex, match.start()):
                parts.append(tex[at : match.end()])
                at = match.end()
                continue
            parts.append(tex[at : match.start()])
            text, at = self._used(definition, tex, match.end())
            parts.append(self._within(text, depth))
            if tex[at : at + 2] == "{}":
                at += 2
            # TeX swallows the space behind a command, but authors mean it, and \xspace keeps it.
            elif match[0][-1].isspace() and not definition.count:
                parts.append(" ")
        return "".join([*parts, tex[at:]])

    @staticmethod
    def _defining(tex: str, at: int) -> bool:
        before = tex[max(0, at - 24) : at]
        return bool(re.search(r"(?:command\*?\s*\{?|def\s*)$", before))

    def _used(self, definition: _Definition, tex: str, at: int) -> tuple[str, int]:
        values = []
        if definition.default is not None:
            bracket = re.compile(r"\s*\[([^\]]*)\]").match(tex, at)
            values.append(bracket[1] if bracket else definition.default)
            at = bracket.end() if bracket else at
        while len(values) < definition.count:
            value, at = group_at(tex, at)
            values.append(value)
        text = re.sub(
            r"#(\d)",
            lambda mark: values[int(mark[1]) - 1] if 0 < int(mark[1]) <= len(values) else "",
            definition.text,
        )
        return text, at

    def _within(self, text: str, depth: int) -> str:
        self._uses -= 1
        self._growth -= len(text)
        if self._uses < 0 or self._growth < 0:
            return ""
        return self._replaced(text, depth + 1) if depth < _DEEPEST else text
