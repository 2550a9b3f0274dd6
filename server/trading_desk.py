"""A trading desk that acts at random: orders placed, amended, cancelled and filled, all through the store."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from reactive.expr import Const, Field
from store.client import StoreClient
from store.models import Order, Trade
from store.state_machine import StateMachine, Transition

__all__ = ["Book", "OrderLifecycle", "TradingDesk"]

_MOST_WORKING = 12
# What happens to a working order in one tick, as cumulated probabilities.
_FILLED, _AMENDED, _CANCELLED = 0.06, 0.08, 0.09


class Book(Protocol):
    """What the desk trades against: prices to look at, positions to book trades to."""

    @property
    def symbols(self) -> Sequence[str]:
        """The symbols that have a price."""

    def price(self, symbol: str) -> float:
        """Return a symbol's current price."""

    def book(self, trade: Trade) -> None:
        """Take a trade into its position."""


class OrderLifecycle(StateMachine):
    """An order waits until it is filled or cancelled."""

    initial = "PENDING"
    transitions = (
        Transition("PENDING", "FILLED", guard=Field("quantity") > Const(0)),
        Transition("PENDING", "CANCELLED"),
    )


class TradingDesk:
    """One trader; trades of earlier runs that the trader can read are booked at the start.

    Args:
        client: The trader's client. `Order` has the lifecycle above.
        book: Prices and positions.
        seed: The same seed and prices give the same orders.

    Attributes:
        orders: How many orders were placed.
        trades: How many of them were filled.
    """

    def __init__(self, client: StoreClient, book: Book, seed: int | None = None) -> None:
        self.orders = self.trades = 0
        self._client = client
        self._book = book
        self._random = random.Random(seed)
        self._working: dict[str, Order] = {}  # by entity: two orders may be equal
        earlier = client.query(Trade, limit=None)
        for trade in sorted(earlier, key=lambda trade: (trade.valid_from, trade.entity_id)):
            book.book(trade)

    def open(self) -> None:
        """Place a first order in every symbol, so that there is something to see."""
        for symbol in self._book.symbols:
            self._place(symbol, "BUY")

    def act(self) -> None:
        """Do what a trader does in one tick."""
        chance = self._random.random
        if chance() < 0.4 and len(self._working) < _MOST_WORKING:
            self._place(self._random.choice(self._book.symbols), self._random.choice(["BUY", "BUY", "SELL"]))
        for entity_id, order in list(self._working.items()):
            luck = chance()
            if luck < _FILLED:
                self._fill(self._working.pop(entity_id))
            elif luck < _AMENDED:
                order.quantity += 100
                self._client.update(order)
            elif luck < _CANCELLED:
                self._client.transition(self._working.pop(entity_id), "CANCELLED")

    def _place(self, symbol: str, side: str) -> None:
        quantity = 100 * self._random.randint(1, 10)
        order = Order(symbol=symbol, quantity=quantity, price=self._book.price(symbol), side=side)
        self._working[self._client.write(order)] = order
        self.orders += 1

    def _fill(self, order: Order) -> None:
        self._client.transition(order, "FILLED")
        price = self._book.price(order.symbol)
        trade = Trade(symbol=order.symbol, quantity=order.quantity, price=price, side=order.side)
        self._client.write(trade)
        self._book.book(trade)
        self.trades += 1
