"""What positions are worth at the market's prices, and what they risk: every position in its currency, risk in USD.

unrealised P&L = q × m × (current price - average cost), and market value = q × m × current price, with q for the signed
quantity and m for the multiplier; cost and realised profit are those of `server.positions`. A share is worth what its
symbol trades at, an option what Black, Scholes and Merton say. A position in another currency than that of its symbol
is valued in its own, at the exchange rate.

What the market has no price of, and what is in a currency without a rate, is in no total: its figures are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.instruments import RATES, USD_PER_UNIT, Instrument
from server.positions import Holding, PositionKey
from server.risk_engine import Greeks, Risk, black_scholes, dollar_risk, sum_by

__all__ = ["DAY", "PositionMarks", "RiskMarks", "Valuation", "midnight"]

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.int32]

DAY = 86_400_000_000_000  # nanoseconds
_YEAR = 365 * DAY
_NEVER = np.iinfo(np.int64).max
_EPOCH = date(1970, 1, 1).toordinal()
_LAST_DAY = _NEVER // DAY  # the last one whose midnight 64 bits hold


class PositionMarks(NamedTuple):
    """Positions as they stand; arrays of one length. Places in `Valuation.books` and so on stand for texts.

    Attributes:
        book: The book, a place in `Valuation.books`.
        symbol: Share or option, a place in `Valuation.contracts`.
        currency: A place in `Valuation.currencies`.
        underlying: What it depends on, a place in `Valuation.underlyings`.
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

    book: Places
    symbol: Places
    currency: Places
    underlying: Places
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
        symbol: A place in the market's symbols.
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

    symbol: Places
    time: NDArray[np.int64]
    position: Floats
    market_value: Floats
    unrealized_pnl: Floats
    delta: Floats
    gamma: Floats
    theta: Floats
    vega: Floats
    rho: Floats


class Names(list[str | None]):
    """Texts by place; one that is new gets the next place, and none ever moves."""

    def __init__(self, first: Sequence[str | None] = ()) -> None:
        super().__init__(first)
        self._places = {name: place for place, name in enumerate(first)}

    def place(self, name: str | None) -> int:
        """Return a text's place."""
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = len(self)
            self.append(name)
        return place


class _Terms(NamedTuple):
    """What a position is of, which never changes; arrays of one length, a place a position."""

    book: Places
    contract: Places
    currency: Places
    name: Places  # the underlying's, in `Valuation.underlyings`
    underlying: NDArray[np.intp]  # place among the market's symbols; their number for one that the market does not have
    multiplier: Floats
    is_option: NDArray[np.bool_]
    is_call: NDArray[np.bool_]
    strike: Floats
    expiry: NDArray[np.int64]  # nanoseconds since 1970


