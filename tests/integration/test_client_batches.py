"""Batches: all or none, in the database and in memory, whatever is wrong with one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas
import pytest

from store import writing
from store.base import Storable
from store.client import StoreClient, VersionConflict
from store.errors import AccessDenied, EntityDeleted, EntityNotFound, InvalidValue, StoreError, UnknownPrincipal
from store.permissions import share_read
from store.subscriptions import ChangeEvent, EventBus
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import FULL, Everything, Position, assert_as_read, moment, whole

pytestmark = pytest.mark.both_servers


@dataclass
class Leaf(Storable):
    """A type of which the failing batches write, and nobody else: none must ever be found."""

    symbol: str = "AAPL"
    quantity: int = 0
    price: float = 0.0


@dataclass
class Dotted(Storable, type_name="batch.Dotted"):
    quantity: int = 0


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send three objects a statement."""
    monkeypatch.setattr(writing, "CHUNK", 3)


def positions(count: int) -> list[Position]:
    return [Position(quantity=number) for number in range(count)]


def written(client: StoreClient, count: int) -> list[Position]:
    objects = positions(count)
    client.write_many(objects)
    return objects


def versions(client: StoreClient, objects: list[Position]) -> set[int | None]:
    found = [client.read(Position, str(obj.entity_id)) for obj in objects]
    return {None if item is None else item.version for item in found}


# ---- write_many


def test_write_many_returns_ids_in_order_and_leaves_what_read_returns(client: StoreClient) -> None:
    objects: list[Storable] = [Position(quantity=1), Everything(**FULL), Position(quantity=2), Dotted(quantity=3)]
    ids = client.write_many(objects)
    assert ids == [obj.entity_id for obj in objects]
    assert len(set(ids)) == 4
    for obj in objects:
        assert_as_read(client, obj)


def test_write_many_shares_one_recording_time(client: StoreClient) -> None:
    objects = written(client, 5)
    assert len({obj.tx_time for obj in objects}) == 1
    assert {obj.valid_from for obj in objects} == {objects[0].tx_time}


def test_write_many_takes_the_times_of_a_column(client: StoreClient) -> None:
    times = [moment(1), moment(2)]
    for column in (pandas.Series(times), pandas.DatetimeIndex(times), iter(times)):
        objects = [Position(), Position()]
        client.write_many(objects, valid_from=column)  # type: ignore[arg-type]
        assert [obj.valid_from for obj in objects] == times


@pytest.mark.parametrize("empty", [[], (), iter([])])
def test_write_many_of_nothing_writes_nothing(client: StoreClient, empty: Any) -> None:
    assert client.write_many(empty) == []
    client.update_many(empty)


def test_write_many_takes_any_iterable(client: StoreClient) -> None:
    def generated() -> Iterator[Position]:
        yield from positions(3)

    assert len(client.write_many(generated())) == 3


def test_write_many_with_one_valid_from_books_all_at_it(client: StoreClient) -> None:
    objects = positions(3)
    client.write_many(objects, valid_from=moment(3))
    assert {obj.valid_from for obj in objects} == {moment(3)}


def test_write_many_with_a_valid_from_each_books_each_at_its_own(client: StoreClient) -> None:
    objects = positions(3)
    client.write_many(objects, valid_from=[moment(1), None, moment(3)])
    assert [obj.valid_from for obj in objects] == [moment(1), objects[1].tx_time, moment(3)]
    for obj in objects:
        assert_as_read(client, obj)


@pytest.mark.parametrize("starts", [[], [moment(1)], [moment(1)] * 4, (moment(1),) * 2, "2020-01-01T00:00:00Z"])
def test_write_many_with_the_wrong_number_of_times_writes_nothing(client: StoreClient, starts: Any) -> None:
    objects = [Leaf() for _ in range(3)]
    with pytest.raises(StoreError, match="valid_from"):
        client.write_many(objects, valid_from=starts)
    assert {obj.entity_id for obj in objects} == {None}
    assert client.count(Leaf) == 0


