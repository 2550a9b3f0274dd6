"""Queries: order over every type, pages, limits, and points of both time axes."""

from __future__ import annotations

import itertools
import random
import sys
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from reactive.expr import Field
from store.base import Storable
from store.client import StoreClient
from store.errors import InvalidFilter, InvalidRange
from store.state_machine import StateMachine, Transition
from tests.integration.samples import UTC, Everything, Position, Side, Urgency, moment

pytestmark = pytest.mark.both_servers

# Values of each type in ascending order; text sorts by code point: capitals first, letters beyond ASCII last.
ASCENDING: dict[str, list[Any]] = {
    "notes": ["", "'", "10", "9", "A", "Z", "a", "aa", "\u00e9", "\uffee", "\U0001f680"],
    "quantity": [-(10**30), -10, -9, 0, 9, 10, 10**30],
    "weight": [-1.7976931348623157e308, -2.5, -5e-324, 0.0, 5e-324, 0.1, 0.30000000000000004, 9.0, 10.0, 1e23],
    "active": [False, True],
    "exact_amount": [Decimal("-1E+20"), Decimal("-9.1"), Decimal(0), Decimal("9.99"), Decimal(10), Decimal("1E+20")],
    "ts": [datetime(1, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)],
    "trade_date": [date(1, 1, 1), date(2026, 2, 9), date(2026, 2, 10), date(9999, 12, 31)],
    "opening_time": [time(0), time(9, 30), time(9, 30, 0, 1), time(10)],
    "external_ref": [UUID(int=0), UUID(int=9), UUID(int=10), UUID(int=2**127)],
    "side": [Side.BUY, Side.SELL],
    "urgency": [Urgency.LOW, Urgency.HIGH],
}
assert all(
    values == sorted(values, key=lambda v: v.value if isinstance(v, Enum) else v) for values in ASCENDING.values()
)


@dataclass
class Paged(Storable):
    """Of which this module alone writes, with many ties."""

    symbol: str = "AAPL"
    quantity: int = 0
    price: float = 0.0
    label: str | None = None


class OpenShut(StateMachine):
    initial = "OPEN"
    transitions = (Transition("OPEN", "SHUT"),)


@dataclass
class Shelf(Storable, state_machine=OpenShut):
    symbol: str = "AAPL"
    quantity: int = 0


@pytest.fixture(scope="module")
def everything(client: StoreClient) -> list[Everything]:
    """Objects with ties and missing values in every field, in no order, some of them updated since."""
    chance = random.Random(3)
    pools = {name: [*values, *values, None, None] for name, values in ASCENDING.items()}
    longest = max(map(len, pools.values()))
    columns = {name: list(itertools.islice(itertools.cycle(pool), longest)) for name, pool in pools.items()}
    for column in columns.values():
        chance.shuffle(column)
    objects = [Everything(**{name: column[row] for name, column in columns.items()}) for row in range(longest)]
    client.write_many(objects)
    for obj in chance.sample(objects, 5):
        client.update(obj)
    return objects


@pytest.fixture(scope="module")
def shelves(client: StoreClient) -> None:
    """Nine objects in two states, every third of another symbol."""
    objects = [Shelf(quantity=number, symbol="GOOG" if number % 3 == 0 else "AAPL") for number in range(9)]
    client.write_many(objects)
    for obj in objects[1:4]:
        client.transition(obj, "SHUT")


@pytest.fixture(scope="module")
def paged(client: StoreClient) -> list[Paged]:
    objects = [Paged(quantity=number % 3, price=float(number), label=f"l{number % 2}") for number in range(20)]
    client.write_many(objects)
    return objects


def pages(client: StoreClient, cls: type[Any], limit: int, **query: Any) -> list[Any]:
    """Return all objects of a query, page by page; each page but the last is full."""
    collected: list[Any] = []
    cursor = None
    while True:
        page = client.query(cls, limit=limit, cursor=cursor, **query)
        collected += page
        if page.next_cursor is None:
            assert len(page) <= limit
            return collected
        assert len(page) == limit
        cursor = page.next_cursor


