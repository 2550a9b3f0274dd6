"""Published types: what the database itself refuses, whoever writes, and what an administrator is told."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from store.base import Storable
from store.errors import (
    AccessDenied,
    InvalidTransition,
    InvalidValue,
    NotPublished,
    StoreError,
    TransitionNotPermitted,
)
from store.permissions import share_write
from store.publication import publication_of
from store.publishing import publish, retire, set_governed
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase
from tests.integration.tickets import Lifecycle, event, new, published, refused, sent, ticket

pytestmark = pytest.mark.both_servers


# ---- what the database refuses


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"foo": 1}, "Ticket.foo: the type is published without this field"),
        ({"price": "1"}, 'Ticket.price: expected float in the form that the client writes, found "1"'),
        ({"price": -1}, "Ticket.price: expected at least 0.0, found -1"),
        ({"price": None}, "Ticket.price: expected a value, not null, found null"),
        ({"quantity": 1.5}, "Ticket.quantity: expected int in the form that the client writes, found 1.5"),
        ({"quantity": True}, "Ticket.quantity: expected int in the form that the client writes, found true"),
        ({"side": "HOLD"}, 'Ticket.side: expected one of ["BUY", "SELL"], found "HOLD"'),
        ({"symbol": "ABCDEFGHIJKLM"}, 'Ticket.symbol: expected at most 12 characters, found "ABCDEFGHIJKLM"'),
        ({"symbol": "aapl"}, r'Ticket.symbol: expected text that matches ^[A-Z0-9\.\/]+$, found "aapl"'),
    ],
)
def test_database_refuses_what_a_published_type_does_not_allow(
    module_store_db: StoreDatabase, data: dict[str, Any], told: str
) -> None:
    cls = ticket()
    published(module_store_db, cls)
    [name] = data
    message, facts = refused(module_store_db, "create_objects", new(**data))
    assert (message, facts["field"], facts["item"]) == (told, name, None)
    message, facts = refused(module_store_db, "create_objects", new(), new(**data))
    assert (message, facts["item"]) == (told, 1)
    client = module_store_db.client()
    objects = [cls(), cls()]
    client.write_many(objects)
    message, facts = refused(module_store_db, "append_events", event(objects[0], "UPDATED", **data))
    assert (message, facts["item"]) == (told, None)
    events = [event(objects[0], "UPDATED", price=2.5), event(objects[1], "UPDATED", **data)]
    message, facts = refused(module_store_db, "append_events", *events)
    assert (message, facts["item"]) == (told, 1)
    assert [client.read(cls, str(obj.entity_id)).version for obj in objects] == [1, 1]


def test_database_refuses_an_object_without_a_field_that_has_no_default(store_db: StoreDatabase) -> None:
    @dataclass
    class Ticket(Storable):
        symbol: str
        quantity: int = 0

    published(store_db, Ticket)
    message, facts = refused(store_db, "create_objects", new(quantity=1))
    assert message == "Ticket.symbol: expected a value, as the field has no default, found nothing"
    assert facts["rule"] == "missing"
    sent(store_db, "alice", "create_objects", [new(symbol="AAPL")])


def test_change_of_a_published_type_need_not_give_the_fields_that_have_no_default(store_db: StoreDatabase) -> None:
    @dataclass
    class Ticket(Storable):
        symbol: str
        quantity: int = 0

    published(store_db, Ticket)
    client = store_db.client()
    objects = [Ticket("AAPL"), Ticket("MSFT"), Ticket("TSLA")]
    client.write_many(objects)
    for obj in objects:
        obj.quantity = 5
    client.update(objects[0])
    client.update_many(objects[1:])
    assert [(obj.symbol, obj.quantity) for obj in client.query(Ticket, {"quantity": 5}, order_by="symbol")] == [
        ("AAPL", 5),
        ("MSFT", 5),
        ("TSLA", 5),
    ]


def test_client_with_laxer_rules_is_told_what_the_database_refused(store_db: StoreDatabase) -> None:
    cls = ticket()
    document = publication_of(cls)
    strict = [{**f, "high": 10.0} if f["field"] == "price" else f for f in document["fields"]]  # type: ignore[union-attr]
    with closing(store_db.admin()) as conn, conn, conn.cursor() as cursor:
        cursor.execute("SELECT * FROM store.publish('Ticket', %s)", (json.dumps({**document, "fields": strict}),))
    client = store_db.client()
    obj = cls(price=11.0)
    with pytest.raises(
        InvalidValue, match=r"Ticket\.price: expected at most 10\.0, found 11\.0 \(as published"
    ) as caught:
        client.write(obj)
    [violation] = caught.value.violations
    assert (violation.field, violation.rule, violation.value) == ("price", "max_value", 11.0)
    assert obj.entity_id is None
    with pytest.raises(InvalidValue, match=r"object 1, counted from 0: Ticket\.price"):
        client.write_many([cls(), obj])
    assert client.count(cls) == 0


def test_unpublished_type_beside_a_published_one_is_free(store_db: StoreDatabase) -> None:
    published(store_db, ticket())
    sent(store_db, "alice", "create_objects", [new(type_name="Note", anything=[1, {}])])


# ---- the machine


def test_database_refuses_a_state_that_the_machine_does_not_begin_in(store_db: StoreDatabase) -> None:
    published(store_db, ticket(state_machine=Lifecycle))
    told = "a new Ticket begins in 'OPEN', as published with Lifecycle, not in {}"
    assert refused(store_db, "create_objects", new("DONE"))[0] == told.format("'DONE'")
    assert refused(store_db, "create_objects", new())[0] == told.format("no state")
    assert refused(store_db, "create_objects", new("OPEN"), new("DONE"))[0] == told.format("'DONE'")


def test_database_refuses_states_of_a_type_without_a_machine(store_db: StoreDatabase) -> None:
    cls = ticket()
    published(store_db, cls)
    told = "Ticket is published without a state machine"
    assert refused(store_db, "create_objects", new("OPEN"))[0] == told
    obj = cls()
    store_db.client().write(obj)
    assert refused(store_db, "append_events", event(obj, "STATE_CHANGE", "DONE"))[0] == told


@pytest.mark.parametrize("batch", [False, True])
def test_database_holds_a_hand_made_change_of_state_to_the_published_edges(
    store_db: StoreDatabase, batch: bool
) -> None:
    cls = ticket(state_machine=Lifecycle)
    published(store_db, cls)
    alice = store_db.client()
    obj, other = cls(), cls()
    alice.write_many([obj, other])
    further = [event(other, "UPDATED", price=2.0)] if batch else []
    message, facts = refused(store_db, "append_events", *further, event(obj, "STATE_CHANGE", "CLOSED"))
    assert message == "Lifecycle, as published for Ticket, has no transition 'OPEN' -> 'CLOSED'"
    assert facts == {"machine": "Lifecycle", "from_state": "OPEN", "to_state": "CLOSED", "allowed": ["DONE", "VETOED"]}
    message, facts = refused(store_db, "append_events", *further, event(obj, "STATE_CHANGE", "VETOED"))
    assert message == "Lifecycle: 'alice' may not take 'OPEN' -> 'VETOED'; allowed: bob"
    assert facts["allowed_by"] == ["bob"]
    message, _ = refused(store_db, "append_events", *further, event(obj, "STATE_CHANGE", "DONE", price="x"))
    assert message.startswith("Ticket.price")
    share_write(alice.conn, str(obj.entity_id), "bob")
    share_write(alice.conn, str(other.entity_id), "bob")
    sent(store_db, "bob", "append_events", [*further, event(obj, "STATE_CHANGE", "VETOED")])
    found = alice.read(cls, str(obj.entity_id))
    assert found is not None and found.state == "VETOED"


def test_database_lets_a_group_take_an_edge(store_db: StoreDatabase) -> None:
    class Desk(StateMachine):
        initial = "OPEN"
        transitions = (Transition("OPEN", "DONE", allowed_by=["desk"]),)

    cls = ticket(state_machine=Desk)
    [publication] = published(store_db, cls)
    assert publication.notes == ("Ticket: 'desk' may take a transition, and is no user or group yet",)
    obj = cls()
    store_db.client().write(obj)
    refused(store_db, "append_events", event(obj, "STATE_CHANGE", "DONE"))
    with closing(store_db.admin()) as conn, conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO store.groups VALUES ('desk'); INSERT INTO store.group_members VALUES ('desk', 'alice')"
        )
    sent(store_db, "alice", "append_events", [event(obj, "STATE_CHANGE", "DONE")])


def test_client_with_another_machine_is_told_what_the_database_refused(store_db: StoreDatabase) -> None:
    cls = ticket(state_machine=Lifecycle)
    published(store_db, cls)

    class Lax(StateMachine):
        initial = "OPEN"
        transitions = (Transition("OPEN", "VETOED"), Transition("OPEN", "LOST"))

    cls._state_machine = Lax
    client = store_db.client()
    obj = cls()
    client.write(obj)
    with pytest.raises(TransitionNotPermitted, match="'alice' may not take 'OPEN' -> 'VETOED'") as caught:
        client.transition(obj, "VETOED")
    assert (caught.value.user, caught.value.allowed_by) == ("alice", ("bob",))
    with pytest.raises(InvalidTransition, match="no transition 'OPEN' -> 'LOST'") as missed:
        client.transition(obj, "LOST")
    assert missed.value.allowed == ("DONE", "VETOED")
    assert (obj.state, obj.version) == ("OPEN", 1)


@pytest.mark.parametrize("batch", [False, True])
def test_state_travels_with_a_change_of_state_only(store_db: StoreDatabase, batch: bool) -> None:
    cls = ticket(state_machine=Lifecycle)
    published(store_db, cls)
    client = store_db.client()
    obj, other = cls(), cls()
    client.write_many([obj, other])
    further = [event(other, "UPDATED", price=2.0)] if batch else []
    sent(store_db, "alice", "append_events", [*further, event(obj, "UPDATED", "VETOED", price=3.0)])
    found = client.read(cls, str(obj.entity_id))
    assert found is not None and (found.state, found.price) == ("OPEN", 3.0)
    obj = found
    bounded = {**event(obj, "STATE_CHANGE", "DONE"), "valid_to": "2999-01-01T00:00:00Z"}
    further = [event(client.read(cls, str(other.entity_id)), "UPDATED", price=2.5)] if batch else []
    with pytest.raises(psycopg2.Error, match="cannot end by itself") as caught:
        sent(store_db, "alice", "append_events", [*further, bounded])
    assert caught.value.pgcode == "TS005"


@pytest.mark.parametrize("asked", [True, False])
def test_published_edge_says_whether_a_workflow_starts(store_db: StoreDatabase, asked: bool) -> None:
    class Started(StateMachine):
        initial = "OPEN"
        transitions = (Transition("OPEN", "DONE", start_workflow=published), Transition("DONE", "OPEN"))

    cls = ticket(state_machine=Started)
    published_now = cls()
    publish(store_db.admin(), cls)
    client = store_db.client()
    client.write(published_now)
    obj = published_now
    sent(store_db, "alice", "append_events", [{**event(obj, "STATE_CHANGE", "DONE"), "workflow": asked}])
    obj = client.read(cls, str(obj.entity_id))
    sent(store_db, "alice", "append_events", [{**event(obj, "STATE_CHANGE", "OPEN"), "workflow": asked}])
    with closing(store_db.admin()) as conn, conn, conn.cursor() as cursor:
        cursor.execute("SELECT from_state, to_state FROM store.outbox_pending(10)")
        assert cursor.fetchall() == [("OPEN", "DONE")]


# ---- governed stores and retired types


def test_governed_store_refuses_what_is_not_published(store_db: StoreDatabase) -> None:
    cls = ticket()
    client = store_db.client()
    early = cls()
    client.write(early)
    with closing(store_db.admin()) as conn:
        set_governed(conn, True)
    with pytest.raises(NotPublished, match="python -m store publish MODULE"):
        client.write(cls())
    with pytest.raises(NotPublished):
        client.write_many([cls(), cls()])
    early.price = 2.0
    with pytest.raises(NotPublished):
        client.update(early)
    with pytest.raises(NotPublished):
        client.delete(early)
    assert client.count(cls) == 1
    published(store_db, cls)
    client.update(early)
    client.write(cls())
    with closing(store_db.admin()) as conn:
        set_governed(conn, False)
    sent(store_db, "alice", "create_objects", [new(type_name="Note")])


def test_retired_type_is_read_and_not_written_until_published_again(store_db: StoreDatabase) -> None:
    cls = ticket()
    client = store_db.client()
    with closing(store_db.admin()) as conn:
        with pytest.raises(NotPublished, match="Ticket is not published"):
            retire(conn, "Ticket")
        publish(conn, cls)
        obj = cls()
        client.write(obj)
        assert retire(conn, "Ticket") is True
        assert retire(conn, "Ticket") is False
        for call in (lambda: client.write(cls()), lambda: client.delete(obj)):
            with pytest.raises(NotPublished, match="Ticket is retired: its objects can be read"):
                call()
        assert client.read(cls, str(obj.entity_id)) == obj
        assert [p.revision for p in publish(conn, cls)] == [3]
    client.delete(obj)


# ---- who may publish


def test_users_publish_nothing_and_see_what_is_published(
    store_db: StoreDatabase,
) -> None:
    cls = ticket()
    alice = store_db.client()
    for call in (
        lambda: publish(alice.conn, cls),
        lambda: retire(alice.conn, "Ticket"),
        lambda: set_governed(alice.conn, True),
    ):
        with pytest.raises(AccessDenied):
            call()
    published(store_db, cls)
    with alice.conn.cursor() as cursor:
        cursor.execute("SELECT revision, retired FROM store.publication('Ticket')")
        assert cursor.fetchall() == [(1, False)]


def test_publish_takes_stored_classes_only(store_db: StoreDatabase) -> None:
    for wrong in (Storable, str, ticket()()):
        with pytest.raises(StoreError, match="publish\\(\\) takes classes made of Storable"):
            published(store_db, wrong)  # type: ignore[arg-type]


def test_publications_are_kept_even_from_their_owner(store_db: StoreDatabase) -> None:
    published(store_db, ticket())
    with closing(store_db.admin()) as conn, conn.cursor() as cursor, pytest.raises(psycopg2.Error, match="append-only"):
        cursor.execute("DELETE FROM store.publications")


def test_retire_and_set_governed_of_the_wrong_kind_are_refused(store_db: StoreDatabase) -> None:
    name: Any
    governed: Any
    with closing(store_db.admin()) as conn:
        for name in (None, 5, ticket()):
            with pytest.raises(StoreError, match=r"retire\(\) takes the name of a type, not"):
                retire(conn, name)
        for governed in (None, 1, "no"):
            with pytest.raises(StoreError, match=r"set_governed\(\) takes True or False, not"):
                set_governed(conn, governed)


def test_snapshot_from_before_a_publication_writes_nothing(store_db: StoreDatabase) -> None:
    with closing(store_db.connect("bob")) as conn, conn.cursor() as cursor:
        conn.set_session(isolation_level="REPEATABLE READ")
        cursor.execute("SELECT FROM store.object_heads")
        published(store_db, ticket())
        with pytest.raises(psycopg2.errors.SerializationFailure):
            create = "SELECT FROM store.create_objects(%s, '{}', '{}', false, NULL)"
            cursor.execute(create, (json.dumps([{"type_name": "Ticket", "data": {"foo": 1}}]),))
