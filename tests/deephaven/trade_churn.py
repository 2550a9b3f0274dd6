"""Trades that change in every way, and whether tables show what the store says of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from typing import Any

from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tests.fix_bridge import row_of, trade

# A row tells of the newest event, a query of the last one that holds now: a correction of the past is not it.
LIVE = [*(field.name for field in fields(Trade)), "EntityId", "Version", "State", "Owner"]
# One by one: more than these would make a round of checks slow.
CHECKED_EVENTS = 150


def churn(client: StoreClient, chance: random.Random) -> None:
    """Correct, bound, schedule and delete: what the steady writers do not do."""
    trades = [trade(price=float(number)) for number in range(20)]
    client.write_many(trades)
    now = datetime.now(timezone.utc)
    for one in trades:
        one.price += 100.0
        begins = now + timedelta(seconds=chance.uniform(-60.0, 3.0))
        if chance.random() < 0.2:
            client.delete(one, valid_from=begins, valid_to=begins + timedelta(seconds=chance.uniform(1.0, 100.0)))
        else:
            client.update(one, valid_from=begins, valid_to=begins + timedelta(seconds=chance.uniform(1.0, 100.0)))


def logged(server: ObjectStoreServer) -> list[tuple[str, int, datetime]]:
    with closing(server.admin_conn()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT entity_id::text, version, tx_time FROM store.object_events ORDER BY seq")
        found: list[tuple[str, int, datetime]] = cursor.fetchall()
        return found


def check_raw(found: Sequence[tuple[Any, ...]], server: ObjectStoreServer, client: StoreClient) -> None:
    """Compare rows of EntityId, Version, symbol and price with the log."""
    events = logged(server)
    assert [row[:2] for row in found] == [event[:2] for event in events]
    assert set(Counter(row[:2] for row in found).values()) == {1}
    chance = random.Random(len(events))
    for place in chance.sample(range(len(events)), min(CHECKED_EVENTS, len(events))):
        entity_id, _, tx_time = events[place]
        then = client.as_of(Trade, entity_id, tx_time=tx_time)
        assert found[place][2:] == ((None, None) if then is None else (then.symbol, then.price))


def check_live(found: Sequence[tuple[Any, ...]], client: StoreClient) -> None:
    """Compare the columns LIVE of the live table with what a query returns."""
    stored = [tuple(row_of(one)[name] for name in LIVE) for one in client.query(Trade, limit=None)]
    assert sorted(set(found) - set(stored), key=str) == sorted(set(stored) - set(found), key=str) == []
    assert len(found) == len(stored)
