from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pytest

from bridge import BridgeError
from bridge.errors import WriterFailed
from bridge.feed import Feed
from bridge.type_mapping import column_types
from reactive.expr import Const, Field
from store.base import Metadata, Storable
from store.models import Order
from store.subscriptions import LogRow

MOMENT = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)
AAPL = {"symbol": "AAPL", "quantity": 100, "price": 229.5, "side": "BUY"}
MSFT = AAPL | {"symbol": "MSFT"}


class Recorder:
    """Takes rows as the publisher does, and gives them back by column."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = [*columns, "InRaw", "InLive"]
        self.rows: list[dict[str, Any]] = []

    def write_cells(self, rows: Sequence[Sequence[Any]]) -> None:
        self.rows += [dict(zip(self.columns, row, strict=True)) for row in rows]

    def shown(self, *columns: str) -> list[tuple[Any, ...]]:
        return [tuple(row[column] for column in columns) for row in self.rows]


def recorded(cls: type[Storable] = Order, **options: Any) -> tuple[Feed, Recorder]:
    feed = Feed(cls, **options)
    recorder = Recorder(list(column_types(cls, options.get("columns"))))
    feed._publisher = recorder  # type: ignore[assignment]
    feed.view.reader = "bridge_user"
    return feed, recorder


def event(
    seq: int,
    data: Mapping[str, Any] | None,
    *,
    entity: str = "e1",
    version: int = 1,
    kind: str = "CREATED",
    changes: Sequence[str] = (),
    valid_to: datetime | None = None,
) -> LogRow:
    metadata = Metadata(entity, version, "alice", "bob", MOMENT, MOMENT, valid_to, "PENDING", kind)
    return LogRow(seq, "Order", metadata, dict.fromkeys(changes), None if data is None else dict(data))


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


def test_feed_filter_shows_only_what_matches() -> None:
    feed, recorder = recorded(filter=Field("symbol") == Const("AAPL"))
    feed.deliver([event(1, AAPL), event(2, MSFT, entity="e2"), event(3, None, entity="e3", kind="DELETED")])
    assert recorder.shown("EntityId") == [("e1",)]


def test_feed_entity_that_stops_matching_leaves_the_live_table_only() -> None:
    feed, recorder = recorded(filter=Field("symbol") == Const("AAPL"))
    feed.deliver([event(1, AAPL), event(2, MSFT, version=2), event(3, MSFT, version=3), event(4, AAPL, version=4)])
    assert recorder.shown("Version", "InRaw", "InLive") == [(1, True, True), (2, False, False), (4, True, True)]


def test_feed_deletion_of_a_matching_entity_is_shown() -> None:
    feed, recorder = recorded(filter=Field("symbol") == Const("AAPL"))
    feed.deliver([event(1, AAPL), event(2, None, version=2, kind="DELETED"), event(3, None, version=3, kind="DELETED")])
    assert recorder.shown("Version", "InRaw", "InLive") == [(1, True, True), (2, True, False)]


def test_feed_filter_over_a_missing_value_does_not_match() -> None:
    feed, recorder = recorded(filter=Field("book") == Const("EQ"))
    feed.deliver([event(1, AAPL)])
    assert recorder.rows == []


def test_feed_filter_with_an_unknown_field_suggests_the_nearest() -> None:
    with pytest.raises(BridgeError, match="'symbl', which Order does not have; did you mean 'symbol'"):
        Feed(Order, filter=Field("symbl") == Const("AAPL"))


def test_feed_older_data_takes_former_names_and_defaults() -> None:
    @dataclass
    class Quote(Storable):
        symbol: str = field(default="", metadata={"former_names": ("name",)})
        bid: float = 1.5

    feed, recorder = recorded(Quote)
    feed.deliver([event(1, {"name": "AAPL"}), event(2, {"symbol": "MSFT", "bid": 2}, version=2)])
    assert recorder.shown("symbol", "bid") == [("AAPL", 1.5), ("MSFT", 2.0)]


def test_feed_filter_reads_former_names_and_defaults_too() -> None:
    @dataclass
    class Quote(Storable):
        symbol: str = field(default="", metadata={"former_names": ("name",)})
        bid: float = 1.5

    feed, recorder = recorded(Quote, filter=(Field("symbol") == Const("AAPL")) & (Field("bid") == Const(1.5)))
    feed.deliver([event(1, {"name": "AAPL"})])
    assert recorder.shown("symbol") == [("AAPL",)]


def test_feed_value_without_a_place_is_null_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    feed, recorder = recorded()
    feed.deliver([event(1, AAPL | {"quantity": 2**63})])
    assert recorder.shown("symbol", "quantity", "price") == [("AAPL", None, 229.5)]
    assert "Order.quantity of e1 version 1 is shown as null" in caplog.text
    assert 'dh_type_override="BigInteger"' in caplog.text


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


@dataclass
class Valued(Storable):
    """A holding, with what is computed of it."""

    symbol: str = ""
    quantity: int = 0
    avg_cost: float | None = None
    side: str = ""


Valued.expressions = {  # type: ignore[attr-defined]
    "value": Field("avg_cost") * Field("quantity"),
    "large": Field("value") > 20_000,
    "title": Field("symbol").concat(" ", Field("side")),
    "letters": Field("symbol").length(),
    "side": Const("the field of this name comes first"),
    "mixed": Field("symbol") * 2,
    "circle": Field("circle"),
}
HELD = {"symbol": "AAPL", "quantity": 100, "avg_cost": 229.5, "side": "BUY"}


def test_feed_named_expressions_are_columns_where_they_are_asked_for() -> None:
    assert not column_types(Valued).keys() & {"value", "large", "title", "letters"}
    columns = ["large", "side", "symbol", "value", "title", "letters", "Version"]
    types = column_types(Valued, columns)
    assert list(types)[:6] == ["symbol", "side", "large", "value", "title", "letters"]
    assert [types[name] for name in ("large", "value", "title", "letters")] == ["bool", "double", "string", "long"]
    feed, recorder = recorded(Valued, columns=columns)
    feed.deliver([event(1, HELD), event(2, HELD | {"avg_cost": None, "symbol": "é\U0001d538"}), event(3, None)])
    assert recorder.shown("large", "value", "title", "letters", "side") == [
        (True, 22950.0, "AAPL BUY", 4, "BUY"),
        (None, None, "é\U0001d538 BUY", 2, "BUY"),
        (None, None, None, None, None),
    ]


def test_feed_named_expression_that_fails_on_an_event_is_null_there_and_said_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed, recorder = recorded(Valued, columns=["symbol", "value"])
    feed.deliver([event(1, HELD | {"avg_cost": "much"}), event(2, HELD | {"avg_cost": 1e300, "quantity": 10**10})])
    assert recorder.shown("symbol", "value") == [("AAPL", None), ("AAPL", None)]
    assert "Valued.value of e1 version 1 is shown as null" in caplog.text


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["valeu"], r"Valued has no field 'valeu'; did you mean 'value'\?"),
        (["entity_id"], r"Valued has no field 'entity_id'; did you mean 'EntityId'\?"),
        (["mixed"], "Valued.mixed: .* takes numbers, but .* is str"),
        (["circle"], "Valued.circle: cyclic dependency"),
    ],
)
def test_feed_named_expression_that_cannot_be_a_column_is_refused(columns: list[str], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        Feed(Valued, columns=columns)


def test_feed_expression_with_the_name_of_a_metadata_column_is_refused() -> None:
    @dataclass
    class Clashing(Storable):
        quantity: int = 0

    Clashing.expressions = {"Version": Field("quantity") * 2}  # type: ignore[attr-defined]
    assert "Version" in column_types(Clashing)
    with pytest.raises(BridgeError, match="the expression 'Version' has the name of a metadata column: rename it"):
        Feed(Clashing, columns=["quantity", "Version"])


def test_feed_filter_reads_named_expressions() -> None:
    feed, recorder = recorded(Valued, filter=Field("large") & (Field("letters") == 4))
    feed.deliver([event(1, HELD), event(2, HELD | {"avg_cost": 1.0}, entity="e2")])
    assert recorder.shown("EntityId") == [("e1",)]
    with pytest.raises(BridgeError, match=r"names 'lrge', which Valued does not have; did you mean 'large'\?"):
        Feed(Valued, filter=Field("lrge"))
    with pytest.raises(BridgeError, match="cyclic dependency"):
        Feed(Valued, filter=Field("circle") > 1)


def test_feed_filter_that_fails_on_an_event_leaves_it_out_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    feed, recorder = recorded(Valued, filter=Field("large"))
    feed.deliver([event(1, HELD), event(2, HELD | {"avg_cost": "much"}, version=2), event(3, HELD, version=3)])
    assert recorder.shown("EntityId", "Version", "InLive") == [("e1", 1, True), ("e1", 2, False), ("e1", 3, True)]
    assert "Valued e1 version 2 does not pass the filter, which fails on it" in caplog.text


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


@pytest.mark.parametrize(
    ("condition", "matching"),
    [
        (Field("state") == "PENDING", {1, 2}),
        (Field("owner") == "alice", {1, 2}),
        (Field("updated_by") != "bob", set()),
        ((Field("version") > 1) & (Field("symbol") == "AAPL"), {2}),
        (Field("valid_to").is_null(), {1, 2}),
        (Field("tx_time") < datetime(2026, 2, 23, tzinfo=timezone.utc), {1, 2}),
        (Field("event_type") == "UPDATED", {2}),
    ],
)
def test_feed_filter_reads_metadata_as_queries_do(condition: Any, matching: set[int]) -> None:
    feed, recorder = recorded(filter=condition)
    feed.deliver([event(1, AAPL), event(2, AAPL, version=2, kind="UPDATED")])
    assert {version for version, shown in recorder.shown("Version", "InLive") if shown} == matching


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (Field("quantity"), "is no condition but int: compare it with something"),
        (Field("quantity") + 1, "is no condition but float"),
        (Field("symbol") > 5, "str and int do not compare"),
        ({"symbol": "AAPL"}, r"filter takes an expression such as Field\(.*not \{'symbol': 'AAPL'\}"),
        (True, "filter takes an expression"),
        (Field("sate") == "PENDING", "did you mean 'state'"),
    ],
)
def test_feed_filter_that_is_no_condition_is_refused(condition: Any, message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        Feed(Order, filter=condition)


@pytest.mark.parametrize("columns", ["symbol", ["symbol", 3], [None]])
def test_feed_columns_that_are_no_list_of_names_are_refused(columns: Any) -> None:
    with pytest.raises(BridgeError, match="columns takes a list of names, not"):
        Feed(Order, columns=columns)


def test_feed_writer_without_write_row_is_refused() -> None:
    with pytest.raises(BridgeError, match="has no write_row: pass a DynamicTableWriter"):
        Feed(Order, writer=[])  # type: ignore[arg-type]


def test_feed_filter_that_fails_in_any_way_harms_no_other_event(monkeypatch: pytest.MonkeyPatch) -> None:
    feed, recorder = recorded(filter=Field("symbol") == Const("AAPL"))
    assert feed._filter is not None
    matches = feed._filter.matches

    def failing(data: Mapping[str, Any], metadata: Metadata) -> bool:
        if metadata.version == 2:
            raise OverflowError("deliberate")
        return matches(data, metadata)

    monkeypatch.setattr(feed._filter, "matches", failing)
    feed.deliver([event(1, AAPL), event(2, AAPL, version=2), event(3, AAPL, version=3)])
    assert recorder.shown("Version", "InRaw", "InLive") == [(1, True, True), (2, False, False), (3, True, True)]
