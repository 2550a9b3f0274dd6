"""Queries: order over every type, pages, and cursors that fit their own query only."""

from __future__ import annotations

import base64
import itertools
import json
import random
import sys
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from reactive.expr import Const, Field
from store.base import Storable
from store.client import QueryResult, StoreClient
from store.errors import InvalidFilter, InvalidRange
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import UTC, Everything, Position, Side, Urgency, moment

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


@pytest.fixture(scope="module")
def client(module_store_db: StoreDatabase) -> StoreClient:
    return module_store_db.client()


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


# ---- cursors


def test_cursor_of_another_query_is_refused(client: StoreClient, paged: list[Paged]) -> None:
    known = client.stable_time()
    mine: dict[str, Any] = {"filters": {"label": "l1"}, "order_by": "price"}
    cursor = client.query(Paged, limit=2, **mine).next_cursor
    others: list[dict[str, Any]] = [
        {**mine, "filters": {"label": "l0"}},
        {**mine, "filters": None},
        {**mine, "filters": {"label": "l1", "quantity": 1}},
        {**mine, "filters": Field("label") != Const("l1")},
        {**mine, "order_by": "-price"},
        {**mine, "order_by": "quantity"},
        {**mine, "order_by": None},
        {**mine, "tx_time": known},
        {**mine, "valid_time": known},
    ]
    for other in others:
        with pytest.raises(InvalidFilter, match="another query"):
            client.query(Paged, cursor=cursor, **other)
    with pytest.raises(InvalidFilter, match="another query"):
        client.query(Position, cursor=cursor, **mine)


def test_cursor_fits_its_query_in_other_words_and_with_another_limit(client: StoreClient, paged: list[Paged]) -> None:
    def rest(first: Any, then: Any) -> int:
        page = client.query(Paged, first, limit=3)
        return len(client.query(Paged, then, limit=None, cursor=page.next_cursor))

    assert rest({"label": "l1", "symbol": "AAPL"}, {"symbol": "AAPL", "label": "l1"}) == 7
    assert rest({"price": [1, 2, 3, 4]}, {"price": [1.0, 2.0, 3.0, 4.0]}) == 1
    assert rest({"label": {"l0", "l1", "l2", "l3"}}, {"label": {"l3", "l2", "l1", "l0"}}) == 17
    assert rest(Field("price") >= 0, Field("price") >= 0) == 17


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        " ",
        "x",
        "not a cursor",
        "'; DROP TABLE store.object_events; --",
        "0' OR '1'='1",
        "\x00",
        "\u2603" * 4,
        5,
        b"\xff",
        ["x"],
        base64.urlsafe_b64encode(b"[]").decode(),
        base64.urlsafe_b64encode(b"{}").decode(),
        base64.urlsafe_b64encode(b"5").decode(),
        base64.urlsafe_b64encode(b'["a", "b", "c"]').decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
    ids=range(17),
)
def test_cursor_that_is_none_is_refused(client: StoreClient, paged: list[Paged], cursor: Any) -> None:
    with pytest.raises(InvalidFilter, match="cursor"):
        client.query(Paged, cursor=cursor)


@pytest.mark.parametrize(
    "position",
    [
        ["0'; DROP TABLE store.object_events; --", "01a203e8-bf2d-789d-a66b-d2d271e029e5"],
        [None, "0' OR '1'='1"],
        [{"a": 1}, "01a203e8-bf2d-789d-a66b-d2d271e029e5"],
        [["a"], "01a203e8-bf2d-789d-a66b-d2d271e029e5"],
        [5, "01a203e8-bf2d-789d-a66b-d2d271e029e5"],
        ["5\x00", "01a203e8-bf2d-789d-a66b-d2d271e029e5"],
        ["5", 7],
        ["5", None],
    ],
)
def test_cursor_with_a_forged_position_is_refused(client: StoreClient, paged: list[Paged], position: list[Any]) -> None:
    cursor = client.query(Paged, order_by="quantity", limit=2).next_cursor
    assert cursor is not None
    seal = json.loads(base64.urlsafe_b64decode(cursor))[0]
    forged = base64.urlsafe_b64encode(json.dumps([seal, *position]).encode()).decode()
    with pytest.raises(InvalidFilter, match="cursor"):
        client.query(Paged, order_by="quantity", cursor=forged)
    assert client.count(Paged) == 20


def test_cursor_of_another_user_shows_nothing_but_ones_own(module_store_db: StoreDatabase, client: StoreClient) -> None:
    bob = module_store_db.client("bob")
    client.write_many([Position(label="private") for _ in range(5)])
    cursor = client.query(Position, {"label": "private"}, limit=2).next_cursor
    assert bob.query(Position, {"label": "private"}, cursor=cursor).items == []


# ---- the result


def test_query_result_is_a_sequence(client: StoreClient, paged: list[Paged]) -> None:
    page = client.query(Paged, limit=5, order_by="price")
    assert isinstance(page, QueryResult)
    assert len(page) == 5 and bool(page)
    assert [item.price for item in page] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert (page[0].price, page[-1].price) == (0.0, 4.0)
    assert [item.price for item in page[1:3]] == [1.0, 2.0]
    assert [item.price for item in reversed(page)] == [4.0, 3.0, 2.0, 1.0, 0.0]
    assert page[2] in page and page.index(page[2]) == 2
    assert page.items == list(page)
    with pytest.raises(IndexError):
        page[5]


def test_query_result_that_is_empty_is_false(client: StoreClient) -> None:
    page = client.query(Paged, {"label": "nowhere"})
    assert not page and len(page) == 0 and list(page) == [] and page.next_cursor is None


def test_query_result_names_count_and_more_in_its_repr(client: StoreClient, paged: list[Paged]) -> None:
    assert repr(client.query(Paged, limit=5)) == "<QueryResult: 5 Paged, more to come>"
    assert repr(client.query(Paged)) == "<QueryResult: 20 Paged>"


def test_query_results_can_be_updated_at_once(client: StoreClient) -> None:
    client.write_many([Position(label="batch") for _ in range(3)])
    page = client.query(Position, {"label": "batch"})
    for item in page:
        item.quantity = 7
    client.update_many(page)
    assert client.count(Position, {"label": "batch", "quantity": 7}) == 3
