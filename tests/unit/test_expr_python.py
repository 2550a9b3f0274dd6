"""Evaluation in Python: the rules, row by row, and rows that are not plain dicts of plain numbers."""

from __future__ import annotations

import math
from collections import ChainMap, OrderedDict, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from reactive.errors import ExpressionError, ExpressionTypeError, UnknownFieldError
from reactive.expr import Coalesce, Const, Expr, Field, Func, If
from reactive.expr.python import compile_function, source_of

x, y, f, g, s, t = (Field(name) for name in ("x", "y", "f", "g", "s", "t"))
NOON = datetime(2026, 2, 22, 12, tzinfo=timezone.utc)

RULES: list[tuple[Expr, dict[str, Any], Any]] = [
    (x + y, {"x": 1, "y": 2.5}, 3.5),
    (x + y, {"x": 2**53, "y": 1}, float(2**53)),
    (x + 1, {"x": None}, None),
    (x + 1, {}, None),
    (x * Func("min", y), {"x": 2**53 + 1, "y": 3}, 2.0**53 * 3),
    (x * y, {"x": 1e300, "y": 1e300}, None),
    (x * y - x * y, {"x": 1e300, "y": 1e300}, None),
    (Const(1) / (x * y), {"x": 1e300, "y": 1e300}, None),
    (x * y > 1, {"x": 1e300, "y": 1e300}, None),
    (x + 1, {"x": 10**400}, None),
    (x / y, {"x": 1.0, "y": 0}, None),
    (x / y, {"x": 7, "y": 2}, 3.5),
    (x % y, {"x": -7.0, "y": 3.0}, 2.0),
    (x % y, {"x": 7.0, "y": -3.0}, -2.0),
    (x % 0, {"x": 7.0}, None),
    (x**y, {"x": 2, "y": 10}, 1024.0),
    (x**y, {"x": 0.0, "y": -1.0}, None),
    (x**y, {"x": -8.0, "y": 0.5}, None),
    (x**y, {"x": 0.0, "y": 0.0}, 1.0),
    (x**y, {"x": 10.0, "y": 400.0}, None),
    (-x, {"x": 5}, -5.0),
    (abs(x), {"x": -2.5}, 2.5),
    (x == y, {"x": 1, "y": 1.0}, True),
    (x == y, {"x": None, "y": None}, None),
    (x != 5, {"x": None}, None),
    (x == 2**53 + 1, {"x": 2**53}, False),
    (x > y, {"x": 2**53 + 1, "y": 2**53}, True),
    (s < "a", {"s": "Z"}, True),
    (s < "\U0001d538", {"s": "\uffee"}, True),
    (f & g, {"f": False, "g": None}, False),
    (f & g, {"f": None, "g": False}, False),
    (f & g, {"f": True, "g": None}, None),
    (f | g, {"f": None, "g": True}, True),
    (f | g, {"f": False}, None),
    (~f, {"f": None}, None),
    (~(f & g), {"f": False}, True),
    (If(f, 1, 2), {"f": None}, 2),
    (If(~f, 1, 2), {"f": None}, 2),
    (If(f, x, 0), {"f": True, "x": None}, None),
    (If(s.is_null(), 0, s.length()), {"s": None}, 0),
    (Coalesce([x, y, 7]), {"x": None, "y": 5}, 5),
    (Coalesce([x / 0, x]), {"x": 3.0}, 3.0),
    (Coalesce([x, y]), {}, None),
    (x.is_null(), {"x": 0}, False),
    ((x / 0).is_null(), {"x": 1.0}, True),
    (Const(None).is_null(), {}, True),
    (Func("sqrt", x), {"x": -1.0}, None),
    (Func("log", x), {"x": 0.0}, None),
    (Func("exp", x), {"x": 710.0}, None),
    (Func("exp", x), {"x": -1e9}, 0.0),
    (Func("round", x), {"x": 2.5}, 2.0),
    (Func("round", x), {"x": -0.4}, 0.0),
    (Func("round", x, 2), {"x": 2.675}, 2.68),
    (Func("round", x, 2), {"x": -1.005}, -1.01),
    (Func("round", x, -2), {"x": 150.0}, 200.0),
    (Func("round", x, 300), {"x": 1e308}, 1e308),
    (Func("ceil", x), {"x": -0.5}, 0.0),
    (Func("ceil", x), {"x": 2.0}, 2.0),
    (Func("ceil", x), {"x": 2.1}, 3.0),
    (Func("floor", x), {"x": -0.5}, -1.0),
    (Func("min", x, y, 3), {"x": 5, "y": 4}, 3.0),
    (Func("max", x, y), {"x": 5, "y": None}, None),
    (s.length(), {"s": "\U0001d538x"}, 2),
    (s.upper(), {"s": "straße"}, "STRASSE"),
    (s.lower(), {"s": "ÀB"}, "àb"),
    (s.contains("%"), {"s": "50%"}, True),
    (s.contains("_"), {"s": "ab"}, False),
    (s.starts_with(t), {"s": "abc", "t": ""}, True),
    (s.concat(t, "!"), {"s": "a", "t": "b"}, "ab!"),
    (s.concat(t), {"s": "a"}, None),
    (Field("at") < NOON, {"at": NOON - timedelta(seconds=1)}, True),
    (Field("at") == NOON, {"at": "2026-02-22T13:00:00+01:00"}, True),
    (Field("at") == NOON, {"at": "2026-02-22T12:00:00Z"}, True),
    (Field("day") >= date(2026, 2, 22), {"day": "2026-02-22"}, True),
    (x > Decimal("0.1"), {"x": 0.1}, False),
    (x >= 0.1, {"x": Decimal("0.1")}, True),
    (x == Decimal("1.5"), {"x": "1.50"}, True),
    (x * 2, {"x": Decimal("0.5")}, 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("expr", "row", "expected"), RULES, ids=[repr(expr)[:60] for expr, _, _ in RULES])
def test_eval_follows_the_rule(expr: Expr, row: dict[str, Any], expected: Any) -> None:
    result = expr.eval(row)
    assert result == expected
    assert isinstance(result, bool) is isinstance(expected, bool)
    assert not (isinstance(result, float) and result == 0 and math.copysign(1, result) < 0)


SEVEN = UUID(int=7)


class Side(Enum):
    BUY = "B"


@dataclass
class Order:
    side: Side = Side.BUY
    id: UUID = SEVEN
    price: float = 10.0
    amount: Decimal = Decimal("0.1")

    def notional(self) -> float:
        return self.price


def test_eval_takes_an_objects_attributes() -> None:
    order = Order()
    assert (Field("side") == Side.BUY).eval(order) is True
    assert (Field("id") == SEVEN).eval(order) is True
    assert (Field("price") * 2).eval(order) == 20.0
    assert (Field("amount") >= 0.1).eval(order) is True


def test_eval_of_an_unknown_attribute_names_the_nearest() -> None:
    with pytest.raises(UnknownFieldError, match=r"Order has no field 'pricee' \(did you mean 'price'\?\)") as caught:
        (Field("pricee") * 2).eval(Order())
    assert "notional" not in caught.value.known


@pytest.mark.parametrize("make", [OrderedDict, MappingProxyType, ChainMap, lambda row: defaultdict(float, row)])
def test_eval_takes_any_mapping_and_leaves_it_alone(make: Any) -> None:
    row = make({"x": 2})
    assert (x * 3 + Coalesce([y, 1])).eval(row) == 7.0
    assert list(row) == ["x"]


@pytest.mark.parametrize("value", [np.float64(2), np.int64(2), np.float32(2)])
def test_eval_takes_numpy_scalars(value: Any) -> None:
    assert (x * 3).eval({"x": value}) == 6.0
    assert type((x * 3).eval({"x": value})) is type((-x).eval({"x": value})) is float
    assert (x > 1).eval({"x": value}) is True


@pytest.mark.parametrize("number", [np.float64, np.int64, np.float32])
def test_eval_keeps_the_three_values_of_logic_for_numpy_scalars(number: Any) -> None:
    row = {"x": number(5), "y": number(1), "f": None}
    assert ((x < y) & (y > 0)).eval(row) is False
    assert ((x < y) & f).eval(row) is False
    assert ((x > y) | f).eval(row) is True
    assert (Coalesce([x < y, True]) & (y > 0)).eval(row) is False
    assert (f.is_null() & (x == y)).eval(row) is False
    assert ((x + y / x).is_null() & Const(True)).eval(row) is False
    assert [type(each.eval(row)) for each in (x, If(x > y, x, y), Coalesce([f, x]))] == [type(number(5).item())] * 3


def test_eval_takes_the_digits_of_a_double_for_numpy_scalars() -> None:
    assert (x + 1).eval({"x": np.float32(2**24)}) == 2.0**24 + 1
    assert (x * 10).eval({"x": np.float64(1e308)}) is None


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("expr", "row", "expected"),
    [
        (x, {"x": NAN}, None),
        (x.is_null(), {"x": NAN}, True),
        (x > 1, {"x": NAN}, None),
        (~(x > 1), {"x": NAN}, None),
        (x != 1, {"x": NAN}, None),
        (x == y, {"x": NAN, "y": NAN}, None),
        (x < y, {"x": 1.0, "y": NAN}, None),
        (If(x > 1, 1, 2), {"x": NAN}, 2),
        (If(~(x > 1), 1, 2), {"x": NAN}, 2),
        (If(x != 1, 1, 2), {"x": NAN}, 2),
        (Coalesce([x, 7]), {"x": NAN}, 7),
        (x > Decimal("1.5"), {"x": NAN}, None),
        (x == Decimal("1.5"), {"x": NAN}, None),
        (Field("x", Decimal) > Decimal("1.5"), {"x": Decimal("NaN")}, None),
        (Field("x", Decimal) > Decimal("1.5"), {"x": Decimal("sNaN")}, None),
        (Field("x", Decimal) != Decimal("1.5"), {"x": Decimal("NaN")}, None),
        (Func("sqrt", Field("x", Decimal)), {"x": Decimal("NaN")}, None),
        (x.is_null(), {"x": Decimal("sNaN")}, True),
        (x == Decimal("1.5"), {"x": Decimal("NaN")}, None),
        (Func("max", x, 0), {"x": NAN}, None),
        (Func("min", 0, y, x), {"x": NAN, "y": -1}, None),
        (x**0, {"x": NAN}, None),
        (1 / x, {"x": NAN}, None),
        (Func("floor", x), {"x": NAN}, None),
        (Field("x", float), {"x": NAN}, None),
        (x > 1, {"x": INF}, True),
        (x == y, {"x": INF, "y": INF}, True),
        (1 / x, {"x": INF}, 0.0),
        (Func("max", x, 0), {"x": INF}, None),
        (Func("min", x, 5), {"x": INF}, 5.0),
        (Func("ceil", x), {"x": INF}, None),
        (Func("round", x), {"x": INF}, None),
        (Func("round", x, 2), {"x": INF}, None),
        (Func("round", x, 2).is_null(), {"x": INF}, True),
        (Func("sqrt", x), {"x": INF}, None),
        (Func("exp", x), {"x": -INF}, 0.0),
        (-x, {"x": INF}, None),
        (abs(If(f, x, y)), {"f": True, "x": -INF}, None),
        (x - y, {"x": INF, "y": INF}, None),
    ],
)
def test_nan_in_a_row_is_null_and_what_is_infinite_comes_of_nothing(
    expr: Expr, row: dict[str, Any], expected: Any
) -> None:
    assert expr.eval(row) == expected
    assert type(expr.eval(row)) is type(expected)
    names = sorted(row)
    columns = expr.eval_columns({name: np.array([row[name]]) for name in names})
    assert (None if columns.mask[0] else columns[0]) == expected


