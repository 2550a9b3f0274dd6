"""A graph that saves to a real store: what is saved when, with others writing in between, and without a server."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from reactive import Field, ReactiveGraph, auto_persist_effect
from reactive.graph import Effect
from store.base import Storable
from store.client import StoreClient
from store.errors import StoreError, VersionConflict
from store.server import ObjectStoreServer
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase


class Selling(StateMachine):
    initial = "HELD"
    transitions = [Transition("HELD", "SOLD", guard=Field("notional") > 0)]  # noqa: RUF012


@dataclass
class Holding(Storable, state_machine=Selling):
    symbol: str = ""
    quantity: int = 0
    price: float = 0.0
    notional: float = 0.0


def persisted(client: StoreClient, holding: Holding) -> tuple[ReactiveGraph, str, Effect]:
    """Return a graph of one holding, whose notional is computed and saved."""
    graph = ReactiveGraph()
    node = graph.track(holding)
    graph.computed(node, "notional", Field("price") * Field("quantity"))
    return graph, node, auto_persist_effect(graph, node, client, holding)


def stored(client: StoreClient, holding: Holding) -> Holding:
    assert holding.entity_id is not None
    found = client.read(Holding, holding.entity_id)
    assert found is not None
    return found


def test_auto_persist_saves_changes_and_survives_conflicts(store_db: StoreDatabase) -> None:
    client = store_db.client("alice")
    holding = Holding(symbol="AAPL", quantity=100, price=220.0)
    graph, node, _ = persisted(client, holding)
    graph.batch_update(node, {"price": 230.0, "quantity": 50})
    assert (holding.version, holding.notional) == (2, 11500.0)

    other = store_db.client("alice")
    theirs = stored(other, holding)
    theirs.quantity = 10
    other.update(theirs)

    graph.update(node, "price", 231.0)
    found = stored(client, holding)
    assert (found.version, found.quantity, found.price, found.notional) == (4, 10, 231.0, 2310.0)
    assert graph.get(node, "notional") == 2310.0
    assert [entry["event_type"] for entry in client.audit(holding.entity_id)] == ["CREATED"] + ["UPDATED"] * 3


def test_two_graphs_on_one_entity_lose_no_change_of_either(store_db: StoreDatabase) -> None:
    first = Holding(symbol="AAPL", quantity=100, price=220.0)
    one, one_node, _ = persisted(store_db.client("alice"), first)
    client = store_db.client("alice")
    second = stored(client, first)
    two, two_node, _ = persisted(client, second)
    failures: list[BaseException] = []

    def change(graph: ReactiveGraph, node: str, field: str) -> None:
        try:
            for number in range(1, 16):
                graph.update(node, field, number)
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=change, args=(one, one_node, "quantity")),
        threading.Thread(target=change, args=(two, two_node, "price")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    # Each has the last word on its own field, and the next save of either takes in the other's.
    one.update(one_node, "symbol", "MSFT")
    two.update(two_node, "symbol", "TSLA")
    found = stored(client, first)
    assert (found.symbol, found.quantity, found.price, found.notional) == ("TSLA", 15, 15.0, 225.0)
    quantities = [version.quantity for version in client.history(Holding, str(first.entity_id))]
    assert sorted(set(quantities), key=quantities.index) == [100, *range(1, 16)]


def test_auto_persist_goes_on_after_transitions(store_db: StoreDatabase) -> None:
    client = store_db.client("alice")
    holding = Holding(symbol="AAPL", quantity=100, price=220.0)
    graph, node, effect = persisted(client, holding)
    client.transition(holding, "SOLD")
    graph.update(node, "price", 221.0)
    assert (holding.version, holding.state, effect.error) == (3, "SOLD", None)
    found = stored(client, holding)
    assert (found.state, found.price, found.notional) == ("SOLD", 221.0, 22100.0)


def test_transition_by_somebody_else_is_taken_in(store_db: StoreDatabase) -> None:
    client = store_db.client("alice")
    holding = Holding(symbol="AAPL", quantity=100, price=220.0)
    graph, node, effect = persisted(client, holding)
    other = store_db.client("alice")
    other.transition(stored(other, holding), "SOLD")
    graph.update(node, "price", 221.0)
    assert effect.error is None
    assert (holding.version, holding.state, stored(client, holding).price) == (3, "SOLD", 221.0)


def test_entity_deleted_by_somebody_else_is_an_error_that_shows(
    store_db: StoreDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    client = store_db.client("alice")
    holding = Holding(symbol="AAPL", quantity=100, price=220.0)
    graph, node, effect = persisted(client, holding)
    other = store_db.client("alice")
    other.delete(stored(other, holding))
    with caplog.at_level(logging.ERROR):
        graph.update(node, "price", 221.0)
    assert isinstance(effect.error, (VersionConflict, StoreError))
    assert "failed" in caplog.text
    assert graph.get(node, "notional") == 22100.0


def test_value_that_the_store_refuses_is_kept_and_made_good(store_db: StoreDatabase) -> None:
    client = store_db.client("alice")
    holding = Holding(symbol="AAPL", quantity=100, price=220.0)
    graph, node, effect = persisted(client, holding)
    graph.update(node, "price", float("nan"))
    assert "use None" in str(effect.error)
    assert stored(client, holding).price == 220.0
    graph.update(node, "price", 222.0)
    assert effect.error is None
    assert (stored(client, holding).version, stored(client, holding).price) == (2, 222.0)


def test_changes_in_a_running_event_loop_and_from_threads_are_saved(store_db: StoreDatabase) -> None:
    client = store_db.client("alice")
    holding = Holding(symbol="AAPL", quantity=100, price=220.0)
    graph, node, effect = persisted(client, holding)

    async def trade() -> None:
        graph.update(node, "price", 1.0)
        await asyncio.gather(*(asyncio.to_thread(graph.update, node, "price", float(n)) for n in range(2, 12)))

    asyncio.run(trade())
    assert effect.error is None
    assert (stored(client, holding).price, holding.version) == (graph.get(node, "price"), 12)


def test_without_a_server_nothing_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    login = {"user": "alice", "password": "alice_pw"}
    server = ObjectStoreServer(tmp_path / "data")
    with server:
        server.provision_user("alice", "alice_pw")
        client = StoreClient(**login, **server.conn_info())
        holding = Holding(symbol="AAPL", quantity=100, price=220.0)
        graph, node, effect = persisted(client, holding)
    with caplog.at_level(logging.ERROR, "reactive.graph"):
        graph.update(node, "price", 221.0)
        graph.update(node, "symbol", "MSFT")
    assert isinstance(effect.error, StoreError)
    assert f"the effect on {node} failed" in caplog.text
    assert graph.get(node, "notional") == 22100.0
    with server:
        effect.repeat()
        assert effect.error is None
        found = stored(client, holding)
        assert (found.version, found.symbol, found.price, found.notional) == (2, "MSFT", 221.0, 22100.0)
        client.close()


def test_query_takes_a_bound_expression(store_db: StoreDatabase) -> None:
    client = store_db.client("alice")
    client.write_many(
        [Holding(symbol=symbol, quantity=10, price=price) for symbol, price in [("A", 1.0), ("B", 200.0)]]
    )
    rich = (Field("price") * Field("quantity") > 1000) & (Field("symbol") >= "A")
    assert [holding.symbol for holding in client.query(Holding, filters=rich.bind(Holding))] == ["B"]
