"""Columns that belong to no special field: names, texts, sizes, times."""

from __future__ import annotations

from datetime import datetime

from store.registry import ColumnRegistry

__all__ = ["define_columns"]


def define_columns(registry: ColumnRegistry) -> None:
    """Add the general columns to a registry."""
    _define_texts(registry)
    _define_figures(registry)
    _define_times(registry)


def _define_texts(registry: ColumnRegistry) -> None:
    define = registry.define
    define(
        "name",
        str,
        description="Person name",
        role="dimension",
        allowed_prefixes=["trader", "salesperson", "client"],
    )
    define(
        "label",
        str,
        description="Short text that identifies an object to its readers",
        role="dimension",
        nullable=True,
        synonyms=["caption", "short name"],
        sample_values=["US large caps", "Hedge"],
        semantic_type="text",
        category="general",
        max_length=200,
    )
    define(
        "title",
        str,
        description="Heading of a document, a report or a view",
        role="attribute",
        nullable=True,
        synonyms=["heading", "headline"],
        sample_values=["Daily risk report"],
        semantic_type="text",
        category="general",
        max_length=200,
    )
    define(
        "notes",
        str,
        description="Free remarks of the people who work with the object",
        role="attribute",
        nullable=True,
        synonyms=["comment", "remarks", "memo"],
        sample_values=["Price agreed by phone"],
        semantic_type="text",
        category="general",
        sensitivity="confidential",
    )
    define(
        "tags",
        list,
        description="Free labels for grouping and filtering",
        role="attribute",
        nullable=True,
        synonyms=["keywords", "labels"],
        sample_values=[["momentum", "us"]],
        semantic_type="label",
        category="general",
    )
    define(
        "status",
        str,
        description="Where the object stands, for what has no state machine of its own",
        role="dimension",
        nullable=True,
        synonyms=["condition", "stage"],
        sample_values=["OPEN", "DONE"],
        semantic_type="category",
        category="general",
        max_length=40,
    )
    define(
        "color",
        str,
        description="Colour by which the object is drawn, a CSS name or #RRGGBB",
        role="attribute",
        nullable=True,
        synonyms=["colour"],
        sample_values=["red", "#1f77b4"],
        semantic_type="color",
        category="general",
        max_length=32,
    )
    define(
        "unit",
        str,
        description="Unit in which the object's figures are given",
        role="dimension",
        nullable=True,
        synonyms=["unit of measure"],
        sample_values=["USD", "shares", "bp"],
        semantic_type="unit",
        category="general",
        max_length=32,
    )
    define(
        "model_name",
        str,
        description="Quantitative model that produced the figures",
        role="dimension",
        nullable=True,
        synonyms=["model"],
        sample_values=["momentum_12m", "mean_reversion"],
        semantic_type="identifier",
        category="general",
        max_length=100,
    )


def _define_figures(registry: ColumnRegistry) -> None:
    define = registry.define
    define(
        "weight",
        float,
        description="Share of a whole, such as of an asset in a portfolio; 0.25 is a quarter",
        role="measure",
        unit="ratio",
        nullable=True,
        synonyms=["share", "allocation"],
        sample_values=[0.25, 0.05],
        semantic_type="ratio",
        aggregation="sum",
        format=".4f",
        category="general",
    )
    define(
        "amount",
        float,
        description="Sum of money, in the currency of the object",
        role="measure",
        unit="USD",
        nullable=True,
        synonyms=["sum", "money"],
        sample_values=[1500000.0, -250.5],
        semantic_type="currency_amount",
        aggregation="sum",
        format=",.2f",
        category="general",
    )
    define(
        "value",
        float,
        description="Reading of a metric or a parameter, in the unit that goes with it",
        role="measure",
        unit="as given by the unit column",
        nullable=True,
        synonyms=["reading", "figure"],
        sample_values=[42.0, 0.93],
        semantic_type="number",
        aggregation="last",
        category="general",
    )
    define(
        "width",
        float,
        description="Horizontal size of a drawn object",
        role="measure",
        unit="px",
        nullable=True,
        synonyms=["breadth"],
        sample_values=[640.0],
        semantic_type="length",
        aggregation="max",
        min_value=0,
        category="general",
    )
    define(
        "height",
        float,
        description="Vertical size of a drawn object",
        role="measure",
        unit="px",
        nullable=True,
        sample_values=[480.0],
        semantic_type="length",
        aggregation="max",
        min_value=0,
        category="general",
    )
    define(
        "threshold",
        float,
        description="Level at which an alert or an action is triggered, in the unit of what is watched",
        role="attribute",
        nullable=True,
        synonyms=["trigger", "trigger level", "cutoff"],
        sample_values=[-5000.0, 0.8],
        semantic_type="number",
        category="general",
    )
    define(
        "active",
        bool,
        description="Whether the object is in use",
        role="dimension",
        nullable=True,
        synonyms=["enabled", "live"],
        sample_values=[True, False],
        semantic_type="flag",
        category="general",
    )


def _define_times(registry: ColumnRegistry) -> None:
    define = registry.define
    define(
        "ts",
        datetime,
        description="Instant of the event or the measurement, short form of timestamp",
        role="dimension",
        nullable=True,
        synonyms=["event time"],
        semantic_type="instant",
        category="general",
    )
    define(
        "created",
        datetime,
        description="Instant at which the real-world object came into being; the store's own time is tx_time",
        role="dimension",
        nullable=True,
        synonyms=["created at", "creation time"],
        semantic_type="instant",
        category="general",
    )
