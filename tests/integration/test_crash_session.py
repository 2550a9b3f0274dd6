"""One session ended by the server: what the caller is told about the outcome, and that the client goes on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from store import connection
from store.client import StoreClient
from store.connection import PooledConnection
from store.errors import ConnectionLost
from store.models import Trade
from store.permissions import share_read
from store.server import ObjectStoreServer
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

# Makes every commit of events wait for an advisory lock that the test holds.
COMMIT_WAITS = """
    CREATE FUNCTION public.wait_in_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER wait_in_commit AFTER INSERT ON store.object_events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.wait_in_commit();
"""


def trade() -> Trade:
    return Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY")


def end_sessions(database: StoreDatabase, condition: str = "true") -> list[int]:
    """End alice's sessions that meet a condition, and wait until their processes are gone; return their ids."""
    with closing(database.server.admin_conn(database.dbname)) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            f" AND usename = 'alice' AND {condition}"
        )
        ended = [pid for pid, _ in cursor.fetchall()]
    wait_until(lambda: not any(map(psutil.pid_exists, ended)))
    return ended


@contextmanager
def ended_while_waiting(database: StoreDatabase) -> Iterator[None]:
    """End alice's session as soon as a call of the block waits for a lock."""
    waiting = "wait_event_type = 'Lock'"
    thread = threading.Thread(target=lambda: wait_until(lambda: end_sessions(database, waiting)))
    thread.start()
    yield
    thread.join()


def test_update_whose_session_ends_in_the_call_leaves_the_outcome_open(store_db: StoreDatabase) -> None:
    client = store_db.client()
    own = trade()
    client.write(own)
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT 1 FROM store.object_heads FOR UPDATE")
        own.quantity = 2
        with ended_while_waiting(store_db), pytest.raises(ConnectionLost) as caught:
            client.update(own)
    assert caught.value.ambiguous
    assert "idempotency_key" in str(caught.value)
    assert own.version == 1
    client.update(own)
    assert own.version == 2


def test_update_whose_idle_connection_was_ended_goes_through(store_db: StoreDatabase) -> None:
    client = store_db.client()
    own = trade()
    client.write(own)
    assert end_sessions(store_db)
    own.quantity = 2
    client.update(own)
    assert own.version == 2


def test_transaction_whose_session_ends_before_its_commit_is_surely_not_stored(store_db: StoreDatabase) -> None:
    client = store_db.client()
    first, second = trade(), trade()
    with pytest.raises(ConnectionLost) as caught, client.transaction():
        client.write(first)
        end_sessions(store_db, "state = 'idle in transaction'")
        client.write(second)
    assert not caught.value.ambiguous
    assert first.entity_id is None
    assert client.count(Trade) == 0


def test_transaction_that_hides_the_end_of_its_session_fails_at_its_end(store_db: StoreDatabase) -> None:
    client = store_db.client()
    first = trade()
    with pytest.raises(ConnectionLost, match="nothing of it is stored") as caught, client.transaction():
        client.write(first)
        end_sessions(store_db, "state = 'idle in transaction'")
        with pytest.raises(ConnectionLost), client.transaction():
            client.write(trade())
    assert not caught.value.ambiguous
    assert first.entity_id is None
    assert client.count(Trade) == 0


def test_transaction_whose_session_ends_in_its_commit_leaves_the_outcome_open(store_db: StoreDatabase) -> None:
    client = store_db.client()
    own = trade()
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute(COMMIT_WAITS)
        conn.commit()
        cursor.execute("SELECT pg_advisory_xact_lock(1)")
        with ended_while_waiting(store_db), pytest.raises(ConnectionLost) as caught, client.transaction():
            client.write(own)
    assert caught.value.ambiguous
    assert own.entity_id is None
    client.write(own)
    assert client.count(Trade) == 1


def test_write_many_of_several_statements_whose_session_ends_between_them_is_surely_not_stored(
    store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.writing.CHUNK", 2)
    client = store_db.client()
    trades = [trade() for _ in range(4)]
    ended: list[list[int]] = []
    run_named = connection.run_named

    def run_and_end(conn: PooledConnection, name: str, *args: Any, **options: Any) -> list[tuple[object, ...]]:
        rows = run_named(conn, name, *args, **options)
        if name == "create_batch":
            ended.append(end_sessions(store_db, "state = 'idle in transaction'"))
        return rows

    monkeypatch.setattr(connection, "run_named", run_and_end)
    with pytest.raises(ConnectionLost) as caught:
        client.write_many(trades)
    assert [len(pids) for pids in ended] == [1]
    assert not caught.value.ambiguous
    assert {own.entity_id for own in trades} == {None}
    with StoreClient(**store_db.login("alice")) as other:
        assert other.count(Trade) == 0


def test_session_thrown_out_after_anothers_crash_is_a_lost_connection(tmp_path: Path) -> None:
    """A session that PostgreSQL throws out is told why first: libpq reads that, and takes the session for alive."""
    with ObjectStoreServer(tmp_path / "data") as server:
        server.provision_user("alice", "alice_pw")
        with StoreClient(user="alice", password="alice_pw", **server.conn_info()) as client:
            own = trade()
            client.write(own)
            assert own.entity_id is not None
            sharing = client.conn
            with pytest.raises(ConnectionLost) as caught, client.transaction():
                client.write(trade())
                thrown_out = [client.conn.info.backend_pid, sharing.info.backend_pid]
                for pid in thrown_out:
                    with suppress(ProcessLookupError):  # once the first is gone, the server sends it to the second
                        os.kill(pid, signal.SIGQUIT)  # what every session gets when one has crashed
                wait_until(lambda: not any(map(psutil.pid_exists, thrown_out)))
                client.write(trade())
            assert not caught.value.ambiguous
            for ambiguous in (True, False):  # at first it could have been sent, then the connection is closed
                with pytest.raises(ConnectionLost) as caught:
                    share_read(sharing, own.entity_id, "alice")
                assert caught.value.ambiguous is ambiguous
            own.quantity = 2

            def updated() -> bool:
                try:
                    client.update(own)
                except ConnectionLost:
                    return False  # the server recovers
                return True

            wait_until(updated)
            assert client.count(Trade) == 1
