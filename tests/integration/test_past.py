"""The desk at any point of both time axes, over a real store."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from server.past import audit_rows, differences, positions_at, trades_at
from server.positions import PositionBook, execution_of
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
