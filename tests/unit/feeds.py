"""Events of a log, and a feed that records the rows which it makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from bridge.feed import Feed
from bridge.type_mapping import column_types
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
