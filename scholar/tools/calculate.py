"""Arithmetic on answers as they are written: exact, bounded, and never evaluated as a program."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import TYPE_CHECKING, NoReturn

from scholar.errors import ToolError
from scholar.tools.tool import Brought, Permissions, Tool, argument

if TYPE_CHECKING:
    from scholar.context import Context

MOST_BITS = 2_048
"""Size of any number on the way: 600 digits, and every step a matter of microseconds."""
MOST_DEPTH = 30
"""Brackets within brackets."""
LONGEST = 12
"""Digits after the point up to which a result is told exactly."""
DIGITS = 6
"""Digits after the point of a result that has no end, or too many."""

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number> (?: \d{1,3}(?:,\d{3})+(?!\d) | \d+ )(?:\.\d+)?(?:[eE][+-]?\d{1,2}(?![\w.]))?
                | \.\d+ )
    | (?P<sign> \*\*|>=|<=|==|!=|//|[-+*/^%()<>=,;] )
    | (?P<word> [$€£¥] | (?:[^\W\d_]|°) [^\W_]* (?:[-'’][^\W_]+)* )
    )""",
    re.VERBOSE,
)
_SPELLED = str.maketrans(
    {"−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "≥": ">=", "≤": "<=", "≠": "!="}
)
_SCALES = {
    "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
}  # fmt: skip
_BEFORE = frozenset(
    "a about an approximately are around at exactly in is nearly roughly some the was were".split()
)
"""Words before a number that do not change it."""
_MONEY = frozenset("$€£¥")
_PHRASES = (
    (
        r"(?:is |are )?(?:greater|more|larger|higher|bigger|later|longer|older) than or equal to",
        ">=",
    ),
    (r"(?:is |are )?(?:less|fewer|smaller|lower|earlier|shorter|younger) than or equal to", "<="),
    (r"(?:is |are )?(?:greater|more|larger|higher|bigger|later|longer|older) than", ">"),
    (r"(?:is |are )?(?:less|fewer|smaller|lower|earlier|shorter|younger) than", "<"),
    (r"(?:is |are )?at least", ">="),
    (r"(?:is |are )?at most", "<="),
    (r"(?:is )?not equal to", "!="),
    (r"(?:is )?equal to|equals|is the same as", "=="),
    (r"plus", "+"),
    (r"minus", "-"),
    (r"multiplied by|times", "*"),
    (r"divided by", "/"),
    (r"to the power of", "**"),
    (r"mod|modulo", "%"),
)
_COMPARE: Mapping[str, Callable[[Fraction, Fraction], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
    "==": operator.eq, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and what it counts; percent is a unit too."""

    value: Fraction
    unit: str = ""


async def _calculate(arguments: Mapping[str, str], _: Context, __: Permissions) -> Brought:
    return Brought(text=calculate(argument(arguments, "expression")))


def calculate(expression: str) -> str:
    """The value of `expression` with its unit, or "yes" or "no" for a comparison.

    Exact up to LONGEST digits after the point, else rounded to DIGITS. Raises ToolError.
    """
    result = _Parser(_tokens(expression)).whole()
    if isinstance(result, bool):
        return "yes" if result else "no"
    return f"{_written(result.value)}{_joined(result.unit)}"


def _tokens(expression: str) -> list[tuple[str, str]]:
    text = expression.translate(_SPELLED)
    for phrase, sign in _PHRASES:
        text = re.sub(rf"\b(?:{phrase})\b", f" {sign} ", text, flags=re.IGNORECASE)
    tokens: list[tuple[str, str]] = []
    at = 0
    text = text.rstrip(" .?=")
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _fail(f"'{text[at : at + 20].strip()}' is no arithmetic")
        kind = str(match.lastgroup)
        tokens.append((kind, match[kind]))
        at = match.end()
    return tokens


class _Parser:
    """Recursive descent: comparison, sum, product, sign, power, operand."""

    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Quantity | bool:
        """The value of all there is."""
        left = self._sum()
        sign = self._taken(*_COMPARE)
        result: Quantity | bool = left
        if sign:
            one, other, _ = _alike(left, self._sum())
            result = _COMPARE[sign](one, other)
        if self._at < len(self._tokens):
            _fail(f"'{self._tokens[self._at][1]}' does not belong there")
        return result

    def _sum(self) -> Quantity:
        left = self._product()
        while sign := self._taken("+", "-"):
            one, other, unit = _alike(left, self._product())
            left = Quantity(_bounded(one + other if sign == "+" else one - other), unit)
        return left

    def _product(self) -> Quantity:
        left = self._signed()
        while sign := self._taken("*", "/", "//", "%", "of"):
            left = _multiplied(left, sign, self._signed())
        return left

    def _signed(self) -> Quantity:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            _fail("It is nested too deep")
        if self._taken("-"):
            below = self._signed()
            result = Quantity(-below.value, below.unit)
        else:
            result = self._signed() if self._taken("+") else self._power()
        self._depth -= 1
        return result

    def _power(self) -> Quantity:
        base = self._operand()
        if not self._taken("**", "^"):
            return base
        return _raised(base, self._signed())

    def _operand(self) -> Quantity:
        while self._is("word") and self._here.lower() in _BEFORE:
            self._at += 1
        if self._is("word") and self._here.lower() in _FUNCTIONS:
            return self._called()
        money = self._taken(*_MONEY)
        if self._taken("("):
            inner = self._sum()
            self._expect(")")
            return Quantity(inner.value, inner.unit or self._unit())
        if not self._is("number"):
            _fail(
                f"A number is missing{f' before {self._here!r}' if self._here else ' at the end'}"
            )
        value = Fraction(self._here.replace(",", ""))
        self._at += 1
        while self._is("word") and self._here.lower() in _SCALES:
            value *= _SCALES[self._here.lower()]
            self._at += 1
        return Quantity(_bounded(value), money or self._unit())

    def _called(self) -> Quantity:
        name = self._here.lower()
        self._at += 1
        self._expect("(")
        values = [self._sum()]
        while self._taken(",", ";"):
            values.append(self._sum())
        self._expect(")")
        unit = ""
        for value in values:
            *_, unit = _alike(Quantity(Fraction(0), unit), value)
        return Quantity(_FUNCTIONS[name]([value.value for value in values]), unit)

    def _unit(self) -> str:
        """The words after a number, or its percent sign where no second operand follows it."""
        if self._here == "%" and not self._operand_follows(self._at + 1):
            self._at += 1
            return "%"
        words = []
        while self._is("word") and self._here.lower() not in ("of", *_FUNCTIONS):
            words.append(self._here)
            self._at += 1
        return " ".join(words)

    def _operand_follows(self, at: int) -> bool:
        return at < len(self._tokens) and (
            self._tokens[at][0] == "number" or self._tokens[at][1] == "("
        )

    @property
    def _here(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _is(self, kind: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at][0] == kind

    def _taken(self, *signs: str) -> str:
        here = self._here
        if here and here in signs:
            self._at += 1
            return here
        return ""

    def _expect(self, sign: str) -> None:
        if not self._taken(sign):
            _fail(f"A '{sign}' is missing")


def _alike(one: Quantity, other: Quantity) -> tuple[Fraction, Fraction, str]:
    """Two values of one unit, and that unit; what has none takes that of the other."""
    for share, bare in ((one, other), (other, one)):
        # Percentages are often written with and without their sign, but a share may be meant too.
        if share.unit == "%" and not bare.unit and 0 < abs(bare.value) < 1:
            _fail(f"'%' and '{_written(bare.value)}' may not mean the same")
    if one.unit and other.unit and _singular(one.unit) != _singular(other.unit):
        _fail(f"'{one.unit}' and '{other.unit}' are different units")
    return one.value, other.value, one.unit or other.unit


def _multiplied(one: Quantity, sign: str, other: Quantity) -> Quantity:
    if sign == "%":
        if not other.value:
            _fail("Nothing can be divided by 0")
        return Quantity(one.value % other.value, one.unit)
    if sign in ("*", "of"):
        one, other = _as_share(one), _as_share(other)
        unit = " ".join(filter(None, (one.unit, other.unit)))
        return Quantity(_bounded(one.value * other.value), unit)
    if not other.value:
        _fail("Nothing can be divided by 0")
    result = one.value / other.value
    if _singular(one.unit) == _singular(other.unit):
        unit = ""
    else:
        result = _as_share(one).value / _as_share(other).value
        divisor = _as_share(other).unit
        unit = f"{_as_share(one).unit}/{divisor}" if divisor else _as_share(one).unit
    return Quantity(_bounded(Fraction(result // 1) if sign == "//" else result), unit)


def _as_share(quantity: Quantity) -> Quantity:
    return Quantity(quantity.value / 100) if quantity.unit == "%" else quantity


def _raised(base: Quantity, power: Quantity) -> Quantity:
    base = _as_share(base)
    if power.unit or base.unit:
        _fail("A power takes bare numbers")
    if power.value == Fraction(1, 2):
        return Quantity(_root(base.value))
    if power.value.denominator != 1:
        _fail("A power is a whole number or 0.5")
    exponent = power.value.numerator
    size = max(base.value.numerator.bit_length(), base.value.denominator.bit_length())
    if size * abs(exponent) > MOST_BITS:
        _fail("The number becomes too large")
    if not base.value and exponent < 0:
        _fail("Nothing can be divided by 0")
    return Quantity(Fraction(base.value**exponent))


def _root(value: Fraction) -> Fraction:
    """The square root, exact where there is one, else to 30 digits."""
    if value < 0:
        _fail("A negative number has no root")
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    if top**2 == value.numerator and bottom**2 == value.denominator:
        return Fraction(top, bottom)
    scale = 10**30
    return Fraction(isqrt(value.numerator * scale**2 // value.denominator), scale)


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        _fail("The number becomes too large")
    return value


_FUNCTIONS: Mapping[str, Callable[[list[Fraction]], Fraction]] = {
    "max": max,
    "min": min,
    "sum": lambda values: _bounded(sum(values, Fraction(0))),
    "mean": lambda values: _bounded(sum(values, Fraction(0)) / len(values)),
    "average": lambda values: _bounded(sum(values, Fraction(0)) / len(values)),
    "abs": lambda values: abs(values[0]),
    "round": lambda values: _rounded(values[0], *values[1:2]),
    "sqrt": lambda values: _root(values[0]),
}


def _rounded(value: Fraction, places: Fraction = Fraction(0)) -> Fraction:
    """As taught at school: a half goes away from zero."""
    scale = Fraction(10) ** max(-LONGEST, min(LONGEST, int(places)))
    away = Fraction((abs(value) * scale + Fraction(1, 2)) // 1) / scale
    return away if value >= 0 else -away


def _singular(unit: str) -> str:
    return unit.lower().rstrip(".").removesuffix("s")


def _written(value: Fraction) -> str:
    """Without an exponent and without zeros at the end."""
    places = LONGEST if 10**LONGEST % value.denominator == 0 else DIGITS
    scaled = round(abs(value) * 10**places)
    if not scaled and value:  # too small for so few digits
        return f"{float(value):.3g}"
    whole, part = divmod(scaled, 10**places)
    fraction = f"{part:0{places}d}".rstrip("0") if places else ""
    return f"{'-' if value < 0 else ''}{whole}{f'.{fraction}' if fraction else ''}"


def _joined(unit: str) -> str:
    return unit if unit == "%" else f" {unit}" if unit else ""


def _fail(why: str) -> NoReturn:
    raise ToolError(f"{why}; write numbers, + - * / **, brackets and comparisons only.")


TOOLS = (
    Tool(
        "calculate",
        "arithmetic and comparisons with numbers, such as (1,204 - 880) / 880 or 12% of 50",
        ("expression",),
        frozenset(),
        _calculate,
    ),
)
