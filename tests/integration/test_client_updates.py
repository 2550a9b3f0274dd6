"""Updates through a client: which fields they take, and what becomes of objects read at another time."""

from __future__ import annotations

from typing import Any

import pytest

from store.client import StoreClient, VersionConflict
from tests.integration.samples import Everything, Position, assert_as_read, moment

pytestmark = pytest.mark.both_servers


# ---- which fields an update takes


def test_update_without_changes_is_recorded(client: StoreClient) -> None:
    obj = Position(quantity=5)
    entity_id = client.write(obj)
    client.update(obj)
    assert (obj.version, obj.event_type) == (2, "UPDATED")
    assert client.audit(entity_id)[-1]["changes"] == {}
    assert_as_read(client, obj)


def test_update_takes_only_the_fields_that_differ(client: StoreClient) -> None:
    obj = Position(quantity=5)
    entity_id = client.write(obj)
    obj.price = 2.0
    obj.quantity = 5
    client.update(obj)
    assert client.audit(entity_id)[-1]["changes"] == {"price": {"old": 0.0, "new": 2.0}}


@pytest.mark.parametrize(
    ("before", "after"),
    [([1], [True]), ([0], [False]), ([1], ["1"]), ([None], []), (["a", "b"], ["b", "a"]), ([], None)],
)
def test_update_of_a_list_that_differs_only_in_kind_or_order_is_recorded(
    client: StoreClient, before: Any, after: Any
) -> None:
    obj = Everything(tags=before)
    entity_id = client.write(obj)
    obj.tags = after
    client.update(obj)
    assert repr(client.audit(entity_id)[-1]["changes"]) == repr({"tags": {"old": before, "new": after}})
    assert_as_read(client, obj)


def test_update_of_a_dict_whose_keys_stand_in_another_order_changes_nothing(client: StoreClient) -> None:
    obj = Everything(extra={"a": 1, "b": {"c": 2, "d": 3}})
    entity_id = client.write(obj)
    obj.extra = {"b": {"d": 3, "c": 2}, "a": 1}
    client.update(obj)
    assert client.audit(entity_id)[-1]["changes"] == {}


def test_update_with_fields_takes_exactly_those_and_drops_other_edits(client: StoreClient) -> None:
    obj = Position(quantity=5, price=1.0)
    entity_id = client.write(obj)
    obj.quantity, obj.price = 6, 2.0
    client.update(obj, fields=["price"])
    assert (obj.quantity, obj.price) == (5, 2.0)
    assert_as_read(client, obj)
    assert client.audit(entity_id)[-1]["changes"].keys() == {"price"}


def test_update_with_fields_records_an_unchanged_value(client: StoreClient) -> None:
    obj = Position(quantity=5)
    entity_id = client.write(obj)
    client.update(obj, fields=("quantity",))
    assert client.audit(entity_id)[-1]["changes"] == {"quantity": {"old": 5, "new": 5}}


def test_update_with_one_field_as_text_takes_that_field(client: StoreClient) -> None:
    obj = Position(quantity=5, price=1.0)
    entity_id = client.write(obj)
    obj.price = 3.0
    client.update(obj, fields="price")
    assert client.audit(entity_id)[-1]["changes"].keys() == {"price"}


def test_update_with_no_fields_is_recorded_and_changes_nothing(client: StoreClient) -> None:
    obj = Position(quantity=5)
    client.write(obj)
    obj.quantity = 6
    client.update(obj, fields=[])
    assert (obj.quantity, obj.version) == (5, 2)


# ---- objects of another time


def test_update_of_an_object_read_as_of_a_valid_time_corrects_that_time(client: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj, valid_from=moment(1))
    obj.quantity = 2
    client.update(obj, valid_from=moment(10))
    old = client.as_of(Position, entity_id, valid_time=moment(5))
    assert old is not None and (old.quantity, old.version) == (1, 2)
    old.price = 7.0
    client.update(old, valid_from=moment(5), valid_to=moment(6))
    assert (old.quantity, old.price, old.version) == (2, 0.0, 3)
    assert_as_read(client, old)
    assert client.audit(entity_id)[-1]["changes"].keys() == {"price"}


def test_update_of_an_object_read_as_of_a_past_recording_conflicts(client: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    first = obj.tx_time
    client.update(obj)
    old = client.as_of(Position, entity_id, tx_time=first)
    assert old is not None and old.version == 1
    with pytest.raises(VersionConflict):
        client.update(old)


def test_update_of_the_newest_object_of_a_history_is_accepted(client: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    obj.quantity = 2
    client.update(obj)
    first, second = client.history(Position, entity_id)
    first.quantity = second.quantity = 3
    with pytest.raises(VersionConflict):
        client.update(first)
    client.update(second)
    assert_as_read(client, second)
