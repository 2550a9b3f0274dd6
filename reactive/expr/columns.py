"""Expressions over whole columns: NumPy arrays with validity masks, by the same rules as one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timezone
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactive.errors import ExpressionTypeError, UnsupportedNode, shown
from reactive.expr.base import Expr
from reactive.expr.inference import ARITHMETIC, COMPARISONS, Inference
from reactive.expr.interpret import OPERATIONS, round_places
from reactive.expr.kinds import EXACT_BELOW, EXP_LIMIT, NUMERIC, kind_of_value
from reactive.expr.nodes import BinOp, Coalesce, Const, Field, Func, If, IsNull, StrOp, UnaryOp
from reactive.expr.values import coerce, is_nan, plain

__all__ = ["eval_columns"]

_DTYPES: dict[str | None, Any] = {
    "float": np.float64,
    "int": np.int64,
    "bool": np.bool_,
    "date": "datetime64[D]",
    "datetime": "datetime64[us]",
}


@dataclass
class _Column:
    """Values with their validity, both of one length or scalars that stand for a column of one value.

    Attributes:
        values: The values; where `valid` is false they mean nothing.
        valid: Whether there is a value.
        kind: The kind of the values; None if none is known. An int column whose dtype is object holds Python ints.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_]
    kind: str | None


def eval_columns(expr: Expr, columns: Any) -> Any:
    """Compute an expression for whole columns; see `Expr.eval_columns`."""
    if not isinstance(columns, Mapping):
        columns = _columns_of(columns)
    arrow = any(_library(column) == "pyarrow" for column in columns.values())
    loaded = {name: _load(columns[name], name) for name in expr.fields() if name in columns}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ExpressionTypeError(f"columns of different lengths: {lengths}", expr)
    length = next(iter(lengths.values()), 0)
    # What is off a domain becomes infinite or NaN, and that null.
    with np.errstate(all="ignore"):
        result = _Vectorised(loaded, Inference()).column(expr, None)
    values = np.broadcast_to(result.values, (length,))
    valid = np.broadcast_to(result.valid, (length,))
    return _to_arrow(values, valid, result.kind) if arrow else np.ma.MaskedArray(values, mask=~valid)


def _library(value: Any) -> str:
    return type(value).__module__.split(".")[0]


def _columns_of(table: Any) -> dict[str, Any]:
    """Return the columns of an Arrow table or a DataFrame by name."""
    if _library(table) == "pyarrow" and hasattr(table, "column_names"):
        return {name: table.column(name) for name in table.column_names}
    if _library(table) == "pandas" and hasattr(table, "columns"):
        return {name: table[name] for name in table.columns}
    raise ExpressionTypeError(f"expected columns by name, an Arrow table or a DataFrame, not {shown(table)}")


def _to_arrow(values: NDArray[Any], valid: NDArray[np.bool_], kind: str | None) -> Any:
    import pyarrow as pa

    if values.dtype == object:
        return pa.array([value if known else None for value, known in zip(values, valid, strict=True)])
    array = pa.array(values, mask=~valid)
    return array.cast(pa.timestamp("us", "UTC")) if kind == "datetime" else array


def _load(column: Any, name: str) -> _Column:
    if _library(column) == "pyarrow":
        return _from_arrow(column, name)
    if _library(column) == "pandas" and column.ndim == 1:
        return _from_pandas(column, name)
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
    values = np.asarray(column)
    if values.ndim != 1:
        raise ExpressionTypeError(f"{name}: a column has one dimension, not {values.ndim}")
    loaded = _from_array(values, name)
    if mask is not None:
        loaded.valid = loaded.valid & ~mask
    return loaded


def _from_array(values: NDArray[Any], name: str) -> _Column:
    code = values.dtype.kind
    every = np.ones(len(values), dtype=np.bool_)
    if code == "f":
        # A float32 is taken for the double that it is, as Python does.
        doubles = values.astype(np.float64)
        return _Column(doubles, ~np.isnan(doubles), "float")
    if code == "b":
        return _Column(values, every, "bool")
    if code == "i" or (code == "u" and (values.dtype.itemsize < 8 or not np.any(values > np.uint64(2**63 - 1)))):
        return _Column(values.astype(np.int64), every, "int")
    if code == "M":
        kind = "date" if np.datetime_data(values.dtype)[0] == "D" else "datetime"
        return _Column(values.astype(_DTYPES[kind]), ~np.isnat(values), kind)
    if code in "UTOu":
        return _from_objects([None if value is None else plain(value) for value in values.tolist()], name)
    raise ExpressionTypeError(f"{name}: no expression computes with a column of {values.dtype}")


