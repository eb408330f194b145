"""Grammars over bytes: their parts, the shortest text of each, and how they print as EBNF.

xgrammar makes masks over a vocabulary of what `printed` gives; `walk` knows at every byte how the
text can be brought to its end. Both read the same grammar, so that they never disagree.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping


class Node:
    """A part of a grammar. `shortest` is the shortest text it stands for, None until known."""

    __slots__ = ("shortest",)

    def __init__(self) -> None:
        self.shortest: bytes | None = None


class Literal(Node):
    """The bytes of `text`."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        super().__init__()
        self.text = self.shortest = text


class OneByte(Node):
    """Any one byte of `allowed`; `printed` is the same class in EBNF."""

    __slots__ = ("allowed", "printed")

    def __init__(self, allowed: Iterable[int], printed: str = "") -> None:
        super().__init__()
        self.allowed = frozenset(allowed)
        self.shortest = bytes([min(self.allowed)])
        self.printed = printed


class Seq(Node):
    """One part after the other."""

    __slots__ = ("parts",)

    def __init__(self, *parts: Node) -> None:
        super().__init__()
        self.parts = parts


class Alt(Node):
    """One of several; `printed`, where given, is the EBNF of all of them together."""

    __slots__ = ("options", "printed")

    def __init__(self, *options: Node, printed: str = "") -> None:
        super().__init__()
        self.options = options
        self.printed = printed


class Many(Node):
    """`item` from `least` to `most` times, `between` standing between two of them."""

    __slots__ = ("again", "between", "cap", "item", "least", "most")

    def __init__(self, item: Node, least: int = 0, most: int | None = None, between: bytes = b""):
        super().__init__()
        self.item, self.least, self.most, self.between = item, least, most, between
        self.again = Seq(Literal(between), item) if between else item
        self.cap = least if most is None else most  # counting on would only make more states


class Ref(Node):
    """The definition called `name`."""

    __slots__ = ("name", "table")

    def __init__(self, name: str, table: Mapping[str, Node]) -> None:
        super().__init__()
        self.name, self.table = name, table

    @property
    def target(self) -> Node:
        """What it refers to."""
        return self.table[self.name]


def _inside(node: Node) -> tuple[Node, ...]:
    match node:
        case Seq():
            return node.parts
        case Alt():
            return node.options
        case Many():
            return node.item, node.again
    return ()


def _all_nodes(roots: Iterable[Node]) -> Iterator[Node]:
    """Every node, those inside before those around them."""
    for node in roots:
        yield from _all_nodes(_inside(node))
        yield node


def find_shortest(roots: Iterable[Node]) -> None:
    """Set the `shortest` of all nodes of a grammar; it stays None where one has no end."""
    nodes, changed = list(_all_nodes(roots)), True
    while changed:
        changed = False
        for node in nodes:
            found = _shortest(node)
            if found is not None and (node.shortest is None or len(found) < len(node.shortest)):
                node.shortest, changed = found, True


def _shortest(node: Node) -> bytes | None:
    match node:
        case Seq():
            parts = [part.shortest for part in node.parts]
            return None if None in parts else b"".join(part for part in parts if part)
        case Alt():
            known = [option.shortest for option in node.options if option.shortest is not None]
            return min(known, key=len, default=None)
        case Many() if node.least:
            first, more = node.item.shortest, node.again.shortest
            return None if first is None or more is None else first + more * (node.least - 1)
        case Many():
            return b""
        case Ref():
            return node.target.shortest
    return node.shortest


def print_node(node: Node, names: Mapping[str, str]) -> str:
    """`node` in EBNF, its references by their `names`."""
    match node:
        case Literal():
            return _quoted(node.text)
        case OneByte():
            return node.printed
        case Alt():
            inside = " | ".join(print_node(option, names) for option in node.options)
            return node.printed or f"({inside})"
        case Seq():
            return "(" + " ".join(print_node(part, names) for part in node.parts) + ")"
        case Ref():
            return names[node.name]
        case Many():
            return _print_many(node, names)
    raise TypeError(node)


def _print_many(node: Many, names: Mapping[str, str]) -> str:
    item = print_node(node.item, names)
    if not node.between:
        return f"({item}){_times(node.least, node.most)}"
    if node.most == 0:
        return '""'
    most = None if node.most is None else node.most - 1
    more = f"({_quoted(node.between)} {item}){_times(max(0, node.least - 1), most)}"
    return f"({item} {more})" if node.least else f"({item} {more})?"


def _times(least: int, most: int | None) -> str:
    if (least, most) == (0, None):
        return "*"
    return f"{{{least},{'' if most is None else most}}}"


def _quoted(text: bytes) -> str:
    if not text:
        return '""'
    return json.dumps(text.decode(), ensure_ascii=False)
