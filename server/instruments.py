"""What is traded in the simulation: symbols, what they cost and how they move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["INSTRUMENTS", "RATES", "UNIVERSE", "USD_PER_UNIT", "Instrument", "sector_correlation", "universe"]


class Instrument(NamedTuple):
    """A symbol and how it moves.

    Attributes:
        symbol: Its ticker.
        price: The price to start from, in its currency.
        volatility: The standard deviation of its logarithmic return over a year.
        currency: ISO 4217.
        sector: Symbols of one sector move together more than others.
        spread: Ask less bid, as a share of the price.
        daily_volume: How many shares change hands in a trading day.
        dividend_yield: Continuously compounded, a year.
    """

    symbol: str
    price: float
    volatility: float
    currency: str = "USD"
    sector: str = "other"
    spread: float = 0.0002
    daily_volume: float = 10e6
    dividend_yield: float = 0.0


INSTRUMENTS = (
    Instrument("AAPL", 228.0, 0.28, "USD", "technology", 0.0001, 48e6, 0.004),
    Instrument("GOOGL", 192.0, 0.30, "USD", "technology", 0.0001, 25e6, 0.004),
    Instrument("MSFT", 415.0, 0.25, "USD", "technology", 0.0001, 21e6, 0.008),
    Instrument("NVDA", 131.0, 0.50, "USD", "technology", 0.0001, 210e6, 0.0003),
    Instrument("TSLA", 352.0, 0.58, "USD", "consumer", 0.0002, 95e6),
)
UNIVERSE = (
    *INSTRUMENTS,
    Instrument("AMZN", 224.0, 0.32, "USD", "consumer", 0.0001, 38e6),
    Instrument("JPM", 243.0, 0.24, "USD", "finance", 0.0002, 9e6, 0.021),
    Instrument("XOM", 107.0, 0.26, "USD", "energy", 0.0002, 15e6, 0.036),
    Instrument("SAP.DE", 247.0, 0.27, "EUR", "technology", 0.0003, 1.6e6, 0.009),
    Instrument("HSBA.L", 7.85, 0.22, "GBP", "finance", 0.0005, 18e6, 0.061),
    Instrument("7203.T", 2850.0, 0.29, "JPY", "consumer", 0.0005, 22e6, 0.029),
    Instrument("KO", 62.0, 0.16, "USD", "consumer", 0.0002, 14e6, 0.031),
    Instrument("PG", 168.0, 0.17, "USD", "consumer", 0.0002, 7e6, 0.024),
    Instrument("V", 316.0, 0.21, "USD", "finance", 0.0001, 6e6, 0.007),
    Instrument("CVX", 147.0, 0.25, "USD", "energy", 0.0002, 8e6, 0.044),
    Instrument("ASML.AS", 690.0, 0.36, "EUR", "technology", 0.0003, 0.7e6, 0.009),
)
# Where the exchange rates of the simulation start.
USD_PER_UNIT = {"USD": 1.0, "EUR": 1.08, "GBP": 1.27, "JPY": 0.0066}
RATES = {"USD": 0.04, "EUR": 0.02, "GBP": 0.04, "JPY": 0.005}  # risk-free, continuously compounded

_SECTORS = ("technology", "finance", "energy", "consumer")


def universe(count: int) -> tuple[Instrument, ...]:
    """Return that many instruments: the known ones first, then made-up ones, always the same.

    Args:
        count: At least 1.

    Example:
        >>> [instrument.symbol for instrument in universe(18)][-3:]
        ['ASML.AS', 'S00016', 'S00017']
    """
    if count < 1:
        raise ValueError(f"there must be at least one symbol, not {count}")
    source = np.random.default_rng(20_260)
    made_up = [
        Instrument(
            f"S{number:05d}",
            round(float(source.lognormal(4.0, 0.7)), 2),
            round(float(source.uniform(0.15, 0.6)), 3),
            "USD",
            _SECTORS[number % len(_SECTORS)],
            round(float(source.uniform(0.0002, 0.002)), 5),
            round(float(source.lognormal(14.0, 1.0)), -2),
        )
        for number in range(len(UNIVERSE), count)
    ]
    return (*UNIVERSE, *made_up)[:count]


def sector_correlation(
    instruments: Sequence[Instrument], *, within: float = 0.6, across: float = 0.3
) -> NDArray[np.float64]:
    """Return a correlation matrix: one value within a sector, another between sectors.

    Args:
        instruments: What the rows and columns stand for.
        within: The correlation of two symbols of one sector.
        across: The correlation of two symbols of different sectors.

    Example:
        >>> sector_correlation(INSTRUMENTS)[0].tolist()
        [1.0, 0.6, 0.6, 0.6, 0.3]
    """
    sectors = np.array([instrument.sector for instrument in instruments])
    matrix = np.where(sectors[:, None] == sectors[None, :], within, across)
    np.fill_diagonal(matrix, 1.0)
    return matrix
