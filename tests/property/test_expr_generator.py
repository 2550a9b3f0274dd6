"""Random typed expressions and rows for the property tests, and the proof that they reach every operation."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from reactive.expr import BinOp, Coalesce, Const, Expr, Field, Func, If, IsNull, StrOp, UnaryOp
from reactive.expr import interpret as interpreter
from reactive.expr.inference import ARITHMETIC, COMPARISONS, LOGICAL, Inference
from reactive.expr.interpret import interpret
from reactive.expr.kinds import EXACT_BELOW

SCHEMA: dict[str, Any] = {
    "x": float | None,
    "y": float | None,
    "z": float | None,
    "n": int | None,
    "m": int | None,
    "a": Decimal | None,
    "b": Decimal | None,
    "f": bool | None,
    "g": bool | None,
    "s": str | None,
    "t": str | None,
    "day": date | None,
    "due": date | None,
    "at": datetime | None,
    "by": datetime | None,
}
OF_KIND = {
    "float": ("x", "y", "z"),
    "int": ("n", "m"),
    "decimal": ("a", "b"),
    "bool": ("f", "g"),
    "str": ("s", "t"),
    "date": ("day", "due"),
    "datetime": ("at", "by"),
}
NOON = datetime(2026, 2, 22, 12, tzinfo=timezone.utc)
VALUES: dict[str, list[Any]] = {
    "float": [0.0, 1.0, -1.0, 2.5, -2.5, 0.5, 3.0, 7.0, 0.1, 100.25, -1e-7, 1e300, -1e300, 1e-300, 709.5, 720.0, -750.],
    "int": [0, 1, -1, 2, 3, 7, -12, 100, 2**53, 2**53 + 1, -(2**53) - 1],
    "decimal": [Decimal("0"), Decimal("0.1"), Decimal("-2.50"), Decimal("7"), Decimal("9007199254740993.25")],
    "bool": [True, False],
    "str": ["", "a", "AAPL", "aapl", "é", "ß", "Straße", "\U0001d538x", "\uffee", "it's", "50%", "a\\", '"q"', "a\nb"],
    "date": [date(2026, 2, 22), date(2026, 2, 23), date(1999, 12, 31)],
    "datetime": [NOON, NOON + timedelta(microseconds=1), NOON - timedelta(days=400)],
}  # fmt: skip


def random_row(source: random.Random, *, feed: bool = False) -> dict[str, Any]:
    """Return a row of the schema: a fifth of its values null, the others extremes or ordinary numbers.

    Args:
        source: What to draw from.
        feed: Whether NaN and infinities are among the doubles, as a feed may send them and the store never holds them.
    """
    row = {}
    for kind, names in OF_KIND.items():
        for name in names:
            value = source.choice(VALUES[kind])
            if kind == "float" and source.random() < 0.5:
                value = round(source.uniform(-50, 50), source.randrange(4))
            if kind == "float" and feed and source.random() < 0.2:
                value = source.choice((math.nan, math.inf, -math.inf))
            row[name] = None if source.random() < 0.2 else value
    return row


class Expressions:
    """Draws typed expressions; the same seed gives the same ones."""

    def __init__(self, source: random.Random, kinds: tuple[str, ...] = tuple(OF_KIND)) -> None:
        """Draw of a source, using only fields of some kinds."""
        self._source = source
        self._kinds = kinds

    def draw(self, depth: int = 4) -> Expr:
        """Return an expression of at most some depth, of any kind but mostly a number or a condition."""
        kind = self._source.choice(("float", "float", "float", "bool", "bool", *self._kinds))
        return self.of_kind(kind, depth)

    def of_kind(self, kind: str, depth: int) -> Expr:
        """Return an expression of a kind."""
        if depth <= 1 or self._source.random() < 0.12:
            return self._leaf(kind)
        return self._source.choice(self._forms(kind))(depth - 1)

    def _leaf(self, kind: str) -> Expr:
        if self._source.random() < 0.25:
            if self._source.random() < 0.08:
                return Const(None)
            return Const(self._source.choice(VALUES[kind]))
        return Field.of(SCHEMA, self._source.choice(OF_KIND[kind]))

    def _number(self, depth: int) -> Expr:
        kinds = [kind for kind in ("float", "float", "float", "int", "decimal") if kind in self._kinds]
        return self.of_kind(self._source.choice(kinds), depth)

    def _forms(self, kind: str) -> list[Callable[[int], Expr]]:
        def alternatives(depth: int) -> Expr:
            condition = self.of_kind("bool", depth)
            return If(condition, self.of_kind(kind, depth), self.of_kind(kind, depth))

        def coalesce(depth: int) -> Expr:
            return Coalesce([self.of_kind(kind, depth) for _ in range(self._source.randrange(1, 4))])

        forms: list[Callable[[int], Expr]] = [alternatives, coalesce]
        if kind == "float":
            forms += [self._arithmetic] * 8 + [self._unary] * 2 + [self._function] * 6
        elif kind == "bool":
            forms += [self._comparison] * 5 + [self._logical] * 5 + [self._null_test, self._string_test]
        elif kind == "str":
            forms += [self._string] * 4
        elif kind == "int":
            forms += [lambda depth: self.of_kind("str", depth).length()] * 2
        return forms

    def _arithmetic(self, depth: int) -> Expr:
        return BinOp(self._source.choice(sorted(ARITHMETIC)), self._number(depth), self._number(depth))

    def _unary(self, depth: int) -> Expr:
        return UnaryOp(self._source.choice(("neg", "abs")), self._number(depth))

    def _function(self, depth: int) -> Expr:
        name = self._source.choice(list(Func.FUNCTIONS))
        if name in ("min", "max"):
            return Func(name, [self._number(depth) for _ in range(self._source.randrange(1, 4))])
        if name == "round" and self._source.random() < 0.5:
            return Func(name, self._number(depth), self._source.randrange(-2, 5))
        return Func(name, self._number(depth))

    def _comparison(self, depth: int) -> Expr:
        kind = self._source.choice(("number", "number", "number", *self._kinds))
        draw = self._number if kind == "number" else lambda depth: self.of_kind(kind, depth)
        operators = ("==", "!=") if kind == "bool" else sorted(COMPARISONS)
        return BinOp(self._source.choice(operators), draw(depth), draw(depth))

    def _logical(self, depth: int) -> Expr:
        if self._source.random() < 0.25:
            return ~self.of_kind("bool", depth)
        return BinOp(self._source.choice(sorted(LOGICAL)), self.of_kind("bool", depth), self.of_kind("bool", depth))

    def _null_test(self, depth: int) -> Expr:
        return IsNull(self.of_kind(self._source.choice(self._kinds), depth))

    def _string_test(self, depth: int) -> Expr:
        name = self._source.choice(("contains", "starts_with"))
        return StrOp(name, self.of_kind("str", depth), self.of_kind("str", depth))

    def _string(self, depth: int) -> Expr:
        name = self._source.choice(("upper", "lower", "concat"))
        others = [self.of_kind("str", depth) for _ in range(self._source.randrange(3))] if name == "concat" else []
        return StrOp(name, self.of_kind("str", depth), *others)


def operation(node: Expr) -> str:
    """Return the name of what a node does, as coverage counts it."""
    own = getattr(node, "op", None) or (node.name if isinstance(node, Func) else "")
    return f"{type(node).__name__} {own}".strip()


OPERATIONS = sorted(
    ["Field", "Const", "If", "Coalesce", "IsNull"]
    + [f"BinOp {op}" for op in BinOp.OPERATORS]
    + [f"UnaryOp {op}" for op in UnaryOp.OPERATORS]
    + [f"Func {name}" for name in Func.FUNCTIONS]
    + [f"StrOp {op}" for op in StrOp.OPERATORS]
)


def out_of_range(expr: Expr, row: dict[str, Any]) -> bool:
    """Say whether a double overflows, underflows or loses precision somewhere: PostgreSQL raises an error there."""
    inference = Inference()
    for node in expr.walk():
        if not (isinstance(node, (BinOp, Func)) and operation(node).split()[1] in {*ARITHMETIC, "exp"}):
            continue
        operands = [interpreter._Interpreter(row, inference).value(child, "float") for child in node.children]
        if None in operands:
            continue
        value = interpret(node, row, inference)
        name = operation(node).split()[1]
        if value is None:
            beyond = name in ("+", "-", "*", "exp") or (name in ("/", "%") and operands[1] != 0)
            if beyond or (name == "**" and operands[0] != 0 and (operands[0] > 0 or operands[1] % 1 == 0)):
                return True
        elif name in ("*", "/", "**", "%", "exp") and abs(value) < 1e-290 and operands[0] != 0:
            return True
        if name == "%" and operands[0] != 0 and operands[1] != 0:
            quotient = abs(operands[0] / operands[1])
            if quotient > 1e290 or quotient < 1e-290:
                return True
    return False


@contextmanager
def perturbed(factor: float) -> Iterator[None]:
    """Within it, the interpreter's transcendental functions are off in the last digits, as another library's may be."""
    originals = {name: interpreter.OPERATIONS[name] for name in ("exp", "log", "**")}

    def off(function: Callable[..., Any]) -> Callable[..., Any]:
        def compute(*operands: Any) -> Any:
            value = function(*operands)
            # Whole powers of whole numbers are exact everywhere, as long as a double holds every whole number.
            exact = all(number == number // 1 and abs(number) < EXACT_BELOW for number in (*operands, value or 0.0))
            return value if value is None or exact else value * factor

        return compute

    interpreter.OPERATIONS.update({name: off(function) for name, function in originals.items()})
    try:
        yield
    finally:
        interpreter.OPERATIONS.update(originals)


def is_stable(expr: Expr, row: dict[str, Any]) -> bool:
    """Say whether the last digits of transcendental functions leave the result alone."""
    inference = Inference()
    exact = interpret(expr, row, inference)
    for last_digits in (2e-16, 5e-16, 1e-15, -2e-16, -5e-16, -1e-15):
        factor = 1 + last_digits
        with perturbed(factor):
            if not same(interpret(expr, row, inference), exact, 1e-10):
                return False
    return True


def same(one: Any, other: Any, tolerance: float = 1e-9) -> bool:
    """Say whether two values are one: doubles to a relative tolerance, everything else exactly."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float, Decimal)) and isinstance(other, (int, float, Decimal)):
        if isinstance(one, float) or isinstance(other, float):
            return math.isclose(float(one), float(other), rel_tol=tolerance, abs_tol=1e-300)
        return one == other
    return type(one) is type(other) and bool(one == other)


