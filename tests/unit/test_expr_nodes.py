"""Building expressions: operators, what is refused, and what an expression is as a Python object."""

from __future__ import annotations

import copy
import math
import pickle
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from reactive.errors import ExpressionError
from reactive.expr import BinOp, Coalesce, Const, Expr, Field, Func, If, IsNull, StrOp, UnaryOp
from reactive.expr.base import MAX_DEPTH

x = Field("x")


class Side(Enum):
    BUY = "B"


@pytest.mark.parametrize(
    ("built", "text"),
    [
        (x + 1, "BinOp('+', Field('x'), Const(1))"),
        (1 + x, "BinOp('+', Const(1), Field('x'))"),
        (x - 1.5, "BinOp('-', Field('x'), Const(1.5))"),
        (1 - x, "BinOp('-', Const(1), Field('x'))"),
        (x * x, "BinOp('*', Field('x'), Field('x'))"),
        (2 * x, "BinOp('*', Const(2), Field('x'))"),
        (x / 2, "BinOp('/', Field('x'), Const(2))"),
        (2 / x, "BinOp('/', Const(2), Field('x'))"),
        (x % 2, "BinOp('%', Field('x'), Const(2))"),
        (2 % x, "BinOp('%', Const(2), Field('x'))"),
        (x**2, "BinOp('**', Field('x'), Const(2))"),
        (2**x, "BinOp('**', Const(2), Field('x'))"),
        (-x, "UnaryOp('neg', Field('x'))"),
        (+x, "Field('x')"),
        (abs(x), "UnaryOp('abs', Field('x'))"),
        (round(x), "Func('round', Field('x'))"),
        (round(x, 2), "Func('round', Field('x'), Const(2))"),
        (math.floor(x), "Func('floor', Field('x'))"),
        (math.ceil(x), "Func('ceil', Field('x'))"),
        (x > 1, "BinOp('>', Field('x'), Const(1))"),
        (1 > x, "BinOp('<', Field('x'), Const(1))"),  # noqa: SIM300
        (x <= 1, "BinOp('<=', Field('x'), Const(1))"),
        (x == 1, "BinOp('==', Field('x'), Const(1))"),
        (x == None, "IsNull(Field('x'))"),  # noqa: E711
        (x != None, "UnaryOp('not', IsNull(Field('x')))"),  # noqa: E711
        (x != "a", "BinOp('!=', Field('x'), Const('a'))"),
        ((x > 1) & True, "BinOp('&', BinOp('>', Field('x'), Const(1)), Const(True))"),
        (False | (x > 1), "BinOp('|', Const(False), BinOp('>', Field('x'), Const(1)))"),
        (True & x, "BinOp('&', Const(True), Field('x'))"),
        (~x, "UnaryOp('not', Field('x'))"),
        (x.is_null(), "IsNull(Field('x'))"),
        (x.length(), "StrOp('length', Field('x'))"),
        (x.concat("a", x), "StrOp('concat', Field('x'), Const('a'), Field('x'))"),
        (x.contains("a"), "StrOp('contains', Field('x'), Const('a'))"),
        (x.starts_with("a"), "StrOp('starts_with', Field('x'), Const('a'))"),
        (x.upper().lower(), "StrOp('lower', StrOp('upper', Field('x')))"),
        (Func("max", [x, 1]), "Func('max', Field('x'), Const(1))"),
        (Coalesce([x, 1]), "Coalesce(Field('x'), Const(1))"),
        (If(x > 1, "a", "b"), "If(BinOp('>', Field('x'), Const(1)), Const('a'), Const('b'))"),
        (np.float64(2.5) * x, "BinOp('*', Const(2.5), Field('x'))"),
        (x + np.int64(2), "BinOp('+', Field('x'), Const(2))"),
        (Field("x", float | None), "Field('x', 'float', nullable=True)"),
        (Field("x", "int"), "Field('x', 'int')"),
        (Field("x", nullable=False), "Field('x', nullable=False)"),
    ],
)
def test_operators_build_the_node(built: Expr, text: str) -> None:
    assert repr(built) == text


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Side.BUY, "B"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (np.bool_(True), True),
        (np.int32(5), 5),
        (np.datetime64("2026-02-22"), date(2026, 2, 22)),
        (
            datetime(2026, 2, 22, 13, tzinfo=timezone(timedelta(hours=1))),
            datetime(2026, 2, 22, 12, tzinfo=timezone.utc),
        ),
        (date(2026, 2, 22), date(2026, 2, 22)),
        (10**400, 10**400),
        (None, None),
    ],
)
def test_const_keeps_a_plain_value(value: object, kept: object) -> None:
    const = Const(value)
    assert const.value == kept
    assert type(const.value) is type(kept)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "finite, not nan: use None"),
        (float("-inf"), "finite"),
        (Decimal("NaN"), "finite"),
        (datetime(2026, 2, 22, 10), r"write datetime\.datetime\(2026, 2, 22, 10, 0, tzinfo=datetime\.timezone\.utc\)"),
        ("a\0b", "NUL character"),
        ("\ud800", "lone surrogate"),
        ([1], r"not \[1\] \(list\)"),
        (np.array([1.0]), r"not array\(\[1\.\]\) \(ndarray\)"),
        (np.array([1.0, 2.0]), "ndarray"),
        (np.datetime64("2026-02-22T10:00", "ns"), "datetime64"),
        (object, "type"),
        (10**4001, "at most 4,000 digits"),
        (-(10**4200), "at most 4,000 digits"),
        (Decimal("1E-999999999"), "at most 4,000 digits"),
        (Decimal("1E+999999999"), "at most 4,000 digits"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "outside the years 1 to 9999"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "outside the years 1 to 9999"),
    ],
)
def test_const_refuses_what_no_target_can_hold(value: object, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        Const(value)


@pytest.mark.parametrize("name", ["", "a\0b", "\udfff", 5, None])
def test_field_refuses_what_is_no_name(name: Any) -> None:
    with pytest.raises(ExpressionError):
        Field(name)


@pytest.mark.parametrize("kind", [5, "number", ["float"], 1.5])
def test_field_refuses_what_is_no_type(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"is not a (type|kind of value)"):
        Field("x", kind)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BinOp("^", x, x), "no operator '\\^'"),
        (lambda: UnaryOp("negg", x), "did you mean 'neg'"),
        (lambda: Func("sqr", x), "did you mean 'sqrt'"),
        (lambda: Func("abs", x), r"write abs\(x\)"),
        (lambda: Func("sqrt", x, x), "sqrt takes 1 argument, not 2"),
        (lambda: Func("max"), "max takes 1 or more arguments, not 0"),
        (lambda: Func("round", x, 1.5), "from -300 to 300"),
        (lambda: Func("round", x, x), "from -300 to 300"),
        (lambda: StrOp("uper", x), "did you mean 'upper'"),
        (lambda: StrOp("contains", x), "contains takes 2 operands, not 1"),
        (lambda: Coalesce([]), "at least one"),
    ],
)
def test_nodes_refuse_what_they_do_not_know(build: Any, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        build()


def test_expr_has_no_truth_value_and_says_what_to_write() -> None:
    for use in (
        lambda: bool(x > 1),
        lambda: (x > 1) and x,
        lambda: not x,
        lambda: 1 < x < 2,
        lambda: x in [Field("y")],
    ):
        with pytest.raises(TypeError, match=r"use & for and, \| for or, ~ for not"):
            use()


def test_expr_hashes_by_identity() -> None:
    other = Field("x")
    names = {x: "one", other: "other"}
    assert names[x] == "one"
    assert names[other] == "other"


def test_expr_is_immutable() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        x.name = "y"
    with pytest.raises(AttributeError, match="immutable"):
        del x.name
    with pytest.raises(AttributeError, match="did you mean 'is_null'"):
        x.is_nul()  # type: ignore[attr-defined]


def test_equals_compares_structure_names_and_typed_constants() -> None:
    assert ((x + 1) * 2).equals((Field("x") + 1) * 2)
    for other in (x + 1.0, x == 1, x + Decimal(1), x - 1, Field("y") + 1, x, 5, Field("x", float) + 1):
        assert not (x + 1).equals(other)
    assert not Const(0.0).equals(Const(-0.0))


def test_fields_are_those_read_once_each() -> None:
    assert If(x > Field("y"), x, Coalesce([Field("z"), 0])).fields() == {"x", "y", "z"}
    assert Const(1).fields() == frozenset()


def test_substitute_replaces_fields_everywhere() -> None:
    expr = (Field("pnl") < 0) | Field("pnl").is_null()
    assert expr.substitute({"pnl": x - 1}).equals(((x - 1) < 0) | (x - 1).is_null())
    assert expr.substitute({}) is expr


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy])
def test_copy_of_an_immutable_is_itself(clone: Any) -> None:
    expr = x + 1
    assert clone(expr) is expr


