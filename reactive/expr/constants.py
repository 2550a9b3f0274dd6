"""Which Python values can be constants of an expression."""

from __future__ import annotations

import math
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from reactive.errors import ExpressionError, ExpressionTypeError, shown
from reactive.expr.values import is_missing

__all__ = ["constant", "require_text"]

# As many as Python reads and writes by itself.
_MAX_DIGITS = 4_000
_MAX_BITS = int(_MAX_DIGITS * math.log2(10))


def require_text(text: str, what: str) -> None:
    """Refuse a text that PostgreSQL or UTF-8 cannot hold."""
    if "\0" in text:
        raise ExpressionError(f"{what} holds a NUL character, which PostgreSQL cannot store: {shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ExpressionError(f"{what} holds a lone surrogate, which is not valid Unicode: {shown(text)}") from None


def _exact(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ExpressionError(f"a constant is finite, not {value!r}: use None for a missing value")
    # Written out, without an exponent, it must have a bearable length.
    if value.adjusted() > _MAX_DIGITS or len(value.as_tuple().digits) - value.adjusted() > _MAX_DIGITS:
        raise ExpressionError(f"a constant has at most {_MAX_DIGITS:,} digits: {shown(value)}")
    return Decimal(value)


def constant(value: Any) -> Any:
    """Return a value as a constant keeps it; see `Const`."""
    if isinstance(value, Enum):
        value = value.value
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        item = value.item()
        # Of an instant in nanoseconds NumPy makes a number of them, which is no instant any more.
        value = value if value.dtype.kind in "mM" and isinstance(item, int) else item
    if value is None or isinstance(value, bool):
        return value
    if is_missing(value):
        raise ExpressionError(f"a constant is a value, not {value!r}: use None for a missing value")
    if isinstance(value, str):
        require_text(value, "a constant")
        return str.__str__(value)
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise ExpressionError(f"a constant has at most {_MAX_DIGITS:,} digits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ExpressionError(f"a constant is finite, not {value!r}: use None for a missing value")
        return float(value)
    if isinstance(value, Decimal):
        return _exact(value)
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            call = f"{datetime.__repr__(value)[:-1]}, tzinfo=datetime.timezone.utc)"
            raise ExpressionError(f"{value!r} has no time zone: write {call}")
        try:
            utc = value.astimezone(timezone.utc)
        except OverflowError:
            raise ExpressionError(f"{value!r} lies outside the years 1 to 9999 in UTC") from None
        return datetime.combine(utc.date(), utc.timetz(), timezone.utc)
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    if isinstance(value, UUID):
        return str(value)
    raise ExpressionTypeError(
        f"a constant is None, bool, int, float, Decimal, str, date or datetime, not {shown(value)} "
        f"({type(value).__name__})"
    )
