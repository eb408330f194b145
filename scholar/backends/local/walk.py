"""Where a text stands in a grammar, byte by byte, and the shortest way from there to its end.

So a reply is whole and valid whatever its budget of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from scholar.backends.local.grammar import Alt, Literal, Many, Node, OneByte, Ref, Seq

Spell = Callable[[tuple[bytes, ...]], tuple[int, ...] | None]
"""Turns pieces of text into tokens, or into None where the vocabulary cannot spell them."""
Frame = tuple[Node, int, Any]
"""A node, how far it has come, and the frame around it (None outside the root)."""


class State:
    """Where a text stands in a grammar. States are made when first reached, and only once."""

    __slots__ = ("_closing", "_leaves", "_next", "_walk")

    def __init__(self, leaves: frozenset[Frame | None], walk: Walk) -> None:
        self._leaves = leaves
        self._walk = walk
        self._next: dict[int, State | None] = {}
        self._closing: tuple[int, ...] | bool | None = False

    @property
    def is_end(self) -> bool:
        """Whether nothing may follow."""
        return self._leaves == {None}

    def after(self, text: bytes) -> State | None:
        """The state after `text`, or None where it may not follow."""
        state = self
        for byte in text:
            after = state._step(byte)
            if after is None:
                return None
            state = after
        return state

    def _step(self, byte: int) -> State | None:
        if byte not in self._next:
            leaves: set[Frame | None] = set()
            for leaf in self._leaves:
                if leaf is not None:
                    _take(leaf, byte, leaves)
            self._next[byte] = self._walk.state(leaves) if leaves else None
        return self._next[byte]

    @property
    def closing(self) -> tuple[int, ...] | None:
        """The tokens that bring the text to its end soonest; None where none can spell it."""
        if isinstance(self._closing, bool):
            spelled = [self._walk.spell(_rest(leaf)) for leaf in self._leaves]
            ways = [tokens for tokens in spelled if tokens is not None]
            self._closing = min(ways, key=len, default=None)
        return self._closing


class Walk:
    """The states of one grammar, for one vocabulary, which `spell` writes in."""

    def __init__(self, root: Node, spell: Spell) -> None:
        self._states: dict[frozenset[Frame | None], State] = {}
        self.spell = spell
        leaves: set[Frame | None] = set()
        _enter(root, None, leaves)
        self.start = self.state(leaves)

    def state(self, leaves: Iterable[Frame | None]) -> State:
        """The state with these leaves."""
        key = frozenset(leaves)
        if key not in self._states:
            self._states[key] = State(key, self)
        return self._states[key]


def _enter(node: Node, around: Frame | None, leaves: set[Frame | None]) -> None:
    """Add to `leaves` the places within `node` that wait for a byte."""
    match node:
        case Literal() if not node.text:
            _leave(around, leaves)
        case Seq():
            _enter(node.parts[0], (node, 0, around), leaves)
        case Alt():
            for option in node.options:
                _enter(option, around, leaves)
        case Many():
            _repeat(node, 0, around, leaves)
        case Ref():
            _enter(node.target, around, leaves)
        case _:
            leaves.add((node, 0, around))


def _leave(frame: Frame | None, leaves: set[Frame | None]) -> None:
    """Go on after the part that `frame` was in the middle of."""
    if frame is None:
        leaves.add(None)
        return
    node, index, around = frame
    if isinstance(node, Many):
        _repeat(node, index, around, leaves)
    elif isinstance(node, Seq) and index + 1 < len(node.parts):
        _enter(node.parts[index + 1], (node, index + 1, around), leaves)
    else:
        _leave(around, leaves)


def _repeat(node: Many, done: int, around: Frame | None, leaves: set[Frame | None]) -> None:
    # One more than the cap stands for "any number", so that the first is told from those after it.
    count = min(done, max(node.cap, 1))
    if count >= node.least:
        _leave(around, leaves)
    if node.most is None or count < node.most:
        _enter(node.again if count else node.item, (node, count + 1, around), leaves)


def _take(leaf: Frame, byte: int, leaves: set[Frame | None]) -> None:
    node, index, around = leaf
    if isinstance(node, OneByte) and byte in node.allowed:
        _leave(around, leaves)
    elif isinstance(node, Literal) and node.text[index] == byte:
        if index + 1 < len(node.text):
            leaves.add((node, index + 1, around))
        else:
            _leave(around, leaves)


def _rest(leaf: Frame | None) -> tuple[bytes, ...]:
    """The shortest text from `leaf` to the end, in the pieces that its frames want."""
    pieces: list[bytes] = []
    while leaf is not None:
        node, index, leaf = leaf
        match node:
            case Literal():
                pieces.append(node.text[index:])
            case OneByte():
                pieces.append(node.shortest or b"")
            case Seq():
                pieces += [part.shortest or b"" for part in node.parts[index + 1 :]]
            case Many():
                pieces.append((node.again.shortest or b"") * max(0, node.least - index))
    return tuple(piece for piece in pieces if piece)