def test_pickle_keeps_the_structure() -> None:
    expr = If(Field.of({"at": datetime}, "at") > datetime(2026, 2, 22, tzinfo=timezone.utc), Const(Decimal("1.50")), x)
    assert pickle.loads(pickle.dumps(expr)).equals(expr)


def test_expr_deeper_than_the_limit_is_refused_when_it_is_built() -> None:
    expr: Expr = x
    for _ in range(MAX_DEPTH - 1):
        expr = expr + 1
    assert expr.eval({"x": 1.0}) == MAX_DEPTH
    with pytest.raises(ExpressionError, match="more than 100 levels"):
        expr + 1


def test_expr_larger_than_the_limit_is_refused_when_it_is_built() -> None:
    expr: Expr = x
    with pytest.raises(ExpressionError, match="more than 100,000 nodes"):
        for _ in range(20):
            expr = expr + expr


@pytest.mark.parametrize("levels", [11, 12, 13, 24, (MAX_DEPTH - 1) // 2])
def test_every_target_takes_the_deepest_expression(levels: int) -> None:
    nested: Expr = x
    for level in range(levels):
        nested = abs(nested - level)
    assert nested.eval({"x": 50.0}) is not None
    for text in (nested.to_sql(), nested.to_pure(), nested.to_json(), repr(nested)):
        assert text.count("(") == text.count(")")
    assert len(nested.eval_columns({"x": np.array([50.0])})) == 1


def test_chains_of_conditions_agree_with_python_at_any_depth() -> None:
    ladder: Expr = Const(-1)
    for step in reversed(range(MAX_DEPTH - 3)):
        ladder = If(x < step, step, ladder)
    assert [ladder.eval({"x": value}) for value in (-5.0, 0.5, 90.5, 500.0)] == [0, 1, 91, -1]


def test_to_deephaven_refuses_what_it_would_have_to_repeat_without_end() -> None:
    nested: Expr = x
    for _ in range(40):
        nested = nested % 7
    with pytest.raises(ExpressionError, match="make columns of its parts"):
        nested.to_deephaven()


def test_isnull_has_one_operand() -> None:
    assert IsNull(x).operand is x
