"""Expressions that live with their class, under names: one definition for graph, queries, tables, guards and `eval`.

class Position(Storable):
    ...
    expressions = {"pnl": (Field("price") - Field("cost")) * Field("quantity"), "alert": Field("pnl") < -5000}

A name that is also a field's stands for the field.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from reactive.errors import CycleError, ExpressionTypeError, UnknownFieldError, shown
from reactive.expr.base import Expr

__all__ = ["named_expression", "named_expressions", "with_named"]


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
    return _resolved(expressions[name], cls, expressions, (name,))


def with_named(expr: Expr, cls: type) -> Expr:
    """Return an expression with the class's own put in for the names of them that it reads.

    Args:
        expr: An expression.
        cls: The class.

    Raises:
        CycleError: One of them is made of itself.

    Example:
        >>> with_named(Field("pnl") > 0, Position)
        BinOp('>', BinOp('*', BinOp('-', Field('price'), Field('cost')), Field('quantity')), Const(0))
    """
    return _resolved(expr, cls, named_expressions(cls), ())


def _resolved(expr: Expr, cls: type, expressions: dict[str, Expr], path: tuple[str, ...]) -> Expr:
    inner = {}
    for name in sorted(expr.fields() & expressions.keys()):
        if _is_field(cls, name):
            continue
        if name in path:
            raise CycleError([*path[path.index(name) :], name])
        inner[name] = _resolved(expressions[name], cls, expressions, (*path, name))
    return expr.substitute(inner) if inner else expr


def _is_field(cls: type, name: str) -> bool:
    if dataclasses.is_dataclass(cls) and name in {field.name for field in dataclasses.fields(cls)}:
        return True
    return isinstance(getattr(cls, name, None), property)
