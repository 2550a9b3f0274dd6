from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

from server.implied_volatility import implied_volatility
from server.risk_engine import black_scholes

EPSILON = 2.220446049250313e-16
ROWS = 50_000


def test_implied_volatility_returns_what_the_price_was_made_of() -> None:
    """From days to decades, 0.1 % to 500 %, up to six deviations out: as exact as the price itself tells it."""
    source = np.random.default_rng(7)
    spot = np.exp(source.uniform(0, math.log(1000), ROWS))
    years = np.exp(source.uniform(math.log(1e-4), math.log(30), ROWS))
    rate, dividend_yield = source.uniform(-0.02, 0.12, ROWS), source.uniform(0, 0.08, ROWS)
    volatility = np.exp(source.uniform(math.log(1e-3), math.log(5), ROWS))
    deviation = volatility * np.sqrt(years)
    strike = spot * np.exp((rate - dividend_yield) * years + source.uniform(-6, 6, ROWS) * deviation)
    call = source.random(ROWS) < 0.5
    option = black_scholes(call, spot, strike, years, rate, volatility, dividend_yield)

    found = implied_volatility(call, option.price, spot, strike, years, rate, dividend_yield)

    # A price is known to a rounding of its largest term; where that is more than the time value, nothing can be found.
    asset, cash = spot * np.exp(-dividend_yield * years), strike * np.exp(-rate * years)
    d1 = np.log(asset / cash) / deviation + deviation / 2
    out_of_the_money = np.maximum(option.price, asset * ndtr(np.where(call, d1, -d1)))
    largest = np.where(call == (asset > cash), np.maximum(asset, cash), out_of_the_money)
    uncertain = EPSILON * largest / option.vega
    can_be_told = uncertain < 1e-3 * volatility
    assert can_be_told.mean() > 0.95
    error = np.abs(found - volatility)[can_be_told]
    assert np.max(error / (uncertain + EPSILON * volatility)[can_be_told]) < 200
    assert np.median(error / volatility[can_be_told]) < 1e-12


@pytest.mark.parametrize(
    ("call", "price", "why"),
    [
        (True, 4.8, "below its intrinsic value of 4.877"),
        (True, -1.0, "negative"),
        (True, 100.0, "as much as the share"),
        (True, 101.0, "more than the share"),
        (False, 95.2, "more than the discounted strike"),
        (True, math.nan, "not known"),
    ],
)
def test_implied_volatility_of_a_price_that_none_gives_is_nan(call: bool, price: float, why: str) -> None:
    assert math.isnan(implied_volatility(call, price, 100.0, 100.0, 1.0, 0.05)), why


@pytest.mark.parametrize("change", [{"years": 0.0}, {"spot": 0.0}, {"strike": 0.0}, {"spot": math.nan}])
def test_implied_volatility_of_nothing_to_trade_is_nan(change: dict[str, float]) -> None:
    arguments = {"is_call": True, "price": 5.0, "spot": 100.0, "strike": 100.0, "years": 1.0, "rate": 0.05}
    assert math.isnan(implied_volatility(**(arguments | change)))  # type: ignore[arg-type]


def test_implied_volatility_of_the_intrinsic_value_is_zero() -> None:
    intrinsic = 100.0 - 90.0 * math.exp(-0.05)
    assert implied_volatility(True, intrinsic, 100.0, 90.0, 1.0, 0.05) == 0.0
    assert implied_volatility(True, 0.0, 100.0, 120.0, 1.0, 0.05) == 0.0
    assert implied_volatility(False, 0.0, 100.0, 90.0, 1.0, 0.05) == 0.0


@pytest.mark.parametrize("price", [1e-300, 1e-100, 1e-10, 1.0, 50.0, 99.9999999999])
def test_implied_volatility_of_extreme_prices_gives_the_price_back(price: float) -> None:
    found = implied_volatility(True, price, 100.0, 150.0, 1.0, 0.0)
    assert found > 0
    assert black_scholes(True, 100.0, 150.0, 1.0, 0.0, found).price == pytest.approx(price, rel=1e-11)


def test_implied_volatility_exactly_at_the_money_is_found() -> None:
    price = black_scholes(False, 100.0, 100.0, 2.0, 0.0, 0.37).price
    assert implied_volatility(False, price, 100.0, 100.0, 2.0, 0.0) == pytest.approx(0.37, rel=1e-14)


def test_implied_volatility_shapes_follow_numpy() -> None:
    assert implied_volatility(True, [10.0, 11.0], 100.0, 100.0, [[1.0], [2.0]], 0.05).shape == (2, 2)
    assert implied_volatility(True, [], 100.0, 100.0, 1.0, 0.05).shape == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": math.inf}, "price is inf: it must be finite"),
        ({"spot": [100.0, -1.0]}, r"spot\[1\] is -1.0"),
        ({"is_call": "call"}, "is_call must be True"),
    ],
)
def test_implied_volatility_impossible_argument_is_named(change: dict[str, object], message: str) -> None:
    arguments = {"is_call": True, "price": 5.0, "spot": 100.0, "strike": 100.0, "years": 1.0, "rate": 0.05}
    with pytest.raises(ValueError, match=message):
        implied_volatility(**(arguments | change))  # type: ignore[arg-type]
