"""European options by Black, Scholes and Merton: price and Greeks for whole columns, and the risk of a portfolio.

With the spot S, the strike K, the time to expiry T in years, the continuously compounded rate r and dividend yield q,
and the volatility v per square root of a year (Hull, "Options, Futures, and Other Derivatives", ch. 17 and 19):

    d1 = (ln(S/K) + (r - q + v²/2) T) / (v √T)        d2 = d1 - v √T
    call = S e^(-qT) N(d1) - K e^(-rT) N(d2)          put = K e^(-rT) N(-d2) - S e^(-qT) N(-d1)

Each Greek is the plain derivative, in the units of the inputs: vega for a volatility that is 1.00 higher, rho for a
rate that is 1.00 higher, theta for one year that passes. `dollar_risk` turns them into a desk's units.

Where the formula divides by zero, a value is its limit. Where there is no finite limit, for an option exactly at the
money with no time or no volatility left, the term that grows without bound is left out: gamma is 0, and theta carries
interest only.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

__all__ = [
    "BLOCK_ROWS",
    "DAYS_A_YEAR",
    "Greeks",
    "Risk",
    "black_scholes",
    "dollar_risk",
    "floats",
    "option_inputs",
    "sum_by",
]

Floats: TypeAlias = NDArray[np.float64]

DAYS_A_YEAR = 365.0
_ROOT_TWO_PI = math.sqrt(2 * math.pi)
# The columns of a block, and what is computed of them, stay in the processor's cache.
BLOCK_ROWS = 4096


class Greeks(NamedTuple):
    """The value of one unit of an option, and its derivatives; arrays of one shape.

    Attributes:
        price: In the currency of the spot.
        delta: By the spot.
        gamma: By the spot, twice.
        vega: By the volatility, for 1.00.
        theta: By the passing of time, for a year; negative where the option loses.
        rho: By the rate, for 1.00.
    """

    price: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats


def black_scholes(
    is_call: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    volatility: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
) -> Greeks:
    """Return price and Greeks of European options.

    Args:
        is_call: True for a call, False for a put.
        spot: What the underlying costs, 0 or more.
        strike: What the holder pays or gets for it, 0 or more.
        years: The time to expiry, 0 or more.
        rate: Continuously compounded, a year: 0.05 is 5 %.
        volatility: Of the logarithmic return over a year, 0 or more: 0.2 is 20 %.
        dividend_yield: Continuously compounded, a year.

    Returns:
        Arrays of the shape that the arguments have together under NumPy's rules; NaN where an argument is NaN.

    Raises:
        ValueError: An argument is infinite or negative where it cannot be, the message says which and where; or the
            shapes do not fit together.

    Example:
        >>> call = black_scholes(True, 100.0, 100.0, 1.0, 0.05, 0.2)
        >>> print(f"{call.price:.4f} {call.delta:.4f} {call.vega / 100:.4f} {call.theta / DAYS_A_YEAR:.4f}")
        10.4506 0.6368 0.3752 -0.0176
    """
    calls, inputs = option_inputs(is_call, spot, strike, years, rate, volatility, dividend_yield)
    shape = np.broadcast_shapes(calls.shape, *(column.shape for column in inputs))
    size = math.prod(shape)
    results = Greeks(*(np.empty(size) for _ in Greeks._fields))
    columns = [_column(column, shape) for column in (calls, *inputs)]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        for start in range(0, size, BLOCK_ROWS):
            rows = slice(start, min(start + BLOCK_ROWS, size))
            block = [column[rows] if column.shape else column for column in columns]
            _fill(Greeks(*(result[rows] for result in results)), *block)
    return Greeks(*(result.reshape(shape) for result in results))


def option_inputs(is_call: ArrayLike, *columns: ArrayLike) -> tuple[NDArray[np.bool_], list[Floats]]:
    """Check the arguments of an option and return them as arrays.

    Args:
        is_call: True for a call, False for a put.
        *columns: Spot, strike, years, rate, volatility and dividend yield.

    Raises:
        ValueError: One of them cannot be; the message says which, where, and what was expected.
    """
    calls = np.asarray(is_call)
    if calls.dtype != np.bool_:
        wrong = [value for value in calls.reshape(-1).tolist() if not isinstance(value, bool)]
        if wrong:
            raise ValueError(f"is_call must be True for a call or False for a put, not {wrong[0]!r}")
        calls = calls.astype(np.bool_)  # an empty list tells no type, nor does an array of objects
    least = {"spot": 0, "strike": 0, "years": 0, "rate": -math.inf, "volatility": 0, "dividend_yield": -math.inf}
    return calls, [floats(name, column, bound) for (name, bound), column in zip(least.items(), columns, strict=True)]


def floats(name: str, given: ArrayLike, least: float) -> Floats:
    """Return an argument as an array of floats.

    Args:
        name: What a message calls it.
        given: A number or an array of numbers, NaN, None or masked for a missing one.
        least: The smallest value allowed.

    Raises:
        ValueError: A value is infinite or too small, or there are other things than numbers.
    """
    try:
        kind = np.asarray(given).dtype
        if kind.kind in "mMSU":  # NumPy makes numbers of days, and of texts that look like some
            raise TypeError(f"it has values of type {kind}")
        masked = np.ma.getmaskarray(given) if isinstance(given, np.ma.MaskedArray) else None
        column = np.asarray(given, dtype=np.float64)
        column = column if masked is None else np.where(masked, np.nan, column)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be a number or an array of numbers: {error}") from None
    if not column.size:
        return column
    # Minimum and maximum skip NaN, which stands for a missing value.
    low, high = np.fmin.reduce(column, axis=None), np.fmax.reduce(column, axis=None)
    if low < least or low == -math.inf or high == math.inf:
        wrong = np.flatnonzero((column < least) | np.isinf(column))[0]
        where = f"{name}[{', '.join(map(str, np.unravel_index(wrong, column.shape)))}]" if column.shape else name
        expected = "finite" if least == -math.inf else "finite and not negative"
        raise ValueError(f"{where} is {column.flat[wrong]}: it must be {expected}")
    return column


def _column(column: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an argument as one value for all rows, or flat with one for each."""
    return column.reshape(()) if column.size == 1 else np.broadcast_to(column, shape).reshape(-1)


