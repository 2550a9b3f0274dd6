"""Heads that a valid time has overtaken are brought up to date by those who may change them: queries fold no log."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from store.client import StoreClient
from store.models import Trade
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import assert_as_read
from tests.waiting import wait_until
from workflow.dbos_engine import DBOSEngine

pytestmark = pytest.mark.both_servers


def has_come(moment: datetime) -> bool:
    return datetime.now(timezone.utc) > moment


def schedule(client: StoreClient, count: int) -> list[Trade]:
    """Write trades of 1 whose quantity will be 2 in a moment, and wait until it is."""
    for seconds in (1, 10, 100):
        trades = [Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY") for _ in range(count)]
        client.write_many(trades)
        due = datetime.now(timezone.utc) + timedelta(seconds=seconds)
        for trade in trades:
            trade.quantity = 2
        client.update_many(trades, valid_from=due)
        if all(trade.quantity == 1 for trade in trades):
            wait_until(partial(has_come, due), 2.0 * seconds)
            return trades
        for trade in trades:
            client.delete(trade)
    raise AssertionError("a hundred seconds were not enough for a few calls")


def overdue(store_db: StoreDatabase, user: str) -> int:
    with closing(store_db.admin()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM store.object_heads WHERE due <= clock_timestamp() AND owner = %s", (user,))
        row: Any = cursor.fetchone()
        return int(row[0])


def settle(conn: Any, limit: int = 1000) -> None:
    with conn.cursor() as cursor:
        cursor.execute("SELECT store.settle(%s)", (limit,))


def test_heads_are_settled_by_those_who_may_change_them(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    trades = schedule(alice, 5)
    schedule(bob, 1)
    shared = store_db.client("alice", writers=["bob"])
    schedule(shared, 1)
    reading = store_db.connect("alice")
    reading.set_session(readonly=True, autocommit=True)
    settle(reading)
    assert overdue(store_db, "alice") == 6

    conn = store_db.connect("bob")
    settle(conn)  # and so locks, until it commits, what bob may lock anyway
    conn.commit()
    assert (overdue(store_db, "alice"), overdue(store_db, "bob")) == (5, 0)
    for trade in trades[:2]:
        trade.quantity = 3
    alice.update_many(trades[:2])
    assert overdue(store_db, "alice") == 3

    own = store_db.connect("alice")
    settle(own, 2)
    own.commit()
    assert overdue(store_db, "alice") == 1
    settle(own)
    own.commit()
    assert overdue(store_db, "alice") == 0
    assert sorted(trade.quantity for trade in alice.query(Trade)) == [2, 2, 2, 2, 3, 3]
    with closing(store_db.admin()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT * FROM store.differences()")
        assert cursor.fetchall() == []


def test_update_many_of_what_was_read_before_it_was_settled_leaves_what_read_returns(store_db: StoreDatabase) -> None:
    """The version is the same, the state is not: what the writer holds and sends says nothing of what it comes to."""
    alice = store_db.client("alice")
    trades = schedule(alice, 2)
    engine = store_db.connect("alice")
    settle(engine)
    engine.commit()
    assert overdue(store_db, "alice") == 0
    for trade in trades:
        assert trade.quantity == 1
        trade.price = 5.0
    alice.update_many(trades)
    for trade in trades:
        assert (trade.quantity, trade.price) == (2, 5.0)
        assert_as_read(alice, trade)


def test_engine_settles_everybody_s(store_db: StoreDatabase) -> None:
    if not store_db.is_embedded:
        pytest.skip("the engine's login is the embedded server's")
    schedule(store_db.client("alice"), 3)
    schedule(store_db.client("bob"), 2)
    with DBOSEngine(store_db.server.dbos_url(store_db.dbname), "desk"):
        wait_until(lambda: overdue(store_db, "alice") + overdue(store_db, "bob") == 0)
    assert store_db.client("alice").count(Trade, {"quantity": 2}) == 3
