"""Store events and computed values as ticking Deephaven tables.

`StoreBridge` streams the store's log; `TableWriter` takes rows straight from this process, as from a reactive graph's
effect. Importing this package starts no JVM and imports no part of Deephaven.
"""

from bridge.errors import BridgeError, CellRefused, ColumnTypeError
from bridge.metrics import FeedStats
from bridge.publisher import TableWriter
from bridge.replay import Replay
from bridge.store_bridge import StoreBridge
from bridge.type_mapping import extract_row, infer_dh_schema

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
