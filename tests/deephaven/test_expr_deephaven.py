"""Formulas in a Deephaven table give what `eval` gives."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from reactive.expr import Coalesce, Field, Func, If
from reactive.expr.deephaven import to_filter
from reactive.expr.inference import Inference
from tests.property.test_expr_generator import OF_KIND, Expressions, is_stable, random_row, same
from tests.rounds import rounds

if TYPE_CHECKING:
    from deephaven.table import Table

pytestmark = [pytest.mark.deephaven, pytest.mark.fuzz]

BATCH = 500
BATCHES = rounds(4, 40)
ROWS = 40


# By way of Arrow: jpy cuts a character beyond the basic plane down to 16 bits.
ARROW = {
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "str": pa.string(),
    "datetime": pa.timestamp("ns", "UTC"),
}
PARSED = {"decimal": "new java.math.BigDecimal({0})", "date": "java.time.LocalDate.parse({0})"}


def table_of(rows: Sequence[dict[str, Any]]) -> Table:
    """Return rows of the generator's schema as a table, in the column types that the bridge uses."""
    from deephaven import arrow

    columns, formulas = {}, []
    for kind, names in OF_KIND.items():
        for name in names:
            values = [row[name] for row in rows]
            if kind in PARSED:
                values = [None if value is None else str(value) for value in values]
                formulas.append(f"{name} = isNull({name}) ? null : {PARSED[kind].format(name)}")
            columns[name] = pa.array(values, ARROW.get(kind, pa.string()))
    return arrow.to_table(pa.table(columns)).update(formulas)


def values_of(table: Table, kinds: dict[str, str | None]) -> dict[str, list[Any]]:
    """Return columns as Python values, given the kinds that they should have."""
    from deephaven import arrow

    texts = [f"{name} = isNull({name}) ? null : {name}.toString()" for name, kind in kinds.items() if kind in PARSED]
    values = arrow.to_arrow(table.view(list(kinds)).update_view(texts)).to_pydict()
    for name, kind in kinds.items():
        if kind in ("decimal", "date", "datetime"):
            values[name] = [None if value is None else READ[kind](value) for value in values[name]]
    return values


READ: dict[str, Callable[[Any], Any]] = {
    "decimal": Decimal,
    "date": date.fromisoformat,
    "datetime": lambda value: value.to_pydatetime() if hasattr(value, "to_pydatetime") else value,
}


@pytest.mark.parametrize("seed", range(BATCHES))
def test_deephaven_agrees_with_eval(seed: int, deephaven_context: Any) -> None:
    source = random.Random(seed)
    expressions = Expressions(source)
    drawn = {f"E{place}": expressions.draw(4) for place in range(BATCH)}
    rows = [random_row(source) for _ in range(ROWS)]
    table = table_of(rows).update([f"{name} = {expr.to_deephaven()}" for name, expr in drawn.items()])
    results = values_of(table, {name: Inference().kind(expr) for name, expr in drawn.items()})
    for name, expr in drawn.items():
        for row, found in zip(rows, results[name], strict=True):
            expected = expr.eval(row)
            if not same(found, expected) and is_stable(expr, row):
                used = {field: row[field] for field in sorted(expr.fields())}
                pytest.fail(
                    f"seed {seed}: {expr!r} on {used}: expected {expected!r}, found {found!r}\n{expr.to_deephaven()}"
                )


HOSTILE = [
    "it's",
    '"; boom(); "',
    "`tick` = 5",
    "\\u0022",
    "a\\",
    "tab\tnew\nline\r\x01",
    "é\U0001d538",
    "x == y && 'z'",
    "",
]


def test_hostile_strings_are_nothing_but_themselves(deephaven_context: Any) -> None:
    from deephaven import arrow

    formulas = {f"E{place}": Field("s").concat(text) for place, text in enumerate(HOSTILE)}
    formulas |= {f"F{place}": Field("s") == text for place, text in enumerate(HOSTILE)}
    table = arrow.to_table(pa.table({"s": pa.array(["", *HOSTILE])}))
    table = table.update([f"{name} = {expr.to_deephaven()}" for name, expr in formulas.items()])
    found = arrow.to_arrow(table).to_pydict()
    for name, expr in formulas.items():
        assert found[name] == [expr.eval({"s": text}) for text in ["", *HOSTILE]]


