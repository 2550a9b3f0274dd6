"""From the events of a log to rows: what is delivered, once, and what a writer that fails gets again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pytest

from bridge import BridgeError
from bridge.errors import WriterFailed
from bridge.feed import Feed
from reactive.expr import Const, Field
from store.base import Storable
from store.models import Order
from tests.unit.feeds import AAPL, MOMENT, MSFT, event, recorded


def test_feed_event_becomes_a_row_of_fields_and_metadata() -> None:
    feed, recorder = recorded()
    feed.deliver([event(1, AAPL, version=2, kind="UPDATED", changes=["price", "quantity"])])
    (row,) = recorder.rows
    assert (row["symbol"], row["quantity"], row["price"]) == ("AAPL", 100, 229.5)
    assert (row["EntityId"], row["Version"], row["EventType"], row["State"]) == ("e1", 2, "UPDATED", "PENDING")
    assert (row["Owner"], row["UpdatedBy"], row["Changed"]) == ("alice", "bob", "price,quantity")
    assert row["TxTime"] == row["ValidFrom"] == int(MOMENT.timestamp()) * 10**9
    assert row["ValidTo"] is None
    assert (row["InRaw"], row["InLive"]) == (True, True)


def test_feed_rows_given_again_are_passed_over() -> None:
    feed, recorder = recorded()
    rows = [event(1, AAPL), event(2, AAPL, version=2)]
    feed.deliver(rows)
    feed.deliver([*rows, event(5, AAPL, version=3)])
    assert recorder.shown("Version") == [(1,), (2,), (3,)]
    assert feed.position.seq == 5


def test_feed_history_that_comes_into_view_twice_is_delivered_once() -> None:
    feed, recorder = recorded()
    first, second, third = event(1, AAPL), event(2, AAPL, version=2), event(8, AAPL, version=3)
    feed.deliver([event(5, MSFT, entity="e2")])
    feed.deliver([first._replace(granted_at=7), second._replace(granted_at=7), third])
    missed = event(11, AAPL, version=4)
    feed.deliver([row._replace(granted_at=20) for row in (first, second, third, missed)])
    assert recorder.shown("EntityId", "Version") == [("e2", 1), ("e1", 1), ("e1", 2), ("e1", 3), ("e1", 4)]
    assert feed.position == (19, 11)


def test_feed_backfilled_row_that_the_writer_refuses_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.feed.java_value", lambda kind, cell: cell)

    class Refusing:
        refuse = True

        def write_row(self, *values: Any) -> None:
            if self.refuse:
                raise ValueError("deliberate")

    writer = Refusing()
    feed, recorder = recorded(writer=writer)
    row = event(1, AAPL)._replace(granted_at=7)
    with pytest.raises(WriterFailed, match="the writer of Order does not take a row: ValueError: deliberate"):
        feed.deliver([row])
    writer.refuse = False
    feed.deliver([row])
    assert recorder.shown("Version") == [(1,)]


def test_feed_absent_object_is_an_event_with_null_fields_and_not_live() -> None:
    feed, recorder = recorded()
    feed.deliver([event(1, AAPL), event(2, None, version=2, kind="DELETED")])
    assert recorder.shown("symbol", "EventType", "InRaw", "InLive") == [
        ("AAPL", "CREATED", True, True),
        (None, "DELETED", True, False),
    ]


def test_feed_chosen_columns_leave_the_others_out() -> None:
    feed, recorder = recorded(columns=["symbol"])
    feed.deliver([event(1, AAPL)])
    assert "quantity" not in recorder.rows[0]
    assert recorder.shown("symbol", "EntityId") == [("AAPL", "e1")]


def test_feed_older_data_takes_former_names_and_defaults() -> None:
    @dataclass
    class Quote(Storable):
        symbol: str = field(default="", metadata={"former_names": ("name",)})
        bid: float = 1.5

    feed, recorder = recorded(Quote)
    feed.deliver([event(1, {"name": "AAPL"}), event(2, {"symbol": "MSFT", "bid": 2}, version=2)])
    assert recorder.shown("symbol", "bid") == [("AAPL", 1.5), ("MSFT", 2.0)]


def test_feed_value_without_a_place_is_null_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    feed, recorder = recorded()
    feed.deliver([event(1, AAPL | {"quantity": 2**63})])
    assert recorder.shown("symbol", "quantity", "price") == [("AAPL", None, 229.5)]
    assert "Order.quantity of e1 version 1 is shown as null" in caplog.text
    assert 'dh_type_override="BigInteger"' in caplog.text


def test_feed_values_without_a_place_by_the_thousand_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    feed, recorder = recorded()
    feed.deliver([event(number, AAPL | {"quantity": 2**63}, version=number) for number in range(1, 3001)])
    assert recorder.shown("quantity") == [(None,)] * 3000
    assert len(caplog.messages) < 30
    assert caplog.messages[-1].startswith("Order.quantity of e1 version 2048 is shown as null")
    assert caplog.messages[-1].endswith("(2,048 values of this column so far)")


def test_feed_validity_beyond_an_instant_is_null() -> None:
    feed, recorder = recorded()
    feed.deliver([event(1, AAPL, valid_to=datetime(9999, 1, 1, tzinfo=timezone.utc))])
    assert recorder.shown("symbol", "ValidTo") == [("AAPL", None)]


class OwnWriter:
    """A writer whose third row fails the first time."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.failing = True

    def write_row(self, *values: Any) -> None:
        if len(self.rows) == 2 and self.failing:
            self.failing = False
            raise OSError("disk full")
        self.rows.append(values)


