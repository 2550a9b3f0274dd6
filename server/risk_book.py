"""Positions and their risk in a reactive graph, pushed straight into a Deephaven table: nothing of it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from bridge import TableWriter
from reactive import Const, Expr, Field, If, ReactiveGraph
from server.market_data import PriceStep
from server.positions import average_cost
from store.base import Storable
from store.models import Trade

__all__ = ["RESULTS", "RISK_COLUMNS", "Position", "RiskBook"]

RISK_COLUMNS = {
    "Symbol": "string",
    "Timestamp": "Instant",
    "Quantity": "long",
    "AvgCost": "double",
    "Price": "double",
    "Volatility": "double",
    "MarketValue": "double",
    "UnrealizedPnL": "double",
    "Risk": "double",
}


@dataclass
class Position(Storable):
    """What the desk holds of one symbol; it lives in the graph only."""

    symbol: str = ""
    quantity: int = 0
    avg_cost: float = 0.0
    current_price: float = 0.0
    volatility: float = 0.0


_market_value = Field("current_price") * Field("quantity")
_exposure = If(_market_value < Const(0), -_market_value, _market_value)
RESULTS: dict[str, Expr] = {
    "market_value": _market_value,
    "unrealized_pnl": (Field("current_price") - Field("avg_cost")) * Field("quantity"),
    # Value at risk over one day at 99 %, normal returns (Hull, "Risk Management and Financial Institutions", ch. 13).
    "risk": _exposure * Field("volatility") * Const(2.326 / 252**0.5),
}


class RiskBook:
    """Positions in a reactive graph; whatever changes one writes a row of risk.

    Attributes:
        time: The market's time: that of the latest prices.
    """

    def __init__(self, writer: TableWriter, steps_per_year: float) -> None:
        self._graph = ReactiveGraph()
        self._writer = writer
        self._positions: dict[str, Position] = {}
        self._nodes: dict[str, str] = {}
        self._steps_per_year = steps_per_year
        self.time = datetime.now(timezone.utc)

    def reprice(self, step: PriceStep) -> None:
        """Take new prices over."""
        self.time = step.time
        for symbol, price in step.prices:
            if symbol not in self._nodes:
                self._track(symbol, price)
                continue
            position = self._positions[symbol]
            # Exponentially weighted variance (RiskMetrics, decay 0.94), scaled to a year.
            move = price / position.current_price - 1
            variance = 0.94 * position.volatility**2 + 0.06 * move**2 * self._steps_per_year
            self._graph.batch_update(self._nodes[symbol], {"current_price": price, "volatility": variance**0.5})

    def book(self, trade: Trade) -> None:
        """Take a trade into its position, at average cost."""
        if trade.symbol not in self._nodes:
            self._track(trade.symbol, trade.price)
        position = self._positions[trade.symbol]
        traded = trade.quantity if trade.side == "BUY" else -trade.quantity
        _, cost, _ = average_cost(position.quantity, position.avg_cost, traded, trade.price)
        after = position.quantity + traded
        self._graph.batch_update(self._nodes[trade.symbol], {"quantity": after, "avg_cost": cost})

    def price(self, symbol: str) -> float:
        """Return a symbol's current price."""
        return self._positions[symbol].current_price

    @property
    def symbols(self) -> list[str]:
        """The symbols that have a price."""
        return list(self._nodes)

    def _track(self, symbol: str, price: float) -> None:
        position = Position(symbol=symbol, current_price=price, volatility=0.25)
        node = self._graph.track(position)
        self._positions[symbol], self._nodes[symbol] = position, node
        for name, expression in RESULTS.items():
            self._graph.computed(node, name, expression)
        self._graph.node_effect(node, self._push)

    def _push(self, node: str, position: Position) -> None:
        self._writer.write_row(
            position.symbol,
            self.time,
            position.quantity,
            position.avg_cost,
            position.current_price,
            position.volatility,
            *(self._graph.get(node, name) for name in RESULTS),
        )
