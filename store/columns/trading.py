"""Columns of trading: instruments, orders, executions, the desk that does them, and its limits."""

from __future__ import annotations

from datetime import date, datetime

from store.registry import ColumnRegistry

__all__ = ["define_columns"]


def define_columns(registry: ColumnRegistry) -> None:
    """Add the trading columns to a registry."""
    _define_execution(registry)
    _define_desk(registry)
    _define_limits(registry)


def _define_execution(registry: ColumnRegistry) -> None:
    define = registry.define
    define(
        "symbol",
        str,
        description="Financial instrument ticker symbol",
        semantic_type="identifier",
        role="dimension",
        synonyms=["ticker", "instrument", "security"],
        sample_values=["AAPL", "GOOGL", "MSFT"],
        max_length=12,
        pattern=r"^[A-Z0-9./]+$",
    )
    define(
        "price",
        float,
        description="Trade execution price",
        semantic_type="currency_amount",
        role="measure",
        unit="USD",
        min_value=0,
        format=",.2f",
    )
    define(
        "quantity",
        int,
        description="Number of shares or contracts; in a position negative when short",
        role="measure",
        unit="shares",
        nullable=True,
        synonyms=["qty", "shares", "size", "contracts"],
        sample_values=[100, 2500, -300],
        semantic_type="count",
        aggregation="sum",
        format=",d",
        category="trading",
    )
    define(
        "side",
        str,
        description="Whether the desk buys or sells",
        role="dimension",
        nullable=True,
        synonyms=["buy/sell", "buy sell indicator"],
        sample_values=["BUY", "SELL"],
        semantic_type="category",
        enum=["BUY", "SELL"],
        category="trading",
    )
    define(
        "direction",
        str,
        description="Way in which a signal or a position profits: from a rise, from a fall, or not at all",
        role="dimension",
        nullable=True,
        synonyms=["long/short", "bias"],
        sample_values=["LONG", "SHORT", "FLAT"],
        semantic_type="category",
        enum=["LONG", "SHORT", "FLAT"],
        category="trading",
    )
    define(
        "order_type",
        str,
        description="How the price of an order is limited",
        role="dimension",
        nullable=True,
        synonyms=["execution type", "ord type"],
        sample_values=["MARKET", "LIMIT"],
        semantic_type="category",
        enum=["MARKET", "LIMIT", "STOP", "STOP_LIMIT"],
        category="trading",
    )
    define(
        "timestamp",
        datetime,
        description="Instant of the event or the measurement",
        role="dimension",
        nullable=True,
        synonyms=["time", "date and time", "instant"],
        semantic_type="instant",
        category="trading",
    )
    define(
        "pnl",
        float,
        description="Profit or loss against cost, positive for a gain",
        role="measure",
        unit="USD",
        nullable=True,
        synonyms=["profit and loss", "p&l", "profit", "gain"],
        sample_values=[1000.0, -325.5],
        semantic_type="currency_amount",
        aggregation="sum",
        display_name="P&L",
        format=",.2f",
        category="trading",
    )
    define(
        "strength",
        float,
        description="Conviction of a signal, from -1 (sell) through 0 (none) to 1 (buy)",
        role="measure",
        unit="score",
        nullable=True,
        synonyms=["conviction", "confidence", "signal strength"],
        sample_values=[0.8, -0.35],
        semantic_type="score",
        aggregation="avg",
        min_value=-1,
        max_value=1,
        format=".2f",
        category="trading",
    )


def _define_desk(registry: ColumnRegistry) -> None:
    define = registry.define
    define(
        "account",
        str,
        description="Account in which trades settle",
        role="dimension",
        nullable=True,
        synonyms=["account number", "custody account"],
        sample_values=["ACC-1001"],
        semantic_type="identifier",
        sensitivity="confidential",
        category="desk",
        max_length=64,
    )
    define(
        "book",
        str,
        description="Trading book that carries the risk",
        role="dimension",
        nullable=True,
        synonyms=["trading book", "portfolio", "desk"],
        sample_values=["EQ-US", "FX-G10"],
        semantic_type="identifier",
        category="desk",
        max_length=64,
    )
    define(
        "strategy",
        str,
        description="Investment strategy on whose behalf the desk trades",
        role="dimension",
        nullable=True,
        synonyms=["investment strategy", "algo"],
        sample_values=["momentum", "pairs"],
        semantic_type="category",
        category="desk",
        max_length=64,
    )
    define(
        "counterparty",
        str,
        description="Party on the other side of the trade",
        role="dimension",
        nullable=True,
        synonyms=["broker", "dealer", "cpty"],
        sample_values=["Example Bank"],
        semantic_type="organization",
        sensitivity="confidential",
        category="desk",
        max_length=200,
    )
    define(
        "trade_date",
        date,
        description="Day of execution, in the calendar of the venue",
        role="dimension",
        nullable=True,
        synonyms=["execution date", "deal date"],
        sample_values=[date(2026, 2, 20)],
        semantic_type="date",
        category="desk",
    )
    define(
        "settlement_date",
        date,
        description="Day of delivery against payment",
        role="dimension",
        nullable=True,
        synonyms=["value date", "settle date"],
        sample_values=[date(2026, 2, 23)],
        semantic_type="date",
        category="desk",
    )


def _define_limits(registry: ColumnRegistry) -> None:
    define = registry.define
    define(
        "metric",
        str,
        description="Name of the figure that a limit or a reading is about",
        role="dimension",
        nullable=True,
        synonyms=["measure", "indicator", "kpi"],
        sample_values=["gross_exposure", "net_delta", "daily_pnl"],
        semantic_type="identifier",
        category="limits",
        max_length=64,
    )
    define(
        "warn",
        float,
        description="Level of a limit at which somebody is told, in the unit of the metric",
        role="attribute",
        nullable=True,
        synonyms=["warning level", "soft limit"],
        sample_values=[800000.0],
        semantic_type="number",
        category="limits",
        format=",.2f",
    )
    define(
        "stop",
        float,
        description="Level of a limit at which trading ends, in the unit of the metric",
        role="attribute",
        nullable=True,
        synonyms=["stop level", "hard limit"],
        sample_values=[1000000.0],
        semantic_type="number",
        category="limits",
        format=",.2f",
    )
