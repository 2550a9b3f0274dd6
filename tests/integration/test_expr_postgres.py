"""SQL text run by PostgreSQL: hostile names and strings, bound parameters, and values as they are stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from reactive.expr import Coalesce, Const, Expr, Field, Func, If
from reactive.expr.sql import compile_sql, json_column

if TYPE_CHECKING:
    from store.server import ObjectStoreServer

Compute = Callable[[Expr, dict[str, Any]], Any]
HOSTILE = [
    "it's",
    "'; DROP TABLE probe; --",
    "a\\'b\\",
    "\\",
    '"quoted"',
    "per%cent %s %(x)s %%",
    "new\nline\ttab",
    "$1 $$ :name ?",
    "data->>'x'",
    "é\U0001d538\uffee",
    "/* comment */",
    " ",
]


@pytest.fixture(scope="module")
def cursor(store_server: ObjectStoreServer) -> Iterator[Any]:
    with closing(store_server.admin_conn()) as connection, connection.cursor() as cursor:
        yield cursor
        connection.rollback()


@pytest.fixture(params=["literals", "parameters", "old strings"])
def compute(request: pytest.FixtureRequest, cursor: Any) -> Compute:
    """Run an expression over one row, in each way in which its text can be written and read."""

    def run(expr: Expr, row: dict[str, Any]) -> Any:
        conforming = "off" if request.param == "old strings" else "on"
        cursor.execute(f"SET standard_conforming_strings = {conforming}; SET escape_string_warning = off")
        data = json.dumps(row)
        if request.param == "parameters":
            text, parameters = compile_sql(expr, json_column("data"))
            cursor.execute(f"SELECT {text} FROM (SELECT %s::jsonb AS data) AS row", [*parameters, data])
        else:
            cursor.execute("SELECT set_config('probe.data', %s, false)", [data])
            # Executed without parameters, so that a % in the text is a %.
            cursor.execute(f"SELECT {expr.to_sql()} FROM (SELECT current_setting('probe.data')::jsonb AS data) AS row")
        return cursor.fetchone()[0]

    return run


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_and_strings_are_nothing_but_themselves(compute: Compute, text: str) -> None:
    assert compute(Field(text).concat(text), {text: "x"}) == "x" + text
    assert compute(Field(text) == text, {text: text}) is True
    assert compute(Field("s").contains(text) & Field("s").starts_with(text), {"s": text + "!"}) is True
    assert compute(Field(text) * 2, {text: 2.5}) == 5.0


def test_wildcards_are_characters(compute: Compute) -> None:
    assert compute(Field("s").contains("%"), {"s": "abc"}) is False
    assert compute(Field("s").contains("_b"), {"s": "ab"}) is False


NOON = datetime(2026, 2, 22, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("expr", "row", "expected"),
    [
        (Field("at") == NOON, {"at": "2026-02-22T13:00:00+01:00"}, True),
        (Field("at") < NOON + timedelta(microseconds=1), {"at": NOON.isoformat()}, True),
        (Field("day") < date(2026, 2, 22), {"day": "2026-02-21"}, True),
        (Field("amount") == Decimal("0.1"), {"amount": "0.10"}, True),
        (Field("amount") > Decimal("9007199254740993.1"), {"amount": "9007199254740993.25"}, True),
        (Field("n") == 2**53 + 1, {"n": 2**53}, False),
        (Field("n") == Field("m"), {"n": 1, "m": 1.0}, True),
        (Field("s") == Field("t"), {"s": "a", "t": "a"}, True),
        (Field("s") == Field("t"), {"s": None, "t": None}, None),
        (Field("f") & (Field("x") > 1), {"f": False}, False),
        (If(Field("f"), 1.5, 2.5), {}, 2.5),
        (Coalesce([Field("x") / 0, Field("x")]), {"x": 3}, 3.0),
        (Func("round", Field("x"), 2), {"x": 2.675}, 2.68),
        (Func("exp", Field("x")), {"x": -800}, 0.0),
        (Field("x") ** 0.5, {"x": -1}, None),
        (Field("s").upper(), {"s": "straße"}, "STRASSE"),
        (Field("s").length(), {"s": "\U0001d538x"}, 2),
        (Field("s") < "\U0001d538", {"s": "\uffee"}, True),
        (-Const(-5), {}, 5.0),
        (Field("x").is_null(), {"x": None}, True),
    ],
)
def test_values_as_they_are_stored(compute: Compute, expr: Expr, row: dict[str, Any], expected: Any) -> None:
    assert compute(expr, row) == expected
    assert expr.eval(row) == expected


def test_condition_stands_inside_a_larger_statement(cursor: Any) -> None:
    either = (Field("a") > 1) | (Field("b") > 1)
    both = compile_sql(either, json_column("data")), compile_sql(Field("c") - Field("a"), json_column("data"))
    statement = f"SELECT 2 * {both[1].text} FROM (SELECT %s::jsonb AS data) AS row WHERE {both[0].text} AND false"
    cursor.execute(statement, [*both[1].parameters, json.dumps({"a": 2, "c": 5}), *both[0].parameters])
    assert cursor.fetchall() == []