def test_feed_own_writer_that_fails_gets_each_row_once_in_the_end() -> None:
    writer = OwnWriter()
    feed, recorder = recorded(columns=["symbol"], writer=writer)
    # Without a JVM there is no Instant to give to the writer.
    rows = [event(seq, AAPL, version=seq) for seq in (1, 2, 3, 4)]
    rows = [row._replace(metadata=row.metadata._replace(tx_time=None, valid_from=None)) for row in rows]
    with pytest.raises(WriterFailed, match="OSError: disk full"):
        feed.deliver(rows)
    feed.deliver(rows)
    assert [row[2] for row in writer.rows] == [1, 2, 3, 4]
    assert recorder.shown("Version") == [(1,), (2,), (3,), (4,)]


def test_feed_history_of_what_was_there_all_the_time_comes_again_and_is_delivered_once() -> None:
    feed, recorder = recorded()
    rows = [event(1, AAPL), event(2, AAPL, version=2)]
    feed.deliver(rows)
    feed.deliver([row._replace(granted_at=7) for row in rows])
    assert recorder.shown("Version") == [(1,), (2,)]


def test_feed_entity_that_is_withdrawn_leaves_the_live_table_and_comes_back_with_its_newest_event() -> None:
    feed, recorder = recorded(filter=Field("symbol") == Const("AAPL"))
    rows = [event(1, AAPL), event(2, AAPL, version=2)]
    feed.deliver([*rows, event(3, AAPL, entity="e2")])
    assert sorted(feed.view.readable()) == ["e1", "e2"]
    feed.withdraw(["e1"])
    assert feed.view.readable() == ["e2"]
    feed.deliver([row._replace(granted_at=7) for row in [*rows, event(5, AAPL, version=3)]])
    assert recorder.shown("EntityId", "Version", "InRaw", "InLive") == [
        ("e1", 1, True, True),
        ("e1", 2, True, True),
        ("e2", 1, True, True),
        ("e1", None, False, False),
        ("e1", 2, False, True),
        ("e1", 3, True, True),
    ]
    assert sorted(feed.view.readable()) == ["e1", "e2"]


def test_feed_log_that_is_read_again_brings_what_was_missed_and_what_was_withdrawn() -> None:
    feed, recorder = recorded()
    own = event(4, AAPL, entity="mine")
    own = own._replace(metadata=own.metadata._replace(owner="bridge_user"))
    seen = [event(1, AAPL), event(2, AAPL, version=2), event(3, MSFT, entity="e2"), own]
    feed.deliver(seen)
    feed.withdraw(["e1"])
    before = len(recorder.rows)
    feed.begin_again()
    missed = [event(5, MSFT, entity="e3"), event(6, AAPL, version=3)]
    feed.deliver([*seen, *missed])
    assert recorder.shown("EntityId", "Version", "InRaw", "InLive")[before:] == [
        ("e1", 2, False, True),
        ("e3", 1, True, True),
        ("e1", 3, True, True),
    ]
    assert feed.position.seq == 6


def test_feed_own_entities_and_those_of_a_replay_are_not_remembered() -> None:
    for reader in ("alice", None):
        feed, _ = recorded()
        feed.view.reader = reader
        feed.deliver([event(1, AAPL)])
        assert feed.view.readable() == []


def test_feed_deletion_that_the_writer_refuses_comes_again() -> None:
    class Refusing:
        refuse = False

        def __init__(self) -> None:
            self.rows: list[tuple[Any, ...]] = []

        def write_row(self, *values: Any) -> None:
            if self.refuse:
                raise OSError("deliberate")
            self.rows.append(values)

    writer = Refusing()
    feed, recorder = recorded(columns=["symbol"], filter=Field("symbol") == Const("AAPL"), writer=writer)
    created, deleted = event(1, AAPL), event(2, None, version=2, kind="DELETED")
    without_times = {"tx_time": None, "valid_from": None}
    rows = [row._replace(metadata=row.metadata._replace(**without_times)) for row in (created, deleted)]
    feed.deliver(rows[:1])
    writer.refuse = True
    with pytest.raises(WriterFailed, match="OSError: deliberate"):
        feed.deliver(rows[1:])
    writer.refuse = False
    feed.deliver(rows[1:])
    assert [row[2] for row in writer.rows] == [1, 2]
    assert recorder.shown("Version", "InLive") == [(1, True), (2, False)]


@pytest.mark.parametrize("columns", ["symbol", ["symbol", 3], [None]])
def test_feed_columns_that_are_no_list_of_names_are_refused(columns: Any) -> None:
    with pytest.raises(BridgeError, match="columns takes a list of names, not"):
        Feed(Order, columns=columns)


def test_feed_writer_without_write_row_is_refused() -> None:
    with pytest.raises(BridgeError, match="has no write_row: pass a DynamicTableWriter"):
        Feed(Order, writer=[])  # type: ignore[arg-type]
