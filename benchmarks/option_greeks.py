"""Options: price and five Greeks for whole columns against one formula in plain NumPy, and a loop over QuantLib."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from scipy.special import ndtr

from benchmarks.harness import Pair, ratio
from server.implied_volatility import implied_volatility
from server.risk_engine import black_scholes

Columns: TypeAlias = tuple[Any, ...]

ROWS, LOOPED = 500_000, 5_000
RATE, DIVIDEND_YIELD = 0.03, 0.01


def options(count: int) -> Columns:
    """Return call or put, spot, strike, years, rate, volatility and dividend yield of random options."""
    source = np.random.default_rng(1)
    spot, years = source.uniform(50, 150, count), source.uniform(0.02, 3, count)
    strike = spot * source.uniform(0.7, 1.4, count)
    return (
        strike > spot * np.exp((RATE - DIVIDEND_YIELD) * years),  # out of the money, as what is quoted mostly is
        spot,
        strike,
        years,
        RATE,
        source.uniform(0.1, 0.8, count),
        DIVIDEND_YIELD,
    )


def plain(call: Any, s: Any, k: Any, t: Any, r: float, v: Any, q: float) -> Columns:
    """Compute the same as a page of a textbook has it, with no thought of edges."""
    root = np.sqrt(t)
    d1 = (np.log(s / k) + (r - q + v * v / 2) * t) / (v * root)
    d2 = d1 - v * root
    sign = np.where(call, 1.0, -1.0)
    asset, cash = s * np.exp(-q * t), k * np.exp(-r * t)
    n1, n2 = ndtr(sign * d1), ndtr(sign * d2)
    density = np.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    return (
        sign * (asset * n1 - cash * n2),
        sign * np.exp(-q * t) * n1,
        np.exp(-q * t) * density / (s * v * root),
        asset * density * root,
        -asset * density * v / (2 * root) - sign * r * cash * n2 + sign * q * asset * n1,
        sign * t * cash * n2,
    )


@ratio("greeks: price and five Greeks of 500k options", against="the formula in plain NumPy", aim=0.8)
def greeks() -> Iterator[Pair]:
    """Edge cases and checks of the arguments included on our side."""
    columns = options(ROWS)
    for ours, theirs in zip(black_scholes(*columns), plain(*columns), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)

    def through_us() -> None:
        black_scholes(*columns)

    def by_hand() -> None:
        plain(*columns)

    yield Pair(ours=through_us, raw=by_hand, operations=ROWS)


@ratio("greeks: price and five Greeks of one option", against="QuantLib, a loop over options", aim=20.0)
def greeks_quantlib() -> Iterator[Pair]:
    """QuantLib's calculator takes one option at a time."""
    import QuantLib

    columns, looped = options(ROWS), options(LOOPED)
    rows = list(zip(*(column.tolist() for column in looped if not isinstance(column, float)), strict=True))

    def through_us() -> None:
        black_scholes(*columns)

    def loop() -> None:
        for call, spot, strike, years, volatility in rows:
            payoff = QuantLib.PlainVanillaPayoff(QuantLib.Option.Call if call else QuantLib.Option.Put, strike)
            forward = spot * math.exp((RATE - DIVIDEND_YIELD) * years)
            option = QuantLib.BlackCalculator(payoff, forward, volatility * math.sqrt(years), math.exp(-RATE * years))
            option.value()
            option.delta(spot)
            option.gamma(spot)
            option.vega(years)
            option.theta(spot, years)
            option.rho(years)

    yield Pair(ours=through_us, raw=loop, operations=ROWS, raw_operations=LOOPED)


@ratio("greeks: implied volatility of one option", against="QuantLib, a loop over options", aim=1.0)
def implied() -> Iterator[Pair]:
    """Both to nine digits or better."""
    import QuantLib

    columns, looped = options(ROWS), options(LOOPED)
    prices = black_scholes(*columns).price
    arguments = (columns[0], prices, *columns[1:5], columns[6])
    few = black_scholes(*looped).price
    rows = list(
        zip(few.tolist(), *(column.tolist() for column in looped if not isinstance(column, float)), strict=True)
    )

    def through_us() -> None:
        implied_volatility(*arguments)

    def loop() -> None:
        for price, call, spot, strike, years, _ in rows:
            kind = QuantLib.Option.Call if call else QuantLib.Option.Put
            forward = spot * math.exp((RATE - DIVIDEND_YIELD) * years)
            QuantLib.blackFormulaImpliedStdDev(
                kind, strike, forward, price, math.exp(-RATE * years), 0.0, QuantLib.nullDouble(), 1e-9, 200
            )

    yield Pair(ours=through_us, raw=loop, operations=ROWS, raw_operations=LOOPED)
