"""Prices and Greeks against QuantLib, against arithmetic with many digits, and at the edges of the formula."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
import QuantLib

from server.risk_engine import DAYS_A_YEAR, Greeks, Risk, black_scholes, dollar_risk, sum_by

OPTIONS = 10_000
INF, NAN = math.inf, math.nan
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628")


def random_options(count: int, deviations: float) -> tuple[np.ndarray, ...]:
    """Options whose strikes lie up to so many standard deviations from the forward."""
    source = np.random.default_rng(20_240)
    spot = np.exp(source.uniform(math.log(0.5), math.log(5000), count))
    years = np.exp(source.uniform(math.log(1 / 365), math.log(10), count))
    rate, dividend_yield = source.uniform(-0.03, 0.15, count), source.uniform(0, 0.1, count)
    volatility = source.uniform(0.02, 1.5, count)
    distance = source.uniform(-deviations, deviations, count) * volatility * np.sqrt(years)
    strike = spot * np.exp((rate - dividend_yield) * years + distance)
    return source.random(count) < 0.5, spot, strike, years, rate, volatility, dividend_yield


def quantlib_greeks(columns: tuple[np.ndarray, ...]) -> Greeks:
    rows = []
    for call, spot, strike, years, rate, volatility, dividend_yield in zip(*(c.tolist() for c in columns), strict=True):
        payoff = QuantLib.PlainVanillaPayoff(QuantLib.Option.Call if call else QuantLib.Option.Put, strike)
        forward = spot * math.exp((rate - dividend_yield) * years)
        option = QuantLib.BlackCalculator(payoff, forward, volatility * math.sqrt(years), math.exp(-rate * years))
        rows.append(
            (
                option.value(),
                option.delta(spot),
                option.gamma(spot),
                option.vega(years),
                option.theta(spot, years),
                option.rho(years),
            )
        )
    return Greeks(*np.array(rows).T)


def test_black_scholes_agrees_with_quantlib_on_ten_thousand_random_options() -> None:
    columns = random_options(OPTIONS, deviations=3.0)
    ours, theirs = black_scholes(*columns), quantlib_greeks(columns)
    for name in Greeks._fields:
        error = np.abs(getattr(ours, name) - getattr(theirs, name))
        if name == "theta":
            # QuantLib takes theta as a difference of terms that are larger: it is compared to the largest of them.
            scale = np.abs(theirs.theta) + np.abs(columns[4] * theirs.price) + theirs.vega * columns[5] / columns[3]
        else:
            scale = np.abs(getattr(theirs, name))
        assert np.max(error / scale) < 1e-9, name


def normal(x: Decimal) -> Decimal:
    """Return the normal distribution to thirty digits: its series, or its continued fraction far out."""
    density = (-x * x / 2).exp() / (2 * PI).sqrt()
    if abs(x) > 8:
        fraction = Decimal(0)
        for term in range(200, 0, -1):
            fraction = term / (abs(x) + fraction)
        tail = density / (abs(x) + fraction)
        return tail if x < 0 else 1 - tail
    term = total = x
    step = 1
    while abs(term) > Decimal(10) ** -60:
        step += 2
        term *= x * x / step
        total += term
    return Decimal("0.5") + density * total


def exact_price(call: bool, spot: float, strike: float, years: float, rate: float, vol: float, q: float) -> float:
    with localcontext() as context:
        context.prec = 70
        s, k, t, r, v, d = (Decimal(number) for number in (spot, strike, years, rate, vol, q))
        deviation = v * t.sqrt()
        d1 = ((s / k).ln() + (r - d) * t) / deviation + deviation / 2
        asset, cash, sign = s * (-d * t).exp(), k * (-r * t).exp(), Decimal(1 if call else -1)
        return float(sign * (asset * normal(sign * d1) - cash * normal(sign * (d1 - deviation))))


def test_black_scholes_far_out_of_the_money_keeps_its_digits() -> None:
    columns = random_options(300, deviations=9.0)
    ours = black_scholes(*columns).price
    exact = [exact_price(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    # What the rounding of d1 alone makes of a price d1 deviations out: some d1² units of the last place.
    np.testing.assert_allclose(ours, exact, rtol=2e-11, atol=0)


def test_black_scholes_call_less_put_is_the_discounted_forward() -> None:
    _, spot, strike, years, rate, volatility, dividend_yield = random_options(1000, deviations=5.0)
    call = black_scholes(True, spot, strike, years, rate, volatility, dividend_yield)
    put = black_scholes(False, spot, strike, years, rate, volatility, dividend_yield)
    asset, cash = spot * np.exp(-dividend_yield * years), strike * np.exp(-rate * years)
    np.testing.assert_allclose(call.price - put.price, asset - cash, atol=1e-13 * np.max(asset + cash))
    np.testing.assert_allclose(call.delta - put.delta, np.exp(-dividend_yield * years), atol=1e-14)
    np.testing.assert_array_equal(call.gamma, put.gamma)
    np.testing.assert_array_equal(call.vega, put.vega)


def test_black_scholes_greeks_are_the_derivatives_of_the_price() -> None:
    point = {"spot": 103.0, "strike": 98.0, "years": 0.8, "rate": 0.04, "volatility": 0.27, "dividend_yield": 0.02}
    greeks = black_scholes(np.array([True, False]), **point)

    def slope(name: str, sign: float = 1.0, step: float = 1e-5) -> np.ndarray:
        up, down = ({**point, name: point[name] + move} for move in (step, -step))
        both = np.array([True, False])
        return sign * (black_scholes(both, **up).price - black_scholes(both, **down).price) / (2 * step)

    np.testing.assert_allclose(greeks.delta, slope("spot"), rtol=1e-8)
    np.testing.assert_allclose(greeks.vega, slope("volatility"), rtol=1e-8)
    np.testing.assert_allclose(greeks.theta, slope("years", -1.0), rtol=1e-7)
    np.testing.assert_allclose(greeks.rho, slope("rate"), rtol=1e-8)


@pytest.mark.parametrize(
    ("call", "spot", "strike", "years", "volatility", "expected"),
    [
        # price, delta, gamma, vega, theta, rho with rate 5 % and dividend yield 2 %
        (True, 100, 90, 0.0, 0.2, (10, 1, 0, 0, 0.02 * 100 - 0.05 * 90, 0)),
        (False, 100, 90, 0.0, 0.2, (0, 0, 0, 0, 0, 0)),
        (True, 100, 100, 0.0, 0.2, (0, 0.5, 0, 0, (0.02 - 0.05) * 50, 0)),
        (False, 100, 100, 0.0, 0.2, (0, -0.5, 0, 0, (0.05 - 0.02) * 50, 0)),
        (False, 0, 100, 1.0, 0.2, (95.1229424500714, -0.980198673306755, 0, 0, 4.75614712250357, -95.1229424500714)),
        (True, 0, 100, 1.0, 0.2, (0, 0, 0, 0, 0, 0)),
        (True, 100, 0, 1.0, 0.2, (98.0198673306755, 0.980198673306755, 0, 0, 1.96039734661351, 0)),
        (False, 100, 0, 1.0, 0.2, (0, 0, 0, 0, 0, 0)),
        (True, 0, 0, 1.0, 0.2, (0, 0.980198673306755, 0, 0, 0, 0)),
        (
            True,
            100,
            90,
            1.0,
            0.0,
            (
                12.4092191256112,
                0.980198673306755,
                0,
                0,
                0.02 * 98.0198673306755 - 0.05 * 85.6106482050643,
                85.6106482050643,
            ),
        ),
        (True, 100, 120, 1.0, 0.0, (0, 0, 0, 0, 0, 0)),
        (True, 100, 100, 1e-320, 0.2, (0, 0.5, None, None, None, 0)),
        (True, 1e300, 1e-300, 1.0, 0.2, (9.80198673306755e299, 0.980198673306755, 0, 0, 1.96039734661351e298, 0)),
        (True, 1e-300, 1e300, 1.0, 0.2, (0, 0, 0, 0, 0, 0)),
        (True, 100, 100, 1.0, 1e200, (98.0198673306755, 0.980198673306755, 0, 0, 1.96039734661351, 0)),
    ],
)
def test_black_scholes_at_an_edge_is_its_limit(
    call: bool, spot: float, strike: float, years: float, volatility: float, expected: tuple[float | None, ...]
) -> None:
    found = black_scholes(call, spot, strike, years, 0.05, volatility, 0.02)
    for name, ours, limit in zip(Greeks._fields, found, expected, strict=True):
        assert math.isfinite(ours), name
        if limit is not None:
            assert ours == pytest.approx(limit, rel=1e-9, abs=1e-12), name


def test_black_scholes_at_the_money_without_volatility_has_the_vega_of_the_limit() -> None:
    still = black_scholes(True, 100.0, 100.0, 1.0, 0.03, 0.0, 0.03)
    moving = black_scholes(True, 100.0, 100.0, 1.0, 0.03, 1e-9, 0.03)
    assert still.vega == pytest.approx(moving.vega)
    assert still.delta == pytest.approx(moving.delta)
    assert still.gamma == 0.0


def test_black_scholes_nan_stays_in_its_row() -> None:
    columns = [np.array([100.0, 100.0]) for _ in range(2)]
    for place in range(6):
        arguments = [100.0, 100.0, 1.0, 0.05, 0.2, 0.01]
        arguments[place] = np.array([NAN, arguments[place]])  # type: ignore[call-overload]
        greeks = black_scholes(True, *arguments)
        known = black_scholes(True, 100.0, 100.0, 1.0, 0.05, 0.2, 0.01)
        assert np.isnan(greeks.price[0])
        assert [column[1] for column in greeks] == [pytest.approx(float(column)) for column in known]
    assert columns


def test_black_scholes_value_that_is_masked_is_a_missing_one() -> None:
    prices = black_scholes(True, np.ma.array([100.0, 100.0], mask=[True, False]), 100.0, 1.0, 0.05, 0.2).price
    assert np.isnan(prices).tolist() == [True, False]


def test_black_scholes_shapes_follow_numpy() -> None:
    surface = black_scholes(True, 100.0, np.array([90.0, 100.0, 110.0]), np.array([[0.5], [1.0]]), 0.05, 0.2)
    assert surface.price.shape == (2, 3)
    assert surface.price[1, 0] == black_scholes(True, 100.0, 90.0, 1.0, 0.05, 0.2).price
    assert black_scholes(True, 100.0, 100.0, 1.0, 0.05, 0.2).price.shape == ()
    assert black_scholes(True, [], 100.0, 1.0, 0.05, 0.2).price.shape == (0,)


def test_black_scholes_many_rows_are_those_of_each_block() -> None:
    columns = random_options(10_001, deviations=3.0)
    together = black_scholes(*columns)
    for row in (0, 4095, 4096, 10_000):
        alone = black_scholes(*(column[row] for column in columns))
        assert [float(column[row]) for column in together] == pytest.approx([float(column) for column in alone])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spot": -1.0}, "spot is -1.0: it must be finite and not negative"),
        ({"strike": [100.0, INF]}, r"strike\[1\] is inf: it must be finite and not negative"),
        ({"years": [[1.0], [-0.5]]}, r"years\[1, 0\] is -0.5"),
        ({"rate": -INF}, "rate is -inf: it must be finite$"),
        ({"volatility": [-0.2]}, r"volatility\[0\] is -0.2"),
        ({"volatility": "high"}, "volatility must be a number or an array of numbers"),
        ({"strike": "100"}, "strike must be a number or an array of numbers: it has values of type <U3"),
        ({"years": np.array(["2026-02-22"], "datetime64[D]")}, "years must be a number or an array of numbers"),
        ({"spot": 10**400}, "spot must be a number or an array of numbers: int too large"),
        ({"is_call": "put"}, "is_call must be True for a call or False for a put, not 'put'"),
        ({"is_call": 1}, "is_call must be True for a call or False for a put, not 1"),
        ({"is_call": [True, None]}, "is_call must be True for a call or False for a put, not None"),
        ({"spot": [1.0, 2.0], "strike": [1.0, 2.0, 3.0]}, "shape mismatch"),
    ],
)
def test_black_scholes_impossible_argument_is_named(change: dict[str, object], message: str) -> None:
    arguments = {"is_call": True, "spot": 100.0, "strike": 100.0, "years": 1.0, "rate": 0.05, "volatility": 0.2}
    with pytest.raises(ValueError, match=message):
        black_scholes(**(arguments | change))  # type: ignore[arg-type]


def test_dollar_risk_adds_up_over_currencies_and_signs() -> None:
    unit = Greeks(*(np.array([value, value]) for value in (10.0, 0.5, 0.02, 40.0, -365.0, 50.0)))
    risk = dollar_risk(unit, np.array([100.0, 200.0]), np.array([300.0, -50.0]), np.array([1.0, 1.1]))
    assert risk.market_value.tolist() == pytest.approx([3000.0, -550.0])
    assert risk.delta.tolist() == pytest.approx([15_000.0, -5_500.0])
    assert risk.gamma.tolist() == pytest.approx([600.0, -440.0])
    assert risk.theta.tolist() == pytest.approx([-300.0, 55.0])
    assert risk.vega.tolist() == pytest.approx([120.0, -22.0])
    assert risk.rho.tolist() == pytest.approx([150.0, -27.5])
    total = sum_by(np.array([1, 1]), 3, risk)
    assert total.market_value.tolist() == pytest.approx([0.0, 2450.0, 0.0])
    assert sum_by(np.array([], dtype=np.intp), 2, Risk(*(np.array([]) for _ in Risk._fields))).rho.tolist() == [
        0.0,
        0.0,
    ]


def test_dollar_risk_theta_is_that_of_a_calendar_day() -> None:
    today = black_scholes(True, 100.0, 100.0, 1.0, 0.05, 0.2)
    tomorrow = black_scholes(True, 100.0, 100.0, 1.0 - 1 / DAYS_A_YEAR, 0.05, 0.2)
    assert dollar_risk(today, 100.0, 1.0).theta == pytest.approx(tomorrow.price - today.price, rel=2e-3)


def test_black_scholes_of_no_options_is_empty() -> None:
    assert [column.shape for column in black_scholes([], [], [], [], [], [])] == [(0,)] * 6
    assert black_scholes(np.array([True, False], dtype=object), 100.0, 100.0, 1.0, 0.05, 0.2).price.shape == (2,)