def test_eval_of_a_dict_takes_enums_and_tells_true_from_one() -> None:
    class Side(Enum):
        BUY = "B"

    class Level(Enum):
        HIGH = 1

    reference = UUID(int=7)
    assert (x == Side.BUY).eval({"x": Side.BUY}) is True
    assert type(x.eval({"x": Side.BUY})) is str
    assert (x != Side.BUY).eval({"x": Side.BUY}) is False
    assert (x == "S").eval({"x": Side.BUY}) is False
    assert (x == y).eval({"x": Side.BUY, "y": "B"}) is True
    assert (x == str(reference)).eval({"x": reference}) is True
    assert (x < "C").eval({"x": Side.BUY}) is True
    assert (x + 1).eval({"x": Level.HIGH}) == 2.0
    assert (x == Level.HIGH).eval({"x": Level.HIGH}) is True
    assert (x != 1).eval({"x": Level.HIGH}) is False
    assert (x == 2).eval({"x": Level.HIGH}) is False
    assert (x == y).bind({"x": int, "y": int}).eval({"x": Level.HIGH, "y": 1}) is True
    assert If(x == 1, "high", "low").eval({"x": Level.HIGH}) == "high"
    assert (x == Decimal("1.5")).eval({"x": Decimal("1.5")}) is True
    assert (x == y).eval({"x": True, "y": 1}) is False
    assert (x != y).eval({"x": True, "y": 1}) is True
    assert (x == y).eval({"x": 1, "y": 1.0}) is True
    assert (x == y).eval({"x": Decimal("0.1"), "y": 0.1}) is True
    assert (x == y).eval({"x": [1], "y": [1]}) is True


