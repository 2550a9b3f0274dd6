"""A database that an earlier version made, with all that it holds, brought up to date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from store import schema, sql
from store.events import EventBus
from store.restore import open_backup, restore
from store.schema import MIGRATIONS
from store.subscriptions import SubscriptionListener
from tests.fix_postgres import StoreDatabase
from tests.integration.archives import dumped_schema, empty_database, saved
from tests.integration.old.write_scene import USERS, Crate, Fill, answers
from tests.integration.workers.command_line import by_url
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.fix_postgres import Server

OLD = Path(__file__).parent / "old"
# Databases have gone through these: a change of the schema is a new script behind them.
RELEASED = {
    "tables": "3b938f633c136840",
    "outbox": "5275e52c7035fd9b",
    "limits": "521903d942e49591",
    "stability": "589c256d7bac524b",
    "places": "1130cb8a530ff2db",
    "administration": "da7411a23332d2ad",
    "published": "bb69ea0b8cd2e3c3",
    "bounds": "30ba8c5a23e3e7c1",
    "snapshots": "083b649b4c10789a",
    "fields": "e52bcec3d4973f35",
    "amended": "9aa47b8de55896a7",
    "edges": "808f0a7452ecb9b0",
    "shares": "5b86493b45cd0248",
}


@pytest.fixture
def old_db(embedded_server: Server) -> Iterator[StoreDatabase]:
    """A database as schema version 8 left it."""
    with empty_database(embedded_server) as database:
        with closing(database.admin()) as conn, conn, conn.cursor() as cursor:
            cursor.execute((OLD / "schema_8.sql").read_text())
            cursor.execute("RESET ALL")
            cursor.execute("SELECT version FROM store.schema_version")
            assert cursor.fetchall() == [(8,)]
        yield database


def upgrade(database: StoreDatabase) -> None:
    with closing(database.admin()) as conn:
        assert schema.bootstrap_schema(conn) == []


def without_parentheses(dump: str) -> str:
    """Return a dump without what PostgreSQL adds to a condition that it reads a second time."""
    return dump.replace("(", "").replace(")", "")


def test_migrations_are_never_edited() -> None:
    digests = {name: hashlib.sha256(sql.script(name).encode()).hexdigest()[:16] for name in MIGRATIONS}
    assert {name: digests[name] for name in RELEASED} == RELEASED
    assert list(RELEASED) == list(MIGRATIONS[: len(RELEASED)])


def test_an_upgraded_database_answers_what_the_old_version_answered(old_db: StoreDatabase) -> None:
    upgrade(old_db)
    told = json.loads((OLD / "schema_8.json").read_text())
    for user in USERS:
        assert answers(old_db.client(user)) == told[user]
    assert by_url(old_db, "postgres").lines("verify") == ["the projection is what the log says: 3 entities, 87 events"]
    assert by_url(old_db, "postgres").lines("rebuild")
    for user in USERS:
        assert answers(old_db.client(user)) == told[user]


def test_an_upgraded_database_has_the_schema_of_a_new_one(old_db: StoreDatabase, store_db: StoreDatabase) -> None:
    upgrade(old_db)
    assert without_parentheses(dumped_schema(old_db)) == without_parentheses(dumped_schema(store_db))


def test_work_goes_on_in_an_upgraded_database(old_db: StoreDatabase) -> None:
    upgrade(old_db)
    bob, alice = old_db.client("bob"), old_db.client("alice")
    [crate] = bob.query(Crate)
    again = Crate(label="old", weight_kg=1.5)
    assert bob.write(again, idempotency_key="once") == crate.entity_id
    crate.label = "new"
    bob.update(crate)
    [fill] = [fill for fill in alice.query(Fill) if fill.symbol == "B"]
    before = fill.version
    fill.quantity = 5
    alice.update(fill, valid_from=datetime(2026, 2, 1, tzinfo=timezone.utc))
    assert fill.version == before + 1
    with closing(old_db.admin()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT entity_id::text, from_state, to_state, username FROM store.workflow_outbox")
        assert cursor.fetchall() == [(crate.entity_id, "PENDING", "SENT", "bob")]
        schema.retire(conn, "Fill")
    [line] = [line for line in by_url(old_db, "postgres").records("trail") if line["action"] == "TYPE_RETIRED"]
    assert line["subject"] == "Fill"
    assert by_url(old_db, "postgres").lines("verify")
    seen: list[tuple[str, int]] = []
    bus = EventBus()
    bus.on_all(lambda event: seen.append((event.entity_id, event.version)))
    with SubscriptionListener(bus, **old_db.login("bob"), subscriber_id="risk"):
        wait_until(lambda: len(seen) >= 3)
    assert seen == [(crate.entity_id, 2), (crate.entity_id, 3), (fill.entity_id, before + 1)]


@pytest.mark.parametrize("script", ["snapshots", "amended", "grants"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt, None])
def test_an_interrupted_upgrade_changes_nothing(
    old_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch, script: str, failure: type[BaseException] | None
) -> None:
    before = dumped_schema(old_db)

    def broken(name: str) -> str:
        if name != script:
            return sql.script(name)
        if failure is not None:
            raise failure
        return sql.script(name) + ";\nSELECT 1/0"

    with monkeypatch.context() as patch, closing(old_db.admin()) as conn:
        patch.setattr(schema, "script", broken)
        with pytest.raises(failure or Exception):
            schema.bootstrap_schema(conn)
    assert dumped_schema(old_db) == before
    upgrade(old_db)


def test_a_backup_of_an_old_database_is_restored_up_to_date(old_db: StoreDatabase, tmp_path: Path) -> None:
    path = saved(old_db, tmp_path / "old.backup")
    told = json.loads((OLD / "schema_8.json").read_text())
    with empty_database(old_db.server) as database:
        with open_backup(path) as archive, closing(database.admin()) as conn:
            assert archive.manifest["schema_version"] == 8
            restore(conn, archive)
        for user in USERS:
            assert answers(database.client(user)) == told[user]
        upgrade(old_db)
        assert without_parentheses(dumped_schema(database)) == without_parentheses(dumped_schema(old_db))


def test_a_function_whose_result_has_another_shape_is_made_anew(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as conn, conn, conn.cursor() as cursor:
        cursor.execute("CREATE FUNCTION store.of_an_administrator() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    before = dumped_schema(store_db)
    with closing(store_db.admin()) as conn:
        with conn, conn.cursor() as cursor:
            cursor.execute(
                "DROP FUNCTION store.grants_of(uuid); CREATE FUNCTION store.grants_of(p_entity uuid)"
                " RETURNS integer LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION store.principals() CASCADE;"
                " CREATE FUNCTION store.principals() RETURNS integer LANGUAGE sql AS 'SELECT 1';"
                " ALTER FUNCTION store.principals() OWNER TO store_owner; ALTER FUNCTION store.grants_of(uuid) OWNER TO"
                " store_owner; UPDATE store.schema_version SET digest = 'that of another version'"
            )
        assert schema.bootstrap_schema(conn) == []
    assert dumped_schema(store_db) == before
