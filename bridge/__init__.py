"""Store events and computed values as ticking Deephaven tables.

`StoreBridge` streams the store's log; `TableWriter` takes rows straight from this process, as from a reactive graph's
effect. Importing this package starts no JVM and imports no part of Deephaven.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError, CellRefused, ColumnTypeError
from bridge.metrics import FeedStats
from bridge.publisher import TableWriter
from bridge.type_mapping import extract_row, infer_dh_schema

if TYPE_CHECKING:
    from bridge.replay import Replay
    from bridge.store_bridge import StoreBridge

__all__ = [
    "BridgeError",
    "CellRefused",
    "ColumnTypeError",
    "FeedStats",
    "Replay",
    "StoreBridge",
    "TableWriter",
    "extract_row",
    "infer_dh_schema",
]

# Tables of values that are nowhere stored need no driver of PostgreSQL.
_ON_DEMAND = {"Replay": "bridge.replay", "StoreBridge": "bridge.store_bridge"}


def __getattr__(name: str) -> Any:
    """Import what connects to a database where it is used."""
    if name in _ON_DEMAND:
        return getattr(import_module(_ON_DEMAND[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
