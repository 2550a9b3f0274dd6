"""SQL text: the forms, the bound parameters, and what hostile names and strings cannot do."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from reactive.errors import ExpressionError, ExpressionTypeError
from reactive.expr import Coalesce, Const, Expr, Field, Func, If
from reactive.expr.sql import compile_sql, equality_conjuncts, json_column, literal

PNL = (Field("current_price") - Field("avg_cost")) * Field("quantity")


def test_to_sql_arithmetic_prints_as_documented() -> None:
    assert PNL.to_sql("data") == (
        "((data->>'current_price')::float - (data->>'avg_cost')::float) * (data->>'quantity')::float"
    )


def test_to_sql_if_is_a_case() -> None:
    assert If(Field("pnl") < Const(-5000), Const("STOP_LOSS"), Const("OK")).to_sql("data") == (
        "(CASE WHEN ((data->>'pnl')::float < (-5000::float8)) THEN 'STOP_LOSS'::text ELSE 'OK'::text END)"
    )


@pytest.mark.parametrize("column", ["data", "e.data", '"odd name"', 'e."data"'])
def test_to_sql_a_column_name_is_taken_as_it_is(column: str) -> None:
    assert (Field("a") + 1).to_sql(column) == f"({column}->>'a')::float + 1::float8"


@pytest.mark.parametrize("column", ["", "data; DROP TABLE x", "data)", "1data", 'a"b', "data\n--", None, 5])
def test_to_sql_what_is_no_column_name_is_refused(column: Any) -> None:
    with pytest.raises(ExpressionError, match="is not the name of a column"):
        (Field("a") + 1).to_sql(column)


LARGE = 2**60  # no double of its own


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (Const(5), "5::float8"),
        (Const(-5), "(-5::float8)"),
        (Const(0.5), "0.5::float8"),
        (Const(Decimal("0.1")), "0.1::numeric"),
        (Const(LARGE), f"{LARGE}::numeric"),
        (Const(float(LARGE)), "1.152921504606847e+18::float8"),
        (Field("x") > 1e20, "((data->>'x')::float > 1e+20::float8)"),
        (Field("x") > LARGE, f"((data->>'x')::numeric > {LARGE}::numeric)"),
        (Field("x") + LARGE, f"(data->>'x')::float + {LARGE}::float8"),
        (Field("x") + 10**400, "(data->>'x')::float + NULL::float8"),
        (Field("n", int) > 1e20, "((data->>'n')::float > 1e+20::float8)"),
        (Coalesce([Field("n", int), LARGE]), f"COALESCE((data->>'n')::numeric, {LARGE}::numeric)"),
    ],
)
def test_to_sql_numbers_are_doubles_unless_only_exact_ones_will_do(expr: Expr, text: str) -> None:
    assert expr.to_sql("data") == text


TYPED = {
    "n": int,
    "x": float,
    "amount": Decimal,
    "settled": bool,
    "name": str,
    "day": date,
    "at": datetime | None,
}
NOON = datetime(2026, 2, 22, 13, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (Field("day") >= date(2026, 2, 22), "((data->>'day')::date >= '2026-02-22'::date)"),
        (Field("at") < NOON, "((data->>'at')::timestamptz < '2026-02-22T12:00:00.000000+00:00'::timestamptz)"),
        (Field("amount") > Decimal("1.50"), "((data->>'amount')::numeric > 1.50::numeric)"),
        (Field("amount") > 1, "((data->>'amount')::numeric > 1::numeric)"),
        (Field("amount") > 0.1, "((data->>'amount')::float > 0.1::float8)"),
        (Field("n") > 5, "((data->>'n')::float > 5::float8)"),
        (Field("n") > 2**53 + 1, "((data->>'n')::numeric > 9007199254740993::numeric)"),
        (Field("n") == Field("amount"), "((data->>'n')::numeric = (data->>'amount')::numeric)"),
        (Field("settled") & (Field("name") < "M"), "(((data->>'settled')::boolean) AND ((data->>'name') < 'M'::text"
         ' COLLATE "C"))'),
        (Field("at").is_null(), "((data->>'at')::timestamptz IS NULL)"),
    ],
)  # fmt: skip
def test_to_sql_declared_types_compare_as_what_they_are(expr: Expr, text: str) -> None:
    assert expr.to_sql("data", TYPED) == text
    assert expr.bind(TYPED).to_sql("data") == text


def test_compile_sql_binds_constants_and_asks_the_caller_for_columns() -> None:
    def column(name: str, kind: str | None) -> str:
        return name if name in ("state", "tx_time") else json_column("data")(name, kind)

    condition = (Field("state") == "it's") & (Field("tx_time") < NOON) & (Func("max", Field("a%b"), 2) > Decimal("1.5"))
    text, parameters = compile_sql(condition, column, {"tx_time": datetime})
    assert text == (
        "(((state = %s::text) AND (tx_time < %s::timestamptz)) AND ((CASE WHEN (data->>'a%%b')::float IS NULL "
        "THEN NULL ELSE GREATEST((data->>'a%%b')::float, %s::float8) END) > %s::float8))"
    )
    assert parameters == ["it's", NOON, 2.0, 1.5]


def test_compile_sql_a_repeated_operand_repeats_its_parameter() -> None:
    text, parameters = compile_sql(Field("x") ** 2 % 7, json_column("data"))
    assert text.count("%s") == len(parameters)
    assert parameters == [2.0, 2.0, 2.0, 2.0, 7.0]


def test_compile_sql_nested_operations_stay_linear() -> None:
    expr: Expr = Field("x")
    for _ in range(40):
        expr = Func("sqrt", expr % 7)
    assert len(compile_sql(expr, json_column("data"))[0]) < 40 * 250


def test_compile_sql_ill_typed_trees_are_refused_with_the_node() -> None:
    with pytest.raises(ExpressionTypeError, match=r"takes numbers, but Field\('name'\) is str") as caught:
        compile_sql(Field("name") + 1, json_column("data"), TYPED)
    assert repr(caught.value.node) == "BinOp('+', Field('name'), Const(1))"


def test_equality_conjuncts_takes_them_from_the_top_level_only() -> None:
    side = Field("side") == "BUY"
    rest = (Field("price") > 100) & ((Field("a") == 1) | (Field("b") == 2))
    equalities, remaining = equality_conjuncts(side & (rest & (Const(3) == Field("c")) & (Field("side") == "SELL")))
    assert equalities == {"side": "BUY", "c": 3}
    assert remaining is not None
    assert remaining.equals(rest & (Field("side") == "SELL"))


def test_equality_conjuncts_leaves_a_comparison_with_null() -> None:
    condition = (Field("a") == Const(None)) & (Field("a") == Field("b"))
    equalities, remaining = equality_conjuncts(condition)
    assert equalities == {}
    assert remaining is not None
    assert remaining.equals(condition)


def test_equality_conjuncts_of_equalities_alone_leaves_nothing() -> None:
    assert equality_conjuncts((Field("a") == 1) & (Field("b") == "x")) == ({"a": 1, "b": "x"}, None)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("it's", "'it''s'"), ("a\\b", r"E'a\\b'"), ("\\'; DROP TABLE x; --", r"E'\\''; DROP TABLE x; --'"), ("", "''")],
)
def test_literal_quotes_whatever_the_text(text: str, quoted: str) -> None:
    assert literal(text) == quoted


def test_to_sql_a_negated_negative_constant_is_no_comment() -> None:
    assert "--" not in (-Const(-5)).to_sql("data")
    assert "--" not in compile_sql(-(Field("a") - Const(-5)), json_column("data"), parameters=False).text


def test_to_sql_coalesce_takes_the_kind_of_its_known_values() -> None:
    assert Coalesce([Field("a"), Field("b"), 0.5]).to_sql() == (
        "COALESCE((data->>'a')::float, (data->>'b')::float, 0.5::float8)"
    )
