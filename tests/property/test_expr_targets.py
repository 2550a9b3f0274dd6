"""One meaning: the generated function, the interpreter, whole columns and PostgreSQL agree on random expressions."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from reactive.expr import BinOp, Coalesce, Const, Expr, Field, Func, If, IsNull, StrOp, UnaryOp, from_json
from reactive.expr.inference import Inference
from reactive.expr.interpret import interpret
from tests.property.test_expr_generator import (
    SCHEMA,
    Expressions,
    is_stable,
    out_of_range,
    random_row,
    same,
)
from tests.rounds import rounds

if TYPE_CHECKING:
    from store.server import ObjectStoreServer

pytestmark = pytest.mark.fuzz

BATCH = 50
BATCHES = rounds(40, 1000)
ROWS = 24


def drawn(seed: int, rows: int = ROWS, *, feed: bool = False) -> tuple[list[Expr], list[dict[str, Any]]]:
    """Return expressions over declared fields; from every fifth seed, over fields of which nothing is declared."""
    source = random.Random(seed)
    if seed % 5:
        expressions = Expressions(source)
        return [expressions.draw() for _ in range(BATCH)], [random_row(source, feed=feed) for _ in range(rows)]
    expressions = Expressions(source, ("float", "int", "bool"))
    bare = (expressions.draw().transform(_bare) for _ in itertools.count())
    # A bare field on its own is text in PostgreSQL, so that a tree of unknown kind has no one value.
    known = (expr for expr in bare if Inference().kind(expr) is not None)
    return list(itertools.islice(known, BATCH)), [random_row(source, feed=feed) for _ in range(rows)]


def _bare(node: Expr) -> Expr:
    return Field(node.name) if isinstance(node, Field) else node


def report(expr: Expr, row: dict[str, Any], expected: Any, found: Any, seed: int) -> str:
    used = {name: row.get(name) for name in sorted(expr.fields())}
    return f"seed {seed}: {expr!r} on {used}: expected {expected!r}, found {found!r}"


@pytest.mark.parametrize("seed", range(BATCHES))
def test_eval_agrees_with_the_interpreter(seed: int) -> None:
    expressions, rows = drawn(seed, feed=seed % 2 == 1)
    for expr in expressions:
        inference = Inference()
        for row in rows:
            expected = interpret(expr, row, inference)
            found = expr.eval(row)
            assert same(found, expected, 0.0), report(expr, row, expected, found, seed)


@pytest.mark.parametrize("seed", range(BATCHES))
def test_json_and_repr_read_back_as_the_same_expression(seed: int) -> None:
    import datetime as datetime_module

    names = {node.__name__: node for node in (BinOp, Coalesce, Const, Field, Func, If, IsNull, StrOp, UnaryOp)}
    for expr in drawn(seed, 0)[0]:
        assert from_json(expr.to_json()).equals(expr)
        assert eval(repr(expr), {**names, "Decimal": Decimal, "datetime": datetime_module}).equals(expr)


def column_of(name: str, rows: list[dict[str, Any]]) -> Any:
    values = [row[name] for row in rows]
    mask = [value is None for value in values]
    annotation = SCHEMA[name]
    fills = {bool: False, int: 0, float: 0.0}
    kind = next(each for each in annotation.__args__ if each is not type(None))
    if kind in fills:
        return np.ma.MaskedArray([fills[kind] if value is None else value for value in values], mask=mask)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def plain(value: Any) -> Any:
    """Return a cell of a masked array as the Python value that it stands for."""
    if value is np.ma.masked:
        return None
    if isinstance(value, np.datetime64):
        value = value.item()
        return value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) else value
    return value.item() if isinstance(value, np.generic) else value


@pytest.mark.parametrize("seed", range(BATCHES))
def test_columns_agree_with_eval(seed: int) -> None:
    expressions, rows = drawn(seed, feed=seed % 2 == 1)
    columns = {name: column_of(name, rows) for name in SCHEMA}
    for expr in expressions:
        result = expr.eval_columns(columns)
        assert len(result) == len(rows)
        for row, cell in zip(rows, result, strict=True):
            expected, found = expr.eval(row), plain(cell)
            if not same(found, expected) and is_stable(expr, row):
                pytest.fail(report(expr, row, expected, found, seed))


@pytest.fixture(scope="module")
def connection(store_server: ObjectStoreServer) -> Iterator[Any]:
    with closing(store_server.admin_conn()) as connection:
        yield connection


def stored(row: dict[str, Any]) -> str:
    """Return a row in the JSON form that the store gives it."""

    def encode(value: Any) -> Any:
        if isinstance(value, Decimal):
            return format(value, "f")
        return value.isoformat() if isinstance(value, date) else value

    return json.dumps({name: encode(value) for name, value in row.items()})


@pytest.mark.parametrize("seed", range(BATCHES))
def test_postgresql_agrees_with_eval(seed: int, connection: Any) -> None:
    from psycopg2.extras import execute_values

    expressions, rows = drawn(seed)
    excluded = [[place for place, row in enumerate(rows) if out_of_range(expr, row)] for expr in expressions]
    comparable = sum(len(rows) - len(places) for places in excluded)
    assert comparable > 0.7 * len(rows) * len(expressions)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS probe (place int, data jsonb) ON COMMIT DELETE ROWS")
        execute_values(cursor, "INSERT INTO probe VALUES %s", [(place, stored(row)) for place, row in enumerate(rows)])
        columns = ", ".join(
            # What overflows in every row may be a constant, which PostgreSQL computes before it looks at any.
            f"CASE WHEN place = ANY(ARRAY{places}::int[]) THEN NULL ELSE {expr.to_sql('data')} END"
            if len(places) < len(rows)
            else "NULL"
            for expr, places in zip(expressions, excluded, strict=True)
        )
        cursor.execute(f"SELECT {columns} FROM probe ORDER BY place")
        results = cursor.fetchall()
    for place, (row, result) in enumerate(zip(rows, results, strict=True)):
        for expr, places, found in zip(expressions, excluded, result, strict=True):
            expected = expr.eval(row)
            if isinstance(found, datetime):
                found = found.astimezone(timezone.utc)
            if place in places or same(found, expected) or not is_stable(expr, row):
                continue
            pytest.fail(report(expr, row, expected, found, seed))
