"""The column catalog as a Deephaven table, so that clients show every column as the registry says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.java_columns import java_table
from server.market_columns import MARKET_COLUMNS
from server.store_columns import STORE_COLUMNS
from store.annotations import type_label
from store.columns import REGISTRY

if TYPE_CHECKING:
    from deephaven.table import Table

__all__ = ["CATALOG_TYPES", "catalog_rows", "column_catalog"]

CATALOG_TYPES = {
    "TableName": "string",
    "Name": "string",
    "Type": "string",
    "DisplayName": "string",
    "Format": "string",
    "Unit": "string",
    "Role": "string",
    "Aggregation": "string",
    "Category": "string",
    "Sensitivity": "string",
    "Description": "string",
    "Synonyms": "string[]",
}


def catalog_rows(*, store: bool = False) -> list[tuple[str | list[str] | None, ...]]:
    """Return the rows: each registry column with no table name, then each column of each published table.

    Args:
        store: Whether the store's tables are among them.
    """
    rows: list[tuple[str | list[str] | None, ...]] = [
        (
            None,
            column.name,
            type_label(column.python_type),
            column.display_name,
            column.format,
            column.unit,
            column.role,
            column.aggregation,
            column.category,
            column.sensitivity,
            column.description,
            list(column.synonyms),
        )
        for column in REGISTRY.all_columns()
    ]
    rows += [
        (
            table,
            column.name,
            column.type,
            column.display_name or column.name,
            column.format or None,
            column.unit or None,
            column.role,
            column.aggregation or None,
            "store" if table in STORE_COLUMNS else "market data",
            "internal",
            column.description,
            [],
        )
        for table, columns in (MARKET_COLUMNS | (dict(STORE_COLUMNS) if store else {})).items()
        for column in columns
    ]
    return rows


def column_catalog(*, store: bool = False) -> Table:
    """Return the catalog as a static table; needs a running Deephaven."""
    return java_table(CATALOG_TYPES, catalog_rows(store=store))
