from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from reactive.expr import Field
from store.client import StoreClient
from store.models import Trade
from tests.fix_bridge import Bridges, rows, trade
from tests.fix_postgres import StoreDatabase
from tests.waiting import in_time, wait_until

SECONDS = 120.0


def clear(client: StoreClient) -> None:
    """Delete what an attempt that came too late has left."""
    for one in client.query(Trade, limit=None):
        client.delete(one)


def book_and_schedule(client: StoreClient, due: datetime) -> Trade:
    """Return a trade at 150 that will be at 151, beside which there is none."""
    clear(client)
    booked = trade(price=150.0)
    client.write(booked)
    booked.price = 151.0
    client.update(booked, valid_from=due)
    return booked


def live(bridge: Any) -> list[Any]:
    found: list[Any] = rows(bridge.live(Trade), "symbol", "price", "Version")
    return sorted(found)


def test_bridge_scheduled_change_is_live_once_it_falls_due(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges(Trade).start()
    client = store_db.client()

    def schedule(due: datetime) -> Trade:
        booked = book_and_schedule(client, due)
        assert bridge.wait_current(SECONDS)
        assert live(bridge) == [("AAPL", 150.0, 2)]
        return booked

    _, booked = in_time(schedule, 1.0)
    wait_until(lambda: live(bridge) == [("AAPL", 151.0, 2)], SECONDS)
    assert bridge.table(Trade).where(f"EntityId == `{booked.entity_id}`").size == 2
    read = client.read(Trade, booked.entity_id or "")
    assert read is not None
    assert rows(bridge.live(Trade), "price", "EventType", "ValidFrom") == [
        (read.price, read.event_type, read.valid_from)
    ]


def test_bridge_bounded_change_and_deletion_end(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges(Trade).start()
    client = store_db.client()

    def bound(until: datetime) -> None:
        clear(client)
        changed, deleted = trade("AAPL", price=150.0), trade("MSFT", price=400.0)
        client.write_many([changed, deleted])
        changed.price = 151.0
        client.update(changed, valid_to=until)
        client.delete(deleted, valid_to=until)
        assert bridge.wait_current(SECONDS)
        assert live(bridge) == [("AAPL", 151.0, 2)]

    in_time(bound, 2.0)
    wait_until(lambda: live(bridge) == [("AAPL", 150.0, 2), ("MSFT", 400.0, 2)], SECONDS)


def test_bridge_started_after_changes_fell_due_shows_what_read_returns(
    bridges: Bridges, store_db: StoreDatabase
) -> None:
    client = store_db.client()

    def schedule(due: datetime) -> None:
        clear(client)
        booked = [trade("AAPL", price=float(number)) for number in range(1, 6)]
        client.write_many(booked)
        for one in booked:
            one.price += 100.0
            client.update(one, valid_from=due)
        client.write(trade("MSFT"), valid_to=due)
        client.write(trade("NVDA", price=900.0), valid_from=due)

    due, _ = in_time(schedule)
    wait_until(lambda: datetime.now(timezone.utc) > due, SECONDS)
    bridge = bridges(Trade).start()
    assert bridge.wait_current(SECONDS)
    expected = sorted((one.symbol, one.price, one.version) for one in client.query(Trade, limit=None))
    assert live(bridge) == expected
    assert len(expected) == 6


def test_bridge_several_changes_ahead_fall_due_one_after_the_other(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges(Trade).start()
    client = store_db.client()
    booked = trade(price=0.0)
    client.write(booked)
    start = datetime.now(timezone.utc) + timedelta(seconds=0.5)
    for number in range(1, 6):
        booked.price = float(number)
        client.update(booked, valid_from=start + timedelta(seconds=0.1 * number))
    seen: list[float] = []

    def last_is_due() -> bool:
        (price,) = rows(bridge.live(Trade), "price") or [None]
        if price is not None and price not in seen:
            seen.append(price)
        return bool(price == 5.0)

    wait_until(last_is_due, SECONDS)
    assert seen == sorted(seen)
    assert bridge.table(Trade).size == 6


def test_bridge_filter_holds_for_what_falls_due(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges()
    bridge.register(Trade, filter=Field("price") > 100.0)
    bridge.start()
    client = store_db.client()

    def schedule(due: datetime) -> None:
        clear(client)
        rising, falling = trade("AAPL", price=50.0), trade("MSFT", price=400.0)
        client.write_many([rising, falling])
        rising.price, falling.price = 150.0, 40.0
        client.update_many([rising, falling], valid_from=due)
        assert bridge.wait_current(SECONDS)
        assert rows(bridge.live(Trade), "symbol") == ["MSFT"]

    in_time(schedule, 1.0)
    wait_until(lambda: rows(bridge.live(Trade), "symbol", "price") == [("AAPL", 150.0)], SECONDS)


def test_bridge_stopped_meanwhile_shows_what_fell_due(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges(Trade)
    client = store_db.client()

    def schedule(due: datetime) -> None:
        with bridge:
            book_and_schedule(client, due)
            assert bridge.wait_current(SECONDS)

    due, _ = in_time(schedule, 1.0)
    wait_until(lambda: datetime.now(timezone.utc) > due, SECONDS)
    assert live(bridge) == [("AAPL", 150.0, 2)]
    bridge.start()
    assert bridge.wait_current(SECONDS)
    assert live(bridge) == [("AAPL", 151.0, 2)]
