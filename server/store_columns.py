"""The columns of the store's published tables: as the registry has them, and those that every event has."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.type_mapping import METADATA_COLUMNS, column_types
from server.market_columns import MarketColumn
from store.base import Storable
from store.columns import REGISTRY
from store.models import Limit, Trade

__all__ = ["STORE_COLUMNS", "STORE_NOTES"]

_DESCRIPTIONS = {
    "EntityId": "The object, the same over all its versions",
    "Version": "Number of the object's events so far",
    "EventType": "CREATED, UPDATED, CORRECTED, STATE_CHANGE or DELETED",
    "State": "State of the object's lifecycle",
    "Owner": "Who wrote the object first",
    "UpdatedBy": "Who wrote this event",
    "TxTime": "When the store recorded the event",
    "ValidFrom": "From when on it holds",
    "ValidTo": "Until when it holds; null for an open end",
    "Changed": "Names of the fields that the event changed",
}


def _columns(cls: type[Storable]) -> tuple[MarketColumn, ...]:
    return tuple(_column(name, dh_type) for name, dh_type in column_types(cls).items())


def _column(name: str, dh_type: str) -> MarketColumn:
    if name in METADATA_COLUMNS:
        return MarketColumn(name, dh_type, "attribute", _DESCRIPTIONS[name])
    column, prefix = REGISTRY.resolve(name)
    heading = column.display_name if prefix is None else f"{prefix} {column.display_name}".title()
    # A trade's amounts are in its own currency, whatever the registry takes for the usual one.
    unit = "currency" if column.unit == "USD" else column.unit or ""
    return MarketColumn(
        name, dh_type, column.role, column.description, unit, column.format or "", heading, column.aggregation or ""
    )


def _level(name: str, description: str) -> MarketColumn:
    return MarketColumn(name, "double", "measure", description, "USD", ",.0f", aggregation="none")


_USAGE = (
    MarketColumn("Status", "string", "dimension", "STOP, WARN, OK, or ? for a metric that nobody knows"),
    MarketColumn("Book", "string", "dimension", "Trading book that the limit binds"),
    MarketColumn("Metric", "string", "dimension", "Figure that is limited"),
    MarketColumn("Owner", "string", "attribute", "Who wrote the limit first"),
    _level("Value", "What the limit bounds"),
    _level("Warn", "From here on the limit warns"),
    _level("Stop", "From here on the limit is broken"),
    MarketColumn("Usage", "double", "measure", "Value / Stop", "", ".0%", aggregation="none"),
    MarketColumn("EntityId", "string", "attribute", "The limit, as in limits_live", display_name="Entity"),
)
_STATUS = (
    MarketColumn("Timestamp", "Instant", "dimension", "When it was looked"),
    MarketColumn(
        "Silence",
        "double",
        "measure",
        "For how long the store has not told all there is: trades and limits are as they were then",
        "s",
        ",.1f",
        "Store silent",
        aggregation="none",
    ),
)
STORE_COLUMNS: Mapping[str, tuple[MarketColumn, ...]] = {
    "trades_raw": _columns(Trade),
    "trades_live": _columns(Trade),
    "limits_live": _columns(Limit),
    "limit_usage": _USAGE,
    "store_status": _STATUS,
}
STORE_NOTES = {
    "trades_raw": "every event of every trade in the store",
    "trades_live": "every trade as it stands, whoever wrote it",
    "limits_live": "the limits of each book",
    "limit_usage": "how far each limit is used and who set it, breaches first",
    "store_status": "for how long the store has been silent, in one row",
}
