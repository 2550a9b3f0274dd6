"""Columns of market data, positions, options, bonds and risk."""

from __future__ import annotations

from datetime import date

from store.registry import ColumnRegistry

__all__ = ["define_columns"]


def define_columns(registry: ColumnRegistry) -> None:
    """Add the finance columns to a registry."""
    _define_quotes(registry)
    _define_positions(registry)
    _define_options(registry)
    _define_bonds(registry)
    _define_risk(registry)


def _define_quotes(registry: ColumnRegistry) -> None:
    define = registry.define
    quotes = (
        ("bid", "Highest price at which somebody offers to buy", ["bid price"], 229.98),
        ("ask", "Lowest price at which somebody offers to sell", ["ask price", "offer"], 230.02),
        ("last", "Price of the latest trade on the venue", ["last price", "last trade"], 230.0),
    )
    for name, description, synonyms, sample in quotes:
        define(
            name,
            float,
            description=description,
            role="measure",
            unit="USD",
            nullable=True,
            synonyms=synonyms,
            sample_values=[sample],
            semantic_type="currency_amount",
            aggregation="last",
            min_value=0,
            format=",.2f",
            category="market data",
        )
    define(
        "volume",
        int,
        description="Number of shares or contracts traded on the venue",
        role="measure",
        unit="shares",
        nullable=True,
        synonyms=["traded volume", "turnover"],
        sample_values=[48250000],
        semantic_type="count",
        aggregation="sum",
        min_value=0,
        format=",d",
        category="market data",
    )
    define(
        "currency",
        str,
        description="Currency of the object's amounts, ISO 4217",
        role="dimension",
        nullable=True,
        synonyms=["ccy", "currency code"],
        sample_values=["USD", "EUR", "JPY"],
        semantic_type="currency_code",
        pattern=r"^[A-Z]{3}$",
        max_length=3,
        category="market data",
    )
    define(
        "pair",
        str,
        description="Currency pair, base before quote: EUR/USD is the price of one euro in dollars",
        role="dimension",
        nullable=True,
        synonyms=["currency pair", "fx pair", "cross"],
        sample_values=["EUR/USD", "USD/JPY"],
        semantic_type="identifier",
        pattern=r"^[A-Z]{3}/[A-Z]{3}$",
        max_length=7,
        category="market data",
    )
    define(
        "rate",
        float,
        description="Rate of exchange, or of interest as a fraction a year (0.05 is 5 %)",
        role="measure",
        unit="ratio",
        nullable=True,
        synonyms=["exchange rate", "fx rate", "interest rate"],
        sample_values=[1.0842, 0.0525],
        semantic_type="rate",
        aggregation="last",
        format=".6f",
        category="market data",
    )


def _define_positions(registry: ColumnRegistry) -> None:
    define = registry.define
    prices = (
        ("avg_cost", "Average price paid for the position, per unit", ["average cost", "cost basis"], 220.0),
        ("current_price", "Market price at which the position is valued, per unit", ["market price", "mark"], 230.0),
    )
    for name, description, synonyms, sample in prices:
        define(
            name,
            float,
            description=description,
            role="measure",
            unit="USD",
            nullable=True,
            synonyms=synonyms,
            sample_values=[sample],
            semantic_type="currency_amount",
            aggregation="last",
            min_value=0,
            format=",.2f",
            category="positions",
        )
    amounts = (
        ("notional", "Nominal amount on which payments or exposure are reckoned", ["nominal", "notional amount"]),
        ("market_value", "Quantity times current price, negative for a short position", ["mv", "position value"]),
        ("realized_pnl", "Profit or loss of closed trades", ["realised p&l", "closed profit"]),
        ("unrealized_pnl", "Profit or loss of the open position against its cost", ["unrealised p&l", "open profit"]),
    )
    for name, description, synonyms in amounts:
        define(
            name,
            float,
            description=description,
            role="measure",
            unit="USD",
            nullable=True,
            synonyms=synonyms,
            sample_values=[23000.0],
            semantic_type="currency_amount",
            aggregation="sum",
            display_name=name.replace("_", " ").title().replace("Pnl", "P&L"),
            format=",.2f",
            category="positions",
        )


