"""The project's column catalog: `REGISTRY`, filled from one module a field of work."""

from __future__ import annotations

from store.columns import finance, general, trading
from store.registry import ColumnRegistry

__all__ = ["REGISTRY"]

REGISTRY = ColumnRegistry()

for module in (general, trading, finance):
    module.define_columns(REGISTRY)
