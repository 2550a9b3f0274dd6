"""Expressions of the field against independent values: QuantLib's, or what the formula's source prints."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import QuantLib as ql

from reactive.expr import Coalesce, Const, Expr, Field, Func, If, from_json

S, K, R, V, T = (Field(name) for name in ("spot", "strike", "rate", "vol", "years"))
OPTION = {"spot": 102.0, "strike": 100.0, "rate": 0.03, "vol": 0.25, "years": 0.5, "premium": 9.0}
LN10 = math.log(10)


def sqrt(x: Any) -> Expr:
    return Func("sqrt", x)


def log(x: Any) -> Expr:
    return Func("log", x)


def exp(x: Any) -> Expr:
    return Func("exp", x)


def density(x: Expr) -> Expr:
    """The standard normal density."""
    return exp(-x * x / 2) / math.sqrt(2 * math.pi)


def normal(x: Expr) -> Expr:
    """The standard normal distribution, Abramowitz and Stegun 26.2.17: to 7.5e-8."""
    t = Const(1) / (1 + 0.2316419 * abs(x))
    series = 0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))
    tail = density(x) * t * series
    return If(x >= 0, 1 - tail, tail)


D1 = (log(S / K) + (R + V**2 / 2) * T) / (V * sqrt(T))
D2 = D1 - V * sqrt(T)
DISCOUNT = exp(-R * T)
CALL = S * normal(D1) - K * DISCOUNT * normal(D2)
PUT = CALL - S + K * DISCOUNT


def black(kind: int = ql.Option.Call) -> ql.BlackCalculator:
    """QuantLib's Black formula for the option above."""
    discount = math.exp(-OPTION["rate"] * OPTION["years"])
    deviation = OPTION["vol"] * math.sqrt(OPTION["years"])
    payoff = ql.PlainVanillaPayoff(kind, OPTION["strike"])
    return ql.BlackCalculator(payoff, OPTION["spot"] / discount, deviation, discount)


C, Y, N, FACE = (Field(name) for name in ("coupon", "yield", "periods", "face"))
BOND = {"coupon": 0.05, "yield": 0.06, "periods": 10, "face": 100.0, "clean": 92.0}
GROWTH = (1 + Y) ** -N
BOND_PRICE = C * FACE * (1 - GROWTH) / Y + FACE * GROWTH
# The closed form of Macaulay's duration; Fabozzi, Fixed Income Mathematics.
MACAULAY = (1 + Y) / Y - (1 + Y + N * (C - Y)) / (C * ((1 + Y) ** N - 1) + Y)


def bond() -> tuple[ql.FixedRateBond, ql.InterestRate]:
    """QuantLib's bond of ten annual coupons on an issue date, and its yield."""
    issue = ql.Date(15, 1, 2026)
    ql.Settings.instance().evaluationDate = issue
    counter = ql.Thirty360(ql.Thirty360.BondBasis)
    schedule = ql.MakeSchedule(issue, ql.Date(15, 1, 2036), ql.Period(1, ql.Years))
    return (
        ql.FixedRateBond(0, 100.0, schedule, [0.05], counter),
        ql.InterestRate(0.06, counter, ql.Compounded, ql.Annual),
    )


def equivalent(rate: float, compounding: int, frequency: int, to: int, to_frequency: int) -> float:
    """QuantLib's conversion of a rate over one year."""
    given = ql.InterestRate(rate, ql.Actual365Fixed(), compounding, frequency)
    return float(given.equivalentRate(to, to_frequency, 1.0).rate())


POSITION = {"price": 231.5, "cost": 220.0, "quantity": 100, "side": "SELL", "fee": 12.5, "stop": -5000.0, "limit": None}
P, COST, Q = (Field(name) for name in ("price", "cost", "quantity"))
SIGNED = If(Field("side") == "BUY", Q, -Q)
PNL = (P - COST) * SIGNED - Field("fee")

BOOK = {"value": 1e6, "sigma": 0.2, "days": 10.0, "mean": 0.08, "free": 0.02, "z99": ql.InverseCumulativeNormal()(0.99)}
VALUE, SIGMA, DAYS, Z = (Field(name) for name in ("value", "sigma", "days", "z99"))
VAR = VALUE * SIGMA * sqrt(DAYS / 252) * Z