def test_eval_of_a_dict_compares_doubles_with_what_has_more_or_fewer_digits() -> None:
    tenth = np.float32(0.1)
    assert (x == 0.1).eval({"x": tenth}) is False
    assert (x > 0.1).eval({"x": tenth}) is True
    assert (x != y).eval({"x": tenth, "y": 0.1}) is True
    assert If(x > y, 1, 0).eval({"x": tenth, "y": 0.1}) == 1
    assert ((x < y) | (x > y)).eval({"x": Decimal("0.1"), "y": 0.1}) is False
    assert (x <= y).eval({"x": 0.1, "y": Decimal("0.1")}) is True
    assert (x < y).eval({"x": Decimal("0.1"), "y": Decimal("0.2")}) is True
    number, other = Field("x", "int"), Field("y", "int")
    assert (number == other).eval({"x": pd.NA, "y": 1}) is None


@pytest.mark.parametrize("missing", [pd.NA, pd.NaT, np.datetime64("NaT", "us")])
def test_eval_takes_what_pandas_has_for_a_missing_value_as_null(missing: Any) -> None:
    row = {"x": missing, "y": 1}
    for expr in (x, x + 1, x == y, x != y, y == x, x == 1, x > 1, x.upper(), x < NOON, f & (x == 1)):
        assert expr.eval(row) is None
    assert x.is_null().eval(row) is True
    assert Coalesce(x, y).eval(row) == 1
    with pytest.raises(ExpressionError, match="use None for a missing value"):
        x == pd.NA  # noqa: B015


