"""What a user with a login of the store can do to the listeners of others, and where it ends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from store import items, log_reader
from store.errors import ConnectionLost, InvalidValue, StoreError
from store.events import EventBus
from store.log_reader import LogReader
from store.models import Trade
from store.schema import disable_user, enable_user
from store.subscriptions import SubscriptionListener
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import Everything
from tests.waiting import wait_until

LARGEST = 4 * 1024 * 1024


def trade(quantity: int = 100, **fields: Any) -> Trade:
    return Trade(**{"symbol": "AAPL", "quantity": quantity, "price": 150.0, "side": "BUY"} | fields)


@contextmanager
def listening(
    store_db: StoreDatabase, user: str = "alice", **options: Any
) -> Iterator[tuple[SubscriptionListener, list[str]]]:
    """Run a listener; yield it and the entities of the events that it delivered."""
    bus, entities = EventBus(), list[str]()
    bus.on_all(lambda event: entities.append(event.entity_id))
    with SubscriptionListener(bus, **store_db.login(user), **options) as listener:
        yield listener, entities


def execute(conn: Connection, text: str, *params: object) -> list[tuple[Any, ...]]:
    with conn.cursor() as cursor:
        cursor.execute(text, params or None)
        return cursor.fetchall() if cursor.description is not None else []


def hold_a_transaction_id(store_db: StoreDatabase, user: str = "bob") -> Connection:
    """Return a connection of a user that unset every timeout and keeps a changing transaction open."""
    conn = store_db.connect(user)
    execute(conn, "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0")
    conn.commit()
    item = '[{"type_name": "Trade", "data": {"symbol": "AAPL"}}]'
    execute(conn, "SELECT * FROM store.create_objects(%s, '{}', '{}', false, null)", item)
    return conn


def allow_transactions(store_db: StoreDatabase, *, idle: str) -> None:
    with store_db.admin() as admin:
        execute(admin, "UPDATE store.limits SET idle_transaction = %s", idle)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report a stall after a moment instead of after seconds."""
    monkeypatch.setattr(log_reader, "STALL_SECONDS", 0.2)