FX = {"EURUSD": 1.0842, "USDJPY": 149.35, "EURJPY": 161.93, "usd": 0.0525, "eur": 0.0375, "years": 0.5, "GBPUSD": None}
EURUSD, USDJPY = Field("EURUSD"), Field("USDJPY")
CROSS = EURUSD * USDJPY

QUOTE = {"bid": 99.98, "ask": 100.02, "bid_size": 300, "ask_size": 100, "last": 100.01, "previous": 98.5}
BID, ASK = Field("bid"), Field("ask")

CASES: dict[str, tuple[Expr, dict[str, Any], Callable[[], Any], float]] = {
    # Options, against QuantLib: 1e-5 and 2e-5 are the error of the distribution, times the spot.
    "d1": (D1, OPTION, lambda: (math.log(1.02) + (0.03 + 0.25**2 / 2) * 0.5) / (0.25 * math.sqrt(0.5)), 1e-14),
    "distribution of d2": (normal(D2), OPTION, lambda: black().itmCashProbability(), 1e-7),
    "distribution of d1": (normal(D1), OPTION, lambda: black().itmAssetProbability(), 1e-7),
    "distribution at -1.96": (normal(Const(-1.96)), {}, lambda: ql.CumulativeNormalDistribution()(-1.96), 1e-7),
    "discount factor": (
        DISCOUNT,
        OPTION,
        lambda: ql.InterestRate(0.03, ql.Actual365Fixed(), ql.Continuous, ql.Annual).discountFactor(0.5),
        1e-14,
    ),
    "call": (CALL, OPTION, lambda: black().value(), 2e-5),
    "put by parity": (PUT, OPTION, lambda: black(ql.Option.Put).value(), 2e-5),
    "call delta": (normal(D1), OPTION, lambda: black().delta(102.0), 1e-6),
    "put delta": (normal(D1) - 1, OPTION, lambda: black(ql.Option.Put).delta(102.0), 1e-6),
    "gamma": (density(D1) / (S * V * sqrt(T)), OPTION, lambda: black().gamma(102.0), 1e-12),
    "vega": (S * density(D1) * sqrt(T), OPTION, lambda: black().vega(0.5), 1e-10),
    "call theta": (
        -S * density(D1) * V / (2 * sqrt(T)) - R * K * DISCOUNT * normal(D2),
        OPTION,
        lambda: black().theta(102.0, 0.5),
        1e-5,
    ),
    "call rho": (K * T * DISCOUNT * normal(D2), OPTION, lambda: black().rho(0.5), 1e-4),
    "strike sensitivity": (-DISCOUNT * normal(D2), OPTION, lambda: black().strikeSensitivity(), 1e-6),
    "elasticity": (normal(D1) * S / CALL, OPTION, lambda: black().elasticity(102.0), 1e-5),
    "Black 76": (
        DISCOUNT
        * (
            S * normal((log(S / K) + V**2 * T / 2) / (V * sqrt(T)))
            - K * normal((log(S / K) - V**2 * T / 2) / (V * sqrt(T)))
        ),
        OPTION,
        lambda: ql.blackFormula(ql.Option.Call, 100.0, 102.0, 0.25 * math.sqrt(0.5), math.exp(-0.015)),
        1e-5,
    ),
    "Bachelier": (
        (S - K) * normal((S - K) / (20 * sqrt(T))) + 20 * sqrt(T) * density((S - K) / (20 * sqrt(T))),
        OPTION,
        lambda: ql.bachelierBlackFormula(ql.Option.Call, 100.0, 102.0, 20 * math.sqrt(0.5), 1.0),
        1e-5,
    ),
    "intrinsic value": (
        If(S > K, S - K, Const(0)),
        OPTION,
        lambda: ql.PlainVanillaPayoff(ql.Option.Call, 100.0)(102.0),
        0,
    ),
    "intrinsic of the put": (
        Func("max", K - S, 0),
        OPTION,
        lambda: ql.PlainVanillaPayoff(ql.Option.Put, 100.0)(102.0),
        0,
    ),
    "time value": (Field("premium") - Func("max", S - K, 0), OPTION, lambda: 9.0 - 2.0, 1e-14),
    "lower bound of a call": (
        Func("max", S - K * DISCOUNT, 0),
        OPTION,
        lambda: 102.0 - 100.0 * math.exp(-0.015),
        1e-12,
    ),
    "digital call": (
        DISCOUNT * normal(D2),
        OPTION,
        lambda: ql.BlackCalculator(
            ql.CashOrNothingPayoff(ql.Option.Call, 100.0, 1.0),
            102.0 * math.exp(0.015),
            0.25 * math.sqrt(0.5),
            math.exp(-0.015),
        ).value(),
        1e-6,
    ),
    # Hull, Options, Futures, and Other Derivatives, example 15.6: S=42, K=40, r=10 %, sigma=20 %, T=0.5: 4.76 and 0.81.
    "Hull's call": (CALL, {"spot": 42, "strike": 40, "rate": 0.1, "vol": 0.2, "years": 0.5}, lambda: 4.76, 5e-3),
    "Hull's put": (PUT, {"spot": 42, "strike": 40, "rate": 0.1, "vol": 0.2, "years": 0.5}, lambda: 0.81, 5e-3),
    # Bonds, against QuantLib's fixed-rate bond.
    "bond price": (BOND_PRICE, BOND, lambda: ql.BondFunctions.cleanPrice(*bond()), 1e-10),
    "Macaulay duration": (MACAULAY, BOND, lambda: ql.BondFunctions.duration(*bond(), ql.Duration.Macaulay), 1e-10),
    "modified duration": (
        MACAULAY / (1 + Y),
        BOND,
        lambda: ql.BondFunctions.duration(*bond(), ql.Duration.Modified),
        1e-10,
    ),
    "basis point value": (
        -MACAULAY / (1 + Y) * BOND_PRICE / 10_000,
        BOND,
        lambda: ql.BondFunctions.basisPointValue(*bond()),
        1e-4,
    ),
    "yield at a price": (
        Y + (BOND_PRICE - Field("clean")) / (MACAULAY / (1 + Y) * BOND_PRICE),
        BOND,
        lambda: ql.BondFunctions.bondYield(
            bond()[0],
            ql.BondPrice(92.0, ql.BondPrice.Clean),
            ql.Thirty360(ql.Thirty360.BondBasis),
            ql.Compounded,
            ql.Annual,
        ),
        1e-4,
    ),
    "current yield": (C * FACE / Field("clean"), BOND, lambda: 5 / 92, 1e-15),
    "price at par": (BOND_PRICE, {**BOND, "yield": 0.05}, lambda: 100.0, 1e-10),
    "zero-coupon yield": (
        (FACE / Field("clean")) ** (Const(1) / N) - 1,
        BOND,
        lambda: ql.InterestRate.impliedRate(100 / 92, ql.Actual365Fixed(), ql.Compounded, ql.Annual, 10.0).rate(),
        1e-12,
    ),
    "zero-coupon convexity": (
        N * (N + 1) / (1 + Y) ** 2,
        BOND,
        lambda: ql.CashFlows.convexity(
            ql.Leg([ql.SimpleCashFlow(100.0, ql.Date(15, 1, 2036))]), bond()[1], False, ql.Date(15, 1, 2026)
        ),
        1e-9,
    ),
    "annual to continuous": (
        log(1 + Field("r")),
        {"r": 0.05},
        lambda: equivalent(0.05, ql.Compounded, ql.Annual, ql.Continuous, ql.Annual),
        1e-12,
    ),
    "continuous to semi-annual": (
        2 * (exp(Field("r") / 2) - 1),
        {"r": 0.05},
        lambda: equivalent(0.05, ql.Continuous, ql.Annual, ql.Compounded, ql.Semiannual),
        1e-12,
    ),
    "simple to quarterly": (
        4 * ((1 + Field("r")) ** 0.25 - 1),
        {"r": 0.05},
        lambda: equivalent(0.05, ql.Simple, ql.Annual, ql.Compounded, ql.Quarterly),
        1e-12,
    ),
    "forward rate": (
        (1 + Field("r2")) ** 2 / (1 + Field("r1")) - 1,
        {"r1": 0.03, "r2": 0.04},
        lambda: 1.04**2 / 1.03 - 1,
        1e-15,
    ),
    "annuity": (
        Field("pv") * Field("r") / (1 - (1 + Field("r")) ** -Field("n")),
        {"pv": 1e5, "r": 0.005, "n": 360},
        lambda: 599.55,
        5e-3,
    ),  # the payment printed in every table of 30-year mortgages at 6 %
    # Profit and loss, and what to do about it.
    "profit of a short": (PNL, POSITION, lambda: (220.0 - 231.5) * 100 - 12.5, 1e-12),
    "profit of a long": (PNL, {**POSITION, "side": "BUY"}, lambda: 1137.5, 1e-12),
    "return": (PNL / (COST * Q), {**POSITION, "side": "BUY"}, lambda: 1137.5 / 22_000, 1e-15),
    "break-even": (COST + Field("fee") / Q, POSITION, lambda: 220.125, 1e-12),
    "stop loss not hit": (If(Field("stop") > PNL, "STOP_LOSS", "OK"), POSITION, lambda: "OK", 0),
    "stop loss hit": (
        If(Field("stop") > PNL, "STOP_LOSS", "OK"),
        {**POSITION, "quantity": 600},
        lambda: "STOP_LOSS",
        0,
    ),
    "alert without a price": (If(Field("stop") > PNL, "STOP_LOSS", "OK"), {**POSITION, "price": None}, lambda: "OK", 0),
    "limit or none": (Coalesce([Field("limit"), COST * Q * 2]), POSITION, lambda: 44_000.0, 0),
    # Risk.
    "z score": (Z, BOOK, lambda: 2.3263478740408408, 1e-9),
    "value at risk": (VAR, BOOK, lambda: 1e6 * 0.2 * math.sqrt(10 / 252) * 2.3263478740408408, 1e-3),
    "expected shortfall": (
        VALUE * SIGMA * sqrt(DAYS / 252) * density(Z) / 0.01,
        BOOK,
        lambda: ql.NormalDistribution()(2.3263478740408408) / 0.01 * 1e6 * 0.2 * math.sqrt(10 / 252),
        1e-3,
    ),
    "Sharpe ratio": ((Field("mean") - Field("free")) / SIGMA, BOOK, lambda: 0.3, 1e-15),
    "Kelly fraction": ((Field("mean") - Field("free")) / SIGMA**2, BOOK, lambda: 1.5, 1e-14),
    "limit breach": ((VAR > 90_000) & (DAYS <= 10), BOOK, lambda: True, 0),
    # Currencies.
    "cross rate": (CROSS, FX, lambda: 1.0842 * 149.35, 1e-12),
    "triangular gap in pips": (Func("round", (Field("EURJPY") - CROSS) * 100, 1), FX, lambda: 0.5, 1e-12),
    "covered forward": (EURUSD * exp((Field("usd") - Field("eur")) * T), FX, lambda: 1.0842 * math.exp(0.0075), 1e-14),
    "fallback to the cross": (Coalesce([Field("GBPUSD"), Field("EURUSD") * 1.15]), FX, lambda: 1.0842 * 1.15, 1e-14),
    "pair": (Func("round", CROSS, 2) > 160, FX, lambda: True, 0),
    # Quotes.
    "mid": ((BID + ASK) / 2, QUOTE, lambda: 100.0, 1e-13),
    "spread in basis points": ((ASK - BID) / ((BID + ASK) / 2) * 10_000, QUOTE, lambda: 4.0, 1e-9),
    "microprice": (
        (BID * Field("ask_size") + ASK * Field("bid_size")) / (Field("bid_size") + Field("ask_size")),
        QUOTE,
        lambda: (99.98 * 100 + 100.02 * 300) / 400,
        1e-12,
    ),
    "log return": (log(Field("last") / Field("previous")), QUOTE, lambda: math.log(100.01 / 98.5), 1e-15),
    "tick rounding": (Func("round", Field("last") / 0.05) * 0.05, QUOTE, lambda: 100.0, 1e-12),
    "odd lot": (Field("bid_size") % 100 == 0, QUOTE, lambda: True, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_finance_expression_agrees_with_the_reference(name: str) -> None:
    expr, row, reference, tolerance = CASES[name]
    expected = reference()
    found = from_json(expr.to_json()).eval(row)
    if isinstance(expected, (str, bool)):
        assert found == expected
    else:
        assert found == pytest.approx(expected, abs=tolerance, rel=0)


@pytest.mark.parametrize("name", CASES)
def test_finance_expression_over_columns_agrees_with_the_reference(name: str) -> None:
    expr, row, reference, tolerance = CASES[name]
    columns = {field: np.array([value, value]) for field, value in row.items() if value is not None}
    columns = columns or {"unused": np.zeros(2)}
    expected = reference()
    for found in expr.eval_columns(columns).tolist():
        if isinstance(expected, (str, bool)):
            assert found == expected
        else:
            assert found == pytest.approx(expected, abs=max(tolerance, 1e-12), rel=0)


def test_finance_expressions_are_at_least_forty() -> None:
    assert len(CASES) >= 40
