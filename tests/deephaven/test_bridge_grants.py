"""A bridge whose user does not read everything: what is shared later appears with its history, once."""

from __future__ import annotations

from store.models import Order
from store.permissions import share_read, unshare
from tests.fix_bridge import Bridges, order, rows
from tests.fix_postgres import StoreDatabase

SECONDS = 30.0


def test_bridge_entity_shared_later_appears_with_its_history_once(bridges: Bridges, store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    shared = order()
    entity = alice.write(shared)
    own = store_db.client("bob").write(order("MSFT"))
    bridge = bridges(Order, user="bob").start()
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.table(Order), "EntityId", "Version") == [(own, 1)]
    share_read(alice.conn, entity, "bob")
    shared.quantity = 200
    alice.update(shared)
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.table(Order), "EntityId", "Version") == [(own, 1), (entity, 1), (entity, 2)]
    unshare(alice.conn, entity, "bob")
    shared.quantity = 300
    alice.update(shared)
    share_read(alice.conn, entity, "bob")
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.table(Order), "EntityId", "Version") == [(own, 1), (entity, 1), (entity, 2), (entity, 3)]
    assert sorted(rows(bridge.live(Order), "symbol", "quantity")) == [("AAPL", 300), ("MSFT", 100)]
    assert bridge.lag() == (0, 0.0)