def _fill(
    out: Greeks,
    is_call: NDArray[np.bool_],
    spot: Floats,
    strike: Floats,
    years: Floats,
    rate: Floats,
    volatility: Floats,
    dividend_yield: Floats,
) -> None:
    sign = np.where(is_call, 1.0, -1.0)
    carry = np.exp(-dividend_yield * years)
    asset, cash = spot * carry, strike * np.exp(-rate * years)
    root = np.sqrt(years)
    deviation = volatility * root
    ratio = np.log(asset / cash) / deviation
    regular = np.isfinite(ratio).all()
    if not regular:
        ratio = _with_limits(ratio, asset, cash, spot, strike, deviation)
    half = 0.5 * deviation
    d1 = ratio + half
    above = ndtr(sign * d1)
    asset_part, cash_part = sign * (asset * above), sign * (cash * ndtr(sign * (ratio - half)))
    density = np.exp(-0.5 * d1 * d1) / _ROOT_TWO_PI
    spread = asset * density
    decay, curvature = spread * volatility / (2.0 * root), carry * density / spot / deviation
    if not regular:
        decay, curvature = _finite(decay, volatility, root), _finite(curvature, spot, deviation)
    np.maximum(asset_part - cash_part, 0.0, out=out.price)
    np.multiply(sign * carry, above, out=out.delta)
    out.gamma[...] = curvature
    np.multiply(spread, root, out=out.vega)
    np.subtract(dividend_yield * asset_part - rate * cash_part, decay, out=out.theta)
    np.multiply(years, cash_part, out=out.rho)


def _with_limits(ratio: Floats, asset: Floats, cash: Floats, spot: Floats, strike: Floats, deviation: Floats) -> Floats:
    """Return ln(asset / cash) / deviation, its limit where the formula has no value, and NaN where an input is NaN."""
    # Two numbers whose quotient is out of range still have logarithms.
    apart = (np.log(asset) - np.log(cash)) / deviation
    limit = np.where(asset > cash, np.inf, np.where(asset < cash, -np.inf, 0.0))
    # A strike of nothing makes a call the asset itself, whatever that costs.
    limit = np.where(strike == 0, np.inf, np.where(spot == 0, -np.inf, limit))
    known = ~np.isnan(asset + cash + deviation)
    at_limit = np.where(np.isfinite(apart) & (deviation > 0), apart, np.where(known, limit, np.nan))
    return np.where(np.isfinite(ratio) & (deviation > 0), ratio, at_limit)


def _finite(term: Floats, *factors: Floats) -> Floats:
    """Leave a term out where one of its factors is 0."""
    gone = np.zeros(np.shape(term), dtype=np.bool_)
    for factor in factors:
        gone |= factor == 0
    return np.where(gone, 0.0, term)


class Risk(NamedTuple):
    """What positions are worth and how that changes, in one currency, so that it adds up over all of them.

    Attributes:
        market_value: Quantity × multiplier × price × FX rate.
        delta: What the shares would be worth that move like the position: × spot × delta.
        gamma: How much `delta` grows when the spot rises by 1 %: × spot² × gamma / 100.
        theta: The change of the market value over one calendar day.
        vega: For a volatility that is one point (0.01) higher.
        rho: For a rate that is one point (0.01) higher.
    """

    market_value: Floats
    delta: Floats
    gamma: Floats
    theta: Floats
    vega: Floats
    rho: Floats


def dollar_risk(greeks: Greeks, spot: ArrayLike, units: ArrayLike, fx_rate: ArrayLike = 1.0) -> Risk:
    """Return the risk of positions in the currency that the FX rate leads to.

    Args:
        greeks: Of one unit each; a share has price = spot and delta = 1.
        spot: The price of the underlying.
        units: Quantity × multiplier, negative for a short position.
        fx_rate: What one unit of the position's currency costs in the currency wanted.

    Returns:
        One value a position.

    Example:
        >>> call = black_scholes(True, 100.0, 100.0, 1.0, 0.05, 0.2)
        >>> print(f"{dollar_risk(call, 100.0, 1_000).delta:,.2f}")
        63,683.07
    """
    price = np.asarray(spot, dtype=np.float64)
    amount = np.asarray(units, dtype=np.float64) * np.asarray(fx_rate, dtype=np.float64)
    return Risk(
        amount * greeks.price,
        amount * price * greeks.delta,
        amount * price * price * greeks.gamma / 100,
        amount * greeks.theta / DAYS_A_YEAR,
        amount * greeks.vega / 100,
        amount * greeks.rho / 100,
    )


def sum_by(groups: NDArray[np.intp], count: int, risk: Risk) -> Risk:
    """Add up the risk of the positions of each group.

    Args:
        groups: The group of each position, from 0.
        count: How many groups there are.
        risk: One value a position.

    Returns:
        One value a group; 0 for a group without positions.

    Example:
        >>> one = Risk(*(np.array([1.0, 2.0, 4.0]) for _ in Risk._fields))
        >>> sum_by(np.array([0, 0, 2]), 3, one).delta.tolist()
        [3.0, 0.0, 4.0]
    """
    return Risk(*(np.bincount(groups, column, count).astype(np.float64, copy=False) for column in risk))
