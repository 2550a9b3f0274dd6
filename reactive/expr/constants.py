"""Which Python values can be constants of an expression."""

from __future__ import annotations

import math
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from reactive.errors import ExpressionError, ExpressionTypeError, shown

__all__ = ["constant", "require_text"]


def require_text(text: str, what: str) -> None:
    """Refuse a text that PostgreSQL or UTF-8 cannot hold."""
    if "\0" in text:
        raise ExpressionError(f"{what} holds a NUL character, which PostgreSQL cannot store: {shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ExpressionError(f"{what} holds a lone surrogate, which is not valid Unicode: {shown(text)}") from None


def constant(value: Any) -> Any:
    """Return a value as a constant keeps it; see `Const`."""
    if isinstance(value, Enum):
        value = value.value
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        require_text(value, "a constant")
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (float, Decimal)):
        value = float(value) if isinstance(value, float) else Decimal(value)
        if not math.isfinite(value):
            raise ExpressionError(f"a constant is finite, not {value!r}: use None for a missing value")
        return value
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            call = f"{datetime.__repr__(value)[:-1]}, tzinfo=datetime.timezone.utc)"
            raise ExpressionError(f"{value!r} has no time zone: write {call}")
        utc = value.astimezone(timezone.utc)
        return datetime.combine(utc.date(), utc.timetz(), timezone.utc)
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    if isinstance(value, UUID):
        return str(value)
    raise ExpressionTypeError(
        f"a constant is None, bool, int, float, Decimal, str, date or datetime, not {shown(value)} "
        f"({type(value).__name__})"
    )
