"""The columns of the published market tables: types, units, formats and meanings, for the tables and the catalog."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MARKET_COLUMNS", "TABLE_NOTES", "MarketColumn", "column_types"]


class MarketColumn(NamedTuple):
    """A column of a published table.

    Attributes:
        name: Its name.
        type: Its Deephaven type.
        role: `dimension`, `measure` or `attribute`.
        description: What it means.
        unit: Unit of a measure; `currency` is the one in the row's Currency, or that of the symbol.
        format: A Python format specification; one that begins with `+` shows the sign.
        display_name: Heading; the name when empty.
        aggregation: How it is summed up over rows; empty for what is not.
    """

    name: str
    type: str
    role: str
    description: str
    unit: str = ""
    format: str = ""
    display_name: str = ""
    aggregation: str = ""


def _dimension(name: str, description: str, display_name: str = "", type: str = "string") -> MarketColumn:
    return MarketColumn(name, type, "dimension", description, display_name=display_name)


def _usd(
    name: str, description: str, display_name: str = "", aggregation: str = "sum", format: str = "+,.0f"
) -> MarketColumn:
    return MarketColumn(name, "double", "measure", description, "USD", format, display_name, aggregation)


_SYMBOL = _dimension("Symbol", "Ticker of the share")
_CURRENCY = _dimension("Currency", "Currency of the amounts, ISO 4217")
_TIMESTAMP = MarketColumn("Timestamp", "Instant", "dimension", "Time of the market data behind the row")

_PRICES = (
    _SYMBOL,
    _TIMESTAMP,
    MarketColumn("Price", "double", "measure", "Last price", "currency", ",.2f", "", "last"),
    MarketColumn("Bid", "double", "measure", "Highest price at which somebody buys", "currency", ",.2f", "", "last"),
    MarketColumn("Ask", "double", "measure", "Lowest price at which somebody sells", "currency", ",.2f", "", "last"),
    MarketColumn("Volume", "long", "measure", "Shares traded since the session began", "shares", ",d", "", "sum"),
    MarketColumn("Change", "double", "measure", "Price less the last close", "currency", "+,.2f", "", "last"),
    MarketColumn(
        "ChangePct", "double", "measure", "Change in percent of the last close", "%", "+.2f", "Change %", "last"
    ),
)
_RISK = (
    _SYMBOL,
    _TIMESTAMP,
    MarketColumn(
        "Position", "long", "measure", "Shares held, net over all books; options apart", "shares", "+,d", "", "sum"
    ),
    _usd("MarketValue", "Value of shares and options", "Market Value"),
    _usd("UnrealizedPnL", "Profit or loss of the open positions against their cost", "Unrealized P&L"),
    _usd("Delta", "Value of the shares that move like the position"),
    _usd("Gamma", "Growth of Delta when the price rises by 1 %"),
    _usd("Theta", "Change of the value over one calendar day"),
    _usd("Vega", "Change of the value when volatility rises by one point (0.01)"),
    _usd("Rho", "Change of the value when the interest rate rises by one point (0.01)"),
)
_POSITIONS = (
    _dimension("Book", "Trading book that carries the risk"),
    _dimension("Symbol", "Ticker of the share, or name of the option"),
    _CURRENCY,
    _dimension("Underlying", "Ticker of the share that the value depends on"),
    _TIMESTAMP,
    MarketColumn(
        "Quantity", "long", "measure", "Shares or contracts held, negative when short", "units", "+,d", "", "sum"
    ),
    MarketColumn("Multiplier", "double", "attribute", "Shares that one unit stands for", "shares per unit", ",.0f"),
    MarketColumn(
        "AvgCost", "double", "measure", "Average cost per share", "currency", ",.4f", "Avg Cost", "weighted_avg"
    ),
    MarketColumn("Price", "double", "measure", "Current price per share", "currency", ",.4f", "", "last"),
    MarketColumn(
        "MarketValue", "double", "measure", "Quantity × Multiplier × Price", "currency", "+,.0f", "Market Value", "none"
    ),
    MarketColumn(
        "RealizedPnL",
        "double",
        "measure",
        "Profit or loss of what was closed",
        "currency",
        "+,.0f",
        "Realized P&L",
        "none",
    ),
    MarketColumn(
        "UnrealizedPnL",
        "double",
        "measure",
        "Quantity × Multiplier × (Price - AvgCost)",
        "currency",
        "+,.0f",
        "Unrealized P&L",
        "none",
    ),
    MarketColumn("FxRate", "double", "attribute", "USD for one unit of Currency", "USD per unit", ".6f", "FX Rate"),
)
_SUMMARY = (
    _usd("TotalMV", "Sum of risk_live.MarketValue", "Market Value"),
    _usd("TotalPnL", "Sum of risk_live.UnrealizedPnL", "Unrealized P&L"),
    _usd("TotalDelta", "Sum of risk_live.Delta", "Delta"),
    _usd("AvgGamma", "Mean of risk_live.Gamma", "Avg Gamma", "avg"),
    _usd("AvgTheta", "Mean of risk_live.Theta", "Avg Theta", "avg"),
    _usd("AvgVega", "Mean of risk_live.Vega", "Avg Vega", "avg"),
    MarketColumn(
        "NumPositions", "long", "measure", "Symbols with risk: rows of risk_live", "symbols", ",d", "Positions", "sum"
    ),
)
_EXPOSURES = (
    _dimension("Book", "Trading book that carries the risk"),
    _usd("Gross", "Sum of absolute MarketValue × FxRate", format=",.0f"),
    _usd("Net", "Sum of MarketValue × FxRate"),
    _usd("PnL", "Sum of (RealizedPnL + UnrealizedPnL) × FxRate", "P&L"),
    _usd("PnLToday", "PnL less what it was at the last mark of an earlier day", "P&L today"),
    _usd("AgainstClose", "Sum of Quantity × Multiplier × (Price - Close) × FxRate", "Against close"),
    MarketColumn("Positions", "long", "measure", "Positions that are open", "", ",d", "", "sum"),
)
_SCORES = (
    _SYMBOL,
    MarketColumn(
        "Score", "double", "measure", "Share of the desk's delta, gamma and vega, 0 to 100", "", ".1f", "", "sum"
    ),
    *(column for column in _RISK if column.unit == "USD"),
)
_FX = (
    _CURRENCY,
    _TIMESTAMP,
    MarketColumn("Rate", "double", "measure", "USD for one unit of the currency", "USD per unit", ".6f", "", "last"),
)

MARKET_COLUMNS: dict[str, tuple[MarketColumn, ...]] = {
    "prices_raw": _PRICES,
    "prices_live": _PRICES,
    "top_movers": _PRICES,
    "volume_leaders": _PRICES,
    "risk_raw": _RISK,
    "risk_live": _RISK,
    "portfolio_summary": _SUMMARY,
    "positions_live": _POSITIONS,
    "exposures_live": _EXPOSURES,
    "risk_scores": _SCORES,
    "fx_live": _FX,
}
TABLE_NOTES = {
    "prices_raw": "the latest price ticks, one row each",
    "prices_live": "the latest price of each symbol",
    "top_movers": "the symbols that moved most, up or down, since the last close",
    "volume_leaders": "the symbols of which most shares were traded",
    "risk_raw": "the latest valuations, one row each",
    "risk_live": "value and Greeks of each symbol, in USD",
    "portfolio_summary": "all of risk_live in one row, in USD",
    "positions_live": "each position by book, in its currency",
    "exposures_live": "exposure and P&L of each book, in USD",
    "risk_scores": "the symbols by their share of the desk's risk",
    "fx_live": "exchange rates against USD",
    "column_catalog": "what each column means, with unit and format",
}


def column_types(table: str) -> dict[str, str]:
    """Return column name to Deephaven type of a published table.

    Example:
        >>> column_types("fx_live")
        {'Currency': 'string', 'Timestamp': 'Instant', 'Rate': 'double'}
    """
    return {column.name: column.type for column in MARKET_COLUMNS[table]}
