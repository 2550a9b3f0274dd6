"""A transaction that holds every reader of the log up is ended, within the administrator's bounds and nobody else's."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from store import log_reader, users
from store.models import Trade
from store.subscriptions import EventBus, SubscriptionListener
from tests.fix_postgres import StoreDatabase, password_of
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


def allow(store_db: StoreDatabase, *, idle: str = "1 hour", longest: str = "1 hour", snapshot: str = "1 hour") -> None:
    with store_db.admin() as admin, admin.cursor() as cursor:
        cursor.execute(
            "UPDATE store.limits SET idle_transaction = %s, longest_transaction = %s, longest_snapshot = %s,"
            " oldest_snapshot = 1",
            (idle, longest, snapshot),
        )


def ended(store_db: StoreDatabase, by: str = "carol") -> list[object]:
    with closing(store_db.connect(by)) as conn:
        return [row[0] for row in rows(conn, "SELECT username, age FROM store.reap()")]


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


def test_reap_ends_a_transaction_that_rests_after_an_error_which_did_not_end_it(store_db: StoreDatabase) -> None:
    held = hold(store_db)
    rows(held, "SAVEPOINT a; SELECT 1")
    with pytest.raises(psycopg2.errors.DivisionByZero):
        rows(held, "SELECT 1 / 0")
    allow(store_db, idle="1 ms")
    wait_until(lambda: ended(store_db) == ["bob"])
    wait_until(lambda: is_gone(held))


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
    reading.set_session(isolation_level="READ COMMITTED")
    rows(reading, "SELECT count(*) FROM store.object_heads")
    allow(store_db, idle="1 us", longest="1 us", snapshot="1 us")
    assert ended(store_db) == []
    assert rows(reading, "SELECT 1") == [(1,)]


READING = {
    "snapshot": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1",
    "cursor": "DECLARE mine CURSOR FOR SELECT FROM store.object_heads; FETCH mine",
}


@pytest.mark.parametrize("reading", READING)
def test_reap_ends_who_keeps_an_old_snapshot(store_db: StoreDatabase, reading: str) -> None:
    held = store_db.connect("bob")
    rows(held, READING[reading])
    allow(store_db)
    assert ended(store_db) == [], "it has not kept it for an hour"
    allow(store_db, snapshot="1 ms")
    wait_until(lambda: ended(store_db) == ["bob"])
    wait_until(lambda: is_gone(held))


def test_reap_ends_who_keeps_an_old_snapshot_and_never_rests(store_db: StoreDatabase) -> None:
    held = store_db.connect("bob")
    rows(held, READING["snapshot"])
    for _ in range(3):
        store_db.client("alice").write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
    allow(store_db, snapshot="1 s")
    with closing(store_db.admin()) as admin, ThreadPoolExecutor(1) as beside:
        began = "SELECT FROM pg_stat_activity WHERE pid = %s AND clock_timestamp() - xact_start > '1 s'"
        wait_until(lambda: rows(admin, began, held.info.backend_pid) or admin.rollback())
        statement = beside.submit(rows, held, "SELECT pg_sleep(50)")
        wait_until(lambda: ended(store_db) == ["bob"])
        assert isinstance(statement.exception(timeout=30), psycopg2.OperationalError)


def test_reap_leaves_an_administrator_who_keeps_a_snapshot(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as admin:
        users.provision_user(admin, "chief", password_of("chief"), admin=True)
    held = store_db.connect("chief")
    rows(held, READING["snapshot"])
    allow(store_db, snapshot="1 us")
    assert ended(store_db) == []


def waiting(watching: Connection, conn: Connection) -> bool:
    asked = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted"
    return bool(rows(watching, asked, conn.info.backend_pid))


def test_reap_ends_who_keeps_new_sessions_out(store_db: StoreDatabase) -> None:
    # Whoever logs in holds the database for a moment, or for as long as it says; dropping it waits for that, though the
    # user may not do so; and everybody else who logs in waits behind.
    watching, carol, bob = store_db.admin(), store_db.connect("carol"), store_db.connect("bob")
    watching.autocommit = bob.autocommit = carol.autocommit = True
    with ThreadPoolExecutor(2) as beside:
        coming = beside.submit(psycopg2.connect, **store_db.login("bob"), options="-c post_auth_delay=20")
        held = "FROM pg_locks WHERE classid = 'pg_database'::regclass AND objid <> 0 AND granted"
        wait_until(lambda: rows(watching, f"SELECT {held}"))
        dropping = beside.submit(bob.cursor().execute, f"DROP DATABASE {store_db.dbname}")
        wait_until(lambda: waiting(watching, bob))
        assert rows(carol, "SELECT username FROM store.reap()") == [("bob",)]
        assert isinstance(dropping.exception(timeout=120), psycopg2.OperationalError)
        assert store_db.client("alice").count(Trade) == 0
        rows(watching, f"SELECT pg_terminate_backend(pid) {held}")
        coming.exception(timeout=60)


def test_reap_ends_who_waits_to_have_a_table_for_itself(store_db: StoreDatabase) -> None:
    watching, carol, bob = store_db.admin(), store_db.connect("carol"), store_db.connect("bob")
    watching.autocommit = bob.autocommit = carol.autocommit = True
    rows(watching, "DROP EVENT TRIGGER store_refuses_definitions; SELECT 1")  # as where no superuser could make it
    alice, reading = store_db.client("alice"), store_db.connect("bob")
    rows(reading, "SELECT count(*) FROM store.object_heads")
    with ThreadPoolExecutor(1) as beside:
        rule = beside.submit(bob.cursor().execute, "CREATE RULE mine AS ON INSERT TO store.object_heads DO NOTHING")
        wait_until(lambda: waiting(watching, bob))
        assert rows(carol, "SELECT username FROM store.reap()") == [("bob",)]
        assert isinstance(rule.exception(timeout=120), psycopg2.OperationalError)
    assert alice.count(Trade) == 0


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_reap_leaves_who_waits_for_a_table_of_his_own(store_db: StoreDatabase, place: str) -> None:
    where = store_db.where if place == "here" else store_db.server.conn_info()
    watching, carol = store_db.server.admin_conn(where["dbname"]), store_db.connect("carol")
    watching.autocommit = carol.autocommit = True
    rows(watching, "CREATE TABLE public.hers (x integer); ALTER TABLE public.hers OWNER TO alice; SELECT 1")
    login = store_db.login("alice") | {"dbname": where["dbname"]}
    with closing(watching), closing(psycopg2.connect(**login)) as reading, closing(psycopg2.connect(**login)) as owner:
        owner.autocommit = True
        try:
            rows(reading, "SELECT FROM public.hers")
            with ThreadPoolExecutor(1) as beside:
                changing = beside.submit(owner.cursor().execute, "ALTER TABLE public.hers ADD y integer")
                wait_until(lambda: waiting(watching, owner))
                assert rows(carol, "SELECT username FROM store.reap()") == []
                reading.rollback()
                assert changing.exception(timeout=30) is None
        finally:
            reading.rollback()
            rows(watching, "DROP TABLE public.hers; SELECT 1")


def test_listener_that_nothing_holds_up_has_those_ended_who_hold_up_others(
    store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reader, "REAP_SECONDS", 0.05)
    watching, bob, reading = store_db.admin(), store_db.connect("bob"), store_db.connect("bob")
    watching.autocommit = bob.autocommit = True
    rows(watching, "DROP EVENT TRIGGER store_refuses_definitions; SELECT 1")
    rows(reading, "SELECT count(*) FROM store.checkpoints")
    listener = SubscriptionListener(EventBus(), **store_db.login("carol"), poll_seconds=0.05)
    with listener, ThreadPoolExecutor(1) as beside:
        rule = beside.submit(bob.cursor().execute, "CREATE RULE mine AS ON INSERT TO store.checkpoints DO NOTHING")
        assert isinstance(rule.exception(timeout=120), psycopg2.OperationalError)


def test_reap_leaves_an_administrator_who_waits_for_a_table(store_db: StoreDatabase) -> None:
    watching, carol, reading = store_db.admin(), store_db.connect("carol"), store_db.connect("bob")
    watching.autocommit = carol.autocommit = True
    with closing(store_db.admin()) as admin:
        users.provision_user(admin, "chief", password_of("chief"), admin=True)
    chief = store_db.connect("chief")
    rows(reading, "SELECT count(*) FROM store.object_heads")
    with ThreadPoolExecutor(1) as beside:
        rebuilding = beside.submit(rows, chief, "SELECT store.rebuild()")
        wait_until(lambda: waiting(watching, chief))
        assert rows(carol, "SELECT username FROM store.reap()") == []
        reading.rollback()
        assert rebuilding.result(timeout=120) == [(0,)]


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