def in_order(objects: list[Any], name: str, descending: bool) -> list[str]:
    """Return the ids in the promised order: by value, missing ones last, ties by entity id."""

    def rank(obj: Any) -> tuple[bool, int]:
        value = getattr(obj, name)
        if value is None:
            return (True, 0)
        place = ASCENDING[name].index(value)
        return (False, -place if descending else place)

    return [obj.entity_id for obj in sorted(objects, key=lambda obj: (rank(obj), obj.entity_id))]


@pytest.mark.parametrize("name", ASCENDING)
@pytest.mark.parametrize("descending", [False, True])
def test_query_order_by_a_field_is_by_value_with_missing_ones_last(
    client: StoreClient, everything: list[Everything], name: str, descending: bool
) -> None:
    order_by = f"-{name}" if descending else name
    expected = in_order(everything, name, descending)
    assert [item.entity_id for item in client.query(Everything, limit=None, order_by=order_by)] == expected
    for limit in (1, 4):
        assert [item.entity_id for item in pages(client, Everything, limit, order_by=order_by)] == expected
    past = pages(client, Everything, 5, order_by=order_by, tx_time=client.stable_time())
    assert [item.entity_id for item in past] == expected


@pytest.mark.parametrize("name", ["tx_time", "valid_from", "version", "owner", "event_type", "valid_to", "state"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_query_order_by_metadata_pages_through_all_in_order(
    client: StoreClient, everything: list[Everything], name: str, sign: str
) -> None:
    found = pages(client, Everything, 7, order_by=sign + name)
    assert len(found) == len({item.entity_id for item in found}) == len(everything)
    values = [getattr(item, name) for item in found if getattr(item, name) is not None]
    assert values == sorted(values, reverse=bool(sign))


def test_query_without_order_goes_by_entity_id(client: StoreClient, paged: list[Paged]) -> None:
    expected = sorted(str(obj.entity_id) for obj in paged)
    for limit in (1, 3, 19, 20, 21, 5_000):
        assert [item.entity_id for item in pages(client, Paged, limit)] == expected


def test_query_pages_with_a_filter_and_order_hold_each_match_once(client: StoreClient, paged: list[Paged]) -> None:
    for filters in ({"label": "l1"}, (Field("label") == "l1") & (Field("price") >= 0)):
        found = pages(client, Paged, 3, filters=filters, order_by="-quantity")
        assert len(found) == len({item.entity_id for item in found}) == 10
        assert [item.quantity for item in found] == sorted((item.quantity for item in found), reverse=True)


@pytest.mark.parametrize("order_by", [None, "quantity", "-tx_time"])
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"state": "OPEN"}, 6),
        ({"state": "OPEN", "symbol": "AAPL"}, 4),
        ({"state": ["OPEN", "SHUT"], "symbol": "AAPL"}, 6),
        ({"state": "SHUT", "version": 2}, 3),
        ({"state": "OPEN", "owner": "bob"}, 0),
        ({"state": None}, 0),
        ((Field("state") == "OPEN") & (Field("symbol") == "AAPL"), 4),
        ((Field("state") == "OPEN") & (Field("quantity") >= 4), 5),
        (Field("state") != "OPEN", 3),
    ],
)
def test_query_pages_by_state_hold_each_match_once(
    client: StoreClient, shelves: None, order_by: str | None, filters: Any, expected: int
) -> None:
    found = pages(client, Shelf, 2, filters=filters, order_by=order_by)
    assert len(found) == len({item.entity_id for item in found}) == client.count(Shelf, filters) == expected


def test_query_finds_the_few_that_pass_among_many_that_do_not(client: StoreClient) -> None:
    """More than a page looks at before it turns to the index."""
    objects = [Shelf(symbol="RARE" if number % 300 == 299 else "OFTEN") for number in range(900)]
    client.write_many(objects)
    rare = {obj.entity_id for obj in objects if obj.symbol == "RARE"}
    for filters in ({"symbol": "RARE"}, {"symbol": "RARE", "state": "OPEN"}, Field("symbol") == "RARE"):
        for limit in (1, 2, 100):
            assert {item.entity_id for item in pages(client, Shelf, limit, filters=filters)} == rare


