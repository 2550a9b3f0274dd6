"""What is told about an entity's life: audit, history and differences between two points of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from store.base import Storable
from store.client import Change, StoreClient
from store.errors import EntityNotFound, InvalidRange, StoreError, TypeMismatch
from store.permissions import share_read, share_write, unshare
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import FULL, UTC, Everything, Position, Ticket, assert_as_read, content, moment, soon

pytestmark = pytest.mark.both_servers

UNKNOWN = "01a203e8-bf2d-789d-a66b-d2d271e029e5"


@pytest.fixture
def life(client: StoreClient) -> Ticket:
    """A ticket with an event of each type: written, updated, moved, corrected, deleted."""
    obj = Ticket(label="a", quantity=1)
    client.write(obj, valid_from=moment(1))
    obj.quantity = 2
    client.update(obj)
    obj.label = "b"
    client.transition(obj, "CLOSED")
    obj.quantity = 9
    client.update(obj, valid_from=moment(5), valid_to=moment(6))
    client.delete(obj)
    return obj


# ---- audit


def test_audit_tells_each_event_with_who_when_and_what(client: StoreClient, life: Ticket) -> None:
    trail = client.audit(str(life.entity_id))
    assert [entry["version"] for entry in trail] == [1, 2, 3, 4, 5]
    assert [entry["event_type"] for entry in trail] == ["CREATED", "UPDATED", "STATE_CHANGE", "CORRECTED", "DELETED"]
    assert {entry["updated_by"] for entry in trail} == {"alice"}
    assert [entry["tx_time"] for entry in trail] == sorted({entry["tx_time"] for entry in trail})
    assert [entry["valid_from"] for entry in trail] == [
        moment(1),
        trail[1]["tx_time"],
        trail[2]["tx_time"],
        moment(5),
        trail[4]["tx_time"],
    ]
    assert [entry["valid_to"] for entry in trail] == [None, None, None, moment(6), None]
    assert [entry["state"] for entry in trail] == ["OPEN", "OPEN", "CLOSED", "OPEN", "CLOSED"]
    assert [entry["changes"] for entry in trail] == [
        {"label": {"old": None, "new": "a"}, "quantity": {"old": None, "new": 1}},
        {"quantity": {"old": 1, "new": 2}},
        {"label": {"old": "a", "new": "b"}},
        {"quantity": {"old": 1, "new": 9}},
        {},
    ]
    assert [entry["meta"] for entry in trail] == [{}] * 5
    assert {frozenset(entry) for entry in trail} == {
        frozenset(
            ["version", "event_type", "updated_by", "tx_time", "valid_from", "valid_to", "state", "changes", "meta"]
        )
    }


def test_audit_prints_as_its_users_print_it(client: StoreClient, life: Ticket) -> None:
    entry = client.audit(str(life.entity_id))[0]
    line = f"v{entry['version']} {entry['event_type']} by {entry['updated_by']} at {entry['tx_time']}"
    assert line.startswith("v1 CREATED by alice at 20")


def test_audit_values_have_their_declared_types(client: StoreClient) -> None:
    obj = Everything(**FULL)
    entity_id = client.write(obj)
    obj.exact_amount = Decimal("2.5")
    client.update(obj)
    created, updated = client.audit(entity_id)
    assert {name: change["new"] for name, change in created["changes"].items()} == FULL
    assert updated["changes"] == {"exact_amount": {"old": FULL["exact_amount"], "new": Decimal("2.5")}}


def test_audit_old_value_of_a_correction_is_what_was_known_of_that_time(client: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj, valid_from=moment(1))
    for quantity, day in ((2, 10), (3, 5), (4, 5), (5, 0.5)):
        obj.quantity = quantity
        client.update(obj, valid_from=moment(day), valid_to=moment(day + 1), fields=["quantity"])
    olds = [entry["changes"]["quantity"]["old"] for entry in client.audit(entity_id)]
    assert olds == [None, 1, 1, 3, None]


def test_audit_old_value_of_a_scheduled_change_is_the_one_it_will_replace(client: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    for quantity, ahead in ((2, 2 * 10**9), (3, 10**9), (4, 3 * 10**9)):
        obj.quantity = quantity
        client.update(obj, valid_from=soon(ahead), fields=["quantity"])
    assert [entry["changes"]["quantity"]["old"] for entry in client.audit(entity_id)] == [None, 1, 1, 3]


def test_audit_within_one_transaction_keeps_each_event_and_its_old_value(client: StoreClient) -> None:
    obj = Position(quantity=1)
    with client.transaction():
        entity_id = client.write(obj)
        for quantity in (2, 3):
            obj.quantity = quantity
            client.update(obj)
    trail = client.audit(entity_id)
    assert [entry["changes"].get("quantity") for entry in trail] == [
        {"old": None, "new": 1},
        {"old": 1, "new": 2},
        {"old": 2, "new": 3},
    ]
    first = trail[0]["tx_time"]
    assert [entry["tx_time"] - first for entry in trail] == [timedelta(microseconds=step) for step in (0, 1, 2)]


def test_audit_shows_grants_in_their_place(client: StoreClient, bob: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    share_read(client.conn, entity_id, "bob")
    client.update(obj)
    share_write(client.conn, entity_id, "bob")
    theirs = bob.read(Position, entity_id)
    assert theirs is not None
    share_read(bob.conn, entity_id, "carol")
    bob.update(theirs)
    unshare(client.conn, entity_id, "bob")
    trail = client.audit(entity_id)
    read, write = {"principal": "bob", "access": "READ"}, {"principal": "bob", "access": "WRITE"}
    assert [(e["version"], e["event_type"], e["updated_by"], e["meta"]) for e in trail[:-2]] == [
        (1, "CREATED", "alice", {}),
        (1, "SHARED", "alice", read),
        (2, "UPDATED", "alice", {}),
        (2, "SHARED", "alice", write),
        (2, "SHARED", "bob", {"principal": "carol", "access": "READ"}),
        (3, "UPDATED", "bob", {}),
    ]
    assert [(e["version"], e["event_type"], e["updated_by"]) for e in trail[-2:]] == [(3, "UNSHARED", "alice")] * 2
    assert sorted(e["meta"]["access"] for e in trail[-2:]) == ["READ", "WRITE"]
    shared = [entry for entry in trail if "SHARED" in entry["event_type"]]
    assert {(e["valid_from"], e["valid_to"], e["state"], len(e["changes"])) for e in shared} == {(None, None, None, 0)}
    assert [e["tx_time"] for e in trail] == sorted(e["tx_time"] for e in trail)
    assert trail[1]["tx_time"] > trail[0]["tx_time"]


def test_audit_shows_the_grants_that_a_client_writes_with(module_store_db: StoreDatabase) -> None:
    sharing = module_store_db.client(readers=["bob"], writers=["carol"])
    trail = sharing.audit(sharing.write(Position()))
    assert [entry["event_type"] for entry in trail] == ["CREATED", "SHARED", "SHARED"]
    assert sorted((e["meta"]["principal"], e["meta"]["access"]) for e in trail[1:]) == [
        ("bob", "READ"),
        ("carol", "WRITE"),
    ]


def test_audit_is_whole_for_whom_an_entity_was_shared_with_later(client: StoreClient, bob: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    client.update(obj)
    share_read(client.conn, entity_id, "bob")
    assert bob.audit(entity_id) == client.audit(entity_id)
    assert [content(item) for item in bob.history(Position, entity_id)] == [content(obj)] * 2


def test_audit_and_history_of_what_one_may_not_see_are_empty(client: StoreClient, bob: StoreClient) -> None:
    entity_id = client.write(Position())
    for hidden in (entity_id, UNKNOWN):
        assert bob.audit(hidden) == []
        assert bob.history(Position, hidden) == []
        assert bob.read(Position, hidden) is None
        assert bob.as_of(Position, hidden, valid_time=moment(1)) is None


# ---- history


def test_history_is_each_event_as_it_was_known_at_its_own_time(client: StoreClient, life: Ticket) -> None:
    found = client.history(Ticket, str(life.entity_id))
    assert [(item.label, item.quantity, item.state) for item in found] == [
        ("a", 1, "OPEN"),
        ("a", 2, "OPEN"),
        ("b", 2, "CLOSED"),
        ("a", 9, "OPEN"),  # the correction's own time lies before the update and the transition
        ("b", 2, "CLOSED"),
    ]
    assert [item.version for item in found] == [1, 2, 3, 4, 5]
    assert [item.event_type for item in found] == ["CREATED", "UPDATED", "STATE_CHANGE", "CORRECTED", "DELETED"]
    trail = client.audit(str(life.entity_id))
    for name in ("tx_time", "valid_from", "valid_to", "updated_by"):
        assert [getattr(item, name) for item in found] == [entry[name] for entry in trail]


def test_as_of_the_recording_of_each_event_is_what_read_returned_then(client: StoreClient) -> None:
    obj = Position(quantity=0)
    entity_id = client.write(obj)
    returned = [client.read(Position, entity_id)]
    for quantity, valid_from in ((1, None), (2, soon(10**9)), (3, moment(1)), (4, None)):
        obj.quantity = quantity
        client.update(obj, valid_from=valid_from, fields=["quantity"])
        returned.append(client.read(Position, entity_id))
    client.delete(obj)
    returned.append(client.read(Position, entity_id))
    for entry, expected in zip(client.audit(entity_id), returned, strict=True):
        found = client.as_of(Position, entity_id, tx_time=entry["tx_time"])
        assert found == expected
        assert (found and found._metadata) == (expected and expected._metadata)


# ---- diff


def test_diff_of_two_versions_names_what_changed(client: StoreClient, life: Ticket) -> None:
    entity_id = str(life.entity_id)
    assert client.diff(Ticket, entity_id, 1, 2) == {"quantity": (1, 2)}
    assert client.diff(Ticket, entity_id, 1, 3) == {
        "label": Change("a", "b"),
        "quantity": Change(1, 2),
        "state": Change("OPEN", "CLOSED"),
    }
    assert client.diff(Ticket, entity_id, 3, 1)["state"] == Change(before="CLOSED", after="OPEN")
    assert client.diff(Ticket, entity_id, 3, 3) == {}
    assert client.diff(Ticket, entity_id, 3, 5) == {}  # a deletion shows what it deleted


def test_diff_of_two_points_names_what_changed_between_them(client: StoreClient) -> None:
    obj = Position(quantity=1, price=1.0)
    entity_id = client.write(obj, valid_from=moment(1))
    known = obj.tx_time
    obj.quantity = 2
    client.update(obj, valid_from=moment(10))
    assert client.diff(Position, entity_id, (None, moment(5)), (None, moment(15))) == {"quantity": (1, 2)}
    assert client.diff(Position, entity_id, (known, moment(15)), (None, moment(15))) == {"quantity": (1, 2)}
    assert client.diff(Position, entity_id, (known, None), (None, None)) == {"quantity": (1, 2)}
    assert client.diff(Position, entity_id, (None, moment(11)), (None, None)) == {}
    assert client.diff(Position, entity_id, 1, (None, None)) == {"quantity": (1, 2)}


def test_diff_with_a_point_at_which_the_entity_was_absent_has_none_there(client: StoreClient) -> None:
    obj = Ticket(label="a", quantity=1)
    entity_id = client.write(obj, valid_from=moment(1))
    appeared = client.diff(Ticket, entity_id, (None, moment(0)), (None, moment(1)))
    assert appeared == {"label": (None, "a"), "quantity": (None, 1), "state": (None, "OPEN")}
    assert client.diff(Ticket, UNKNOWN, (None, None), (None, moment(1))) == {}


def test_diff_compares_values_of_every_type(client: StoreClient) -> None:
    obj = Everything()
    entity_id = client.write(obj)
    for name, value in FULL.items():
        setattr(obj, name, value)
    client.update(obj)
    assert client.diff(Everything, entity_id, 1, 2) == {name: (None, value) for name, value in FULL.items()}


@pytest.mark.parametrize("version", [0, -1, 3, 10**20])
def test_diff_of_a_version_that_there_is_not_is_not_found(client: StoreClient, version: int) -> None:
    obj = Position()
    entity_id = client.write(obj)
    client.update(obj)
    with pytest.raises(EntityNotFound, match=f"no version {version}: it has 2") as caught:
        client.diff(Position, entity_id, 1, version)
    assert caught.value.entity_id == entity_id


@pytest.mark.parametrize("point", [None, "1", True, 1.0, (None,), (None, None, None), [None, None], {}])
def test_diff_of_what_is_no_point_is_refused(client: StoreClient, point: Any) -> None:
    entity_id = client.write(Position())
    with pytest.raises(StoreError, match="a point is a version or a pair"):
        client.diff(Position, entity_id, 1, point)
    with pytest.raises(InvalidRange):
        client.diff(Position, entity_id, 1, (datetime(2026, 1, 1), None))


# ---- who and what is asked for


@pytest.mark.parametrize("call", ["read", "as_of", "history"])
def test_reading_an_entity_as_another_class_is_a_type_mismatch(client: StoreClient, call: str) -> None:
    obj = Position()
    entity_id = client.write(obj)
    for _ in range(2):
        with pytest.raises(TypeMismatch) as caught:
            getattr(client, call)(Ticket, entity_id)
        assert (caught.value.entity_id, caught.value.expected, caught.value.actual) == (entity_id, "Ticket", "Position")
        if obj.event_type != "DELETED":
            client.delete(obj)


@pytest.mark.parametrize(
    "entity_id", [None, "", "x", 5, "' OR '1'='1", "\x00", "01a203e8", b"x", "01a203e8-bf2d-789d-a66b-d2d271e029e5x"]
)
def test_reading_by_what_is_no_id_is_refused(client: StoreClient, entity_id: Any) -> None:
    calls: list[Any] = [
        lambda: client.read(Position, entity_id),
        lambda: client.as_of(Position, entity_id),
        lambda: client.history(Position, entity_id),
        lambda: client.audit(entity_id),
        lambda: client.diff(Position, entity_id, 1, 2),
    ]
    for call in calls:
        with pytest.raises(StoreError, match="is not an entity id"):
            call()


def test_reading_by_an_id_in_other_spellings_finds_the_entity(client: StoreClient) -> None:
    obj = Position()
    entity_id = client.write(obj)
    for spelling in (entity_id.upper(), "{" + entity_id + "}", entity_id.replace("-", "")):
        found = client.read(Position, spelling)
        assert found is not None and found.entity_id == entity_id
        assert client.history(Position, spelling)[0].entity_id == entity_id
    assert_as_read(client, obj)


@pytest.mark.parametrize("cls", [None, "Position", Storable, object, dict])
def test_reading_as_what_is_no_class_is_refused(client: StoreClient, cls: Any) -> None:
    for call in (client.read, client.as_of, client.history):
        with pytest.raises(StoreError, match="Storable class"):
            call(cls, UNKNOWN)


def test_stable_time_answers_do_not_change(client: StoreClient) -> None:
    obj = Position(label="stable")
    entity_id = client.write(obj)
    stable = client.stable_time()
    assert stable.tzinfo is UTC and obj.tx_time is not None and stable >= obj.tx_time
    before = client.as_of(Position, entity_id, tx_time=stable)
    obj.quantity = 5
    client.update(obj, valid_from=moment(1))
    assert obj.tx_time > stable
    assert client.as_of(Position, entity_id, tx_time=stable) == before


def test_list_types_names_the_types_one_may_see(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client(), store_db.client("bob")
    assert alice.list_types() == []
    alice.write(Ticket())
    entity_id = alice.write(Position())
    share_read(alice.conn, entity_id, "bob")
    assert alice.list_types() == ["Position", "Ticket"]
    assert bob.list_types() == ["Position"]
