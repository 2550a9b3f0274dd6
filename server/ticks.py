"""Ticks as columns: what every source of market data gives, simulated or recorded."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["TickSource", "Ticks"]


@dataclass(frozen=True)
class Ticks:
    """Quotes in order of time; arrays of one length, NaN where a value is not known.

    Attributes:
        symbol: The place of the symbol in its source's `symbols`.
        time: Nanoseconds since 1970.
        price: The last price, in the currency of the symbol.
        bid: What a buyer offers.
        ask: What a seller asks for.
        volume: How many shares changed hands since the session began.
        change: Price less the last close.
        change_pct: The same in percent of the last close.
    """

    symbol: NDArray[np.int32]
    time: NDArray[np.int64]
    price: NDArray[np.float64]
    bid: NDArray[np.float64]
    ask: NDArray[np.float64]
    volume: NDArray[np.float64]
    change: NDArray[np.float64]
    change_pct: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.symbol)

    def __getitem__(self, rows: slice) -> Ticks:
        return Ticks(*(column[rows] for column in self.columns()))

    def columns(self) -> tuple[NDArray[Any], ...]:
        """Return the columns in order."""
        return tuple(getattr(self, field.name) for field in fields(self))


class TickSource(Protocol):
    """Where ticks come from: a schedule, followed by whoever takes them.

    Attributes:
        symbols: All symbols that can come.
        first_prices: The price of each of them at the start.
        start: The time of the start, in nanoseconds since 1970.
    """

    symbols: tuple[str, ...]
    first_prices: NDArray[np.float64]
    start: int

    def begin(self, now: int) -> None:
        """Start the clock.

        Args:
            now: The time, in nanoseconds since 1970; a recording keeps to its own.
        """

    def due(self, elapsed: float) -> int:
        """Return how many ticks there should have been after so many seconds.

        Args:
            elapsed: Seconds since the start, as a clock on the wall counts them.
        """

    def take(self, count: int) -> Ticks:
        """Return the next ticks: as many as asked for or fewer, none once the source has ended."""

    def time(self, elapsed: float) -> int:
        """Return the market's time after so many seconds, in nanoseconds since 1970."""
