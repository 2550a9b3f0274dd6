"""Filters: over every type of field, as dicts and as expressions, on the current state and on past ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy
import pandas
import pytest

from reactive.expr import Coalesce, Const, Expr, Field, If, IsNull
from store.base import Storable
from store.client import StoreClient
from store.errors import InvalidFilter
from tests.integration.samples import FULL, UTC, Everything, Leg, Position, Side, Urgency, moment

pytestmark = pytest.mark.both_servers

# For each field another value, as close to the one of FULL as its type allows.
OTHER: dict[str, Any] = {
    "notes": FULL["notes"] + " ",
    "quantity": FULL["quantity"] + 1,
    "weight": 0.1 + 1e-16,
    "active": True,
    "exact_amount": FULL["exact_amount"] + Decimal("1E-9"),
    "ts": FULL["ts"] + timedelta(microseconds=1),
    "trade_date": date(2026, 2, 23),
    "opening_time": time(9, 30),
    "external_ref": UUID("12345678-1234-5678-1234-567812345679"),
    "side": Side.BUY,
    "urgency": Urgency.LOW,
    "tags": [*FULL["tags"], "more"],
    "legs": FULL["legs"][::-1],
    "main_leg": Leg("GOOG", Decimal("-2"), None, [0.0]),
    "limits_by_desk": FULL["limits_by_desk"] | {"fx": Decimal(1)},
    "extra": FULL["extra"] | {"more": None},
}
# What expressions have constants for.
SCALARS = [name for name, value in FULL.items() if not isinstance(value, (list, dict, Leg, time))]


@dataclass
class Odd(Storable):
    """Fields that are called like columns and names of the queries."""

    data: str | None = None
    now: int | None = None
    order: str | None = None
    percent_sign: str | None = None


@pytest.fixture(scope="module")
def names(client: StoreClient) -> dict[str | None, str]:
    """Names of the four stored objects by their ids: full, twin (of full), other and empty."""
    kinds = {"full": FULL, "twin": FULL, "other": OTHER, "empty": {}}
    return {client.write(Everything(**fields)): name for name, fields in kinds.items()}


@pytest.fixture
def found(client: StoreClient, names: dict[str | None, str]) -> Iterator[Any]:
    """Ask for the names that pass a filter, by query and by count at once, now and as of now."""

    def ask(filters: Any) -> set[str]:
        page = client.query(Everything, filters, limit=None)
        assert client.count(Everything, filters) == len(page)
        now = client.stable_time()
        assert {item.entity_id for item in client.query(Everything, filters, tx_time=now)} == {
            item.entity_id for item in page
        }
        return {names[item.entity_id] for item in page}

    yield ask


@pytest.mark.parametrize("name", FULL)
def test_dict_filter_by_equality_finds_exactly_the_equal_ones(found: Any, name: str) -> None:
    one = [FULL[name]] if isinstance(FULL[name], list) else FULL[name]  # a list means any of
    assert found({name: one}) == {"full", "twin"}
    assert found({name: [OTHER[name]]}) == {"other"}


@pytest.mark.parametrize("name", FULL)
def test_dict_filter_by_none_finds_the_missing_ones(found: Any, name: str) -> None:
    assert found({name: None}) == {"empty"}


@pytest.mark.parametrize("name", FULL)
def test_dict_filter_by_a_list_finds_any_of_its_values(found: Any, name: str) -> None:
    assert found({name: []}) == set()
    assert found({name: [FULL[name], OTHER[name]]}) == {"full", "twin", "other"}
    assert found({name: (None, OTHER[name])}) == {"other", "empty"}


def test_dict_filter_takes_sets_and_several_fields_at_once(found: Any) -> None:
    assert found({"quantity": {FULL["quantity"], 7}, "side": Side.SELL, "notes": FULL["notes"]}) == {"full", "twin"}
    assert found({"quantity": FULL["quantity"], "side": Side.BUY}) == set()
    assert found({}) == {"full", "twin", "other", "empty"}


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ({"weight": 5.0}, {"weight": 5}),
        ({"weight": 2.5}, {"weight": numpy.float64(2.5)}),
        ({"weight": 1e300}, {"weight": 1e300}),
        ({"weight": 0.0}, {"weight": -0.0}),
        ({"quantity": 12}, {"quantity": numpy.int64(12)}),
        ({"exact_amount": Decimal("2.50")}, {"exact_amount": Decimal("2.5")}),
        ({"exact_amount": Decimal("3")}, {"exact_amount": 3}),
        ({"ts": datetime(2030, 1, 1, tzinfo=UTC)}, {"ts": pandas.Timestamp("2030-01-01T02:00:00+02:00")}),
        (
            {"ts": datetime(2031, 1, 1, tzinfo=UTC)},
            {"ts": datetime(2031, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
        ),
        ({"tags": []}, {"tags": [[]]}),
        ({"tags": [1.0, {"a": 1}]}, {"tags": [[1, {"a": 1.0}]]}),
        ({"extra": {}}, {"extra": {}}),
    ],
)
def test_dict_filter_by_an_equal_value_of_another_spelling_finds_it(
    client: StoreClient, stored: dict[str, Any], asked: dict[str, Any]
) -> None:
    entity_id = client.write(Everything(**stored))
    assert [item.entity_id for item in client.query(Everything, asked | {"entity_id": entity_id})] == [entity_id]
    client.delete(client.query(Everything, {"entity_id": entity_id})[0])


@pytest.mark.parametrize("name", SCALARS)
def test_expression_equality_finds_exactly_the_equal_ones(found: Any, name: str) -> None:
    def constant(value: Any) -> Any:
        if isinstance(value, (Side, Urgency)):
            return value.value
        return str(value) if isinstance(value, UUID) else value

    assert found(Field(name) == Const(constant(FULL[name]))) == {"full", "twin"}
    assert found(Const(constant(OTHER[name])) == Field(name)) == {"other"}
    assert found(Field(name) != Const(constant(FULL[name]))) == {"other"}


@pytest.mark.parametrize("name", FULL)
def test_expression_test_for_null_finds_the_missing_ones(found: Any, name: str) -> None:
    assert found(Field(name).is_null()) == {"empty"}
    assert found(~IsNull(Field(name))) == {"full", "twin", "other"}


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (Field("weight") > 0, {"full", "twin", "other"}),
        (Field("quantity") < 0.5, {"full", "twin", "other"}),
        (Field("quantity") > FULL["quantity"], {"other"}),
        (Field("exact_amount") > FULL["exact_amount"], {"other"}),
        (Field("ts") > Const(FULL["ts"]), {"other"}),
        (Field("trade_date") <= Const(date(2026, 2, 22)), {"full", "twin"}),
        (Field("urgency") >= 10, {"full", "twin"}),
        (Field("active"), {"other"}),
        (~Field("active"), {"full", "twin"}),
        (Field("notes").contains("'one'"), {"full", "twin", "other"}),
        (Field("notes").contains("%"), set()),
        (Field("notes").starts_with("dé"), {"full", "twin", "other"}),
        (Field("side").lower() == "buy", {"other"}),
        ((Field("side") == "SELL") & (Field("quantity") < 0), {"full", "twin"}),
        ((Field("side") == "SELL") & (Field("side") == "BUY"), set()),
        ((Field("side") == "SELL") | Field("side").is_null(), {"full", "twin", "empty"}),
        ((Field("side") == "SELL") & ~(Field("urgency") == 9), {"full", "twin"}),
        (If(Field("weight") > 0, Field("side"), Const("none")) == "none", {"empty"}),
        (Coalesce([Field("weight"), Const(-1.0)]) < 0, {"empty"}),
        (Const(True), {"full", "twin", "other", "empty"}),
        (Const(False), set()),
        (Const(None), set()),
        (Field("quantity") == 5.5, set()),
        (Field("version") == 1, {"full", "twin", "other", "empty"}),
        (Field("owner") == "alice", {"full", "twin", "other", "empty"}),
        ((Field("owner") == "bob") | (Field("updated_by") != "alice"), set()),
        (Field("tx_time") > Const(datetime(2020, 1, 1, tzinfo=UTC)), {"full", "twin", "other", "empty"}),
        (Field("valid_to").is_null() & Field("state").is_null(), {"full", "twin", "other", "empty"}),
        (Field("event_type") == "CREATED", {"full", "twin", "other", "empty"}),
        (Field("entity_id") == "no id", set()),
    ],
)
def test_expression_filter_finds_what_it_holds_for(found: Any, expr: Expr, expected: set[str]) -> None:
    assert found(expr) == expected


def test_filters_by_entity_id_take_its_spellings(client: StoreClient, found: Any, names: dict[str, str]) -> None:
    entity_id = next(key for key, name in names.items() if name == "other")
    assert found({"entity_id": entity_id}) == {"other"}
    assert found({"entity_id": entity_id.upper()}) == {"other"}
    assert found({"entity_id": list(names)}) == set(names.values())
    assert found(Field("entity_id") == Const(entity_id)) == {"other"}
    assert found(Field("entity_id") != Const(entity_id)) == {"full", "twin", "empty"}


def test_filters_by_reserved_columns_find_what_they_say(client: StoreClient) -> None:
    early, late = Position(label="reserved"), Position(label="reserved")
    client.write(early, valid_from=moment(1))
    client.write(late)
    client.update(late)
    base: dict[str, Any] = {"label": "reserved"}

    def ids(**filters: Any) -> list[str | None]:
        return [item.entity_id for item in client.query(Position, base | filters)]

    assert ids(version=1) == ids(valid_from=moment(1)) == ids(event_type="CREATED") == [early.entity_id]
    assert ids(version=[2, 3]) == ids(tx_time=late.tx_time) == ids(event_type="UPDATED") == [late.entity_id]
    assert ids(version=2**80) == ids(owner="bob") == ids(updated_by=None) == ids(state="OPEN") == []
    assert len(ids(owner="alice")) == len(ids(valid_to=None)) == len(ids(state=None)) == 2


@pytest.mark.parametrize("name", ["data", "now", "order", "percent_sign"])
def test_filters_by_fields_of_unusual_names_find_their_values(client: StoreClient, name: str) -> None:
    value: Any = 5 if name == "now" else "100% 'x' %s"
    entity_id = client.write(Odd(**{name: value}))
    client.write(Odd(**{name: 6 if name == "now" else "y"}))
    for filters in ({name: value}, {name: [value]}, Field(name) == Const(value), {name: value, "entity_id": entity_id}):
        assert [item.entity_id for item in client.query(Odd, filters)] == [entity_id]
    ordered = client.query(Odd, ~Field(name).is_null(), order_by=name)
    assert [getattr(item, name) for item in ordered] == sorted(getattr(item, name) for item in ordered)
    assert len(ordered) == 2


def test_filter_never_finds_an_entity_by_an_overtaken_version(client: StoreClient) -> None:
    obj = Position(label="overtaken", quantity=1)
    client.write(obj)
    obj.quantity = 2
    client.update(obj)
    for filters in ({"label": "overtaken", "quantity": 1}, (Field("label") == "overtaken") & (Field("quantity") < 2)):
        assert client.query(Position, filters).items == []
        assert client.count(Position, filters) == 0
    assert client.count(Position, {"label": "overtaken", "quantity": 2}) == 1


def test_filter_as_of_finds_what_held_at_that_point(client: StoreClient) -> None:
    obj = Position(label="past", quantity=1)
    client.write(obj, valid_from=moment(1))
    known = client.stable_time()
    obj.quantity = 2
    client.update(obj, valid_from=moment(10))
    one, two = {"label": "past", "quantity": 1}, (Field("label") == "past") & (Field("quantity") == 2)
    counts = {
        "now": (client.count(Position, one), client.count(Position, two)),
        "valid 5": (
            client.count(Position, one, valid_time=moment(5)),
            client.count(Position, two, valid_time=moment(5)),
        ),
        "known": (client.count(Position, one, tx_time=known), client.count(Position, two, tx_time=known)),
        "valid 0": (
            client.count(Position, one, valid_time=moment(0)),
            client.count(Position, two, valid_time=moment(0)),
        ),
    }
    assert counts == {"now": (0, 1), "valid 5": (1, 0), "known": (1, 0), "valid 0": (0, 0)}
    page = client.query(Position, one, valid_time=moment(5))
    assert [(item.quantity, item.version, item.valid_from) for item in page] == [(1, 2, moment(1))]


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"pirce": 1}, "did you mean 'price'"),
        ({"price; DROP TABLE x": 1}, "no field"),
        ({"x' OR '1'='1": 1}, "no field"),
        ({5: 1}, "name of a field"),
        ({None: 1}, "name of a field"),
        ({"price": "1"}, "Position.price"),
        ({"price": [1.0, "x"]}, "Position.price"),
        ({"price": float("nan")}, "use None"),
        ({"quantity": 1.5}, "Position.quantity"),
        ({"symbol": 5}, "Position.symbol"),
        ({"label": "a\x00"}, "NUL"),
        ({"state": "a\x00"}, "NUL"),
        ({"owner": "\ud800"}, "surrogate"),
        ({"owner": 5}, "owner takes str"),
        ({"version": "1"}, "version takes int"),
        ({"version": True}, "version takes int"),
        ({"tx_time": "2020-01-01"}, "tx_time takes datetime"),
        ({"tx_time": datetime(2020, 1, 1)}, "time zone"),
        ({"entity_id": "x"}, "not an entity id"),
        ({"entity_id": 5}, "entity_id takes str"),
        ({"quantity": range(3)}, "expected int, found range(0, 3) (range); a list means any of its values"),
        ("symbol = 'AAPL'", "a dict or an expression"),
        ([("symbol", "AAPL")], "a dict or an expression"),
        (5, "a dict or an expression"),
        (Field("pirce") > 1, "did you mean 'price'"),
        (Field("price") + 1, "is no condition but float"),
        (Field("price"), "is no condition but float"),
        (Field("symbol"), "is no condition but str"),
        (Const(5), "is no condition but int"),
        (Field("price") > "x", "compare"),
        (Field("symbol") + 1 > 2, "takes numbers"),
        (Field("price") & (Field("symbol") == "A"), "is no condition"),
        ((Field("price") > 1) & Field("symbol"), "takes conditions"),
        (Field("tx_time") > Const("2020-01-01"), "compare"),
    ],
)
def test_filter_that_cannot_be_used_is_refused_with_what_is_wrong(client: StoreClient, filters: Any, said: str) -> None:
    for call in (client.query, client.count):
        with pytest.raises(InvalidFilter) as caught:
            call(Position, filters)
        assert said in str(caught.value)


def test_filter_of_a_list_field_says_what_a_list_means(client: StoreClient) -> None:
    with pytest.raises(InvalidFilter, match="a list of lists any of the lists"):
        client.query(Everything, {"tags": ["a", "b"]})
    client.query(Everything, {"tags": [["a", "b"]]})


def test_filter_takes_ids_as_uuids_and_numbers_of_numpy(client: StoreClient, names: dict[str, str]) -> None:
    for entity_id in names:
        assert client.count(Everything, {"entity_id": UUID(entity_id), "version": numpy.int64(1)}) == 1
    assert client.count(Everything, {"entity_id": [UUID(entity_id) for entity_id in names]}) == len(names)
    assert len(client.query(Everything, limit=numpy.int64(2))) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("thing", [None, "Position", 5, object, Storable, Position()])
def test_query_of_something_that_is_no_class_is_refused(client: StoreClient, thing: Any) -> None:
    for call in (client.query, client.count):
        with pytest.raises(Exception, match="Storable class"):
            call(thing)
