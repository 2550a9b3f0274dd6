"""Implied volatility of European options, for whole columns.

The time value is that of the option out of the money with the same strike. Divided by the geometric mean of discounted
spot and strike it depends on two numbers only (Jäckel, "By Implication", Wilmott 2006): the log-moneyness x <= 0, and
the deviation s = volatility × √years that is looked for. With h = x/s and t = s/2,

    b(s) = e^(x/2) N(h + t) - e^(-x/2) N(h - t)        db/ds = e^(-(h² + t²)/2) / √(2π)

rises from 0 to e^(x/2), steepest at s² = 2|x|. Below that point ln b is nearly a straight line in 1/s², above it
ln(e^(x/2) - b) is one in s for small and in s² for large s; Newton's method takes a few steps on either, inside a
bracket that shrinks at every step.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, ndtr

from server.risk_engine import BLOCK_ROWS, floats, option_inputs

__all__ = ["implied_volatility"]

Floats: TypeAlias = NDArray[np.float64]

_ROOT_TWO, _ROOT_TWO_PI = math.sqrt(2), math.sqrt(2 * math.pi)
_EPSILON = np.finfo(np.float64).eps
_SMALL_STEP = 1e-9
_MOST_STEPS = 100  # a bracket is halved in each, if nothing better is found


def implied_volatility(
    is_call: ArrayLike,
    price: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
) -> Floats:
    """Return the volatility at which `black_scholes` gives the price.

    A price that no volatility gives is a matter of the market, not of the program, so it is no error: the result is NaN
    where the price lies below the option's discounted intrinsic value, or not below what the option can be worth at
    most (the discounted spot for a call, the discounted strike for a put), where no time or nothing to trade is left,
    and where an argument is NaN. It is 0 where the price is the intrinsic value itself, as exactly as numbers tell.

    Args:
        is_call: True for a call, False for a put.
        price: What the option costs.
        spot: What the underlying costs.
        strike: What the holder pays or gets for it.
        years: The time to expiry.
        rate: Continuously compounded, a year.
        dividend_yield: Continuously compounded, a year.

    Returns:
        An array of the shape that the arguments have together.

    Raises:
        ValueError: An argument is infinite or negative where it cannot be; the message says which and where.

    Example:
        >>> print(f"{implied_volatility(True, 10.45, 100.0, 100.0, 1.0, 0.05):.4f}")
        0.2000
    """
    calls, inputs = option_inputs(is_call, spot, strike, years, rate, 0.0, dividend_yield)
    given = floats("price", price, least=-math.inf)
    shape = np.broadcast_shapes(calls.shape, given.shape, *(column.shape for column in inputs))
    columns = [np.broadcast_to(column, shape).reshape(-1) for column in (calls, given, *inputs)]
    result = np.empty(math.prod(shape))
    with np.errstate(all="ignore"):
        for start in range(0, result.size, BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            result[rows] = _implied(*(column[rows] for column in columns))
    return result.reshape(shape)


def _implied(
    call: NDArray[np.bool_],
    price: Floats,
    spot: Floats,
    strike: Floats,
    years: Floats,
    rate: Floats,
    _: Floats,
    dividend_yield: Floats,
) -> Floats:
    asset, cash = spot * np.exp(-dividend_yield * years), strike * np.exp(-rate * years)
    intrinsic = np.maximum(np.where(call, asset - cash, cash - asset), 0.0)
    most = np.where(call, asset, cash)
    possible = (asset > 0) & (cash > 0) & (years > 0) & (price < most)
    # What rounding alone makes of a price at the bound.
    slack = 4 * _EPSILON * np.maximum(asset, cash)
    worthless = possible & (np.abs(price - intrinsic) <= np.where(intrinsic > 0, slack, 0.0))
    result = np.where(worthless, 0.0, np.nan)
    rows = np.flatnonzero(possible & ~worthless & (price > intrinsic))
    if len(rows):
        scale = np.sqrt(asset[rows]) * np.sqrt(cash[rows])
        moneyness = -np.abs(np.log(asset[rows] / cash[rows]))
        # Of a time value near its bound the distance to the bound is the exact number.
        time_value, room = (price - intrinsic)[rows] / scale, (most - price)[rows] / scale
        result[rows] = _deviation(moneyness, time_value, room) / np.sqrt(years[rows])
    return result


def _deviation(x: Floats, value: Floats, room: Floats) -> Floats:
    """Return s with b(s) = value, and so e^(x/2) - b(s) = room."""
    steepest = np.sqrt(-2 * x)
    low = (x < 0) & (value < _value(x, np.where(x < 0, steepest, 1.0)))
    found = np.empty(len(x))
    found[low] = 1 / np.sqrt(_solve_low(x[low], np.log(value[low]), 1 / steepest[low] ** 2))
    found[~low] = _solve_high(x[~low], np.log(room[~low]), steepest[~low])
    return found


def _bracket(x: Floats, s: Floats) -> Floats:
    """Return b(s) without its factor e^(-(h² + t²)/2) / 2."""
    h, t = x / s, s / 2
    bracket: Floats = erfcx(-(h + t) / _ROOT_TWO) - erfcx(-(h - t) / _ROOT_TWO)
    return bracket


def _value(x: Floats, s: Floats) -> Floats:
    h, t = x / s, s / 2
    value: Floats = np.exp(-(h * h + t * t) / 2) / 2 * _bracket(x, s)
    return value


def _solve_low(x: Floats, target: Floats, least: Floats) -> Floats:
    """Solve ln b = target for u = 1/s², which is at least `least`."""
    # Out of the money an option is worth less than at the money, where b(s) < s / √(2π).
    most = np.maximum(np.exp(-2 * target) / _ROOT_TWO_PI**2, least)
    u = np.clip(-2 * target / x**2, least, most)
    low, high = least.copy(), np.nextafter(most, np.inf)
    rows = np.arange(len(x))
    for _ in range(_MOST_STEPS):
        s, h2 = 1 / np.sqrt(u[rows]), x[rows] ** 2 * u[rows]
        bracket = _bracket(x[rows], s)
        gap = np.log(bracket / 2) - (h2 + s * s / 4) / 2 - target[rows]
        slope = -(s**3) / (bracket * _ROOT_TWO_PI)  # d ln b / du
        rows = _step(u, rows, low, high, gap, gap / slope)
        if not len(rows):
            break
    return u


def _solve_high(x: Floats, target: Floats, least: Floats) -> Floats:
    """Solve ln(e^(x/2) - b) = target for s, which is at least `least`."""
    s = np.maximum(least, 0.5)
    low, high = least.copy(), np.full(len(x), np.inf)
    rows = np.arange(len(x))
    for _ in range(_MOST_STEPS):
        h, t, half = x[rows] / s[rows], s[rows] / 2, x[rows] / 2
        room = np.exp(half) * ndtr(-h - t) + np.exp(-half) * ndtr(h - t)
        gap = np.log(room) - target[rows]
        slope = -np.exp(-(h * h + t * t) / 2) / (_ROOT_TWO_PI * room)
        rows = _step(s, rows, low, high, gap, gap / slope)
        if not len(rows):
            break
    return s


def _step(
    at: Floats, rows: NDArray[np.intp], low: Floats, high: Floats, gap: Floats, newton: Floats
) -> NDArray[np.intp]:
    """Move one step on and return the rows that have not arrived; the function falls: a gap above 0 means further."""
    here = at[rows]
    further = gap > 0
    low[rows[further]] = here[further]
    high[rows[~further]] = here[~further]
    there = here - newton
    inside = (there > low[rows]) & (there < high[rows])
    halved = np.where(np.isinf(high[rows]), 2 * here, (low[rows] + high[rows]) / 2)
    there = np.where(inside, there, halved)
    at[rows] = np.where(gap == 0, here, there)
    # The error after a step of Newton's is about the square of the step.
    arrived = (gap == 0) | (inside & (np.abs(there - here) <= _SMALL_STEP * here))
    arrived |= high[rows] - low[rows] <= 4 * _EPSILON * here
    left: NDArray[np.intp] = rows[~arrived]
    return left