@pytest.mark.parametrize(
    ("expr", "row", "message"),
    [
        (x + y, {"x": "a", "y": 1}, r"Field\('x'\): expected a number, found 'a' \(str\)"),
        (x * 2, {"x": "a"}, "expected a number"),
        (x * y, {"x": 2, "y": "ab"}, "expected a number"),
        (s.length(), {"s": [1, 2]}, "expected a string"),
        (s.upper(), {"s": 5}, "expected a string"),
        (s.contains("a"), {"s": ["a"]}, "expected a string"),
        (s.concat(t), {"s": "a", "t": 5}, "expected a string"),
        (f & True, {"f": 1}, "expected a boolean"),
        (x * 2, {"x": timedelta(1)}, "expected a number, found datetime.timedelta"),
        (-x, {"x": 1j}, "expected a number, found 1j"),
        (x + 1, {"x": np.array([1.0])}, "expected a number, found array"),
        (~f, {"f": 10**5000}, "expected a boolean, found <int without a repr>"),
        (If(f, 1, 2), {"f": "yes"}, "expected a boolean"),
        (x < 5, {"x": "a"}, "expected a number"),
        (x < y, {"x": "a", "y": 5}, "do not compare"),
        (Field("at") < NOON, {"at": "yesterday"}, "expected datetime"),
        (Field("at") < NOON, {"at": datetime(2026, 1, 1)}, "expected datetime"),
        (Field("at") < NOON, {"at": date(2026, 1, 1)}, "expected datetime"),
        (Field("day") < date(2026, 1, 1), {"day": NOON}, "expected date"),
    ],
)
def test_eval_of_a_wrong_kind_names_the_node(expr: Expr, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ExpressionTypeError, match=message) as caught:
        expr.eval(row)
    assert caught.value.node is not None


