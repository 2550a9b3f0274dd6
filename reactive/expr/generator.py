"""The walk that all text targets share: a target supplies tables of forms and a method for what a table cannot say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from reactive.errors import UnsupportedNode
from reactive.expr.base import Expr
from reactive.expr.inference import ARITHMETIC, COMPARISONS, Inference
from reactive.expr.kinds import NUMERIC
from reactive.expr.nodes import BinOp, Coalesce, Const, Field, Func, If, IsNull, StrOp, UnaryOp

__all__ = ["Generator"]


class Generator:
    """Turns a tree into a target's text.

    `want` is the kind that a node's place asks for: a field of which nothing is known becomes of that kind, and a
    number is given as a double or exactly.
    """

    target: ClassVar[str]

    def __init__(self, types: Mapping[str, Any] | None = None) -> None:
        """Take the fields' declared types, by name."""
        self.inference = Inference(types)

    def text(self, node: Expr, want: str | None = None) -> str:
        """Return the text of a node."""
        forms: dict[type[Expr], Callable[[Any, str | None], str]] = {
            Field: self.field,
            Const: self.const,
            BinOp: self.binop,
            UnaryOp: self.unaryop,
            Func: self.func,
            If: self.if_,
            Coalesce: self.coalesce,
            IsNull: self.isnull,
            StrOp: self.strop,
        }
        form = forms.get(type(node))
        if form is None:
            raise UnsupportedNode(self.target, node, f"{type(node).__name__} is not a node of this library")
        self.inference.kind(node)
        return form(node, want)

    def binop(self, node: BinOp, want: str | None) -> str:
        """Return the text of a binary operator."""
        if node.op in COMPARISONS:
            return self.comparison(node, self.inference.comparison(node))
        kind = "float" if node.op in ARITHMETIC else "bool"
        return self.operation(node, node.op, kind)

    def unaryop(self, node: UnaryOp, want: str | None) -> str:
        """Return the text of a unary operator."""
        return self.operation(node, node.op, "bool" if node.op == "not" else "float")

    def func(self, node: Func, want: str | None) -> str:
        """Return the text of a function."""
        return self.operation(node, node.name, "float")

    def strop(self, node: StrOp, want: str | None) -> str:
        """Return the text of an operation on strings."""
        return self.operation(node, node.op, "str")

    def common(self, node: Expr, want: str | None) -> str | None:
        """Return the kind that the alternatives of an `If` or `Coalesce` are given in."""
        kind = self.inference.kind(node)
        return want if kind is None or (kind in NUMERIC and want in NUMERIC) else kind

    def field(self, node: Field, want: str | None) -> str:
        """Return the text of a field."""
        raise UnsupportedNode(self.target, node, "it has no fields")

    def const(self, node: Const, want: str | None) -> str:
        """Return the text of a constant."""
        raise UnsupportedNode(self.target, node, "it has no constants")

    def operation(self, node: Expr, name: str, kind: str) -> str:
        """Return the text of an operator or function whose operands are all of one kind."""
        raise UnsupportedNode(self.target, node, f"it has no {name}")

    def comparison(self, node: BinOp, kind: str) -> str:
        """Return the text of a comparison of two values of one kind."""
        raise UnsupportedNode(self.target, node, "it has no comparisons")

    def if_(self, node: If, want: str | None) -> str:
        """Return the text of a condition and two values."""
        raise UnsupportedNode(self.target, node, "it has no conditions")

    def coalesce(self, node: Coalesce, want: str | None) -> str:
        """Return the text of the first value that is not null."""
        raise UnsupportedNode(self.target, node, "it has no coalesce")

    def isnull(self, node: IsNull, want: str | None) -> str:
        """Return the text of a test for null."""
        raise UnsupportedNode(self.target, node, "it has no test for null")
