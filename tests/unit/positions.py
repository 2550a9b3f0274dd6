"""A graph of positions, and a callback that remembers its calls."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from reactive.expr import Field
from reactive.graph import ReactiveGraph


class Side(Enum):
    BUY = "B"
    SELL = "S"


@dataclass
class Position:
    symbol: str = ""
    quantity: int = 0
    price: float | None = 0.0
    cost: float = 0.0
    value: float = 0.0
    side: Side = Side.BUY


VALUE = Field("price") * Field("quantity")


def book(*prices: float | None, quantity: int = 100) -> tuple[ReactiveGraph, list[str]]:
    """Return a graph of positions with a computed `mv`."""
    graph = ReactiveGraph()
    nodes = [graph.track(Position(f"S{place}", quantity, price)) for place, price in enumerate(prices)]
    for node in nodes:
        graph.computed(node, "mv", VALUE)
    return graph, nodes


class Calls(list[tuple[str, Any]]):
    """An effect's callback that remembers its calls."""

    def __call__(self, name: str, value: Any) -> None:
        self.append((name, value))

    @property
    def values(self) -> list[Any]:
        return [value for _, value in self]
