"""Python functions from expressions: generated source without any text of the user's, compiled once for each shape.

The source takes the fields from the row, tests what may be null, and computes on locals. Names and constants come in
through a closure, so that expressions that differ only in those share one code object. What the generated code does not
expect (a Decimal, a number too large for a double, a field that is missing or of another kind than its place asks for)
raises, and the row is computed again by `reactive.expr.interpret`, which is slow, thorough, and names the fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from reactive.expr.base import Expr
from reactive.expr.inference import Inference
from reactive.expr.interpret import interpret, power, round_places
from reactive.expr.nodes import Field
from reactive.expr.python_source import Emitter
from reactive.expr.values import PLAIN, alike, coerce, plain, row_of

__all__ = ["compile_function", "source_of"]

# A deeper subtree becomes a function of its own: Python's parser takes a limited number of nested parentheses.
_CHUNK = 24


def compile_function(expr: Expr, types: Mapping[str, Any] | None = None) -> Callable[[Any], Any]:
    """Return a function from a row, a mapping or an object, to the expression's value.

    Args:
        expr: What to compile.
        types: What fields are declared as, by name.

    Raises:
        ExpressionTypeError: An operation has operands of kinds that it does not take.
    """
    inference = Inference(types)
    inference.kind(expr)
    functions: dict[int, Callable[[Any], Any]] = {}
    if expr._depth > _CHUNK:
        for node in expr.walk():
            if node._depth % _CHUNK == 0 and id(node) not in functions and node is not expr:
                functions[id(node)] = _build(node, inference, functions, nested=True)
    return _build(expr, inference, functions, nested=False)


def source_of(expr: Expr, types: Mapping[str, Any] | None = None) -> str:
    """Return the source that `eval` runs, to be read by a curious person.

    Example:
        >>> print(source_of(Field("price") * 2))
        def bind(n0, c0, interpret_):
            def evaluate(row):
                if type(row) is not dict:
                    return interpret_(row)
                try:
                    f0 = row[n0]
                    if f0 is None:
                        return None
                    r = (f0 * c0)
                    if type(r) is float:
                        return r if r - r == 0.0 else None
                    return interpret_(row)
                except ERRORS:
                    return interpret_(row)
            return evaluate
    """
    return Emitter(Inference(types), {}).function(expr)[0]


def _build(
    expr: Expr, inference: Inference, functions: Mapping[int, Callable[[Any], Any]], *, nested: bool
) -> Callable[[Any], Any]:
    source, arguments = Emitter(inference, functions).function(expr)
    names = tuple(dict.fromkeys(node.name for node in expr.walk() if isinstance(node, Field)))

    def thorough(row: Any) -> Any:
        return interpret(expr, row if type(row) is dict else row_of(row, names), inference)

    # Named before it exists: the generated code comes back here with the rows that it does not take.
    function: Callable[[Any], Any] = thorough

    def other(row: Any) -> Any:
        """Compute a row that is no plain dict, or one that the generated code could not."""
        values = row_of(row, names)
        if type(row) is dict and all(name in row and type(row[name]) is type(values[name]) for name in names):
            return thorough(row)
        # Once more, with null where a key is missing, and with Python's own numbers.
        # An object may well hold Decimals, which Python compares with doubles digit by digit.
        if any(type(value) is Decimal for value in values.values()):
            return thorough(values)
        return function(values)

    function = _factory(source)(*arguments, thorough if nested else other)
    return function


# The warning is NumPy's, where warnings are errors.
_ERRORS = (TypeError, AttributeError, ValueError, ArithmeticError, LookupError, RuntimeWarning)


# By the source, hence by the shape: to compile one takes a hundred times as long as to bind names and constants to it.
@lru_cache(maxsize=4096)
def _factory(source: str) -> Callable[..., Callable[[Any], Any]]:
    namespace: dict[str, Any] = {
        "ERRORS": _ERRORS,
        "sqrt": math.sqrt,
        "log": math.log,
        "exp": math.exp,
        "power": power,
        "round_places": round_places,
        "join": "".join,
        "boolean": _boolean,
        "alike": alike,
        "coerce": coerce,
        "plain": plain,
        "PLAIN": PLAIN,
        "date": date,
        "datetime": datetime,
        "Decimal": Decimal,
    }
    exec(compile(source, "<expression>", "exec"), namespace)
    return namespace["bind"]  # type: ignore[no-any-return]


def _boolean(value: object) -> bool:
    raise TypeError(f"{value!r} is not a boolean")
