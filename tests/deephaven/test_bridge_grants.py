"""A bridge whose user does not read everything: what is shared later appears with its history, once; what is withdrawn
leaves the live table.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pytest

from reactive.expr import Field
from store.groups import add_members, create_group, remove_members
from store.models import Order, Trade
from store.permissions import share_read, unshare
from tests.fix_bridge import Bridges, order, rows, trade
from tests.fix_postgres import StoreDatabase
from tests.rounds import rounds
from tests.waiting import in_time, wait_until

SECONDS = 120.0


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


@pytest.mark.parametrize("filtered", [False, True])
def test_bridge_entity_that_is_withdrawn_leaves_the_live_table_until_it_is_granted_again(
    bridges: Bridges, store_db: StoreDatabase, filtered: bool
) -> None:
    alice = store_db.client("alice", readers=["bob"])
    kept, shared = order("MSFT"), order("AAPL")
    alice.write_many([kept, shared])
    shared.quantity = 200
    alice.update(shared)
    entity = str(shared.entity_id)
    bridge = bridges(user="bob")
    bridge.register(Order, filter=Field("quantity") > 0 if filtered else None)
    bridge.start()
    assert bridge.wait_current(SECONDS)
    before = rows(bridge.table(Order), "EntityId", "Version")
    unshare(alice.conn, entity, "bob")
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.live(Order), "symbol") == ["MSFT"]
    assert rows(bridge.table(Order), "EntityId", "Version") == before
    share_read(alice.conn, entity, "bob")
    assert bridge.wait_current(SECONDS)
    assert sorted(rows(bridge.live(Order), "symbol", "quantity", "Version")) == [("AAPL", 200, 2), ("MSFT", 100, 1)]
    assert rows(bridge.table(Order), "EntityId", "Version") == before
    # Withdrawn and granted again before anybody looked; changed while it was away.
    unshare(alice.conn, entity, "bob")
    shared.quantity = 300
    alice.update(shared, valid_from=datetime.now(timezone.utc) + timedelta(milliseconds=300))
    share_read(alice.conn, entity, "bob")
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.table(Order), "EntityId", "Version") == [*before, (entity, 3)]
    wait_until(
        lambda: sorted(rows(bridge.live(Order), "symbol", "quantity")) == [("AAPL", 300), ("MSFT", 100)], SECONDS
    )
    unshare(alice.conn, entity, "bob")
    wait_until(lambda: rows(bridge.live(Order), "symbol") == ["MSFT"], SECONDS)  # without anybody asking


def test_bridge_of_a_user_who_leaves_a_group_shows_only_what_is_left(bridges: Bridges, store_db: StoreDatabase) -> None:
    admin = store_db.admin()
    create_group(admin, "desk_of_bob", ["bob"])
    alice = store_db.client("alice")
    both = order("AAPL")
    store_db.client("alice", readers=["desk_of_bob"]).write(order("MSFT"))
    store_db.client("alice", readers=["desk_of_bob", "bob"]).write(both)
    store_db.client("bob").write(order("NVDA"))
    bridge = bridges(Order, user="bob").start()
    assert bridge.wait_current(SECONDS)
    assert sorted(rows(bridge.live(Order), "symbol")) == ["AAPL", "MSFT", "NVDA"]
    remove_members(admin, "desk_of_bob", ["bob"])
    assert bridge.wait_current(SECONDS)
    assert sorted(rows(bridge.live(Order), "symbol")) == ["AAPL", "NVDA"]
    both.quantity = 7
    alice.update(both)
    add_members(admin, "desk_of_bob", ["bob"])
    assert bridge.wait_current(SECONDS)
    assert sorted(rows(bridge.live(Order), "symbol", "quantity")) == [("AAPL", 7), ("MSFT", 100), ("NVDA", 100)]
    assert bridge.table(Order).size == 4


@pytest.mark.parametrize("filtered", [False, True])
def test_bridge_user_who_no_longer_reads_everything_shows_only_what_is_left_until_it_does_again(
    bridges: Bridges, store_db: StoreDatabase, filtered: bool
) -> None:
    user = store_db.provision("bridge_reader", reads_all=True)
    alice = store_db.client("alice")
    hidden, shared = order("AAPL"), order("MSFT")
    alice.write(hidden)
    store_db.client("alice", readers=[user]).write(shared)
    store_db.client(user).write(order("NVDA"))
    bridge = bridges(user=user)
    bridge.register(Order, filter=Field("quantity") > 0 if filtered else None)
    bridge.start()
    assert bridge.wait_current(SECONDS)
    before = rows(bridge.table(Order), "EntityId", "Version")
    assert len(before) == 3
    store_db.provision(user, reads_all=False)
    # Without anybody asking.
    wait_until(lambda: sorted(rows(bridge.live(Order), "symbol")) == ["MSFT", "NVDA"], SECONDS)
    hidden.quantity = 200
    alice.update(hidden)
    shared.quantity = 300
    alice.update(shared)
    later = order("TSLA")
    alice.write(later)
    assert bridge.wait_current(SECONDS)
    assert sorted(rows(bridge.live(Order), "symbol", "quantity")) == [("MSFT", 300), ("NVDA", 100)]
    assert rows(bridge.table(Order), "EntityId", "Version") == [*before, (shared.entity_id, 2)]
    store_db.provision(user, reads_all=True)
    assert bridge.wait_current(SECONDS)
    everything = [("AAPL", 200), ("MSFT", 300), ("NVDA", 100), ("TSLA", 100)]
    assert sorted(rows(bridge.live(Order), "symbol", "quantity")) == everything
    versions = [*before, (shared.entity_id, 2), (hidden.entity_id, 2), (later.entity_id, 1)]
    assert rows(bridge.table(Order), "EntityId", "Version") == versions
    assert bridge.lag() == (0, 0.0)
    assert bridge.stats()["Order"].events == 6
    # Taken away and given while the bridge stands still.
    bridge.stop()
    store_db.provision(user, reads_all=False)
    bridge.start()
    wait_until(lambda: sorted(rows(bridge.live(Order), "symbol")) == ["MSFT", "NVDA"], SECONDS)
    bridge.stop()
    store_db.provision(user, reads_all=True)
    bridge.start()
    wait_until(lambda: sorted(rows(bridge.live(Order), "symbol", "quantity")) == everything, SECONDS)
    assert rows(bridge.table(Order), "EntityId", "Version") == versions


def test_bridge_change_that_fell_due_while_the_entity_was_withdrawn_shows_once_it_is_granted_again(
    bridges: Bridges, store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.schedule._LOOK_SECONDS", 600.0)  # nobody looks at rights in between
    alice = store_db.client("alice", readers=["bob"])
    bridge = bridges(Order, user="bob").start()

    def withdraw(due: datetime) -> Order:
        for earlier in alice.query(Order):
            alice.delete(earlier)
        shared = order("AAPL")
        alice.write(shared)
        shared.quantity = 200
        alice.update(shared, valid_from=due)
        wait_until(lambda: bridge.stats()["Order"].scheduled == 1, 20)
        unshare(alice.conn, str(shared.entity_id), "bob")
        return shared

    _, shared = in_time(withdraw, 1.5)
    wait_until(lambda: bridge.stats()["Order"].scheduled == 0, SECONDS)
    share_read(alice.conn, str(shared.entity_id), "bob")
    wait_until(lambda: rows(bridge.live(Order), "quantity") == [200], SECONDS)
    assert bridge.table(Order).where(f"EntityId == `{shared.entity_id}`").size == 2


@pytest.mark.parametrize("seed", range(rounds(1, 10)))
def test_bridge_over_random_grants_and_withdrawals_is_live_what_its_user_reads(
    bridges: Bridges, store_db: StoreDatabase, seed: int
) -> None:
    chance = random.Random(seed)
    user = store_db.provision("bridge_reader", reads_all=False)
    alone, sharing, bob = store_db.client(), store_db.client(readers=[user]), store_db.client(user)
    bridge = bridges(Trade, user=user).start()
    trades: list[Trade] = []

    def moment() -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=chance.uniform(-0.3, 0.3))

    def change(number: int) -> None:
        kind = chance.random() if trades else 0.0
        if kind < 0.2:
            trades.append(trade(price=float(number)))
            chance.choice([alone, sharing]).write(trades[-1], valid_from=moment())
            return
        one = chance.choice(trades)
        if kind < 0.5:
            one.price, begins = float(number), moment()
            alone.update(one, valid_from=begins, valid_to=chance.choice([None, begins + timedelta(seconds=0.3)]))
        elif kind < 0.55:
            alone.delete(trades.pop(trades.index(one)))
        elif kind < 0.8:
            share_read(alone.conn, str(one.entity_id), user)
        else:
            unshare(alone.conn, str(one.entity_id), user)

    def difference() -> set[tuple[str, float, int]]:
        read = {(str(one.entity_id), one.price, one.version) for one in bob.query(Trade, limit=None)}
        return read ^ set(rows(bridge.live(Trade), "EntityId", "price", "Version"))

    for number in range(150):
        change(number)
        if number % 35 == 34:
            store_db.provision(user, reads_all=number % 70 == 34)
        if number == 80:
            bridge.stop()
        elif number == 90:
            bridge.start()
        elif number % 25 == 24:
            assert bridge.wait_current(SECONDS)
            wait_until(lambda: not difference(), SECONDS, lambda: str(difference()))
    versions = rows(bridge.table(Trade), "EntityId", "Version")
    assert len(versions) == len(set(versions))
