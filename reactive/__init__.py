"""Typed expressions and a reactive graph over them; `reactive` knows nothing of the store but its shape."""

from reactive.errors import ReactiveError
from reactive.expr import BinOp, Coalesce, Const, Expr, Field, Func, If, IsNull, StrOp, UnaryOp, from_json

__all__ = [
    "BinOp",
    "Coalesce",
    "Const",
    "Expr",
    "Field",
    "Func",
    "If",
    "IsNull",
    "ReactiveError",
    "StrOp",
    "UnaryOp",
    "from_json",
]
