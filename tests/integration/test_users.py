"""Users from provisioning to disabling, under any name that PostgreSQL allows; administrators and what they leave."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone
from typing import Any

import psycopg2
import pytest

from store import groups, users
from store.errors import AccessDenied, ConnectionLost, StoreError, UnknownPrincipal
from store.models import Trade
from store.permissions import list_shared_with, share_read, share_write, unshare
from tests.fix_postgres import StoreDatabase, password_of

pytestmark = pytest.mark.both_servers

NAMES = [
    'quo"ted',
    "it's",
    "two words",
    " lead and trail ",
    "Ünï côde 取引",
    "UPPER Case",
    "; DROP TABLE store.object_events; --",
    "'; DROP ROLE alice; --",
    '" SUPERUSER; --',
    "%s %(name)s {} $1",
    "back\\slash",
    "tab\tnew\nline",
    "{curly,list}",
    "select",
    "current_user",
    "x" * 63,
    "é" * 31,
    "😀" * 15,
]


def trade(quantity: int = 1) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


@pytest.mark.parametrize("name", NAMES)
def test_user_of_any_legal_name_logs_in_writes_shares_and_is_shared_with(
    module_store_db: StoreDatabase, name: str
) -> None:
    store_db = module_store_db
    store_db.provision(name)
    client, alice = store_db.client(name), store_db.client("alice")
    entity_id = client.write(trade())
    obj = client.read(Trade, entity_id)
    assert obj is not None and (obj.owner, obj.updated_by) == (name, name)
    share_read(client.conn, entity_id, "alice")
    assert alice.read(Trade, entity_id) is not None
    granted = alice.write(trade(2))
    share_write(alice.conn, granted, name)
    seen = client.read(Trade, granted)
    assert seen is not None
    client.delete(seen)
    assert [grant.principal for grant in list_shared_with(alice.conn, granted)] == [name]
    with closing(store_db.admin()) as admin:
        groups.create_group(admin, f"g{name}"[:20], [name])
        users.change_password(admin, name, "another one")
        assert users.User(name, False, False, True) in users.list_users(admin)
        users.disable_user(admin, name)
        assert users.User(name, False, False, False) in users.list_users(admin)
    with pytest.raises(StoreError):
        share_read(alice.conn, granted, f"{name}x"[-64:])


@pytest.mark.parametrize("name", ["", "x" * 64, "é" * 32, "a\0b", "\ud800", "pg_root", "store_owner", "none", None, 7])
def test_name_that_cannot_be_a_user_s_is_refused(module_store_db: StoreDatabase, name: Any) -> None:
    with closing(module_store_db.admin()) as admin:
        for call in (
            lambda: users.provision_user(admin, name, "pw"),
            lambda: users.change_password(admin, name, "pw"),
            lambda: users.disable_user(admin, name),
            lambda: users.enable_user(admin, name),
        ):
            with pytest.raises(StoreError, match=r"cannot be|bytes long|reserved"):
                call()


@pytest.mark.parametrize("password", ["", "a\0b", "\ud800", None])
def test_password_that_cannot_be_is_refused(module_store_db: StoreDatabase, password: Any) -> None:
    with closing(module_store_db.admin()) as admin, pytest.raises(StoreError, match="password"):
        users.provision_user(admin, "gus", password)
    with pytest.raises(StoreError, match="password"):
        module_store_db.client("carol").change_password(password)


@pytest.mark.parametrize("password", ["it's", '"; --', "ünï 取引 😀", "x" * 500, " ", "SCRAM-SHA-256$4096:x$y:z", "%s"])
def test_any_password_works(module_store_db: StoreDatabase, password: str) -> None:
    with closing(module_store_db.admin()) as admin:
        users.provision_user(admin, "hal", password)
    psycopg2.connect(**module_store_db.where, user="hal", password=password).close()
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        psycopg2.connect(**module_store_db.where, user="hal", password=f"{password}x")


def test_change_of_a_password_keeps_rights_and_sessions(store_db: StoreDatabase) -> None:
    store_db.provision("ivy", reads_all=True)
    client = store_db.client("ivy")
    store_db.client("alice").write(trade())
    with closing(store_db.admin()) as admin:
        users.change_password(admin, "ivy", "new one")
        with pytest.raises(UnknownPrincipal, match="nobody at all"):
            users.change_password(admin, "nobody at all", "x")
        with pytest.raises(UnknownPrincipal, match="postgres"):
            users.change_password(admin, "postgres", "x")
    assert client.count(Trade) == 1
    with pytest.raises(ConnectionLost, match="authentication failed"):
        store_db.client("ivy")
    psycopg2.connect(**store_db.where, user="ivy", password="new one").close()


def test_user_changes_its_own_password_and_goes_on(store_db: StoreDatabase) -> None:
    store_db.provision("jan")
    client = store_db.client("jan")
    client.change_password("mine alone")
    client.write(trade())
    with client.transaction():
        client.write(trade())
        assert client.conn.info.user == "jan"
    assert client.conn.closed == 0, "a new connection, with the new password"
    assert client.count(Trade) == 2
    with pytest.raises(ConnectionLost, match="authentication failed"):
        store_db.client("jan")
    psycopg2.connect(**store_db.where, user="jan", password="mine alone").close()


def test_user_cannot_change_another_s_password(store_db: StoreDatabase) -> None:
    conn = store_db.connect("bob")
    with pytest.raises(AccessDenied, match="bob may not do that: it takes the login of whoever set the store up"):
        users.change_password(conn, "alice", "stolen")
    for text in ("ALTER ROLE alice PASSWORD 'stolen'", "ALTER USER postgres PASSWORD 'stolen'"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege), conn, conn.cursor() as cursor:
            cursor.execute(text)
    assert store_db.client("alice").count(Trade) == 0


def test_administrator_sees_and_changes_all_under_its_own_name(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as admin:
        users.provision_user(admin, "kim", password_of("kim"), admin=True)
    alice, bob, kim = (store_db.client(user) for user in ("alice", "bob", "kim"))
    entity_id = alice.write(trade(1))
    obj = kim.read(Trade, entity_id)
    assert obj is not None
    assert kim.count(Trade) == len(kim.history(Trade, entity_id)) == 1
    assert kim.as_of(Trade, entity_id, valid_time=datetime.now(timezone.utc)) is not None
    obj.quantity = 2
    kim.update(obj)
    share_read(kim.conn, entity_id, "bob")
    assert bob.count(Trade) == 1
    unshare(kim.conn, entity_id, "bob")
    kim.delete(obj)
    own = kim.write(trade(9))
    assert alice.read(Trade, own) is None
    trail = [(e["event_type"], e["updated_by"]) for e in alice.audit(entity_id)]
    assert trail == [
        ("CREATED", "alice"),
        ("UPDATED", "kim"),
        ("SHARED", "kim"),
        ("UNSHARED", "kim"),
        ("DELETED", "kim"),
    ]
    assert {e["updated_by"] for e in kim.audit(own)} == {"kim"}


def test_administrator_looks_after_groups_but_cannot_make_users(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as admin:
        users.provision_user(admin, "lou", password_of("lou"), admin=True)
    conn = store_db.connect("lou")
    groups.create_group(conn, "rates", ["bob"])
    groups.add_members(conn, "rates", ["carol"])
    groups.remove_members(conn, "rates", ["bob", "alice"])
    assert groups.list_groups(conn) == [("rates", ["carol"])]
    for attempt in (
        lambda: users.provision_user(conn, "mine", "pw"),
        lambda: users.change_password(conn, "bob", "pw"),
        lambda: users.disable_user(conn, "bob"),
        lambda: users.enable_user(conn, "bob"),
    ):
        with pytest.raises(AccessDenied, match="lou may not do that: it takes the login of whoever set the store up"):
            attempt()
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), conn, conn.cursor() as cursor:
        cursor.execute("GRANT store_admin TO bob")
    with closing(store_db.admin()) as admin:
        users.provision_user(admin, "lou", password_of("lou"))
    with pytest.raises(AccessDenied):
        groups.drop_group(conn, "rates")


def test_administration_is_on_record_with_who_did_it_and_cannot_be_rewritten(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as admin:
        users.provision_user(admin, "moe", password_of("moe"), reads_all=True)
        users.provision_user(admin, "ned", password_of("ned"), admin=True)
        users.change_password(admin, "moe", password_of("moe"))
        users.disable_user(admin, "moe")
        users.enable_user(admin, "moe")
    ned = store_db.connect("ned")
    groups.create_group(ned, "rates", ["bob", "carol", "bob"])
    groups.remove_members(ned, "rates", ["bob"])
    groups.drop_group(ned, "rates")
    expected = [
        ("postgres", "USER_CHANGED", "moe", "password"),
        ("postgres", "USER_DISABLED", "moe", None),
        ("postgres", "USER_ENABLED", "moe", None),
        ("ned", "GROUP_CREATED", "rates", None),
        ("ned", "MEMBER_ADDED", "rates", "bob"),
        ("ned", "MEMBER_ADDED", "rates", "carol"),
        ("ned", "MEMBER_REMOVED", "rates", "bob"),
        ("ned", "GROUP_DROPPED", "rates", None),
    ]
    added = [("postgres", "USER_ADDED", "moe", "reads all"), ("postgres", "USER_ADDED", "ned", "administrator")]
    for conn in (ned, store_db.connect("moe"), store_db.admin()):
        assert [tuple(event)[1:] for event in groups.administration(conn)][-10:] == added + expected
    with store_db.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SET ROLE store_owner")
        with pytest.raises(psycopg2.Error, match="append-only"):
            cursor.execute("DELETE FROM store.admin_events")
