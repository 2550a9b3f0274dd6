"""A transaction that holds every reader of the log up is ended, within the administrator's bounds and nobody else's."""

from __future__ import annotations

import json

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from store.models import Trade
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers

ITEM = json.dumps([{"type_name": "Trade", "data": {"symbol": "AAPL"}}])


def rows(conn: Connection, text: str, *params: object) -> list[tuple[object, ...]]:
    with conn.cursor() as cursor:
        cursor.execute(text, params)
        return cursor.fetchall()


def hold(store_db: StoreDatabase, user: str = "bob") -> Connection:
    """Return a user's connection whose open transaction has a transaction id."""
    conn = store_db.connect(user)
    rows(conn, "SELECT * FROM store.create_objects(%s, '{}', '{}', false, NULL)", ITEM)
    return conn


def allow(store_db: StoreDatabase, *, idle: str = "1 hour", longest: str = "1 hour") -> None:
    with store_db.admin() as admin, admin.cursor() as cursor:
        cursor.execute("UPDATE store.limits SET idle_transaction = %s, longest_transaction = %s", (idle, longest))


def ended(store_db: StoreDatabase, by: str = "carol") -> list[object]:
    return [row[0] for row in rows(store_db.connect(by), "SELECT username, age FROM store.reap()")]


def is_gone(conn: Connection) -> bool:
    try:
        rows(conn, "SELECT 1")
    except psycopg2.OperationalError:
        return True
    return False


@pytest.mark.parametrize("bounds", [{"idle": "1 ms"}, {"longest": "1 ms"}])
def test_reap_ends_a_transaction_that_is_idle_or_open_for_too_long(
    store_db: StoreDatabase, bounds: dict[str, str]
) -> None:
    held = hold(store_db)
    allow(store_db, **bounds)
    wait_until(lambda: ended(store_db) == ["bob"])
    wait_until(lambda: is_gone(held))
    assert store_db.client("bob").count(Trade) == 0, "what it had not committed is undone"


def test_reap_lets_the_log_be_read_on(store_db: StoreDatabase) -> None:
    hold(store_db)
    reader = store_db.connect("carol")
    reader.autocommit = True
    store_db.client("alice").write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
    fence = rows(reader, "SELECT fence FROM store.watermark(0)")[0][0]
    passed = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %s::xid8"
    assert rows(reader, passed, fence) == [(False,)]
    allow(store_db, idle="1 ms")
    wait_until(lambda: rows(reader, "SELECT username FROM store.reap()") or rows(reader, passed, fence)[0][0])
    wait_until(lambda: rows(reader, passed, fence)[0][0])


def test_reap_leaves_what_keeps_the_bounds_and_what_has_no_transaction_id(store_db: StoreDatabase) -> None:
    young = hold(store_db)
    assert ended(store_db) == [], "the bounds of a new store are longer than this test has taken"
    young.rollback()
    reading = store_db.connect("bob")
    rows(reading, "SELECT count(*) FROM store.object_heads")
    allow(store_db, idle="1 us", longest="1 us")
    assert ended(store_db) == []
    assert rows(reading, "SELECT 1") == [(1,)]


def test_reap_leaves_the_administrator_and_the_caller_alone(store_db: StoreDatabase) -> None:
    admin = store_db.admin()
    rows(admin, "SELECT pg_current_xact_id()::text")
    own = hold(store_db, "bob")
    allow(store_db, idle="1 us", longest="1 us")
    assert rows(own, "SELECT username FROM store.reap()") == []
    assert not is_gone(admin)


def test_reap_ends_holders_in_other_databases_too(store_db: StoreDatabase) -> None:
    where = store_db.login("bob") | {"dbname": store_db.server.conn_info()["dbname"]}
    elsewhere = psycopg2.connect(**where)
    try:
        rows(elsewhere, "SELECT pg_current_xact_id()::text")
        allow(store_db, idle="1 ms")
        wait_until(lambda: ended(store_db) == ["bob"])
        wait_until(lambda: is_gone(elsewhere))
    finally:
        elsewhere.close()


def test_bounds_of_reap_are_not_the_users_to_change(store_db: StoreDatabase) -> None:
    bob = store_db.connect("bob")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows(bob, "UPDATE store.limits SET idle_transaction = '1 us' RETURNING 1")
    bob.rollback()
    with pytest.raises(psycopg2.errors.UndefinedFunction):
        rows(bob, "SELECT store.reap('1 us'::interval)")
