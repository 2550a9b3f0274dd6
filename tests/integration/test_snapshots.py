"""Long-lived entities: what their fold starts from, that it changes no answer, and that damage to it is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from store.client import StoreClient
from store.models import Trade
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import soon

VERSIONS = 300


@pytest.fixture(scope="module")
def client(module_store_db: StoreDatabase) -> Iterator[StoreClient]:
    yield module_store_db.client()


@pytest.fixture(scope="module")
def trade(client: StoreClient) -> Trade:
    """A trade of many versions, in one call and in batches, some of the past, some scheduled, some for a while."""
    now = datetime.now(timezone.utc)
    trade = Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    client.write(trade, valid_from=now - timedelta(days=9))
    with client.transaction():
        for number in range(2, VERSIONS + 1):
            trade.price, trade.quantity = float(number), number % 7
            if number % 50 == 0:
                client.update(trade, valid_from=now - timedelta(days=number / 100), fields=["price"])
            elif number % 41 == 0:
                client.update(trade, valid_to=now + timedelta(days=number), fields=["quantity"])
            elif number == 130:
                client.update(trade, valid_from=now + timedelta(days=1), fields=["price"])
            elif number % 2:
                client.update_many([trade, _other(client)])
            else:
                client.update(trade)
    return trade


def _other(client: StoreClient) -> Trade:
    other = Trade(symbol="MSFT", quantity=1, price=1.0, side="BUY")
    client.write(other)
    other.price = 2.0
    return other


def test_snapshots_of_a_long_life_change_no_answer(module_store_db: StoreDatabase, trade: Trade) -> None:
    with module_store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT array_agg(version ORDER BY version) FROM store.snapshots")
        assert cursor.fetchone() == ([64, 128, 192, 256],)
        cursor.execute(
            """
            WITH moments AS (SELECT m.at FROM store.object_events e,
                             LATERAL (VALUES (e.tx_time), (e.valid_from), (e.valid_to)) AS m (at)
                             WHERE e.entity_id = %(id)s AND (e.version %% 9 = 0 OR e.tx_time <> e.valid_from))
            SELECT count(*), count(*) FILTER (WHERE s IS DISTINCT FROM f)
            FROM moments known CROSS JOIN moments valid
            LEFT JOIN LATERAL store.state_at(%(id)s, known.at, valid.at) s ON true
            LEFT JOIN LATERAL store.folded(%(id)s, known.at, valid.at, 0) f ON true
            """,
            {"id": trade.entity_id},
        )
        [(compared, different)] = cursor.fetchall()
        assert compared > 5000
        assert different == 0


@pytest.mark.parametrize("count", [12, 60, 220])
def test_fold_of_many_changes_is_each_one_over_those_before(module_store_db: StoreDatabase, count: int) -> None:
    with module_store_db.connect("bob") as conn, conn.cursor() as cursor:
        item = {"type_name": "Odd", "data": {"a": 0, "b": 0}, "state": "0", "valid_from": day(0)}
        create = "SELECT entity_id::text FROM store.create_objects(%s, '{}', '{}', false, NULL)"
        cursor.execute(create, (json.dumps([item]),))
        (entity_id,) = cursor.fetchone()
        state = "0"
        for version in range(1, count):
            event: dict[str, object] = {"entity_id": entity_id, "type_name": "Odd", "version": version}
            if version % 5 == 0:
                event |= {"event_type": "STATE_CHANGE", "from_state": state, "state": f"{version}", "changes": {}}
                state = f"{version}"
            else:
                changes = {"abc\u00e9"[version % 4]: version, "z": None if version % 3 else version}
                event |= {"event_type": "UPDATED", "changes": changes, "valid_from": day(version * 7 % 30)}
                if version % 4 == 1:
                    event["valid_to"] = day(31 + version * 11 % 60)
            cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (json.dumps([event]),))
    with module_store_db.admin() as admin, admin.cursor() as cursor:
        cursor.execute(
            "SELECT version, valid_from, valid_to = 'infinity', nullif(valid_to, 'infinity'), changes, state"
            " FROM store.object_events WHERE entity_id = %s ORDER BY version",
            (entity_id,),
        )
        events = cursor.fetchall()
        for moment in [*(datetime.fromisoformat(day(number)) for number in range(0, 95, 4)), soon(86_400_000)]:
            data: dict[str, object] = {}
            left = None
            for version, valid_from, lasts, valid_to, changes, changed_state in events:
                if version == 1 or (valid_from <= moment and (lasts or moment < valid_to)):
                    data |= changes
                    left = changed_state or left
            cursor.execute("SELECT data, state FROM store.folded(%s, 'infinity', %s, 0)", (entity_id, moment))
            assert cursor.fetchone() == (data, left)


def day(number: int) -> str:
    """Return a moment so many days after the beginning of 2020."""
    return (datetime(2020, 1, 1, tzinfo=timezone.utc) + timedelta(days=number)).isoformat()


def test_read_of_a_long_life_is_its_newest_state(client: StoreClient, trade: Trade) -> None:
    assert trade.entity_id is not None
    found = client.read(Trade, trade.entity_id)
    assert found == trade
    assert found is not None
    assert found.version == VERSIONS
    history = client.history(Trade, trade.entity_id)
    assert [version.version for version in history] == list(range(1, VERSIONS + 1))
    assert history[200].price == 201.0


def test_fold_begins_at_the_newest_snapshot_that_holds(module_store_db: StoreDatabase, trade: Trade) -> None:
    with module_store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("UPDATE store.snapshots SET folded = folded || jsonb_build_object('begun_at', version)")
        cursor.execute(
            "SELECT n, (store.state_at(e.entity_id, e.tx_time, e.tx_time)).data->'begun_at'"
            " FROM (VALUES (64), (127), (128), (300)) AS v (n) JOIN store.object_events e ON e.version = n"
            " WHERE e.entity_id = %s ORDER BY n",
            (trade.entity_id,),
        )
        assert cursor.fetchall() == [(64, 64), (127, 64), (128, 128), (300, 256)]
        conn.rollback()


def test_damaged_snapshot_is_told_and_made_anew(module_store_db: StoreDatabase, trade: Trade) -> None:
    with module_store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT * FROM store.differences()")
        assert cursor.fetchall() == []
        for damage in ("folded = folded || '{\"price\": 0.5}'", "due = due + interval '1 day'", "applied = 2"):
            cursor.execute(f"UPDATE store.snapshots SET {damage} WHERE version = 192")
            cursor.execute("SELECT entity_id::text, type_name, problem FROM store.differences()")
            told = cursor.fetchall()
            assert (trade.entity_id, "Trade", "the snapshot of version 192 differs") in told
            cursor.execute("SELECT store.rebuild()")
            cursor.execute("SELECT * FROM store.differences()")
            assert cursor.fetchall() == []


def test_snapshots_cannot_be_reached_by_users(module_store_db: StoreDatabase, trade: Trade) -> None:
    import psycopg2

    for statement in ("TABLE store.snapshots", "DELETE FROM store.snapshots", "SELECT store.keep_snapshot(NULL)"):
        with (
            module_store_db.connect("alice") as conn,
            conn.cursor() as cursor,
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
        ):
            cursor.execute(statement)
