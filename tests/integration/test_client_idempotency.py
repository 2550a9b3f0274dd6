"""Idempotency keys: repeating a call gives its first result and changes nothing more."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store import writing
from store.client import StoreClient, VersionConflict
from store.errors import EntityDeleted, IdempotencyMismatch, InvalidRange, StoreError
from store.subscriptions import ChangeEvent, EventBus
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import FULL, Everything, Position, Ticket, assert_as_read, moment, whole

pytestmark = pytest.mark.both_servers

_numbers = itertools.count(1)


@pytest.fixture
def key() -> str:
    return f"key {next(_numbers)} '; DROP TABLE x; -- \u2603"


Call = Callable[[StoreClient, Any, str], Any]


def change(client: StoreClient, obj: Any, key: str) -> None:
    obj.quantity = 7
    client.update(obj, idempotency_key=key)


CHANGES: dict[str, Call] = {
    "update": change,
    "bounded update": lambda client, obj, key: client.update(
        obj, valid_from=moment(1), valid_to=moment(2), idempotency_key=key
    ),
    "update_many": lambda client, obj, key: client.update_many([obj], idempotency_key=key),
    "delete": lambda client, obj, key: client.delete(obj, idempotency_key=key),
    "transition": lambda client, obj, key: client.transition(obj, "CLOSED", idempotency_key=key),
}


# ---- repeating a call


def test_write_repeated_with_its_key_returns_the_first_entity(client: StoreClient, key: str) -> None:
    first, again = Everything(**FULL), Everything(**FULL)
    entity_id = client.write(first, valid_from=moment(1), idempotency_key=key)
    assert client.write(again, valid_from=moment(1), idempotency_key=key) == entity_id
    assert again == first and again._metadata == first._metadata
    assert_as_read(client, again)
    assert len(client.audit(entity_id)) == 1


def test_write_many_repeated_with_its_key_returns_the_first_entities_in_order(client: StoreClient, key: str) -> None:
    first = [Position(quantity=number) for number in range(5)]
    again = copy.deepcopy(first)
    ids = client.write_many(first, idempotency_key=key)
    assert client.write_many(again, idempotency_key=key) == ids
    assert [(obj.quantity, obj._metadata) for obj in again] == [(obj.quantity, obj._metadata) for obj in first]


@pytest.mark.parametrize("call", CHANGES.values(), ids=CHANGES)
def test_change_repeated_with_its_key_changes_nothing_more(client: StoreClient, key: str, call: Call) -> None:
    obj = Ticket(quantity=1)
    entity_id = client.write(obj)
    again = copy.copy(obj)
    call(client, obj, key)
    call(client, again, key)
    assert again == obj and again._metadata == obj._metadata
    assert [entry["version"] for entry in client.audit(entity_id)] == [1, 2]


@pytest.mark.parametrize("call", CHANGES.values(), ids=CHANGES)
def test_change_repeated_after_later_changes_still_gives_its_own_result(
    client: StoreClient, key: str, call: Call
) -> None:
    obj = Ticket(quantity=1)
    entity_id = client.write(obj)
    again = copy.copy(obj)
    call(client, obj, key)
    if obj.event_type != "DELETED":
        client.update(obj)
    newest = client.audit(entity_id)[-1]["version"]
    call(client, again, key)
    assert again.version == 2
    assert client.audit(entity_id)[-1]["version"] == newest


def test_call_repeated_by_another_client_of_the_user_gives_the_first_result(
    module_store_db: StoreDatabase, client: StoreClient, key: str
) -> None:
    entity_id = client.write(Position(), idempotency_key=key)
    assert module_store_db.client().write(Position(), idempotency_key=key) == entity_id


def test_event_of_a_repeated_call_is_announced_once(module_store_db: StoreDatabase, key: str) -> None:
    events: list[ChangeEvent] = []
    bus = EventBus()
    bus.on_all(events.append)
    watched = module_store_db.client(event_bus=bus)
    obj = Position()
    watched.write(obj, idempotency_key=key)
    again = copy.copy(obj)
    for item in (obj, again):
        watched.update(item, idempotency_key=f"{key} update")
    watched.write(Position(), idempotency_key=key)
    assert [(event.version, event.event_type) for event in events] == [(1, "CREATED"), (2, "UPDATED")]
    assert [(event.tx_time, event.valid_from) for event in events][1] == (obj.tx_time, obj.valid_from)


def test_event_of_a_call_repeated_elsewhere_is_announced_there_as_it_was_logged(
    module_store_db: StoreDatabase, client: StoreClient, key: str
) -> None:
    """The first process may have died between its commit and its callbacks."""
    obj = Ticket(quantity=1)
    client.write(obj)
    again = copy.copy(obj)
    CHANGES["bounded update"](client, obj, key)
    events: list[ChangeEvent] = []
    bus = EventBus()
    bus.on_all(events.append)
    CHANGES["bounded update"](module_store_db.client(event_bus=bus), again, key)
    logged = client.audit(str(obj.entity_id))[-1]
    assert [(e.version, e.event_type, e.tx_time, e.valid_from, e.updated_by) for e in events] == [
        (2, "CORRECTED", logged["tx_time"], moment(1), "alice")
    ]


def test_key_without_a_repeat_leaves_what_a_call_without_one_leaves(client: StoreClient, key: str) -> None:
    obj = Ticket(quantity=1)
    client.write(obj, idempotency_key=key)
    assert_as_read(client, obj)
    change(client, obj, f"{key} 2")
    assert_as_read(client, obj)


# ---- another request under the same key


OTHER_REQUESTS: dict[str, Call] = {
    "other data": lambda client, obj, key: client.write(Position(quantity=2), idempotency_key=key),
    "other class": lambda client, obj, key: client.write(Ticket(quantity=1), idempotency_key=key),
    "other valid_from": lambda client, obj, key: client.write(
        Position(quantity=1), valid_from=moment(1), idempotency_key=key
    ),
    "other valid_to": lambda client, obj, key: client.write(
        Position(quantity=1), valid_to=moment(99_999), idempotency_key=key
    ),
    "more objects": lambda client, obj, key: client.write_many(
        [Position(quantity=1), Position(quantity=1)], idempotency_key=key
    ),
    "an update": lambda client, obj, key: client.update(obj, idempotency_key=key),
    "a delete": lambda client, obj, key: client.delete(obj, idempotency_key=key),
}


@pytest.mark.parametrize("request_", OTHER_REQUESTS.values(), ids=OTHER_REQUESTS)
def test_key_used_for_another_request_is_refused(client: StoreClient, key: str, request_: Call) -> None:
    client.write(Position(quantity=1), idempotency_key=key)
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    before = whole(obj)
    with pytest.raises(IdempotencyMismatch) as caught:
        request_(client, obj, key)
    assert caught.value.key == key
    assert whole(obj) == before
    assert len(client.audit(entity_id)) == 1


def test_key_of_an_update_refuses_another_version_fields_or_operation(client: StoreClient, key: str) -> None:
    obj = Ticket(quantity=1)
    client.write(obj)
    before = copy.copy(obj)
    change(client, obj, key)
    for attempt in (
        lambda: client.update(obj, idempotency_key=key),
        lambda: client.update(copy.copy(before), idempotency_key=key),
        lambda: client.delete(copy.copy(before), idempotency_key=key),
        lambda: client.transition(copy.copy(before), "CLOSED", idempotency_key=key),
    ):
        with pytest.raises(IdempotencyMismatch):
            attempt()
    assert obj.version == 2


@pytest.mark.parametrize("count", [1, 3, 6, 7, 9])
def test_key_of_a_large_batch_refuses_a_batch_of_another_length(
    client: StoreClient, key: str, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(writing, "CHUNK", 3)

    def batch(length: int) -> list[Position]:
        return [Position(quantity=number) for number in range(length)]

    ids = client.write_many(batch(8), idempotency_key=key)
    assert client.write_many(batch(8), idempotency_key=key) == ids
    other = batch(count)
    with pytest.raises(IdempotencyMismatch):
        client.write_many(other, idempotency_key=key)
    assert {obj.entity_id for obj in other} == {None}


def test_key_belongs_to_its_user(module_store_db: StoreDatabase, client: StoreClient, key: str) -> None:
    bob = module_store_db.client("bob")
    mine, theirs = Position(quantity=1), Position(quantity=2)
    assert client.write(mine, idempotency_key=key) != bob.write(theirs, idempotency_key=key)
    assert (mine.owner, theirs.owner) == ("alice", "bob")


def test_key_that_two_users_share_gives_each_its_own_result_again(
    module_store_db: StoreDatabase, client: StoreClient, bob: StoreClient, key: str
) -> None:
    mine, his = (user.write(Position(), idempotency_key=key) for user in (client, bob))
    assert client.write(Position(), idempotency_key=key) == mine
    assert bob.write(Position(), idempotency_key=key) == his
    many = [user.write_many([Position(), Position()], idempotency_key=f"{key} many") for user in (client, bob)]
    assert client.write_many([Position(), Position()], idempotency_key=f"{key} many") == many[0]
    read = [(user, user.read(Position, entity_id)) for user, entity_id in ((client, mine), (bob, his))]
    again = [(user, copy.copy(obj)) for user, obj in read]
    for user, obj in (*read, *again):
        change(user, obj, f"{key} change")
    assert [(obj.entity_id, obj.version, obj.owner) for _, obj in again] == [(mine, 2, "alice"), (his, 2, "bob")]


@pytest.mark.parametrize("bad", ["", "a\x00b", "\ud800", "x" * 501, 5, b"key", ["key"]], ids=range(7))
def test_key_that_cannot_name_a_call_is_refused(client: StoreClient, bad: Any) -> None:
    obj = Position()
    with pytest.raises(StoreError, match="idempotency_key"):
        client.write(obj, idempotency_key=bad)
    assert obj.entity_id is None


def test_key_of_the_greatest_length_works_for_large_batches(
    client: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "CHUNK", 1)
    longest = "\U0001f680" * 500
    ids = client.write_many([Position() for _ in range(12)], idempotency_key=longest)
    assert client.write_many([Position() for _ in range(12)], idempotency_key=longest) == ids


@pytest.mark.parametrize("different", [1, 2, 9])
def test_key_reused_for_a_large_batch_that_differs_later_on_is_refused_as_such(
    client: StoreClient, key: str, monkeypatch: pytest.MonkeyPatch, different: int
) -> None:
    monkeypatch.setattr(writing, "CHUNK", 1)
    objects = [Position(quantity=number) for number in range(10)]
    client.write_many(objects, idempotency_key=key)
    others = [Position(quantity=number + (number == different)) for number in range(10)]
    with pytest.raises(IdempotencyMismatch):
        client.write_many(others, idempotency_key=key)
    assert [obj.entity_id for obj in others] == [None] * 10
    before = [copy.copy(obj) for obj in objects]
    client.update_many(objects, idempotency_key=f"{key} change")
    before[different].quantity = 99
    with pytest.raises(IdempotencyMismatch):
        client.update_many(before, idempotency_key=f"{key} change")
    assert [obj.version for obj in before] == [1] * 10


# ---- failures and transactions


def test_key_of_a_refused_call_is_free_again(client: StoreClient, key: str) -> None:
    obj = Ticket(quantity=1)
    client.write(obj)
    twin = copy.copy(obj)
    client.update(twin)
    with pytest.raises(VersionConflict):
        change(client, obj, key)
    with pytest.raises(InvalidRange):
        client.update(twin, valid_to=moment(1), idempotency_key=key)
    change(client, twin, key)
    assert_as_read(client, twin)
    client.delete(twin)
    with pytest.raises(EntityDeleted):
        client.update(twin, idempotency_key=f"{key} 2")


def test_key_used_in_a_transaction_that_rolls_back_is_free_again(client: StoreClient, key: str) -> None:
    obj = Position(quantity=1)
    with pytest.raises(ZeroDivisionError), client.transaction():
        client.write(obj, idempotency_key=key)
        raise ZeroDivisionError
    assert obj.entity_id is None
    entity_id = client.write(Position(quantity=2), idempotency_key=key)
    assert client.write(Position(quantity=2), idempotency_key=key) == entity_id


def test_key_used_twice_in_one_transaction_gives_the_first_result(client: StoreClient, key: str) -> None:
    with client.transaction():
        ids = {client.write(Position(quantity=1), idempotency_key=key) for _ in range(2)}
    assert len(ids) == 1


def test_key_refused_in_a_nested_transaction_leaves_the_outer_one_whole(client: StoreClient, key: str) -> None:
    client.write(Position(quantity=1), idempotency_key=key)
    kept, refused = Position(), Position(quantity=2)
    with client.transaction():
        client.write(kept)
        with pytest.raises(IdempotencyMismatch), client.transaction():
            client.write(refused, idempotency_key=key)
    assert_as_read(client, kept)
    assert refused.entity_id is None


# ---- from several threads at once


def race(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Return the results of as many calls made at the same moment."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_write_raced_with_one_key_makes_one_entity(client: StoreClient, key: str) -> None:
    objects = [Position(quantity=1) for _ in range(6)]
    ids = race(6, lambda number: client.write(objects[number], idempotency_key=key))
    assert len(set(ids)) == 1
    assert len({obj._metadata for obj in objects}) == 1
    assert len(client.audit(ids[0])) == 1


def test_write_many_raced_with_one_key_makes_its_entities_once(client: StoreClient, key: str) -> None:
    batches = [[Position(quantity=number) for number in range(20)] for _ in range(4)]
    ids = race(4, lambda number: client.write_many(batches[number], idempotency_key=key))
    assert ids == [ids[0]] * 4


@pytest.mark.parametrize("call", CHANGES.values(), ids=CHANGES)
def test_change_raced_with_one_key_is_made_once(client: StoreClient, key: str, call: Call) -> None:
    obj = Ticket(quantity=1)
    entity_id = client.write(obj)
    copies = [copy.copy(obj) for _ in range(4)]
    race(4, lambda number: call(client, copies[number], key))
    assert len({item._metadata for item in copies}) == 1
    assert [entry["version"] for entry in client.audit(entity_id)] == [1, 2]


def test_write_that_waits_for_the_same_key_goes_ahead_when_that_one_rolls_back(client: StoreClient, key: str) -> None:
    claimed, waiting = threading.Event(), threading.Event()

    def rolls_back() -> None:
        with pytest.raises(ZeroDivisionError), client.transaction():
            client.write(Position(quantity=1), idempotency_key=key)
            claimed.set()
            assert waiting.wait(120)
            raise ZeroDivisionError

    def waits() -> str:
        assert claimed.wait(120)
        waiting.set()
        return client.write(Position(quantity=2), idempotency_key=key)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(rolls_back), pool.submit(waits)
        first.result(120)
        entity_id = second.result(120)
    found = client.read(Position, entity_id)
    assert found is not None and found.quantity == 2
