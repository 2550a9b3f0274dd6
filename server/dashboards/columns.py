"""What the dashboards show beside the published columns, and how every column is to be shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from server.column_catalog import CATALOG_TYPES, catalog_rows
from server.market_columns import MARKET_COLUMNS, MarketColumn
from server.store_columns import STORE_COLUMNS

__all__ = ["DASHBOARD_COLUMNS", "Catalog", "ColumnStyle"]


class ColumnStyle(NamedTuple):
    """How a column is shown.

    Attributes:
        heading: Its heading, with the unit where the name does not say it.
        format: A Python format specification; one that begins with `+` shows the sign, gains green and losses red.
        kind: `number`, `time` or `text`.
    """

    heading: str
    format: str = ""
    kind: str = "text"


def _usd(name: str, display_name: str, description: str) -> MarketColumn:
    return MarketColumn(name, "double", "measure", description, "USD", "+,.0f", display_name, "sum")


def _text(name: str, display_name: str) -> MarketColumn:
    return MarketColumn(name, "string", "dimension", "", display_name=display_name)


# Sums and differences that only the pages have; everything else is in the catalog of the tables and of the registry.
DASHBOARD_COLUMNS = (
    *(column for column in MARKET_COLUMNS["exposures_live"] if column.role == "measure"),
    _usd("ValueUSD", "Value", "MarketValue × FxRate"),
    _usd("PnLUSD", "P&L", "(RealizedPnL + UnrealizedPnL) × FxRate"),
    _usd("Realized", "Realized", "Sum of RealizedPnL × FxRate"),
    _usd("Unrealized", "Unrealized", "Sum of UnrealizedPnL × FxRate"),
    _usd("ChangeOfValue", "Δ Value", "ValueUSD less what it was"),
    _usd("ChangeOfPnL", "Δ P&L", "PnLUSD less what it was"),
    MarketColumn("Share", "double", "measure", "PnLToday / sum of |PnLToday|", "", "+.1%", aggregation="none"),
    MarketColumn("ChangeOfQuantity", "long", "measure", "Quantity less what it was", "", "+,d", "Δ Quantity"),
    MarketColumn("Breaches", "long", "measure", "Limits at or beyond their stop", "", ",d"),
    MarketColumn("Warnings", "long", "measure", "Limits between warn and stop", "", ",d"),
    MarketColumn("Unpriced", "long", "measure", "Positions without a price or a rate, in no sum", "", ",d"),
    MarketColumn("Trades", "long", "measure", "Trades that a position comes from", "", ",d"),
    MarketColumn("TradeQuantity", "long", "measure", "Units of a trade, whichever its side", "", ",d", "Quantity"),
    MarketColumn("Version", "long", "measure", "The entity's version after the event", "", "d"),
    MarketColumn("QuantityThen", "long", "measure", "Quantity at the moment picked", "", "+,d", "Quantity then"),
    MarketColumn("QuantityNow", "long", "measure", "Quantity now", "", "+,d", "Quantity now"),
    MarketColumn("AvgCostThen", "double", "measure", "AvgCost at the moment picked", "currency", ",.4f", "Cost then"),
    MarketColumn("AvgCostNow", "double", "measure", "AvgCost now", "currency", ",.4f", "Cost now"),
    MarketColumn(
        "ChangeOfRealized", "double", "measure", "RealizedPnL now less then", "currency", "+,.0f", "Δ Realized P&L"
    ),
    _text("LastTrade", "Last trade"),
    _text("EntityId", "Entity"),
    _text("UpdatedBy", "By"),
    _text("EventType", "Event"),
    _text("TxTime", "Recorded (UTC)"),
    _text("ValidFrom", "Holds from (UTC)"),
    _text("ValidTo", "Holds until (UTC)"),
    MarketColumn("Age", "double", "measure", "How old the oldest price is", "s", ",.1f", "Oldest price"),
    *(column for column in STORE_COLUMNS["store_status"] if column.name == "Silence"),
)
_KINDS = dict.fromkeys(("double", "long", "int", "float", "short", "byte", "Decimal"), "number")
_KINDS |= {"Instant": "time", "datetime": "time"}
_TIME = "%Y-%m-%d %H:%M:%S"


class Catalog:
    """How columns are shown: as the registry and the tables say, and as the pages say for what only they have.

    Args:
        rows: Rows of the table `column_catalog`.

    Example:
        >>> Catalog().style("risk_live", "MarketValue")
        ColumnStyle(heading='Market Value (USD)', format='+,.0f', kind='number')
    """

    def __init__(self, rows: Iterable[tuple[str | list[str] | None, ...]] | None = None) -> None:
        self._styles: dict[tuple[str | None, str], ColumnStyle] = {
            (None, column.name): _style(column.name, column.type, column.display_name, column.format, column.unit)
            for column in DASHBOARD_COLUMNS
        }
        for values in catalog_rows(store=True) if rows is None else rows:
            row: dict[str, Any] = dict(zip(CATALOG_TYPES, values, strict=True))
            style = _style(row["Name"], row["Type"], row["DisplayName"], row["Format"], row["Unit"])
            self._styles.setdefault((row["TableName"], row["Name"]), style)

    def style(self, table: str | None, column: str) -> ColumnStyle:
        """Return how a column is shown; one that nothing is known of by its name alone.

        Args:
            table: The published table that it is from; None for one of the pages' own or of the registry.
            column: Its name.
        """
        return self._styles.get((table, column)) or self._styles.get((None, column)) or ColumnStyle(column)


def _style(name: str, type: str, display_name: str | None, format: str | None, unit: str | None) -> ColumnStyle:
    heading = display_name or name
    kind = _KINDS.get(type.removesuffix(" | None"), "text")
    # The row's own currency stands in a column beside it, and a percent sign mostly in the name.
    if unit and unit not in ("currency", "units") and unit not in heading.split():
        heading = f"{heading} ({unit})"
    return ColumnStyle(heading, format or (_TIME if kind == "time" else ""), kind)
