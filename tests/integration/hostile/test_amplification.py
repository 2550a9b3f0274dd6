"""A little that a user stores, and much that it would come to for others who read it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from store.sql import script
from tests.fix_postgres import StoreDatabase
from tests.integration.archives import empty_database, restored, saved

pytestmark = pytest.mark.both_servers


def write(
    store_db: StoreDatabase, data: dict[str, Any], changes: list[dict[str, Any]], state: str | None = None
) -> str:
    """Write an entity that alice may read, and change it, as a program that does without our client would."""
    item = {"type_name": "Trade", "data": data, "state": state}
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT entity_id::text FROM store.create_objects(%s, '{alice}', '{}', false, NULL)", (json.dumps([item]),)
        )
        entity_id = str(cursor.fetchone()[0])
        for version, change in enumerate(changes, start=1):
            event = {"entity_id": entity_id, "type_name": "Trade", "version": version, "event_type": "UPDATED"}
            items = json.dumps([event | {"changes": {}} | change])
            cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (items,))
    return entity_id


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_listener_is_told_of_an_object_s_many_changes_without_a_look_at_all_before_each(
    store_db: StoreDatabase, user: str
) -> None:
    """What grows with the square of the changes would exceed its statement's time, and stop alice's listeners."""
    changes: list[dict[str, Any]] = [{"changes": {"quantity": number}} for number in range(1500)]
    changes[800] = {"event_type": "STATE_CHANGE", "from_state": "NEW", "state": "FILLED"}
    entity_id = write(store_db, {}, changes, "NEW")
    if user == "alice":  # to whom all of it comes at once, as history
        with store_db.connect("bob") as conn, conn.cursor() as cursor:
            cursor.execute("SELECT store.unshare(%s, 'alice', '{READ}')", (entity_id,))
            cursor.execute("SELECT store.share(%s, 'alice', 'READ')", (entity_id,))
    with store_db.connect(user) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT version, state FROM store.read_stream(0, 0, 100000, NULL, 2000, false)")
        told = cursor.fetchall()[:-1]
        cursor.execute("SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'object_events'")
        looks = cursor.fetchone()[0]
    assert told == [(version, "NEW" if version < 802 else "FILLED") for version in range(1, 1502)]
    assert looks < 200 * len(told)


def test_small_changes_of_a_large_object_leave_its_audit_trail_small(store_db: StoreDatabase) -> None:
    """A session may keep 2 GB on the disk: a few hundred changes of a large object would hide who made them."""
    entity_id = write(store_db, {"note": "a" * 4_000_000}, [{"changes": {"quantity": n}} for n in range(20)])
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("SET temp_file_limit = '50MB'")
        cursor.execute("SELECT version, changes, old FROM store.object_audit(%s) WHERE version > 2", (entity_id,))
        assert cursor.fetchall() == [(n + 2, {"quantity": n}, {"quantity": n - 1}) for n in range(1, 20)]


@pytest.mark.parametrize("call", ["history", "audit"])
def test_past_of_an_object_fills_nobody_s_memory(store_db: StoreDatabase, call: str) -> None:
    """Few bytes of numbers are written out as 23 MB, in each state of a history."""
    numbers = [1e-300] * 78_000
    history = [{"changes": {"quantity": n}} for n in range(25)]
    changes = history if call == "history" else [{"changes": {"numbers": numbers}}] * 12
    entity_id = write(store_db, {"numbers": numbers}, changes)
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        with pytest.raises(psycopg2.Error, match=f"what is asked of {entity_id} comes to more than 512 MiB: .* as_of"):
            cursor.execute(f"SELECT count(*) FROM store.object_{call}(%s)", (entity_id,))
        admin.rollback()
        cursor.execute("SELECT version FROM store.object_as_of(%s, clock_timestamp(), clock_timestamp())", (entity_id,))
        assert cursor.fetchall() == [(len(changes) + 1,)]


def test_sets_of_fields_of_one_user_s_objects_come_to_little_together(store_db: StoreDatabase) -> None:
    """Others' filters look through all of them, and each of a user's sessions may leave as many."""
    for number in range(4):
        write(store_db, {f"{number} {field} ".ljust(40, "x"): 0 for field in range(900)}, [])
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT count(*), sum(octet_length(fields::text)) < 65536 FROM store.type_shapes")
        assert cursor.fetchone() == (2, True)


def test_few_large_events_of_the_log_are_read_at_a_time(store_db: StoreDatabase) -> None:
    """A replay in a bridge, which reads what everybody wrote, would else hold thousands of large objects in memory."""
    write(store_db, {"note": "a" * 2_000_000}, [{"changes": {"quantity": n}} for n in range(20)])
    read, after = [], 0
    with store_db.connect("alice") as conn, conn.cursor() as cursor:
        while True:
            cursor.execute("SELECT seq, version FROM store.read_log(%s, 100000, NULL, 2000, true)", (after,))
            rows = cursor.fetchall()
            if not rows:
                break
            assert len(rows) <= 5
            read += [version for _, version in rows]
            after = rows[-1][0]
    assert read == list(range(1, 22))


def test_object_from_before_it_was_too_large_keeps_nobody_s_store_from_being_restored(
    store_db: StoreDatabase, tmp_path: Path
) -> None:
    wide = json.dumps([1] * 2_000).replace("1", "1e-16383")
    with closing(store_db.admin()) as admin:
        with admin, admin.cursor() as cursor:
            cursor.execute("ALTER TABLE store.object_heads DROP CONSTRAINT object_size")
        with store_db.connect("bob") as conn, conn.cursor() as cursor:
            item = f'[{{"type_name": "Trade", "data": {{"x": {wide}}}}}]'
            cursor.execute("SELECT FROM store.create_objects(%s, '{}', '{}', false, NULL)", (item,))
        with admin, admin.cursor() as cursor:
            cursor.execute("ALTER TABLE store.object_heads ADD CONSTRAINT object_size CHECK (true)")
            cursor.execute(script("weights"))
    path = saved(store_db, tmp_path / "desk.backup")
    with empty_database(store_db.server) as database:
        restored(path, database)
        with closing(database.admin()) as admin, admin.cursor() as cursor:
            cursor.execute("SELECT owner FROM store.object_heads")
            assert cursor.fetchall() == [("bob",)]
        too_large = pytest.raises(psycopg2.errors.CheckViolation, match="object_size")
        with database.connect("bob") as conn, conn.cursor() as cursor, too_large:
            cursor.execute("SELECT FROM store.create_objects(%s, '{}', '{}', false, NULL)", (item,))
