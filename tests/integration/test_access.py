"""Who may do what: rows of others stay unseen, tables refuse direct changes, sharing holds at once."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timezone

import psycopg2
import pytest

from store import users
from store.errors import AccessDenied, EntityNotFound, StoreError, UnknownPrincipal
from store.models import Trade
from store.permissions import list_shared_with, share_read, share_write, unshare, unshare_read, unshare_write
from tests.fix_postgres import StoreDatabase

pytestmark = pytest.mark.both_servers

# Each table of the store, with one of its columns.
TABLES = {
    "object_events": "tx_time",
    "object_heads": "data",
    "share_events": "grantor",
    "checkpoints": "seq",
    "idempotency_keys": "request",
    "groups": "group_name",
    "group_members": "member",
    "transaction_clocks": "tx_time",
    "type_shapes": "fields",
    "schema_version": "version",
    "snapshots": "folded",
    "stability": "at",
    "workflow_outbox": "username",
    "publications": "document",
    "published_types": "fields",
    "published_fields": "field",
    "published_edges": "allowed_by",
    "governance": "governed",
    "limits": "idle_transaction",
    "admin_events": "actor",
}


def trade(quantity: int = 100) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


def test_entity_of_another_user_is_absent_in_every_way_of_reading(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    entity_id = alice.write(trade())
    assert bob.read(Trade, entity_id) is None
    assert bob.as_of(Trade, entity_id, valid_time=datetime.now(timezone.utc)) is None
    assert bob.history(Trade, entity_id) == []
    assert bob.audit(entity_id) == []
    assert list(bob.query(Trade)) == list(bob.query(Trade, tx_time=bob.stable_time())) == []
    assert bob.count(Trade) == 0
    assert bob.list_types() == []
    assert list_shared_with(bob.conn, entity_id) == []


def test_sharing_with_a_client_where_its_connection_belongs_says_so(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    entity_id = alice.write(trade())
    with pytest.raises(StoreError, match=r"connection first, such as client\.conn, not <StoreClient: 'alice' at "):
        share_read(alice, entity_id, "bob")  # type: ignore[arg-type]


def test_change_of_an_unseen_entity_and_of_a_missing_one_give_the_same_error(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    obj = trade()
    entity_id = alice.write(obj)
    missing = "01890000-0000-7000-8000-000000000000"
    messages = []
    for target in (entity_id, missing):
        assert obj._metadata is not None
        obj._bind(obj._metadata._replace(entity_id=target), obj._stored)
        for call in (bob.update, bob.delete):
            with pytest.raises(EntityNotFound) as caught:
                call(obj)
            messages.append(str(caught.value).replace(target, "<id>"))
        for share in (share_read, share_write, unshare):
            with pytest.raises(EntityNotFound) as caught:
                share(bob.conn, target, "carol")
            messages.append(str(caught.value).replace(target, "<id>"))
    assert messages[:5] == messages[5:]


def test_reader_reads_the_whole_history_but_changes_nothing(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    obj = trade(1)
    entity_id = alice.write(obj)
    obj.quantity = 2
    alice.update(obj)
    share_read(alice.conn, entity_id, "bob")
    seen = bob.read(Trade, entity_id)
    assert seen is not None and seen.quantity == 2
    assert [version.quantity for version in bob.history(Trade, entity_id)] == [1, 2]
    seen.quantity = 3
    with pytest.raises(AccessDenied) as caught:
        bob.update(seen)
    assert isinstance(caught.value, PermissionError)
    assert (seen.quantity, seen.version) == (3, 2)
    with pytest.raises(AccessDenied):
        bob.delete(seen)
    with pytest.raises(AccessDenied):
        share_read(bob.conn, entity_id, "carol")


def test_writer_changes_and_the_trail_names_it(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    entity_id = alice.write(trade(1))
    share_write(alice.conn, entity_id, "bob")
    obj = bob.read(Trade, entity_id)
    assert obj is not None
    obj.quantity = 2
    bob.update(obj)
    assert (obj.owner, obj.updated_by) == ("alice", "bob")
    trail = [(entry["event_type"], entry["updated_by"]) for entry in alice.audit(entity_id)]
    assert trail == [("CREATED", "alice"), ("SHARED", "alice"), ("UPDATED", "bob")]


def test_unshare_takes_access_away_at_once_and_stands_in_the_trail(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    entity_id = alice.write(trade())
    share_read(alice.conn, entity_id, "bob")
    share_write(alice.conn, entity_id, "bob")
    unshare_read(alice.conn, entity_id, "bob")
    assert bob.read(Trade, entity_id) is not None
    unshare_write(alice.conn, entity_id, "bob")
    assert bob.read(Trade, entity_id) is None
    share_read(alice.conn, entity_id, "bob")
    share_write(alice.conn, entity_id, "bob")
    unshare(alice.conn, entity_id, "bob")
    assert bob.read(Trade, entity_id) is None
    assert list_shared_with(alice.conn, entity_id) == []
    shares = [(e["event_type"], e["meta"]["access"]) for e in alice.audit(entity_id) if e["meta"]]
    once = [("SHARED", "READ"), ("SHARED", "WRITE")]
    undone = [("UNSHARED", "READ"), ("UNSHARED", "WRITE")]
    assert shares == [*once, *undone, *once, *undone]


def test_writer_may_share_but_not_withdraw_the_owners_grants(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    store_db.provision("dave")
    entity_id = alice.write(trade())
    share_write(alice.conn, entity_id, "bob")
    share_read(alice.conn, entity_id, "carol")
    share_read(bob.conn, entity_id, "dave")
    with pytest.raises(AccessDenied, match="owner"):
        unshare(bob.conn, entity_id, "carol")
    unshare(bob.conn, entity_id, "dave")
    with pytest.raises(StoreError, match="owns"):
        unshare(bob.conn, entity_id, "alice")
    assert [(grant.principal, grant.access) for grant in list_shared_with(alice.conn, entity_id)] == [
        ("bob", "WRITE"),
        ("carol", "READ"),
    ]


def test_share_with_a_name_that_is_nobodys_is_refused(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    entity_id = alice.write(trade())
    for name in ("nobody at all", "postgres", "store_user", "'; DROP TABLE store.object_events; --"):
        with pytest.raises(UnknownPrincipal):
            share_read(alice.conn, entity_id, name)
    for name, told in (
        (None, "pass the name of a user"),
        (5, "pass the name of a user"),
        ("a\x00", "NUL"),
        ("\ud800", "Uni"),
    ):
        with pytest.raises(StoreError, match=told):
            share_read(alice.conn, entity_id, name)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="owns"):
        share_read(alice.conn, entity_id, "alice")


def test_unshare_with_a_name_that_is_nobodys_is_refused(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    entity_id = alice.write(trade())
    share_read(alice.conn, entity_id, "bob")
    for withdraw in (unshare, unshare_read, unshare_write):
        with pytest.raises(UnknownPrincipal, match="no user or group named 'Bob'") as caught:
            withdraw(alice.conn, entity_id, "Bob")
        assert caught.value.principal == "Bob"
    assert [grant.principal for grant in list_shared_with(alice.conn, entity_id)] == ["bob"]
    unshare(alice.conn, entity_id, "carol")  # is somebody, to whom nothing was granted


def test_unshare_with_a_user_who_has_gone_withdraws_what_was_granted(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    store_db.provision("gwen")
    entity_id = alice.write(trade())
    share_read(alice.conn, entity_id, "gwen")
    with closing(store_db.admin()) as admin, admin, admin.cursor() as cursor:
        cursor.execute("DROP ROLE gwen")
    unshare(alice.conn, entity_id, "gwen")
    unshare(alice.conn, entity_id, "gwen")  # once more is no error, as with anybody else
    assert list_shared_with(alice.conn, entity_id) == []


def test_share_with_a_disabled_user_says_that_it_is_disabled(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    store_db.provision("hugh")
    entity_id = alice.write(trade())
    share_read(alice.conn, entity_id, "hugh")
    with closing(store_db.admin()) as admin:
        users.disable_user(admin, "hugh")
    with pytest.raises(UnknownPrincipal, match="user 'hugh' is disabled"):
        share_write(alice.conn, entity_id, "hugh")
    with pytest.raises(UnknownPrincipal, match="user 'hugh' is disabled"):
        store_db.client("alice", readers=["hugh"]).write(trade())
    with pytest.raises(UnknownPrincipal, match="no user or group named 'store_admin'"):
        share_read(alice.conn, entity_id, "store_admin")
    assert [grant.principal for grant in list_shared_with(alice.conn, entity_id)] == ["hugh"]
    unshare(alice.conn, entity_id, "hugh")
    assert list_shared_with(alice.conn, entity_id) == []


def test_client_with_default_grants_shares_what_it_writes(store_db: StoreDatabase) -> None:
    alice, bob, carol = (store_db.client(user) for user in ("alice", "bob", "carol"))
    sharing = store_db.client("alice", readers=["bob"], writers=["carol"])
    ids = [sharing.write(trade(1)), *sharing.write_many([trade(2), trade(3)])]
    assert bob.count(Trade) == carol.count(Trade) == 3
    obj = carol.read(Trade, ids[1])
    assert obj is not None
    obj.quantity = 9
    carol.update(obj)
    unshare(alice.conn, ids[2], "bob")
    assert bob.count(Trade) == 2
    assert {entry["event_type"] for entry in alice.audit(ids[0])} == {"CREATED", "SHARED"}


def test_user_who_reads_all_sees_everything_and_changes_only_its_own(store_db: StoreDatabase) -> None:
    store_db.provision("auditor", reads_all=True)
    alice, auditor = store_db.client("alice"), store_db.client("auditor")
    entity_id = alice.write(trade())
    obj = auditor.read(Trade, entity_id)
    assert obj is not None
    assert len(auditor.audit(entity_id)) == auditor.count(Trade) == 1
    with pytest.raises(AccessDenied):
        auditor.delete(obj)
    auditor.write(trade(5))
    assert alice.count(Trade) == 1


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "statement", ["INSERT INTO {} DEFAULT VALUES", "UPDATE {} SET {} = NULL", "DELETE FROM {}", "TRUNCATE {}"]
)
def test_tables_refuse_direct_changes_by_users(module_store_db: StoreDatabase, table: str, statement: str) -> None:
    refused = pytest.raises(psycopg2.errors.InsufficientPrivilege)
    with closing(module_store_db.connect("bob")) as conn, conn.cursor() as cursor, refused:
        cursor.execute(statement.format(f"store.{table}", TABLES[table]))


def test_every_table_is_listed_here(store_db: StoreDatabase) -> None:
    with store_db.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'store'")
        assert {row[0] for row in cursor.fetchall()} == set(TABLES)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE store.object_events SET version = version",
        "DELETE FROM store.object_events",
        "TRUNCATE store.object_events",
    ],
)
def test_log_refuses_changes_by_its_owner(store_db: StoreDatabase, statement: str) -> None:
    store_db.client().write(trade())
    with store_db.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SET ROLE store_owner")
        with pytest.raises(psycopg2.Error, match="append-only"):
            cursor.execute(statement)


def test_login_that_may_act_as_another_remains_itself(store_db: StoreDatabase) -> None:
    owner, stand_in = store_db.provision("mistress"), store_db.provision("stand_in")
    store_db.client(owner).write(trade())
    claim = "SELECT FROM store.claim_checkpoint(%s, 0)"
    with store_db.connect(owner) as conn, conn.cursor() as cursor:
        cursor.execute(claim, ("of the owner",))
    with store_db.admin() as admin, admin.cursor() as cursor:
        cursor.execute(f"GRANT {owner} TO {stand_in}")
    with store_db.connect(stand_in) as conn, conn.cursor() as cursor:
        cursor.execute(f"SET ROLE {owner}")
        cursor.execute(claim, ("of the stand-in",))
        cursor.execute("SELECT subscriber_id FROM store.checkpoints")
        assert cursor.fetchall() == [("of the stand-in",)]
        cursor.execute("SELECT FROM store.object_heads UNION ALL SELECT FROM store.object_events")
        assert cursor.fetchall() == []


def test_forged_system_columns_in_a_call_are_ignored(store_db: StoreDatabase) -> None:
    item = {
        "type_name": "Trade",
        "data": {"symbol": "AAPL"},
        "owner": "alice",
        "updated_by": "alice",
        "tx_time": "2001-01-01T00:00:00Z",
        "version": 7,
        "seq": -5,
        "entity_id": "01890000-0000-7000-8000-000000000000",
    }
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        cursor.execute("SELECT * FROM store.create_objects(%s, '{}', '{}', false, NULL)", (json.dumps([item]),))
        entity_id, version, owner, updated_by, tx_time, *_ = cursor.fetchone()
    assert entity_id != item["entity_id"]
    assert (version, owner, updated_by) == (1, "bob", "bob")
    assert tx_time.year > 2020


def test_data_cannot_smuggle_in_a_state(store_db: StoreDatabase) -> None:
    item = [{"type_name": "Order", "data": {"symbol": "AAPL", "state": "SETTLED"}}]
    with store_db.connect("bob") as conn, conn.cursor() as cursor, pytest.raises(psycopg2.errors.CheckViolation):
        cursor.execute("SELECT * FROM store.create_objects(%s, '{}', '{}', false, NULL)", (json.dumps(item),))
