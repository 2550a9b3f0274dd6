"""Recorded prices and their replay, as steps for a desk that reprices and as ticks for the published tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.market_data import PriceStep
from server.ticks import Ticks

__all__ = ["PriceHistory", "RecordedTicks", "ReplayedMarket"]

Floats: TypeAlias = NDArray[np.float64]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAY = 86_400_000_000_000  # nanoseconds
_CALENDAR_YEAR = 365.25 * 86_400  # seconds


@dataclass(frozen=True)
class PriceHistory:
    """A price history in order of time; arrays of one length, NaN where a value is not known.

    Attributes:
        symbols: Every symbol, sorted.
        symbol: Places in `symbols`.
        time: Nanoseconds since 1970.
        price: The price, or the close of a bar.
        bid: The best bid.
        ask: The best ask.
        volume: How many shares were traded in the row.
    """

    symbols: tuple[str, ...]
    symbol: NDArray[np.int32]
    time: NDArray[np.int64]
    price: Floats
    bid: Floats
    ask: Floats
    volume: Floats

    @property
    def rows(self) -> int:
        """How many prices there are in all."""
        return len(self.price)

    @cached_property
    def steps(self) -> list[PriceStep]:
        """The prices of each moment, oldest first."""
        starts = [0, *(np.flatnonzero(np.diff(self.time)) + 1).tolist(), self.rows]
        return [
            PriceStep(
                _EPOCH + timedelta(microseconds=int(self.time[first]) // 1000),
                [
                    (self.symbols[place], price)
                    for place, price in zip(
                        self.symbol[first:end].tolist(), self.price[first:end].tolist(), strict=True
                    )
                ],
            )
            for first, end in pairwise(starts)
        ]

    @property
    def last(self) -> dict[str, float]:
        """The last price of each symbol."""
        return {
            self.symbols[place]: price for place, price in zip(self.symbol.tolist(), self.price.tolist(), strict=True)
        }

    def ticks(self) -> Ticks:
        """Return the whole history as ticks.

        A session is a day of UTC: the last close is the last price of the symbol on an earlier day, its first price
        where there is none, and volume adds up within the day.
        """
        order = np.argsort(self.symbol, kind="stable")
        symbol, day, price = self.symbol[order], self.time[order] // _DAY, self.price[order]
        rows = np.arange(self.rows)
        of_symbol = np.r_[True, symbol[1:] != symbol[:-1]]
        of_day = of_symbol | np.r_[True, day[1:] != day[:-1]]
        session = np.maximum.accumulate(np.where(of_day, rows, 0))
        close = np.where(of_symbol, price, np.r_[np.nan, price[:-1]])[session]
        traded = np.nan_to_num(self.volume[order])
        total = np.cumsum(traded)
        volume = np.where(np.isnan(self.volume[order]), np.nan, total - (total - traded)[session])
        back = np.empty(self.rows, dtype=np.intp)
        back[order] = rows
        close, volume = close[back], volume[back]
        change = self.price - close
        return Ticks(self.symbol, self.time, self.price, self.bid, self.ask, volume, change, 100 * change / close)


class RecordedTicks:
    """A price history as ticks, at a multiple of the speed at which it happened.

    Args:
        history: What to play.
        speed: How many seconds of the history pass in a second. By default a typical step between two moments takes a
            second, and less where it took less.

    Attributes:
        symbols: Those of the history.
        first_prices: The first price of each symbol.
        start: The time of the first price.
        speed: As given or chosen.

    Example:
        >>> RecordedTicks(read_prices(Path("daily.csv"))).speed  # a day a second
        86400.0
    """

    def __init__(self, history: PriceHistory, speed: float | None = None) -> None:
        self.symbols = history.symbols
        self.start = int(history.time[0])
        self.first_prices = np.empty(len(history.symbols))
        self.first_prices[history.symbol[::-1]] = history.price[::-1]
        gaps = np.diff(np.unique(history.time)) / 1e9
        self.speed = speed or (max(1.0, float(np.median(gaps))) if len(gaps) else 1.0)
        self._ticks = history.ticks()
        self._taken = 0

    @property
    def ticks_per_second(self) -> float:
        """How many ticks come in a second, on average."""
        span = (int(self._ticks.time[-1]) - self.start) / 1e9 / self.speed
        return len(self._ticks) / max(span, 1.0)

    def begin(self, now: int) -> None:
        """Start the clock: the history keeps to its own time, whatever time it is now."""

    def due(self, elapsed: float) -> int:
        """Return how many ticks there should have been after so many seconds; one more at the end, to be told of it."""
        now = self.time(elapsed)
        due = int(np.searchsorted(self._ticks.time, now, side="right"))
        return due + 1 if due == len(self._ticks) else due

    def time(self, elapsed: float) -> int:
        """Return the history's time after so many seconds, which stops at its end."""
        return min(self.start + round(elapsed * self.speed * 1e9), int(self._ticks.time[-1]))

    def take(self, count: int) -> Ticks:
        """Return the next ticks, as many as asked for or fewer; none at the end."""
        first = self._taken
        self._taken = min(first + count, len(self._ticks))
        return self._ticks[first : self._taken]


class ReplayedMarket:
    """A price history, played in order.

    Args:
        history: What to play.
        steps_per_second: How fast.

    Attributes:
        rows_played: How many prices have been played.
    """

    def __init__(self, history: PriceHistory, steps_per_second: float) -> None:
        self.history = history
        self.rows_played = 0
        self._pace = steps_per_second
        self._next = 0

    @property
    def finished(self) -> bool:
        """Whether every price has been played."""
        return self._next == len(self.history.steps)

    @property
    def steps_per_year(self) -> float:
        """How many steps the history has for each of its years."""
        steps = self.history.steps
        years = (steps[-1].time - steps[0].time).total_seconds() / _CALENDAR_YEAR
        return (len(steps) - 1) / years if years else 1.0

    def advance(self, elapsed: float) -> Iterator[PriceStep]:
        """Yield the prices that have become due.

        Args:
            elapsed: Seconds since the first price was due.
        """
        due = min(int(elapsed * self._pace) + 1, len(self.history.steps))
        for step in self.history.steps[self._next : due]:
            self._next += 1
            self.rows_played += len(step.prices)
            yield step
