"""Every error that the bridge raises."""

from __future__ import annotations

from typing import Any

__all__ = ["BridgeError", "CellRefused", "ColumnTypeError", "WriterFailed"]


class BridgeError(Exception):
    """Base of every error of the bridge."""


class ColumnTypeError(BridgeError, TypeError):
    """A field that cannot become a Deephaven column.

    Attributes:
        type_name: The class.
        field: The field.
    """

    def __init__(self, type_name: str, field: str, problem: str) -> None:
        """Name the field and what is wrong with it."""
        super().__init__(f"{type_name}.{field}: {problem}")
        self.type_name = type_name
        self.field = field


class WriterFailed(BridgeError):
    """A writer of somebody's own that did not take a row; the bridge gives it the row again.

    Attributes:
        type_name: The type whose row it was.
    """

    def __init__(self, type_name: str, error: BaseException) -> None:
        """Name the type, and what the writer raised."""
        super().__init__(f"the writer of {type_name} does not take a row: {type(error).__name__}: {error}")
        self.type_name = type_name


class CellRefused(BridgeError, ValueError):
    """A value that its Deephaven column cannot hold.

    Attributes:
        value: The value.
        dh_type: The column's type.
    """

    def __init__(self, value: Any, dh_type: str, hint: str = "") -> None:
        """Keep the facts."""
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        article = "an" if dh_type[0] in "Ii" else "a"
        super().__init__(f"{article} {dh_type} column cannot hold {shown}{'; ' if hint else ''}{hint}")
        self.value = value
        self.dh_type = dh_type
