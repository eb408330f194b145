"""A JSON schema as a grammar over bytes: what may follow, and the shortest way to a whole text.

A mask over a vocabulary is xgrammar's work (see `local`). What is here knows at every byte how the
text can be brought to its end, so that a reply is whole and valid whatever its budget of tokens.
Both read the same grammar, since `ebnf` prints the one that `State` walks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from scholar.backends import SchemaUnsupported

DIGITS = 15
"""Digits of a number before and after its point: as a double has, and an end."""
_IGNORED = frozenset(
    {"title", "description", "default", "examples", "$schema", "$defs", "$comment"}
)
_OBJECT = frozenset({"type", "properties", "required", "additionalProperties"})
_ARRAY = frozenset({"type", "items", "minItems", "maxItems"})
_STRING = frozenset({"type", "minLength", "maxLength"})
_ANY = "any value"


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


def _continuing() -> OneByte:
    return OneByte(range(0x80, 0xC0))


def _utf8() -> Alt:
    """One character that may stand in a JSON string as it is, as UTF-8; no half characters."""
    plain = OneByte(set(range(0x20, 0x80)) - {0x22, 0x5C})
    last = _continuing()
    return Alt(
        plain,
        Seq(OneByte(range(0xC2, 0xE0)), last),
        Seq(OneByte([0xE0]), OneByte(range(0xA0, 0xC0)), last),
        Seq(OneByte([*range(0xE1, 0xED), 0xEE, 0xEF]), last, last),
        Seq(OneByte([0xED]), OneByte(range(0x80, 0xA0)), last),
        Seq(OneByte([0xF0]), OneByte(range(0x90, 0xC0)), last, last),
        Seq(OneByte(range(0xF1, 0xF4)), last, last, last),
        Seq(OneByte([0xF4]), OneByte(range(0x80, 0x90)), last, last),
        printed=r'[^"\\\x00-\x1f\ud800-\udfff]',
    )


def _escape() -> Seq:
    # No \uXXXX: it can spell half characters, and what it is good for can be written as it is.
    return Seq(Literal(b"\\"), OneByte(b'"\\/bfnrt', r'["\\/bfnrt]'))


def _string(least: int = 0, most: int | None = None) -> Seq:
    return Seq(Literal(b'"'), Many(Alt(_utf8(), _escape()), least, most), Literal(b'"'))


def _integer() -> Seq:
    first, more = OneByte(b"123456789", "[1-9]"), OneByte(b"0123456789", "[0-9]")
    whole = Alt(Literal(b"0"), Seq(first, Many(more, 0, DIGITS - 1)))
    return Seq(Many(Literal(b"-"), 0, 1), whole)


def _number() -> Seq:
    digit = OneByte(b"0123456789", "[0-9]")
    return Seq(_integer(), Many(Seq(Literal(b"."), Many(digit, 1, DIGITS)), 0, 1))


class Schema:
    """The grammar of a JSON schema: `root`, and the `rules` that its references name.

    Objects have all their properties in the order of the schema; spaces stand where `json.dumps`
    puts them. Raises SchemaUnsupported for a keyword that would need more than a grammar.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.rules: dict[str, Node] = {}
        self._defs: Mapping[str, Any] = schema.get("$defs", {})
        for name, definition in self._defs.items():
            self.rules[f"#/$defs/{name}"] = self._node(definition)
        self.root = self._node(schema)
        self._find_shortest()

    def _node(self, schema: Any) -> Node:
        if schema is True or (isinstance(schema, Mapping) and not schema.keys() - _IGNORED):
            return self._any()
        if not isinstance(schema, Mapping):
            raise _unsupported(json.dumps(schema))
        if "$ref" in schema:
            return self._ref(schema["$ref"])
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return Alt(*map(self._node, schema[key]))
        for key in ("const", "enum"):
            if key in schema:
                values = [schema[key]] if key == "const" else schema[key]
                return Alt(*(Literal(_dumps(value)) for value in values))
        return self._typed(schema)

    def _ref(self, name: str) -> Ref:
        if name.removeprefix("#/$defs/") not in self._defs:
            raise _unsupported(f"the reference {name}")
        return Ref(name, self.rules)

    def _typed(self, schema: Mapping[str, Any]) -> Node:
        kind = schema.get("type")
        if isinstance(kind, list):
            return Alt(*(self._node({**schema, "type": one}) for one in kind))
        makers: dict[Any, tuple[frozenset[str], Callable[[], Node]]] = {
            "object": (_OBJECT, lambda: self._object(schema)),
            "array": (_ARRAY, lambda: self._array(schema)),
            "string": (_STRING, lambda: _string(*_bounds(schema, "Length"))),
            "integer": (frozenset({"type"}), _integer),
            "number": (frozenset({"type"}), _number),
            "boolean": (frozenset({"type"}), lambda: Alt(Literal(b"true"), Literal(b"false"))),
            "null": (frozenset({"type"}), lambda: Literal(b"null")),
        }
        if kind not in makers:
            raise _unsupported(f"the type {kind}")
        known, make = makers[kind]
        if unknown := schema.keys() - known - _IGNORED:
            raise _unsupported(min(unknown))
        return make()

    def _object(self, schema: Mapping[str, Any]) -> Node:
        properties = schema.get("properties", {})
        if not properties:
            more = schema.get("additionalProperties", True)
            return Literal(b"{}") if more is False else self._map(more)
        parts: list[Node] = []
        for name, part in properties.items():
            opening = b", " if parts else b"{"
            parts += [Literal(opening + _dumps(name) + b": "), self._node(part)]
        return Seq(*parts, Literal(b"}"))

    def _map(self, values: Any) -> Node:
        entry = Seq(_string(), Literal(b": "), self._node(values))
        return Seq(Literal(b"{"), Many(entry, between=b", "), Literal(b"}"))

    def _array(self, schema: Mapping[str, Any]) -> Node:
        items = self._node(schema.get("items", True))
        least, most = _bounds(schema, "Items")
        return Seq(Literal(b"["), Many(items, least, most, between=b", "), Literal(b"]"))

    def _any(self) -> Ref:
        this = Ref(_ANY, self.rules)
        if _ANY not in self.rules:
            words = [Literal(word) for word in (b"null", b"true", b"false")]
            array = Seq(Literal(b"["), Many(this, between=b", "), Literal(b"]"))
            self.rules[_ANY] = Alt(*words, _string(), _number(), array)
            entry = Seq(_string(), Literal(b": "), this)
            mapping = Seq(Literal(b"{"), Many(entry, between=b", "), Literal(b"}"))
            self.rules[_ANY] = Alt(*words, _string(), _number(), array, mapping)
        return this

    def _find_shortest(self) -> None:
        nodes = list(_all_nodes([self.root, *self.rules.values()]))
        changed = True
        while changed:
            changed = False
            for node in nodes:
                found = _shortest(node)
                if found is not None and (node.shortest is None or len(found) < len(node.shortest)):
                    node.shortest, changed = found, True
        if self.root.shortest is None:
            raise _unsupported("endless recursion")

    @property
    def ebnf(self) -> str:
        """The grammar as xgrammar reads it."""
        names = {name: f"rule{number}" for number, name in enumerate(self.rules)}
        lines = [f"root ::= {_print(self.root, names)}"]
        lines += [f"{names[name]} ::= {_print(node, names)}" for name, node in self.rules.items()]
        return "\n".join(lines) + "\n"


