"""Batches of updates: whatever moment an object was found at, it comes out as a read returns it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from store.client import StoreClient
from tests.integration.samples import Position, assert_as_read, moment

pytestmark = pytest.mark.both_servers


def positions(count: int) -> list[Position]:
    return [Position(quantity=number) for number in range(count)]


def read_again(client: StoreClient, entity_id: str) -> Any:
    return client.read(Position, entity_id)


def queried(client: StoreClient, entity_id: str) -> Any:
    return next(obj for obj in client.query(Position, limit=None) if obj.entity_id == entity_id)


def as_of_another_time(client: StoreClient, entity_id: str) -> Any:
    return client.as_of(Position, entity_id, valid_time=moment(1.5))


def queried_as_of_another_time(client: StoreClient, entity_id: str) -> Any:
    found = client.query(Position, limit=None, valid_time=moment(1.5))
    return next(obj for obj in found if obj.entity_id == entity_id)


def last_of_history(client: StoreClient, entity_id: str) -> Any:
    return client.history(Position, entity_id)[-1]


def copy_of_a_past_one(client: StoreClient, entity_id: str) -> Any:
    return pickle.loads(pickle.dumps(as_of_another_time(client, entity_id)))


def from_text(client: StoreClient, entity_id: str) -> Any:
    return Position.from_json(as_of_another_time(client, entity_id).to_json())


@pytest.mark.parametrize(
    "found",
    [
        read_again,
        queried,
        as_of_another_time,
        queried_as_of_another_time,
        last_of_history,
        copy_of_a_past_one,
        from_text,
    ],
)
def test_update_many_of_objects_from_anywhere_leaves_what_read_returns(
    client: StoreClient, found: Callable[[StoreClient, str], Any]
) -> None:
    """What another valid time showed, at the same version, is not what the entity comes to."""
    objects = positions(2)
    client.write_many(objects, valid_from=moment(0))
    for obj in objects:
        obj.label = "from two on"
    client.update_many(objects, valid_from=moment(2))
    for obj in objects:
        obj.price = 7.5
    client.update_many(objects, valid_from=moment(1))
    newest = [found(client, str(obj.entity_id)) for obj in objects]
    for obj in newest:
        obj.quantity = 11
    client.update_many(newest)
    for obj in newest:
        assert (obj.version, obj.quantity, obj.price, obj.label) == (4, 11, 7.5, "from two on")
        assert_as_read(client, obj)


def test_update_many_rolled_back_leaves_objects_of_the_past_what_they_were(client: StoreClient) -> None:
    """Taken for current ones afterwards, they would keep what only the past had."""
    objects = positions(2)
    client.write_many(objects, valid_from=moment(0))
    for obj in objects:
        obj.label = "from two on"
    client.update_many(objects, valid_from=moment(2))
    newest: list[Any] = [as_of_another_time(client, str(obj.entity_id)) for obj in objects]
    with pytest.raises(ZeroDivisionError), client.transaction():
        client.update_many(newest)
        raise ZeroDivisionError
    for obj in newest:
        obj.quantity = 11
    client.update_many(newest)
    for obj in newest:
        assert (obj.quantity, obj.label) == (11, "from two on")
        assert_as_read(client, obj)
