"""Expressions in Python against functions written by hand with the same tests for null."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import sqrt
from typing import Any

from benchmarks.harness import Pair, ratio
from reactive.expr import Expr, Field, Func, If

ROWS = 2000
PNL = (Field("price") - Field("cost")) * Field("quantity")

# What an option position is worth after fees, and less a margin for its risk: 35 nodes.
WORTH = If(
    (Field("spot") > Field("strike")) & (Field("days") > 0),
    (Field("spot") - Field("strike")) * Field("quantity") * Field("multiplier") - Field("fee") * Field("quantity"),
    Field("premium") * Field("quantity") - Field("fee"),
) - Func("max", Field("volatility") * Func("sqrt", Field("days") / 252) * Field("spot"), Field("floor"))


def rows() -> list[dict[str, Any]]:
    """Return rows without nulls, as most are."""
    return [
        {
            "price": 230.0 + place % 17,
            "cost": 220.0,
            "spot": 100.0 + place % 7,
            "strike": 103.0,
            "days": 10.0,
            "quantity": 100.0 + place % 5,
            "multiplier": 10.0,
            "fee": 0.25,
            "premium": 1.5,
            "volatility": 0.2 + place % 3 / 100,
            "floor": 4.2,
        }
        for place in range(ROWS)
    ]


def pnl_by_hand(row: dict[str, Any]) -> float | None:
    price, cost, quantity = row["price"], row["cost"], row["quantity"]
    return None if price is None or cost is None or quantity is None else (price - cost) * quantity


def worth_by_hand(row: dict[str, Any]) -> float | None:
    spot, strike, days, quantity = row["spot"], row["strike"], row["days"], row["quantity"]
    multiplier, fee, premium = row["multiplier"], row["fee"], row["premium"]
    volatility, floor = row["volatility"], row["floor"]
    if spot is not None and strike is not None and days is not None and spot > strike and days > 0:
        if quantity is None or multiplier is None or fee is None:
            return None
        worth = (spot - strike) * quantity * multiplier - fee * quantity
    else:
        if premium is None or quantity is None or fee is None:
            return None
        worth = premium * quantity - fee
    if volatility is None or days is None or spot is None or floor is None or days < 0:
        return None
    return worth - max(volatility * sqrt(days / 252) * spot, floor)  # type: ignore[no-any-return]


def evaluation(expr: Expr, by_hand: Callable[[dict[str, Any]], Any]) -> Iterator[Pair]:
    """Compare an expression with a function, having checked that they agree."""
    table = rows()
    if [expr.eval(row) for row in table] != [by_hand(row) for row in table]:
        raise AssertionError("the function written by hand computes something else")
    evaluate = expr.eval

    def ours() -> None:
        for row in table:
            evaluate(row)

    def raw() -> None:
        for row in table:
            by_hand(row)

    yield Pair(ours, raw, operations=ROWS)


@ratio("expr.eval, 5 nodes", against="a function written by hand, with its tests for null", aim=0.5)
def eval_5_nodes() -> Iterator[Pair]:
    yield from evaluation(PNL, pnl_by_hand)


@ratio("expr.eval, 35 nodes", against="a function written by hand, with its tests for null", aim=0.75)
def eval_35_nodes() -> Iterator[Pair]:
    yield from evaluation(WORTH, worth_by_hand)
