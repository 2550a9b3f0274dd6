"""What the As-of page asks of the store, as rows for its tables; nothing here needs Deephaven to run."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from server.errors import MomentError
from server.past import audit_rows, differences, positions_at, trades_at

if TYPE_CHECKING:
    from store.client import StoreClient

__all__ = ["AUDIT", "DIFFERENCES", "POSITIONS", "TRADES", "Look", "audit_of", "look_at", "moment", "moment_text"]

_NOW = ("", "now")
# Column name to Deephaven type. Times are text, to the microsecond: two events of one second have to be told apart.
POSITIONS = {
    "Book": "string",
    "Symbol": "string",
    "Currency": "string",
    "Quantity": "long",
    "AvgCost": "double",
    "RealizedPnL": "double",
    "Trades": "long",
    "LastTrade": "string",
}
DIFFERENCES = {
    "Book": "string",
    "Symbol": "string",
    "Currency": "string",
    "QuantityThen": "long",
    "QuantityNow": "long",
    "ChangeOfQuantity": "long",
    "AvgCostThen": "double",
    "AvgCostNow": "double",
    "ChangeOfRealized": "double",
}
TRADES = {
    "Book": "string",
    "Symbol": "string",
    "Side": "string",
    "TradeQuantity": "long",
    "Price": "double",
    "Currency": "string",
    "Version": "long",
    "UpdatedBy": "string",
    "TxTime": "string",
    "EntityId": "string",
}
AUDIT = {
    "Version": "long",
    "EventType": "string",
    "UpdatedBy": "string",
    "TxTime": "string",
    "Changes": "string",
    "ValidFrom": "string",
    "ValidTo": "string",
    "State": "string",
}


class Look(NamedTuple):
    """The desk at a point of both time axes, against how it is now.

    Attributes:
        positions: Rows of `POSITIONS`.
        differences: Rows of `DIFFERENCES`, of what differs only.
        trades: Rows of `TRADES`.
    """

    positions: list[tuple[Any, ...]]
    differences: list[tuple[Any, ...]]
    trades: list[tuple[Any, ...]]


def moment(typed: str) -> datetime | None:
    """Return the moment that was typed; None for now.

    Args:
        typed: As `2026-11-25 19:00` or `2026-11-25T20:00:00.123456+01:00`; in UTC without an offset. Nothing is now.

    Raises:
        MomentError: It is none.

    Example:
        >>> moment("2026-11-25 19:00").isoformat()
        '2026-11-25T19:00:00+00:00'
    """
    text = typed.strip()
    if text.lower() in _NOW:
        return None
    try:
        # Python 3.10 does not know the letter.
        value = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1] in "Zz" else text)
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise MomentError(typed) from error


def moment_text(value: datetime | None) -> str | None:
    """Return a moment as the page shows it and takes it again.

    Example:
        >>> moment_text(datetime(2026, 11, 25, 19, tzinfo=timezone.utc))
        '2026-11-25 19:00:00.000000'
    """
    return None if value is None else value.astimezone(timezone.utc).replace(tzinfo=None).isoformat(" ", "microseconds")


def look_at(reader: StoreClient, tx_time: datetime | None, valid_time: datetime | None) -> Look:
    """Ask the store for the desk at a point of both time axes.

    Raises:
        StoreError: The store cannot be asked.
    """
    then = positions_at(reader, tx_time, valid_time)
    now = then if tx_time is None and valid_time is None else positions_at(reader)
    trades = trades_at(reader, tx_time, valid_time)
    return Look(
        [
            (
                row.book,
                row.symbol,
                row.currency,
                row.quantity,
                row.avg_cost,
                row.realized_pnl,
                row.trades,
                moment_text(row.last_trade),
            )
            for row in then
        ],
        [
            (
                row.book,
                row.symbol,
                row.currency,
                row.quantity_then,
                row.quantity_now,
                row.quantity_change,
                row.avg_cost_then,
                row.avg_cost_now,
                row.realized_pnl_change,
            )
            for row in differences(then, now)
            if row.changed
        ],
        [
            (
                row.book,
                row.symbol,
                row.side,
                row.quantity,
                row.price,
                row.currency,
                row.version,
                row.updated_by,
                moment_text(row.tx_time),
                row.entity_id,
            )
            for row in reversed(trades)
        ],
    )


def audit_of(reader: StoreClient, entity_id: str) -> list[tuple[Any, ...]]:
    """Return an entity's audit trail as rows of `AUDIT`, oldest first.

    Raises:
        StoreError: The id is none, or the store cannot be asked.
    """
    return [
        (
            row.version,
            row.event_type,
            row.updated_by,
            moment_text(row.tx_time),
            row.changes,
            moment_text(row.valid_from),
            moment_text(row.valid_to),
            row.state,
        )
        for row in audit_rows(reader, entity_id)
    ]
