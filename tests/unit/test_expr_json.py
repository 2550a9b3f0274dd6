"""JSON: what is written, what comes back, and what is refused with its place."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from reactive.errors import MalformedExpression
from reactive.expr import Coalesce, Const, Expr, Field, Func, If, from_json

x = Field("x")


def test_to_json_is_versioned_and_plain() -> None:
    assert json.loads((x > 100).to_json()) == {
        "version": 1,
        "expr": {
            "node": "BinOp",
            "op": ">",
            "args": [{"node": "Field", "name": "x"}, {"node": "Const", "value": 100}],
        },
    }


@pytest.mark.parametrize(
    "expr",
    [
        Const(1),
        Const(1.0),
        Const(-0.0),
        Const(True),
        Const(None),
        Const(2**70),
        Const(1e300),
        Const("it's \\ \n \U0001d538"),
        Const(Decimal("1.50")),
        Const(date(2026, 2, 22)),
        Const(datetime(2026, 2, 22, 10, 0, 0, 1, tzinfo=timezone.utc)),
        Field("odd 'name'", Decimal | None),
        Field("x", nullable=True),
        If((x > 1) & ~Field("f"), -x, Coalesce([x, Func("round", x, 2), 0])),
        Field("s").concat("a", Field("t")).contains("b").is_null(),
    ],
)
def test_from_json_reads_what_to_json_wrote(expr: Expr) -> None:
    assert from_json(expr.to_json()).equals(expr)
    assert from_json(json.loads(expr.to_json())).equals(expr)
    assert from_json(expr.to_json().encode()).equals(expr)
    assert Expr.from_json(expr.to_json()).equals(expr)


def document(**node: Any) -> dict[str, Any]:
    return {"version": 1, "expr": node}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ({"expr": {}}, "version is missing"),
        ({"version": 2, "expr": {}}, "version 2 is not known here"),
        ({"version": True, "expr": {}}, "version True"),
        ({"version": 1, "expr": {}, "x": 1}, "unknown key 'x'"),
        (document(node="Fild"), r"^expr: no node 'Fild' \(did you mean 'Field'\?\)"),
        (document(node=["Field"]), "no node"),
        (document(node="Expr", args=[]), "no node 'Expr'"),
        (document(node="Field"), "name is missing"),
        (document(node="Field", name=5), "a field's name"),
        (document(node="Field", name="x", type="floot"), "not a kind"),
        (document(node="Field", name="x", type=["float"]), "name of a kind"),
        (document(node="Field", name="x", nullable="yes"), "true or false"),
        (document(node="Field", name="x", args=[]), "unknown key 'args'"),
        (document(node="Const", value=[1]), "a constant without a type"),
        (document(node="Const", type="decimal", value="1.x"), "is not a decimal"),
        (document(node="Const", type="decimal", value=1), "no constant of type"),
        (document(node="Const", type=["decimal"], value="1"), "no constant of type"),
        (document(node="BinOp", op="+" * 10**6, args=[{"node": "Const", "value": 1}] * 2), "^.{1,300}$"),
        (document(node="Field", name="x", **{"k" * 10**6: 1}), "^.{1,300}$"),
        (document(node="Const", type="datetime", value="2026-02-22T10:00:00"), "no time zone"),
        (
            document(node="BinOp", op="+", args=[{"node": "Const", "value": 1}, 5]),
            r"expr\.args\[1\]: expected an object",
        ),
        (document(node="BinOp", op="+", args=[{"node": "Const", "value": 1}]), "argument"),
        (document(node="BinOp", op="__class__", args=[]), "argument|no operator"),
        (document(node="BinOp", op=[], args=[{"node": "Const", "value": 1}] * 2), "no operator"),
        (document(node="If", args={}), "args is a list"),
        (document(node="Func", name="eval", args=[{"node": "Const", "value": 1}]), "no function 'eval'"),
        ('{"version": 1, "expr": {"node": "Const", "value": NaN}}', "NaN is not a number"),
        ('{"version": 1, "expr": {"node": "Const", "value": 1e999}}', "a constant without a type"),
        ("[" * 100_000, "not JSON"),
        ("x" * 30_000_000, "longer than"),
    ],
)
def test_from_json_refuses_what_is_malformed(given: Any, message: str) -> None:
    with pytest.raises(MalformedExpression, match=message):
        from_json(given)


def test_from_json_refuses_what_is_too_deep() -> None:
    deep: dict[str, Any] = {"node": "Field", "name": "f"}
    for _ in range(300):
        deep = {"node": "UnaryOp", "op": "not", "args": [deep]}
    with pytest.raises(MalformedExpression, match="more than 100 levels") as caught:
        from_json({"version": 1, "expr": deep})
    assert caught.value.path.startswith("expr.args[0]")
