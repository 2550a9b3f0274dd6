"""Paging and querying while another process inserts and updates."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from reactive.expr import Const, Field
from store.client import StoreClient
from store.models import Trade
from tests.fix_children import Child, Children
from tests.fix_postgres import StoreDatabase
from tests.integration.workers.telling import start, told
from tests.waiting import wait_until

TRADES = 10_000
PAGE = 1_000
BUY = Field("side") == Const("BUY")


def trade(number: int, chance: random.Random) -> Trade:
    """Return one of the trades to page through: many ties in quantity, a third without strategy, half without date."""
    return Trade(
        symbol=chance.choice(["AAPL", "GOOG", "MSFT"]),
        quantity=1 + number % 97,
        price=chance.random(),
        side="BUY" if number % 2 else "SELL",
        book="volatile" if number % 10 == 0 else "stable",
        strategy=chance.choice([None, "arbitrage", "momentum"]),
        trade_date=date(2026, 1, 1) + timedelta(days=number % 31) if number % 4 < 2 else None,
    )


@pytest.fixture(scope="module")
def ten_thousand(module_store_db: StoreDatabase) -> dict[str, Trade]:
    """Return 10,000 trades by id, written by one call; the tenth of them in book `volatile` will change."""
    chance = random.Random(17)
    trades = [trade(number, chance) for number in range(TRADES)]
    ids = module_store_db.client().write_many(trades)
    return dict(zip(ids, trades, strict=True))


@pytest.fixture
def churner(module_store_db: StoreDatabase, ten_thousand: dict[str, Trade], children: Children) -> Child:
    """Return another process that inserts and updates all the time."""
    return start(children, "trade_churner", login=module_store_db.login("alice"), seed=5)


def await_change(churner: Child) -> None:
    """Wait until the other process has committed one more change."""
    before = len(told(churner, "changed"))
    wait_until(lambda: len(told(churner, "changed")) > before, message=lambda: churner.output)


def pages(client: StoreClient, churner: Child, limit: int = PAGE, **query: Any) -> Iterator[list[Trade]]:
    """Yield page after page; between two of them the other process commits at least one change."""
    cursor = None
    while True:
        await_change(churner)
        page = client.query(Trade, limit=limit, cursor=cursor, **query)
        yield page.items
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def sort_key(name: str, found: Trade) -> tuple[bool, Any]:
    value = getattr(found, name)
    return (value is None, value if value is not None else 0)


@pytest.mark.parametrize(
    "order_by",
    [
        None,
        "quantity",
        "-quantity",
        "-price",
        "strategy",
        "-strategy",
        "trade_date",
        "-trade_date",
        "tx_time",
        "-tx_time",
        "-symbol",
        "valid_to",
        "-entity_id",
    ],
)
def test_paging_while_another_process_writes_yields_each_stable_row_once(
    module_store_db: StoreDatabase, ten_thousand: dict[str, Trade], churner: Child, order_by: str | None
) -> None:
    found = [
        item
        for page in pages(module_store_db.client(), churner, order_by=order_by)
        for item in page
        if item.book == "stable"
    ]
    times = Counter(item.entity_id for item in found)
    stable = {entity_id for entity_id, item in ten_thousand.items() if item.book == "stable"}
    assert times.keys() == stable
    assert set(times.values()) == {1}
    if order_by is not None:
        name = order_by.removeprefix("-")
        present = [item for item in found if getattr(item, name) is not None]
        assert found[len(present) :] == [item for item in found if getattr(item, name) is None]
        values = [getattr(item, name) for item in present]
        assert values == sorted(values, reverse=order_by.startswith("-"))


@pytest.mark.parametrize(
    ("filters", "least"),
    [({"side": "BUY"}, 1), (BUY & (Field("quantity") > Const(50)), 51)],
    ids=["dict", "expression"],
)
def test_paging_with_a_filter_while_another_process_writes_yields_each_stable_match_once(
    module_store_db: StoreDatabase, ten_thousand: dict[str, Trade], churner: Child, filters: Any, least: int
) -> None:
    found = [
        item for page in pages(module_store_db.client(), churner, filters=filters, order_by="-price") for item in page
    ]
    assert {item.side for item in found} == {"BUY"}
    times = Counter(item.entity_id for item in found if item.book == "stable")
    stable = {
        entity_id
        for entity_id, item in ten_thousand.items()
        if item.book == "stable" and item.side == "BUY" and item.quantity >= least
    }
    assert times.keys() == stable
    assert set(times.values()) == {1}


def test_paging_with_tx_time_while_another_process_writes_yields_the_collection_of_that_time(
    module_store_db: StoreDatabase, ten_thousand: dict[str, Trade], churner: Child
) -> None:
    client = module_store_db.client()
    pinned = client.stable_time()
    whole = [(item.entity_id, item.version, item.quantity) for item in client.query(Trade, limit=None, tx_time=pinned)]
    found = pages(client, churner, 4_000, order_by="quantity", tx_time=pinned)
    paged = [(item.entity_id, item.version, item.quantity) for page in found for item in page]
    assert paged == sorted(whole, key=lambda item: (item[2], item[0]))
    assert len(whole) == client.count(Trade, tx_time=pinned) >= TRADES


@pytest.mark.parametrize("filters", [{"side": "BUY"}, {"side": ["BUY"]}, BUY], ids=["dict", "list", "expression"])
def test_query_while_matches_turn_into_others_never_returns_an_overtaken_version(
    store_db: StoreDatabase, children: Children, filters: Any
) -> None:
    client = store_db.client()
    queries = 0
    while queries <= 3:  # on a busy machine, trades may be turned faster than they are looked for
        client.write_many([Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY") for _ in range(600)])
        flipper = start(children, "side_flipper", login=store_db.login("alice"))
        while not told(flipper, "finished"):
            flipped = {fact["flipped"] for fact in told(flipper, "flipped")}
            found = client.query(Trade, filters, limit=None)
            queries += 1
            assert {item.side for item in found} <= {"BUY"}
            assert not flipped & {item.entity_id for item in found}
            assert client.count(Trade, filters) <= 600 - len(flipped)
        assert flipper.wait() == 0
    assert len(client.query(Trade, filters, limit=None)) == client.count(Trade, filters) == 0
