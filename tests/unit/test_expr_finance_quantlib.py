"""More expressions of the field, each against what QuantLib computes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import QuantLib as ql

from reactive.expr import Const, Expr, Field, Func, If
from tests.unit import test_expr_finance as finance
from tests.unit.test_expr_finance import D1, D2, DISCOUNT, FX, OPTION, K, R, S, T, V, black, density, exp, normal, sqrt

RATE, YEARS = Field("r"), Field("t")
MONEY = {"r": 0.05, "t": 2.5}
CALL, PUT = ql.Option.Call, ql.Option.Put
D1_FORWARD = (Func("log", S / K) + V**2 * T / 2) / (V * sqrt(T))
DEVIATION = OPTION["vol"] * math.sqrt(OPTION["years"])
NORMAL_DEVIATION = 20 * math.sqrt(OPTION["years"])


def striked(payoff: ql.StrikedTypePayoff) -> float:
    """QuantLib's value of a payoff on the option's forward."""
    discount = math.exp(-OPTION["rate"] * OPTION["years"])
    return float(ql.BlackCalculator(payoff, OPTION["spot"] / discount, DEVIATION, discount).value())


def rate(compounding: int, frequency: int = ql.Annual) -> ql.InterestRate:
    return ql.InterestRate(MONEY["r"], ql.Actual365Fixed(), compounding, frequency)


def zero_curve() -> ql.ZeroCurve:
    today = ql.Date(15, 1, 2026)
    return ql.ZeroCurve([today, today + 365, today + 730], [0.03, 0.03, 0.04], ql.Actual365Fixed())


def accrued() -> float:
    bond, _ = finance.bond()
    return float(ql.BondFunctions.accruedAmount(bond, ql.Date(15, 4, 2026)))


def chained() -> float:
    eurusd = ql.ExchangeRate(ql.EURCurrency(), ql.USDCurrency(), FX["EURUSD"])
    usdjpy = ql.ExchangeRate(ql.USDCurrency(), ql.JPYCurrency(), FX["USDJPY"])
    return float(ql.ExchangeRate.chain(eurusd, usdjpy).rate())


CASES: dict[str, tuple[Expr, dict[str, Any], Callable[[], float], float]] = {
    "density": (density(Field("x")), {"x": 0.5}, lambda: ql.NormalDistribution()(0.5), 1e-15),
    "distribution": (normal(Field("x")), {"x": 1.0}, lambda: ql.CumulativeNormalDistribution()(1.0), 1e-7),
    "put theta": (
        -S * density(D1) * V / (2 * sqrt(T)) + R * K * DISCOUNT * normal(-D2),
        OPTION,
        lambda: black(PUT).theta(102.0, 0.5),
        1e-5,
    ),
    "put rho": (-K * T * DISCOUNT * normal(-D2), OPTION, lambda: black(PUT).rho(0.5), 1e-4),
    "dividend rho": (-T * S * normal(D1), OPTION, lambda: black().dividendRho(0.5), 1e-5),
    "digital put": (
        DISCOUNT * normal(-D2),
        OPTION,
        lambda: striked(ql.CashOrNothingPayoff(PUT, 100.0, 1.0)),
        1e-6,
    ),
    "asset or nothing": (S * normal(D1), OPTION, lambda: striked(ql.AssetOrNothingPayoff(CALL, 100.0)), 1e-5),
    "gap call": (
        S * normal(D1) - 95 * DISCOUNT * normal(D2),
        OPTION,
        lambda: striked(ql.GapPayoff(CALL, 100.0, 95.0)),
        2e-5,
    ),
    "Black 76 put": (
        DISCOUNT * (K * normal(V * sqrt(T) - D1_FORWARD) - S * normal(-D1_FORWARD)),
        OPTION,
        lambda: ql.blackFormula(PUT, 100.0, 102.0, DEVIATION, math.exp(-0.015)),
        1e-5,
    ),
    "Bachelier put": (
        (K - S) * normal((K - S) / (20 * sqrt(T))) + 20 * sqrt(T) * density((S - K) / (20 * sqrt(T))),
        OPTION,
        lambda: ql.bachelierBlackFormula(PUT, 100.0, 102.0, NORMAL_DEVIATION, 1.0),
        1e-5,
    ),
    "digital payoff": (
        If(S > K, 1, 0),
        OPTION,
        lambda: ql.CashOrNothingPayoff(CALL, 100.0, 1.0)(102.0),
        0,
    ),
    "gap payoff": (If(S > K, S - 95, 0), OPTION, lambda: ql.GapPayoff(CALL, 100.0, 95.0)(102.0), 0),
    "growth, compounded twice a year": (
        (1 + RATE / 2) ** (2 * YEARS),
        MONEY,
        lambda: rate(ql.Compounded, ql.Semiannual).compoundFactor(2.5),
        1e-12,
    ),
    "growth, simple": (1 + RATE * YEARS, MONEY, lambda: rate(ql.Simple).compoundFactor(2.5), 1e-12),
    "discount, simple": (1 / (1 + RATE * YEARS), MONEY, lambda: rate(ql.Simple).discountFactor(2.5), 1e-12),
    "effective rate of a monthly one": (
        (1 + RATE / 12) ** 12 - 1,
        MONEY,
        lambda: rate(ql.Compounded, ql.Monthly).equivalentRate(ql.Compounded, ql.Annual, 1.0).rate(),
        1e-12,
    ),
    "rate implied by growth": (
        Func("log", Field("growth")) / YEARS,
        {"growth": 1.2, "t": 2.5},
        lambda: ql.InterestRate.impliedRate(1.2, ql.Actual365Fixed(), ql.Continuous, ql.Annual, 2.5).rate(),
        1e-12,
    ),
    "forward rate of two zero rates": (
        Field("r2") * 2 - Field("r1"),
        {"r1": 0.03, "r2": 0.04},
        lambda: zero_curve().forwardRate(1.0, 2.0, ql.Continuous).rate(),
        1e-12,
    ),
    "discount of a zero rate": (exp(-RATE * 2), {"r": 0.04}, lambda: zero_curve().discount(2.0), 1e-12),
    "accrued interest, 30/360": (
        Field("coupon") * Field("face") * Field("days") / 360,
        {"coupon": 0.05, "face": 100.0, "days": 90},
        accrued,
        1e-12,
    ),
    "money market fraction": (
        Field("days") / 360,
        {"days": 91},
        lambda: ql.Actual360().yearFraction(ql.Date(15, 1, 2026), ql.Date(15, 1, 2026) + 91),
        1e-15,
    ),
    "cross rate": (Field("EURUSD") * Field("USDJPY"), FX, chained, 1e-12),
    "price to the cent": (Func("round", Field("x"), 2), {"x": 101.2367}, lambda: ql.ClosestRounding(2)(101.2367), 0),
    "quantile of a loss": (
        Field("value") * Field("sigma") * Const(ql.InverseCumulativeNormal()(0.975)),
        {"value": 1e6, "sigma": 0.02},
        lambda: 2e4 * ql.InverseCumulativeNormal()(0.975),
        1e-9,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_finance_expression_agrees_with_quantlib(name: str) -> None:
    expr, row, reference, tolerance = CASES[name]
    assert expr.eval(row) == pytest.approx(reference(), abs=tolerance, rel=0)


def test_at_least_forty_expressions_are_checked_against_quantlib() -> None:
    helpers = ("ql.", "black(", "bond(", "equivalent(")
    sources = [inspect.getsource(reference) for _, _, reference, _ in finance.CASES.values()]
    others = sum(any(helper in source for helper in helpers) for source in sources)
    assert len(CASES) + others >= 40