def test_eval_does_not_look_into_the_branch_not_taken() -> None:
    assert If(f, s.length(), 0).eval({"f": False, "s": 5}) == 0


def test_source_has_nothing_of_the_users_in_it() -> None:
    hostile = "__import__('os').system('x')"
    expr = If(Field(hostile) == hostile, Field(hostile).concat(hostile), hostile)
    assert "import" not in source_of(expr)
    assert expr.eval({hostile: hostile}) == hostile * 2


def test_compiled_functions_of_one_shape_share_their_code() -> None:
    one, other = compile_function(Field("a") * 2.0 > 5), compile_function(Field("b") * 3.0 > 7)
    assert one.__code__ is other.__code__
    assert one({"a": 3.0}) is True
    assert other({"b": 1.0}) is False


@pytest.mark.parametrize("name", ["upper", "__class__", "__dict__", "missing"])
def test_eval_of_an_object_reads_its_data_alone(name: str) -> None:
    @dataclass
    class Holding:
        symbol: str = "AAPL"

        def upper(self) -> str:
            return self.symbol.upper()

    with pytest.raises(UnknownFieldError, match=f"Holding has no field '{name}'.*it has symbol"):
        Field(name).eval(Holding())


def test_threads_that_compile_and_evaluate_at_once_agree() -> None:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    expressions = [(x + place) * y > place for place in range(50)]
    barrier = Barrier(8)

    def run(number: int) -> list[Any]:
        barrier.wait()
        return [expr.eval({"x": float(number), "y": 2.0}) for expr in expressions]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, range(8)))
    assert found == [[(number + place) * 2.0 > place for place in range(50)] for number in range(8)]


def test_whole_number_too_large_for_a_double_is_null_in_arithmetic() -> None:
    assert (x + 10**400).eval({"x": 1.0}) is None
    assert (x > 10**400).eval({"x": 1}) is False


@pytest.mark.parametrize(("one", "other"), [(0.1, Decimal("0.1")), (Decimal("0.1"), 0.1), (1, Decimal(1))])
def test_double_and_decimal_of_which_nothing_is_declared_are_equal_by_their_shortest_form(one: Any, other: Any) -> None:
    assert (x == y).eval({"x": one, "y": other}) is True
    assert (x != y).eval({"x": one, "y": other}) is False


@pytest.mark.parametrize(
    ("expr", "row", "told"),
    [
        (x < y, {"x": [1], "y": 2}, r"\[1\] \(list\) and 2 \(int\) do not compare"),
        (x > y, {"x": "a", "y": 1}, r"'a' \(str\) and 1 \(int\) do not compare"),
        (Field("b", bool) & True, {"b": 1}, r"Field\('b'.*expected a boolean, found 1 \(int\)"),
        (Field("s", str).upper(), {"s": 5}, r"Field\('s'.*expected a string, found 5 \(int\)"),
        (Field("day", date) < date(2026, 1, 1), {"day": "not a day"}, r"Field\('day'.*found 'not a day' \(str\)"),
    ],
    ids=repr,
)
def test_value_of_another_kind_is_refused_with_the_node_and_the_value(expr: Expr, row: Any, told: str) -> None:
    with pytest.raises(ExpressionTypeError, match=told):
        expr.eval(row)