@pytest.mark.usefixtures("impatient")
def test_idle_transaction_is_named_while_it_is_allowed_and_ended_when_it_is_too_old(
    store_db: StoreDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    alice = store_db.client()
    with listening(store_db) as (listener, entities):
        held = hold_a_transaction_id(store_db)
        entity = alice.write(trade())
        wait_until(lambda: "no event can be read" in caplog.text)
        assert "a transaction of 'bob' (process " in caplog.text
        assert entities == []
        events, seconds = listener.lag()
        assert (events, seconds > 0) == (1, True)
        allow_transactions(store_db, idle="1 ms")
        wait_until(lambda: entities == [entity])
        assert "a transaction of 'bob' was told to end" in caplog.text
        with pytest.raises(psycopg2.OperationalError):
            execute(held, "SELECT 1")


@pytest.mark.usefixtures("impatient")
def test_listener_starts_though_a_transaction_is_left_idle(store_db: StoreDatabase) -> None:
    hold_a_transaction_id(store_db)
    allow_transactions(store_db, idle="1 s")
    with listening(store_db) as (_, entities):
        entity = store_db.client().write(trade())
        wait_until(lambda: entities == [entity])


def test_end_of_the_log_that_stays_open_is_an_error_that_names_who_holds_it(store_db: StoreDatabase) -> None:
    hold_a_transaction_id(store_db)
    reader = LogReader({**store_db.login("alice")})
    with pytest.raises(StoreError, match=r"a transaction of 'bob' \(process \d+, \d+ s old\) keeps the end of the log"):
        reader.seek_end(0.2)
    reader.close()


def test_transaction_without_an_id_holds_nobody_up(store_db: StoreDatabase) -> None:
    conn = store_db.connect("bob")
    execute(conn, "SET statement_timeout = 0")
    execute(conn, "SELECT count(*) FROM store.object_heads")
    with listening(store_db) as (_, entities):
        entity = store_db.client().write(trade())
        wait_until(lambda: entities == [entity])


def test_user_who_takes_all_connections_keeps_others_from_nothing(store_db: StoreDatabase) -> None:
    alice = store_db.client()
    with listening(store_db) as (_, entities):
        taken = []
        with pytest.raises(psycopg2.OperationalError, match="too many connections for role"):
            for _ in range(200):
                taken.append(store_db.connect("bob"))
        assert len(taken) >= 32
        end_sessions(store_db, "alice")
        entity = alice.write(trade())
        wait_until(lambda: entities == [entity])


def end_sessions(store_db: StoreDatabase, user: str) -> None:
    # Called again and again: no connection may be left open.
    with closing(store_db.server.admin_conn(store_db.dbname)) as admin:
        execute(
            admin,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s AND datname = %s",
            user,
            store_db.dbname,
        )


def test_listener_that_finds_no_free_connection_waits_for_one_and_misses_nothing(
    store_db: StoreDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    user = store_db.provision("crowded")
    alice = store_db.client(readers=[user])
    with listening(store_db, user) as (_, entities):
        ids = [alice.write(trade())]
        wait_until(lambda: entities == ids)
        # None is free, whoever is quicker.
        with store_db.admin() as admin:
            execute(admin, "ALTER ROLE crowded CONNECTION LIMIT 0")
        end_sessions(store_db, user)
        ids.append(alice.write(trade()))
        wait_until(lambda: "too many connections" in caplog.text)
        assert entities == ids[:1]
        with store_db.admin() as admin:
            execute(admin, "ALTER ROLE crowded CONNECTION LIMIT 10")
        wait_until(lambda: entities == ids)


def test_flood_of_forged_hints_costs_little_and_delays_nothing(
    store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, looks = store_db.client(), list[float]()
    read = LogReader.read

    def counted(self: LogReader, *args: Any) -> Any:
        looks.append(time.monotonic())
        return read(self, *args)

    monkeypatch.setattr(LogReader, "read", counted)
    stop, sent = threading.Event(), [0]

    def flood() -> None:
        conn = store_db.connect("bob")
        conn.autocommit = True
        while not stop.is_set():
            execute(conn, f"NOTIFY store_events, '{'x' * 7_000} {sent[0]}'")
            sent[0] += 1

    with listening(store_db, poll_seconds=30) as (listener, entities):
        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            wait_until(lambda: sent[0] >= 100)
            looks.clear()
            begin, first = time.monotonic(), sent[0]
            wait_until(lambda: sent[0] >= first + 3_000)
            per_second = len(looks) / (time.monotonic() - begin)
            delays = []
            for _ in range(10):
                written = alice.write(trade())
                moment = time.monotonic()
                wait_until(lambda: written in entities)  # noqa: B023
                delays.append(time.monotonic() - moment)
        finally:
            stop.set()
            flooding.join()
        assert len(entities) == 10
        wait_until(lambda: listener.lag() == (0, 0.0))
    assert per_second < 60, "each hint of the flood had the listener look"
    assert sorted(delays)[5] < 5, "a poll would have taken 30 s"


def test_flood_while_a_callback_is_slow_is_not_kept_in_memory(store_db: StoreDatabase) -> None:
    alice, bus, go_on = store_db.client(), EventBus(), threading.Event()
    bus.on_all(lambda event: go_on.wait(60))
    with SubscriptionListener(bus, **store_db.login("alice")) as listener:
        alice.write(trade())
        conn = store_db.connect("bob")
        conn.autocommit = True
        for _ in range(20):
            execute(conn, "SELECT pg_notify('store_events', i::text) FROM generate_series(1, 200) i")
            listener.lag()  # takes in what has come
        reader = listener._reader
        assert reader is not None
        assert len(reader.connect().notifies) <= 1
        go_on.set()
        wait_until(lambda: listener.lag().events == 0)


def test_object_too_large_is_refused_with_the_limit_and_one_just_below_arrives(store_db: StoreDatabase) -> None:
    alice = store_db.client()
    with listening(store_db) as (_, entities):
        below = Everything(notes="x" * (LARGEST - 1_000))
        entity = alice.write(below)
        wait_until(lambda: entities == [entity])
        grown = alice.read(Everything, entity)
        assert grown is not None
        grown.extra = {"more": "y" * 2_000}
        for refused in (
            lambda: alice.write(Everything(notes="x" * (LARGEST + 1))),
            lambda: alice.write_many([Everything(), Everything(notes="x" * (LARGEST + 1))]),
            lambda: alice.write(Everything(notes="é" * (LARGEST // 2 + 1))),
            lambda: alice.update(grown),
            lambda: alice.update_many([grown]),
        ):
            with pytest.raises(InvalidValue, match="at most 4 MiB"):
                refused()
        assert alice.count(Everything) == 1
    found = alice.read(Everything, entity)
    assert found is not None
    assert (found.notes, found.version) == (below.notes, 1)


def test_call_that_carries_too_much_is_refused_before_it_is_sent(
    store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = store_db.client()
    monkeypatch.setattr(items, "LARGEST_CALL", 1_000_000)
    with pytest.raises(StoreError, match=r"3 objects with 3 MB of JSON are too much .* takes 1 MB: write fewer"):
        alice.write_many([Everything(notes="x" * 1_000_000) for _ in range(3)])
    assert alice.count(Everything) == 0


def test_object_grown_past_the_client_by_a_users_own_sql_is_refused_too(store_db: StoreDatabase) -> None:
    bob = store_db.connect("bob")
    item = {"type_name": "Trade", "data": {"symbol": "AAPL"}}
    [(entity,)] = execute(
        bob, "SELECT entity_id::text FROM store.create_objects(%s, '{}', '{}', false, null)", json.dumps([item])
    )
    bob.commit()
    change = {"entity_id": entity, "type_name": "Trade", "event_type": "UPDATED"}
    with pytest.raises(psycopg2.errors.CheckViolation):
        for version in range(1, 10):
            change |= {"version": version, "changes": {f"field_{version}": "x" * 1_000_000}}
            execute(bob, "SELECT * FROM store.append_events(%s, false, null)", json.dumps([change]))
            bob.commit()
    assert 3 <= version <= 5


def test_log_of_large_objects_is_read_in_batches_that_fit_in_memory(store_db: StoreDatabase) -> None:
    alice = store_db.client()
    for _ in range(6):
        alice.write(Everything(notes="x" * 3_000_000))
    alice.write_many([trade() for _ in range(10)])
    reader = LogReader({**store_db.login("alice")}, data=True)
    sizes = []
    for rows in reader.follow(until_idle=True):
        sizes.append(len(rows))
    reader.close()
    assert sum(sizes) == 16
    assert max(sizes[:-1]) <= 2, "8 MB hold at most two of them, each with its changes and its data"


def test_login_that_is_disabled_and_enabled_again_goes_on(
    store_db: StoreDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    user = store_db.provision("suspended")
    alice, admin, obj = store_db.client(readers=[user]), store_db.admin(), trade()
    entity = alice.write(obj)
    with listening(store_db, user) as (listener, entities):
        disable_user(admin, user)
        wait_until(lambda: "is not permitted to log in" in caplog.text)
        obj.quantity += 1
        alice.update(obj)
        with pytest.raises(ConnectionLost):
            listener.lag()
        enable_user(admin, user)
        wait_until(lambda: entities == [entity])
