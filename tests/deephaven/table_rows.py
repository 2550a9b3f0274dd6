"""What a Deephaven table holds at one moment."""

from __future__ import annotations

from typing import Any


def rows(table: Any) -> list[dict[str, Any]]:
    """Return the rows of a table that may tick."""
    from deephaven import arrow

    found: list[dict[str, Any]] = arrow.to_arrow(table.snapshot()).to_pylist()
    return found
