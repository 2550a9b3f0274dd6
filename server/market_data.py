"""Market data without a market: correlated random prices, the same for the same seed.

Each price follows a geometric Brownian motion (Hull, "Options, Futures, and Other Derivatives", ch. 14); one common
factor makes the symbols move together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

import numpy as np

__all__ = ["INSTRUMENTS", "Instrument", "MarketSimulator", "PriceStep", "SimulatedMarket"]

_TRADING_YEAR = 252 * 6.5 * 3600  # seconds


class Instrument(NamedTuple):
    """A symbol and how it moves.

    Attributes:
        symbol: Its ticker.
        price: The price to start from, in USD.
        volatility: The standard deviation of its logarithmic return over a year.
    """

    symbol: str
    price: float
    volatility: float


INSTRUMENTS = (
    Instrument("AAPL", 228.0, 0.28),
    Instrument("GOOGL", 192.0, 0.30),
    Instrument("MSFT", 415.0, 0.25),
    Instrument("NVDA", 131.0, 0.50),
    Instrument("TSLA", 352.0, 0.58),
)


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
        correlation: Between the logarithmic returns of any two symbols, 0 to 1.
        drift: The expected return over a year.
        seed: The same seed gives the same prices.

    Raises:
        ValueError: A price or a volatility is not positive, or the correlation is not between 0 and 1.

    Example:
        >>> MarketSimulator(seed=7).prices["AAPL"]
        228.0
    """

    def __init__(
        self,
        instruments: Sequence[Instrument] = INSTRUMENTS,
        *,
        correlation: float = 0.4,
        drift: float = 0.05,
        seed: int | None = None,
    ) -> None:
        if not 0 <= correlation <= 1:
            raise ValueError(f"correlation {correlation} is not between 0 and 1")
        for instrument in instruments:
            if not (instrument.price > 0 and instrument.volatility > 0):
                raise ValueError(f"{instrument}: price and volatility must be positive")
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self._prices = np.array([instrument.price for instrument in instruments], dtype=float)
        self._volatility = np.array([instrument.volatility for instrument in instruments], dtype=float)
        self._common, self._own = math.sqrt(correlation), math.sqrt(1 - correlation)
        self._drift = drift
        self._random = np.random.default_rng(seed)

    @property
    def prices(self) -> dict[str, float]:
        """The current prices by symbol, in USD, rounded to cents."""
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
        years = seconds / _TRADING_YEAR
        common, own = self._random.standard_normal(), self._random.standard_normal(len(self.symbols))
        normal = self._common * common + self._own * own
        growth = (self._drift - self._volatility**2 / 2) * years + self._volatility * math.sqrt(years) * normal
        self._prices *= np.exp(growth)
        return self.prices


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
