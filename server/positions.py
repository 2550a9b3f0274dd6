"""Positions as the fold of trades: how much of what is held in which book, at which cost, with which profit realised.

A position is what one book holds of one contract in one currency. Its trades count in the order of their execution.
Average cost, in that currency, with q for a signed quantity, m for the multiplier, p for the price of a trade:

- A trade that opens or adds moves the average cost to the mean of old and new, weighted by quantity.
- One that reduces leaves it, and realises (p - average cost) × closed quantity × m, negative for a short position that
  was closed above its cost.
- One that goes through zero closes all at p and opens the rest at p.

Realised and unrealised P&L together are always the market value less what was paid for it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from server.errors import TradeLeftOut

if TYPE_CHECKING:
    from store.models import Trade

__all__ = [
    "CONTRACT_SHARES",
    "FLAT",
    "LARGEST_QUANTITY",
    "Contract",
    "Execution",
    "Holding",
    "PositionBook",
    "PositionKey",
    "average_cost",
    "execution_of",
    "fold",
]

CONTRACT_SHARES = 100  # shares that one option stands for
LARGEST_QUANTITY = 2**53  # up to there a float counts every unit
_LARGEST_PRICE = 10**15


class Contract(NamedTuple):
    """What is traded: a share, or an option on one.

    Attributes:
        symbol: Ticker of the share, with an option that of its underlying.
        option_type: CALL or PUT; None for the share itself.
        strike: Strike of the option.
        expiry_date: Day on which the option expires.

    Example:
        >>> Contract("AAPL", "CALL", 240.0, date(2026, 3, 20)).name
        'AAPL 260320C240'
    """

    symbol: str
    option_type: str | None = None
    strike: float | None = None
    expiry_date: date | None = None

    @property
    def name(self) -> str:
        """The ticker of a share; of an option, the underlying with the day, the right and the strike."""
        if self.option_type is None or self.strike is None or self.expiry_date is None:
            return self.symbol
        day = self.expiry_date
        # Two digits of the year would give two contracts one name.
        written = day.strftime("%y%m%d") if 2000 <= day.year < 2100 else day.isoformat()
        return f"{self.symbol} {written}{self.option_type[0]}{repr(self.strike).removesuffix('.0')}"

    @property
    def multiplier(self) -> int:
        """How many shares one unit stands for."""
        return 1 if self.option_type is None else CONTRACT_SHARES


class PositionKey(NamedTuple):
    """What tells one position from another.

    Attributes:
        book: The trading book; None for trades that name none.
        contract: What is held.
        currency: ISO 4217 code of its cost.
    """

    book: str | None
    contract: Contract
    currency: str


class Execution(NamedTuple):
    """A trade as it bears on a position; executions sort in the order in which they count.

    Attributes:
        time: When it was executed.
        entity_id: The trade's id in the store.
        key: The position.
        quantity: Units bought, negative for a sale.
        price: Per share, in the position's currency.
    """

    time: datetime
    entity_id: str
    key: PositionKey
    quantity: float
    price: float


class Holding(NamedTuple):
    """What a position's trades come to.

    Attributes:
        quantity: Units held, negative when short.
        avg_cost: Average cost per share, in the position's currency.
        realized_pnl: Profit of what was closed, in that currency.
        trades: How many trades there were.
        last_trade: When the last one was executed.
    """

    quantity: float = 0.0
    avg_cost: float = 0.0
    realized_pnl: float = 0.0
    trades: int = 0
    last_trade: datetime | None = None

    def after(self, execution: Execution) -> Holding:
        """Return what is held after one more trade, executed later than all before."""
        quantity, cost, realized = average_cost(self.quantity, self.avg_cost, execution.quantity, execution.price)
        profit = self.realized_pnl + realized * execution.key.contract.multiplier
        return Holding(quantity, cost, profit, self.trades + 1, execution.time)


FLAT = Holding()


def average_cost(quantity: float, cost: float, traded: float, price: float) -> tuple[float, float, float]:
    """Take a trade into a position.

    Args:
        quantity: What is held, negative for a short position.
        cost: Its average cost.
        traded: What is bought, negative for a sale.
        price: What it is traded at.

    Returns:
        The new quantity, its average cost, and the P&L that the trade realises, for a multiplier of 1.

    Example:
        >>> average_cost(100.0, 10.0, -150.0, 12.0)
        (-50.0, 12.0, 200.0)
    """
    after = quantity + traded
    if quantity * traded >= 0:
        return after, ((quantity * cost + traded * price) / after if after else 0.0), 0.0
    closed = min(abs(traded), abs(quantity))
    realized = closed * (price - cost) * (1.0 if quantity > 0 else -1.0)
    if after == 0:
        return 0.0, 0.0, realized
    return after, (cost if quantity * after > 0 else price), realized


def execution_of(trade: Trade) -> Execution:
    """Return how a stored trade bears on a position.

    Args:
        trade: As read from the store.

    Raises:
        TradeLeftOut: It bears on none: it has no direction, say, or is an option without a strike.

    Example:
        >>> execution_of(client.read(Trade, entity_id)).quantity
        -100.0
    """
    entity_id, time = trade.entity_id, trade.timestamp or trade.valid_from
    if entity_id is None or time is None:
        raise TradeLeftOut(str(entity_id), "it is not stored")
    # What is not published is held to nothing by the database: whoever can log in may have stored it.
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise TradeLeftOut(entity_id, f"its time is {time!r}, not one with a time zone")
    if trade.side not in ("BUY", "SELL"):
        raise TradeLeftOut(entity_id, f"its side is {trade.side!r}, neither BUY nor SELL")
    quantity = _number(trade.quantity, LARGEST_QUANTITY)
    if quantity is None:
        raise TradeLeftOut(entity_id, f"its quantity is {trade.quantity!r}, not up to {LARGEST_QUANTITY:,d} either way")
    price = _number(trade.price, _LARGEST_PRICE)
    if price is None:
        raise TradeLeftOut(entity_id, f"its price is {trade.price!r}, not up to {_LARGEST_PRICE:,d} either way")
    texts = (trade.symbol, trade.currency, trade.book or "")
    if not all(isinstance(text, str) for text in texts):
        raise TradeLeftOut(entity_id, f"its symbol, currency or book is no text: {texts!r}")
    key = PositionKey(trade.book, _contract_of(trade, entity_id), trade.currency)
    return Execution(time, entity_id, key, quantity if trade.side == "BUY" else -quantity, price)


def _contract_of(trade: Trade, entity_id: str) -> Contract:
    terms = (trade.option_type, trade.strike, trade.expiry_date)
    if terms == (None, None, None):
        return Contract(trade.symbol)
    strike = _number(trade.strike, _LARGEST_PRICE)
    if trade.option_type not in ("CALL", "PUT") or strike is None or strike < 0 or not isinstance(terms[2], date):
        raise TradeLeftOut(
            entity_id, f"option_type, strike and expiry_date are {terms!r}: an option has all three, a share none"
        )
    return Contract(trade.symbol, trade.option_type, strike, terms[2])


def _number(value: object, most: int) -> float | None:
    """Return a number that no sum of trades can take beyond what a float holds; None for anything else."""
    return float(value) if isinstance(value, (int, float)) and abs(value) <= most else None


def fold(executions: Iterable[Execution]) -> dict[PositionKey, Holding]:
    """Return what trades come to, given in any order.

    Example:
        >>> fold(map(execution_of, client.query(Trade, limit=None)))
        {PositionKey(book='EQ-US', ...): Holding(quantity=100.0, avg_cost=150.0, ...)}
    """
    held: dict[PositionKey, Holding] = {}
    for execution in sorted(executions):
        held[execution.key] = held.get(execution.key, FLAT).after(execution)
    return held


class PositionBook:
    """Positions that follow their trades, one by one: as they come, are corrected and deleted. Safe to share.

    A trade that comes last in its position is added to what is held; any other change folds the trades of the position
    that it touches again, when somebody next asks.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._executions: dict[str, Execution | None] = {}
        self._positions: dict[PositionKey, _Position] = {}
        self._changed: dict[PositionKey, None] = {}  # in the order of their first change

    def put(self, entity_id: str, execution: Execution | None) -> None:
        """Take the present state of a trade over.

        Args:
            entity_id: The trade.
            execution: How it bears on a position now; None when it bears on none, or is deleted.
        """
        with self._lock:
            before = self._executions.get(entity_id)
            self._executions[entity_id] = execution
            if before == execution:
                return
            if before is not None:
                self._positions[before.key].remove(before)
                self._changed[before.key] = None
            if execution is not None:
                # One key for all trades of a position: those read from the store come with one each.
                position = self._positions.setdefault(execution.key, _Position(execution.key))
                execution = self._executions[entity_id] = execution._replace(key=position.key)
                position.add(execution)
                self._changed[position.key] = None

    def knows(self, entity_id: str) -> bool:
        """Say whether a trade has been put, whatever became of it since."""
        with self._lock:
            return entity_id in self._executions

    def take_changed(self) -> dict[PositionKey, Holding]:
        """Return the positions that have changed since the last call, or since the beginning, as they are now."""
        with self._lock:
            changed, self._changed = self._changed, {}
            return {key: self._positions[key].holding() for key in changed}

    def holdings(self) -> Mapping[PositionKey, Holding]:
        """Return all positions that a trade ever touched, as they are now."""
        with self._lock:
            return {key: position.holding() for key, position in self._positions.items()}


class _Position:
    """The trades of one position in order, and what they come to."""

    def __init__(self, key: PositionKey) -> None:
        self.key = key
        self._executions: list[Execution] = []
        self._holding: Holding | None = FLAT  # None: to be folded again

    def add(self, execution: Execution) -> None:
        last = not self._executions or self._executions[-1] < execution
        insort(self._executions, execution)
        self._holding = self._holding.after(execution) if last and self._holding is not None else None

    def remove(self, execution: Execution) -> None:
        self._executions.remove(execution)
        self._holding = None

    def holding(self) -> Holding:
        if self._holding is None:
            self._holding = FLAT
            for execution in self._executions:
                self._holding = self._holding.after(execution)
        return self._holding
