"""Tier 3 in the store: the row from which an engine starts a workflow, which stands and falls with its event."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from store.base import Storable
from store.client import StoreClient
from store.errors import EngineMissing, VersionConflict
from store.permissions import share_write
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import whole


def settlement_workflow(entity_id: str) -> None:
    """Stand for a workflow: no engine is at work here."""


def refuse(obj: Any, from_state: str, to_state: str) -> None:
    raise RuntimeError("refused")


class Lifecycle(StateMachine):
    initial = "PENDING"
    transitions = (
        Transition("PENDING", "FILLED", start_workflow=settlement_workflow),
        Transition("PENDING", "REFUSED", start_workflow=settlement_workflow, action=refuse),
        Transition("PENDING", "HELD"),
        Transition("FILLED", "SETTLED", start_workflow=settlement_workflow),
    )


@dataclass
class Booking(Storable, state_machine=Lifecycle):
    symbol: str = "AAPL"
    quantity: int = 1


class Engine:
    """Counts how often it is woken, and notes what the outbox holds at that moment."""

    def __init__(self, database: StoreDatabase, *, failing: bool = False) -> None:
        self.database, self.failing = database, failing
        self.seen: list[int] = []

    def wake(self) -> None:
        self.seen.append(len(outbox(self.database)))
        if self.failing:
            raise ConnectionError("the engine is gone")


def outbox(database: StoreDatabase) -> list[tuple[Any, ...]]:
    """Return the rows as an engine's login gets them, without the times."""
    with closing(database.admin()) as conn, conn, conn.cursor() as cursor:
        cursor.execute("SET ROLE store_engine")
        cursor.execute(
            "SELECT entity_id::text, version, type_name, from_state, to_state, username FROM store.outbox_pending(100)"
        )
        return cursor.fetchall()


def done(database: StoreDatabase, entity_id: str | None, version: int) -> bool:
    with closing(database.admin()) as conn, conn, conn.cursor() as cursor:
        cursor.execute("SET ROLE store_engine")
        cursor.execute("SELECT store.outbox_done(%s, %s)", (entity_id, version))
        row = cursor.fetchone()
        assert row is not None
        return bool(row[0])


@pytest.fixture
def engine(store_db: StoreDatabase) -> Iterator[Engine]:
    Booking._workflow_engine = engine = Engine(store_db)
    yield engine
    Booking._workflow_engine = None


@pytest.fixture
def client(store_db: StoreDatabase) -> StoreClient:
    return store_db.client()


def written(client: StoreClient) -> Booking:
    obj = Booking()
    client.write(obj)
    return obj


@pytest.mark.parametrize("unfit", [None, object(), "engine"])
def test_transition_that_starts_a_workflow_without_an_engine_writes_nothing(
    store_db: StoreDatabase, client: StoreClient, unfit: object
) -> None:
    obj = written(client)
    before = whole(obj)
    Booking._workflow_engine = unfit
    try:
        with pytest.raises(EngineMissing, match=r"set Booking\._workflow_engine to the engine") as caught:
            client.transition(obj, "FILLED")
    finally:
        Booking._workflow_engine = None
    assert (caught.value.type_name, caught.value.from_state, caught.value.to_state) == ("Booking", "PENDING", "FILLED")
    assert whole(obj) == before
    assert len(client.audit(str(obj.entity_id))) == 1
    assert outbox(store_db) == []
    client.transition(obj, "HELD")  # needs none


def test_transition_that_starts_a_workflow_leaves_a_row_and_then_wakes_the_engine(
    store_db: StoreDatabase, client: StoreClient, engine: Engine
) -> None:
    obj = written(client)
    client.transition(obj, "FILLED")
    assert outbox(store_db) == [(obj.entity_id, 2, "Booking", "PENDING", "FILLED", "alice")]
    assert engine.seen == [1]
    client.transition(obj, "SETTLED")
    assert [row[3:5] for row in outbox(store_db)] == [("PENDING", "FILLED"), ("FILLED", "SETTLED")]
    assert done(store_db, obj.entity_id, 2) is True
    assert done(store_db, obj.entity_id, 2) is False
    assert [row[1] for row in outbox(store_db)] == [3]


def test_transition_names_the_user_who_made_it(store_db: StoreDatabase, client: StoreClient, engine: Engine) -> None:
    obj = written(client)
    share_write(client.conn, str(obj.entity_id), "bob")
    theirs = store_db.client("bob").read(Booking, str(obj.entity_id))
    assert theirs is not None
    store_db.client("bob").transition(theirs, "FILLED")
    assert [row[5] for row in outbox(store_db)] == ["bob"]
    with pytest.raises(VersionConflict):
        client.transition(obj, "FILLED")
    assert len(outbox(store_db)) == 1