def _from_arrow(column: Any, name: str) -> _Column:
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        valid = np.asarray(column.is_valid())
        loaded = _from_array(column.fill_null(0).to_numpy(zero_copy_only=False), name)
        loaded.valid = loaded.valid & valid
        return loaded
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise ExpressionTypeError(f"{name}: timestamps without a time zone; cast to timestamp('us', 'UTC')")
        column = column.cast(pa.timestamp("us", column.type.tz))
    return _from_objects(column.to_pylist(), name)


def _from_pandas(column: Any, name: str) -> _Column:
    values = column.to_numpy()
    if values.dtype != object:
        return _from_array(values, name)
    null = column.isna().to_numpy()
    dated = hasattr(column, "dt") and hasattr(column.dt, "to_pydatetime")
    objects = [value.to_pydatetime() if dated and not none else value for value, none in zip(values, null, strict=True)]
    return _from_objects([None if none else plain(value) for value, none in zip(objects, null, strict=True)], name)


def _from_objects(objects: list[Any], name: str) -> _Column:
    objects = [None if is_nan(value) else value for value in objects]
    kinds = {kind_of_value(value) or f"{type(value).__name__} objects" for value in objects if value is not None}
    if kinds <= {"int", "float"} and len(kinds) == 2:
        kinds = {"float"}
    if kinds <= {"int", "decimal"} and len(kinds) == 2:
        kinds = {"decimal"}
    if len(kinds) > 1 or any(kind.endswith(" objects") for kind in kinds):
        raise ExpressionTypeError(f"{name}: a column of {' and '.join(sorted(kinds))}")
    kind = kinds.pop() if kinds else None
    if kind == "float":
        objects = [None if value is None else _double(value) for value in objects]
    valid = np.array([value is not None for value in objects], dtype=np.bool_)
    return _Column(_array(objects, valid, kind), valid, kind)


def _array(objects: list[Any], valid: NDArray[np.bool_], kind: str | None) -> NDArray[Any]:
    """Return an array for values of a kind, with something of the same kind where there is none."""
    if kind == "int" and any(value is not None and abs(value) >= 2**63 for value in objects):
        kind = "bigint"
    dtype = _DTYPES.get(kind)
    if dtype is None:
        array = np.empty(len(objects), dtype=object)
        array[:] = objects
        return array
    if kind == "datetime":
        objects = [None if value is None else coerce(value, kind).astimezone(timezone.utc) for value in objects]
        objects = [None if value is None else value.replace(tzinfo=None) for value in objects]
    fill = None if kind in ("date", "datetime") else 0  # NumPy makes NaT of it, in the unit of the others
    return np.array([value if known else fill for value, known in zip(objects, valid, strict=True)], dtype=dtype)


