"""A simulated desk: it trades shares at random, holds options to their expiry, and knows what each position is worth.

What is held comes from the trades alone, those of the desk and those of others: see `server.positions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.instruments import Instrument
from server.positions import CONTRACT_SHARES, LARGEST_QUANTITY, Contract, Execution, PositionBook, PositionKey
from server.ticks import Ticks
from server.valuation import PositionMarks, RiskMarks, Valuation, midnight

__all__ = ["BOOKS", "Desk", "Fill", "OwnTrades", "TradeSink", "moment"]

Floats: TypeAlias = NDArray[np.float64]

_BOOK_OF = {"USD": "EQ-US", "EUR": "EQ-EU", "GBP": "EQ-EU", "JPY": "EQ-JP"}
BOOKS = ("EQ-US", "EQ-EU", "EQ-JP", "QUANT", "VOL")
_CALL_DAYS, _PUT_DAYS = 90, 180
_CALL_MONEYNESS, _PUT_MONEYNESS = 1.05, 0.95
_FIRST_NOTIONAL, _TRADE_NOTIONAL = 1_000_000.0, 50_000.0  # USD
_LOT = 10


class Fill(NamedTuple):
    """What the desk has traded.

    Attributes:
        time: When, in nanoseconds since 1970.
        key: The position that it changes.
        quantity: Units bought, negative for a sale.
        price: Per share, in the currency of the position.
        strategy: Why.
    """

    time: int
    key: PositionKey
    quantity: int
    price: float
    strategy: str


class TradeSink(Protocol):
    """Where the desk's trades go, to come back in its positions."""

    def take(self, fills: Sequence[Fill]) -> None:
        """Take trades over, without waiting for anything."""

    def is_awaited(self, key: PositionKey) -> bool:
        """Say whether a trade was taken over that the positions do not show yet."""

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the desk had better stop trading."""


class OwnTrades:
    """The trades of a desk without a store: in its positions at once, and gone with the process.

    Args:
        positions: Where they go.
    """

    is_full = False

    def __init__(self, positions: PositionBook) -> None:
        self._positions = positions
        self._taken = 0

    def take(self, fills: Sequence[Fill]) -> None:
        """Take trades over."""
        for fill in fills:
            self._taken += 1
            trade = f"{self._taken:012d}"
            self._positions.put(trade, Execution(moment(fill.time), trade, fill.key, float(fill.quantity), fill.price))

    def is_awaited(self, key: PositionKey) -> bool:
        """Say that nothing is on its way."""
        return False


class Desk:
    """Random trades in shares, and the positions that they lead to.

    Every so many ticks the desk trades shares of the symbol that ticks, buying at the ask and selling at the bid.
    Options are held to the beginning of their day of expiry, UTC, and then settled in cash for what they are worth.

    Args:
        symbols: Everything that can tick.
        first_prices: The price of each symbol at the start.
        start: The time of the start, in nanoseconds since 1970.
        instruments: What is known of some of the symbols; the others are in USD, with a volatility of 25 %.
        positions: What is held; None for positions that the desk opens itself, at the first prices.
        sink: Where its trades go; the positions themselves by default.
        ticks_per_trade: After how many ticks the desk trades; 0 for a desk that does not.
        seed: The same seed and ticks give the same trades, as long as nobody else trades.

    Attributes:
        start: The time of the start, in nanoseconds since 1970.
        trades: How many trades there were, those that opened its positions not counted.
        values: The market's prices and what they make of the positions.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        first_prices: Floats,
        start: int,
        instruments: Sequence[Instrument] = (),
        *,
        positions: PositionBook | None = None,
        sink: TradeSink | None = None,
        ticks_per_trade: int = 100,
        seed: int | None = None,
    ) -> None:
        self.trades = 0
        self.values = Valuation(symbols, first_prices, instruments, BOOKS)
        self.start = start
        self._random = np.random.default_rng(seed)
        self._ticks_per_trade = self._until_trade = ticks_per_trade
        self._positions = PositionBook() if positions is None else positions
        self._sink = OwnTrades(self._positions) if sink is None else sink
        if positions is None:
            self._sink.take(self.opening())
        self._follow()

    @property
    def currencies(self) -> list[str]:
        """The currencies that have an exchange rate."""
        return [str(currency) for currency in self.values.currencies[: self.values.rated]]

    def opening(self) -> list[Fill]:
        """Return the trades of a desk that begins: of each symbol shares in two books, a call and a put."""
        values, symbols = self.values, np.arange(len(self.values.symbols))
        spot = values.spot[symbols]
        shares = self._lots(spot, _FIRST_NOTIONAL, values.symbol_currency[symbols])
        signed = shares * self._random.choice([1, 1, 1, -1], len(shares))
        quant = np.rint(shares / 4 / _LOT) * _LOT * self._random.choice([1, -1], len(shares))
        contracts = np.maximum(np.rint(shares / 2 / CONTRACT_SHARES), 1.0)
        columns = [(signed, spot), (quant, spot)]
        terms = []
        for days, moneyness, right, sold in (
            (_CALL_DAYS, _CALL_MONEYNESS, "CALL", -1),
            (_PUT_DAYS, _PUT_MONEYNESS, "PUT", 1),
        ):
            day = moment(self.start).date() + timedelta(days=days)
            strikes = _rounded(spot * moneyness)
            expiry = np.full(len(symbols), midnight(day))
            columns.append(
                (sold * contracts, values.option_prices(symbols, right == "CALL", strikes, expiry, self.start))
            )
            terms.append((right, strikes, day))
        fills = []
        for symbol in range(len(symbols)):
            keys = [self._key(symbol), self._key(symbol, "QUANT")]
            keys += [self._key(symbol, "VOL", right, float(strikes[symbol]), day) for right, strikes, day in terms]
            for key, (quantity, price) in zip(keys, columns, strict=True):
                if quantity[symbol]:
                    fills.append(Fill(self.start, key, int(quantity[symbol]), float(price[symbol]), "opening"))
        return fills

    def set_rates(self, usd_per_unit: Floats) -> None:
        """Take new exchange rates over.

        Args:
            usd_per_unit: USD for one unit of each of `currencies`.
        """
        self.values.set_rates(usd_per_unit)

    def see(self, ticks: Ticks) -> None:
        """Take ticks over, in order, and trade when it is time."""
        count = len(ticks)
        if self._ticks_per_trade:
            for place in range(self._until_trade - 1, count, self._ticks_per_trade):
                self._trade(ticks, place)
            self._until_trade = (self._until_trade - count - 1) % self._ticks_per_trade + 1
        self.values.move(ticks.symbol, ticks.price)

    def mark(self, time: int, *, everything: bool = False) -> tuple[PositionMarks, RiskMarks]:
        """Value the positions whose price, quantity or exchange rate has changed since the last call.

        Args:
            time: The moment, in nanoseconds since 1970.
            everything: Value all of them.

        Returns:
            The positions, and their risk by symbol; both may be empty.
        """
        self._follow()
        settled = [
            # Of more than one trade can hold the rest follows when this part is there.
            Fill(time, key, -int(max(min(quantity, LARGEST_QUANTITY), -LARGEST_QUANTITY)), price, "expiry")
            for key, quantity, price in self.values.expired(time)
            if not self._sink.is_awaited(key)
        ]
        if settled:
            self._sink.take(settled)
            self._follow()
        return self.values.mark(time, everything=everything)

    def _follow(self) -> None:
        self.values.hold(self._positions.take_changed())

    def _key(
        self,
        symbol: int,
        book: str | None = None,
        right: str | None = None,
        strike: float | None = None,
        expiry: date | None = None,
    ) -> PositionKey:
        currency = str(self.values.currencies[self.values.symbol_currency[symbol]])
        contract = Contract(self.values.symbols[symbol], right, strike, expiry)
        return PositionKey(_BOOK_OF[currency] if book is None else book, contract, currency)

    def _lots(self, price: Floats, notional: float, currency: NDArray[np.intp]) -> Floats:
        lots: Floats = np.maximum(np.rint(notional / (price * self.values.fx[currency]) / _LOT), 1.0)
        return lots * _LOT

    def _trade(self, ticks: Ticks, place: int) -> None:
        symbol, price = int(ticks.symbol[place]), float(ticks.price[place])
        key = self._key(symbol, "QUANT" if self._random.random() < 0.5 else None)
        shares = float(self._lots(np.array([price]), _TRADE_NOTIONAL, self.values.symbol_currency[[symbol]])[0])
        # Large positions are rather reduced than increased. Of two trades at once the second knows of the first.
        self._follow()
        held = self.values.quantity_of(key) / (shares * _FIRST_NOTIONAL / _TRADE_NOTIONAL)
        buys = self._random.random() < 0.5 - 0.4 * np.tanh(held)
        quote = float((ticks.ask if buys else ticks.bid)[place])
        if self._sink.is_full:
            return
        traded = int(shares) if buys else -int(shares)
        self._sink.take([Fill(int(ticks.time[place]), key, traded, price if np.isnan(quote) else quote, "random")])
        self.trades += 1


def moment(nanoseconds: int) -> datetime:
    """Return a time in nanoseconds since 1970 as a datetime, UTC.

    Example:
        >>> moment(1_760_000_000_000_000_000).isoformat()
        '2025-10-09T08:53:20+00:00'
    """
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=nanoseconds // 1000)


def _rounded(strike: Floats) -> Floats:
    """Round strikes as exchanges do, to about 1 % of the price: 240, 57.5, 8.2."""
    step = 5.0 * 10.0 ** (np.floor(np.log10(strike)) - 2)
    # Of a step such as 0.05 the multiples are not quite round numbers.
    rounded: Floats = np.round(np.rint(strike / step) * step, 12)
    return rounded
