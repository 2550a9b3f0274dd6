"""Values of every type through PostgreSQL and back, and values that no store could give back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy
import pandas
import pytest

from store.client import StoreClient
from store.errors import InvalidValue
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import FULL, UTC, Everything, Leg, Position, Side, Urgency, assert_as_read, content, told

HOSTILE_TEXTS = [
    "",
    " ",
    "'; DROP TABLE store.object_events; --",
    "' OR '1'='1",
    "%s %(name)s %% %",
    "$1 $$ $tag$",
    '{"symbol": "GOOG"}',
    '["a", null]',
    "null",
    "true",
    '"',
    "\\",
    "\\u0000",
    "\\'; SELECT 1; --",
    "a\tb\r\nc\x01\x1f\x7f",
    "\u2028\u2029\ufeff",
    "\u00e9 e\u0301 \u202e \U0001f468\u200d\U0001f469",
    "\U0010ffff",
    "x" * 1_000_000,
]


def named(value: Any) -> str:
    """Name a test case; some of the values are too large to be shown."""
    short = isinstance(value, str) and value.isascii() and len(value) < 30
    return ascii(value)[1:-1] if short else type(value).__name__


def round_trip(client: StoreClient, name: str, value: Any) -> Any:
    """Write a value, require the object to be what a read returns, and return what an update and a query make of it."""
    obj = Everything(**{name: value})
    entity_id = client.write(obj)
    assert_as_read(client, obj)
    other = Everything()
    client.write(other)
    setattr(other, name, value)
    client.update(other)
    assert told(content(other)) == told(content(obj))
    assert_as_read(client, other)
    found = client.query(Everything, {"entity_id": entity_id})[0]
    assert told(content(found)) == told(content(obj))
    return getattr(found, name)


@pytest.mark.parametrize("value", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
def test_text_of_any_kind_comes_back_exactly(client: StoreClient, value: str) -> None:
    assert round_trip(client, "notes", value) == value
    assert client.count(Everything, {"notes": value}) >= 2
    assert round_trip(client, "tags", [value, {value: value}]) == [value, {value: value}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quantity", 0),
        ("quantity", 2**63),
        ("quantity", -(2**64) - 1),
        ("quantity", 10**4299),
        ("weight", 5e-324),
        ("weight", 1.7976931348623157e308),
        ("weight", -2.2250738585072014e-308),
        ("weight", 0.1 + 0.2),
        ("weight", 1e23),
        ("weight", 123456789012345680.0),
        ("active", True),
        ("exact_amount", Decimal("0.1")),
        ("exact_amount", Decimal(10) ** 131_071),
        ("exact_amount", Decimal("1E-16383")),
        ("exact_amount", Decimal("-99999999999999999999999999999999.99999999")),
        ("ts", datetime(1, 1, 1, tzinfo=UTC)),
        ("ts", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("ts", datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("trade_date", date(1, 1, 1)),
        ("trade_date", date(9999, 12, 31)),
        ("opening_time", time(23, 59, 59, 999_999)),
        ("external_ref", UUID(int=0)),
        ("external_ref", UUID(int=2**128 - 1)),
        ("side", Side.BUY),
        ("urgency", Urgency.LOW),
        ("tags", []),
        ("tags", [[], [[]], {}, None, 0, "", False]),
        ("legs", []),
        ("legs", FULL["legs"]),
        ("main_leg", Leg("A", Decimal("1.10"), date(2026, 1, 1), [1e300, -0.5])),
        ("limits_by_desk", {}),
        ("limits_by_desk", {"a.b": Decimal("1.5"), "'": Decimal(2), "\u2603": Decimal(3)}),
        ("extra", {}),
        ("extra", {"b": 1, "a": {"": [None]}, "state": "x", "entity_id": 5}),
    ],
    ids=named,
)
def test_value_of_each_type_comes_back_exactly(client: StoreClient, name: str, value: Any) -> None:
    found = round_trip(client, name, value)
    assert found == value


@pytest.mark.parametrize("name", FULL)
def test_value_of_each_type_can_be_set_and_unset(client: StoreClient, name: str) -> None:
    obj = Everything()
    entity_id = client.write(obj)
    for value in (FULL[name], None):
        setattr(obj, name, value)
        client.update(obj)
        assert getattr(obj, name) == value
        assert_as_read(client, obj)
        assert client.audit(entity_id)[-1]["changes"].keys() == {name}
    changes = client.audit(entity_id)[-1]["changes"][name]
    assert changes == {"old": FULL[name], "new": None}


def test_datetime_of_another_zone_is_the_same_instant_in_utc(client: StoreClient) -> None:
    zone = timezone(timedelta(hours=-9, minutes=-30))
    found = round_trip(client, "ts", datetime(2026, 3, 1, 12, 0, 0, 7, tzinfo=zone))
    assert repr(found) == repr(datetime(2026, 3, 1, 21, 30, 0, 7, tzinfo=UTC))


def test_deeply_nested_value_within_the_limit_comes_back(client: StoreClient) -> None:
    value: Any = "bottom"
    for _ in range(90):
        value = [value]
    assert round_trip(client, "tags", value) == value


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("notes", "a\x00b", "NUL"),
        ("notes", "\ud800", "surrogate"),
        ("notes", 5, "str"),
        ("notes", b"x", "str"),
        ("tags", ["ok", {"k": ["\x00"]}], "NUL"),
        ("tags", [{"\x00": 1}], "NUL"),
        ("tags", [{"\udfff": 1}], "surrogate"),
        ("tags", [float("nan")], "use None"),
        ("tags", [[{"k": float("-inf")}]], "finite"),
        ("tags", [Decimal(1)], "declare the element type"),
        ("tags", [object()], "JSON"),
        ("tags", ("a",), "list"),
        ("tags", {"a"}, "list"),
        ("extra", {1: "x"}, "str"),
        ("extra", {"k": {"k": float("inf")}}, "finite"),
        ("legs", [Leg(), Leg(marks=[1.0, float("nan")])], "legs[1].marks[1]"),
        ("legs", [Leg(symbol="\x00")], "legs[0].symbol"),
        ("legs", [{"symbol": "A"}], "Leg"),
        ("main_leg", Leg(ratio=Decimal("NaN")), "main_leg.ratio"),
        ("limits_by_desk", {"a": Decimal("Infinity")}, "finite"),
        ("weight", float("nan"), "use None"),
        ("weight", float("inf"), "finite"),
        ("weight", numpy.float64("nan"), "use None"),
        ("weight", "1.0", "float"),
        ("weight", 2**53 + 1, "float"),
        ("weight", Decimal("0.5"), "float"),
        ("quantity", 1.0, "int"),
        ("quantity", True, "int"),
        ("quantity", 10**4300, "digits"),
        ("quantity", pandas.NA, "use None"),
        ("active", 1, "bool"),
        ("exact_amount", 0.1, 'Decimal("0.1")'),
        ("exact_amount", Decimal("sNaN"), "finite"),
        ("exact_amount", Decimal("1E+999999"), "digits"),
        ("exact_amount", Decimal("1E-16384"), "digits"),
        ("ts", datetime(2026, 1, 1), "tzinfo=datetime.timezone.utc"),
        ("ts", date(2026, 1, 1), "datetime"),
        ("ts", pandas.NaT, "use None"),
        ("ts", pandas.Timestamp("2026-01-01"), "tz_localize"),
        ("ts", pandas.Timestamp("2026-01-01T00:00:00.000000001Z"), "floor"),
        ("ts", datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "9999"),
        ("trade_date", datetime(2026, 1, 1, tzinfo=UTC), "date()"),
        ("trade_date", "2026-01-01", "date"),
        ("external_ref", "12345678-1234-5678-1234-567812345678", "UUID("),
        ("side", "BUY", "Side('BUY')"),
        ("urgency", 9, "Urgency(9)"),
    ],
    ids=named,
)
def test_value_that_cannot_be_kept_is_refused_before_anything_is_sent(
    client: StoreClient, name: str, value: Any, said: str
) -> None:
    obj = Everything(**{name: value})
    with pytest.raises(InvalidValue) as caught:
        client.write(obj)
    assert f"Everything.{name}" in str(caught.value)
    assert said in str(caught.value)
    assert caught.value.field.startswith(name)
    assert obj.entity_id is None and getattr(obj, name) is value

    written = Everything(notes="kept")
    entity_id = client.write(written)
    setattr(written, name, value)
    with pytest.raises(InvalidValue):
        client.update(written)
    assert getattr(written, name) is value and written.version == 1
    assert len(client.audit(entity_id)) == 1


def test_value_nested_beyond_the_limit_is_refused(client: StoreClient) -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidValue, match="nesting"):
        client.write(Everything(tags=value))


def test_value_that_holds_itself_is_refused(client: StoreClient) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidValue, match="nesting"):
        client.write(Everything(tags=value))


def test_every_broken_field_of_an_object_is_told_at_once(client: StoreClient) -> None:
    broken = replace(Position(), symbol="not a symbol", price=-1.0, quantity=1.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue) as caught:
        client.write(broken)
    assert [violation.field for violation in caught.value.violations] == ["symbol", "quantity", "price"]


def test_stored_data_is_the_natural_json_of_each_type(client: StoreClient, module_store_db: StoreDatabase) -> None:
    entity_id = client.write(Everything(**FULL))
    with module_store_db.admin().cursor() as cursor:
        cursor.execute("SELECT changes::text FROM store.object_events WHERE entity_id = %s", (entity_id,))
        stored = json.loads(cursor.fetchone()[0])
    assert stored == {
        "notes": FULL["notes"],
        "quantity": -(10**30),
        "weight": 0.1,
        "active": False,
        "exact_amount": "12345678901234567890.123456789",
        "ts": "2026-02-22T10:00:00.000001+00:00",
        "trade_date": "2026-02-22",
        "opening_time": "09:30:00.000001",
        "external_ref": "12345678-1234-5678-1234-567812345678",
        "side": "SELL",
        "urgency": 10,
        "tags": FULL["tags"],
        "legs": [
            {"symbol": "AAPL", "ratio": "0.5", "due": "2026-03-01", "marks": [1.0, 2.5]},
            {"symbol": "", "ratio": "1", "due": None, "marks": []},
        ],
        "main_leg": {"symbol": "GOOG", "ratio": "-2", "due": None, "marks": []},
        "limits_by_desk": {"rates": "1000000.01", "": "0"},
        "extra": FULL["extra"],
    }
