"""What a feed shows: filters, and named expressions as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pytest

from bridge import BridgeError
from bridge.feed import Feed
from bridge.type_mapping import column_types
from reactive.expr import Const, Field
from store.base import Metadata, Storable
from store.models import Order
from tests.unit.feeds import AAPL, MSFT, event, recorded


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


def test_feed_filter_reads_former_names_and_defaults_too() -> None:
    @dataclass
    class Quote(Storable):
        symbol: str = field(default="", metadata={"former_names": ("name",)})
        bid: float = 1.5

    feed, recorder = recorded(Quote, filter=(Field("symbol") == Const("AAPL")) & (Field("bid") == Const(1.5)))
    feed.deliver([event(1, {"name": "AAPL"})])
    assert recorder.shown("symbol") == [("AAPL",)]


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
