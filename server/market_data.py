"""Market data without a market: correlated random prices, the same for the same seed.

Each price follows a geometric Brownian motion (Hull, "Options, Futures, and Other Derivatives", ch. 14); a correlation
matrix makes the symbols move together. `MarketSimulator` moves prices when it is told to; `SimulatedTicks` makes of
them an endless stream of quotes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from server.instruments import INSTRUMENTS, Instrument
from server.ticks import Ticks

__all__ = ["INSTRUMENTS", "Instrument", "MarketSimulator", "PriceStep", "SimulatedMarket", "SimulatedTicks"]

Floats: TypeAlias = NDArray[np.float64]

_TRADING_DAY = 6.5 * 3600  # seconds
_TRADING_YEAR = 252 * _TRADING_DAY
_CENT = 0.01
_PRICES = 1e-6, 1e12  # where centuries pass in a second, prices would end at nothing or beyond every number
_MOST_SHARES = 2.0**53
# Random numbers are drawn for about so many ticks at once, whatever is asked for, so that the same seed gives the same
# ticks at any pace.
_BLOCK_TICKS = 32_768


class PriceStep(NamedTuple):
    """All prices of one moment.

    Attributes:
        time: The moment, with a time zone.
        prices: Symbol and price.
    """

    time: datetime
    prices: list[tuple[str, float]]


class MarketSimulator:
    """Prices that move when they are told to.

    Args:
        instruments: What to simulate.
        correlation: Between the logarithmic returns: one number, 0 to 1, for any two symbols, or a matrix with a row
            and a column for each.
        drift: The expected return over a year.
        seed: The same seed gives the same prices.

    Raises:
        ValueError: There is no instrument, a symbol comes twice, a price, volatility or spread is not positive, or the
            correlation is none.

    Example:
        >>> MarketSimulator(seed=7).prices["AAPL"]
        228.0
    """

    def __init__(
        self,
        instruments: Sequence[Instrument] = INSTRUMENTS,
        *,
        correlation: ArrayLike = 0.4,
        drift: float = 0.05,
        seed: int | None = None,
    ) -> None:
        _check_instruments(instruments)
        self.instruments = tuple(instruments)
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self.random = np.random.default_rng(seed)
        self._prices = np.array([instrument.price for instrument in instruments], dtype=float)
        self._volatility = np.array([instrument.volatility for instrument in instruments], dtype=float)
        self._common, self._own = _loadings(np.asarray(correlation, dtype=float), len(instruments))
        self._drift = drift

    @property
    def prices(self) -> dict[str, float]:
        """The current prices by symbol, rounded to cents."""
        return dict(zip(self.symbols, np.round(self._prices, 2).tolist(), strict=True))

    def step(self, seconds: float) -> dict[str, float]:
        """Let market time pass.

        Args:
            seconds: Trading time, of which a year has 252 days of 6.5 hours.

        Returns:
            The new prices by symbol, as in `prices`.

        Example:
            >>> sorted(MarketSimulator(seed=7).step(60.0))
            ['AAPL', 'GOOGL', 'MSFT', 'NVDA', 'TSLA']
        """
        self.run(1, seconds)
        return self.prices

    def run(self, rounds: int, seconds: float) -> Floats:
        """Let market time pass in equal steps.

        Args:
            rounds: How many.
            seconds: The trading time that each takes.

        Returns:
            A row of prices for each step, a column for each symbol; not rounded.
        """
        years = seconds / _TRADING_YEAR
        normal = self.random.standard_normal((rounds, self._common.shape[1])) @ self._common.T
        if self._own:
            normal += self._own * self.random.standard_normal((rounds, len(self.symbols)))
        normal *= self._volatility * math.sqrt(years)
        normal += (self._drift - self._volatility**2 / 2) * years
        with np.errstate(over="ignore"):
            prices: Floats = np.clip(self._prices * np.exp(np.cumsum(normal, axis=0)), *_PRICES)
        self._prices = prices[-1].copy()
        return prices


def _check_instruments(instruments: Sequence[Instrument]) -> None:
    if not instruments:
        raise ValueError("there must be at least one instrument")
    for instrument in instruments:
        if not (instrument.price > 0 and instrument.volatility > 0):
            raise ValueError(f"{instrument}: price and volatility must be positive")
        if not (0 < instrument.spread < 1 and instrument.daily_volume > 0):
            raise ValueError(f"{instrument}: the spread must lie between 0 and 1, and the daily volume be positive")
    symbol, times = Counter(instrument.symbol for instrument in instruments).most_common(1)[0]
    if times > 1:
        raise ValueError(f"the symbol {symbol!r} comes {times} times")


def _loadings(correlation: Floats, count: int) -> tuple[Floats, float]:
    """Return how much each symbol takes of each common factor, and how much each has of its own."""
    if correlation.shape == ():
        if not 0 <= correlation <= 1:
            raise ValueError(f"correlation {correlation} is not between 0 and 1")
        return np.full((count, 1), math.sqrt(correlation)), math.sqrt(1 - correlation)
    if correlation.shape != (count, count):
        raise ValueError(
            f"the correlation matrix must be {count} × {count}, not {' × '.join(map(str, correlation.shape))}"
        )
    if not (np.allclose(correlation, correlation.T) and np.allclose(np.diag(correlation), 1.0)):
        raise ValueError("a correlation matrix is symmetric, with ones on its diagonal")
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < -1e-8 * count:
        raise ValueError(f"these correlations contradict each other: the matrix has the eigenvalue {values[0]:.3g} < 0")
    # What all directions share is each symbol's own; a matrix of a few sectors leaves a few common factors.
    own = max(values[0], 0.0)
    common = values > own + 1e-9
    return vectors[:, common] * np.sqrt(values[common] - own), math.sqrt(own)


class SimulatedMarket:
    """Random prices that go on for ever, one step whenever asked.

    Args:
        simulator: Where they come from.
        step_seconds: The trading time that one step covers.
    """

    def __init__(self, simulator: MarketSimulator, step_seconds: float = 60.0) -> None:
        self._simulator = simulator
        self._step_seconds = step_seconds

    @property
    def steps_per_year(self) -> float:
        """How many steps a trading year has."""
        return _TRADING_YEAR / self._step_seconds

    def advance(self, elapsed: float) -> Iterator[PriceStep]:
        """Yield the prices of one step, however much time has passed."""
        yield PriceStep(datetime.now(timezone.utc), list(self._simulator.step(self._step_seconds).items()))


class SimulatedTicks:
    """An endless stream of quotes: in each round every symbol once, in random order.

    Bid and ask lie on whole cents around the price. Trades come at random, in proportion to the symbol's daily volume.
    Change is against the price that the symbol started from.

    Args:
        simulator: Where the prices come from.
        rate: How many ticks there are in a second.
        speed: How many seconds of trading pass in a second.
        start: The time of the first tick, in nanoseconds since 1970.

    Attributes:
        symbols: All symbols; a tick's `symbol` is a place in them.
        first_prices: Where the prices start, and their last close.
        start: As given.

    Example:
        >>> ticks = SimulatedTicks(MarketSimulator(seed=7), rate=100.0, start=0)
        >>> ticks.take(3).time.tolist()
        [0, 10000000, 20000000]
    """

    def __init__(self, simulator: MarketSimulator, rate: float, *, speed: float = 1.0, start: int) -> None:
        if not (0 < rate < math.inf and 0 < speed < math.inf):
            raise ValueError(f"rate {rate} and speed {speed} must be positive numbers")
        self.symbols = simulator.symbols
        self._simulator = simulator
        self._rate = rate
        self.start = start
        self._round_seconds = speed * len(self.symbols) / rate
        self._rounds = max(1, _BLOCK_TICKS // len(self.symbols))
        self.first_prices = np.array(list(simulator.prices.values()))
        self._half_spread = np.array([instrument.spread / 2 for instrument in simulator.instruments])
        daily = np.array([instrument.daily_volume for instrument in simulator.instruments])
        self._shares_a_round = daily * self._round_seconds / _TRADING_DAY
        self._volume = np.zeros(len(self.symbols))
        self._made = 0
        self._block = self._next_block()
        self._taken = 0

    def begin(self, now: int) -> None:
        """Let the first tick be due now, in nanoseconds since 1970; call it before any tick is taken."""
        self.start = now

    def due(self, elapsed: float) -> int:
        """Return how many ticks there should have been after so many seconds."""
        return int(elapsed * self._rate) + 1

    def time(self, elapsed: float) -> int:
        """Return the time after so many seconds; the simulation runs by the clock on the wall."""
        return self.start + round(elapsed * 1e9)

    def take(self, count: int) -> Ticks:
        """Return the next ticks, as many as asked for or fewer.

        Args:
            count: At least 1.
        """
        if self._taken == len(self._block):
            self._block, self._taken = self._next_block(), 0
        first = self._taken
        self._taken = min(first + count, len(self._block))
        ticks = self._block[first : self._taken]
        return replace(ticks, time=ticks.time + self.start)

    def _next_block(self) -> Ticks:
        symbols, rounds = len(self.symbols), self._rounds
        prices = np.maximum(np.round(self._simulator.run(rounds, self._round_seconds), 2), _CENT)
        random = self._simulator.random
        # Rounded only where it is shown: in a short round less than one share is traded.
        shares = random.standard_exponential((rounds, symbols)) * self._shares_a_round
        volume = np.minimum(self._volume + np.cumsum(shares, axis=0), _MOST_SHARES)
        self._volume = volume[-1].copy()
        order = random.permuted(np.broadcast_to(np.arange(symbols, dtype=np.int32), (rounds, symbols)), axis=1)
        symbol = order.reshape(-1)
        price = np.take_along_axis(prices, order, axis=1).reshape(-1)
        half = np.maximum(price * self._half_spread[symbol], _CENT / 2)
        bid = np.maximum(np.floor((price - half) / _CENT + 1e-6) * _CENT, 0.0)
        ask = np.ceil((price + half) / _CENT - 1e-6) * _CENT
        change = price - self.first_prices[symbol]
        number = np.arange(self._made, self._made + len(symbol))
        self._made += len(symbol)
        return Ticks(
            symbol,
            np.round(number * (1e9 / self._rate)).astype(np.int64),
            price,
            np.round(bid, 2),
            np.round(ask, 2),
            np.rint(np.take_along_axis(volume, order, axis=1).reshape(-1)),
            np.round(change, 2),
            100 * change / self.first_prices[symbol],
        )
