"""The desk at any point of both time axes, over a real store."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta, timezone

import pytest

from server.dashboards.past import look_at, moment
from server.past import audit_rows, differences, positions_at, trades_at
from server.positions import PositionBook, execution_of
from store.client import StoreClient
from store.errors import StoreError
from store.models import Trade
from tests.fix_bridge import trade
from tests.fix_postgres import StoreDatabase

HOUR = timedelta(hours=1)


def held(rows: list) -> dict[tuple[str | None, str], tuple[int, float, float]]:
    return {(row.book, row.symbol): (row.quantity, row.avg_cost, row.realized_pnl) for row in rows}


def test_positions_at_shows_a_correction_only_from_its_recording_on(store_db: StoreDatabase) -> None:
    client = store_db.client()
    nine = datetime.now(timezone.utc) - 5 * HOUR
    first, second = trade(price=100.0, book="A"), trade(price=110.0, side="SELL", quantity=40, book="A")
    client.write(first, valid_from=nine)
    client.write(second, valid_from=nine + HOUR)
    before = client.stable_time()
    first.price = 90.0
    client.update(first, valid_from=nine)
    late = trade(price=80.0, book="A")
    client.write(late, valid_from=nine - HOUR)

    assert held(positions_at(client, tx_time=before)) == {("A", "AAPL"): (60, 100.0, 400.0)}
    assert held(positions_at(client)) == {("A", "AAPL"): (160, 85.0, 1000.0)}
    assert held(positions_at(client, before, nine + HOUR / 2)) == {("A", "AAPL"): (100, 100.0, 0.0)}
    assert held(positions_at(client, valid_time=nine - HOUR / 2)) == {("A", "AAPL"): (100, 80.0, 0.0)}
    assert positions_at(client, valid_time=nine - 2 * HOUR) == []

    (row,) = differences(positions_at(client, tx_time=before), positions_at(client))
    assert (row.quantity_then, row.quantity_now, row.quantity_change, row.changed) == (60, 160, 100, True)
    assert (row.realized_pnl_change, row.avg_cost_then, row.avg_cost_now) == (600.0, 100.0, 85.0)

    assert [found.price for found in trades_at(client, book="A", symbol="AAPL")] == [80.0, 90.0, 110.0]
    assert [found.price for found in trades_at(client, tx_time=before)] == [100.0, 110.0]
    assert trades_at(client, book="B") == []
    created, corrected = audit_rows(client, str(first.entity_id))
    assert (created.event_type, corrected.event_type) == ("CREATED", "CORRECTED")
    assert corrected.changes == "price: 100.0 -> 90.0"
    assert (corrected.updated_by, corrected.valid_from) == ("alice", nine)


def test_audit_rows_tell_what_is_not_set_from_every_text(store_db: StoreDatabase) -> None:
    bob = store_db.client("bob")
    bought = trade(account="-", strategy="not set", counterparty="A, B -> C")
    bob.write(bought)
    bought.book, bought.account, bought.trader_name = "EQ-US", None, 'Ann "A" Lee'
    bob.update(bought)
    created, updated = audit_rows(bob, str(bought.entity_id))
    assert "book" not in created.changes
    assert 'account: not set -> -, counterparty: not set -> "A, B -> C"' in created.changes
    assert 'strategy: not set -> "not set"' in created.changes
    assert 'trader_name: not set -> ""' in created.changes
    assert updated.changes == ('account: - -> not set, book: not set -> EQ-US, trader_name: "" -> "Ann \\"A\\" Lee"')


def test_positions_at_without_times_is_what_following_each_trade_comes_to(store_db: StoreDatabase) -> None:
    client = store_db.client()
    book = PositionBook()
    trades = [
        trade("AAPL" if n % 3 else "MSFT", side="BUY" if n % 4 else "SELL", price=50.0 + n, book="A") for n in range(20)
    ]
    client.write_many(trades)
    for number, found in enumerate(trades):
        book.put(str(found.entity_id), execution_of(found))
        if number % 5 == 0:
            found.price += 1.0
            client.update(found)
            book.put(str(found.entity_id), execution_of(found))
        elif number % 7 == 0:
            client.delete(found)
            book.put(str(found.entity_id), None)
    assert held(positions_at(client)) == {
        (key.book, key.contract.name): holding[:3] for key, holding in book.holdings().items()
    }


def test_positions_at_counts_only_what_the_user_may_read(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client(), store_db.client("bob")
    alice.write(trade(book="A"))
    shared = trade(book="B")
    alice.write(shared)
    from store.permissions import share_read

    share_read(alice.conn, str(shared.entity_id), "bob")
    assert [row.book for row in positions_at(bob)] == ["B"]
    assert audit_rows(bob, str(alice.query(Trade, {"book": "A"})[0].entity_id)) == []
    grant = audit_rows(alice, str(shared.entity_id))[-1]
    assert grant.event_type == "SHARED"
    assert "bob" in grant.changes


def test_positions_at_a_time_without_zone_is_refused_with_the_corrected_call(store_db: StoreDatabase) -> None:
    with pytest.raises(StoreError, match="time zone"):
        positions_at(store_db.client(), tx_time=datetime(2026, 3, 2))


def test_differences_show_what_is_there_at_one_point_only(store_db: StoreDatabase) -> None:
    client = store_db.client()
    gone = trade(book="A")
    client.write(gone)
    before = positions_at(client)
    client.delete(gone)
    client.write(trade(book=None))
    rows = differences(before, positions_at(client))
    assert [(row.book, row.quantity_then, row.quantity_now, row.changed) for row in rows] == [
        (None, 0, 100, True),
        ("A", 100, 0, True),
    ]
    assert not any(row.changed for row in differences(before, before))


def naive_positions(trades: list[Trade]) -> dict[tuple[str | None, str], tuple[int, float, float]]:
    """Work positions out from trades, lot after lot, in the plainest way: no code is shared with the server."""
    held: dict[tuple[str | None, str], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for one in sorted(trades, key=lambda found: (found.timestamp or found.valid_from, found.entity_id)):
        position = held[one.book, one.symbol]
        sign = 1 if one.side == "BUY" else -1
        for _ in range(one.quantity):
            quantity, cost, realized = position
            if quantity * sign >= 0:
                position[:] = [quantity + sign, (abs(quantity) * cost + one.price) / (abs(quantity) + 1), realized]
            else:
                left = quantity + sign
                position[:] = [left, cost if left else 0.0, realized + (cost - one.price) * sign]
    return {key: (int(quantity), cost, realized) for key, (quantity, cost, realized) in held.items()}


def changed_at_random(client: StoreClient, chance: random.Random, changes: int) -> tuple[list[str], list[datetime]]:
    """Make trades, correct, schedule, bound and delete them; return their ids, and moments in between."""
    start = datetime.now(timezone.utc)
    made: list[Trade] = []
    ids, moments = [], [client.stable_time()]
    for number in range(changes):
        begins = start + chance.uniform(-10, 3) * HOUR
        ends = chance.choice([None, begins + chance.uniform(0.1, 6) * HOUR])
        kind = chance.random() if made else 0.0
        one = chance.choice(made) if made else trade()
        if kind < 0.4:
            one = trade(chance.choice(["AAPL", "MSFT"]), quantity=chance.randrange(1, 9), price=float(number), book="A")
            one.side, one.timestamp = chance.choice(["BUY", "SELL"]), chance.choice([None, begins - HOUR])
            ids.append(client.write(one, valid_from=begins, valid_to=ends))
            made.append(one)
        elif kind < 0.9:
            one.price, one.quantity = float(number), chance.randrange(1, 9)
            one.book = chance.choice(["A", "B", None])
            client.update(one, valid_from=begins, valid_to=ends)
        else:
            client.delete(made.pop(made.index(one)), valid_from=begins)
        moments.append(client.stable_time())
    return ids, moments


@pytest.mark.parametrize("seed", range(3))
def test_positions_at_any_point_are_those_of_each_trade_as_of_then(store_db: StoreDatabase, seed: int) -> None:
    client, chance = store_db.client(), random.Random(seed)
    ids, moments = changed_at_random(client, chance, 60)
    early, late = moments[0] - timedelta(days=4000), moments[-1] + timedelta(days=4000)
    known = [None, early, late, *chance.sample(moments, 6)]
    valid = [None, early, late, *(moments[0] + chance.uniform(-12, 5) * HOUR for _ in range(4))]
    seen = set()
    for tx_time in known:
        for valid_time in valid:
            if tx_time is None and valid_time is None:
                continue  # now, which goes on between two questions
            each = [client.as_of(Trade, one, tx_time=tx_time, valid_time=valid_time) for one in ids]
            there = [one for one in each if one is not None]
            expected = {key: pytest.approx(figures) for key, figures in naive_positions(there).items()}
            look = look_at(client, tx_time, valid_time)
            assert {(row[0], row[1]): (row[3], row[4], row[5]) for row in look.positions} == expected
            assert held(positions_at(client, tx_time, valid_time)) == expected
            listed = {(row[-1], row[3], row[4], row[0], row[6]) for row in look.trades}
            assert listed == {(one.entity_id, one.quantity, one.price, one.book, one.version) for one in there}
            queried = client.query(Trade, limit=None, tx_time=tx_time, valid_time=valid_time)
            assert {one.entity_id for one in queried} == {one.entity_id for one in there}
            seen.add(len(there))
    assert len(seen) > 5
    assert 0 in seen


def test_look_at_a_moment_typed_in_another_zone_is_the_same_look(store_db: StoreDatabase) -> None:
    client = store_db.client()
    client.write(trade(book="A"))
    then = client.stable_time()
    client.write(trade(book="B"))
    zone = timezone(timedelta(hours=5, minutes=30))
    typed = then.astimezone(zone).isoformat(" ")
    assert typed.endswith("+05:30")
    assert [row[0] for row in look_at(client, moment(typed), None).positions] == ["A"]
    assert [row[0] for row in look_at(client, moment("9999-12-31 23:59:59.999999"), None).positions] == ["A", "B"]
    assert look_at(client, moment("0001-01-01"), None).positions == []
    assert look_at(client, None, moment("0001-01-01")).positions == []
