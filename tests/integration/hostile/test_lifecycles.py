"""What comes and goes while others are at work: the projection made anew, groups dropped, what falls due."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from store import groups
from store.errors import StoreError
from store.models import Trade
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers

READING = {
    "stream": "SELECT entity_id, version, seq FROM store.read_stream(0, 0, 1000, NULL, 1000, true)",
    "log": "SELECT entity_id, version FROM store.read_log(0, 1000, NULL, 1000, true)",
    "lag": "SELECT events FROM store.log_lag(0, 0, NULL)",
    "events": "SELECT entity_id, version FROM store.object_events ORDER BY seq",
    "past": "SELECT entity_id, version FROM store.objects_as_of('Trade', NULL, NULL) ORDER BY 1",
    "matches": "SELECT entity_id, version FROM store.first_matches('Trade', '{}', NULL, NULL, 100)",
}
CREATE = "SELECT entity_id FROM store.create_objects(%s, '{}', '{}', false, NULL)"
# A fold that takes as long as that of a very large object.
SLOW = """
CREATE OR REPLACE FUNCTION store.next_change(p_entity uuid, p_valid timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT store.next_change_known(p_entity, 2147483647, p_valid) FROM pg_sleep(0.2) $$;
SELECT 1
"""


def answer(conn: Connection, text: str) -> list[tuple[Any, ...]]:
    with conn.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def waits(store_db: StoreDatabase, conn: Connection) -> bool:
    with closing(store_db.admin()) as admin:
        return bool(answer(admin, f"SELECT cardinality(pg_blocking_pids({conn.info.backend_pid})) > 0")[0][0])


def trade() -> Trade:
    return Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY")


@pytest.mark.parametrize("reading", READING)
def test_reader_who_waits_for_a_rebuild_misses_nothing(store_db: StoreDatabase, reading: str) -> None:
    store_db.client("alice", readers=["bob"]).write_many([trade(), trade()])
    bob, snapshot = store_db.connect("bob"), store_db.connect("bob")
    bob.set_session(autocommit=True)
    snapshot.set_session(isolation_level="REPEATABLE READ")
    before = answer(bob, READING[reading])
    answer(snapshot, "SELECT FROM store.checkpoints")  # which takes the snapshot
    with closing(store_db.admin()) as admin, ThreadPoolExecutor(1) as beside:
        answer(admin, "SELECT store.rebuild()")
        asked = beside.submit(answer, bob, READING[reading])
        wait_until(lambda: waits(store_db, bob))
        admin.commit()
        assert asked.result(timeout=120) == before
    assert answer(snapshot, READING[reading]) == before


def test_who_locks_one_entity_after_the_other_keeps_no_group_from_being_dropped_for_longer(
    store_db: StoreDatabase,
) -> None:
    with closing(store_db.admin()) as admin, ThreadPoolExecutor(1) as beside:
        groups.create_group(admin, "lent desk", ["carol"])
        entities = sorted(store_db.client("bob", readers=["lent desk"]).write_many([trade() for _ in range(10)]))
        holders = [store_db.connect("bob") for _ in entities]
        for conn, entity in zip(holders, entities, strict=True):
            answer(conn, f"SELECT store.lock_batch(ARRAY['{entity}']::uuid[])")
        answer(admin, "ALTER FUNCTION store.drop_group(text) SET lock_timeout = '1s'; SELECT 1")
        admin.commit()
        over = threading.Event()

        def let_go() -> None:
            for conn in holders:
                over.wait(0.7)
                conn.rollback()

        letting_go = beside.submit(let_go)
        began = time.monotonic()
        with pytest.raises(StoreError, match="held by open transactions, of bob"):
            groups.drop_group(admin, "lent desk")
        assert time.monotonic() - began < 5.0
        over.set()
        letting_go.result(timeout=120)
        assert groups.drop_group(admin, "lent desk") == 10


def test_membership_is_withdrawn_without_waiting_for_a_group_to_be_dropped(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as admin, closing(store_db.admin()) as other, ThreadPoolExecutor(1) as beside:
        groups.create_group(admin, "lent desk", ["carol"])
        groups.create_group(admin, "own desk", ["carol"])
        holder = store_db.connect("bob")
        entity = store_db.client("bob", readers=["lent desk"]).write(trade())
        answer(holder, f"SELECT store.lock_batch(ARRAY['{entity}']::uuid[])")
        dropped = beside.submit(groups.drop_group, other, "lent desk")
        wait_until(lambda: waits(store_db, other))
        answer(admin, "SET lock_timeout = '5s'; SELECT 1")
        groups.remove_members(admin, "own desk", ["carol"])
        groups.remove_members(admin, "lent desk", ["carol"])
        assert store_db.client("carol").count(Trade) == 0
        holder.rollback()
        assert dropped.result(timeout=120) == 1


def schedule(conn: Connection, changes: str, due: datetime) -> str:
    """Write an entity that a change overtakes at a moment."""
    with conn.cursor() as cursor:
        cursor.execute(CREATE, (json.dumps([{"type_name": "Late", "data": {}}]),))
        (entity,) = cursor.fetchone()
        change = {"entity_id": entity, "type_name": "Late", "version": 1, "event_type": "UPDATED"}
        item = json.dumps(change | {"valid_from": due.isoformat()})[:-1] + f', "changes": {changes}}}'
        cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (f"[{item}]",))
    return str(entity)


def is_overdue(admin: Connection, entity: str) -> bool:
    return bool(
        answer(admin, f"SELECT due < clock_timestamp() FROM store.object_heads WHERE entity_id = '{entity}'")[0][0]
    )


def test_entity_that_cannot_be_settled_leaves_a_way_to_the_others(store_db: StoreDatabase) -> None:
    bob, alice = store_db.connect("bob"), store_db.connect("alice")
    bob.autocommit = alice.autocommit = True
    now = datetime.now(timezone.utc)
    with closing(store_db.admin()) as admin:
        admin.autocommit = True
        # As an earlier version wrote them, which bounded less.
        stuck = [schedule(bob, '{"x": 1}', now + timedelta(seconds=2 + n / 100)) for n in range(3)]
        behind = schedule(alice, '{"x": 1}', now + timedelta(seconds=3))
        for entity in stuck:
            bound = f"CHECK (entity_id <> '{entity}' OR NOT data ? 'x') NOT VALID"
            answer(admin, f'ALTER TABLE store.object_heads ADD CONSTRAINT "{entity}" {bound}; SELECT 1')
        wait_until(lambda: all(is_overdue(admin, entity) for entity in [*stuck, behind]))

        def settled() -> bool:
            answer(admin, "SELECT store.settle(2)")
            return not is_overdue(admin, behind)

        wait_until(settled)
        assert all(is_overdue(admin, entity) for entity in stuck)


def test_who_settles_keeps_the_heads_for_a_moment_only(store_db: StoreDatabase) -> None:
    bob = store_db.connect("bob")
    bob.autocommit = True
    due = datetime.now(timezone.utc) + timedelta(seconds=3)
    entities = [schedule(bob, '{"x": 1}', due) for _ in range(40)]
    with closing(store_db.admin()) as admin:
        admin.autocommit = True
        answer(admin, SLOW)
        wait_until(lambda: is_overdue(admin, entities[-1]))
        began = time.monotonic()
        answer(admin, "SELECT store.settle(1000)")
        assert time.monotonic() - began < 4.0
        settled = [entity for entity in entities if not is_overdue(admin, entity)]
        assert 0 < len(settled) < len(entities)


def test_no_group_gets_what_a_user_had_who_is_gone(store_db: StoreDatabase) -> None:
    user = store_db.provision(f"leaver {uuid4()}"[:40])
    conn = store_db.connect(user)
    conn.autocommit = True
    schedule(conn, '{"x": 1}', datetime.now(timezone.utc))
    conn.close()
    with closing(store_db.admin()) as admin:
        admin.autocommit = True
        answer(admin, f'DROP ROLE "{user}"; SELECT 1')
        with pytest.raises(StoreError, match="a user who is gone"):
            groups.create_group(admin, user, ["bob"])
    assert answer(store_db.connect("bob"), "SELECT FROM store.object_heads") == []