def test_formula_takes_int_and_short_columns_where_nothing_is_declared(deephaven_context: Any) -> None:
    from deephaven import arrow, empty_table

    table = empty_table(3).update(["a = i == 1 ? NULL_INT : i * 2147483", "b = (short)(i + 1)", "c = (float)0.5"])
    expr = Field("a") * 1000 * Field("b") / Field("c")
    found = arrow.to_arrow(table.update([f"E = {expr.to_deephaven()}"])).to_pydict()["E"]
    assert found == [0.0, None, 4294966.0 * 1000 * 3 / 0.5]


def test_formulas_take_nan_and_infinity_as_eval_does(deephaven_context: Any) -> None:
    from deephaven import arrow

    rows = {"x": [math.nan, math.inf, -math.inf, 1.0, None, 200.0], "n": [1, 2, 3, 4, None, 2**60]}
    x, n = Field("x", float), Field("n", int)
    expressions = {
        "More": x > 100,
        "Other": x != 5,
        "Same": x == x,
        "Null": x.is_null(),
        "First": Coalesce([x, 7.0]),
        "Chosen": If(x > 0, x, 0.0),
        "Least": Func("min", x, 0),
        "Greatest": Func("max", x, n),
        "Upwards": Func("ceil", x),
        "Whole": Func("round", x),
        "Cents": Func("round", x, 2),
        "Root": Func("sqrt", x),
        "Negative": -x,
        "Absolute": abs(x),
        "Inverse": 1 / x,
        "Rest": 5 % x,
        "Power": 2**x,
        "Zeroth": x**0,
    }
    table = arrow.to_table(pa.table({name: pa.array(values) for name, values in rows.items()}))
    table = table.update([f"{name} = {expr.to_deephaven()}" for name, expr in expressions.items()])
    found = arrow.to_arrow(table).to_pydict()
    for name, expr in expressions.items():
        expected = [expr.eval({"x": x, "n": n}) for x, n in zip(*rows.values(), strict=True)]
        # Infinity has no difference from itself.
        expected = [None, None, None, *expected[3:]] if name == "Same" else expected
        assert repr(found[name]) == repr(expected), name


@pytest.mark.parametrize("field", [Field("x", float), Field("n", int), Field("n"), Field("x")], ids=repr)
def test_formulas_compare_with_whole_numbers_beyond_every_double(field: Field, deephaven_context: Any) -> None:
    from deephaven import arrow

    rows = {"x": [-1.7e308, 0.0, None], "n": [-(2**62), 5, None]}
    conditions = {
        f"C{place}": condition
        for place, condition in enumerate(
            condition
            for number in (10**400, -(10**400), 2**1024 - 1, 2**1023)
            for condition in (
                *(field > number, field >= number, field < number, field <= number),
                *(field == number, field != number),
            )
        )
    }
    table = arrow.to_table(pa.table({name: pa.array(values) for name, values in rows.items()}))
    table = table.update([f"{name} = {condition.to_deephaven()}" for name, condition in conditions.items()])
    found = arrow.to_arrow(table).to_pydict()
    for name, condition in conditions.items():
        assert found[name] == [condition.eval({"x": x, "n": n}) for x, n in zip(*rows.values(), strict=True)], name


def test_condition_filters_a_table(deephaven_context: Any) -> None:
    from deephaven import arrow

    rows = [{"x": 1.0, "s": "AAPL"}, {"x": 3.0, "s": "AAPL"}, {"x": None, "s": "AAPL"}, {"x": 5.0, "s": None}]
    table = arrow.to_table(pa.table({"x": pa.array([row["x"] for row in rows]), "s": [row["s"] for row in rows]}))
    condition = (Field("x") > 2) & (Field("s") == "AAPL")
    assert arrow.to_arrow(table.where(to_filter(condition)))["x"].to_pylist() == [3.0]
