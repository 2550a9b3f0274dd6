from __future__ import annotations

import math
import random
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from bridge import BridgeError, Replay
from reactive.expr import Field
from store.client import StoreClient
from store.errors import InvalidRange, RegistryError
from store.models import Order, Trade
from store.telemetry import observe
from tests.fix_bridge import Bridges, order, rows, trade
from tests.fix_postgres import StoreDatabase
from tests.waiting import in_time, wait_until

SECONDS = 120.0


def now() -> datetime:
    return datetime.now(timezone.utc)


def played(replay: Replay) -> list[Any]:
    found: list[Any] = rows(replay.live, "symbol", "price")
    return sorted(found)


def then(client: StoreClient, moment: datetime) -> list[tuple[str, float]]:
    """Return what a query returned at a moment."""
    found = client.query(Trade, limit=None, tx_time=moment)
    return sorted((one.symbol, one.price) for one in found)


def test_replay_stretch_has_its_events_and_begins_with_what_was_there(
    bridges: Bridges, store_db: StoreDatabase
) -> None:
    client = store_db.client()
    before, deleted = trade("AAPL", price=1.0), trade("MSFT", price=2.0)
    client.write_many([before, deleted])
    client.delete(deleted)
    start = now()
    before.price = 3.0
    client.update(before)
    client.write(trade("NVDA", price=4.0))
    end = now()
    before.price = 5.0
    client.update(before)
    with bridges().replay(Trade, start, end, speed=math.inf) as replay:
        assert replay.wait(SECONDS)
        assert rows(replay.table, "symbol", "price", "EventType") == [
            ("AAPL", 3.0, "UPDATED"),
            ("NVDA", 4.0, "CREATED"),
        ]
        assert played(replay) == [("AAPL", 3.0), ("NVDA", 4.0)] == then(client, end)


