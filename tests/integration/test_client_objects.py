"""What an object holds after each mutating call, and that a failed call leaves it alone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy
import pandas
import pytest

from store.base import Storable
from store.client import StoreClient, VersionConflict
from store.errors import (
    AccessDenied,
    EntityDeleted,
    EntityNotFound,
    InvalidRange,
    InvalidTransition,
    RegistryError,
    StoreError,
    TypeMismatch,
)
from store.permissions import share_read, share_write
from tests.integration.samples import FULL, UTC, Everything, Position, Ticket, assert_as_read, content, moment, whole

pytestmark = pytest.mark.both_servers


@dataclass(frozen=True)
class FrozenQuote(Storable):
    symbol: str = "AAPL"
    price: float = 0.0


@dataclass(slots=True)
class SlottedQuote(Storable):
    symbol: str = "AAPL"
    price: float = 0.0


def test_write_full_object_equals_read(client: StoreClient) -> None:
    obj = Everything(**FULL)
    entity_id = client.write(obj)
    assert_as_read(client, obj)
    assert content(obj) == FULL
    assert obj.entity_id == entity_id


def test_write_sets_metadata_of_first_version(client: StoreClient) -> None:
    before = client.stable_time()
    obj = Position()
    client.write(obj)
    assert (obj.version, obj.owner, obj.updated_by, obj.state, obj.event_type) == (1, "alice", "alice", None, "CREATED")
    assert obj.tx_time is not None and obj.tx_time >= before
    assert obj.valid_from == obj.tx_time
    assert obj.valid_to is None


def test_write_metadata_times_are_plain_utc(client: StoreClient) -> None:
    obj = Position()
    client.write(obj, valid_from=datetime(2020, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))))
    assert obj.valid_from == datetime(2020, 1, 1, tzinfo=UTC)
    assert {(type(t), t.tzinfo) for t in (obj.valid_from, obj.tx_time) if t is not None} == {(datetime, UTC)}


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("weight", 3, 3.0),
        ("weight", True, None),
        ("weight", numpy.float64(2.5), 2.5),
        ("weight", numpy.float32(0.5), 0.5),
        ("weight", numpy.int64(7), 7.0),
        ("weight", -0.0, 0.0),
        ("quantity", numpy.int32(-5), -5),
        ("quantity", numpy.uint64(2**64 - 1), 2**64 - 1),
        ("active", numpy.bool_(True), True),
        ("notes", numpy.str_("x"), "x"),
        ("exact_amount", 5, Decimal("5")),
        ("exact_amount", Decimal("1.500"), Decimal("1.5")),
        ("exact_amount", Decimal("1E+3"), Decimal("1000")),
        ("exact_amount", Decimal("-0"), Decimal("0")),
        ("ts", pandas.Timestamp("2026-01-01T12:00:00+02:00"), datetime(2026, 1, 1, 10, tzinfo=UTC)),
        ("ts", datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), datetime(2025, 12, 31, 23, tzinfo=UTC)),
        ("tags", [numpy.int64(1), numpy.float64(1.5)], [1, 1.5]),
        ("tags", [1e23, -0.0], [int(1e23), 0.0]),
    ],
)
def test_write_value_of_a_kindred_type_leaves_the_declared_type(
    client: StoreClient, name: str, given: Any, kept: Any
) -> None:
    obj = Everything(**{name: given})
    if kept is None:
        with pytest.raises(RegistryError, match=name):
            client.write(obj)
        return
    client.write(obj)
    held = getattr(obj, name)
    assert (held, type(held), repr(held)) == (kept, type(kept), repr(kept))
    assert_as_read(client, obj)


def test_update_value_of_a_kindred_type_leaves_the_declared_type(client: StoreClient) -> None:
    obj = Everything(weight=1.0)
    client.write(obj)
    obj.weight = 4  # an int where a float is declared
    obj.ts = datetime(2026, 1, 1, 5, tzinfo=timezone(timedelta(hours=5)))
    client.update(obj)
    assert repr(obj.weight) == "4.0"
    assert repr(obj.ts) == repr(datetime(2026, 1, 1, tzinfo=UTC))
    assert_as_read(client, obj)


def test_write_does_not_share_mutable_values_with_the_store(client: StoreClient) -> None:
    obj = Everything(tags=["a"], extra={"k": [1]})
    entity_id = client.write(obj)
    assert obj.tags is not None and obj.extra is not None
    obj.tags.append("b")
    obj.extra["k"].append(2)
    client.update(obj)
    assert client.audit(entity_id)[-1]["changes"].keys() == {"tags", "extra"}
    found = client.read(Everything, entity_id)
    assert found is not None and (found.tags, found.extra) == (["a", "b"], {"k": [1, 2]})


def test_update_after_write_equals_read(client: StoreClient) -> None:
    obj = Position(quantity=1)
    client.write(obj)
    obj.quantity = 2
    client.update(obj)
    assert (obj.version, obj.event_type) == (2, "UPDATED")
    assert_as_read(client, obj)


def test_update_frozen_and_slotted_objects_brings_them_up_to_date(client: StoreClient) -> None:
    for obj in (FrozenQuote(price=1.0), SlottedQuote(price=1.0)):
        client.write(obj)
        client.update(obj, fields=["price"])
        assert obj.version == 2
        assert_as_read(client, obj)


def test_update_correction_of_overtaken_time_leaves_what_read_returns(client: StoreClient) -> None:
    obj = Position(price=1.0)
    client.write(obj, valid_from=moment(1))
    obj.price = 2.0
    client.update(obj, valid_from=moment(10))
    obj.price = 9.0
    client.update(obj, valid_from=moment(5), valid_to=moment(6))
    assert obj.price == 2.0
    assert (obj.version, obj.event_type, obj.valid_from) == (3, "CORRECTED", moment(10))
    assert_as_read(client, obj)


def test_delete_keeps_the_data_and_takes_the_metadata_of_the_deletion(client: StoreClient) -> None:
    obj = Position(quantity=7)
    entity_id = client.write(obj)
    client.delete(obj)
    assert obj.quantity == 7
    assert (obj.version, obj.event_type, obj.valid_to) == (2, "DELETED", None)
    assert obj.tx_time == client.audit(entity_id)[-1]["tx_time"] == obj.valid_from
    assert client.read(Position, entity_id) is None


def test_delete_discards_unsaved_edits(client: StoreClient) -> None:
    obj = Position(quantity=7)
    client.write(obj)
    obj.quantity = 8
    client.delete(obj)
    assert obj.quantity == 7


def test_transition_equals_read(client: StoreClient) -> None:
    obj = Ticket(label="a")
    client.write(obj)
    assert obj.state == "OPEN"
    obj.label = "b"
    client.transition(obj, "CLOSED")
    assert (obj.state, obj.event_type, obj.label, obj.version) == ("CLOSED", "STATE_CHANGE", "b", 2)
    assert_as_read(client, obj)


def test_write_as_other_user_keeps_owner_and_names_writer(client: StoreClient, bob: StoreClient) -> None:
    obj = Position()
    entity_id = client.write(obj)
    share_write(client.conn, entity_id, "bob")
    theirs = bob.read(Position, entity_id)
    assert theirs is not None
    theirs.quantity = 5
    bob.update(theirs)
    assert (theirs.owner, theirs.updated_by) == ("alice", "bob")
    assert_as_read(bob, theirs)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda obj: pickle.loads(pickle.dumps(obj))])
def test_update_through_two_copies_conflicts(client: StoreClient, duplicate: Callable[[Position], Position]) -> None:
    obj = Position(quantity=1)
    client.write(obj)
    twin = duplicate(obj)
    twin.quantity = 2
    client.update(twin)
    obj.quantity = 3
    with pytest.raises(VersionConflict) as caught:
        client.update(obj)
    assert (caught.value.entity_id, caught.value.expected, caught.value.actual) == (obj.entity_id, 1, 2)


# ---- failures


def broken_write(client: StoreClient, obj: Any) -> None:
    obj.price = -1.0
    client.write(obj)


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        (lambda client, obj: client.write(obj, valid_from=moment(2), valid_to=moment(2)), InvalidRange),
        (lambda client, obj: client.write(obj, valid_to=moment(2)), InvalidRange),
        (lambda client, obj: client.write(obj, valid_from=datetime(2026, 1, 1)), InvalidRange),
        (lambda client, obj: client.update(obj), StoreError),
        (lambda client, obj: client.delete(obj), StoreError),
        (lambda client, obj: client.transition(obj, "CLOSED"), StoreError),
        (broken_write, RegistryError),
    ],
)
def test_unwritten_object_after_a_failure_is_unwritten(
    client: StoreClient, attempt: Callable[[StoreClient, Any], Any], error: type[Exception]
) -> None:
    obj = Position(quantity=3)
    with pytest.raises(error):
        attempt(client, obj)
    assert (obj.quantity, obj.entity_id, obj._metadata, obj._stored) == (3, None, None, None)


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        (lambda client, obj: client.update(obj, valid_from=moment(3), valid_to=moment(2)), InvalidRange),
        (lambda client, obj: client.update(obj, valid_to=moment(2)), InvalidRange),
        (lambda client, obj: client.update(obj, valid_from=datetime(2026, 1, 1)), InvalidRange),
        (lambda client, obj: client.update(obj, fields=["labell"]), StoreError),
        (lambda client, obj: client.update(obj, fields=[1]), StoreError),
        (lambda client, obj: client.update(obj, fields=[["label"]]), StoreError),
        (lambda client, obj: client.update(obj, fields=5), StoreError),
        (lambda client, obj: client.write(obj), StoreError),
        (lambda client, obj: client.delete(obj, valid_from=moment(3), valid_to=moment(3)), InvalidRange),
        (lambda client, obj: client.transition(obj, "OPEN"), InvalidTransition),
        (lambda client, obj: client.transition(obj, "CLOSED", valid_from=moment(0)), InvalidRange),
        (lambda client, obj: client.transition(obj, "CLOSED", valid_from=moment(99_999)), InvalidRange),
    ],
)
def test_written_object_after_a_refused_call_is_as_before(
    client: StoreClient, attempt: Callable[[StoreClient, Any], Any], error: type[Exception]
) -> None:
    obj = Ticket(quantity=3)
    client.write(obj, valid_from=moment(1))
    obj.quantity = 4  # an unsaved edit is part of what stays
    before = whole(obj)
    with pytest.raises(error):
        attempt(client, obj)
    assert whole(obj) == before
    found = client.read(Ticket, str(obj.entity_id))
    assert found is not None and (found.quantity, found.version) == (3, 1)


@pytest.mark.parametrize("call", ["update", "delete"])
def test_object_after_a_conflict_is_as_before(client: StoreClient, call: str) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    other = client.read(Position, entity_id)
    assert other is not None
    client.update(other)
    obj.quantity = 2
    before = whole(obj)
    with pytest.raises(VersionConflict):
        getattr(client, call)(obj)
    assert whole(obj) == before


def test_object_after_an_update_over_a_deleted_range_is_as_before(client: StoreClient) -> None:
    obj = Position(quantity=1)
    client.write(obj)
    client.delete(obj)
    obj.quantity = 2
    before = whole(obj)
    for attempt in (client.update, client.delete):
        with pytest.raises(EntityDeleted):
            attempt(obj)
        assert whole(obj) == before


def test_object_after_a_forbidden_update_is_as_before(client: StoreClient, bob: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    share_read(client.conn, entity_id, "bob")
    theirs = bob.read(Position, entity_id)
    assert theirs is not None
    theirs.quantity = 2
    before = whole(theirs)
    for attempt in (bob.update, bob.delete):
        with pytest.raises(AccessDenied) as caught:
            attempt(theirs)
        assert isinstance(caught.value, PermissionError)
        assert caught.value.entity_id == entity_id
        assert whole(theirs) == before


def test_update_entity_of_another_user_is_not_found(client: StoreClient, bob: StoreClient) -> None:
    obj = Position(quantity=1)
    client.write(obj)
    before = whole(obj)
    with pytest.raises(EntityNotFound, match=str(obj.entity_id)):
        bob.update(obj)
    assert whole(obj) == before


def test_update_entity_as_another_class_is_a_type_mismatch(client: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    impostor = Ticket(label="x")
    impostor._bind(obj._metadata, {})
    before = whole(impostor)
    with pytest.raises(TypeMismatch) as caught:
        client.update(impostor)
    assert (caught.value.entity_id, caught.value.expected, caught.value.actual) == (entity_id, "Ticket", "Position")
    assert whole(impostor) == before


def test_write_already_written_object_names_its_entity(client: StoreClient) -> None:
    obj = Position()
    entity_id = client.write(obj)
    with pytest.raises(StoreError, match=entity_id):
        client.write(obj)
    assert client.read(Position, entity_id) == obj
