"""Expressions that live with their class, under names: one definition for graph, queries and tables.

class Position(Storable):
    ...
    expressions = {"pnl": (Field("price") - Field("cost")) * Field("quantity"), "alert": Field("pnl") < -5000}
"""

from __future__ import annotations

from typing import Any

from reactive.errors import CycleError, ExpressionTypeError, UnknownFieldError, shown
from reactive.expr.base import Expr

__all__ = ["named_expression", "named_expressions"]


def named_expressions(cls: type) -> dict[str, Expr]:
    """Return the expressions of a class and its bases by name, as they are written; the class's own win.

    Raises:
        ExpressionTypeError: What stands under a name is not an expression.
    """
    expressions: dict[str, Expr] = {}
    for base in reversed(cls.__mro__):
        own: Any = vars(base).get("expressions")
        for name, expr in own.items() if isinstance(own, dict) else ():
            if not isinstance(expr, Expr):
                raise ExpressionTypeError(f"{base.__name__}.expressions[{name!r}] is not an expression: {shown(expr)}")
            expressions[name] = expr
    return expressions


def named_expression(cls: type, name: str) -> Expr:
    """Return an expression of a class with the others that it names put in, so that fields alone are left.

    Args:
        cls: The class.
        name: The expression's name.

    Raises:
        UnknownFieldError: The class has no such expression.
        CycleError: It is made of itself.

    Example:
        >>> named_expression(Position, "alert").fields()
        frozenset({'price', 'cost', 'quantity'})
    """
    expressions = named_expressions(cls)
    if name not in expressions:
        raise UnknownFieldError(name, f"{cls.__name__}.expressions", expressions)
    return _resolved(expressions, name, ())


def _resolved(expressions: dict[str, Expr], name: str, path: tuple[str, ...]) -> Expr:
    if name in path:
        raise CycleError([*path[path.index(name) :], name])
    expr = expressions[name]
    inner = expr.fields() & expressions.keys()
    return expr.substitute({other: _resolved(expressions, other, (*path, name)) for other in inner})
