"""A graph that saves to a real store, with somebody else writing in between."""

from __future__ import annotations

from dataclasses import dataclass

from reactive import Field, ReactiveGraph, auto_persist_effect
from store.base import Storable
from tests.fix_postgres import StoreDatabase


@dataclass
class Holding(Storable):
    symbol: str = ""
    quantity: int = 0
    price: float = 0.0
    notional: float = 0.0


def test_auto_persist_saves_changes_and_survives_conflicts(store_db: StoreDatabase) -> None:
    client = store_db.client("alice")
    holding = Holding(symbol="AAPL", quantity=100, price=220.0)
    graph = ReactiveGraph()
    node = graph.track(holding)
    graph.computed(node, "notional", Field("price") * Field("quantity"))
    auto_persist_effect(graph, node, client, holding)
    entity_id = holding.entity_id
    assert entity_id is not None
    graph.batch_update(node, {"price": 230.0, "quantity": 50})
    assert (holding.version, holding.notional) == (2, 11500.0)

    other = store_db.client("alice")
    theirs = other.read(Holding, entity_id)
    assert theirs is not None
    theirs.quantity = 10
    other.update(theirs)

    graph.update(node, "price", 231.0)
    stored = client.read(Holding, entity_id)
    assert stored is not None
    assert (stored.version, stored.quantity, stored.price, stored.notional) == (4, 10, 231.0, 2310.0)
    assert graph.get(node, "notional") == 2310.0
    assert [entry["event_type"] for entry in client.audit(entity_id)] == ["CREATED", "UPDATED", "UPDATED", "UPDATED"]


def test_query_takes_a_bound_expression(store_db: StoreDatabase) -> None:
    client = store_db.client("alice")
    client.write_many(
        [Holding(symbol=symbol, quantity=10, price=price) for symbol, price in [("A", 1.0), ("B", 200.0)]]
    )
    rich = (Field("price") * Field("quantity") > 1000) & (Field("symbol") >= "A")
    assert [holding.symbol for holding in client.query(Holding, filters=rich.bind(Holding))] == ["B"]