def test_query_limit_of_all_has_no_cursor_and_the_last_page_neither(client: StoreClient, paged: list[Paged]) -> None:
    for limit in (None, 20, 21, sys.maxsize, 10**30):
        page = client.query(Paged, limit=limit)
        assert (len(page), page.next_cursor) == (20, None)
    assert client.query(Paged, limit=19).next_cursor is not None


def test_query_default_limit_is_a_hundred(client: StoreClient) -> None:
    client.write_many([Position(label="hundred") for _ in range(101)])
    page = client.query(Position, {"label": "hundred"})
    assert len(page) == 100
    assert len(client.query(Position, {"label": "hundred"}, cursor=page.next_cursor)) == 1


@pytest.mark.parametrize("limit", [0, -1, True, False, 1.0, "10", "all", [1]])
def test_query_limit_that_is_no_positive_number_is_refused(client: StoreClient, limit: Any) -> None:
    with pytest.raises(InvalidFilter, match="limit"):
        client.query(Paged, limit=limit)


@pytest.mark.parametrize(
    ("order_by", "said"),
    [
        ("pirce", "did you mean 'price'"),
        ("-pirce", "did you mean 'price'"),
        ("--price", "no field"),
        ("price DESC", "no field"),
        ("price; DROP TABLE store.object_events", "no field"),
        ("", "no field"),
        ("-", "no field"),
        (5, "order_by"),
        (["price"], "order_by"),
    ],
)
def test_query_order_that_cannot_be_used_is_refused(client: StoreClient, order_by: Any, said: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        client.query(Paged, order_by=order_by)
    assert said in str(caught.value)


# ---- the present and the past


def test_query_pinned_by_tx_time_pages_through_one_snapshot(client: StoreClient) -> None:
    objects = [Position(label="pinned", quantity=number) for number in range(6)]
    client.write_many(objects)
    pinned = client.stable_time()
    query: dict[str, Any] = {"filters": {"label": "pinned"}, "order_by": "quantity", "tx_time": pinned, "limit": 2}
    first = client.query(Position, **query)
    objects[2].quantity = 100
    client.update(objects[2])
    client.delete(objects[3])
    client.write(Position(label="pinned", quantity=4))
    second = client.query(Position, cursor=first.next_cursor, **query)
    third = client.query(Position, cursor=second.next_cursor, **query)
    assert [item.quantity for page in (first, second, third) for item in page] == [0, 1, 2, 3, 4, 5]
    assert third.next_cursor is None


def test_query_at_a_valid_time_shows_only_what_was_there(client: StoreClient) -> None:
    early, late = Position(label="when", quantity=1), Position(label="when", quantity=2)
    client.write(early, valid_from=moment(1), valid_to=moment(20))
    client.write(late, valid_from=moment(10))
    quantities = [
        [
            item.quantity
            for item in client.query(Position, {"label": "when"}, order_by="quantity", valid_time=moment(day))
        ]
        for day in (0, 1, 10, 20)
    ]
    assert quantities == [[], [1], [1, 2], [2]]


def test_query_at_a_point_of_both_axes_shows_what_was_known_of_it(client: StoreClient) -> None:
    obj = Position(label="both", quantity=1)
    client.write(obj, valid_from=moment(1))
    known = obj.tx_time
    obj.quantity = 2
    client.update(obj, valid_from=moment(1))
    shown = [
        client.query(Position, {"label": "both"}, tx_time=tx_time, valid_time=moment(2))[0].quantity
        for tx_time in (known, None)
    ]
    assert shown == [1, 2]


def test_query_before_anything_was_recorded_is_empty(client: StoreClient, paged: list[Paged]) -> None:
    assert client.query(Paged, tx_time=moment(0)).items == []
    assert client.count(Paged, tx_time=moment(0)) == 0


def test_query_at_extreme_times_is_an_ordinary_question(client: StoreClient, paged: list[Paged]) -> None:
    for extreme, expected in ((datetime.min, 0), (datetime.max, 20)):
        at = extreme.replace(tzinfo=UTC)
        assert client.count(Paged, valid_time=at) == client.count(Paged, tx_time=at) == expected
    with pytest.raises(InvalidRange):
        client.query(Paged, tx_time="yesterday")  # type: ignore[arg-type]