@pytest.mark.parametrize("bad", [0, 499, 999])
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda objects, bad: setattr(objects[bad], "price", -1.0), InvalidValue),
        (lambda objects, bad: setattr(objects[bad], "symbol", "a\x00"), InvalidValue),
        (lambda objects, bad: objects.__setitem__(bad, objects[bad - 1]), StoreError),
        (lambda objects, bad: objects.__setitem__(bad, "AAPL"), StoreError),
        (lambda objects, bad: objects.__setitem__(bad, None), StoreError),
    ],
)
def test_write_many_with_one_bad_in_a_thousand_writes_none(
    client: StoreClient, bad: int, spoil: Callable[[list[Any], int], Any], error: type[Exception]
) -> None:
    objects: list[Any] = [Leaf() for _ in range(1000)]
    spoil(objects, bad)
    with pytest.raises(error):
        client.write_many(objects)
    assert {obj.entity_id for obj in objects if isinstance(obj, Leaf)} == {None}
    assert client.count(Leaf) == 0


def test_write_many_with_a_bad_value_says_which_object_holds_it(client: StoreClient) -> None:
    objects = [Leaf() for _ in range(1000)]
    objects[417].price = -1.0
    with pytest.raises(InvalidValue, match=r"object 417 of 1000.*Leaf\.price") as caught:
        client.write_many(objects)
    assert (caught.value.type_name, caught.value.field, caught.value.value) == ("Leaf", "price", -1.0)


def test_write_many_refused_by_the_database_writes_none(module_store_db: StoreDatabase, client: StoreClient) -> None:
    objects = [Leaf() for _ in range(5)]
    with pytest.raises(UnknownPrincipal):
        module_store_db.client(readers=["nobody_at_all"]).write_many(objects)
    assert {obj.entity_id for obj in objects} == {None}
    assert client.count(Leaf) == 0


def test_write_many_with_an_object_that_is_written_already_writes_none(client: StoreClient) -> None:
    old = Dotted()
    client.write(old)
    new = [Leaf(), Leaf()]
    before = whole(old)
    with pytest.raises(StoreError, match=str(old.entity_id)):
        client.write_many([new[0], old, new[1]])
    assert [obj.entity_id for obj in new] == [None, None]
    assert whole(old) == before


# ---- update_many


def test_update_many_leaves_what_read_returns(client: StoreClient) -> None:
    objects: list[Any] = [*written(client, 3), Everything()]
    client.write(objects[3])
    for number, obj in enumerate(objects):
        obj.quantity = 100 + number
    client.update_many(objects)
    assert [obj.quantity for obj in objects] == [100, 101, 102, 103]
    assert {obj.version for obj in objects} == {2}
    for obj in objects:
        assert_as_read(client, obj)


def test_update_many_applies_one_valid_range_to_all(client: StoreClient) -> None:
    objects = written(client, 3)
    for obj in objects:
        obj.price = 9.0
    client.update_many(objects, valid_from=moment(1), valid_to=moment(2))
    assert [obj.price for obj in objects] == [0.0] * 3
    for obj in objects:
        then = client.as_of(Position, str(obj.entity_id), valid_time=moment(1))
        assert then is not None and (then.price, then.event_type) == (9.0, "CORRECTED")


def test_update_many_takes_objects_of_different_age(client: StoreClient) -> None:
    objects = written(client, 4)
    client.update(objects[1])
    client.delete(objects[3])
    client.update_many(objects[:3])
    assert [obj.version for obj in objects] == [2, 3, 2, 2]


def outdated(client: StoreClient, bob: StoreClient, objects: list[Any]) -> Any:
    twin = client.read(Position, objects[7].entity_id)
    assert twin is not None
    client.update(twin)


def deleted(client: StoreClient, bob: StoreClient, objects: list[Any]) -> Any:
    client.delete(objects[7])


def unwritten(client: StoreClient, bob: StoreClient, objects: list[Any]) -> Any:
    objects[7] = Position()


def repeated(client: StoreClient, bob: StoreClient, objects: list[Any]) -> Any:
    objects[7] = objects[2]


def same_entity(client: StoreClient, bob: StoreClient, objects: list[Any]) -> Any:
    objects[7] = client.read(Position, objects[2].entity_id)


def invalid(client: StoreClient, bob: StoreClient, objects: list[Any]) -> Any:
    objects[7].price = float("nan")


