"""The demo's trading desk: what it does to its orders, in a store."""

from __future__ import annotations

from collections import Counter

import pytest

from server.trading_desk import OrderLifecycle, TradingDesk
from store.client import StoreClient
from store.models import Order, Trade


class StillBook:
    """A book of one symbol whose price stands still, so that many orders are alike."""

    def __init__(self) -> None:
        self.symbols = ["AAPL"]
        self.booked: list[Trade] = []

    def price(self, symbol: str) -> float:
        """Return the price."""
        return 100.0

    def book(self, trade: Trade) -> None:
        """Keep a trade."""
        self.booked.append(trade)


def test_desk_fills_and_cancels_each_of_orders_that_are_alike_once(
    client: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Order, "_state_machine", OrderLifecycle, raising=False)
    book = StillBook()
    desk = TradingDesk(client, book, seed=7)
    desk.open()
    for _ in range(200):
        desk.act()
    states = Counter(order.state for order in client.query(Order, limit=None))
    assert states.total() == desk.orders
    assert states["FILLED"] == desk.trades == len(book.booked) > 5
    assert states["CANCELLED"] > 0
