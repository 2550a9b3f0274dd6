"""Groups stand wherever a user may stand, and a change of their members holds at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timezone
from uuid import uuid4

import psycopg2
import pytest

from reactive.expr import Const, Field
from store import groups
from store.client import StoreClient
from store.errors import (
    AccessDenied,
    EntityNotFound,
    InvalidTransition,
    StoreError,
    TransitionNotPermitted,
    UnknownPrincipal,
)
from store.models import Order, Trade
from store.permissions import list_shared_with, share_read, share_write, unshare
from store.schema import publish
from store.state_machine import StateMachine, Transition
from store.subscriptions import ChangeEvent, EventBus, SubscriptionListener
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers


def trade(quantity: int = 100) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


def make_group(store_db: StoreDatabase, name: str, *members: str) -> None:
    with closing(store_db.admin()) as admin:
        groups.create_group(admin, name, members)


def join(store_db: StoreDatabase, name: str, *members: str) -> None:
    with closing(store_db.admin()) as admin:
        groups.add_members(admin, name, members)


def leave(store_db: StoreDatabase, name: str, *members: str) -> None:
    with closing(store_db.admin()) as admin:
        groups.remove_members(admin, name, members)


def sees(client: StoreClient, entity_id: str) -> set[str]:
    """Return the ways of reading in which a client sees an entity of two versions; all of them, or none."""
    now = datetime.now(timezone.utc)
    ways = {
        "read": client.read(Trade, entity_id),
        "as_of": client.as_of(Trade, entity_id, valid_time=now),
        "history": client.history(Trade, entity_id),
        "audit": client.audit(entity_id),
        "query": list(client.query(Trade)),
        "query by dict": list(client.query(Trade, {"symbol": "AAPL"})),
        "query by expression": list(client.query(Trade, Field("quantity") > Const(0))),
        "query as of": list(client.query(Trade, valid_time=now)),
        "count": client.count(Trade),
        "list_types": client.list_types(),
        "list_shared_with": list_shared_with(client.conn, entity_id),
    }
    return {name for name, found in ways.items() if found}


def test_members_of_a_group_read_what_is_shared_with_it_as_long_as_they_are_members(store_db: StoreDatabase) -> None:
    alice, bob, carol = (store_db.client(user) for user in ("alice", "bob", "carol"))
    make_group(store_db, "rates", "bob")
    obj = trade(1)
    entity_id = alice.write(obj)
    obj.quantity = 2
    alice.update(obj)
    share_read(alice.conn, entity_id, "rates")
    assert len(sees(bob, entity_id)) == 11
    assert sees(carol, entity_id) == set()
    assert [old.quantity for old in bob.history(Trade, entity_id)] == [1, 2]

    join(store_db, "rates", "carol")
    leave(store_db, "rates", "bob")
    assert sees(bob, entity_id) == set()
    assert len(sees(carol, entity_id)) == 11
    with pytest.raises(AccessDenied):
        share_read(carol.conn, entity_id, "bob")

    unshare(alice.conn, entity_id, "rates")
    assert sees(carol, entity_id) == set()
    trail = [(e["event_type"], e["meta"]["principal"]) for e in alice.audit(entity_id) if e["meta"]]
    assert trail == [("SHARED", "rates"), ("UNSHARED", "rates")]


def test_members_of_a_group_that_may_write_change_and_share(store_db: StoreDatabase) -> None:
    alice, bob, carol = (store_db.client(user) for user in ("alice", "bob", "carol"))
    make_group(store_db, "rates", "bob")
    entity_id = alice.write(trade(1))
    share_write(alice.conn, entity_id, "rates")
    obj = bob.read(Trade, entity_id)
    assert obj is not None
    obj.quantity = 2
    bob.update(obj)
    assert (obj.owner, obj.updated_by) == ("alice", "bob")
    share_read(bob.conn, entity_id, "carol")
    assert carol.count(Trade) == 1
    with pytest.raises(AccessDenied, match="owner"):
        unshare(bob.conn, entity_id, "rates")
    leave(store_db, "rates", "bob")
    obj.quantity = 3
    with pytest.raises(EntityNotFound):
        bob.update(obj)


def test_groups_as_default_grants_of_a_client(store_db: StoreDatabase) -> None:
    make_group(store_db, "rates", "bob")
    make_group(store_db, "desk heads", "carol")
    sharing = store_db.client("alice", readers=["rates"], writers=["desk heads"])
    ids = sharing.write_many([trade(1), trade(2)])
    bob, carol = store_db.client("bob"), store_db.client("carol")
    assert bob.count(Trade) == carol.count(Trade) == 2
    obj, seen = carol.read(Trade, ids[0]), bob.read(Trade, ids[0])
    assert obj is not None and seen is not None
    with pytest.raises(AccessDenied):
        bob.delete(seen)
    carol.delete(obj)
    with pytest.raises(UnknownPrincipal, match="no such group"):
        store_db.client("alice", readers=["no such group"]).write(trade())


class Lifecycle(StateMachine):
    initial = "PENDING"
    transitions = (
        Transition("PENDING", "CANCELLED", allowed_by=["risk"]),
        Transition("PENDING", "FILLED", allowed_by=["nobody here", "alice"]),
    )


class GroupOrder(Order, state_machine=Lifecycle):
    pass


def test_group_in_allowed_by_admits_its_members_as_they_are_now(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    make_group(store_db, "risk", "bob")
    order = GroupOrder(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    alice.write(order)
    assert order.entity_id is not None
    share_write(alice.conn, order.entity_id, "bob")
    with pytest.raises(TransitionNotPermitted, match="'alice' may not take"):
        alice.transition(order, "CANCELLED")
    seen = bob.read(GroupOrder, order.entity_id)
    assert seen is not None
    with pytest.raises(TransitionNotPermitted):
        bob.transition(seen, "FILLED")
    with pytest.raises(InvalidTransition):
        bob.transition(seen, "NOWHERE")
    leave(store_db, "risk", "bob")
    with pytest.raises(TransitionNotPermitted):
        bob.transition(seen, "CANCELLED")
    join(store_db, "risk", "bob")
    bob.transition(seen, "CANCELLED")
    assert seen.state == "CANCELLED"


def test_group_in_allowed_by_of_a_published_type_admits_its_members_whatever_client_they_use(
    store_db: StoreDatabase,
) -> None:
    make_group(store_db, "risk", "bob")
    with closing(store_db.admin()) as admin:
        publish(admin, GroupOrder)
    client = store_db.client("alice", writers=["bob"])
    order = GroupOrder(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    client.write(order)
    item = {
        "entity_id": order.entity_id,
        "type_name": GroupOrder.type_name(),
        "version": 1,
        "event_type": "STATE_CHANGE",
        "changes": {},
        "from_state": "PENDING",
        "state": "CANCELLED",
    }
    statement = "SELECT state FROM store.append_events(%s, false, NULL)"
    with (
        store_db.connect("alice") as conn,
        conn.cursor() as cursor,
        pytest.raises(psycopg2.Error, match="may not take"),
    ):
        cursor.execute(statement, (json.dumps([item]),))
    leave(store_db, "risk", "bob")
    bob = store_db.connect("bob")
    with bob, bob.cursor() as cursor, pytest.raises(psycopg2.Error, match="may not take"):
        cursor.execute(statement, (json.dumps([item]),))
    join(store_db, "risk", "bob")
    with bob, bob.cursor() as cursor:
        cursor.execute(statement, (json.dumps([item]),))
        assert cursor.fetchall() == [("CANCELLED",)]


@pytest.fixture
def bus() -> Iterator[tuple[EventBus, list[ChangeEvent]]]:
    events: list[ChangeEvent] = []
    bus = EventBus()
    bus.on_all(events.append)
    yield bus, events


def test_listener_of_a_member_hears_what_is_shared_with_its_group(
    store_db: StoreDatabase, bus: tuple[EventBus, list[ChangeEvent]]
) -> None:
    make_group(store_db, "rates", "bob")
    sharing = store_db.client("alice", readers=["rates"])
    with SubscriptionListener(bus[0], **store_db.login("bob")):
        heard = sharing.write(trade())
        wait_until(lambda: [event.entity_id for event in bus[1]] == [heard])
        leave(store_db, "rates", "bob")
        sharing.write(trade())
        own = store_db.client("bob").write(trade())
        wait_until(lambda: [event.entity_id for event in bus[1]] == [heard, own])


def test_name_is_never_both_a_user_s_and_a_group_s(store_db: StoreDatabase) -> None:
    name = f"both {uuid4()}"[:40]
    make_group(store_db, name)
    with pytest.raises(StoreError, match="name of a group"):
        store_db.provision(name)
    for taken in ("alice", "postgres"):
        with pytest.raises(StoreError, match="name of a user"):
            make_group(store_db, taken)
    with pytest.raises(StoreError, match="already"):
        make_group(store_db, name)


def test_login_with_the_name_of_a_group_made_elsewhere_gets_nothing_of_the_group(store_db: StoreDatabase) -> None:
    name = f"gate {uuid4()}"[:40]
    make_group(store_db, name, "bob")
    store_db.client("alice", readers=[name]).write(trade())
    assert store_db.client("bob").count(Trade) == 1
    # Roles belong to the whole server, groups to one database: this one is provisioned from another.
    store_db.server.provision_user(name, f"{name}_pw")
    impostor = psycopg2.connect(**store_db.login(name))
    with closing(impostor), impostor.cursor() as cursor, pytest.raises(psycopg2.Error, match="name of a group"):
        cursor.execute("SELECT data FROM store.object_heads")


@pytest.mark.parametrize("name", ["", "pg_x", "store_x", "public", "none", "x" * 64, "é" * 32, "a\0b", "\ud800", 7])
def test_group_with_an_illegal_name_is_refused(store_db: StoreDatabase, name: object) -> None:
    with pytest.raises(StoreError, match=r"cannot be|reserved|bytes long"):
        make_group(store_db, name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ['"; DROP TABLE store.groups; --', "the desk's", "Ünï côde 組", "UPPER", "g" * 63, " ", "%s"]
)
def test_group_with_any_legal_name_works(store_db: StoreDatabase, name: str) -> None:
    make_group(store_db, name, "bob")
    entity_id = store_db.client("alice", readers=[name]).write(trade())
    assert store_db.client("bob").read(Trade, entity_id) is not None
    with closing(store_db.admin()) as admin:
        assert groups.list_groups(admin) == [(name, ["bob"])]


def test_members_must_be_users(store_db: StoreDatabase) -> None:
    make_group(store_db, "rates")
    make_group(store_db, "credit")
    for stranger in ("nobody", "postgres", "credit"):
        with pytest.raises(UnknownPrincipal):
            join(store_db, "rates", "bob", stranger)
    with pytest.raises(UnknownPrincipal, match="no group"):
        join(store_db, "equities", "bob")
    with pytest.raises(StoreError, match="list of names"):
        groups.add_members(store_db.admin(), "rates", "bob")
    with closing(store_db.admin()) as admin:
        assert ("rates", []) in groups.list_groups(admin), "all or none"


def test_group_dropped_while_something_is_shared_with_it_keeps_no_grant(store_db: StoreDatabase) -> None:
    make_group(store_db, "rates", "bob")
    entity_id = store_db.client().write(trade())
    sharing, dropping, watching = store_db.connect("alice"), store_db.admin(), store_db.admin()
    watching.autocommit = True
    with sharing.cursor() as cursor:
        cursor.execute("SELECT store.share(%s, 'rates', 'READ')", (entity_id,))
    with ThreadPoolExecutor(1) as pool, watching.cursor() as cursor:
        dropped = pool.submit(groups.drop_group, dropping, "rates")

        def waits() -> bool:
            cursor.execute(
                "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", (dropping.info.backend_pid,)
            )
            return bool(cursor.fetchone()[0])

        wait_until(waits, message="the one who drops the group waits for the one who shares")
        sharing.commit()
        assert dropped.result(60) == 1
        cursor.execute("SELECT readers FROM store.object_heads WHERE entity_id = %s", (entity_id,))
        assert cursor.fetchone() == ([],)


def test_dropped_group_leaves_nothing_to_a_later_one_of_its_name(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    make_group(store_db, "rates", "bob")
    entity_id = store_db.client("alice", readers=["rates"], writers=["rates"]).write(trade())
    assert bob.count(Trade) == 1
    with closing(store_db.admin()) as admin:
        assert groups.drop_group(admin, "rates") == 1
        with pytest.raises(UnknownPrincipal):
            groups.drop_group(admin, "rates")
    assert bob.count(Trade) == 0
    make_group(store_db, "rates", "bob")
    assert bob.count(Trade) == 0
    assert list_shared_with(alice.conn, entity_id) == []
    withdrawn = [
        (e["updated_by"], e["meta"]["access"]) for e in alice.audit(entity_id) if e["event_type"] == "UNSHARED"
    ]
    assert withdrawn == [("postgres", "READ"), ("postgres", "WRITE")]


def test_users_neither_manage_nor_list_groups(store_db: StoreDatabase) -> None:
    make_group(store_db, "rates", "alice")
    conn = store_db.connect("bob")
    for attempt in (
        lambda: groups.create_group(conn, "mine"),
        lambda: groups.add_members(conn, "rates", ["bob"]),
        lambda: groups.remove_members(conn, "rates", ["alice"]),
        lambda: groups.drop_group(conn, "rates"),
        lambda: groups.list_groups(conn),
        lambda: groups.administration(conn),
    ):
        with pytest.raises(AccessDenied, match="it takes an administrator"):
            attempt()
    with closing(store_db.admin()) as admin:
        assert groups.list_groups(admin) == [("rates", ["alice"])]