def somebody_elses(client: StoreClient, bob: StoreClient, objects: list[Any]) -> Any:
    objects[7] = Position()
    bob.write(objects[7])


def only_readable(client: StoreClient, bob: StoreClient, objects: list[Any]) -> Any:
    somebody_elses(client, bob, objects)
    share_read(bob.conn, objects[7].entity_id, "alice")


@pytest.mark.parametrize("chunk", [3, 20_000])
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (outdated, VersionConflict),
        (deleted, EntityDeleted),
        (unwritten, StoreError),
        (repeated, StoreError),
        (same_entity, StoreError),
        (invalid, InvalidValue),
        (somebody_elses, EntityNotFound),
        (only_readable, AccessDenied),
    ],
)
def test_update_many_with_one_bad_object_updates_none(
    client: StoreClient,
    bob: StoreClient,
    monkeypatch: pytest.MonkeyPatch,
    chunk: int,
    spoil: Callable[[StoreClient, StoreClient, list[Any]], Any],
    error: type[Exception],
) -> None:
    objects: list[Any] = list(written(client, 10))
    for obj in objects:
        obj.quantity += 1000
    spoil(client, bob, objects)
    sound = objects[:7] + objects[8:]
    before = [whole(obj) for obj in objects]
    monkeypatch.setattr(writing, "CHUNK", chunk)
    with pytest.raises(error):
        client.update_many(objects)
    assert [whole(obj) for obj in objects] == before
    assert versions(client, sound) == {1}


# ---- more objects than one statement carries


def test_write_many_over_several_statements_equals_one(client: StoreClient, small_chunks: None) -> None:
    objects = positions(8)
    ids = client.write_many(objects, valid_from=[moment(number) for number in range(8)])
    assert ids == [obj.entity_id for obj in objects]
    assert [obj.valid_from for obj in objects] == [moment(number) for number in range(8)]
    assert len({obj.tx_time for obj in objects}) == 1
    for obj in objects:
        assert_as_read(client, obj)


def test_update_many_over_several_statements_equals_one(client: StoreClient, small_chunks: None) -> None:
    objects = written(client, 7)
    for obj in objects:
        obj.quantity += 100
    client.update_many(objects)
    assert [obj.quantity for obj in objects] == list(range(100, 107))
    assert len({obj.tx_time for obj in objects}) == 1
    for obj in objects:
        assert_as_read(client, obj)


def test_write_many_that_fails_in_its_last_statement_writes_none(
    module_store_db: StoreDatabase, client: StoreClient, small_chunks: None
) -> None:
    """The database refuses the eighth of eight: a range that ends before its recording, known only there."""
    objects = [Leaf() for _ in range(8)]
    events: list[ChangeEvent] = []
    bus = EventBus()
    bus.on_all(events.append)
    watched = module_store_db.client(event_bus=bus)
    with module_store_db.admin() as admin, admin.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION store.refuse_leaf() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'refused for the test'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse_leaf BEFORE INSERT ON store.object_events FOR EACH ROW"
            " WHEN (NEW.type_name = 'Leaf' AND (NEW.changes->>'quantity')::int = 7)"
            " EXECUTE FUNCTION store.refuse_leaf()"
        )
    objects[7].quantity = 7
    with pytest.raises(StoreError, match="refused for the test"):
        watched.write_many(objects)
    assert {obj.entity_id for obj in objects} == {None}
    assert client.count(Leaf) == 0
    assert events == []


def test_write_many_over_several_statements_inside_a_transaction_joins_it(
    client: StoreClient, small_chunks: None
) -> None:
    objects = positions(7)
    with pytest.raises(ZeroDivisionError), client.transaction():
        client.write_many(objects)
        assert {obj.version for obj in objects} == {1}
        raise ZeroDivisionError
    assert {obj.entity_id for obj in objects} == {None}


def test_write_many_announces_each_event_once_in_order(module_store_db: StoreDatabase, small_chunks: None) -> None:
    events: list[ChangeEvent] = []
    bus = EventBus()
    bus.on("Position", events.append)
    objects = positions(7)
    ids = module_store_db.client(event_bus=bus).write_many(objects)
    assert [event.entity_id for event in events] == ids
    assert {(event.version, event.event_type) for event in events} == {(1, "CREATED")}