def test_replay_shows_scheduled_changes_at_their_moment(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()

    def schedule(due: datetime) -> datetime:
        for earlier in client.query(Trade):
            client.delete(earlier)
        first, second = trade("AAPL", price=1.0), trade("MSFT", price=10.0)
        client.write_many([first, second])
        first.price = 2.0
        client.update(first, valid_from=due)  # known before the stretch begins
        start = now()
        second.price = 20.0
        client.update(second, valid_from=due + timedelta(seconds=0.1), valid_to=due + timedelta(seconds=0.2))
        return start

    due, start = in_time(schedule)
    wait_until(lambda: now() > due + timedelta(seconds=0.3), SECONDS)
    moments = [due + timedelta(seconds=0.05 + 0.1 * number) for number in range(3)]
    for moment, expected in zip(moments, ([2.0, 10.0], [2.0, 20.0], [2.0, 10.0]), strict=True):
        with bridges().replay(Trade, start, moment, speed=math.inf) as replay:
            assert replay.wait(SECONDS)
            assert [price for _, price in played(replay)] == expected
            assert played(replay) == then(client, moment - timedelta(microseconds=1))
            assert replay.table.size == 1


def test_replay_of_random_stretches_ends_with_what_a_query_returned_then(
    bridges: Bridges, store_db: StoreDatabase
) -> None:
    chance = random.Random(20)
    client = store_db.client()
    moments = [now()]
    trades: list[Trade] = []
    for _ in range(120):
        kind = chance.random()
        if kind < 0.3 or not trades:
            trades.append(trade(chance.choice(["AAPL", "MSFT"]), price=float(chance.randrange(1, 1000))))
            client.write(trades[-1], valid_from=now() + timedelta(seconds=chance.uniform(-0.5, 0.1)))
        elif kind < 0.9:
            one = chance.choice(trades)
            one.price = float(chance.randrange(1, 1000))
            begins = now() + timedelta(seconds=chance.uniform(-0.3, 0.3))
            client.update(one, valid_from=begins, valid_to=begins + timedelta(seconds=chance.uniform(0.01, 0.3)))
        else:
            client.delete(trades.pop(chance.randrange(len(trades))))
        moments.append(now())
    wait_until(lambda: client.stable_time() > moments[-1] + timedelta(seconds=0.5), SECONDS)
    for _ in range(6):
        start, end = sorted(chance.sample(moments, 2))
        with bridges().replay(Trade, start, end, speed=math.inf) as replay:
            assert replay.wait(SECONDS)
            assert played(replay) == then(client, end - timedelta(microseconds=1))


def test_replay_from_the_beginning_of_time_at_any_speed_plays_everything(
    bridges: Bridges, store_db: StoreDatabase
) -> None:
    client = store_db.client()
    deleted = trade("MSFT")
    client.write_many([trade("AAPL"), deleted])
    client.delete(deleted)
    begin, end = (moment.replace(tzinfo=timezone.utc) for moment in (datetime.min, datetime.max))
    for speed in (math.inf, 1e308, 10**400):
        with bridges().replay(Trade, begin, end, speed=speed) as replay:
            assert replay.wait(math.inf)
            assert rows(replay.table, "symbol", "EventType") == [
                ("AAPL", "CREATED"),
                ("MSFT", "CREATED"),
                (None, "DELETED"),
            ]
            assert rows(replay.live, "symbol") == ["AAPL"]


def test_replay_keeps_the_pace(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()
    start = now()
    client.write(order("AAPL"))
    wait_until(lambda: now() > start + timedelta(seconds=2), SECONDS)
    client.write(order("MSFT"))
    began = time.monotonic()
    with bridges().replay(Order, start, None, speed=2.0) as replay:
        wait_until(lambda: rows(replay.table, "symbol") == ["AAPL", "MSFT"], SECONDS)
        assert time.monotonic() - began >= 1.0
        assert replay.wait(SECONDS)
        assert replay.moment == replay.end


def test_replay_of_more_than_one_page_is_whole_and_in_order(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()
    start = now()
    orders = [order(quantity=number) for number in range(1, 4_501)]
    client.write_many(orders)
    client.write(trade())
    with bridges().replay(Order, start, speed=math.inf, filter=Field("quantity") > 10, columns=["quantity"]) as replay:
        assert replay.wait(SECONDS)
        assert rows(replay.table, "quantity") == list(range(11, 4_501))


def test_replay_shows_only_what_its_user_may_read(bridges: Bridges, store_db: StoreDatabase) -> None:
    start = now()
    store_db.client("alice").write(order("AAPL"))
    store_db.client("bob").write(order("MSFT"))
    with bridges(user="bob").replay(Order, start, speed=math.inf) as replay:
        assert replay.wait(SECONDS)
        assert rows(replay.table, "symbol") == ["MSFT"]


def test_replay_stopped_half_way_keeps_its_rows(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()
    start = now()
    client.write(order("AAPL"))
    written = now()
    with bridges().replay(Order, start, written + timedelta(microseconds=1), speed=1e-3) as replay:
        assert replay.moment < replay.end
    assert not replay.wait(0)
    assert replay.table.size == 0


def test_replay_misuse_is_an_error_that_says_what_to_do(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge, start = bridges(), now()
    with pytest.raises(InvalidRange, match=r"start=.* has no time zone"):
        bridge.replay(Order, start.replace(tzinfo=None))
    with pytest.raises(BridgeError, match="is empty"):
        bridge.replay(Order, start, start)
    with pytest.raises(BridgeError, match="is empty"):
        bridge.replay(Order, start + timedelta(days=1))
    for speed in (0.0, -1.0, math.nan, "fast", True):
        with pytest.raises(BridgeError, match="speed="):
            bridge.replay(Order, start, speed=speed)  # type: ignore[arg-type]
    with pytest.raises(RegistryError, match="int is no Storable"):
        bridge.replay(int, start)  # type: ignore[type-var]
    with pytest.raises(BridgeError, match="no field 'symbl'; did you mean 'symbol'"):
        bridge.replay(Order, start, columns=["symbl"])


def test_bridge_figures_say_how_far_it_is(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()
    bridge = bridges(Order, Trade)
    with pytest.raises(BridgeError, match="call start"):
        bridge.lag()
    bridge.start()
    orders = [order() for _ in range(50)]
    client.write_many(orders)
    orders[0].quantity += 1
    client.update(orders[0], valid_from=now() + timedelta(hours=1))
    assert bridge.wait_current(SECONDS)
    assert bridge.lag() == (0, 0.0)
    stats = bridge.stats()
    assert (stats["Order"].events, stats["Order"].scheduled, stats["Order"].waiting) == (51, 1, 0)
    assert stats["Order"].events_per_second > 0
    assert 0 < stats["Order"].delay_seconds < SECONDS
    assert stats["Trade"] == (0, 0.0, 0.0, 0, 0, None)
    reader = InMemoryMetricReader()
    observe(bridge, provider=MeterProvider([reader]))
    data = reader.get_metrics_data()
    assert data is not None
    metrics = {metric.name: metric.data.data_points for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    assert {(point.attributes["type"], point.value) for point in metrics["bridge.events"]} == {
        ("Order", 51),
        ("Trade", 0),
    }
    assert [point.value for point in metrics["bridge.lag.events"]] == [0]
    reader.shutdown()