def test_generator_reaches_every_operation_with_and_without_nulls() -> None:
    source = random.Random(1)
    expressions = Expressions(source)
    rows = [random_row(source) for _ in range(12)]
    inference_of: dict[tuple[str, bool, bool], int] = {}
    for _ in range(800):
        expr = expressions.draw()
        inference = Inference()
        for row in rows:
            for node in expr.walk():
                operands_null = any(interpret(child, row, inference) is None for child in node.children)
                key = (operation(node), operands_null, interpret(node, row, inference) is None)
                inference_of[key] = inference_of.get(key, 0) + 1
    # Of no operand, of operands with and without a null among them, and null results as well as values.
    expected = {(name, False, False) for name in OPERATIONS}
    expected |= {(name, True, True) for name in OPERATIONS if name not in ("Field", "Const", "IsNull")}
    expected |= {(name, True, False) for name in ("If", "Coalesce", "IsNull", "BinOp &", "BinOp |")}
    expected |= {(f"BinOp {op}", False, True) for op in ("/", "%", "**")}
    expected |= {(f"Func {name}", False, True) for name in ("sqrt", "log", "exp")}
    expected |= {("Field", False, True), ("Const", False, True)}
    assert expected - inference_of.keys() == set()


@pytest.mark.parametrize("seed", range(3))
def test_generator_same_seed_draws_the_same(seed: int) -> None:
    drawn = [Expressions(random.Random(seed)).draw() for _ in range(2)]
    assert drawn[0].equals(drawn[1])
