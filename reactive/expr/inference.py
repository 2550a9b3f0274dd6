"""Which kind of value each node has, where fields' types are known; ill-typed trees are refused with the node named."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from reactive.errors import ExpressionTypeError, UnknownFieldError, UnsupportedNode, shown
from reactive.expr.base import Expr
from reactive.expr.kinds import EXACT_BELOW, NUMERIC, ORDERED, Declared, common_kind, declared, kind_of_value
from reactive.expr.named import with_named
from reactive.expr.nodes import BinOp, Coalesce, Const, Field, Func, If, IsNull, StrOp, UnaryOp

__all__ = ["ARITHMETIC", "BUILT", "COMPARISONS", "LOGICAL", "Inference", "bind", "declared_fields", "field_of"]

ARITHMETIC = frozenset({"+", "-", "*", "/", "%", "**"})
COMPARISONS = frozenset({">", "<", ">=", "<=", "==", "!="})
LOGICAL = frozenset({"&", "|"})


class Inference:
    """Kinds of nodes, worked out from the leaves up; None where nothing tells.

    Args:
        types: What fields are declared as, by name; it wins over what the fields themselves say.
    """

    def __init__(self, types: Mapping[str, Any] | None = None) -> None:
        """Know nothing of any node yet."""
        self._types = {name: declared(annotation) for name, annotation in (types or {}).items()}
        self._kinds: dict[int, str | None] = {}

    def declared(self, field: Field) -> Declared:
        """Return what is known of a field."""
        return self._types.get(field.name, field.declared)

    def kind(self, node: Expr) -> str | None:
        """Return the kind of a node's value.

        Raises:
            ExpressionTypeError: The node, or one below it, has operands of kinds that it does not take.
        """
        if not self._types:
            return node._kind
        if id(node) not in self._kinds:
            for each in node.walk():
                if id(each) not in self._kinds:
                    self._kinds[id(each)] = self.infer(each)
        return self._kinds[id(node)]

    def comparison(self, node: BinOp) -> str:
        """Return the kind as which the operands of a comparison are compared.

        "json" stands for two fields of which nothing is known: whatever they hold, compared by value.

        Raises:
            ExpressionTypeError: The operands do not compare.
        """
        left, right = self.kind(node.left), self.kind(node.right)
        equality = node.op in ("==", "!=")
        if left is None and right is None:
            # As jsonb any two values are equal or not; an order only numbers are likely to be asked for.
            return "json" if equality else "decimal"
        try:
            kind = common_kind((left, right))
        except TypeError:
            kind = None
        if kind is None or kind == "json" or not (equality or kind in ORDERED):
            raise ExpressionTypeError(f"{shown(node)}: {left} and {right} do not compare with {node.op}", node)
        if kind not in NUMERIC:
            return kind
        # A whole constant of moderate size: rounding the other side to a double does not change the outcome.
        if kind == "int" and any(_small(operand) for operand in node.children):
            return "float"
        if "float" in (left, right):
            return "float"
        return "decimal"

    def infer(self, node: Expr) -> str | None:
        """Return the kind of a node's value, those of its operands being known.

        Raises:
            ExpressionTypeError: The operands are of kinds that the node does not take.
        """
        if isinstance(node, Field):
            return self.declared(node).kind
        if isinstance(node, Const):
            return kind_of_value(node.value)
        if isinstance(node, BinOp):
            if node.op in ARITHMETIC:
                return self._require(node, NUMERIC, "numbers", "float")
            if node.op in LOGICAL:
                return self._require(node, {"bool"}, "conditions", "bool")
            self.comparison(node)
            return "bool"
        if isinstance(node, UnaryOp):
            if node.op == "not":
                return self._require(node, {"bool"}, "a condition", "bool")
            return self._require(node, NUMERIC, "a number", "float")
        if isinstance(node, Func):
            return self._require(node, NUMERIC, "numbers", "float")
        if isinstance(node, StrOp):
            result = {"length": "int", "contains": "bool", "starts_with": "bool"}.get(node.op, "str")
            return self._require(node, {"str"}, "strings", result)
        if isinstance(node, IsNull):
            self.kind(node.operand)
            return "bool"
        if isinstance(node, If):
            condition = self.kind(node.condition)
            if condition not in (None, "bool"):
                raise ExpressionTypeError(f"{shown(node)}: the condition is {condition}, not bool", node)
            return self._common(node, (node.then, node.otherwise))
        if isinstance(node, Coalesce):
            return self._common(node, node.children)
        raise UnsupportedNode("any target", node, f"{type(node).__name__} is not a node of this library")

    def _require(self, node: Expr, kinds: frozenset[str] | set[str], what: str, result: str) -> str:
        for operand in node.children:
            kind = self.kind(operand)
            if kind is not None and kind not in kinds:
                hint = "; strings are joined by concat" if kind == "str" and getattr(node, "op", "") == "+" else ""
                raise ExpressionTypeError(f"{shown(node)} takes {what}, but {shown(operand)} is {kind}{hint}", node)
        return result

    def _common(self, node: Expr, operands: tuple[Expr, ...]) -> str | None:
        try:
            return common_kind(self.kind(operand) for operand in operands)
        except TypeError as error:
            raise ExpressionTypeError(
                f"{shown(node)}: its values are {error}, which do not go together", node
            ) from None


BUILT = Inference()
"""What is known of a node while it is built: its constants, and what its fields say of themselves."""


def _small(node: Expr) -> bool:
    return isinstance(node, Const) and type(node.value) is int and abs(node.value) < EXACT_BELOW


def declared_fields(schema: Any) -> dict[str, Declared]:
    """Return what a class or a mapping tells about its fields, properties with a return annotation included.

    Args:
        schema: A dataclass, or a mapping of names to annotations.

    Raises:
        ExpressionTypeError: It is neither.
    """
    if isinstance(schema, Mapping):
        return {name: declared(annotation) for name, annotation in schema.items()}
    if not (isinstance(schema, type) and dataclasses.is_dataclass(schema)):
        raise ExpressionTypeError(f"expected a dataclass or a mapping of names to types, not {shown(schema)}")
    hints = _hints(schema)
    fields = {field.name: declared(hints.get(field.name)) for field in dataclasses.fields(schema)}
    for base in schema.__mro__:
        for name, attribute in vars(base).items():
            if isinstance(attribute, property) and attribute.fget and not name.startswith("_") and name not in fields:
                try:
                    fields[name] = declared(typing.get_type_hints(attribute.fget).get("return"))
                except NameError:
                    fields[name] = Declared(None)
    return fields


def _hints(schema: type) -> dict[str, Any]:
    """Return the annotations of a class, without those that name what only the function knows that defines it."""
    try:
        return typing.get_type_hints(schema, include_extras=True)
    except NameError:
        hints: dict[str, Any] = {}
        for base in reversed(schema.__mro__):
            for name, annotation in vars(base).get("__annotations__", {}).items():
                one = type("One", (), {"__annotations__": {name: annotation}, "__module__": base.__module__})
                try:
                    hints[name] = typing.get_type_hints(one, include_extras=True)[name]
                except NameError:
                    hints[name] = None
        return hints


def field_of(schema: Any, name: str) -> Field:
    """Return a field of a class with its declared type; see `Field.of`."""
    return _field(Field(name), declared_fields(schema), schema)


def _field(field: Field, fields: Mapping[str, Declared], schema: Any) -> Field:
    known = fields.get(field.name)
    if known is None:
        where = schema.__name__ if isinstance(schema, type) else "the mapping of types"
        raise UnknownFieldError(field.name, where, fields, field)
    return Field(field.name, known)


def bind(expr: Expr, schema: Any) -> Expr:
    """Return an expression with its fields' declared types, checked; see `Expr.bind`."""
    fields = declared_fields(schema)
    if isinstance(schema, type):
        expr = with_named(expr, schema)
    bound = expr.transform(lambda node: _field(node, fields, schema) if isinstance(node, Field) else node)
    Inference().kind(bound)
    return bound
