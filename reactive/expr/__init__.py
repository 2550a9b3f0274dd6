"""Typed expressions over named fields: one definition, computed in Python and compiled to SQL, Pure and Deephaven.

Every operation has one meaning in all targets; docs/expressions.md lists them.
"""

from reactive.expr.base import Expr
from reactive.expr.nodes import BinOp, Coalesce, Const, Field, Func, If, IsNull, StrOp, UnaryOp
from reactive.expr.serialize import from_json

__all__ = ["BinOp", "Coalesce", "Const", "Expr", "Field", "Func", "If", "IsNull", "StrOp", "UnaryOp", "from_json"]
