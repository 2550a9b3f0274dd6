"""Valid times through a client: late bookings, corrections, deleted ranges, and what is no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas
import psycopg2.errors
import pytest

from store.base import Storable
from store.client import StoreClient
from store.errors import EntityDeleted, InvalidRange
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import UTC, Position, assert_as_read, content, moment, soon, whole

pytestmark = pytest.mark.both_servers

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


@dataclass
class Desk(Storable):
    """A type of which this module writes nothing."""

    symbol: str = "AAPL"
    quantity: int = 0


# ---- late bookings and loads of history


def test_write_late_booking_is_effective_from_its_time_and_known_from_now(client: StoreClient) -> None:
    before = client.stable_time()
    obj = Position(quantity=5)
    entity_id = client.write(obj, valid_from=moment(10))
    assert (obj.event_type, obj.valid_from) == ("CREATED", moment(10))
    assert client.as_of(Position, entity_id, valid_time=moment(10)) == obj
    assert client.as_of(Position, entity_id, valid_time=moment(10) - timedelta(microseconds=1)) is None
    assert client.as_of(Position, entity_id, tx_time=before, valid_time=moment(11)) is None


def test_write_over_a_past_range_is_absent_today_and_correctable(client: StoreClient) -> None:
    obj = Position(quantity=5)
    entity_id = client.write(obj, valid_from=moment(1), valid_to=moment(5))
    assert client.read(Position, entity_id) is None
    assert obj.quantity == 5
    obj.quantity = 6
    client.update(obj, valid_from=moment(2), valid_to=moment(3))
    found = [client.as_of(Position, entity_id, valid_time=moment(day)) for day in (1, 2, 3, 5)]
    assert [None if item is None else item.quantity for item in found] == [5, 6, 5, None]


def test_update_before_the_start_of_an_entity_moves_its_start(client: StoreClient) -> None:
    obj = Position(quantity=5, price=1.0)
    entity_id = client.write(obj, valid_from=moment(10))
    obj.quantity = 6
    client.update(obj, valid_from=moment(5), valid_to=moment(10))
    found = client.as_of(Position, entity_id, valid_time=moment(6))
    assert found is not None and (found.quantity, found.price) == (6, 1.0)
    assert client.as_of(Position, entity_id, valid_time=moment(4)) is None


def test_update_without_valid_from_holds_from_its_recording(client: StoreClient) -> None:
    obj = Position(quantity=5)
    client.write(obj, valid_from=moment(10))
    client.update(obj)
    assert obj.valid_from == obj.tx_time
    assert obj.event_type == "UPDATED"


def test_update_with_a_past_valid_from_is_a_correction(client: StoreClient) -> None:
    obj = Position(price=151.0)
    client.write(obj)
    obj.price = 151.25
    client.update(obj, valid_from=moment(1))
    assert (obj.event_type, obj.valid_from, obj.price) == ("CORRECTED", moment(1), 151.25)
    assert_as_read(client, obj)


def test_update_correction_of_one_field_keeps_a_later_change_of_another(client: StoreClient) -> None:
    obj = Position(quantity=100, price=5.0)
    entity_id = client.write(obj, valid_from=moment(1))
    obj.quantity = 150
    client.update(obj, valid_from=moment(20))
    obj.price = 6.0
    client.update(obj, valid_from=moment(10))
    assert (obj.quantity, obj.price) == (150, 6.0)
    found = client.as_of(Position, entity_id, valid_time=moment(15))
    assert found is not None and (found.quantity, found.price) == (100, 6.0)


# ---- deleted ranges


def test_update_before_a_scheduled_delete_must_be_bounded_by_it(client: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    gone = soon(10**9)
    client.delete(obj, valid_from=gone)
    obj.quantity = 2
    before = whole(obj)
    with pytest.raises(EntityDeleted, match="valid_to=") as caught:
        client.update(obj)
    assert caught.value.entity_id == entity_id
    assert caught.value.deleted_from is not None
    assert datetime.fromisoformat(caught.value.deleted_from) == gone
    assert whole(obj) == before
    client.update(obj, valid_to=gone)
    assert_as_read(client, obj)


def test_delete_over_a_bounded_range_leaves_the_entity_around_it(client: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj, valid_from=moment(1))
    client.delete(obj, valid_from=moment(5), valid_to=moment(6))
    present = [client.as_of(Position, entity_id, valid_time=moment(day)) is not None for day in (4, 5, 6)]
    assert present == [True, False, True]
    obj.quantity = 2
    client.update(obj)  # wholly outside the deleted range
    assert_as_read(client, obj)


def test_delete_over_a_bounded_range_leaves_the_present_data_in_the_object(client: StoreClient) -> None:
    obj = Position(quantity=1)
    client.write(obj, valid_from=moment(1))
    obj.quantity = 2
    client.update(obj, valid_from=moment(10))
    client.delete(obj, valid_from=moment(5), valid_to=moment(6))
    assert (obj.quantity, obj.event_type, obj.valid_from, obj.valid_to) == (2, "DELETED", moment(5), moment(6))
    client.update(obj)
    assert_as_read(client, obj)
    assert client.audit(str(obj.entity_id))[-1]["changes"] == {}


def test_delete_keeps_history_audit_and_earlier_answers(client: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    before = obj.tx_time
    client.delete(obj)
    assert [item.event_type for item in client.history(Position, entity_id)] == ["CREATED", "DELETED"]
    assert [content(item) for item in client.history(Position, entity_id)] == [content(obj)] * 2
    assert len(client.audit(entity_id)) == 2
    assert client.as_of(Position, entity_id, tx_time=before) == obj
    assert client.as_of(Position, entity_id, valid_time=before) == obj


def test_update_scheduled_then_open_ended_update_overrides_the_schedule(client: StoreClient) -> None:
    obj = Position(quantity=1)
    entity_id = client.write(obj)
    later = soon(10**9)
    obj.quantity = 2
    client.update(obj, valid_from=later)
    obj.quantity = 3
    client.update(obj)
    found = client.as_of(Position, entity_id, valid_time=later)
    assert found is not None and found.quantity == 3


# ---- what is a time, and what is not


@pytest.mark.parametrize("given", [EARLIEST, LATEST, datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=UTC)])
def test_write_extreme_valid_from_comes_back_exactly(client: StoreClient, given: datetime) -> None:
    obj = Position()
    entity_id = client.write(obj, valid_from=given)
    assert obj.valid_from == given
    found = client.as_of(Position, entity_id, valid_time=given)
    assert found is not None and found.valid_from == given
    assert [item.valid_from for item in client.history(Position, entity_id)] == [given]


def test_write_widest_valid_range_comes_back_exactly(client: StoreClient) -> None:
    obj = Position()
    client.write(obj, valid_from=EARLIEST, valid_to=LATEST)
    assert (obj.valid_from, obj.valid_to) == (EARLIEST, LATEST)
    assert_as_read(client, obj)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_widest_valid_range_is_read_whatever_zone_the_environment_names(
    module_store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("PGTZ", zone)
    monkeypatch.setenv("PGDATESTYLE", "SQL, DMY")
    client = module_store_db.client()
    obj = Position()
    client.write(obj, valid_from=EARLIEST, valid_to=LATEST)
    assert_as_read(client, obj)
    assert obj.entity_id in [found.entity_id for found in client.query(Position)]


def test_write_with_a_pandas_timestamp_is_valid_from_that_time(client: StoreClient) -> None:
    obj = Position()
    client.write(obj, valid_from=pandas.Timestamp("2020-01-01T12:00:00+02:00"))
    assert obj.valid_from == datetime(2020, 1, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
        pandas.Timestamp("2020-01-01T00:00:00.000000001Z"),
        pandas.NaT,
        date(2020, 1, 1),
        "2020-01-01T00:00:00Z",
        1577836800,
        float("inf"),
        "infinity",
    ],
)
@pytest.mark.parametrize("argument", ["valid_from", "valid_to"])
def test_write_at_what_is_no_time_is_refused_and_stores_nothing(client: StoreClient, argument: str, given: Any) -> None:
    obj = Desk()
    with pytest.raises(InvalidRange, match=argument):
        client.write(obj, **{argument: given})
    assert obj.entity_id is None
    assert "Desk" not in client.list_types()


def test_write_that_ends_before_it_begins_by_default_says_when_it_would_begin(client: StoreClient) -> None:
    told = r"valid range .* is empty.*without valid_from it begins at the time of recording"
    obj = Position()
    with pytest.raises(InvalidRange, match=told):
        client.write(obj, valid_to=moment(1))
    client.write(obj)
    for call in (client.update, client.delete):
        with pytest.raises(InvalidRange, match=told):
            call(obj, valid_to=moment(1))


@pytest.mark.parametrize(
    ("valid_from", "valid_to"),
    [
        ("10000-01-01T00:00:00Z", None),
        ("0001-12-31T00:00:00Z BC", None),
        ("infinity", None),
        ("-infinity", None),
        ("2020-01-01T00:00:00Z", "20000-01-01T00:00:00Z"),
    ],
)
def test_database_refuses_times_that_python_lacks(
    module_store_db: StoreDatabase, valid_from: str, valid_to: str | None
) -> None:
    item = {"type_name": "Desk", "data": {}, "valid_from": valid_from, "valid_to": valid_to}
    with module_store_db.connect("alice").cursor() as cursor, pytest.raises(psycopg2.errors.CheckViolation):
        cursor.execute("SELECT * FROM store.create_objects(%s, '{}', '{}', false, NULL)", (json.dumps([item]),))


NAIVE = datetime(2026, 2, 22, 10, 0)
NAIVE_CALLS: list[tuple[str, Callable[[StoreClient, Position, str], Any]]] = [
    ("valid_from", lambda client, obj, entity_id: client.write(Position(), valid_from=NAIVE)),
    ("valid_to", lambda client, obj, entity_id: client.write(Position(), valid_to=NAIVE)),
    ("valid_from", lambda client, obj, entity_id: client.write_many([Position()], valid_from=NAIVE)),
    ("valid_from", lambda client, obj, entity_id: client.write_many([Position()], valid_from=[NAIVE])),
    ("valid_from", lambda client, obj, entity_id: client.update(obj, valid_from=NAIVE)),
    ("valid_to", lambda client, obj, entity_id: client.update(obj, valid_to=NAIVE)),
    ("valid_to", lambda client, obj, entity_id: client.update_many([obj], valid_to=NAIVE)),
    ("valid_from", lambda client, obj, entity_id: client.delete(obj, valid_from=NAIVE)),
    ("tx_time", lambda client, obj, entity_id: client.as_of(Position, entity_id, tx_time=NAIVE)),
    ("valid_time", lambda client, obj, entity_id: client.as_of(Position, entity_id, valid_time=NAIVE)),
    ("tx_time", lambda client, obj, entity_id: client.query(Position, tx_time=NAIVE)),
    ("valid_time", lambda client, obj, entity_id: client.count(Position, valid_time=NAIVE)),
    ("tx_time", lambda client, obj, entity_id: client.diff(Position, entity_id, (NAIVE, None), 1)),
]


@pytest.mark.parametrize(("argument", "call"), NAIVE_CALLS)
def test_naive_datetime_is_refused_with_the_corrected_call(
    client: StoreClient, argument: str, call: Callable[[StoreClient, Position, str], Any]
) -> None:
    obj = Position()
    entity_id = client.write(obj)
    with pytest.raises(InvalidRange) as caught:
        call(client, obj, entity_id)
    assert f"{argument}={NAIVE.replace(tzinfo=UTC)!r}" in str(caught.value)
    assert obj.version == 1


def test_refusal_over_many_deleted_ranges_names_a_few_that_the_change_meets(client: StoreClient) -> None:
    obj = Position(quantity=1)
    client.write(obj, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
    for month in range(1, 13):
        begin = datetime(2021, month, 1, tzinfo=UTC)
        client.delete(obj, valid_from=begin, valid_to=begin + timedelta(days=1))
    with pytest.raises(EntityDeleted) as caught:
        client.update(obj, valid_from=datetime(2021, 3, 1, tzinfo=UTC))
    assert caught.value.deleted_from == "2021-03-01T00:00:00+00:00"
    assert caught.value.deleted is not None and caught.value.deleted.count("[") == 5
    assert " and 5 more ranges; a change may not overlap" in str(caught.value) and len(str(caught.value)) < 600
    with pytest.raises(EntityDeleted) as caught:
        client.update(obj, valid_from=datetime(2021, 3, 1, tzinfo=UTC), valid_to=datetime(2021, 3, 15, tzinfo=UTC))
    assert caught.value.deleted is not None and caught.value.deleted.count("[") == 1
    assert "more ranges" not in str(caught.value)
