"""The desk's positions and trades at any point of both time axes, and what has been recorded of an entity.

All of it is asked of the store through a client, and shows what that client's user may read. `tx_time` is what was
known then, `valid_time` is what held then; both as for `StoreClient.query`: None means now, and `valid_time=None` with
a tx_time is the desk as it looked at that moment.

The rows are named tuples: `pandas.DataFrame(positions_at(client))` has their columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from server.errors import TradeLeftOut
from server.positions import FLAT, Execution, Holding, PositionKey, execution_of, fold

if TYPE_CHECKING:
    from store.client import StoreClient
    from store.models import Trade

__all__ = [
    "AuditRow",
    "DifferenceRow",
    "PositionRow",
    "TradeRow",
    "audit_rows",
    "differences",
    "positions_at",
    "trades_at",
]


_NOT_SET = "not set"


class PositionRow(NamedTuple):
    """A position at a point of both time axes, in its currency.

    Attributes:
        book: The trading book; None for trades that name none.
        symbol: Ticker of the share, or name of the option, as in positions_live.
        currency: ISO 4217 code of cost and profit.
        underlying: Ticker of the share that the value depends on.
        quantity: Units held, negative when short; 0 for a position that was closed.
        multiplier: Shares that one unit stands for.
        avg_cost: Average cost per share.
        realized_pnl: Profit or loss of what was closed.
        trades: How many trades it comes from.
        last_trade: When the last of them was executed.
    """

    book: str | None
    symbol: str
    currency: str
    underlying: str
    quantity: int
    multiplier: int
    avg_cost: float
    realized_pnl: float
    trades: int
    last_trade: datetime | None


class DifferenceRow(NamedTuple):
    """A position at two points; a position that is not there at one of them has 0 there.

    Attributes:
        book: As in `PositionRow`, and so are the next two.
        symbol: See there.
        currency: See there.
        quantity_then: Units held at the first point.
        quantity_now: Units held at the second.
        quantity_change: The second less the first.
        avg_cost_then: Average cost per share at the first point.
        avg_cost_now: And at the second.
        realized_pnl_then: Profit realised by the first point.
        realized_pnl_now: And by the second.
        realized_pnl_change: The second less the first.
        changed: Whether quantity, average cost or realised profit differ.
    """

    book: str | None
    symbol: str
    currency: str
    quantity_then: int
    quantity_now: int
    quantity_change: int
    avg_cost_then: float
    avg_cost_now: float
    realized_pnl_then: float
    realized_pnl_now: float
    realized_pnl_change: float
    changed: bool


class TradeRow(NamedTuple):
    """A trade at a point of both time axes.

    Attributes:
        entity_id: Its id, to be given to `audit_rows`.
        book: The trading book.
        symbol: Ticker of the share, or name of the option.
        currency: ISO 4217 code of the price.
        side: BUY or SELL.
        quantity: Units, as stored.
        price: Per share.
        time: When it was executed.
        version: Its newest version known at the point.
        owner: Who wrote it first.
        updated_by: Who made the event that holds at the point.
        tx_time: When that was recorded.
        counted: Whether it bears on a position.
    """

    entity_id: str
    book: str | None
    symbol: str
    currency: str
    side: str
    quantity: int
    price: float
    time: datetime | None
    version: int
    owner: str
    updated_by: str
    tx_time: datetime | None
    counted: bool


class AuditRow(NamedTuple):
    """One event of an entity, or one grant of access to it.

    Attributes:
        version: The entity's version after it.
        event_type: CREATED, UPDATED, CORRECTED, STATE_CHANGE, DELETED, SHARED or UNSHARED.
        updated_by: Who did it.
        tx_time: When it was recorded.
        valid_from: From when on it holds.
        valid_to: Until when; None for an open end.
        state: The state of its lifecycle; None without one.
        changes: What it changed, as `book: not set -> EQ-US, price: 229.5 -> 230.0`; who was granted what, for a grant.
            A text that is empty, or could be taken for something else, is in quotes.
    """

    version: int
    event_type: str
    updated_by: str
    tx_time: datetime
    valid_from: datetime | None
    valid_to: datetime | None
    state: str | None
    changes: str


def positions_at(
    client: StoreClient, tx_time: datetime | None = None, valid_time: datetime | None = None
) -> list[PositionRow]:
    """Return the positions at a point of both time axes, by book, symbol and currency.

    With neither time it is what positions_live shows of quantity, cost and realised profit.

    Args:
        client: Whose trades count: those that its user may read.
        tx_time: With what was known then.
        valid_time: As it held then.

    Raises:
        StoreError: A time has no time zone, or the store cannot be reached.

    Example:
        >>> positions_at(client, valid_time=datetime(2026, 3, 2, tzinfo=timezone.utc))[0].quantity
        4380
    """
    held = fold(_executions(_trades(client, tx_time, valid_time)))
    return [_position_row(key, held[key]) for key in sorted(held, key=_order)]


def differences(then: Iterable[PositionRow], now: Iterable[PositionRow]) -> list[DifferenceRow]:
    """Return how each position that is there at one of two points differs between them.

    Example:
        >>> [row for row in differences(positions_at(client, tx_time=noon), positions_at(client)) if row.changed]
        []
    """
    before = {(row.book, row.symbol, row.currency): row for row in then}
    after = {(row.book, row.symbol, row.currency): row for row in now}
    rows = []
    for book, symbol, currency in sorted({**before, **after}, key=lambda key: (key[0] or "", *key[1:])):
        one, other = (_figures(rows.get((book, symbol, currency))) for rows in (before, after))
        (quantity_then, cost_then, realized_then), (quantity_now, cost_now, realized_now) = one, other
        rows.append(
            DifferenceRow(
                book,
                symbol,
                currency,
                quantity_then,
                quantity_now,
                quantity_now - quantity_then,
                cost_then,
                cost_now,
                realized_then,
                realized_now,
                realized_now - realized_then,
                one != other,
            )
        )
    return rows


def trades_at(
    client: StoreClient,
    tx_time: datetime | None = None,
    valid_time: datetime | None = None,
    *,
    book: str | None = None,
    symbol: str | None = None,
    currency: str | None = None,
) -> list[TradeRow]:
    """Return the trades at a point of both time axes, in the order in which they count.

    Args:
        client: Who asks.
        tx_time: With what was known then.
        valid_time: As it held then.
        book: Only those of this book.
        symbol: Only those in this share or option, by its name in positions_live.
        currency: Only those in this currency.

    Raises:
        StoreError: A time has no time zone, or the store cannot be reached.

    Example:
        >>> trades_at(client, book="EQ-US", symbol="AAPL")[0].price
        228.0
    """
    rows = []
    for trade in _trades(client, tx_time, valid_time):
        execution = None
        with suppress(TradeLeftOut):
            execution = execution_of(trade)
        name = trade.symbol if execution is None else execution.key.contract.name
        wanted = ((book, trade.book), (symbol, name), (currency, trade.currency))
        if all(asked is None or asked == found for asked, found in wanted):
            rows.append(_trade_row(trade, name, execution))
    return sorted(rows, key=lambda row: (row.time is not None, row.time, row.entity_id))


def audit_rows(client: StoreClient, entity_id: str) -> list[AuditRow]:
    """Return who did what to an entity, oldest first; nothing for one that the client's user may not see.

    Raises:
        StoreError: The id is none, or the store cannot be reached.

    Example:
        >>> [row.event_type for row in audit_rows(client, trade.entity_id)]
        ['CREATED', 'CORRECTED']
    """
    return [
        AuditRow(
            event["version"],
            event["event_type"],
            event["updated_by"],
            event["tx_time"],
            event["valid_from"],
            event["valid_to"],
            event["state"],
            _changes(event["changes"], event["meta"]),
        )
        for event in client.audit(entity_id)
    ]


def _trades(client: StoreClient, tx_time: datetime | None, valid_time: datetime | None) -> Iterable[Trade]:
    from store.models import Trade

    return client.query(Trade, limit=None, tx_time=tx_time, valid_time=valid_time)


def _executions(trades: Iterable[Trade]) -> Iterable[Execution]:
    for trade in trades:
        with suppress(TradeLeftOut):
            yield execution_of(trade)


def _order(key: PositionKey) -> tuple[str, str, str]:
    return (key.book or "", key.contract.name, key.currency)


def _position_row(key: PositionKey, holding: Holding) -> PositionRow:
    return PositionRow(
        key.book,
        key.contract.name,
        key.currency,
        key.contract.symbol,
        round(holding.quantity),
        key.contract.multiplier,
        holding.avg_cost,
        holding.realized_pnl,
        holding.trades,
        holding.last_trade,
    )


def _figures(row: PositionRow | None) -> tuple[int, float, float]:
    if row is None:
        return round(FLAT.quantity), FLAT.avg_cost, FLAT.realized_pnl
    return row.quantity, row.avg_cost, row.realized_pnl


def _trade_row(trade: Trade, name: str, execution: Execution | None) -> TradeRow:
    return TradeRow(
        str(trade.entity_id),
        trade.book,
        name,
        trade.currency,
        trade.side,
        trade.quantity,
        trade.price,
        trade.timestamp or trade.valid_from,
        trade.version or 0,
        trade.owner or "",
        trade.updated_by or "",
        trade.tx_time,
        execution is not None,
    )


def _changes(changes: dict[str, dict[str, object]], meta: dict[str, object]) -> str:
    found = [
        f"{name}: {_text(change['old'])} -> {_text(change['new'])}"
        for name, change in sorted(changes.items())
        if change["old"] is not None or change["new"] is not None
    ]
    return ", ".join(found or [f"{name}: {_text(value)}" for name, value in meta.items()])


def _text(value: object) -> str:
    """Return a value as it stands in a change: nothing else looks like one that is not there, or like two of them."""
    if value is None:
        return _NOT_SET
    text = str(value)
    doubtful = text in ("", _NOT_SET) or text != text.strip() or any(mark in text for mark in (" -> ", ", ", '"'))
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) and doubtful else text
