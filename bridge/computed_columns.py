"""Columns that are computed: the expressions that a class has under names, shown beside its fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.cells import Cell, python_cell
from bridge.errors import BridgeError, ColumnTypeError
from store.base import FieldSpec, Storable, record_schema

if TYPE_CHECKING:
    from reactive.expr import Expr

__all__ = ["ComputedColumn", "computed_columns", "expression_names", "python_value", "with_expressions"]

_DH_TYPES = {
    "float": "double",
    "int": "long",
    "decimal": "BigDecimal",
    "bool": "bool",
    "str": "string",
    "date": "LocalDate",
    "datetime": "Instant",
}


class ComputedColumn(NamedTuple):
    """One named expression of a class as a column.

    Attributes:
        name: The expression's name, and the column's.
        dh_type: The type of the column.
        expression: The expression, over fields alone.
        cell: What makes a cell of the expression's value.
        specs: The fields that it reads.
    """

    name: str
    dh_type: str
    expression: Expr
    cell: Callable[[Any], Cell]
    specs: tuple[FieldSpec, ...]

    def __call__(self, data: Mapping[str, Any]) -> Cell:
        """Return the cell for an event's data."""
        values = {spec.name: python_value(spec, data) for spec in self.specs}
        return self.cell(self.expression.eval(values))


def expression_names(cls: type[Storable]) -> list[str]:
    """Return the names of a class's expressions, those aside that its fields have."""
    if not hasattr(cls, "expressions"):
        return []
    from reactive.errors import ReactiveError
    from reactive.expr.named import named_expressions

    try:
        return [name for name in named_expressions(cls) if name not in record_schema(cls).fields]
    except ReactiveError as error:
        raise BridgeError(str(error)) from error


def with_expressions(cls: type[Storable], expr: Expr) -> Expr:
    """Return an expression over fields alone, with the class's own put in for their names."""
    if not hasattr(cls, "expressions"):
        return expr
    from reactive.errors import ReactiveError
    from reactive.expr.named import with_named

    try:
        return with_named(expr, cls)
    except ReactiveError as error:
        raise BridgeError(str(error)) from error


def computed_columns(cls: type[Storable], columns: Iterable[str] | None = None) -> list[ComputedColumn]:
    """Return the named expressions among the columns wanted, in the order in which they are wanted; by default none.

    Args:
        cls: The class.
        columns: Names of fields, metadata columns and expressions.

    Raises:
        ColumnTypeError: An expression is ill-typed, or its value has no column type.

    Example:
        >>> [column.dh_type for column in computed_columns(Position, ["symbol", "pnl"])]
        ['double']
    """
    known = expression_names(cls) if columns is not None else []
    return [_computed_column(cls, name) for name in dict.fromkeys(columns or ()) if name in known]


def _computed_column(cls: type[Storable], name: str) -> ComputedColumn:
    from reactive.errors import ReactiveError
    from reactive.expr.inference import Inference
    from reactive.expr.named import named_expression

    schema = record_schema(cls)
    try:
        expr = named_expression(cls, name).bind({spec.name: spec.annotation for spec in schema.fields.values()})
    except ReactiveError as error:
        raise ColumnTypeError(schema.type_name, name, str(error)) from error
    kind = Inference().kind(expr) or "str"
    if kind not in _DH_TYPES:
        raise ColumnTypeError(schema.type_name, name, f"the value of {expr!r} has no column type")
    dh_type = _DH_TYPES[kind]
    specs = tuple(schema.fields[field] for field in sorted(expr.fields()))
    return ComputedColumn(name, dh_type, expr, python_cell(dh_type), specs)


def python_value(spec: FieldSpec, data: Mapping[str, Any]) -> Any:
    """Return a field's Python value from an event's data, where it may have a former name or none."""
    for name in (spec.name, *spec.former_names):
        if name in data:
            return spec.decode(data[name])
    return None if spec.default is None else spec.default()
