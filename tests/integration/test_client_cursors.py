"""Cursors that fit their own query only, and the results that carry them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import pytest

from reactive.expr import Const, Field
from store.base import Storable
from store.client import QueryResult, StoreClient
from store.errors import InvalidFilter
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import Position

pytestmark = pytest.mark.both_servers


@dataclass
class Paged(Storable):
    """Of which this module alone writes, with many ties."""

    symbol: str = "AAPL"
    quantity: int = 0
    price: float = 0.0
    label: str | None = None


@pytest.fixture(scope="module")
def paged(client: StoreClient) -> list[Paged]:
    objects = [Paged(quantity=number % 3, price=float(number), label=f"l{number % 2}") for number in range(20)]
    client.write_many(objects)
    return objects


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
