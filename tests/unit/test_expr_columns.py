"""Whole columns: NumPy, masked and Arrow arrays in, the same out, by the rules of one row."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from reactive.errors import ExpressionTypeError
from reactive.expr import Coalesce, Const, Expr, Field, Func, If

x, y, s = Field("x"), Field("y"), Field("s")
NOON = datetime(2026, 2, 22, 12, tzinfo=timezone.utc)


def test_eval_columns_of_arrays_is_a_masked_array() -> None:
    result = (x / y).eval_columns({"x": np.array([1.0, 2.0, np.nan]), "y": np.array([2, 0, 1])})
    assert isinstance(result, np.ma.MaskedArray)
    assert result.tolist() == [0.5, None, None]


def test_eval_columns_takes_masks_and_missing_columns_as_null() -> None:
    masked = np.ma.MaskedArray([1, 2, 3], mask=[False, True, False])
    assert Coalesce([y, x, 7]).eval_columns({"x": masked}).tolist() == [1, 7, 3]


def test_eval_columns_is_as_long_as_the_columns_are() -> None:
    assert Const(1).eval_columns({}).tolist() == []
    assert Const(1).eval_columns({"x": np.array([], dtype=float)}).tolist() == []
    assert Const(1).eval_columns({"x": np.array([0.5, 0.5])}).tolist() == [1, 1]
    assert x.eval_columns({"y": np.array([1, 2, 3])}).tolist() == [None, None, None]
    with pytest.raises(ExpressionTypeError, match=r"columns of different lengths: \{'x': 1, 'y': 2\}"):
        (x + y).eval_columns({"x": np.array([1]), "y": np.array([1, 2])})


def test_eval_columns_of_arrow_is_arrow() -> None:
    columns = {"x": pa.array([1, None, 3]), "s": pa.chunked_array([["a"], [None, "\U0001d538b"]])}
    assert (x * 2).eval_columns(columns).to_pylist() == [2.0, None, 6.0]
    assert s.length().eval_columns(columns).to_pylist() == [1, None, 2]
    assert s.upper().eval_columns(columns).to_pylist() == ["A", None, "\U0001d538B"]
    assert (x > 1).eval_columns(columns).type == pa.bool_()


def test_eval_columns_keeps_whole_numbers_exact() -> None:
    big = np.array([2**53, 2**53 + 1])
    assert (x == 2**53 + 1).eval_columns({"x": big}).tolist() == [False, True]
    assert Coalesce([x, 0]).eval_columns({"x": big}).tolist() == [2**53, 2**53 + 1]
    huge = np.array([10**30, -(10**30)], dtype=object)
    assert (x > 0).eval_columns({"x": huge}).tolist() == [True, False]
    assert (x > y).eval_columns({"x": big, "y": np.array([2.0**53] * 2)}).tolist() == [False, True]
    assert (x * 2).eval_columns({"x": np.array([10**400, 1], dtype=object)}).tolist() == [None, 2.0]


@pytest.mark.parametrize(
    ("value", "dtype"), [(0, np.int64), (2**63 - 1, np.int64), (2**63, np.object_), (2**64 - 1, np.object_)]
)
def test_eval_columns_keeps_unsigned_numbers_exact(value: int, dtype: Any) -> None:
    unsigned = np.array([value, 1], dtype=np.uint64)
    result = Coalesce([x, 0]).eval_columns({"x": unsigned})
    assert (result.tolist(), result.dtype) == ([value, 1], dtype)
    assert (x > 1).eval_columns({"x": unsigned}).tolist() == [value > 1, False]
    small = np.array([2**32 - 1], dtype=np.uint32)
    assert Coalesce([x, 0]).eval_columns({"x": small}).tolist() == [2**32 - 1]


def test_eval_columns_computes_with_decimals() -> None:
    amounts = pa.array([Decimal("0.10"), Decimal("2.50"), None])
    assert (x >= 0.1).eval_columns({"x": amounts}).to_pylist() == [True, True, None]
    assert (x == Decimal("2.5")).eval_columns({"x": amounts}).to_pylist() == [False, True, None]
    assert (x * 2).eval_columns({"x": amounts}).to_pylist() == [0.2, 5.0, None]
    assert If(x > 1, x, 0).eval_columns({"x": amounts}).to_pylist() == [0, Decimal("2.50"), 0]


@pytest.mark.parametrize(
    ("column", "constant", "expected"),
    [
        (np.array(["2026-02-22T11:00", "2026-02-22T13:00", "NaT"], dtype="datetime64[s]"), NOON, [True, False, None]),
        (np.array(["2026-02-21", "2026-02-22", "NaT"], dtype="datetime64[D]"), date(2026, 2, 22), [True, False, None]),
        (pa.array([datetime(2026, 2, 22, 11, tzinfo=timezone.utc), NOON, None]), NOON, [True, False, None]),
        (pa.array([date(2026, 2, 21), date(2026, 2, 22), None]), date(2026, 2, 22), [True, False, None]),
        (np.array([NOON.replace(hour=11), NOON, None], dtype=object), NOON, [True, False, None]),
        (
            np.array(["2026-02-22T11:00:00Z", "2026-02-22T14:00:00+01:00", None], dtype=object),
            NOON,
            [True, False, None],
        ),
    ],
)
def test_eval_columns_compares_times(column: Any, constant: Any, expected: list[bool | None]) -> None:
    columns = {"x": column}
    assert (x < constant).eval_columns(columns).tolist() == expected


def test_eval_columns_returns_times_in_utc() -> None:
    result = Coalesce([x, NOON]).eval_columns({"x": pa.array([None], pa.timestamp("us", "UTC"))})
    assert result.type == pa.timestamp("us", "UTC")
    assert result.to_pylist() == [NOON]


def test_eval_columns_logic_is_three_valued() -> None:
    f, g = Field("f"), Field("g")
    values = [True, False, None]
    columns = {"f": pa.array([a for a in values for _ in values]), "g": pa.array(values * 3)}
    for expr in (f & g, f | g, ~f, f == g, If(f, g, ~g)):
        rows = [{"f": a, "g": b} for a in values for b in values]
        assert expr.eval_columns(columns).to_pylist() == [expr.eval(row) for row in rows]


def test_eval_columns_of_nothing_but_nulls_and_constants() -> None:
    nothing = {"x": np.array([None, None], dtype=object)}
    for expr in (x + 1, x > 1, x.upper(), Func("max", x, 1), If(x > 1, x, None), Const(None)):
        assert expr.eval_columns(nothing).tolist() == [None, None]
    assert Const("a").eval_columns(nothing).tolist() == ["a", "a"]
    assert x.is_null().eval_columns(nothing).tolist() == [True, True]
    assert len((x + 1).eval_columns({"x": np.array([])})) == 0


@pytest.mark.parametrize(
    ("expr", "column", "message"),
    [
        (x + 1, np.array(["a"]), "expected a column of numbers, found str"),
        (x & True, np.array([1]), "expected a column of bool, found int"),
        (x.upper(), np.array([1.0]), "expected a column of str, found float"),
        (x > "a", np.array([1.0]), "float and str do not compare"),
        (If(x > 1, x, "a"), np.array([1.0]), "columns of float and str"),
        (x + 1, np.zeros((2, 2)), "one dimension"),
        (x + 1, np.array([1 + 2j]), "no expression computes with a column of complex128"),
        (x + 1, np.array([1, "a"], dtype=object), "x: a column of int and str"),
        (x + 1, np.array([object()]), "x: a column of object objects"),
        (x + 1, pa.array([datetime(2026, 1, 1)]), "timestamps without a time zone"),
    ],
)
def test_eval_columns_of_a_wrong_kind_is_refused(expr: Expr, column: Any, message: str) -> None:
    with pytest.raises(ExpressionTypeError, match=message):
        expr.eval_columns({"x": column})


def test_eval_columns_of_different_lengths_is_refused() -> None:
    with pytest.raises(ExpressionTypeError, match=r"different lengths: \{'x': 1, 'y': 2\}"):
        (x + y).eval_columns({"x": np.zeros(1), "y": np.zeros(2)})


FRAME = pd.DataFrame(
    {
        "x": [1.0, None, 3.0],
        "n": pd.array([1, None, 3], dtype="Int64"),
        "s": ["a", None, float("nan")],
        "t": pd.array(["a", pd.NA, "b"], dtype="string"),
        "at": pd.to_datetime(["2026-02-22T10:00:00+01:00", None, "2026-02-23"], utc=True, format="ISO8601"),
        "c": pd.Categorical(["a", "b", None]),
    }
)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (x * Field("n"), [1.0, None, 9.0]),
        (Field("s").upper(), ["A", None, None]),
        (Field("t").concat("!"), ["a!", None, "b!"]),
        (Field("at") < datetime(2026, 2, 23, tzinfo=timezone.utc), [True, None, False]),
        (Field("c") == "a", [True, False, None]),
        (Field("missing").is_null(), [True, True, True]),
    ],
)
def test_eval_columns_of_a_frame_and_of_a_table(expr: Expr, expected: list[Any]) -> None:
    assert expr.eval_columns(FRAME).tolist() == expected
    assert expr.eval_columns({name: FRAME[name] for name in FRAME}).tolist() == expected
    assert expr.eval_columns(pa.Table.from_pandas(FRAME)).to_pylist() == expected


@pytest.mark.parametrize("table", [5, [np.zeros(1)], pd.Series([1.0]), np.zeros(2)])
def test_eval_columns_of_what_has_no_names_is_refused(table: Any) -> None:
    with pytest.raises(ExpressionTypeError, match="expected columns by name, an Arrow table or a DataFrame"):
        (x + 1).eval_columns(table)


def test_eval_columns_of_two_columns_of_one_name_is_refused_where_they_are_read() -> None:
    frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["x", "x", "y"])
    assert Field("y").eval_columns(frame).tolist() == [3.0]
    with pytest.raises(ExpressionTypeError, match="x: a column has one dimension, not 2"):
        Field("x").eval_columns(frame)


def test_decimal_nan_in_a_column_is_null() -> None:
    column = np.array([Decimal("NaN"), Decimal("sNaN"), Decimal("1.5")], dtype=object)
    assert Field("x").is_null().eval_columns({"x": column}).tolist() == [True, True, False]
    assert (Field("x") == Decimal("1.5")).eval_columns({"x": column}).tolist() == [None, None, True]


def test_number_too_large_for_a_double_among_doubles_is_null() -> None:
    column = np.array([10**400, 1.5], dtype=object)
    assert (Field("x") + 1).eval_columns({"x": column}).tolist() == [None, 2.5]


def test_eval_columns_of_whole_numbers_among_decimals_is_exact() -> None:
    mixed = np.array([2**53 + 1, Decimal("1.5"), None], dtype=object)
    assert (Field("x", Decimal) > 2**53).eval_columns({"x": mixed}).tolist() == [True, False, None]
    assert Coalesce([x, Decimal(0)]).eval_columns({"x": mixed}).tolist() == [2**53 + 1, Decimal("1.5"), Decimal(0)]


def test_eval_columns_of_text_that_is_no_date_is_refused_with_the_field() -> None:
    with pytest.raises(ExpressionTypeError, match=r"Field\('day'.*Invalid isoformat string: 'not a day'"):
        (Field("day", date) < date(2026, 1, 1)).eval_columns({"day": np.array(["2026-01-01", "not a day"])})
