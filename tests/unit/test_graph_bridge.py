"""Saving what a graph computes: when, what, and on top of whose version."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

import pytest

from reactive.bridge import auto_persist_effect
from reactive.errors import GraphError
from reactive.expr import Field
from reactive.graph import ReactiveGraph


class VersionConflict(Exception):
    """Recognised by its name, as the store's own is."""


@dataclass
class Position:
    symbol: str = "AAPL"
    quantity: int = 100
    price: float = 1.0
    value: float = 0.0
    lots: int = 0
    fee: Decimal = Decimal("0")

    def __post_init__(self) -> None:
        self.entity_id: str | None = None
        self._metadata: int | None = None
        self._stored: dict[str, Any] | None = None

    def _bind(self, metadata: int | None, stored: dict[str, Any] | None) -> None:
        self._metadata, self._stored = metadata, stored


def data(obj: Position) -> dict[str, Any]:
    return {field.name: getattr(obj, field.name) for field in fields(obj)}


class FakeClient:
    """One entity with optimistic versions, and a log of what was stored."""

    def __init__(self) -> None:
        self.version = 0
        self.data: dict[str, Any] = {}
        self.log: list[tuple[int, dict[str, Any]]] = []
        self.failing: Exception | None = None

    def write(self, obj: Position) -> None:
        obj.entity_id = "id"
        self._append(obj, data(obj))

    def update(self, obj: Position) -> None:
        if self.failing is not None:
            raise self.failing
        if obj._metadata != self.version:
            raise VersionConflict(f"{obj._metadata} is not {self.version}")
        assert obj._stored is not None
        self._append(obj, {name: value for name, value in data(obj).items() if value != obj._stored[name]})

    def _append(self, obj: Position, changed: dict[str, Any]) -> None:
        self.version += 1
        self.data = {**self.data, **changed}
        self.log.append((self.version, changed))
        obj._bind(self.version, dict(self.data))

    def read(self, cls: type[Position], entity_id: str) -> Position | None:
        if not self.data:
            return None
        obj = cls(**copy.deepcopy(self.data))
        obj.entity_id = entity_id
        obj._bind(self.version, dict(self.data))
        return obj

    def somebody_else(self, **changed: Any) -> None:
        other = self.read(Position, "id")
        assert other is not None
        for name, value in changed.items():
            setattr(other, name, value)
        self.update(other)


def persisted() -> tuple[ReactiveGraph, str, FakeClient, Position]:
    graph, client, position = ReactiveGraph(), FakeClient(), Position()
    node = graph.track(position)
    graph.computed(node, "value", Field("price") * Field("quantity"))
    graph.computed(node, "risk", Field("value") * 2)
    auto_persist_effect(graph, node, client, position)
    return graph, node, client, position


def test_new_object_is_written_with_what_is_computed() -> None:
    _, _, client, position = persisted()
    assert client.log == [(1, {**data(Position()), "value": 100.0})]
    assert position.value == 100.0


def test_each_settled_change_is_one_update_of_fields_and_computed_values() -> None:
    graph, node, client, position = persisted()
    graph.update(node, "price", 2.0)
    graph.batch_update(node, {"price": 3.0, "quantity": 10, "symbol": "MSFT"})
    graph.update(node, "symbol", "MSFT")
    assert client.log[1:] == [
        (2, {"price": 2.0, "value": 200.0}),
        (3, {"symbol": "MSFT", "quantity": 10, "price": 3.0, "value": 30.0}),
    ]
    assert (position._metadata, position.value) == (3, 30.0)


def test_object_already_stored_is_saved_only_if_something_differs() -> None:
    graph, client, position = ReactiveGraph(), FakeClient(), Position(value=100.0)
    client.write(position)
    node = graph.track(position)
    graph.computed(node, "value", Field("price") * Field("quantity"))
    auto_persist_effect(graph, node, client, position)
    assert len(client.log) == 1


def test_doubles_become_the_exact_numbers_that_fields_are_declared_as() -> None:
    graph, node, client, _ = persisted()
    graph.computed(node, "lots", Field("quantity") / 10)
    graph.computed(node, "fee", Field("value") * 0.001)
    assert client.data["lots"] == 10
    assert type(client.data["lots"]) is int
    assert client.data["fee"] == Decimal("0.1")


def test_conflict_takes_in_what_somebody_else_changed_and_saves_on_top() -> None:
    graph, node, client, position = persisted()
    client.somebody_else(quantity=40, symbol="TSLA")
    graph.update(node, "price", 2.0)
    assert client.log[2:] == [(3, {"price": 2.0, "value": 80.0})]
    assert (position.quantity, position.symbol, position._metadata) == (40, "TSLA", 3)
    assert graph.get(node, "risk") == 160.0


def test_conflict_over_the_same_field_keeps_ours_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    graph, node, client, _ = persisted()
    client.somebody_else(price=9.0)
    graph.update(node, "price", 2.0)
    assert client.data["price"] == 2.0
    assert "price changed here and by somebody else; kept as here" in caplog.text


def test_conflict_without_end_is_logged_and_made_good_later(caplog: pytest.LogCaptureFixture) -> None:
    graph, node, client, _ = persisted()
    client.failing = VersionConflict("always")
    with caplog.at_level(logging.ERROR):
        graph.update(node, "price", 2.0)
    assert "VersionConflict: always" in caplog.text
    client.failing = None
    graph.update(node, "symbol", "X")
    assert client.log[1:] == [(2, {"price": 2.0, "symbol": "X", "value": 200.0})]


def test_failed_save_is_logged_and_made_good_with_the_next_change(caplog: pytest.LogCaptureFixture) -> None:
    graph, node, client, _ = persisted()
    client.failing = ConnectionError("gone")
    graph.update(node, "price", 2.0)
    assert "ConnectionError: gone" in caplog.text
    client.failing = None
    graph.update(node, "quantity", 10)
    assert client.log[1:] == [(2, {"price": 2.0, "quantity": 10, "value": 20.0})]


def test_value_that_cannot_be_computed_keeps_its_last_in_the_store(caplog: pytest.LogCaptureFixture) -> None:
    graph, node, client, _ = persisted()
    graph.batch_update(node, {"quantity": "many", "symbol": "Y"})
    assert "value keeps its last value" in caplog.text
    assert client.log[1:] == [(2, {"quantity": "many", "symbol": "Y"})]


def test_removed_effect_saves_no_more() -> None:
    graph, client, position = ReactiveGraph(), FakeClient(), Position()
    node = graph.track(position)
    effect = auto_persist_effect(graph, node, client, position)
    graph.remove_effect(effect)
    graph.update(node, "price", 5.0)
    assert len(client.log) == 1


def test_what_is_no_record_is_refused() -> None:
    graph = ReactiveGraph()
    node = graph.track(Position())
    with pytest.raises(GraphError, match="cannot be saved"):
        auto_persist_effect(graph, node, FakeClient(), 5)