def _unsupported(what: str) -> SchemaUnsupported:
    return SchemaUnsupported(
        f"A reply cannot be held to a schema with {what}; put the schema into the prompt."
    )


def _bounds(schema: Mapping[str, Any], kind: str) -> tuple[int, int | None]:
    return schema.get(f"min{kind}", 0), schema.get(f"max{kind}")


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


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


def _print(node: Node, names: Mapping[str, str]) -> str:
    match node:
        case Literal():
            return _quoted(node.text)
        case OneByte():
            return node.printed
        case Alt():
            inside = " | ".join(_print(option, names) for option in node.options)
            return node.printed or f"({inside})"
        case Seq():
            return "(" + " ".join(_print(part, names) for part in node.parts) + ")"
        case Ref():
            return names[node.name]
        case Many():
            return _print_many(node, names)
    raise TypeError(node)


def _print_many(node: Many, names: Mapping[str, str]) -> str:
    item = _print(node.item, names)
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


Spell = Callable[[tuple[bytes, ...]], tuple[int, ...] | None]
"""Turns pieces of text into tokens, or into None where the vocabulary cannot spell them."""
Frame = tuple[Node, int, Any]
"""A node, how far it has come, and the frame around it (None outside the root)."""


class State:
    """Where a text stands in a grammar. States are made when first reached, and only once."""

    __slots__ = ("_closing", "_leaves", "_next", "_walk", "is_whole")

    def __init__(self, leaves: frozenset[Frame | None], walk: Walk) -> None:
        self._leaves = leaves
        self._walk = walk
        self._next: dict[int, State | None] = {}
        self._closing: tuple[int, ...] | bool | None = False
        self.is_whole = None in leaves
        """Whether the text may end here."""

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

    def __init__(self, schema: Schema, spell: Spell) -> None:
        self._states: dict[frozenset[Frame | None], State] = {}
        self.spell = spell
        leaves: set[Frame | None] = set()
        _enter(schema.root, None, leaves)
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