class _Vectorised:
    def __init__(self, columns: Mapping[str, _Column], inference: Inference) -> None:
        self._columns = columns
        self._inference = inference

    def column(self, node: Expr, want: str | None) -> _Column:
        column = self._compute(node, want)
        return self._as_float(node, column) if want == "float" else column

    def _compute(self, node: Expr, want: str | None) -> _Column:
        if isinstance(node, Field):
            return self._field(node, want)
        if isinstance(node, Const):
            return self._const(node.value)
        if isinstance(node, IsNull):
            return _Column(~self.column(node.operand, None).valid, np.True_, "bool")  # type: ignore[arg-type]
        if isinstance(node, If):
            condition = self.column(node.condition, "bool")
            self._expect(node, condition, "bool")
            chosen = condition.valid & condition.values.astype(np.bool_)
            return self._choose(node, chosen, *self._alternatives(node, (node.then, node.otherwise), want))
        if isinstance(node, Coalesce):
            first, *rest = self._alternatives(node, node.children, want)
            for other in rest:
                first = self._choose(node, first.valid, first, other)
            return first
        if isinstance(node, StrOp):
            return self._string(node)
        if isinstance(node, BinOp) and node.op in COMPARISONS:
            return self._comparison(node)
        if isinstance(node, Func) or (isinstance(node, BinOp) and node.op in ARITHMETIC):
            return self._numeric(node)
        if isinstance(node, UnaryOp) and node.op != "not":
            return self._numeric(node)
        if isinstance(node, (BinOp, UnaryOp)):
            return self._logical(node)
        raise UnsupportedNode("columns", node, f"{type(node).__name__} is not a node of this library")

    def _field(self, node: Field, want: str | None) -> _Column:
        column = self._columns.get(node.name)
        kind = self._inference.kind(node) or want
        if column is None or column.kind is None:
            return self._null(kind)
        if column.kind == "str" and kind in ("date", "datetime", "decimal"):
            return self._map(node, lambda text: coerce(text, kind), [column], kind)
        return column

    @staticmethod
    def _null(kind: str | None) -> _Column:
        dtype = _DTYPES.get(kind, object)
        values = np.zeros((), dtype=dtype) if dtype is not object else np.array(None, dtype=object)
        return _Column(values, np.False_, kind)  # type: ignore[arg-type]

    def _const(self, value: Any) -> _Column:
        kind = kind_of_value(value)
        if value is None:
            return self._null(None)
        values = _array([value], np.ones(1, dtype=np.bool_), kind)[0]
        if not isinstance(values, np.generic):
            scalar = np.empty((), dtype=object)
            scalar[()] = values
            values = scalar
        return _Column(np.asarray(values), np.True_, kind)  # type: ignore[arg-type]

    def _expect(self, node: Expr, column: _Column, kind: str) -> None:
        if column.kind not in (None, kind):
            raise ExpressionTypeError(f"{shown(node)}: expected a column of {kind}, found {column.kind}", node)

    def _as_float(self, node: Expr, column: _Column) -> _Column:
        if column.kind == "float":
            return column
        if column.kind is None:
            return self._null("float")
        if column.kind not in ("int", "decimal"):
            raise ExpressionTypeError(f"{shown(node)}: expected a column of numbers, found {column.kind}", node)
        if column.values.dtype == object:
            return self._map(node, _double, [column], "float")
        return _Column(column.values.astype(np.float64), column.valid, "float")

    def _map(self, node: Expr, function: Callable[..., Any], columns: list[_Column], kind: str | None) -> _Column:
        """Return a Python function of every row in which all columns have a value."""
        valid = np.asarray(np.logical_and.reduce(np.broadcast_arrays(*(column.valid for column in columns))))
        arrays = np.broadcast_arrays(*(column.values for column in columns), valid)
        known = arrays.pop() if isinstance(arrays, list) else arrays[-1]
        rows = zip(*(array.ravel().tolist() for array in arrays[: len(columns)]), strict=True)
        flags = known.ravel().tolist()
        try:
            results = [function(*row) if flag else None for row, flag in zip(rows, flags, strict=True)]
        except (TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise ExpressionTypeError(f"{shown(node)}: {error}", node) from error
        found = np.array([result is not None for result in results], dtype=np.bool_)
        return _Column(_array(results, found, kind).reshape(known.shape), found.reshape(known.shape), kind)

    def _finite(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> _Column:
        return _Column(values, valid & np.isfinite(values), "float")

    def _numeric(self, node: BinOp | UnaryOp | Func) -> _Column:
        columns = [self.column(operand, "float") for operand in node.children]
        valid = columns[0].valid
        for column in columns[1:]:
            valid = valid & column.valid
        name = node.name if isinstance(node, Func) else node.op
        if name == "round" and len(columns) == 2:
            places = node.children[1]
            assert isinstance(places, Const)
            return self._map(node, lambda x: round_places(x, places.value), columns[:1], "float")
        values = [column.values for column in columns]
        if name in ("min", "max"):
            extreme = np.minimum if name == "min" else np.maximum
            result = values[0]
            for other in values[1:]:
                result = extreme(result, other)
            return self._finite(result, valid)
        return self._finite(VECTORISED[name](*values), valid)

    def _comparison(self, node: BinOp) -> _Column:
        kind = self._inference.comparison(node)
        want = None if kind in ("json", "decimal") else kind
        left, right = (self.column(operand, want) for operand in node.children)
        if left.kind is None or right.kind is None:
            return self._null("bool")
        if left.kind != right.kind and not {left.kind, right.kind} <= NUMERIC:
            raise ExpressionTypeError(f"{shown(node)}: {left.kind} and {right.kind} do not compare", node)
        valid = left.valid & right.valid
        exact = kind in ("json", "decimal") and not _fits(left, right)
        if object in (left.values.dtype, right.values.dtype) or exact:
            # Against an exact number, a double counts as its shortest decimal, which is what the store keeps of it.
            if "decimal" in (left.kind, right.kind) and kind != "float":
                left, right = (self._exact(node, column) for column in (left, right))
            return self._map(node, OPERATIONS[node.op], [left, right], "bool")
        return _Column(OPERATIONS[node.op](left.values, right.values), valid, "bool")

    def _exact(self, node: Expr, column: _Column) -> _Column:
        if column.kind != "float":
            return column
        return self._map(node, lambda value: Decimal(repr(value)), [column], "decimal")

    def _logical(self, node: BinOp | UnaryOp) -> _Column:
        columns = [self.column(operand, "bool") for operand in node.children]
        for column in columns:
            self._expect(node, column, "bool")
        if node.op == "not":
            return _Column(~columns[0].values.astype(np.bool_), columns[0].valid, "bool")
        left, right = columns
        decisive = node.op == "|"
        # Three-valued: one decisive side settles the matter, whatever the other holds.
        decided = [column.valid & (column.values.astype(np.bool_) == decisive) for column in columns]
        either = decided[0] | decided[1]
        return _Column(either if decisive else ~either, either | (left.valid & right.valid), "bool")

    def _alternatives(self, node: Expr, operands: tuple[Expr, ...], want: str | None) -> list[_Column]:
        kind = self._inference.kind(node)
        wanted = want if kind is None or want == "float" else kind
        columns = [self.column(operand, wanted) for operand in operands]
        kinds = {column.kind for column in columns} - {None}
        if "float" in kinds and len(kinds) > 1 and kinds <= NUMERIC:
            columns = [self._as_float(node, column) for column in columns]
        elif len(kinds) > 1 and kinds != {"int", "decimal"}:
            raise ExpressionTypeError(f"{shown(node)}: columns of {' and '.join(sorted(map(str, kinds)))}", node)
        return columns

    def _choose(self, node: Expr, first: NDArray[np.bool_], one: _Column, other: _Column) -> _Column:
        kind = one.kind or other.kind
        if one.kind is None:
            one = _Column(self._null(kind).values, np.False_, kind)  # type: ignore[arg-type]
        if other.kind is None:
            other = _Column(self._null(kind).values, np.False_, kind)  # type: ignore[arg-type]
        if "decimal" in (one.kind, other.kind):
            kind = "decimal"
        return _Column(np.where(first, one.values, other.values), np.where(first, one.valid, other.valid), kind)

    def _string(self, node: StrOp) -> _Column:
        columns = [self.column(operand, "str") for operand in node.children]
        for column in columns:
            self._expect(node, column, "str")
        kind = {"length": "int", "contains": "bool", "starts_with": "bool"}.get(node.op, "str")
        return self._map(node, OPERATIONS[node.op], columns, kind)


def _fits(left: _Column, right: _Column) -> bool:
    """Say whether NumPy compares the columns exactly: two of a kind, or ints that are doubles as well."""
    if left.kind == right.kind:
        return True
    ints = left if left.kind == "int" else right
    return ints.values.dtype != object and not np.any(np.abs(ints.values) > EXACT_BELOW)


def _double(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _power(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    # Infinite where x is 0 and y negative, NaN where x is negative and y not whole: both become null.
    return np.asarray(np.power(x, y))


VECTORISED: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": lambda x, y: x - y * np.floor(x / y),
    "**": _power,
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "log": np.log,
    "exp": lambda x: np.where(x > EXP_LIMIT, np.inf, np.exp(x)),
    "ceil": lambda x: np.ceil(x) + 0.0,
    "floor": lambda x: np.floor(x) + 0.0,
    "round": lambda x: np.round(x) + 0.0,
}