class Valuation:
    """The market's prices and rates, and the positions that they value.

    Args:
        symbols: Everything that can tick.
        first_prices: The price of each symbol at the start.
        instruments: What is known of some of the symbols; the others are in USD, with a volatility of 25 %.
        books: Books that there are before any position.

    Attributes:
        symbols: All symbols of the market.
        currencies: Those that have an exchange rate, then those of positions that have none.
        rated: How many of them have a rate.
        books: The books of all positions.
        contracts: The name of the share or option of each position.
        underlyings: All symbols, then those of positions that the market does not have.
        spot: The price of each symbol, and NaN behind them.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        first_prices: Floats,
        instruments: Sequence[Instrument] = (),
        books: Sequence[str] = (),
    ) -> None:
        known = {instrument.symbol: instrument for instrument in instruments}
        held = [known.get(symbol, Instrument(symbol, 1.0, 0.25)) for symbol in symbols]
        self.symbols = tuple(symbols)
        self.currencies = Names(tuple(dict.fromkeys(["USD", *(item.currency for item in held), *USD_PER_UNIT])))
        self.rated = len(self.currencies)
        self.books = Names(books)
        self.contracts = Names()
        self.underlyings = Names(self.symbols)
        # Behind the market's symbols stands the one of all that it does not have.
        self.spot = np.append(np.array(first_prices, dtype=np.float64), np.nan)
        self.symbol_currency = np.array([self.currencies.place(item.currency) for item in held] + [0], dtype=np.intp)
        self._volatility = np.array([*(item.volatility for item in held), np.nan])
        self._dividend_yield = np.array([*(item.dividend_yield for item in held), np.nan])
        self._rate = np.array([*(RATES[item.currency] for item in held), np.nan])
        self.fx = np.array([USD_PER_UNIT[str(currency)] for currency in self.currencies])
        self._places: dict[PositionKey, int] = {}
        self.keys: list[PositionKey] = []
        self._terms = _no_terms()
        self.quantity, self._cost, self._realized = np.empty(0), np.empty(0), np.empty(0)
        self._moved = np.ones(len(symbols) + 1, dtype=np.bool_)  # by symbol
        self._changed = np.empty(0, dtype=np.bool_)  # by position

    def set_rates(self, usd_per_unit: Floats) -> None:
        """Take new exchange rates over: USD for one unit of each of the first `rated` currencies."""
        fx = np.full(len(self.currencies), np.nan)
        fx[: self.rated] = usd_per_unit
        different = ~((fx == self.fx) | (np.isnan(fx) & np.isnan(self.fx)))
        self._moved |= different[self.symbol_currency]
        self._changed |= different[self._terms.currency]
        self.fx = fx

    def move(self, symbols: NDArray[np.int32], prices: Floats) -> None:
        """Take new prices over; of several for one symbol the last stays."""
        self.spot[symbols] = prices
        self._moved[symbols] = True

    def quantity_of(self, key: PositionKey) -> float:
        """Return what is held, 0 of what never was."""
        place = self._places.get(key)
        return 0.0 if place is None else float(self.quantity[place])

    def hold(self, holdings: Mapping[PositionKey, Holding]) -> None:
        """Take over what is held of some positions."""
        if not holdings:
            return
        self._open([key for key in holdings if key not in self._places])
        places = np.fromiter((self._places[key] for key in holdings), np.intp, len(holdings))
        figures = np.array([holding[:3] for holding in holdings.values()])
        self.quantity[places], self._cost[places], self._realized[places] = figures.T
        self._changed[places] = True

    def expired(self, time: int) -> list[tuple[PositionKey, float, float]]:
        """Return the open options whose day has come: each with its quantity and what it is worth at the last price."""
        terms = self._terms
        over = np.flatnonzero(terms.is_option & (terms.expiry <= time) & (self.quantity != 0))
        if not len(over):
            return []
        worth = self._values(over, time).price
        return [
            (self.keys[place], float(self.quantity[place]), float(price))
            for place, price in zip(over, worth, strict=True)
            if np.isfinite(price)
        ]

    def mark(self, time: int, *, everything: bool = False) -> tuple[PositionMarks, RiskMarks]:
        """Value the positions whose price, quantity or exchange rate has changed since the last call.

        Args:
            time: The moment, in nanoseconds since 1970.
            everything: Value all of them.

        Returns:
            The positions, and their risk by symbol; both may be empty.
        """
        terms, markets = self._terms, len(self.symbols)
        # The risk of a symbol is that of all its positions.
        self._moved[terms.underlying[self._changed]] = True
        self._moved[markets] = everything
        if everything:
            self._moved[:] = self._changed[:] = True
        places = np.flatnonzero(self._changed | self._moved[terms.underlying])
        symbols = np.flatnonzero(self._moved[:markets])
        self._moved[:] = self._changed[:] = False

        greeks = self._values(places, time)
        units = self.quantity[places] * terms.multiplier[places]
        fx = self.fx[terms.currency[places]]
        unrealized = units * (greeks.price - self._cost[places])
        positions = PositionMarks(
            terms.book[places],
            terms.contract[places],
            terms.currency[places],
            terms.name[places],
            np.full(len(places), time, dtype=np.int64),
            self.quantity[places],
            terms.multiplier[places],
            self._cost[places],
            greeks.price,
            units * greeks.price,
            self._realized[places],
            unrealized,
            fx,
        )
        counted = (terms.underlying[places] < markets) & ~np.isnan(fx)
        group_of = np.zeros(markets + 1, dtype=np.intp)
        group_of[symbols] = np.arange(len(symbols))
        groups = group_of[terms.underlying[places]]
        each = dollar_risk(greeks, self._spots(places), units, fx)
        total = sum_by(groups[counted], len(symbols), Risk(*(column[counted] for column in each)))
        shares = (terms.underlying[places] < markets) & ~terms.is_option[places]
        risk = RiskMarks(
            symbols.astype(np.int32),
            np.full(len(symbols), time, dtype=np.int64),
            np.bincount(groups[shares], self.quantity[places][shares], len(symbols)).astype(np.float64),
            total.market_value,
            np.bincount(groups[counted], (unrealized * fx)[counted], len(symbols)).astype(np.float64),
            total.delta,
            total.gamma,
            total.theta,
            total.vega,
            total.rho,
        )
        return positions, risk

    def option_prices(
        self, symbols: NDArray[np.intp], is_call: bool, strike: Floats, expiry: NDArray[np.int64], time: int
    ) -> Floats:
        """Return what options on some symbols are worth, in the currency of the symbol."""
        return self._options(symbols, self.spot[symbols], np.array(is_call), strike, expiry, time).price

    def _open(self, keys: Sequence[PositionKey]) -> None:
        if not keys:
            return
        self._places |= {key: len(self.keys) + number for number, key in enumerate(keys)}
        self.keys += keys
        names = [self.underlyings.place(key.contract.symbol) for key in keys]
        options = [key.contract.option_type is not None for key in keys]
        new = _Terms(
            np.array([self.books.place(key.book) for key in keys], dtype=np.int32),
            np.array([self.contracts.place(key.contract.name) for key in keys], dtype=np.int32),
            np.array([self.currencies.place(key.currency) for key in keys], dtype=np.int32),
            np.array(names, dtype=np.int32),
            np.minimum(np.array(names, dtype=np.intp), len(self.symbols)),
            np.array([key.contract.multiplier for key in keys], dtype=np.float64),
            np.array(options),
            np.array([key.contract.option_type == "CALL" for key in keys]),
            np.array([np.nan if key.contract.strike is None else key.contract.strike for key in keys]),
            np.array([midnight(key.contract.expiry_date) for key in keys], dtype=np.int64),
        )
        self._terms = _Terms(*(_joined(getattr(self._terms, name), getattr(new, name)) for name in _Terms._fields))
        nothing = np.zeros(len(keys))
        self.quantity, self._cost, self._realized = (
            _joined(figures, nothing) for figures in (self.quantity, self._cost, self._realized)
        )
        self._changed = _joined(self._changed, np.ones(len(keys), dtype=np.bool_))
        self.fx = _joined(self.fx, np.full(len(self.currencies) - len(self.fx), np.nan))

    def _spots(self, places: NDArray[np.intp]) -> Floats:
        """Return the price of each position's underlying in the currency of the position."""
        underlying = self._terms.underlying[places]
        exchange = self.fx[self.symbol_currency[underlying]] / self.fx[self._terms.currency[places]]
        spots: Floats = self.spot[underlying] * exchange
        return spots

    def _values(self, places: NDArray[np.intp], time: int) -> Greeks:
        """Return price and Greeks of one unit of each position."""
        terms, spots = self._terms, self._spots(places)
        values = np.zeros((len(Greeks._fields), len(places)))
        values[0], values[1] = spots, np.where(np.isnan(spots), np.nan, 1.0)
        options = np.flatnonzero(terms.is_option[places])
        chosen = places[options]
        values[:, options] = self._options(
            terms.underlying[chosen],
            spots[options],
            terms.is_call[chosen],
            terms.strike[chosen],
            terms.expiry[chosen],
            time,
        )
        return Greeks(*values)

    def _options(
        self,
        symbols: NDArray[np.intp],
        spots: Floats,
        is_call: NDArray[np.bool_],
        strike: Floats,
        expiry: NDArray[np.int64],
        time: int,
    ) -> Greeks:
        years = np.maximum(expiry - time, 0) / _YEAR
        return black_scholes(
            is_call, spots, strike, years, self._rate[symbols], self._volatility[symbols], self._dividend_yield[symbols]
        )


def midnight(day: date | None) -> int:
    """Return when a day begins, UTC, in nanoseconds from 1970 on; None, and what is too far off, is as far as can be.

    Example:
        >>> midnight(date(1970, 1, 2))
        86400000000000
    """
    if day is None:
        return int(_NEVER)
    return int(min(max(day.toordinal() - _EPOCH, 0), _LAST_DAY) * DAY)


def _joined(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([one, other])


def _no_terms() -> _Terms:
    places, flags = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.bool_)
    symbols, times = np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int64)
    return _Terms(places, places, places, places, symbols, np.empty(0), flags, flags, np.empty(0), times)
