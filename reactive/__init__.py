"""Typed expressions and a reactive graph over them; `reactive` knows nothing of the store but its shape."""

from reactive.bridge import auto_persist_effect
from reactive.errors import ReactiveError
from reactive.expr import BinOp, Coalesce, Const, Expr, Field, Func, If, IsNull, StrOp, UnaryOp, from_json
from reactive.graph import ReactiveGraph

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
    "ReactiveGraph",
    "StrOp",
    "UnaryOp",
    "auto_persist_effect",
    "from_json",
]
