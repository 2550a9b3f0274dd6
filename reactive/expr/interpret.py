"""The rules of every operation in plain Python: one row, one node after another.

`eval` comes here for rows that its generated code does not take; tests hold every target against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from reactive.errors import ExpressionTypeError, shown
from reactive.expr.base import Expr
from reactive.expr.inference import ARITHMETIC, COMPARISONS, Inference
from reactive.expr.kinds import EXP_LIMIT
from reactive.expr.nodes import BinOp, Coalesce, Const, Field, Func, If, IsNull, StrOp, UnaryOp
from reactive.expr.values import alike, coerce, is_nan, plain

__all__ = ["interpret", "power", "round_places"]

# 1e308 rounded to 300 places has 609 digits.
_WIDE = Context(prec=700)


def power(x: float, y: float) -> float | None:
    """Return x to the power of y; None off its domain and on overflow."""
    try:
        result = math.pow(x, y)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def round_places(x: float, places: int) -> float | None:
    """Return a double rounded half away from zero, as its shortest decimal form reads, to a number of places.

    Returns:
        None for an infinity.
    """
    if not math.isfinite(x):
        return None
    if places > 0 and x == x // 1.0:
        return x + 0.0
    exact = Decimal(repr(float(x)))
    return float(exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, _WIDE)) + 0.0


def interpret(expr: Expr, row: Mapping[str, Any], inference: Inference) -> Any:
    """Return the value of an expression for a row.

    Args:
        expr: What to compute.
        row: Field names to values; a missing key is null.
        inference: Knows the kinds of the nodes.

    Raises:
        ExpressionTypeError: A value is of a kind that its node does not take; the node is named.
    """
    return _Interpreter(row, inference).value(expr, None)


class _Interpreter:
    def __init__(self, row: Mapping[str, Any], inference: Inference) -> None:
        self._row = row
        self._inference = inference

    def value(self, node: Expr, want: str | None) -> Any:
        if isinstance(node, Field):
            value = plain(self._row.get(node.name))
            if is_nan(value):
                return None
            return self._wanted(node, value, want or self._inference.kind(node))
        if isinstance(node, Const):
            return self._wanted(node, node.value, want)
        if isinstance(node, IsNull):
            return self.value(node.operand, None) is None
        if isinstance(node, If):
            kind = self._common(node, want)
            return self.value(node.then if self.value(node.condition, "bool") is True else node.otherwise, kind)
        if isinstance(node, Coalesce):
            kind = self._common(node, want)
            values = (self.value(operand, kind) for operand in node.children)
            return next((value for value in values if value is not None), None)
        if isinstance(node, BinOp) and node.op in COMPARISONS:
            kind = self._inference.comparison(node)
            left, right = (self.value(operand, kind) for operand in node.children)
            return None if left is None or right is None else self._compare(node, kind, left, right)
        if (isinstance(node, BinOp) and node.op not in ARITHMETIC) or (isinstance(node, UnaryOp) and node.op == "not"):
            return self._logical(node)
        kind = "str" if isinstance(node, StrOp) else "float"
        operands = [self.value(operand, kind) for operand in node.children]
        if any(operand is None for operand in operands):
            return None
        name = node.name if isinstance(node, Func) else node.op  # type: ignore[attr-defined]
        result = OPERATIONS[name](*operands)
        if isinstance(result, float):
            if not math.isfinite(result):
                return None
        elif want == "float":
            return self._wanted(node, result, want)
        return result

    def _common(self, node: Expr, want: str | None) -> str | None:
        kind = self._inference.kind(node)
        return want if kind is None or want == "float" else kind

    def _wanted(self, node: Expr, value: Any, want: str | None) -> Any:
        """Return a value as the kind that its place asks for."""
        if value is None or want is None or want == "json":
            return value
        try:
            if want == "float":
                # Of an array of one number, NumPy before 2.4 makes that number.
                if isinstance(value, (bool, str, date)) or getattr(value, "ndim", 0) > 0:
                    raise TypeError("not a number")
                value = float(value)
                return None if math.isnan(value) else value
            if want in ("date", "datetime"):
                return coerce(value, want)
            if want == "decimal" and (isinstance(node, Const) or self._inference.kind(node) == "decimal"):
                return coerce(value, want)
        except OverflowError:
            return None
        except (TypeError, ValueError, ArithmeticError):
            self._refuse(node, value, want)
        expected = {"bool": bool, "str": str}.get(want)
        if expected is not None and not isinstance(value, expected):
            self._refuse(node, value, want)
        return value

    def _refuse(self, node: Expr, value: Any, want: str) -> None:
        wanted = {"float": "a number", "decimal": "a number", "bool": "a boolean", "str": "a string"}.get(want, want)
        found = f"{shown(value)} ({type(value).__name__})"
        raise ExpressionTypeError(f"{shown(node)}: expected {wanted}, found {found}", node)

    def _compare(self, node: BinOp, kind: str, left: Any, right: Any) -> bool:
        if kind == "json":
            return alike(left, right) is (node.op == "==")
        if isinstance(left, Decimal) and isinstance(right, float):
            left = float(left)
        elif isinstance(left, float) and isinstance(right, Decimal):
            right = float(right)
        # Python would call True equal to 1, and a string unequal to every number, without a word.
        if isinstance(left, bool) is not isinstance(right, bool) or isinstance(left, str) is not isinstance(right, str):
            found = f"{shown(left)} ({type(left).__name__}) and {shown(right)} ({type(right).__name__})"
            raise ExpressionTypeError(f"{shown(node)}: {found} do not compare", node)
        try:
            return bool(OPERATIONS[node.op](left, right))
        except TypeError:
            found = f"{shown(left)} ({type(left).__name__}) and {shown(right)} ({type(right).__name__})"
            raise ExpressionTypeError(f"{shown(node)}: {found} do not compare", node) from None

    def _logical(self, node: Expr) -> bool | None:
        values = [self.value(operand, "bool") for operand in node.children]
        if isinstance(node, UnaryOp):
            return None if values[0] is None else not values[0]
        assert isinstance(node, BinOp)
        decisive = node.op == "|"
        if decisive in values:
            return decisive
        return None if None in values else not decisive


def _modulo(x: float, y: float) -> float | None:
    return None if y == 0 else x - y * (x / y // 1.0)


def _round(x: float) -> float | None:
    return round(x) + 0.0 if math.isfinite(x) else None


OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: None if y == 0 else x / y,
    "%": _modulo,
    "**": power,
    "neg": lambda x: -x,
    "abs": abs,
    ">": lambda x, y: x > y,
    "<": lambda x, y: x < y,
    ">=": lambda x, y: x >= y,
    "<=": lambda x, y: x <= y,
    "==": lambda x, y: x == y,
    "!=": lambda x, y: x != y,
    "sqrt": lambda x: None if x < 0 else math.sqrt(x),
    "log": lambda x: None if x <= 0 else math.log(x),
    "exp": lambda x: None if x > EXP_LIMIT else math.exp(x),
    "ceil": lambda x: math.ceil(x) + 0.0 if math.isfinite(x) else None,
    "floor": lambda x: math.floor(x) + 0.0 if math.isfinite(x) else None,
    "round": lambda x, places=None: _round(x) if places is None else round_places(x, int(places)),
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
    "length": len,
    "upper": str.upper,
    "lower": str.lower,
    "contains": lambda text, part: part in text,
    "starts_with": lambda text, prefix: text.startswith(prefix),
    "concat": lambda *texts: "".join(texts),
}