def test_transition_whose_action_fails_leaves_no_row_and_wakes_nobody(
    store_db: StoreDatabase, client: StoreClient, engine: Engine
) -> None:
    obj = written(client)
    with pytest.raises(RuntimeError):
        client.transition(obj, "REFUSED")
    assert (obj.state, outbox(store_db), engine.seen) == ("PENDING", [], [])


def test_transition_in_a_transaction_leaves_its_row_with_the_commit(
    store_db: StoreDatabase, client: StoreClient, engine: Engine
) -> None:
    first, second = written(client), written(client)
    with pytest.raises(ZeroDivisionError), client.transaction():
        client.transition(first, "FILLED")
        raise ZeroDivisionError
    assert (outbox(store_db), engine.seen) == ([], [])
    with client.transaction():
        client.transition(first, "FILLED")
        with pytest.raises(ZeroDivisionError), client.transaction():
            client.transition(second, "FILLED")
            raise ZeroDivisionError
        assert (outbox(store_db), engine.seen) == ([], [])
    assert [row[0] for row in outbox(store_db)] == [first.entity_id]
    assert engine.seen == [1]


def test_transition_repeated_with_its_key_leaves_one_row(
    store_db: StoreDatabase, client: StoreClient, engine: Engine
) -> None:
    obj = written(client)
    again = client.read(Booking, str(obj.entity_id))
    assert again is not None
    client.transition(obj, "FILLED", idempotency_key="fill")
    client.transition(again, "FILLED", idempotency_key="fill")
    assert len(outbox(store_db)) == 1
    assert done(store_db, obj.entity_id, 2)
    client.transition(written(client), "HELD")
    assert outbox(store_db) == []


def test_engine_that_cannot_be_woken_is_logged_and_the_row_stands(
    store_db: StoreDatabase, client: StoreClient, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.failing = True
    obj = written(client)
    with caplog.at_level(logging.ERROR):
        client.transition(obj, "FILLED")
    assert (obj.state, len(outbox(store_db))) == ("FILLED", 1)
    (record,) = [record for record in caplog.records if record.name == "store.transitions"]
    assert record.exc_info and "the engine is gone" in str(record.exc_info[1])


def test_batch_of_a_hand_made_client_leaves_one_row_for_each_change_that_starts_a_workflow(
    store_db: StoreDatabase, client: StoreClient
) -> None:
    objects = [written(client) for _ in range(3)]
    items = [
        {"entity_id": obj.entity_id, "type_name": "Booking", "version": 1, "event_type": "STATE_CHANGE", "changes": {}}
        | {"from_state": "PENDING", "state": "FILLED", "workflow": number > 0, "target": "os:system"}
        for number, obj in enumerate(objects)
    ]
    with store_db.connect("alice") as conn, conn.cursor() as cursor:
        cursor.execute("SELECT * FROM store.append_events(%s, false, NULL)", (json.dumps(items),))
    assert sorted(row[0] for row in outbox(store_db)) == sorted(str(obj.entity_id) for obj in objects[1:])


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM store.workflow_outbox",
        "INSERT INTO store.workflow_outbox VALUES (gen_random_uuid(), 1, DEFAULT, 'Booking', 'A', 'B', 'bob', now())",
        "UPDATE store.workflow_outbox SET username = 'bob'",
        "DELETE FROM store.workflow_outbox",
        "TRUNCATE store.workflow_outbox",
        "SELECT nextval('store.workflow_outbox_seq_seq')",
        "SELECT * FROM store.outbox_pending(1)",
        "SELECT store.outbox_done(gen_random_uuid(), 1)",
        "SET ROLE store_engine",
    ],
)
def test_outbox_is_closed_to_users(module_store_db: StoreDatabase, statement: str) -> None:
    refused = pytest.raises(psycopg2.errors.InsufficientPrivilege)
    with closing(module_store_db.connect("alice")) as conn, conn.cursor() as cursor, refused:
        cursor.execute(statement)


@pytest.mark.parametrize("statement", ["SELECT * FROM store.workflow_outbox", "DELETE FROM store.workflow_outbox"])
def test_outbox_is_open_to_the_engine_through_its_functions_only(
    module_store_db: StoreDatabase, statement: str
) -> None:
    with closing(module_store_db.admin()) as conn, conn.cursor() as cursor:
        cursor.execute("SET ROLE store_engine")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)
