"""Transactions: all or nothing in the database and in memory, per thread and per task, nested as savepoints."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store.client import StoreClient
from store.errors import ConnectionLost, StoreError, TransactionConflict, VersionConflict
from store.events import ChangeEvent, EventBus
from store.models import Trade
from store.pool import POOL_SIZE
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers


def trade(quantity: int = 100) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


class Deliberate(Exception):
    pass


def test_transaction_that_raises_undoes_every_call_and_every_object(store_db: StoreDatabase) -> None:
    client = store_db.client()
    kept, fresh, gone = trade(1), trade(2), trade(3)
    client.write(kept)
    client.write(gone)
    kept_meta, gone_meta = kept._metadata, gone._metadata
    kept.quantity = 7
    with pytest.raises(Deliberate), client.transaction():
        client.update(kept)
        client.write(fresh)
        client.delete(gone)
        assert client.count(Trade) == 2
        raise Deliberate
    assert (kept.quantity, kept._metadata) == (7, kept_meta)
    assert fresh.entity_id is None
    assert (gone.quantity, gone._metadata) == (3, gone_meta)
    client.update(kept)  # the edit is still unsaved, so it can be saved now
    assert client.read(Trade, str(kept.entity_id)) == trade(7)
    assert client.count(Trade) == 2


def test_transaction_events_of_one_transaction_share_one_tx_time(store_db: StoreDatabase) -> None:
    client = store_db.client()
    first, second = trade(1), trade(2)
    with client.transaction():
        client.write(first)
        client.write(second)
        client.write_many([third := trade(3)])
    assert first.tx_time == second.tx_time == third.tx_time
    assert first.tx_time is not None
    assert client.count(Trade, tx_time=first.tx_time) == 3


def test_transaction_changing_one_entity_twice_keeps_its_order(store_db: StoreDatabase) -> None:
    client = store_db.client()
    obj = trade(1)
    with client.transaction():
        entity_id = client.write(obj)
        obj.quantity = 2
        client.update(obj)
    first, second = client.history(Trade, entity_id)
    assert first.tx_time is not None and second.tx_time is not None
    assert first.tx_time < second.tx_time
    assert [event["event_type"] for event in client.audit(entity_id)] == ["CREATED", "UPDATED"]


def test_nested_transaction_that_raises_undoes_only_itself(store_db: StoreDatabase) -> None:
    client = store_db.client()
    outer, inner = trade(1), trade(2)
    with client.transaction():
        client.write(outer)
        outer.quantity = 10
        with pytest.raises(Deliberate), client.transaction():
            client.update(outer)
            client.write(inner)
            raise Deliberate
        assert (outer.version, outer.quantity) == (1, 10)
        assert inner.entity_id is None
        client.update(outer)
    assert client.read(Trade, str(outer.entity_id)) == trade(10)
    assert client.count(Trade) == 1


def test_nested_transaction_saves_the_outer_one_from_a_failed_call(store_db: StoreDatabase) -> None:
    client = store_db.client()
    obj = trade(1)
    entity_id = client.write(obj)
    stale = client.read(Trade, entity_id)
    assert stale is not None
    obj.quantity = 2
    client.update(obj)
    with client.transaction():
        client.write(trade(3))
        with pytest.raises(VersionConflict), client.transaction():
            client.update(stale)
        client.write(trade(4))
    assert client.count(Trade) == 3


def test_transaction_with_a_swallowed_failure_is_an_error_and_not_a_silent_rollback(store_db: StoreDatabase) -> None:
    client = store_db.client()
    obj = trade(1)
    entity_id = client.write(obj)
    stale = client.read(Trade, entity_id)
    assert stale is not None
    obj.quantity = 2
    client.update(obj)
    with pytest.raises(StoreError, match=r"nested transaction\(\)"), client.transaction():
        fresh = trade(3)
        client.write(fresh)
        with pytest.raises(VersionConflict):
            client.update(stale)
        with pytest.raises(StoreError, match=r"a call in this transaction failed.*nested transaction\(\)"):
            client.count(Trade)
    assert fresh.entity_id is None
    assert client.count(Trade) == 1


def test_transaction_announces_its_events_after_the_commit_and_never_without_one(store_db: StoreDatabase) -> None:
    bus, seen = EventBus(), list[ChangeEvent]()
    client, other = store_db.client(event_bus=bus), store_db.client()

    def visible(event: ChangeEvent) -> None:
        assert other.read(Trade, event.entity_id) is not None
        seen.append(event)

    bus.on("Trade", visible)
    with client.transaction():
        client.write(trade(1))
        assert seen == []
    assert [event.event_type for event in seen] == ["CREATED"]
    with pytest.raises(Deliberate), client.transaction():
        client.write(trade(2))
        raise Deliberate
    assert len(seen) == 1


def test_transaction_of_one_thread_is_not_seen_or_joined_by_another(store_db: StoreDatabase) -> None:
    client = store_db.client()
    with ThreadPoolExecutor(1) as pool, client.transaction():
        client.write(trade(1))
        assert pool.submit(client.count, Trade).result() == 0
        pool.submit(client.write, trade(2)).result()
        assert pool.submit(client.count, Trade).result() == 1
    assert client.count(Trade) == 2


def test_transaction_of_one_task_is_not_joined_by_another(store_db: StoreDatabase) -> None:
    client = store_db.client()

    async def undone(started: asyncio.Event, end: asyncio.Event) -> None:
        with pytest.raises(Deliberate), client.transaction():
            client.write(trade(1))
            started.set()
            child = asyncio.create_task(kept(started))  # inherits the context, not the transaction
            await child
            await end.wait()
            raise Deliberate

    async def kept(started: asyncio.Event) -> None:
        await started.wait()
        client.write(trade(2))

    async def main() -> None:
        started, end = asyncio.Event(), asyncio.Event()
        tasks = [asyncio.create_task(undone(started, end)), asyncio.create_task(kept(started))]
        await tasks[1]
        end.set()
        await tasks[0]

    asyncio.run(main())
    assert [obj.quantity for obj in client.query(Trade)] == [2, 2]


def test_client_shared_by_more_threads_than_connections_serves_all(store_db: StoreDatabase) -> None:
    client = store_db.client()
    barrier = threading.Barrier(24)

    def work(number: int) -> str:
        barrier.wait(120)
        with client.transaction():
            return client.write(trade(number + 1))

    with ThreadPoolExecutor(24) as pool:
        ids = list(pool.map(work, range(24)))
    assert len(set(ids)) == 24
    assert client.count(Trade) == 24


def test_client_shared_by_more_tasks_than_connections_serves_all(store_db: StoreDatabase) -> None:
    client = store_db.client()

    async def work(number: int) -> None:
        with client.transaction():
            client.write(trade(number + 1))
            open_ones.append(number)
            while len(open_ones) < 20:  # every task's transaction is open at once
                await asyncio.sleep(0)
            client.write(trade(number + 1))

    async def main() -> None:
        await asyncio.gather(*(work(number) for number in range(20)))

    open_ones: list[int] = []
    asyncio.run(main())
    assert client.count(Trade) == 40
    assert client.stats().pool.idle <= POOL_SIZE


def test_client_whose_connections_all_stay_in_use_says_so(
    store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.pool.LONGEST_WAIT", 0.05)
    client = store_db.client()
    done, barrier = threading.Event(), threading.Barrier(POOL_SIZE + 1)

    def keep(number: int) -> None:
        with client.transaction():
            barrier.wait(120)
            done.wait(120)

    with ThreadPoolExecutor(POOL_SIZE) as pool:
        kept = [pool.submit(keep, number) for number in range(POOL_SIZE)]
        barrier.wait(120)
        try:
            with pytest.raises(StoreError, match="none of this client's 8 connections has become free"):
                client.write(trade(1))
        finally:
            done.set()
        for future in kept:
            future.result()
    client.write(trade(1))


@pytest.mark.parametrize("command", ["COMMIT", "ROLLBACK"])
def test_transaction_ended_by_hand_inside_its_block_is_an_error(store_db: StoreDatabase, command: str) -> None:
    client = store_db.client()
    own = trade(1)
    with pytest.raises(StoreError, match="ended this transaction inside its block"), client.transaction():
        client.write(own)
        with client.conn.cursor() as cursor:
            cursor.execute(command)
    assert own.entity_id is None
    assert client.count(Trade) == (command == "COMMIT")


def test_two_transactions_that_deadlock_leave_one_with_a_retryable_error(store_db: StoreDatabase) -> None:
    client = store_db.client()
    ids = client.write_many([trade(1), trade(2)])
    both_hold_one = threading.Barrier(2)

    def cross(order: list[str]) -> str:
        own = StoreClient(**store_db.login("alice"))
        try:
            objects = [own.read(Trade, entity_id) for entity_id in order]
            try:
                with own.transaction():
                    for number, obj in enumerate(objects):
                        assert obj is not None
                        obj.quantity += 10
                        own.update(obj)
                        if number == 0:
                            both_hold_one.wait(120)
            except (TransactionConflict, VersionConflict) as error:
                return type(error).__name__
            return "committed"
        finally:
            own.close()

    with ThreadPoolExecutor(2) as pool:
        results = sorted(pool.map(cross, [ids, ids[::-1]]))
    assert results == ["TransactionConflict", "committed"]


def test_version_race_has_one_winner_and_conflicts_that_name_the_facts(store_db: StoreDatabase) -> None:
    client = store_db.client()
    entity_id = client.write(trade(1))
    barrier = threading.Barrier(6)

    def race(number: int) -> VersionConflict | None:
        obj = client.read(Trade, entity_id)
        assert obj is not None
        obj.quantity = number + 10
        barrier.wait(120)
        try:
            client.update(obj)
        except VersionConflict as conflict:
            assert (obj.version, obj.quantity) == (1, number + 10)
            return conflict
        return None

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(race, range(6)))
    conflicts = [outcome for outcome in outcomes if outcome is not None]
    assert len(conflicts) == 5
    assert {(c.entity_id, c.expected, c.actual) for c in conflicts} == {(entity_id, 1, 2)}
    assert len(client.history(Trade, entity_id)) == 2


def test_idle_connection_that_the_server_ended_is_replaced_before_the_next_call(store_db: StoreDatabase) -> None:
    client = store_db.client()
    entity_id = client.write(trade(1))
    with store_db.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'alice'")
    admin.close()
    assert client.read(Trade, entity_id) == trade(1)


def test_connection_lost_during_a_change_says_that_the_outcome_is_open(store_db: StoreDatabase) -> None:
    client = store_db.client()
    obj = trade(1)
    entity_id = client.write(obj)
    blocker = store_db.admin()
    with blocker.cursor() as cursor:
        cursor.execute("SELECT 1 FROM store.object_heads WHERE entity_id = %s FOR UPDATE", (entity_id,))
    obj.quantity = 2
    with ThreadPoolExecutor(1) as pool:
        update = pool.submit(client.update, obj)
        with store_db.admin() as killer, killer.cursor() as cursor:
            killer.autocommit = True

            def waiting() -> bool:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'alice' AND wait_event_type = 'Lock'"
                )
                return cursor.rowcount > 0

            wait_until(waiting, message="the update to wait for the lock")
        with pytest.raises(ConnectionLost, match="idempotency_key") as caught:
            update.result()
    assert caught.value.ambiguous
    assert (obj.version, obj.quantity) == (1, 2)
    blocker.rollback()
    client.update(obj)
    assert obj.version == 2


def test_closed_client_says_so(store_db: StoreDatabase) -> None:
    client = store_db.client()
    client.close()
    for call in (lambda: client.count(Trade), lambda: client.conn):
        with pytest.raises(StoreError, match="closed"):
            call()


def test_client_is_neither_copied_nor_sent_to_another_process(store_db: StoreDatabase) -> None:
    client = store_db.client()
    for call in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="make a new StoreClient"):
            call(client)


@pytest.mark.parametrize(
    ("grantees", "told"),
    [
        ("bob", r"readers takes a list of names: write readers=\['bob'\]"),
        (None, "readers takes a list of names, not None"),
        ([None], "readers: expected str, found None"),
        (["bo\x00b"], "readers: expected text without NUL characters"),
        (["\ud800"], "readers: expected valid Unicode text"),
    ],
)
def test_client_refuses_grantees_that_are_no_names(store_db: StoreDatabase, grantees: Any, told: str) -> None:
    with pytest.raises(StoreError, match=told):
        store_db.client(readers=grantees)


def test_client_refuses_an_event_bus_that_is_none(store_db: StoreDatabase) -> None:
    with pytest.raises(StoreError, match="event_bus takes an EventBus, not 5"):
        store_db.client(event_bus=5)


def test_wrong_password_is_a_connection_error_without_the_password(store_db: StoreDatabase) -> None:
    with pytest.raises(ConnectionLost, match="alice") as caught:
        StoreClient(**{**store_db.login("alice"), "password": "not-the-one"})
    assert "not-the-one" not in str(caught.value)
    assert isinstance(caught.value, StoreError)
