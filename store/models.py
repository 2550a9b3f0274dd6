"""Domain models of a trading desk, ready to use and to copy from.

None of them has a lifecycle of its own; attach one with `Order._state_machine = OrderLifecycle`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from store.base import Storable

__all__ = ["Limit", "Order", "Signal", "Trade"]


@dataclass
class Trade(Storable):
    """An executed trade.

    `side` has no default that could be stored: a trade without a side is refused when it is written.

    Attributes:
        symbol: Instrument, such as AAPL.
        quantity: Number of shares or contracts, positive; the direction is `side`.
        price: Execution price per unit, in `currency`.
        side: BUY or SELL.
        currency: ISO 4217 code of price and notional.
        trader_name: Who traded.
        account: Account that the trade settles in.
        book: Trading book that carries the risk.
        strategy: Strategy that asked for the trade.
        counterparty: Who stood on the other side.
        trade_date: Day of execution at the venue.
        settlement_date: Day of delivery against payment.
        timestamp: Instant of execution; None: that from which the trade holds.
        option_type: CALL or PUT; None: the symbol itself was traded, and with an option its underlying.
        strike: Strike of the option, in `currency`.
        expiry_date: Day on which the option expires.
    """

    symbol: str = ""
    quantity: int = 0
    price: float = 0.0
    side: str = ""
    currency: str = "USD"
    trader_name: str = ""
    account: str | None = None
    book: str | None = None
    strategy: str | None = None
    counterparty: str | None = None
    trade_date: date | None = None
    settlement_date: date | None = None
    timestamp: datetime | None = None
    option_type: str | None = None
    strike: float | None = None
    expiry_date: date | None = None


@dataclass
class Order(Storable):
    """An order to buy or sell, at the market or at a limit.

    Attributes:
        symbol: Instrument, such as AAPL.
        quantity: Number of shares or contracts asked for, positive.
        price: Limit price per unit, in `currency`; the arrival price of a market order.
        side: BUY or SELL.
        order_type: MARKET, LIMIT, STOP or STOP_LIMIT.
        currency: ISO 4217 code of the price.
        trader_name: Who gave the order.
        account: Account to fill.
        book: Trading book that carries the risk.
        strategy: Strategy that asked for the order.
    """

    symbol: str = ""
    quantity: int = 0
    price: float = 0.0
    side: str = ""
    order_type: str = "LIMIT"
    currency: str = "USD"
    trader_name: str = ""
    account: str | None = None
    book: str | None = None
    strategy: str | None = None


@dataclass
class Signal(Storable):
    """A forecast of a model for one instrument.

    Attributes:
        symbol: Instrument, such as AAPL.
        direction: LONG, SHORT or FLAT.
        strength: Conviction between -1 and 1.
        model_name: Model that made the forecast.
        strategy: Strategy that the signal feeds.
    """

    symbol: str = ""
    direction: str = "FLAT"
    strength: float = 0.0
    model_name: str | None = None
    strategy: str | None = None


@dataclass
class Limit(Storable):
    """A risk limit of a book: beyond `warn` somebody is told, beyond `stop` trading ends.

    Attributes:
        book: Trading book that the limit binds.
        metric: Figure that is limited, such as gross_exposure.
        warn: Level of the warning, in the metric's own unit.
        stop: Level of the stop, in the metric's own unit.
    """

    book: str = ""
    metric: str = ""
    warn: float = 0.0
    stop: float = 0.0