def _define_options(registry: ColumnRegistry) -> None:
    define = registry.define
    define(
        "option_type",
        str,
        description="Right of the option: to buy (CALL) or to sell (PUT)",
        role="dimension",
        nullable=True,
        synonyms=["call/put", "put call indicator"],
        sample_values=["CALL", "PUT"],
        semantic_type="category",
        enum=["CALL", "PUT"],
        category="options",
    )
    prices = (
        ("underlying_price", "Price of what the option is on, per unit", ["spot", "spot price"], 230.0),
        ("strike", "Price at which the option may be exercised, per unit", ["strike price", "exercise price"], 225.0),
    )
    for name, description, synonyms, sample in prices:
        define(
            name,
            float,
            description=description,
            role="measure",
            unit="USD",
            nullable=True,
            synonyms=synonyms,
            sample_values=[sample],
            semantic_type="currency_amount",
            aggregation="last",
            min_value=0,
            format=",.2f",
            category="options",
        )
    define(
        "time_to_expiry",
        float,
        description="Time until the option expires; 0.25 is three months",
        role="measure",
        unit="years",
        nullable=True,
        synonyms=["expiry", "tenor", "tau"],
        sample_values=[0.25, 1.0],
        semantic_type="duration",
        aggregation="min",
        min_value=0,
        format=".4f",
        category="options",
    )
    define(
        "expiry_date",
        date,
        description="Day on which the option expires",
        role="dimension",
        nullable=True,
        synonyms=["expiration date", "maturity of the option"],
        sample_values=[date(2026, 6, 19)],
        semantic_type="date",
        category="options",
    )
    define(
        "volatility",
        float,
        description="Annualised standard deviation of log returns; 0.2 is 20 %",
        role="measure",
        unit="ratio",
        nullable=True,
        synonyms=["vol", "sigma", "implied volatility"],
        sample_values=[0.2, 0.35],
        semantic_type="rate",
        aggregation="avg",
        min_value=0,
        format=".2%",
        category="options",
    )
    define(
        "risk_free_rate",
        float,
        description="Continuously compounded interest rate without credit risk, a year; 0.04 is 4 %",
        role="measure",
        unit="ratio",
        nullable=True,
        synonyms=["risk free", "riskless rate"],
        sample_values=[0.04],
        semantic_type="rate",
        aggregation="last",
        format=".2%",
        category="options",
    )


def _define_bonds(registry: ColumnRegistry) -> None:
    define = registry.define
    define(
        "isin",
        str,
        description="International Securities Identification Number, with its check digit (ISO 6166)",
        role="dimension",
        nullable=True,
        synonyms=["security id", "international securities identification number"],
        sample_values=["US0378331005", "DE0007164600"],
        semantic_type="identifier",
        display_name="ISIN",
        max_length=12,
        pattern=r"^[A-Z]{2}[A-Z0-9]{9}[0-9]$",
        check="isin",
        category="bonds",
    )
    define(
        "face_value",
        float,
        description="Amount that the bond repays at maturity",
        role="measure",
        unit="USD",
        nullable=True,
        synonyms=["par value", "principal", "redemption amount"],
        sample_values=[1000.0],
        semantic_type="currency_amount",
        aggregation="sum",
        min_value=0,
        format=",.2f",
        category="bonds",
    )
    define(
        "coupon_rate",
        float,
        description="Interest that the bond pays a year, as a fraction of its face value; 0.05 is 5 %",
        role="measure",
        unit="ratio",
        nullable=True,
        synonyms=["coupon", "nominal yield"],
        sample_values=[0.05],
        semantic_type="rate",
        aggregation="weighted_avg",
        min_value=0,
        format=".3%",
        category="bonds",
    )
    define(
        "yield_to_maturity",
        float,
        description="Yearly return of the bond held to maturity at its current price; 0.045 is 4.5 %",
        role="measure",
        unit="ratio",
        nullable=True,
        synonyms=["ytm", "yield", "redemption yield"],
        sample_values=[0.045],
        semantic_type="rate",
        aggregation="weighted_avg",
        format=".3%",
        category="bonds",
    )
    define(
        "years_to_maturity",
        float,
        description="Time until the bond repays",
        role="measure",
        unit="years",
        nullable=True,
        synonyms=["maturity", "remaining term"],
        sample_values=[7.5],
        semantic_type="duration",
        aggregation="weighted_avg",
        min_value=0,
        format=".2f",
        category="bonds",
    )


def _define_risk(registry: ColumnRegistry) -> None:
    define = registry.define
    define(
        "daily_vol",
        float,
        description="Standard deviation of daily returns; 0.01 is 1 % a day",
        role="measure",
        unit="ratio",
        nullable=True,
        synonyms=["daily volatility", "one-day volatility"],
        sample_values=[0.012],
        semantic_type="rate",
        aggregation="avg",
        min_value=0,
        format=".2%",
        category="risk",
    )
    define(
        "z_score",
        float,
        description="Distance from the mean in standard deviations",
        role="measure",
        unit="standard deviations",
        nullable=True,
        synonyms=["standard score", "zscore"],
        sample_values=[-1.5, 2.33],
        semantic_type="score",
        aggregation="last",
        display_name="Z-Score",
        format=".2f",
        category="risk",
    )
    define(
        "risk_score",
        float,
        description="Figure by which a desk ranks positions, higher for more risk",
        role="measure",
        unit="score",
        nullable=True,
        synonyms=["risk rank", "risk rating"],
        sample_values=[0.72],
        semantic_type="score",
        aggregation="max",
        format=".2f",
        category="risk",
    )
    greeks = (
        ("delta", "Change of the value for a rise of the underlying by 1", "shares"),
        ("gamma", "Change of delta for a rise of the underlying by 1", "shares per USD"),
        ("vega", "Change of the value for a rise of the volatility by 1, that is by 100 points", "USD"),
        ("theta", "Change of the value as one year passes", "USD per year"),
        ("rho", "Change of the value for a rise of the interest rate by 1, that is by 100 points", "USD"),
    )
    for name, description, unit in greeks:
        define(
            name,
            float,
            description=description,
            role="measure",
            unit=unit,
            nullable=True,
            synonyms=["greek", f"option {name}"],
            sample_values=[0.55],
            semantic_type="sensitivity",
            aggregation="sum",
            format=",.4f",
            category="risk",
        )
