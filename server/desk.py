"""A simulated desk: it trades shares at random, holds options, and knows what each position is worth.

Cost and realised profit are those of `server.positions`; unrealised P&L = q × m × (current price - average cost), and
market value = q × m × current price.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.instruments import USD_PER_UNIT, Instrument
from server.positions import average_cost
from server.risk_engine import Greeks, Risk, black_scholes, dollar_risk, sum_by
from server.ticks import Ticks

__all__ = ["BOOKS", "Desk", "PositionMarks", "RiskMarks"]

Floats: TypeAlias = NDArray[np.float64]

_BOOK_OF = {"USD": "EQ-US", "EUR": "EQ-EU", "GBP": "EQ-EU", "JPY": "EQ-JP"}
BOOKS = ("EQ-US", "EQ-EU", "EQ-JP", "QUANT", "VOL")
RATES = {"USD": 0.04, "EUR": 0.02, "GBP": 0.04, "JPY": 0.005}  # risk-free, continuously compounded
# What the desk holds of each symbol: shares in the book of its market, shares in QUANT, a call and a put in VOL.
_HELD = 4
_MARKET, _QUANT, _CALL, _PUT = range(_HELD)
_MULTIPLIER = np.array([1.0, 1.0, 100.0, 100.0])
_MONEYNESS = np.array([np.nan, np.nan, 1.05, 0.95])
_DAYS = np.array([0, 0, 90, 180])
_DAY = 86_400_000_000_000  # nanoseconds
_YEAR = 365 * _DAY
_FIRST_NOTIONAL, _TRADE_NOTIONAL = 1_000_000.0, 50_000.0  # USD
_LOT = 10


class PositionMarks(NamedTuple):
    """Positions as they stand; arrays of one length. Places in `Desk.symbols` and so on stand for texts.

    Attributes:
        book: The book, a place in `BOOKS`.
        symbol: Share or option, a place in `Desk.contracts`.
        currency: A place in `Desk.currencies`.
        underlying: What it depends on, a place in `Desk.symbols`.
        time: Nanoseconds since 1970.
        quantity: Shares or contracts, negative for a short position.
        multiplier: How many shares one of them stands for.
        avg_cost: Per share, in the currency.
        price: Per share, in the currency.
        market_value: In the currency.
        realized_pnl: In the currency.
        unrealized_pnl: In the currency.
        fx_rate: USD for one unit of the currency.
    """

    book: NDArray[np.int32]
    symbol: NDArray[np.int32]
    currency: NDArray[np.int32]
    underlying: NDArray[np.int32]
    time: NDArray[np.int64]
    quantity: Floats
    multiplier: Floats
    avg_cost: Floats
    price: Floats
    market_value: Floats
    realized_pnl: Floats
    unrealized_pnl: Floats
    fx_rate: Floats


class RiskMarks(NamedTuple):
    """Risk by underlying symbol, in USD; arrays of one length.

    Attributes:
        symbol: A place in `Desk.symbols`.
        time: Nanoseconds since 1970.
        position: Shares, net over all books, options not counted.
        market_value: Of shares and options.
        unrealized_pnl: Of shares and options.
        delta: As in `risk_engine.Risk`, and so are the others.
        gamma: See there.
        theta: See there.
        vega: See there.
        rho: See there.
    """

    symbol: NDArray[np.int32]
    time: NDArray[np.int64]
    position: Floats
    market_value: Floats
    unrealized_pnl: Floats
    delta: Floats
    gamma: Floats
    theta: Floats
    vega: Floats
    rho: Floats


class Desk:
    """Positions in shares and options, and random trades in the shares.

    All positions are opened at the start, at the first prices. Every so many ticks the desk trades shares of the
    symbol that ticks, buying at the ask and selling at the bid. Options are held to expiry, and then settled in cash
    for what they are worth.

    Args:
        symbols: Everything that can tick.
        first_prices: The price of each symbol at the start.
        start: The time of the start, in nanoseconds since 1970.
        instruments: What is known of some of the symbols; the others are in USD, with a volatility of 25 %.
        ticks_per_trade: After how many ticks the desk trades.
        seed: The same seed and ticks give the same trades.

    Attributes:
        symbols: All symbols.
        contracts: The name of the share or option of each position.
        currencies: All currencies.
        trades: How many trades there were.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        first_prices: Floats,
        start: int,
        instruments: Sequence[Instrument] = (),
        *,
        ticks_per_trade: int = 100,
        seed: int | None = None,
    ) -> None:
        known = {instrument.symbol: instrument for instrument in instruments}
        held = [known.get(symbol, Instrument(symbol, 1.0, 0.25)) for symbol in symbols]
        self.symbols = tuple(symbols)
        self.currencies = tuple(dict.fromkeys(["USD", *(instrument.currency for instrument in held)]))
        self.trades = 0
        self._random = np.random.default_rng(seed)
        self._ticks_per_trade = self._until_trade = ticks_per_trade
        self._volatility = np.array([instrument.volatility for instrument in held])
        self._dividend_yield = np.array([instrument.dividend_yield for instrument in held])
        self._currency = np.array([self.currencies.index(instrument.currency) for instrument in held], dtype=np.int32)
        self._rate = np.array([RATES[instrument.currency] for instrument in held])
        self._fx = np.array([USD_PER_UNIT[currency] for currency in self.currencies])
        self._book = np.full((len(held), _HELD), BOOKS.index("VOL"), dtype=np.int32)
        self._book[:, _MARKET] = [BOOKS.index(_BOOK_OF[instrument.currency]) for instrument in held]
        self._book[:, _QUANT] = BOOKS.index("QUANT")
        self._spot = np.array(first_prices, dtype=np.float64)
        self._expiry = np.tile(start + _DAYS * _DAY, (len(held), 1))
        self._strike = _rounded(self._spot[:, None] * _MONEYNESS)
        self.contracts = [
            name
            for symbol, strikes, expiries in zip(symbols, self._strike, self._expiry, strict=True)
            for name in _contracts(symbol, strikes, expiries)
        ]
        self._changed = np.ones(len(held), dtype=np.bool_)
        self._realized = np.zeros((len(held), _HELD))
        self._quantity = self._first_quantities()
        self._cost = self._values(np.arange(len(held)), start).price

    def set_rates(self, usd_per_unit: Floats) -> None:
        """Take new exchange rates over.

        Args:
            usd_per_unit: USD for one unit of each of `currencies`.
        """
        self._changed |= (usd_per_unit != self._fx)[self._currency]
        self._fx = np.array(usd_per_unit)

    def see(self, ticks: Ticks) -> None:
        """Take ticks over, in order, and trade when it is time."""
        count = len(ticks)
        for place in range(self._until_trade - 1, count, self._ticks_per_trade):
            self._trade(int(ticks.symbol[place]), ticks.price[place], ticks.bid[place], ticks.ask[place])
        self._until_trade = (self._until_trade - count - 1) % self._ticks_per_trade + 1
        # Of several prices of one symbol the last assignment stays.
        self._spot[ticks.symbol] = ticks.price
        self._changed[ticks.symbol] = True

    def mark(self, time: int, *, everything: bool = False) -> tuple[PositionMarks, RiskMarks]:
        """Value the positions whose price, quantity or exchange rate has changed since the last call.

        Args:
            time: The moment, in nanoseconds since 1970.
            everything: Value all of them.

        Returns:
            The positions, and their risk by symbol; both may be empty.
        """
        symbols = np.arange(len(self.symbols)) if everything else np.flatnonzero(self._changed)
        self._changed[:] = False
        self._settle(symbols, time)
        greeks = self._values(symbols, time)
        quantity, spot = self._quantity[symbols], self._spot[symbols]
        units = quantity * _MULTIPLIER
        value = units * greeks.price
        unrealized = units * (greeks.price - self._cost[symbols])
        fx = self._fx[self._currency[symbols]]
        now = np.full(len(symbols), time, dtype=np.int64)
        positions = PositionMarks(
            self._book[symbols].reshape(-1),
            (symbols[:, None] * _HELD + np.arange(_HELD)).reshape(-1).astype(np.int32),
            self._currency[symbols].repeat(_HELD),
            symbols.repeat(_HELD).astype(np.int32),
            now.repeat(_HELD),
            quantity.reshape(-1),
            np.tile(_MULTIPLIER, len(symbols)),
            self._cost[symbols].reshape(-1),
            greeks.price.reshape(-1),
            value.reshape(-1),
            self._realized[symbols].reshape(-1),
            unrealized.reshape(-1),
            fx.repeat(_HELD),
        )
        each = dollar_risk(greeks, spot[:, None], units, fx[:, None])
        groups = np.arange(len(symbols)).repeat(_HELD)
        total = sum_by(groups, len(symbols), Risk(*(column.reshape(-1) for column in each)))
        risk = RiskMarks(
            symbols.astype(np.int32),
            now,
            quantity[:, _MARKET] + quantity[:, _QUANT],
            total.market_value,
            unrealized.sum(axis=1) * fx,
            total.delta,
            total.gamma,
            total.theta,
            total.vega,
            total.rho,
        )
        return positions, risk

    def _first_quantities(self) -> Floats:
        shares = self._lots(self._spot, _FIRST_NOTIONAL, self._currency)
        quantity = np.empty((len(shares), _HELD))
        quantity[:, _MARKET] = shares * self._random.choice([1, 1, 1, -1], len(shares))
        quantity[:, _QUANT] = np.rint(shares / 4 / _LOT) * _LOT * self._random.choice([1, -1], len(shares))
        contracts = np.maximum(np.rint(shares / 200), 1.0)
        quantity[:, _CALL], quantity[:, _PUT] = -contracts, contracts
        return quantity

    def _lots(self, price: Floats, notional: float, currency: NDArray[np.int32]) -> Floats:
        lots: Floats = np.maximum(np.rint(notional / (price * self._fx[currency]) / _LOT), 1.0)
        return lots * _LOT

    def _values(self, symbols: NDArray[np.intp], time: int) -> Greeks:
        """Return price and Greeks of one unit of each position of the symbols: a row a symbol."""
        spot = self._spot[symbols]
        years = np.maximum(self._expiry[symbols][:, _CALL:] - time, 0) / _YEAR
        options = black_scholes(
            np.array([True, False]),
            spot[:, None],
            self._strike[symbols][:, _CALL:],
            years,
            self._rate[symbols][:, None],
            self._volatility[symbols][:, None],
            self._dividend_yield[symbols][:, None],
        )
        shares = np.zeros((len(Greeks._fields), len(symbols), 2))
        shares[0], shares[1] = spot[:, None], 1.0
        return Greeks(*(np.hstack([share, option]) for share, option in zip(shares, options, strict=True)))

    def _trade(self, symbol: int, price: float, bid: float, ask: float) -> None:
        place = (symbol, int(self._random.choice([_MARKET, _QUANT])))
        shares = float(self._lots(np.array([price]), _TRADE_NOTIONAL, self._currency[[symbol]])[0])
        # Large positions are rather reduced than increased.
        held = self._quantity[place] / (shares * _FIRST_NOTIONAL / _TRADE_NOTIONAL)
        buys = self._random.random() < 0.5 - 0.4 * np.tanh(held)
        quote = ask if buys else bid
        self._book_trade(place, shares if buys else -shares, price if np.isnan(quote) else quote)
        self.trades += 1

    def _book_trade(self, place: tuple[int, int], traded: float, price: float) -> None:
        quantity, cost, realized = average_cost(self._quantity[place], self._cost[place], traded, price)
        self._quantity[place], self._cost[place] = quantity, cost
        self._realized[place] += realized * _MULTIPLIER[place[1]]
        self._changed[place[0]] = True

    def _settle(self, symbols: NDArray[np.intp], time: int) -> None:
        expired = (self._expiry[symbols] <= time) & (self._quantity[symbols] != 0)
        expired[:, :_CALL] = False
        for row, held in np.argwhere(expired):
            place = (int(symbols[row]), int(held))
            intrinsic = (self._spot[place[0]] - self._strike[place]) * (1.0 if held == _CALL else -1.0)
            self._book_trade(place, -self._quantity[place], max(intrinsic, 0.0))
            self._changed[place[0]] = False


def _rounded(strike: Floats) -> Floats:
    """Round strikes as exchanges do, to about 1 % of the price: 240, 57.5, 8.2."""
    step = 5.0 * 10.0 ** (np.floor(np.log10(strike)) - 2)
    rounded: Floats = np.rint(strike / step) * step
    return rounded


def _contracts(symbol: str, strikes: Floats, expiries: NDArray[np.int64]) -> list[str]:
    """Return the names of a symbol's positions: its own for shares, `AAPL 260320C240` for an option."""
    names = [symbol] * _CALL
    for held, letter in ((_CALL, "C"), (_PUT, "P")):
        expiry = datetime.fromtimestamp(int(expiries[held]) // 1_000_000_000, timezone.utc)
        names.append(f"{symbol} {expiry:%y%m%d}{letter}{strikes[held]:.6g}")
    return names
