"""A JSON schema as a grammar over bytes, or SchemaUnsupported where none can say the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from scholar.backends import SchemaUnsupported
from scholar.backends.local.grammar import (
    Alt,
    Literal,
    Many,
    Node,
    OneByte,
    Ref,
    Seq,
    find_shortest,
    print_node,
)

DIGITS = 15
"""Digits of a number before and after its point: as a double has, and an end."""
_IGNORED = frozenset(
    {"title", "description", "default", "examples", "$schema", "$defs", "$comment"}
)
_OBJECT = frozenset({"type", "properties", "required", "additionalProperties"})
_ARRAY = frozenset({"type", "items", "minItems", "maxItems"})
_STRING = frozenset({"type", "minLength", "maxLength"})
_ANY = "any value"


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
        find_shortest([self.root, *self.rules.values()])
        if self.root.shortest is None:
            raise _unsupported("endless recursion")

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

    @property
    def ebnf(self) -> str:
        """The grammar as xgrammar reads it."""
        names = {name: f"rule{number}" for number, name in enumerate(self.rules)}
        lines = [f"root ::= {print_node(self.root, names)}"]
        lines += [f"{names[rule]} ::= {print_node(n, names)}" for rule, n in self.rules.items()]
        return "\n".join(lines) + "\n"


def _unsupported(what: str) -> SchemaUnsupported:
    return SchemaUnsupported(
        f"A reply cannot be held to a schema with {what}; put the schema into the prompt."
    )


def _bounds(schema: Mapping[str, Any], kind: str) -> tuple[int, int | None]:
    return schema.get(f"min{kind}", 0), schema.get(f"max{kind}")


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
